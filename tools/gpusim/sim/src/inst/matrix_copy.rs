//! `ldmatrix`, `stmatrix`, `movmatrix`: 8×8 matrices of 16-bit elements between shared memory and fragments.
//!
//! Lane `l` of a fragment holds elements `2·(l % 4)` and the next of row `l / 4`; with `.trans`, of column `l / 4`. The address
//! of row `r` of matrix `m` is lane `8m + r`'s.

use gpusim_num::lanes::Lanes;
use gpusim_ptx::ast;

use super::memory::space;
use super::tile::{expect, whole_warp};
use super::{Entry, Flow, Inst, Lower, LowerError, Mods, Reg, Ty, operand, vectorised};
use crate::exec::{Access, Exec, MemSpace};

pub(super) const TABLE: &[Entry] = &[("ldmatrix", load), ("stmatrix", store), ("movmatrix", transpose)];

/// The decoded modifiers of a load or store.
#[derive(Clone, Copy, Debug)]
struct Copy {
    space: MemSpace,
    transposed: bool,
}

/// What `ldmatrix` and `stmatrix` have in common: the operand numbers of address and registers differ.
fn decode(cx: &mut Lower, i: &ast::Instruction, store: bool) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("sync");
    m.take("aligned");
    if !m.take("m8n8") {
        // m16n16, m8n16, m16n8: 8-bit elements, sm_100.
        return Err(LowerError::UnsupportedBecause("the device has m8n8 only".to_owned()));
    }
    let count = m.find(|name| match name {
        "x1" => Some(1),
        "x2" => Some(2),
        "x4" => Some(4),
        _ => None,
    });
    let transposed = m.take("trans");
    let space = space(&mut m);
    if !m.take("b16") {
        return Err(LowerError::UnsupportedBecause("the device has b16 only".to_owned()));
    }
    m.end()?;
    if !matches!(space, MemSpace::Shared | MemSpace::Generic) {
        return Err(LowerError::Invalid("shared memory expected".to_owned()));
    }
    let (address, value) = if store { (0, 1) } else { (1, 0) };
    let list = cx.elements(operand(i, value)?).to_vec();
    expect("the matrix", list.len(), count.unwrap_or(1))?;
    let mut regs = Vec::new();
    for element in &list {
        regs.push(if store { cx.src(element, Ty::B32)? } else { cx.dst(element, Ty::B32)? });
    }
    let at = cx.address(operand(i, address)?)?;
    let run = if store {
        vectorised(
            #[inline(always)]
            |x, i| run_store(x, i),
        )
    } else {
        vectorised(
            #[inline(always)]
            |x, i| run_load(x, i),
        )
    };
    let inst = Inst { a: at.base, aux: at.wide.into(), imm: at.offset, ..Inst::new(run) };
    Ok(inst.with_regs(regs).with_data(Copy { space, transposed }))
}

fn load(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    decode(cx, i, false)
}

fn store(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    decode(cx, i, true)
}

/// Host addresses of the rows; the lanes that say no row's address are left out.
#[inline(always)]
fn rows(x: &mut Exec, i: &Inst, access: Access) -> Result<[u64; 32], Flow> {
    if let Some(flow) = whole_warp(x) {
        return Err(flow);
    }
    let at = x.addresses(i.a, i.aux != 0, i.imm);
    x.mask = u32::MAX >> (32 - 8 * i.regs().len());
    let hosts = x.locate_matrix(i.data::<Copy>().space, &at, access, i.regs().len());
    x.mask = u32::MAX;
    hosts
}

/// A matrix as its fragment; the other way round it is the same.
#[inline(always)]
fn transposed(words: &Lanes) -> Lanes {
    let half = |row: usize, column: usize| words[4 * row + column / 2] >> (16 * (column & 1)) & 0xFFFF;
    let mut out = [0; 32];
    for row in 0..8 {
        for t in 0..4 {
            out[4 * row + t] = half(2 * t, row) | half(2 * t + 1, row) << 16;
        }
    }
    out
}

#[inline(always)]
fn run_load(x: &mut Exec, i: &Inst) -> Flow {
    let hosts = match rows(x, i, Access::read(16)) {
        Ok(hosts) => hosts,
        Err(flow) => return flow,
    };
    let mut matrices = [[0u32; 32]; 4];
    for (matrix, hosts) in matrices.iter_mut().zip(hosts.chunks_exact(8)).take(i.regs().len()) {
        for (row, host) in matrix.chunks_exact_mut(4).zip(hosts) {
            // SAFETY: `locate` checked 16 bytes at the address.
            let bytes = unsafe { (*host as *const [u32; 4]).read_unaligned() };
            row.copy_from_slice(&bytes);
        }
    }
    let trans = i.data::<Copy>().transposed;
    for (reg, matrix) in i.regs().iter().zip(&matrices) {
        x.write(*reg, &if trans { transposed(matrix) } else { *matrix });
    }
    Flow::Next
}

#[inline(always)]
fn run_store(x: &mut Exec, i: &Inst) -> Flow {
    let hosts = match rows(x, i, Access::write(16)) {
        Ok(hosts) => hosts,
        Err(flow) => return flow,
    };
    let trans = i.data::<Copy>().transposed;
    for (reg, hosts) in i.regs().iter().zip(hosts.chunks_exact(8)) {
        let matrix = x.read::<u32>(*reg);
        let matrix = if trans { transposed(&matrix) } else { matrix };
        for (row, host) in matrix.chunks_exact(4).zip(hosts) {
            let bytes = [row[0], row[1], row[2], row[3]];
            // SAFETY: `locate` checked 16 bytes at the address.
            unsafe { (*host as *mut [u32; 4]).write_unaligned(bytes) };
        }
    }
    Flow::Next
}

fn transpose(cx: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    m.take("sync");
    m.take("aligned");
    if !(m.take("m8n8") && m.take("trans") && m.take("b16")) {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    let (d, a): (Reg, Reg) = (cx.dst(operand(i, 0)?, Ty::B32)?, cx.src(operand(i, 1)?, Ty::B32)?);
    let run = vectorised(
        #[inline(always)]
        |x, i| {
            if let Some(flow) = whole_warp(x) {
                return flow;
            }
            let words = x.read::<u32>(i.a);
            x.write(i.d, &transposed(&words));
            Flow::Next
        },
    );
    Ok(Inst { d, a, ..Inst::new(run) })
}
