//! Copies and fills as operations: boxes of bytes between host and device.

use gpusim::Device;

use crate::device::MAX_PITCH;
use crate::driver::driver;
use crate::error::{Error, Result};
use crate::host;
use crate::types::{Memcpy2D, Memcpy3D, MemsetNodeParams};

/// Where bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Memory of the process.
    Host(usize),
    /// An address of the device, which may be host memory that the device knows.
    Device(u64),
}

/// An address of which only the copy's direction is unknown: device memory if the device knows it, else host memory.
pub fn unified(address: u64) -> Place {
    match driver().device.range(address) {
        Some(_) => Place::Device(address),
        None => Place::Host(address as usize),
    }
}

/// One side of a copy.
#[derive(Clone, Copy, Debug)]
struct Side {
    place: Place,
    offset: u64,
    row: u64,
    slice: u64,
}

/// A copy.
#[derive(Clone, Debug)]
pub struct Copy {
    src: Side,
    dst: Side,
    width: u64,
    height: u64,
    depth: u64,
    /// What the program passed, for the calls that return it.
    pub params: Memcpy3D,
}

const HOST: i32 = 1;
const DEVICE: i32 = 2;
const ARRAY: i32 = 3;
const UNIFIED: i32 = 4;

fn side(
    kind: i32,
    host: usize,
    device: u64,
    at: [usize; 3],
    pitch: usize,
    height: usize,
    extent: [usize; 3],
) -> Result<Side> {
    let place = match kind {
        HOST => unified_host(host),
        DEVICE => Place::Device(device),
        UNIFIED => unified(device),
        ARRAY => return Err(Error::NOT_SUPPORTED),
        _ => return Err(Error::INVALID_VALUE),
    };
    let end = at[0].checked_add(extent[0]).ok_or(Error::INVALID_VALUE)?;
    let row = if pitch == 0 { end } else { pitch };
    if row < end || pitch > MAX_PITCH {
        return Err(Error::INVALID_VALUE);
    }
    let rows = at[1].checked_add(extent[1]).ok_or(Error::INVALID_VALUE)?;
    // The height of a slice matters only where there is a second one.
    if height != 0 && height < rows && extent[2] > 1 {
        return Err(Error::INVALID_VALUE);
    }
    let rows = if height == 0 { rows } else { height };
    let multiply = |a: usize, b: usize| a.checked_mul(b).ok_or(Error::INVALID_VALUE);
    let slice = multiply(row, rows)?;
    let offset =
        at[0].checked_add(multiply(at[1], row)?).and_then(|n| n.checked_add(at[2].checked_mul(slice)?));
    // The whole box must be addressable, so that the arithmetic below cannot overflow.
    let last =
        offset.and_then(|n| n.checked_add(slice.checked_mul(extent[2])?)).ok_or(Error::INVALID_VALUE)?;
    if last > 1 << 47 {
        return Err(Error::INVALID_VALUE);
    }
    Ok(Side { place, offset: offset.unwrap_or(0) as u64, row: row as u64, slice: slice as u64 })
}

/// With unified addressing a "host" pointer may be a device address.
fn unified_host(address: usize) -> Place {
    unified(address as u64)
}

impl Copy {
    /// A box, checked as far as its shape goes.
    pub fn from_3d(params: &Memcpy3D) -> Result<Copy> {
        let p = params;
        let extent = [p.width, p.height, p.depth];
        if p.src_lod != 0 || p.dst_lod != 0 {
            return Err(Error::INVALID_VALUE);
        }
        let src = [p.src_x, p.src_y, p.src_z];
        let dst = [p.dst_x, p.dst_y, p.dst_z];
        Ok(Copy {
            src: side(p.src_type, p.src_host, p.src_device, src, p.src_pitch, p.src_height, extent)?,
            dst: side(p.dst_type, p.dst_host, p.dst_device, dst, p.dst_pitch, p.dst_height, extent)?,
            width: p.width as u64,
            height: p.height as u64,
            depth: p.depth as u64,
            params: *p,
        })
    }

