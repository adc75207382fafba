//! Operations: what a stream executes, and what a graph's node holds.

use std::sync::Arc;

use crate::copy::{Copy, Fill};
use crate::driver::{driver, in_callback};
use crate::error::Result;
use crate::event::Event;
use crate::launch::KernelCall;
use crate::pool::GraphMemory;
use crate::stream_memory::MemOp;
use crate::types::{Handle, HostFn, StreamCallback};

/// A host function with its argument.
#[derive(Clone, Copy, Debug)]
pub struct HostCall {
    pub function: HostFn,
    pub data: usize,
}

/// One operation.
#[derive(Clone)]
pub enum Op {
    Empty,
    Kernel(Arc<KernelCall>),
    Copy(Arc<Copy>),
    /// Copies that form one operation: the batch calls.
    Fill(Fill),
    Host(HostCall),
    /// `cuStreamAddCallback`.
    Callback {
        function: StreamCallback,
        stream: Handle,
        data: usize,
    },
    Record(Arc<Event>),
    Wait(Arc<Event>),
    Alloc(Arc<GraphMemory>),
    FreeGraph(Arc<GraphMemory>),
    /// The end of an asynchronous free outside graphs.
    Free(u64),
    Memory(MemOp),
    /// A graph's handle in the table of graphs: a child graph.
    Child(Handle),
    /// An instantiated graph's nodes.
    Graph(Arc<crate::exec::Exec>),
}

impl Op {
    /// `CUgraphNodeType`.
    pub fn node_type(&self) -> i32 {
        match self {
            Op::Kernel(_) => 0,
            Op::Copy(_) => 1,
            Op::Fill(_) => 2,
            Op::Host(_) | Op::Callback { .. } => 3,
            Op::Child(_) | Op::Graph(_) => 4,
            Op::Empty => 5,
            Op::Wait(_) => 6,
            Op::Record(_) => 7,
            Op::Alloc(_) => 10,
            Op::FreeGraph(_) | Op::Free(_) => 11,
            Op::Memory(_) => 12,
        }
    }

    /// Whether the operation may block until the program lets it go on, so that it must not hold up the caller.
    pub fn may_block(&self) -> bool {
        match self {
            Op::Host(_) | Op::Callback { .. } => true,
            Op::Memory(op) => op.waits(),
            Op::Graph(exec) => exec.may_block(),
            Op::Wait(event) => event.pending(),
            _ => false,
        }
    }

    /// Whether its error comes, on hardware, after the call that asked for it.
    pub fn fails_later(&self) -> bool {
        matches!(self, Op::Kernel(_) | Op::Graph(_))
    }

    /// Executes it. A stream records and waits by itself: it knows what was asked for before.
    pub fn run(&self) -> Result {
        match self {
            Op::Empty | Op::Child(_) => Ok(()),
            Op::Kernel(call) => call.run(),
            Op::Copy(copy) => copy.run(),
            Op::Fill(fill) => fill.run(),
            Op::Host(HostCall { function, data }) => {
                if let Some(function) = function {
                    // SAFETY: the program passed a function of this type with its argument.
                    in_callback(|| unsafe { function(*data) });
                }
                Ok(())
            }
            Op::Callback { function, stream, data } => {
                if let Some(function) = function {
                    // SAFETY: as above.
                    in_callback(|| unsafe { function(*stream, 0, *data) });
                }
                Ok(())
            }
            Op::Record(event) => {
                event.complete(None);
                Ok(())
            }
            Op::Wait(event) => {
                event.wait();
                Ok(())
            }
            Op::Alloc(memory) => memory.allocate(),
            Op::FreeGraph(memory) => memory.release(),
            Op::Free(pointer) => crate::pool::free_now(*pointer),
            Op::Memory(op) => op.run(&driver().device),
            Op::Graph(exec) => exec.run(),
        }
    }
}
