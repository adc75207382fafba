//! Embedding, copies of rows and the final norm.

use super::device::{CudaBackend, refused};
use super::memory::{CudaBuffer, CudaIds, CudaTable, CudaVector, small};
use crate::backend::RowMap;
use crate::check;
use crate::cuda::sys::{photon_copy_params, photon_embed_params, photon_norm_params};
use crate::error::{Error, Result};

impl CudaBackend {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn embed_rows(
        &self,
        table: &CudaTable,
        ids: &CudaIds,
        from: RowMap<'_>,
        out: &mut CudaBuffer,
        to: RowMap<'_>,
        n: usize,
    ) -> Result<()> {
        check::rows("ids", ids.len, from, n, 1, 1)?;
        check::rows("out", out.len, to, n, table.width, table.width)?;
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        check::apart("out", to, n, table.width, table.width, &mut scratch.places)?;
        let params = photon_embed_params {
            table: self.address(&table.data) as *const _,
            ids: self.address(&ids.data) as *const u32,
            from: self.rows(from, n, &mut scratch.host)?,
            out: self.address(&out.data) as *mut f32,
            to: self.rows(to, n, &mut scratch.host)?,
            out_stride: table.width as i64,
            m: small("the number of rows", n)?,
            width: small("width", table.width)?,
            vocabulary: small("vocabulary", table.rows)?,
        };
        out.half = None;
        // SAFETY: ids and rows lie in their buffers, rows apart; an id beyond the table is caught by the kernel.
        unsafe { self.kernels.embed_chunk(&*self.queue, self.storage, &params) }.map_err(refused("embed"))
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn copy_rows(
        &self,
        source: &CudaBuffer,
        from: RowMap<'_>,
        target: &mut CudaBuffer,
        to: RowMap<'_>,
        n: usize,
        width: usize,
    ) -> Result<()> {
        source.whole("source")?;
        check::rows("source", source.len, from, n, width, width)?;
        let x = (self.address(&source.data), width);
        self.copy_from(x, from, target, to, n, width)
    }

    /// Copies rows from an address; `x` is it and the elements from one row to the next.
    fn copy_from(
        &self,
        x: (u64, usize),
        from: RowMap<'_>,
        target: &mut CudaBuffer,
        to: RowMap<'_>,
        n: usize,
        width: usize,
    ) -> Result<()> {
        check::rows("target", target.len, to, n, width, width)?;
        if n == 0 || width == 0 {
            return Ok(());
        }
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        check::apart("target", to, n, width, width, &mut scratch.places)?;
        let params = photon_copy_params {
            x: x.0 as *const f32,
            from: self.rows(from, n, &mut scratch.host)?,
            out: self.address(&target.data) as *mut f32,
            to: self.rows(to, n, &mut scratch.host)?,
            x_stride: x.1 as i64,
            out_stride: width as i64,
            m: small("the number of rows", n)?,
            width: small("width", width)?,
        };
        target.half = None;
        // SAFETY: both sides lie in their buffers, the target's rows apart.
        unsafe { self.kernels.copy_rows(&*self.queue, &params) }.map_err(refused("copy"))
    }

    pub(crate) fn fill_rows(
        &self,
        row: &CudaVector,
        target: &mut CudaBuffer,
        to: RowMap<'_>,
        n: usize,
    ) -> Result<()> {
        self.copy_from((self.address(&row.data), 0), RowMap::DENSE, target, to, n, row.len)
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn norm_rows(
        &self,
        gain: &CudaVector,
        eps: f64,
        x: &CudaBuffer,
        from: RowMap<'_>,
        n: usize,
        out: &mut CudaBuffer,
        to: RowMap<'_>,
    ) -> Result<()> {
        let width = gain.len;
        x.whole("x")?;
        check::rows("x", x.len, from, n, width, width)?;
        check::rows("out", out.len, to, n, width, width)?;
        if !width.is_multiple_of(4) {
            return Err(Error::Unsupported(format!(
                "the width is {width}; on CUDA it must be a multiple of 4"
            )));
        }
        let mut scratch = self.scratch();
        let scratch = &mut *scratch;
        check::apart("out", to, n, width, width, &mut scratch.places)?;
        let params = photon_norm_params {
            x: self.address(&x.data) as *const f32,
            from: self.rows(from, n, &mut scratch.host)?,
            gain: self.address(&gain.data) as *const f32,
            out: self.address(&out.data) as *mut f32,
            to: self.rows(to, n, &mut scratch.host)?,
            x_stride: width as i64,
            out_stride: width as i64,
            m: small("the number of rows", n)?,
            width: small("width", width)?,
            eps: eps as f32,
        };
        out.half = None;
        // SAFETY: both sides lie in their buffers, the result's rows apart.
        unsafe { self.kernels.rms_norm(&*self.queue, &params) }.map_err(refused("norm"))
    }
}
