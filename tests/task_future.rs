//! A `JoinHandle` as a future, polled by a hand-made executor.

mod common;

use common::{Dropped, is_child, message, panics_as_it_is_dropped, passes_in_a_child, runtime, until};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use throng::cancel::Cancelled;
use throng::task;

struct Counting {
    wakes: AtomicUsize,
    thread: Thread,
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        self.thread.unpark();
    }
}

fn counting() -> (Arc<Counting>, Waker) {
    let counting = Arc::new(Counting { wakes: AtomicUsize::new(0), thread: thread::current() });
    (Arc::clone(&counting), Waker::from(counting))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let (_, waker) = counting();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_handle_can_be_awaited() {
    let value =
        block_on(async { throng::spawn(|| 1).await.expect("no panic") + throng::spawn(|| 2).await.expect("no panic") });
    assert_eq!(value, 3);
}

#[test]
fn a_panic_comes_out() {
    assert_eq!(message(&*block_on(throng::spawn(|| panic!("awaited"))).expect_err("a panic")), "awaited");
    let parked = throng::spawn(task::park);
    parked.cancel();
    assert!(block_on(parked).expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn the_last_waker_is_woken_once() {
    let own = runtime(1);
    let mut handle = own.spawn(|| {
        task::park();
        9
    });
    let ((first, first_waker), (second, second_waker)) = (counting(), counting());
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&first_waker)).is_pending());
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&second_waker)).is_pending());
    handle.task().unpark();
    until(|| second.wakes.load(SeqCst) == 1);
    assert_eq!(first.wakes.load(SeqCst), 0);
    let Poll::Ready(result) = Pin::new(&mut handle).poll(&mut Context::from_waker(&first_waker)) else {
        panic!("woken, so ready");
    };
    assert_eq!(result.expect("no panic"), 9);
    drop(own);
    assert_eq!((first.wakes.load(SeqCst), second.wakes.load(SeqCst)), (0, 1));
    assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (2, 2), "no waker is kept");
}

#[test]
fn polling_after_the_end_is_a_panic() {
    let mut handle = throng::spawn(|| ());
    assert!(block_on(&mut handle).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(&mut handle))).is_err());
}

#[test]
fn a_handle_that_gave_the_result_out_still_knows_the_task() {
    let mut handle = throng::spawn(|| task::current().id());
    let id = block_on(&mut handle).expect("no panic");
    assert_eq!(handle.task().id(), id);
    assert!(handle.is_finished());
    handle.cancel();
    handle.task().unpark();
    let joined = catch_unwind(AssertUnwindSafe(|| handle.join()));
    assert!(message(&*joined.unwrap_err()).contains("has been taken"));
}

#[test]
fn a_polled_handle_may_move_be_joined_or_dropped() {
    let own = runtime(1);
    let (woken, waker) = counting();
    let mut cx = Context::from_waker(&waker);
    // Moved between polls: a handle is `Unpin`.
    let mut handle = own.spawn(task::park);
    assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
    let mut moved = Box::new(handle);
    assert!(Pin::new(&mut *moved).poll(&mut cx).is_pending());
    moved.task().unpark();
    // Joined after it was polled; its waker may or may not have been woken by then.
    moved.join().expect("no panic");
    // Dropped after it was polled.
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut handle = own.spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || {
            task::park();
            guard
        }
    });
    assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
    let (task, before) = (handle.task(), woken.wakes.load(SeqCst));
    drop(handle);
    task.unpark();
    until(|| dropped.load(SeqCst) == 1);
    drop(own);
    assert_eq!(woken.wakes.load(SeqCst), before, "one that was dropped is not woken");
    assert_eq!(Arc::strong_count(&woken), 2);
}

#[test]
fn a_wakers_panic_is_not_the_tasks() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    if !is_child() {
        return passes_in_a_child("a_wakers_panic_is_not_the_tasks");
    }
    let own = runtime(1);
    let waker = Waker::from(Arc::new(Panics));
    let mut handle = own.spawn(|| {
        task::park();
        4
    });
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    handle.task().unpark();
    until(|| handle.is_finished());
    assert_eq!(handle.join().expect("no panic"), 4);
    assert_eq!(own.run(|| 5), 5, "the runtime goes on");
    drop(own);
}

/// The handle is gone all the same, and the task drops its result itself: not its worker, outside of all tasks.
#[test]
fn a_wakers_panic_as_it_is_dropped_is_not_the_tasks() {
    struct Tells(mpsc::Sender<bool>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(task::try_current().is_some()).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let mut handle = throng::spawn(move || {
        task::park();
        Tells(tell)
    });
    let task = handle.task().clone();
    let waker = panics_as_it_is_dropped();
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    // The handle has the last one.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    assert_eq!(message(&*catch_unwind(AssertUnwindSafe(|| drop(handle))).expect_err("a panic")), "dropped");
    task.unpark();
    assert!(told.recv().unwrap());
}

#[test]
fn polling_races_with_the_end() {
    let own = runtime(2);
    for i in 0..common::scaled(1_000, 50_000) {
        assert_eq!(block_on(own.spawn(move || i)).expect("no panic"), i);
    }
}

#[test]
fn a_task_can_be_the_executor() {
    let value = throng::run(|| {
        struct Unparks(task::Task);
        impl Wake for Unparks {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unparks(task::current())));
        let mut handle = pin!(throng::spawn(|| 11));
        loop {
            match handle.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => break value.expect("no panic"),
                Poll::Pending => task::park(),
            }
        }
    });
    assert_eq!(value, 11);
}
