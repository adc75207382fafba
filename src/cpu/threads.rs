//! Dividing work over threads without allocating, and without a system call while work keeps coming.
//!
//! A decoding step of a small batch is a hundred operations of 20 to 200 µs. A worker that sleeps between two of them is
//! woken too late for either, so workers look for work for a while before they sleep.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Work, in nanoseconds of one thread, below which handing a part to another one costs more than it brings.
const WORTH_SHARING: usize = 10_000;
/// How long a worker looks for work before it sleeps. The pauses between two operations of a step are shorter.
const PATIENCE: Duration = Duration::from_millis(1);
/// Threads that the gate can count, and more than any machine has.
const MOST: usize = INSIDE as usize;
/// Looks at the gate, some tens of nanoseconds apart, before a waiting thread lets others run.
const SPINS: usize = 2_000;

/// The threads of a backend: those who call, and workers that help them.
pub(crate) struct Threads {
    /// None where one thread does everything.
    crew: Option<Crew>,
}

impl Threads {
    /// `count` threads, or as many as the machine has.
    pub(crate) fn new(count: Option<usize>) -> Result<Self> {
        let count = match count {
            Some(0) => return Err(Error::argument("threads is 0; it must be at least 1")),
            Some(count) if count > MOST => {
                return Err(Error::argument(format!("threads is {count}; it must be at most {MOST}")));
            }
            Some(count) => count,
            None => std::thread::available_parallelism().map_or(1, usize::from).min(MOST),
        };
        let crew = if count > 1 { Some(Crew::new(count - 1)?) } else { None };
        Ok(Threads { crew })
    }

    pub(crate) fn count(&self) -> usize {
        self.crew.as_ref().map_or(1, Crew::count)
    }

    /// Calls `work` on ranges that cover `0..n`. `cost` is a rough guess of the whole work in nanoseconds.
    ///
    /// The calling thread takes part. It does everything itself while the workers help somebody else, so `work` may
    /// share in its turn.
    pub(crate) fn share(&self, n: usize, cost: usize, work: impl Fn(Range<usize>) + Sync) {
        match &self.crew {
            Some(crew) if n > 1 && cost >= WORTH_SHARING => match crew.turn.try_lock() {
                Ok(turn) => crew.share(turn, n, &work),
                // A panic of earlier work left nothing behind.
                Err(TryLockError::Poisoned(turn)) => crew.share(turn.into_inner(), n, &work),
                Err(TryLockError::WouldBlock) => work(0..n),
            },
            _ if n > 0 => work(0..n),
            _ => {}
        }
    }
}

/// The job that workers may join.
#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(Range<usize>) + Sync),
    n: usize,
    /// Threads that may take part, the caller included.
    count: usize,
}

/// Bit of [`Post::gate`]: workers may come in. The bits below count those who are inside, those above the jobs.
const OPEN: u64 = 1 << 15;
const INSIDE: u64 = OPEN - 1;
const NEXT: u64 = OPEN << 1;

/// Where callers and workers meet.
struct Post {
    gate: AtomicU64,
    /// First of `0..n` that nobody has taken.
    taken: AtomicUsize,
    /// Written by the caller while the gate is shut and nobody inside.
    job: UnsafeCell<Option<Job>>,
    panicked: AtomicBool,
    stop: AtomicBool,
    /// Workers that sleep, or are about to.
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

// SAFETY: `job` is written while the gate is shut with nobody inside, and read by those who came in through the open gate; the
// gate's stores release and its loads acquire. The closure behind the pointer is `Sync`.
unsafe impl Sync for Post {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Post {}

struct Crew {
    post: Arc<Post>,
    /// Held by the caller whom the workers help.
    turn: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
}

impl Crew {
    fn new(workers: usize) -> Result<Self> {
        let post = Arc::new(Post {
            gate: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            bell: Condvar::new(),
        });
        // From here on dropping the crew ends the threads that were made.
        let mut crew = Crew { post, turn: Mutex::new(()), workers: Vec::with_capacity(workers) };
        for i in 0..workers {
            let post = Arc::clone(&crew.post);
            let worker = std::thread::Builder::new()
                .name(format!("photon-{}", i + 1))
                .spawn(move || post.serve())
                .map_err(|e| Error::Backend(format!("thread {} of {}: {e}", i + 2, workers + 1)))?;
            crew.workers.push(worker);
        }
        Ok(crew)
    }

