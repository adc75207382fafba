//! Feature `cuda`: compiles csrc/kernels/*.cu to one fatbin each. Without the feature it does nothing.
//!
//! nvcc is `PHOTON_NVCC`, or the one of `CUDA_HOME`, `CUDA_PATH`, `PATH`, or of the folder that tools/toolchain.sh made. A fatbin
//! holds machine code for the architectures of `PHOTON_CUDA_ARCHS` ("80,90a"; by default all that are known) and PTX for
//! compute_80, which any later GPU compiles when it loads it. With `PHOTON_CUDA_ARCHS=none`, and on docs.rs, nothing is compiled and no
//! nvcc is needed: for lints and documentation. Such a build says so where it would load the kernels.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A100, RTX 30, RTX 40 and L40, H100 and H200, B200, RTX 50.
const ARCHS: &str = "80,86,89,90a,100,120";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=csrc");
    for name in ["PHOTON_NVCC", "PHOTON_CUDA_ARCHS", "CUDA_HOME", "CUDA_PATH", "NVCC_CCBIN", "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Err(message) = build()
    {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set; run this through cargo")?);
    let archs = archs()?;
    if archs.is_empty() {
        return list_images(&[], &out);
    }
    let nvcc = nvcc()?;
    let flags = flags(&archs);
    let sources = listed("csrc/kernels", "cu")?;
    let common = Common::of(&nvcc, &flags)?;

    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let workers = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(2usize);
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, sources.len().max(1)) {
            scope.spawn(|| {
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(message) = compile(&nvcc, &flags, &common, source, &out)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(message);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().map_err(|_| "a compiling thread failed")?;
    if !failures.is_empty() {
        return Err(failures.join("\n"));
    }
    list_images(&sources, &out)
}

/// Writes the list of images that the crate includes.
fn list_images(sources: &[PathBuf], out: &Path) -> Result<(), String> {
    let mut list = String::from(
        "/// The compiled kernel files: name and fatbin.\npub static IMAGES: &[(&str, &[u8])] = &[\n",
    );
    for source in sources {
        let name = stem(source);
        let path = out.join(format!("{name}.fatbin"));
        list += &format!("    ({name:?}, include_bytes!({path:?})),\n");
    }
    list += "];\n";
    write(&out.join("images.rs"), list.as_bytes())
}

/// The architectures, or none at all.
fn archs() -> Result<Vec<String>, String> {
    let list = env::var("PHOTON_CUDA_ARCHS").unwrap_or_default();
    if list.trim() == "none" || env::var_os("DOCS_RS").is_some() {
        return Ok(Vec::new());
    }
    let list = if list.trim().is_empty() { ARCHS } else { &list };
    list.split(',')
        .map(|arch| {
            let arch = arch.trim();
            let digits = arch.trim_end_matches(['a', 'f']);
            match digits.parse::<u32>() {
                Ok(number) if number >= 80 => Ok(arch.to_string()),
                _ => Err(format!(
                    "PHOTON_CUDA_ARCHS has {arch:?}; it is a list of architectures from 80 on, such as 80,90a, or none"
                )),
            }
        })
        .collect()
}

fn flags(archs: &[String]) -> Vec<String> {
    let mut flags: Vec<String> = [
        "-fatbin",
        "-std=c++17",
        "-O3",
        "-lineinfo",
        // A header or a loop that ptxas dislikes is not to be noticed by users first.
        "-Werror=all-warnings",
        "-Xptxas=--warn-on-spills,--warning-as-error",
    ]
    .map(String::from)
    .to_vec();
    for arch in archs {
        flags.push(format!("-gencode=arch=compute_{arch},code=sm_{arch}"));
    }
    flags.push("-gencode=arch=compute_80,code=compute_80".into());
    flags
}

/// What every file depends on.
struct Common {
    headers: u64,
}

impl Common {
    fn of(nvcc: &Path, flags: &[String]) -> Result<Common, String> {
        let mut hasher = DefaultHasher::new();
        let version = Command::new(nvcc)
            .arg("--version")
            .output()
            .map_err(|error| format!("{} does not start: {error}", nvcc.display()))?;
        version.stdout.hash(&mut hasher);
        flags.hash(&mut hasher);
        let mut headers = listed("csrc/tile", "cuh")?;
        headers.push("csrc/photon.h".into());
        for header in headers {
            read(&header)?.hash(&mut hasher);
        }
        Ok(Common { headers: hasher.finish() })
    }
}

/// Compiles one file, unless what stands there was made of the same things.
fn compile(nvcc: &Path, flags: &[String], common: &Common, source: &Path, out: &Path) -> Result<(), String> {
    let mut hasher = DefaultHasher::new();
    common.headers.hash(&mut hasher);
    read(source)?.hash(&mut hasher);
    let key = format!("{:016x}", hasher.finish());
    let name = stem(source);
    let (image, stamp) = (out.join(format!("{name}.fatbin")), out.join(format!("{name}.key")));
    if image.exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == key) {
        return Ok(());
    }
    let run = Command::new(nvcc)
        .args(flags)
        .arg("-o")
        .arg(&image)
        .arg(source)
        .output()
        .map_err(|error| format!("{} does not start: {error}", nvcc.display()))?;
    if !run.status.success() {
        let text = String::from_utf8_lossy(&run.stderr);
        return Err(format!("nvcc failed on {}:\n{}", source.display(), text.trim_end()));
    }
    write(&stamp, key.as_bytes())
}

fn nvcc() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("PHOTON_NVCC") {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("PHOTON_NVCC is {}, where there is no file", path.display()))
        };
    }
    let in_root = |root: OsString| PathBuf::from(root).join("bin").join("nvcc");
    let mut candidates: Vec<PathBuf> =
        ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(env::var_os).map(in_root).collect();
    if let Some(path) = env::var_os("PATH") {
        candidates.extend(env::split_paths(&path).map(|folder| folder.join("nvcc")));
    }
    candidates.push("/usr/local/cuda/bin/nvcc".into());
    for version in listed_folders("target/toolchain") {
        for python in listed_folders(version.join("lib")) {
            candidates.extend(
                listed_folders(python.join("site-packages/nvidia"))
                    .into_iter()
                    .map(|root| root.join("bin/nvcc")),
            );
        }
    }
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        "feature `cuda` needs nvcc of CUDA 12 or later, and none was found. Set PHOTON_NVCC or CUDA_HOME, put nvcc on PATH, or \
         run tools/toolchain.sh, which installs one under target/"
            .into()
    })
}

fn listed(folder: &str, extension: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    Ok(files)
}

fn listed_folders(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
