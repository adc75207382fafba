//! Occupancy: how many blocks a multiprocessor holds, from threads, registers and shared memory.
//!
//! Registers are an estimate from the PTX, as ptxas is not here to say: see [`Function::registers`].

use crate::device::{
    BLOCKS_PER_SM, MULTIPROCESSORS, REGISTERS, SHARED_OPT_IN, SHARED_PER_SM, SHARED_RESERVED,
    THREADS_PER_BLOCK, THREADS_PER_SM,
};
use crate::driver::api;
use crate::error::{Error, Result};
use crate::function::{Function, function};
use crate::host::{get, put};
use crate::launch::LaunchOptions;
use crate::types::{BlockToShared, Handle, LaunchConfig};

/// Registers are given to warps in units of 256, to the four partitions of a multiprocessor separately.
const REGISTER_UNIT: u32 = 256;
const PARTITIONS: u32 = 4;
const SHARED_UNIT: u64 = 128;

/// Blocks that a multiprocessor holds at once; 0 if it cannot hold one.
pub fn blocks_per_multiprocessor(function: &Function, threads: u32, dynamic_shared: u64) -> u32 {
    let kernel = &function.function;
    blocks(
        kernel.max_threads(),
        function.registers(),
        kernel.static_shared() as u64 + dynamic_shared,
        threads,
    )
}

