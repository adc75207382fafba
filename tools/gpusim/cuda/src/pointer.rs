//! What is known about a pointer, and advice about managed memory.

use crate::context::current;
use crate::device::check_device;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{get, get_all, put};
use crate::memory::{Allocation, Kind};
use crate::registry::lock;
use crate::stream;
use crate::types::{Handle, MemLocation};

const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// The allocation of an address; module variables are in the device's table only.
fn find(pointer: u64) -> Option<Allocation> {
    if let Some(allocation) = lock(&driver().memory).find(pointer) {
        return Some(allocation.clone());
    }
    let (base, bytes) = driver().device.range(pointer)?;
    let context = current().map_or(0, |context| context.handle);
    Some(Allocation { base, bytes, kind: Kind::Device, context, id: base })
}

fn is_host(kind: &Kind) -> bool {
    matches!(kind, Kind::Pinned(_) | Kind::Registered)
}

/// Writes one attribute. Without an allocation there are defaults, which only the call for several attributes gives.
fn attribute(data: usize, attribute: i32, pointer: u64, of: Option<&Allocation>) -> Result {
    let number = |value: u64| put(data as *mut u64, value);
    let word = |value: u32| put(data as *mut u32, value);
    let flag = |value: bool| put(data as *mut u8, value as u8);
    let Some(of) = of else {
        return match attribute {
            1 | 3 | 4 | 7 | 11 | 12 | 14 | 17..=20 => number(0),
            2 | 16 => word(0),
            9 => put(data as *mut i32, -2),
            6 | 8 | 10 | 13 | 15 | 21 => flag(false),
            _ => Err(Error::INVALID_VALUE),
        };
    };
    let managed = matches!(of.kind, Kind::Managed);
    match attribute {
        1 => number(of.context as u64),
        2 => word(if is_host(&of.kind) { HOST } else { DEVICE }),
        3 => number(pointer),
        4 if is_host(&of.kind) || managed => number(pointer),
        // Device memory has no host address.
        4 => Err(Error::INVALID_VALUE),
        6 => word(0),
        7 | 20 => number(of.id),
        8 => word(managed as u32),
        9 => put(data as *mut i32, 0),
        10 | 15 | 21 => flag(false),
        11 | 19 => number(of.base),
        12 | 18 => number(of.bytes),
        13 => flag(true),
        14 => number(0),
        16 => word(3),
        17 => match of.kind {
            Kind::Pool(pool) => number(pool as u64),
            _ => number(0),
        },
        _ => Err(Error::INVALID_VALUE),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuPointerGetAttribute(data: usize, number: i32, pointer: u64) -> i32 {
    api(|| {
        current()?;
        let allocation = find(pointer).ok_or(Error::INVALID_VALUE)?;
        attribute(data, number, pointer, Some(&allocation))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuPointerGetAttributes(
    count: u32,
    numbers: *const i32,
    data: *const usize,
    pointer: u64,
) -> i32 {
    api(|| {
        current()?;
        let allocation = find(pointer);
        let (numbers, data) = (get_all(numbers, count as usize)?, get_all(data, count as usize)?);
        for (number, data) in numbers.into_iter().zip(data) {
            match attribute(data, number, pointer, allocation.as_ref()) {
                Err(_) if number == 4 => put(data as *mut u64, 0)?,
                result => result?,
            }
        }
        Ok(())
    })
}

/// Only `CU_POINTER_ATTRIBUTE_SYNC_MEMOPS` can be set; copies are synchronous anyway.
#[unsafe(no_mangle)]
pub extern "C" fn cuPointerSetAttribute(value: *const u32, number: i32, pointer: u64) -> i32 {
    api(|| {
        current()?;
        get(value)?;
        match find(pointer) {
            Some(_) if number == 6 => Ok(()),
            _ => Err(Error::INVALID_VALUE),
        }
    })
}

/// Fails unless the range lies in managed memory; zero bytes mean the whole allocation.
pub fn check_managed(pointer: u64, bytes: usize) -> Result {
    let memory = lock(&driver().memory);
    match memory.find(pointer) {
        Some(a) if matches!(a.kind, Kind::Managed) && bytes as u64 <= a.bytes - (pointer - a.base) => Ok(()),
        _ => Err(Error::INVALID_VALUE),
    }
}

const SET_READ_MOSTLY: i32 = 1;

fn advise(pointer: u64, bytes: usize, advice: i32, location: (i32, i32)) -> Result {
    current()?;
    if bytes == 0 || !(1..=6).contains(&advice) {
        return Err(Error::INVALID_VALUE);
    }
    check_managed(pointer, bytes)?;
    if location.0 == 1 && advice > 2 {
        check_device(location.1)?;
    }
    let mut memory = lock(&driver().memory);
    let base = memory.find(pointer).map_or(pointer, |a| a.base);
    // Advice comes in pairs: set and unset.
    let slot = (advice as usize - 1) / 2;
    let set = advice % 2 == SET_READ_MOSTLY;
    memory.advice.entry(base).or_default()[slot] = set.then_some(location);
    Ok(())
}

/// A device number stands for the device, -1 for the host.
fn place(device: i32) -> (i32, i32) {
    if device == -1 { (2, 0) } else { (1, device) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAdvise(pointer: u64, bytes: usize, advice: i32, device: i32) -> i32 {
    api(|| advise(pointer, bytes, advice, place(device)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAdvise_v2(pointer: u64, bytes: usize, advice: i32, location: MemLocation) -> i32 {
    api(|| advise(pointer, bytes, advice, (location.kind, location.id)))
}

fn prefetch(pointer: u64, bytes: usize, location: (i32, i32), stream: Handle) -> Result {
    let stream = stream::resolve(stream)?;
    if bytes == 0 {
        return Err(Error::INVALID_VALUE);
    }
    check_managed(pointer, bytes)?;
    if location.0 == 1 {
        check_device(location.1)?;
    }
    let mut memory = lock(&driver().memory);
    let base = memory.find(pointer).map_or(pointer, |a| a.base);
    memory.advice.entry(base).or_default()[3] = Some(location);
    drop(memory);
    stream::submit(&stream, crate::op::Op::Empty)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPrefetchAsync(pointer: u64, bytes: usize, device: i32, stream: Handle) -> i32 {
    api(|| prefetch(pointer, bytes, place(device), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPrefetchAsync_v2(
    pointer: u64,
    bytes: usize,
    location: MemLocation,
    flags: u32,
    stream: Handle,
) -> i32 {
    api(|| match flags {
        0 => prefetch(pointer, bytes, (location.kind, location.id), stream),
        _ => Err(Error::INVALID_VALUE),
    })
}

fn range_attribute(data: usize, data_bytes: usize, number: i32, pointer: u64, bytes: usize) -> Result {
    current()?;
    check_managed(pointer, bytes)?;
    let memory = lock(&driver().memory);
    let base = memory.find(pointer).map_or(pointer, |a| a.base);
    let advice = memory.advice.get(&base).copied().unwrap_or_default();
    // An invalid device, -2, where nothing was set.
    let device = |location: Option<(i32, i32)>| match location {
        Some((1, device)) => device,
        Some(_) => -1,
        None => -2,
    };
    let value = match number {
        1 => advice[0].is_some() as i32,
        2 => device(advice[1]),
        3 => device(advice[2]),
        4 => device(advice[3]),
        5 => advice[1].map_or(0, |location| location.0),
        6 => advice[1].map_or(0, |location| location.1),
        7 => advice[3].map_or(0, |location| location.0),
        8 => advice[3].map_or(0, |location| location.1),
        _ => return Err(Error::INVALID_VALUE),
    };
    let several = number == 3;
    if data_bytes < 4 || !data_bytes.is_multiple_of(4) || !several && data_bytes != 4 {
        return Err(Error::INVALID_VALUE);
    }
    put(data as *mut i32, value)?;
    // The list of accessing devices is filled up with invalid ones.
    (1..(data_bytes / 4).min(1 << 16)).try_for_each(|i| put((data + 4 * i) as *mut i32, -2))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRangeGetAttribute(
    data: usize,
    data_bytes: usize,
    number: i32,
    pointer: u64,
    bytes: usize,
) -> i32 {
    api(|| range_attribute(data, data_bytes, number, pointer, bytes))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRangeGetAttributes(
    data: *const usize,
    data_bytes: *const usize,
    numbers: *const i32,
    count: usize,
    pointer: u64,
    bytes: usize,
) -> i32 {
    api(|| {
        let (data, sizes) = (get_all(data, count)?, get_all(data_bytes, count)?);
        for (i, number) in get_all(numbers, count)?.into_iter().enumerate() {
            range_attribute(data[i], sizes[i], number, pointer, bytes)?;
        }
        Ok(())
    })
}
