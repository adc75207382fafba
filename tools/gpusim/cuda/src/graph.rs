//! Graphs: the table of graphs and nodes, and the calls about their structure.

use std::collections::HashMap;

use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::exec::ExecNode;
use crate::host::{get, get_all, get_name, put};
use crate::op::Op;
use crate::registry::{lock, new_handle};
use crate::types::{AttributeValue, EdgeData, Handle};

/// A node.
pub struct Node {
    pub op: Op,
    pub graph: Handle,
    pub dependencies: Vec<Handle>,
    pub attributes: HashMap<i32, AttributeValue>,
}

/// A graph.
#[derive(Default)]
pub struct Graph {
    /// In the order in which they were added.
    pub nodes: Vec<Handle>,
    /// Set for the copy that a child node owns.
    is_child: bool,
    /// For a clone: its node for each original node.
    origins: HashMap<Handle, Handle>,
    /// User objects with the references the graph holds.
    pub objects: HashMap<Handle, u32>,
    id: u32,
}

/// All graphs and nodes.
#[derive(Default)]
pub struct Graphs {
    graphs: HashMap<Handle, Graph>,
    nodes: HashMap<Handle, Node>,
    last_id: u32,
}

impl Graphs {
    /// A new graph.
    pub fn create(&mut self) -> Handle {
        let handle = new_handle();
        self.last_id += 1;
        self.graphs.insert(handle, Graph { id: self.last_id, ..Graph::default() });
        handle
    }

    /// The graph of a handle.
    pub fn graph(&self, handle: Handle) -> Result<&Graph> {
        self.graphs.get(&handle).ok_or(Error::INVALID_VALUE)
    }

    /// The graph of a handle, to be changed.
    pub fn graph_mut(&mut self, handle: Handle) -> Result<&mut Graph> {
        self.graphs.get_mut(&handle).ok_or(Error::INVALID_VALUE)
    }

    /// The node of a handle.
    pub fn node(&self, handle: Handle) -> Result<&Node> {
        self.nodes.get(&handle).ok_or(Error::INVALID_VALUE)
    }

    /// The node of a handle, to be changed.
    pub fn node_mut(&mut self, handle: Handle) -> Result<&mut Node> {
        self.nodes.get_mut(&handle).ok_or(Error::INVALID_VALUE)
    }

    /// What a node depends on; nothing for a node that is gone.
    pub fn dependencies(&self, node: Handle) -> Vec<Handle> {
        self.nodes.get(&node).map(|node| node.dependencies.clone()).unwrap_or_default()
    }

    /// Fails unless all nodes are the graph's and different.
    pub fn check_nodes(&self, graph: Handle, nodes: &[Handle]) -> Result {
        self.graph(graph)?;
        for (i, &node) in nodes.iter().enumerate() {
            if self.node(node)?.graph != graph || nodes[..i].contains(&node) {
                return Err(Error::INVALID_VALUE);
            }
        }
        Ok(())
    }

    /// Whether a node of the graph frees the memory already.
    fn frees(&self, graph: Handle, pointer: u64) -> bool {
        let nodes = self.graph(graph).map_or(&[][..], |graph| &graph.nodes);
        let op = |node| self.node(node).map(|node| &node.op);
        nodes.iter().any(|&node| matches!(op(node), Ok(Op::FreeGraph(memory)) if memory.pointer == pointer))
    }

    /// Adds a node.
    pub fn add(&mut self, graph: Handle, op: Op, dependencies: &[Handle]) -> Result<Handle> {
        self.check_nodes(graph, dependencies)?;
        if let Op::FreeGraph(memory) = &op
            && self.frees(graph, memory.pointer)
        {
            return Err(Error::INVALID_VALUE);
        }
        if let Op::Child(child) = op {
            self.graph_mut(child)?.is_child = true;
        }
        let handle = new_handle();
        let dependencies = dependencies.to_vec();
        self.nodes.insert(handle, Node { op, graph, dependencies, attributes: HashMap::new() });
        self.graph_mut(graph)?.nodes.push(handle);
        Ok(handle)
    }

