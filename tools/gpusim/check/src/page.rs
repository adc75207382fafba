//! The shadow of 4 KiB of global memory: a log of what was done to it, as long as that needs no line of its own.
//!
//! Most memory of a launch is read once and never again, coalesced. An entry of the log is one warp's access to bytes that
//! follow each other, in lanes that follow each other: 32 bytes for up to 4096, where a record for each line would be ten
//! times that. A page goes over to lines ([`Page::lines`]), for good, as soon as the log does not decide by itself: for strong
//! accesses, for accesses that it cannot tell to be in order, when it is full. The lines then hold the log's entries as if
//! these had come to them in the first place.

use crate::clock::Who;
use crate::footprint::{LINE, Lanes, run};
use crate::ids::{AccessKind, Engine, SiteId};
use crate::know::Know;
use crate::line::{Line, Rec};
use crate::warp::Knowing;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Lines of a page.
pub(crate) const PAGE_LINES: usize = (PAGE / LINE) as usize;
/// What an entry begins and ends on.
pub(crate) const CHUNK: u64 = 16;
/// Entries of a log.
const ENTRIES: usize = 64;

#[derive(Default)]
pub(crate) struct GlobalLine {
    pub(crate) line: Line,
    pub(crate) read: u128,
    pub(crate) written: u128,
    /// Bytes read by `ld.global.nc`.
    pub(crate) read_only: u128,
}

/// A plain access to chunks `first` to `last` of the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) who: Who,
    pub(crate) cluster: u32,
    pub(crate) clock: u32,
    pub(crate) site: SiteId,
    /// Byte `b` of the page belongs to lane `base + (b >> shift)`.
    pub(crate) base: i16,
    /// Index of the issuing warp in its CTA.
    pub(crate) warp: u16,
    pub(crate) shift: u8,
    pub(crate) first: u8,
    pub(crate) last: u8,
    pub(crate) size: u8,
    pub(crate) writes: bool,
    /// Read by `ld.global.nc`.
    pub(crate) read_only: bool,
}

const _: () = assert!(size_of::<Entry>() <= 32);

impl Entry {
    fn meets(&self, other: &Entry) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The same lanes at the same bytes, doing the same.
    fn repeats(&self, old: &Entry) -> bool {
        (self.who, self.base, self.shift) == (old.who, old.base, old.shift)
            && (self.first, self.last, self.writes) == (old.first, old.last, old.writes)
    }

    /// 64-byte units of the page.
    fn units(&self) -> u64 {
        let (first, last) = (self.first / 4, self.last / 4);
        (u64::MAX >> (63 - (last - first))) << first
    }

    /// Whether `self` is ordered before `new`, as far as that is cheap to see.
    fn before(&self, new: &Entry, know: &Knowing) -> bool {
        let thread = self.who == know.me;
        if thread && new.who == know.me && (self.base, self.shift) == (new.base, new.shift) {
            return true;
        }
        let [only] = know.groups.as_slice() else { return false };
        if thread {
            return matches!(only.own, Know::All(epoch) if epoch >= self.clock);
        }
        matches!(only.view.seen.get(self.who), Some(Know::All(epoch)) if *epoch >= self.clock)
    }

    /// Its part of line number `line` of the page.
    fn record(&self, line: usize) -> Option<Rec> {
        let (from, to) = (u32::from(self.first) * 16, u32::from(self.last) * 16 + 16);
        let start = line as u32 * LINE as u32;
        let (from, to) = (from.max(start), to.min(start + LINE as u32));
        (from < to).then(|| Rec {
            bytes: run(from - start, to - from),
            who: self.who,
            cluster: self.cluster,
            clock: self.clock,
            site: self.site,
            lanes: Lanes::Linear { base: self.base + (start >> self.shift) as i16, shift: self.shift },
            kind: if self.writes { AccessKind::Write } else { AccessKind::Read },
            size: self.size,
            warp: self.warp,
        })
    }
}

/// A page.
#[derive(Default)]
pub(crate) struct Page {
    log: Vec<Entry>,
    /// 64-byte units with an entry that reads, or writes.
    read: u64,
    written: u64,
    lines: Option<Box<[GlobalLine; PAGE_LINES]>>,
}

impl Page {
    /// Enters a plain access of a thread or its `cp.async`, unless lines have to decide (false).
    #[inline]
    pub(crate) fn enter(&mut self, know: &Knowing, races: bool, new: Entry) -> bool {
        if self.lines.is_some() {
            return false;
        }
        debug_assert!(matches!(new.who.engine, Engine::Thread | Engine::CpAsync));
        let units = new.units();
        if (self.read | self.written) & units != 0 {
            // Newest first: what precedes an entry that the new one repeats was in order then and is so now.
            for old in self.log.iter_mut().rev().filter(|old| old.meets(&new)) {
                // Two copies of a thread to one place are in no order; its reads are.
                if new.repeats(old) && (!new.writes || new.who.engine == Engine::Thread) {
                    (old.clock, old.site, old.size) = (new.clock, new.site, new.size);
                    return true;
                }
                let conflict = old.writes || new.writes;
                if conflict && (races && !old.before(&new, know) || old.read_only) {
                    return false;
                }
            }
        }
        if self.log.len() == ENTRIES {
            return false;
        }
        if self.log.capacity() == 0 {
            // A page that is streamed through by 16-byte loads.
            self.log.reserve_exact((PAGE / 512) as usize);
        }
        self.log.push(new);
        *(if new.writes { &mut self.written } else { &mut self.read }) |= units;
        true
    }

    /// Marks chunks that the log holds a read of as read by `ld.global.nc`; false if lines have to decide.
    pub(crate) fn mark_read_only(&mut self, who: Who, first: u8, last: u8) -> bool {
        if self.lines.is_some() {
            return false;
        }
        let mut found = false;
        for old in self.log.iter_mut().rev().filter(|old| old.first <= last && first <= old.last) {
            if old.writes {
                return false;
            }
            let same = old.who == who && (old.first, old.last) == (first, last);
            if same && !found {
                old.read_only = true;
                found = true;
            }
            if found && self.written == 0 {
                break;
            }
        }
        found
    }

    /// The lines, which take the log over.
    pub(crate) fn lines(&mut self, races: bool) -> &mut [GlobalLine; PAGE_LINES] {
        let log = &mut self.log;
        self.lines.get_or_insert_with(|| {
            let mut lines: Box<[GlobalLine; PAGE_LINES]> = Box::default();
            for entry in std::mem::take(log) {
                for at in usize::from(entry.first / 8)..=usize::from(entry.last / 8) {
                    let Some(rec) = entry.record(at) else { continue };
                    let global = &mut lines[at];
                    if entry.writes {
                        global.written |= rec.bytes;
                    } else {
                        global.read |= rec.bytes;
                    }
                    if entry.read_only {
                        global.read_only |= rec.bytes;
                    }
                    if races {
                        global.line.replay(rec);
                    }
                }
            }
            lines
        })
    }

    /// Bytes read and written, by line.
    pub(crate) fn touched(&self, mut each: impl FnMut(u128, u128)) {
        if let Some(lines) = &self.lines {
            return lines.iter().for_each(|line| each(line.read, line.written));
        }
        let mut sum = [(0, 0); PAGE_LINES];
        for entry in &self.log {
            for at in usize::from(entry.first / 8)..=usize::from(entry.last / 8) {
                let bytes = entry.record(at).map_or(0, |rec| rec.bytes);
                let side = if entry.writes { &mut sum[at].1 } else { &mut sum[at].0 };
                *side |= bytes;
            }
        }
        sum.into_iter().for_each(|(read, written)| each(read, written));
    }
}
