//! Copies, mbarriers, `wgmma`.

use gpusim_check::*;

use super::*;

impl World {
    pub(super) fn copy_groups(&mut self, cta: usize, warp: usize, mask: u32) {
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

    pub(super) fn mbarrier(&mut self, cta: usize, warp: usize, mask: u32) {
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

    pub(super) fn bulk(&mut self, cta: usize, warp: usize, lane: u32) {
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

    pub(super) fn land(&mut self) {
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

    pub(super) fn wgmma(&mut self, cta: usize, warp: usize) {
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
