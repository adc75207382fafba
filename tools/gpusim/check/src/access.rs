//! The memory accesses of a warp's lanes: which lines they touch, what the lines' records say to it.
//!
//! Most accesses are coalesced: a few pieces of neighbouring lanes at neighbouring addresses. Those go from piece to line (or
//! to the log of a page) without a look at single lanes; everything else makes a list of what is touched first. Both ways
//! find the same.

use std::borrow::Borrow;
use std::cell::Cell;

use crate::cluster::{ClusterCheck, Issue};
use crate::footprint::{LINE, Touch, Touches, touches};
use crate::ids::{AccessKind, Engine, Sem, SiteId, Space, WarpId};
use crate::line::{Actor, Conflict};
use crate::page::{CHUNK, Entry, PAGE};
use crate::piece::{Piece, pieces};
use crate::report::{Check, Finding, Missing, Race};
use crate::warp::Knowing;

/// What went wrong at a touch of shared memory.
enum Bad {
    Race(Box<Conflict>),
    /// The bytes that nothing has written.
    Unwritten(u128),
}

impl ClusterCheck {
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
        let issue = self.issue(warp, engine, mask, size, kind, site);
        self.met_messages = false;
        match pieces(mask, addresses, size, kind == AccessKind::Write) {
            Some((all, count)) if all[..count].iter().all(|piece| self.holds(space, *piece)) => {
                for piece in &all[..count] {
                    self.piece(&issue, space, *piece)?;
                }
            }
            _ => self.scattered(&issue, space, mask, addresses)?,
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

    /// The same for a weak access of all 32 lanes at neighbouring addresses from `origin`, which is a multiple of `size`, a
    /// power of two up to 32.
    pub fn access_coalesced(
        &mut self,
        warp: WarpId,
        engine: Engine,
        space: Space,
        origin: u64,
        size: u32,
        kind: AccessKind,
        site: SiteId,
    ) -> Result<(), Box<Finding>> {
        let piece = Piece { address: origin, bytes: 32 * size, first: 0 };
        let weak = !matches!(kind, AccessKind::Strong { .. });
        let aligned = size.is_power_of_two() && size <= 32 && origin & u64::from(size.wrapping_sub(1)) == 0;
        if !weak || !aligned || origin.checked_add(piece.bytes.into()).is_none() || !self.holds(space, piece)
        {
            let addresses = std::array::from_fn(|l| origin.wrapping_add(l as u64 * u64::from(size)));
            return self.access(warp, engine, space, u32::MAX, &addresses, size, kind, site);
        }
        let issue = self.issue(warp, engine, u32::MAX, size, kind, site);
        self.piece(&issue, space, piece)
    }

    /// Who accesses; operations of engines are counted into their batch.
    #[inline]
    fn issue(
        &mut self,
        warp: WarpId,
        engine: Engine,
        mask: u32,
        size: u32,
        kind: AccessKind,
        site: SiteId,
    ) -> Issue {
        let slot = self.slot(warp);
        let state = &mut self.warps[slot];
        let clock = match engine {
            Engine::CpAsync => {
                state.copies.issue(mask);
                state.copies.clock
            }
            _ => state.know.clock,
        };
        Issue { warp, who: state.know.engine(engine), clock, kind, site, size, proxy: None }
    }

    /// Whether a piece lies inside the space.
    #[inline]
    fn holds(&self, space: Space, piece: Piece) -> bool {
        match space {
            Space::Global => true,
            Space::Shared { rank } => {
                let limit = u64::from(self.launch.geometry.shared_bytes);
                (rank as usize) < self.ctas.len() && piece.address + u64::from(piece.bytes) <= limit
            }
        }
    }

    #[inline]
    fn piece(&mut self, issue: &Issue, space: Space, piece: Piece) -> Result<(), Box<Finding>> {
        match space {
            Space::Global => self.global_piece(issue, piece),
            Space::Shared { rank } => self.shared(issue, rank, piece.lines(issue.size), None),
        }
    }

    /// A piece in global memory: into the logs of its pages if these take it.
    fn global_piece(&mut self, issue: &Issue, piece: Piece) -> Result<(), Box<Finding>> {
        let settings = self.launch.settings;
        let plain = match issue.kind {
            AccessKind::Read => true,
            AccessKind::Write => issue.who.engine == Engine::Thread,
            AccessKind::Strong { .. } => false,
        };
        if plain && !settings.global_races && !settings.unique_bytes {
            return Ok(());
        }
        let shift = issue.size.trailing_zeros() as u8;
        for part in piece.cut(PAGE, issue.size) {
            let entered = plain
                && part.chunks().is_some_and(|(first, last)| {
                    let entry = Entry {
                        who: issue.who,
                        cluster: self.cluster,
                        clock: issue.clock,
                        site: issue.site,
                        base: part.first as i16 - ((part.address % PAGE) >> shift) as i16,
                        warp: issue.warp.index as u16,
                        shift,
                        first,
                        last,
                        size: issue.size as u8,
                        writes: issue.kind.writes(),
                        read_only: false,
                    };
                    let know = &self.warps[self.slot(issue.warp)].know;
                    let races = settings.global_races;
                    self.launch.with_page(part.address / PAGE, |page| page.enter(know, races, entry))
                });
            if !entered {
                for touch in part.lines(issue.size) {
                    self.touch(issue, Space::Global, &touch, None)?;
                }
            }
        }
        Ok(())
    }

    /// An access whose lanes are looked at one by one.
    fn scattered(
        &mut self,
        issue: &Issue,
        space: Space,
        mask: u32,
        addresses: &[u64; 32],
    ) -> Result<(), Box<Finding>> {
        self.check_addresses(issue, space, mask, addresses)?;
        let mut found = Touches::new();
        if let Err(overlap) =
            touches(&mut found, mask, addresses, issue.size, issue.kind == AccessKind::Write)
        {
            return Err(Box::new(Finding::Race(Race {
                space,
                address: overlap.address,
                now: self.party(issue, overlap.lanes[1]),
                earlier: self.party(issue, overlap.lanes[0]),
                missing: Missing::SameInstruction,
            })));
        }
        match space {
            Space::Shared { rank } => self.shared(issue, rank, found.iter(), None),
            Space::Global => found.iter().try_for_each(|touch| self.touch(issue, space, touch, None)),
        }
    }

    fn check_addresses(
        &self,
        issue: &Issue,
        space: Space,
        mask: u32,
        addresses: &[u64; 32],
    ) -> Result<(), Box<Finding>> {
        let size = issue.size;
        let limit = match space {
            Space::Global => u64::MAX,
            Space::Shared { rank } if (rank as usize) < self.ctas.len() => {
                self.launch.geometry.shared_bytes.into()
            }
            Space::Shared { .. } => 0,
        };
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

    /// One line is touched, with the knowledge of the issuing warp or another.
    pub(crate) fn touch(
        &mut self,
        issue: &Issue,
        space: Space,
        touch: &Touch,
        know: Option<&Knowing>,
    ) -> Result<(), Box<Finding>> {
        if let Space::Shared { rank } = space {
            return self.shared(issue, rank, std::iter::once(touch), know);
        }
        let settings = self.launch.settings;
        let strong = matches!(issue.kind, AccessKind::Strong { .. });
        if !settings.global_races && !settings.unique_bytes && !strong {
            return Ok(());
        }
        let know = know.unwrap_or(&self.warps[self.slot(issue.warp)].know);
        let actor = issue.actor(know, self.seat(issue.warp.rank));
        let mut read_only = 0;
        let mut met = false;
        let outcome = self.launch.with_line(touch.line, |global| {
            if issue.kind.reads() {
                global.read |= touch.bytes;
            }
            if issue.kind.writes() {
                global.written |= touch.bytes;
                read_only = global.read_only & touch.bytes;
            }
            met = global.line.has_messages();
            if settings.global_races { global.line.access(&actor, touch) } else { Ok(()) }
        });
        self.met_messages |= met;
        outcome.map_err(|conflict| self.race(issue, space, touch, &conflict))?;
        match read_only {
            0 => Ok(()),
            bytes => Err(self.changed(issue, space, touch, bytes)),
        }
    }

    /// Lines of shared memory are touched.
    #[inline]
    fn shared(
        &mut self,
        issue: &Issue,
        rank: u32,
        touches: impl Iterator<Item = impl Borrow<Touch>>,
        know: Option<&Knowing>,
    ) -> Result<(), Box<Finding>> {
        let settings = self.launch.settings;
        let seat = self.seat(issue.warp.rank);
        let slot = self.slot(issue.warp);
        let actor = issue.actor(know.unwrap_or(&self.warps[slot].know), seat);
        let (reads, writes) = (issue.kind.reads(), issue.kind.writes());
        let shadow = &mut self.shared[rank as usize];
        let mut met = false;
        let mut bad = None;
        for touch in touches {
            let touch = touch.borrow();
            let at = touch.line as usize;
            let (line, written) = (&mut shadow.lines[at], &mut shadow.written[at]);
            met |= line.has_messages();
            if settings.shared_races
                && let Err(conflict) = line.access(&actor, touch)
            {
                bad = Some((touch.clone(), Bad::Race(conflict)));
                break;
            }
            let fresh = touch.bytes & !*written;
            if reads && fresh != 0 && settings.shared_uninitialised {
                bad = Some((touch.clone(), Bad::Unwritten(fresh)));
                break;
            }
            if writes {
                *written |= touch.bytes;
            }
        }
        self.met_messages |= met;
        match bad {
            None => Ok(()),
            Some((touch, bad)) => Err(self.bad_shared(issue, rank, &touch, &bad)),
        }
    }

    #[cold]
    fn bad_shared(&self, issue: &Issue, rank: u32, touch: &Touch, bad: &Bad) -> Box<Finding> {
        let space = Space::Shared { rank };
        match bad {
            Bad::Race(conflict) => self.race(issue, space, touch, conflict),
            Bad::Unwritten(fresh) => {
                let byte = fresh.trailing_zeros();
                let address = touch.line * LINE + u64::from(byte);
                let by = self.party(issue, touch.lanes.at(byte).trailing_zeros());
                Box::new(Finding::Uninitialised { space, address, by })
            }
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
        // Only writes overlap.
        if let Some((all, count)) = pieces(mask, addresses, size, false) {
            for part in all[..count].iter().flat_map(|piece| piece.cut(PAGE, size)) {
                let logged = part.chunks().is_some_and(|(first, last)| {
                    let page = part.address / PAGE;
                    self.launch.with_page(page, |page| page.mark_read_only(who, first, last))
                });
                if !logged {
                    part.lines(size).try_for_each(|touch| self.read_only_line(&issue, &touch))?;
                }
            }
            return Ok(());
        }
        let mut found = Touches::new();
        let _ = touches(&mut found, mask, addresses, size, false);
        found.iter().try_for_each(|touch| self.read_only_line(&issue, touch))
    }

    fn read_only_line(&self, issue: &Issue, touch: &Touch) -> Result<(), Box<Finding>> {
        let written = self.launch.with_line(touch.line, |global| {
            global.read_only |= touch.bytes;
            global.written & touch.bytes
        });
        match written {
            0 => Ok(()),
            bytes => Err(self.changed(issue, Space::Global, touch, bytes)),
        }
    }
}

impl Piece {
    /// The first and last chunk of its page, if it has whole ones.
    #[inline]
    fn chunks(&self) -> Option<(u8, u8)> {
        let (from, to) = (self.address % PAGE, self.address % PAGE + u64::from(self.bytes));
        (from | to).is_multiple_of(CHUNK).then(|| ((from / CHUNK) as u8, (to / CHUNK - 1) as u8))
    }
}

impl Issue {
    #[inline]
    fn actor<'a>(&self, know: &'a Knowing, seat: crate::message::Seat) -> Actor<'a> {
        Actor {
            know,
            seat,
            who: self.who,
            clock: self.clock,
            kind: self.kind,
            site: self.site,
            size: self.size,
            proxy: self.proxy,
            recent: Cell::new(None),
        }
    }
}