    /// A copy of a graph, child graphs included.
    pub fn copy(&mut self, graph: Handle) -> Result<Handle> {
        let nodes = self.graph(graph)?.nodes.clone();
        let copy = self.create();
        let mut origins = HashMap::new();
        // Dependencies may point forward: edges can be added later. So nodes first, edges second.
        for &node in &nodes {
            let mut op = self.node(node)?.op.clone();
            if let Op::Child(child) = op {
                op = Op::Child(self.copy(child)?);
            }
            let attributes = self.node(node)?.attributes.clone();
            let new = self.add(copy, op, &[])?;
            self.node_mut(new)?.attributes = attributes;
            origins.insert(node, new);
        }
        for node in nodes {
            let dependencies =
                self.dependencies(node).iter().filter_map(|d| origins.get(d).copied()).collect();
            if let Some(new) = origins.get(&node) {
                self.node_mut(*new)?.dependencies = dependencies;
            }
        }
        self.graph_mut(copy)?.origins = origins;
        Ok(copy)
    }

    /// A graph made of an instantiated graph's nodes, for the launch of one while a stream is captured.
    pub fn embed(&mut self, nodes: &[ExecNode]) -> Handle {
        let graph = self.create();
        let mut handles = Vec::new();
        for node in nodes {
            let op = match (&node.op, node.enabled) {
                (_, false) => Op::Empty,
                (Op::Child(_), true) => Op::Child(self.embed(&node.children)),
                (op, true) => op.clone(),
            };
            let dependencies: Vec<Handle> = node.dependencies.iter().map(|&at| handles[at]).collect();
            // The graph is new and the dependencies are its own, so adding cannot fail.
            if let Ok(handle) = self.add(graph, op, &dependencies) {
                handles.push(handle);
            }
        }
        graph
    }

    /// Removes a graph with its nodes.
    pub fn destroy(&mut self, handle: Handle) -> Result {
        let graph = self.graphs.remove(&handle).ok_or(Error::INVALID_VALUE)?;
        for node in graph.nodes {
            if let Some(Node { op: Op::Child(child), .. }) = self.nodes.remove(&node) {
                self.destroy(child)?;
            }
        }
        for (object, count) in graph.objects {
            crate::user_object::release(object, count)?;
        }
        Ok(())
    }

    /// The nodes so that each comes after those it depends on; `None` if there is a cycle.
    pub fn sorted(&self, graph: Handle) -> Result<Option<Vec<Handle>>> {
        let nodes = &self.graph(graph)?.nodes;
        let mut left: HashMap<Handle, usize> =
            nodes.iter().map(|&n| (n, self.dependencies(n).len())).collect();
        let mut dependents: HashMap<Handle, Vec<Handle>> = HashMap::new();
        for &node in nodes {
            for dependency in self.dependencies(node) {
                dependents.entry(dependency).or_default().push(node);
            }
        }
        let mut ready: std::collections::VecDeque<Handle> =
            nodes.iter().copied().filter(|node| left[node] == 0).collect();
        let mut sorted = Vec::new();
        while let Some(node) = ready.pop_front() {
            sorted.push(node);
            for &dependent in dependents.get(&node).map_or(&[][..], Vec::as_slice) {
                if let Some(count) = left.get_mut(&dependent) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push_back(dependent);
                    }
                }
            }
        }
        Ok((sorted.len() == nodes.len()).then_some(sorted))
    }
}

/// Edges that are not plain full dependencies (programmatic ones) are treated as such: nothing may be reordered by it.
pub fn check_edges(edges: *const EdgeData, count: usize) -> Result {
    if !edges.is_null() {
        for edge in get_all(edges, count)? {
            if edge.bytes[2] > 1 || edge.bytes[3..] != [0; 5] {
                return Err(Error::INVALID_VALUE);
            }
        }
    }
    Ok(())
}