    /// A rectangle.
    pub fn from_2d(p: &Memcpy2D) -> Result<Copy> {
        Copy::from_3d(&Memcpy3D {
            src_x: p.src_x,
            src_y: p.src_y,
            src_z: 0,
            src_lod: 0,
            src_type: p.src_type,
            src_host: p.src_host,
            src_device: p.src_device,
            src_array: p.src_array,
            src_context: 0,
            src_pitch: p.src_pitch,
            src_height: 0,
            dst_x: p.dst_x,
            dst_y: p.dst_y,
            dst_z: 0,
            dst_lod: 0,
            dst_type: p.dst_type,
            dst_host: p.dst_host,
            dst_device: p.dst_device,
            dst_array: p.dst_array,
            dst_context: 0,
            dst_pitch: p.dst_pitch,
            dst_height: 0,
            width: p.width,
            height: p.height,
            depth: 1,
        })
    }

    /// A run of bytes.
    pub fn linear(dst: Place, src: Place, bytes: usize) -> Result<Copy> {
        let (dst_type, dst_host, dst_device) = match dst {
            Place::Host(address) => (HOST, address, 0),
            Place::Device(address) => (DEVICE, 0, address),
        };
        let (src_type, src_host, src_device) = match src {
            Place::Host(address) => (HOST, address, 0),
            Place::Device(address) => (DEVICE, 0, address),
        };
        Copy::from_3d(&Memcpy3D {
            src_x: 0,
            src_y: 0,
            src_z: 0,
            src_lod: 0,
            src_type,
            src_host,
            src_device,
            src_array: 0,
            src_context: 0,
            src_pitch: 0,
            src_height: 0,
            dst_x: 0,
            dst_y: 0,
            dst_z: 0,
            dst_lod: 0,
            dst_type,
            dst_host,
            dst_device,
            dst_array: 0,
            dst_context: 0,
            dst_pitch: 0,
            dst_height: 0,
            width: bytes,
            height: 1,
            depth: 1,
        })
    }

    /// The kinds of memory it goes between; an instantiated graph cannot change them.
    pub fn kind(&self) -> (bool, bool) {
        (matches!(self.src.place, Place::Device(_)), matches!(self.dst.place, Place::Device(_)))
    }

    fn is_empty(&self) -> bool {
        self.width == 0 || self.height == 0 || self.depth == 0
    }

    /// Checks both sides before the first byte moves.
    pub fn check(&self) -> Result {
        if self.is_empty() {
            return Ok(());
        }
        for (side, is_source) in [(&self.src, true), (&self.dst, false)] {
            let last = (self.depth - 1) * side.slice + (self.height - 1) * side.row + self.width;
            match side.place {
                Place::Device(address) => {
                    let device = &driver().device;
                    let start = address.checked_add(side.offset).ok_or(Error::INVALID_VALUE)?;
                    let (base, bytes) = device.range(start).ok_or(Error::INVALID_VALUE)?;
                    if last > bytes - (start - base) {
                        return Err(Error::INVALID_VALUE);
                    }
                }
                Place::Host(address) if is_source => {
                    let start = address.checked_add(side.offset as usize).ok_or(Error::INVALID_VALUE)?;
                    host::check_readable(start, last as usize)?;
                }
                // Writing is checked by the write itself; a null pointer need not wait for it.
                Place::Host(address) if address < 1 << 16 => return Err(Error::INVALID_VALUE),
                Place::Host(_) => {}
            }
        }
        Ok(())
    }

