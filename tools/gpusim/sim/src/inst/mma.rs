//! `mma.sync`.

use gpusim_num::Rounding;
use gpusim_num::lanes::Lanes;
use gpusim_num::tensor::{Element, fragment};
use gpusim_ptx::ast;

use super::tile::{
    self, How, Kind, Product, Sum, Unit, expect, load_columns, load_rows, load_sums, multiply, store_sums,
    whole_warp,
};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Run, Ty, operand, vectorised};
use crate::exec::Exec;

pub(super) const TABLE: &[Entry] = &[("mma", mma)];

/// A decoded `mma`: where the registers of its operands stand in `Inst::regs`.
#[derive(Clone, Copy, Debug)]
struct Mma {
    product: Product,
    m: usize,
    /// First register of A, of B, of C, and the end.
    at: [usize; 4],
    /// m8n8k4 of halves: A and B by columns.
    columns: [bool; 2],
}

/// Whether PTX has the shape for elements of a kind.
fn has(shape: [usize; 3], kind: Kind) -> bool {
    let shapes: &[[usize; 3]] = match kind {
        Kind::Float(Element::F16) => &[[8, 8, 4], [16, 8, 8], [16, 8, 16]],
        Kind::Float(Element::Bf16) => &[[16, 8, 8], [16, 8, 16]],
        Kind::Float(Element::Tf32) => &[[16, 8, 4], [16, 8, 8]],
        Kind::Float(_) => &[[16, 8, 16], [16, 8, 32]],
        Kind::Int { bits: 8, .. } => &[[8, 8, 16], [16, 8, 16], [16, 8, 32]],
        Kind::Int { .. } => &[[8, 8, 32], [16, 8, 32], [16, 8, 64]],
        Kind::Bit => &[[8, 8, 128], [16, 8, 128], [16, 8, 256]],
        Kind::F64 => &[[8, 8, 4], [16, 8, 4], [16, 8, 8], [16, 8, 16]],
    };
    shapes.contains(&shape)
}

/// D, A, B and C types out of what is left of the modifiers.
pub(super) fn types(m: &mut Mods) -> Result<(Sum, Kind, Kind, Sum), LowerError> {
    let mut next = || m.find(|name| Some(name.to_owned()));
    let names: Vec<String> = std::iter::from_fn(&mut next).take(4).collect();
    let [d, a, b, c] = names.as_slice() else { return Err(LowerError::Unsupported) };
    let (Some(d), Some(a), Some(b), Some(c)) = (Sum::parse(d), Kind::parse(a), Kind::parse(b), Sum::parse(c))
    else {
        return Err(LowerError::Unsupported);
    };
    Ok((d, a, b, c))
}

/// Which operation on single bits `.xor.popc` or `.and.popc` ask for; false without them.
pub(super) fn bit_operation(m: &mut Mods, kind: Kind) -> Result<bool, LowerError> {
    if kind != Kind::Bit {
        return Ok(false);
    }
    let (xor, and) = (m.take("xor"), m.take("and"));
    if xor == and || !m.take("popc") {
        return Err(LowerError::Invalid(".xor.popc or .and.popc expected".to_owned()));
    }
    Ok(and)
}

