//! `fence`, `membar` and the proxy fences.

use gpusim_check::{ProxyFence, Scope, Sem};
use gpusim_ptx::ast;

use super::{Entry, Flow, Inst, Lower, LowerError, Mods, operand};
use crate::exec::Exec;

pub(super) const TABLE: &[Entry] = &[("fence", fence), ("membar", membar)];

/// What a fence tells the checks: memory is coherent here by itself.
#[derive(Clone, Copy, Default)]
struct Fence {
    order: Option<(Sem, Scope)>,
    proxy: Option<ProxyFence>,
}

fn inst(fence: Fence) -> Inst {
    Inst::new(run_fence).with_data(fence)
}

fn run_fence(x: &mut Exec, i: &Inst) -> Flow {
    let fence = *i.data::<Fence>();
    let (warp, mask) = (x.warp_id(), x.mask);
    if let Some(check) = x.cluster.check.as_mut() {
        if let Some((Sem::Acquire, scope)) = fence.order {
            check.fence(warp, mask, Sem::Acquire, scope);
        }
        if let Some(proxy) = fence.proxy {
            check.fence_proxy(warp, mask, proxy);
        }
        if let Some((sem @ (Sem::Release | Sem::AcqRel), scope)) = fence.order {
            check.fence(warp, mask, sem, scope);
        }
    }
    Flow::Next
}

fn fence(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("proxy") {
        return proxy(i, m);
    }
    if m.take("mbarrier_init") {
        // Its release reaches the mbarrier initialisations only; the checks take it as a whole release.
        if !m.take("release") || !m.take("cluster") {
            return Err(LowerError::Unsupported);
        }
        m.end()?;
        return Ok(inst(Fence { order: Some((Sem::Release, Scope::Cluster)), proxy: None }));
    }
    m.take("sync_restrict::shared::cta");
    m.take("sync_restrict::shared::cluster");
    let sem = match (m.take("sc"), m.take("acq_rel"), m.take("acquire"), m.take("release")) {
        (false, _, false, false) | (true, false, false, false) => Sem::AcqRel,
        (false, false, true, false) => Sem::Acquire,
        (false, false, false, true) => Sem::Release,
        _ => return Err(LowerError::Unsupported),
    };
    let scope = m.needed_scope()?;
    m.end()?;
    Ok(inst(Fence { order: Some((sem, scope)), proxy: None }))
}

/// `fence.proxy.*`.
fn proxy(i: &ast::Instruction, mut m: Mods) -> Result<Inst, LowerError> {
    let mut fence = Fence::default();
    if m.take("alias") {
        // Two virtual addresses of one place do not exist here.
    } else if m.take("async") {
        let shared = m.take("shared::cta") || m.take("shared::cluster");
        fence.proxy = Some(match (shared, m.take("global")) {
            (true, false) => ProxyFence::AsyncShared,
            (false, true) => ProxyFence::AsyncGlobal,
            (false, false) => ProxyFence::Async,
            (true, true) => return Err(LowerError::Unsupported),
        });
    } else if m.take("tensormap::generic") {
        let acquire = m.take("acquire");
        if acquire == m.take("release") {
            return Err(LowerError::Unsupported);
        }
        let scope = m.needed_scope()?;
        if acquire {
            operand(i, 1)?;
        }
        fence.order = Some((if acquire { Sem::Acquire } else { Sem::Release }, scope));
        // The acquiring one of the pair is what lets the other proxy see the map.
        fence.proxy = acquire.then_some(ProxyFence::Tensormap);
    } else if m.take("async::generic") {
        let acquire = m.take("acquire");
        if acquire == m.take("release") {
            return Err(LowerError::Unsupported);
        }
        m.take("sync_restrict::shared::cta");
        m.take("sync_restrict::shared::cluster");
        let scope = m.scope().unwrap_or(Scope::Cluster);
        fence.order = Some((if acquire { Sem::Acquire } else { Sem::Release }, scope));
        fence.proxy = Some(ProxyFence::AsyncShared);
    } else {
        return Err(LowerError::Unsupported);
    }
    m.end()?;
    Ok(inst(fence))
}

/// `membar.cta/gl/sys` is `fence.sc` of that scope.
fn membar(_: &mut Lower, i: &ast::Instruction) -> Result<Inst, LowerError> {
    let mut m = Mods::of(i);
    if m.take("proxy") {
        return proxy(i, m);
    }
    let scope = match (m.take("cta"), m.take("gl"), m.take("sys")) {
        (true, false, false) => Scope::Cta,
        (false, true, false) => Scope::Gpu,
        (false, false, true) => Scope::Sys,
        _ => return Err(LowerError::Unsupported),
    };
    m.end()?;
    Ok(inst(Fence { order: Some((Sem::AcqRel, scope)), proxy: None }))
}
