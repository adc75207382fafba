//! Adding nodes to graphs.

use std::sync::Arc;

use crate::context::{context_or_current, current};
use crate::copy::{Copy, Fill};
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::event::event;
use crate::graph::check_edges;
use crate::host::{get, get_all, put};
use crate::launch::{KernelCall, Shape};
use crate::op::{HostCall, Op};
use crate::pool::{GraphMemory, ON_DEVICE};
use crate::registry::lock;
use crate::types::{
    EdgeData, GraphNodeParams, Handle, HostNodeParams, KernelNodeParams, KernelNodeParamsV1,
    MemAllocNodeParams, Memcpy3D, MemsetNodeParams,
};

/// The operation of a kernel node.
pub fn kernel_op(p: &KernelNodeParams, cluster: Option<[u32; 3]>, cooperative: bool) -> Result<Op> {
    let handle = if p.function != 0 { p.function } else { p.kernel };
    let shape = Shape { grid: p.grid, block: p.block, shared_bytes: p.shared_bytes };
    Ok(Op::Kernel(KernelCall::new(handle, shape, p.kernel_params, p.extra, cluster, cooperative)?))
}

/// The newer structure with the content of the older one.
pub fn upgrade(p: &KernelNodeParamsV1) -> KernelNodeParams {
    KernelNodeParams {
        function: p.function,
        grid: p.grid,
        block: p.block,
        shared_bytes: p.shared_bytes,
        kernel_params: p.kernel_params,
        extra: p.extra,
        kernel: 0,
        context: 0,
    }
}

/// The operation of a copy node; its addresses must be valid when the node is made.
pub fn copy_op(params: &Memcpy3D) -> Result<Op> {
    let copy = Copy::from_3d(params)?;
    copy.check()?;
    Ok(Op::Copy(Arc::new(copy)))
}

/// The operation of a fill node.
pub fn fill_op(params: &MemsetNodeParams) -> Result<Op> {
    let fill = Fill::new(*params)?;
    fill.check()?;
    Ok(Op::Fill(fill))
}

/// The operation of a host node.
pub fn host_op(params: &HostNodeParams) -> Result<Op> {
    if params.function == 0 {
        return Err(Error::INVALID_VALUE);
    }
    // SAFETY: a `HostFn` is a nullable pointer.
    let function = unsafe { std::mem::transmute::<usize, crate::types::HostFn>(params.function) };
    Ok(Op::Host(HostCall { function, data: params.data }))
}

