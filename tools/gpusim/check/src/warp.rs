//! What the lanes of a warp know, and the bookkeeping of the asynchronous operations that they started.
//!
//! A warp has one epoch counter for its 32 lanes; it moves on after every release by any of them. Lanes that know the same
//! share a [`Group`]: one group while the warp only meets at barriers, more of them between an acquire by a few lanes and
//! the next warp or CTA barrier. What a lane knows of *itself* is everything and needs no entry; what it knows of its own
//! engines (`cp.async`, bulk groups) is in [`Own`], so that 32 lanes that wait for their own copies stay one group.

use std::sync::Arc;

use crate::clock::{ASYNC_GLOBAL, ASYNC_SHARED, PROXIES, TENSORMAP, View, Who};
use crate::ids::{Engine, ProxyFence, Scope};
use crate::know::Know;
use crate::message::Message;

/// Lanes with the same knowledge.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) mask: u32,
    pub(crate) view: View,
    /// Of the lanes of this warp. Kept out of `view` so that a warp barrier need not copy it; never behind `view`.
    pub(crate) own: Know,
}

/// What each lane knows of its own engines and has made visible of its own accesses.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Complete epochs of `cp.async`, bulk reads and bulk writes, by lane.
    pub(crate) done: [[u32; 32]; 3],
    /// The least of each over the lanes that exist.
    least: [u32; 3],
    /// Complete epoch of `wgmma`, for the warp.
    pub(crate) wgmma: u32,
    /// By proxy: the lane's own epoch at its last proxy fence, and that of its own completed `cp.async`.
    pub(crate) proxied: [Option<Box<[[u32; 32]; 2]>>; PROXIES],
}

impl Own {
    /// The epoch of `cp.async` that is complete in every lane.
    #[inline]
    pub(crate) fn least_copies(&self) -> u32 {
        self.least[0]
    }
}

/// Sets the lanes of `mask` to what `f` makes of them.
#[inline(always)]
fn set_lanes(lanes: &mut [u32; 32], mask: u32, f: impl Fn(usize, u32) -> u32) {
    // One loop without branches for the compiler to make vectors of.
    for (l, value) in lanes.iter_mut().enumerate() {
        let new = f(l, *value);
        *value = if mask >> l & 1 != 0 { new } else { *value };
    }
}

/// The engines that [`Own::done`] is about, in its order.
pub(crate) const OWN_ENGINES: [Engine; 3] = [Engine::CpAsync, Engine::BulkRead, Engine::BulkWrite];

/// The knowledge of the lanes of a warp at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Knowing {
    /// The warp's threads as an agent.
    pub(crate) me: Who,
    /// Lanes that exist.
    pub(crate) live: u32,
    /// Epoch of the accesses being made.
    pub(crate) clock: u32,
    pub(crate) groups: Vec<Group>,
    pub(crate) own: Arc<Own>,
    /// Whether `own` holds something that the groups of all lanes do not know yet.
    news: bool,
}

impl Knowing {
    fn new(me: Who, live: u32) -> Self {
        let own = Own { done: [[0; 32]; 3], least: [0; 3], wgmma: 0, proxied: Default::default() };
        let group = Group { mask: live, view: View::default(), own: Know::All(0) };
        Knowing { me, live, clock: 1, groups: vec![group], own: Arc::new(own), news: false }
    }

    pub(crate) fn engine(&self, engine: Engine) -> Who {
        Who { engine, ..self.me }
    }

    fn widened(&self, lanes: u32) -> u32 {
        if lanes & self.live == self.live { u32::MAX } else { lanes }
    }

    /// What the lanes in `lanes` know together, themselves included.
    pub(crate) fn view(&self, lanes: u32) -> View {
        let mut groups = self.groups.iter().filter(|g| g.mask & lanes != 0);
        let Some(first) = groups.next() else { return View::default() };
        let mut view = first.view.clone();
        let mut own = first.own.clone();
        for group in groups {
            view.join(&group.view);
            own.join(&group.own);
        }
        let wide = self.widened(lanes);
        own.raise(wide, self.clock);
        view.seen.add(self.me, &own);
        for (engine, done) in OWN_ENGINES.into_iter().zip(&self.own.done) {
            view.seen.raise_each(self.engine(engine), lanes, done);
        }
        if lanes != 0 {
            view.seen.raise(self.engine(Engine::Wgmma), u32::MAX, self.own.wgmma);
        }
        for (clock, own) in view.proxied.iter_mut().zip(&self.own.proxied) {
            if let Some(own) = own {
                clock.raise_each(self.me, lanes, &own[0]);
                clock.raise_each(self.engine(Engine::CpAsync), lanes, &own[1]);
            }
        }
        view
    }

