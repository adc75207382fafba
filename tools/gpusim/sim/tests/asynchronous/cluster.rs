//! Clusters: barriers, distributed shared memory, remote mbarriers, multicast, `st.async`.

use super::run::{Arg, Case, iota, out, wait};

const SYNC: &str = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\n";

/// `%r5 = &s[t]`; `%d6 = &p1[cta * 32 + t]`.
const WORDS: &str = "mad.lo.u32 %r5, %t, 4, %s; mad.lo.u32 %r6, %cta, 32, %t; mad.wide.u32 %d5, %r6, 4, %P0; mad.wide.u32 %d6, %r6, 4, %P1;\n";

/// Every CTA publishes its 32 words, and sums the words that all of them have at the mirrored place.
fn reduction(first: &str, last: &str) -> Case {
    let body = format!(
        "{WORDS} ld.global.u32 %r7, [%d5]; st.shared.u32 [%r5], %r7; {first}
        mov.u32 %r8, 0; mov.u32 %r9, 0; xor.b32 %r10, %t, 31; mad.lo.u32 %r10, %r10, 4, %s; mov.u32 %r12, %cluster_nctarank;
        LOOP: mapa.shared::cluster.u32 %r11, %r10, %r8; ld.shared::cluster.u32 %r7, [%r11]; add.u32 %r9, %r9, %r7;
        add.u32 %r8, %r8, 1; setp.lt.u32 %p1, %r8, %r12; @%p1 bra LOOP; {last} st.global.u32 [%d6], %r9;"
    );
    Case::new(body, vec![iota(128), out(128)])
}

#[test]
fn shared_memory_of_other_ctas_is_read_between_cluster_barriers() {
    for size in [2, 4] {
        let mut expected = vec![0xDEAD_BEEF; 128];
        for i in 0..size * 32 {
            expected[i as usize] = (0..size).map(|cta| cta * 32 + ((i % 32) ^ 31)).sum();
        }
        reduction(SYNC, SYNC).cluster(size).gives(1, &expected);
        for arrive in ["", ".release", ".aligned", ".relaxed"] {
            for wait in ["", ".acquire", ".aligned"] {
                // A relaxed arrival orders nothing: what is before it is fenced, and so is what the last one of all follows.
                let fence = if arrive == ".relaxed" { "fence.acq_rel.cluster;" } else { "" };
                let sync = format!("{fence} barrier.cluster.arrive{arrive}; barrier.cluster.wait{wait};");
                reduction(&sync, &sync).cluster(size).gives(1, &expected);
            }
        }
    }
}

#[test]
fn missing_cluster_barriers_are_reported() {
    reduction("bar.sync 0;", SYNC).cluster(2).fails(&["race", "uninitialised read", "use after free"]);
    reduction("barrier.cluster.arrive.relaxed.aligned; barrier.cluster.wait.acquire.aligned;", SYNC)
        .cluster(2)
        .fails(&["race", "uninitialised read"]);
    reduction("barrier.cluster.wait.acquire.aligned;", SYNC).cluster(2).fails(&["barrier divergence"]);
    reduction("barrier.cluster.arrive.aligned; barrier.cluster.arrive.aligned;", SYNC)
        .cluster(2)
        .fails(&["barrier divergence"]);
    let rank = "mapa.shared::cluster.u32 %r11, %s, 2; ld.shared::cluster.u32 %r7, [%r11];";
    Case::new(rank, vec![out(1)]).cluster(2).fails(&["out of bounds"]);
}

#[test]
fn a_cta_that_ends_while_its_shared_memory_is_read_is_reported() {
    reduction(SYNC, "").cluster(4).fails(&["use after free", "race"]);
}

