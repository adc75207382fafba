//! Writes `src/cuda/sys/bindings.rs` from `csrc/photon.h`. With `--check` nothing is written, and the exit status says whether the
//! file is what would be.
//!
//! libclang is needed here and nowhere else: `tools/bindings.sh` fetches it.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("src/cuda/sys/bindings.rs");
    let bindings = bindgen::Builder::default()
        .header(root.join("csrc/photon.h").to_string_lossy())
        .allowlist_type("photon_.*")
        .allowlist_var("PHOTON_.*")
        .derive_default(false)
        .derive_copy(true)
        .derive_partialeq(true)
        .layout_tests(true)
        .use_core()
        .merge_extern_blocks(true)
        .raw_line("// Generated from csrc/photon.h by tools/bindings.sh.")
        .generate();
    let text = match bindings {
        Ok(bindings) => bindings.to_string(),
        Err(error) => {
            eprintln!("csrc/photon.h: {error}");
            return ExitCode::from(2);
        }
    };
    if std::env::args().any(|argument| argument == "--check") {
        if std::fs::read_to_string(&target).is_ok_and(|old| old == text) {
            return ExitCode::SUCCESS;
        }
        eprintln!("{} is not what csrc/photon.h gives: run tools/bindings.sh", target.display());
        return ExitCode::FAILURE;
    }
    match std::fs::write(&target, text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", target.display());
            ExitCode::from(2)
        }
    }
}
