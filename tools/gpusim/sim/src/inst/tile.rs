//! Matrices of tensor-core instructions: from registers to rows of bytes, their product, and back.
//!
//! Fragments of all shapes (but m8n8k4 of halves, see `mma.rs`) follow one rule. With `g = lane / 4` and `t = lane % 4`:
//!
//! - A: register `r` holds bytes `4t..4t + 4` of 16 bytes of row `g + 8·(r % 2)`, the `r / 2`-th 16 bytes along k. With eight
//!   rows it is row `g` and the `r`-th 16 bytes.
//! - B: register `r` holds those of column `g`, the `r`-th 16 bytes along k.
//! - C and D: 32-bit register `r` holds row `g + 8·(r / 2)`, column `2t + r % 2`; a register of two halves, columns `2t` and
//!   `2t + 1` of row `g + 8·r`.
//!
//! So the 128 bytes of an operand register are eight rows (or columns) of 16 bytes, whatever the elements.

use std::sync::LazyLock;

use gpusim_num::format::{Format, bf16_to_f32, f16_to_f32, f32_to_f16};
use gpusim_num::lanes::Lanes;
use gpusim_num::tensor::{Accumulator, Architecture, Element, Model, fast, integer};
use gpusim_ptx::ast;

use super::{Flow, LowerError};
use crate::Arithmetic;
use crate::exec::{Exec, FaultKind};

/// The type of the elements of A or B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float(Element),
    Int { bits: usize, signed: bool },
    Bit,
    F64,
}

impl Kind {
    pub(super) fn parse(text: &str) -> Option<Kind> {
        Some(match text {
            "f16" => Kind::Float(Element::F16),
            "bf16" => Kind::Float(Element::Bf16),
            "tf32" => Kind::Float(Element::Tf32),
            "e4m3" => Kind::Float(Element::E4m3),
            "e5m2" => Kind::Float(Element::E5m2),
            "s8" => Kind::Int { bits: 8, signed: true },
            "u8" => Kind::Int { bits: 8, signed: false },
            "s4" => Kind::Int { bits: 4, signed: true },
            "u4" => Kind::Int { bits: 4, signed: false },
            "b1" => Kind::Bit,
            "f64" => Kind::F64,
            _ => return None,
        })
    }

    pub(super) fn bits(self) -> usize {
        match self {
            Kind::Float(Element::F16 | Element::Bf16) => 16,
            Kind::Float(Element::Tf32) => 32,
            Kind::Float(_) => 8,
            Kind::Int { bits, .. } => bits,
            Kind::Bit => 1,
            Kind::F64 => 64,
        }
    }

    /// Whether `a` and `b` may be multiplied: the same type, or two of one kind and width.
    pub(super) fn pairs_with(self, other: Kind) -> bool {
        match (self, other) {
            (Kind::Float(a), Kind::Float(b)) => a == b || self.bits() == 8 && other.bits() == 8,
            (Kind::Int { bits: a, .. }, Kind::Int { bits: b, .. }) => a == b,
            _ => self == other,
        }
    }

    /// Whether sums of such products may have the type `sum`.
    pub(super) fn sums_to(self, sum: Sum) -> bool {
        match self {
            Kind::Float(Element::Bf16 | Element::Tf32) => sum == Sum::F32,
            Kind::Float(_) => matches!(sum, Sum::F16 | Sum::F32),
            Kind::Int { .. } | Kind::Bit => sum == Sum::S32,
            Kind::F64 => sum == Sum::F64,
        }
    }
}

/// The type of the elements of C or D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    F16,
    F32,
    S32,
    F64,
}

impl Sum {
    pub(super) fn parse(text: &str) -> Option<Sum> {
        Some(match text {
            "f16" => Sum::F16,
            "f32" => Sum::F32,
            "s32" => Sum::S32,
            "f64" => Sum::F64,
            _ => return None,
        })
    }

    /// Registers of a lane for `elements` elements of a warp.
    pub(super) fn registers(self, elements: usize) -> usize {
        if self == Sum::F16 { elements / 64 } else { elements / 32 }
    }
}

/// The unit whose arithmetic `exact` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Mma,
    /// m8n8k4 of halves.
    Volta,
    Wgmma,
}

/// What is multiplied and added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub unit: Unit,
    pub a: Kind,
    pub b: Kind,
    pub c: Sum,
    pub d: Sum,
    pub k: usize,
    pub satfinite: bool,
    /// Of single bits: and rather than xor.
    pub and: bool,
}

/// Up to 32 bytes along k: a row of A or a column of B.
pub(super) type Row = [u8; 32];
/// A of 16 rows.
pub(super) type Rows = [Row; 16];
/// B of 8 columns.
pub(super) type Columns = [Row; 8];
/// C or D, one word per element.
pub(super) type Sums = [[u32; 8]; 16];

