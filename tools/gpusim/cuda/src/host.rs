//! Host memory that the caller names by address.
//!
//! A driver is handed wild pointers: by wrong programs, and by the fuzz test. The kernel is asked to copy
//! (`process_vm_readv` on this very process), which fails with `EFAULT` where a plain access would end the process.
//! Where a sandbox forbids the call, only null and the first pages are refused.

use std::mem::{MaybeUninit, size_of};
use std::sync::OnceLock;

use crate::error::{Error, Result};

const PAGE: usize = 4096;
/// The kernel copies at most 2 GiB at once.
const PART: usize = 1 << 30;

/// Marks types of plain memory: every bit pattern is a value.
///
/// # Safety
/// No padding that is read, no references, no enums.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($t:ty),*) => { $(
        // SAFETY: any bits are a value of it.
        unsafe impl $crate::host::Plain for $t {}
    )* };
}
pub(crate) use plain;

plain!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize, f32, f64);

fn iovec(address: usize, bytes: usize) -> libc::iovec {
    libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes }
}

/// Moves bytes through the kernel; false if an address is bad.
fn through_kernel(local: &[libc::iovec], remote: &[libc::iovec], bytes: usize, write: bool) -> bool {
    let call = if write { libc::process_vm_writev } else { libc::process_vm_readv };
    // SAFETY: the kernel checks every range; the process is this one.
    let moved = unsafe {
        call(
            libc::getpid(),
            local.as_ptr(),
            local.len() as libc::c_ulong,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    moved >= 0 && moved as usize == bytes
}

/// Whether the kernel's copy can be used at all.
fn checked() -> bool {
    static CHECKED: OnceLock<bool> = OnceLock::new();
    *CHECKED.get_or_init(|| {
        let (from, mut to) = ([7u8; 1], [0u8; 1]);
        let local = [iovec(to.as_mut_ptr() as usize, 1)];
        through_kernel(&local, &[iovec(from.as_ptr() as usize, 1)], 1, false) && to == [7]
    })
}

fn plausible(address: usize, bytes: usize) -> Result {
    match address >= 1 << 16 && address.checked_add(bytes).is_some_and(|end| end <= 1 << 47) {
        true => Ok(()),
        false => Err(Error::INVALID_VALUE),
    }
}

/// Fails unless every page of the range can be read.
pub fn check_readable(address: usize, bytes: usize) -> Result {
    if bytes == 0 {
        return Ok(());
    }
    plausible(address, bytes)?;
    if !checked() {
        return Ok(());
    }
    let last = address + bytes - 1;
    let pages = (address / PAGE + 1)..=(last / PAGE);
    // One byte of each page, many pages at a time; a wild size ends at the first page that is not there.
    let mut probes = std::iter::once(address).chain(pages.map(|page| page * PAGE)).map(|at| iovec(at, 1));
    let mut sink = [0u8; 1024];
    loop {
        let remote: Vec<libc::iovec> = probes.by_ref().take(sink.len()).collect();
        if remote.is_empty() {
            return Ok(());
        }
        let local = [iovec(sink.as_mut_ptr() as usize, remote.len())];
        if !through_kernel(&local, &remote, remote.len(), false) {
            return Err(Error::INVALID_VALUE);
        }
    }
}

/// Copies `out.len()` bytes from the address.
pub fn read_bytes(address: usize, out: &mut [u8]) -> Result {
    if out.is_empty() {
        return Ok(());
    }
    plausible(address, out.len())?;
    if checked() {
        for (i, part) in out.chunks_mut(PART).enumerate() {
            let local = [iovec(part.as_mut_ptr() as usize, part.len())];
            if !through_kernel(&local, &[iovec(address + i * PART, part.len())], part.len(), false) {
                return Err(Error::INVALID_VALUE);
            }
        }
        return Ok(());
    }
    // SAFETY: the caller of the C API vouches for the range.
    unsafe { std::ptr::copy(address as *const u8, out.as_mut_ptr(), out.len()) };
    Ok(())
}

/// Copies the bytes to the address.
pub fn write_bytes(address: usize, bytes: &[u8]) -> Result {
    if bytes.is_empty() {
        return Ok(());
    }
    plausible(address, bytes.len())?;
    if checked() {
        for (i, part) in bytes.chunks(PART).enumerate() {
            let local = [iovec(part.as_ptr() as usize, part.len())];
            if !through_kernel(&local, &[iovec(address + i * PART, part.len())], part.len(), true) {
                return Err(Error::INVALID_VALUE);
            }
        }
        return Ok(());
    }
    // SAFETY: the caller of the C API vouches for the range.
    unsafe { std::ptr::copy(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    Ok(())
}

/// The value at a pointer.
pub fn get<T: Plain>(pointer: *const T) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the bytes of `value` are initialised, and it is `Plain`.
    let bytes = unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    read_bytes(pointer as usize, bytes)?;
    // SAFETY: as above.
    Ok(unsafe { value.assume_init() })
}

/// `count` values at a pointer.
pub fn get_all<T: Plain>(pointer: *const T, count: usize) -> Result<Vec<T>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let size = count.checked_mul(size_of::<T>()).ok_or(Error::INVALID_VALUE)?;
    // Before memory is allocated for what a wild count asks for.
    check_readable(pointer as usize, size)?;
    // SAFETY: zeroed `Plain` values.
    let mut values = vec![unsafe { MaybeUninit::<T>::zeroed().assume_init() }; count];
    // SAFETY: the bytes of initialised `Plain` values.
    let bytes = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), size) };
    read_bytes(pointer as usize, bytes)?;
    Ok(values)
}

