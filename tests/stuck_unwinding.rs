//! A task that waits while it unwinds keeps its kernel thread, as the count of panics is the thread's. Others go on.

mod common;
#[path = "common/stuck.rs"]
mod stuck;
#[path = "common/waits.rs"]
mod waits;

use common::{WORKERS, ms, runtime, until};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use stuck::{Stuck, ordinary_work, short_of_threads};
use throng::JoinHandle;
use throng::cancel::Cancelled;
use throng::chan::bounded;
use throng::runtime::Runtime;
use throng::sync::{Barrier, Mutex};
use throng::task;

/// Calls it when dropped.
struct AtEnd<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> AtEnd<F> {
    fn new(f: F) -> AtEnd<F> {
        AtEnd(Some(f))
    }
}

impl<F: FnOnce()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0.take().expect("dropped once"))();
    }
}

/// Why a task unwinds.
#[derive(Clone, Copy, Debug)]
enum Why {
    Panics,
    IsCancelled,
}

const WHYS: [Why; 2] = [Why::Panics, Why::IsCancelled];

/// Starts a task that unwinds through `destructor`.
fn unwinds(runtime: &Runtime, why: Why, destructor: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    let handle = runtime.spawn(move || {
        let _at_end = AtEnd::new(|| {
            assert!(thread::panicking());
            let here = thread::current().id();
            destructor();
            assert!(thread::panicking(), "it was another task's");
            assert_eq!(thread::current().id(), here, "a task that unwinds stays on its thread");
        });
        begins.store(true, SeqCst);
        match why {
            // Without the message.
            Why::Panics => resume_unwind(Box::new("unwinds")),
            Why::IsCancelled => loop {
                task::park();
            },
        }
    });
    if let Why::IsCancelled = why {
        // Before, it would have no destructor to run.
        until(|| begun.load(SeqCst));
        handle.cancel();
    }
    handle
}

fn has_unwound(result: Result<(), Box<dyn Any + Send>>, why: Why) {
    let payload = result.expect_err("it unwinds");
    match why {
        Why::Panics => assert_eq!(common::message(&*payload), "unwinds"),
        Why::IsCancelled => assert!(payload.is::<Cancelled>()),
    }
}

#[test]
fn a_destructor_waits() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for why in WHYS {
            for wait in waits::every_wait() {
                println!("{workers} workers, {why:?}: {}", wait.name);
                let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
                let (begins, ends) = (Arc::clone(&begun), Arc::clone(&ended));
                let task = unwinds(&runtime, why, move || {
                    begins.store(true, SeqCst);
                    (wait.wait)();
                    ends.store(true, SeqCst);
                });
                until(|| begun.load(SeqCst));
                runtime.run(|| {
                    assert!(!thread::panicking(), "only the one that unwinds does");
                    task::sleep(ms(1));
                    assert!(!thread::panicking());
                    (wait.end)();
                    assert!(!thread::panicking());
                });
                has_unwound(task.join(), why);
                assert!(ended.load(SeqCst), "the destructor went to its end");
            }
        }
    }
}

/// Each of them needs a thread of its own.
#[test]
fn destructors_wait_for_one_another() {
    for workers in WORKERS {
        for why in WHYS {
            let runtime = runtime(workers);
            let (barrier, lock) = (Arc::new(Barrier::new(20)), Arc::new(Mutex::new(0)));
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let (barrier, lock) = (Arc::clone(&barrier), Arc::clone(&lock));
                    unwinds(&runtime, why, move || {
                        barrier.wait();
                        let mut held = lock.lock();
                        task::sleep(ms(1));
                        *held += 1;
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| has_unwound(task.join(), why));
            assert_eq!(*lock.lock(), 20);
        }
    }
}

/// Two that were in a talk when the runtime was dropped.
#[test]
fn destructors_wait_for_one_another_while_the_runtime_is_dropped() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let (s, r) = bounded(0);
        let met = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&met);
        let tasks = [
            runtime.spawn(move || {
                let _at_end = AtEnd::new(|| (0..5).for_each(|i| _ = s.send(i)));
                task::park();
            }),
            runtime.spawn(move || {
                let _at_end = AtEnd::new(|| {
                    r.iter().for_each(|_| _ = counts.fetch_add(1, SeqCst));
                });
                task::park();
            }),
        ];
        // Both have begun, and wait.
        runtime.run(|| (0..100).for_each(|_| task::yield_now()));
        drop(runtime);
        tasks.into_iter().for_each(|task| has_unwound(task.join(), Why::IsCancelled));
        assert!([0, 5].contains(&met.load(SeqCst)));
    }
}

