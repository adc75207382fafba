//! The checks of one running cluster: its warps' clocks, its shared memory, and every access that it makes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::barrier::{BARRIERS, Barrier, ClusterBarrier};
use crate::clock::{ASYNC_GLOBAL, ASYNC_SHARED, Who};
use crate::footprint::{LINE, Lanes, Touch, Touches, linear_origin, run, touches};
use crate::ids::{AccessKind, Engine, ProxyFence, Scope, Sem, SiteId, Space, StrongOp, WarpId};
use crate::launch::LaunchCheck;
use crate::line::{Actor, Conflict, Line};
use crate::mbarrier::Mbarrier;
use crate::message::{Message, Seat};
use crate::report::{Check, Finding, Missing, Party, Race};
use crate::warp::{Knowing, WarpState};

/// The shadow of one CTA's shared memory.
pub(crate) struct SharedShadow {
    lines: Vec<Line>,
    written: Vec<u128>,
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
    shared: Vec<SharedShadow>,
    pub(crate) barriers: Vec<Barrier>,
    pub(crate) cluster_barrier: ClusterBarrier,
    pub(crate) mbarriers: HashMap<(u32, u64), Mbarrier>,
    pub(crate) mbarrier_count: Vec<u16>,
    /// Whether a line of the access being made holds something for strong readers.
    met_messages: bool,
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