fn add(out: *mut Handle, graph: Handle, dependencies: *const Handle, count: usize, op: Result<Op>) -> Result {
    put(out, 0)?;
    let dependencies = get_all(dependencies, count)?;
    lock(&driver().graphs).check_nodes(graph, &dependencies)?;
    // Making the operation may need other locks.
    let op = op?;
    put(out, lock(&driver().graphs).add(graph, op, &dependencies)?)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddEmptyNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
) -> i32 {
    api(|| add(out, graph, dependencies, count, Ok(Op::Empty)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddKernelNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const KernelNodeParamsV1,
) -> i32 {
    api(|| {
        let op = get(params).and_then(|params| kernel_op(&upgrade(&params), None, false));
        add(out, graph, dependencies, count, op)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddKernelNode_v2(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const KernelNodeParams,
) -> i32 {
    api(|| {
        let op = get(params).and_then(|params| kernel_op(&params, None, false));
        add(out, graph, dependencies, count, op)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddMemcpyNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const Memcpy3D,
    context: Handle,
) -> i32 {
    api(|| {
        context_or_current(context)?;
        add(out, graph, dependencies, count, get(params).and_then(|params| copy_op(&params)))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddMemsetNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const MemsetNodeParams,
    context: Handle,
) -> i32 {
    api(|| {
        context_or_current(context)?;
        add(out, graph, dependencies, count, get(params).and_then(|params| fill_op(&params)))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddHostNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const HostNodeParams,
) -> i32 {
    api(|| add(out, graph, dependencies, count, get(params).and_then(|params| host_op(&params))))
}

/// The child is a copy: later changes of the original do not show.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddChildGraphNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    child: Handle,
) -> i32 {
    api(|| {
        if child == graph {
            return Err(Error::INVALID_VALUE);
        }
        let copy = lock(&driver().graphs).copy(child)?;
        let result = add(out, graph, dependencies, count, Ok(Op::Child(copy)));
        if result.is_err() {
            lock(&driver().graphs).destroy(copy)?;
        }
        result
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddEventRecordNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    handle: Handle,
) -> i32 {
    api(|| add(out, graph, dependencies, count, event(handle).map(Op::Record)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddEventWaitNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    handle: Handle,
) -> i32 {
    api(|| add(out, graph, dependencies, count, event(handle).map(Op::Wait)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddMemAllocNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *mut MemAllocNodeParams,
) -> i32 {
    api(|| {
        let mut values = get(params)?;
        if values.pool.kind != 1 || values.pool.location.kind != ON_DEVICE || values.pool.location.id != 0 {
            return Err(Error::INVALID_VALUE);
        }
        let memory = GraphMemory::new(values.bytes as u64, current()?.handle)?;
        values.pointer = memory.pointer;
        add(out, graph, dependencies, count, Ok(Op::Alloc(memory)))?;
        put(params, values)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddMemFreeNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    pointer: u64,
) -> i32 {
    api(|| {
        let kind = lock(&driver().memory).at(pointer).map(|a| a.kind.clone());
        let Some(crate::memory::Kind::Graph(memory)) = kind else { return Err(Error::INVALID_VALUE) };
        let memory = memory.upgrade().ok_or(Error::INVALID_VALUE)?;
        add(out, graph, dependencies, count, Ok(Op::FreeGraph(memory)))
    })
}

/// The union's words as a structure at their start.
fn member<T: crate::host::Plain>(params: *const GraphNodeParams) -> Result<T> {
    get((params as usize + std::mem::offset_of!(GraphNodeParams, union)) as *const T)
}

/// The operation that a `CUgraphNodeParams` describes; child graphs and allocations have calls of their own.
pub fn general_op(params: *const GraphNodeParams) -> Result<Op> {
    match get(params)?.kind {
        0 => kernel_op(&member(params)?, None, false),
        // Flags and context come before the copy.
        1 => copy_op(&get((params as usize + 16 + 16) as *const Memcpy3D)?),
        2 => fill_op(&member(params)?),
        3 => host_op(&member(params)?),
        5 => Ok(Op::Empty),
        6 => Ok(Op::Wait(event(member(params)?)?)),
        7 => Ok(Op::Record(event(member(params)?)?)),
        4 | 8..=13 => Err(Error::NOT_SUPPORTED),
        _ => Err(Error::INVALID_VALUE),
    }
}

fn add_general(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const GraphNodeParams,
) -> Result {
    if get(params)?.kind == 4 {
        let child = member(params)?;
        let code = cuGraphAddChildGraphNode(out, graph, dependencies, count, child);
        return if code == 0 { Ok(()) } else { Err(Error(code)) };
    }
    add(out, graph, dependencies, count, general_op(params))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddNode(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    count: usize,
    params: *const GraphNodeParams,
) -> i32 {
    api(|| add_general(out, graph, dependencies, count, params))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddNode_v2(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    edges: *const EdgeData,
    count: usize,
    params: *const GraphNodeParams,
) -> i32 {
    api(|| check_edges(edges, count).and_then(|_| add_general(out, graph, dependencies, count, params)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddNode_v3(
    out: *mut Handle,
    graph: Handle,
    dependencies: *const Handle,
    edges: *const EdgeData,
    count: usize,
    params: *const GraphNodeParams,
) -> i32 {
    cuGraphAddNode_v2(out, graph, dependencies, edges, count, params)
}
