//! Device queries: one H100 SXM5.

use crate::driver::{api, api_uninitialized, driver};
use crate::error::{Error, Result};
use crate::host::{get_name, put, put_string};
use crate::machine::accepted;
use crate::types::{DeviceProperties, Uuid};

/// Streaming multiprocessors.
pub const MULTIPROCESSORS: i32 = 132;
/// Shared memory that a block may have after opting in.
pub const SHARED_OPT_IN: u32 = 227 << 10;
/// Shared memory that a block may have without.
pub const SHARED_DEFAULT: u32 = 48 << 10;
/// Shared memory of a multiprocessor.
pub const SHARED_PER_SM: u32 = 228 << 10;
/// Shared memory that the system keeps of each block.
pub const SHARED_RESERVED: u32 = 1 << 10;
/// 32-bit registers of a multiprocessor, and of a block.
pub const REGISTERS: u32 = 64 << 10;
/// Threads of a multiprocessor.
pub const THREADS_PER_SM: u32 = 2048;
/// Blocks of a multiprocessor.
pub const BLOCKS_PER_SM: u32 = 32;
/// Threads of a block.
pub const THREADS_PER_BLOCK: u32 = 1024;
/// Largest grid.
pub const MAX_GRID: [u32; 3] = [i32::MAX as u32, 65535, 65535];
/// Largest pitch of a copy.
pub const MAX_PITCH: usize = i32::MAX as usize;
/// Largest block.
pub const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];

/// Nobody is to take this for a GPU: what a program prints under this name was simulated.
const NAME: &str = "Simulated H100 (gpusim)";
const BUS_ID: &str = "0000:01:00.0";
const UUID: [u8; 16] = *b"GPU-simulated-90";

/// Fails unless `device` is the one device.
pub fn check_device(device: i32) -> Result {
    if device == 0 { Ok(()) } else { Err(Error::INVALID_DEVICE) }
}

