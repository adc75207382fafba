//! The one place where instructions get at memory: bounds, alignment, freed memory, and the seam of races and counters.

use gpusim_check::{AccessKind, Scope};

use super::observe::{Store, Stored, Told};
use super::{Exec, Fault, FaultKind};
use crate::MemoryError;
use crate::inst::{Flow, Inst};
use crate::memory::window;

/// A state space as an instruction names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MemSpace {
    /// No space: the address says which.
    Generic,
    Global,
    /// `.shared`, `.shared::cta` and `.shared::cluster`: the rank is in the address.
    Shared,
    Local,
    /// Kernel parameters.
    Param,
    Const,
}

/// An access by the executing lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    /// Bytes per lane.
    pub bytes: u32,
    /// What the address is a multiple of.
    pub align: u32,
    pub reads: bool,
    pub writes: bool,
    /// `.relaxed`, `.acquire`, `.release`, `.volatile` accesses and atomics.
    pub strong: Option<Strong>,
}

/// Semantics of a strong access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strong {
    pub atomic: bool,
    pub acquire: bool,
    pub release: bool,
    pub scope: Scope,
    /// Bytes of an element: of a vector each is an access of its own.
    pub element: u32,
}

impl Access {
    pub(crate) fn read(bytes: u32) -> Access {
        Access { bytes, align: bytes, reads: true, writes: false, strong: None }
    }

    pub(crate) fn write(bytes: u32) -> Access {
        Access { bytes, align: bytes, reads: false, writes: true, strong: None }
    }
}

/// Host addresses per lane. Lanes that do not execute have the address of one that does, so that loads need no test.
pub(crate) type Hosts = [u64; 32];

