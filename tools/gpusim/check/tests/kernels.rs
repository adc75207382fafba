//! The synchronisation idioms of real kernels, each correct and with its usual mistakes: the correct one passes, the mistake
//! is named.

use gpusim_check::*;

const ALL: u32 = u32::MAX;
const SHARED: Space = Space::Shared { rank: 0 };
const GLOBAL: u64 = 0x1000_0000_0000;

type Outcome = Result<(), Box<Finding>>;

fn missing(outcome: Outcome) -> Missing {
    match *outcome.expect_err("a race") {
        Finding::Race(race) => race.missing,
        other => panic!("another finding: {other:?}"),
    }
}

fn launch(threads: u32) -> std::sync::Arc<LaunchCheck> {
    LaunchCheck::new(Settings::default(), Geometry { threads, shared_bytes: 16 << 10 })
}

fn cta(threads: u32) -> ClusterCheck {
    launch(threads).cluster(0, &[0])
}

fn w(index: u32) -> WarpId {
    WarpId::new(0, index)
}

fn row(base: u64) -> [u64; 32] {
    std::array::from_fn(|l| base + 4 * l as u64)
}

fn plain(c: &mut ClusterCheck, warp: u32, space: Space, base: u64, kind: AccessKind) -> Outcome {
    c.access(w(warp), Engine::Thread, space, ALL, &row(base), 4, kind, SiteId(7))
}

fn read(c: &mut ClusterCheck, warp: u32, base: u64) -> Outcome {
    plain(c, warp, SHARED, base, AccessKind::Read)
}

fn write(c: &mut ClusterCheck, warp: u32, base: u64) -> Outcome {
    plain(c, warp, SHARED, base, AccessKind::Write)
}

fn sync(c: &mut ClusterCheck, warps: u32) {
    let all: Vec<_> = (0..warps).map(|i| (w(i), ALL)).collect();
    for &(warp, mask) in &all {
        c.barrier_arrive(warp, 0, mask);
    }
    c.barrier_complete(0, 0, &all);
}

fn one(address: u64) -> [u64; 32] {
    [address; 32]
}

#[test]
fn warps_exchange_data_through_a_barrier_and_not_without() {
    let mut c = cta(64);
    write(&mut c, 0, 0).unwrap();
    sync(&mut c, 2);
    read(&mut c, 1, 0).unwrap();
    assert_eq!(missing(write(&mut c, 0, 0)), Missing::CtaBarrier);
    sync(&mut c, 2);
    write(&mut c, 0, 0).unwrap();
    assert_eq!(missing(read(&mut c, 1, 0)), Missing::CtaBarrier);
}

#[test]
fn lanes_of_a_warp_need_a_warp_sync() {
    let mut c = cta(32);
    write(&mut c, 0, 0).unwrap();
    read(&mut c, 0, 0).unwrap();
    let turned = std::array::from_fn(|l| 4 * ((l as u64 + 1) % 32));
    let look = |c: &mut ClusterCheck| {
        c.access(w(0), Engine::Thread, SHARED, ALL, &turned, 4, AccessKind::Read, SiteId(1))
    };
    assert_eq!(missing(look(&mut c)), Missing::WarpSync);
    c.warp_sync(w(0), ALL);
    look(&mut c).unwrap();
    // A sync of half of the warp orders that half only.
    write(&mut c, 0, 1024).unwrap_or_else(|f| panic!("{f:?}"));
    c.warp_sync(w(0), 0xffff);
    let shifted = std::array::from_fn(|l| 1024 + 4 * (l as u64 ^ 1));
    c.access(w(0), Engine::Thread, SHARED, 0xffff, &shifted, 4, AccessKind::Read, SiteId(2)).unwrap();
    let upper = c.access(w(0), Engine::Thread, SHARED, !0xffff, &shifted, 4, AccessKind::Read, SiteId(2));
    assert_eq!(missing(upper), Missing::WarpSync);
}

#[test]
fn an_arriving_producer_is_seen_by_the_waiting_consumer_and_not_the_reverse() {
    let mut c = cta(64);
    write(&mut c, 0, 0).unwrap();
    write(&mut c, 1, 512).unwrap();
    c.barrier_arrive(w(0), 3, ALL); // bar.arrive
    c.barrier_arrive(w(1), 3, ALL); // bar.sync
    c.barrier_complete(0, 3, &[(w(1), ALL)]);
    read(&mut c, 1, 0).unwrap();
    assert_eq!(missing(read(&mut c, 0, 512)), Missing::CtaBarrier);
}

