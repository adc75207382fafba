//! The race detector against brute force: random executions are fed to the library and, at the same time, built as an
//! explicit graph whose reachability decides every pair of accesses. Both have to agree on every access.

mod accesses;
mod barriers;
mod engines;
mod graph;

use gpusim_check::*;
use graph::Graph;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CLUSTERS: usize = 2;
const RANKS: usize = 2;
const WARPS: usize = 2;
/// The second warp has 8 lanes.
const THREADS: u32 = 40;
const SHARED: u32 = 1024;
/// mbarriers lie on a line of their own.
const MBARRIERS: [u64; 2] = [896, 904];

/// Where coalesced global accesses begin: they reach into the next page.
const CROSSING: u64 = 8192 - 512;

const EVENTS: u32 = 300;

type Node = usize;

#[derive(Clone, Copy, PartialEq)]
enum Proxy {
    AsyncShared,
    AsyncGlobal,
}

/// Which memory: `Some(cta)` for shared.
type Memory = Option<usize>;

#[derive(Clone)]
struct Access {
    node: Node,
    memory: Memory,
    from: u64,
    size: u64,
    kind: AccessKind,
    seat: (usize, usize),
    generic: bool,
    /// The thread that accesses itself, not through an engine.
    thread: Option<usize>,
}

#[derive(Clone)]
struct Arrival {
    node: Node,
    seat: (usize, usize),
    scope: Scope,
}

/// A strong write in the release sequence of a location: what it releases.
type Chain = Vec<Arrival>;

fn reaches(scope: Scope, a: (usize, usize), b: (usize, usize)) -> bool {
    match scope {
        Scope::Cta => a == b,
        Scope::Cluster => a.0 == b.0,
        _ => true,
    }
}

#[derive(Clone, Default)]
struct Thread {
    last: Option<Node>,
    release_fences: Vec<(Node, Scope)>,
    /// Reads with what they read from.
    reads: Vec<(Scope, Chain)>,
    copies: Vec<Node>,
    copy_groups: Vec<Vec<Node>>,
    bulk_reads: Vec<Node>,
    bulk_writes: Vec<Node>,
    bulk_groups: Vec<(Vec<Node>, Vec<Node>)>,
}

#[derive(Clone, Default)]
struct Object {
    arriving: Vec<Arrival>,
    complete: Vec<Arrival>,
}

enum Landing {
    Bulk(BulkOp, Node),
    Mark(CopyMark, Vec<Node>),
}

struct World {
    rng: StdRng,
    graph: Graph,
    checks: Vec<ClusterCheck>,
    threads: Vec<Thread>,
    /// By cluster, rank, warp: lanes blocked at a barrier, and which.
    blocked: Vec<Vec<(u32, u32)>>,
    barrier_arrivals: Vec<[Vec<Node>; 2]>,
    cluster_arriving: Vec<Vec<Node>>,
    cluster_done: Vec<Vec<Node>>,
    objects: Vec<[Object; 2]>,
    landing: Vec<(usize, usize, usize, Landing)>,
    wgmma_open: Vec<Vec<Node>>,
    wgmma_groups: Vec<Vec<Vec<Node>>>,
    chains: Vec<(Memory, u64, u64, Chain)>,
    log: Vec<String>,
    races_found: u32,
}

fn lanes_of(mask: u32) -> impl Iterator<Item = u32> {
    (0..32).filter(move |l| mask >> l & 1 != 0)
}

fn live(warp: usize) -> u32 {
    if warp == 0 { u32::MAX } else { 0xff }
}

impl World {
    fn new(seed: u64) -> World {
        let settings = Settings { shared_uninitialised: false, ..Settings::default() };
        let launch = LaunchCheck::new(settings, Geometry { threads: THREADS, shared_bytes: SHARED });
        let checks =
            (0..CLUSTERS).map(|c| launch.cluster(c as u32, &[2 * c as u32, 2 * c as u32 + 1])).collect();
        let ctas = CLUSTERS * RANKS;
        let mut world = World {
            rng: StdRng::seed_from_u64(seed),
            graph: Graph::default(),
            checks,
            threads: vec![Thread::default(); ctas * WARPS * 32],
            blocked: vec![Vec::new(); ctas * WARPS],
            barrier_arrivals: vec![Default::default(); ctas],
            cluster_arriving: vec![Vec::new(); CLUSTERS],
            cluster_done: vec![Vec::new(); CLUSTERS],
            objects: vec![Default::default(); ctas],
            landing: Vec::new(),
            wgmma_open: vec![Vec::new(); ctas * WARPS],
            wgmma_groups: vec![Vec::new(); ctas * WARPS],
            chains: Vec::new(),
            log: Vec::new(),
            races_found: 0,
        };
        // The mbarriers exist before anything else happens.
        for cta in 0..ctas {
            for at in MBARRIERS {
                let warp = WarpId::new((cta % RANKS) as u32, 0);
                world.checks[cta / RANKS]
                    .mbarrier_init(warp, 0, (warp.rank, at), SiteId(0))
                    .expect("nothing before");
            }
        }
        for cluster in 0..CLUSTERS {
            world.every_lane(cluster, |check, warp, mask| check.cluster_arrive(warp, mask, true));
            world.checks[cluster].cluster_complete();
            world.every_lane(cluster, |check, warp, mask| check.cluster_wait(warp, mask));
        }
        world
    }