/// Many panic all the time while the others ask whether they do.
#[test]
fn nobody_else_panics() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let stop = Arc::new(AtomicBool::new(false));
        let calm: Vec<_> = (0..8)
            .map(|i| {
                let stop = Arc::clone(&stop);
                runtime.spawn(move || {
                    while !stop.load(SeqCst) {
                        assert!(!thread::panicking());
                        match i % 3 {
                            0 => task::yield_now(),
                            1 => throng::blocking(task::yield_now),
                            _ => _ = throng::spawn(|| assert!(!thread::panicking())).join(),
                        }
                        // So that workers come to look after one another.
                        task::sleep(ms(1));
                    }
                })
            })
            .collect();
        for round in 0..common::scaled(50, 200) {
            let why = WHYS[round % 2];
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    unwinds(&runtime, why, || {
                        task::yield_now();
                        task::sleep(ms(1));
                        assert_eq!(throng::spawn(|| !thread::panicking()).join().ok(), Some(true));
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| has_unwound(task.join(), why));
        }
        stop.store(true, SeqCst);
        calm.into_iter().for_each(|task| task.join().unwrap());
    }
}

/// Where the unwinding ends, so does the stay on the thread, and the next wait is one like any other.
#[test]
fn waits_after_a_caught_panic_leave_the_thread() {
    for workers in WORKERS {
        let runtime = short_of_threads(workers, workers);
        // There is no other thread to step in, so a task that kept its thread from now on would end all.
        let tasks: Vec<_> = (0..2 * workers)
            .map(|_| {
                runtime.spawn(|| {
                    let caught = catch_unwind(|| {
                        let _at_end = AtEnd::new(|| task::sleep(ms(1)));
                        resume_unwind(Box::new("caught"));
                    });
                    assert!(caught.is_err());
                    assert!(!thread::panicking());
                    task::park();
                })
            })
            .collect();
        ordinary_work(&runtime);
        for task in tasks {
            task.task().unpark();
            task.join().unwrap();
        }
    }
}

/// A panic inside a destructor, caught there: the outer one goes on, and is a panic still.
#[test]
fn a_destructor_catches_a_panic_and_waits() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for why in WHYS {
            let (s, r) = bounded(0);
            let task = unwinds(&runtime, why, move || {
                let inner = catch_unwind(AssertUnwindSafe(|| {
                    let _at_end = AtEnd::new(|| s.send(1).unwrap());
                    resume_unwind(Box::new("inner"));
                }));
                assert_eq!(common::message(&*inner.unwrap_err()), "inner");
                s.send(2).unwrap();
                throng::blocking(|| s.send(3).unwrap());
            });
            runtime.run(|| assert_eq!(r.iter().collect::<Vec<_>>(), [1, 2, 3]));
            has_unwound(task.join(), why);
        }
    }
}

/// A cancellation has to wait until the destructors are done with, and they aren't disturbed by it.
#[test]
fn a_task_is_cancelled_while_its_destructor_waits() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for why in WHYS {
            let (s, r) = bounded(0);
            let (begun, begins) = bounded(0);
            let task = unwinds(&runtime, why, move || {
                begun.send(()).unwrap();
                assert_eq!(r.recv(), Ok(1));
                task::sleep(ms(1));
            });
            runtime.run(|| {
                begins.recv().unwrap();
                task.cancel();
                task::sleep(ms(1));
                s.send(1).unwrap();
            });
            has_unwound(task.join(), why);
        }
    }
}

/// Those that unwind, among others that are stuck.
#[test]
fn destructors_wait_beside_others_that_are_stuck() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for way in stuck::WAYS {
            let stuck = Stuck::new(&runtime, workers, way).all_begun();
            let (s, r) = bounded(0);
            let task = unwinds(&runtime, Why::Panics, move || (0..5).for_each(|i| s.send(i).unwrap()));
            assert_eq!(runtime.run(|| r.iter().sum::<i32>()), 10);
            has_unwound(task.join(), Why::Panics);
            stuck.release();
        }
    }
}