    /// The common view of all lanes, when `lanes` are all lanes and only their own epochs are missing from it.
    pub(crate) fn plain_view(&self, lanes: u32) -> Option<&View> {
        match self.groups.as_slice() {
            [only] if lanes & self.live == self.live && !self.news => Some(&only.view),
            _ => None,
        }
    }

    /// Like [`Knowing::view`], and what follows is not part of it.
    pub(crate) fn release(&mut self, lanes: u32) -> View {
        let view = self.view(lanes);
        self.clock += 1;
        view
    }

    /// Makes `lanes` a union of groups.
    fn split(&mut self, lanes: u32) {
        for at in 0..self.groups.len() {
            let inside = self.groups[at].mask & lanes;
            if inside != 0 && inside != self.groups[at].mask {
                let mut part = self.groups[at].clone();
                part.mask = inside;
                self.groups[at].mask &= !lanes;
                self.groups.push(part);
            }
        }
    }

    /// Joins groups that know the same, as far as that is cheap to see.
    fn unite(&mut self) {
        let mut at = 1;
        while at < self.groups.len() {
            let same = (0..at).find(|&i| {
                let (a, b) = (&self.groups[i], &self.groups[at]);
                a.view.same(&b.view) && a.own.includes(&b.own) && b.own.includes(&a.own)
            });
            match same {
                Some(i) => {
                    self.groups[i].mask |= self.groups[at].mask;
                    self.groups.swap_remove(at);
                }
                None => at += 1,
            }
        }
    }

    /// The lanes come to know `view`.
    pub(crate) fn acquire(&mut self, lanes: u32, view: &View) {
        let lanes = lanes & self.live;
        self.split(lanes);
        let me = self.me;
        for group in self.groups.iter_mut().filter(|g| g.mask & lanes != 0) {
            group.view.join(view);
            if let Some(own) = view.seen.get(me) {
                group.own.join(own);
            }
        }
        if self.groups.len() > 1 {
            self.unite();
        }
    }

    /// The lanes know exactly `view`, which includes all that they knew.
    pub(crate) fn set(&mut self, lanes: u32, view: &View) {
        let lanes = lanes & self.live;
        if lanes == 0 {
            return;
        }
        for group in &mut self.groups {
            group.mask &= !lanes;
        }
        self.groups.retain(|g| g.mask != 0);
        let own = view.seen.get(self.me).cloned().unwrap_or_default();
        self.groups.push(Group { mask: lanes, view: view.clone(), own });
        if lanes == self.live {
            self.news = false;
        }
    }

    /// The knowledge of an operation that all lanes start together.
    pub(crate) fn collective(&self) -> Knowing {
        let mut all = self.clone();
        let view = self.view(self.live);
        all.set(self.live, &view);
        all
    }

    pub(crate) fn warp_sync(&mut self, lanes: u32) {
        if lanes & self.live == self.live && self.groups.len() == 1 && !self.news {
            self.groups[0].own = Know::All(self.clock);
        } else {
            let view = self.view(lanes);
            self.set(lanes, &view);
        }
        self.clock += 1;
    }

