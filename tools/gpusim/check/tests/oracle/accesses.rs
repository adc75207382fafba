//! Accesses by threads and what they carry.

use gpusim_check::*;

use super::*;

impl World {
    /// Whether an access with these predecessors is unordered with an earlier conflicting one.
    pub(super) fn races(&self, new: &Access, at: &[Node], proxy: Option<Proxy>) -> bool {
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

    pub(super) fn morally_strong(a: &Access, b: &Access) -> bool {
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
    pub(super) fn observed(old: &Access, own: &Access, new: &Access) -> bool {
        new.thread.is_some()
            && own.thread == new.thread
            && matches!(new.kind, AccessKind::Read | AccessKind::Write)
            && matches!(own.kind, AccessKind::Strong { op: StrongOp::Load | StrongOp::Rmw, .. })
            && old.kind.writes()
            && own.memory == old.memory
            && (own.from, own.size) == (new.from, new.size)
            && Self::morally_strong(old, own)
    }

    pub(super) fn access(&mut self, cta: usize, warp: usize, mask: u32) {
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
    pub(super) fn coalesced(&mut self, cta: usize, warp: usize, mask: u32) {
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

    pub(super) fn engine_and_kind(&mut self, size: u64) -> (Engine, AccessKind) {
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
    pub(super) fn judged_access(
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
    pub(super) fn carry(
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
}
