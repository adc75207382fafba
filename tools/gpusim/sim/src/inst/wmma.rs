//! `wmma.load`, `wmma.mma`, `wmma.store`.
//!
//! PTX leaves the fragments' layout open. Here a fragment is made of those of `mma`, as on sm_80: blocks of 16 rows (8 in
//! m8n32 and m8n8) by 8 columns, see `tile.rs`. A's registers are those of its first block of rows, then of its second; B's those
//! of its blocks of columns in order; so are C's, for each block of rows in turn. Of the eight registers that A and B of
//! f16 have in all shapes, only as many count as elements fill, and the rest repeat them.

use gpusim_num::Rounding;
use gpusim_num::lanes::Lanes;
use gpusim_num::tensor::Element;
use gpusim_ptx::ast;

use super::memory::space;
use super::mma::{bit_operation, multiply_f64, read_all, registers};
use super::tile::{
    self, Columns, Kind, Product, Sum, Sums, Unit, expect, load_columns, load_rows, load_sums, multiply,
    store_sums, whole_warp,
};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand, vectorised};
use crate::exec::{Access, Exec, FaultKind, MemSpace};

pub(super) const TABLE: &[Entry] = &[("wmma", wmma)];

/// Rows, columns and k of all shapes, with the kinds that have them.
fn has(shape: [usize; 3], kind: Kind) -> bool {
    let wide = [[16, 16, 16], [8, 32, 16], [32, 8, 16]];
    match kind {
        Kind::Float(Element::F16 | Element::Bf16) | Kind::Int { bits: 8, .. } => wide.contains(&shape),
        Kind::Float(Element::Tf32) => shape == [16, 16, 8],
        Kind::Float(_) => false,
        Kind::Int { .. } => shape == [8, 8, 32],
        Kind::Bit => shape == [8, 8, 128],
        Kind::F64 => shape == [8, 8, 4],
    }
}

/// Rows of a block: what one `mma` computes.
fn block_rows(m: usize) -> usize {
    m.min(16)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    A(Kind),
    B(Kind),
    C(Sum),
}

/// A fragment: what it is part of, and the shape.
#[derive(Clone, Copy, Debug)]
struct Fragment {
    part: Part,
    shape: [usize; 3],
}

impl Fragment {
    /// Bits of an element.
    fn bits(self) -> usize {
        match self.part {
            Part::A(kind) | Part::B(kind) => kind.bits(),
            Part::C(Sum::F16) => 16,
            Part::C(Sum::F64) => 64,
            Part::C(_) => 32,
        }
    }

    /// Rows and columns; B's rows are along k.
    fn size(self) -> (usize, usize) {
        let [m, n, k] = self.shape;
        match self.part {
            Part::A(_) => (m, k),
            Part::B(_) => (k, n),
            Part::C(_) => (m, n),
        }
    }

    /// Registers that differ.
    fn distinct(self) -> usize {
        let (rows, columns) = self.size();
        rows * columns * self.bits() / (32 * self.bits().max(32))
    }

    /// Registers that PTX counts.
    fn registers(self) -> usize {
        match self.part {
            Part::A(Kind::Float(Element::F16)) | Part::B(Kind::Float(Element::F16)) => 8,
            _ => self.distinct(),
        }
    }

    /// Row and column of element `e` of register `r` (of the distinct ones) in a lane.
    fn place(self, r: usize, e: usize, lane: usize) -> (usize, usize) {
        let [m, n, k] = self.shape;
        let (g, t) = (lane / 4, lane % 4);
        let per_register = 32 / self.bits().min(32);
        // Elements along k in the 16 bytes (four elements of 64 bits) that a register covers.
        let along = 4 * per_register;
        let in_k = |chunk: usize| chunk * along + t * per_register + e;
        match self.part {
            Part::A(_) if m == 8 => (g, in_k(r)),
            Part::A(_) => {
                let per_block = 2 * k / along;
                (r / per_block * 16 + g + r % 2 * 8, in_k(r % per_block / 2))
            }
            Part::B(_) => {
                let per_block = k / along;
                (in_k(r % per_block), r / per_block * 8 + g)
            }
            Part::C(_) => {
                let per_block = block_rows(m) * 8 / (32 * per_register);
                let (block, r) = (r / per_block, r % per_block);
                let (row, column) = (block / (n / 8) * 16, block % (n / 8) * 8);
                if per_register == 2 {
                    (row + g + 8 * r, column + 2 * t + e)
                } else {
                    (row + g + 8 * (r / 2), column + 2 * t + r % 2)
                }
            }
        }
    }
}

