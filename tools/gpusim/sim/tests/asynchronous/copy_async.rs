//! `cp.async`.

use super::run::{Arg, Case, iota, out, wait};

/// Address arithmetic: `%d5 = &p0[t]`, `%d6 = &p1[t]`, `%r5 = &s[t]`, all in words.
const WORDS: &str =
    "mad.wide.u32 %d5, %t, 4, %P0; mad.wide.u32 %d6, %t, 4, %P1; mad.lo.u32 %r5, %t, 4, %s;\n";

#[test]
fn each_size_copies_its_bytes() {
    let forms = [
        ("ca.shared.global", 4),
        ("ca.shared.global", 8),
        ("ca.shared::cta.global", 16),
        ("cg.shared.global", 16),
        ("cg.shared::cta.global", 16),
        ("ca.shared.global.L2::64B", 8),
        ("ca.shared.global.L2::128B", 16),
        ("cg.shared.global.L2::128B", 16),
        ("cg.shared.global.L2::256B", 16),
        ("ca.shared.global.L2::256B", 4),
        ("cg.shared.global.L2::64B", 16),
        ("ca.shared::cta.global.L2::64B", 4),
        ("ca.shared::cta.global.L2::128B", 8),
        ("ca.shared::cta.global.L2::256B", 16),
        ("cg.shared::cta.global.L2::64B", 16),
        ("cg.shared::cta.global.L2::128B", 16),
        ("cg.shared::cta.global.L2::256B", 16),
    ];
    for (form, bytes) in forms {
        let body = format!(
            "mad.wide.u32 %d5, %t, {bytes}, %P0; mad.lo.u32 %r5, %t, {bytes}, %s;
            cp.async.{form} [%r5], [%d5], {bytes}; cp.async.wait_all; bar.sync 0;
            mad.wide.u32 %d6, %t, 4, %P1; mad.lo.u32 %r6, %t, -4, %s;
            ld.shared.u32 %r7, [%r6 + 124]; st.global.u32 [%d6], %r7;"
        );
        let expected: Vec<u32> = (0..32).map(|t| 31 - t + 7).collect();
        let input = Arg::Words((0..32 * bytes / 4).map(|i| i + 7).collect());
        Case::new(body, vec![input, out(32)]).gives(1, &expected);
    }
}

#[test]
fn what_is_not_read_is_zero() {
    // src-size of the lane: 0, 4, 8, 12, 16. The source of a copy that reads nothing may be anywhere.
    let body = "rem.u32 %r1, %t, 5; mul.lo.u32 %r1, %r1, 4; mad.wide.u32 %d5, %t, 16, %P0; setp.eq.u32 %p1, %r1, 0;
        selp.b64 %d5, 16, %d5, %p1; mad.lo.u32 %r5, %t, 16, %s; createpolicy.fractional.L2::evict_first.b64 %d9, 1.0;
        cp.async.cg.shared.global.L2::cache_hint [%r5], [%d5], 16, %r1, %d9;
        cp.async.commit_group; cp.async.wait_group 0;
        ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r5]; mad.wide.u32 %d6, %t, 16, %P1;
        st.global.v4.u32 [%d6], {%r6, %r7, %r8, %r9};";
    let expected: Vec<u32> = (0..128).map(|i| if i % 4 < (i / 4) % 5 { i + 100 } else { 0 }).collect();
    for body in [body.to_owned(), body.replace("async.cg", "async.ca")] {
        Case::new(body, vec![Arg::Words((100..228).collect()), out(128)]).gives(1, &expected);
    }
}

#[test]
fn ignored_sources_give_zero() {
    let body = format!(
        "{WORDS} and.b32 %r1, %t, 1; setp.eq.u32 %p1, %r1, 1; cp.async.ca.shared::cta.global [%r5], [%d5], 4, %p1;
        cp.async.wait_all; ld.shared.u32 %r6, [%r5]; st.global.u32 [%d6], %r6;"
    );
    let expected: Vec<u32> = (0..32).map(|t| if t % 2 == 1 { 0 } else { t }).collect();
    Case::new(body, vec![iota(32), out(32)]).gives(1, &expected);
}

#[test]
fn a_double_buffered_pipeline_adds_tile_after_tile() {
    // Tile k is words 32k..32k+32; two buffers; reads go to the neighbour's word, so a barrier is needed.
    let body = format!(
        "{WORDS} mov.u32 %r1, 0; mov.u32 %r9, 0;
        cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.commit_group;
        LOOP: add.u32 %r2, %r1, 1; setp.lt.u32 %p1, %r2, 9; and.b32 %r3, %r2, 1; mad.lo.u32 %r4, %r3, 256, %r5;
        mad.wide.u32 %d7, %r2, 256, %d5;
        @%p1 cp.async.ca.shared.global [%r4], [%d7], 4; cp.async.commit_group; cp.async.wait_group 1; bar.sync 0;
        and.b32 %r3, %r1, 1; xor.b32 %r6, %t, 63; mad.lo.u32 %r6, %r6, 4, %s; mad.lo.u32 %r6, %r3, 256, %r6;
        ld.shared.u32 %r7, [%r6]; mad.lo.u32 %r9, %r9, 3, %r7; bar.sync 0;
        mov.u32 %r1, %r2; setp.lt.u32 %p2, %r1, 9; @%p2 bra LOOP; cp.async.wait_all;
        st.global.u32 [%d6], %r9;"
    );
    let expected: Vec<u32> = (0..64u32)
        .map(|t| (0..9).fold(0u32, |sum, k| sum.wrapping_mul(3).wrapping_add(k * 64 + (t ^ 63))))
        .collect();
    Case::new(body, vec![iota(9 * 64), out(64)]).block(64).gives(1, &expected);
}