/// Stores a value through an out-pointer.
pub fn put<T: Plain>(pointer: *mut T, value: T) -> Result {
    // SAFETY: a `Plain` value's bytes may be looked at.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const value).cast::<u8>(), size_of::<T>()) };
    write_bytes(pointer as usize, bytes)
}

/// Stores a value unless the out-pointer is null.
pub fn put_if<T: Plain>(pointer: *mut T, value: T) -> Result {
    if pointer.is_null() { Ok(()) } else { put(pointer, value) }
}

/// The bytes before the NUL at a pointer; at most `limit` of them.
pub fn get_string(pointer: *const i8, limit: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut address = pointer as usize;
    while out.len() < limit {
        let mut page = [0u8; PAGE];
        let part = &mut page[..PAGE - address % PAGE];
        read_bytes(address, part)?;
        if let Some(end) = part.iter().position(|&byte| byte == 0) {
            out.extend(&part[..end]);
            return Ok(out);
        }
        out.extend(&*part);
        address += part.len();
    }
    Err(Error::INVALID_VALUE)
}

/// A file name or symbol.
pub fn get_name(pointer: *const i8) -> Result<String> {
    String::from_utf8(get_string(pointer, 1 << 20)?).map_err(|_| Error::INVALID_VALUE)
}

/// Stores text and a NUL in a buffer of `capacity` bytes, cut if need be.
pub fn put_string(pointer: *mut i8, capacity: usize, text: &str) -> Result {
    if capacity == 0 {
        return Ok(());
    }
    let mut bytes = text.as_bytes()[..text.len().min(capacity - 1)].to_vec();
    bytes.push(0);
    write_bytes(pointer as usize, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_addresses_are_errors() {
        for address in [0usize, 1, 4095, 0x1234, 0x6000_0000_0000, usize::MAX - 3, 1 << 47] {
            assert_eq!(get(address as *const u64), Err(Error::INVALID_VALUE), "{address:#x}");
            assert_eq!(put(address as *mut u64, 1), Err(Error::INVALID_VALUE), "{address:#x}");
            assert_eq!(check_readable(address, 1 << 20), Err(Error::INVALID_VALUE), "{address:#x}");
        }
    }

    #[test]
    fn constants_cannot_be_written() {
        static CONSTANT: [u64; 2] = [1, 2];
        assert_eq!(get(&raw const CONSTANT[1]), Ok(2));
        assert_eq!(put((&raw const CONSTANT[1]).cast_mut(), 3), Err(Error::INVALID_VALUE));
    }

    #[test]
    fn strings_end_at_the_nul_and_across_pages() {
        let mut long = vec![b'x'; 3 * PAGE];
        long.push(0);
        assert_eq!(get_string(long.as_ptr().cast(), 1 << 20).unwrap().len(), 3 * PAGE);
        assert_eq!(get_string(long.as_ptr().cast(), 100), Err(Error::INVALID_VALUE));
        let mut out = [1i8; 4];
        put_string(out.as_mut_ptr(), 4, "abcdef").unwrap();
        assert_eq!(out.map(|c| c as u8), *b"abc\0");
    }

    #[test]
    fn every_page_of_a_range_is_probed() {
        let bytes = vec![0u8; 5 * PAGE];
        check_readable(bytes.as_ptr() as usize, bytes.len()).unwrap();
        // A reservation without access rights behind a readable page.
        // SAFETY: a fresh mapping.
        let map = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(std::ptr::null_mut(), 4 * PAGE, libc::PROT_READ, flags, -1, 0);
            libc::mprotect(map.cast::<u8>().add(2 * PAGE).cast(), PAGE, libc::PROT_NONE);
            map as usize
        };
        check_readable(map, 2 * PAGE).unwrap();
        assert_eq!(check_readable(map, 2 * PAGE + 1), Err(Error::INVALID_VALUE));
        assert_eq!(check_readable(map + 5, 4 * PAGE - 5), Err(Error::INVALID_VALUE));
    }
}
