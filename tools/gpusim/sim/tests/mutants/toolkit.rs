//! Compiling the suite, once per content of its sources.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::manifest::folder;

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The PTX of each source, by its stem. `build.sh` also has ptxas assemble it.
pub fn ptx() -> Result<BTreeMap<String, String>, String> {
    let folder = folder();
    let list = std::fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let mut files: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let ending = |path: &Path| path.extension().unwrap_or_default().to_string_lossy().into_owned();
    files.retain(|path| matches!(ending(path).as_str(), "cu" | "cuh" | "sh"));
    let mut hash = DefaultHasher::new();
    for file in files.iter().chain([&root().join("tools/toolchain.sh")]) {
        let text = std::fs::read(file).map_err(|why| format!("{}: {why}", file.display()))?;
        (file.file_name(), text).hash(&mut hash);
    }
    let cache = root().join(format!("target/mutants/{:016x}", hash.finish()));
    if !cache.exists() {
        build(&folder, &cache)?;
    }
    let stems = files.iter().filter(|path| ending(path) == "cu").filter_map(|path| path.file_stem());
    let read = |stem: String| {
        let path = cache.join(format!("{stem}.ptx"));
        let text = std::fs::read_to_string(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok((stem, text))
    };
    stems.map(|stem| read(stem.to_string_lossy().into_owned())).collect()
}

/// Compiles into a folder that gets its name when all is there.
fn build(folder: &Path, cache: &Path) -> Result<(), String> {
    let part = cache.with_extension(format!("{}", std::process::id()));
    std::fs::create_dir_all(&part).map_err(|why| format!("{}: {why}", part.display()))?;
    let mut command = Command::new(folder.join("build.sh"));
    let output = command.arg(&part).stdin(Stdio::null()).output();
    let output = output.map_err(|why| format!("build.sh does not start: {why}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Err(format!(
            "build.sh failed ({}); see also tools/toolchain.sh\n{}",
            output.status,
            last.join("\n")
        ));
    }
    match std::fs::rename(&part, cache) {
        // Another process was faster.
        Err(_) if cache.exists() => Ok(()),
        done => done.map_err(|why| format!("{}: {why}", cache.display())),
    }
}
