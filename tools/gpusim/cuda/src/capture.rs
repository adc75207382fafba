//! Stream capture.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::ThreadId;

use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::graph::Graphs;
use crate::host::{get, get_all, put, put_if};
use crate::op::Op;
use crate::registry::lock;
use crate::stream::{Stream, resolve};
use crate::types::{EdgeData, Handle};

const GLOBAL: i32 = 0;
const RELAXED: i32 = 2;

/// A capture sequence.
struct Capture {
    origin: Handle,
    mode: i32,
    thread: ThreadId,
    graph: Handle,
    valid: bool,
    /// The nodes that each stream's next node will depend on.
    fronts: HashMap<Handle, Vec<Handle>>,
}

/// The capture sequences under way.
#[derive(Default)]
pub struct Captures {
    last: u64,
    active: HashMap<u64, Capture>,
    /// Which sequence a stream belongs to.
    streams: HashMap<Handle, u64>,
}

impl Captures {
    fn of(&mut self, stream: Handle) -> Option<(u64, &mut Capture)> {
        let id = *self.streams.get(&stream)?;
        self.active.get_mut(&id).map(|capture| (id, capture))
    }

    fn end(&mut self, id: u64) -> Option<Capture> {
        self.streams.retain(|_, of| *of != id);
        self.active.remove(&id)
    }
}

thread_local! {
    /// `cuThreadExchangeStreamCaptureMode`.
    static MODE: Cell<i32> = const { Cell::new(GLOBAL) };
    /// What `cuStreamGetCaptureInfo` handed out a pointer to; the driver owns such arrays too.
    static SHOWN: RefCell<(Vec<Handle>, Vec<EdgeData>)> = RefCell::default();
}

/// Fails, and invalidates the captures concerned, if a call that is potentially unsafe during capture is prohibited.
pub fn forbidden_in_capture() -> Result {
    let mode = MODE.get();
    if mode == RELAXED {
        return Ok(());
    }
    let here = std::thread::current().id();
    let mut captures = lock(&driver().captures);
    let mut found = false;
    for capture in captures.active.values_mut() {
        let own = capture.thread == here && capture.mode != RELAXED;
        if own || mode == GLOBAL && capture.mode == GLOBAL {
            capture.valid = false;
            found = true;
        }
    }
    if found { Err(Error::STREAM_CAPTURE_UNSUPPORTED) } else { Ok(()) }
}

/// Invalidates a capture; false if it has ended.
pub fn invalidate(id: u64) -> bool {
    match lock(&driver().captures).active.get_mut(&id) {
        Some(capture) => {
            capture.valid = false;
            true
        }
        None => false,
    }
}

/// Fails, and invalidates the capture, if the stream is being captured.
pub fn refuse_capturing(stream: &Stream) -> Result {
    let mut captures = lock(&driver().captures);
    if let Some((_, capture)) = captures.of(stream.handle) {
        capture.valid = false;
        return Err(Error::STREAM_CAPTURE_UNSUPPORTED);
    }
    if stream.is_legacy { refuse_implicit(&mut captures, stream) } else { Ok(()) }
}

/// Fails if the legacy stream would wait for a stream that is being captured.
fn refuse_implicit(captures: &mut Captures, legacy: &Stream) -> Result {
    let mut result = Ok(());
    for other in driver().streams.all() {
        if other.context == legacy.context
            && other.is_blocking()
            && let Some((_, capture)) = captures.of(other.handle)
        {
            capture.valid = false;
            result = Err(Error::STREAM_CAPTURE_IMPLICIT);
        }
    }
    result
}

/// Whether the stream is being captured.
pub fn is_capturing(stream: &Stream) -> bool {
    lock(&driver().captures).of(stream.handle).is_some()
}

/// Ends what a destroyed stream was part of.
pub fn abandon(stream: &Stream) {
    let mut captures = lock(&driver().captures);
    let Some((id, capture)) = captures.of(stream.handle) else { return };
    capture.valid = false;
    if capture.origin == stream.handle {
        let capture = captures.end(id);
        drop(captures);
        if let Some(capture) = capture {
            // An unfinished graph belongs to nobody else.
            let _ = lock(&driver().graphs).destroy(capture.graph);
        }
    }
}