impl Exec<'_> {
    /// The addresses of a memory operand: base register (64-bit if `wide`) plus offset.
    #[inline(always)]
    pub(crate) fn addresses(&self, base: crate::inst::Reg, wide: bool, offset: i64) -> [u64; 32] {
        let mut addresses = [0; 32];
        if wide {
            let base = self.read::<u64>(base);
            for lane in 0..32 {
                addresses[lane] = base[lane].wrapping_add(offset as u64);
            }
        } else {
            let base = self.read::<u32>(base);
            for lane in 0..32 {
                addresses[lane] = u64::from(base[lane].wrapping_add(offset as u32));
            }
        }
        addresses
    }

    /// Checks an access of the executing lanes, and gives the host addresses. `Err` is what the instruction returns.
    #[inline(always)]
    pub(crate) fn locate(&mut self, space: MemSpace, at: &[u64; 32], access: Access) -> Result<Hosts, Flow> {
        let all = self.find(space, at, access)?;
        if self.launch.observed {
            self.observe(space, at, access)?;
        }
        Ok(all)
    }

    /// As [`Exec::locate`] for plain stores, which do not race with writes of the same value to the same place.
    #[inline(always)]
    pub(crate) fn locate_store(
        &mut self,
        space: MemSpace,
        at: &[u64; 32],
        access: Access,
        inst: &Inst,
        stored: Stored,
    ) -> Result<Hosts, Flow> {
        let all = self.find(space, at, access)?;
        if self.launch.observed {
            self.observe_store(space, at, access, Store { inst, stored, hosts: &all })?;
        }
        Ok(all)
    }

    /// The host address of lane 0 if all 32 lanes execute and access neighbouring addresses in one place, weakly: the
    /// common case, found without a look at single lanes. None says nothing; [`Exec::find`] decides.
    #[inline(always)]
    pub(crate) fn find_coalesced(&mut self, space: MemSpace, at: &[u64; 32], access: Access) -> Option<u64> {
        let first = at[0];
        let mut bent = 0;
        for lane in 0..32 {
            bent |= at[lane] ^ first.wrapping_add(lane as u64 * u64::from(access.bytes));
        }
        let odd = first & u64::from(access.align - 1);
        if self.mask != u32::MAX || bent | odd != 0 || access.strong.is_some() {
            return None;
        }
        let end = first.checked_add(32 * u64::from(access.bytes))?;
        match space {
            MemSpace::Global | MemSpace::Const | MemSpace::Generic => {
                let hint = self.worker.hints[self.pc as usize];
                let region = self.worker.regions[hint as usize];
                let inside = first >= region.base && end <= region.end && !self.launch.global_init;
                inside.then(|| first.wrapping_add(region.delta))
            }
            MemSpace::Shared => {
                let (start, size) = self.cluster.shared[self.cta.rank as usize];
                let reserved = u64::from(window::SHARED_RESERVED);
                let inside = first >= reserved && end <= reserved + u64::from(size);
                inside.then(|| first.wrapping_add((start as u64).wrapping_sub(reserved)))
            }
            MemSpace::Local | MemSpace::Param => None,
        }
    }

    /// Tells checks and counters of an access that [`Exec::find_coalesced`] found; a store may have to say more.
    #[inline(always)]
    pub(crate) fn tell_coalesced(
        &mut self,
        space: MemSpace,
        at: &[u64; 32],
        access: Access,
        host: u64,
        store: Option<(&Inst, Stored)>,
    ) -> Result<(), Flow> {
        if !self.launch.observed || space == MemSpace::Const {
            return Ok(());
        }
        self.observe_coalesced(space, at, access, host, store)
    }

    /// As [`Exec::locate`] for the rows of `ldmatrix` and `stmatrix`.
    #[inline(always)]
    pub(crate) fn locate_matrix(
        &mut self,
        space: MemSpace,
        at: &[u64; 32],
        access: Access,
        matrices: usize,
    ) -> Result<Hosts, Flow> {
        let all = self.find(space, at, access)?;
        if self.launch.observed {
            let kind = if access.writes { AccessKind::Write } else { AccessKind::Read };
            let (bytes, matrices) = (access.bytes, matrices as u32);
            self.observe_as(
                space,
                at,
                Told { mask: self.mask, failed: 0, bytes, element: bytes, kind, matrices },
                None,
            )?;
        }
        Ok(all)
    }

    /// As [`Exec::locate`], for who tells the checks and counters itself.
    #[inline(always)]
    pub(crate) fn find(&mut self, space: MemSpace, at: &[u64; 32], access: Access) -> Result<Hosts, Flow> {
        let mask = self.mask;
        let first = at[mask.trailing_zeros() as usize & 31];
        let mut all = [0u64; 32];
        let (mut low, mut high, mut bits) = (u64::MAX, 0u64, 0u64);
        for lane in 0..32 {
            all[lane] = if mask >> lane & 1 != 0 { at[lane] } else { first };
            low = low.min(all[lane]);
            high = high.max(all[lane]);
            bits |= all[lane];
        }
        if bits & u64::from(access.align - 1) != 0 {
            return Err(self.misaligned(&all, access));
        }
        // Atomics tell by themselves whether they changed something, and nobody else sees local memory.
        let effect = access.writes && space != MemSpace::Local && access.strong.is_none_or(|s| !s.atomic);
        self.worker.effects += u64::from(effect);
        let bytes = u64::from(access.bytes);
        match space {
            MemSpace::Global | MemSpace::Const | MemSpace::Generic => {
                let hint = self.worker.hints[self.pc as usize];
                let region = self.worker.regions[hint as usize];
                if low >= region.base && high.saturating_add(bytes) <= region.end {
                    for address in &mut all {
                        *address = address.wrapping_add(region.delta);
                    }
                } else if space == MemSpace::Generic {
                    self.locate_generic(&mut all, low, high, access)?;
                } else {
                    self.locate_regions(&mut all, access)?;
                }
            }
            MemSpace::Shared => {
                let (start, size) = self.cluster.shared[self.cta.rank as usize];
                let reserved = u64::from(window::SHARED_RESERVED);
                if low >= reserved && high + bytes <= reserved + u64::from(size) {
                    for address in &mut all {
                        *address = address.wrapping_add((start as u64).wrapping_sub(reserved));
                    }
                } else {
                    self.locate_shared(&mut all, access)?;
                }
            }
            MemSpace::Local => self.locate_local(&mut all, access)?,
            MemSpace::Param => self.locate_param(&mut all, access)?,
        }
        if self.launch.global_init && matches!(space, MemSpace::Global | MemSpace::Generic) {
            self.initialised(at, access)?;
        }
        Ok(all)
    }

    /// The host address of one address in a space, for copies that are no lane's access. It counts as an access of no
    /// kind; who copies tells the checks.
    pub(crate) fn host(
        &mut self,
        space: MemSpace,
        at: u64,
        bytes: u32,
        writes: bool,
    ) -> Result<*mut u8, Flow> {
        let access = Access { bytes, align: 1, reads: !writes, writes, strong: None };
        let mut all = [at; 32];
        match space {
            MemSpace::Global | MemSpace::Const => self.locate_regions(&mut all, access)?,
            MemSpace::Generic => self.locate_generic(&mut all, at, at, access)?,
            MemSpace::Shared => self.locate_shared(&mut all, access)?,
            MemSpace::Local => self.locate_local(&mut all, access)?,
            MemSpace::Param => self.locate_param(&mut all, access)?,
        }
        if self.launch.global_init && matches!(space, MemSpace::Global | MemSpace::Generic) {
            self.initialised(&[at; 32], access)?;
        }
        let lane = self.mask.trailing_zeros() as usize & 31;
        Ok(all[lane] as *mut u8)
    }

    #[inline(never)]
    fn locate_generic(&mut self, all: &mut Hosts, low: u64, high: u64, access: Access) -> Result<(), Flow> {
        let inside = |base: u64| low >= base && high < base + window::SIZE;
        if inside(window::SHARED) {
            all.iter_mut().for_each(|at| *at -= window::SHARED);
            return self.locate_shared(all, access);
        }
        if inside(window::LOCAL) {
            all.iter_mut().for_each(|at| *at -= window::LOCAL);
            return self.locate_local(all, access);
        }
        if inside(window::PARAM) {
            all.iter_mut().for_each(|at| *at -= window::PARAM);
            return self.locate_param(all, access);
        }
        let in_window = |at: u64| (window::SHARED..window::PARAM + window::SIZE).contains(&at);
        if !all.iter().any(|at| in_window(*at)) {
            return self.locate_regions(all, access);
        }
        // Lanes in different spaces: each with its likes.
        let mask = self.mask;
        let kind = |at: u64| {
            if in_window(at) { (at - window::SHARED) / (window::LOCAL - window::SHARED) } else { 9 }
        };
        // Asked first: what has been found is a host address, of no kind.
        let kinds = all.map(kind);
        for space in [0, 1, 2, 9] {
            let lanes =
                (0..32).filter(|lane| kinds[*lane] == space).fold(0u32, |m, lane| m | 1 << lane) & mask;
            if lanes == 0 {
                continue;
            }
            let first = all[lanes.trailing_zeros() as usize];
            let mut part: Hosts = std::array::from_fn(|l| if lanes >> l & 1 != 0 { all[l] } else { first });
            let (low, high) =
                (part.iter().copied().min().unwrap_or(0), part.iter().copied().max().unwrap_or(0));
            self.mask = lanes;
            let done = if space == 9 {
                self.locate_regions(&mut part, access)
            } else {
                self.locate_generic(&mut part, low, high, access)
            };
            self.mask = mask;
            done?;
            for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
                all[lane] = part[lane];
            }
        }
        // Lanes that do not execute still hold addresses of the device.
        let host = all[mask.trailing_zeros() as usize & 31];
        for lane in (0..32).filter(|lane| mask >> lane & 1 == 0) {
            all[lane] = host;
        }
        Ok(())
    }

    #[inline(never)]
    fn locate_regions(&mut self, all: &mut Hosts, access: Access) -> Result<(), Flow> {
        let bytes = u64::from(access.bytes);
        let mut refreshed = false;
        let mut hint = self.worker.hints[self.pc as usize] as usize;
        let mut lane = 0;
        while lane < 32 {
            let at = all[lane];
            let mut region = self.worker.regions[hint];
            if at < region.base || at.saturating_add(bytes) > region.end {
                hint = self.worker.region(at);
                region = self.worker.regions[hint];
                if at < region.base || at.saturating_add(bytes) > region.end {
                    // The kernel, or another host thread, may have allocated since the launch began.
                    if !refreshed && self.worker.refresh(self.launch) {
                        refreshed = true;
                        hint = 0;
                        continue;
                    }
                    return Err(self.bad_global(at, lane, access));
                }
                // An instruction keeps its hint, so the first write to a region always comes by here.
                if access.writes && self.launch.device.memory().is_constant(region.base) {
                    return Err(self.write_to_constant(at, lane, access));
                }
            }
            all[lane] = at.wrapping_add(region.delta);
            lane += 1;
        }
        self.worker.hints[self.pc as usize] = hint as u32;
        Ok(())
    }

    #[inline(never)]
    fn locate_shared(&mut self, all: &mut Hosts, access: Access) -> Result<(), Flow> {
        for lane in 0..32 {
            let at = all[lane];
            let rank = match at >> window::CLUSTER_RANK_SHIFT {
                0 => self.cta.rank,
                rank => (rank - 1).min(u64::from(u32::MAX)) as u32,
            };
            let offset = (at & ((1 << window::CLUSTER_RANK_SHIFT) - 1)) as u32;
            if rank != self.cta.rank && self.cluster.has_left(rank) {
                let message = format!("shared access at {at:#x}: CTA rank {rank} has ended");
                let fault = Fault::new(FaultKind::IllegalAddress, "use after free", message).at(1 << lane);
                return Err(self.fail(fault));
            }
            match self.cluster.shared_at(rank, offset, access.bytes) {
                Some(host) => all[lane] = host as u64,
                None => {
                    let what = match self.cluster.shared.get(rank as usize) {
                        None => format!("the cluster has no CTA of rank {rank}"),
                        Some((_, size)) => format!(
                            "shared memory is {:#x} to {:#x} ({size} bytes)",
                            window::SHARED_RESERVED,
                            window::SHARED_RESERVED + size
                        ),
                    };
                    return Err(self.out_of_bounds("shared", at, lane, access, &what));
                }
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn locate_local(&mut self, all: &mut Hosts, access: Access) -> Result<(), Flow> {
        let stride = u64::from(self.launch.local_bytes);
        if self.warp.local.is_empty() && stride > 0 {
            self.warp.local = vec![0; stride as usize * 32 + 16];
        }
        let skip = self.warp.local.as_ptr().align_offset(16);
        let start = self.warp.local.as_mut_ptr() as u64 + skip as u64;
        let first = all[self.mask.trailing_zeros() as usize & 31];
        for lane in 0..32 {
            // A lane that does not execute has another lane's address: its own stretch has that offset too.
            let at = if self.mask >> lane & 1 != 0 { all[lane] } else { first };
            if at.saturating_add(u64::from(access.bytes)) > stride {
                let what = format!("the thread has {stride} bytes of local memory, the stack included");
                return Err(self.out_of_bounds("local", at, lane, access, &what));
            }
            all[lane] = start + lane as u64 * stride + at;
        }
        Ok(())
    }

    /// The host address of bytes of a lane's local memory.
    pub(crate) fn local(&mut self, lane: usize, at: u32, bytes: u32) -> Result<*mut u8, Flow> {
        let mask = std::mem::replace(&mut self.mask, 1 << lane);
        let access = Access { bytes, align: 1, reads: true, writes: true, strong: None };
        let mut all = [u64::from(at); 32];
        let done = self.locate_local(&mut all, access);
        self.mask = mask;
        done.map(|()| all[lane] as *mut u8)
    }

    #[inline(never)]
    fn locate_param(&mut self, all: &mut Hosts, access: Access) -> Result<(), Flow> {
        let params = self.launch.params;
        if access.writes {
            return Err(self.fault(
                FaultKind::IllegalAddress,
                "write to parameters",
                "parameters are read-only",
            ));
        }
        for lane in 0..32 {
            let at = all[lane];
            if at.saturating_add(u64::from(access.bytes)) > params.len() as u64 {
                let what = format!("the kernel has {} bytes of parameters", params.len());
                return Err(self.out_of_bounds("parameter", at, lane, access, &what));
            }
            all[lane] = params.as_ptr() as u64 + at;
        }
        Ok(())
    }

    #[cold]
    fn misaligned(&mut self, all: &Hosts, access: Access) -> Flow {
        let align = u64::from(access.align);
        let lane = all.iter().position(|at| at % align != 0).unwrap_or(0);
        let message =
            format!("{} bytes at {:#x}, which is not a multiple of {align}", access.bytes, all[lane]);
        self.fail(Fault::new(FaultKind::Misaligned, "misaligned address", message).at(1 << lane))
    }

    #[cold]
    fn bad_global(&mut self, at: u64, lane: usize, access: Access) -> Flow {
        let error = self.launch.device.memory().explain(at, access.bytes.into());
        let title = match error {
            MemoryError::UseAfterFree { .. } => "use after free",
            _ => "out of bounds",
        };
        let what = if access.writes { "write of" } else { "read of" };
        self.fail(
            Fault::new(FaultKind::IllegalAddress, title, format!("global {what} {error}")).at(1 << lane),
        )
    }

    #[cold]
    fn write_to_constant(&mut self, at: u64, lane: usize, access: Access) -> Flow {
        let message = format!("{} bytes at {at:#x}, which is a .const variable", access.bytes);
        self.fail(Fault::new(FaultKind::IllegalAddress, "read-only write", message).at(1 << lane))
    }

    #[cold]
    fn out_of_bounds(&mut self, space: &str, at: u64, lane: usize, access: Access, what: &str) -> Flow {
        let verb = if access.writes { "write" } else { "read" };
        let message = format!("{space} {verb} of {} bytes at {at:#x}: {what}", access.bytes);
        self.fail(Fault::new(FaultKind::IllegalAddress, "out of bounds", message).at(1 << lane))
    }
}
