//! Divergence, calls, barriers, warps, scheduling.
#![allow(missing_docs)]

mod common;

use common::{HEAD, device, kernel, params, run, try_run, upload, words, wrap};
use gpusim::{Device, Launch, LaunchError, Schedule, Settings};

#[test]
fn lanes_that_loop_for_different_times_come_together_again() {
    let body = "mov.u32 %r1, 0; mov.u32 %r2, 0;
        L: setp.ge.u32 %p1, %r1, %t; @%p1 bra D; add.u32 %r2, %r2, %r1; add.u32 %r1, %r1, 1; bra L;
        D: activemask.b32 %r3; st.global.u32 [%out], %r2; st.global.u32 [%out+128], %r3;";
    let out = run(body, 32, &[0; 32], 64);
    let expected: Vec<u32> = (0..32).map(|t: u32| (0..t).sum()).collect();
    assert_eq!(out[..32], expected);
    assert_eq!(out[32..], [u32::MAX; 32]);
}

#[test]
fn an_indexed_branch_goes_where_the_index_says() {
    let body = "and.b32 %r1, %t, 3; T: .branchtargets A, B, C, D; brx.idx %r1, T;
        A: mov.u32 %r2, 10; bra E; B: mov.u32 %r2, 20; bra E; C: mov.u32 %r2, 30; bra E; D: mov.u32 %r2, 40;
        E: st.global.u32 [%out], %r2;";
    let expected: Vec<u32> = (0..32).map(|t| (t % 4 + 1) * 10).collect();
    assert_eq!(run(body, 32, &[0; 32], 32), expected);
}

#[test]
fn a_function_calls_itself_with_its_own_frame() {
    let ptx = format!(
        "{HEAD}.func (.param .b32 r) fib(.param .b32 n) {{
        .reg .b32 %r<9>; .reg .pred %p;
        ld.param.u32 %r1, [n]; setp.lt.u32 %p, %r1, 2; @%p bra BASE;
        add.u32 %r2, %r1, -1;
        {{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r2; call.uni (b), fib, (a); ld.param.b32 %r3, [b]; }}
        add.u32 %r4, %r1, -2;
        {{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r4; call.uni (b), fib, (a); ld.param.b32 %r5, [b]; }}
        add.u32 %r6, %r3, %r5; st.param.b32 [r], %r6; ret;
        BASE: st.param.b32 [r], %r1; ret; }}
        {}",
        wrap(
            "{ .param .b32 a; .param .b32 b; st.param.b32 [a], %t; call (b), fib, (a); ld.param.b32 %r1, [b]; }
             st.global.u32 [%out], %r1;"
        )
        .trim_start_matches(HEAD)
    );
    let device = device();
    let function = kernel(&device, &ptx);
    let out = upload(&device, &[0; 12]);
    device
        .launch(&Launch { block: [12, 1, 1], params: params(&[out, out]), ..Launch::new(function) })
        .unwrap();
    assert_eq!(words(&device, out, 12), [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89]);
}

#[test]
fn a_call_through_a_pointer_goes_where_each_lane_points() {
    let ptx = format!(
        "{HEAD}.func (.param .b32 r) twice(.param .b32 n) {{ .reg .b32 %r<3>;
        ld.param.u32 %r1, [n]; shl.b32 %r1, %r1, 1; st.param.b32 [r], %r1; ret; }}
        .func (.param .b32 r) plus(.param .b32 n) {{ .reg .b32 %r<3>;
        ld.param.u32 %r1, [n]; add.u32 %r1, %r1, 100; st.param.b32 [r], %r1; ret; }}
        {}",
        wrap(
            "mov.u64 %d2, twice; mov.u64 %d3, plus; and.b32 %r1, %t, 1; setp.eq.u32 %p1, %r1, 0;
            selp.b64 %d4, %d2, %d3, %p1;
            { .param .b32 a; .param .b32 b; st.param.b32 [a], %t;
            P: .callprototype (.param .b32 _) _ (.param .b32 _);
            call (b), %d4, (a), P; ld.param.b32 %r1, [b]; }
            st.global.u32 [%out], %r1;"
        )
        .trim_start_matches(HEAD)
    );
    let device = device();
    let function = kernel(&device, &ptx);
    let out = upload(&device, &[0; 8]);
    device
        .launch(&Launch { block: [8, 1, 1], params: params(&[out, out]), ..Launch::new(function) })
        .unwrap();
    assert_eq!(words(&device, out, 8), [0, 101, 4, 103, 8, 105, 12, 107]);
}

