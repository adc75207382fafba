//! Parameters of nodes: reading them, and changing them in graphs and instantiated graphs.

use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::event::event;
use crate::exec::{ExecNode, exec};
use crate::graph_nodes::{copy_op, fill_op, general_op, host_op, kernel_op, upgrade};
use crate::host::{get, put};
use crate::op::Op;
use crate::registry::lock;
use crate::types::{
    AttributeValue, GraphNodeParams, Handle, HostNodeParams, KernelNodeParams, KernelNodeParamsV1,
    MemAllocNodeParams, MemLocation, MemPoolProps, Memcpy3D, MemsetNodeParams,
};

/// Gives a node's operation to `read`.
fn with_op<T>(node: Handle, read: impl FnOnce(&Op) -> Option<T>) -> Result<T> {
    read(&lock(&driver().graphs).node(node)?.op).ok_or(Error::INVALID_VALUE)
}

/// Replaces a node's operation by one of the same type.
fn set_op(node: Handle, op: Op) -> Result {
    let mut graphs = lock(&driver().graphs);
    let node = graphs.node_mut(node)?;
    if node.op.node_type() != op.node_type() {
        return Err(Error::INVALID_VALUE);
    }
    node.op = op;
    Ok(())
}

/// Replaces the operation of an instantiated graph's node.
fn set_exec_op(handle: Handle, node: Handle, op: Op) -> Result {
    exec(handle)?.set(node, |node: &mut ExecNode| {
        if node.op.node_type() != op.node_type() {
            return Err(Error::INVALID_VALUE);
        }
        match (&node.op, &op) {
            // A copy cannot change the kinds of memory it goes between.
            (Op::Copy(a), Op::Copy(b)) if a.kind() != b.kind() => return Err(Error::INVALID_VALUE),
            _ => node.op = op,
        }
        Ok(())
    })
}

/// What a kernel node keeps when its parameters change: cluster and cooperation, which are attributes.
fn kept(op: &Op) -> Option<(Option<[u32; 3]>, bool)> {
    match op {
        Op::Kernel(call) => Some((call.cluster, call.cooperative)),
        _ => None,
    }
}