    fn every_lane(&mut self, cluster: usize, mut f: impl FnMut(&mut ClusterCheck, WarpId, u32)) {
        for (rank, warp) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            f(&mut self.checks[cluster], WarpId::new(rank, warp as u32), live(warp));
        }
    }

    fn pick(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn thread(cta: usize, warp: usize, lane: u32) -> usize {
        (cta * WARPS + warp) * 32 + lane as usize
    }

    fn advance(&mut self, cta: usize, warp: usize, lane: u32) -> Node {
        let t = Self::thread(cta, warp, lane);
        let preds: Vec<Node> = self.threads[t].last.into_iter().collect();
        let node = self.graph.node(&preds);
        self.threads[t].last = Some(node);
        node
    }

    fn scope(&mut self) -> Scope {
        [Scope::Cta, Scope::Cluster, Scope::Gpu, Scope::Sys][self.pick(4)]
    }

    fn seat(cta: usize) -> (usize, usize) {
        (cta / RANKS, cta)
    }

    fn synchronises(a: &Arrival, scope: Scope, to: (usize, usize)) -> bool {
        reaches(a.scope, a.seat, to) && reaches(scope, to, a.seat)
    }

    fn some_lanes(&mut self, cta: usize, warp: usize) -> u32 {
        let free = live(warp) & !self.blocked[cta * WARPS + warp].iter().fold(0, |m, b| m | b.0);
        let wish = match self.pick(6) {
            0 => u32::MAX,
            1 => 1,
            2 => 2,
            3 => 0b111,
            4 => 0xffff_0000 | 1,
            _ => 1 << self.pick(4),
        };
        free & wish
    }

    fn space(&mut self, cta: usize) -> (Space, Memory) {
        if self.chance(35) {
            (Space::Global, None)
        } else {
            let rank = if self.chance(75) { cta % RANKS } else { self.pick(RANKS) };
            (Space::Shared { rank: rank as u32 }, Some(cta / RANKS * RANKS + rank))
        }
    }

    /// One random event.
    fn step(&mut self) {
        let cta = self.pick(CLUSTERS * RANKS);
        let warp = self.pick(WARPS);
        let mask = self.some_lanes(cta, warp);
        if mask == 0 {
            return self.complete_barrier(cta);
        }
        match self.pick(26) {
            0..=9 => self.access(cta, warp, mask),
            10 => self.warp_sync(cta, warp, mask),
            11 | 12 => self.arrive_barrier(cta, warp, mask),
            13 => self.complete_barrier(cta),
            14 => self.cluster_barrier(cta, warp, mask),
            15 | 16 => self.fence(cta, warp, mask),
            17 => self.fence_proxy(cta, warp, mask),
            18 | 19 => self.copy_groups(cta, warp, mask),
            20 | 21 => self.mbarrier(cta, warp, mask),
            22 | 23 => self.bulk(cta, warp, mask.trailing_zeros()),
            24 => self.land(),
            _ => self.wgmma(cta, warp),
        }
    }

    fn judge(&mut self, expected: bool, got: Result<(), Box<Finding>>, what: &str) {
        let found = got.as_ref().is_err_and(|f| matches!(**f, Finding::Race(_)));
        if found != expected || got.is_err() != expected {
            let history = self.log.join("\n");
            panic!("{what}: oracle says race = {expected}, library says {got:?}\nhistory:\n{history}");
        }
        self.races_found += u32::from(expected);
    }
}

#[test]
fn the_detector_agrees_with_reachability_on_random_executions() {
    let runs: u64 =
        std::env::var("GPUSIM_CHECK_ORACLE_RUNS").ok().and_then(|v| v.parse().ok()).unwrap_or(1500);
    let (mut races, mut accesses) = (0, 0);
    for seed in 0..runs {
        let mut world = World::new(seed);
        for _ in 0..EVENTS {
            world.step();
        }
        accesses += world.graph.accesses.len() as u64;
        races += u64::from(world.races_found);
    }
    println!("{runs} executions of {EVENTS} events: {accesses} accesses found ordered, {races} found racing");
    // A generator that produced only one of the two verdicts would show nothing.
    assert!(races > 10 * runs && accesses > 10 * runs, "{races} races, {accesses} accesses in {runs} runs");
}
