//! The race detector against brute force: random executions are fed to the library and, at the same time, built as an
//! explicit graph whose reachability decides every pair of accesses. Both have to agree on every access.

use gpusim_check::*;
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

#[derive(Default)]
struct Graph {
    ancestors: Vec<Vec<u64>>,
    accesses: Vec<Access>,
    proxy_fences: Vec<(Node, Proxy)>,
}

impl Graph {
    fn node(&mut self, preds: &[Node]) -> Node {
        let me = self.ancestors.len();
        let mut set = vec![0u64; me / 64 + 1];
        for &p in preds {
            for (a, b) in set.iter_mut().zip(&self.ancestors[p]) {
                *a |= b;
            }
            set[p / 64] |= 1 << (p % 64);
        }
        self.ancestors.push(set);
        me
    }

    fn edge(&mut self, from: Node, to: Node) {
        assert!(from < to && to + 1 == self.ancestors.len(), "edges only into the newest node");
        let add = self.ancestors[from].clone();
        for (a, b) in self.ancestors[to].iter_mut().zip(&add) {
            *a |= b;
        }
        self.ancestors[to][from / 64] |= 1 << (from % 64);
    }

    fn before(&self, x: Node, y: Node) -> bool {
        self.ancestors[y].get(x / 64).is_some_and(|w| w >> (x % 64) & 1 != 0)
    }

