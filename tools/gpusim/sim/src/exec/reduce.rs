//! Reductions of one element in memory, as asynchronous copies make them.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use gpusim_num::format::Format;
use gpusim_num::half::{Half, Modifiers};
use gpusim_num::minmax;

use crate::inst::Ty;

/// The operation of a `cp.reduce.async.bulk` or `red.async`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Min,
    Max,
    Inc,
    Dec,
    And,
    Or,
    Xor,
}

impl Operation {
    pub(crate) fn parse(name: &str) -> Option<Operation> {
        Some(match name {
            "add" => Operation::Add,
            "min" => Operation::Min,
            "max" => Operation::Max,
            "inc" => Operation::Inc,
            "dec" => Operation::Dec,
            "and" => Operation::And,
            "or" => Operation::Or,
            "xor" => Operation::Xor,
            _ => return None,
        })
    }
}

/// An operation and the type it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reduction {
    pub op: Operation,
    pub ty: Ty,
}

impl Reduction {
    /// The value that takes `old`'s place.
    pub(crate) fn combine(self, old: u64, new: u64) -> u64 {
        let bits = self.ty.bits();
        let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        let signed = |v: u64| ((v << (64 - bits)) as i64) >> (64 - bits);
        let float = match self.ty {
            Ty::F16 => Some((Half::F16, &Format::F16)),
            Ty::Bf16 => Some((Half::Bf16, &Format::BF16)),
            _ => None,
        };
        if let Some((half, format)) = float {
            return match self.op {
                Operation::Add => u64::from(half.add(old as u16, new as u16, Modifiers::default())),
                Operation::Min => minmax::min(old, new, format, minmax::Modifiers::default()),
                _ => minmax::max(old, new, format, minmax::Modifiers::default()),
            };
        }
        let value = match (self.op, self.ty) {
            (Operation::Add, Ty::F32) => {
                // `.f32` reductions of bulk copies flush subnormals, as `red.global.add.f32` does.
                let flush = |bits: u32| if bits & 0x7F80_0000 == 0 { bits & 0x8000_0000 } else { bits };
                let sum = f32::from_bits(flush(old as u32)) + f32::from_bits(flush(new as u32));
                let sum = if sum.is_nan() { 0x7FFF_FFFF } else { sum.to_bits() };
                u64::from(flush(sum))
            }
            (Operation::Add, Ty::F64) => {
                let sum = f64::from_bits(old) + f64::from_bits(new);
                if sum.is_nan() { 0x7FFF_FFFF_FFFF_FFFF } else { sum.to_bits() }
            }
            (Operation::Add, _) => old.wrapping_add(new),
            (Operation::Min, ty) if ty.is_signed() => signed(old).min(signed(new)) as u64,
            (Operation::Max, ty) if ty.is_signed() => signed(old).max(signed(new)) as u64,
            (Operation::Min, _) => old.min(new),
            (Operation::Max, _) => old.max(new),
            (Operation::Inc, _) => {
                if old >= new {
                    0
                } else {
                    old + 1
                }
            }
            (Operation::Dec, _) => {
                if old == 0 || old > new {
                    new
                } else {
                    old - 1
                }
            }
            (Operation::And, _) => old & new,
            (Operation::Or, _) => old | new,
            (Operation::Xor, _) => old ^ new,
        };
        value & mask
    }

    /// Replaces the element at `to` by its combination with `new`, atomically also for other host threads.
    ///
    /// # Safety
    /// `to` is aligned to the element and points to live memory.
    pub(crate) unsafe fn apply(self, to: *mut u8, new: u64) {
        macro_rules! update {
            ($atomic:ty, $t:ty) => {{
                // SAFETY: the caller's promise; all concurrent accesses of the device to it are atomic or races.
                let cell = unsafe { <$atomic>::from_ptr(to.cast()) };
                let mut old = cell.load(Ordering::Relaxed);
                loop {
                    let value = self.combine(old.into(), new) as $t;
                    match cell.compare_exchange_weak(old, value, Ordering::AcqRel, Ordering::Relaxed) {
                        Ok(_) => break,
                        Err(now) => old = now,
                    }
                }
            }};
        }
        match self.ty.bytes() {
            2 => update!(AtomicU16, u16),
            4 => update!(AtomicU32, u32),
            _ => update!(AtomicU64, u64),
        }
    }
}