/// Records the operation if the stream is being captured; true if it was.
pub fn append(stream: &Stream, op: &Op) -> Result<bool> {
    let driver = driver();
    let mut captures = lock(&driver.captures);
    let Some((id, capture)) = captures.of(stream.handle) else {
        if stream.is_legacy {
            refuse_implicit(&mut captures, stream)?;
        }
        return Ok(false);
    };
    if !capture.valid {
        return Err(Error::STREAM_CAPTURE_INVALIDATED);
    }
    let front = capture.fronts.entry(stream.handle).or_default();
    match op {
        Op::Record(event) => event.set_captured(id, front.clone()),
        Op::Empty => {}
        _ => {
            let mut graphs = lock(&driver.graphs);
            let op = match op {
                Op::Graph(exec) => Op::Child(graphs.embed(&exec.nodes())),
                op => op.clone(),
            };
            match graphs.add(capture.graph, op, front) {
                Ok(node) => *front = vec![node],
                Err(error) => {
                    capture.valid = false;
                    return Err(error);
                }
            }
        }
    }
    Ok(true)
}

/// `cuStreamWaitEvent` as far as captures are concerned; true if nothing is left to do.
pub fn join(stream: &Arc<Stream>, event: &Arc<Event>, external: bool) -> Result<bool> {
    let mut captures = lock(&driver().captures);
    let from = event.captured().filter(|(id, _)| captures.active.contains_key(id));
    let own = captures.streams.get(&stream.handle).copied();
    match (own, from) {
        (None, None) => Ok(false),
        (Some(_), None) if external => Ok(false),
        (Some(id), None) => {
            let Some(capture) = captures.active.get_mut(&id) else { return Ok(false) };
            let was_valid = std::mem::replace(&mut capture.valid, false);
            Err(if was_valid { Error::STREAM_CAPTURE_ISOLATION } else { Error::STREAM_CAPTURE_INVALIDATED })
        }
        (Some(id), Some((other, _))) if id != other => {
            for id in [id, other] {
                if let Some(capture) = captures.active.get_mut(&id) {
                    capture.valid = false;
                }
            }
            Err(Error::STREAM_CAPTURE_MERGE)
        }
        (own, Some((id, nodes))) => {
            let Some(capture) = captures.active.get_mut(&id) else { return Ok(false) };
            if !capture.valid {
                return Err(Error::STREAM_CAPTURE_INVALIDATED);
            }
            if stream.is_legacy {
                capture.valid = false;
                return Err(Error::STREAM_CAPTURE_IMPLICIT);
            }
            let front = capture.fronts.entry(stream.handle).or_default();
            for node in nodes {
                if !front.contains(&node) {
                    front.push(node);
                }
            }
            if own.is_none() {
                captures.streams.insert(stream.handle, id);
            }
            Ok(true)
        }
    }
}

