//! What the compiler made of the kernels: tensor instructions and copies of the widest kind where they belong, nothing in local memory, and the table of
//! registers, shared memory and occupancy in docs/kernels.md, which is made here (`PHOTON_WRITE_TABLES=1` writes it).
//!
//! Looks at the machine code for sm_90a, so that has to be among `PHOTON_CUDA_ARCHS`; needs `cuobjdump` on `PATH`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use photon_kernels::cuda::sys::IMAGES;

/// Runs cuobjdump on every image; its output by file.
fn dumped(option: &str) -> BTreeMap<&'static str, String> {
    let folder = tempfile::tempdir().expect("a folder");
    IMAGES
        .iter()
        .map(|&(name, image)| {
            let path = folder.path().join(format!("{name}.fatbin"));
            fs::write(&path, image).expect("a file");
            let run = Command::new("cuobjdump")
                .args(["-arch", "sm_90a", option])
                .arg(&path)
                .output()
                .expect("cuobjdump on PATH (the bin folder of tools/toolchain.sh)");
            let text = String::from_utf8_lossy(&run.stdout).into_owned();
            assert!(
                run.status.success() && text.contains("photon_"),
                "{name}: no code for sm_90a; add it to PHOTON_CUDA_ARCHS"
            );
            (name, text)
        })
        .collect()
}

/// The instructions of each kernel.
fn kernels() -> Vec<(&'static str, String, Vec<String>)> {
    let mut all = Vec::new();
    for (file, text) in dumped("-sass") {
        for part in text.split("Function : ").skip(1) {
            let name = part.split_whitespace().next().unwrap_or_default().to_string();
            let code = part
                .lines()
                .filter_map(|line| {
                    let rest = line.trim_start().strip_prefix("/*")?;
                    let (address, rest) = rest.split_once("*/")?;
                    (address.len() == 4).then(|| rest.trim().trim_end_matches(';').to_string())
                })
                .collect();
            all.push((file, name, code));
        }
    }
    all
}

const MATRIX: [&str; 7] = [
    "project",
    "proj_residual",
    "gate_up_swiglu",
    "qkv_rope_append",
    "lm_head_sample",
    "stream_attention_prefill",
    "stream_attention_decode",
];

#[test]
fn matrix_kernels_multiply_on_tensor_cores_and_copy_16_bytes_at_a_time_where_rows_begin_there() {
    for (file, name, code) in kernels() {
        if !MATRIX.contains(&file) || name == "photon_lm_head_pick" {
            continue;
        }
        let count = |what: &str| code.iter().filter(|line| line.contains(what)).count();
        assert!(count("HMMA.") > 0, "{name} has no tensor instruction");
        // Heads of 52 and 60 begin at multiples of 8 bytes.
        let narrow =
            file.starts_with("stream_attention") && (name.ends_with("_d52") || name.ends_with("_d60"));
        let kind = if narrow { "LDGSTS.E.64" } else { "LDGSTS.E.BYPASS.128" };
        let copies = count("LDGSTS");
        assert!(copies > 0 && copies == count(kind), "{name}: {copies} asynchronous copies, not all {kind}");
        assert!(count("LDSM") > 0, "{name} loads no matrices from shared memory");
    }
}

#[test]
fn no_kernel_keeps_anything_in_local_memory() {
    for (_, name, code) in kernels() {
        let local = code.iter().find(|line| line.contains("LDL") || line.contains("STL"));
        assert!(local.is_none(), "{name}: {}", local.map_or("", |line| line));
    }
}

/// What the compiler says of one kernel: registers, static shared memory.
fn resources() -> BTreeMap<String, (u32, u32)> {
    let mut all = BTreeMap::new();
    for text in dumped("-res-usage").values() {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let Some(name) = pair[0].trim().strip_prefix("Function ") else { continue };
            let field = |key: &str| -> u32 {
                let at = pair[1].find(key).unwrap_or_else(|| panic!("{key} in {}", pair[1])) + key.len();
                pair[1][at..].split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
            };
            // What the compiler calls shared memory has the 1 KiB in it that the system keeps in every CTA that has any.
            all.insert(
                name.trim_end_matches(':').to_string(),
                (field("REG:"), field("SHARED:").saturating_sub(1024)),
            );
        }
    }
    all
}