const REVERSE: &str = ".shared .align 4 .b32 s[128]; mov.u32 %r1, s; mad.lo.u32 %r1, %t, 4, %r1;
    st.shared.u32 [%r1], %t; bar.sync 0; mov.u32 %r2, s; sub.u32 %r3, 127, %t; mad.lo.u32 %r2, %r3, 4, %r2;
    ld.shared.u32 %r4, [%r2]; st.global.u32 [%out], %r4;";

#[test]
fn a_barrier_lets_a_block_exchange_values_under_every_seed() {
    for (seed, schedule) in (0..10).flat_map(|seed| [(seed, Schedule::Lowest), (seed, Schedule::Random)]) {
        let device = Device::new(Settings { seed, schedule, ..Settings::default() });
        let function = kernel(&device, &wrap(REVERSE));
        assert_eq!(function.static_shared(), 512);
        let out = upload(&device, &[0; 128]);
        let launch = Launch { block: [128, 1, 1], params: params(&[out, out]), ..Launch::new(function) };
        device.launch(&launch).unwrap();
        assert_eq!(words(&device, out, 128), (0..128).rev().collect::<Vec<u32>>());
    }
}

#[test]
fn a_barrier_that_some_warps_pass_by_is_barrier_divergence() {
    let body = "setp.lt.u32 %p1, %t, 32; @%p1 bra W; bar.sync 0; bra E; W: bar.sync 1; E:";
    let error = try_run(body, 64, &[0; 64], 64).unwrap_err();
    let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
    assert_eq!(report.kind, "barrier divergence");
}

#[test]
fn a_barrier_that_half_a_warp_reaches_is_barrier_divergence() {
    let body = "setp.lt.u32 %p1, %t, 16; @%p1 bar.sync 0; @!%p1 bar.sync 1;";
    let error = try_run(body, 32, &[0; 32], 32).unwrap_err();
    let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
    assert_eq!(report.kind, "barrier divergence");
}

#[test]
fn exited_threads_are_not_waited_for() {
    let body = "setp.ge.u32 %p1, %t, 40; @%p1 exit; bar.sync 0; st.global.u32 [%out], %t;";
    let out = run(body, 64, &[0; 64], 64);
    assert_eq!(out[..40], (0..40).collect::<Vec<u32>>());
    assert_eq!(out[40..], [0xDEAD_BEEF; 24]);
}

#[test]
fn a_barrier_reduces_a_predicate() {
    let body = "setp.lt.u32 %p1, %t, 5; bar.red.popc.u32 %r1, 0, %p1; bar.red.and.pred %p2, 0, %p1;
        bar.red.or.pred %p3, 0, %p1; selp.u32 %r2, 100, 0, %p2; selp.u32 %r3, 1000, 0, %p3;
        add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3; st.global.u32 [%out], %r1;";
    assert_eq!(run(body, 96, &[0; 96], 96), [1005; 96]);
}

#[test]
fn producers_arrive_and_consumers_wait() {
    let body = ".shared .b32 s[1]; setp.lt.u32 %p1, %t, 32; @%p1 bra P;
        bar.sync 3, 64; ld.shared.u32 %r1, [s]; st.global.u32 [%out], %r1; ret;
        P: setp.eq.u32 %p2, %t, 0; @%p2 st.shared.u32 [s], 77; bar.arrive 3, 64;";
    assert_eq!(run(body, 64, &[0; 64], 64)[32..], [77; 32]);
}

