//! Instantiated graphs: instantiation, launch, update.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::context::current;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::graph::Graphs;
use crate::host::{get, put, put_if, put_string};
use crate::op::Op;
use crate::registry::{lock, new_handle};
use crate::stream;
use crate::types::{ExecUpdateResult, Handle, InstantiateParams};

const AUTO_FREE_ON_LAUNCH: u64 = 1;
const UPLOAD: u64 = 2;
const DEVICE_LAUNCH: u64 = 4;
const USE_NODE_PRIORITY: u64 = 8;

/// A node of an instantiated graph.
#[derive(Clone)]
pub struct ExecNode {
    /// The node it was made from, or that an update paired it with.
    pub source: Handle,
    pub op: Op,
    pub enabled: bool,
    /// Earlier nodes of the list.
    pub dependencies: Vec<usize>,
    /// The nodes of a child graph.
    pub children: Vec<ExecNode>,
}

/// An instantiated graph.
pub struct Exec {
    flags: u64,
    id: u32,
    nodes: Mutex<Vec<ExecNode>>,
}

fn flatten(graphs: &Graphs, graph: Handle) -> Result<Vec<ExecNode>> {
    // A cycle is a structural error.
    let sorted = graphs.sorted(graph)?.ok_or(Error::INVALID_VALUE)?;
    let mut nodes = Vec::new();
    for &source in &sorted {
        let node = graphs.node(source)?;
        let dependencies =
            node.dependencies.iter().filter_map(|d| sorted.iter().position(|other| other == d)).collect();
        let children = match node.op {
            Op::Child(child) => flatten(graphs, child)?,
            _ => Vec::new(),
        };
        nodes.push(ExecNode { source, op: node.op.clone(), enabled: true, dependencies, children });
    }
    Ok(nodes)
}

fn find(nodes: &mut [ExecNode], source: Handle) -> Option<&mut ExecNode> {
    for node in nodes {
        if node.source == source {
            return Some(node);
        }
        if let Some(found) = find(&mut node.children, source) {
            return Some(found);
        }
    }
    None
}

fn run(nodes: &[ExecNode]) -> Result {
    for node in nodes.iter().filter(|node| node.enabled) {
        node.op.run()?;
        run(&node.children)?;
    }
    Ok(())
}

fn walk(nodes: &[ExecNode], visit: &mut impl FnMut(&Op)) {
    for node in nodes {
        visit(&node.op);
        walk(&node.children, visit);
    }
}

impl Exec {
    /// Its nodes as they are now.
    pub fn nodes(&self) -> Vec<ExecNode> {
        lock(&self.nodes).clone()
    }

    /// Whether a node may wait for the program.
    pub fn may_block(&self) -> bool {
        let mut blocks = false;
        walk(&lock(&self.nodes), &mut |op| blocks |= op.may_block());
        blocks
    }

    /// Executes the nodes in an order that their dependencies allow.
    pub fn run(&self) -> Result {
        let nodes = self.nodes();
        if self.flags & AUTO_FREE_ON_LAUNCH != 0 {
            walk(&nodes, &mut |op| {
                if let Op::Alloc(memory) = op {
                    // Freed already is as good.
                    let _ = memory.release();
                }
            });
        }
        run(&nodes)
    }

    /// Changes a node's operation.
    pub fn set(&self, source: Handle, change: impl FnOnce(&mut ExecNode) -> Result) -> Result {
        let mut nodes = lock(&self.nodes);
        change(find(&mut nodes, source).ok_or(Error::INVALID_VALUE)?)
    }
}

