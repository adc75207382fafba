//! Errors of the device, and the report of a failed check.

use std::fmt;

/// What is wrong with an address or an allocation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The nominal memory of the device is used up, or the host has none.
    #[error("out of memory: {requested} bytes asked for, {free} of {total} free")]
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Nominal bytes free.
        free: u64,
        /// Nominal bytes in all.
        total: u64,
    },
    /// Zero bytes, or an alignment that is not a power of two.
    #[error("an allocation of {bytes} bytes aligned to {align} is not possible")]
    InvalidRequest {
        /// Bytes asked for.
        bytes: u64,
        /// Alignment asked for.
        align: u64,
    },
    /// `free` of what has been freed before.
    #[error("double free of {base:#x} ({bytes} bytes)")]
    DoubleFree {
        /// Start of the freed allocation.
        base: u64,
        /// Its size.
        bytes: u64,
    },
    /// `free` of an address inside an allocation.
    #[error("{ptr:#x} is not the start of an allocation, it lies {} bytes into {base:#x} ({bytes} bytes)", ptr - base)]
    NotABase {
        /// The address.
        ptr: u64,
        /// The allocation it lies in.
        base: u64,
        /// Its size.
        bytes: u64,
    },
    /// `free` or `unmap_host` of an address that the device never gave out.
    #[error("{ptr:#x} is not an address of this device")]
    Unknown {
        /// The address.
        ptr: u64,
    },
    /// An access to freed memory.
    #[error(
        "{bytes} bytes at {ptr:#x}: use after free, {} bytes into {base:#x} ({allocated} bytes), which was freed",
        ptr - base
    )]
    UseAfterFree {
        /// First byte accessed.
        ptr: u64,
        /// Bytes accessed.
        bytes: u64,
        /// Start of the freed allocation.
        base: u64,
        /// Its size.
        allocated: u64,
    },
    /// An access to what is not, or not wholly, inside an allocation.
    #[error("{bytes} bytes at {ptr:#x}: out of bounds{}", neighbour(*ptr, *nearest))]
    OutOfBounds {
        /// First byte accessed.
        ptr: u64,
        /// Bytes accessed.
        bytes: u64,
        /// The allocation nearest to it: start and size.
        nearest: Option<(u64, u64)>,
    },
    /// Host memory overlaps what is mapped already.
    #[error("host memory at {ptr:#x} ({bytes} bytes) is null, empty or mapped already")]
    HostRange {
        /// First byte.
        ptr: u64,
        /// Bytes.
        bytes: u64,
    },
}

fn neighbour(ptr: u64, nearest: Option<(u64, u64)>) -> String {
    match nearest {
        None => ", there is no allocation".to_owned(),
        Some((base, bytes)) if ptr < base => {
            format!(", {} bytes before allocation {base:#x} ({bytes} bytes)", base - ptr)
        }
        Some((base, bytes)) if ptr >= base + bytes => {
            format!(", {} bytes past the end of allocation {base:#x} ({bytes} bytes)", ptr - base - bytes)
        }
        Some((base, bytes)) => {
            format!(", it starts at byte {} of allocation {base:#x} ({bytes} bytes)", ptr - base)
        }
    }
}

