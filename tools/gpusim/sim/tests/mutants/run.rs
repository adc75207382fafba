//! Launching kernels of the manifest.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gpusim::tensor_map::{DataType, Interleave, Swizzle, TensorMap};
use gpusim::{Arithmetic, Device, Launch, LaunchError, Schedule, Settings};

use crate::manifest::{Buffer, Kernel, Map};

/// Enough for every kernel of the suite, and soon reached by one that hangs.
const INSTRUCTION_LIMIT: u64 = 2_000_000;

/// How a launch ended.
pub enum Ended {
    /// The buffers with an expected result, as numbers.
    Done(BTreeMap<String, Vec<f64>>),
    Failed(LaunchError),
    /// The launch could not be made, or the simulator panicked.
    Broken(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Done(_) => write!(f, "no finding"),
            Ended::Failed(error) => write!(f, "{error}"),
            Ended::Broken(why) => write!(f, "broken: {why}"),
        }
    }
}

/// Runs the kernels of one module on one device, in order.
pub fn all(ptx: &str, kernels: &[&Kernel], seed: u64) -> Vec<Ended> {
    let settings = Settings {
        seed,
        schedule: if seed.is_multiple_of(2) { Schedule::Lowest } else { Schedule::Random },
        arithmetic: if seed.is_multiple_of(5) { Arithmetic::Exact } else { Arithmetic::Fast },
        check_global_init: true,
        instruction_limit: INSTRUCTION_LIMIT,
        threads: number("MUTANTS_THREADS").unwrap_or(1),
        // Nobody writes the buffers from outside while a launch runs.
        stall_seconds: 0.0,
        poll_limit: INSTRUCTION_LIMIT / 4,
        ..Settings::default()
    };
    let mut ends: Vec<Ended> = Vec::new();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let device = Device::new(settings);
        let module = device.load(ptx).map_err(|error| error.to_string())?;
        for kernel in kernels {
            let one = catch_unwind(AssertUnwindSafe(|| run(&device, &module, kernel)));
            ends.push(one.unwrap_or_else(|panic| Ended::Broken(said(&*panic))));
        }
        Ok(())
    }));
    let broken = done.unwrap_or_else(|panic| Err(said(&*panic))).err().unwrap_or_default();
    ends.resize_with(kernels.len(), || Ended::Broken(broken.clone()));
    ends
}

fn number(name: &str) -> Option<usize> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
}

fn run(device: &Device, module: &gpusim::Module, kernel: &Kernel) -> Ended {
    try_run(device, module, kernel).unwrap_or_else(Ended::Broken)
}