/// A shape such as `m16n8k16`.
pub(super) fn shape(text: &str) -> Option<[usize; 3]> {
    let (m, rest) = text.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some([m.parse().ok()?, n.parse().ok()?, k.parse().ok()?])
}

/// What a tensor instruction stands for in the counters: its operations (two per multiply-add, of one warp's part), and its
/// shape and types. None for other instructions.
pub(crate) fn tensor_work(i: &ast::Instruction) -> Option<(u64, String)> {
    let has = |name: &str| i.modifiers.iter().any(|m| &**m == name);
    let warps = match &*i.opcode {
        "mma" => 1,
        "wmma" if has("mma") => 1,
        "wgmma" if has("mma_async") => 4,
        _ => return None,
    };
    let at = i.modifiers.iter().position(|m| shape(m).is_some())?;
    let [m, n, k] = shape(&i.modifiers[at])?;
    let types: Vec<&str> = i
        .modifiers
        .iter()
        .map(|m| &**m)
        .filter(|m| Kind::parse(m).is_some() || Sum::parse(m).is_some())
        .collect();
    Some((2 * (m * n * k) as u64 / warps, format!("{}.{}", i.modifiers[at], types.join("."))))
}

/// All lanes of the warp execute a tensor instruction together: None if they do, else what to return.
#[inline(always)]
pub(super) fn whole_warp(x: &mut Exec) -> Option<Flow> {
    if x.mask == u32::MAX { None } else { partial_warp(x) }
}

#[cold]
fn partial_warp(x: &mut Exec) -> Option<Flow> {
    if let Some(flow) = x.converge(u32::MAX) {
        return Some(flow);
    }
    let message =
        format!("it takes all 32 lanes of a warp; lanes {:#010x} have exited or never were", !x.mask);
    Some(x.fault(FaultKind::Check, "convergence-required", message))
}

/// How to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Fast,
    Exact(Architecture),
}

/// The settings' arithmetic, as the architecture of the settings or of the module rounds.
#[inline(always)]
pub(super) fn how(x: &Exec) -> How {
    let settings = x.launch.settings();
    match settings.arithmetic {
        Arithmetic::Fast => How::Fast,
        Arithmetic::Exact => {
            let sm = settings.tensor_arch.unwrap_or(x.launch.program.target);
            How::Exact(Architecture::from_sm(sm).unwrap_or(Architecture::Hopper))
        }
    }
}

/// No architecture that is asked for computes this.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoModel;

/// A fault that says so.
#[cold]
pub(super) fn no_model(x: &mut Exec) -> Flow {
    let message = "no model of this architecture has these types; GPUSIM_TENSOR_ARCH chooses another";
    x.fault(FaultKind::Unsupported, "unsupported instruction", message)
}

/// `m` rows of A out of its registers.
#[inline(always)]
pub(super) fn load_rows(registers: &[Lanes], m: usize) -> Rows {
    let mut rows = [[0; 32]; 16];
    for (r, register) in registers.iter().enumerate() {
        let (row, k) = if m == 16 { (8 * (r & 1), r >> 1) } else { (0, r) };
        for g in 0..8 {
            put(&mut rows[row + g], k, register, g);
        }
    }
    rows
}

/// B out of its registers.
#[inline(always)]
pub(super) fn load_columns(registers: &[Lanes]) -> Columns {
    let mut columns = [[0; 32]; 8];
    for (k, register) in registers.iter().enumerate() {
        for (g, column) in columns.iter_mut().enumerate() {
            put(column, k, register, g);
        }
    }
    columns
}

#[inline(always)]
fn put(row: &mut Row, k: usize, register: &Lanes, g: usize) {
    for t in 0..4 {
        row[16 * k + 4 * t..16 * k + 4 * t + 4].copy_from_slice(&register[4 * g + t].to_le_bytes());
    }
}

/// C out of its registers: those of eight rows or of sixteen.
#[inline(always)]
pub(super) fn load_sums(ty: Sum, registers: &[Lanes]) -> Sums {
    let mut sums = [[0; 8]; 16];
    for (r, register) in registers.iter().enumerate() {
        let row = 8 * if ty == Sum::F16 { r } else { r >> 1 };
        for g in 0..8 {
            for t in 0..4 {
                let word = register[4 * g + t];
                if ty == Sum::F16 {
                    sums[row + g][2 * t] = word & 0xFFFF;
                    sums[row + g][2 * t + 1] = word >> 16;
                } else {
                    sums[row + g][2 * t + (r & 1)] = word;
                }
            }
        }
    }
    sums
}

