//! Launches on their way to the device.
//!
//! Operations put their launches in a list, and what these read besides tensors (places of rows, lengths of sequences, draws) in an
//! arena. Both wait until the host wants to see a result or writes to memory that launches may use: then the arena goes to the
//! device in one copy, and the launches after it. Memory that is dropped meanwhile is freed behind them.
//!
//! A list that has come before becomes a CUDA graph, and from then on is one call. It is the same list if kernels, grids and
//! parameters are equal, addresses included, so a graph can never run on memory that has changed hands. Between two meta-contexts of
//! a batch nothing but the arena differs: lengths, positions and random numbers are in it, and the number of segments of
//! a stream's attention is rounded up to a power of two. Only a batch that shrinks, a context that has doubled and a cache that has
//! grown give a new list.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::NoUninit;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, CudaStream};

use super::arena::Arena;
use super::device::failed;
use crate::cuda::raw::{Launch, RawError, Stream, Target};
use crate::error::{Error, Result};

/// Launches after which a list goes out at the end of a pass: the device should not wait for a long prompt to be planned.
const MANY: usize = 1024;
/// Launches below which a graph gains nothing.
const FEW: usize = 8;
/// Lists that are remembered, and graphs that are kept: a period of refreshes, and a few sizes of batch.
const KEPT: usize = 8;

/// What a backend has sent to its device so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Launches {
    /// Kernels, in graphs or one by one.
    pub kernels: u64,
    /// Calls of a graph.
    pub replays: u64,
    /// Graphs made.
    pub graphs: u64,
}

/// The way to the device.
pub(super) struct Queue {
    stream: Arc<CudaStream>,
    graphs: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Vec<Launch>,
    arena: Arena,
    /// Lists that went out launch by launch, the latest first.
    recent: VecDeque<Vec<Launch>>,
    /// The graph last used first.
    captured: VecDeque<Captured>,
    sent: Launches,
    /// Counts the times that the arena was sent: what was put in it before is gone.
    epoch: u64,
    /// Memory that was dropped while launches may have wanted it.
    dropped: Vec<Box<dyn Any + Send>>,
}

struct Captured {
    launches: Vec<Launch>,
    graph: CudaGraph,
}

// SAFETY: the graph is used under the queue's lock only.
unsafe impl Send for Captured {}

impl Queue {
    pub(super) fn new(stream: Arc<CudaStream>, graphs: bool) -> Queue {
        Queue { stream, graphs, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream, for what needs no order: new memory, and addresses.
    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// The stream after all launches so far were sent: for reading, and for writing to memory that they may use.
    pub(super) fn ordered(&self) -> Result<&Arc<CudaStream>> {
        self.send()?;
        Ok(&self.stream)
    }

    /// A copy of `values` on the device until the next time that launches are sent; its address.
    pub(super) fn upload<T: NoUninit>(&self, values: &[T]) -> Result<u64> {
        self.state().arena.put(&self.stream, bytemuck::cast_slice(values))
    }

    /// What [`Queue::upload`] gave is valid while this stays.
    pub(super) fn epoch(&self) -> u64 {
        self.state().epoch
    }

    pub(super) fn sent(&self) -> Launches {
        self.state().sent
    }

    /// Frees memory once the launches so far, which may want it, were sent.
    pub(super) fn free(&self, memory: Box<dyn Any + Send>) {
        let mut state = self.state();
        if !state.pending.is_empty() {
            state.dropped.push(memory);
        }
    }

    /// Between two passes: sends the launches so far if they are many.
    pub(super) fn end_of_pass(&self) -> Result<()> {
        let state = self.state();
        let long = state.pending.len() >= MANY || state.arena.is_large();
        drop(state);
        if long { self.send() } else { Ok(()) }
    }

    /// Sends all launches so far to the device.
    pub(super) fn send(&self) -> Result<()> {
        let mut state = self.state();
        if state.pending.is_empty() {
            return Ok(());
        }
        let result = self.send_list(&mut state);
        state.pending.clear();
        state.arena.clear();
        state.dropped.clear();
        state.epoch += 1;
        result
    }

    fn send_list(&self, state: &mut State) -> Result<()> {
        self.stream.context().bind_to_thread().map_err(failed)?;
        state.arena.send(&self.stream)?;
        state.sent.kernels += state.pending.len() as u64;
        if let Some(at) = state.captured.iter().position(|captured| captured.launches == state.pending) {
            // The latest goes to the front.
            state.captured.make_contiguous()[..=at].rotate_right(1);
            return state.replay();
        }
        let list = &state.pending;
        if self.graphs && list.len() >= FEW && state.recent.contains(list) {
            // Where there is no memory for a graph, the launches go out one by one as before.
            if let Ok(graph) = self.capture(list) {
                state.recent.retain(|recent| recent != &state.pending);
                state.captured.truncate(KEPT - 1);
                state.captured.push_front(Captured { launches: std::mem::take(&mut state.pending), graph });
                state.sent.graphs += 1;
                return state.replay();
            }
        }
        self.run(&state.pending)?;
        if self.graphs {
            // The oldest list's memory becomes that of the next one.
            let old = if state.recent.len() < KEPT { None } else { state.recent.pop_back() };
            let list = std::mem::replace(&mut state.pending, old.unwrap_or_default());
            state.recent.push_front(list);
        }
        Ok(())
    }

    fn run(&self, list: &[Launch]) -> Result<()> {
        let stream: Stream = self.stream.cu_stream().cast();
        for launch in list {
            // SAFETY: the operation that made it checked what it points to; that is freed after the list was sent, in the order
            // of the stream.
            unsafe { launch.run(stream) }.map_err(|error| Error::Backend(format!("a launch: {error}")))?;
        }
        Ok(())
    }

    /// The list as a graph.
    fn capture(&self, list: &[Launch]) -> Result<CudaGraph> {
        // Other threads may do what they like meanwhile.
        self.stream
            .begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(failed)?;
        let run = self.run(list);
        // Ended in any case: a stream that is left capturing takes no other work.
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0)).map_err(failed);
        run?;
        graph?.ok_or_else(|| Error::Backend("the driver captured no graph of the launches".into()))
    }
}

impl State {
    fn replay(&mut self) -> Result<()> {
        let Some(captured) = self.captured.front() else { return Ok(()) };
        self.sent.replays += 1;
        captured.graph.launch().map_err(failed)
    }
}

impl Target for &Queue {
    unsafe fn take(self, launch: Launch) -> std::result::Result<(), RawError> {
        self.state().pending.push(launch);
        Ok(())
    }
}
