//! The interpreter's loop.

use super::Exec;
use super::group::{Choice, Group, SLICE, Wait};
use crate::inst::{Flow, Pred};

/// How a warp's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It could go on.
    Spent,
    /// All its lanes wait for something that another warp must do.
    Blocked,
    /// As above, but it must look for itself whether that has happened.
    Polling,
    /// All its lanes have exited.
    Done,
    /// `Exec::fault` says what happened.
    Fault,
}

impl Exec<'_> {
    /// Runs the warp for about `budget` instructions, or until it waits. Also says how many it executed.
    pub(crate) fn turn(&mut self, budget: u32) -> (Turn, u32) {
        let program = self.launch.program;
        let code = program.code.as_slice();
        let mut left = budget;
        let mut polled = false;
        loop {
            let at = match self.choose(polled) {
                Choice::Group(at) => at,
                Choice::Done => return (Turn::Done, budget - left),
                Choice::Polling => return (Turn::Polling, budget - left),
                Choice::Blocked => return (Turn::Blocked, budget - left),
            };
            let group = self.warp.groups.swap_remove(at);
            polled |= group.wait == Wait::Poll;
            self.woken = !matches!(group.wait, Wait::Ready | Wait::Poll);
            self.wait_of_group = group.wait;
            self.active = group.mask;
            self.entered = self.worker.counted;
            if self.depth != group.depth || self.preds_unset() {
                self.set_depth(group.depth);
            }
            let start = group.pc;
            let alone = self.warp.groups.is_empty();
            // Alone, a group never meets another; else it stops where it would, and at every jump back.
            let (low, span) = if alone { (0, u32::MAX) } else { (start, self.stretch(start, group.depth)) };
            let before = left;
            let mut pc = start;
            let flow = loop {
                // SAFETY: program counters come from labels and from the end of instructions that fall through; every
                // function ends with an instruction that does not.
                let inst = unsafe { code.get_unchecked(pc as usize) };
                self.pc = pc;
                self.next = pc + 1;
                self.mask =
                    if inst.guard == Pred::NONE { self.active } else { self.active & self.pred(inst.guard) };
                left = left.saturating_sub(1);
                if self.mask != 0 {
                    self.worker.count(pc, self.mask);
                    // SAFETY: lowering made the instruction for this CPU.
                    let flow = unsafe { (inst.run)(self, inst) };
                    if flow != Flow::Next {
                        break flow;
                    }
                    self.woken = false;
                }
                pc = self.next;
                if pc.wrapping_sub(low) >= span || left == 0 {
                    break Flow::Next;
                }
            };
            let executed = before - left;
            self.warp.executed += u64::from(executed);
            let stamp = self.warp.executed;
            let group = |mask, pc, depth, wait| Group { mask, pc, depth, wait, stamp };
            match flow {
                Flow::Next => self.warp.groups.push(group(self.active, pc, self.depth, Wait::Ready)),
                Flow::Regroup => {}
                Flow::Yield => {
                    self.warp.groups.push(group(self.active, self.next, self.depth, Wait::Ready));
                    self.warp.streak = SLICE;
                }
                Flow::Wait => {
                    // It runs again, except those at `bar.warp.sync`, which others release.
                    if !matches!(self.wait, Wait::WarpSync(_)) {
                        self.worker.uncount(self.pc, self.mask);
                    }
                    self.warp.groups.push(group(self.mask, self.pc, self.depth, self.wait));
                    let rest = self.active & !self.mask;
                    if rest != 0 {
                        self.warp.groups.push(group(rest, self.pc + 1, self.depth, Wait::Ready));
                    }
                }
                Flow::Fault => return (Turn::Fault, budget - left),
            }
            if !alone {
                self.take_turns(executed);
            }
            if flow == Flow::Yield {
                return (Turn::Spent, budget - left);
            }
            if left == 0 && flow != Flow::Wait {
                return (if self.warp.groups.is_empty() { Turn::Done } else { Turn::Spent }, budget);
            }
        }
    }

    /// Adds a group at `pc` and the running depth, for instructions that split the running one.
    pub(crate) fn add_group(&mut self, mask: u32, pc: u32, depth: u32) {
        if mask != 0 {
            let stamp = self.warp.executed;
            self.warp.groups.push(Group { mask, pc, depth, wait: Wait::Ready, stamp });
        }
    }

    /// The executing lanes exit.
    pub(crate) fn exit_lanes(&mut self) -> Flow {
        let lanes = self.mask;
        if let Err(flow) = self.check_exit() {
            return flow;
        }
        self.warp.alive &= !lanes;
        self.worker.effects += 1;
        self.add_group(self.active & !lanes, self.next, self.depth);
        self.look_again();
        self.cta.exited(self.warp.index, lanes);
        self.open_barriers();
        self.cluster.exited(self.cta.rank, lanes.count_ones());
        Flow::Regroup
    }
}