fn try_run(device: &Device, module: &gpusim::Module, kernel: &Kernel) -> Result<Ended, String> {
    let function = module.function(&kernel.entry).ok_or_else(|| format!("no kernel {}", kernel.entry))?;
    let mut at = BTreeMap::new();
    let mut freed = Vec::new();
    for (name, buffer) in &kernel.buffers {
        let Buffer::Own { elem, count, init, freed: gone } = buffer else { continue };
        let bytes = (count * width(elem)) as u64;
        let ptr = device.alloc(bytes, 256).map_err(|error| error.to_string())?;
        if let Some(values) = init.elements(*count) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| encode(elem, *v)).collect();
            device.write(ptr, &bytes).map_err(|error| error.to_string())?;
        }
        if *gone {
            freed.push(ptr);
        }
        at.insert(name.as_str(), ptr);
    }
    for (name, buffer) in &kernel.buffers {
        if let Buffer::Alias { alias } = buffer {
            at.insert(name, at[alias.as_str()]);
        }
    }
    for ptr in &freed {
        device.free(*ptr).map_err(|error| error.to_string())?;
    }
    let mut params = vec![0; function.param_bytes() as usize];
    if function.params().len() != kernel.params.len() {
        return Err(format!("the kernel has {} parameters", function.params().len()));
    }
    for (param, place) in kernel.params.iter().zip(function.params()) {
        let bytes: Vec<u8> = match param.kind.as_str() {
            "pointer" => at[param.name.as_str()].to_le_bytes().to_vec(),
            "i32" => param.value.expect("manifest: a value").to_le_bytes().to_vec(),
            "tensormap" => tensor_map(&kernel.tensormaps[&param.name], at[param.name.as_str()])?,
            kind => panic!("manifest: parameter kind {kind}"),
        };
        if bytes.len() != place.size as usize {
            return Err(format!("parameter {} has {} bytes", param.name, place.size));
        }
        params[place.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    let launch = Launch {
        grid: kernel.grid,
        block: kernel.block,
        cluster: (kernel.cluster != [1; 3]).then_some(kernel.cluster),
        shared_bytes: kernel.dynamic_shared,
        params,
        cooperative: kernel.cooperative,
        ..Launch::new(function)
    };
    if let Err(error) = device.launch(&launch) {
        return Ok(Ended::Failed(error));
    }
    let mut results = BTreeMap::new();
    for name in kernel.result.keys() {
        let Buffer::Own { elem, count, .. } = &kernel.buffers[name] else {
            panic!("manifest: result {name}")
        };
        let mut bytes = vec![0; count * width(elem)];
        device.read(at[name.as_str()], &mut bytes).map_err(|error| error.to_string())?;
        results.insert(name.clone(), bytes.chunks_exact(width(elem)).map(|b| decode(elem, b)).collect());
    }
    for ptr in kernel.buffers.iter().filter(|(_, b)| matches!(b, Buffer::Own { freed: false, .. })) {
        device.free(at[ptr.0.as_str()]).map_err(|error| error.to_string())?;
    }
    Ok(Ended::Done(results))
}

fn tensor_map(map: &Map, address: u64) -> Result<Vec<u8>, String> {
    let mut full = TensorMap {
        data_type: match map.elem.as_str() {
            "bfloat16" => DataType::Bf16,
            "float32" => DataType::F32,
            elem => panic!("manifest: tensor map of {elem}"),
        },
        rank: map.dims.len() as u32,
        address,
        sizes: [1; 5],
        strides: [0; 4],
        box_sizes: [1; 5],
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle: match map.swizzle_bytes {
            0 => Swizzle::None,
            128 => Swizzle::B128,
            bytes => panic!("manifest: swizzle of {bytes} bytes"),
        },
        l2_promotion: 0,
        nan_fill: false,
    };
    full.sizes[..map.dims.len()].copy_from_slice(&map.dims);
    full.strides[..map.strides.len()].copy_from_slice(&map.strides);
    full.box_sizes[..map.r#box.len()].copy_from_slice(&map.r#box);
    full.validate()?;
    Ok(full.encode().to_vec())
}

fn width(elem: &str) -> usize {
    match elem {
        "u8" => 1,
        "bf16" | "u16" => 2,
        "i32" | "u32" | "f32" => 4,
        "u64" | "f64" => 8,
        _ => panic!("manifest: element type {elem}"),
    }
}

/// Little-endian bytes; all values of the manifest are small whole numbers.
fn encode(elem: &str, value: f64) -> Vec<u8> {
    match elem {
        "u8" => vec![value as u8],
        "bf16" => ((value as f32).to_bits() >> 16).to_le_bytes()[..2].to_vec(),
        "u16" => (value as u16).to_le_bytes().to_vec(),
        "f64" => value.to_le_bytes().to_vec(),
        "i32" => (value as i32).to_le_bytes().to_vec(),
        "u32" => (value as u32).to_le_bytes().to_vec(),
        "f32" => (value as f32).to_le_bytes().to_vec(),
        "u64" => (value as u64).to_le_bytes().to_vec(),
        _ => panic!("manifest: element type {elem}"),
    }
}

fn decode(elem: &str, bytes: &[u8]) -> f64 {
    let word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    match elem {
        "i32" => f64::from(word as u32 as i32),
        "bf16" => f64::from(f32::from_bits((word as u32) << 16)),
        "f32" => f64::from(f32::from_bits(word as u32)),
        "f64" => f64::from_bits(word),
        _ => word as f64,
    }
}
