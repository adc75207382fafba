//! The graph whose reachability decides.

use super::{Access, Node, Proxy};

#[derive(Default)]
pub(super) struct Graph {
    pub(super) ancestors: Vec<Vec<u64>>,
    pub(super) accesses: Vec<Access>,
    pub(super) proxy_fences: Vec<(Node, Proxy)>,
}

impl Graph {
    pub(super) fn node(&mut self, preds: &[Node]) -> Node {
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

    pub(super) fn edge(&mut self, from: Node, to: Node) {
        assert!(from < to && to + 1 == self.ancestors.len(), "edges only into the newest node");
        let add = self.ancestors[from].clone();
        for (a, b) in self.ancestors[to].iter_mut().zip(&add) {
            *a |= b;
        }
        self.ancestors[to][from / 64] |= 1 << (from % 64);
    }

    pub(super) fn before(&self, x: Node, y: Node) -> bool {
        self.ancestors[y].get(x / 64).is_some_and(|w| w >> (x % 64) & 1 != 0)
    }

    /// Whether `x` is ordered before an access that has the node `at` as its only predecessor.
    pub(super) fn ordered(&self, x: &Access, at: &[Node], proxy: Option<Proxy>) -> bool {
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