/// Threads and dynamic shared memory of a kernel at the shapes of photon-600m, bf16, batch 1.
fn launch(name: &str) -> (u32, u32) {
    let matrix = |size: u32| -> Option<(u32, u32)> {
        let shape = name.rsplit('_').next()?;
        let (rows, outputs) = shape.trim_start_matches(char::is_alphabetic).split_once('x')?;
        let (rows, outputs): (u32, u32) = (rows.parse().ok()?, outputs.parse().ok()?);
        let stage = 32 * (rows * size + outputs * 2);
        // A skinny kernel has as many stages for each of its four warps as 96 KiB hold, four at most.
        let skinny = || (128, 4 * stage * (96 * 1024 / (4 * stage)).min(4));
        Some(if shape.starts_with("tiled") { (2 * outputs, 4 * stage) } else { skinny() })
    };
    let width =
        || name.rsplit("_d").next().and_then(|d| d.parse::<u32>().ok()).map_or(0, |d| d.div_ceil(8) * 8);
    if name.contains("_skinny") || name.contains("_tiled") {
        return matrix(if name.contains("proj_residual") { 2 } else { 4 }).expect("a shape");
    }
    match name {
        _ if name.contains("prefill") => (128, (384 + if width() > 96 { 128 } else { 0 }) * width()),
        _ if name.contains("decode") => {
            let warps = if width() <= 64 { 4 } else { 2 };
            (32 * warps, (256 + if width() > 96 { 32 } else { 0 }) * warps * width())
        }
        // A window of 5 rows, 4 heads of 52: 52 fours, and 9 more between rows.
        _ if name.contains("local") => (128, 8 * 15 * (4 * 13 + 9) + 16 * 5 * 6),
        "photon_sample" | "photon_log_prob" => (256, 0),
        _ => (128, 0),
    }
}

/// CTAs of an SM of the H100: 65,536 registers in pieces of 256 a warp, 2,048 threads, 228 KiB of shared memory of which a CTA takes
/// 1 KiB more than it asks for, 32 CTAs.
fn blocks(threads: u32, registers: u32, shared: u32) -> u32 {
    let warps = threads.div_ceil(32);
    let by_registers = 65_536 / ((registers * 32).next_multiple_of(256) * warps);
    let by_shared = 228 * 1024 / (shared + 1024);
    by_registers.min(2048 / threads).min(by_shared).min(32)
}

fn table() -> String {
    let mut out = String::from(
        "| kernel | threads | registers | shared memory, bytes | CTAs an SM | warps an SM, of 64 |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (name, (registers, fixed)) in resources() {
        if name.contains("_f16") {
            continue;
        }
        let (threads, dynamic) = launch(&name);
        let count = blocks(threads, registers, fixed + dynamic);
        let short = name.strip_prefix("photon_").unwrap_or(&name);
        writeln!(
            out,
            "| `{short}` | {threads} | {registers} | {} | {count} | {} |",
            fixed + dynamic,
            count * threads / 32
        )
        .expect("a line");
    }
    out
}

#[test]
fn the_table_of_registers_shared_memory_and_occupancy_is_what_the_compiler_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kernels.md");
    let page = fs::read_to_string(&path).expect("docs/kernels.md");
    let (begin, end) = ("<!-- table resources -->\n", "<!-- end -->");
    let at = page.find(begin).expect("the table's place") + begin.len();
    let until = at + page[at..].find(end).expect("its end");
    let table = table();
    if std::env::var_os("PHOTON_WRITE_TABLES").is_some() {
        fs::write(&path, format!("{}{table}{}", &page[..at], &page[until..]))
            .expect("docs/kernels.md written");
        return;
    }
    // Another compiler allocates other registers: the table is that of the pinned one.
    let nvcc = Command::new("nvcc").arg("--version").output().expect("nvcc on PATH");
    if String::from_utf8_lossy(&nvcc.stdout).contains("V13.0.88") {
        assert!(
            page[at..until] == table,
            "docs/kernels.md is behind: PHOTON_WRITE_TABLES=1 cargo test --features cuda --test cuda_code"
        );
    }
}
