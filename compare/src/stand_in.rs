//! Stands in for `throng::sync` until that is there.

use std::sync::{Arc, MutexGuard};

use throng::task::{self, Task};

/// A lock that blocks the kernel thread.
#[derive(Debug)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no holder panics")
    }
}

/// Counts its clones for the task that made it.
#[derive(Clone, Debug)]
pub(crate) struct WaitGroup(Arc<Waiting>);

#[derive(Debug)]
struct Waiting(Task);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl WaitGroup {
    pub(crate) fn new() -> WaitGroup {
        WaitGroup(Arc::new(Waiting(task::current())))
    }

    pub(crate) fn wait(self) {
        let others = Arc::downgrade(&self.0);
        drop(self);
        while others.strong_count() > 0 {
            task::park();
        }
    }
}