fn mma(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if i.modifiers.iter().any(|m| m.starts_with("sp")) {
        return Err(LowerError::NotMine);
    }
    m.take("sync");
    m.take("aligned");
    let shape = m.find(tile::shape).ok_or(LowerError::Unsupported)?;
    let mut layout = || m.find(|name| matches!(name, "row" | "col").then(|| name == "col"));
    let (a_columns, b_columns) = (layout().unwrap_or(false), layout().unwrap_or(true));
    let satfinite = m.take("satfinite");
    let operation: Vec<&str> = i.modifiers.iter().map(|m| &**m).collect();
    let kind_b1 = operation.contains(&"b1");
    let and = bit_operation(&mut m, if kind_b1 { Kind::Bit } else { Kind::F64 })?;
    let (d, a, b, c) = types(&mut m)?;
    m.end()?;
    if !has(shape, a) || !a.pairs_with(b) || !a.sums_to(c) || !a.sums_to(d) {
        return Err(LowerError::Unsupported);
    }
    let volta = shape == [8, 8, 4] && a == Kind::Float(Element::F16);
    if !volta && (a_columns || !b_columns) {
        return Err(LowerError::Invalid("layout .row.col expected".to_owned()));
    }
    let unit = if volta { Unit::Volta } else { Unit::Mma };
    let [rows, columns, k] = shape;
    let product = Product { unit, a, b, c, d, k, satfinite, and };
    let counts = if volta {
        let sums = |sum| if sum == Sum::F16 { 4 } else { 8 };
        [sums(d), 2, 2, sums(c)]
    } else if a == Kind::F64 {
        [rows * 8 / 32, rows * k / 32, 8 * k / 32, rows * 8 / 32]
    } else {
        let words = |elements: usize, kind: Kind| elements * kind.bits() / 1024;
        [d.registers(rows * columns), words(rows * k, a), words(columns * k, b), c.registers(rows * columns)]
    };
    let regs = registers(cx, i, &counts, if a == Kind::F64 { Ty::F64 } else { Ty::B32 })?;
    let at = [counts[0], counts[0] + counts[1], counts[0] + counts[1] + counts[2], regs.len()];
    let data = Mma { product, m: rows, at, columns: [a_columns, b_columns] };
    let run: Run = match (a, shape, c, d) {
        (Kind::Float(Element::F16), [16, 8, 16], Sum::F32, Sum::F32) => vectorised(
            #[inline(always)]
            |x, i| run_halves::<false>(x, i),
        ),
        (Kind::Float(Element::Bf16), [16, 8, 16], ..) => vectorised(
            #[inline(always)]
            |x, i| run_halves::<true>(x, i),
        ),
        (Kind::F64, ..) => run_f64,
        _ if volta => run_volta,
        _ => vectorised(
            #[inline(always)]
            |x, i| run(x, i),
        ),
    };
    Ok(Inst::new(run).with_regs(regs).with_data(data))
}

/// The registers of D, A, B and C, one after the other.
pub(super) fn registers(
    cx: &mut Lower,
    i: &ast::Instruction,
    counts: &[usize; 4],
    ty: Ty,
) -> Result<Vec<Reg>, LowerError> {
    let mut regs = Vec::with_capacity(counts.iter().sum());
    for (n, (name, count)) in ["D", "A", "B", "C"].into_iter().zip(counts).enumerate() {
        let list = cx.elements(operand(i, n)?).to_vec();
        expect(name, list.len(), *count)?;
        for element in &list {
            regs.push(if n == 0 { cx.dst(element, ty)? } else { cx.src(element, ty)? });
        }
    }
    Ok(regs)
}

/// m16n8k16 of halves with f32 sums: what most kernels spend their time in.
#[inline(always)]
fn run_halves<const BF16: bool>(x: &mut Exec, i: &Inst) -> Flow {
    if tile::how(x) != How::Fast {
        return run(x, i);
    }
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let &[d0, d1, d2, d3, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3] = i.regs() else { return Flow::Next };
    let mut d = [[0; 32]; 4];
    {
        // SAFETY: as in `Exec::read`; nothing writes registers while these references live.
        let lanes = |reg: Reg| -> &Lanes { unsafe { &*x.slot32(reg) } };
        let [e0, e1, e2, e3] = &mut d;
        fragment::mma_m16n8k16::<BF16>(
            [lanes(a0), lanes(a1), lanes(a2), lanes(a3)],
            [lanes(b0), lanes(b1)],
            [lanes(c0), lanes(c1), lanes(c2), lanes(c3)],
            [e0, e1, e2, e3],
        );
    }
    for (reg, lanes) in [d0, d1, d2, d3].into_iter().zip(&d) {
        x.write(reg, lanes);
    }
    Flow::Next
}

/// Up to `N` registers.
#[inline(always)]
pub(super) fn read_all<const N: usize>(x: &Exec, regs: &[Reg]) -> [Lanes; N] {
    let mut lanes = [[0; 32]; N];
    for (lanes, reg) in lanes.iter_mut().zip(regs) {
        *lanes = x.read(*reg);
    }
    lanes
}

#[inline(always)]
fn run(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let Mma { product, m, at: [a, b, c, end], .. } = i.data::<Mma>();
    let regs = i.regs();
    let rows = load_rows(&read_all::<4>(x, &regs[*a..*b])[..b - a], *m);
    let columns = load_columns(&read_all::<2>(x, &regs[*b..*c])[..c - b]);
    let mut sums = [load_sums(product.c, &read_all::<4>(x, &regs[*c..*end])[..end - c])];
    if multiply(product, tile::how(x), &rows, &[columns], &mut sums).is_err() {
        return tile::no_model(x);
    }
    for (r, reg) in regs[..*a].iter().enumerate() {
        x.write(*reg, &store_sums(product.d, &sums[0], r));
    }
    Flow::Next
}