fn kernel_params(op: &Op) -> Option<KernelNodeParams> {
    let Op::Kernel(call) = op else { return None };
    let is_kernel = driver().kernels.get(call.handle).is_ok();
    Some(KernelNodeParams {
        function: if is_kernel { 0 } else { call.handle },
        grid: call.shape.grid,
        block: call.shape.block,
        shared_bytes: call.shape.shared_bytes,
        kernel_params: call.kernel_params(),
        extra: 0,
        kernel: if is_kernel { call.handle } else { 0 },
        context: call.function.context,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeGetParams_v2(node: Handle, out: *mut KernelNodeParams) -> i32 {
    api(|| put(out, with_op(node, kernel_params)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeGetParams(node: Handle, out: *mut KernelNodeParamsV1) -> i32 {
    api(|| {
        let p = with_op(node, kernel_params)?;
        let function = if p.function != 0 { p.function } else { p.kernel };
        let (grid, block, shared_bytes, kernel_params) = (p.grid, p.block, p.shared_bytes, p.kernel_params);
        put(out, KernelNodeParamsV1 { function, grid, block, shared_bytes, kernel_params, extra: 0 })
    })
}

fn set_kernel(node: Handle, params: &KernelNodeParams) -> Result {
    let (cluster, cooperative) = with_op(node, kept)?;
    set_op(node, kernel_op(params, cluster, cooperative)?)
}

fn set_exec_kernel(handle: Handle, node: Handle, params: &KernelNodeParams) -> Result {
    let mut now = None;
    exec(handle)?.set(node, |node| {
        now = kept(&node.op);
        Ok(())
    })?;
    let (cluster, cooperative) = now.ok_or(Error::INVALID_VALUE)?;
    set_exec_op(handle, node, kernel_op(params, cluster, cooperative)?)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeSetParams_v2(node: Handle, params: *const KernelNodeParams) -> i32 {
    api(|| set_kernel(node, &get(params)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeSetParams(node: Handle, params: *const KernelNodeParamsV1) -> i32 {
    api(|| set_kernel(node, &upgrade(&get(params)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecKernelNodeSetParams_v2(
    exec: Handle,
    node: Handle,
    params: *const KernelNodeParams,
) -> i32 {
    api(|| set_exec_kernel(exec, node, &get(params)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecKernelNodeSetParams(
    exec: Handle,
    node: Handle,
    params: *const KernelNodeParamsV1,
) -> i32 {
    api(|| set_exec_kernel(exec, node, &upgrade(&get(params)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphMemcpyNodeGetParams(node: Handle, out: *mut Memcpy3D) -> i32 {
    api(|| {
        let params = with_op(node, |op| match op {
            Op::Copy(copy) => Some(copy.params),
            _ => None,
        })?;
        put(out, params)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphMemcpyNodeSetParams(node: Handle, params: *const Memcpy3D) -> i32 {
    api(|| set_op(node, copy_op(&get(params)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecMemcpyNodeSetParams(
    exec: Handle,
    node: Handle,
    params: *const Memcpy3D,
    context: Handle,
) -> i32 {
    api(|| {
        crate::context::context_or_current(context)?;
        set_exec_op(exec, node, copy_op(&get(params)?)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphMemsetNodeGetParams(node: Handle, out: *mut MemsetNodeParams) -> i32 {
    api(|| {
        let params = with_op(node, |op| match op {
            Op::Fill(fill) => Some(fill.params),
            _ => None,
        })?;
        put(out, params)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphMemsetNodeSetParams(node: Handle, params: *const MemsetNodeParams) -> i32 {
    api(|| set_op(node, fill_op(&get(params)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecMemsetNodeSetParams(
    exec: Handle,
    node: Handle,
    params: *const MemsetNodeParams,
    context: Handle,
) -> i32 {
    api(|| {
        crate::context::context_or_current(context)?;
        set_exec_op(exec, node, fill_op(&get(params)?)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphHostNodeGetParams(node: Handle, out: *mut HostNodeParams) -> i32 {
    api(|| {
        let call = with_op(node, |op| match op {
            Op::Host(call) => Some(*call),
            _ => None,
        })?;
        let function = call.function.map_or(0, |function| function as usize);
        put(out, HostNodeParams { function, data: call.data })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphHostNodeSetParams(node: Handle, params: *const HostNodeParams) -> i32 {
    api(|| set_op(node, host_op(&get(params)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecHostNodeSetParams(
    exec: Handle,
    node: Handle,
    params: *const HostNodeParams,
) -> i32 {
    api(|| set_exec_op(exec, node, host_op(&get(params)?)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphChildGraphNodeGetGraph(node: Handle, out: *mut Handle) -> i32 {
    api(|| {
        let child = with_op(node, |op| match op {
            Op::Child(child) => Some(*child),
            _ => None,
        })?;
        put(out, child)
    })
}

fn event_of(node: Handle, record: bool) -> Result<Handle> {
    with_op(node, |op| match op {
        Op::Record(event) if record => Some(event.handle),
        Op::Wait(event) if !record => Some(event.handle),
        _ => None,
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphEventRecordNodeGetEvent(node: Handle, out: *mut Handle) -> i32 {
    api(|| put(out, event_of(node, true)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphEventWaitNodeGetEvent(node: Handle, out: *mut Handle) -> i32 {
    api(|| put(out, event_of(node, false)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphEventRecordNodeSetEvent(node: Handle, handle: Handle) -> i32 {
    api(|| set_op(node, Op::Record(event(handle)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphEventWaitNodeSetEvent(node: Handle, handle: Handle) -> i32 {
    api(|| set_op(node, Op::Wait(event(handle)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecEventRecordNodeSetEvent(exec: Handle, node: Handle, handle: Handle) -> i32 {
    api(|| set_exec_op(exec, node, Op::Record(event(handle)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecEventWaitNodeSetEvent(exec: Handle, node: Handle, handle: Handle) -> i32 {
    api(|| set_exec_op(exec, node, Op::Wait(event(handle)?)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphMemAllocNodeGetParams(node: Handle, out: *mut MemAllocNodeParams) -> i32 {
    api(|| {
        let (pointer, bytes) = with_op(node, |op| match op {
            Op::Alloc(memory) => Some((memory.pointer, memory.bytes as usize)),
            _ => None,
        })?;
        let pool = MemPoolProps {
            kind: 1,
            handle_types: 0,
            location: MemLocation { kind: crate::pool::ON_DEVICE, id: 0 },
            security: 0,
            max_size: 0,
            usage: 0,
            reserved: [0; 54],
        };
        put(out, MemAllocNodeParams { pool, access: 0, access_count: 0, bytes, pointer })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphMemFreeNodeGetParams(node: Handle, out: *mut u64) -> i32 {
    api(|| {
        let pointer = with_op(node, |op| match op {
            Op::FreeGraph(memory) => Some(memory.pointer),
            _ => None,
        })?;
        put(out, pointer)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeSetParams(node: Handle, params: *const GraphNodeParams) -> i32 {
    api(|| {
        let (cluster, cooperative) = with_op(node, |op| Some(kept(op)))?.unwrap_or((None, false));
        let op = match general_op(params)? {
            Op::Kernel(call) => Op::Kernel(call.with(cluster, cooperative)?),
            op => op,
        };
        set_op(node, op)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecNodeSetParams(
    exec: Handle,
    node: Handle,
    params: *const GraphNodeParams,
) -> i32 {
    api(|| set_exec_op(exec, node, general_op(params)?))
}

const COOPERATIVE: i32 = 2;
const CLUSTER: i32 = 4;

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeSetAttribute(
    node: Handle,
    attribute: i32,
    value: *const AttributeValue,
) -> i32 {
    api(|| {
        let value = get(value)?;
        let mut graphs = lock(&driver().graphs);
        let node = graphs.node_mut(node)?;
        let Op::Kernel(call) = &node.op else { return Err(Error::INVALID_VALUE) };
        let words = value.words;
        let call = match attribute {
            COOPERATIVE => call.with(call.cluster, words[0] != 0)?,
            CLUSTER => call.with(Some([words[0], words[1], words[2]]), call.cooperative)?,
            1 | 5 | 8..=10 | 13 | 14 => call.clone(),
            _ => return Err(Error::INVALID_VALUE),
        };
        node.op = Op::Kernel(call);
        node.attributes.insert(attribute, value);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeGetAttribute(
    node: Handle,
    attribute: i32,
    out: *mut AttributeValue,
) -> i32 {
    api(|| {
        let graphs = lock(&driver().graphs);
        let node = graphs.node(node)?;
        let Op::Kernel(call) = &node.op else { return Err(Error::INVALID_VALUE) };
        let mut words = [0; 16];
        match attribute {
            COOPERATIVE => words[0] = call.cooperative as u32,
            CLUSTER => words[..3].copy_from_slice(&call.cluster.unwrap_or([0; 3])),
            1 | 5 | 8..=10 | 13 | 14 => {
                if let Some(value) = node.attributes.get(&attribute) {
                    words = value.words;
                }
            }
            _ => return Err(Error::INVALID_VALUE),
        }
        put(out, AttributeValue { words })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeCopyAttributes(dst: Handle, src: Handle) -> i32 {
    api(|| {
        let mut graphs = lock(&driver().graphs);
        let (cluster, cooperative) = kept(&graphs.node(src)?.op).ok_or(Error::INVALID_VALUE)?;
        let attributes = graphs.node(src)?.attributes.clone();
        let node = graphs.node_mut(dst)?;
        let Op::Kernel(call) = &node.op else { return Err(Error::INVALID_VALUE) };
        node.op = Op::Kernel(call.with(cluster, cooperative)?);
        node.attributes = attributes;
        Ok(())
    })
}
