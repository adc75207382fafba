//! `vote`, `match`, `redux`, `activemask`, `elect`.

use super::common::run;
use super::table::unsupported;

fn each(f: impl Fn(u32) -> u32) -> Vec<u32> {
    (0..32).map(f).collect()
}

#[test]
fn votes_of_all_some_and_no_lanes() {
    for (condition, holds) in
        [("lt.u32 %p1, %t, 40", u32::MAX), ("gt.u32 %p1, %t, 40", 0), ("eq.u32 %p1, %t, 6", 64)]
    {
        let body = format!(
            "setp.{condition}; vote.sync.all.pred %p2, %p1, -1; vote.sync.any.pred %p3, %p1, -1;
            vote.sync.uni.pred %p4, %p1, -1; vote.sync.ballot.b32 %r1, !%p1, -1; vote.sync.any.pred %p5, !%p1, -1;
            selp.u32 %r2, 1, 0, %p2; @%p3 or.b32 %r2, %r2, 2; @%p4 or.b32 %r2, %r2, 4; @%p5 or.b32 %r2, %r2, 8;
            st.global.u32 [%out], %r1; st.global.u32 [%out+128], %r2;"
        );
        let flags = match holds {
            u32::MAX => 1 + 2 + 4,
            0 => 4 + 8,
            _ => 2 + 8,
        };
        let out = run(&body, 32, &[0; 32], 64);
        assert_eq!((&out[..32], &out[32..]), (&[!holds; 32][..], &[flags; 32][..]), "{condition}");
    }
}

#[test]
fn only_members_are_asked() {
    let body = "setp.lt.u32 %p1, %t, 12; setp.ge.u32 %p2, %t, 8; mov.u32 %r1, 0;
        @%p2 vote.sync.ballot.b32 %r1, %p1, 0xFFFFFF00; st.global.u32 [%out], %r1;";
    assert_eq!(run(body, 32, &[0; 32], 32), each(|t| if t < 8 { 0 } else { 0xF00 }));
}

#[test]
fn equal_values_find_each_other() {
    let body = "and.b32 %r1, %t, 5; match.any.sync.b32 %r2, %r1, -1; st.global.u32 [%out], %r2;
        cvt.u64.u32 %d2, %r1; shl.b64 %d2, %d2, 33; match.any.sync.b64 %r3, %d2, -1; st.global.u32 [%out+128], %r3;
        mov.u32 %r4, 9; match.all.sync.b32 %r5|%p1, %r4, -1; selp.u32 %r6, 1, 0, %p1; xor.b32 %r5, %r5, %r6;
        st.global.u32 [%out+256], %r5; match.all.sync.b64 %r7|%p2, %d2, -1; selp.u32 %r8, 1, 0, %p2;
        or.b32 %r7, %r7, %r8; st.global.u32 [%out+384], %r7;";
    let out = run(body, 32, &[0; 32], 128);
    let alike = each(|t| (0..32).filter(|o| o & 5 == t & 5).map(|o| 1 << o).sum());
    assert_eq!(out[..32], alike);
    assert_eq!(out[32..64], alike);
    assert_eq!(out[64..96], [u32::MAX ^ 1; 32]);
    assert_eq!(out[96..], [0; 32]);
}

#[test]
fn reductions_of_a_warp() {
    let values = each(|t| (t + 3).wrapping_mul(0x9E37_79B9));
    let signed = || values.iter().map(|v| *v as i32);
    let all = [
        ("add.u32", values.iter().fold(0u32, |s, v| s.wrapping_add(*v))),
        ("add.s32", values.iter().fold(0u32, |s, v| s.wrapping_add(*v))),
        ("min.u32", *values.iter().min().unwrap()),
        ("max.u32", *values.iter().max().unwrap()),
        ("min.s32", signed().min().unwrap() as u32),
        ("max.s32", signed().max().unwrap() as u32),
        ("and.b32", values.iter().fold(u32::MAX, |s, v| s & v)),
        ("or.b32", values.iter().fold(0, |s, v| s | v)),
        ("xor.b32", values.iter().fold(0, |s, v| s ^ v)),
    ];
    for (op, want) in all {
        let body =
            format!("ld.global.u32 %r1, [%in]; redux.sync.{op} %r2, %r1, -1; st.global.u32 [%out], %r2;");
        assert_eq!(run(&body, 32, &values, 32), [want; 32], "{op}");
    }
    // Half of the warp.
    let body = "ld.global.u32 %r1, [%in]; setp.lt.u32 %p1, %t, 16; mov.u32 %r2, 0;
        @%p1 redux.sync.xor.b32 %r2, %r1, 0xFFFF; st.global.u32 [%out], %r2;";
    let half = values[..16].iter().fold(0, |s, v| s ^ v);
    assert_eq!(run(body, 32, &values, 32), each(|t| if t < 16 { half } else { 0 }));
    // From sm_100a on.
    unsupported("redux.sync.min.f32 %f1, %f2, -1;");
}

#[test]
fn the_active_lanes_and_their_leader() {
    let body = "setp.ge.u32 %p1, %t, 20; mov.u32 %r1, 0; mov.u32 %r2, 99; @%p1 bra A; bra E;
        A: activemask.b32 %r1; elect.sync %r2|%p2, 0xFFF00000; @%p2 add.u32 %r2, %r2, 100;
        E: st.global.u32 [%out], %r1; st.global.u32 [%out+128], %r2;";
    let out = run(body, 32, &[0; 32], 64);
    assert_eq!(out[..32], each(|t| if t < 20 { 0 } else { 0xFFF0_0000 }));
    assert_eq!(out[32..], each(|t| if t < 20 { 99 } else { 20 + if t == 20 { 100 } else { 0 } }));
}
