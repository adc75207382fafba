//! Wild arguments: every function of the API is called with null, small numbers, handles that are valid, freed or of
//! another kind, huge sizes and addresses that are not mapped. Each call returns a code; none ends the process.

mod common;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Functions whose wild arguments would hang or jump, on a GPU too: waits for a value that never comes, function
/// pointers, and a file that would be written under a wild name.
const EXCLUDED: [&str; 4] =
    ["cuStreamWaitValue32_v2", "cuStreamWaitValue64_v2", "cuStreamBatchMemOp_v2", "cuGraphDebugDotPrint"];

/// Position of the function pointer, or of the structure that holds one, among the arguments.
const CALLBACKS: [(&str, usize); 14] = [
    ("cuGraphAddHostNode", 4),
    ("cuGraphAddNode", 4),
    ("cuGraphAddNode_v2", 5),
    ("cuGraphAddNode_v3", 5),
    ("cuLaunchHostFunc", 1),
    ("cuLaunchHostFunc_v2", 1),
    ("cuStreamAddCallback", 1),
    ("cuUserObjectCreate", 2),
    ("cuOccupancyMaxPotentialBlockSize", 3),
    ("cuOccupancyMaxPotentialBlockSizeWithFlags", 3),
    ("cuGraphHostNodeSetParams", 1),
    ("cuGraphExecHostNodeSetParams", 2),
    ("cuGraphNodeSetParams", 1),
    ("cuGraphExecNodeSetParams", 2),
];

/// Pages that end before one that cannot be touched, so that a size that is too large is noticed.
struct Guarded {
    start: usize,
}

const PAGES: usize = 4;

impl Guarded {
    fn new() -> Guarded {
        // SAFETY: fresh mappings.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let all = libc::mmap(std::ptr::null_mut(), (PAGES + 1) * 4096, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(all, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(all, PAGES * 4096, libc::PROT_READ | libc::PROT_WRITE), 0);
            Guarded { start: all as usize }
        }
    }

    fn word(&self, random: &mut StdRng) -> usize {
        // SAFETY: inside the pages.
        unsafe { ((self.start + 8 * random.random_range(0..PAGES * 512)) as *const usize).read_volatile() }
    }
}

fn argument(random: &mut StdRng, memory: &Guarded) -> usize {
    let inside = memory.start + 8 * random.random_range(0..PAGES * 512);
    match random.random_range(0..14) {
        0 | 1 => 0,
        2 | 3 => random.random_range(0..20),
        4 => usize::MAX - random.random_range(0..20usize),
        5 => 1 << random.random_range(0..64),
        6 => random.random::<u64>() as usize,
        7 => 0x1000_0000_0000 + 256 * random.random_range(0..4096usize),
        8 => 0x6000_0000_0000 + 64 * random.random_range(0..2048usize),
        9..=11 => inside,
        // What earlier calls wrote: handles and addresses, valid, freed or of another kind.
        _ => memory.word(random),
    }
}

unsafe extern "C" fn callback(_: usize) {}

#[test]
fn wild_arguments_give_codes() {
    common::start();
    let library = common::library();
    let names: Vec<&str> = include_str!("../symbols.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !EXCLUDED.contains(name))
        .collect();
    let rounds: u64 = std::env::var("GPUSIM_FUZZ_ROUNDS").map_or(40, |n| n.parse().unwrap());
    for seed in 0..rounds {
        let mut random = StdRng::seed_from_u64(seed);
        let memory = Guarded::new();
        // SAFETY: the API promises to survive any argument, except function pointers, which are valid or null.
        unsafe {
            let get = |name: &str| *library.get::<common::Code>(name.as_bytes()).unwrap();
            // A context, a stream, an event, memory and a graph, so that valid handles are among the words.
            let m = memory.start;
            get("cuDevicePrimaryCtxRetain")(m, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuCtxSetCurrent")(*(m as *const usize), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuStreamCreate")(m + 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuEventCreate")(m + 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuMemAlloc_v2")(m + 24, 4096, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuGraphCreate")(m + 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuModuleLoadData")(m + 40, common::ADD.as_ptr() as usize, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let module = *((m + 40) as *const usize);
            get("cuModuleGetFunction")(m + 48, module, c"add".as_ptr() as usize, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuGraphAddEmptyNode")(m + 56, *((m + 32) as *const usize), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            get("cuGraphInstantiateWithFlags")(
                m + 64,
                *((m + 32) as *const usize),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            );
            for call in 0..2000 {
                if call % 50 == 0 {
                    get("cuDevicePrimaryCtxRetain")(m, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
                    get("cuCtxSetCurrent")(*(m as *const usize), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
                }
                let name = names[random.random_range(0..names.len())];
                let mut a: [usize; 12] = std::array::from_fn(|_| argument(&mut random, &memory));
                if let Some((_, at)) = CALLBACKS.iter().find(|(callback, _)| *callback == name) {
                    let is_function =
                        name.contains("Func") || name.contains("User") || name.contains("Callback");
                    a[*at] = if is_function && random.random() { callback as *const () as usize } else { 0 };
                }
                let code =
                    get(name)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
                assert!((0..=999).contains(&code), "{name}: {code}");
                assert_ne!(code, 999, "{name}{a:x?} panicked");
            }
            // Whatever happened, the driver still works.
            get("cuDevicePrimaryCtxReset_v2")(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        }
    }
    let context = common::context();
    let stream = context.new_stream().unwrap();
    let data = stream.clone_htod(&[1u32, 2, 3]).unwrap();
    assert_eq!(stream.clone_dtoh(&data).unwrap(), [1, 2, 3]);
}
