//! `cp.async.bulk`.

use super::run::{Arg, Case, iota, out, wait};

/// `%r5 = &s[t]`, `%d6 = &p1[t]`, in words.
const WORDS: &str = "mad.wide.u32 %d6, %t, 4, %P1; mad.lo.u32 %r5, %t, 4, %s;\n";

fn load(bytes: u32, expect: u32, wait: &str) -> Case {
    let body = format!(
        "{WORDS} @%one mbarrier.init.shared::cta.b64 [%b], 1; fence.mbarrier_init.release.cluster; bar.sync 0; mov.u32 %r8, {bytes};
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], {expect};
        @%one cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%P0], %r8, [%b];
        {wait} ld.shared.u32 %r7, [%r5]; st.global.u32 [%d6], %r7;"
    );
    Case::new(body, vec![iota(128), out(128)]).block(128)
}

#[test]
fn a_load_completes_its_bytes_on_an_mbarrier() {
    load(512, 512, &wait("%b", "0")).gives(1, &(0..128).collect::<Vec<_>>());
}

#[test]
fn loads_that_nobody_waits_for_rightly_are_reported() {
    load(512, 512, "").fails(&["race", "uninitialised read"]);
    load(512, 512, &wait("%b", "1")).fails(&["race", "uninitialised read", "deadlock"]);
    load(512, 496, &wait("%b", "0")).fails(&["mbarrier misuse", "race", "uninitialised read"]);
    let stuck = load(512, 528, &wait("%b", "0")).fails(&["deadlock"]);
    assert!(stuck.contains("0 of 1 arrivals") && stuck.contains("16 bytes"), "{stuck}");
    load(500, 500, &wait("%b", "0")).fails(&["misaligned address"]);
    load(528, 528, &wait("%b", "0")).fails(&["out of bounds"]);
}

#[test]
fn a_source_overwritten_before_the_copy_completes_is_a_race() {
    let body = format!(
        "{WORDS} @%one mbarrier.init.shared::cta.b64 [%b], 1; bar.sync 0;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 128;
        @%one cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%P0], 128, [%b];
        @%one st.global.u32 [%P0], 9; {} ld.shared.u32 %r7, [%r5]; st.global.u32 [%d6], %r7;",
        wait("%b", "0")
    );
    Case::new(body, vec![iota(32), out(32)]).fails(&["race"]);
}

fn store(fence: &str, barrier: &str, wait: &str, after: &str) -> Case {
    let body = format!(
        "{WORDS} add.u32 %r6, %t, 5; st.shared.u32 [%r5], %r6; {fence} {barrier}
        @%one cp.async.bulk.global.shared::cta.bulk_group [%P1], [%s], 256; @%one cp.async.bulk.commit_group;
        {wait} {after}"
    );
    Case::new(body, vec![iota(1), out(64)]).block(64)
}

const FENCE: &str = "fence.proxy.async.shared::cta;";
const READ: &str = "@%one cp.async.bulk.wait_group.read 0;";

#[test]
fn a_store_writes_what_was_fenced() {
    let expected: Vec<u32> = (5..69).collect();
    store(FENCE, "bar.sync 0;", READ, "bar.sync 0; st.shared.u32 [%r5], 1;").gives(1, &expected);
    store("fence.proxy.async;", "bar.sync 0;", "@%one cp.async.bulk.wait_group 0;", "").gives(1, &expected);
    // Who issues may fence for all, after the barrier.
    store("", "bar.sync 0; fence.proxy.async;", READ, "").gives(1, &expected);
}

#[test]
fn wrong_stores_are_reported() {
    let report = store("", "bar.sync 0;", READ, "").fails(&["race"]);
    assert!(report.contains("fence.proxy.async"), "{report}");
    store(FENCE, "", READ, "").fails(&["race", "uninitialised read"]);
    store(FENCE, "bar.sync 0;", "", "@%one st.shared.u32 [%s], 1; @%one cp.async.bulk.wait_group 0;")
        .fails(&["race"]);
    store(FENCE, "bar.sync 0;", READ, "@%one ld.global.u32 %r7, [%P1];").fails(&["race"]);
    store(FENCE, "bar.sync 0;", "", "").fails(&["leaked async group"]);
}