    /// Whether `x` is ordered before an access that has the node `at` as its only predecessor.
    fn ordered(&self, x: &Access, at: &[Node], proxy: Option<Proxy>) -> bool {
        let reach = |n: Node| at.iter().any(|&p| p == n || self.before(n, p));
        match proxy {
            Some(proxy) if x.generic && x.kind.writes() => self
                .proxy_fences
                .iter()
                .any(|&(f, p)| p == proxy && (x.node == f || self.before(x.node, f)) && reach(f)),
            _ => reach(x.node),
        }
    }
}

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

    /// Whether an access with these predecessors is unordered with an earlier conflicting one.
    fn races(&self, new: &Access, at: &[Node], proxy: Option<Proxy>) -> bool {
        let accesses = &self.graph.accesses;
        accesses.iter().enumerate().any(|(n, old)| {
            let overlap =
                old.memory == new.memory && old.from < new.from + new.size && new.from < old.from + old.size;
            let conflict = old.kind.writes() || new.kind.writes();
            let observed = || accesses[n + 1..].iter().any(|own| Self::observed(old, own, new));
            overlap
                && conflict
                && !Self::morally_strong(old, new)
                && !self.graph.ordered(old, at, proxy)
                && !observed()
        })
    }

    fn morally_strong(a: &Access, b: &Access) -> bool {
        match (a.kind, b.kind) {
            (AccessKind::Strong { scope: mine, .. }, AccessKind::Strong { scope: theirs, .. }) => {
                (a.from, a.size) == (b.from, b.size)
                    && reaches(mine, a.seat, b.seat)
                    && reaches(theirs, b.seat, a.seat)
            }
            _ => false,
        }
    }

    /// Whether `own`, of the thread that now makes the plain access `new`, read the location after the strong write `old`.
    fn observed(old: &Access, own: &Access, new: &Access) -> bool {
        new.thread.is_some()
            && own.thread == new.thread
            && matches!(new.kind, AccessKind::Read | AccessKind::Write)
            && matches!(own.kind, AccessKind::Strong { op: StrongOp::Load | StrongOp::Rmw, .. })
            && old.kind.writes()
            && own.memory == old.memory
            && (own.from, own.size) == (new.from, new.size)
            && Self::morally_strong(old, own)
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

    fn access(&mut self, cta: usize, warp: usize, mask: u32) {
        if self.chance(35) {
            return self.coalesced(cta, warp, mask);
        }
        let (space, memory) = self.space(cta);
        let size = [1u64, 2, 4, 4, 8][self.pick(5)];
        let places = 32 / size;
        let base = self.pick(places as usize) as u64;
        let pattern = self.pick(4);
        let addresses: [u64; 32] = std::array::from_fn(|l| {
            let l = l as u64;
            size * match pattern {
                0 => base,
                1 => base + l,
                2 => (base + 5 * l) % places,
                _ => (base + l / 2) % places,
            }
        });
        let (engine, kind) = self.engine_and_kind(size);
        self.judged_access(cta, warp, mask, space, memory, &addresses, size, engine, kind);
    }

    /// An access as the fast paths take it: of 16-byte chunks that follow each other, in one piece or a few, to two pages of
    /// global memory or most of the shared memory.
    fn coalesced(&mut self, cta: usize, warp: usize, mask: u32) {
        let (space, memory) = self.space(cta);
        let size = [1u64, 2, 4, 8, 16, 16, 16][self.pick(7)];
        let wide = 32 * size;
        let global = memory.is_none();
        let (begin, room) = if global { (CROSSING, 1024) } else { (0, MBARRIERS[0] - wide) };
        // Few places, so that accesses meet; some of them no multiple of a chunk, most of a line.
        let grain = [128u64, 128, 64, 16, size][self.pick(5)].max(size);
        let base = begin + self.pick((room / grain).min(6) as usize + 1) as u64 * grain;
        let base = if self.chance(10) && size < 16 && grain == 16 { base + size } else { base };
        let pattern = self.pick(8);
        let addresses: [u64; 32] = std::array::from_fn(|l| {
            let l = l as u64;
            let place = match pattern {
                0..=3 => l,
                4 => l ^ 8,
                5 => l % 16,
                6 => l / 8 * 8 + ((l % 8) ^ (l / 8)),
                _ => (l + 8) % 32,
            };
            // Within the memory, however the places were chosen.
            let at = base + place * size;
            if !global && at + size > MBARRIERS[0] { at - MBARRIERS[0] / 2 } else { at }
        });
        let engine = if self.chance(30) { Engine::CpAsync } else { Engine::Thread };
        let kind = if self.chance(60) { AccessKind::Read } else { AccessKind::Write };
        let mask = if self.chance(70) { mask } else { mask & 0xff00_ffff };
        if mask != 0 {
            self.judged_access(cta, warp, mask, space, memory, &addresses, size, engine, kind);
        }
    }

    fn engine_and_kind(&mut self, size: u64) -> (Engine, AccessKind) {
        let engine = if self.chance(20) { Engine::CpAsync } else { Engine::Thread };
        let strong = size >= 2 && self.chance(50) && engine == Engine::Thread;
        let kind = if strong {
            let op = [StrongOp::Load, StrongOp::Store, StrongOp::Rmw, StrongOp::Red][self.pick(4)];
            let sems: &[Sem] = match op {
                StrongOp::Load => &[Sem::Relaxed, Sem::Acquire],
                StrongOp::Store | StrongOp::Red => &[Sem::Relaxed, Sem::Release],
                StrongOp::Rmw => &[Sem::Relaxed, Sem::Acquire, Sem::Release, Sem::AcqRel],
            };
            let sem = sems[self.pick(sems.len())];
            AccessKind::Strong { op, sem, scope: self.scope() }
        } else if self.chance(50) {
            AccessKind::Read
        } else {
            AccessKind::Write
        };
        (engine, kind)
    }

    /// The access by the library and the graph, which have to agree.
    fn judged_access(
        &mut self,
        cta: usize,
        warp: usize,
        mask: u32,
        space: Space,
        memory: Memory,
        addresses: &[u64; 32],
        size: u64,
        engine: Engine,
        kind: AccessKind,
    ) {
        let lanes: Vec<u32> = lanes_of(mask).collect();
        let make = |lane: u32| Access {
            node: usize::MAX,
            memory,
            from: addresses[lane as usize],
            size,
            kind,
            seat: Self::seat(cta),
            generic: true,
            thread: (engine == Engine::Thread).then(|| Self::thread(cta, warp, lane)),
        };
        let preds = |w: &World, lane| -> Vec<Node> {
            w.threads[Self::thread(cta, warp, lane)].last.into_iter().collect()
        };
        let same = kind == AccessKind::Write
            && lanes
                .iter()
                .any(|&a| lanes.iter().any(|&b| a != b && addresses[a as usize] == addresses[b as usize]));
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        let racy = lanes.iter().copied().find(|&l| self.races(&make(l), &preds(self, l), None));
        // A refused access that touches one line leaves no trace: the run goes on without it.
        let probe = if same { Some(mask) } else { racy.map(|lane| 1 << lane) };
        if let Some(mask) = probe {
            let check = &mut self.checks[cta / RANKS];
            let got = check.access(id, engine, space, mask, addresses, size as u32, kind, SiteId(1));
            return self.judge(
                true,
                got,
                &format!("access of {mask:#x} {engine:?} {kind:?} {space:?} {addresses:?}"),
            );
        }
        self.log.push(format!(
            "cta {cta} warp {warp} mask {mask:#x} {engine:?} {kind:?} {space:?} size {size} at {addresses:?}"
        ));
        let row = (0..32).all(|l| addresses[l] == addresses[0] + l as u64 * size);
        let weak = matches!(kind, AccessKind::Read | AccessKind::Write);
        let whole = mask == u32::MAX && row && weak && addresses[0].is_multiple_of(size);
        let check = &mut self.checks[cta / RANKS];
        let got = if whole && self.rng.random_range(0..2) == 0 {
            check.access_coalesced(id, engine, space, addresses[0], size as u32, kind, SiteId(1))
        } else {
            check.access(id, engine, space, mask, addresses, size as u32, kind, SiteId(1))
        };
        self.judge(false, got, "access");
        for lane in lanes {
            let t = Self::thread(cta, warp, lane);
            let node = if engine == Engine::CpAsync {
                let p = preds(self, lane);
                let node = self.graph.node(&p);
                self.threads[t].copies.push(node);
                node
            } else {
                self.advance(cta, warp, lane)
            };
            self.graph.accesses.push(Access { node, ..make(lane) });
            self.carry(cta, t, node, memory, addresses[lane as usize], size, kind);
        }
    }

    /// Release sequences and the edges of strong accesses.
    fn carry(
        &mut self,
        cta: usize,
        t: usize,
        node: Node,
        memory: Memory,
        from: u64,
        size: u64,
        kind: AccessKind,
    ) {
        let seat = Self::seat(cta);
        let found = self.chains.iter().position(|c| c.0 == memory && c.1 == from && c.2 == size);
        let chain = found.map(|i| self.chains[i].3.clone()).unwrap_or_default();
        if let AccessKind::Strong { op: StrongOp::Load | StrongOp::Rmw, sem, scope } = kind {
            if sem.acquires() {
                for a in chain.iter().filter(|a| Self::synchronises(a, scope, seat)) {
                    self.graph.edge(a.node, node);
                }
            }
            self.threads[t].reads.push((scope, chain.clone()));
        }
        if !kind.writes() {
            return;
        }
        self.chains.retain(|c| {
            c.0 != memory || c.1 + c.2 <= from || from + size <= c.1 || (c.1 == from && c.2 == size)
        });
        let mut next = match kind {
            AccessKind::Strong { op: StrongOp::Rmw | StrongOp::Red, .. } => chain,
            _ => Chain::new(),
        };
        if let AccessKind::Strong { sem, scope, .. } = kind {
            if sem.releases() {
                next.push(Arrival { node, seat, scope });
            }
            for &(fence, wide) in &self.threads[t].release_fences {
                next.push(Arrival { node: fence, seat, scope: scope.min(wide) });
            }
        }
        self.chains.retain(|c| c.0 != memory || c.1 != from || c.2 != size);
        self.chains.push((memory, from, size, next));
    }

    fn warp_sync(&mut self, cta: usize, warp: usize, mask: u32) {
        self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} warp_sync"));
        let preds: Vec<Node> =
            lanes_of(mask).filter_map(|l| self.threads[Self::thread(cta, warp, l)].last).collect();
        let node = self.graph.node(&preds);
        for l in lanes_of(mask) {
            self.threads[Self::thread(cta, warp, l)].last = Some(node);
        }
        self.checks[cta / RANKS].warp_sync(WarpId::new((cta % RANKS) as u32, warp as u32), mask);
    }

    fn arrive_barrier(&mut self, cta: usize, warp: usize, mask: u32) {
        let barrier = self.pick(2);
        let sync = self.chance(80);
        self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} barrier {barrier} sync {sync}"));
        for l in lanes_of(mask) {
            let node = self.advance(cta, warp, l);
            self.barrier_arrivals[cta][barrier].push(node);
        }
        if sync {
            self.blocked[cta * WARPS + warp].push((mask, barrier as u32));
        }
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        self.checks[cta / RANKS].barrier_arrive(id, barrier as u32, mask);
    }

    fn complete_barrier(&mut self, cta: usize) {
        let barrier = self.pick(2);
        self.log.push(format!("cta {cta} barrier {barrier} opens"));
        let arrivals = std::mem::take(&mut self.barrier_arrivals[cta][barrier]);
        let node = self.graph.node(&arrivals);
        let mut waiting = Vec::new();
        for warp in 0..WARPS {
            let list = &mut self.blocked[cta * WARPS + warp];
            let mask = list.iter().filter(|b| b.1 == barrier as u32).fold(0, |m, b| m | b.0);
            list.retain(|b| b.1 != barrier as u32);
            if mask != 0 {
                waiting.push((WarpId::new((cta % RANKS) as u32, warp as u32), mask));
            }
            for l in lanes_of(mask) {
                self.threads[Self::thread(cta, warp, l)].last = Some(node);
            }
        }
        self.checks[cta / RANKS].barrier_complete((cta % RANKS) as u32, barrier as u32, &waiting);
    }

    fn cluster_barrier(&mut self, cta: usize, warp: usize, mask: u32) {
        let cluster = cta / RANKS;
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        match self.pick(3) {
            0 => {
                let release = self.chance(80);
                self.log
                    .push(format!("cta {cta} warp {warp} mask {mask:#x} cluster arrive release {release}"));
                for l in lanes_of(mask) {
                    let node = self.advance(cta, warp, l);
                    if release {
                        self.cluster_arriving[cluster].push(node);
                        continue;
                    }
                    let fences = &self.threads[Self::thread(cta, warp, l)].release_fences;
                    let wide = fences.iter().filter(|(_, scope)| *scope >= Scope::Cluster);
                    self.cluster_arriving[cluster].extend(wide.map(|(fence, _)| *fence));
                }
                self.checks[cluster].cluster_arrive(id, mask, release);
            }
            1 => {
                self.log.push(format!("cluster {cluster} complete"));
                self.cluster_done[cluster] = std::mem::take(&mut self.cluster_arriving[cluster]);
                self.checks[cluster].cluster_complete();
            }
            _ => {
                self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} cluster wait"));
                for l in lanes_of(mask) {
                    let node = self.advance(cta, warp, l);
                    for a in self.cluster_done[cluster].clone() {
                        self.graph.edge(a, node);
                    }
                }
                self.checks[cluster].cluster_wait(id, mask);
            }
        }
    }

    fn fence(&mut self, cta: usize, warp: usize, mask: u32) {
        let (scope, sem) = (self.scope(), [Sem::AcqRel, Sem::Acquire, Sem::Release][self.pick(3)]);
        self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} fence {sem:?} {scope:?}"));
        for l in lanes_of(mask) {
            let node = self.advance(cta, warp, l);
            let t = Self::thread(cta, warp, l);
            if sem.acquires() {
                for (read, chain) in self.threads[t].reads.clone() {
                    for a in chain.iter().filter(|a| Self::synchronises(a, scope.min(read), Self::seat(cta)))
                    {
                        self.graph.edge(a.node, node);
                    }
                }
            }
            if sem.releases() {
                self.threads[t].release_fences.push((node, scope));
            }
        }
        self.checks[cta / RANKS].fence(WarpId::new((cta % RANKS) as u32, warp as u32), mask, sem, scope);
    }

    fn fence_proxy(&mut self, cta: usize, warp: usize, mask: u32) {
        let which = [ProxyFence::Async, ProxyFence::AsyncShared, ProxyFence::AsyncGlobal][self.pick(3)];
        self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} fence_proxy {which:?}"));
        for l in lanes_of(mask) {
            let node = self.advance(cta, warp, l);
            if which != ProxyFence::AsyncGlobal {
                self.graph.proxy_fences.push((node, Proxy::AsyncShared));
            }
            if which != ProxyFence::AsyncShared {
                self.graph.proxy_fences.push((node, Proxy::AsyncGlobal));
            }
        }
        self.checks[cta / RANKS].fence_proxy(WarpId::new((cta % RANKS) as u32, warp as u32), mask, which);
    }

    fn copy_groups(&mut self, cta: usize, warp: usize, mask: u32) {
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        let what = self.pick(7);
        let pending = self.pick(3);
        self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} groups {what} pending {pending}"));
        for l in lanes_of(mask) {
            let t = Self::thread(cta, warp, l);
            let mut done = Vec::new();
            let thread = &mut self.threads[t];
            match what {
                0 | 1 => {
                    let group = std::mem::take(&mut thread.copies);
                    thread.copy_groups.push(group);
                }
                2 => {
                    let upto = thread.copy_groups.len().saturating_sub(pending);
                    done.extend(thread.copy_groups[..upto].iter().flatten());
                }
                3 => done.extend(thread.copy_groups.iter().flatten().chain(&thread.copies)),
                4 => {
                    let group =
                        (std::mem::take(&mut thread.bulk_reads), std::mem::take(&mut thread.bulk_writes));
                    thread.bulk_groups.push(group);
                }
                _ => {
                    let upto = thread.bulk_groups.len().saturating_sub(pending);
                    done.extend(thread.bulk_groups[..upto].iter().flat_map(|g| &g.0));
                    if what == 5 {
                        done.extend(thread.bulk_groups[..upto].iter().flat_map(|g| &g.1));
                    }
                }
            }
            let node = self.advance(cta, warp, l);
            for d in done {
                self.graph.edge(d, node);
            }
        }
        let check = &mut self.checks[cta / RANKS];
        match what {
            0 | 1 => check.cp_async_commit(id, mask),
            2 => check.cp_async_wait(id, mask, Some(pending as u32)),
            3 => check.cp_async_wait(id, mask, None),
            4 => check.bulk_commit(id, mask),
            _ => check.bulk_wait(id, mask, pending as u32, what == 6),
        }
    }

    fn mbarrier(&mut self, cta: usize, warp: usize, mask: u32) {
        let cluster = cta / RANKS;
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        let home = if self.chance(80) { cta } else { cluster * RANKS + self.pick(RANKS) };
        let which = self.pick(2);
        let at = ((home % RANKS) as u32, MBARRIERS[which]);
        let scope = self.scope();
        let strong = self.chance(80);
        let what = self.pick(5);
        self.log
            .push(format!("cta {cta} warp {warp} mask {mask:#x} mbarrier {what} {at:?} {scope:?} {strong}"));
        match what {
            0 | 1 => {
                for l in lanes_of(mask) {
                    let node = self.advance(cta, warp, l);
                    let arriving = &mut self.objects[home][which].arriving;
                    let seat = Self::seat(cta);
                    if strong {
                        arriving.push(Arrival { node, seat, scope });
                        continue;
                    }
                    for &(fence, wide) in &self.threads[Self::thread(cta, warp, l)].release_fences {
                        arriving.push(Arrival { node: fence, seat, scope: scope.min(wide) });
                    }
                }
                let sem = if strong { Sem::Release } else { Sem::Relaxed };
                let got = self.checks[cluster].mbarrier_arrive(id, mask, at, sem, scope, SiteId(2));
                self.judge(false, got, "arrive");
            }
            2 => {
                let object = &mut self.objects[home][which];
                let arrived = std::mem::take(&mut object.arriving);
                object.complete.extend(arrived);
                self.checks[cluster].mbarrier_phase_complete(at);
            }
            3 => {
                let sem = if strong { Sem::Acquire } else { Sem::Relaxed };
                for l in lanes_of(mask) {
                    let node = self.advance(cta, warp, l);
                    let complete = self.objects[home][which].complete.clone();
                    let seat = Self::seat(cta);
                    for a in complete.iter().filter(|a| strong && Self::synchronises(a, scope, seat)) {
                        self.graph.edge(a.node, node);
                    }
                    if !strong {
                        self.threads[Self::thread(cta, warp, l)].reads.push((scope, complete));
                    }
                }
                let got = self.checks[cluster].mbarrier_wait(id, mask, at, sem, scope, SiteId(3));
                self.judge(false, got, "wait");
            }
            _ => {
                let mut nodes = Vec::new();
                for l in lanes_of(mask) {
                    nodes.push(self.advance(cta, warp, l));
                    let thread = &self.threads[Self::thread(cta, warp, l)];
                    nodes.extend(thread.copy_groups.iter().flatten().chain(&thread.copies));
                }
                let mark = self.checks[cluster].cp_async_mark(id, mask);
                // The arrive is on the thread's own CTA's object.
                self.landing.push((cluster, cta, which, Landing::Mark(mark, nodes)));
            }
        }
    }

    fn bulk(&mut self, cta: usize, warp: usize, lane: u32) {
        let cluster = cta / RANKS;
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        let (space, memory) = self.space(cta);
        let from = 8 * self.pick(4) as u64;
        let size = 8 * (1 + self.pick(3)) as u64;
        let kind = if self.chance(50) { AccessKind::Read } else { AccessKind::Write };
        let proxy = if memory.is_some() { Proxy::AsyncShared } else { Proxy::AsyncGlobal };
        let on = self.chance(60).then(|| (cluster * RANKS + self.pick(RANKS), self.pick(2)));
        let t = Self::thread(cta, warp, lane);
        let preds: Vec<Node> = self.threads[t].last.into_iter().collect();
        let mut new = Access {
            node: usize::MAX,
            memory,
            from,
            size,
            kind,
            seat: Self::seat(cta),
            generic: false,
            thread: None,
        };
        let expected = self.races(&new, &preds, Some(proxy));
        self.log.push(format!(
            "cta {cta} warp {warp} lane {lane} bulk {kind:?} {space:?} {from}+{size} on {on:?}"
        ));
        let check = &mut self.checks[cluster];
        let at = on.map(|(home, which)| ((home % RANKS) as u32, MBARRIERS[which]));
        let op = check.bulk_begin(id, lane, at, SiteId(4)).expect("initialised");
        let got = check.bulk_access(&op, space, from, size, kind, 1);
        self.judge(expected, got, "bulk");
        if expected {
            return;
        }
        self.advance(cta, warp, lane);
        let node = self.graph.node(&preds);
        new.node = node;
        self.graph.accesses.push(new);
        match on {
            Some((home, which)) => self.landing.push((cluster, home, which, Landing::Bulk(op, node))),
            None if kind == AccessKind::Read => self.threads[t].bulk_reads.push(node),
            None => self.threads[t].bulk_writes.push(node),
        }
        self.chains.retain(|c| !kind.writes() || c.0 != memory || c.1 + c.2 <= from || from + size <= c.1);
    }

    fn land(&mut self) {
        if self.landing.is_empty() {
            return;
        }
        let at = self.pick(self.landing.len());
        let (cluster, home, which, landing) = self.landing.swap_remove(at);
        self.log.push(format!("lands on {home} {which}"));
        let nodes = match landing {
            Landing::Bulk(op, node) => {
                self.checks[cluster].bulk_landed(&op);
                vec![node]
            }
            Landing::Mark(mark, nodes) => {
                self.checks[cluster].mbarrier_arrive_mark(&mark, ((home % RANKS) as u32, MBARRIERS[which]));
                nodes
            }
        };
        for node in nodes {
            // What the hardware completes is seen by readers of any scope that reaches the object's CTA.
            let seat = Self::seat(home);
            self.objects[home][which].arriving.push(Arrival { node, seat, scope: Scope::Sys });
        }
    }

    fn wgmma(&mut self, cta: usize, warp: usize) {
        let w = cta * WARPS + warp;
        if !self.blocked[w].is_empty() {
            return;
        }
        let id = WarpId::new((cta % RANKS) as u32, warp as u32);
        let cluster = cta / RANKS;
        let lanes: Vec<u32> = lanes_of(live(warp)).collect();
        match self.pick(5) {
            0..=2 => {
                let from = 8 * self.pick(4) as u64;
                let preds: Vec<Node> =
                    lanes.iter().filter_map(|&l| self.threads[Self::thread(cta, warp, l)].last).collect();
                let mut new = Access {
                    node: usize::MAX,
                    memory: Some(cta),
                    from,
                    size: 16,
                    kind: AccessKind::Read,
                    seat: Self::seat(cta),
                    generic: false,
                    thread: None,
                };
                let expected = self.races(&new, &preds, Some(Proxy::AsyncShared));
                self.log.push(format!("cta {cta} warp {warp} wgmma {from}"));
                let op = self.checks[cluster].wgmma_begin(id, SiteId(5));
                let got = self.checks[cluster].wgmma_access(&op, id.rank, from, 16);
                self.judge(expected, got, "wgmma");
                if expected {
                    return;
                }
                // Its wait says that the operands are read, nothing about what the lanes did before the issue.
                new.node = self.graph.node(&[]);
                self.wgmma_open[w].push(new.node);
                self.graph.accesses.push(new);
            }
            3 => {
                self.log.push(format!("cta {cta} warp {warp} wgmma commit"));
                let group = std::mem::take(&mut self.wgmma_open[w]);
                self.wgmma_groups[w].push(group);
                self.checks[cluster].wgmma_commit(id);
            }
            _ => {
                let pending = self.pick(2);
                self.log.push(format!("cta {cta} warp {warp} wgmma wait {pending}"));
                let upto = self.wgmma_groups[w].len().saturating_sub(pending);
                let done: Vec<Node> = self.wgmma_groups[w][..upto].iter().flatten().copied().collect();
                for l in lanes {
                    let node = self.advance(cta, warp, l);
                    for &d in &done {
                        self.graph.edge(d, node);
                    }
                }
                self.checks[cluster].wgmma_wait(id, pending as u32);
            }
        }
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
