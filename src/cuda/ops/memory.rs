//! Device memory: activations, token ids, tables, vectors, and memory that grows.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr, ValidAsZeroBits};

use super::device::{CudaBackend, failed};
use super::queue::Queue;
use crate::backend::RowMap;
use crate::check;
use crate::checkpoint::{Dtype, Tensor};
use crate::cuda::sys::photon_rows;
use crate::error::{Error, Result};

/// Device memory. Dropped, it is freed behind the launches that may want it.
pub(super) struct Memory<T: Send + 'static> {
    data: ManuallyDrop<CudaSlice<T>>,
    queue: Arc<Queue>,
}

/// Activations on the GPU: `f32`, or, between the operations of a layer, rows in the storage type.
pub struct CudaBuffer {
    pub(super) data: Memory<f32>,
    pub(crate) len: usize,
    /// Elements from one row to the next while it holds rows in the storage type.
    pub(super) half: Option<usize>,
}

/// Token ids on the GPU.
pub struct CudaIds {
    pub(super) data: Memory<u32>,
    pub(super) len: usize,
}

/// An embedding table in the storage type.
pub struct CudaTable {
    pub(super) data: Memory<u16>,
    pub(super) rows: usize,
    pub(super) width: usize,
}

/// A gain or a learned row.
pub struct CudaVector {
    pub(super) data: Memory<f32>,
    pub(super) len: usize,
}

impl CudaBuffer {
    /// Fails if the buffer holds rows in the storage type instead of `f32`.
    pub(super) fn whole(&self, name: &str) -> Result<()> {
        match self.half {
            None => Ok(()),
            Some(_) => Err(Error::argument(format!(
                "{name} holds rows in the storage type, which only the next operation of the layer reads"
            ))),
        }
    }

    /// Fails unless the buffer holds rows of `pitch` elements in the storage type.
    pub(super) fn rows_of(&self, name: &str, pitch: usize) -> Result<()> {
        match self.half {
            Some(has) if has == pitch => Ok(()),
            _ => Err(Error::argument(format!("{name} was not written by the operation before this one"))),
        }
    }
}

impl<T: Send> Memory<T> {
    fn new(data: CudaSlice<T>, queue: &Arc<Queue>) -> Memory<T> {
        Memory { data: ManuallyDrop::new(data), queue: queue.clone() }
    }

    /// Zeroed memory; one element where none is asked for, since the driver has no empty allocations.
    pub(super) fn zeros(queue: &Arc<Queue>, len: usize) -> Result<Memory<T>>
    where
        T: DeviceRepr + ValidAsZeroBits,
    {
        check::product("an allocation", &[len, size_of::<T>()])?;
        Ok(Memory::new(queue.stream().alloc_zeros(len.max(1)).map_err(failed)?, queue))
    }
}

impl<T: Send> Deref for Memory<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        &self.data
    }
}

impl<T: Send> DerefMut for Memory<T> {
    fn deref_mut(&mut self) -> &mut CudaSlice<T> {
        &mut self.data
    }
}

impl<T: Send> Drop for Memory<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not looked at again.
        let data = unsafe { ManuallyDrop::take(&mut self.data) };
        self.queue.free(Box::new(data));
    }
}

/// Device memory that is replaced by a larger piece when it is too small. What it held is lost then.
pub(super) struct Grown<T: Send + 'static>(Option<Memory<T>>);

impl<T: Send> Default for Grown<T> {
    fn default() -> Self {
        Grown(None)
    }
}

impl<T: DeviceRepr + ValidAsZeroBits + Send> Grown<T> {
    /// At least `len` elements; zeros when they are new.
    pub(super) fn at_least(&mut self, backend: &CudaBackend, len: usize) -> Result<&CudaSlice<T>> {
        if self.0.as_ref().is_none_or(|data| data.len() < len) {
            let longer = self.0.as_ref().map_or(0, |data| data.len() + data.len() / 2);
            self.0 = None;
            self.0 = Some(backend.zeros(len.max(longer).max(64))?);
        }
        match &self.0 {
            Some(data) => Ok(data),
            None => Err(Error::Backend("memory that was just allocated is gone".into())),
        }
    }
}

impl CudaBackend {
    /// Zeroed memory.
    pub(super) fn zeros<T: DeviceRepr + ValidAsZeroBits + Send>(&self, len: usize) -> Result<Memory<T>> {
        Memory::zeros(&self.queue, len)
    }

    /// New memory with a copy of `values`.
    pub(super) fn copied<T: DeviceRepr + Send>(&self, values: &[T]) -> Result<Memory<T>> {
        let data = self.queue.stream().clone_htod(values).map_err(failed)?;
        Ok(Memory::new(data, &self.queue))
    }

