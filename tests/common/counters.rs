//! The simulated device's counters: a line of JSON for each launch, in a file that has to be named before the driver is loaded. On a real GPU
//! there is nothing to count with, and the file stays empty.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Command, ExitCode};

use serde_json::Value;

/// The variable that names the file.
const REPORT: &str = "GPUSIM_REPORT";

/// The file, read as it grows.
pub struct Counters {
    path: String,
    offset: Cell<u64>,
}

impl Counters {
    /// Those of this program. One that was started without them is started again with them, and the error is how that ended.
    pub fn open() -> Result<Counters, ExitCode> {
        if let Some(path) = std::env::var_os(REPORT) {
            return Ok(Counters { path: path.into_string().expect("a path in UTF-8"), offset: Cell::new(0) });
        }
        let folder = tempfile::tempdir().expect("a folder");
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(std::env::args_os().skip(1))
            .env(REPORT, folder.path().join("launches.json"))
            .status()
            .expect("a child");
        Err(ExitCode::from(u8::from(!status.success())))
    }

    /// The launches since this was last asked.
    pub fn news(&self) -> Vec<Value> {
        let Ok(mut file) = File::open(&self.path) else { return Vec::new() };
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.offset.get())).expect("a file that grows");
        let read = file.read_to_string(&mut text).expect("lines of counters");
        self.offset.set(self.offset.get() + read as u64);
        text.lines().map(|line| serde_json::from_str(line).expect("a line of counters")).collect()
    }
}

/// A counter of a launch.
pub fn get(launch: &Value, path: &str) -> u64 {
    launch.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {launch}"))
}
