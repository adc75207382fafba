//! `mbarrier.*`.

use super::run::{Case, iota, out, wait};

const STORE: &str = "mad.wide.u32 %d6, %t, 4, %P0; st.global.u32 [%d6], %r9;";

#[test]
fn a_phase_completes_with_its_last_arrival() {
    // 96 threads arrive; after the wait each sees what its neighbour in another warp wrote.
    let body = format!(
        "@%one mbarrier.init.shared::cta.b64 [%b], 96; bar.sync 0; mad.lo.u32 %r5, %t, 4, %s; st.shared.u32 [%r5], %t;
        mbarrier.arrive.release.cta.shared::cta.b64 %d1, [%b];
        W: mbarrier.test_wait.acquire.cta.shared::cta.b64 %p1, [%b], %d1; @!%p1 bra W;
        add.u32 %r6, %t, 40; rem.u32 %r6, %r6, 96; mad.lo.u32 %r6, %r6, 4, %s; ld.shared.u32 %r9, [%r6]; {STORE}"
    );
    let expected: Vec<u32> = (0..96).map(|t| (t + 40) % 96).collect();
    Case::new(body, vec![out(96)]).block(96).gives(0, &expected);
}

#[test]
fn relaxed_arrivals_and_tests_order_with_fences_on_both_sides() {
    let case = |before: &str, after: &str| {
        let body = format!(
            "@%one mbarrier.init.shared::cta.b64 [%b], 96; bar.sync 0; mad.lo.u32 %r5, %t, 4, %s; st.shared.u32 [%r5], %t;
            {before} mbarrier.arrive.relaxed.cta.shared::cta.b64 %d1, [%b];
            W: mbarrier.test_wait.relaxed.cta.shared::cta.b64 %p1, [%b], %d1; @!%p1 bra W; {after}
            add.u32 %r6, %t, 40; rem.u32 %r6, %r6, 96; mad.lo.u32 %r6, %r6, 4, %s; ld.shared.u32 %r9, [%r6]; {STORE}"
        );
        Case::new(body, vec![out(96)]).block(96)
    };
    let expected: Vec<u32> = (0..96).map(|t| (t + 40) % 96).collect();
    for fence in ["fence.acq_rel.cta;", "fence.sc.gpu;", "membar.cta;"] {
        case(fence, fence).gives(0, &expected);
        case(fence, "").fails(&["race"]);
        case("", fence).fails(&["race"]);
    }
}

#[test]
fn counts_drops_and_pending_counts_follow_the_object() {
    // One thread plays all parts. State before an arrival tells the pending count: 5, then 5 - 2 = 3, then (drop) 2.
    let body = format!(
        "@!%one bra END; mbarrier.init.shared.b64 [%b], 5; mbarrier.arrive.shared.b64 %d1, [%b], 2;
        mbarrier.arrive_drop.shared::cta.b64 %d2, [%b]; mbarrier.pending_count.b64 %r1, %d1;
        mbarrier.pending_count.b64 %r2, %d2; mad.lo.u32 %r9, %r1, 10, %r2;
        mbarrier.arrive.noComplete.release.cta.shared.b64 %d3, [%b], 1; mbarrier.pending_count.b64 %r3, %d3;
        mad.lo.u32 %r9, %r9, 10, %r3;
        mbarrier.test_wait.parity.shared.b64 %p1, [%b], 0; selp.u32 %r4, 1, 0, %p1; mad.lo.u32 %r9, %r9, 10, %r4;
        mbarrier.arrive.shared.b64 _, [%b]; mbarrier.test_wait.parity.shared.b64 %p1, [%b], 0; selp.u32 %r4, 1, 0, %p1;
        mad.lo.u32 %r9, %r9, 10, %r4; mbarrier.arrive.shared.b64 %d4, [%b]; mbarrier.pending_count.b64 %r3, %d4;
        mad.lo.u32 %r9, %r9, 10, %r3; mbarrier.inval.shared.b64 [%b]; {STORE} END:"
    );
    // 5, 3, 2, not complete, complete, and 4 expected in the next phase (one was dropped).
    Case::new(body, vec![out(1)]).gives(0, &[532_014]);
}

#[test]
fn transactions_hold_a_phase_back() {
    let body = format!(
        "@!%one bra END; mbarrier.init.shared.b64 [%b], 1;
        mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%b], 48; mbarrier.arrive.shared.b64 %d1, [%b];
        mbarrier.test_wait.shared.b64 %p1, [%b], %d1; selp.u32 %r9, 1, 0, %p1;
        mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 [%b], 32; mbarrier.test_wait.shared.b64 %p1, [%b], %d1;
        selp.u32 %r4, 1, 0, %p1; mad.lo.u32 %r9, %r9, 10, %r4;
        mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%b], 16;
        mbarrier.test_wait.shared.b64 %p1, [%b], %d1; selp.u32 %r4, 1, 0, %p1; mad.lo.u32 %r9, %r9, 10, %r4;
        mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 %d2, [%b], 16;
        mbarrier.test_wait.parity.acquire.cluster.shared.b64 %p1, [%b], 1; selp.u32 %r4, 1, 0, %p1;
        mad.lo.u32 %r9, %r9, 10, %r4; mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%b], 16;
        mbarrier.try_wait.parity.relaxed.cta.shared.b64 %p1, [%b], 1, 100; selp.u32 %r4, 1, 0, %p1;
        mad.lo.u32 %r9, %r9, 10, %r4; {STORE} END:"
    );
    Case::new(body, vec![out(1)]).gives(0, &[101]);
}

