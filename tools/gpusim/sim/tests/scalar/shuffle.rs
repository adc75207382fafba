//! `shfl` in every mode, with segments, amounts and guards.

use super::common::{run, try_run};
use gpusim::LaunchError;

/// The ISA's pseudocode: the lane read from, and the predicate.
fn source(mode: &str, lane: i64, amount: i64, bounds: i64) -> (i64, bool) {
    let (bound, segment) = (bounds & 31, bounds >> 8 & 31);
    let most = lane & segment | bound & !segment & 31;
    let least = lane & segment;
    let amount = amount & 31;
    let (from, inside) = match mode {
        "up" => (lane - amount, lane - amount >= most),
        "down" => (lane + amount, lane + amount <= most),
        "bfly" => (lane ^ amount, lane ^ amount <= most),
        _ => {
            let from = least | amount & !segment;
            (from, from <= most)
        }
    };
    if inside { (from, true) } else { (lane, false) }
}

fn expected(mode: &str, amount: impl Fn(i64) -> i64, bounds: i64) -> Vec<u32> {
    let one = |lane| {
        let (from, inside) = source(mode, lane, amount(lane), bounds);
        (1000 + from) as u32 + if inside { 1 << 16 } else { 0 }
    };
    (0..32).map(one).collect()
}

const MODES: [&str; 4] = ["up", "down", "bfly", "idx"];

/// Bounds of whole warps, halves, quarters, pairs, and a bound below the segment's last lane.
const BOUNDS: [i64; 8] = [0, 31, 0x101F, 0x181F, 0x1C1F, 0x1E1F, 0x1000, 0x000B];

#[test]
fn constant_amounts_and_bounds() {
    for mode in MODES {
        for bounds in BOUNDS {
            let amounts = [0, 1, 2, 7, 16, 31, 33];
            let body: String = amounts
                .iter()
                .enumerate()
                .map(|(n, amount)| {
                    format!(
                        "shfl.sync.{mode}.b32 %r2|%p1, %r1, {amount}, {bounds}, -1; selp.u32 %r3, 65536, 0, %p1;
                        add.u32 %r2, %r2, %r3; st.global.u32 [%out+{}], %r2;\n",
                        128 * n
                    )
                })
                .collect();
            let out = run(&format!("add.u32 %r1, %t, 1000; {body}"), 32, &[0; 32], 32 * amounts.len());
            for (amount, got) in amounts.iter().zip(out.chunks(32)) {
                assert_eq!(got, expected(mode, |_| *amount, bounds), "{mode} by {amount} in {bounds:#x}");
            }
        }
    }
}

#[test]
fn amounts_and_bounds_in_registers() {
    for mode in MODES {
        for bounds in BOUNDS {
            let body = format!(
                "add.u32 %r1, %t, 1000; mul.lo.u32 %r4, %t, 3; mov.u32 %r5, {bounds}; mov.u32 %r6, -1;
                shfl.sync.{mode}.b32 %r2|%p1, %r1, %r4, %r5, %r6; selp.u32 %r3, 65536, 0, %p1;
                add.u32 %r2, %r2, %r3; st.global.u32 [%out], %r2;"
            );
            assert_eq!(
                run(&body, 32, &[0; 32], 32),
                expected(mode, |lane| 3 * lane, bounds),
                "{mode} {bounds:#x}"
            );
        }
    }
}

#[test]
fn a_shuffle_may_overwrite_its_source_and_discard_its_predicate() {
    let body = "add.u32 %r1, %t, 5; shfl.sync.bfly.b32 %r1, %r1, 1, 31, -1; st.global.u32 [%out], %r1;";
    assert_eq!(run(body, 32, &[0; 32], 32), (0..32).map(|t| (t ^ 1) + 5).collect::<Vec<u32>>());
}

#[test]
fn half_a_warp_shuffles_by_itself() {
    let body = "setp.ge.u32 %p1, %t, 16; mov.u32 %r2, 0; @%p1 shfl.sync.idx.b32 %r2, %t, 20, 31, 0xFFFF0000;
        st.global.u32 [%out], %r2;";
    let expected: Vec<u32> = (0..32).map(|t| if t < 16 { 0 } else { 20 }).collect();
    assert_eq!(run(body, 32, &[0; 32], 32), expected);
}

#[test]
fn what_comes_from_a_lane_outside_the_mask_is_no_lane_s_value() {
    for shuffle in ["idx.b32 %r2, %t, 3", "idx.b32 %r2, %t, %r1", "bfly.b32 %r2, %t, 16"] {
        let body = format!(
            "mov.u32 %r1, 3; mov.u32 %r2, 0; setp.ge.u32 %p1, %t, 16; @%p1 shfl.sync.{shuffle}, 31, 0xFFFF0000;
            st.global.u32 [%out], %r2;"
        );
        let got = run(&body, 32, &[0; 32], 32);
        assert!(got[16..].iter().all(|value| *value >= 32), "{shuffle}: {got:?}");
    }
}

