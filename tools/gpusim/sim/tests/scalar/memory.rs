//! Loads and stores: types, vectors, spaces, cache operators, strength.

use super::common::{run, run_text, wrap};
use super::table::{check, signed};

/// What `%d` is after a load of `%a`'s bytes from memory.
#[test]
fn narrow_loads_extend_to_their_register() {
    check(&[
        ("ld.global.u8 %d, [%in+1];", "b32 b64", |a, _, _| a >> 8 & 0xFF),
        ("ld.global.s8 %d, [%in+1];", "b32 b64", |a, _, _| signed(a >> 8 & 0xFF, 8) as u64),
        ("ld.global.b8 %d, [%in+7];", "b16 b64", |a, _, _| a >> 56),
        ("ld.global.s8 %d, [%in+7];", "b64 b64", |a, _, _| signed(a >> 56, 8) as u64),
        ("ld.global.u16 %d, [%in+2];", "b32 b64", |a, _, _| a >> 16 & 0xFFFF),
        ("ld.global.s16 %d, [%in+2];", "b32 b64", |a, _, _| signed(a >> 16 & 0xFFFF, 16) as u64),
        ("ld.global.u16 %d, [%in+2];", "b64 b64", |a, _, _| a >> 16 & 0xFFFF),
        ("ld.global.u32 %d, [%in+4];", "b64 b64", |a, _, _| a >> 32),
        ("ld.global.s32 %d, [%in+4];", "b64 b64", |a, _, _| signed(a >> 32, 32) as u64),
        ("ld.global.s64 %d, [%in+8];", "b64 b64 b64", |_, b, _| b),
        ("add.u64 %y1, %in, 4096; ld.global.f64 %d, [%y1+-4088];", "b64 b64 b64", |_, b, _| b),
    ]);
}

#[test]
fn vectors_load_and_store_their_elements_in_order() {
    check(&[
        ("ld.global.v2.u32 {%x1, %d}, [%in];", "b32 b64", |a, _, _| a >> 32),
        ("ld.global.v2.u8 {%h1, %d}, [%in+2];", "b16 b64", |a, _, _| a >> 24 & 0xFF),
        ("ld.global.v4.u8 {%h1, %h2, %h3, %d}, [%in];", "b16 b64", |a, _, _| a >> 24 & 0xFF),
        ("ld.global.v4.s8 {%x1, %x2, %d, %x3}, [%in+4];", "b32 b64", |a, _, _| {
            signed(a >> 48 & 0xFF, 8) as u64
        }),
        ("ld.global.v4.b16 {%h1, %h2, %d, _}, [%in];", "b16 b64", |a, _, _| a >> 32),
        ("st.global.v2.b32 [%out], {%a, %b}; ld.global.b64 %d, [%out];", "b64 b32 b32", |a, b, _| {
            b << 32 | a
        }),
        (
            "st.global.v4.b16 [%out], {%a, %b, %c, 7}; ld.global.b64 %d, [%out];",
            "b64 b16 b16 b16",
            |a, b, c| 7 << 48 | c << 32 | b << 16 | a,
        ),
        ("st.global.u8 [%out+3], %a; ld.global.b64 %d, [%out];", "b64 b32", |a, _, _| (a & 0xFF) << 24),
        ("st.global.v2.u8 [%out+4], {%a, %b}; ld.global.b64 %d, [%out];", "b64 b16 b16", |a, b, _| {
            (b & 0xFF) << 40 | (a & 0xFF) << 32
        }),
    ]);
}

#[test]
fn sixteen_bytes_move_as_vectors_and_as_one_word() {
    let body = "mad.wide.u32 %out, %t, 12, %out; mad.wide.u32 %in, %t, 12, %in;
        ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%in]; st.global.v4.f32 [%out], {%f4, %f1, %f2, %f3};
        ld.global.v2.f64 {%g1, %g2}, [%in]; st.global.v2.f64 [%out+512], {%g2, %g1};
        ld.global.v2.b64 {%d2, %d3}, [%in]; st.global.v2.u64 [%out+1024], {%d2, %d3};
        .reg .b128 %q; ld.global.b128 %q, [%in]; st.global.b128 [%out+1536], %q;";
    let input: Vec<u32> = (100..228).collect();
    let out = run(body, 32, &input, 512);
    for t in 0..32 {
        let from = &input[4 * t..4 * t + 4];
        let part = |n: usize| out[128 * n + 4 * t..128 * n + 4 * t + 4].to_vec();
        assert_eq!(part(0), [from[3], from[0], from[1], from[2]]);
        assert_eq!(part(1), [from[2], from[3], from[0], from[1]]);
        assert_eq!(part(2), from);
        assert_eq!(part(3), from);
    }
}