#[test]
fn a_lock_taken_by_one_lane_at_a_time_makes_progress() {
    let body = "L: atom.global.cas.b32 %r1, [%d1], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra L;
        ld.volatile.global.u32 %r2, [%d0]; add.u32 %r2, %r2, 1; st.volatile.global.u32 [%d0], %r2;
        atom.global.exch.b32 %r1, [%d1], 0;";
    assert_eq!(run(body, 64, &[0; 1], 1), [64u32.wrapping_add(0xDEAD_BEEF)]);
}

#[test]
fn a_loop_without_end_meets_the_instruction_limit() {
    let device = Device::new(Settings { instruction_limit: 10_000, ..Settings::default() });
    let function = kernel(&device, &wrap("L: bra L;"));
    let launch = Launch { params: params(&[0, 0]), ..Launch::new(function) };
    assert!(matches!(device.launch(&launch), Err(LaunchError::InstructionLimit(_))));
}

#[test]
fn shuffles_move_values_between_lanes() {
    let expect = |op: &str, b: &str, c: u32, from: fn(u32) -> u32| {
        let body = format!("shfl.sync.{op}.b32 %r1|%p1, %t, {b}, {c}, -1; st.global.u32 [%out], %r1;");
        assert_eq!(run(&body, 32, &[0; 32], 32), (0..32).map(from).collect::<Vec<_>>(), "{op}");
    };
    expect("up", "3", 0, |t| if t >= 3 { t - 3 } else { t });
    expect("down", "5", 31, |t| if t + 5 < 32 { t + 5 } else { t });
    expect("bfly", "9", 31, |t| t ^ 9);
    expect("idx", "6", 0x181F, |t| t / 8 * 8 + 6);
    expect("down", "2", 0x1C03, |t| if t % 4 < 2 { t + 2 } else { t });
}

#[test]
fn votes_matches_and_reductions_see_all_members() {
    let body = "setp.lt.u32 %p1, %t, 7; vote.sync.ballot.b32 %r1, %p1, -1; and.b32 %r2, %t, 3;
        match.any.sync.b32 %r3, %r2, -1; redux.sync.add.s32 %r4, %t, -1; redux.sync.max.u32 %r5, %r2, -1;
        vote.sync.uni.pred %p2, %p1, -1; selp.u32 %r6, 1, 0, %p2;
        xor.b32 %r1, %r1, %r3; add.u32 %r1, %r1, %r4; add.u32 %r1, %r1, %r5; add.u32 %r1, %r1, %r6;
        st.global.u32 [%out], %r1;";
    let expected: Vec<u32> = (0..32).map(|t| (0x7F ^ 0x1111_1111u32 << (t % 4)) + 496 + 3).collect();
    assert_eq!(run(body, 32, &[0; 32], 32), expected);
}

#[test]
fn lanes_that_diverged_meet_at_a_warp_barrier() {
    let body = "setp.lt.u32 %p1, %t, 9; @%p1 bra A; bar.warp.sync -1; mov.u32 %r1, 1; bra E;
        A: bar.warp.sync -1; mov.u32 %r1, 2; E: st.global.u32 [%out], %r1;";
    let expected: Vec<u32> = (0..32).map(|t| if t < 9 { 2 } else { 1 }).collect();
    assert_eq!(run(body, 32, &[0; 32], 32), expected);
}

#[test]
fn a_shuffle_that_lanes_never_reach_is_reported() {
    let body = "setp.lt.u32 %p1, %t, 9; @%p1 bra A; shfl.sync.idx.b32 %r1, %t, 0, 31, -1; bra E;
        A: bar.sync 0; E:";
    let error = try_run(body, 32, &[0; 32], 32).unwrap_err();
    assert!(matches!(&error, LaunchError::CheckFailed(_)), "{error}");
}

