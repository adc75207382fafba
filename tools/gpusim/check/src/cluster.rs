//! The checks of one running cluster: its warps' clocks, its shared memory, and every access that it makes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::barrier::{BARRIERS, Barrier, ClusterBarrier};
use crate::clock::{ASYNC_GLOBAL, ASYNC_SHARED, Who};
use crate::footprint::{LINE, Lanes, Touch, run};
use crate::ids::{AccessKind, Engine, ProxyFence, Scope, Sem, SiteId, Space, StrongOp, WarpId};
use crate::launch::LaunchCheck;
use crate::line::{Conflict, Line};
use crate::mbarrier::Mbarrier;
use crate::message::{Message, Seat};
use crate::report::{Check, Finding, Party, Race};
use crate::warp::{Knowing, WarpState};

/// The shadow of one CTA's shared memory.
pub(crate) struct SharedShadow {
    pub(crate) lines: Vec<Line>,
    pub(crate) written: Vec<u128>,
}

/// An operation of a warp outside its threads that was begun and asked for no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Whose operations.
    pub engine: Engine,
    /// The lanes that started them.
    pub lanes: u32,
}

/// The checks of one cluster (a CTA launched alone is a cluster of one). Used by one host thread at a time.
pub struct ClusterCheck {
    pub(crate) launch: Arc<LaunchCheck>,
    pub(crate) cluster: u32,
    pub(crate) ctas: Vec<u32>,
    pub(crate) warps_per_cta: u32,
    pub(crate) warps: Vec<WarpState>,
    pub(crate) shared: Vec<SharedShadow>,
    pub(crate) barriers: Vec<Barrier>,
    pub(crate) cluster_barrier: ClusterBarrier,
    pub(crate) mbarriers: HashMap<(u32, u64), Mbarrier>,
    pub(crate) mbarrier_count: Vec<u16>,
    /// Whether a line of the access being made holds something for strong readers.
    pub(crate) met_messages: bool,
}

/// The identity of an access besides its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Issue {
    pub(crate) warp: WarpId,
    pub(crate) who: Who,
    pub(crate) clock: u32,
    pub(crate) kind: AccessKind,
    pub(crate) site: SiteId,
    pub(crate) size: u32,
    pub(crate) proxy: Option<usize>,
}

impl ClusterCheck {
    pub(crate) fn new(launch: Arc<LaunchCheck>, cluster: u32, ctas: &[u32]) -> Self {
        let threads = launch.geometry.threads.max(1);
        let warps_per_cta = threads.div_ceil(32);
        let mut warps = Vec::with_capacity(ctas.len() * warps_per_cta as usize);
        for &cta in ctas {
            for index in 0..warps_per_cta {
                let lanes = (threads - index * 32).min(32);
                let who = Who { cta, index: index as u16, engine: Engine::Thread };
                warps.push(WarpState::new(who, u32::MAX >> (32 - lanes)));
            }
        }
        let lines = (launch.geometry.shared_bytes as usize).div_ceil(LINE as usize);
        let shared = ctas
            .iter()
            .map(|_| SharedShadow { lines: vec![Line::default(); lines], written: vec![0; lines] })
            .collect();
        ClusterCheck {
            launch,
            cluster,
            ctas: ctas.to_vec(),
            warps_per_cta,
            warps,
            shared,
            barriers: (0..ctas.len() * BARRIERS).map(|_| Barrier::default()).collect(),
            cluster_barrier: ClusterBarrier::default(),
            mbarriers: HashMap::new(),
            mbarrier_count: vec![0; ctas.len()],
            met_messages: false,
        }
    }

    pub(crate) fn slot(&self, warp: WarpId) -> usize {
        (warp.rank * self.warps_per_cta + warp.index) as usize
    }

    pub(crate) fn seat(&self, rank: u32) -> Seat {
        Seat { cta: self.ctas[rank as usize], cluster: self.cluster }
    }