#[test]
fn cp_async_needs_its_wait_and_then_a_barrier() {
    let copy = |c: &mut ClusterCheck, base| {
        c.access(w(0), Engine::CpAsync, Space::Global, ALL, &row(GLOBAL), 4, AccessKind::Read, SiteId(1))
            .unwrap();
        c.access(w(0), Engine::CpAsync, SHARED, ALL, &row(base), 4, AccessKind::Write, SiteId(1)).unwrap();
        c.cp_async_commit(w(0), ALL);
    };
    let mut c = cta(64);
    copy(&mut c, 0);
    copy(&mut c, 512);
    assert_eq!(c.exit(w(0), ALL), [Leak { engine: Engine::CpAsync, lanes: ALL }]);
    assert_eq!(missing(read(&mut c, 0, 0)), Missing::CpAsyncWait);
    c.cp_async_wait(w(0), ALL, Some(1));
    read(&mut c, 0, 0).unwrap();
    assert_eq!(missing(read(&mut c, 0, 512)), Missing::CpAsyncWait);
    assert_eq!(missing(read(&mut c, 1, 0)), Missing::CpAsyncWait);
    sync(&mut c, 2);
    read(&mut c, 1, 0).unwrap();
    c.cp_async_wait(w(0), ALL, Some(0));
    assert_eq!(c.exit(w(0), ALL), []);
}

/// A TMA ring of two stages: one producer thread, one consumer warp.
#[test]
fn a_bulk_copy_ring_is_ordered_by_its_full_and_empty_barriers() {
    let run = |wrong_full: bool, skip_empty: bool| -> Outcome {
        let mut c = cta(64);
        let full = [(0, 8192), (0, 8200)];
        let empty = [(0, 8208), (0, 8216)];
        for at in full.into_iter().chain(empty) {
            c.mbarrier_init(w(0), 0, at, SiteId(0))?;
        }
        sync(&mut c, 2);
        for step in 0..6 {
            let stage = step % 2;
            if step >= 2 && !skip_empty {
                c.mbarrier_wait(w(0), 1, empty[stage], Sem::Acquire, Scope::Cta, SiteId(1))?;
            }
            c.mbarrier_arrive(w(0), 1, full[stage], Sem::Release, Scope::Cta, SiteId(2))?;
            let op = c.bulk_begin(w(0), 0, Some(full[stage]), SiteId(3))?;
            c.bulk_access(&op, Space::Global, GLOBAL, 256, AccessKind::Read, 1)?;
            c.bulk_access(&op, SHARED, 256 * stage as u64, 256, AccessKind::Write, 1)?;
            c.bulk_landed(&op);
            c.mbarrier_phase_complete(full[stage]);
            // One step behind, so that the other stage is in flight.
            if step == 0 {
                continue;
            }
            let stage = (step - 1) % 2;
            let waited = if wrong_full { 1 - stage } else { stage };
            c.mbarrier_wait(w(1), ALL, full[waited], Sem::Acquire, Scope::Cta, SiteId(4))?;
            read(&mut c, 1, 256 * stage as u64)?;
            c.warp_sync(w(1), ALL);
            c.mbarrier_arrive(w(1), 1, empty[stage], Sem::Release, Scope::Cta, SiteId(5))?;
            c.mbarrier_phase_complete(empty[stage]);
        }
        Ok(())
    };
    run(false, false).unwrap();
    assert_eq!(missing(run(true, false)), Missing::MbarrierWait);
    // What an empty barrier tells the producer includes that its earlier copy into the stage is over.
    assert_eq!(missing(run(false, true)), Missing::MbarrierWait);
}

