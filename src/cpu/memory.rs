//! Aligned memory, and scratch that is reused from call to call.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Mutex;

use crate::error::{Error, Result};

/// Values at the start of a cache line, zeroed when allocated.
pub(crate) struct Aligned<T> {
    pointer: NonNull<T>,
    len: usize,
}

/// Types of which all-zero bytes are a value and which need no drop.
pub(crate) trait Plain: Copy + Send + Sync {}
impl Plain for f32 {}
impl Plain for u16 {}
impl Plain for i8 {}

// SAFETY: the value owns its memory like a `Vec<T>`, and `T` is `Send`.
unsafe impl<T: Plain> Send for Aligned<T> {}
// SAFETY: as above, with `T: Sync`.
unsafe impl<T: Plain> Sync for Aligned<T> {}

/// A cache line, which is also the widest vector.
const LINE: usize = 64;

fn layout<T>(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.checked_mul(size_of::<T>())?, LINE).ok()
}

impl<T: Plain> Aligned<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Self::default());
        }
        let fail = || Error::Backend(format!("no memory for {len} values of {} bytes", size_of::<T>()));
        let layout = layout::<T>(len).ok_or_else(fail)?;
        // SAFETY: the layout has a size above zero.
        let pointer = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(fail)?;
        Ok(Aligned { pointer: pointer.cast(), len })
    }

    /// The allocation itself: writing through it needs the same care as any shared memory.
    pub(crate) fn pointer(&self) -> *mut T {
        self.pointer.as_ptr()
    }

    /// At least `len` values of unspecified content.
    pub(crate) fn at_least(&mut self, len: usize) -> Result<&mut [T]> {
        if self.len < len {
            // Growing by half at least keeps slowly growing requests from reallocating each time.
            let target = len.max(self.len + self.len / 2);
            *self = Self::default();
            *self = Self::zeroed(target)?;
        }
        Ok(&mut self[..len])
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Aligned { pointer: NonNull::dangling(), len: 0 }
    }
}

impl<T> Drop for Aligned<T> {
    fn drop(&mut self) {
        if self.len > 0
            && let Some(layout) = layout::<T>(self.len)
        {
            // SAFETY: allocated with this layout in `zeroed`.
            unsafe { dealloc(self.pointer.as_ptr().cast(), layout) }
        }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised values, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` initialised values, owned by `self`.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.len) }
    }
}

/// Things that calls borrow and give back: after the first calls nothing is allocated.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    pub(crate) fn new() -> Self {
        Pool(Mutex::new(Vec::with_capacity(64)))
    }

    /// Has `count` things at hand, each readied by `ready`: what a thread that comes in late would otherwise allocate then.
    pub(crate) fn ready(&self, count: usize, ready: impl FnMut(&mut T) -> Result<()>) -> Result<()> {
        let mut things = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while things.len() < count {
            things.push(T::default());
        }
        things.iter_mut().try_for_each(ready)
    }

    /// Runs `work` with one of the things.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut thing = lock().pop().unwrap_or_default();
        let result = work(&mut thing);
        lock().push(thing);
        result
    }
}
