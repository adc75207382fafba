//! A case on the device: buffers, parameters, the launch, and what is found in memory afterwards.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use gpusim::tensor_map::{DataType, Interleave, Swizzle, TensorMap};
use gpusim::{Arithmetic, Device, Function, Launch, Limits, Schedule, Settings};

use crate::elem::{Array, Elem};
use crate::fill::{Random, Wide, fill};
use crate::manifest::{Case, Global, Program};

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    pub seed: u64,
    pub arithmetic: Arithmetic,
    /// Whether races and the like are reported.
    pub checks: bool,
    /// Sentinels stand around every buffer, and outputs hold a pattern before the launch. Otherwise allocations end where
    /// the buffers do, outputs are left alone, and reading what nothing has written is an error.
    pub sentinels: bool,
}

/// Inputs, and outputs as the device left them.
pub struct Outcome {
    pub before: BTreeMap<String, Array>,
    pub after: BTreeMap<String, Array>,
    pub printed: String,
}

const PATTERN: u8 = 0xC7;
const MARGIN: u64 = 512;

/// Bytes that the device prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub fn device(variant: Variant) -> Device {
    Device::new(Settings {
        seed: variant.seed,
        schedule: if variant.seed.is_multiple_of(2) { Schedule::Lowest } else { Schedule::Random },
        arithmetic: variant.arithmetic,
        checks: variant.checks,
        check_global_init: variant.checks && !variant.sentinels,
        instruction_limit: 400_000_000,
        ..Settings::default()
    })
}

struct Placed {
    at: u64,
    array: Array,
    sentinels: bool,
}

impl Placed {
    /// Copies an array to the device; None is left unwritten, or patterned if there are sentinels.
    fn new(device: &Device, shape: Array, contents: bool, sentinels: bool) -> Result<Placed, String> {
        let bytes = shape.bytes.len() as u64;
        let margin = if sentinels { MARGIN } else { 0 };
        let base = device.alloc(bytes + 2 * margin, 256).map_err(|error| error.to_string())?;
        if sentinels {
            device.fill(base, &[PATTERN], bytes + 2 * margin).map_err(|error| error.to_string())?;
        }
        let at = base + margin;
        if contents {
            device.write(at, &shape.bytes).map_err(|error| error.to_string())?;
        }
        Ok(Placed { at, array: shape, sentinels })
    }

