//! Sequences of calls that are mostly valid: the signatures are read from the sources, handles and addresses are those
//! that earlier calls gave out, alive or not, and sizes are small or extreme. Each call returns a code; none ends the
//! process or hangs.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Waits that nobody would end, function pointers, files that would be written, the end of everything, and what gives
/// addresses of this process back, which somebody else may get next.
const EXCLUDED: [&str; 24] = [
    "cuMemFreeHost",
    "cuMemAddressFree",
    "cuStreamWaitValue",
    "cuStreamBatchMemOp",
    "cuGraphDebugDotPrint",
    "cuLaunchHostFunc",
    "cuStreamAddCallback",
    "cuUserObjectCreate",
    "cuOccupancyMaxPotentialBlockSize",
    "HostNode",
    "cuGraphAddNode",
    "NodeSetParams",
    "cuMemAllocManaged",
    "cuMemHostRegister",
    "cuCtxDetach",
    "cuProfiler",
    "cuGetProcAddress",
    "cuDevicePrimaryCtxReset",
    "cuDevicePrimaryCtxRelease",
    "cuCtxDestroy",
    "cuCtxSetLimit",
    "cuDevicePrimaryCtxSetFlags",
    "cuCtxPopCurrent",
    "cuCtxSetCurrent",
];

/// What needs several arguments to be right at once, and is therefore tried often.
const OFTEN: [&str; 5] =
    ["cuLaunchKernel", "cuGraphAddKernelNode_v2", "cuGraphLaunch", "cuModuleGetFunction", "cuModuleLoadData"];

/// A function with the names and types of its arguments.
struct Function {
    name: String,
    arguments: Vec<(String, String)>,
}

/// The functions that the sources define.
fn functions() -> Vec<Function> {
    const HEAD: &str = "pub extern \"C\" fn ";
    let mut functions = Vec::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(sources).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in text.split(HEAD).skip(1) {
            let (head, _) = part.split_once(") ->").unwrap();
            let (name, list) = head.split_once('(').unwrap();
            let arguments = list.split(',').filter_map(|argument| argument.split_once(':'));
            let arguments = arguments.map(|(a, b)| (a.trim().to_string(), b.trim().to_string())).collect();
            if !EXCLUDED.iter().any(|excluded| name.contains(excluded)) {
                functions.push(Function { name: name.to_string(), arguments });
            }
        }
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    functions
}

/// The kind of object that a call makes.
fn makes(name: &str) -> Option<&'static str> {
    const MAKERS: [(&str, &str); 24] = [
        ("cuGraphAdd", "node"),
        ("cuGraphNodeFindInClone", "node"),
        ("cuGraphInstantiate", "exec"),
        ("cuGraphCreate", "graph"),
        ("cuGraphClone", "graph"),
        ("cuGraphChildGraphNodeGetGraph", "graph"),
        ("cuStreamEndCapture", "graph"),
        ("cuStreamCreate", "stream"),
        ("cuEventCreate", "event"),
        ("cuModuleLoad", "module"),
        ("cuLibraryGetModule", "module"),
        ("cuModuleGetFunction", "function"),
        ("cuKernelGetFunction", "function"),
        ("cuLibraryGetKernel", "kernel"),
        ("cuLibraryLoad", "library"),
        ("cuMemPoolCreate", "pool"),
        ("MemPool", "pool"),
        ("cuCtx", "context"),
        ("cuLinkCreate", "link"),
        ("cuMemCreate", "physical"),
        ("cuMemAlloc", "address"),
        ("cuMemHostAlloc", "address"),
        ("cuMemAddressReserve", "address"),
        ("cuModuleGetGlobal", "address"),
    ];
    MAKERS.iter().find(|(start, _)| name.contains(start)).map(|(_, kind)| *kind)
}

/// The kind of object that an argument names.
fn wants(function: &str, argument: &str) -> &'static str {
    match argument {
        "stream" | "upload_stream" => "stream",
        "event" => "event",
        "graph" | "child" | "clone" => "graph",
        "node" | "original" | "dst" | "src" if function.contains("Graph") => "node",
        "exec" => "exec",
        "function" => "function",
        "kernel" => "kernel",
        "pool" => "pool",
        "context" | "dst_context" | "src_context" | "peer" => "context",
        "address" | "pointer" | "dst" | "src" => "address",
        _ if function.contains("GraphDestroyNode") => "node",
        _ if function.contains("Event") => "event",
        _ if function.contains("GraphLaunch") || function.contains("GraphUpload") => "exec",
        _ if function.contains("GraphExec") || function.contains("SetEnabled") => "exec",
        _ if function.contains("Stream") => "stream",
        _ if function.contains("Module") => "module",
        _ if function.contains("Func") || function.contains("Occupancy") => "function",
        _ if function.contains("Kernel") => "kernel",
        _ if function.contains("Library") => "library",
        _ if function.contains("Link") => "link",
        _ if function.contains("Pool") => "pool",
        _ => "physical",
    }
}