#[test]
fn generic_addresses_reach_other_ctas_and_tell_their_rank() {
    let body = format!(
        "{WORDS} st.shared.u32 [%r5], %r6; {SYNC} xor.b32 %r8, %rank, 1; cvt.u64.u32 %d1, %r5; cvta.shared.u64 %d1, %d1;
        mapa.u64 %d2, %d1, %r8; getctarank.u64 %r9, %d2; isspacep.shared::cluster %p1, %d2; isspacep.shared::cta %p2, %d2;
        selp.u32 %r10, 10, 0, %p1; selp.u32 %r11, 1, 0, %p2; add.u32 %r9, %r9, %r10; add.u32 %r9, %r9, %r11;
        ld.u32 %r7, [%d2]; mad.lo.u32 %r7, %r7, 100, %r9; {SYNC} st.global.u32 [%d6], %r7;"
    );
    let expected: Vec<u32> = (0..64).map(|i| (i ^ 32) * 100 + 10 + ((i / 32) ^ 1)).collect();
    Case::new(body, vec![iota(1), out(64)]).cluster(2).gives(1, &expected);
    // Addresses of the window itself, of 32 and of 64 bits; `cvta` takes them to generic ones and back.
    for (wide, mapped, rank) in [
        (false, "mapa.shared::cluster.u32 %r11, %r5, %r8;", "getctarank.shared::cluster.u32 %r9, %r11;"),
        (true, "mapa.shared::cluster.u64 %d2, %d1, %r8;", "getctarank.shared::cluster.u64 %r9, %d2;"),
        (
            true,
            "mapa.shared::cluster.u64 %d2, %d1, %r8; cvta.shared::cluster.u64 %d2, %d2;
            cvta.to.shared::cluster.u64 %d2, %d2;",
            "getctarank.shared::cluster.u64 %r9, %d2;",
        ),
        (
            true,
            "cvta.shared::cta.u64 %d2, %d1; mapa.u64 %d2, %d2, %r8; cvta.to.shared::cluster.u64 %d2, %d2;",
            "getctarank.shared::cluster.u64 %r9, %d2;",
        ),
    ] {
        let at = if wide { "%d2" } else { "%r11" };
        let body = format!(
            "{WORDS} st.shared::cluster.s32 [%r5], %r6; {SYNC} xor.b32 %r8, %rank, 1; cvt.u64.u32 %d1, %r5; {mapped} {rank}
            ld.shared::cluster.s32 %r7, [{at}]; mad.lo.u32 %r7, %r7, 100, %r9; {SYNC} st.global.u32 [%d6], %r7;"
        );
        let expected: Vec<u32> = (0..64).map(|i| (i ^ 32) * 100 + ((i / 32) ^ 1)).collect();
        Case::new(body, vec![iota(1), out(64)]).cluster(2).gives(1, &expected);
    }
}

#[test]
fn atomics_work_on_shared_memory_of_other_ctas() {
    let body = format!(
        "{WORDS} mov.u32 %r7, 0; @%one st.shared.u32 [%s], %r7; {SYNC} mov.u32 %r8, 0; mapa.shared::cluster.u32 %r9, %s, %r8;
        add.u32 %r7, %r6, 1; red.relaxed.cluster.shared::cluster.add.u32 [%r9], %r7; {SYNC}
        setp.eq.and.u32 %p1, %rank, 0, %one; @%p1 ld.shared.u32 %r10, [%s]; @%p1 st.global.u32 [%P1], %r10;"
    );
    Case::new(body, vec![iota(1), out(1)]).cluster(4).gives(1, &[(1..=128).sum()]);
}

#[test]
fn remote_arrivals_release_to_the_waiting_cta() {
    // Each CTA writes its word into CTA 0's memory and arrives there.
    let body = format!(
        "{WORDS} @%one mbarrier.init.shared::cta.b64 [%b], 4; fence.mbarrier_init.release.cluster; {SYNC}
        mov.u32 %r8, 0; mapa.shared::cluster.u32 %r9, %s, %r8; mad.lo.u32 %r9, %rank, 4, %r9; mapa.shared::cluster.u32 %r10, %b, %r8;
        add.u32 %r7, %rank, 50; @%one st.shared::cluster.u32 [%r9], %r7;
        @%one mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r10]; setp.ne.u32 %p1, %rank, 0; @%p1 bra END;
        W: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%b], 0; @!%p2 bra W;
        and.b32 %r7, %t, 3; mad.lo.u32 %r7, %r7, 4, %s; ld.shared.u32 %r11, [%r7]; st.global.u32 [%d6], %r11;
        END: {SYNC}"
    );
    let expected: Vec<u32> = (0..32).map(|t| 50 + t % 4).collect();
    let case = Case::new(body, vec![iota(1), out(32)]).cluster(4);
    case.gives(1, &expected);
    // With the scope of a CTA nothing is released to another one.
    let narrow = case.body.replace("acquire.cluster", "acquire.cta");
    Case { body: narrow, ..case }.fails(&["race"]);
}

/// CTA 0 loads 32 words for the CTAs in `mask`; each waits on its own mbarrier.
fn multicast(mask: u32) -> String {
    format!(
        "{WORDS} @%one mbarrier.init.shared::cta.b64 [%b], 1; fence.mbarrier_init.release.cluster; bar.sync 0;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 128; {SYNC} mov.u16 %h1, {mask};
        setp.eq.and.u32 %p1, %rank, 0, %one;
        @%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%s], [%P0], 128, [%b], %h1;
        {} ld.shared.u32 %r7, [%r5]; add.u32 %r7, %r7, %rank; st.global.u32 [%d6], %r7; {SYNC}",
        wait("%b", "0")
    )
}

#[test]
fn a_multicast_lands_in_every_cta_of_its_mask() {
    for size in [2u32, 4] {
        let expected: Vec<u32> = (0..size * 32).map(|i| i % 32 + i / 32).collect();
        let case = |mask| Case::new(multicast(mask), vec![iota(32), out(size as usize * 32)]).cluster(size);
        case((1 << size) - 1).gives(1, &expected);
        case((1 << size) - 2).fails(&["deadlock", "barrier divergence"]);
        case((2 << size) - 1).fails(&["invalid operand"]);
    }
}

