//! CUDA's error codes, their names and strings, and how the simulator's errors map to them.

use gpusim::{LaunchError, LoadError, MemoryError};

/// A `CUresult` other than `CUDA_SUCCESS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub i32);

/// What the implementation of an API function returns.
pub type Result<T = ()> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($code:literal $name:ident $text:literal)*) => {
        #[allow(dead_code)]
        impl Error {
            $(pub const $name: Error = Error($code);)*
        }

        /// Code, name and string, both NUL-terminated.
        const TABLE: &[(i32, &str, &str)] = &[
            (0, "CUDA_SUCCESS\0", "no error\0"),
            $(($code, concat!("CUDA_ERROR_", stringify!($name), "\0"), concat!($text, "\0")),)*
        ];
    };
}

codes! {
    1 INVALID_VALUE "invalid argument"
    2 OUT_OF_MEMORY "out of memory"
    3 NOT_INITIALIZED "initialization error"
    4 DEINITIALIZED "driver shutting down"
    5 PROFILER_DISABLED "profiler disabled"
    6 PROFILER_NOT_INITIALIZED "profiler not initialized"
    7 PROFILER_ALREADY_STARTED "profiler already started"
    8 PROFILER_ALREADY_STOPPED "profiler already stopped"
    34 STUB_LIBRARY "stub library"
    36 CALL_REQUIRES_NEWER_DRIVER "API call is not supported in the installed CUDA driver"
    46 DEVICE_UNAVAILABLE "device unavailable"
    100 NO_DEVICE "no CUDA-capable device is detected"
    101 INVALID_DEVICE "invalid device ordinal"
    102 DEVICE_NOT_LICENSED "device not licensed"
    200 INVALID_IMAGE "device kernel image is invalid"
    201 INVALID_CONTEXT "invalid device context"
    202 CONTEXT_ALREADY_CURRENT "context already current"
    205 MAP_FAILED "map failed"
    206 UNMAP_FAILED "unmap failed"
    207 ARRAY_IS_MAPPED "array is mapped"
    208 ALREADY_MAPPED "already mapped"
    209 NO_BINARY_FOR_GPU "no kernel image is available for execution on the device"
    210 ALREADY_ACQUIRED "already acquired"
    211 NOT_MAPPED "not mapped"
    212 NOT_MAPPED_AS_ARRAY "not mapped as array"
    213 NOT_MAPPED_AS_POINTER "not mapped as pointer"
    214 ECC_UNCORRECTABLE "ecc uncorrectable"
    215 UNSUPPORTED_LIMIT "limit is not supported on this architecture"
    216 CONTEXT_ALREADY_IN_USE "context already in use"
    217 PEER_ACCESS_UNSUPPORTED "peer access is not supported between these two devices"
    218 INVALID_PTX "a PTX JIT compilation failed"
    219 INVALID_GRAPHICS_CONTEXT "invalid graphics context"
    220 NVLINK_UNCORRECTABLE "nvlink uncorrectable"
    221 JIT_COMPILER_NOT_FOUND "jit compiler not found"
    222 UNSUPPORTED_PTX_VERSION "the provided PTX was compiled with an unsupported toolchain."
    223 JIT_COMPILATION_DISABLED "jit compilation disabled"
    224 UNSUPPORTED_EXEC_AFFINITY "unsupported exec affinity"
    225 UNSUPPORTED_DEVSIDE_SYNC "unsupported devside sync"
    226 CONTAINED "contained"
    300 INVALID_SOURCE "invalid source"
    301 FILE_NOT_FOUND "file not found"
    302 SHARED_OBJECT_SYMBOL_NOT_FOUND "shared object symbol not found"
    303 SHARED_OBJECT_INIT_FAILED "shared object init failed"
    304 OPERATING_SYSTEM "operating system"
    400 INVALID_HANDLE "invalid resource handle"
    401 ILLEGAL_STATE "the operation cannot be performed in the present state"
    402 LOSSY_QUERY "lossy query"
    500 NOT_FOUND "named symbol not found"
    600 NOT_READY "device not ready"
    700 ILLEGAL_ADDRESS "an illegal memory access was encountered"
    701 LAUNCH_OUT_OF_RESOURCES "too many resources requested for launch"
    702 LAUNCH_TIMEOUT "the launch timed out and was terminated"
    703 LAUNCH_INCOMPATIBLE_TEXTURING "launch incompatible texturing"
    704 PEER_ACCESS_ALREADY_ENABLED "peer access is already enabled"
    705 PEER_ACCESS_NOT_ENABLED "peer access has not been enabled"
    708 PRIMARY_CONTEXT_ACTIVE "cannot set while device is active in this process"
    709 CONTEXT_IS_DESTROYED "context is destroyed"
    710 ASSERT "device-side assert triggered"
    711 TOO_MANY_PEERS "too many peers"
    712 HOST_MEMORY_ALREADY_REGISTERED "part or all of the requested memory range is already mapped"
    713 HOST_MEMORY_NOT_REGISTERED "pointer does not correspond to a registered memory region"
    714 HARDWARE_STACK_ERROR "hardware stack error"
    715 ILLEGAL_INSTRUCTION "an illegal instruction was encountered"
    716 MISALIGNED_ADDRESS "misaligned address"
    717 INVALID_ADDRESS_SPACE "invalid address space"
    718 INVALID_PC "invalid pc"
    719 LAUNCH_FAILED "unspecified launch failure"
    720 COOPERATIVE_LAUNCH_TOO_LARGE "too many blocks in cooperative launch"
    721 TENSOR_MEMORY_LEAK "tensor memory leak"
    800 NOT_PERMITTED "operation not permitted"
    801 NOT_SUPPORTED "operation not supported"
    802 SYSTEM_NOT_READY "system not ready"
    803 SYSTEM_DRIVER_MISMATCH "system driver mismatch"
    804 COMPAT_NOT_SUPPORTED_ON_DEVICE "compat not supported on device"
    805 MPS_CONNECTION_FAILED "mps connection failed"
    806 MPS_RPC_FAILURE "mps rpc failure"
    807 MPS_SERVER_NOT_READY "mps server not ready"
    808 MPS_MAX_CLIENTS_REACHED "mps max clients reached"
    809 MPS_MAX_CONNECTIONS_REACHED "mps max connections reached"
    810 MPS_CLIENT_TERMINATED "mps client terminated"
    811 CDP_NOT_SUPPORTED "cdp not supported"
    812 CDP_VERSION_MISMATCH "cdp version mismatch"
    900 STREAM_CAPTURE_UNSUPPORTED "operation not permitted when stream is capturing"
    901 STREAM_CAPTURE_INVALIDATED "operation failed due to a previous error during capture"
    902 STREAM_CAPTURE_MERGE "operation would result in a merge of separate capture sequences"
    903 STREAM_CAPTURE_UNMATCHED "capture was not ended in the same stream as it began"
    904 STREAM_CAPTURE_UNJOINED "capturing stream has unjoined work"
    905 STREAM_CAPTURE_ISOLATION "dependency created on uncaptured work in another stream"
    906 STREAM_CAPTURE_IMPLICIT "operation would make the legacy stream depend on a capturing blocking stream"
    907 CAPTURED_EVENT "operation not permitted on an event last recorded in a capturing stream"
    908 STREAM_CAPTURE_WRONG_THREAD "attempt to terminate a thread-local capture sequence from another thread"
    909 TIMEOUT "timeout"
    910 GRAPH_EXEC_UPDATE_FAILURE "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update"
    911 EXTERNAL_DEVICE "external device"
    912 INVALID_CLUSTER_SIZE "cluster target block exceeds the available hardware resources or a misconfiguration of the cluster size"
    913 FUNCTION_NOT_LOADED "function not loaded"
    914 INVALID_RESOURCE_TYPE "invalid resource type"
    915 INVALID_RESOURCE_CONFIGURATION "invalid resource configuration"
    916 KEY_ROTATION "key rotation"
    917 STREAM_DETACHED "stream detached"
    999 UNKNOWN "unknown error"
}