    pub(crate) fn fence_proxy(&mut self, lanes: u32, which: ProxyFence) {
        let proxies: &[usize] = match which {
            ProxyFence::Async => &[ASYNC_SHARED, ASYNC_GLOBAL],
            ProxyFence::AsyncGlobal => &[ASYNC_GLOBAL],
            ProxyFence::AsyncShared => &[ASYNC_SHARED],
            ProxyFence::Tensormap => &[TENSORMAP],
        };
        let lanes = lanes & self.live;
        self.split(lanes);
        let me = self.me;
        for group in self.groups.iter_mut().filter(|g| g.mask & lanes != 0) {
            let mut seen = group.view.seen.clone();
            seen.add(me, &group.own);
            for &proxy in proxies {
                group.view.proxied[proxy].join(&seen);
            }
        }
        let clock = self.clock;
        let own = Arc::make_mut(&mut self.own);
        for &proxy in proxies {
            let mine = own.proxied[proxy].get_or_insert_with(|| Box::new([[0; 32]; 2]));
            for l in (0..32).filter(|l| lanes >> l & 1 != 0) {
                mine[0][l] = clock;
                mine[1][l] = own.done[0][l];
            }
        }
        self.clock += 1;
        self.news = true;
    }

    /// Lane `l` of `lanes` knows its own engine's epochs up to `upto[l]`.
    fn raise_own(&mut self, engine: usize, lanes: u32, upto: &[u32; 32]) {
        let done = &self.own.done[engine];
        if (0..32).all(|l| lanes >> l & 1 == 0 || upto[l] <= done[l]) {
            return;
        }
        let live = self.live;
        let own = Arc::make_mut(&mut self.own);
        set_lanes(&mut own.done[engine], lanes, |l, old| old.max(upto[l]));
        let done = &own.done[engine];
        own.least[engine] =
            (0..32).filter(|l| live >> l & 1 != 0).fold(u32::MAX, |least, l| least.min(done[l]));
        self.news = true;
    }
}

/// Commit groups of one engine of a warp.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    /// Epoch of the operations being issued.
    pub(crate) clock: u32,
    commits: Vec<(u32, u32)>,
    /// Last epoch in which each lane issued something, and up to which something will complete it.
    issued: [u32; 32],
    settled: [u32; 32],
}

/// A wait for all but more than this many groups is taken to wait for none; no hardware keeps that many.
const REMEMBERED_COMMITS: usize = 256;

impl Default for Batches {
    fn default() -> Self {
        Batches { clock: 1, commits: Vec::new(), issued: [0; 32], settled: [0; 32] }
    }
}

impl Batches {
    pub(crate) fn issue(&mut self, lanes: u32) {
        let clock = self.clock;
        set_lanes(&mut self.issued, lanes, |_, _| clock);
    }

    pub(crate) fn commit(&mut self, lanes: u32) {
        self.commits.push((lanes, self.clock));
        self.clock += 1;
        if self.commits.len() >= 2 * REMEMBERED_COMMITS {
            self.commits.drain(..REMEMBERED_COMMITS);
        }
    }

    /// Ends the current epoch for something that completes with all issued so far; its number.
    pub(crate) fn mark(&mut self, lanes: u32) -> u32 {
        let at = self.clock;
        self.clock += 1;
        self.settle(lanes, &[at; 32]);
        at
    }

    fn settle(&mut self, lanes: u32, upto: &[u32; 32]) {
        set_lanes(&mut self.settled, lanes, |l, old| old.max(upto[l]));
    }

    /// Epochs that are complete, by lane, when at most `pending` groups are not.
    pub(crate) fn wait(&mut self, lanes: u32, pending: u32) -> [u32; 32] {
        let mut upto = [0; 32];
        // As long as all of the lanes took part in the commits they have the same.
        let count = (pending as usize).saturating_add(1);
        let together = self.commits.iter().rev().take_while(|c| c.0 & lanes == lanes).take(count);
        if together.clone().count() == count {
            let clock = together.last().map_or(0, |c| c.1);
            set_lanes(&mut upto, lanes, |_, _| clock);
            self.settle(lanes, &upto);
            return upto;
        }
        let mut left = [pending; 32];
        let mut open = lanes;
        for &(mask, clock) in self.commits.iter().rev() {
            if open == 0 {
                break;
            }
            let ours = mask & open;
            for l in (0..32).filter(|l| ours >> l & 1 != 0) {
                if left[l] == 0 {
                    upto[l] = clock;
                    open &= !(1 << l);
                } else {
                    left[l] -= 1;
                }
            }
        }
        self.settle(lanes, &upto);
        upto
    }

