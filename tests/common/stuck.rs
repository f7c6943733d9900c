//! Tasks that keep their kernel threads until they are told to go on.
#![allow(dead_code, reason = "each test file uses its part")]

use super::common::{ms, until};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use throng::chan::bounded;
use throng::runtime::Runtime;
use throng::{JoinHandle, task};

/// A runtime that may come to need more threads than it may have, which nobody is told.
pub(crate) fn short_of_threads(workers: usize, max_threads: usize) -> Runtime {
    Runtime::builder().workers(workers).max_threads(max_threads).on_shortage(|_| {}).build().expect("a runtime")
}

/// What takes workers: tasks that yield, sleep, are spawned, and talk.
pub(crate) fn ordinary_work(runtime: &Runtime) {
    runtime.run(|| {
        let (s, r) = bounded(0);
        throng::scope(|scope| {
            for i in 0..10 {
                let s = s.clone();
                scope.spawn(move || {
                    task::yield_now();
                    s.send(i).unwrap();
                    task::sleep(ms(1));
                });
            }
            assert_eq!((0..10).map(|_| r.recv().unwrap()).sum::<i32>(), 45);
        });
    });
}

/// How a task keeps its kernel thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It computes without end.
    Spins,
    /// It sleeps in the kernel, behind the runtime's back.
    Sleeps,
    /// It sleeps in an announced section.
    Announced,
}

pub(crate) const WAYS: [Way; 3] = [Way::Spins, Way::Sleeps, Way::Announced];

#[derive(Default)]
pub(crate) struct Gate {
    is_open: AtomicBool,
    lock: Mutex<()>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(SeqCst)
    }

    pub(crate) fn open(&self) {
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_open.store(true, SeqCst);
        self.opened.notify_all();
    }

    /// What opens it when it is called for the last of so many times.
    pub(crate) fn opener(self: &Arc<Gate>, calls: usize) -> impl Fn() + Clone + Send + 'static {
        let (gate, left) = (Arc::clone(self), Arc::new(AtomicUsize::new(calls)));
        move || {
            if left.fetch_sub(1, SeqCst) == 1 {
                gate.open();
            }
        }
    }

    /// Keeps the kernel thread until it is open.
    pub(crate) fn pass(&self, way: Way) {
        match way {
            Way::Spins => {
                while !self.is_open() {
                    std::hint::spin_loop();
                }
            }
            Way::Sleeps => {
                let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                drop(self.opened.wait_while(held, |()| !self.is_open()).unwrap_or_else(PoisonError::into_inner));
            }
            Way::Announced => throng::blocking(|| self.pass(Way::Sleeps)),
        }
    }
}

/// Tasks that are stuck. They go on when this is dropped, however the test ends.
pub(crate) struct Stuck {
    gate: Arc<Gate>,
    begun: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Stuck {
    pub(crate) fn new(runtime: &Runtime, tasks: usize, way: Way) -> Stuck {
        let (gate, begun) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..tasks).map(|_| {
            let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
            runtime.spawn(move || {
                begun.fetch_add(1, SeqCst);
                gate.pass(way);
            })
        });
        let tasks = tasks.collect();
        Stuck { gate, begun, tasks }
    }

    pub(crate) fn tasks(&self) -> &[JoinHandle<()>] {
        &self.tasks
    }

    /// How many of them keep a thread.
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    /// Waits until each of them keeps a thread, which takes as many threads.
    pub(crate) fn all_begun(self) -> Stuck {
        until(|| self.begun() == self.tasks.len());
        self
    }

    pub(crate) fn release(mut self) {
        self.gate.open();
        self.tasks.drain(..).for_each(|task| task.join().expect("no panic"));
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.gate.open();
    }
}