    /// Checks and records that `issue` touches a contiguous range on behalf of `lanes`.
    pub(crate) fn range(
        &mut self,
        issue: &Issue,
        space: Space,
        address: u64,
        bytes: u64,
        lanes: u32,
        know: Option<&Knowing>,
    ) -> Result<(), Box<Finding>> {
        if let Space::Shared { rank } = space {
            let limit = u64::from(self.launch.geometry.shared_bytes);
            if rank as usize >= self.ctas.len() || address.checked_add(bytes).is_none_or(|end| end > limit) {
                let by = self.party(issue, lanes.trailing_zeros());
                let size = bytes.min(u32::MAX.into()) as u32;
                return Err(Box::new(Finding::Address {
                    check: Check::OutOfBounds,
                    space,
                    address,
                    size,
                    by,
                }));
            }
        }
        let (mut at, mut left) = (address, bytes);
        while left != 0 {
            let from = (at % LINE) as u32;
            let count = left.min(u64::from(128 - from));
            let bytes = run(from, count as u32);
            self.touch(issue, space, &Touch { line: at / LINE, bytes, lanes: Lanes::Any(lanes) }, know)?;
            at = at.wrapping_add(count);
            left -= count;
        }
        Ok(())
    }

    pub(crate) fn changed(&self, issue: &Issue, space: Space, touch: &Touch, bytes: u128) -> Box<Finding> {
        let byte = bytes.trailing_zeros();
        let by = self.party(issue, touch.lanes.at(byte).trailing_zeros());
        Box::new(Finding::ReadOnly { space, address: touch.line * LINE + u64::from(byte), by })
    }

    pub(crate) fn race(
        &self,
        issue: &Issue,
        space: Space,
        touch: &Touch,
        conflict: &Conflict,
    ) -> Box<Finding> {
        let mine = touch.lanes.at(conflict.byte);
        let rec = &conflict.earlier;
        let theirs = rec.lanes.at(conflict.byte);
        // Of several lanes name one that is not the same thread.
        let same_warp =
            rec.who.cta == self.ctas[issue.warp.rank as usize] && u32::from(rec.warp) == issue.warp.index;
        let earlier_lane =
            if same_warp && theirs & !mine != 0 { theirs & !mine } else { theirs }.trailing_zeros();
        let apart = mine & !(1 << earlier_lane);
        let now_lane = if same_warp && apart != 0 { apart } else { mine }.trailing_zeros();
        let earlier = Party {
            cta: rec.who.cta,
            thread: u32::from(rec.warp) * 32 + earlier_lane,
            engine: rec.who.engine,
            kind: rec.kind,
            site: rec.site,
        };
        let address = touch.line * LINE + u64::from(conflict.byte);
        let now = self.party(issue, now_lane);
        Box::new(Finding::Race(Race { space, address, now, earlier, missing: conflict.missing }))
    }

    pub(crate) fn party(&self, issue: &Issue, lane: u32) -> Party {
        Party {
            cta: self.ctas[issue.warp.rank as usize],
            thread: issue.warp.index * 32 + (lane & 31),
            engine: issue.who.engine,
            kind: issue.kind,
            site: issue.site,
        }
    }

    pub(crate) fn synchronise(
        &mut self,
        warp: WarpId,
        space: Space,
        mask: u32,
        addresses: &[u64; 32],
        size: u32,
        op: StrongOp,
        sem: Sem,
        scope: Scope,
    ) {
        let seat = self.seat(warp.rank);
        let slot = self.slot(warp);
        let launch = self.launch.clone();
        for lane in (0..32usize).filter(|l| mask >> l & 1 != 0) {
            let (line, byte) = (addresses[lane] / LINE, (addresses[lane] % LINE) as u32);
            let state = &mut self.warps[slot];
            let mut step =
                |line: &mut Line| strong_step(state, seat, lane as u32, line, byte, size, op, sem, scope);
            match space {
                Space::Global => launch.with_line(line, |global| step(&mut global.line)),
                Space::Shared { rank } => step(&mut self.shared[rank as usize].lines[line as usize]),
            }
        }
        if sem.releases() && op != StrongOp::Load {
            self.warps[slot].know.clock += 1;
        }
    }

