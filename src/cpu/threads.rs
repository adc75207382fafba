//! Dividing work over threads without allocating.

use std::ops::Range;

use rayon::ThreadPool;

use crate::error::{Error, Result};

/// The threads of a backend.
pub(crate) struct Threads {
    /// None where one thread does everything.
    pool: Option<ThreadPool>,
    count: usize,
}

/// Work, in nanoseconds of one thread, below which waking another one costs more than it brings.
const WORTH_SHARING: usize = 40_000;

impl Threads {
    /// `count` threads, or as many as the machine has.
    pub(crate) fn new(count: Option<usize>) -> Result<Self> {
        let count = match count {
            Some(0) => return Err(Error::argument("threads is 0; it must be at least 1")),
            Some(count) => count,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        if count == 1 {
            return Ok(Threads { pool: None, count });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("photon-{i}"))
            .build()
            .map_err(|e| Error::Backend(format!("{count} threads: {e}")))?;
        Ok(Threads { pool: Some(pool), count })
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Runs `work` on one of the threads.
    pub(crate) fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Calls `work` on ranges that cover `0..n`. `cost` is a rough guess of the whole work in nanoseconds.
    pub(crate) fn share(&self, n: usize, cost: usize, work: impl Fn(Range<usize>) + Sync) {
        match &self.pool {
            Some(pool) if n > 1 && cost >= WORTH_SHARING => {
                // Several ranges per thread even out cores of different speed; each still repays its hand-over.
                let ranges = (8 * self.count).min(cost * 4 / WORTH_SHARING).max(2);
                let grain = n.div_ceil(ranges);
                pool.install(|| halve(0..n, grain, &work));
            }
            _ if n > 0 => work(0..n),
            _ => {}
        }
    }
}

fn halve(range: Range<usize>, grain: usize, work: &(impl Fn(Range<usize>) + Sync)) {
    if range.len() <= grain {
        return work(range);
    }
    let parts = range.len().div_ceil(grain);
    let middle = range.start + (parts / 2 * grain).min(range.len() - 1);
    rayon::join(|| halve(range.start..middle, grain, work), || halve(middle..range.end, grain, work));
}

/// A place to which several threads write, each its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: only a pointer; those who write through it vouch for what they write.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Shared(slice.as_mut_ptr())
    }

    pub(crate) fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }

    /// # Safety
    /// `at..at + len` lies in the slice, which outlives the result, and nobody else uses these elements meanwhile.
    pub(crate) unsafe fn slice<'a>(self, at: usize, len: usize) -> &'a mut [T] {
        // SAFETY: as promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), len) }
    }
}