#[test]
fn generic_addresses_name_the_same_object() {
    let body = format!(
        "cvt.u64.u32 %d1, %b; cvta.shared.u64 %d1, %d1; @%one mbarrier.init.b64 [%d1], 32; bar.warp.sync -1;
        mbarrier.arrive.b64 %d2, [%d1]; {} mov.u32 %r9, %t; {STORE}",
        wait("%b", "0")
    );
    Case::new(body, vec![out(32)]).gives(0, &(0..32).collect::<Vec<_>>());
}

/// A ring of two stages: warp 0 writes words, warps 1 and 2 add them up. `full` at b[0], b[1]; `empty` at b[2], b[3].
fn ring(producer_parity: u32, consumer_parity: u32, empty_count: u32) -> Case {
    let body = format!(
        "@%one mbarrier.init.shared::cta.b64 [%b], 32; @%one mbarrier.init.shared::cta.b64 [%b + 8], 32;
        @%one mbarrier.init.shared::cta.b64 [%b + 16], {empty_count};
        @%one mbarrier.init.shared::cta.b64 [%b + 24], {empty_count}; bar.sync 0;
        shr.u32 %r1, %t, 5; and.b32 %r2, %t, 31; mov.u32 %r3, 0; mov.u32 %r9, 0; setp.ne.u32 %p1, %r1, 0;
        mad.lo.u32 %r10, %r2, 4, %s;
        @%p1 bra CONSUME;
        PRODUCE: and.b32 %r4, %r3, 1; mad.lo.u32 %r5, %r4, 8, %b; add.u32 %r11, %r5, 16;
        shr.u32 %r6, %r3, 1; and.b32 %r6, %r6, 1; xor.b32 %r6, %r6, {producer_parity};
        {} mad.lo.u32 %r7, %r3, 32, %r2; mad.lo.u32 %r8, %r4, 128, %r10; st.shared.u32 [%r8], %r7;
        mbarrier.arrive.shared::cta.b64 _, [%r5]; add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, 10; @%p2 bra PRODUCE;
        bra.uni END;
        CONSUME: and.b32 %r4, %r3, 1; mad.lo.u32 %r5, %r4, 8, %b; shr.u32 %r6, %r3, 1; and.b32 %r6, %r6, 1;
        xor.b32 %r6, %r6, {consumer_parity};
        {} xor.b32 %r7, %r2, 31; mad.lo.u32 %r7, %r7, 4, %s; mad.lo.u32 %r7, %r4, 128, %r7; ld.shared.u32 %r8, [%r7];
        add.u32 %r9, %r9, %r8; mbarrier.arrive.shared::cta.b64 _, [%r5 + 16]; add.u32 %r3, %r3, 1;
        setp.lt.u32 %p2, %r3, 10; @%p2 bra CONSUME; {STORE} END:",
        wait("%r11", "%r6"),
        wait("%r5", "%r6"),
    );
    Case::new(body, vec![out(96)]).block(96)
}

#[test]
fn a_ring_hands_over_every_stage() {
    let mut expected = vec![0xDEAD_BEEF; 96];
    for t in 32..96 {
        expected[t] = (0..10).map(|k| k * 32 + ((t as u32 % 32) ^ 31)).sum();
    }
    ring(1, 0, 64).gives(0, &expected);
}

#[test]
fn wrong_parities_are_a_race_or_a_deadlock() {
    ring(1, 1, 64).fails(&["race", "uninitialised read", "deadlock", "mbarrier misuse"]);
    let stuck = ring(0, 0, 64).fails(&["deadlock"]);
    assert!(stuck.contains("mbarrier at shared address"), "{stuck}");
    ring(1, 0, 65).fails(&["deadlock"]);
}

#[test]
fn misuse_of_objects_is_reported() {
    let one = |text: &str| Case::new(format!("@!%one bra END; {text} END:"), vec![out(1)]);
    let init = "mbarrier.init.shared.b64 [%b], 1;";
    one("mbarrier.arrive.shared.b64 _, [%b];").fails(&["mbarrier misuse"]);
    one(&format!("{init} mbarrier.inval.shared.b64 [%b]; mbarrier.arrive.shared.b64 _, [%b];"))
        .fails(&["mbarrier misuse"]);
    one(&format!("{init} mbarrier.arrive.shared.b64 _, [%b], 2;")).fails(&["mbarrier misuse"]);
    one("mov.u32 %r1, 0; mbarrier.init.shared.b64 [%b], %r1;").fails(&["mbarrier misuse"]);
    one("mov.u32 %r1, 0x100000; mbarrier.init.shared.b64 [%b], %r1;").fails(&["mbarrier misuse"]);
    one(&format!(
        "{init} mov.u32 %r1, 0xFFFFF; mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%b], %r1;
        mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%b], %r1;"
    ))
    .fails(&["mbarrier misuse"]);
    one(&format!("{init} st.shared.u32 [%b], 0; mbarrier.arrive.shared.b64 _, [%b];"))
        .fails(&["mbarrier misuse"]);
    one("mbarrier.init.shared.b64 [%b + 4], 1;").fails(&["misaligned address"]);
    one(&format!("{init} mbarrier.arrive.noComplete.release.cta.shared.b64 %d1, [%b], 1;"))
        .fails(&["mbarrier misuse"]);
    one(&format!(
        "{init} mbarrier.arrive.shared.b64 %d1, [%b]; mbarrier.arrive.shared.b64 _, [%b];
        mbarrier.arrive.shared.b64 _, [%b]; mbarrier.test_wait.shared.b64 %p1, [%b], %d1;"
    ))
    .fails(&["mbarrier misuse"]);
    // Nobody orders the initialisation before the arrival of another warp.
    let unordered = "@%one mbarrier.init.shared.b64 [%b], 64; @!%one mbarrier.arrive.shared.b64 _, [%b];";
    Case::new(unordered, vec![iota(1)]).block(64).fails(&["mbarrier misuse", "race", "uninitialised read"]);
}
