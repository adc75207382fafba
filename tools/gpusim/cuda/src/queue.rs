//! The order of a stream's work.
//!
//! Work runs in the calling thread, before the call returns, unless it comes behind a host function (or a wait) that
//! the program may still hold up. Then a thread works off the queue until it is empty.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::op::Op;
use crate::registry::lock;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Idle,
    /// A caller executes an operation.
    Inline,
    /// A thread works off the queue.
    Worker,
}

#[derive(Default)]
struct State {
    mode: Mode,
    waiting: VecDeque<Op>,
    /// The first error of an operation that ran after its call had returned.
    error: Option<Error>,
}

/// A stream's queue.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

fn run(op: &Op) -> Result {
    catch_unwind(AssertUnwindSafe(|| op.run())).unwrap_or(Err(Error::UNKNOWN))
}

impl Queue {
    /// Executes the operation, or leaves it to the thread that works off the queue.
    pub fn submit(self: &Arc<Queue>, op: Op) -> Result {
        if let Op::Record(event) = &op {
            event.ask();
        }
        let mut state = lock(&self.state);
        while state.mode == Mode::Inline {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.mode == Mode::Idle && !op.may_block() {
            state.mode = Mode::Inline;
            drop(state);
            let result = run(&op);
            lock(&self.state).mode = Mode::Idle;
            self.changed.notify_all();
            return result;
        }
        state.waiting.push_back(op);
        if state.mode == Mode::Idle {
            state.mode = Mode::Worker;
            let queue = self.clone();
            std::thread::spawn(move || queue.work());
        }
        Ok(())
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        while let Some(op) = state.waiting.pop_front() {
            drop(state);
            let result = run(&op);
            state = lock(&self.state);
            state.error = state.error.or(result.err());
        }
        state.mode = Mode::Idle;
        self.changed.notify_all();
    }

    /// Whether work is left.
    pub fn busy(&self) -> bool {
        lock(&self.state).mode != Mode::Idle
    }

    /// Waits until no work is left; returns the error of work that ran after its call had returned, once.
    pub fn wait(&self) -> Result {
        let mut state = lock(&self.state);
        while state.mode != Mode::Idle {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.error.take().map_or(Ok(()), Err)
    }
}