    /// The workers, and the caller whom they help.
    fn count(&self) -> usize {
        self.workers.len() + 1
    }

    fn share(&self, turn: MutexGuard<'_, ()>, n: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
        let post = &*self.post;
        // SAFETY: only the lifetime changes. Workers use the pointer between the gate's opening and the end of `Shut::drop`,
        // which waits until the last one is out, also when `work` panics.
        let work = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(Range<usize>) + Sync + '_),
                *const (dyn Fn(Range<usize>) + Sync),
            >(work)
        };
        let job = Job { work, n, count: self.count() };
        // SAFETY: `turn` is held and the gate shut with nobody inside, since `Shut::drop` of the caller before.
        unsafe { *post.job.get() = Some(job) };
        post.taken.store(0, Ordering::Relaxed);
        // A job whose caller panicked, too, has not asked for it.
        post.panicked.store(false, Ordering::Relaxed);
        {
            let _shut = Shut(post);
            let gate = post.gate.load(Ordering::Relaxed);
            // SeqCst with `sleepers`: either this thread sees a sleeper, or the sleeper sees the open gate.
            post.gate.store((gate & !INSIDE & !OPEN).wrapping_add(NEXT) | OPEN, Ordering::SeqCst);
            if post.sleepers.load(Ordering::SeqCst) > 0 {
                drop(post.bed.lock().unwrap_or_else(PoisonError::into_inner));
                post.bell.notify_all();
            }
            post.take(job);
        }
        let panicked = post.panicked.load(Ordering::Relaxed);
        drop(turn);
        if panicked {
            resume_unwind(Box::new("a worker thread panicked"));
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.post.stop.store(true, Ordering::SeqCst);
        drop(self.post.bed.lock().unwrap_or_else(PoisonError::into_inner));
        self.post.bell.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of jobs, and has none of its own to report.
            let _ = worker.join();
        }
    }
}

/// Shuts the gate and waits until nobody is inside.
struct Shut<'a>(&'a Post);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while self.0.gate.load(Ordering::Acquire) & INSIDE > 0 {
            pause(&mut spins);
        }
    }
}

/// Waits a moment; after many, lets other threads run.
fn pause(spins: &mut usize) {
    *spins += 1;
    if *spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
}

impl Post {
    /// Takes ranges of a job until none is left: large ones first, so that few are handed out, and small ones at the end, so that all
    /// threads are done at the same time.
    fn take(&self, job: Job) {
        // SAFETY: the caller of `share` is still in it, as it waits for everybody inside.
        let work = unsafe { &*job.work };
        let grain = |left: usize| left.div_ceil(3 * job.count).max(1);
        loop {
            let next = |from: usize| (from < job.n).then(|| from + grain(job.n - from));
            match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
                Ok(from) => work(from..from + grain(job.n - from)),
                Err(_) => return,
            }
        }
    }

    /// A worker's life.
    fn serve(&self) {
        let mut last = 0;
        loop {
            let mut spins = 0;
            let mut since = None;
            let gate = loop {
                let gate = self.gate.load(Ordering::Acquire);
                if gate & OPEN > 0 && gate / NEXT != last {
                    break gate;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                pause(&mut spins);
                if spins > SPINS && since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    self.sleep(last);
                    (spins, since) = (0, None);
                }
            };
            if self.gate.compare_exchange_weak(gate, gate + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            last = gate / NEXT;
            // SAFETY: this thread is inside, so the caller has written the job and does not write another.
            if let Some(job) = unsafe { *self.job.get() }
                && catch_unwind(AssertUnwindSafe(|| self.take(job))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.gate.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Sleeps until somebody rings, unless there is a job other than `last`, or the end, already.
    ///
    /// Whoever is woken too late for a job does not sleep again at once: the next one is near.
    fn sleep(&self, last: u64) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = self.gate.load(Ordering::SeqCst);
        let job = gate & OPEN > 0 && gate / NEXT != last;
        if !job && !self.stop.load(Ordering::SeqCst) {
            drop(self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner));
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
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
