//! `JoinHandle::cancel`, in each state that a task can be in.

mod common;
#[path = "common/stuck.rs"]
mod stuck;

use common::{Dropped, everywhere, in_tasks, is_simulated, leaves_the_hook_alone, runtime, simulated, until};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;
use stuck::{Gate, Stuck, Way};
use throng::cancel::Cancelled;
use throng::chan::unbounded;
use throng::runtime::Runtime;
use throng::{JoinHandle, task};

#[track_caller]
fn is_cancelled<T: std::fmt::Debug>(handle: JoinHandle<T>) {
    assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
}

/// Cancels a task once it is in `wait`, or about to; its destructors must have run.
fn cancelled_in(wait: impl Fn() + Copy + Send + Sync + 'static) {
    in_tasks(move |random| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (begun, has_begun) = unbounded();
        let handle = throng::spawn({
            let guard = Dropped(Arc::clone(&dropped));
            move || {
                let _guard = guard;
                begun.send(()).expect("a receiver");
                wait();
                unreachable!("the wait doesn't end by itself");
            }
        });
        has_begun.recv().expect("a sender");
        if is_simulated() {
            (0..random.below(4)).for_each(|_| task::yield_now());
        } else {
            task::sleep(Duration::from_millis(2));
        }
        handle.cancel();
        is_cancelled(handle);
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn parked() {
    cancelled_in(task::park);
    cancelled_in(|| task::park_timeout(Duration::from_secs(3600)));
}

#[test]
fn asleep() {
    cancelled_in(|| task::sleep(Duration::from_secs(3600)));
    cancelled_in(|| task::sleep(Duration::MAX));
}

#[test]
fn yielding() {
    cancelled_in(|| {
        loop {
            task::yield_now();
        }
    });
}

#[test]
fn joining() {
    // The child is detached then, and lives on until its runtime is dropped.
    cancelled_in(|| drop(throng::spawn(task::park).join()));
}

#[test]
fn before_it_has_run() {
    let own = runtime(1);
    let first = Stuck::new(&own, 1, Way::Sleeps).all_begun();
    let reached = Arc::new(AtomicBool::new(false));
    let handle = own.spawn({
        let reached = Arc::clone(&reached);
        move || {
            // It runs up to its first wait.
            reached.store(true, SeqCst);
            task::park();
        }
    });
    handle.cancel();
    first.release();
    is_cancelled(handle);
    assert!(reached.load(SeqCst));
}

/// Cancels a task while it computes, after which it does what is given here.
fn cancelled_before<T: Send + 'static>(own: &Runtime, then: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let (begun, has_begun) = mpsc::channel();
    let cancelled = Arc::new(Gate::default());
    let handle = own.spawn({
        let cancelled = Arc::clone(&cancelled);
        move || {
            begun.send(()).expect("a receiver");
            cancelled.pass(Way::Spins);
            then()
        }
    });
    has_begun.recv().expect("a sender");
    handle.cancel();
    cancelled.open();
    handle
}

#[test]
fn while_it_runs() {
    is_cancelled(cancelled_before(&runtime(1), || task::sleep(Duration::from_secs(3600))));
}

#[test]
fn one_that_never_waits_never_notices() {
    assert_eq!(cancelled_before(&runtime(1), || 5).join().expect("no panic"), 5);
}

#[test]
fn after_its_end_it_does_nothing() {
    let handle = throng::spawn(|| 5);
    until(|| handle.is_finished());
    handle.cancel();
    handle.cancel();
    assert_eq!(handle.join().expect("no panic"), 5);
}

#[test]
fn one_that_catches_it_is_unwound_again() {
    everywhere(|| {
        let caught = Arc::new(AtomicUsize::new(0));
        let handle = throng::spawn({
            let caught = Arc::clone(&caught);
            move || {
                for _ in 0..3 {
                    let payload = catch_unwind(task::park).expect_err("cancelled");
                    assert!(payload.is::<Cancelled>());
                    caught.fetch_add(1, SeqCst);
                }
                7
            }
        });
        handle.cancel();
        assert_eq!(handle.join().expect("it may go on without waiting"), 7);
        assert_eq!(caught.load(SeqCst), 3);
    });
}

#[test]
fn no_panic_is_reported() {
    leaves_the_hook_alone("no_panic_is_reported", || {
        let handle = throng::spawn(task::park);
        handle.cancel();
        let _ = handle.join();
    });
}

#[test]
fn destructors_may_wait_while_it_unwinds() {
    struct Waits(Arc<AtomicUsize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            task::sleep(Duration::from_millis(1));
            task::yield_now();
            self.0.fetch_add(1, SeqCst);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let own = runtime(2);
    let handle = own.spawn({
        let count = Arc::clone(&count);
        move || {
            let _first = Waits(Arc::clone(&count));
            let _second = Waits(count);
            task::park();
        }
    });
    std::thread::sleep(Duration::from_millis(2));
    handle.cancel();
    is_cancelled(handle);
    assert_eq!(count.load(SeqCst), 2);
}

#[test]
fn a_scope_waits_for_its_children_all_the_same() {
    in_tasks(|_| {
        let ended = Arc::new(AtomicUsize::new(0));
        let (begun, has_begun) = unbounded();
        let handle = throng::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let frame = [1, 2, 3];
                throng::scope(|s| {
                    for _ in 0..3 {
                        s.spawn(|| {
                            task::sleep(Duration::from_millis(20));
                            assert_eq!(frame, [1, 2, 3]);
                            ended.fetch_add(1, SeqCst);
                        });
                    }
                    begun.send(()).expect("a receiver");
                    // Cancelled in the body: it unwinds, and `scope` still waits.
                    task::park();
                });
            }
        });
        has_begun.recv().expect("a sender");
        handle.cancel();
        is_cancelled(handle);
        assert_eq!(ended.load(SeqCst), 3);
    });
}

#[test]
fn a_scoped_child_that_is_cancelled_is_no_panic() {
    in_tasks(|_| {
        throng::scope(|s| {
            let joined = s.spawn(task::park);
            let unjoined = s.spawn(task::park);
            joined.cancel();
            unjoined.cancel();
            assert!(joined.join().expect_err("cancelled").is::<Cancelled>());
        });
    });
}

#[test]
fn the_wake_of_a_cancelled_one_is_not_lost() {
    // Cancelling races with an unpark: whoever wins, the token isn't lost if the task catches the cancellation.
    let own = runtime(2);
    for _ in 0..common::scaled(300, 10_000) {
        let handle = own.spawn(|| catch_unwind(AssertUnwindSafe(task::park)).is_ok());
        let task = handle.task();
        std::thread::scope(|s| {
            s.spawn(|| task.unpark());
            handle.cancel();
        });
        let _ = handle.join().expect("it was caught");
    }
    simulated(|| {
        let handle = throng::spawn(|| catch_unwind(AssertUnwindSafe(task::park)).is_ok());
        let task = handle.task();
        let other = throng::spawn(move || task.unpark());
        handle.cancel();
        let _ = handle.join().expect("it was caught");
        other.join().unwrap();
    });
}

#[test]
fn cancelled_says_what_it_is() {
    let handle = throng::spawn(task::park);
    handle.cancel();
    let payload = handle.join().expect_err("cancelled").downcast::<Cancelled>().expect("the payload");
    assert_eq!(payload.to_string(), "the task was cancelled");
    assert_eq!(format!("{payload:?}"), "Cancelled");
    let error: Box<dyn std::error::Error> = payload;
    assert!(error.source().is_none());
}