    pub(super) fn address<T>(&self, data: &CudaSlice<T>) -> u64 {
        data.device_ptr(self.queue.stream()).0
    }

    pub(crate) fn new_buffer(&self, len: usize) -> Result<CudaBuffer> {
        Ok(CudaBuffer { data: self.zeros(len)?, len, half: None })
    }

    pub(crate) fn new_ids(&self, len: usize) -> Result<CudaIds> {
        Ok(CudaIds { data: self.zeros(len)?, len })
    }

    pub(crate) fn new_vector(&self, weight: &Tensor) -> Result<CudaVector> {
        if weight.shape().len() != 1 || weight.is_empty() {
            return Err(Error::argument(format!(
                "{} has shape {:?}; a vector is needed",
                weight.name(),
                weight.shape()
            )));
        }
        let values = weight.to_f32();
        let data = self.copied(&values)?;
        Ok(CudaVector { data, len: values.len() })
    }

    pub(crate) fn new_table(&self, weight: &Tensor) -> Result<CudaTable> {
        let (rows, width) = matrix(weight)?;
        let stored = stored(weight, self.dtype())?;
        let values: &[u16] = bytemuck::cast_slice(stored.bytes());
        let data = self.copied(values)?;
        Ok(CudaTable { data, rows, width })
    }

    pub(crate) fn read_buffer(&self, buffer: &CudaBuffer, at: usize, out: &mut [f32]) -> Result<()> {
        buffer.whole("buffer")?;
        check::range("buffer", buffer.len, at, out.len())?;
        if !out.is_empty() {
            self.queue.ordered()?.memcpy_dtoh(&buffer.data.slice(at..at + out.len()), out).map_err(failed)?;
        }
        self.synchronize()
    }

    pub(crate) fn write_buffer(&self, values: &[f32], buffer: &mut CudaBuffer, at: usize) -> Result<()> {
        check::range("buffer", buffer.len, at, values.len())?;
        buffer.half = None;
        if !values.is_empty() {
            let mut part = buffer.data.slice_mut(at..at + values.len());
            self.queue.ordered()?.memcpy_htod(values, &mut part).map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn read_tokens(&self, ids: &CudaIds, at: usize, out: &mut [u32]) -> Result<()> {
        check::range("ids", ids.len, at, out.len())?;
        if !out.is_empty() {
            self.queue.ordered()?.memcpy_dtoh(&ids.data.slice(at..at + out.len()), out).map_err(failed)?;
        }
        self.synchronize()
    }

    pub(crate) fn write_tokens(&self, values: &[u32], ids: &mut CudaIds, at: usize) -> Result<()> {
        check::range("ids", ids.len, at, values.len())?;
        if !values.is_empty() {
            let mut part = ids.data.slice_mut(at..at + values.len());
            self.queue.ordered()?.memcpy_htod(values, &mut part).map_err(failed)?;
        }
        Ok(())
    }

    /// A row map as the kernels take it; a list goes to the device by way of `host`.
    pub(super) fn rows(&self, rows: RowMap<'_>, n: usize, host: &mut Vec<u32>) -> Result<photon_rows> {
        Ok(match rows {
            RowMap::Blocks { start, len, stride } => photon_rows {
                list: std::ptr::null(),
                start: start as i64,
                // One block of all rows needs no division, and a length beyond 32 bits would not survive it.
                len: len.min(i32::MAX as usize) as i64,
                stride: stride as i64,
            },
            RowMap::List(places) => {
                host.clear();
                for &place in &places[..n] {
                    host.push(small("a row", place)? as u32);
                }
                let list = self.queue.upload(host)? as *const u32;
                photon_rows { list, start: 0, len: 1, stride: 1 }
            }
        })
    }
}

/// A count that a kernel takes as 32 bits.
pub(super) fn small(name: &str, value: usize) -> Result<i32> {
    i32::try_from(value)
        .map_err(|_| Error::argument(format!("{name} is {value}; on CUDA it must be below 2^31")))
}

/// Rows and columns of a weight.
pub(super) fn matrix(weight: &Tensor) -> Result<(usize, usize)> {
    match *weight.shape() {
        [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
        _ => Err(Error::argument(format!(
            "{} has shape {:?}; a matrix that is not empty is needed",
            weight.name(),
            weight.shape()
        ))),
    }
}

/// A weight in the storage type, checked where rounding may have left its range.
pub(super) fn stored(weight: &Tensor, dtype: Dtype) -> Result<Tensor> {
    let stored = weight.to_dtype(dtype);
    if weight.dtype() != dtype
        && let Some(at) = stored.first_non_finite()
    {
        return Err(Error::Checkpoint(format!(
            "{}: element {at} is not finite as {dtype}; keep the weights in another dtype",
            weight.name()
        )));
    }
    Ok(stored)
}
