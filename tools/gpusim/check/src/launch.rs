//! One launch: its settings and shape, and the shadow of global memory that all its clusters share.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::ClusterCheck;
use crate::line::Line;

/// Which checks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Races in shared memory.
    pub shared_races: bool,
    /// Races in global memory.
    pub global_races: bool,
    /// Reads of shared memory that nobody wrote.
    pub shared_uninitialised: bool,
    /// Count the distinct bytes of global memory that are read and written.
    pub unique_bytes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { shared_races: true, global_races: true, shared_uninitialised: true, unique_bytes: true }
    }
}

/// What the clocks need to know of a launch's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Threads of a CTA.
    pub threads: u32,
    /// Shared memory of a CTA, static and dynamic.
    pub shared_bytes: u32,
}

/// Distinct bytes of global memory that a launch touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UniqueBytes {
    /// By loads and atomics.
    pub read: u64,
    /// By stores and atomics.
    pub written: u64,
    /// 32-byte sectors with a byte read.
    pub read_sectors: u64,
    /// 32-byte sectors with a byte written.
    pub written_sectors: u64,
}

#[derive(Default)]
pub(crate) struct GlobalLine {
    pub(crate) line: Line,
    pub(crate) read: u128,
    pub(crate) written: u128,
    /// Bytes read by `ld.global.nc`.
    pub(crate) read_only: u128,
}

const PAGE_LINES: u64 = 32;
const SHARDS: usize = 64;

#[derive(Default)]
struct Page {
    lines: [GlobalLine; PAGE_LINES as usize],
}

/// Page numbers are spread well by one multiplication.
#[derive(Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(b.into());
        }
    }
    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type Pages = HashMap<u64, Box<Page>, BuildHasherDefault<PageHasher>>;

/// The state that the clusters of one launch share. A new launch starts with a new one: what earlier launches did is
/// ordered before all of it.
pub struct LaunchCheck {
    pub(crate) settings: Settings,
    pub(crate) geometry: Geometry,
    shards: Vec<Mutex<Pages>>,
}

impl LaunchCheck {
    /// The checks of one launch.
    pub fn new(settings: Settings, geometry: Geometry) -> Arc<LaunchCheck> {
        Arc::new(LaunchCheck { settings, geometry, shards: (0..SHARDS).map(|_| Mutex::default()).collect() })
    }

    /// The checks of cluster number `cluster`; `ctas` are the linear indices in the grid of its CTAs, by rank.
    pub fn cluster(self: &Arc<Self>, cluster: u32, ctas: &[u32]) -> ClusterCheck {
        ClusterCheck::new(self.clone(), cluster, ctas)
    }

    /// Runs `f` on the shadow of line number `line` of global memory.
    #[inline]
    pub(crate) fn with_line<R>(&self, line: u64, f: impl FnOnce(&mut GlobalLine) -> R) -> R {
        let page = line / PAGE_LINES;
        let shard = &self.shards[page as usize % SHARDS];
        // A panic elsewhere leaves at worst a missing record.
        let mut pages = shard.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut pages.entry(page).or_default().lines[(line % PAGE_LINES) as usize])
    }

    /// Distinct bytes that the launch touched so far.
    pub fn unique_bytes(&self) -> UniqueBytes {
        let mut sum = UniqueBytes::default();
        let sectors = |b: u128| (0..4).filter(|s| b >> (32 * s) & 0xffff_ffff != 0).count() as u64;
        for shard in &self.shards {
            let pages = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for line in pages.values().flat_map(|p| &p.lines) {
                sum.read += u64::from(line.read.count_ones());
                sum.written += u64::from(line.written.count_ones());
                sum.read_sectors += sectors(line.read);
                sum.written_sectors += sectors(line.written);
            }
        }
        sum
    }

    /// Forgets what was recorded about `bytes` bytes from `address`: memory that was freed and given out again.
    pub fn forget(&self, address: u64, bytes: u64) {
        let (first, last) = (address / 128, address.saturating_add(bytes) / 128);
        for line in first..=last {
            let from = address.max(line * 128) - line * 128;
            let to = address.saturating_add(bytes).min(line * 128 + 128).saturating_sub(line * 128);
            if from < to {
                self.with_line(line, |l| {
                    l.line.forget(crate::footprint::run(from as u32, (to - from) as u32))
                });
            }
        }
    }
}
