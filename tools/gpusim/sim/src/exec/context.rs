//! What an executing instruction sees.

use super::cta::{ClusterState, CtaState};
use super::launch::{LaunchState, WorkerState};
use super::warp::Warp;
use super::{Fault, FaultKind, Slot, Wait};
use crate::inst::{Elem, Flow, Inst, Pred, Reg};
use crate::module::Special;

/// A warp while it runs, and what is around it.
pub(crate) struct Exec<'r> {
    /// First slot of the frame, of the constants, of the special registers.
    bases: [*mut Slot; 4],
    /// First predicate of the frame.
    preds: *mut u32,
    /// Lanes that execute the instruction.
    pub mask: u32,
    /// Lanes of the running group: those of `mask`, and those whose guard is false.
    pub active: u32,
    /// The instruction's index.
    pub pc: u32,
    /// Where the group goes on after [`Flow::Next`].
    pub next: u32,
    /// Call depth of the running group.
    pub depth: u32,
    /// What [`Flow::Wait`] waits for.
    pub wait: Wait,
    /// The instruction runs again after the barrier it waited for has opened.
    pub woken: bool,
    /// What the running group waited for before this turn.
    pub(super) wait_of_group: Wait,
    /// Executed instructions of the running group are counted only when it stops: where the count stood.
    pub(super) entered: u64,
    pub warp: &'r mut Warp,
    pub cta: &'r mut CtaState,
    pub cluster: &'r mut ClusterState,
    pub worker: &'r mut WorkerState,
    pub launch: &'r LaunchState<'r>,
    /// Looks, in this turn, at what another thread may change.
    pub(super) polls: u32,
    /// Whether lanes were set aside during the instruction.
    divided: bool,
    /// Lanes whose result of the instruction is not defined.
    undefined: u32,
    /// Set before [`Flow::Fault`] is returned.
    pub fault: Option<Box<Fault>>,
}

