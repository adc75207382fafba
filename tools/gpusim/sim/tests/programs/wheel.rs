//! The kernels of mmasim-kernels, compiled by `bitexact.py kernels`, against mmasim's results.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::elem::{Array, Elem, Format, TF32};
use crate::manifest::folder;
use crate::mmasim::{Operands, Vector, device, run};

/// An entry of the wheel.
#[derive(Clone, Deserialize)]
pub struct Kernel {
    file: String,
    entry: String,
    block: u32,
}

/// Inputs by the number that they are made from, and the digest of mmasim's result.
#[derive(Clone, Deserialize)]
pub struct Digest {
    instruction: String,
    m: usize,
    n: usize,
    k: usize,
    inputs: u32,
    seed: u64,
    /// In hexadecimal.
    digest: String,
}

#[derive(Deserialize)]
struct Digests {
    cases: Vec<Digest>,
}

fn kernels_folder() -> PathBuf {
    folder().join("../../../target/mmasim-kernels")
}

/// The wheel's kernels, if they have been compiled.
pub fn kernels() -> Option<BTreeMap<String, Kernel>> {
    let text = std::fs::read_to_string(kernels_folder().join("kernels.json")).ok()?;
    Some(serde_json::from_str(&text).expect("kernels.json's format"))
}

/// The cases of each instruction.
pub fn digests() -> BTreeMap<String, Vec<Digest>> {
    let text = std::fs::read_to_string(folder().join("mmasim_digests.json")).expect("mmasim_digests.json");
    let digests: Digests = serde_json::from_str(&text).expect("mmasim_digests.json's format");
    let mut by_instruction: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
    for case in digests.cases {
        by_instruction.entry(case.instruction.clone()).or_default().push(case);
    }
    by_instruction
}

/// The kernel's module without the file's other kernels: loading lowers all that is there.
fn ptx(kernel: &Kernel) -> Result<String, String> {
    let file = kernels_folder().join(&kernel.file);
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let head = &text[..text.find("\n\t// .globl").ok_or("no entry")?];
    let at = text.find(&format!(".entry {}(", kernel.entry)).ok_or("the entry is missing")?;
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find("\n}").ok_or("the entry has no end")?;
    Ok(format!("{head}\n{}\n}}\n", &text[start..at + end]))
}

/// The wheel's own kernel on all vectors of an instruction.
pub fn run_vectors(cases: &[Vector], blob: &[u8], kernel: &Kernel) -> Result<(), String> {
    let ptx = ptx(kernel)?;
    for case in cases {
        let operands = Operands::new(case, blob);
        let (a, b, c) = (operands.a.bytes.clone(), operands.b.bytes.clone(), operands.c.bytes.clone());
        let blank = vec![0; operands.d.bytes.len()];
        let buffers = if operands.wgmma { vec![c, a, b] } else { vec![blank, a, b, c] };
        let bytes = run(&device(&case.arch), &ptx, &kernel.entry, kernel.block, &buffers)?;
        operands.compare(&Array { bytes, ..operands.d.clone() }, &format!("inputs {}", case.inputs))?;
    }
    Ok(())
}

/// The wheel's own kernel on inputs made here and in `bitexact.py`: how often it was launched.
pub fn run_digests(instruction: &str, cases: &[Digest], kernel: &Kernel) -> Result<usize, String> {
    let ptx = ptx(kernel)?;
    let shape = instruction.split_once(' ').ok_or("an instruction without a shape")?.1;
    let types: Vec<Elem> = shape.split('.').skip(1).map(Elem::named).collect();
    for case in cases {
        let operand = |which: u64, elem: Elem, count: usize| made(case.seed, which, case.inputs, elem, count);
        let a = operand(0, types[1], case.m * case.k);
        let b = operand(1, types[2], case.n * case.k);
        let c = operand(2, types[0], case.m * case.n);
        let found = run(&device("Hopper"), &ptx, &kernel.entry, kernel.block, &[c, a, b])?;
        let digest = digest(types[0], &found);
        if format!("{digest:016x}") != case.digest {
            let (inputs, seed) = (case.inputs, case.seed);
            return Err(format!(
                "inputs {inputs} of seed {seed}: digest {digest:016x}, mmasim's {}",
                case.digest
            ));
        }
    }
    Ok(cases.len())
}

fn mixed(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// The elements of operand `which`: 0 signs, four binades around one, any fraction; 1 any finite bits; 2 any bits.
fn made(seed: u64, which: u64, inputs: u32, elem: Elem, count: usize) -> Vec<u8> {
    let Format { exponent, mantissa, .. } = elem.format();
    let start = mixed(4 * seed + which);
    let (ones, bias) = ((1u64 << exponent) - 1, (1u64 << (exponent - 1)) - 1);
    let mut bytes = Vec::with_capacity(count * elem.bytes());
    for i in 0..count as u64 {
        let word = mixed(start.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let fraction = word & ((1 << mantissa) - 1);
        let any = word >> 52 & ones;
        let field = match inputs {
            0 => bias - 2 + (word >> 52 & 3),
            1 if any == ones => ones - 1,
            _ => any,
        };
        let mut bits = word >> 63 << (exponent + mantissa) | field << mantissa | fraction;
        if elem.format() == TF32 {
            bits <<= 13;
        }
        bytes.extend(&bits.to_le_bytes()[..elem.bytes()]);
    }
    bytes
}

/// FNV-1a of the bytes, all NaN as one.
fn digest(elem: Elem, bytes: &[u8]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for element in bytes.chunks_exact(elem.bytes()) {
        let mut bits = element.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        if elem.value(bits).is_nan() {
            bits = u64::MAX;
        }
        for byte in &bits.to_le_bytes()[..elem.bytes()] {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
    }
    hash
}
