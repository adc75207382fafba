//! `cuda.h`'s structures. Enumerations are `i32`, because a caller may pass any number; handles are `usize`.

use crate::host::plain;

/// A context, stream, event, module … : see [`crate::registry`].
pub type Handle = usize;
/// `CUhostFn`; null is `None`.
pub type HostFn = Option<unsafe extern "C" fn(usize)>;
/// `CUstreamCallback`.
pub type StreamCallback = Option<unsafe extern "C" fn(Handle, i32, usize)>;
/// `CUoccupancyB2DSize`.
pub type BlockToShared = Option<unsafe extern "C" fn(i32) -> usize>;

macro_rules! structs {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => { $(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name { $(pub $field: $type),* }
        plain!($name);
    )* };
}

structs! {
    /// `CUDA_MEMCPY2D`.
    Memcpy2D {
        src_x: usize, src_y: usize, src_type: i32, src_host: usize, src_device: u64, src_array: usize, src_pitch: usize,
        dst_x: usize, dst_y: usize, dst_type: i32, dst_host: usize, dst_device: u64, dst_array: usize, dst_pitch: usize,
        width: usize, height: usize,
    }
    /// `CUDA_MEMCPY3D` and `CUDA_MEMCPY3D_PEER`: the reserved words are the contexts of the latter.
    Memcpy3D {
        src_x: usize, src_y: usize, src_z: usize, src_lod: usize, src_type: i32, src_host: usize, src_device: u64,
        src_array: usize, src_context: usize, src_pitch: usize, src_height: usize,
        dst_x: usize, dst_y: usize, dst_z: usize, dst_lod: usize, dst_type: i32, dst_host: usize, dst_device: u64,
        dst_array: usize, dst_context: usize, dst_pitch: usize, dst_height: usize,
        width: usize, height: usize, depth: usize,
    }
    /// `CUDA_KERNEL_NODE_PARAMS_v1`.
    KernelNodeParamsV1 {
        function: Handle, grid: [u32; 3], block: [u32; 3], shared_bytes: u32, kernel_params: usize, extra: usize,
    }
    /// `CUDA_KERNEL_NODE_PARAMS_v2`.
    KernelNodeParams {
        function: Handle, grid: [u32; 3], block: [u32; 3], shared_bytes: u32, kernel_params: usize, extra: usize,
        kernel: Handle, context: Handle,
    }
    /// `CUDA_MEMSET_NODE_PARAMS_v1`.
    MemsetNodeParams { dst: u64, pitch: usize, value: u32, element_size: u32, width: usize, height: usize }
    /// `CUDA_HOST_NODE_PARAMS_v1`.
    HostNodeParams { function: usize, data: usize }
    /// `CUmemLocation`.
    MemLocation { kind: i32, id: i32 }
    /// `CUmemPoolProps`.
    MemPoolProps {
        kind: i32, handle_types: i32, location: MemLocation, security: usize, max_size: usize, usage: u16,
        reserved: [u8; 54],
    }
    /// `CUDA_MEM_ALLOC_NODE_PARAMS_v1`.
    MemAllocNodeParams {
        pool: MemPoolProps, access: usize, access_count: usize, bytes: usize, pointer: u64,
    }
    /// `CUmemAccessDesc`.
    MemAccessDesc { location: MemLocation, flags: i32 }
    /// `CUmemAllocationProp`.
    MemAllocationProp {
        kind: i32, handle_types: i32, location: MemLocation, metadata: usize, flags: [u8; 8],
    }
    /// `CUlaunchConfig`.
    LaunchConfig {
        grid: [u32; 3], block: [u32; 3], shared_bytes: u32, stream: Handle, attributes: usize, attribute_count: u32,
    }
    /// `CUlaunchAttribute`.
    LaunchAttribute { id: i32, pad: i32, value: [u32; 16] }
    /// `CUgraphExecUpdateResultInfo`.
    ExecUpdateResult { result: i32, error_node: Handle, error_from_node: Handle }
    /// `CUDA_GRAPH_INSTANTIATE_PARAMS`.
    InstantiateParams { flags: u64, upload_stream: Handle, error_node: Handle, result: i32 }
    /// `CUgraphEdgeData`.
    EdgeData { bytes: [u8; 8] }
    /// `CUgraphNodeParams`: the union is looked at as 232 bytes of 8-byte words.
    GraphNodeParams { kind: i32, reserved: [i32; 3], union: [u64; 29], reserved2: u64 }
    /// `CUdevprop`.
    DeviceProperties {
        max_threads: i32, max_block: [i32; 3], max_grid: [i32; 3], shared: i32, constant: i32, warp: i32, pitch: i32,
        registers: i32, clock: i32, texture_alignment: i32,
    }
    /// `CUuuid`.
    Uuid { bytes: [u8; 16] }
    /// `CUexecAffinityParam` of type SM count.
    ExecAffinity { kind: i32, sm_count: u32 }
    /// `CUtensorMap`.
    TensorMapBytes { bytes: [u8; 128] }
    /// `CUstreamAttrValue` and `CUkernelNodeAttrValue`.
    AttributeValue { words: [u32; 16] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    /// Sizes that `sizeof` gives with CUDA 13's header on x86-64 Linux.
    #[test]
    fn the_structures_have_the_size_of_the_header() {
        assert_eq!(size_of::<Memcpy2D>(), 128);
        assert_eq!(size_of::<Memcpy3D>(), 200);
        assert_eq!(size_of::<KernelNodeParamsV1>(), 56);
        assert_eq!(size_of::<KernelNodeParams>(), 72);
        assert_eq!(size_of::<MemsetNodeParams>(), 40);
        assert_eq!(size_of::<MemPoolProps>(), 88);
        assert_eq!(size_of::<MemAllocNodeParams>(), 120);
        assert_eq!(size_of::<MemAllocationProp>(), 32);
        assert_eq!(size_of::<LaunchConfig>(), 56);
        assert_eq!(size_of::<LaunchAttribute>(), 72);
        assert_eq!(size_of::<GraphNodeParams>(), 256);
        assert_eq!(size_of::<InstantiateParams>(), 32);
    }
}
