//! `GPUSIM_FUSE=on`: fuses `mul` and `add` or `sub` as an assembler may.
//!
//! PTX allows it where neither has a rounding modifier. Here: within a basic block, where the sum is the product's only use.
//! The product itself is still computed; nothing reads it.

use std::collections::{HashMap, HashSet};

use gpusim_ptx::ast::{Body, Instruction, Operand};

const TYPES: &[&str] = &["f32", "f64", "f16", "f16x2", "bf16", "bf16x2"];

/// Modifiers that no PTX text can have: the fused multiply-add negates its factors' product, or its addend.
pub(crate) const NEGATED_PRODUCT: &str = "-product";
pub(crate) const NEGATED_ADDEND: &str = "-addend";

/// Calls `f` with every name in an operand.
fn names<'o>(operand: &'o Operand, f: &mut impl FnMut(&'o str)) {
    match operand {
        Operand::Name(name) | Operand::Component(name, _) | Operand::Offset(name, _) => f(name),
        Operand::Vector(list) | Operand::List(list) => list.iter().for_each(|operand| names(operand, f)),
        Operand::Address(address) => {
            names(&address.base, f);
            address.coordinates.iter().for_each(|operand| names(operand, f));
        }
        Operand::Pair(first, second) => {
            names(first, f);
            names(second, f);
        }
        Operand::Not(inner) => names(inner, f),
        Operand::Int(_) | Operand::F32(_) | Operand::F64(_) | Operand::Sink => {}
    }
}

/// The type and whether `.ftz`, if the instruction has no other modifiers than these and perhaps `.sat`.
fn contractible(i: &Instruction, sat: bool) -> Option<(&str, bool)> {
    let (mut ty, mut ftz) = (None, false);
    for modifier in &i.modifiers {
        match &**modifier {
            "ftz" => ftz = true,
            "sat" if sat => {}
            name if TYPES.contains(&name) && ty.is_none() => ty = Some(name),
            _ => return None,
        }
    }
    (i.guard.is_none() && i.operands.len() == 3).then_some((ty?, ftz))
}

/// Rewrites sums of products into fused multiply-adds.
pub(super) fn contract(body: &mut Body) {
    let mut mentions: HashMap<&str, usize> = HashMap::new();
    for i in &body.code {
        i.operands
            .iter()
            .for_each(|operand| names(operand, &mut |name| *mentions.entry(name).or_default() += 1));
        if let Some((name, _)) = &i.guard {
            *mentions.entry(name).or_default() += 1;
        }
    }
    let labels: HashSet<usize> = body.labels.iter().map(|(_, at)| *at).collect();
    let mut fused: Vec<(usize, Instruction)> = Vec::new();
    let mut taken: HashSet<usize> = HashSet::new();
    for (at, product) in body.code.iter().enumerate() {
        let (Some(shape), "mul") = (contractible(product, false), &*product.opcode) else { continue };
        let Operand::Name(name) = &product.operands[0] else { continue };
        if mentions.get(name.as_str()) != Some(&2) {
            continue;
        }
        if let Some((to, sum)) = find_sum(body, &labels, at, name, shape)
            && taken.insert(to)
        {
            fused.push((to, sum));
        }
    }
    for (at, sum) in fused {
        body.code[at] = sum;
    }
}

/// The sum that uses the product at `at`, and the instruction that replaces it.
fn find_sum(
    body: &Body,
    labels: &HashSet<usize>,
    at: usize,
    product: &str,
    shape: (&str, bool),
) -> Option<(usize, Instruction)> {
    let factors = &body.code[at].operands[1..];
    let is_product = |operand: &Operand| matches!(operand, Operand::Name(name) if name == product);
    for (to, i) in body.code.iter().enumerate().skip(at + 1) {
        if labels.contains(&to) {
            return None;
        }
        let mut used = false;
        i.operands.iter().for_each(|operand| names(operand, &mut |name| used |= name == product));
        if used {
            if !matches!(&*i.opcode, "add" | "sub") || contractible(i, true) != Some(shape) {
                return None;
            }
            let first = is_product(&i.operands[1]);
            if !first && !is_product(&i.operands[2]) {
                return None;
            }
            let addend = i.operands[if first { 2 } else { 1 }].clone();
            let mut sum = i.clone();
            sum.opcode = "fma".into();
            sum.modifiers.insert(0, "rn".into());
            if &*i.opcode == "sub" {
                sum.modifiers.push(if first { NEGATED_ADDEND } else { NEGATED_PRODUCT }.into());
            }
            sum.operands = vec![i.operands[0].clone(), factors[0].clone(), factors[1].clone(), addend];
            return Some((to, sum));
        }
        // The factors must keep their values, and control must not leave.
        let mut overwritten = false;
        if let Some(first) = i.operands.first() {
            names(first, &mut |name| {
                factors.iter().for_each(|factor| names(factor, &mut |factor| overwritten |= name == factor));
            });
        }
        if overwritten || matches!(&*i.opcode, "bra" | "brx" | "call" | "ret" | "exit" | "trap") {
            return None;
        }
    }
    None
}