#[test]
fn atomics_add_up_over_a_grid_with_one_thread_or_more() {
    for threads in [1, 3] {
        let device = Device::new(Settings { threads, ..Settings::default() });
        let ptx = wrap(
            "atom.global.add.u32 %r1, [%d0], 3; red.global.max.u32 [%d0+4], %t; red.global.add.f32 [%d0+8], 0f3F000000;",
        );
        let function = kernel(&device, &ptx);
        let out = upload(&device, &[0; 3]);
        let launch = Launch {
            grid: [20, 2, 1],
            block: [64, 1, 1],
            params: params(&[out, out]),
            ..Launch::new(function)
        };
        device.launch(&launch).unwrap();
        assert_eq!(words(&device, out, 3), [3 * 2560, 63, 1280f32.to_bits()]);
    }
}

#[test]
fn a_cooperative_grid_can_wait_for_all_its_blocks() {
    let ptx = wrap(
        "setp.ne.u32 %p1, %t, 0; @%p1 bra B; atom.global.add.u32 %r1, [%d0], 1; mov.u32 %r3, %nctaid.x;
        S: ld.volatile.global.u32 %r2, [%d0]; setp.lt.u32 %p2, %r2, %r3; @%p2 bra S;
        B: bar.sync 0; red.global.add.u32 [%d0+4], 1;",
    );
    for cooperative in [true, false] {
        let device = device();
        let function = kernel(&device, &ptx);
        let out = upload(&device, &[0; 2]);
        let launch = Launch {
            grid: [9, 1, 1],
            block: [64, 1, 1],
            params: params(&[out, out]),
            cooperative,
            ..Launch::new(function)
        };
        device.launch(&launch).unwrap();
        assert_eq!(words(&device, out, 2), [9, 9 * 64]);
    }
}

#[test]
fn a_cluster_reads_its_neighbours_shared_memory() {
    let ptx = format!(
        "{HEAD}.visible .entry k(.param .u64 p) .reqnctapercluster 4, 1, 1 {{
        .reg .b32 %r<20>; .reg .b64 %d<9>; .shared .align 4 .b32 s[1];
        mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %clusterid.x; mad.lo.u32 %r3, %r2, 100, %r1;
        mov.u32 %r4, s; mapa.shared::cluster.u32 %r5, %r4, %r1; st.shared::cluster.u32 [%r5], %r3;
        ld.shared.u32 %r6, [%r4]; ld.param.u64 %d1, [p]; mov.u32 %r7, %ctaid.x; mad.wide.u32 %d1, %r7, 4, %d1;
        st.global.u32 [%d1], %r6; ret; }}"
    );
    let device = device();
    let function = kernel(&device, &ptx);
    assert_eq!(function.cluster(), Some([4, 1, 1]));
    let out = upload(&device, &[0; 8]);
    device.launch(&Launch { grid: [8, 1, 1], params: params(&[out]), ..Launch::new(function) }).unwrap();
    assert_eq!(words(&device, out, 8), [0, 1, 2, 3, 100, 101, 102, 103]);
}

#[test]
fn printf_formats_as_c_does() {
    use std::sync::{Arc, Mutex};
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let format: Vec<String> = b"%d %05u|%-4x|%8.3f %g %s%%\n\0".iter().map(u8::to_string).collect();
    let ptx = format!(
        "{HEAD}.extern .func (.param .b32 r) vprintf(.param .b64 a, .param .b64 b);
        .global .align 1 .b8 fmt[{}] = {{{}}}; .global .align 1 .b8 word[3] = {{104, 105, 0}};
        .visible .entry k() {{ .local .align 8 .b8 depot[40]; .reg .b64 %d<9>; .reg .b32 %r<9>;
        mov.u64 %d1, depot; st.local.u32 [%d1], -7; st.local.u32 [%d1+4], 42; st.local.u32 [%d1+8], 255;
        st.local.f64 [%d1+16], 0d400921FB54442D18; st.local.f64 [%d1+24], 0d3F1A36E2EB1C432D;
        mov.u64 %d2, word; cvta.global.u64 %d2, %d2; st.local.u64 [%d1+32], %d2;
        cvta.local.u64 %d3, %d1; mov.u64 %d4, fmt; cvta.global.u64 %d4, %d4;
        {{ .param .b64 a; .param .b64 b; .param .b32 r; st.param.b64 [a], %d4; st.param.b64 [b], %d3;
        call.uni (r), vprintf, (a, b); ld.param.b32 %r1, [r]; }} ret; }}",
        format.len(),
        format.join(", ")
    );
    let device = device();
    let text = Arc::new(Mutex::new(Vec::new()));
    device.set_output(Box::new(Shared(Arc::clone(&text))));
    device.launch(&Launch::new(kernel(&device, &ptx))).unwrap();
    let text = String::from_utf8(text.lock().unwrap().clone()).unwrap();
    assert_eq!(text, "-7 00042|ff  |   3.142 0.0001 hi%\n");
}

