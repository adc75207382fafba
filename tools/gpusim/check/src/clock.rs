//! Vector clocks over the agents of a grid, shared until they differ.
//!
//! A clock maps agents to [`Know`]. Agents are the warps (with one epoch per lane) and the engines that work for them.
//! Entries of one CTA lie together behind one `Arc`, those of 64 CTAs behind another: the warps of a CTA share the object that
//! their last barrier made, and clocks that saw ten thousand CTAs share most of what they hold.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::ids::Engine;
use crate::know::Know;

/// An agent of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

/// Knowledge that can be compared and joined.
trait Lattice: Clone + Default {
    fn includes(&self, other: &Self) -> bool;
    fn join(&mut self, other: &Self);
}

impl Lattice for CtaClock {
    fn includes(&self, other: &Self) -> bool {
        let nothing = Know::All(0);
        other.threads.iter().enumerate().all(|(i, k)| self.threads.get(i).unwrap_or(&nothing).includes(k))
            && other.engines.iter().all(|(key, k)| match self.engines.binary_search_by_key(key, |e| e.0) {
                Ok(at) => self.engines[at].1.includes(k),
                Err(_) => nothing.includes(k),
            })
    }

    fn join(&mut self, other: &Self) {
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

/// Shared parts by number, sorted.
#[derive(Clone, Debug)]
struct Table<T>(Vec<(u32, Arc<T>)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(Vec::new())
    }
}

/// Up to this many parts are joined in place.
const FEW: usize = 8;

impl<T: Lattice> Table<T> {
    #[inline]
    fn get(&self, number: u32) -> Option<&Arc<T>> {
        let at = match self.0.first() {
            Some(e) if e.0 == number => 0,
            _ => self.0.binary_search_by_key(&number, |e| e.0).ok()?,
        };
        Some(&self.0[at].1)
    }

    fn slot(&mut self, number: u32) -> &mut T {
        let at = match self.0.binary_search_by_key(&number, |e| e.0) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (number, Arc::default()));
                at
            }
        };
        Arc::make_mut(&mut self.0[at].1)
    }

    fn has(&self, (number, part): &(u32, Arc<T>)) -> bool {
        self.get(*number).is_some_and(|mine| Arc::ptr_eq(mine, part) || mine.includes(part))
    }
}

/// The join of two shared parts, one of them itself when it includes the other.
fn joined<T: Lattice>(a: &Arc<T>, b: &Arc<T>) -> Arc<T> {
    if Arc::ptr_eq(a, b) || a.includes(b) {
        a.clone()
    } else if b.includes(a) {
        b.clone()
    } else {
        let mut sum = (**a).clone();
        sum.join(b);
        Arc::new(sum)
    }
}

impl<T: Lattice> Lattice for Table<T> {
    fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|part| self.has(part))
    }

    fn join(&mut self, other: &Self) {
        if other.0.len() <= FEW {
            for (number, part) in &other.0 {
                match self.0.binary_search_by_key(number, |e| e.0) {
                    Ok(at) => {
                        let mine = &mut self.0[at].1;
                        if Arc::ptr_eq(mine, part) || mine.includes(part) {
                            continue;
                        }
                        match Arc::get_mut(mine) {
                            // Nobody else has it: grow in place.
                            Some(mine) => mine.join(part),
                            None => *mine = joined(mine, part),
                        }
                    }
                    Err(at) => self.0.insert(at, (*number, part.clone())),
                }
            }
            return;
        }
        let mut merged = Vec::with_capacity(self.0.len().max(other.0.len()) + 1);
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.0.cmp(&y.0) {
                Ordering::Equal => {
                    merged.push((x.0, joined(&x.1, &y.1)));
                    a.next();
                    b.next();
                }
                Ordering::Less => merged.extend(a.next().cloned()),
                Ordering::Greater => merged.extend(b.next().cloned()),
            }
        }
        merged.extend(a.cloned());
        merged.extend(b.cloned());
        self.0 = merged;
    }
}

/// CTAs of one inner table: with ten thousand CTAs, a copy of a clock copies some 160 pointers.
const CHUNK_BITS: u32 = 6;

/// A vector clock. Cloning costs one reference count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Option<Arc<Table<Table<CtaClock>>>>);

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
        self.0.as_deref()?.get(who.cta >> CHUNK_BITS)?.get(who.cta)?.get(who)
    }

    /// Whether epoch `clock` of the lanes `lanes` of `who` is known.
    #[inline]
    pub(crate) fn covers(&self, who: Who, lanes: u32, clock: u32) -> bool {
        self.get(who).is_some_and(|k| k.covers(lanes, clock))
    }

    fn cta(&mut self, cta: u32) -> &mut CtaClock {
        Arc::make_mut(self.0.get_or_insert_default()).slot(cta >> CHUNK_BITS).slot(cta)
    }

    /// Adds knowledge of one agent.
    pub(crate) fn add(&mut self, who: Who, know: &Know) {
        if matches!(know, Know::All(0)) || self.get(who).is_some_and(|mine| mine.includes(know)) {
            return;
        }
        self.cta(who.cta).slot(who).join(know);
    }

    /// Raises the lanes in `mask` of `who`.
    pub(crate) fn raise(&mut self, who: Who, mask: u32, clock: u32) {
        if clock != 0 && !self.covers(who, mask, clock) {
            self.cta(who.cta).slot(who).raise(mask, clock);
        }
    }

    /// Raises whole warps of one CTA, each to its own epoch.
    pub(crate) fn raise_warps(&mut self, warps: &[(Who, u32)]) {
        let Some(&(first, _)) = warps.first() else { return };
        let clock = self.cta(first.cta);
        for &(who, epoch) in warps {
            debug_assert_eq!((who.cta, who.engine), (first.cta, Engine::Thread));
            clock.slot(who).raise(u32::MAX, epoch);
        }
    }

    /// Raises each lane in `mask` of `who` to its own value.
    pub(crate) fn raise_each(&mut self, who: Who, mask: u32, clocks: &[u32; 32]) {
        if (0..32).any(|l| mask >> l & 1 != 0 && clocks[l] != 0 && !self.covers(who, 1 << l, clocks[l])) {
            self.cta(who.cta).slot(who).raise_each(mask, clocks);
        }
    }

    /// Adds all that `other` knows.
    pub(crate) fn join(&mut self, other: &Clock) {
        let Some(theirs) = &other.0 else { return };
        let Some(mine) = &mut self.0 else {
            self.0 = Some(theirs.clone());
            return;
        };
        if Arc::ptr_eq(mine, theirs) || mine.includes(theirs) {
            return;
        }
        match Arc::get_mut(mine) {
            Some(mine) => mine.join(theirs),
            None => *mine = joined(mine, theirs),
        }
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
