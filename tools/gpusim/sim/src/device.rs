//! The device: memory and limits behind locks, and the entry points of modules and launches.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::memory::GlobalMemory;
use crate::{Launch, LaunchError, LoadError, MemoryError, Module, Settings};

/// What `cuCtxSetLimit` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of local memory per thread that calls may use, beyond what the kernel declares.
    pub stack_bytes: u64,
    /// Bytes that `malloc` in kernels can give out.
    pub heap_bytes: u64,
}

impl Default for Limits {
    /// The heap is CUDA's 8 MiB. The stack is larger than CUDA's 1 KiB: frames here are not ptxas's frames.
    fn default() -> Limits {
        Limits { stack_bytes: 64 << 10, heap_bytes: 8 << 20 }
    }
}

/// A simulated H100.
pub struct Device {
    settings: Settings,
    memory: RwLock<GlobalMemory>,
    limits: Mutex<Limits>,
    output: Mutex<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Device {
    /// A device with empty memory.
    pub fn new(settings: Settings) -> Device {
        let mut memory = GlobalMemory::new(settings.memory_bytes);
        memory.follow_writes = settings.checks && settings.check_global_init;
        Device {
            memory: RwLock::new(memory),
            limits: Mutex::new(Limits::default()),
            output: Mutex::new(Box::new(std::io::stdout())),
            settings,
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Stack and heap of kernels.
    pub fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes stack and heap of later launches.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Where `printf` in kernels goes; standard output unless changed.
    pub fn set_output(&self, output: Box<dyn Write + Send>) {
        *self.output.lock().unwrap_or_else(PoisonError::into_inner) = output;
    }

    /// Allocates zeroed memory. The address is a multiple of `align` or 256, whichever is larger, and of no more.
    ///
    /// # Errors
    /// The nominal memory or the host's is used up; zero bytes; an alignment that is not a power of two.
    pub fn alloc(&self, bytes: u64, align: u64) -> Result<u64, MemoryError> {
        self.memory_mut().alloc(bytes, align)
    }

    /// Frees what [`Device::alloc`] returned.
    ///
    /// # Errors
    /// A double free, an address inside an allocation, and one that is no allocation's are told apart.
    pub fn free(&self, ptr: u64) -> Result<(), MemoryError> {
        self.memory_mut().free(ptr)
    }

    /// Makes host memory accessible to kernels at its own address.
    ///
    /// # Errors
    /// The range is empty or overlaps what is mapped.
    ///
    /// # Safety
    /// The range must stay readable and writable until [`Device::unmap_host`] returned, and nothing else may hold
    /// references to it while the device uses it.
    pub unsafe fn map_host(&self, ptr: *mut u8, bytes: u64) -> Result<(), MemoryError> {
        self.memory_mut().map_host(ptr, bytes)
    }

    /// Undoes [`Device::map_host`]. Later accesses by kernels are reported as use after free.
    ///
    /// # Errors
    /// No mapping starts at `ptr`.
    pub fn unmap_host(&self, ptr: *mut u8) -> Result<(), MemoryError> {
        self.memory_mut().unmap_host(ptr)
    }

    /// The allocation or mapping that `ptr` lies in: start and bytes.
    pub fn range(&self, ptr: u64) -> Option<(u64, u64)> {
        self.memory().region(ptr).map(|region| (region.base, region.bytes))
    }

    /// Copies host bytes to the device.
    ///
    /// # Errors
    /// The destination is not wholly inside one allocation.
    pub fn write(&self, dst: u64, bytes: &[u8]) -> Result<(), MemoryError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let memory = self.memory();
        let to = memory.host(dst, bytes.len() as u64)?;
        memory.wrote(dst, bytes.len() as u64);
        // SAFETY: `host` checked the range, which lives while the lock is held. `copy`, because a host range mapped
        // into the device may be the source too.
        unsafe { std::ptr::copy(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    /// Copies device bytes to the host.
    ///
    /// # Errors
    /// The source is not wholly inside one allocation.
    pub fn read(&self, src: u64, out: &mut [u8]) -> Result<(), MemoryError> {
        if out.is_empty() {
            return Ok(());
        }
        let memory = self.memory();
        let from = memory.host(src, out.len() as u64)?;
        // SAFETY: as in `write`.
        unsafe { std::ptr::copy(from, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// Copies inside the device; the ranges may overlap.
    ///
    /// # Errors
    /// A range is not wholly inside one allocation.
    pub fn copy(&self, dst: u64, src: u64, bytes: u64) -> Result<(), MemoryError> {
        if bytes == 0 {
            return Ok(());
        }
        let memory = self.memory();
        let (to, from) = (memory.host(dst, bytes)?, memory.host(src, bytes)?);
        memory.wrote(dst, bytes);
        // SAFETY: `host` checked both ranges, which live while the lock is held.
        unsafe { std::ptr::copy(from, to, bytes as usize) };
        Ok(())
    }

    /// Writes `pattern` `count` times.
    ///
    /// # Errors
    /// The destination is not wholly inside one allocation.
    pub fn fill(&self, dst: u64, pattern: &[u8], count: u64) -> Result<(), MemoryError> {
        let bytes = count.checked_mul(pattern.len() as u64);
        let Some(bytes) = bytes else { return Err(self.memory().explain(dst, u64::MAX)) };
        if bytes == 0 {
            return Ok(());
        }
        let memory = self.memory();
        let to = memory.host(dst, bytes)?;
        memory.wrote(dst, bytes);
        if let [byte] = pattern {
            // SAFETY: `host` checked the range, which lives while the lock is held.
            unsafe { std::ptr::write_bytes(to, *byte, count as usize) };
            return Ok(());
        }
        for i in 0..count as usize {
            let to = to.wrapping_add(i * pattern.len());
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(pattern.as_ptr(), to, pattern.len()) };
        }
        Ok(())
    }

    /// Nominal free and total bytes.
    pub fn memory_info(&self) -> (u64, u64) {
        self.memory().info()
    }

    /// Loads a module from PTX text.
    ///
    /// # Errors
    /// The text is not PTX, uses what the simulator does not have, or is for a device that this one is not.
    pub fn load(&self, ptx: &str) -> Result<Arc<Module>, LoadError> {
        Module::load(self, ptx).map(Arc::new)
    }

    /// Frees the memory of a module's variables. Its functions must not be launched any more.
    pub fn unload(&self, module: &Module) {
        module.unload(self);
    }

    /// Runs a kernel to its end.
    ///
    /// # Errors
    /// The configuration does not fit, or the kernel failed: see [`LaunchError`].
    pub fn launch(&self, launch: &Launch) -> Result<(), LaunchError> {
        crate::exec::run(self, launch)
    }

    pub(crate) fn memory(&self) -> RwLockReadGuard<'_, GlobalMemory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn memory_mut(&self) -> RwLockWriteGuard<'_, GlobalMemory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn output(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
