//! One tensor-core instruction on fragments, and moves of 8x8 matrices.

use super::compare::{exact, like_naive};
use crate::elem::{Array, Elem, F16, F32};
use crate::launch::Outcome;
use crate::manifest::Case;

/// Row (or column) and k of element `j` of register `r` of a lane, for operands whose registers hold `per` elements.
pub fn a_place(per: usize, r: usize, lane: usize, j: usize) -> (usize, usize) {
    (lane / 4 + 8 * (r & 1), (r >> 1) * 4 * per + lane % 4 * per + j)
}

pub fn b_place(per: usize, r: usize, lane: usize, j: usize) -> (usize, usize) {
    (lane / 4, r * 4 * per + lane % 4 * per + j)
}

/// Row and column of element `e` of a lane's accumulators.
pub fn c_place(e: usize, lane: usize) -> (usize, usize) {
    (lane / 4 + 8 * (e >> 1 & 1), e / 4 * 8 + lane % 4 * 2 + (e & 1))
}

/// The element's bits within a register array [register][lane].
fn packed(array: &Array, elem: Elem, r: usize, lane: usize, j: usize) -> u64 {
    let bits = 8 * elem.bytes();
    let word = array.bits(r * 32 + lane) >> (bits * j);
    word & (u64::MAX >> (64 - bits))
}

pub fn mma(case: &Case, out: &Outcome) -> Result<(), String> {
    let (a, b, c, d) = (&out.before["a"], &out.before["b"], &out.before["c"], &out.after["d"]);
    let (ea, eb) = (Elem::named(case.text("a_elem").unwrap()), Elem::named(case.text("b_elem").unwrap()));
    let acc = Elem::named(case.text("acc").unwrap());
    let per = 4 / ea.bytes();
    let k = b.shape[0] * 4 * per;
    let mut ma = vec![0; 16 * k];
    let mut mb = vec![0; 8 * k];
    for lane in 0..32 {
        for j in 0..per {
            for r in 0..a.shape[0] {
                let (row, p) = a_place(per, r, lane, j);
                ma[row * k + p] = packed(a, ea, r, lane, j);
            }
            for r in 0..b.shape[0] {
                let (column, p) = b_place(per, r, lane, j);
                mb[column * k + p] = packed(b, eb, r, lane, j);
            }
        }
    }
    // Accumulator elements in the order register, half.
    let halves = if acc == Elem::Float(F16) { 2 } else { 1 };
    let element = |array: &Array, e: usize, lane: usize| packed(array, acc, e / halves, lane, e % halves);
    if let Elem::Int { .. } = acc {
        return exact("d", d, |i| {
            let (e, lane) = (i / 32, i % 32);
            let (row, column) = c_place(e, lane);
            let sum =
                (0..k).map(|p| ea.integer(ma[row * k + p]) * eb.integer(mb[column * k + p])).sum::<i128>();
            (sum + c.i(i)).clamp(i32::MIN as i128, i32::MAX as i128) as u64
        });
    }
    let format = acc.format();
    let (mut got, mut reference, mut naive, mut floor) = (vec![], vec![], vec![], vec![]);
    let step = if ea.bytes() == 1 { 2f64.powi(-12) } else { 2.0 * F32.ulp(1.0) };
    for e in 0..4 {
        for lane in 0..32 {
            let (row, column) = c_place(e, lane);
            let start = acc.value(element(c, e, lane));
            let product = |p: usize| ea.value(ma[row * k + p]) * eb.value(mb[column * k + p]);
            got.push(acc.value(element(d, e, lane)));
            reference.push(start + (0..k).map(product).sum::<f64>());
            naive.push((0..k).fold(start, |sum, p| format.round(sum + product(p))));
            let size = start.abs() + (0..k).map(|p| product(p).abs()).sum::<f64>();
            floor.push(step * size + format.ulp(reference[reference.len() - 1]));
        }
    }
    like_naive("d", &got, &reference, &naive, |i| floor[i])
}

pub fn matrix_moves(case: &Case, out: &Outcome) -> Result<(), String> {
    let x = &out.before["x"];
    // Element (row, column) of 8x8 matrix i.
    let element = |i: usize, row: usize, column: usize| {
        (x.bits((8 * i + row) * 4 + column / 2) >> (16 * (column % 2))) & 0xFFFF
    };
    let pair = |low: u64, high: u64| low | high << 16;
    let plain = |i: usize, l: usize| pair(element(i, l / 4, l % 4 * 2), element(i, l / 4, l % 4 * 2 + 1));
    let turned = |i: usize, l: usize| pair(element(i, l % 4 * 2, l / 4), element(i, l % 4 * 2 + 1, l / 4));
    let y = &out.after["y"];
    assert_eq!(y.len(), if case.flag("stmatrix") { 320 } else { 192 });
    exact("y", y, |index| {
        let (i, l) = (index / 32, index % 32);
        match i {
            0..4 => plain(i, l),
            4..6 => turned(i - 4, l),
            // stmatrix.trans: word l of matrix i - 6 holds row l / 4, which lanes hold as a column.
            _ => {
                let (matrix, row, column) = (i - 6, l / 4, l % 4 * 2);
                pair(element(matrix, column, row), element(matrix, column + 1, row))
            }
        }
    })
}