    /// `bar.warp.sync` of the lanes `mask`, when all of them have arrived.
    pub fn warp_sync(&mut self, warp: WarpId, mask: u32) {
        let slot = self.slot(warp);
        self.warps[slot].know.warp_sync(mask);
    }

    /// `fence.{acq_rel,sc,acquire,release}.scope`, `membar.level`, `fence.mbarrier_init` (release, cluster).
    pub fn fence(&mut self, warp: WarpId, mask: u32, sem: Sem, scope: Scope) {
        let (slot, seat) = (self.slot(warp), self.seat(warp.rank));
        let state = &mut self.warps[slot];
        if sem.acquires() {
            state.fence_acquire(mask, scope, seat);
        }
        if sem.releases() {
            state.fence_release(mask, scope);
        }
    }

    /// `fence.proxy.*` of the lanes `mask`.
    pub fn fence_proxy(&mut self, warp: WarpId, mask: u32, which: ProxyFence) {
        let slot = self.slot(warp);
        self.warps[slot].know.fence_proxy(mask, which);
    }

    /// The lanes `mask` end: operations that they started and did not wait for.
    pub fn exit(&mut self, warp: WarpId, mask: u32) -> Vec<Leak> {
        let state = &self.warps[self.slot(warp)];
        let engines = [
            (Engine::CpAsync, &state.copies),
            (Engine::BulkRead, &state.bulk),
            (Engine::Wgmma, &state.wgmma),
        ];
        let leaks = engines.map(|(engine, batches)| Leak { engine, lanes: batches.leaked(mask) });
        leaks.into_iter().filter(|l| l.lanes != 0).collect()
    }

    /// Bytes of a CTA's shared memory have a value from the start.
    pub fn shared_written(&mut self, rank: u32, start: u32, bytes: u32) {
        let Some(shadow) = self.shared.get_mut(rank as usize) else { return };
        for at in u64::from(start)..u64::from(start) + u64::from(bytes) {
            if let Some(line) = shadow.written.get_mut((at / LINE) as usize) {
                *line |= 1 << (at % LINE);
            }
        }
    }

    pub(crate) fn async_proxy(space: Space) -> Option<usize> {
        Some(if space == Space::Global { ASYNC_GLOBAL } else { ASYNC_SHARED })
    }
}

/// The order that one lane's strong operation takes from its location and leaves there.
fn strong_step(
    state: &mut WarpState,
    seat: Seat,
    lane: u32,
    line: &mut Line,
    byte: u32,
    size: u32,
    op: StrongOp,
    sem: Sem,
    scope: Scope,
) {
    let lanes = 1 << lane;
    let brings = matches!(op, StrongOp::Load | StrongOp::Rmw) && line.message(byte, size).is_some();
    if op != StrongOp::Load {
        let mut message = Message::default();
        if sem.releases() {
            message.add(seat, scope, &state.know.view(lanes));
        } else {
            for fence in state.fenced(lanes) {
                message.add(seat, scope.min(fence.scope), &fence.at.view(lanes));
            }
        }
        let keep = op != StrongOp::Store;
        if !message.is_empty() || line.has_messages() {
            line.post(byte, size, keep, message);
        }
    }
    // After the post, which has only added what the thread knows itself: a message that nobody else holds grows in place.
    if brings && let Some(message) = line.message(byte, size) {
        if sem.acquires() {
            if let Some(view) = message.visible(seat, scope) {
                state.know.acquire(lanes, &view);
            }
        } else {
            let message = message.clone();
            state.remember(lanes, scope, &message);
        }
    }
}
