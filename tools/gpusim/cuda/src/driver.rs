//! What the process has of the driver: the device, and the tables of objects.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, RwLock};

use gpusim::{Device, Settings};

use crate::capture::Captures;
use crate::context::{Context, Primary};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::exec::Exec;
use crate::function::Function;
use crate::graph::Graphs;
use crate::library::{Kernel, Library};
use crate::link::Link;
use crate::machine::machine;
use crate::memory::Memory;
use crate::module::Module;
use crate::pool::Pool;
use crate::registry::Registry;
use crate::stream::Stream;
use crate::user_object::UserObject;
use crate::virtual_memory::Physical;

/// Everything behind the API.
pub struct Driver {
    pub device: Device,
    pub primary: Mutex<Primary>,
    pub contexts: Registry<Context>,
    pub streams: Registry<Stream>,
    pub events: Registry<Event>,
    pub modules: Registry<Module>,
    pub functions: Registry<Function>,
    pub libraries: Registry<Library>,
    pub kernels: Registry<Kernel>,
    pub links: Registry<Link>,
    pub pools: Registry<Pool>,
    pub execs: Registry<Exec>,
    pub physical: Registry<Physical>,
    pub user_objects: Registry<UserObject>,
    pub graphs: Mutex<Graphs>,
    pub captures: Mutex<Captures>,
    pub memory: Mutex<Memory>,
    /// Held for reading while a kernel runs, for writing while host memory is taken away from the device.
    pub running: RwLock<()>,
    /// When the error of a kernel is reported.
    pub errors: Errors,
}

/// `GPUSIM_ERRORS`: which call returns the error of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// `launch`: the launch, which is where the fault is.
    Launch,
    /// `sync`: the next call that waits for the stream, as on hardware.
    Sync,
}

impl Errors {
    fn from_env() -> std::result::Result<Errors, String> {
        match std::env::var("GPUSIM_ERRORS").as_deref().map(str::trim) {
            Err(_) | Ok("launch") => Ok(Errors::Launch),
            Ok("sync") => Ok(Errors::Sync),
            Ok(other) => Err(format!("GPUSIM_ERRORS={other}: not launch or sync")),
        }
    }
}

static DRIVER: OnceLock<std::result::Result<Driver, String>> = OnceLock::new();

thread_local! {
    /// Whether this thread is inside a stream callback or host function.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// `cuInit`: makes the device, with the settings of the environment.
pub fn init() -> Result {
    if machine().is_ok_and(|machine| machine.devices == 0) {
        return Err(Error::NO_DEVICE);
    }
    let made = DRIVER.get_or_init(|| {
        machine()?;
        let errors = Errors::from_env()?;
        Settings::from_env().map(|settings| Driver {
            device: Device::new(settings),
            primary: Mutex::new(Primary::new()),
            contexts: Registry::new(),
            streams: Registry::new(),
            events: Registry::new(),
            modules: Registry::new(),
            functions: Registry::new(),
            libraries: Registry::new(),
            kernels: Registry::new(),
            links: Registry::new(),
            pools: Registry::new(),
            execs: Registry::new(),
            physical: Registry::new(),
            user_objects: Registry::new(),
            graphs: Mutex::default(),
            captures: Mutex::default(),
            memory: Mutex::default(),
            running: RwLock::new(()),
            errors,
        })
    });
    match made {
        Ok(_) => Ok(()),
        Err(message) => {
            eprintln!("gpusim: {message}");
            Err(Error::INVALID_VALUE)
        }
    }
}

/// The driver; only reached through [`api`], which has checked that it is there.
pub fn driver() -> &'static Driver {
    match DRIVER.get() {
        Some(Ok(driver)) => driver,
        _ => unreachable!("api functions run after cuInit only"),
    }
}

/// Runs the body of an API function that works before `cuInit`. A panic is a bug of this library; the caller gets an
/// error code nevertheless.
pub fn api_uninitialized(body: impl FnOnce() -> Result) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => error.0,
        Err(_) => Error::UNKNOWN.0,
    }
}

/// Runs the body of an API function.
pub fn api(body: impl FnOnce() -> Result) -> i32 {
    api_uninitialized(|| {
        if !matches!(DRIVER.get(), Some(Ok(_))) {
            return Err(Error::NOT_INITIALIZED);
        }
        if IN_CALLBACK.get() {
            return Err(Error::NOT_PERMITTED);
        }
        body()
    })
}

/// Runs a program's host function, in which API calls are not permitted.
pub fn in_callback(body: impl FnOnce()) {
    let before = IN_CALLBACK.replace(true);
    body();
    IN_CALLBACK.set(before);
}
