//! Matrices on the device with something around them that must not be read, or not be written.

use photon_kernels::cuda::raw::Storage;

use super::device::{Device, Memory, SENTINEL, SENTINEL_HALF, bits, widen};

/// Rows of `width` values, `pitch` elements apart, after `before` elements of padding and before as many. Padding of an input is NaN,
/// that of an output the sentinel.
pub struct Matrix<T> {
    pub memory: Memory<T>,
    pub pitch: usize,
    before: usize,
    rows: usize,
    width: usize,
}

/// Padding before and after, in elements: keeps 16-byte alignment.
const BEFORE: usize = 16;

impl Matrix<f32> {
    pub fn f32(device: &Device, values: &[f32], width: usize, pitch: usize) -> Self {
        Self::padded(device, values, width, pitch, f32::from_bits(SENTINEL))
    }

    fn padded(device: &Device, values: &[f32], width: usize, pitch: usize, padding: f32) -> Self {
        let rows = values.len() / width;
        let mut all = vec![padding; 2 * BEFORE + rows * pitch];
        for (i, row) in values.chunks_exact(width).enumerate() {
            all[BEFORE + i * pitch..][..width].copy_from_slice(row);
        }
        Matrix { memory: device.upload(&all), pitch, before: BEFORE, rows, width }
    }

    /// The values; fails where something around them was written.
    pub fn values(&self, what: &str) -> Vec<f32> {
        let all = self.memory.download();
        self.checked(what, &all, |x| x.to_bits() == SENTINEL)
    }
}

impl Matrix<u16> {
    pub fn half(device: &Device, storage: Storage, values: &[f32], width: usize, pitch: usize) -> Self {
        let rows = values.len() / width;
        let mut all = vec![SENTINEL_HALF; 2 * BEFORE + rows * pitch];
        for (i, row) in values.chunks_exact(width).enumerate() {
            for (j, &x) in row.iter().enumerate() {
                all[BEFORE + i * pitch + j] = bits(storage, x);
            }
        }
        Matrix { memory: device.upload(&all), pitch, before: BEFORE, rows, width }
    }

    pub fn values(&self, storage: Storage, what: &str) -> Vec<f32> {
        let all = self.memory.download();
        let values = self.checked(what, &all, |x| *x == SENTINEL_HALF);
        values.into_iter().map(|x| widen(storage, x)).collect()
    }
}

impl<T: Copy> Matrix<T> {
    /// The address of the first value.
    pub fn start(&self) -> *mut T {
        self.memory.at(self.before)
    }

    fn checked(&self, what: &str, all: &[T], untouched: impl Fn(&T) -> bool) -> Vec<T> {
        let mut values = Vec::with_capacity(self.rows * self.width);
        for (i, x) in all.iter().enumerate() {
            let inside = i >= self.before
                && i < self.before + self.rows * self.pitch
                && (i - self.before) % self.pitch < self.width;
            if inside {
                values.push(*x);
            } else {
                assert!(untouched(x), "{what}: element {i} around the output was written");
            }
        }
        values
    }
}
