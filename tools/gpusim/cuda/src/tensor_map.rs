//! Tensor maps for `cp.async.bulk.tensor`; [`gpusim::tensor_map`] documents the encoding.

use gpusim::tensor_map::{DataType, Interleave, Swizzle, TENSOR_MAP_ALIGN, TensorMap};

use crate::driver::api;
use crate::error::{Error, Result};
use crate::host::{get, get_all, put};
use crate::types::TensorMapBytes;

fn check_alignment(map: *const TensorMapBytes) -> Result {
    if (map as usize).is_multiple_of(TENSOR_MAP_ALIGN) { Ok(()) } else { Err(Error::INVALID_VALUE) }
}

/// Fixed-size copies of the arrays, filled up with `rest`.
fn array<T: crate::host::Plain, const N: usize>(pointer: *const T, count: usize, rest: T) -> Result<[T; N]> {
    let values = get_all(pointer, count)?;
    Ok(std::array::from_fn(|i| values.get(i).copied().unwrap_or(rest)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuTensorMapEncodeTiled(
    out: *mut TensorMapBytes,
    data_type: u32,
    rank: u32,
    address: u64,
    sizes: *const u64,
    strides: *const u64,
    box_sizes: *const u32,
    element_strides: *const u32,
    interleave: u32,
    swizzle: u32,
    l2_promotion: u32,
    fill: u32,
) -> i32 {
    api(|| {
        check_alignment(out)?;
        if !(1..=5).contains(&rank) || l2_promotion > 3 || fill > 1 {
            return Err(Error::INVALID_VALUE);
        }
        let rank_ = rank as usize;
        let map = TensorMap {
            data_type: DataType::from_number(data_type).ok_or(Error::INVALID_VALUE)?,
            rank,
            address,
            sizes: array(sizes, rank_, 1)?,
            strides: array(strides, rank_ - 1, 0)?,
            box_sizes: array(box_sizes, rank_, 1)?,
            element_strides: array(element_strides, rank_, 1)?,
            interleave: match interleave {
                0 => Interleave::None,
                1 => Interleave::B16,
                2 => Interleave::B32,
                _ => return Err(Error::INVALID_VALUE),
            },
            // Swizzles with other atoms need sm_100.
            swizzle: match swizzle {
                0 => Swizzle::None,
                1 => Swizzle::B32,
                2 => Swizzle::B64,
                3 => Swizzle::B128,
                _ => return Err(Error::INVALID_VALUE),
            },
            l2_promotion: l2_promotion as u8,
            nan_fill: fill == 1,
        };
        if let Err(rule) = map.validate() {
            eprintln!("gpusim: cuTensorMapEncodeTiled: {rule}");
            return Err(Error::INVALID_VALUE);
        }
        put(out, TensorMapBytes { bytes: map.encode() })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuTensorMapReplaceAddress(map: *mut TensorMapBytes, address: u64) -> i32 {
    api(|| {
        check_alignment(map)?;
        let mut tensor = TensorMap::decode(&get(map)?.bytes).ok_or(Error::INVALID_VALUE)?;
        tensor.address = address;
        tensor.validate().map_err(|_| Error::INVALID_VALUE)?;
        put(map, TensorMapBytes { bytes: tensor.encode() })
    })
}