/// A decoded load or store.
struct Memory {
    fragment: Fragment,
    space: MemSpace,
    by_columns: bool,
    /// For each distinct register: how many elements lie side by side in memory, so that they are one access.
    together: usize,
}

fn wmma(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    let (load, store, product) = (m.take("load"), m.take("store"), m.take("mma"));
    m.take("sync");
    m.take("aligned");
    if product {
        mma(cx, i, m)
    } else if load || store {
        memory(cx, i, m, store)
    } else {
        Err(LowerError::Unsupported)
    }
}

fn memory(cx: &mut Lower, i: &ast::Instruction, mut m: Mods, store: bool) -> Result<Inst, LowerError> {
    let part = m.find(|name| matches!(name, "a" | "b" | "c" | "d").then(|| name.to_owned()));
    let part = part.ok_or(LowerError::Unsupported)?;
    let by_columns = m.find(|name| matches!(name, "row" | "col").then(|| name == "col")).unwrap_or(false);
    let shape = m.find(tile::shape).ok_or(LowerError::Unsupported)?;
    let space = space(&mut m);
    let part = match &*part {
        "a" => Part::A(m.find(Kind::parse).ok_or(LowerError::Unsupported)?),
        "b" => Part::B(m.find(Kind::parse).ok_or(LowerError::Unsupported)?),
        _ => Part::C(m.find(Sum::parse).ok_or(LowerError::Unsupported)?),
    };
    m.end()?;
    let exists = match part {
        Part::A(kind) | Part::B(kind) => has(shape, kind),
        Part::C(_) => {
            [[16, 16, 16], [8, 32, 16], [32, 8, 16], [16, 16, 8], [8, 8, 32], [8, 8, 128], [8, 8, 4]]
                .contains(&shape)
        }
    };
    let fragment = Fragment { part, shape };
    if !exists {
        return Err(LowerError::Unsupported);
    }
    let (address, value) = if store { (0, 1) } else { (1, 0) };
    let list = cx.elements(operand(i, value)?).to_vec();
    expect("the fragment", list.len(), fragment.registers())?;
    let ty = if fragment.bits() == 64 { Ty::F64 } else { Ty::B32 };
    let mut regs = Vec::new();
    for element in &list {
        regs.push(if store { cx.src(element, ty)? } else { cx.dst(element, ty)? });
    }
    let at = cx.address(operand(i, address)?)?;
    let (rows, columns) = fragment.size();
    let b = match i.operands.get(2) {
        Some(stride) => cx.src(stride, Ty::B32)?,
        None => cx.constant(if by_columns { rows } else { columns } as u64, Ty::B32),
    };
    // Elements of a register are neighbours along k in A and B, along n in C.
    let contiguous = match part {
        Part::A(_) | Part::C(_) => !by_columns,
        Part::B(_) => by_columns,
    };
    let per_register = 32 / fragment.bits().min(32);
    let together = if contiguous { per_register } else { 1 };
    if fragment.bits() < 8 && !contiguous {
        return Err(LowerError::Invalid("elements of less than a byte lie along k".to_owned()));
    }
    let run = if store { run_store } else { run_load };
    let inst = Inst { a: at.base, b, aux: at.wide.into(), imm: at.offset, ..Inst::new(run) };
    Ok(inst.with_regs(regs).with_data(Memory { fragment, space, by_columns, together }))
}

/// The address that all lanes agree on, and the stride in elements.
fn agreed(x: &mut Exec, i: &Inst) -> Result<(u64, u64), Flow> {
    if let Some(flow) = whole_warp(x) {
        return Err(flow);
    }
    let at = x.addresses(i.a, i.aux != 0, i.imm);
    let stride = x.read::<u32>(i.b);
    if at.iter().any(|lane| *lane != at[0]) || stride.iter().any(|lane| *lane != stride[0]) {
        return Err(x.fault(
            FaultKind::Check,
            "convergence-required",
            "lanes disagree about the address or the stride",
        ));
    }
    Ok((at[0], stride[0].into()))
}

