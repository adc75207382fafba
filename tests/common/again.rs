//! The simulated device reads its settings when the driver starts: to test under others, a test program starts itself again.
#![allow(dead_code)]

use std::process::Command;

use cudarc::driver::CudaContext;

/// Whether `libcuda` is the simulated device, the only one that knows these settings.
pub fn simulated() -> bool {
    let context = CudaContext::new(0).expect("a GPU, real or simulated");
    context.name().expect("a name").contains("gpusim")
}

/// The test that is under way in a program that was started again.
const INSIDE: &str = "PHOTON_TEST_INSIDE";

/// Runs `body` under the environment `settings`: starts this program again for the test of the name `test`, which calls this.
pub fn under(test: &str, settings: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        return body();
    }
    run(&["--exact", test], &[settings, &[(INSIDE, test)]].concat());
}

/// [`under`] for settings that only the simulated device has.
pub fn under_simulated(test: &str, settings: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_none() && !simulated() {
        println!("skipped: a GPU and its driver are what they are");
        return;
    }
    under(test, settings, body);
}

/// Runs the tests of this program whose names contain one of `tests`, under the environment `settings`.
pub fn run(tests: &[&str], settings: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(tests)
        .args(["--nocapture", "--test-threads=1"])
        .envs(settings.iter().copied())
        .output()
        .expect("a child");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{settings:?}\n{text}\n{errors}");
    assert!(!text.contains("test result: ok. 0 passed"), "no test is called {tests:?}");
}