#[test]
fn a_freed_buffer_is_named_as_such() {
    let device = device();
    let function = kernel(&device, &wrap("ld.global.u32 %r1, [%in]; st.global.u32 [%out], %r1;"));
    let (out, input) = (upload(&device, &[0; 4]), upload(&device, &[0; 4]));
    device.free(input).unwrap();
    let launch = Launch { block: [4, 1, 1], params: params(&[out, input]), ..Launch::new(function) };
    let Err(LaunchError::IllegalAddress(report)) = device.launch(&launch) else { panic!("no error") };
    assert_eq!(report.kind, "use after free");
}

#[test]
fn a_misaligned_vector_is_reported_with_its_line() {
    let error = try_run("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%in];", 2, &[0; 64], 4).unwrap_err();
    let LaunchError::Misaligned(report) = error else { panic!("{error}") };
    assert_eq!(report.thread, Some([1, 0, 0]));
}

#[test]
fn shared_memory_ends_where_it_ends() {
    let body = ".shared .b32 s[4]; mov.u32 %r1, s; mad.lo.u32 %r1, %t, 4, %r1; st.shared.u32 [%r1], %t;";
    let error = try_run(body, 5, &[0; 8], 8).unwrap_err();
    let LaunchError::IllegalAddress(report) = error else { panic!("{error}") };
    assert_eq!(report.thread, Some([4, 0, 0]));
}

#[test]
fn a_wide_register_outlives_what_diverged_lanes_do_with_narrow_ones() {
    // Lanes below 16 run 32-bit code while the others wait with a 64-bit value, whose life ends earlier in the text.
    let mut narrow = "mov.u32 %r0, %t;\n".to_owned();
    for n in 1..20 {
        narrow += &format!("mad.lo.u32 %r{n}, %r{}, 3, 1; xor.b32 %r{n}, %r{n}, %r0;\n", n - 1);
    }
    let body = format!(
        "setp.lt.u32 %p0, %t, 16; @%p0 bra LOW;
        cvt.u64.u32 %d5, %t; mul.lo.u64 %d6, %d5, 0x100000001; add.u64 %d7, %d6, 0x500000007;
        bar.warp.sync 0xffffffff;
        shr.u64 %d8, %d7, 32; cvt.u32.u64 %r60, %d8; cvt.u32.u64 %r61, %d7; add.u32 %r62, %r60, %r61;
        st.global.u32 [%out], %r62; bra END;
        LOW: {narrow} bar.warp.sync 0xffffffff; st.global.u32 [%out], %r0; END:"
    );
    let expected: Vec<u32> = (0..32).map(|t| if t < 16 { t } else { 2 * t + 12 }).collect();
    assert_eq!(run(&body, 32, &[0; 32], 32), expected);
}

#[test]
fn ptxas_accepts_what_these_tests_run() {
    common::ptxas::accepts_what_tests_run("execution", "ptxas_accepts");
}

