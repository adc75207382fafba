//! The assembler's opinion of the PTX that tests run.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::process::Command;

/// Names the folder into which [`collect`] writes.
const FOLDER: &str = "GPUSIM_TEST_PTX";

/// Keeps a module's text for [`accepts_what_tests_run`], if that asks for it.
pub fn collect(ptx: &str) {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut hasher = DefaultHasher::new();
    ptx.hash(&mut hasher);
    let path = Path::new(&folder).join(format!("{:016x}.ptx", hasher.finish()));
    std::fs::write(path, ptx).expect("the folder can be written to");
}

/// Runs all other tests of this program once more, and ptxas on every module that they gave to [`collect`].
pub fn accepts_what_tests_run(this_test: &str) {
    let ptxas = ptxas();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ptx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for PTX");
    let program = std::env::current_exe().expect("the program's own path");
    let status = Command::new(program)
        .args(["--skip", this_test, "--quiet"])
        .env(FOLDER, &folder)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("the test program starts");
    let mut refused = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("PTX");
        let target = text.split(".target").nth(1).and_then(|rest| rest.split([',', '\n']).next());
        let output = Command::new(&ptxas)
            .args(["-O0", "-arch", target.unwrap_or("sm_90a").trim(), "-o", "/dev/null"])
            .arg(entry.path())
            .output()
            .expect("ptxas starts");
        if !output.status.success() {
            refused.push(format!("{}\n{text}", String::from_utf8_lossy(&output.stderr)));
        }
        count += 1;
    }
    std::fs::remove_dir_all(&folder).expect("the folder of PTX goes");
    assert!(refused.is_empty(), "ptxas refuses {} of {count}:\n{}", refused.len(), refused.join("\n"));
    assert!(count > 0, "no PTX was collected");
    assert!(status.success(), "the tests failed when they ran once more");
}

/// The assembler of a toolkit on PATH, or of the one that tools/toolchain.sh finds.
fn ptxas() -> String {
    let works = |path: &str| Command::new(path).arg("--version").output().is_ok_and(|o| o.status.success());
    if works("ptxas") {
        return "ptxas".to_owned();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../toolchain.sh");
    let output = Command::new(script).output().expect("tools/toolchain.sh starts");
    let root = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let path = format!("{root}/bin/ptxas");
    assert!(
        works(&path),
        "no ptxas: put a CUDA toolkit's bin folder on PATH, or see what tools/toolchain.sh says"
    );
    path
}