/// Register `r` of D.
#[inline(always)]
pub(super) fn store_sums(ty: Sum, sums: &Sums, r: usize) -> Lanes {
    let row = 8 * if ty == Sum::F16 { r } else { r >> 1 };
    let mut register = [0; 32];
    for g in 0..8 {
        for t in 0..4 {
            let sums = &sums[row + g];
            register[4 * g + t] = if ty == Sum::F16 {
                sums[2 * t] & 0xFFFF | sums[2 * t + 1] << 16
            } else {
                sums[2 * t + (r & 1)]
            };
        }
    }
    register
}

/// `C + A·B` for one or more times eight columns, in place.
#[inline(always)]
pub(super) fn multiply(
    p: &Product,
    how: How,
    rows: &Rows,
    columns: &[Columns],
    sums: &mut [Sums],
) -> Result<(), NoModel> {
    match (p.a, p.b, how) {
        (Kind::Float(a), Kind::Float(b), How::Fast) => {
            match p.k {
                4 => floats::<4>(p, (a, b), rows, columns, sums, fast::mma_m16n8k4),
                8 => floats::<8>(p, (a, b), rows, columns, sums, fast::mma_m16n8k8),
                16 => floats::<16>(p, (a, b), rows, columns, sums, fast::mma_m16n8k16),
                32 => floats::<32>(p, (a, b), rows, columns, sums, fast::mma_m16n8k32),
                _ => return Err(NoModel),
            }
            Ok(())
        }
        (Kind::Float(a), Kind::Float(b), How::Exact(arch)) => exact(p, arch, (a, b), rows, columns, sums),
        (Kind::Bit, ..) => {
            bits(p, rows, columns, sums);
            Ok(())
        }
        _ => {
            integers(p, rows, columns, sums);
            Ok(())
        }
    }
}

/// Values of the 8-bit formats.
static NARROW: LazyLock<[[f32; 256]; 2]> = LazyLock::new(|| {
    [Format::E4M3, Format::E5M2].map(|format| std::array::from_fn(|bits| format.decode(bits as u64) as f32))
});

#[inline(always)]
fn decode<const K: usize, const R: usize>(element: Element, rows: &[Row; R]) -> [[f32; K]; R] {
    let mut values = [[0.0; K]; R];
    let half = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    for (row, values) in rows.iter().zip(&mut values) {
        match element {
            Element::F16 => {
                for (value, bytes) in values.iter_mut().zip(row.chunks_exact(2)) {
                    *value = f16_to_f32(half(bytes));
                }
            }
            Element::Bf16 => {
                for (value, bytes) in values.iter_mut().zip(row.chunks_exact(2)) {
                    *value = bf16_to_f32(half(bytes));
                }
            }
            Element::Tf32 => {
                for (value, bytes) in values.iter_mut().zip(row.chunks_exact(4)) {
                    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    *value = f32::from_bits(bits & !0x1FFF);
                }
            }
            _ => {
                let table = &NARROW[usize::from(element == Element::E5m2)];
                for (value, byte) in values.iter_mut().zip(row) {
                    *value = table[usize::from(*byte)];
                }
            }
        }
    }
    values
}

#[inline(always)]
fn floats<const K: usize>(
    p: &Product,
    (a, b): (Element, Element),
    rows: &Rows,
    columns: &[Columns],
    sums: &mut [Sums],
    mma: fn(&fast::A<K>, &fast::B<K>, &mut fast::C),
) {
    let left = decode::<K, 16>(a, rows);
    for (columns, sums) in columns.iter().zip(sums) {
        let transposed = decode::<K, 8>(b, columns);
        let mut right = [[0.0; 8]; K];
        for (k, right) in right.iter_mut().enumerate() {
            for j in 0..8 {
                right[j] = transposed[j][k];
            }
        }
        let mut sum = [[0.0; 8]; 16];
        for (sum, bits) in sum.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *sum = if p.c == Sum::F16 { f16_to_f32(*bits as u16) } else { f32::from_bits(*bits) };
        }
        mma(&left, &right, &mut sum);
        for (sum, bits) in sum.as_flattened().iter().zip(sums.as_flattened_mut()) {
            *bits = if p.d == Sum::F16 { u32::from(f32_to_f16(*sum)) } else { sum.to_bits() };
        }
    }
}

/// The low bits of a row's elements.
fn words(element: Element, k: usize, row: &Row, out: &mut Vec<u32>) {
    match element {
        Element::F16 | Element::Bf16 => {
            out.extend(row.chunks_exact(2).take(k).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]]))));
        }
        Element::Tf32 => {
            out.extend(row.chunks_exact(4).take(k).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        _ => out.extend(row.iter().take(k).map(|b| u32::from(*b))),
    }
}