/// NUL-terminated name and string of a code.
pub fn describe(code: i32) -> Option<(&'static str, &'static str)> {
    let at = TABLE.binary_search_by_key(&code, |row| row.0).ok()?;
    Some((TABLE[at].1, TABLE[at].2))
}

impl From<MemoryError> for Error {
    fn from(error: MemoryError) -> Error {
        match error {
            MemoryError::OutOfMemory { .. } => Error::OUT_OF_MEMORY,
            _ => Error::INVALID_VALUE,
        }
    }
}

impl From<&LoadError> for Error {
    fn from(error: &LoadError) -> Error {
        match error {
            LoadError::Syntax { .. } | LoadError::Unresolved { .. } => Error::INVALID_PTX,
            LoadError::Unsupported { .. } => Error::NOT_SUPPORTED,
            LoadError::Target(_) => Error::NO_BINARY_FOR_GPU,
            LoadError::Memory(error) => error.clone().into(),
            _ => Error::UNKNOWN,
        }
    }
}

impl From<&LaunchError> for Error {
    fn from(error: &LaunchError) -> Error {
        match error {
            LaunchError::InvalidConfiguration(_) | LaunchError::TooMuchShared { .. } => Error::INVALID_VALUE,
            LaunchError::OutOfResources(_) => Error::LAUNCH_OUT_OF_RESOURCES,
            LaunchError::CooperativeTooLarge { .. } => Error::COOPERATIVE_LAUNCH_TOO_LARGE,
            LaunchError::IllegalAddress(_) => Error::ILLEGAL_ADDRESS,
            LaunchError::Misaligned(_) => Error::MISALIGNED_ADDRESS,
            LaunchError::CheckFailed(_) => Error::LAUNCH_FAILED,
            LaunchError::Trap(_) => Error::ILLEGAL_INSTRUCTION,
            LaunchError::Assert(_) => Error::ASSERT,
            LaunchError::Deadlock(_) | LaunchError::InstructionLimit(_) => Error::LAUNCH_TIMEOUT,
            LaunchError::Unsupported(_) => Error::NOT_SUPPORTED,
            LaunchError::Memory(error) => error.clone().into(),
            _ => Error::UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_code_is_found() {
        assert!(TABLE.is_sorted_by_key(|row| row.0));
        assert_eq!(describe(0).unwrap().0, "CUDA_SUCCESS\0");
        assert_eq!(describe(716).unwrap(), ("CUDA_ERROR_MISALIGNED_ADDRESS\0", "misaligned address\0"));
        assert_eq!(describe(12345), None);
    }
}