#[test]
fn groups_complete_in_order_of_their_commits() {
    // Two stores from two buffers; with one group pending the first buffer may be written again.
    let body =
        "@!%one bra END; st.shared.v4.u32 [%s], {1, 2, 3, 4}; st.shared.v4.u32 [%s + 16], {5, 6, 7, 8};
        fence.proxy.async.shared::cta; cp.async.bulk.global.shared::cta.bulk_group [%P0], [%s], 16;
        cp.async.bulk.commit_group; cp.async.bulk.global.shared::cta.bulk_group [%P0 + 16], [%s + 16], 16;
        cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 1; st.shared.u32 [%s], 9;
        cp.async.bulk.wait_group.read 0; st.shared.u32 [%s + 16], 9; END:";
    Case::new(body, vec![out(8)]).gives(0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let early = body.replace(
        "wait_group.read 1; st.shared.u32 [%s], 9;",
        "wait_group.read 1; st.shared.u32 [%s + 16], 9;",
    );
    Case::new(early, vec![out(8)]).fails(&["race"]);
}

/// `op` of the words `old` in global memory and `new` from shared memory.
fn reduce(op: &str, old: [u32; 4], new: [u32; 4]) -> Case {
    let [a, b, c, d] = new;
    let body = format!(
        "@!%one bra END; st.shared.v4.u32 [%s], {{{a}, {b}, {c}, {d}}}; fence.proxy.async.shared::cta;
        cp.reduce.async.bulk.global.shared::cta.bulk_group.{op} [%P0], [%s], 16; cp.async.bulk.commit_group;
        cp.async.bulk.wait_group 0; END:"
    );
    Case::new(body, vec![Arg::Words(old.to_vec())])
}

#[test]
fn every_reduction_combines_elements() {
    const MINUS: u32 = u32::MAX;
    let f = |x: f32| x.to_bits();
    let cases: &[(&str, [u32; 4], [u32; 4], [u32; 4])] = &[
        ("add.u32", [1, 2, MINUS, 0], [5, 6, 2, 9], [6, 8, 1, 9]),
        ("add.s32", [1, 2, MINUS, 0], [5, 6, 2, 9], [6, 8, 1, 9]),
        ("add.u64", [MINUS, 1, 7, 0], [2, 3, 8, 0], [1, 5, 15, 0]),
        ("min.u32", [1, MINUS, 3, 4], [2, 5, 3, 0], [1, 5, 3, 0]),
        ("min.s32", [1, MINUS, 3, 4], [2, 5, 3, 0], [1, MINUS, 3, 0]),
        ("max.u32", [1, MINUS, 3, 4], [2, 5, 3, 0], [2, MINUS, 3, 4]),
        ("max.s32", [1, MINUS, 3, 4], [2, 5, 3, 0], [2, 5, 3, 4]),
        ("max.s64", [5, MINUS, 0, 1], [1, 0, 9, 0], [1, 0, 0, 1]),
        ("min.u64", [5, MINUS, 0, 1], [1, 0, 9, 0], [1, 0, 9, 0]),
        ("inc.u32", [1, 7, 8, 0], [7, 7, 7, 0], [2, 0, 0, 0]),
        ("dec.u32", [1, 0, 8, 7], [7, 7, 7, 7], [0, 7, 7, 6]),
        ("and.b32", [12, 10, 0, MINUS], [10, 6, 1, 5], [8, 2, 0, 5]),
        ("or.b32", [12, 10, 0, 4], [10, 6, 1, 1], [14, 14, 1, 5]),
        ("xor.b64", [12, 10, 0, 4], [10, 6, 1, 1], [6, 12, 1, 5]),
        ("and.b64", [12, 10, 0, MINUS], [10, 6, 1, 5], [8, 2, 0, 5]),
        ("or.b64", [12, 10, 0, 4], [10, 6, 1, 1], [14, 14, 1, 5]),
        ("xor.b32", [12, 10, 0, 4], [10, 6, 1, 1], [6, 12, 1, 5]),
        ("max.u64", [5, MINUS, 0, 1], [1, 0, 9, 0], [5, MINUS, 0, 1]),
        ("min.s64", [5, MINUS, 0, 1], [1, 0, 9, 0], [5, MINUS, 9, 0]),
        ("max.f16", [0x3C00_BC00, 0, 0, 0], [0x4000_4000, 0, 0, 0], [0x4000_4000, 0, 0, 0]),
        ("min.bf16", [0x3F80_BF80, 0, 0, 0], [0x4000_4000, 0, 0, 0], [0x3F80_BF80, 0, 0, 0]),
        (
            "add.f32",
            [f(1.5), f(f32::INFINITY), f(-0.0), f(1e-39)],
            [f(2.0), f(1.0), f(-0.0), f(1.0)],
            [f(3.5), f(f32::INFINITY), f(-0.0), f(1.0)],
        ),
        // 1.5 and 2.5 as f64, and 1.0 + 2.0.
        (
            "add.f64",
            [0, 0x3FF8_0000, 0, 0x3FF0_0000],
            [0, 0x4004_0000, 0, 0x4000_0000],
            [0, 0x4010_0000, 0, 0x4008_0000],
        ),
        // f16: 1 + 2 = 3, 2048 + 1 ties to even, max + max = inf; smallest subnormal kept.
        (
            "add.noftz.f16",
            [0x3C00_6800, 0x7BFF_0001, 0, 0],
            [0x4000_3C00, 0x7BFF_0001, 0, 0],
            [0x4200_6800, 0x7C00_0002, 0, 0],
        ),
        ("add.noftz.bf16", [0x3F80_4380, 0, 0, 0], [0x4000_3F80, 1, 0, 0], [0x4040_4380, 1, 0, 0]),
        ("min.f16", [0x3C00_BC00, 0, 0, 0], [0x4000_4000, 0, 0, 0], [0x3C00_BC00, 0, 0, 0]),
        ("max.bf16", [0x3F80_BF80, 0, 0, 0], [0x4000_4000, 0, 0, 0], [0x4000_4000, 0, 0, 0]),
    ];
    for (op, old, new, expected) in cases {
        let buffers =
            reduce(op, *old, *new).run(3, gpusim::Schedule::Lowest).unwrap_or_else(|e| panic!("{op}: {e}"));
        assert_eq!(buffers[0], expected, "{op}");
    }
    reduce("add.u32", [1, 2, 3, 4], [5, 6, 7, 8]).gives(0, &[6, 8, 10, 12]);
}

#[test]
fn prefetches_and_hints_change_nothing() {
    let body = format!(
        "{WORDS} createpolicy.fractional.L2::evict_last.L2::evict_first.b64 %d9, 0.5;
        @%one cp.async.bulk.prefetch.L2.global [%P0], 128; @%one mbarrier.init.shared::cta.b64 [%b], 1; bar.sync 0;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 128;
        @%one cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes.L2::cache_hint [%s], [%P0], 128, [%b], %d9;
        griddepcontrol.wait; griddepcontrol.launch_dependents; {} ld.shared.u32 %r7, [%r5]; st.global.u32 [%d6], %r7;",
        wait("%b", "0")
    );
    Case::new(body, vec![iota(32), out(32)]).gives(1, &(0..32).collect::<Vec<_>>());
}

#[test]
fn loads_to_the_own_block_and_stores_with_a_policy_move_the_same_bytes() {
    let case = load(512, 512, &wait("%b", "0"));
    let body = case.body.replace("bulk.shared::cluster.global", "bulk.shared::cta.global");
    Case { body, ..case }.gives(1, &(0..128).collect::<Vec<_>>());
    let expected: Vec<u32> = (5..69).collect();
    for policy in ["evict_last", "evict_normal", "evict_first", "evict_unchanged"] {
        let case = store(FENCE, "bar.sync 0;", READ, "");
        let with = format!(
            "createpolicy.fractional.L2::{policy}.b64 %d9, 1.0;
            @%one cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint [%P1], [%s], 256, %d9;"
        );
        let body =
            case.body.replace("@%one cp.async.bulk.global.shared::cta.bulk_group [%P1], [%s], 256;", &with);
        assert!(body.contains("cache_hint"));
        Case { body, ..case }.gives(1, &expected);
    }
}

#[test]
fn a_ring_of_bulk_loads_feeds_a_consumer() {
    // Warp 0 loads tile after tile of 64 words into two stages, warp 1 sums them; full b[0..2], empty b[2..4].
    let body = format!(
        "@%one mbarrier.init.shared::cta.b64 [%b], 1; @%one mbarrier.init.shared::cta.b64 [%b + 8], 1;
        @%one mbarrier.init.shared::cta.b64 [%b + 16], 32; @%one mbarrier.init.shared::cta.b64 [%b + 24], 32;
        bar.sync 0; mov.u32 %r3, 0; mov.u32 %r9, 0; setp.ge.u32 %p1, %t, 32; @%p1 bra CONSUME; @!%one bra END;
        PRODUCE: and.b32 %r4, %r3, 1; mad.lo.u32 %r5, %r4, 8, %b; add.u32 %r11, %r5, 16; shr.u32 %r6, %r3, 1;
        not.b32 %r6, %r6; and.b32 %r6, %r6, 1; {}
        mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r5], 256; mad.lo.u32 %r7, %r4, 256, %s;
        mad.wide.u32 %d1, %r3, 256, %P0;
        cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r7], [%d1], 256, [%r5];
        add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, 7; @%p2 bra PRODUCE; bra.uni END;
        CONSUME: and.b32 %r4, %r3, 1; mad.lo.u32 %r5, %r4, 8, %b; shr.u32 %r6, %r3, 1; and.b32 %r6, %r6, 1; {}
        mad.lo.u32 %r7, %r4, 256, %s; sub.u32 %r8, %t, 32; mad.lo.u32 %r7, %r8, 8, %r7;
        ld.shared.v2.u32 {{%r12, %r13}}, [%r7]; add.u32 %r9, %r9, %r12; add.u32 %r9, %r9, %r13;
        mbarrier.arrive.shared::cta.b64 _, [%r5 + 16]; add.u32 %r3, %r3, 1; setp.lt.u32 %p2, %r3, 7; @%p2 bra CONSUME;
        mad.wide.u32 %d6, %r8, 4, %P1; st.global.u32 [%d6], %r9; END:",
        wait("%r11", "%r6"),
        wait("%r5", "%r6"),
    );
    let expected: Vec<u32> = (0..32).map(|t| (0..7).map(|k| 2 * (64 * k + 2 * t) + 1).sum()).collect();
    Case::new(body, vec![iota(7 * 64), out(32)]).block(64).gives(1, &expected);
}