fn begin(handle: Handle, mode: i32, into: Option<(Handle, Vec<Handle>)>) -> Result {
    let stream = resolve(handle)?;
    if !(GLOBAL..=RELAXED).contains(&mode) {
        return Err(Error::INVALID_VALUE);
    }
    if stream.is_legacy {
        return Err(Error::STREAM_CAPTURE_UNSUPPORTED);
    }
    let mut captures = lock(&driver().captures);
    if let Some((_, capture)) = captures.of(stream.handle) {
        capture.valid = false;
        return Err(Error::ILLEGAL_STATE);
    }
    let mut graphs = lock(&driver().graphs);
    let (graph, front) = match into {
        None => (graphs.create(), Vec::new()),
        Some((graph, front)) => {
            graphs.check_nodes(graph, &front)?;
            (graph, front)
        }
    };
    captures.last += 1;
    let id = captures.last;
    captures.streams.insert(stream.handle, id);
    let capture = Capture {
        origin: stream.handle,
        mode,
        thread: std::thread::current().id(),
        graph,
        valid: true,
        fronts: HashMap::from([(stream.handle, front)]),
    };
    captures.active.insert(id, capture);
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(stream: Handle, mode: i32) -> i32 {
    api(|| begin(stream, mode, None))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture(stream: Handle) -> i32 {
    api(|| begin(stream, GLOBAL, None))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCaptureToGraph(
    stream: Handle,
    graph: Handle,
    dependencies: *const Handle,
    edges: *const EdgeData,
    count: usize,
    mode: i32,
) -> i32 {
    api(|| {
        crate::graph::check_edges(edges, count)?;
        begin(stream, mode, Some((graph, get_all(dependencies, count)?)))
    })
}

/// All ancestors of the nodes, and the nodes.
fn closure(graphs: &Graphs, nodes: &[Handle]) -> HashSet<Handle> {
    let mut found: HashSet<Handle> = HashSet::new();
    let mut left = nodes.to_vec();
    while let Some(node) = left.pop() {
        if found.insert(node) {
            left.extend(graphs.dependencies(node));
        }
    }
    found
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamEndCapture(handle: Handle, out: *mut Handle) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        put(out, 0)?;
        let mut captures = lock(&driver().captures);
        let Some((id, capture)) = captures.of(stream.handle) else { return Err(Error::ILLEGAL_STATE) };
        if capture.origin != stream.handle {
            capture.valid = false;
            return Err(Error::STREAM_CAPTURE_UNMATCHED);
        }
        if capture.mode != RELAXED && capture.thread != std::thread::current().id() {
            return Err(Error::STREAM_CAPTURE_WRONG_THREAD);
        }
        let Some(capture) = captures.end(id) else { return Err(Error::ILLEGAL_STATE) };
        let mut graphs = lock(&driver().graphs);
        let joined = closure(&graphs, capture.fronts.get(&capture.origin).map_or(&[], Vec::as_slice));
        let unjoined = capture.fronts.values().flatten().any(|node| !joined.contains(node));
        if !capture.valid || unjoined {
            // The graph of a failed capture is not handed out.
            let _ = graphs.destroy(capture.graph);
            return Err(match capture.valid {
                true => Error::STREAM_CAPTURE_UNJOINED,
                false => Error::STREAM_CAPTURE_INVALIDATED,
            });
        }
        put(out, capture.graph)
    })
}

fn status(capture: Option<(u64, &mut Capture)>) -> (i32, u64) {
    match capture {
        None => (0, 0),
        Some((id, capture)) => (if capture.valid { 1 } else { 2 }, id),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamIsCapturing(handle: Handle, out: *mut i32) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        let mut captures = lock(&driver().captures);
        if stream.is_legacy {
            refuse_implicit(&mut captures, &stream)?;
        }
        put(out, status(captures.of(stream.handle)).0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo(handle: Handle, status_out: *mut i32, id_out: *mut u64) -> i32 {
    api(|| {
        let stream = resolve(handle)?;
        let (status, id) = status(lock(&driver().captures).of(stream.handle));
        put(status_out, status)?;
        put_if(id_out, id)
    })
}

fn info(
    handle: Handle,
    status_out: *mut i32,
    id_out: *mut u64,
    graph_out: *mut Handle,
    nodes_out: *mut usize,
    edges_out: *mut usize,
    count_out: *mut usize,
) -> Result {
    let stream = resolve(handle)?;
    let mut captures = lock(&driver().captures);
    let (code, id) = status(captures.of(stream.handle));
    put(status_out, code)?;
    if code != 1 {
        return Ok(());
    }
    put_if(id_out, id)?;
    let Some((_, capture)) = captures.of(stream.handle) else { return Ok(()) };
    put_if(graph_out, capture.graph)?;
    let front = capture.fronts.get(&stream.handle).cloned().unwrap_or_default();
    put_if(count_out, front.len())?;
    SHOWN.with_borrow_mut(|(nodes, edges)| {
        edges.clear();
        edges.resize(front.len(), EdgeData { bytes: [0; 8] });
        *nodes = front;
        put_if(nodes_out, nodes.as_ptr() as usize)?;
        put_if(edges_out, edges.as_ptr() as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo_v2(
    stream: Handle,
    status: *mut i32,
    id: *mut u64,
    graph: *mut Handle,
    nodes: *mut usize,
    count: *mut usize,
) -> i32 {
    api(|| info(stream, status, id, graph, nodes, std::ptr::null_mut(), count))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo_v3(
    stream: Handle,
    status: *mut i32,
    id: *mut u64,
    graph: *mut Handle,
    nodes: *mut usize,
    edges: *mut usize,
    count: *mut usize,
) -> i32 {
    api(|| info(stream, status, id, graph, nodes, edges, count))
}

fn update(handle: Handle, nodes: Vec<Handle>, flags: u32) -> Result {
    let stream = resolve(handle)?;
    let mut captures = lock(&driver().captures);
    let Some((_, capture)) = captures.of(stream.handle) else { return Err(Error::ILLEGAL_STATE) };
    if flags > 1 {
        return Err(Error::INVALID_VALUE);
    }
    lock(&driver().graphs).check_nodes(capture.graph, &nodes)?;
    let front = capture.fronts.entry(stream.handle).or_default();
    if flags == 1 {
        front.clear();
    }
    for node in nodes {
        if !front.contains(&node) {
            front.push(node);
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamUpdateCaptureDependencies(
    stream: Handle,
    nodes: *const Handle,
    count: usize,
    flags: u32,
) -> i32 {
    api(|| update(stream, get_all(nodes, count)?, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamUpdateCaptureDependencies_v2(
    stream: Handle,
    nodes: *const Handle,
    edges: *const EdgeData,
    count: usize,
    flags: u32,
) -> i32 {
    api(|| {
        crate::graph::check_edges(edges, count)?;
        update(stream, get_all(nodes, count)?, flags)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuThreadExchangeStreamCaptureMode(mode: *mut i32) -> i32 {
    api(|| {
        let new = get(mode)?;
        if !(GLOBAL..=RELAXED).contains(&new) {
            return Err(Error::INVALID_VALUE);
        }
        put(mode, MODE.replace(new))
    })
}
