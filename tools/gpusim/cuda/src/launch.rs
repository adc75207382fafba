//! Kernel launches.

use std::sync::{Arc, PoisonError};

use gpusim::Launch;

use crate::context::current;
use crate::device::{MAX_BLOCK, MAX_GRID, MULTIPROCESSORS, THREADS_PER_BLOCK};
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::event::event;
use crate::function::{Function, function};
use crate::host::{get, get_all, read_bytes};
use crate::occupancy::blocks_per_multiprocessor;
use crate::op::Op;
use crate::stream::{self, Stream};
use crate::types::{Handle, LaunchAttribute, LaunchConfig};

/// Grid, block and dynamic shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared_bytes: u32,
}

/// How many threads or blocks an extent has; any numbers may be passed, so the product is bounded.
fn volume(extent: [u32; 3]) -> u64 {
    extent.iter().fold(1, |n: u64, &side| n.saturating_mul(side as u64))
}

/// A launch with its parameters.
#[derive(Clone)]
pub struct KernelCall {
    /// The handle that the program passed: a function's or a kernel's.
    pub handle: Handle,
    pub function: Arc<Function>,
    pub shape: Shape,
    pub cluster: Option<[u32; 3]>,
    pub cooperative: bool,
    params: Vec<u8>,
    /// Addresses of the parameters in `params`, as `kernelParams` wants them.
    pointers: Vec<usize>,
}

const EXTRA_END: usize = 0;
const EXTRA_POINTER: usize = 1;
const EXTRA_SIZE: usize = 2;

/// The parameter bytes from `kernelParams` or `extra`.
fn params(function: &gpusim::Function, kernel_params: usize, extra: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; function.param_bytes() as usize];
    if extra != 0 {
        if kernel_params != 0 {
            return Err(Error::INVALID_VALUE);
        }
        let (mut buffer, mut size) = (0, None);
        for i in 0.. {
            let slot = (extra as *const usize).wrapping_add(2 * i);
            match get(slot)? {
                EXTRA_END => break,
                EXTRA_POINTER => buffer = get(slot.wrapping_add(1))?,
                EXTRA_SIZE => size = Some(get(get(slot.wrapping_add(1))? as *const usize)?),
                _ => return Err(Error::INVALID_VALUE),
            }
        }
        // A buffer may end before the padding behind the last parameter, but not before its end.
        let needed = function.params().iter().map(|p| p.offset + p.size).max().unwrap_or(0) as usize;
        let size = size.ok_or(Error::INVALID_VALUE)?;
        if size < needed {
            return Err(Error::INVALID_VALUE);
        }
        let size = size.min(bytes.len());
        read_bytes(buffer, &mut bytes[..size])?;
        return Ok(bytes);
    }
    let layout = function.params();
    for (param, pointer) in layout.iter().zip(get_all(kernel_params as *const usize, layout.len())?) {
        let range = param.offset as usize..(param.offset + param.size) as usize;
        read_bytes(pointer, bytes.get_mut(range).ok_or(Error::UNKNOWN)?)?;
    }
    Ok(bytes)
}

impl KernelCall {
    /// A launch whose parameters are read now and whose shape is checked.
    pub fn new(
        handle: Handle,
        shape: Shape,
        kernel_params: usize,
        extra: usize,
        cluster: Option<[u32; 3]>,
        cooperative: bool,
    ) -> Result<Arc<KernelCall>> {
        let function = function(handle)?;
        let params = params(&function.function, kernel_params, extra)?;
        KernelCall { handle, function, shape, cluster, cooperative, params, pointers: Vec::new() }.finish()
    }

    /// The same call with another cluster or cooperation.
    pub fn with(&self, cluster: Option<[u32; 3]>, cooperative: bool) -> Result<Arc<KernelCall>> {
        KernelCall { cluster, cooperative, ..self.clone() }.finish()
    }