/// Fills an array whose capacity is in `count`, as the query calls do: without an array it gives the number; with one
/// that is too large the rest becomes null.
fn put_list(list: &[Handle], out: *mut Handle, count: *mut usize) -> Result {
    if out.is_null() {
        return put(count, list.len());
    }
    let capacity = get(count)?;
    for i in 0..capacity.min(1 << 20) {
        put(out.wrapping_add(i), list.get(i).copied().unwrap_or(0))?;
    }
    put(count, list.len().min(capacity))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphCreate(out: *mut Handle, flags: u32) -> i32 {
    api(|| {
        if flags != 0 {
            return Err(Error::INVALID_VALUE);
        }
        put(out, 0)?;
        put(out, lock(&driver().graphs).create())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(graph: Handle) -> i32 {
    api(|| {
        let mut graphs = lock(&driver().graphs);
        if graphs.graph(graph)?.is_child {
            return Err(Error::INVALID_VALUE);
        }
        graphs.destroy(graph)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphClone(out: *mut Handle, graph: Handle) -> i32 {
    api(|| {
        put(out, 0)?;
        put(out, lock(&driver().graphs).copy(graph)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeFindInClone(out: *mut Handle, original: Handle, clone: Handle) -> i32 {
    api(|| {
        let graphs = lock(&driver().graphs);
        put(out, *graphs.graph(clone)?.origins.get(&original).ok_or(Error::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroyNode(handle: Handle) -> i32 {
    api(|| {
        let mut graphs = lock(&driver().graphs);
        let graph = graphs.node(handle)?.graph;
        // Nodes that the driver allocates memory in must stay, because freeing follows from the graph's structure.
        if matches!(graphs.node(handle)?.op, Op::Alloc(_) | Op::FreeGraph(_)) {
            return Err(Error::NOT_SUPPORTED);
        }
        let nodes = graphs.graph(graph)?.nodes.clone();
        for node in nodes {
            graphs.node_mut(node)?.dependencies.retain(|dependency| *dependency != handle);
        }
        graphs.graph_mut(graph)?.nodes.retain(|node| *node != handle);
        if let Some(Node { op: Op::Child(child), .. }) = graphs.nodes.remove(&handle) {
            graphs.destroy(child)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphGetNodes(graph: Handle, out: *mut Handle, count: *mut usize) -> i32 {
    api(|| put_list(&lock(&driver().graphs).graph(graph)?.nodes, out, count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphGetRootNodes(graph: Handle, out: *mut Handle, count: *mut usize) -> i32 {
    api(|| {
        let graphs = lock(&driver().graphs);
        let nodes = &graphs.graph(graph)?.nodes;
        let roots: Vec<Handle> =
            nodes.iter().copied().filter(|&n| graphs.dependencies(n).is_empty()).collect();
        put_list(&roots, out, count)
    })
}

fn edges(
    graph: Handle,
    from: *mut Handle,
    to: *mut Handle,
    data: *mut EdgeData,
    count: *mut usize,
) -> Result {
    let graphs = lock(&driver().graphs);
    let mut pairs = Vec::new();
    for &node in &graphs.graph(graph)?.nodes {
        pairs.extend(graphs.dependencies(node).into_iter().map(|dependency| (dependency, node)));
    }
    if from.is_null() != to.is_null() {
        return Err(Error::INVALID_VALUE);
    }
    if from.is_null() {
        return put(count, pairs.len());
    }
    let capacity = get(count)?;
    for (i, (source, target)) in pairs.iter().enumerate().take(capacity) {
        put(from.wrapping_add(i), *source)?;
        put(to.wrapping_add(i), *target)?;
        if !data.is_null() {
            put(data.wrapping_add(i), EdgeData { bytes: [0; 8] })?;
        }
    }
    put(count, pairs.len().min(capacity))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphGetEdges(
    graph: Handle,
    from: *mut Handle,
    to: *mut Handle,
    count: *mut usize,
) -> i32 {
    api(|| edges(graph, from, to, std::ptr::null_mut(), count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphGetEdges_v2(
    graph: Handle,
    from: *mut Handle,
    to: *mut Handle,
    data: *mut EdgeData,
    count: *mut usize,
) -> i32 {
    api(|| edges(graph, from, to, data, count))
}

fn node_list(
    node: Handle,
    dependents: bool,
    out: *mut Handle,
    data: *mut EdgeData,
    count: *mut usize,
) -> Result {
    let graphs = lock(&driver().graphs);
    let graph = graphs.node(node)?.graph;
    let list = match dependents {
        false => graphs.dependencies(node),
        true => {
            let nodes = &graphs.graph(graph)?.nodes;
            nodes.iter().copied().filter(|&n| graphs.dependencies(n).contains(&node)).collect()
        }
    };
    put_list(&list, out, count)?;
    if !data.is_null() && !out.is_null() {
        for i in 0..get(count)?.min(list.len()) {
            put(data.wrapping_add(i), EdgeData { bytes: [0; 8] })?;
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetDependencies(node: Handle, out: *mut Handle, count: *mut usize) -> i32 {
    api(|| node_list(node, false, out, std::ptr::null_mut(), count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetDependencies_v2(
    node: Handle,
    out: *mut Handle,
    data: *mut EdgeData,
    count: *mut usize,
) -> i32 {
    api(|| node_list(node, false, out, data, count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetDependentNodes(node: Handle, out: *mut Handle, count: *mut usize) -> i32 {
    api(|| node_list(node, true, out, std::ptr::null_mut(), count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetDependentNodes_v2(
    node: Handle,
    out: *mut Handle,
    data: *mut EdgeData,
    count: *mut usize,
) -> i32 {
    api(|| node_list(node, true, out, data, count))
}

/// Adds or removes edges: all or none.
fn change_edges(graph: Handle, from: *const Handle, to: *const Handle, count: usize, add: bool) -> Result {
    let (from, to) = (get_all(from, count)?, get_all(to, count)?);
    let mut graphs = lock(&driver().graphs);
    graphs.graph(graph)?;
    for (source, target) in from.iter().zip(&to) {
        graphs.check_nodes(graph, &[*source, *target])?;
        if graphs.node(*target)?.dependencies.contains(source) == add {
            return Err(Error::INVALID_VALUE);
        }
    }
    for (source, target) in from.iter().zip(&to) {
        let dependencies = &mut graphs.node_mut(*target)?.dependencies;
        match add {
            true => dependencies.push(*source),
            false => dependencies.retain(|dependency| dependency != source),
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddDependencies(
    graph: Handle,
    from: *const Handle,
    to: *const Handle,
    count: usize,
) -> i32 {
    api(|| change_edges(graph, from, to, count, true))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphAddDependencies_v2(
    graph: Handle,
    from: *const Handle,
    to: *const Handle,
    data: *const EdgeData,
    count: usize,
) -> i32 {
    api(|| check_edges(data, count).and_then(|_| change_edges(graph, from, to, count, true)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphRemoveDependencies(
    graph: Handle,
    from: *const Handle,
    to: *const Handle,
    count: usize,
) -> i32 {
    api(|| change_edges(graph, from, to, count, false))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphRemoveDependencies_v2(
    graph: Handle,
    from: *const Handle,
    to: *const Handle,
    data: *const EdgeData,
    count: usize,
) -> i32 {
    api(|| check_edges(data, count).and_then(|_| change_edges(graph, from, to, count, false)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetType(node: Handle, out: *mut i32) -> i32 {
    api(|| put(out, lock(&driver().graphs).node(node)?.op.node_type()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetContainingGraph(node: Handle, out: *mut Handle) -> i32 {
    api(|| put(out, lock(&driver().graphs).node(node)?.graph))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphGetId(graph: Handle, out: *mut u32) -> i32 {
    api(|| put(out, lock(&driver().graphs).graph(graph)?.id))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetLocalId(node: Handle, out: *mut u32) -> i32 {
    api(|| {
        let graphs = lock(&driver().graphs);
        let graph = graphs.graph(graphs.node(node)?.graph)?;
        put(out, graph.nodes.iter().position(|n| *n == node).ok_or(Error::INVALID_VALUE)? as u32)
    })
}

/// Writes the graph's nodes and edges in Graphviz' language, without the details that flags ask for.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDebugDotPrint(graph: Handle, path: *const i8, flags: u32) -> i32 {
    api(|| {
        let _ = flags;
        let path = get_name(path)?;
        let graphs = lock(&driver().graphs);
        let mut text = String::from("digraph {\n");
        for (i, &node) in graphs.graph(graph)?.nodes.iter().enumerate() {
            let label = match &graphs.node(node)?.op {
                Op::Kernel(call) => call.function.name().to_string(),
                op => format!("type {}", op.node_type()),
            };
            text += &format!("  \"{node:#x}\" [label=\"{i}: {label}\"];\n");
            for dependency in graphs.dependencies(node) {
                text += &format!("  \"{dependency:#x}\" -> \"{node:#x}\";\n");
            }
        }
        text += "}\n";
        std::fs::write(path, text).map_err(|_| Error::OPERATING_SYSTEM)
    })
}
