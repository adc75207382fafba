//! A named, shared, read-only tensor on the host.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::error::{Error, Result};

#[cfg(target_endian = "big")]
compile_error!("checkpoints are little-endian and used as they lie in the file");

/// Storage type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
            Dtype::F16 => "f16",
        })
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Dtype::F32),
            "bf16" => Ok(Dtype::Bf16),
            "f16" => Ok(Dtype::F16),
            _ => Err(Error::argument(format!("dtype {name:?} is unknown; it must be f32, bf16 or f16"))),
        }
    }
}

/// One cache line: the grain, and so the alignment, of an owned allocation.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A zeroed, 64-byte aligned allocation that reports failure instead of aborting.
pub(super) struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// `len` zeroed bytes.
    pub(super) fn zeroed(len: usize) -> Result<Self> {
        let lines = bytemuck::allocation::try_zeroed_vec(len.div_ceil(64))
            .map_err(|()| Error::Checkpoint(format!("no memory for a tensor of {len} bytes")))?;
        Ok(Lines { lines, len })
    }

    /// As [`Lines::zeroed`], for the size of something that is in memory already.
    fn new(len: usize) -> Self {
        Lines { lines: vec![Line::zeroed(); len.div_ceil(64)], len }
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// The bytes, as elements of `T`: 2 or 4 bytes wide, so no alignment can go wrong.
    pub(super) fn elements_mut<T: Pod>(&mut self) -> &mut [T] {
        let len = self.len;
        bytemuck::cast_slice_mut(&mut bytemuck::cast_slice_mut::<Line, u8>(&mut self.lines)[..len])
    }
}

/// Where the bytes of a tensor live.
pub(super) enum Storage {
    /// Anything shared that holds a whole file, and the place of the tensor in it.
    File {
        /// The file: mapped or read.
        file: Arc<dyn AsRef<[u8]> + Send + Sync>,
        /// First byte.
        start: usize,
    },
    /// Its own allocation.
    Owned(Lines),
}

struct Inner {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Elements.
    len: usize,
    storage: Storage,
}

/// A named tensor, row-major: a view into a mapped file or an owned allocation. Cloning shares the bytes.
#[derive(Clone)]
pub struct Tensor {
    inner: Arc<Inner>,
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {} {:?})", self.name(), self.dtype(), self.shape())
    }
}

impl Tensor {
    /// A tensor over bytes that are known to fit `shape` and `dtype` and to be aligned.
    pub(super) fn new(name: &str, dtype: Dtype, shape: &[usize], storage: Storage) -> Self {
        let len = shape.iter().product();
        Tensor { inner: Arc::new(Inner { name: name.into(), dtype, shape: shape.into(), len, storage }) }
    }

    /// A view of `bytes = file[start..]`, or a copy where the file does not align the elements.
    pub(super) fn view(
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        file: &Arc<dyn AsRef<[u8]> + Send + Sync>,
        start: usize,
        len: usize,
    ) -> Result<Self> {
        let bytes = &file.as_ref().as_ref()[start..start + len];
        let storage = if bytes.as_ptr().addr().is_multiple_of(dtype.size()) {
            Storage::File { file: file.clone(), start }
        } else {
            let mut lines = Lines::zeroed(len)?;
            lines.elements_mut::<u8>().copy_from_slice(bytes);
            Storage::Owned(lines)
        };
        Ok(Tensor::new(name, dtype, shape, storage))
    }

    /// An F32 tensor with a copy of `values`.
    ///
    /// # Errors
    /// If `shape` does not hold as many elements as `values`.
    pub fn from_f32(name: &str, shape: &[usize], values: &[f32]) -> Result<Self> {
        if elements(shape) != Some(values.len()) {
            return Err(Error::argument(format!(
                "values of {name}: {} of them do not fill shape {shape:?}",
                values.len()
            )));
        }
        let mut lines = Lines::zeroed(values.len() * 4)?;
        lines.elements_mut().copy_from_slice(values);
        Ok(Tensor::new(name, Dtype::F32, shape, Storage::Owned(lines)))
    }

    /// Its name in the checkpoint.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How its elements are stored.
    pub fn dtype(&self) -> Dtype {
        self.inner.dtype
    }

