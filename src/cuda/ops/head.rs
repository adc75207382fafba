//! The language model's head: drawing tokens, log-probabilities.

use super::device::{CudaBackend, failed, refused};
use super::linear::CudaLinear;
use super::memory::{CudaBuffer, CudaIds, small};
use crate::backend::RowMap;
use crate::check;
use crate::cuda::raw::head_tiles;
use crate::cuda::sys::{
    photon_draw, photon_lm_head_params, photon_lm_head_pick_params, photon_log_prob_params, photon_rows,
    photon_sample_params,
};
use crate::error::Result;
use crate::sampling::Draw;

/// Rows whose logits are held at once: 33 MB at a vocabulary of 32,000.
pub const LOGIT_ROWS: usize = 256;
/// Rows whose best keys are held at once: 16 MB at the same vocabulary.
pub const KEY_ROWS: usize = 2048;

/// How the rows of a call get their tokens. It follows from the draws alone, so a captured call stays right for other draws that need no more
/// than those did; the draws themselves are read from device memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All are forced: nothing is computed.
    Forced,
    /// Each is forced or the best: no logits in memory.
    Best,
    /// At least one is drawn from a distribution, of which all logits are needed.
    Drawn,
}

impl Way {
    fn of(draws: &[Draw]) -> Way {
        // Top-k of 1 leaves the best at any temperature.
        let best = |draw: &Draw| draw.sampling.temperature == 0.0 || draw.sampling.top_k == 1;
        if draws.iter().all(|draw| draw.forced.is_some()) {
            Way::Forced
        } else if draws.iter().all(|draw| draw.forced.is_some() || best(draw)) {
            Way::Best
        } else {
            Way::Drawn
        }
    }
}

impl CudaBackend {
    pub(crate) fn sample_rows(
        &self,
        head: &CudaLinear,
        h: &CudaBuffer,
        from: RowMap<'_>,
        draws: &[Draw],
        ids: &mut CudaIds,
        to: RowMap<'_>,
    ) -> Result<()> {
        let n = draws.len();
        h.whole("h")?;
        check::rows("h", h.len, from, n, head.inputs, head.inputs)?;
        check::rows("ids", ids.len, to, n, 1, 1)?;
        check::draws(draws, head.outputs)?;
        let way = Way::of(draws);
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        check::apart("ids", to, n, 1, 1, &mut scratch.places)?;
        let from = self.rows(from, n, &mut scratch.host)?;
        let to = self.rows(to, n, &mut scratch.host)?;
        scratch.host_draws.clear();
        scratch.host_draws.extend(draws.iter().map(photon_draw::from));
        let draws = self.queue.upload(&scratch.host_draws)?;
        // Keys take the place of logits, two floats each.
        let (most, floats) = match way {
            Way::Forced => (n.max(1), 0),
            Way::Best => (KEY_ROWS, 2 * head_tiles(head.outputs)),
            Way::Drawn => (LOGIT_ROWS, head.outputs),
        };
        let memory = self.address(scratch.logits.at_least(self, n.min(most) * floats)?);
        let x = self.address(&h.data);
        let ids = self.address(&ids.data) as *mut u32;
        for (first, m) in pieces(n, most, [from, to]) {
            let (from, to) = (later(from, first), later(to, first));
            let draws = (draws + (first * size_of::<photon_draw>()) as u64) as *const photon_draw;
            match way {
                Way::Forced => self.launch_pick(head, memory, draws, ids, to, m)?,
                Way::Best => {
                    self.launch_best(head, x, from, m, memory)?;
                    self.launch_pick(head, memory, draws, ids, to, m)?;
                }
                Way::Drawn => {
                    self.launch_project(
                        head,
                        x,
                        from,
                        m,
                        memory as *mut f32,
                        photon_rows::DENSE,
                        head.outputs,
                    )?;
                    let params = photon_sample_params {
                        logits: memory as *const f32,
                        draws,
                        ids,
                        to,
                        logits_stride: head.outputs as i64,
                        m: small("the number of rows", m)?,
                        vocabulary: small("vocabulary", head.outputs)?,
                    };
                    // SAFETY: places of ids were checked, and there are logits and draws for every row.
                    unsafe { self.kernels.sample(&*self.queue, &params) }.map_err(refused("sample"))?;
                }
            }
        }
        Ok(())
    }

    fn launch_best(&self, head: &CudaLinear, x: u64, from: photon_rows, m: usize, keys: u64) -> Result<()> {
        let params = photon_lm_head_params {
            product: self.product(head, x, from, head.inputs, m)?,
            bias: self.bias(head),
            best: keys as *mut u64,
            best_stride: head_tiles(head.outputs) as i64,
        };
        // SAFETY: rows of x were checked, and there is room for the keys of every row.
        unsafe { self.kernels.lm_head_best(&*self.queue, self.storage, head.norm.is_some(), &params) }
            .map_err(refused("sample"))
    }

