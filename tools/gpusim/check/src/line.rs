//! The shadow of one 128-byte line: who accessed which bytes last, and the order rules.
//!
//! A record stands for one instruction of one warp on the line: the bytes, the lane of each byte, one epoch. A coalesced
//! access is one record, whatever its element size, and checking against it is one comparison of epochs.
//!
//! Plain writes replace what they cover (they have just been found ordered after it). Plain reads stay until a write covers
//! them; a later read by the same warp replaces an earlier one of the same lanes. Strong accesses do not order each other, so
//! they replace only the same threads' earlier ones, and stay until a plain write covers them.

use std::cell::Cell;
use std::collections::HashMap;

use smallvec::SmallVec;

use crate::clock::{ASYNC_GLOBAL, ASYNC_SHARED, Clock, TENSORMAP, Who};
use crate::footprint::{Lanes, Touch};
use crate::ids::{AccessKind, Engine, SiteId, StrongOp};
use crate::know::Know;
use crate::message::{Message, Seat};
use crate::report::Missing;
use crate::warp::{Group, Knowing};

/// Who accesses, when, what for.
pub(crate) struct Actor<'a> {
    pub(crate) know: &'a Knowing,
    pub(crate) seat: Seat,
    /// As whom the access is recorded.
    pub(crate) who: Who,
    pub(crate) clock: u32,
    pub(crate) kind: AccessKind,
    pub(crate) site: SiteId,
    pub(crate) size: u32,
    /// The proxy that the access goes through, if not the generic one.
    pub(crate) proxy: Option<usize>,
    /// An agent all of whose accesses up to an epoch are known to be ordered before this one: lines that one instruction
    /// touches often have the same writer.
    pub(crate) recent: Cell<Option<(Who, u32)>>,
}

/// An access that was made. One cache line: there are many.
#[derive(Clone, Debug)]
pub(crate) struct Rec {
    pub(crate) bytes: u128,
    pub(crate) who: Who,
    pub(crate) cluster: u32,
    pub(crate) clock: u32,
    pub(crate) site: SiteId,
    pub(crate) lanes: Lanes,
    pub(crate) kind: AccessKind,
    pub(crate) size: u8,
    /// Index of the issuing warp in its CTA, for reports.
    pub(crate) warp: u16,
}

/// A conflict: the byte of the line, the earlier access, what is missing.
#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) byte: u32,
    pub(crate) earlier: Rec,
    pub(crate) missing: Missing,
}

#[derive(Clone, Debug, Default)]
struct Strong {
    recs: Vec<Rec>,
    /// By first byte and size of the location.
    messages: Vec<(u8, u8, Message)>,
}

/// The shadow of a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    writes: SmallVec<[Rec; 1]>,
    reads: SmallVec<[Rec; 1]>,
    strong: Option<Box<Strong>>,
    /// From this many reads on, those that the reader knows are dropped.
    prune_at: u32,
}

const FIRST_PRUNE: u32 = 16;
/// Newest reads among which an earlier one of the same lanes is looked for; what is further back goes when reads are dropped.
const RECENT: usize = 16;

const _: () = assert!(size_of::<Rec>() == 64);

impl Line {
    /// Checks an access and records it.
    #[inline]
    pub(crate) fn access(&mut self, actor: &Actor<'_>, touch: &Touch) -> Result<(), Box<Conflict>> {
        let writes = actor.kind.writes();
        let strong = matches!(actor.kind, AccessKind::Strong { .. });
        check(actor, touch, &self.writes)?;
        if writes {
            check(actor, touch, &self.reads)?;
        }
        if let Some(state) = &self.strong
            && let Err(conflict) = check(actor, touch, &state.recs)
            && !after_own(actor, touch, &state.recs)
        {
            return Err(conflict);
        }
        if strong {
            let recs = &mut self.strong.get_or_insert_default().recs;
            recs.retain_mut(|r| {
                let older = actor.who.engine != Engine::Tx || r.clock == actor.clock;
                if r.who == actor.who && r.kind == actor.kind && r.lanes == touch.lanes && older {
                    r.bytes &= !touch.bytes;
                }
                r.bytes != 0
            });
            recs.push(actor.record(touch));
        } else if writes {
            self.cover(touch.bytes);
            add(&mut self.writes, actor.record(touch));
        } else {
            self.add_read(actor, touch);
        }
        Ok(())
    }

