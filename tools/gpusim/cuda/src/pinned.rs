//! Page-locked host memory: allocated, or registered by the program. The device sees it at its own address.

use crate::capture::forbidden_in_capture;
use crate::context::current;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::{check_readable, put};
use crate::memory::{Kind, allocate_host, free, wait_for_device};
use crate::registry::lock;

fn allocate(out: *mut usize, bytes: usize, flags: u32) -> Result {
    put(out, 0)?;
    forbidden_in_capture()?;
    // CU_MEMHOSTALLOC_PORTABLE, _DEVICEMAP, _WRITECOMBINED
    if flags & !7 != 0 {
        return Err(Error::INVALID_VALUE);
    }
    put(out, allocate_host(bytes, Kind::Pinned(flags))?)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostAlloc(out: *mut usize, bytes: usize, flags: u32) -> i32 {
    api(|| allocate(out, bytes, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocHost_v2(out: *mut usize, bytes: usize) -> i32 {
    api(|| allocate(out, bytes, 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(pointer: usize) -> i32 {
    api(|| {
        current()?;
        forbidden_in_capture()?;
        if pointer == 0 {
            return Ok(());
        }
        let earlier = wait_for_device();
        free(pointer as u64, |kind| matches!(kind, Kind::Pinned(_)))?;
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostRegister_v2(pointer: usize, bytes: usize, flags: u32) -> i32 {
    api(|| {
        let context = current()?.handle;
        forbidden_in_capture()?;
        // … _PORTABLE, _DEVICEMAP, _IOMEMORY, _READ_ONLY
        if pointer == 0 || bytes == 0 || flags & !15 != 0 {
            return Err(Error::INVALID_VALUE);
        }
        if flags & 4 != 0 {
            return Err(Error::NOT_SUPPORTED);
        }
        check_readable(pointer, bytes)?;
        // SAFETY: the program vouches that the range stays until it is unregistered.
        unsafe { driver().device.map_host(pointer as *mut u8, bytes as u64) }
            .map_err(|_| Error::HOST_MEMORY_ALREADY_REGISTERED)?;
        lock(&driver().memory).insert(pointer as u64, bytes as u64, Kind::Registered, context);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostUnregister(pointer: usize) -> i32 {
    api(|| {
        current()?;
        forbidden_in_capture()?;
        let earlier = wait_for_device();
        free(pointer as u64, |kind| matches!(kind, Kind::Registered))
            .map_err(|_| Error::HOST_MEMORY_NOT_REGISTERED)?;
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostGetDevicePointer_v2(out: *mut u64, pointer: usize, flags: u32) -> i32 {
    api(|| {
        current()?;
        if flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        match lock(&driver().memory).find(pointer as u64).map(|a| &a.kind) {
            Some(Kind::Pinned(_) | Kind::Registered) => put(out, pointer as u64),
            _ => Err(Error::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostGetFlags(out: *mut u32, pointer: usize) -> i32 {
    api(|| {
        current()?;
        match lock(&driver().memory).find(pointer as u64).map(|a| &a.kind) {
            // With unified addressing everything is portable and mapped.
            Some(Kind::Pinned(flags)) => put(out, flags | 3),
            _ => Err(Error::INVALID_VALUE),
        }
    })
}