/// Addresses of element `e` of register `r`.
fn addresses(memory: &Memory, base: u64, stride: u64, r: usize, e: usize) -> [u64; 32] {
    std::array::from_fn(|lane| {
        let (row, column) = memory.fragment.place(r, e, lane);
        let (row, column) = (row as u64, column as u64);
        let element = if memory.by_columns { column * stride + row } else { row * stride + column };
        base.wrapping_add(element.wrapping_mul(memory.fragment.bits() as u64) / 8)
    })
}

fn run_load(x: &mut Exec, i: &Inst) -> Flow {
    let (base, stride) = match agreed(x, i) {
        Ok(agreed) => agreed,
        Err(flow) => return flow,
    };
    let memory = i.data::<Memory>();
    let bits = memory.fragment.bits();
    let bytes = memory.together * bits / 8;
    let distinct = memory.fragment.distinct();
    let mut values = vec![[0u64; 32]; distinct];
    for (r, values) in values.iter_mut().enumerate() {
        for e in (0..(32 / bits).max(1)).step_by(memory.together) {
            let at = addresses(memory, base, stride, r, e);
            let hosts = match x.locate(memory.space, &at, Access::read(bytes as u32)) {
                Ok(hosts) => hosts,
                Err(flow) => return flow,
            };
            for (value, host) in values.iter_mut().zip(hosts) {
                let mut word = [0; 8];
                // SAFETY: `locate` checked as many bytes at the address.
                unsafe { std::ptr::copy_nonoverlapping(host as *const u8, word.as_mut_ptr(), bytes) };
                *value |= u64::from_le_bytes(word) << (e * bits);
            }
        }
    }
    for (n, reg) in i.regs().iter().enumerate() {
        let lanes = &values[n % distinct];
        if bits == 64 { x.write(*reg, lanes) } else { x.write(*reg, &lanes.map(|value| value as u32)) }
    }
    Flow::Next
}

fn run_store(x: &mut Exec, i: &Inst) -> Flow {
    let (base, stride) = match agreed(x, i) {
        Ok(agreed) => agreed,
        Err(flow) => return flow,
    };
    let memory = i.data::<Memory>();
    let bits = memory.fragment.bits();
    let bytes = memory.together * bits / 8;
    for (r, reg) in i.regs().iter().enumerate() {
        let values = if bits == 64 { x.read::<u64>(*reg) } else { x.read::<u32>(*reg).map(u64::from) };
        for e in (0..(32 / bits).max(1)).step_by(memory.together) {
            let at = addresses(memory, base, stride, r, e);
            let hosts = match x.locate(memory.space, &at, Access::write(bytes as u32)) {
                Ok(hosts) => hosts,
                Err(flow) => return flow,
            };
            for (value, host) in values.iter().zip(hosts) {
                let word = (value >> (e * bits)).to_le_bytes();
                // SAFETY: `locate` checked as many bytes at the address.
                unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), host as *mut u8, bytes) };
            }
        }
    }
    Flow::Next
}

/// A decoded `wmma.mma`.
struct Mma {
    product: Product,
    shape: [usize; 3],
    /// First register of A, of B, of C.
    at: [usize; 3],
    rounding: Rounding,
}

