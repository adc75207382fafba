//! Kernels made of one instruction: registers in, registers out.

use gpusim::{Arithmetic, Device, Launch, LaunchError, Settings};

use super::ptxas;

pub const MODES: [Arithmetic; 2] = [Arithmetic::Fast, Arithmetic::Exact];

pub fn settings(arithmetic: Arithmetic) -> Settings {
    Settings { arithmetic, ..Settings::default() }
}

/// ptxas must take the PTX.
pub fn assemble(ptx: &str) {
    if let Err(error) = ptxas::assemble(ptx, &[]) {
        panic!("{error}\n{ptx}");
    }
}

/// The beginning of a kernel with three parameters.
pub fn head(target: &str) -> String {
    let version = if target == "sm_90a" { "8.6" } else { "8.7" };
    format!(
        ".version {version}\n.target {target}\n.address_size 64\n.extern .shared .align 1024 .b8 s[];\n\
         .visible .entry k(.param .u64 p0, .param .u64 p1, .param .u64 p2)\n{{\n\
         .reg .b64 %a0, %a1, %a2, %at<8>; .reg .b32 %lane, %t<16>; .reg .pred %p<8>;\n\
         mov.u32 %lane, %tid.x; ld.param.u64 %a0, [p0]; ld.param.u64 %a1, [p1]; ld.param.u64 %a2, [p2];\n"
    )
}

/// Names of registers as a vector operand.
pub fn vector(name: &str, count: usize) -> String {
    let names: Vec<String> = (0..count).map(|n| format!("%{name}{n}")).collect();
    format!("{{{}}}", names.join(", "))
}

/// Loads registers `name0`… from `[base]`: register by register, a word for each thread.
pub fn load(name: &str, count: usize, bits: usize, base: &str, threads: usize) -> String {
    let mut text =
        format!(".reg .b{bits} %{name}<{}>; mad.wide.u32 %at0, %lane, {}, {base};\n", count.max(1), bits / 8);
    for n in 0..count {
        text += &format!("ld.global.b{bits} %{name}{n}, [%at0+{}];\n", n * threads * bits / 8);
    }
    text
}

pub fn store(name: &str, count: usize, bits: usize, base: &str, threads: usize) -> String {
    let mut text = format!("mad.wide.u32 %at1, %lane, {}, {base};\n", bits / 8);
    for n in 0..count {
        text += &format!("st.global.b{bits} [%at1+{}], %{name}{n};\n", n * threads * bits / 8);
    }
    text
}

/// Words of registers, in the order that [`load`] reads.
pub fn bytes(bits: usize, registers: &[Vec<u64>]) -> Vec<u8> {
    registers.iter().flatten().flat_map(|word| word.to_le_bytes()[..bits / 8].to_vec()).collect()
}

/// Registers out of words.
pub fn registers(bits: usize, threads: usize, bytes: &[u8]) -> Vec<Vec<u64>> {
    let word = |b: &[u8]| b.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let words: Vec<u64> = bytes.chunks_exact(bits / 8).map(word).collect();
    words.chunks_exact(threads).map(<[u64]>::to_vec).collect()
}

/// Runs kernel `k` of `ptx` on one CTA: `inputs` are parameters 1 and 2, the result is `out` bytes at parameter 0.
pub fn launch(
    settings: Settings,
    ptx: &str,
    threads: u32,
    inputs: [&[u8]; 2],
    out: usize,
) -> Result<Vec<u8>, LaunchError> {
    let device = Device::new(settings);
    ptxas::collect(ptx);
    let module = device.load(ptx).unwrap_or_else(|error| panic!("{error}\n{ptx}"));
    assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
    let function = module.function("k").expect("a kernel k");
    let mut params = Vec::new();
    let result = device.alloc(out.max(1) as u64, 256).unwrap();
    device.write(result, &vec![0xA5; out]).unwrap();
    params.extend(result.to_le_bytes());
    for input in inputs {
        let at = device.alloc(input.len().max(1) as u64, 256).unwrap();
        device.write(at, input).unwrap();
        params.extend(at.to_le_bytes());
    }
    device.launch(&Launch {
        block: [threads, 1, 1],
        params,
        shared_bytes: 96 << 10,
        ..Launch::new(function)
    })?;
    let mut bytes = vec![0; out];
    device.read(result, &mut bytes).unwrap();
    Ok(bytes)
}
