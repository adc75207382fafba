//! Vector clocks over the agents of a grid, shared until they differ.
//!
//! A clock maps agents to [`Know`]. Agents are the warps (with one epoch per lane) and the engines that work for them.
//! Entries of one CTA lie together behind one `Arc`: the warps of a CTA share the object that their last barrier made, and
//! a clock that saw ten thousand CTAs holds ten thousand pointers to what those CTAs published.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::ids::Engine;
use crate::know::Know;

/// An agent of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// Linear CTA in the grid.
    pub(crate) cta: u32,
    /// Warp in the CTA; for [`Engine::Tx`] the number of the mbarrier in the CTA.
    pub(crate) index: u16,
    /// Which engine.
    pub(crate) engine: Engine,
}

/// What is known of the agents of one CTA.
#[derive(Clone, Debug, Default)]
struct CtaClock {
    /// Threads, by warp.
    threads: Vec<Know>,
    /// Engines, sorted by key.
    engines: Vec<((Engine, u16), Know)>,
}

impl CtaClock {
    fn get(&self, who: Who) -> Option<&Know> {
        if who.engine == Engine::Thread {
            self.threads.get(who.index as usize)
        } else {
            let at = self.engines.binary_search_by_key(&(who.engine, who.index), |e| e.0).ok()?;
            Some(&self.engines[at].1)
        }
    }

    fn slot(&mut self, who: Who) -> &mut Know {
        let at = who.index as usize;
        if who.engine == Engine::Thread {
            if self.threads.len() <= at {
                self.threads.resize(at + 1, Know::All(0));
            }
            return &mut self.threads[at];
        }
        let key = (who.engine, who.index);
        let at = match self.engines.binary_search_by_key(&key, |e| e.0) {
            Ok(at) => at,
            Err(at) => {
                self.engines.insert(at, (key, Know::All(0)));
                at
            }
        };
        &mut self.engines[at].1
    }

    fn includes(&self, other: &CtaClock) -> bool {
        let nothing = Know::All(0);
        other.threads.iter().enumerate().all(|(i, k)| self.threads.get(i).unwrap_or(&nothing).includes(k))
            && other.engines.iter().all(|(key, k)| match self.engines.binary_search_by_key(key, |e| e.0) {
                Ok(at) => self.engines[at].1.includes(k),
                Err(_) => nothing.includes(k),
            })
    }

    fn join(&mut self, other: &CtaClock) {
        if self.threads.len() < other.threads.len() {
            self.threads.resize(other.threads.len(), Know::All(0));
        }
        for (mine, theirs) in self.threads.iter_mut().zip(&other.threads) {
            mine.join(theirs);
        }
        for (key, know) in &other.engines {
            match self.engines.binary_search_by_key(key, |e| e.0) {
                Ok(at) => self.engines[at].1.join(know),
                Err(at) => self.engines.insert(at, (*key, know.clone())),
            }
        }
    }
}

/// Up to this many CTAs are joined in place.
const FEW: usize = 8;

type Entries = Vec<(u32, Arc<CtaClock>)>;

/// A vector clock. Cloning costs one reference count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Option<Arc<Entries>>);

impl Clock {
    /// Whether the two are one object (equal for sure).
    pub(crate) fn same(&self, other: &Clock) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// What is known of `who`.
    #[inline]
    pub(crate) fn get(&self, who: Who) -> Option<&Know> {
        let entries = self.0.as_deref()?;
        let at = match entries.first() {
            Some(e) if e.0 == who.cta => 0,
            _ => entries.binary_search_by_key(&who.cta, |e| e.0).ok()?,
        };
        entries[at].1.get(who)
    }

    /// Whether epoch `clock` of the lanes `lanes` of `who` is known.
    #[inline]
    pub(crate) fn covers(&self, who: Who, lanes: u32, clock: u32) -> bool {
        self.get(who).is_some_and(|k| k.covers(lanes, clock))
    }

    fn slot(&mut self, who: Who) -> &mut Know {
        let entries = Arc::make_mut(self.0.get_or_insert_default());
        let at = match entries.binary_search_by_key(&who.cta, |e| e.0) {
            Ok(at) => at,
            Err(at) => {
                entries.insert(at, (who.cta, Arc::default()));
                at
            }
        };
        Arc::make_mut(&mut entries[at].1).slot(who)
    }

    /// Adds knowledge of one agent.
    pub(crate) fn add(&mut self, who: Who, know: &Know) {
        if matches!(know, Know::All(0)) || self.get(who).is_some_and(|mine| mine.includes(know)) {
            return;
        }
        self.slot(who).join(know);
    }

    /// Raises the lanes in `mask` of `who`.
    pub(crate) fn raise(&mut self, who: Who, mask: u32, clock: u32) {
        if clock != 0 && !self.covers(who, mask, clock) {
            self.slot(who).raise(mask, clock);
        }
    }