    fn launch_pick(
        &self,
        head: &CudaLinear,
        keys: u64,
        draws: *const photon_draw,
        ids: *mut u32,
        to: photon_rows,
        m: usize,
    ) -> Result<()> {
        let tiles = head_tiles(head.outputs);
        let params = photon_lm_head_pick_params {
            best: keys as *const u64,
            draws,
            ids,
            to,
            best_stride: tiles as i64,
            m: small("the number of rows", m)?,
            tiles: small("vocabulary", tiles)?,
        };
        // SAFETY: places of ids were checked, there is a draw for every row, and keys for every one that is not forced.
        unsafe { self.kernels.lm_head_pick(&*self.queue, &params) }.map_err(refused("sample"))
    }

    pub(crate) fn log_probs_of(
        &self,
        head: &CudaLinear,
        h: &CudaBuffer,
        from: RowMap<'_>,
        targets: &[u32],
        out: &mut [f32],
    ) -> Result<()> {
        let n = targets.len();
        h.whole("h")?;
        check::rows("h", h.len, from, n, head.inputs, head.inputs)?;
        check::holds("out", out.len(), n)?;
        check::targets(targets, head.outputs)?;
        if n == 0 {
            return Ok(());
        }
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        let from = self.rows(from, n, &mut scratch.host)?;
        let targets = self.queue.upload(targets)?;
        let logits = self.address(scratch.logits.at_least(self, n.min(LOGIT_ROWS) * head.outputs)?);
        let scores = scratch.scores.at_least(self, n)?;
        let to = self.address(scores);
        for (first, m) in pieces(n, LOGIT_ROWS, [from]) {
            let x = self.address(&h.data);
            self.launch_project(
                head,
                x,
                later(from, first),
                m,
                logits as *mut f32,
                photon_rows::DENSE,
                head.outputs,
            )?;
            let params = photon_log_prob_params {
                logits: logits as *const f32,
                target: (targets + 4 * first as u64) as *const u32,
                out: (to + 4 * first as u64) as *mut f32,
                logits_stride: head.outputs as i64,
                m: small("the number of rows", m)?,
                vocabulary: small("vocabulary", head.outputs)?,
            };
            // SAFETY: there are logits, a target below the vocabulary and a place for every row.
            unsafe { self.kernels.log_prob(&*self.queue, &params) }.map_err(refused("log_probs"))?;
        }
        self.queue.ordered()?.memcpy_dtoh(&scores.slice(0..n), &mut out[..n]).map_err(failed)?;
        self.synchronize()
    }
}

/// `n` rows in pieces of at most `most`: the first row and the number of each. A piece that begins inside a block of one of `maps` ends with it, because
/// a [`photon_rows`] can only begin with a whole block.
fn pieces<const N: usize>(
    n: usize,
    most: usize,
    maps: [photon_rows; N],
) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let mut m = most.min(n - first);
        for map in maps.iter().filter(|map| map.list.is_null()) {
            let len = map.len as usize;
            if !first.is_multiple_of(len) {
                m = m.min(len - first % len);
            }
        }
        first += m;
        (m > 0).then_some((first - m, m))
    })
}

/// The rows from `first` on, of a piece.
fn later(rows: photon_rows, first: usize) -> photon_rows {
    if !rows.list.is_null() {
        return photon_rows { list: rows.list.wrapping_add(first), ..rows };
    }
    let at = first as i64;
    photon_rows { start: rows.start + at / rows.len * rows.stride + at % rows.len, ..rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where row `i` lies.
    fn place(rows: photon_rows, i: usize) -> i64 {
        let i = i as i64;
        rows.start + i / rows.len * rows.stride + i % rows.len
    }

    #[test]
    fn pieces_cover_every_row_once_at_its_place() {
        for (n, most) in [(0, 4), (1, 4), (100, 7), (1000, 256)] {
            for (len, other) in [(1, 1), (3, 5), (7, 300), (5000, 2)] {
                let rows = |len: i64| photon_rows { list: std::ptr::null(), start: 11, len, stride: len + 4 };
                let maps = [rows(len), rows(other)];
                let mut next = 0;
                for (first, m) in pieces(n, most, maps) {
                    assert!(first == next && m <= most);
                    for map in maps {
                        for i in 0..m {
                            assert_eq!(place(later(map, first), i), place(map, first + i));
                        }
                    }
                    next += m;
                }
                assert_eq!(next, n);
            }
        }
    }
}