#[test]
fn converged_lanes_with_masks_of_their_own_synchronise_among_themselves() {
    // Lanes of one half read what the other lanes of their half wrote.
    let body = ".shared .b32 s[32]; mov.u32 %r1, s; mad.lo.u32 %r2, %t, 4, %r1; st.shared.u32 [%r2], %t;
        setp.lt.u32 %p1, %t, 16; selp.b32 %r3, 0xffff, 0xffff0000, %p1; bar.warp.sync %r3;
        xor.b32 %r4, %t, 15; mad.lo.u32 %r4, %r4, 4, %r1; ld.shared.u32 %r5, [%r4]; st.global.u32 [%out], %r5;";
    let expected: Vec<u32> = (0..32).map(|t| t ^ 15).collect();
    assert_eq!(run(body, 32, &[0; 32], 32), expected);
}

#[test]
fn a_store_to_a_constant_is_reported() {
    let ptx = format!(
        "{HEAD}.const .align 4 .b32 c = 5;\n{}",
        wrap("mov.u64 %d2, c; cvta.const.u64 %d2, %d2; ld.u32 %r1, [%d2]; st.global.u32 [%out], %r1; st.u32 [%d2], %r1;")
            .trim_start_matches(HEAD)
    );
    let device = device();
    let function = kernel(&device, &ptx);
    let out = upload(&device, &[0]);
    let error = device.launch(&Launch { params: params(&[out, out]), ..Launch::new(function) }).unwrap_err();
    assert_eq!(error.report().unwrap().kind, "read-only write");
    assert_eq!(words(&device, out, 1), [5]);
}

/// A launch of one block on a zeroed buffer, without patience, and how it ends.
fn ends(body: &str, threads: u32) -> Result<(), LaunchError> {
    let settings = Settings { stall_seconds: 0.0, poll_limit: 1_000_000, ..Settings::default() };
    let device = Device::new(settings);
    let function = kernel(&device, &wrap(body));
    let (out, input) = (upload(&device, &[0; 64]), upload(&device, &[0; 64]));
    device.launch(&Launch { block: [threads, 1, 1], params: params(&[out, input]), ..Launch::new(function) })
}

#[test]
fn a_loop_that_repeats_itself_is_a_deadlock() {
    for body in [
        "L: bra L;",
        "L: ld.volatile.global.u32 %r1, [%in]; setp.eq.u32 %p1, %r1, 0; @%p1 bra L;",
        "L: atom.global.cas.b32 %r1, [%in], 1, 1; setp.ne.u32 %p1, %r1, 1; @%p1 bra L;",
        // Lanes in two loops.
        "setp.lt.u32 %p1, %t, 5; @%p1 bra M; L: bra L; M: bra M;",
        // One warp waits for the other.
        "setp.lt.u32 %p1, %t, 32; @!%p1 bra OUT; L: bra L; OUT: bar.sync 0;",
    ] {
        let error = ends(body, 64).unwrap_err();
        assert!(matches!(error, LaunchError::Deadlock(_)), "{body}\n{error}");
    }
}

#[test]
fn a_loop_that_counts_its_looks_is_a_deadlock_by_the_poll_limit() {
    let body =
        "mov.u32 %r2, 0; L: ld.volatile.global.u32 %r1, [%in]; add.u32 %r2, %r2, 1; setp.eq.u32 %p1, %r1, 0;
        @%p1 bra L; st.global.u32 [%out], %r2;";
    let error = ends(body, 32).unwrap_err();
    assert!(matches!(error, LaunchError::Deadlock(_)), "{error}");
}

#[test]
fn a_long_loop_that_ends_is_no_deadlock() {
    // 3 million instructions without an effect; one group of lanes after the other.
    let body = "mov.u32 %r2, 0; setp.lt.u32 %p1, %t, 5; @%p1 bra M;
        L: add.u32 %r2, %r2, 1; setp.lt.u32 %p2, %r2, 500000; @%p2 bra L; bra OUT;
        M: add.u32 %r2, %r2, 1; setp.lt.u32 %p2, %r2, 500000; @%p2 bra M; OUT: st.global.u32 [%out], %r2;";
    ends(body, 32).unwrap();
}