    /// Its sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.inner.shape
    }

    /// Its elements.
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements as stored, little-endian, aligned for [`Tensor::dtype`].
    pub fn bytes(&self) -> &[u8] {
        match &self.inner.storage {
            Storage::File { file, start } => {
                &file.as_ref().as_ref()[*start..*start + self.len() * self.dtype().size()]
            }
            Storage::Owned(lines) => lines.bytes(),
        }
    }

    /// Its elements, if they are stored as F32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        (self.dtype() == Dtype::F32).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// Its elements, if they are stored as BF16.
    pub fn as_bf16(&self) -> Option<&[bf16]> {
        (self.dtype() == Dtype::Bf16).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// Its elements, if they are stored as F16.
    pub fn as_f16(&self) -> Option<&[f16]> {
        (self.dtype() == Dtype::F16).then(|| bytemuck::cast_slice(self.bytes()))
    }

    /// Its elements widened to `f32`, without loss.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.len()];
        self.widen(&mut out);
        out
    }

    fn widen(&self, out: &mut [f32]) {
        match self.dtype() {
            Dtype::F32 => out.copy_from_slice(bytemuck::cast_slice(self.bytes())),
            Dtype::Bf16 => bytemuck::cast_slice::<u8, bf16>(self.bytes()).convert_to_f32_slice(out),
            Dtype::F16 => bytemuck::cast_slice::<u8, f16>(self.bytes()).convert_to_f32_slice(out),
        }
    }

    /// The tensor stored as `dtype`, rounded to nearest even. Shares the bytes where that is what they are already.
    /// Values beyond the range of F16 become infinite.
    pub fn to_dtype(&self, dtype: Dtype) -> Tensor {
        if dtype == self.dtype() {
            return self.clone();
        }
        let mut lines = Lines::new(self.len() * dtype.size());
        match dtype {
            Dtype::F32 => self.widen(lines.elements_mut()),
            Dtype::Bf16 => self.narrow(lines.elements_mut::<bf16>(), round_bf16),
            Dtype::F16 => self.narrow(lines.elements_mut::<f16>(), f16::from_f32),
        }
        Tensor::new(self.name(), dtype, self.shape(), Storage::Owned(lines))
    }

    fn narrow<T: Pod + Send>(&self, out: &mut [T], round: impl Fn(f32) -> T + Sync) {
        fn each<S: Pod + Sync, T: Pod + Send>(from: &[S], to: &mut [T], f: impl Fn(S) -> T + Sync) {
            to.par_chunks_mut(1 << 16).zip(from.par_chunks(1 << 16)).for_each(|(to, from)| {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = f(*from);
                }
            });
        }
        match self.dtype() {
            Dtype::F32 => each(bytemuck::cast_slice(self.bytes()), out, round),
            Dtype::Bf16 => each(bytemuck::cast_slice(self.bytes()), out, |x: bf16| round(x.to_f32())),
            Dtype::F16 => each(bytemuck::cast_slice(self.bytes()), out, |x: f16| round(x.to_f32())),
        }
    }

    /// Index of the first element that is NaN or infinite. Reads every element, in parallel.
    pub fn first_non_finite(&self) -> Option<usize> {
        fn find<T: Pod + Sync>(bytes: &[u8], bad: impl Fn(T) -> bool + Sync) -> Option<usize> {
            const CHUNK: usize = 1 << 16;
            let values: &[T] = bytemuck::cast_slice(bytes);
            // A whole chunk without an early exit runs at vector speed.
            let any = |chunk: &[T]| chunk.iter().fold(false, |any, &x| any | bad(x));
            let chunk = values.par_chunks(CHUNK).position_first(any)?;
            let start = chunk * CHUNK;
            Some(start + values[start..].iter().position(|&x| bad(x))?)
        }
        match self.dtype() {
            Dtype::F32 => find(self.bytes(), |x: u32| x & 0x7f80_0000 == 0x7f80_0000),
            Dtype::Bf16 => find(self.bytes(), |x: u16| x & 0x7f80 == 0x7f80),
            Dtype::F16 => find(self.bytes(), |x: u16| x & 0x7c00 == 0x7c00),
        }
    }
}

/// `bf16::from_f32` without a branch, so that loops over it run at vector speed, five times as fast.
pub(super) fn round_bf16(x: f32) -> bf16 {
    let bits = x.to_bits();
    // Half of what is cut off, less one where the kept part is even, carries into the kept part.
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    let quiet = (bits >> 16) as u16 | 0x40;
    bf16::from_bits(if x.is_nan() { quiet } else { rounded })
}

/// Elements of a shape, if that is a number.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size))
}