    /// Lanes with operations that nothing has waited for.
    pub(crate) fn leaked(&self, lanes: u32) -> u32 {
        (0..32)
            .filter(|&l| lanes >> l & 1 != 0 && self.issued[l] > self.settled[l])
            .fold(0, |m, l| m | 1 << l)
    }
}

/// What relaxed reads brought and a later fence may acquire.
#[derive(Clone, Debug)]
struct Pending {
    lanes: u32,
    scope: Scope,
    message: Message,
}

/// What fences made ready for later relaxed writes to release.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    pub(crate) lanes: u32,
    pub(crate) scope: Scope,
    pub(crate) at: Arc<Knowing>,
}

/// A warp under check.
#[derive(Clone, Debug)]
pub(crate) struct WarpState {
    pub(crate) know: Knowing,
    pub(crate) copies: Batches,
    pub(crate) bulk: Batches,
    pub(crate) wgmma: Batches,
    pub(crate) released: Vec<Released>,
    pending: Vec<Pending>,
}

impl WarpState {
    pub(crate) fn new(me: Who, live: u32) -> Self {
        WarpState {
            know: Knowing::new(me, live),
            copies: Batches::default(),
            bulk: Batches::default(),
            wgmma: Batches::default(),
            released: Vec::new(),
            pending: Vec::new(),
        }
    }

    pub(crate) fn wait_copies(&mut self, lanes: u32, pending: Option<u32>) {
        let upto = match pending {
            Some(n) => self.copies.wait(lanes, n),
            None => [self.copies.mark(lanes); 32],
        };
        self.know.raise_own(0, lanes, &upto);
    }

    pub(crate) fn wait_bulk(&mut self, lanes: u32, pending: u32, read_only: bool) {
        let upto = self.bulk.wait(lanes, pending);
        self.know.raise_own(1, lanes, &upto);
        if !read_only {
            self.know.raise_own(2, lanes, &upto);
        }
    }

    pub(crate) fn wait_wgmma(&mut self, pending: u32) {
        let upto = self.wgmma.wait(1, pending)[0];
        let own = Arc::make_mut(&mut self.know.own);
        own.wgmma = own.wgmma.max(upto);
        self.know.news = true;
    }

    /// The release side of a fence: what later strong writes of the lanes carry.
    pub(crate) fn fence_release(&mut self, lanes: u32, scope: Scope) {
        for old in self.released.iter_mut().filter(|r| r.scope <= scope) {
            old.lanes &= !lanes;
        }
        self.released.retain(|r| r.lanes != 0);
        self.released.push(Released { lanes, scope, at: Arc::new(self.know.clone()) });
        self.know.clock += 1;
    }

    /// The fences whose release a relaxed write of `lanes` passes on.
    pub(crate) fn fenced(&self, lanes: u32) -> impl Iterator<Item = &Released> {
        self.released.iter().filter(move |r| r.lanes & lanes != 0)
    }

    /// The acquire side of a fence: what earlier strong reads of the lanes brought, as far as the scopes reach.
    pub(crate) fn fence_acquire(&mut self, lanes: u32, scope: Scope, seat: crate::message::Seat) {
        let mut pending = std::mem::take(&mut self.pending);
        for p in &mut pending {
            let now = p.lanes & lanes;
            if now == 0 {
                continue;
            }
            if let Some(view) = p.message.visible(seat, p.scope.min(scope)) {
                self.know.acquire(now, &view);
            }
            if scope >= p.scope {
                p.lanes &= !now;
            }
        }
        pending.retain(|p| p.lanes != 0);
        self.pending = pending;
    }

    /// Remembers what a relaxed read of `lanes` brought.
    pub(crate) fn remember(&mut self, lanes: u32, scope: Scope, message: &Message) {
        if self
            .pending
            .iter()
            .any(|p| p.lanes & lanes == lanes && p.scope == scope && p.message.same(message))
        {
            return;
        }
        // A polling loop reads one location again and again; its messages may join.
        if let Some(old) = self.pending.iter_mut().find(|p| p.lanes == lanes && p.scope == scope) {
            old.message.join(message);
            return;
        }
        self.pending.push(Pending { lanes, scope, message: message.clone() });
    }
}
