//! One launch: its settings and shape, and the shadow of global memory that all its clusters share.

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::ClusterCheck;
use crate::page::{GlobalLine, PAGE, PAGE_LINES, Page};

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

const SHARDS: usize = 64;

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

/// Pages that lie together: who streams through memory seldom looks for a place.
const TOGETHER: u64 = 16;

type Pages = HashMap<u64, Box<[Page; TOGETHER as usize]>, BuildHasherDefault<PageHasher>>;

/// The state that the clusters of one launch share. A new launch starts with a new one: what earlier launches did is
/// ordered before all of it.
pub struct LaunchCheck {
    pub(crate) settings: Settings,
    pub(crate) geometry: Geometry,
    shards: Vec<Shard>,
    /// Whether there may be several host threads.
    locked: bool,
}

/// A part of the shadow of global memory.
#[derive(Default)]
struct Shard {
    lock: Mutex<()>,
    pages: UnsafeCell<Pages>,
}

// SAFETY: `pages` is reached through `Shard::with` alone, which holds the lock, or whose caller has seen to it that there
// is one thread.
unsafe impl Sync for Shard {}

impl Shard {
    /// Runs `f` on the pages, under the lock if `locked`.
    ///
    /// # Safety
    ///
    /// Without `locked` no other thread uses the shard meanwhile. `f` does not come back here.
    #[inline]
    unsafe fn with<R>(&self, locked: bool, f: impl FnOnce(&mut Pages) -> R) -> R {
        // A panic elsewhere leaves at worst a missing record.
        let _held = locked.then(|| self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        // SAFETY: nobody else has a reference: another thread by the lock or the caller, this one as `f` does not come back.
        f(unsafe { &mut *self.pages.get() })
    }
}

impl LaunchCheck {
    /// The checks of one launch.
    pub fn new(settings: Settings, geometry: Geometry) -> Arc<LaunchCheck> {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Arc::new(LaunchCheck { settings, geometry, shards, locked: true })
    }

    /// Goes without locks.
    ///
    /// # Safety
    ///
    /// From now on one thread only uses the launch's checks, those of its clusters included.
    pub unsafe fn single_threaded(&mut self) {
        self.locked = false;
    }

    /// Runs `f`, which uses no other part of the shadow, on the pages that block number `block` is among.
    #[inline]
    fn with_shard<R>(&self, block: u64, f: impl FnOnce(&mut Pages) -> R) -> R {
        // SAFETY: `single_threaded` promises that there is one thread where there is no lock. All closures that come here
        // work on one page or line.
        unsafe { self.shards[block as usize % SHARDS].with(self.locked, f) }
    }

    /// The checks of cluster number `cluster`; `ctas` are the linear indices in the grid of its CTAs, by rank.
    pub fn cluster(self: &Arc<Self>, cluster: u32, ctas: &[u32]) -> ClusterCheck {
        ClusterCheck::new(self.clone(), cluster, ctas)
    }

    /// Runs `f` on the shadow of page number `page` of global memory.
    #[inline]
    pub(crate) fn with_page<R>(&self, page: u64, f: impl FnOnce(&mut Page) -> R) -> R {
        let (block, at) = (page / TOGETHER, (page % TOGETHER) as usize);
        self.with_shard(block, |pages| f(&mut pages.entry(block).or_default()[at]))
    }

    /// Runs `f` on the shadow of line number `line` of global memory.
    #[inline]
    pub(crate) fn with_line<R>(&self, line: u64, f: impl FnOnce(&mut GlobalLine) -> R) -> R {
        let races = self.settings.global_races;
        self.with_page(line / PAGE_LINES as u64, |page| {
            f(&mut page.lines(races)[(line % PAGE_LINES as u64) as usize])
        })
    }

    /// Distinct bytes that the launch touched so far.
    pub fn unique_bytes(&self) -> UniqueBytes {
        let mut sum = UniqueBytes::default();
        let sectors = |b: u128| (0..4).filter(|s| b >> (32 * s) & 0xffff_ffff != 0).count() as u64;
        let mut add = |read: u128, written: u128| {
            sum.read += u64::from(read.count_ones());
            sum.written += u64::from(written.count_ones());
            sum.read_sectors += sectors(read);
            sum.written_sectors += sectors(written);
        };
        for shard in 0..SHARDS as u64 {
            self.with_shard(shard, |pages| {
                pages.values().flat_map(|block| block.iter()).for_each(|page| page.touched(&mut add));
            });
        }
        sum
    }

    /// Forgets what was recorded about `bytes` bytes from `address`: memory that was freed and given out again.
    pub fn forget(&self, address: u64, bytes: u64) {
        let races = self.settings.global_races;
        let end = address.saturating_add(bytes);
        for number in address / PAGE..=end / PAGE {
            let (block, at) = (number / TOGETHER, (number % TOGETHER) as usize);
            self.with_shard(block, |pages| {
                let Some(page) = pages.get_mut(&block).map(|block| &mut block[at]) else { return };
                for (line, shadow) in (number * PAGE_LINES as u64..).zip(page.lines(races)) {
                    let from = address.max(line * 128) - line * 128;
                    let to = end.min(line * 128 + 128).saturating_sub(line * 128);
                    if from < to {
                        shadow.line.forget(crate::footprint::run(from as u32, (to - from) as u32));
                    }
                }
            });
        }
    }
}
