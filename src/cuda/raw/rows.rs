//! Kernels that have a row to a CTA: embedding, copies, the final norm, and what is done with logits.

use super::{Kernels, Status, Storage, Target, require};
use crate::cuda::sys::{
    photon_copy_params, photon_embed_params, photon_lm_head_pick_params, photon_log_prob_params,
    photon_norm_params, photon_rows, photon_sample_params,
};

/// Most tokens of a vocabulary: the sampler keeps a partial sum for every 1024.
const MOST_VOCABULARY: i64 = 1 << 20;

fn blocks(name: &'static str, rows: &photon_rows) -> Status {
    require(name, rows.len, rows.len > 0, "at least 1")
}

fn counted(m: i32) -> Result<Option<[i64; 3]>, super::RawError> {
    require("m", m.into(), m >= 0, "at least 0")?;
    Ok((m > 0).then_some([m.into(), 1, 1]))
}

impl Kernels {
    /// `embed_chunk`: rows of a table.
    ///
    /// # Errors
    /// [`super::RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn embed_chunk(
        &self,
        stream: impl Target,
        storage: Storage,
        params: &photon_embed_params,
    ) -> Status {
        blocks("from.len", &params.from)?;
        blocks("to.len", &params.to)?;
        require("width", params.width.into(), params.width > 0, "at least 1")?;
        require("vocabulary", params.vocabulary.into(), params.vocabulary > 0, "at least 1")?;
        let Some(grid) = counted(params.m)? else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { self.embed_chunk[storage.index()].launch(stream, grid, 128, 0, params) }
    }

    /// `copy_rows`.
    ///
    /// # Errors
    /// [`super::RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn copy_rows(&self, stream: impl Target, params: &photon_copy_params) -> Status {
        blocks("from.len", &params.from)?;
        blocks("to.len", &params.to)?;
        let Some(grid) = counted(params.m)? else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { self.copy_rows.launch(stream, grid, 128, 0, params) }
    }

    /// `rms_norm`.
    ///
    /// # Errors
    /// [`super::RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn rms_norm(&self, stream: impl Target, params: &photon_norm_params) -> Status {
        blocks("from.len", &params.from)?;
        blocks("to.len", &params.to)?;
        require("width", params.width.into(), params.width > 0 && params.width % 4 == 0, "a multiple of 4")?;
        require("x_stride", params.x_stride, params.x_stride % 4 == 0, "a multiple of 4")?;
        require("out_stride", params.out_stride, params.out_stride % 4 == 0, "a multiple of 4")?;
        let Some(grid) = counted(params.m)? else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { self.rms_norm.launch(stream, grid, 128, 0, params) }
    }

    /// `sample`: one token for each row of logits.
    ///
    /// # Errors
    /// [`super::RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says.
    pub unsafe fn sample(&self, stream: impl Target, params: &photon_sample_params) -> Status {
        blocks("to.len", &params.to)?;
        let vocabulary = i64::from(params.vocabulary);
        require("vocabulary", vocabulary, (1..=MOST_VOCABULARY).contains(&vocabulary), "1 to 1048576")?;
        let Some(grid) = counted(params.m)? else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { self.sample.launch(stream, grid, 256, 0, params) }
    }

    /// `lm_head_pick`: the token of each row from the keys that [`Kernels::lm_head_best`] wrote, or the one that is forced.
    ///
    /// # Errors
    /// [`super::RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says; where all tokens are forced, `best` is not read.
    pub unsafe fn lm_head_pick(&self, stream: impl Target, params: &photon_lm_head_pick_params) -> Status {
        blocks("to.len", &params.to)?;
        require("tiles", params.tiles.into(), params.tiles > 0, "at least 1")?;
        let Some(grid) = counted(params.m)? else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { self.lm_head_pick.launch(stream, grid, 128, 0, params) }
    }

    /// `log_prob`: the log-probability of one token for each row of logits.
    ///
    /// # Errors
    /// [`super::RawError`]; nothing was launched then.
    ///
    /// # Safety
    /// As the module says; targets are below the vocabulary or `u32::MAX`.
    pub unsafe fn log_prob(&self, stream: impl Target, params: &photon_log_prob_params) -> Status {
        require("vocabulary", params.vocabulary.into(), params.vocabulary > 0, "at least 1")?;
        let Some(grid) = counted(params.m)? else { return Ok(()) };
        // SAFETY: the caller's promise.
        unsafe { self.log_prob.launch(stream, grid, 256, 0, params) }
    }
}