#[test]
fn cache_operators_and_hints_change_no_value() {
    let loads = [
        "ca.u32",
        "cg.u32",
        "cs.u32",
        "lu.u32",
        "cv.u32",
        "nc.u32",
        "L1::no_allocate.u32",
        "L1::evict_first.u32",
        "L1::evict_last.u32",
        "L1::evict_unchanged.u32",
        "L2::128B.u32",
        "L2::256B.u32",
        "L2::64B.u32",
        "nc.L1::no_allocate.L2::128B.u32",
        "ca.L2::128B.u32",
        "ca.nc.u32",
        "cg.nc.u32",
        "cs.nc.u32",
        "nc.L1::no_allocate.L2::256B.u32",
    ];
    let stores = [
        "wb.u32",
        "cg.u32",
        "cs.u32",
        "wt.u32",
        "L1::no_allocate.u32",
        "L1::evict_last.u32",
        "L1::evict_first.u32",
    ];
    let mut body = "mov.u32 %r2, 0; createpolicy.fractional.L2::evict_last.b64 %d5, 1.0;".to_owned();
    for form in loads {
        body += &format!("ld.global.{form} %r1, [%in]; add.u32 %r2, %r2, %r1;\n");
    }
    body += "ld.global.L2::cache_hint.u32 %r1, [%in], %d5; add.u32 %r2, %r2, %r1;
        ld.global.L1::evict_last.L2::cache_hint.v1.u32 %r1, [%in], %d5; add.u32 %r2, %r2, %r1;";
    let body = body.replace(".v1", "");
    let mut body = body + "prefetch.global.L1 [%in]; prefetch.global.L2 [%in]; prefetchu.L1 [%in];";
    for form in stores {
        body += &format!("st.global.{form} [%out], %r2;\n");
    }
    body += "st.global.L2::cache_hint.u32 [%out], %r2, %d5;";
    let count = loads.len() as u32 + 2;
    let input: Vec<u32> = (0..40).map(|n| n * 1000 + 7).collect();
    let expected: Vec<u32> = input.iter().map(|v| v * count).collect();
    assert_eq!(run(&body, 40, &input, 40), expected);
}

#[test]
fn hints_change_no_value() {
    let mut body = "mov.u64 %d2, %d1;".to_owned();
    for hint in [
        "prefetch.global.L1 [%d2]",
        "prefetch.global.L2 [%d2]",
        "prefetch.global.L2::evict_last [%d2]",
        "prefetch.global.L2::evict_normal [%d2]",
        "prefetch.L1 [%d2]",
        "prefetch.L2 [%d2]",
        "prefetch.local.L1 [l]",
        "prefetchu.L1 [%d2]",
        "applypriority.global.L2::evict_normal [%d2], 128",
        "applypriority.L2::evict_normal [%d2], 128",
        "nanosleep.u32 40",
        // What is written afterwards stays.
        "discard.global.L2 [%d0], 128",
        "discard.L2 [%d0], 128",
    ] {
        body += &format!("{hint};\n");
    }
    body += "ldu.global.u32 %r1, [%in]; ldu.global.v2.b32 {%r2, %r3}, [%d1]; add.u32 %r1, %r1, %r3; st.global.u32 [%out], %r1;";
    let text = wrap(&format!(".local .align 4 .b32 l;\n{body}"));
    let expected: Vec<u32> = (0..32).map(|t| 10 + t + 11).collect();
    assert_eq!(run_text(&text, 32, &(10..42).collect::<Vec<_>>(), 32), expected);
}

#[test]
fn strong_accesses_of_every_scope_read_what_was_written() {
    let mut body = "ld.global.u32 %r1, [%in]; mov.u32 %r2, 0;".to_owned();
    let mut count = 0;
    for scope in ["cta", "cluster", "gpu", "sys"] {
        for (load, store) in [("relaxed", "relaxed"), ("acquire", "release")] {
            body += &format!(
                "add.u32 %r1, %r1, 1; st.{store}.{scope}.global.u32 [%out], %r1;
                ld.{load}.{scope}.global.u32 %r3, [%out]; add.u32 %r2, %r2, %r3;\n"
            );
            count += 1;
        }
    }
    body += "add.u32 %r1, %r1, 1; st.volatile.global.u32 [%out], %r1; ld.volatile.global.u32 %r3, [%out];
        add.u32 %r2, %r2, %r3; st.mmio.relaxed.sys.global.u32 [%out], %r1;
        ld.mmio.relaxed.sys.global.u32 %r3, [%out]; add.u32 %r2, %r2, %r3; st.weak.global.u32 [%out], %r2;
        ld.weak.global.u32 %r2, [%out]; fence.acq_rel.gpu; fence.sc.sys; membar.gl; membar.cta; membar.sys;
        st.global.u32 [%out], %r2;";
    let expected: Vec<u32> =
        (0..32).map(|t| (1..=count).map(|n| t + n).sum::<u32>() + 2 * (t + count + 1)).collect();
    assert_eq!(run(&body, 32, &(0..32).collect::<Vec<_>>(), 32), expected);
}