#[test]
fn generic_writes_need_a_proxy_fence_before_a_bulk_store_and_its_source_a_wait() {
    let store = |c: &mut ClusterCheck| -> Outcome {
        let op = c.bulk_begin(w(0), 0, None, SiteId(3))?;
        c.bulk_access(&op, SHARED, 0, 128, AccessKind::Read, 1)?;
        c.bulk_access(&op, Space::Global, GLOBAL, 128, AccessKind::Write, 1)?;
        c.bulk_commit(w(0), 1);
        Ok(())
    };
    // The writer fences before the barrier, or the issuer after it: both are on the way.
    for writer_fences in [true, false] {
        let mut c = cta(64);
        write(&mut c, 1, 0).unwrap();
        if writer_fences {
            c.fence_proxy(w(1), ALL, ProxyFence::AsyncShared);
        }
        sync(&mut c, 2);
        if !writer_fences {
            c.fence_proxy(w(0), ALL, ProxyFence::Async);
        }
        store(&mut c).unwrap();
        assert_eq!(missing(write(&mut c, 0, 0)), Missing::BulkReadWait);
        c.bulk_wait(w(0), 1, 0, true);
        assert_eq!(missing(write(&mut c, 1, 0)), Missing::BulkReadWait);
        let back = |c: &mut ClusterCheck| {
            c.access(w(0), Engine::Thread, Space::Global, 1, &one(GLOBAL), 4, AccessKind::Read, SiteId(9))
        };
        assert_eq!(missing(back(&mut c)), Missing::BulkWait);
        c.bulk_wait(w(0), 1, 0, false);
        back(&mut c).unwrap();
        sync(&mut c, 2);
        write(&mut c, 1, 0).unwrap();
    }
    let mut c = cta(64);
    write(&mut c, 1, 0).unwrap();
    sync(&mut c, 2);
    assert_eq!(missing(store(&mut c)), Missing::FenceProxyAsync);
    // The fence of the other space does not help, nor one before the write.
    c.fence_proxy(w(0), ALL, ProxyFence::AsyncGlobal);
    assert_eq!(missing(store(&mut c)), Missing::FenceProxyAsync);
}

#[test]
fn wgmma_operands_are_read_until_the_wait() {
    let mut c = cta(32);
    write(&mut c, 0, 0).unwrap();
    let mma = |c: &mut ClusterCheck| {
        let op = c.wgmma_begin(w(0), SiteId(3));
        c.wgmma_access(&op, 0, 0, 128)
    };
    assert_eq!(missing(mma(&mut c)), Missing::FenceProxyAsync);
    c.fence_proxy(w(0), ALL, ProxyFence::AsyncShared);
    mma(&mut c).unwrap();
    c.wgmma_commit(w(0));
    assert_eq!(missing(write(&mut c, 0, 0)), Missing::WgmmaWait);
    c.wgmma_wait(w(0), 0);
    write(&mut c, 0, 0).unwrap();
}