    fn finish(mut self) -> Result<Arc<KernelCall>> {
        self.check()?;
        let start = self.params.as_ptr() as usize;
        self.pointers = self.function.function.params().iter().map(|p| start + p.offset as usize).collect();
        Ok(Arc::new(self))
    }

    /// The array of parameter addresses, which lives as long as the call.
    pub fn kernel_params(&self) -> usize {
        if self.pointers.is_empty() { 0 } else { self.pointers.as_ptr() as usize }
    }

    /// What the driver refuses before anything runs.
    fn check(&self) -> Result {
        let Shape { grid, block, shared_bytes } = self.shape;
        let invalid = |why: String| {
            eprintln!("gpusim: launch of {}: {why}", self.function.name());
            Err(Error::INVALID_VALUE)
        };
        if (0..3).any(|i| grid[i] == 0 || grid[i] > MAX_GRID[i]) {
            return invalid(format!("grid {grid:?}"));
        }
        let threads = volume(block);
        if (0..3).any(|i| block[i] == 0 || block[i] > MAX_BLOCK[i]) || threads > THREADS_PER_BLOCK as u64 {
            return invalid(format!("block {block:?}"));
        }
        let kernel = &self.function.function;
        if kernel.required_block().is_some_and(|required| required != block) {
            return invalid(format!("block {block:?}, .reqntid {:?}", kernel.required_block()));
        }
        if threads > kernel.max_threads() as u64 {
            eprintln!(
                "gpusim: launch of {}: {threads} threads, at most {}",
                kernel.name(),
                kernel.max_threads()
            );
            return Err(Error::LAUNCH_OUT_OF_RESOURCES);
        }
        let most = self.function.max_dynamic_shared();
        if shared_bytes > most {
            return invalid(format!("{shared_bytes} bytes of dynamic shared memory, at most {most}"));
        }
        self.check_cluster()?;
        if self.cooperative {
            let resident = blocks_per_multiprocessor(&self.function, threads as u32, shared_bytes as u64);
            if volume(grid) > resident as u64 * MULTIPROCESSORS as u64 {
                return Err(Error::COOPERATIVE_LAUNCH_TOO_LARGE);
            }
        }
        Ok(())
    }

    fn check_cluster(&self) -> Result {
        // Zeros: the kernel is launched with clusters of any size.
        let required = self.function.required_cluster();
        let cluster = match (self.cluster, required) {
            (Some(asked), Some(required)) if required != [0; 3] && asked != required => {
                return Err(Error::INVALID_CLUSTER_SIZE);
            }
            (None, Some([0, 0, 0])) => return Err(Error::INVALID_CLUSTER_SIZE),
            (asked, required) => asked.or(required).unwrap_or([1; 3]),
        };
        let size = volume(cluster);
        let most = if self.function.non_portable_cluster() { 16 } else { 8 };
        if size == 0 || size > most {
            return Err(Error::INVALID_CLUSTER_SIZE);
        }
        match (0..3).all(|i| self.shape.grid[i].is_multiple_of(cluster[i])) {
            true => Ok(()),
            false => Err(Error::INVALID_VALUE),
        }
    }

    /// A function runs in streams of its own context; a kernel belongs to no context.
    fn check_context(&self, stream: &Stream) -> Result {
        let foreign = self.handle == self.function.handle && self.function.context != stream.context;
        if foreign { Err(Error::INVALID_HANDLE) } else { Ok(()) }
    }

    /// Runs the kernel to its end; a report of what went wrong goes to standard error.
    pub fn run(&self) -> Result {
        // The module may be gone by the time a graph is launched.
        driver().functions.get(self.function.handle)?;
        // Host memory that the kernel sees stays mapped while it runs, whatever another thread frees meanwhile.
        let _running = driver().running.read().unwrap_or_else(PoisonError::into_inner);
        let launch = Launch {
            grid: self.shape.grid,
            block: self.shape.block,
            cluster: self.cluster.or(self.function.required_cluster().filter(|cluster| *cluster != [0; 3])),
            shared_bytes: self.shape.shared_bytes,
            params: self.params.clone(),
            cooperative: self.cooperative,
            ..Launch::new(self.function.function.clone())
        };
        driver().device.launch(&launch).map_err(|error| {
            eprintln!("{error}");
            Error::from(&error)
        })
    }
}

