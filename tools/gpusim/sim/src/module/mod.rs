//! Loaded modules.

mod build;
mod contract;
mod guess;
mod layout;
mod limits;
mod pool;
mod program;
mod slots;
mod special;

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Device, LoadError};

pub(crate) use contract::{NEGATED_ADDEND, NEGATED_PRODUCT};
pub(crate) use pool::Pool;
pub(crate) use program::{FunctionInfo, ParamPlace, Program};
pub(crate) use slots::CARRY;
pub(crate) use special::{Special, SpecialPool};

/// Where a kernel parameter lies in [`Launch::params`](crate::Launch::params).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamLayout {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// A loaded module.
#[derive(Debug)]
pub struct Module {
    kernels: HashMap<String, Arc<Function>>,
    globals: HashMap<String, (u64, u64)>,
    /// All allocations, of variables inside functions too.
    allocations: Vec<u64>,
    unsupported: Vec<String>,
}

impl Module {
    pub(crate) fn load(device: &Device, ptx: &str) -> Result<Module, LoadError> {
        build::load(device, ptx)
    }

    pub(crate) fn unload(&self, device: &Device) {
        for address in &self.allocations {
            // A program may have freed the address itself, wrongly; there is nobody to tell.
            let _ = device.free(*address);
        }
    }

    /// The kernel of that name.
    pub fn function(&self, name: &str) -> Option<Arc<Function>> {
        self.kernels.get(name).cloned()
    }

    /// Address and bytes of a module-scope variable.
    pub fn global(&self, name: &str) -> Option<(u64, u64)> {
        self.globals.get(name).copied()
    }

    /// All kernels, in no particular order.
    pub fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.kernels.values()
    }

    /// Instructions that the simulator does not have, as `PTX line N: name`. A launch that reaches one fails.
    pub fn unsupported(&self) -> &[String] {
        &self.unsupported
    }
}

/// A kernel of a loaded module.
#[derive(Debug)]
pub struct Function {
    name: String,
    params: Vec<ParamLayout>,
    param_bytes: u32,
    static_shared: u32,
    dynamic_base: u32,
    local_bytes: u32,
    const_bytes: u32,
    max_threads: u32,
    required_block: Option<[u32; 3]>,
    registers: u32,
    ptx_version: u32,
    target: u32,
    cluster: Option<[u32; 3]>,
    program: Arc<Program>,
    index: usize,
}

impl Function {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters in order.
    pub fn params(&self) -> &[ParamLayout] {
        &self.params
    }

    /// Bytes of all parameters.
    pub fn param_bytes(&self) -> u32 {
        self.param_bytes
    }

    /// Bytes of static shared memory.
    pub fn static_shared(&self) -> u32 {
        self.static_shared
    }

    /// Bytes of local memory per thread, without what calls need.
    pub fn local_bytes(&self) -> u32 {
        self.local_bytes
    }

    /// Bytes of the module's constant variables.
    pub fn const_bytes(&self) -> u32 {
        self.const_bytes
    }

    /// The largest block it can be launched with: `.maxntid`, `.reqntid`, or 1024.
    pub fn max_threads(&self) -> u32 {
        self.max_threads
    }

    /// `.reqntid`.
    pub fn required_block(&self) -> Option<[u32; 3]> {
        self.required_block
    }

    /// 32-bit registers per thread that the simulator keeps, at most 255; ptxas's number differs.
    pub fn registers(&self) -> u32 {
        self.registers
    }

    /// `.version`: major times 10 plus minor.
    pub fn ptx_version(&self) -> u32 {
        self.ptx_version
    }

    /// `.target sm_…`: the number.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// `.reqnctapercluster`: CTAs of a cluster; zeros if the kernel only says that it is launched with clusters.
    pub fn cluster(&self) -> Option<[u32; 3]> {
        self.cluster
    }

    /// Shared address of dynamic shared memory.
    pub(crate) fn dynamic_base(&self) -> u32 {
        self.dynamic_base
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }
}