fn blocks(max_threads: u32, registers: u32, shared: u64, threads: u32) -> u32 {
    if threads == 0 || threads > max_threads || shared > SHARED_OPT_IN as u64 {
        return 0;
    }
    let warps = threads.div_ceil(32);
    let by_threads = THREADS_PER_SM / (32 * warps);
    let per_warp = (32 * registers).next_multiple_of(REGISTER_UNIT);
    let resident_warps = REGISTERS / PARTITIONS / per_warp * PARTITIONS;
    let by_registers = resident_warps / warps;
    let with_reserve = (shared + SHARED_RESERVED as u64).next_multiple_of(SHARED_UNIT);
    let by_shared = (SHARED_PER_SM as u64 / with_reserve) as u32;
    BLOCKS_PER_SM.min(by_threads).min(by_registers).min(by_shared)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    out: *mut i32,
    handle: Handle,
    threads: i32,
    shared: usize,
) -> i32 {
    api(|| {
        let function = function(handle)?;
        let threads = u32::try_from(threads).ok().filter(|n| *n > 0).ok_or(Error::INVALID_VALUE)?;
        put(out, blocks_per_multiprocessor(&function, threads, (shared as u64).min(1 << 40)) as i32)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    out: *mut i32,
    handle: Handle,
    threads: i32,
    shared: usize,
    flags: u32,
) -> i32 {
    if flags > 1 {
        return Error::INVALID_VALUE.0;
    }
    cuOccupancyMaxActiveBlocksPerMultiprocessor(out, handle, threads, shared)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    out: *mut usize,
    handle: Handle,
    count: i32,
    threads: i32,
) -> i32 {
    api(|| {
        let function = function(handle)?;
        let positive = |n: i32| u32::try_from(n).ok().filter(|n| *n > 0).ok_or(Error::INVALID_VALUE);
        let (count, threads) = (positive(count)?, positive(threads)?);
        if blocks_per_multiprocessor(&function, threads, 0) < count {
            return Err(Error::INVALID_VALUE);
        }
        let share = (SHARED_PER_SM / count) as u64 / SHARED_UNIT * SHARED_UNIT;
        let available = share.saturating_sub(SHARED_RESERVED as u64).min(SHARED_OPT_IN as u64);
        put(out, available.saturating_sub(function.function.static_shared() as u64) as usize)
    })
}

/// The block size with the most resident threads; the largest of several.
fn best_block(
    function: &Function,
    per_block: BlockToShared,
    shared: usize,
    limit: i32,
) -> Result<(u32, u32)> {
    let most = function.function.max_threads().min(THREADS_PER_BLOCK);
    let limit = match limit {
        0 => most,
        limit => u32::try_from(limit).map_err(|_| Error::INVALID_VALUE)?.min(most),
    };
    let (mut best, mut size) = ((0, 0), limit);
    while size > 0 {
        let shared = match per_block {
            // SAFETY: the program passed a function of this type.
            Some(shared) => unsafe { shared(size as i32) },
            None => shared,
        };
        let blocks = blocks_per_multiprocessor(function, size, (shared as u64).min(1 << 40));
        if blocks * size > best.0 * best.1 {
            best = (blocks, size);
        }
        size = if size.is_multiple_of(32) { size - 32 } else { size / 32 * 32 };
    }
    Ok(best)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: *mut i32,
    block: *mut i32,
    handle: Handle,
    per_block: BlockToShared,
    shared: usize,
    limit: i32,
) -> i32 {
    api(|| {
        let (blocks, size) = best_block(&*function(handle)?, per_block, shared, limit)?;
        put(grid, blocks as i32 * MULTIPROCESSORS)?;
        put(block, size as i32)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    grid: *mut i32,
    block: *mut i32,
    handle: Handle,
    per_block: BlockToShared,
    shared: usize,
    limit: i32,
    flags: u32,
) -> i32 {
    if flags > 1 {
        return Error::INVALID_VALUE.0;
    }
    cuOccupancyMaxPotentialBlockSize(grid, block, handle, per_block, shared, limit)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialClusterSize(
    out: *mut i32,
    handle: Handle,
    config: *const LaunchConfig,
) -> i32 {
    api(|| {
        let function = function(handle)?;
        let config = get(config)?;
        LaunchOptions::read(&config)?;
        let threads =
            config.block.iter().try_fold(1u32, |n, &d| n.checked_mul(d)).ok_or(Error::INVALID_VALUE)?;
        let size = match blocks_per_multiprocessor(&function, threads, config.shared_bytes as u64) {
            0 => 0,
            _ if function.non_portable_cluster() => 16,
            _ => 8,
        };
        put(out, size)
    })
}

/// An upper bound: how multiprocessors are grouped into GPCs differs from chip to chip and is not modelled.
#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveClusters(
    out: *mut i32,
    handle: Handle,
    config: *const LaunchConfig,
) -> i32 {
    api(|| {
        let function = function(handle)?;
        let config = get(config)?;
        let cluster = LaunchOptions::read(&config)?.cluster.or(function.required_cluster()).unwrap_or([1; 3]);
        let size = cluster.iter().try_fold(1u32, |n, &d| n.checked_mul(d)).ok_or(Error::INVALID_VALUE)?;
        let most = if function.non_portable_cluster() { 16 } else { 8 };
        if size == 0 || size > most {
            return Err(Error::INVALID_CLUSTER_SIZE);
        }
        let threads =
            config.block.iter().try_fold(1u32, |n, &d| n.checked_mul(d)).ok_or(Error::INVALID_VALUE)?;
        let blocks = blocks_per_multiprocessor(&function, threads, config.shared_bytes as u64);
        put(out, (blocks * MULTIPROCESSORS as u32 / size) as i32)
    })
}

#[cfg(test)]
mod tests {
    use super::blocks;

    /// Figures of NVIDIA's occupancy calculator for compute capability 9.0.
    #[test]
    fn blocks_follow_the_scarcest_resource() {
        assert_eq!(blocks(1024, 32, 0, 256), 8, "threads");
        assert_eq!(blocks(1024, 32, 0, 32), 32, "blocks");
        assert_eq!(blocks(1024, 64, 0, 1024), 1, "registers: 32 of 64 warps");
        assert_eq!(blocks(1024, 128, 0, 256), 2, "registers: 16 warps");
        assert_eq!(blocks(1024, 255, 0, 256), 1, "registers: 8 warps");
        assert_eq!(blocks(1024, 255, 0, 512), 0, "registers: too many");
        assert_eq!(blocks(1024, 32, 48 << 10, 128), 4, "shared: 49 of 228 KiB");
        assert_eq!(blocks(1024, 32, 227 << 10, 128), 1, "shared: all of it");
        assert_eq!(blocks(1024, 32, (227 << 10) + 1, 128), 0, "shared: too much");
        assert_eq!(blocks(256, 32, 0, 257), 0, "more threads than the kernel declares");
    }
}