    /// Drops all records about `bytes`.
    pub(crate) fn forget(&mut self, bytes: u128) {
        self.cover(bytes);
    }

    fn cover(&mut self, bytes: u128) {
        for list in [&mut self.writes, &mut self.reads] {
            if list.iter().all(|r| r.bytes & !bytes == 0) {
                if !list.is_empty() {
                    list.clear();
                }
                continue;
            }
            list.retain(|r| {
                r.bytes &= !bytes;
                r.bytes != 0
            });
        }
        if let Some(strong) = &mut self.strong {
            strong.recs.retain_mut(|r| {
                r.bytes &= !bytes;
                r.bytes != 0
            });
            strong.messages.retain(|m| crate::footprint::run(m.0.into(), m.1.into()) & bytes == 0);
            if strong.recs.is_empty() && strong.messages.is_empty() {
                self.strong = None;
            }
        }
    }

    fn add_read(&mut self, actor: &Actor<'_>, touch: &Touch) {
        for r in self.reads.iter_mut().rev().take(RECENT) {
            // The serial numbers of copies on an mbarrier are no order.
            let older = actor.who.engine != Engine::Tx || r.clock == actor.clock;
            if r.who == actor.who && r.lanes == touch.lanes && older {
                if r.bytes & !touch.bytes == 0 || r.clock == actor.clock {
                    // The same threads, later: whatever is ordered after this read is ordered after that one.
                    r.bytes |= touch.bytes;
                    r.clock = actor.clock;
                    r.site = actor.site;
                    return;
                }
                r.bytes &= !touch.bytes;
            }
        }
        if self.reads.len() as u32 >= self.prune_at.max(FIRST_PRUNE) {
            self.drop_reads(actor, touch);
        }
        self.reads.push(actor.record(touch));
    }

    /// Drops reads that others stand for: later ones of the same lanes, and the one being made.
    #[cold]
    fn drop_reads(&mut self, actor: &Actor<'_>, touch: &Touch) {
        let mut latest: HashMap<Who, Vec<usize>> = HashMap::new();
        for at in (0..self.reads.len()).rev() {
            if self.reads[at].who.engine == Engine::Tx {
                continue;
            }
            let later = latest.entry(self.reads[at].who).or_default();
            for &l in later.iter().rev().take(RECENT) {
                if self.reads[l].lanes == self.reads[at].lanes && self.reads[l].clock >= self.reads[at].clock
                {
                    let theirs = self.reads[l].bytes;
                    self.reads[at].bytes &= !theirs;
                }
            }
            later.push(at);
        }
        // Waiting for a wgmma tells nothing of what its issuers knew, so its reads stand for no others.
        let heir = actor.who.engine != Engine::Wgmma;
        self.reads.retain(|r| {
            let known = || r.bytes & !touch.bytes == 0 && unordered(actor, touch, r, r.bytes).is_none();
            r.bytes != 0 && !(heir && known())
        });
        self.prune_at = 2 * self.reads.len() as u32;
    }

    /// Takes over a plain access that was kept elsewhere and found in order.
    pub(crate) fn replay(&mut self, rec: Rec) {
        if rec.kind.writes() {
            self.cover(rec.bytes);
            add(&mut self.writes, rec);
        } else {
            self.reads.push(rec);
        }
    }

    /// What the location holds for readers.
    pub(crate) fn message(&self, byte: u32, size: u32) -> Option<&Message> {
        let strong = self.strong.as_deref()?;
        let at = strong.messages.iter().find(|m| u32::from(m.0) == byte && u32::from(m.1) == size)?;
        Some(&at.2)
    }

