//! Branch tables, calls, recursion, traps.

use gpusim::LaunchError;

use super::common::{HEAD, run, run_text, try_run, try_run_text, wrap};

fn with_functions(functions: &str, body: &str) -> String {
    format!("{HEAD}{functions}\n{}", wrap(body).trim_start_matches(HEAD))
}

#[test]
fn a_branch_table_takes_each_lane_where_its_index_says() {
    let body = "rem.u32 %r1, %t, 3; T: .branchtargets A, B, A; brx.idx %r1, T;
        A: mov.u32 %r2, 7; bra.uni E; B: mov.u32 %r2, 9; E: st.global.u32 [%out], %r2;";
    assert_eq!(
        run(body, 32, &[0; 32], 32),
        (0..32).map(|t| if t % 3 == 1 { 9 } else { 7 }).collect::<Vec<u32>>()
    );
    // All lanes go the same way.
    for index in 0..3 {
        let body = format!(
            "mov.u32 %r1, {index}; T: .branchtargets A, B, A; brx.idx.uni %r1, T;
            A: mov.u32 %r2, 7; bra.uni E; B: mov.u32 %r2, 9; E: st.global.u32 [%out], %r2;"
        );
        assert_eq!(run(&body, 32, &[0; 32], 32), [if index == 1 { 9 } else { 7 }; 32]);
    }
    let body = "T: .branchtargets A, B; brx.idx %t, T; A: B: st.global.u32 [%out], %t;";
    assert!(matches!(try_run(body, 3, &[0; 3], 3), Err(LaunchError::Trap(_))));
}

/// Parameters in frames and in registers, a structure as parameter and as result.
#[test]
fn calls_pass_parameters_and_results() {
    let functions = ".func (.param .align 8 .b8 r[16]) both(.param .align 8 .b8 p[16], .param .b32 n) {
        .reg .b64 %d<9>; .reg .b32 %r<9>; ld.param.u64 %d1, [p]; ld.param.u32 %r1, [p+8]; ld.param.u32 %r2, [n];
        cvt.u64.u32 %d2, %r1; add.u64 %d1, %d1, %d2; st.param.b64 [r], %d1; sub.u32 %r2, %r2, %r1;
        st.param.b32 [r+8], %r2; ret; }
        .func (.reg .b32 r) thrice(.reg .b32 n) { mul.lo.u32 r, n, 3; ret; }";
    let body = "{ .param .align 8 .b8 a[16]; .param .b32 b; .param .align 8 .b8 x[16];
        cvt.u64.u32 %d2, %t; st.param.b64 [a], %d2; st.param.b32 [a+8], 40; st.param.b32 [b], %t;
        call.uni (x), both, (a, b); ld.param.b64 %d3, [x]; ld.param.b32 %r1, [x+8]; }
        cvt.u32.u64 %r2, %d3; mad.lo.u32 %r1, %r2, 1000, %r1; call (%r3), thrice, (%r1); st.global.u32 [%out], %r3;";
    let expected: Vec<u32> =
        (0..32u32).map(|t| ((t + 40) * 1000).wrapping_add(t.wrapping_sub(40)).wrapping_mul(3)).collect();
    assert_eq!(run_text(&with_functions(functions, body), 32, &[0; 32], 32), expected);
}

/// Sums by lanes at different depths.
#[test]
fn lanes_recurse_to_different_depths() {
    let functions = ".func (.param .b32 r) depth(.param .b32 n) { .reg .b32 %r<9>; .reg .pred %p;
        ld.param.u32 %r1, [n]; mov.u32 %r3, 0; setp.eq.u32 %p, %r1, 0; @%p bra E;
        sub.u32 %r2, %r1, 1;
        { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2; call.uni (b), depth, (a); ld.param.b32 %r3, [b]; }
        add.u32 %r3, %r3, %r1; E: st.param.b32 [r], %r3; ret; }";
    let body =
        "{ .param .b32 a; .param .b32 b; st.param.b32 [a], %t; call (b), depth, (a); ld.param.b32 %r1, [b]; }
        st.global.u32 [%out], %r1;";
    let expected: Vec<u32> = (0..64).map(|t| t * (t + 1) / 2).collect();
    assert_eq!(run_text(&with_functions(functions, body), 64, &[0; 64], 64), expected);
}

#[test]
fn recursion_without_end_overflows_the_stack() {
    let functions = ".func deeper(.param .b64 n) { .local .align 8 .b64 l[8]; .reg .b64 %d<3>;
        ld.param.b64 %d1, [n]; st.local.b64 [l], %d1;
        { .param .b64 a; st.param.b64 [a], %d1; call.uni deeper, (a); } ret; }";
    let body = "{ .param .b64 a; st.param.b64 [a], %d0; call.uni deeper, (a); }";
    let error = try_run_text(&with_functions(functions, body), 1, &[0], 1).unwrap_err();
    assert!(matches!(&error, LaunchError::IllegalAddress(_)), "{error}");
}

#[test]
fn traps_stop_the_launch() {
    assert!(matches!(try_run("setp.eq.u32 %p1, %t, 3; @%p1 trap;", 4, &[0], 4), Err(LaunchError::Trap(_))));
    assert!(try_run("setp.eq.u32 %p1, %t, 4; @%p1 trap;", 4, &[0], 4).is_ok());
    assert!(matches!(try_run("setp.eq.u32 %p1, %t, 3; @%p1 brkpt;", 4, &[0], 4), Err(LaunchError::Trap(_))));
    assert!(try_run("setp.eq.u32 %p1, %t, 4; @%p1 brkpt;", 4, &[0], 4).is_ok());
    let call = "mov.u64 %d2, 4096; P: .callprototype _ (); call %d2, (), P;";
    assert!(matches!(try_run(call, 1, &[0], 1), Err(LaunchError::Trap(_))));
}