    fn read(&self, device: &Device, name: &str) -> Result<Array, String> {
        let mut array = self.array.clone();
        device.read(self.at, &mut array.bytes).map_err(|error| error.to_string())?;
        if self.sentinels {
            let mut around = vec![0; MARGIN as usize];
            for (side, from) in [("before", self.at - MARGIN), ("after", self.at + array.bytes.len() as u64)]
            {
                device.read(from, &mut around).map_err(|error| error.to_string())?;
                if let Some(i) = around.iter().position(|&byte| byte != PATTERN) {
                    return Err(format!("{name}: byte {i} of the {MARGIN} {side} it was overwritten"));
                }
            }
        }
        Ok(array)
    }
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn tensor_map(program: &Program, name: &str, placed: &Placed) -> Result<[u8; 128], String> {
    let described = &program.tensormaps[name];
    let elem = placed.array.elem;
    let data_type = match described.elem.as_str() {
        "bfloat16" => DataType::Bf16,
        "float16" => DataType::F16,
        "float32" => DataType::F32,
        "int32" => DataType::I32,
        "uint8" => DataType::U8,
        other => return Err(format!("tensor map of {other}")),
    };
    let rank = placed.array.shape.len();
    let mut map = TensorMap {
        data_type,
        rank: rank as u32,
        address: placed.at,
        sizes: [1; 5],
        strides: [0; 4],
        box_sizes: [1; 5],
        element_strides: [1; 5],
        interleave: Interleave::None,
        swizzle: match described.swizzle_bytes {
            0 => Swizzle::None,
            32 => Swizzle::B32,
            64 => Swizzle::B64,
            128 => Swizzle::B128,
            other => return Err(format!("swizzle of {other} bytes")),
        },
        l2_promotion: 2,
        nan_fill: false,
    };
    let mut stride = elem.bytes() as u64;
    for (d, (&size, &extent)) in placed.array.shape.iter().zip(&described.extent).rev().enumerate() {
        map.sizes[d] = size as u64;
        map.box_sizes[d] = extent;
        if d > 0 {
            map.strides[d - 1] = stride;
        }
        stride *= size as u64;
    }
    map.validate()?;
    Ok(map.encode())
}

/// Runs one case. `change` may alter the inputs.
pub fn run(
    program: &Program,
    case: &Case,
    variant: Variant,
    ptx: &str,
    wide: Wide,
    change: &dyn Fn(&mut BTreeMap<String, Array>),
) -> Result<Outcome, String> {
    let device = device(variant);
    let printed = Printed::default();
    device.set_output(Box::new(printed.clone()));
    // Recursion needs more than the default, as on hardware.
    device.set_limits(Limits { stack_bytes: 256 << 10, ..Limits::default() });
    let module = device.load(ptx).map_err(|error| format!("load: {error}"))?;
    let function = module.function(&program.entry).ok_or("no such entry")?;

    let mut random = Random(0xC0FF_EE00 + variant.seed);
    let mut before = BTreeMap::new();
    for (name, buffer) in &case.buffers {
        if let Some(array) = fill(buffer, &mut random, wide) {
            before.insert(name.clone(), array);
        }
    }
    change(&mut before);
    let mut placed = BTreeMap::new();
    for (name, buffer) in &case.buffers {
        let elem = Elem::named(&buffer.elem);
        let count: usize = buffer.shape.iter().product();
        let blank = || Array { elem, shape: buffer.shape.clone(), bytes: vec![0; count * elem.bytes()] };
        let array = match before.get(name) {
            Some(array) => array.clone(),
            None if buffer.init == "pointers:iota:32" => {
                let mut pointers = Vec::new();
                for _ in 0..count {
                    let iota = Array::new(Elem::named("i32"), &[32], 0..32);
                    pointers.push(Placed::new(&device, iota, true, variant.sentinels)?.at);
                }
                Array::new(elem, &buffer.shape, pointers)
            }
            None => blank(),
        };
        let contents = buffer.init != "unwritten";
        placed.insert(name.clone(), Placed::new(&device, array, contents, variant.sentinels)?);
    }
    for Global { name, write, .. } in &case.globals {
        if !write.is_empty() {
            let (at, _) = module.global(name).ok_or_else(|| format!("no global {name}"))?;
            device.write(at, &words(write)).map_err(|error| error.to_string())?;
        }
    }

    let params = params(program, case, &device, &function, &placed)?;
    let cluster = (program.cluster != [1, 1, 1]).then_some(program.cluster);
    let launch = Launch {
        grid: case.grid,
        block: program.block,
        cluster,
        shared_bytes: program.dynamic_shared,
        params,
        cooperative: program.cooperative,
        ..Launch::new(function)
    };
    device.launch(&launch).map_err(|error| format!("launch: {error}"))?;

    let mut after = BTreeMap::new();
    for (name, placed) in &placed {
        let array = placed.read(&device, name)?;
        if !is_output(case, name) && array.bytes != placed.array.bytes {
            return Err(format!("{name}: an input was changed"));
        }
        after.insert(name.clone(), array);
    }
    for Global { name, expect_after, .. } in &case.globals {
        if !expect_after.is_empty() {
            let (at, bytes) = module.global(name).ok_or_else(|| format!("no global {name}"))?;
            let mut found = vec![0; bytes as usize];
            device.read(at, &mut found).map_err(|error| error.to_string())?;
            let expected: Vec<u8> = expect_after.iter().flat_map(|word| word.to_le_bytes()).collect();
            if found != expected {
                return Err(format!("global {name}: {found:?}, expected {expected:?}"));
            }
        }
    }
    let printed = String::from_utf8_lossy(&printed.0.lock().unwrap()).into_owned();
    Ok(Outcome { before, after, printed })
}

fn is_output(case: &Case, name: &str) -> bool {
    matches!(case.buffers[name].init.as_str(), "zero" | "unwritten")
        || case.text("op") == Some("combine") && case.text("y") == Some(name)
}

fn params(
    program: &Program,
    case: &Case,
    device: &Device,
    function: &Function,
    placed: &BTreeMap<String, Placed>,
) -> Result<Vec<u8>, String> {
    let layout = function.params();
    if layout.len() != program.params.len() {
        return Err(format!(
            "{} parameters in the PTX, {} in the manifest",
            layout.len(),
            program.params.len()
        ));
    }
    let mut out = vec![0; function.param_bytes() as usize];
    for (param, place) in program.params.iter().zip(layout) {
        let arg = || case.args.get(&param.name).copied().ok_or_else(|| format!("no argument {}", param.name));
        let bytes: Vec<u8> = match param.kind.as_str() {
            "pointer" => match placed.get(&param.name) {
                Some(placed) => placed.at.to_le_bytes().to_vec(),
                None => return Err(format!("no buffer {}", param.name)),
            },
            "tensormap" => tensor_map(program, &param.name, &placed[&param.name])?.to_vec(),
            "i32" => (arg()? as i32).to_le_bytes().to_vec(),
            "i64" => (arg()? as i64).to_le_bytes().to_vec(),
            "fp32" => (arg()? as f32).to_le_bytes().to_vec(),
            "scratch" => {
                let ctas: u64 = case.grid.iter().map(|&n| n as u64).product();
                let bytes = param.bytes_per_cta * ctas;
                let at = match bytes {
                    0 => 0,
                    _ => {
                        device.alloc(bytes, param.scratch_align.max(1)).map_err(|error| error.to_string())?
                    }
                };
                at.to_le_bytes().to_vec()
            }
            other => return Err(format!("a parameter of kind {other}")),
        };
        if bytes.len() != place.size as usize {
            return Err(format!("{}: {} bytes, the PTX declares {}", param.name, bytes.len(), place.size));
        }
        let at = place.offset as usize;
        out[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    Ok(out)
}