fn mma(cx: &mut Lower, i: &ast::Instruction, mut m: Mods) -> Result<Inst, LowerError> {
    while m.find(|name| matches!(name, "row" | "col").then_some(())).is_some() {}
    let shape = m.find(tile::shape).ok_or(LowerError::Unsupported)?;
    let satfinite = m.take("satfinite");
    let rounding = m.find(|name| match name {
        "rn" => Some(Rounding::Rn),
        "rz" => Some(Rounding::Rz),
        "rm" => Some(Rounding::Rm),
        "rp" => Some(Rounding::Rp),
        _ => None,
    });
    let single_bits = m.rest().contains(&"b1");
    let and = bit_operation(&mut m, if single_bits { Kind::Bit } else { Kind::F64 })?;
    let half = Kind::Float(Element::F16);
    // With halves only D's and C's types are written.
    let (d, a, b, c) = if m.rest().len() == 2 {
        let (d, c) = (m.find(Sum::parse), m.find(Sum::parse));
        (d.ok_or(LowerError::Unsupported)?, half, half, c.ok_or(LowerError::Unsupported)?)
    } else {
        super::mma::types(&mut m)?
    };
    m.end()?;
    let double = a == Kind::F64;
    if !has(shape, a)
        || !a.pairs_with(b)
        || !a.sums_to(c)
        || !a.sums_to(d)
        || rounding.is_some() && !double
        || satfinite && !matches!(a, Kind::Int { .. })
    {
        return Err(LowerError::Unsupported);
    }
    let count = |part| Fragment { part, shape }.registers();
    let counts = [count(Part::C(d)), count(Part::A(a)), count(Part::B(b)), count(Part::C(c))];
    let regs = registers(cx, i, &counts, if double { Ty::F64 } else { Ty::B32 })?;
    let at = [counts[0], counts[0] + counts[1], counts[0] + counts[1] + counts[2]];
    let product = Product { unit: Unit::Mma, a, b, c, d, k: shape[2], satfinite, and };
    let data = Mma { product, shape, at, rounding: rounding.unwrap_or(Rounding::Rn) };
    let run = if double {
        run_f64 as super::Run
    } else {
        vectorised(
            #[inline(always)]
            |x, i| run(x, i),
        )
    };
    Ok(Inst::new(run).with_regs(regs).with_data(data))
}

fn run_f64(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let Mma { shape, at: [a, b, c], rounding, .. } = i.data::<Mma>();
    let regs = i.regs();
    let read = |regs: &[Reg]| -> Vec<[u64; 32]> { regs.iter().map(|reg| x.read(*reg)).collect() };
    let (left, right, mut sums) = (read(&regs[*a..*b]), read(&regs[*b..*c]), read(&regs[*c..]));
    multiply_f64(shape[0], shape[2], *rounding, &left, &right, &mut sums);
    for (reg, lanes) in regs.iter().zip(&sums) {
        x.write(*reg, lanes);
    }
    Flow::Next
}

#[inline(always)]
fn run(x: &mut Exec, i: &Inst) -> Flow {
    if let Some(flow) = whole_warp(x) {
        return flow;
    }
    let Mma { product, shape, at: [a, b, c], .. } = i.data::<Mma>();
    let [m, n, _] = *shape;
    let regs = i.regs();
    let left: [Lanes; 8] = read_all(x, &regs[*a..*b]);
    let right: [Lanes; 8] = read_all(x, &regs[*b..*c]);
    let addend: [Lanes; 8] = read_all(x, &regs[*c..]);
    let count = |part| Fragment { part, shape: *shape }.distinct();
    let (row_blocks, column_blocks) = (m.div_ceil(16), n / 8);
    let of_rows = count(Part::A(product.a)) / row_blocks;
    let of_columns = count(Part::B(product.b)) / column_blocks;
    let blocks = row_blocks * column_blocks;
    let (of_c, of_d) = (count(Part::C(product.c)) / blocks, count(Part::C(product.d)) / blocks);
    let columns: [Columns; 4] = std::array::from_fn(|j| match j < column_blocks {
        true => load_columns(&right[j * of_columns..][..of_columns]),
        false => [[0; 32]; 8],
    });
    let mut result = [[0; 32]; 8];
    for block_row in 0..row_blocks {
        let rows = load_rows(&left[block_row * of_rows..][..of_rows], block_rows(m));
        let first = block_row * column_blocks;
        let mut sums: [Sums; 4] = std::array::from_fn(|j| match j < column_blocks {
            true => load_sums(product.c, &addend[(first + j) * of_c..][..of_c]),
            false => [[0; 8]; 16],
        });
        let sums = &mut sums[..column_blocks];
        if multiply(product, tile::how(x), &rows, &columns[..column_blocks], sums).is_err() {
            return tile::no_model(x);
        }
        for (j, sums) in sums.iter().enumerate() {
            for r in 0..of_d {
                result[(first + j) * of_d + r] = store_sums(product.d, sums, r);
            }
        }
    }
    for (reg, lanes) in regs[..*a].iter().zip(&result) {
        x.write(*reg, lanes);
    }
    Flow::Next
}