    /// Checks and records one access of the lanes `mask`, `size` bytes at each lane's address. `engine` is
    /// [`Engine::Thread`] or [`Engine::CpAsync`]. A strong access also carries or takes order; with CTAs on several host
    /// threads its data access and this call have to happen under one lock of the location.
    pub fn access(
        &mut self,
        warp: WarpId,
        engine: Engine,
        space: Space,
        mask: u32,
        addresses: &[u64; 32],
        size: u32,
        kind: AccessKind,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        let state = &mut self.warps[(warp.rank * self.warps_per_cta + warp.index) as usize];
        let clock = match engine {
            Engine::CpAsync => {
                state.copies.issue(mask);
                state.copies.clock
            }
            _ => state.know.clock,
        };
        let who = state.know.engine(engine);
        let issue = Issue { warp, who, clock, kind, site, size, proxy: None };
        self.check_addresses(&issue, space, mask, addresses, size)?;
        let mut found = Touches::new();
        match touches(&mut found, mask, addresses, size, kind == AccessKind::Write) {
            Ok(()) => {}
            Err(overlap) => {
                let now = self.party(&issue, overlap.lanes[1]);
                let earlier = self.party(&issue, overlap.lanes[0]);
                let missing = Missing::SameInstruction;
                return Err(Box::new(Finding::Race(Race {
                    space,
                    address: overlap.address,
                    now,
                    earlier,
                    missing,
                })));
            }
        };
        self.met_messages = false;
        for touch in &found {
            self.touch(&issue, space, touch, None)?;
        }
        let slot = self.slot(warp);
        if let AccessKind::Strong { op, sem, scope } = kind
            && (sem != Sem::Relaxed || self.met_messages || !self.warps[slot].released.is_empty())
            && size.is_power_of_two()
            && size <= 32
        {
            self.synchronise(warp, space, mask, addresses, size, op, sem, scope);
        }
        Ok(())
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

    fn check_addresses(
        &self,
        issue: &Issue,
        space: Space,
        mask: u32,
        addresses: &[u64; 32],
        size: u32,
    ) -> Result<(), Box<Finding>> {
        let limit = match space {
            Space::Global => u64::MAX,
            Space::Shared { rank } if (rank as usize) < self.ctas.len() => {
                self.launch.geometry.shared_bytes.into()
            }
            Space::Shared { .. } => 0,
        };
        // Coalesced: the two ends stand for all lanes.
        if mask != 0
            && size.is_power_of_two()
            && let Some(origin) = linear_origin(mask, addresses, size)
        {
            let low = origin.wrapping_add(u64::from(mask.trailing_zeros() * size));
            let high = u64::from((32 - mask.leading_zeros() - mask.trailing_zeros()) * size);
            if low.is_multiple_of(size.into()) && low.checked_add(high).is_some_and(|end| end <= limit) {
                return Ok(());
            }
        }
        let low_bits = if size.is_power_of_two() { u64::from(size) - 1 } else { 0 };
        let (mut odd, mut beyond) = (0, false);
        for (l, &address) in addresses.iter().enumerate() {
            let there = mask >> l & 1 != 0;
            odd |= if there { address & low_bits } else { 0 };
            beyond |= there & (address > limit.wrapping_sub(size.into()) || limit < size.into());
        }
        if odd == 0 && !beyond {
            return Ok(());
        }
        let bad = |l: &u32| {
            let address = addresses[*l as usize];
            let past = address.checked_add(size.into()).is_none_or(|end| end > limit);
            mask >> l & 1 != 0 && (address & low_bits != 0 || past)
        };
        let lane = (0..32).find(bad).unwrap_or(0);
        let address = addresses[lane as usize];
        let check = if address & low_bits != 0 { Check::Misaligned } else { Check::OutOfBounds };
        Err(Box::new(Finding::Address { check, space, address, size, by: self.party(issue, lane) }))
    }

    fn touch(
        &mut self,
        issue: &Issue,
        space: Space,
        touch: &Touch,
        know: Option<&Knowing>,
    ) -> Result<(), Box<Finding>> {
        let settings = self.launch.settings;
        let know = know.unwrap_or(&self.warps[self.slot(issue.warp)].know);
        let actor = Actor {
            know,
            seat: self.seat(issue.warp.rank),
            who: issue.who,
            clock: issue.clock,
            kind: issue.kind,
            site: issue.site,
            size: issue.size,
            proxy: issue.proxy,
        };
        let (mut met, mut read_only) = (false, 0);
        let outcome = match space {
            Space::Global => {
                let strong = matches!(issue.kind, AccessKind::Strong { .. });
                if !settings.global_races && !settings.unique_bytes && !strong {
                    return Ok(());
                }
                self.launch.with_line(touch.line, |global| {
                    if issue.kind.reads() {
                        global.read |= touch.bytes;
                    }
                    if issue.kind.writes() {
                        global.written |= touch.bytes;
                        read_only = global.read_only & touch.bytes;
                    }
                    met |= global.line.has_messages();
                    if settings.global_races { global.line.access(&actor, touch) } else { Ok(()) }
                })
            }
            Space::Shared { rank } => {
                let shadow = &mut self.shared[rank as usize];
                let at = touch.line as usize;
                met = shadow.lines[at].has_messages();
                let outcome =
                    if settings.shared_races { shadow.lines[at].access(&actor, touch) } else { Ok(()) };
                let fresh = touch.bytes & !shadow.written[at];
                if outcome.is_ok() && issue.kind.reads() && fresh != 0 && settings.shared_uninitialised {
                    let byte = fresh.trailing_zeros();
                    let address = touch.line * LINE + u64::from(byte);
                    let by = self.party(issue, touch.lanes.at(byte).trailing_zeros());
                    return Err(Box::new(Finding::Uninitialised { space, address, by }));
                }
                if issue.kind.writes() {
                    shadow.written[at] |= touch.bytes;
                }
                outcome
            }
        };
        self.met_messages |= met;
        outcome.map_err(|conflict| self.race(issue, space, touch, &conflict))?;
        match read_only {
            0 => Ok(()),
            bytes => Err(self.changed(issue, space, touch, bytes)),
        }
    }

    /// `ld.global.nc`, besides its [`access`](ClusterCheck::access): nothing of the launch may write what it reads.
    pub fn read_only(
        &mut self,
        warp: WarpId,
        mask: u32,
        addresses: &[u64; 32],
        size: u32,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        if !self.launch.settings.global_races {
            return Ok(());
        }
        let know = &self.warps[self.slot(warp)].know;
        let (who, clock) = (know.me, know.clock);
        let issue = Issue { warp, who, clock, kind: AccessKind::Read, site, size, proxy: None };
        let mut found = Touches::new();
        // Only writes overlap.
        let _ = touches(&mut found, mask, addresses, size, false);
        for touch in &found {
            let written = self.launch.with_line(touch.line, |global| {
                global.read_only |= touch.bytes;
                global.written & touch.bytes
            });
            if written != 0 {
                return Err(self.changed(&issue, Space::Global, touch, written));
            }
        }
        Ok(())
    }

    fn changed(&self, issue: &Issue, space: Space, touch: &Touch, bytes: u128) -> Box<Finding> {
        let byte = bytes.trailing_zeros();
        let by = self.party(issue, touch.lanes.at(byte).trailing_zeros());
        Box::new(Finding::ReadOnly { space, address: touch.line * LINE + u64::from(byte), by })
    }

    fn race(&self, issue: &Issue, space: Space, touch: &Touch, conflict: &Conflict) -> Box<Finding> {
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

    fn synchronise(
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
            for fence in state.released.iter().filter(|r| r.lanes & lanes != 0) {
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
