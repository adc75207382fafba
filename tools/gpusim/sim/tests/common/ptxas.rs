//! The assembler's opinion of the PTX that tests run.
// A program takes what it needs: `assemble` for texts as it makes them, or `collect` and `accepts_what_tests_run`.
#![allow(dead_code)]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Runs all other tests of this program once more, and returns every module that they gave to [`collect`].
pub fn collected(this_test: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ptx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for PTX");
    let program = std::env::current_exe().expect("the program's own path");
    let status = Command::new(program)
        .args(["--skip", this_test, "--quiet"])
        .env(FOLDER, &folder)
        .stdout(Stdio::null())
        .status()
        .expect("the test program starts");
    let files = std::fs::read_dir(&folder).expect("the folder").flatten();
    let texts: Vec<String> = files.map(|f| std::fs::read_to_string(f.path()).expect("PTX")).collect();
    std::fs::remove_dir_all(&folder).expect("the folder of PTX goes");
    assert!(status.success(), "the tests failed when they ran once more");
    assert!(!texts.is_empty(), "no PTX was collected");
    texts
}

/// Runs all other tests of this program once more: ptxas takes every module of theirs, and `list` in `tests/forms` has their forms.
pub fn accepts_what_tests_run(list: &str, this_test: &str) {
    let texts = collected(this_test);
    let said: Vec<String> = texts
        .iter()
        .filter_map(|text| Some(format!("{}\n{text}", assemble(text, &["-O0"]).err()?)))
        .collect();
    assert!(said.is_empty(), "ptxas refuses {} of {}:\n{}", said.len(), texts.len(), said.join("\n"));
    super::forms::are_listed(list, &texts);
}

/// What ptxas has against a module, if anything. It assembles for the first of the module's targets.
pub fn assemble(ptx: &str, options: &[&str]) -> Result<(), String> {
    // A second run, for its modules, has nothing to learn from ptxas.
    if std::env::var_os(FOLDER).is_some() {
        return Ok(());
    }
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("assembled-{}-{number}.ptx", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, ptx).expect("the folder can be written to");
    let result = assemble_file(&file, ptx, options);
    std::fs::remove_file(&file).expect("the file goes");
    result
}

fn assemble_file(file: &Path, ptx: &str, options: &[&str]) -> Result<(), String> {
    static PTXAS: LazyLock<String> = LazyLock::new(ptxas);
    let target =
        ptx.split(".target").nth(1).and_then(|rest| rest.split([',', '\n']).next()).expect("a target");
    let output = Command::new(&*PTXAS)
        .args(options)
        .args(["-arch", target.trim(), "-o", "/dev/null"])
        .arg(file)
        .output()
        .expect("ptxas starts");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
    }
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