/// Each CTA sends its words to its right neighbour.
fn send(bytes: u32, wait: &str) -> Case {
    let body = format!(
        "{WORDS} @%one mbarrier.init.shared::cta.b64 [%b], 1; fence.mbarrier_init.release.cluster; bar.warp.sync -1;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], {bytes}; {SYNC}
        add.u32 %r8, %rank, 1; mov.u32 %r9, %cluster_nctarank; rem.u32 %r8, %r8, %r9;
        mapa.shared::cluster.u32 %r10, %r5, %r8; mapa.shared::cluster.u32 %r11, %b, %r8;
        st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%r10], %r6, [%r11];
        {wait} xor.b32 %r7, %t, 31; mad.lo.u32 %r7, %r7, 4, %s; ld.shared.u32 %r7, [%r7]; st.global.u32 [%d6], %r7; {SYNC}"
    );
    Case::new(body, vec![iota(1), out(128)]).cluster(4)
}

#[test]
fn st_async_completes_on_the_receivers_mbarrier() {
    let w = "W: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%b], 0; @!%p2 bra W;";
    let expected: Vec<u32> = (0..128).map(|i| (i / 32 + 3) % 4 * 32 + ((i % 32) ^ 31)).collect();
    send(128, w).gives(1, &expected);
    send(128, "").fails(&["race", "uninitialised read"]);
    send(132, w).fails(&["deadlock"]);
}

#[test]
fn red_async_and_copies_between_ctas_add_up() {
    let body = format!(
        "{WORDS} mov.u32 %r7, 100; st.shared.u32 [%r5], %r7; st.shared.u32 [%r5 + 1024], %t;
        @%one mbarrier.init.shared::cta.b64 [%b], 1; fence.mbarrier_init.release.cluster; fence.proxy.async; bar.warp.sync -1;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 384; {SYNC}
        xor.b32 %r8, %rank, 1; mapa.shared::cluster.u32 %r10, %r5, %r8; mapa.shared::cluster.u32 %r11, %b, %r8;
        mapa.shared::cluster.u32 %r12, %s, %r8; add.u32 %r13, %s, 1024; add.u32 %r14, %r12, 2048;
        red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%r10], %r6, [%r11];
        @%one cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 [%r12], [%r13], 128, [%r11];
        @%one cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r14], [%r13], 128, [%r11];
        W: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [%b], 0; @!%p2 bra W;
        ld.shared.u32 %r7, [%r5]; ld.shared.u32 %r8, [%r5 + 2048]; mad.lo.u32 %r7, %r7, 100, %r8; st.global.u32 [%d6], %r7; {SYNC}"
    );
    let expected: Vec<u32> = (0..64).map(|i| (100 + (i ^ 32) + i % 32) * 100 + i % 32).collect();
    Case::new(body, vec![iota(1), out(64)]).cluster(2).gives(1, &expected);
}

#[test]
fn what_is_on_its_way_into_a_cta_that_ends_is_reported() {
    let body = "@%one mbarrier.init.shared::cta.b64 [%b], 1; bar.sync 0;
        @%one mbarrier.arrive.expect_tx.shared::cta.b64 _, [%b], 128;
        @%one cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%P0], 128, [%b];";
    Case::new(body, vec![iota(32)]).fails(&["leaked async group"]);
}

#[test]
fn setmaxnreg_is_the_same_in_a_warpgroup() {
    let body = |condition: &str| {
        format!(
            "shr.u32 %r1, %t, {condition}; setp.eq.u32 %p1, %r1, 0; @%p1 bra A; setmaxnreg.dec.sync.aligned.u32 40; bra.uni B;
            A: setmaxnreg.inc.sync.aligned.u32 160; B: mad.wide.u32 %d6, %t, 4, %P0; st.global.u32 [%d6], %t;"
        )
    };
    Case::new(body("7"), vec![out(256)]).block(256).gives(0, &(0..256).collect::<Vec<_>>());
    Case::new(body("6"), vec![out(256)]).block(256).fails(&["convergence required"]);
}

#[test]
fn instructions_that_are_not_there_are_named() {
    let device = gpusim::Device::new(gpusim::Settings::default());
    for text in [
        "multimem.ld_reduce.relaxed.gpu.global.add.u32 %r1, [%P0];",
        "fma.rn.oob.f16 %h1, %h2, %h3, %h4;",
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f16.f16.f16.f16 {%r1, %r2}, {%r3, %r4, %r5, %r6}, {%r7, %r8, %r9, %r10}, {%r1, %r2}, %r11, 0;",
        "wgmma.mma_async.sp.sync.aligned.m64n8k32.f16.f16.f16 {%r1, %r2}, %d1, %d2, %r11, 0, 1, 1, 1, 0, 0;",
        "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%s], [%P0, {0, 0, 0}], [%b], {%h1};",
    ] {
        let ptx = Case::new(text, vec![Arg::Words(vec![0])]).ptx();
        let module = device.load(&ptx).unwrap();
        let name = text.split(' ').next().unwrap();
        assert!(module.unsupported().iter().any(|line| line.contains(name)), "{:?}", module.unsupported());
    }
}
