//! The end of a CTA, and of its shared memory.

use crate::cluster::{ClusterCheck, Issue};
use crate::ids::{AccessKind, SiteId, Space, WarpId};
use crate::report::Finding;

impl ClusterCheck {
    /// All threads of CTA `rank` have ended, and its shared memory with them: what other CTAs of the cluster did there has to
    /// be ordered before the end of one of its threads. The end counts as a write of all of it.
    pub fn cta_exit(&mut self, rank: u32, site: SiteId) -> Result<(), Box<Finding>> {
        if self.ctas.len() == 1 {
            return Ok(());
        }
        let first = self.slot(WarpId::new(rank, 0));
        let mut know = self.warps[first].know.collective();
        for other in &self.warps[first + 1..first + self.warps_per_cta as usize] {
            let view = other.know.view(other.know.live);
            know.acquire(know.live, &view);
        }
        let warp = WarpId::new(rank, 0);
        let (who, clock) = (know.me, know.clock);
        let issue = Issue { warp, who, clock, kind: AccessKind::Write, site, size: 1, proxy: None };
        let bytes = u64::from(self.launch.geometry.shared_bytes);
        self.range(&issue, Space::Shared { rank }, 0, bytes, know.live, Some(&know))
    }
}
