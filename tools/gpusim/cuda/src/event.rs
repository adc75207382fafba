//! Events.
//!
//! The elapsed time between two events is host time of the simulation, with the operations between them really done
//! in between; it says nothing about a GPU.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::capture;
use crate::context::current;
use crate::driver::{api, driver};
use crate::error::{Error, Result};
use crate::host::put;
use crate::op::Op;
use crate::registry::{lock, new_handle};
use crate::stream;
use crate::types::Handle;

const DISABLE_TIMING: u32 = 2;
const INTERPROCESS: u32 = 4;

#[derive(Default)]
struct State {
    /// Records that have been asked for and those that are done.
    asked: u64,
    done: u64,
    time: Option<Instant>,
    /// What the work before the last record came to, if nobody had been told when it was reached.
    error: Option<Error>,
    /// The capture the event was last recorded in, with the nodes it stands for.
    captured: Option<(u64, Vec<Handle>)>,
}

/// An event.
pub struct Event {
    pub handle: Handle,
    pub context: Handle,
    flags: u32,
    state: Mutex<State>,
    changed: Condvar,
}

impl Event {
    /// Notes that a record was asked for: from now on the event is pending.
    pub fn ask(&self) {
        let mut state = lock(&self.state);
        state.asked += 1;
        state.captured = None;
    }

    /// The stream has reached a record, with or without an error in the work before it.
    pub fn complete(&self, error: Option<Error>) {
        let mut state = lock(&self.state);
        state.done += 1;
        // A graph's record was not asked for beforehand.
        state.asked = state.asked.max(state.done);
        state.time = Some(Instant::now());
        state.error = error;
        self.changed.notify_all();
    }

    /// Waits until the records asked for so far are done.
    pub fn wait(&self) {
        self.wait_until(self.asked());
    }

    /// How many records have been asked for: what a stream that waits from now on waits for.
    pub fn asked(&self) -> u64 {
        lock(&self.state).asked
    }

    /// Waits until so many records are done.
    pub fn wait_until(&self, until: u64) {
        let mut state = lock(&self.state);
        while state.done < until {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a record is under way.
    pub fn pending(&self) -> bool {
        let state = lock(&self.state);
        state.done < state.asked
    }

    /// What the work before the last record came to.
    fn outcome(&self) -> Result {
        lock(&self.state).error.map_or(Ok(()), Err)
    }

    /// Notes that the event was recorded in a capture.
    pub fn set_captured(&self, capture: u64, nodes: Vec<Handle>) {
        lock(&self.state).captured = Some((capture, nodes));
    }

    /// The capture it was last recorded in.
    pub fn captured(&self) -> Option<(u64, Vec<Handle>)> {
        lock(&self.state).captured.clone()
    }
}

/// The event of a handle.
pub fn event(handle: Handle) -> Result<std::sync::Arc<Event>> {
    driver().events.get(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventCreate(out: *mut Handle, flags: u32) -> i32 {
    api(|| {
        let context = current()?;
        // Interprocess events, which must also disable timing, are not supported.
        if flags & !7 != 0 || flags & (INTERPROCESS | DISABLE_TIMING) == INTERPROCESS {
            return Err(Error::INVALID_VALUE);
        }
        if flags & INTERPROCESS != 0 {
            return Err(Error::NOT_SUPPORTED);
        }
        let handle = new_handle();
        put(out, handle)?;
        let (state, changed) = (Mutex::default(), Condvar::new());
        driver().events.insert(handle, Event { handle, context: context.handle, flags, state, changed });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(handle: Handle) -> i32 {
    api(|| driver().events.remove(handle).map(|_| ()))
}

fn record(handle: Handle, stream: Handle, flags: u32) -> Result {
    if flags > 1 {
        return Err(Error::INVALID_VALUE);
    }
    let event = event(handle)?;
    let stream = stream::resolve(stream)?;
    if event.context != stream.context {
        return Err(Error::INVALID_HANDLE);
    }
    stream::submit(&stream, Op::Record(event))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: Handle, stream: Handle) -> i32 {
    api(|| record(event, stream, 0))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: u32) -> i32 {
    api(|| record(event, stream, flags))
}

/// Querying or waiting for an event of a capture is an error that also ends the capture.
fn refuse_captured(event: &Event) -> Result {
    match event.captured() {
        Some((id, _)) if capture::invalidate(id) => Err(Error::CAPTURED_EVENT),
        _ => Ok(()),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(handle: Handle) -> i32 {
    api(|| {
        let event = event(handle)?;
        refuse_captured(&event)?;
        capture::forbidden_in_capture()?;
        if event.pending() { Err(Error::NOT_READY) } else { event.outcome() }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(handle: Handle) -> i32 {
    api(|| {
        let event = event(handle)?;
        refuse_captured(&event)?;
        capture::forbidden_in_capture()?;
        event.wait();
        event.outcome()
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime(milliseconds: *mut f32, start: Handle, end: Handle) -> i32 {
    api(|| {
        let (start, end) = (event(start)?, event(end)?);
        refuse_captured(&start)?;
        refuse_captured(&end)?;
        if (start.flags | end.flags) & DISABLE_TIMING != 0 {
            return Err(Error::INVALID_HANDLE);
        }
        if start.pending() || end.pending() {
            return Err(Error::NOT_READY);
        }
        // One after the other: both may be the same event.
        let from = lock(&start.state).time;
        let to = lock(&end.state).time;
        let (Some(from), Some(to)) = (from, to) else { return Err(Error::INVALID_HANDLE) };
        let time = match to.checked_duration_since(from) {
            Some(time) => time.as_secs_f32(),
            None => -from.duration_since(to).as_secs_f32(),
        };
        put(milliseconds, 1e3 * time)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: Handle, end: Handle) -> i32 {
    cuEventElapsedTime(milliseconds, start, end)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(stream: Handle, handle: Handle, flags: u32) -> i32 {
    api(|| {
        if flags > 1 {
            return Err(Error::INVALID_VALUE);
        }
        let event = event(handle)?;
        let stream = stream::resolve(stream)?;
        if capture::join(&stream, &event, flags == 1)? {
            Ok(())
        } else {
            stream::submit(&stream, Op::Wait(event))
        }
    })
}
