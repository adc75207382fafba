//! Logits and what is done with them: drawing tokens, log-probabilities.

use super::device::{CudaBackend, failed, refused};
use super::linear::{CudaLinear, DENSE};
use super::memory::{CudaBuffer, CudaIds, small};
use crate::backend::RowMap;
use crate::check;
use crate::cuda::sys::{photon_draw, photon_log_prob_params, photon_rows, photon_sample_params};
use crate::error::{Error, Result};
use crate::sampling::Draw;

/// Rows whose logits are held at once: 33 MB at a vocabulary of 32,000.
const LOGIT_ROWS: usize = 256;

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
        // Forced tokens alone need no logits; the kernel does not look at them then.
        let known = draws.iter().all(|draw| draw.forced.is_some());
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        check::apart("ids", to, n, 1, 1, &mut scratch.places)?;
        let from = self.rows(from, n, &mut scratch.host)?;
        let to = self.rows(to, n, &mut scratch.host)?;
        scratch.host_draws.clear();
        scratch.host_draws.extend(draws.iter().map(photon_draw::from));
        let draws = self.queue.upload(&scratch.host_draws)?;
        let logits = self.address(scratch.logits.at_least(self, n.min(LOGIT_ROWS) * head.outputs)?);
        for first in (0..n).step_by(LOGIT_ROWS) {
            let m = LOGIT_ROWS.min(n - first);
            if !known {
                let rows = later(from, first)?;
                let x = self.address(&h.data);
                self.launch_project(head, x, rows, m, logits as *mut f32, DENSE, head.outputs)?;
            }
            let params = photon_sample_params {
                logits: logits as *const f32,
                draws: (draws + (first * size_of::<photon_draw>()) as u64) as *const photon_draw,
                ids: self.address(&ids.data) as *mut u32,
                to: later(to, first)?,
                logits_stride: head.outputs as i64,
                m: small("the number of rows", m)?,
                vocabulary: small("vocabulary", head.outputs)?,
            };
            // SAFETY: places of ids were checked, and there are logits and draws for every row.
            unsafe { self.kernels.sample(&*self.queue, &params) }.map_err(refused("sample"))?;
        }
        Ok(())
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
        for first in (0..n).step_by(LOGIT_ROWS) {
            let m = LOGIT_ROWS.min(n - first);
            let x = self.address(&h.data);
            self.launch_project(head, x, later(from, first)?, m, logits as *mut f32, DENSE, head.outputs)?;
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

/// The rows from the `first` on. Blocks must not be cut.
fn later(rows: photon_rows, first: usize) -> Result<photon_rows> {
    let at = first as i64;
    if first == 0 {
        return Ok(rows);
    }
    if !rows.list.is_null() {
        return Ok(photon_rows { list: rows.list.wrapping_add(first), ..rows });
    }
    if at % rows.len != 0 {
        // Rows one after another are blocks of any length.
        return Err(Error::Unsupported(format!("rows in blocks of {} for the head on CUDA", rows.len)));
    }
    Ok(photon_rows { start: rows.start + at / rows.len * rows.stride, ..rows })
}