    /// Moves the bytes.
    pub fn run(&self) -> Result {
        self.check()?;
        if self.is_empty() {
            return Ok(());
        }
        let device = &driver().device;
        let dense = |side: &Side| side.row == self.width || self.height == 1;
        let (mut width, mut height, mut depth) = (self.width, self.height, self.depth);
        if dense(&self.src) && dense(&self.dst) {
            (width, height) = (width * height, 1);
            if depth > 1 && self.src.slice == width && self.dst.slice == width {
                (width, depth) = (width * depth, 1);
            }
        }
        for z in 0..depth {
            for y in 0..height {
                let at = |side: &Side| side.offset + z * side.slice + y * side.row;
                self.row(device, at(&self.dst), at(&self.src), width)?;
            }
        }
        Ok(())
    }

    fn row(&self, device: &Device, to: u64, from: u64, bytes: u64) -> Result {
        match (self.dst.place, self.src.place) {
            (Place::Device(dst), Place::Device(src)) => device.copy(dst + to, src + from, bytes)?,
            (Place::Device(dst), Place::Host(src)) => {
                let from = (src as u64 + from) as *const u8;
                // SAFETY: `check` has seen every page of the range, and the program vouches that it stays.
                let slice = unsafe { std::slice::from_raw_parts(from, bytes as usize) };
                device.write(dst + to, slice)?;
            }
            (Place::Host(dst), Place::Device(src)) => {
                // In parts, through a buffer: the kernel checks the destination while it is written.
                let mut buffer = vec![0; bytes.min(8 << 20) as usize];
                let mut done = 0;
                while done < bytes {
                    let part = &mut buffer[..(bytes - done).min(8 << 20) as usize];
                    device.read(src + from + done, part)?;
                    host::write_bytes(dst + (to + done) as usize, part)?;
                    done += part.len() as u64;
                }
            }
            (Place::Host(dst), Place::Host(src)) => {
                let from = (src as u64 + from) as *const u8;
                // SAFETY: as above.
                let slice = unsafe { std::slice::from_raw_parts(from, bytes as usize) };
                // Through a buffer, since the ranges may overlap.
                let mut buffer = Vec::new();
                buffer.try_reserve_exact(slice.len()).map_err(|_| Error::OUT_OF_MEMORY)?;
                buffer.extend_from_slice(slice);
                host::write_bytes(dst + to as usize, &buffer)?;
            }
        }
        Ok(())
    }
}

/// A fill of rows with a repeated element.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    pub params: MemsetNodeParams,
}

impl Fill {
    /// A fill whose shape is checked.
    pub fn new(params: MemsetNodeParams) -> Result<Fill> {
        let p = &params;
        let bytes = p.width.checked_mul(p.element_size as usize).ok_or(Error::INVALID_VALUE)?;
        let aligned = match p.element_size {
            1 | 2 | 4 => {
                p.dst.is_multiple_of(p.element_size as u64)
                    && (p.height <= 1 || p.pitch.is_multiple_of(p.element_size as usize))
            }
            _ => false,
        };
        if !aligned || p.height > 1 && p.pitch < bytes {
            return Err(Error::INVALID_VALUE);
        }
        Ok(Fill { params })
    }

    /// Checks that the whole area is one allocation's.
    pub fn check(&self) -> Result {
        let p = &self.params;
        let row = p.width as u64 * p.element_size as u64;
        if row == 0 || p.height == 0 {
            return Ok(());
        }
        let last = (p.height as u64 - 1).checked_mul(p.pitch as u64).and_then(|n| n.checked_add(row));
        let (base, bytes) = driver().device.range(p.dst).ok_or(Error::INVALID_VALUE)?;
        match last {
            Some(last) if last <= bytes - (p.dst - base) => Ok(()),
            _ => Err(Error::INVALID_VALUE),
        }
    }

    /// Fills.
    pub fn run(&self) -> Result {
        self.check()?;
        let p = &self.params;
        let pattern = p.value.to_le_bytes();
        let pattern = &pattern[..p.element_size as usize];
        if p.width == 0 {
            return Ok(());
        }
        for y in 0..p.height as u64 {
            driver().device.fill(p.dst + y * p.pitch as u64, pattern, p.width as u64)?;
        }
        Ok(())
    }
}
