//! Stream memory operations: a stream writes a word, or waits until a word has a value.

use std::time::Duration;

use gpusim::Device;

use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::get_all;
use crate::op::Op;
use crate::stream;
use crate::types::Handle;

/// A wait or write.
#[derive(Clone, Copy, Debug)]
pub struct MemOp {
    address: u64,
    value: u64,
    wide: bool,
    /// The comparison of a wait: greater or equal (cyclic), equal, and, nor.
    compare: Option<u32>,
}

impl MemOp {
    /// Whether the operation is a wait that is not over yet.
    pub fn waits(&self) -> bool {
        self.compare.is_some() && !matches!(self.holds(&driver().device), Ok(true) | Err(_))
    }

    fn bytes(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    fn holds(&self, device: &Device) -> Result<bool> {
        let mut bytes = [0; 8];
        device.read(self.address, &mut bytes[..self.bytes()])?;
        let now = u64::from_le_bytes(bytes);
        Ok(match (self.compare, self.wide) {
            (Some(0), false) => (now as u32).wrapping_sub(self.value as u32) as i32 >= 0,
            (Some(0), true) => now.wrapping_sub(self.value) as i64 >= 0,
            (Some(1), _) => now == self.value,
            (Some(2), _) => now & self.value != 0,
            (_, false) => !(now | self.value) as u32 != 0,
            (_, true) => !(now | self.value) != 0,
        })
    }

    /// Executes it.
    pub fn run(&self, device: &Device) -> Result {
        if self.compare.is_none() {
            return Ok(device.write(self.address, &self.value.to_le_bytes()[..self.bytes()])?);
        }
        while !self.holds(device)? {
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}

fn submit(stream: Handle, address: u64, value: u64, wide: bool, compare: Option<u32>) -> Result {
    let stream = stream::resolve(stream)?;
    let op = MemOp { address, value, wide, compare };
    let bytes = op.bytes() as u64;
    let range = driver().device.range(address);
    match range {
        Some((base, size)) if address.is_multiple_of(bytes) && base + size - address >= bytes => {}
        _ => return Err(Error::INVALID_VALUE),
    }
    stream::submit(&stream, Op::Memory(op))
}

fn wait(stream: Handle, address: u64, value: u64, wide: bool, flags: u32) -> Result {
    // Bit 30 asks to flush remote writes, of which there are none.
    match flags & !(1 << 30) {
        compare @ 0..=3 => submit(stream, address, value, wide, Some(compare)),
        _ => Err(Error::INVALID_VALUE),
    }
}

fn write(stream: Handle, address: u64, value: u64, wide: bool, flags: u32) -> Result {
    if flags > 1 { Err(Error::INVALID_VALUE) } else { submit(stream, address, value, wide, None) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitValue32_v2(stream: Handle, address: u64, value: u32, flags: u32) -> i32 {
    api(|| wait(stream, address, value as u64, false, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitValue64_v2(stream: Handle, address: u64, value: u64, flags: u32) -> i32 {
    api(|| wait(stream, address, value, true, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWriteValue32_v2(stream: Handle, address: u64, value: u32, flags: u32) -> i32 {
    api(|| write(stream, address, value as u64, false, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWriteValue64_v2(stream: Handle, address: u64, value: u64, flags: u32) -> i32 {
    api(|| write(stream, address, value, true, flags))
}

/// The union of `CUstreamBatchMemOpParams` as 8-byte words: kind, address, value, flags.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBatchMemOp_v2(
    stream: Handle,
    count: u32,
    params: *const [u64; 6],
    flags: u32,
) -> i32 {
    api(|| {
        if count > 256 || flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        let words = get_all(params.cast::<u64>(), 6 * count as usize)?;
        for op in words.chunks_exact(6) {
            let (address, value, flags) = (op[1], op[2], op[3] as u32);
            match op[0] as u32 {
                1 => wait(stream, address, value & 0xffff_ffff, false, flags)?,
                2 => write(stream, address, value & 0xffff_ffff, false, flags)?,
                4 => wait(stream, address, value, true, flags)?,
                5 => write(stream, address, value, true, flags)?,
                // A flush of remote writes, and a barrier: everything is in order already.
                3 | 6 => {}
                _ => return Err(Error::INVALID_VALUE),
            }
        }
        Ok(())
    })
}
