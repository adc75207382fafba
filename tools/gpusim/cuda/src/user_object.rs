//! User objects: reference counts whose destructor is called at zero, which graphs can hold.

use std::sync::Mutex;

use crate::driver::{api, driver, in_callback};
use crate::error::{Error, Result};
use crate::host::put;
use crate::registry::{lock, new_handle};
use crate::types::{Handle, HostFn};

/// A user object.
pub struct UserObject {
    count: Mutex<u32>,
    destroy: HostFn,
    data: usize,
}

/// Gives references back; the last one calls the destructor.
pub fn release(handle: Handle, count: u32) -> Result {
    let object = driver().user_objects.get(handle)?;
    let mut left = lock(&object.count);
    *left = left.checked_sub(count).ok_or(Error::INVALID_VALUE)?;
    if *left > 0 {
        return Ok(());
    }
    drop(left);
    driver().user_objects.remove(handle)?;
    if let Some(destroy) = object.destroy {
        // SAFETY: the program passed a function of this type with its argument.
        in_callback(|| unsafe { destroy(object.data) });
    }
    Ok(())
}

fn retain(handle: Handle, count: u32) -> Result {
    let object = driver().user_objects.get(handle)?;
    let mut references = lock(&object.count);
    *references =
        references.checked_add(count).filter(|n| *n <= i32::MAX as u32).ok_or(Error::INVALID_VALUE)?;
    Ok(())
}

fn check_count(count: u32) -> Result {
    if (1..=i32::MAX as u32).contains(&count) { Ok(()) } else { Err(Error::INVALID_VALUE) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuUserObjectCreate(
    out: *mut Handle,
    data: usize,
    destroy: HostFn,
    count: u32,
    flags: u32,
) -> i32 {
    api(|| {
        check_count(count)?;
        // The flag says that the destructor does not synchronise, and must be set.
        if destroy.is_none() || flags != 1 {
            return Err(Error::INVALID_VALUE);
        }
        let handle = new_handle();
        put(out, handle)?;
        driver().user_objects.insert(handle, UserObject { count: Mutex::new(count), destroy, data });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuUserObjectRetain(object: Handle, count: u32) -> i32 {
    api(|| check_count(count).and_then(|_| retain(object, count)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuUserObjectRelease(object: Handle, count: u32) -> i32 {
    api(|| check_count(count).and_then(|_| release(object, count)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphRetainUserObject(graph: Handle, object: Handle, count: u32, flags: u32) -> i32 {
    api(|| {
        check_count(count)?;
        // The flag moves the caller's references instead of making new ones.
        if flags > 1 {
            return Err(Error::INVALID_VALUE);
        }
        let mut graphs = lock(&driver().graphs);
        let graph = graphs.graph_mut(graph)?;
        driver().user_objects.get(object)?;
        if flags == 0 {
            retain(object, count)?;
        }
        *graph.objects.entry(object).or_default() += count;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphReleaseUserObject(graph: Handle, object: Handle, count: u32) -> i32 {
    api(|| {
        check_count(count)?;
        let mut graphs = lock(&driver().graphs);
        let held = graphs.graph_mut(graph)?.objects.get_mut(&object).ok_or(Error::INVALID_VALUE)?;
        *held = held.checked_sub(count).ok_or(Error::INVALID_VALUE)?;
        release(object, count)
    })
}