/// Memory that arguments point into, and what earlier calls gave out.
struct World {
    memory: &'static mut [u64],
    known: HashMap<&'static str, Vec<usize>>,
    names: [&'static std::ffi::CStr; 4],
}

const WORDS: usize = 4096;
const GUARD: usize = 1 << 36;

impl World {
    fn new() -> World {
        let names = [c"add", c"bounded", c"total", c"nothing"];
        // In the middle of addresses that cannot be touched: structures hold sizes that are too large.
        // SAFETY: a fresh mapping, which stays.
        let memory = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let all = libc::mmap(std::ptr::null_mut(), 2 * GUARD, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(all, libc::MAP_FAILED);
            let middle = all.byte_add(GUARD);
            assert_eq!(libc::mprotect(middle, 8 * WORDS, libc::PROT_READ | libc::PROT_WRITE), 0);
            std::slice::from_raw_parts_mut(middle.cast(), WORDS)
        };
        World { memory, known: HashMap::new(), names }
    }

    fn handle(&self, random: &mut StdRng, kind: &str) -> usize {
        let known = self.known.get(kind).map_or(&[][..], Vec::as_slice);
        match random.random_range(0..20) {
            0 => 0,
            1 => random.random_range(1..4),
            2 => 0x6000_0000_0000 + 64 * random.random_range(0..4096usize),
            _ if known.is_empty() => 0,
            // Mostly what is new: old handles are often gone.
            3..=12 => known[known.len() - 1 - random.random_range(0..known.len().min(3))],
            _ => known[random.random_range(0..known.len())],
        }
    }

    fn number(random: &mut StdRng) -> usize {
        match random.random_range(0..16) {
            0 => usize::MAX - random.random_range(0..4usize),
            1 => 1 << random.random_range(0..64),
            2 => random.random_range(0..4096),
            3..=5 => 64,
            _ => random.random_range(0..5),
        }
    }

    /// A word such as structures hold: a number, a handle, or an address of the device or of this memory.
    fn word(&self, random: &mut StdRng) -> u64 {
        const KINDS: [&str; 6] = ["address", "function", "kernel", "event", "node", "graph"];
        match random.random_range(0..4) {
            0 => {
                let kind = KINDS[random.random_range(0..KINDS.len())];
                self.handle(random, kind) as u64
            }
            1 => self.memory.as_ptr() as u64 + 8 * random.random_range(0..WORDS as u64 - 512),
            2 => random.random_range(0..4u64) | random.random_range(0..4u64) << 32,
            _ => World::number(random) as u64,
        }
    }

