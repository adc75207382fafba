//! A launch as the driver asks for it.

use std::sync::Arc;

use crate::module::Function;

/// A kernel with its configuration and parameters.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The kernel.
    pub function: Arc<Function>,
    /// CTAs in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a CTA in x, y, z.
    pub block: [u32; 3],
    /// CTAs of a cluster in x, y, z; None takes what the kernel declares.
    pub cluster: Option<[u32; 3]>,
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    /// The parameters' bytes, laid out as [`Function::params`] says, [`Function::param_bytes`] in all.
    pub params: Vec<u8>,
    /// Whether all CTAs must be resident at once.
    pub cooperative: bool,
}

impl Launch {
    /// One thread, no parameters.
    pub fn new(function: Arc<Function>) -> Launch {
        Launch {
            function,
            grid: [1; 3],
            block: [1; 3],
            cluster: None,
            shared_bytes: 0,
            params: Vec::new(),
            cooperative: false,
        }
    }
}
