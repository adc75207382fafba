//! Global memory whose accesses are logged by the page says what lines say: the same findings, parties and counts.

use std::sync::Arc;

use gpusim_check::*;

const SIZES: [u64; 4] = [2, 4, 8, 16];
/// Not on a page: coalesced accesses of 16 bytes reach over its end.
const BASE: u64 = 0x1000_0000_0000 + 4096 - 256;

fn launch() -> Arc<LaunchCheck> {
    LaunchCheck::new(Settings::default(), Geometry { threads: 64, shared_bytes: 0 })
}

fn row(base: u64, size: u64) -> [u64; 32] {
    std::array::from_fn(|l| base + l as u64 * size)
}

fn warp(index: u32) -> WarpId {
    WarpId::new(0, index)
}

fn whole(
    check: &mut ClusterCheck,
    w: u32,
    base: u64,
    size: u64,
    kind: AccessKind,
) -> Result<(), Box<Finding>> {
    check.access_coalesced(warp(w), Engine::Thread, Space::Global, base, size as u32, kind, SiteId(w))
}

/// The same access by one lane after the other, in parts too small for a log.
fn parts(
    check: &mut ClusterCheck,
    w: u32,
    base: u64,
    size: u64,
    kind: AccessKind,
) -> Result<(), Box<Finding>> {
    for lane in 0..32 {
        for part in 0..size / 2 {
            let at = row(base + 2 * part, size);
            check.access(warp(w), Engine::Thread, Space::Global, 1 << lane, &at, 2, kind, SiteId(w))?;
        }
    }
    Ok(())
}

#[test]
fn a_log_counts_the_bytes_that_lines_count() {
    for size in SIZES {
        let counts = [whole, parts].map(|access| {
            let launch = launch();
            let mut check = launch.cluster(0, &[0]);
            for n in 0..40 {
                access(&mut check, 0, BASE + n * 64 * size, size, AccessKind::Read).expect("reads");
                access(&mut check, 1, BASE + (n * 96 + 32) * size + (1 << 20), size, AccessKind::Write)
                    .expect("nobody else's");
            }
            launch.unique_bytes()
        });
        assert_eq!(counts[0], counts[1]);
        assert_eq!(counts[0].read, 40 * 32 * size);
        assert_eq!(counts[0].written, 40 * 32 * size);
    }
}

#[test]
fn a_page_that_goes_over_to_lines_keeps_who_did_what() {
    for size in SIZES {
        for (earlier, now) in [(AccessKind::Read, AccessKind::Write), (AccessKind::Write, AccessKind::Read)] {
            let launch = launch();
            let (mut a, mut b) = (launch.cluster(0, &[0]), launch.cluster(1, &[1]));
            whole(&mut a, 1, BASE, size, earlier).expect("the first access");
            for lane in [0u64, 13, 31] {
                let at = [BASE + lane * size; 32];
                let got = b.access(warp(0), Engine::Thread, Space::Global, 1 << 5, &at, 2, now, SiteId(9));
                let Err(finding) = got else { panic!("size {size}: lane {lane} was not ordered before it") };
                let Finding::Race(race) = *finding else { panic!("a race, not {finding:?}") };
                assert_eq!((race.address, race.now.thread), (BASE + lane * size, 5));
                assert_eq!((race.earlier.cta, race.earlier.thread), (0, 32 + lane as u32));
                assert_eq!((race.earlier.kind, race.earlier.site), (earlier, SiteId(1)));
            }
            let beside = [BASE + 32 * size; 32];
            b.access(warp(0), Engine::Thread, Space::Global, 1, &beside, 2, now, SiteId(9))
                .expect("nobody's");
        }
    }
}

#[test]
fn what_ld_nc_reads_may_be_written_neither_before_nor_after() {
    for size in SIZES {
        for logged in [true, false] {
            let access = if logged { whole } else { parts };
            let mut check = launch().cluster(0, &[0]);
            access(&mut check, 0, BASE, size, AccessKind::Read).expect("a read");
            check
                .read_only(warp(0), u32::MAX, &row(BASE, size), size as u32, SiteId(0))
                .expect("not written");
            let got = access(&mut check, 0, BASE, size, AccessKind::Write);
            assert!(matches!(got.map_err(|f| *f), Err(Finding::ReadOnly { .. })), "{size} {logged}");

            let mut check = launch().cluster(0, &[0]);
            access(&mut check, 0, BASE, size, AccessKind::Write).expect("a write");
            access(&mut check, 0, BASE, size, AccessKind::Read).expect("of its own");
            let got = check.read_only(warp(0), u32::MAX, &row(BASE, size), size as u32, SiteId(0));
            assert!(matches!(got.map_err(|f| *f), Err(Finding::ReadOnly { .. })), "{size} {logged}");
        }
    }
}

#[test]
fn memory_that_was_forgotten_is_nobodys() {
    let launch = launch();
    let (mut a, mut b) = (launch.cluster(0, &[0]), launch.cluster(1, &[1]));
    whole(&mut a, 0, BASE, 16, AccessKind::Write).expect("the first access");
    launch.forget(BASE, 500);
    b.access(warp(0), Engine::Thread, Space::Global, 1, &[BASE + 496; 32], 4, AccessKind::Write, SiteId(0))
        .expect("forgotten");
    whole(&mut b, 0, BASE, 16, AccessKind::Read).expect_err("12 bytes were not");
}

#[test]
fn a_line_that_very_many_read_still_knows_each_of_them() {
    let launch = launch();
    let mut clusters: Vec<_> = (0..200).map(|n| launch.cluster(n, &[n])).collect();
    for round in 0..3 {
        for check in &mut clusters {
            for w in 0..2 {
                whole(check, w, BASE, 16, AccessKind::Read).unwrap_or_else(|f| panic!("{round}: {f:?}"));
            }
        }
    }
    for n in [0, 77, 199] {
        let at = [BASE + 16 * 7; 32];
        let got = clusters[n].access(
            warp(0),
            Engine::Thread,
            Space::Global,
            1 << 7,
            &at,
            16,
            AccessKind::Write,
            SiteId(3),
        );
        got.expect_err("nothing orders the others' reads before it");
    }
}
