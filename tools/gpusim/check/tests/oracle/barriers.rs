//! Barriers, fences.

use gpusim_check::*;

use super::*;

impl World {
    pub(super) fn warp_sync(&mut self, cta: usize, warp: usize, mask: u32) {
        self.log.push(format!("cta {cta} warp {warp} mask {mask:#x} warp_sync"));
        let preds: Vec<Node> =
            lanes_of(mask).filter_map(|l| self.threads[Self::thread(cta, warp, l)].last).collect();
        let node = self.graph.node(&preds);
        for l in lanes_of(mask) {
            self.threads[Self::thread(cta, warp, l)].last = Some(node);
        }
        self.checks[cta / RANKS].warp_sync(WarpId::new((cta % RANKS) as u32, warp as u32), mask);
    }

    pub(super) fn arrive_barrier(&mut self, cta: usize, warp: usize, mask: u32) {
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

    pub(super) fn complete_barrier(&mut self, cta: usize) {
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

    pub(super) fn cluster_barrier(&mut self, cta: usize, warp: usize, mask: u32) {
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

    pub(super) fn fence(&mut self, cta: usize, warp: usize, mask: u32) {
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

    pub(super) fn fence_proxy(&mut self, cta: usize, warp: usize, mask: u32) {
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
}