/// Why a module cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The text is not PTX.
    #[error("PTX line {line}: {message}")]
    Syntax {
        /// Line in the PTX text, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// The text is PTX but uses something the simulator does not have.
    #[error("PTX line {line}: unsupported: {instruction}")]
    Unsupported {
        /// Line in the PTX text, from 1.
        line: u32,
        /// The instruction or directive.
        instruction: String,
    },
    /// The target is newer than the device, or of another kind.
    #[error("target {0} does not run on this device (sm_90a)")]
    Target(String),
    /// A symbol that nothing defines.
    #[error("PTX line {line}: unresolved symbol {name}")]
    Unresolved {
        /// Line in the PTX text, from 1.
        line: u32,
        /// The symbol.
        name: String,
    },
    /// The module's variables do not fit.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// A failed check or a fault: where and what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The kind in a few words, for example `out of bounds`, `race`, `barrier divergence`.
    pub kind: String,
    /// Name of the kernel.
    pub kernel: String,
    /// Name of the function the instruction belongs to, if it is not the kernel.
    pub function: Option<String>,
    /// `%ctaid`.
    pub cta: [u32; 3],
    /// `%tid` of the first thread concerned, if a thread is.
    pub thread: Option<[u32; 3]>,
    /// The PTX instruction's line, from 1; 0 if there is none.
    pub ptx_line: u32,
    /// Opcode and modifiers of the instruction.
    pub instruction: String,
    /// `file:line` from `.loc`.
    pub source: Option<String>,
    /// What happened, in a sentence.
    pub message: String,
    /// Further lines, for example the other access of a race.
    pub details: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gpusim: {}: {}", self.kind, self.message)?;
        let [x, y, z] = self.cta;
        write!(f, "\n  kernel {}, CTA ({x}, {y}, {z})", self.kernel)?;
        if let Some([x, y, z]) = self.thread {
            write!(f, ", thread ({x}, {y}, {z})")?;
        }
        if self.ptx_line > 0 {
            write!(f, "\n  at PTX line {}: {}", self.ptx_line, self.instruction)?;
            if let Some(function) = &self.function {
                write!(f, ", in {function}")?;
            }
        }
        if let Some(source) = &self.source {
            write!(f, "\n  from {source}")?;
        }
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Why a launch failed. The driver maps the kinds to CUDA's error codes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// Grid, block, cluster or parameters that the device or the kernel does not accept (`INVALID_VALUE`).
    #[error("invalid launch configuration: {0}")]
    InvalidConfiguration(String),
    /// More registers or threads than a block may have (`LAUNCH_OUT_OF_RESOURCES`).
    #[error("too many resources for a launch: {0}")]
    OutOfResources(String),
    /// More shared memory than a block can have (`INVALID_VALUE`).
    #[error("{requested} bytes of shared memory asked for, {available} available")]
    TooMuchShared {
        /// Static and dynamic bytes together.
        requested: u64,
        /// What a block can have.
        available: u64,
    },
    /// A cooperative grid whose CTAs cannot all be resident (`COOPERATIVE_LAUNCH_TOO_LARGE`).
    #[error("a cooperative launch of {ctas} CTAs, {resident} can be resident")]
    CooperativeTooLarge {
        /// CTAs asked for.
        ctas: u64,
        /// CTAs that can be resident.
        resident: u64,
    },
    /// Out of bounds, freed or unmapped memory (`ILLEGAL_ADDRESS`).
    #[error("{0}")]
    IllegalAddress(Box<Report>),
    /// An address that is not a multiple of the access (`MISALIGNED_ADDRESS`).
    #[error("{0}")]
    Misaligned(Box<Report>),
    /// A race, a divergent barrier, a read of unwritten memory (`LAUNCH_FAILED`).
    #[error("{0}")]
    CheckFailed(Box<Report>),
    /// `trap`, or an instruction whose operands are illegal (`ILLEGAL_INSTRUCTION`).
    #[error("{0}")]
    Trap(Box<Report>),
    /// A device-side `assert` (`ASSERT`).
    #[error("{0}")]
    Assert(Box<Report>),
    /// No warp can go on (`LAUNCH_TIMEOUT`).
    #[error("{0}")]
    Deadlock(Box<Report>),
    /// The instruction limit is reached (`LAUNCH_TIMEOUT`).
    #[error("{0}")]
    InstructionLimit(Box<Report>),
    /// An instruction that the simulator does not have (`NOT_SUPPORTED`).
    #[error("{0}")]
    Unsupported(Box<Report>),
    /// Memory for the launch itself is lacking.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl LaunchError {
    /// The report of a fault or failed check.
    pub fn report(&self) -> Option<&Report> {
        match self {
            LaunchError::IllegalAddress(report)
            | LaunchError::Misaligned(report)
            | LaunchError::CheckFailed(report)
            | LaunchError::Trap(report)
            | LaunchError::Assert(report)
            | LaunchError::Deadlock(report)
            | LaunchError::InstructionLimit(report)
            | LaunchError::Unsupported(report) => Some(report),
            _ => None,
        }
    }
}