    /// A strong write of the location: a store replaces what was there, a read-modify-write adds to it.
    pub(crate) fn post(&mut self, byte: u32, size: u32, keep: bool, message: Message) {
        let bytes = crate::footprint::run(byte, size);
        let strong = self.strong.get_or_insert_default();
        strong.messages.retain(|m| {
            let exact = u32::from(m.0) == byte && u32::from(m.1) == size;
            exact && keep || crate::footprint::run(m.0.into(), m.1.into()) & bytes == 0
        });
        if message.is_empty() {
            return;
        }
        match strong.messages.iter_mut().find(|m| u32::from(m.0) == byte && u32::from(m.1) == size) {
            Some(m) => m.2.join(&message),
            None => strong.messages.push((byte as u8, size as u8, message)),
        }
    }

    /// Whether any location of the line holds something for readers.
    pub(crate) fn has_messages(&self) -> bool {
        self.strong.as_ref().is_some_and(|s| !s.messages.is_empty())
    }
}

#[inline]
fn add(list: &mut SmallVec<[Rec; 1]>, rec: Rec) {
    for r in list.iter_mut() {
        if r.who == rec.who && r.clock == rec.clock && r.lanes == rec.lanes && r.site == rec.site {
            r.bytes |= rec.bytes;
            return;
        }
    }
    list.push(rec);
}

#[inline]
fn check(actor: &Actor<'_>, touch: &Touch, recs: &[Rec]) -> Result<(), Box<Conflict>> {
    for rec in recs {
        let common = rec.bytes & touch.bytes;
        if common != 0
            && conflicts(actor, rec)
            && !plainly_ordered(actor, touch, rec)
            && let Some(byte) = unordered(actor, touch, rec, common)
        {
            let missing = explain(actor, touch, rec, byte);
            return Err(Box::new(Conflict { byte, earlier: rec.clone(), missing }));
        }
    }
    Ok(())
}

/// Whether every strong write that a plain access conflicts with was observed by the same thread: its own later read or
/// read-modify-write of the location, which orders the write before what follows it in the thread (PTX's observation order). So
/// the last block of a grid resets the counter that told it to be the last.
#[cold]
fn after_own(actor: &Actor<'_>, touch: &Touch, recs: &[Rec]) -> bool {
    if matches!(actor.kind, AccessKind::Strong { .. }) || actor.who != actor.know.me {
        return false;
    }
    recs.iter().enumerate().all(|(n, rec)| {
        let common = rec.bytes & touch.bytes;
        common == 0
            || !conflicts(actor, rec)
            || unordered(actor, touch, rec, common).is_none()
            // Later records are later accesses: a thread's new one takes the place of its old one at the end.
            || recs[n + 1..].iter().any(|own| observed(actor, touch, rec, own, common))
    })
}

/// Whether `own`, an access of the actor's thread, observed the write `rec` of all of the bytes `common`.
fn observed(actor: &Actor<'_>, touch: &Touch, rec: &Rec, own: &Rec, common: u128) -> bool {
    let (AccessKind::Strong { op, scope: mine, .. }, AccessKind::Strong { scope: theirs, .. }) =
        (own.kind, rec.kind)
    else {
        return false;
    };
    if !matches!(op, StrongOp::Load | StrongOp::Rmw)
        || !rec.kind.writes()
        || own.who != actor.who
        || common & !own.bytes != 0
    {
        return false;
    }
    let lanes = touch.lanes.of(common);
    actor.seat.reaches(mine, seat(rec))
        && seat(rec).reaches(theirs, actor.seat)
        && own.size == rec.size
        && u32::from(own.size) == actor.size
        && lanes.is_power_of_two()
        && own.lanes.of(common) & lanes == lanes
}

fn seat(rec: &Rec) -> Seat {
    Seat { cta: rec.who.cta, cluster: rec.cluster }
}

fn conflicts(actor: &Actor<'_>, rec: &Rec) -> bool {
    if !actor.kind.writes() && !rec.kind.writes() {
        return false;
    }
    // Morally strong pairs: both strong, of the same extent, each scope including the other thread.
    match (actor.kind, rec.kind) {
        (AccessKind::Strong { scope: mine, .. }, AccessKind::Strong { scope: theirs, .. }) => {
            !(u32::from(rec.size) == actor.size
                && actor.seat.reaches(mine, seat(rec))
                && seat(rec).reaches(theirs, actor.seat))
        }
        _ => true,
    }
}

