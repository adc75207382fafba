//! Virtual memory management: reservations, physical allocations, mappings.
//!
//! Device addresses of a reservation are host addresses here: physical memory is an anonymous file that is mapped
//! where the program wants it, so two mappings of one allocation alias as they do on a GPU.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::context::current;
use crate::device::check_device;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{get, get_all, put};
use crate::memory::Kind;
use crate::pool::ON_DEVICE;
use crate::registry::{lock, new_handle};
use crate::types::{Handle, MemAccessDesc, MemAllocationProp, MemLocation};

const GRANULARITY: usize = 2 << 20;

/// A physical allocation.
pub struct Physical {
    file: libc::c_int,
    bytes: usize,
    props: MemAllocationProp,
    /// Handles and mappings that keep it.
    references: Mutex<u32>,
}

impl Drop for Physical {
    fn drop(&mut self) {
        // SAFETY: the file is this allocation's own.
        unsafe { libc::close(self.file) };
    }
}

#[derive(Clone, Copy)]
struct Mapping {
    bytes: usize,
    physical: Handle,
    accessible: bool,
}

/// Reservations and mappings by address.
static RESERVED: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());
static MAPPED: Mutex<BTreeMap<u64, Mapping>> = Mutex::new(BTreeMap::new());

fn check_props(props: *const MemAllocationProp) -> Result<MemAllocationProp> {
    let props = get(props)?;
    if props.kind != 1 || props.location.kind != ON_DEVICE {
        return Err(Error::INVALID_VALUE);
    }
    if props.handle_types != 0 {
        return Err(Error::NOT_SUPPORTED);
    }
    check_device(props.location.id)?;
    Ok(props)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAllocationGranularity(
    out: *mut usize,
    props: *const MemAllocationProp,
    option: i32,
) -> i32 {
    api(|| {
        check_props(props)?;
        if (0..=1).contains(&option) { put(out, GRANULARITY) } else { Err(Error::INVALID_VALUE) }
    })
}

fn check_size(bytes: usize) -> Result {
    match bytes > 0 && bytes.is_multiple_of(GRANULARITY) && bytes < 1 << 46 {
        true => Ok(()),
        false => Err(Error::INVALID_VALUE),
    }
}

fn reserve(bytes: usize, align: usize, at: u64) -> Result<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let map = |hint: u64, bytes: usize| {
        // SAFETY: a fresh mapping without access rights; the hint only asks.
        let address = unsafe { libc::mmap(hint as *mut libc::c_void, bytes, libc::PROT_NONE, flags, -1, 0) };
        if address == libc::MAP_FAILED { Err(Error::OUT_OF_MEMORY) } else { Ok(address as u64) }
    };
    let unmap = |address: u64, bytes: u64| {
        if bytes > 0 {
            // SAFETY: part of a mapping made here.
            unsafe { libc::munmap(address as *mut libc::c_void, bytes as usize) };
        }
    };
    if at != 0 && at.is_multiple_of(align as u64) {
        let got = map(at, bytes)?;
        if got == at {
            return Ok(got);
        }
        unmap(got, bytes as u64);
    }
    let all = bytes.checked_add(align).ok_or(Error::OUT_OF_MEMORY)?;
    let got = map(0, all)?;
    let start = got.next_multiple_of(align as u64);
    unmap(got, start - got);
    unmap(start + bytes as u64, got + all as u64 - start - bytes as u64);
    Ok(start)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressReserve(
    out: *mut u64,
    bytes: usize,
    align: usize,
    address: u64,
    flags: u64,
) -> i32 {
    api(|| {
        check_size(bytes)?;
        let align = if align == 0 { GRANULARITY } else { align };
        if flags != 0 || !align.is_power_of_two() || align > 1 << 40 {
            return Err(Error::INVALID_VALUE);
        }
        put(out, 0)?;
        let start = reserve(bytes, align.max(GRANULARITY), address)?;
        lock(&RESERVED).insert(start, bytes);
        put(out, start)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAddressFree(address: u64, bytes: usize) -> i32 {
    api(|| {
        let mut reserved = lock(&RESERVED);
        if reserved.get(&address) != Some(&bytes) {
            return Err(Error::INVALID_VALUE);
        }
        if lock(&MAPPED).range(address..address + bytes as u64).next().is_some() {
            return Err(Error::INVALID_VALUE);
        }
        reserved.remove(&address);
        crate::memory::unmap_pages(address as usize, bytes);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemCreate(
    out: *mut Handle,
    bytes: usize,
    props: *const MemAllocationProp,
    flags: u64,
) -> i32 {
    api(|| {
        let props = check_props(props)?;
        check_size(bytes)?;
        if flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        put(out, 0)?;
        if bytes as u64 > driver().device.memory_info().0 {
            return Err(Error::OUT_OF_MEMORY);
        }
        // SAFETY: the name is a C string.
        let file = unsafe { libc::memfd_create(c"gpusim".as_ptr(), libc::MFD_CLOEXEC) };
        if file < 0 {
            return Err(Error::OPERATING_SYSTEM);
        }
        let physical = Physical { file, bytes, props, references: Mutex::new(1) };
        // SAFETY: the file was just made.
        if unsafe { libc::ftruncate(file, bytes as libc::off_t) } != 0 {
            return Err(Error::OUT_OF_MEMORY);
        }
        let handle = new_handle();
        driver().physical.insert(handle, physical);
        put(out, handle)
    })
}

/// Gives one reference back.
fn drop_reference(handle: Handle) -> Result {
    let physical = driver().physical.get(handle).map_err(|_| Error::INVALID_VALUE)?;
    let mut references = lock(&physical.references);
    *references = references.saturating_sub(1);
    if *references == 0 {
        driver().physical.remove(handle)?;
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRelease(handle: Handle) -> i32 {
    api(|| drop_reference(handle))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemMap(address: u64, bytes: usize, offset: usize, handle: Handle, flags: u64) -> i32 {
    api(|| {
        let physical = driver().physical.get(handle).map_err(|_| Error::INVALID_VALUE)?;
        // The offset must be zero, as the driver documents.
        if flags != 0 || offset != 0 || check_size(bytes).is_err() || bytes > physical.bytes {
            return Err(Error::INVALID_VALUE);
        }
        let end = address.checked_add(bytes as u64).ok_or(Error::INVALID_VALUE)?;
        let reserved = lock(&RESERVED);
        let inside =
            reserved.range(..=address).next_back().is_some_and(|(start, size)| end <= start + *size as u64);
        if !inside || !address.is_multiple_of(GRANULARITY as u64) {
            return Err(Error::INVALID_VALUE);
        }
        let mut mapped = lock(&MAPPED);
        if mapped.range(..end).next_back().is_some_and(|(start, m)| start + m.bytes as u64 > address) {
            return Err(Error::INVALID_VALUE);
        }
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: the range lies in a reservation made here, in which nothing else is mapped.
        let got = unsafe {
            libc::mmap(
                address as *mut libc::c_void,
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                physical.file,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            return Err(Error::OUT_OF_MEMORY);
        }
        *lock(&physical.references) += 1;
        mapped.insert(address, Mapping { bytes, physical: handle, accessible: false });
        Ok(())
    })
}

/// The mappings that make up a range exactly.
fn mappings(mapped: &BTreeMap<u64, Mapping>, address: u64, bytes: usize) -> Result<Vec<(u64, Mapping)>> {
    let end = address.checked_add(bytes as u64).ok_or(Error::INVALID_VALUE)?;
    let (mut at, mut found) = (address, Vec::new());
    while at < end {
        let mapping = *mapped.get(&at).ok_or(Error::INVALID_VALUE)?;
        found.push((at, mapping));
        at += mapping.bytes as u64;
    }
    if at == end && bytes > 0 { Ok(found) } else { Err(Error::INVALID_VALUE) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemSetAccess(address: u64, bytes: usize, map: *const MemAccessDesc, count: usize) -> i32 {
    api(|| {
        let context = current()?.handle;
        for access in get_all(map, count)? {
            if access.location.kind != ON_DEVICE || access.flags != 3 {
                return Err(Error::INVALID_VALUE);
            }
            check_device(access.location.id)?;
        }
        let mut mapped = lock(&MAPPED);
        for (at, mapping) in mappings(&mapped, address, bytes)? {
            if !mapping.accessible {
                // SAFETY: the pages stay until `cuMemUnmap`, which unmaps them from the device first.
                unsafe { driver().device.map_host(at as *mut u8, mapping.bytes as u64)? };
                let kind = Kind::Mapped;
                lock(&driver().memory).insert(at, mapping.bytes as u64, kind, context);
            }
            mapped.insert(at, Mapping { accessible: true, ..mapping });
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAccess(flags: *mut u64, location: *const MemLocation, address: u64) -> i32 {
    api(|| {
        let location = get(location)?;
        if location.kind != ON_DEVICE {
            return Err(Error::INVALID_VALUE);
        }
        check_device(location.id)?;
        let mapped = lock(&MAPPED);
        let (start, mapping) = mapped.range(..=address).next_back().ok_or(Error::INVALID_VALUE)?;
        if address - start >= mapping.bytes as u64 {
            return Err(Error::INVALID_VALUE);
        }
        put(flags, if mapping.accessible { 3 } else { 0 })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemUnmap(address: u64, bytes: usize) -> i32 {
    api(|| {
        let mut mapped = lock(&MAPPED);
        for (at, mapping) in mappings(&mapped, address, bytes)? {
            if mapping.accessible {
                lock(&driver().memory).remove(at);
                crate::memory::unmap_from_device(at)?;
            }
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
            // SAFETY: replaces the mapping by the bare reservation.
            unsafe { libc::mmap(at as *mut libc::c_void, mapping.bytes, libc::PROT_NONE, flags, -1, 0) };
            mapped.remove(&at);
            drop_reference(mapping.physical)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAllocationPropertiesFromHandle(out: *mut MemAllocationProp, handle: Handle) -> i32 {
    api(|| put(out, driver().physical.get(handle).map_err(|_| Error::INVALID_VALUE)?.props))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemRetainAllocationHandle(out: *mut Handle, address: u64) -> i32 {
    api(|| {
        let mapped = lock(&MAPPED);
        let (start, mapping) = mapped.range(..=address).next_back().ok_or(Error::INVALID_VALUE)?;
        if address - start >= mapping.bytes as u64 {
            return Err(Error::INVALID_VALUE);
        }
        let physical = driver().physical.get(mapping.physical).map_err(|_| Error::INVALID_VALUE)?;
        put(out, mapping.physical)?;
        *lock(&physical.references) += 1;
        Ok(())
    })
}
