//! Running one kernel on fresh devices, under many seeds.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use gpusim::tensor_map::TensorMap;
use gpusim::{Device, Launch, LaunchError, Schedule, Settings};

use super::ptxas;

pub const SEEDS: u64 = 20;

/// A parameter of the kernel.
#[derive(Clone)]
pub enum Arg {
    /// A buffer with these words.
    Words(Vec<u32>),
    /// A tensor map over the buffer that is the argument with this number; its address is filled in.
    Map(usize, TensorMap),
}

/// A kernel `k` with its launch. Parameters are `.u64` pointers `p0`, `p1`, … and maps `.align 64 .b8 pN[128]`.
#[derive(Clone)]
pub struct Case {
    pub body: String,
    pub args: Vec<Arg>,
    pub grid: u32,
    pub block: u32,
    pub cluster: u32,
    pub shared: u32,
}

impl Case {
    pub fn new(body: impl Into<String>, args: Vec<Arg>) -> Case {
        Case { body: body.into(), args, grid: 1, block: 32, cluster: 1, shared: 0 }
    }

    pub fn block(self, block: u32) -> Case {
        Case { block, ..self }
    }

    pub fn cluster(self, cluster: u32) -> Case {
        Case { cluster, grid: cluster, ..self }
    }

    /// The module. Every thread finds its number in `%t`, the CTA's rank in `%rank`, parameter `n` in `%Pn`. `%s`, `%b` are
    /// the shared addresses of 8 KiB `s` (aligned to 1024) and of the mbarriers `b`.
    pub fn ptx(&self) -> String {
        let mut params = Vec::new();
        let mut loads = String::new();
        for (n, arg) in self.args.iter().enumerate() {
            match arg {
                Arg::Words(_) => {
                    params.push(format!(".param .u64 p{n}"));
                    loads += &format!(".reg .b64 %P{n}; ld.param.u64 %P{n}, [p{n}];\n");
                }
                Arg::Map(..) => {
                    params.push(format!(".param .align 64 .b8 p{n}[128]"));
                    loads += &format!(".reg .b64 %P{n}; mov.b64 %P{n}, p{n}; cvta.param.u64 %P{n}, %P{n};\n");
                }
            }
        }
        let cluster = match self.cluster {
            1 => String::new(),
            n => format!(".explicitcluster .reqnctapercluster {n}, 1, 1"),
        };
        format!(
            ".version 8.6\n.target sm_90a\n.address_size 64\n.visible .entry k({}) {cluster}\n{{
            .reg .b16 %h<20>; .reg .b32 %r<60>; .reg .b64 %d<40>; .reg .f32 %f<20>; .reg .pred %p<20>; .reg .pred %one;
            .reg .b32 %t; .reg .b32 %rank; .reg .b32 %s; .reg .b32 %b; .reg .b32 %cta;
            .shared .align 1024 .b8 s[8192]; .shared .align 8 .b64 b[8];
            mov.u32 %t, %tid.x; mov.u32 %rank, %cluster_ctarank; mov.u32 %cta, %ctaid.x;
            mov.u32 %s, s; mov.u32 %b, b; setp.eq.u32 %one, %t, 0;
            {loads}{}\nret; }}\n",
            params.join(", "),
            self.body
        )
    }

    /// The buffers after a launch with a seed.
    pub fn run(&self, seed: u64, schedule: Schedule) -> Result<Vec<Vec<u32>>, LaunchError> {
        let ptx = self.ptx();
        assemble(&ptx);
        let device =
            Device::new(Settings { seed, schedule, instruction_limit: 2_000_000, ..Settings::default() });
        ptxas::collect(&ptx);
        let module = device.load(&ptx).unwrap_or_else(|error| panic!("{error}\n{ptx}"));
        assert!(module.unsupported().is_empty(), "{:?}", module.unsupported());
        let pointers: Vec<(u64, usize)> = self
            .args
            .iter()
            .map(|arg| match arg {
                Arg::Words(words) => {
                    let ptr = device.alloc(4 * words.len() as u64, 256).unwrap();
                    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
                    device.write(ptr, &bytes).unwrap();
                    (ptr, words.len())
                }
                Arg::Map(..) => (0, 0),
            })
            .collect();
        let mut params: Vec<u8> = Vec::new();
        for (arg, (ptr, _)) in self.args.iter().zip(&pointers) {
            match arg {
                Arg::Words(_) => {
                    params.resize(params.len().next_multiple_of(8), 0);
                    params.extend(ptr.to_le_bytes());
                }
                Arg::Map(of, map) => {
                    params.resize(params.len().next_multiple_of(64), 0);
                    let map = TensorMap { address: pointers[*of].0, ..map.clone() };
                    map.validate().unwrap();
                    params.extend(map.encode());
                }
            }
        }
        let function = module.function("k").unwrap();
        device.launch(&Launch {
            grid: [self.grid, 1, 1],
            block: [self.block, 1, 1],
            shared_bytes: self.shared,
            params,
            ..Launch::new(function)
        })?;
        let read = |&(ptr, count): &(u64, usize)| {
            let mut bytes = vec![0; 4 * count];
            if count > 0 {
                device.read(ptr, &mut bytes).unwrap();
            }
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        Ok(pointers.iter().map(read).collect())
    }

    /// Buffer `n` must hold `expected`, whatever the seed.
    #[track_caller]
    pub fn gives(&self, n: usize, expected: &[u32]) {
        for seed in 0..SEEDS {
            for schedule in [Schedule::Lowest, Schedule::Random] {
                let buffers = self.run(seed, schedule).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert_eq!(buffers[n], expected, "seed {seed}, {schedule:?}");
            }
        }
    }

    /// The launch must fail with a report of one of these kinds, whatever the seed.
    #[track_caller]
    pub fn fails(&self, kinds: &[&str]) -> String {
        let mut last = String::new();
        for seed in 0..SEEDS {
            for schedule in [Schedule::Lowest, Schedule::Random] {
                let error = match self.run(seed, schedule) {
                    Ok(_) => panic!("seed {seed}, {schedule:?}: nothing was reported"),
                    Err(error) => error,
                };
                let kind = error.report().map_or("", |report| report.kind.as_str());
                assert!(kinds.contains(&kind), "seed {seed}, {schedule:?}: {error}");
                last = error.to_string();
            }
        }
        last
    }
}

/// Words 0, 1, 2, …
pub fn iota(count: u32) -> Arg {
    Arg::Words((0..count).collect())
}

/// A buffer to write to.
pub fn out(count: usize) -> Arg {
    Arg::Words(vec![0xDEAD_BEEF; count])
}

/// A loop that waits for a phase of the mbarrier at the register `at`.
pub fn wait(at: &str, parity: &str) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!(
        "{{ .reg .pred %w; W{n}: mbarrier.try_wait.parity.shared::cta.b64 %w, [{at}], {parity}; @!%w bra W{n}; }}\n"
    )
}

/// ptxas must take what the tests run.
fn assemble(ptx: &str) {
    static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Default::default);
    let new = SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(ptx.to_owned());
    if new && let Err(error) = ptxas::assemble(ptx, &[]) {
        panic!("{error}\n{ptx}");
    }
}