/// Whether `rec` is ordered before the access, as far as that is cheap to see: the lanes all know the same, and the record's
/// agent as a whole; or each byte has one thread, the same on both sides. Exact when it says yes.
#[inline]
fn plainly_ordered(actor: &Actor<'_>, touch: &Touch, rec: &Rec) -> bool {
    let know = actor.know;
    let [only] = know.groups.as_slice() else { return false };
    if actor.proxy.is_some() {
        return false;
    }
    if actor.recent.get().is_some_and(|(who, epoch)| who == rec.who && epoch >= rec.clock) {
        return true;
    }
    let mine = rec.who.cta == know.me.cta && rec.who.index == know.me.index;
    if mine && matches!(rec.who.engine, Engine::Thread | Engine::CpAsync) {
        let thread = rec.who.engine == Engine::Thread;
        if thread && matches!(only.own, Know::All(epoch) if epoch >= rec.clock) {
            return true;
        }
        if (thread || know.own.least_copies() >= rec.clock)
            && rec.lanes == touch.lanes
            && rec.lanes.is_single()
        {
            return true;
        }
        if thread {
            return false;
        }
    }
    let Some(&Know::All(epoch)) = only.view.seen.get(rec.who) else { return false };
    actor.recent.set(Some((rec.who, epoch)));
    epoch >= rec.clock
}

/// The first of the bytes `common` on which `rec` is not ordered before the access.
fn unordered(actor: &Actor<'_>, touch: &Touch, rec: &Rec, common: u128) -> Option<u32> {
    let groups = &actor.know.groups;
    if let [only] = groups.as_slice() {
        return unordered_in(actor, only, touch, rec, common, u32::MAX);
    }
    let lanes = touch.lanes.of(common);
    for group in groups.iter().filter(|g| g.mask & lanes != 0) {
        let mut bytes = common;
        if lanes & !group.mask != 0 {
            let mut rest = common;
            while rest != 0 {
                let b = rest.trailing_zeros();
                if touch.lanes.at(b) & group.mask == 0 {
                    bytes &= !(1 << b);
                }
                rest &= rest - 1;
            }
        }
        if let Some(byte) = unordered_in(actor, group, touch, rec, bytes, group.mask) {
            return Some(byte);
        }
    }
    None
}