fn launch(
    handle: Handle,
    shape: Shape,
    stream: Handle,
    kernel_params: usize,
    extra: usize,
    cooperative: bool,
) -> Result {
    let stream = stream::resolve(stream)?;
    let call = KernelCall::new(handle, shape, kernel_params, extra, None, cooperative)?;
    call.check_context(&stream)?;
    stream::submit(&stream, Op::Kernel(call))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared_bytes: u32,
    stream: Handle,
    kernel_params: usize,
    extra: usize,
) -> i32 {
    api(|| {
        let shape =
            Shape { grid: [grid_x, grid_y, grid_z], block: [block_x, block_y, block_z], shared_bytes };
        launch(function, shape, stream, kernel_params, extra, false)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchCooperativeKernel(
    function: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    shared_bytes: u32,
    stream: Handle,
    kernel_params: usize,
) -> i32 {
    api(|| {
        let shape =
            Shape { grid: [grid_x, grid_y, grid_z], block: [block_x, block_y, block_z], shared_bytes };
        launch(function, shape, stream, kernel_params, 0, true)
    })
}

const COOPERATIVE: i32 = 2;
const CLUSTER: i32 = 4;
const PROGRAMMATIC_EVENT: i32 = 7;
const COMPLETION_EVENT: i32 = 12;
const LAST_ATTRIBUTE: i32 = 18;

/// What the attributes of a launch mean here. Overlap with the previous kernel, priorities and memory domains have no
/// effect where work runs in order.
#[derive(Default)]
pub struct LaunchOptions {
    pub cluster: Option<[u32; 3]>,
    pub cooperative: bool,
    events: Vec<Handle>,
}

impl LaunchOptions {
    /// Reads the attributes.
    pub fn read(config: &LaunchConfig) -> Result<LaunchOptions> {
        if config.attribute_count > 64 {
            return Err(Error::INVALID_VALUE);
        }
        let mut options = LaunchOptions::default();
        let attributes = config.attributes as *const LaunchAttribute;
        for attribute in get_all(attributes, config.attribute_count as usize)? {
            let value = attribute.value;
            match attribute.id {
                COOPERATIVE => options.cooperative = value[0] != 0,
                CLUSTER => options.cluster = Some([value[0], value[1], value[2]]),
                PROGRAMMATIC_EVENT | COMPLETION_EVENT => {
                    let handle = value[0] as usize | (value[1] as usize) << 32;
                    event(handle)?;
                    options.events.push(handle);
                }
                0..=LAST_ATTRIBUTE => {}
                _ => return Err(Error::INVALID_VALUE),
            }
        }
        Ok(options)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernelEx(
    config: *const LaunchConfig,
    function: Handle,
    kernel_params: usize,
    extra: usize,
) -> i32 {
    api(|| {
        let config = get(config)?;
        let stream = stream::resolve(config.stream)?;
        let options = LaunchOptions::read(&config)?;
        let shape = Shape { grid: config.grid, block: config.block, shared_bytes: config.shared_bytes };
        let (cluster, cooperative) = (options.cluster, options.cooperative);
        let call = KernelCall::new(function, shape, kernel_params, extra, cluster, cooperative)?;
        call.check_context(&stream)?;
        stream::submit(&stream, Op::Kernel(call))?;
        options.events.into_iter().try_for_each(|handle| stream::submit(&stream, Op::Record(event(handle)?)))
    })
}

/// There is one device, so one launch at most; NVIDIA has removed the call in CUDA 13.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchCooperativeKernelMultiDevice(list: usize, count: u32, flags: u32) -> i32 {
    api(|| {
        let _ = (list, count, flags);
        current()?;
        Err(Error::NOT_SUPPORTED)
    })
}