#[test]
fn groups_are_counted_per_thread() {
    // Odd lanes commit two groups, even lanes one; each waits for its own.
    let body = format!(
        "{WORDS} cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.commit_group; and.b32 %r1, %t, 1;
        setp.eq.u32 %p1, %r1, 1; @!%p1 bra EVEN;
        cp.async.ca.shared.global [%r5 + 128], [%d5 + 128], 4; cp.async.commit_group; cp.async.wait_group 1;
        bra.uni READ; EVEN: cp.async.wait_group 0; READ: ld.shared.u32 %r6, [%r5]; st.global.u32 [%d6], %r6;
        cp.async.wait_all;"
    );
    Case::new(body, vec![iota(64), out(32)]).gives(1, &(0..32).collect::<Vec<_>>());
}

#[test]
fn an_mbarrier_counts_copies_with_and_without_increment() {
    for ((noinc, count), space) in
        [("", 1), (".noinc", 65)].into_iter().flat_map(|n| ["", ".shared", ".shared::cta"].map(|s| (n, s)))
    {
        let at = if space.is_empty() { "[%d9]" } else { "[%b]" };
        let body = format!(
            "{WORDS} @%one mbarrier.init.shared::cta.b64 [%b], {count}; bar.sync 0;
            cvt.u64.u32 %d9, %b; cvta.shared.u64 %d9, %d9;
            cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.mbarrier.arrive{noinc}{space}.b64 {at}; bar.sync 0;
            @%one mbarrier.arrive.shared.b64 %d8, [%b];
            {} xor.b32 %r6, %t, 63; mad.lo.u32 %r6, %r6, 4, %s; ld.shared.u32 %r7, [%r6]; st.global.u32 [%d6], %r7;",
            wait("%b", "0")
        );
        let expected: Vec<u32> = (0..64).map(|t| t ^ 63).collect();
        Case::new(body, vec![iota(64), out(64)]).block(64).gives(1, &expected);
    }
}

#[test]
fn a_missing_wait_is_a_race() {
    let read = "ld.shared.u32 %r6, [%r5]; st.global.u32 [%d6], %r6; cp.async.wait_all;";
    let body = format!("{WORDS} cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.commit_group; {read}");
    let report = Case::new(body, vec![iota(32), out(32)]).fails(&["race", "uninitialised read"]);
    assert!(report.contains("cp.async"), "{report}");
    let late = format!(
        "{WORDS} cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.commit_group; cp.async.wait_group 1; {read}"
    );
    Case::new(late, vec![iota(32), out(32)]).fails(&["race", "uninitialised read"]);
}

#[test]
fn a_wait_without_barrier_is_a_race_with_other_threads() {
    let body = format!(
        "{WORDS} cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.wait_all; xor.b32 %r6, %t, 32;
        mad.lo.u32 %r6, %r6, 4, %s; ld.shared.u32 %r7, [%r6]; st.global.u32 [%d6], %r7;"
    );
    Case::new(body, vec![iota(64), out(64)]).block(64).fails(&["race", "uninitialised read"]);
}

#[test]
fn an_overwritten_source_is_a_race() {
    let body = format!(
        "{WORDS} cp.async.ca.shared.global [%r5], [%d5], 4; st.global.u32 [%d5], 5; cp.async.wait_all;
        ld.shared.u32 %r7, [%r5]; st.global.u32 [%d6], %r7;"
    );
    Case::new(body, vec![iota(32), out(32)]).fails(&["race"]);
}

#[test]
fn misaligned_and_unwaited_copies_are_reported() {
    let misaligned = format!("{WORDS} cp.async.ca.shared.global [%r5], [%d5], 8; cp.async.wait_all;");
    Case::new(misaligned, vec![iota(64), out(32)]).fails(&["misaligned address"]);
    let unwaited = format!("{WORDS} cp.async.ca.shared.global [%r5], [%d5], 4; cp.async.commit_group;");
    Case::new(unwaited, vec![iota(32), out(32)]).fails(&["leaked async group"]);
    let outside = format!("{WORDS} cp.async.ca.shared.global [%r5], [%d5 + 4], 4; cp.async.wait_all;");
    Case::new(outside, vec![iota(32), out(32)]).fails(&["out of bounds"]);
}