/// As [`unordered`], for the accessing lanes of one group.
fn unordered_in(
    actor: &Actor<'_>,
    group: &Group,
    touch: &Touch,
    rec: &Rec,
    common: u128,
    lanes: u32,
) -> Option<u32> {
    let know = actor.know;
    // Generic writes are visible to another proxy only through its fence; a generic read before its write need only be over.
    let fenced = actor.proxy.filter(|_| rec.kind.writes() && !rec.who.engine.is_async_proxy());
    let clock: &Clock = match fenced {
        Some(proxy) => &group.view.proxied[proxy],
        None => &group.view.seen,
    };
    let mine = rec.who.cta == know.me.cta && rec.who.index == know.me.index && rec.who.engine != Engine::Tx;
    let known = if mine && rec.who.engine == Engine::Thread && fenced.is_none() {
        Some(&group.own)
    } else {
        clock.get(rec.who)
    };
    if let Some(known) = known
        && match known {
            // The common case does not ask which lanes.
            Know::All(epoch) => *epoch >= rec.clock,
            _ => known.covers(rec.lanes.of(common), rec.clock),
        }
    {
        return None;
    }
    if mine && rec.who.engine == Engine::Wgmma && know.own.wgmma >= rec.clock {
        return None;
    }
    // Byte by byte: the lanes of the two sides may be the same, or known one by one.
    let itself = |lane: u32| match (rec.who.engine, fenced) {
        (Engine::Thread, None) => true,
        (Engine::Thread, Some(p)) => {
            know.own.proxied[p].as_ref().is_some_and(|o| o[0][lane as usize] >= rec.clock)
        }
        (Engine::CpAsync, Some(p)) => {
            know.own.proxied[p].as_ref().is_some_and(|o| o[1][lane as usize] >= rec.clock)
        }
        (Engine::CpAsync, None) => know.own.done[0][lane as usize] >= rec.clock,
        (Engine::BulkRead, _) => know.own.done[1][lane as usize] >= rec.clock,
        (Engine::BulkWrite, _) => know.own.done[2][lane as usize] >= rec.clock,
        (Engine::Wgmma | Engine::Tx, _) => false,
    };
    if mine
        && rec.who.engine == Engine::Thread
        && fenced.is_none()
        && rec.lanes == touch.lanes
        && rec.lanes.is_single()
    {
        return None;
    }
    let mut rest = common;
    let mut last = (0, 0);
    while rest != 0 {
        let byte = rest.trailing_zeros();
        rest &= rest - 1;
        let pair = (rec.lanes.at(byte), touch.lanes.at(byte) & lanes);
        if pair == last {
            continue;
        }
        last = pair;
        let mut theirs = pair.0;
        while theirs != 0 {
            let lane = theirs.trailing_zeros();
            theirs &= theirs - 1;
            let known = known.is_some_and(|k| k.covers(1 << lane, rec.clock));
            let same_thread = mine && pair.1 == 1 << lane;
            if !(known || same_thread && itself(lane)) {
                return Some(byte);
            }
        }
    }
    None
}

fn explain(actor: &Actor<'_>, touch: &Touch, rec: &Rec, byte: u32) -> Missing {
    match rec.who.engine {
        Engine::CpAsync => {
            if actor.proxy.is_none() || !rec.kind.writes() {
                return Missing::CpAsyncWait;
            }
        }
        Engine::BulkRead => return Missing::BulkReadWait,
        Engine::BulkWrite => return Missing::BulkWait,
        Engine::Wgmma => return Missing::WgmmaWait,
        Engine::Tx => return Missing::MbarrierWait,
        Engine::Thread => {}
    }
    let lanes = touch.lanes.at(byte);
    if let Some(proxy) = actor.proxy.filter(|_| rec.kind.writes()) {
        // Ordered but for the fence?
        let theirs = rec.lanes.at(byte);
        let mine = rec.who == actor.know.me;
        let seen = actor.know.groups.iter().filter(|g| g.mask & lanes != 0).all(|g| {
            let own = mine && g.own.covers(theirs, rec.clock);
            own || mine && theirs == lanes || g.view.seen.covers(rec.who, theirs, rec.clock)
        });
        if seen {
            return match proxy {
                ASYNC_SHARED | ASYNC_GLOBAL => Missing::FenceProxyAsync,
                TENSORMAP => Missing::FenceProxyTensormap,
                _ => Missing::FenceProxyAsync,
            };
        }
    }
    match (actor.kind, rec.kind) {
        (AccessKind::Strong { .. }, AccessKind::Strong { .. }) if u32::from(rec.size) == actor.size => {
            return Missing::WiderScope;
        }
        (AccessKind::Strong { .. }, _) | (_, AccessKind::Strong { .. }) => {
            return Missing::AtomicAgainstPlain;
        }
        _ => {}
    }
    if rec.who.cta != actor.seat.cta {
        return if rec.cluster == actor.seat.cluster { Missing::ClusterBarrier } else { Missing::GridSync };
    }
    if rec.who.index == actor.know.me.index { Missing::WarpSync } else { Missing::CtaBarrier }
}

impl Actor<'_> {
    pub(crate) fn record(&self, touch: &Touch) -> Rec {
        Rec {
            bytes: touch.bytes,
            who: self.who,
            cluster: self.seat.cluster,
            clock: self.clock,
            site: self.site,
            lanes: touch.lanes.clone(),
            kind: self.kind,
            size: self.size.min(255) as u8,
            warp: self.know.me.index,
        }
    }
}