/// Lanes of one load go to shared, local, constant, parameter and global memory.
#[test]
fn generic_loads_go_to_the_space_of_each_lanes_address() {
    let body = ".shared .align 4 .b32 s[32]; .local .align 4 .b32 l[2];
        mov.u64 %d2, s; cvta.shared.u64 %d2, %d2; mad.wide.u32 %d2, %t, 4, %d2; add.u32 %r1, %t, 1000;
        st.u32 [%d2], %r1;
        mov.u64 %d3, l; cvta.local.u64 %d3, %d3; add.u32 %r1, %t, 2000; st.u32 [%d3+4], %r1; add.u64 %d3, %d3, 4;
        mov.u64 %d4, table; cvta.const.u64 %d4, %d4; add.u64 %d4, %d4, 4;
        mov.u64 %d5, p_in; cvta.param.u64 %d5, %d5;
        rem.u32 %r2, %t, 5; setp.eq.u32 %p1, %r2, 0; setp.eq.u32 %p2, %r2, 1; setp.eq.u32 %p3, %r2, 2;
        setp.eq.u32 %p4, %r2, 3; mov.u64 %d6, %in; selp.b64 %d6, %d2, %d6, %p1; selp.b64 %d6, %d3, %d6, %p2;
        selp.b64 %d6, %d4, %d6, %p3; selp.b64 %d6, %d5, %d6, %p4;
        ld.u32 %r3, [%d6]; ld.param.u32 %r4, [p_in]; setp.eq.u32 %p5, %r3, %r4; @%p5 mov.u32 %r3, 4000;
        st.global.u32 [%out], %r3;";
    let text = wrap(body).replacen(".visible", ".const .align 4 .b32 table[2] = {5, 3000};\n.visible", 1);
    let input: Vec<u32> = (0..32).map(|t| 9000 + t).collect();
    let expected: Vec<u32> =
        (0..32).map(|t| [1000 + t, 2000 + t, 3000, 4000, 9000 + t][t as usize % 5]).collect();
    assert_eq!(run_text(&text, 32, &input, 32), expected);
}

/// The same offset is another place for each thread; vectors and bytes agree about where.
#[test]
fn local_memory_belongs_to_the_thread() {
    let body = ".local .align 16 .b8 l[64]; add.u32 %r1, %t, 7; add.u32 %r2, %t, 300; add.u32 %r3, %t, 5;
        st.local.v4.u32 [l+16], {%t, %r1, %r2, %r3}; and.b32 %r4, %t, 3; shl.b32 %r4, %r4, 2; cvt.u64.u32 %d2, %r4;
        mov.u64 %d3, l; add.u64 %d3, %d3, %d2; ld.local.u32 %r5, [%d3+16]; ld.local.u8 %r6, [l+24];
        mad.lo.u32 %r5, %r5, 1000, %r6; st.global.u32 [%out], %r5;";
    let expected: Vec<u32> =
        (0..64).map(|t| [t, t + 7, t + 300, t + 5][t as usize % 4] * 1000 + (t + 300) % 256).collect();
    assert_eq!(run(body, 64, &[0; 64], 64), expected);
}

/// Only the lanes of the guard load and store.
#[test]
fn guarded_accesses_leave_other_lanes_alone() {
    let body = "setp.lt.u32 %p1, %t, 9; mov.u32 %r1, 5; @%p1 ld.global.u32 %r1, [%in];
        mov.u64 %d2, 0; selp.b64 %d2, %out, %d2, %p1; st.global.u32 [%out], %r1;
        add.u32 %r1, %r1, 100; @%p1 st.global.u32 [%d2], %r1; @!%p1 ld.global.u32 %r2, [%out];";
    let expected: Vec<u32> = (0..32).map(|t| if t < 9 { 150 + t } else { 5 }).collect();
    assert_eq!(run(body, 32, &(50..82).collect::<Vec<_>>(), 32), expected);
}
