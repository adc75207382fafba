//! The order of a stream's work.
//!
//! Work runs in the calling thread, before the call returns, unless it comes behind a host function (or a wait) that
//! the program may still hold up. Then a thread works off the queue until it is empty.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::driver::{Errors, driver};
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
    /// Operations; for a wait, also the records that it waits for: not those that are asked for later.
    waiting: VecDeque<(Op, u64)>,
    /// The first error of an operation that ran after its call had returned.
    error: Option<Error>,
}

/// A stream's queue.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// Runs an operation behind work that may have come to an error of which the program has not been told.
fn run(op: &Op, records: u64, earlier: Option<Error>) -> Result {
    let body = || match op {
        Op::Wait(event) => {
            event.wait_until(records);
            Ok(())
        }
        Op::Record(event) => {
            event.complete(earlier);
            Ok(())
        }
        op => op.run(),
    };
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(Error::UNKNOWN))
}

impl Queue {
    /// Executes the operation, or leaves it to the thread that works off the queue.
    pub fn submit(self: &Arc<Queue>, op: Op) -> Result {
        let records = match &op {
            Op::Record(event) => {
                event.ask();
                0
            }
            Op::Wait(event) => event.asked(),
            _ => 0,
        };
        let mut state = lock(&self.state);
        while state.mode == Mode::Inline {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.mode == Mode::Idle && !op.may_block() {
            state.mode = Mode::Inline;
            let earlier = state.error;
            drop(state);
            let result = run(&op, records, earlier);
            let mut state = lock(&self.state);
            state.mode = Mode::Idle;
            self.changed.notify_all();
            if driver().errors == Errors::Sync && op.fails_later() {
                state.error = state.error.or(result.err());
                return Ok(());
            }
            return result;
        }
        state.waiting.push_back((op, records));
        if state.mode == Mode::Idle {
            state.mode = Mode::Worker;
            let queue = self.clone();
            std::thread::spawn(move || queue.work());
        }
        Ok(())
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        while let Some((op, records)) = state.waiting.pop_front() {
            let earlier = state.error;
            drop(state);
            let result = run(&op, records, earlier);
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