    /// Raises whole warps of one CTA, each to its own epoch.
    pub(crate) fn raise_warps(&mut self, warps: &[(Who, u32)]) {
        let Some(&(first, _)) = warps.first() else { return };
        let entries = Arc::make_mut(self.0.get_or_insert_default());
        let at = match entries.binary_search_by_key(&first.cta, |e| e.0) {
            Ok(at) => at,
            Err(at) => {
                entries.insert(at, (first.cta, Arc::default()));
                at
            }
        };
        let clock = Arc::make_mut(&mut entries[at].1);
        for &(who, epoch) in warps {
            debug_assert_eq!((who.cta, who.engine), (first.cta, Engine::Thread));
            clock.slot(who).raise(u32::MAX, epoch);
        }
    }

    /// Raises each lane in `mask` of `who` to its own value.
    pub(crate) fn raise_each(&mut self, who: Who, mask: u32, clocks: &[u32; 32]) {
        if (0..32).any(|l| mask >> l & 1 != 0 && clocks[l] != 0 && !self.covers(who, 1 << l, clocks[l])) {
            self.slot(who).raise_each(mask, clocks);
        }
    }

    /// Adds all that `other` knows.
    pub(crate) fn join(&mut self, other: &Clock) {
        let Some(theirs) = &other.0 else { return };
        let Some(mine) = &mut self.0 else {
            self.0 = Some(theirs.clone());
            return;
        };
        if Arc::ptr_eq(mine, theirs) {
            return;
        }
        // Mostly the other side is news about a few CTAs, or none: find out before copying.
        let is_news = |mine: &Entries, (cta, clock): &(u32, Arc<CtaClock>)| match mine
            .binary_search_by_key(cta, |e| e.0)
        {
            Ok(at) => !Arc::ptr_eq(&mine[at].1, clock) && !mine[at].1.includes(clock),
            Err(_) => true,
        };
        if theirs.len() <= FEW {
            for entry in theirs.iter().filter(|entry| is_news(mine, entry)).collect::<SmallVec<[_; FEW]>>() {
                let entries = Arc::make_mut(mine);
                match entries.binary_search_by_key(&entry.0, |e| e.0) {
                    Ok(at) if entry.1.includes(&entries[at].1) => entries[at].1 = entry.1.clone(),
                    Ok(at) => Arc::make_mut(&mut entries[at].1).join(&entry.1),
                    Err(at) => entries.insert(at, entry.clone()),
                }
            }
            return;
        }
        if !theirs.iter().any(|entry| is_news(mine, entry)) {
            return;
        }
        let mut merged = Entries::with_capacity(mine.len().max(theirs.len()) + 1);
        let (mut a, mut b) = (mine.iter().peekable(), theirs.iter().peekable());
        loop {
            match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x.0 == y.0 => {
                    let clock = if Arc::ptr_eq(&x.1, &y.1) || x.1.includes(&y.1) {
                        x.1.clone()
                    } else if y.1.includes(&x.1) {
                        y.1.clone()
                    } else {
                        let mut joined = (*x.1).clone();
                        joined.join(&y.1);
                        Arc::new(joined)
                    };
                    merged.push((x.0, clock));
                    a.next();
                    b.next();
                }
                (Some(x), Some(y)) if x.0 < y.0 => {
                    merged.push((*x).clone());
                    a.next();
                }
                (Some(x), None) => {
                    merged.push((*x).clone());
                    a.next();
                }
                (_, Some(y)) => {
                    merged.push((*y).clone());
                    b.next();
                }
                (None, None) => break,
            }
        }
        self.0 = Some(Arc::new(merged));
    }
}

/// The proxies whose knowledge is kept apart from the ordinary one.
pub(crate) const PROXIES: usize = 3;
/// Async proxy, shared memory.
pub(crate) const ASYNC_SHARED: usize = 0;
/// Async proxy, global memory.
pub(crate) const ASYNC_GLOBAL: usize = 1;
/// Tensor-map proxy.
pub(crate) const TENSORMAP: usize = 2;

/// All that a thread knows: which accesses are ordered before its next one, and which generic writes before its next access
/// through another proxy. Both travel along the same edges; a proxy fence copies the first into the second.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) seen: Clock,
    pub(crate) proxied: [Clock; PROXIES],
}

impl View {
    pub(crate) fn join(&mut self, other: &View) {
        self.seen.join(&other.seen);
        for (mine, theirs) in self.proxied.iter_mut().zip(&other.proxied) {
            mine.join(theirs);
        }
    }

    pub(crate) fn same(&self, other: &View) -> bool {
        self.seen.same(&other.seen) && self.proxied.iter().zip(&other.proxied).all(|(a, b)| a.same(b))
    }
}