    fn argument(&mut self, random: &mut StdRng, function: &str, name: &str, kind: &str) -> usize {
        if kind.contains("i8") {
            return self.names[random.random_range(0..4)].as_ptr() as usize;
        }
        if name == "image" || name == "code" || name == "data" && function.contains("LinkAdd") {
            return common::ADD.as_ptr() as usize;
        }
        if name == "extra" && random.random_range(0..8) > 0 {
            return 0;
        }
        if name == "kernel_params" && random.random_range(0..8) > 0 {
            // A device address, a value and a small count, in the middle of the memory.
            let at = WORDS / 2 - 8;
            self.memory[at] = self.handle(random, "address") as u64;
            self.memory[at + 1] = random.random_range(0..64);
            for (i, word) in [0, 1, 1].into_iter().enumerate() {
                self.memory[at + 2 + i] = (self.memory.as_ptr() as usize + 8 * (at + word)) as u64;
            }
            return self.memory.as_ptr() as usize + 8 * (at + 2);
        }
        if kind.starts_with('*') || ["kernel_params", "extra", "data"].contains(&name) {
            if random.random_range(0..20) == 0 {
                return [0, 8, 0x1234_5678, usize::MAX][random.random_range(0..4)];
            }
            // The first half of the memory is for results, the second for structures.
            let at = random.random_range(0..WORDS / 4);
            let at = if kind.starts_with("*mut") { at } else { WORDS / 2 + at };
            if kind.contains("Handle") && kind.starts_with("*const") {
                for i in 0..4 {
                    self.memory[at + i] = self.handle(random, wants(function, "node")) as u64;
                }
            } else {
                let few = random.random_range(1..32);
                for i in 0..few {
                    self.memory[at + i] = self.word(random);
                }
            }
            return self.memory.as_ptr() as usize + 8 * at;
        }
        match kind {
            "Handle" => self.handle(random, wants(function, name)),
            "u64" if ["dst", "src", "pointer", "address"].contains(&name) => self.handle(random, "address"),
            "usize" if ["dst", "src", "pointer", "address"].contains(&name) => match random.random() {
                true => self.handle(random, "address"),
                false => self.memory.as_ptr() as usize + 8 * random.random_range(0..WORDS / 2),
            },
            _ if ["device", "ordinal", "flags"].contains(&name) && random.random_range(0..8) > 0 => 0,
            _ if name.contains("block") || name.contains("grid") => random.random_range(1..3),
            _ => World::number(random),
        }
    }
}

/// Each thread's call under way, with its number.
static UNDER_WAY: Mutex<BTreeMap<usize, (u64, String)>> = Mutex::new(BTreeMap::new());

/// Ends the process if a call does not return.
fn watch() {
    let mut last = BTreeMap::new();
    loop {
        std::thread::sleep(Duration::from_secs(60));
        let now = UNDER_WAY.lock().unwrap().clone();
        for (thread, call) in &now {
            if last.get(thread) == Some(call) {
                eprintln!("{} does not return", call.1);
                std::process::abort();
            }
        }
        last = now;
    }
}

/// Makes the calls of one seed; returns the names of those that succeeded.
fn play(seed: u64, thread: usize, functions: &[Function], world: &mut World) -> BTreeSet<String> {
    let library = common::library();
    let mut random = StdRng::seed_from_u64(seed);
    let mut succeeded = BTreeSet::new();
    world.known.clear();
    for step in 0..4000 {
        let function = match makes(&functions[step % functions.len()].name) {
            // What makes objects comes first.
            Some(_) if step < functions.len() => &functions[step],
            _ if random.random_range(0..16) == 0 => {
                let often = OFTEN[random.random_range(0..OFTEN.len())];
                functions.iter().find(|function| function.name == often).unwrap()
            }
            _ => &functions[random.random_range(0..functions.len())],
        };
        let mut a = [0; 12];
        for (i, (name, kind)) in function.arguments.iter().enumerate().take(12) {
            a[i] = world.argument(&mut random, &function.name, name, kind);
        }
        let call = format!("seed {seed}, step {step}: {} {a:x?}", function.name);
        UNDER_WAY.lock().unwrap().insert(thread, (seed << 32 | step as u64, call));
        // SAFETY: the API promises to survive any argument that is not a function pointer, and what it writes lies in
        // this memory or is refused.
        let code = unsafe {
            let call = *library.get::<common::Code>(function.name.as_bytes()).unwrap();
            call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11])
        };
        assert!((0..999).contains(&code), "seed {seed}, step {step}: {} {a:x?}: {code}", function.name);
        if code == 0 {
            succeeded.insert(function.name.clone());
            let first = function.arguments.iter().position(|(_, kind)| kind.starts_with("*mut"));
            if let (Some(kind), Some(first)) = (makes(&function.name), first) {
                let start = world.memory.as_ptr() as usize;
                if let Some(&value) = a[first].checked_sub(start).and_then(|at| world.memory.get(at / 8)) {
                    world.known.entry(kind).or_default().push(value as usize);
                }
            }
        }
    }
    UNDER_WAY.lock().unwrap().remove(&thread);
    succeeded
}

/// What was left running or captured goes with the context.
fn reset() {
    // SAFETY: a plain call.
    assert_eq!(unsafe { cudarc::driver::sys::cuDevicePrimaryCtxReset_v2(0) } as i32, 0);
}

/// One test, because the context is the process's.
#[test]
fn sequences_of_calls_give_codes_in_one_thread_and_in_several() {
    std::thread::spawn(watch);
    let context = common::context();
    let functions = functions();
    assert!(functions.len() > 200, "{}", functions.len());
    let rounds: u64 = std::env::var("GPUSIM_FUZZ_ROUNDS").map_or(20, |n| n.parse().unwrap());
    let mut world = World::new();
    let mut succeeded = BTreeSet::new();
    for seed in 0..rounds {
        succeeded.extend(play(seed, 0, &functions, &mut world));
        reset();
    }
    // The test is worth something only if many functions do what they are for.
    assert!(succeeded.len() > functions.len() / 2, "{} of {}", succeeded.len(), functions.len());
    let needed =
        ["cuLaunchKernel", "cuGraphLaunch", "cuMemcpyDtoD_v2", "cuStreamEndCapture", "cuMemPoolCreate"];
    let never: Vec<&str> = needed.into_iter().filter(|name| !succeeded.contains(*name)).collect();
    assert!(never.is_empty(), "never succeeded: {never:?}");

    std::thread::scope(|scope| {
        for thread in 1..5 {
            let (context, functions) = (&context, &functions);
            scope.spawn(move || {
                context.bind_to_thread().unwrap();
                let mut world = World::new();
                for seed in 0..rounds / 4 {
                    play(1000 * thread as u64 + seed, thread, functions, &mut world);
                }
            });
        }
    });
    reset();
}