fn instantiate(graph: Handle, flags: u64) -> Result<Handle> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    current()?;
    if flags & !(AUTO_FREE_ON_LAUNCH | UPLOAD | DEVICE_LAUNCH | USE_NODE_PRIORITY) != 0 {
        return Err(Error::INVALID_VALUE);
    }
    if flags & DEVICE_LAUNCH != 0 {
        let with_free = flags & AUTO_FREE_ON_LAUNCH != 0;
        return Err(if with_free { Error::INVALID_VALUE } else { Error::NOT_SUPPORTED });
    }
    let graphs = lock(&driver().graphs);
    let nodes = flatten(&graphs, graph)?;
    let handle = new_handle();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    driver().execs.insert(handle, Exec { flags, id, nodes: Mutex::new(nodes) });
    Ok(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithFlags(out: *mut Handle, graph: Handle, flags: u64) -> i32 {
    api(|| {
        put(out, 0)?;
        // Uploading needs a stream, which only the call with parameters has.
        if flags & UPLOAD != 0 {
            return Err(Error::INVALID_VALUE);
        }
        put(out, instantiate(graph, flags)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiate_v2(
    out: *mut Handle,
    graph: Handle,
    error_node: *mut Handle,
    log: *mut i8,
    log_bytes: usize,
) -> i32 {
    api(|| {
        put(out, 0)?;
        put_if(error_node, 0)?;
        if !log.is_null() {
            put_string(log, log_bytes, "")?;
        }
        put(out, instantiate(graph, 0)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithParams(
    out: *mut Handle,
    graph: Handle,
    params: *mut InstantiateParams,
) -> i32 {
    api(|| {
        put(out, 0)?;
        let mut values = get(params)?;
        if values.flags & UPLOAD != 0 {
            stream::resolve(values.upload_stream)?;
        }
        let made = instantiate(graph, values.flags);
        values.error_node = 0;
        // CUDA_GRAPH_INSTANTIATE_ERROR, …_NODE_OPERATION_NOT_SUPPORTED
        values.result = match made {
            Ok(_) => 0,
            Err(Error::NOT_SUPPORTED) => 3,
            Err(_) => 1,
        };
        put(params, values)?;
        put(out, made?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(exec: Handle) -> i32 {
    api(|| driver().execs.remove(exec).map(|_| ()).map_err(|_| Error::INVALID_VALUE))
}

/// The instantiated graph of a handle.
pub fn exec(handle: Handle) -> Result<std::sync::Arc<Exec>> {
    driver().execs.get(handle).map_err(|_| Error::INVALID_VALUE)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(handle: Handle, stream: Handle) -> i32 {
    api(|| {
        let exec = exec(handle)?;
        let stream = stream::resolve(stream)?;
        stream::submit(&stream, Op::Graph(exec))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphUpload(handle: Handle, stream: Handle) -> i32 {
    api(|| {
        exec(handle)?;
        let stream = stream::resolve(stream)?;
        crate::capture::refuse_capturing(&stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecGetFlags(handle: Handle, out: *mut u64) -> i32 {
    api(|| put(out, exec(handle)?.flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecGetId(handle: Handle, out: *mut u32) -> i32 {
    api(|| put(out, exec(handle)?.id))
}

/// Only kernels, copies and fills can be switched off.
fn can_be_disabled(op: &Op) -> bool {
    matches!(op, Op::Kernel(_) | Op::Copy(_) | Op::Fill(_))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeSetEnabled(handle: Handle, node: Handle, enabled: u32) -> i32 {
    api(|| {
        exec(handle)?.set(node, |node| {
            if !can_be_disabled(&node.op) {
                return Err(Error::INVALID_VALUE);
            }
            node.enabled = enabled != 0;
            Ok(())
        })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetEnabled(handle: Handle, node: Handle, out: *mut u32) -> i32 {
    api(|| {
        exec(handle)?.set(node, |node| {
            if !can_be_disabled(&node.op) {
                return Err(Error::INVALID_VALUE);
            }
            put(out, node.enabled as u32)
        })
    })
}

/// Results of an update: `CUgraphExecUpdateResult`.
const TOPOLOGY_CHANGED: i32 = 2;
const NODE_TYPE_CHANGED: i32 = 3;
const PARAMETERS_CHANGED: i32 = 5;
const NOT_SUPPORTED: i32 = 6;

/// What differs beyond what an update may change.
fn difference(old: &[ExecNode], new: &[ExecNode]) -> std::result::Result<(), (i32, Handle, Handle)> {
    for (a, b) in old.iter().zip(new) {
        let fail = |code| Err((code, b.source, a.source));
        if a.op.node_type() != b.op.node_type() {
            return fail(NODE_TYPE_CHANGED);
        }
        if a.dependencies != b.dependencies {
            return fail(TOPOLOGY_CHANGED);
        }
        match (&a.op, &b.op) {
            (Op::Alloc(_) | Op::FreeGraph(_), _) => return fail(NOT_SUPPORTED),
            (Op::Kernel(a), Op::Kernel(b)) if a.cooperative != b.cooperative => {
                return fail(PARAMETERS_CHANGED);
            }
            (Op::Copy(a), Op::Copy(b)) if a.kind() != b.kind() => return fail(PARAMETERS_CHANGED),
            _ => {}
        }
        difference(&a.children, &b.children)?;
    }
    match old.len() == new.len() {
        true => Ok(()),
        false => Err((TOPOLOGY_CHANGED, 0, 0)),
    }
}

fn update(handle: Handle, graph: Handle) -> Result<ExecUpdateResult> {
    let exec = exec(handle)?;
    let graphs = lock(&driver().graphs);
    let new = flatten(&graphs, graph)?;
    let mut nodes = lock(&exec.nodes);
    Ok(match difference(&nodes, &new) {
        Err((result, error_node, error_from_node)) => {
            ExecUpdateResult { result, error_node, error_from_node }
        }
        Ok(()) => {
            // A disabled node stays disabled, and the nodes keep the names under which the program knows them.
            fn adopt(old: &mut [ExecNode], new: Vec<ExecNode>) {
                for (a, b) in old.iter_mut().zip(new) {
                    a.op = b.op;
                    adopt(&mut a.children, b.children);
                }
            }
            adopt(&mut nodes, new);
            ExecUpdateResult { result: 0, error_node: 0, error_from_node: 0 }
        }
    })
}

fn update_code(result: &ExecUpdateResult) -> Result {
    if result.result == 0 { Ok(()) } else { Err(Error::GRAPH_EXEC_UPDATE_FAILURE) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecUpdate(
    exec: Handle,
    graph: Handle,
    error_node: *mut Handle,
    result: *mut i32,
) -> i32 {
    api(|| {
        let info = update(exec, graph)?;
        put_if(error_node, info.error_node)?;
        put_if(result, info.result)?;
        update_code(&info)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecUpdate_v2(exec: Handle, graph: Handle, result: *mut ExecUpdateResult) -> i32 {
    api(|| {
        let info = update(exec, graph)?;
        put_if(result, info)?;
        update_code(&info)
    })
}