#[inline(never)]
fn exact(
    p: &Product,
    arch: Architecture,
    (a, b): (Element, Element),
    rows: &Rows,
    columns: &[Columns],
    sums: &mut [Sums],
) -> Result<(), NoModel> {
    // With C and D of different types the sum is formed in f32; halves widen exactly, and D rounds once more.
    let short = p.c == Sum::F16 && p.d == Sum::F16;
    let accumulator = if short { Accumulator::F16 } else { Accumulator::F32 };
    let model = match p.unit {
        Unit::Mma => Model::mma(arch, a, b, accumulator, false),
        // Later architectures have no such unit; what they compute instead is not published.
        Unit::Volta => Model::mma(arch, a, b, accumulator, true)
            .or_else(|| Model::mma(Architecture::Volta, a, b, accumulator, true)),
        Unit::Wgmma => Model::wgmma(a, b, accumulator),
    };
    let model = model.ok_or(NoModel)?;
    let n = 8 * columns.len();
    let mut left = Vec::with_capacity(16 * p.k);
    rows.iter().for_each(|row| words(a, p.k, row, &mut left));
    let mut right = Vec::with_capacity(n * p.k);
    columns.iter().flatten().for_each(|column| words(b, p.k, column, &mut right));
    let widen = p.c == Sum::F16 && !short;
    let mut c = Vec::with_capacity(16 * n);
    for row in 0..16 {
        for block in sums.iter() {
            let bits = block[row].map(|bits| if widen { f16_to_f32(bits as u16).to_bits() } else { bits });
            c.extend(bits);
        }
    }
    let mut d = vec![0; 16 * n];
    model.tile((16, n, p.k), &left, &right, &c, &mut d);
    let narrow = p.d == Sum::F16 && !short;
    for (row, line) in d.chunks_exact(n).enumerate() {
        for (block, bits) in sums.iter_mut().zip(line.chunks_exact(8)) {
            for (to, from) in block[row].iter_mut().zip(bits) {
                *to = if narrow { f32_to_f16(f32::from_bits(*from)).into() } else { *from };
            }
        }
    }
    Ok(())
}

/// The elements of a row as integers.
#[inline(always)]
fn integer_row(kind: Kind, row: &Row) -> [i32; 64] {
    let mut values = [0; 64];
    match kind {
        Kind::Int { bits: 4, signed } => {
            for (pair, byte) in values.chunks_exact_mut(2).zip(row) {
                let (low, high) = (byte & 15, byte >> 4);
                // A sign moves to the top of the byte and comes back with it.
                let value = |x: u8| if signed { i32::from((x << 4) as i8 >> 4) } else { i32::from(x) };
                (pair[0], pair[1]) = (value(low), value(high));
            }
        }
        Kind::Int { signed: true, .. } => {
            values.iter_mut().zip(row).for_each(|(value, byte)| *value = i32::from(*byte as i8));
        }
        _ => values.iter_mut().zip(row).for_each(|(value, byte)| *value = i32::from(*byte)),
    }
    values
}

#[inline(always)]
fn integers(p: &Product, rows: &Rows, columns: &[Columns], sums: &mut [Sums]) {
    let mut left = [[0; 64]; 16];
    for (left, row) in left.iter_mut().zip(rows) {
        *left = integer_row(p.a, row);
    }
    for (columns, sums) in columns.iter().zip(sums) {
        let c = sums.map(|row| row.map(|x| x as i32));
        let mut d = [[0; 8]; 16];
        if p.satfinite {
            for (j, column) in columns.iter().enumerate() {
                let column = integer_row(p.b, column);
                for i in 0..16 {
                    d[i][j] = integer::dot(&left[i][..p.k], &column[..p.k], c[i][j], true);
                }
            }
        } else {
            let mut right = [[0; 8]; 64];
            for (j, column) in columns.iter().enumerate() {
                let column = integer_row(p.b, column);
                for k in 0..64 {
                    right[k][j] = column[k];
                }
            }
            integer::tile_m16n8(p.k, &left, &right, &c, &mut d);
        }
        *sums = d.map(|row| row.map(|x| x as u32));
    }
}

fn bits(p: &Product, rows: &Rows, columns: &[Columns], sums: &mut [Sums]) {
    let bytes = p.k / 8;
    for (columns, sums) in columns.iter().zip(sums) {
        for (row, sums) in rows.iter().zip(sums) {
            for (column, sum) in columns.iter().zip(sums) {
                let pairs = row.iter().zip(column).take(bytes);
                let count: u32 = pairs.map(|(a, b)| if p.and { a & b } else { a ^ b }.count_ones()).sum();
                *sum = sum.wrapping_add(count);
            }
        }
    }
}

/// An error of lowering: the register list of an operand has the wrong length.
pub(super) fn expect(name: &str, found: usize, wanted: usize) -> Result<(), LowerError> {
    if found == wanted {
        return Ok(());
    }
    Err(LowerError::Invalid(format!("{name} has {found} registers, {wanted} expected")))
}
