//! Work is divided without loss, whoever asks for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cpu::threads::Threads;

/// How often each of `0..n` was worked on.
fn counts(threads: &Threads, n: usize) -> Vec<usize> {
    let counts: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
    threads.share(n, usize::MAX, |range| {
        for i in range {
            counts[i].fetch_add(1, Ordering::Relaxed);
        }
    });
    counts.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_part_is_worked_on_once() {
    for count in [1, 2, 3, 8] {
        let threads = Threads::new(Some(count)).unwrap();
        for n in [0, 1, 2, 3, 7, 16, 1000] {
            for _ in 0..50 {
                assert_eq!(counts(&threads, n), vec![1; n], "{n} parts, {count} threads");
            }
        }
    }
}

#[test]
fn sleeping_workers_wake_up_and_help() {
    let threads = Threads::new(Some(2)).unwrap();
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        // Each part waits until the other has begun: one thread alone would wait for ever.
        let begun = AtomicUsize::new(0);
        threads.share(2, usize::MAX, |range| {
            for _ in range {
                begun.fetch_add(1, Ordering::SeqCst);
                let start = std::time::Instant::now();
                while begun.load(Ordering::SeqCst) < 2 {
                    assert!(start.elapsed().as_secs() < 60, "the worker sleeps on");
                    std::thread::yield_now();
                }
            }
        });
    }
}

#[test]
fn callers_side_by_side_and_work_that_shares_in_its_turn_are_served() {
    let threads = Threads::new(Some(3)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(counts(&threads, 37), vec![1; 37]);
                }
            });
        }
    });
    let total = AtomicUsize::new(0);
    threads.share(10, usize::MAX, |range| {
        for _ in range {
            total.fetch_add(counts(&threads, 11).into_iter().sum(), Ordering::Relaxed);
        }
    });
    assert_eq!(total.into_inner(), 110);
}

#[test]
fn a_panic_of_all_threads_at_once_is_not_found_again_in_the_next_work() {
    let threads = Threads::new(Some(2)).unwrap();
    for _ in 0..50 {
        // Caller and worker are both in it before either panics.
        let begun = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            threads.share(2, usize::MAX, |_| {
                begun.fetch_add(1, Ordering::SeqCst);
                let start = std::time::Instant::now();
                while begun.load(Ordering::SeqCst) < 2 && start.elapsed().as_secs() < 60 {
                    std::thread::yield_now();
                }
                panic!("as it should");
            });
        }));
        assert!(result.is_err());
        assert_eq!(counts(&threads, 8), vec![1; 8]);
    }
}

#[test]
fn more_threads_than_can_be_counted_are_refused() {
    let message = Threads::new(Some(40_000)).err().unwrap().to_string();
    assert!(message.contains("threads is 40000"), "{message}");
}

#[test]
fn a_panic_of_work_reaches_the_caller_and_the_threads_go_on() {
    let threads = Threads::new(Some(3)).unwrap();
    for bad in [0, 5, 63] {
        let result = catch_unwind(AssertUnwindSafe(|| {
            threads.share(64, usize::MAX, |range| assert!(!range.contains(&bad), "as it should"));
        }));
        assert!(result.is_err());
        assert_eq!(counts(&threads, 64), vec![1; 64]);
    }
}