/// Attributes by number. Zero, "no", is also the answer for what the simulator does not have although an H100 does:
/// arrays and textures' sizes are given, since programs read them, but interprocess and graphics features are not.
fn attribute(number: i32) -> Option<i32> {
    Some(match number {
        1 => THREADS_PER_BLOCK as i32,
        2..=4 => MAX_BLOCK[number as usize - 2] as i32,
        5..=7 => MAX_GRID[number as usize - 5] as i32,
        8 => SHARED_DEFAULT as i32,
        9 => 65536, // constant memory
        10 => 32,   // warp size
        11 => MAX_PITCH as i32,
        12 => REGISTERS as i32,
        13 => 1_980_000, // nominal kHz; nothing here runs at it
        14 => 512,       // texture alignment
        15 => 1,         // copies overlap with kernels
        16 => MULTIPROCESSORS,
        17 | 18 => 0, // execution timeout, integrated
        19 => 1,      // maps host memory
        20 => 0,      // default compute mode
        21 => 131_072,
        22 => 131_072,
        23 => 65_536,
        24..=26 => 16_384,
        27 | 28 => 32_768,
        29 => 2048,
        30 => 512,       // surface alignment
        31 => 1,         // concurrent kernels
        32 => 1,         // ECC
        33 => 1,         // PCI bus
        34 | 35 => 0,    // PCI device, TCC
        36 => 2_619_000, // nominal memory clock, kHz
        37 => 5120,      // bus width
        38 => 50 << 20,  // L2
        39 => THREADS_PER_SM as i32,
        40 => 3, // copy engines
        41 => 1, // unified addressing
        42 => 32_768,
        43 => 2048,
        44 => 1,
        45 | 46 => 32_768,
        47..=49 => match number {
            49 => 32_768,
            _ => 8192,
        },
        50 => 0,  // PCI domain
        51 => 32, // texture pitch alignment
        52 | 53 => 32_768,
        54 => 2046,
        55 => 32_768,
        56 => 131_072,
        57 => 65_536,
        58..=60 => 16_384,
        61 | 63 | 64 | 66 | 67 => 32_768,
        62 | 65 => 2048,
        68 => 2046,
        69 => 268_435_456,
        70 => 131_072,
        71 => 65_000,
        72 => 2_097_120,
        73 | 74 => 32_768,
        75 => accepted().sm as i32 / 10, // compute capability
        76 => accepted().sm as i32 % 10,
        77 => 32_768,
        78..=80 => 1, // stream priorities, L1 caches
        81 => SHARED_PER_SM as i32,
        82 => REGISTERS as i32,
        83 => 1,      // managed memory
        84 | 85 => 0, // multi-GPU board
        86 => 0,      // native host atomics
        87 => 2,      // f32 : f64 rate
        88 => 0,      // pageable memory access
        89..=91 => 1, // concurrent managed access, preemption, registered host pointers
        92..=94 => 1, // stream memory operations (old numbers)
        95 => 1,      // cooperative launch
        96 => 0,      // … on several devices
        97 => SHARED_OPT_IN as i32,
        98 => 1,
        99 => 1, // host registration
        100 | 101 => 0,
        102 => 1,       // virtual memory management
        103..=105 => 0, // shareable handles
        106 => BLOCKS_PER_SM as i32,
        107 => 0,         // compressible memory
        108 => 32 << 20,  // persisting L2
        109 => 128 << 20, // access policy window
        110 => 0,
        111 => SHARED_RESERVED as i32,
        112 => 0, // sparse arrays
        113 => 1, // read-only registration
        114 => 0,
        115 => 1, // memory pools
        116..=119 => 0,
        120 => 1, // cluster launch
        121 => 0,
        122 | 123 => 1, // stream memory operations
        124 | 125 => 0,
        126 => 4, // memory synchronisation domains
        127 => 1, // tensor maps
        128 => 0,
        129 => 1, // unified function pointers
        130 => 0,
        131 => -1, // NUMA node
        132 | 133 => 0,
        134 => 0,
        135..=138 => 0,
        139 => 0x2330_10de,
        140 => 0x16c1_10de,
        141..=148 => 0,
        _ => return None,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: *mut i32) -> i32 {
    api_uninitialized(|| put(version, accepted().version))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: *mut i32, ordinal: i32) -> i32 {
    api(|| check_device(ordinal).and_then(|_| put(device, 0)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: *mut i32) -> i32 {
    api(|| put(count, 1))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: *mut i8, length: i32, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        put_string(name, usize::try_from(length).map_err(|_| Error::INVALID_VALUE)?, NAME)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid(uuid: *mut Uuid, device: i32) -> i32 {
    api(|| check_device(device).and_then(|_| put(uuid, Uuid { bytes: UUID })))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid_v2(uuid: *mut Uuid, device: i32) -> i32 {
    cuDeviceGetUuid(uuid, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, device: i32) -> i32 {
    api(|| check_device(device).and_then(|_| put(bytes, driver().device.memory_info().1 as usize)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: *mut i32, number: i32, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        put(value, attribute(number).ok_or(Error::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceComputeCapability(major: *mut i32, minor: *mut i32, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        put(major, accepted().sm as i32 / 10)?;
        put(minor, accepted().sm as i32 % 10)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetProperties(out: *mut DeviceProperties, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        let properties = DeviceProperties {
            max_threads: THREADS_PER_BLOCK as i32,
            max_block: MAX_BLOCK.map(|n| n as i32),
            max_grid: MAX_GRID.map(|n| n as i32),
            shared: SHARED_DEFAULT as i32,
            constant: 65536,
            warp: 32,
            pitch: MAX_PITCH as i32,
            registers: REGISTERS as i32,
            clock: attribute(13).unwrap_or(0),
            texture_alignment: 512,
        };
        put(out, properties)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetPCIBusId(id: *mut i8, length: i32, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        put_string(id, usize::try_from(length).map_err(|_| Error::INVALID_VALUE)?, BUS_ID)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetByPCIBusId(device: *mut i32, id: *const i8) -> i32 {
    api(|| {
        let id = get_name(id)?.to_lowercase();
        let known = [BUS_ID, "0000:01:00", "01:00.0", "01:00", "0000:1:0.0", "1:0.0"];
        if known.contains(&id.as_str()) { put(device, 0) } else { Err(Error::INVALID_DEVICE) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceCanAccessPeer(value: *mut i32, device: i32, peer: i32) -> i32 {
    api(|| {
        check_device(device)?;
        check_device(peer)?;
        put(value, 0)
    })
}

/// With one device there is no pair of different devices.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetP2PAttribute(value: *mut i32, number: i32, source: i32, target: i32) -> i32 {
    api(|| {
        let _ = (value, number);
        check_device(source)?;
        check_device(target)?;
        Err(Error::INVALID_DEVICE)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetExecAffinitySupport(value: *mut i32, kind: i32, device: i32) -> i32 {
    api(|| {
        check_device(device)?;
        if kind == 0 { put(value, 0) } else { Err(Error::INVALID_VALUE) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetHostAtomicCapabilities(
    out: *mut u32,
    operations: *const i32,
    count: u32,
    device: i32,
) -> i32 {
    api(|| {
        check_device(device)?;
        let _ = crate::host::get_all(operations, count as usize)?;
        (0..count as usize).try_for_each(|i| put(out.wrapping_add(i), 0))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFlushGPUDirectRDMAWrites(target: i32, scope: i32) -> i32 {
    api(|| if target == 0 && [100, 200].contains(&scope) { Ok(()) } else { Err(Error::INVALID_VALUE) })
}

#[cfg(test)]
mod tests {
    use super::attribute;

    #[test]
    fn every_attribute_of_the_header_has_a_value() {
        assert!((1..=148).all(|number| attribute(number).is_some()));
        assert_eq!(attribute(0), None);
        assert_eq!(attribute(149), None);
    }

    #[test]
    fn the_device_is_an_h100() {
        assert_eq!((attribute(75), attribute(76)), (Some(9), Some(0)));
        assert_eq!(attribute(16), Some(132));
        assert_eq!(attribute(97), Some(232_448));
        assert_eq!(attribute(81), Some(233_472));
    }
}