/// Every CTA writes a partial result; the one that comes last reads them all.
fn last_block(ctas: u32, fence: Option<Scope>, atomic: Scope) -> Outcome {
    let launch = launch(32);
    let counter = one(GLOBAL);
    let rmw = AccessKind::Strong { op: StrongOp::Rmw, sem: Sem::Relaxed, scope: atomic };
    let partial = |i: u32| GLOBAL + 4096 + 128 * u64::from(i);
    for i in 0..ctas {
        let mut c = launch.cluster(i, &[i]);
        plain(&mut c, 0, Space::Global, partial(i), AccessKind::Write)?;
        sync(&mut c, 1);
        if let Some(scope) = fence {
            c.fence(w(0), 1, Sem::AcqRel, scope);
        }
        c.access(w(0), Engine::Thread, Space::Global, 1, &counter, 4, rmw, SiteId(2))?;
        if let Some(scope) = fence {
            c.fence(w(0), 1, Sem::AcqRel, scope);
        }
        sync(&mut c, 1);
        if i + 1 == ctas {
            for j in 0..ctas {
                plain(&mut c, 0, Space::Global, partial(j), AccessKind::Read)?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_last_block_reads_all_partials_behind_fences_of_device_scope() {
    last_block(20, Some(Scope::Gpu), Scope::Gpu).unwrap();
    last_block(20, Some(Scope::Sys), Scope::Sys).unwrap();
    assert_eq!(missing(last_block(20, None, Scope::Gpu)), Missing::GridSync);
    assert_eq!(missing(last_block(20, Some(Scope::Cta), Scope::Gpu)), Missing::GridSync);
    assert_eq!(missing(last_block(20, Some(Scope::Gpu), Scope::Cta)), Missing::WiderScope);
}

#[test]
fn a_grid_of_ten_thousand_ctas_that_meet_at_one_counter_stays_small() {
    last_block(10_000, Some(Scope::Gpu), Scope::Gpu).unwrap();
}

#[test]
fn a_spin_lock_orders_its_critical_sections() {
    let section = |acquire: Sem, release: Sem| -> Outcome {
        let launch = launch(32);
        for i in 0..3 {
            let mut c = launch.cluster(i, &[i]);
            let lock = AccessKind::Strong { op: StrongOp::Rmw, sem: acquire, scope: Scope::Gpu };
            let unlock = AccessKind::Strong { op: StrongOp::Store, sem: release, scope: Scope::Gpu };
            let thread = Engine::Thread;
            c.access(w(0), thread, Space::Global, 1, &one(GLOBAL), 4, lock, SiteId(1))?;
            c.access(w(0), thread, Space::Global, 1, &one(GLOBAL + 64), 4, AccessKind::Read, SiteId(2))?;
            c.access(w(0), thread, Space::Global, 1, &one(GLOBAL + 64), 4, AccessKind::Write, SiteId(3))?;
            c.access(w(0), thread, Space::Global, 1, &one(GLOBAL), 4, unlock, SiteId(4))?;
        }
        Ok(())
    };
    section(Sem::Acquire, Sem::Release).unwrap();
    assert_eq!(missing(section(Sem::Relaxed, Sem::Release)), Missing::GridSync);
    assert_eq!(missing(section(Sem::Acquire, Sem::Relaxed)), Missing::GridSync);
}

#[test]
fn strong_and_atomic_accesses_race_with_plain_ones_only() {
    let mut c = cta(64);
    let red = AccessKind::Strong { op: StrongOp::Red, sem: Sem::Relaxed, scope: Scope::Cta };
    let load = AccessKind::Strong { op: StrongOp::Load, sem: Sem::Relaxed, scope: Scope::Sys };
    for warp in 0..2 {
        c.access(w(warp), Engine::Thread, Space::Global, ALL, &one(GLOBAL), 4, red, SiteId(1)).unwrap();
        c.access(w(warp), Engine::Thread, Space::Global, ALL, &one(GLOBAL), 4, load, SiteId(2)).unwrap();
    }
    let outcome =
        c.access(w(0), Engine::Thread, Space::Global, 1, &one(GLOBAL), 4, AccessKind::Read, SiteId(3));
    assert_eq!(missing(outcome), Missing::AtomicAgainstPlain);
}

#[test]
fn a_relaxed_cluster_arrive_orders_what_a_fence_before_it_released_and_nothing_else() {
    for (release, fence) in [
        (true, None),
        (false, None),
        (false, Some((Sem::AcqRel, Scope::Cluster))),
        (false, Some((Sem::AcqRel, Scope::Cta))),
        (false, Some((Sem::Acquire, Scope::Gpu))),
    ] {
        let launch = launch(32);
        let mut c = launch.cluster(0, &[0, 1]);
        let (a, b) = (WarpId::new(0, 0), WarpId::new(1, 0));
        c.access(a, Engine::Thread, SHARED, ALL, &row(0), 4, AccessKind::Write, SiteId(1)).unwrap();
        if let Some((sem, scope)) = fence {
            c.fence(a, ALL, sem, scope);
        }
        c.cluster_arrive(a, ALL, release);
        c.cluster_arrive(b, ALL, true);
        c.cluster_complete();
        c.cluster_wait(b, ALL);
        let outcome = c.access(b, Engine::Thread, SHARED, ALL, &row(0), 4, AccessKind::Read, SiteId(2));
        if release || fence == Some((Sem::AcqRel, Scope::Cluster)) {
            outcome.unwrap();
        } else {
            assert_eq!(missing(outcome), Missing::ClusterBarrier);
        }
    }
}

#[test]
fn bad_addresses_and_unwritten_bytes_are_found() {
    let mut c = cta(32);
    let check = |outcome: Outcome| outcome.expect_err("a finding").check();
    assert_eq!(check(write(&mut c, 0, 16 * 1024 - 124)), Check::OutOfBounds);
    write(&mut c, 0, 16 * 1024 - 128).unwrap();
    assert_eq!(check(write(&mut c, 0, 2)), Check::Misaligned);
    assert_eq!(check(read(&mut c, 0, 0)), Check::UninitialisedRead);
    let mut odd = row(0);
    odd[3] = u64::MAX - 3;
    let outcome = c.access(w(0), Engine::Thread, SHARED, ALL, &odd, 4, AccessKind::Write, SiteId(1));
    assert_eq!(check(outcome), Check::OutOfBounds);
    // The lane that is off is not active.
    c.access(w(0), Engine::Thread, SHARED, !8, &odd, 4, AccessKind::Write, SiteId(1)).unwrap();
    let remote = Space::Shared { rank: 5 };
    let outcome = c.access(w(0), Engine::Thread, remote, 1, &row(0), 4, AccessKind::Read, SiteId(1));
    assert_eq!(check(outcome), Check::OutOfBounds);
    assert_eq!(
        check(c.mbarrier_wait(w(0), 1, (0, 1024), Sem::Acquire, Scope::Cta, SiteId(1))),
        Check::UninitialisedRead
    );
    assert_eq!(check(c.mbarrier_wait(w(0), 1, (0, 16320), Sem::Acquire, Scope::Cta, SiteId(1))), Check::Race);
}

#[test]
fn an_mbarrier_that_is_not_there_is_named() {
    let mut c = cta(32);
    let check = |outcome: Outcome| outcome.expect_err("a finding").check();
    let at = (0, 64);
    let begin = |c: &mut ClusterCheck| c.bulk_begin(w(0), 0, Some(at), SiteId(1)).map(|_| ());
    assert_eq!(check(begin(&mut c)), Check::MbarrierMisuse);
    assert_eq!(check(c.mbarrier_init(w(0), 0, (0, 68), SiteId(1))), Check::Misaligned);
    assert_eq!(check(c.mbarrier_init(w(0), 0, (3, 64), SiteId(1))), Check::OutOfBounds);
    c.mbarrier_init(w(0), 0, at, SiteId(1)).unwrap();
    let arrive = |c: &mut ClusterCheck, lane| {
        c.mbarrier_arrive(w(0), 1u32 << lane, at, Sem::Release, Scope::Cta, SiteId(2))
    };
    arrive(&mut c, 0).unwrap();
    // The other lanes do not know of the initialisation yet.
    assert_eq!(missing(arrive(&mut c, 1)), Missing::AtomicAgainstPlain);
    c.warp_sync(w(0), ALL);
    arrive(&mut c, 1).unwrap();
    begin(&mut c).unwrap();
    assert_eq!(c.outstanding_copies(0), [(at, 1)]);
    c.warp_sync(w(0), ALL);
    c.mbarrier_inval(w(0), 0, at, SiteId(3)).unwrap();
    assert_eq!(check(arrive(&mut c, 0)), Check::MbarrierMisuse);
    assert_eq!(check(begin(&mut c)), Check::MbarrierMisuse);
}

#[test]
fn a_later_copy_on_the_same_mbarrier_says_nothing_about_an_earlier_one() {
    let mut c = cta(32);
    let at = (0, 1024);
    write(&mut c, 0, 0).unwrap();
    c.mbarrier_init(w(0), 0, at, SiteId(0)).unwrap();
    c.fence_proxy(w(0), ALL, ProxyFence::Async);
    c.warp_sync(w(0), ALL);
    let ops: Vec<BulkOp> = (0..2)
        .map(|_| {
            let op = c.bulk_begin(w(0), 0, Some(at), SiteId(1)).unwrap();
            c.bulk_access(&op, SHARED, 0, 128, AccessKind::Read, 1).unwrap();
            op
        })
        .collect();
    for (op, over) in [(&ops[1], false), (&ops[0], true)] {
        c.bulk_landed(op);
        c.mbarrier_phase_complete(at);
        c.mbarrier_wait(w(0), ALL, at, Sem::Acquire, Scope::Cta, SiteId(2)).unwrap();
        let outcome = write(&mut c, 0, 0);
        if over {
            outcome.unwrap();
        } else {
            assert_eq!(missing(outcome), Missing::MbarrierWait);
        }
    }
}

#[test]
fn the_narrowest_scope_of_a_fence_and_its_write_counts_on_both_sides() {
    let run = |fence: Scope, store: Scope, load: Scope, after: Scope| -> Outcome {
        let launch = launch(32);
        let (mut a, mut b) = (launch.cluster(0, &[0]), launch.cluster(1, &[1]));
        let flag = |op, scope| AccessKind::Strong { op, sem: Sem::Relaxed, scope };
        let thread = Engine::Thread;
        let data = one(GLOBAL + 256);
        a.access(w(0), thread, Space::Global, 1, &data, 4, AccessKind::Write, SiteId(1))?;
        a.fence(w(0), 1, Sem::AcqRel, fence);
        a.access(w(0), thread, Space::Global, 1, &one(GLOBAL), 4, flag(StrongOp::Store, store), SiteId(2))?;
        b.access(w(0), thread, Space::Global, 1, &one(GLOBAL), 4, flag(StrongOp::Load, load), SiteId(3))?;
        b.fence(w(0), 1, Sem::AcqRel, after);
        b.access(w(0), thread, Space::Global, 1, &data, 4, AccessKind::Read, SiteId(4))
    };
    let (gpu, cta) = (Scope::Gpu, Scope::Cta);
    run(gpu, gpu, gpu, gpu).unwrap();
    assert_eq!(missing(run(cta, gpu, gpu, gpu)), Missing::GridSync);
    assert_eq!(missing(run(gpu, cta, gpu, gpu)), Missing::WiderScope);
    assert_eq!(missing(run(gpu, gpu, cta, gpu)), Missing::WiderScope);
    assert_eq!(missing(run(gpu, gpu, gpu, cta)), Missing::GridSync);
}

#[test]
fn two_lanes_that_write_the_same_bytes_race() {
    let mut c = cta(32);
    let outcome = c.access(w(0), Engine::Thread, SHARED, 0b110, &one(64), 4, AccessKind::Write, SiteId(1));
    assert_eq!(missing(outcome), Missing::SameInstruction);
}

#[test]
fn unique_bytes_count_each_byte_once() {
    let launch = launch(64);
    let mut c = launch.cluster(0, &[0]);
    for warp in 0..2 {
        plain(&mut c, warp, Space::Global, GLOBAL + 64, AccessKind::Read).unwrap();
    }
    plain(&mut c, 0, Space::Global, GLOBAL + 4096, AccessKind::Write).unwrap();
    c.access(w(0), Engine::Thread, Space::Global, 1, &one(GLOBAL), 2, AccessKind::Read, SiteId(1)).unwrap();
    let unique = launch.unique_bytes();
    let expected = UniqueBytes { read: 130, written: 128, read_sectors: 5, written_sectors: 4 };
    assert_eq!(unique, expected);
}

struct Toy;

impl Program for Toy {
    fn kernel(&self) -> &str {
        "toy"
    }
    fn grid(&self) -> [u32; 3] {
        [4, 2, 1]
    }
    fn block(&self) -> [u32; 3] {
        [16, 4, 1]
    }
    fn place(&self, site: SiteId) -> Place {
        let source = (site.0 == 2).then(|| ("toy.cu".to_owned(), 12));
        Place { ptx_line: 100 + site.0, instruction: "st.shared.u32 [%r1], %r2".to_owned(), source }
    }
}

#[test]
fn a_race_report_names_both_accesses() {
    let launch = launch(64);
    let mut c = launch.cluster(5, &[5]);
    c.access(w(0), Engine::Thread, SHARED, ALL, &row(0), 4, AccessKind::Write, SiteId(1)).unwrap();
    let finding = c
        .access(w(1), Engine::Thread, SHARED, 1 << 3, &one(32), 4, AccessKind::Write, SiteId(2))
        .expect_err("no barrier");
    let text = Report::of(&finding, &Toy).to_string();
    let expected = "race: write at shared address 0x20
  kernel toy, CTA (1,1,0), thread (3,2,0)
  at PTX line 102 (toy.cu:12): st.shared.u32 [%r1], %r2
  against an earlier write by CTA (1,1,0), thread (8,0,0)
  at PTX line 101: st.shared.u32 [%r1], %r2
  no barrier (bar.sync, mbarrier, release/acquire) between the two warps";
    assert_eq!(text, expected);
}

#[test]
fn memory_read_by_ld_global_nc_may_not_be_written_in_the_launch_whatever_the_order() {
    let thread = |c: &mut ClusterCheck, address, kind| {
        c.access(w(0), Engine::Thread, Space::Global, 1, &one(address), 4, kind, SiteId(1))
    };
    let read_only = |c: &mut ClusterCheck, address| c.read_only(w(0), 1, &one(address), 4, SiteId(2));
    let check = |outcome: Result<(), Box<Finding>>| outcome.unwrap_err().check();
    // The same thread first reads, then writes.
    let mut c = cta(32);
    read_only(&mut c, 0x1000).unwrap();
    thread(&mut c, 0x1000, AccessKind::Read).unwrap();
    thread(&mut c, 0x1004, AccessKind::Write).unwrap();
    assert_eq!(check(thread(&mut c, 0x1000, AccessKind::Write)), Check::ReadOnlyWrite);
    // First writes, then reads.
    let mut c = cta(32);
    thread(&mut c, 0x1000, AccessKind::Write).unwrap();
    read_only(&mut c, 0x1004).unwrap();
    assert_eq!(check(read_only(&mut c, 0x1000)), Check::ReadOnlyWrite);
}
