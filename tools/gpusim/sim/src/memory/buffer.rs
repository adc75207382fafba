//! Host memory behind a device allocation.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Bytes that the simulator owns, or host memory that a user mapped.
///
/// It is read and written through raw pointers, by several threads when a launch uses several: the order of accesses
/// to device memory is the device program's business, as on hardware.
#[derive(Debug)]
pub(crate) struct Buffer {
    ptr: *mut u8,
    layout: Option<Layout>,
}

// SAFETY: a Buffer is an address; whoever reads or writes through it answers for the access.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Zeroed memory, aligned to 16 bytes; None if the host has none. Large buffers take pages when first touched.
    pub(crate) fn new(bytes: u64) -> Option<Buffer> {
        // 16 is what `calloc` gives: a larger alignment would make the allocator clear (touch) every page.
        let layout = Layout::from_size_align(usize::try_from(bytes).ok()?.max(1), 16).ok()?;
        // SAFETY: the layout's size is not zero.
        let ptr = unsafe { alloc_zeroed(layout) };
        (!ptr.is_null()).then_some(Buffer { ptr, layout: Some(layout) })
    }

    /// Host memory of somebody else.
    pub(crate) fn foreign(ptr: *mut u8) -> Buffer {
        Buffer { ptr, layout: None }
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.layout.is_none()
    }

    pub(crate) fn ptr(&self) -> *mut u8 {
        self.ptr
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(layout) = self.layout {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.ptr, layout) }
        }
    }
}