impl<'r> Exec<'r> {
    pub(super) fn new(
        warp: &'r mut Warp,
        cta: &'r mut CtaState,
        cluster: &'r mut ClusterState,
        worker: &'r mut WorkerState,
        launch: &'r LaunchState<'r>,
    ) -> Exec<'r> {
        let constants = launch.program.pool.slots().as_ptr().cast_mut();
        let specials = warp.specials.as_mut_ptr();
        Exec {
            bases: [std::ptr::null_mut(), constants, specials, specials],
            preds: std::ptr::null_mut(),
            mask: 0,
            active: 0,
            pc: 0,
            next: 0,
            depth: 0,
            wait: Wait::Ready,
            woken: false,
            wait_of_group: Wait::Ready,
            entered: 0,
            warp,
            cta,
            cluster,
            worker,
            launch,
            polls: 0,
            divided: false,
            undefined: 0,
            fault: None,
        }
    }

    /// Makes the frame at `depth` the current one, and room for it.
    pub(super) fn set_depth(&mut self, depth: u32) {
        let layout = self.launch.frames;
        let (slot, pred) = layout.start(depth as usize);
        if self.warp.regs.len() < slot + layout.slots(depth as usize) {
            self.warp.regs.resize(slot + layout.slots(depth as usize), Slot::ZERO);
        }
        let end = pred + layout.preds(depth as usize);
        if self.warp.preds.len() < end {
            self.warp.preds.resize(end, 0);
        }
        self.warp.preds[pred] = u32::MAX;
        self.depth = depth;
        self.bases[0] = self.warp.regs[slot..].as_mut_ptr();
        self.preds = self.warp.preds[pred..].as_mut_ptr();
    }

    /// Whether no frame has been chosen yet.
    pub(super) fn preds_unset(&self) -> bool {
        self.preds.is_null()
    }

    /// The lanes of a 32-bit register.
    #[inline(always)]
    pub(crate) fn slot32(&self, reg: Reg) -> *mut [u32; 32] {
        self.bases[reg.file()].wrapping_add(reg.slot()).cast()
    }

    /// The lanes of a 64-bit register.
    #[inline(always)]
    pub(crate) fn slot64(&self, reg: Reg) -> *mut [u64; 32] {
        self.bases[reg.file()].wrapping_add(reg.slot()).cast()
    }

    /// All lanes of a register, of inactive lanes too.
    #[inline(always)]
    pub(crate) fn read<T: Elem>(&self, reg: Reg) -> [T; 32] {
        let slot = T::slot(self, reg);
        let mut values = [T::default(); 32];
        for (lane, value) in values.iter_mut().enumerate() {
            // SAFETY: lowering gives out registers inside the frame, the constants and the special registers only,
            // with the slots that the type needs.
            *value = T::from_bits(unsafe { (*slot)[lane] });
        }
        values
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn write<T: Elem>(&mut self, reg: Reg, values: &[T; 32]) {
        let slot = T::slot(self, reg);
        let mask = self.mask;
        // SAFETY: as in `read`; destinations are never constants. No other reference to the slot exists.
        let slot = unsafe { &mut *slot };
        if mask == u32::MAX {
            for lane in 0..32 {
                slot[lane] = values[lane].to_bits();
            }
        } else {
            for lane in 0..32 {
                let old = slot[lane];
                slot[lane] = if mask >> lane & 1 != 0 { values[lane].to_bits() } else { old };
            }
        }
    }

    /// Writes one lane, whatever `mask` says.
    #[inline]
    pub(crate) fn write_lane<T: Elem>(&mut self, reg: Reg, lane: usize, value: T) {
        let slot = T::slot(self, reg);
        // SAFETY: as in `write`; the index is checked.
        unsafe { (&mut (*slot))[lane] = value.to_bits() }
    }

    /// Reads one lane.
    #[inline]
    pub(crate) fn read_lane<T: Elem>(&self, reg: Reg, lane: usize) -> T {
        let slot = T::slot(self, reg);
        // SAFETY: as in `read`; the index is checked.
        T::from_bits(unsafe { (&(*slot))[lane] })
    }

    /// The lanes in which a predicate holds, inactive lanes included.
    #[inline(always)]
    pub(crate) fn pred(&self, pred: Pred) -> u32 {
        // SAFETY: lowering gives out predicates inside the frame.
        let bits = unsafe { *self.preds.add((pred.0 >> 1) as usize) };
        bits ^ 0u32.wrapping_sub(pred.0 & 1)
    }

    /// Writes a predicate's lanes of `mask`.
    #[inline(always)]
    pub(crate) fn write_pred(&mut self, pred: Pred, bits: u32) {
        // SAFETY: as in `pred`.
        let old = unsafe { &mut *self.preds.add((pred.0 >> 1) as usize) };
        *old = *old & !self.mask | bits & self.mask;
    }

    /// The destinations of `setp`: `d = bits op c`, `e = !bits op c`, where `aux` tells the operation.
    #[inline(always)]
    pub(crate) fn write_test(&mut self, i: &Inst, bits: u32) {
        let mut not = !bits;
        let mut bits = bits;
        if i.aux != 0 {
            let c = self.pred(i.c.as_pred());
            (bits, not) = match i.aux {
                1 => (bits & c, not & c),
                2 => (bits | c, not | c),
                _ => (bits ^ c, not ^ c),
            };
        }
        self.write_pred(i.d.as_pred(), bits);
        if i.e != Reg::NONE {
            self.write_pred(i.e.as_pred(), not);
        }
    }

    /// Instructions that the warp has executed, up to its last turn, plus the place in the present one.
    pub(crate) fn clock(&self) -> u64 {
        self.warp.executed + self.worker.counted.wrapping_sub(self.entered)
    }

    /// Whether the running group came here to look whether what it waits for has happened.
    pub(crate) fn looked(&self) -> bool {
        self.wait_of_group == Wait::Poll
    }

    /// What follows has not been waited for yet.
    pub(crate) fn forget_look(&mut self) {
        self.wait_of_group = Wait::Ready;
    }

    /// After a look at what another thread may change: who looks again and again makes way for that thread.
    pub(crate) fn polled(&mut self) -> Flow {
        const LOOKS: u32 = 32;
        self.polls += 1;
        self.warp.watch.looked = true;
        if self.polls < LOOKS { Flow::Next } else { Flow::Yield }
    }

    /// The instruction goes on without some of its lanes, which run it again afterwards.
    pub(crate) fn set_aside(&mut self, lanes: u32) {
        self.add_group(lanes, self.pc, self.depth);
        self.active &= !lanes;
        self.mask &= !lanes;
        self.divided = true;
    }

    /// The end of an instruction that may have set lanes aside.
    #[inline(always)]
    pub(crate) fn united(&mut self) -> Flow {
        if !self.divided {
            return Flow::Next;
        }
        self.divided = false;
        self.add_group(self.active, self.next, self.depth);
        Flow::Regroup
    }

    /// The result of a shuffle will not be defined in these lanes.
    #[inline(always)]
    pub(crate) fn undefined(&mut self, lanes: u32) {
        self.undefined = lanes;
    }

    /// The end of a shuffle into `d`.
    #[inline(always)]
    pub(crate) fn shuffled(&mut self, d: Reg) -> Flow {
        if self.undefined != 0 {
            let lanes = std::mem::take(&mut self.undefined);
            for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
                let value = self.worker.rng.next() as u32;
                self.write_lane(d, lane, value);
            }
        }
        self.united()
    }

    /// A fault of the executing lanes.
    #[cold]
    pub(crate) fn fault(&mut self, kind: FaultKind, title: &str, message: impl Into<String>) -> Flow {
        let lanes = self.mask;
        self.fail(Fault::new(kind, title, message).at(lanes))
    }

    /// A fault with all its details.
    #[cold]
    pub(crate) fn fail(&mut self, fault: Fault) -> Flow {
        self.fault = Some(Box::new(fault));
        Flow::Fault
    }

    /// For an instruction that the lanes of `members` execute together: None if all of them are here, else what to
    /// return. Lanes that have exited are not waited for.
    #[inline]
    pub(crate) fn converge(&mut self, members: u32) -> Option<Flow> {
        if self.mask & !members != 0 {
            let stray = self.mask & !members;
            let message = format!("lanes {stray:#010x} execute it but are not in its mask {members:#010x}");
            return Some(self.fail(Fault::new(FaultKind::Check, "wrong member mask", message).at(stray)));
        }
        if members & self.warp.alive & !self.mask != 0 {
            self.wait = Wait::Converge;
            return Some(Flow::Wait);
        }
        None
    }
}

impl Exec<'_> {
    /// Makes `lanes` at `depth` the ones that registers are read and written for.
    pub(crate) fn enter(&mut self, lanes: u32, depth: u32) {
        self.mask = lanes;
        self.set_depth(depth);
    }

    /// After `Warp::frame` has changed: the registers that hold it follow.
    pub(crate) fn update_frame_registers(&mut self, lanes: u32) {
        for &(special, wide, slot) in self.launch.program.specials.entries() {
            if special != Special::FramePointer {
                continue;
            }
            let reg = Reg::new(Reg::SPECIAL, slot);
            for lane in (0..32).filter(|lane| lanes >> lane & 1 != 0) {
                let frame = self.warp.frame[lane];
                if wide {
                    self.write_lane(reg, lane, u64::from(frame))
                } else {
                    self.write_lane(reg, lane, frame)
                }
            }
        }
    }
}