/// Element `(row, k)` of A in registers of f64: see `tile.rs`, with one element where there are 32 bits.
pub(super) fn place_f64(m: usize, row: usize, k: usize) -> (usize, usize) {
    let register = if m == 16 { row / 8 + k / 4 * 2 } else { k / 4 };
    (register, row % 8 * 4 + k % 4)
}

fn run_f64(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let Mma { product, m, at: [a, b, c, end], .. } = i.data::<Mma>();
    let regs = i.regs();
    let read = |regs: &[Reg]| -> Vec<[u64; 32]> { regs.iter().map(|reg| x.read(*reg)).collect() };
    let (a, b, mut sums) = (read(&regs[*a..*b]), read(&regs[*b..*c]), read(&regs[*c..*end]));
    multiply_f64(*m, product.k, Rounding::Rn, &a, &b, &mut sums);
    for (reg, lanes) in regs.iter().zip(&sums) {
        x.write(*reg, lanes);
    }
    Flow::Next
}

/// Fused multiply-adds, k in order, on fragments.
pub(super) fn multiply_f64(
    m: usize,
    k: usize,
    rounding: Rounding,
    a: &[[u64; 32]],
    b: &[[u64; 32]],
    sums: &mut [[u64; 32]],
) {
    for row in 0..m {
        for column in 0..8 {
            let sum = &mut sums[row / 8 * 2 + column % 2][row % 8 * 4 + column / 2];
            for k in 0..k {
                let (register, lane) = place_f64(m, row, k);
                *sum = gpusim_num::f64::fma(a[register][lane], b[k / 4][column * 4 + k % 4], *sum, rounding);
            }
        }
    }
}

/// m8n8k4 of halves: each quad pair (lanes `4q..4q + 4` and the same plus 16) multiplies matrices of its own.
fn run_volta(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let Mma { product, at: [a, b, c, end], columns: by_columns, .. } = i.data::<Mma>();
    let regs = i.regs();
    let left = read_all::<2>(x, &regs[*a..*b]);
    let right = read_all::<2>(x, &regs[*b..*c]);
    let addend = read_all::<8>(x, &regs[*c..*end]);
    let mut result = [[0; 32]; 8];
    // The lane that has row (or column) `n` of eight, of the quad pair.
    let lane_of = |quad: usize, n: usize| 4 * quad + n % 4 + 16 * (n / 4);
    let half = |registers: &[Lanes], lane: usize, i: usize| (registers[i / 2][lane] >> (16 * (i % 2))) as u16;
    for quad in 0..4 {
        let (mut rows, mut columns) = ([[0; 32]; 16], [[0; 32]; 8]);
        for n in 0..8 {
            for k in 0..4 {
                // Along k a lane holds a row of its own; across it, lane k of the half holds four rows.
                let across = 4 * quad + k + 16 * (n / 4);
                let a =
                    if by_columns[0] { half(&left, across, n % 4) } else { half(&left, lane_of(quad, n), k) };
                let b = if by_columns[1] {
                    half(&right, lane_of(quad, n), k)
                } else {
                    half(&right, across, n % 4)
                };
                rows[n][2 * k..2 * k + 2].copy_from_slice(&a.to_le_bytes());
                columns[n][2 * k..2 * k + 2].copy_from_slice(&b.to_le_bytes());
            }
        }
        let mut sums = [[[0; 8]; 16]];
        for row in 0..8 {
            for column in 0..8 {
                let (lane, i) = volta_place(product.c, quad, row, column);
                sums[0][row][column] =
                    if product.c == Sum::F16 { half(&addend, lane, i).into() } else { addend[i][lane] };
            }
        }
        if multiply(product, tile::how(x), &rows, &[columns], &mut sums).is_err() {
            return tile::no_model(x);
        }
        for row in 0..8 {
            for column in 0..8 {
                let (lane, i) = volta_place(product.d, quad, row, column);
                if product.d == Sum::F16 {
                    result[i / 2][lane] |= sums[0][row][column] << (16 * (i % 2));
                } else {
                    result[i][lane] = sums[0][row][column];
                }
            }
        }
    }
    for (reg, lanes) in regs[..*a].iter().zip(&result) {
        x.write(*reg, lanes);
    }
    Flow::Next
}

/// Lane and number of an element of C or D of m8n8k4.
fn volta_place(ty: Sum, quad: usize, row: usize, column: usize) -> (usize, usize) {
    let upper = 16 * (row / 4);
    if ty == Sum::F16 {
        return (4 * quad + row % 4 + upper, column);
    }
    // Bit 0 of the row and bit 1 of the column are the lane's; the rest is the element's number.
    let lane = 4 * quad + (row & 1) + (column & 2) + upper;
    (lane, (row & 2) + (column & 4) + (column & 1))
}
