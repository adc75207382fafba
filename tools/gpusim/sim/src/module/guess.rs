//! The plain loads that compare-and-swap loops begin with.
//!
//! `old = *p; do { assumed = old; old = atomicCAS(p, assumed, f(assumed)); } while (assumed != old);` is how CUDA's manual
//! and its headers make atomics that hardware does not have. The first load is not an atomic operation, so by the letter it
//! races with other threads' swaps; but what it brings is only a guess, which the swap checks. Such loads are treated as
//! relaxed ones. All other uses of the word stay as strict as they are: a plain store to it, say, still races.

use std::collections::HashSet;

use gpusim_ptx::ast::{Body, Instruction, Operand};

/// The indices of loads whose value goes nowhere near memory but as the guess of a `cas` of the same word. What else the
/// program makes of the value is its own affair: the swapped-in value is made of it.
pub(super) fn guesses(body: &Body) -> HashSet<usize> {
    let swaps: Vec<&Instruction> =
        body.code.iter().filter(|i| &*i.opcode == "atom" && has(i, "cas")).collect();
    let mut found = HashSet::new();
    if swaps.is_empty() {
        return found;
    }
    for (at, load) in body.code.iter().enumerate().filter(|(_, i)| is_plain_load(i)) {
        let [Operand::Name(value), address] = load.operands.as_slice() else { continue };
        let same =
            swaps.iter().filter(|swap| swap.operands.get(1) == Some(address) && bits(swap) == bits(load));
        let mut guesses = same.filter_map(|swap| swap.operands.get(2)).peekable();
        if guesses.peek().is_none() {
            continue;
        }
        let copies = copies(body, value);
        if guesses.any(|guess| matches!(guess, Operand::Name(name) if copies.contains(name.as_str()))) {
            found.insert(at);
        }
    }
    found
}

/// A register and those that `mov` copies it to.
fn copies<'b>(body: &'b Body, value: &'b str) -> HashSet<&'b str> {
    let mut copies = HashSet::from([value]);
    loop {
        let before = copies.len();
        for i in body.code.iter().filter(|i| &*i.opcode == "mov") {
            if let [Operand::Name(to), Operand::Name(from)] = i.operands.as_slice()
                && copies.contains(from.as_str())
            {
                copies.insert(to);
            }
        }
        if copies.len() == before {
            return copies;
        }
    }
}

fn has(i: &Instruction, modifier: &str) -> bool {
    i.modifiers.iter().any(|m| &**m == modifier)
}

fn is_plain_load(i: &Instruction) -> bool {
    let spaces = ["global", "shared", "shared::cta"];
    &*i.opcode == "ld"
        && i.modifiers.iter().all(|m| spaces.contains(&&**m) || m.starts_with(['b', 'u', 's', 'f']))
}

/// Width of the type, by its digits.
fn bits(i: &Instruction) -> Option<u32> {
    i.modifiers.iter().rev().find_map(|m| m.strip_prefix(['b', 'u', 's', 'f'])?.parse().ok())
}