#[test]
fn sums_of_a_few_lanes_that_drop_what_comes_from_others_are_right() {
    // Eight lanes, and a butterfly over the whole warp.
    let step = |offset: u32| {
        format!(
            "shfl.sync.bfly.b32 %r3, %r2, {offset}, 31, 0xFF; xor.b32 %r4, %t, {offset}; setp.lt.u32 %p2, %r4, 8;
            @%p2 add.u32 %r2, %r2, %r3;\n"
        )
    };
    let steps: String = [16, 8, 4, 2, 1].map(step).concat();
    let body = format!(
        "mov.u32 %r2, %t; setp.lt.u32 %p1, %t, 8; @!%p1 bra OUT; {steps} OUT: st.global.u32 [%out], %r2;"
    );
    assert_eq!(
        run(&body, 32, &[0; 32], 32),
        (0..32).map(|t| if t < 8 { 28 } else { t }).collect::<Vec<u32>>()
    );
}

#[test]
fn reading_from_a_lane_that_the_mask_names_and_that_has_ended_is_reported() {
    for shuffle in ["idx.b32 %r2, %t, 25", "idx.b32 %r2, %t, %r1", "bfly.b32 %r2, %t, 16"] {
        let body =
            format!("mov.u32 %r1, 25; setp.ge.u32 %p1, %t, 20; @%p1 exit; shfl.sync.{shuffle}, 31, -1;");
        let error = try_run(&body, 32, &[0; 32], 32).unwrap_err();
        let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
        assert_eq!(report.kind, "shuffle from an inactive lane");
    }
}

#[test]
fn a_mask_without_the_lane_itself_is_reported() {
    for mask in ["0xFF", "%r1"] {
        let body = format!("mov.u32 %r1, 0xFF; shfl.sync.down.b32 %r2, %t, 1, 31, {mask};");
        let error = try_run(&body, 32, &[0; 32], 32).unwrap_err();
        let LaunchError::CheckFailed(report) = error else { panic!("{error}") };
        assert_eq!(report.kind, "wrong member mask");
    }
}

#[test]
fn a_sum_over_part_of_a_warp_by_shuffles_down_is_right_where_it_is_used() {
    let body = "mov.u32 %r2, %t; setp.lt.u32 %p1, %t, 16; @!%p1 bra OUT;
        shfl.sync.down.b32 %r3, %r2, 8, 31, 0xFFFF; add.u32 %r2, %r2, %r3;
        shfl.sync.down.b32 %r3, %r2, 4, 31, 0xFFFF; add.u32 %r2, %r2, %r3;
        shfl.sync.down.b32 %r3, %r2, 2, 31, 0xFFFF; add.u32 %r2, %r2, %r3;
        shfl.sync.down.b32 %r3, %r2, 1, 31, 0xFFFF; add.u32 %r2, %r2, %r3;
        OUT: st.global.u32 [%out], %r2;";
    assert_eq!(run(body, 32, &[0; 32], 32)[0], 120);
}

#[test]
fn what_a_shuffle_down_brings_from_beyond_its_mask_is_no_lane_s_value() {
    let body = "mov.u32 %r2, 7; setp.lt.u32 %p1, %t, 16; @%p1 shfl.sync.down.b32 %r2, %t, 8, 31, 0xFFFF;
        st.global.u32 [%out], %r2;";
    let got = run(body, 32, &[0; 32], 32);
    assert!(got[8..16].iter().all(|value| *value >= 32), "{got:?}");
}

#[test]
fn tiles_of_a_warp_shuffle_with_masks_of_their_own() {
    let body = "shr.u32 %r1, %t, 3; shl.b32 %r1, %r1, 3; mov.u32 %r2, 0xFF; shl.b32 %r2, %r2, %r1;
        shfl.sync.bfly.b32 %r3, %t, 7, 31, %r2; redux.sync.add.u32 %r4, %t, %r2; setp.lt.u32 %p1, %t, 99; vote.sync.ballot.b32 %r5, %p1, %r2;
        shl.b32 %r4, %r4, 8; add.u32 %r3, %r3, %r4; popc.b32 %r5, %r5; shl.b32 %r5, %r5, 24; add.u32 %r3, %r3, %r5;
        st.global.u32 [%out], %r3;";
    let tile = |t: u32| (t / 8 * 8..t / 8 * 8 + 8).sum::<u32>();
    let expected: Vec<u32> = (0..32).map(|t| (t ^ 7) + (tile(t) << 8) + (8 << 24)).collect();
    assert_eq!(run(body, 32, &[0; 32], 32), expected);
}
