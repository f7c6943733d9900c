//! The tasks that somebody waits for from outside: root tasks in `run`, and those that a plain thread joins.
//!
//! These are whom a deadlock is told of. The list is short, and touched by those who are about to sleep in the kernel.

use crate::control::{Schedule, TaskRef};
use crate::primitive::{Ordering, StaticAtomicU8};
use parking_lot::Mutex;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

static LIST: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());

pub(crate) struct Entry {
    pub(crate) task: TaskRef,
    /// What was done about a deadlock that this task is in, for whoever looks for deadlocks.
    stage: StaticAtomicU8,
    report: OnceLock<Arc<str>>,
}

impl Entry {
    // Relaxed (both): one thread reads and writes it.
    pub(crate) fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stage(&self, stage: u8) {
        self.stage.store(stage, Ordering::Relaxed);
    }

    /// What the waiter is to be told once the task has ended.
    pub(crate) fn set_report(&self, report: Arc<str>) {
        let _ = self.report.set(report);
    }
}

/// Those among a host's tasks.
pub(crate) fn among(host: NonNull<dyn Schedule>) -> Vec<Arc<Entry>> {
    LIST.lock().iter().filter(|entry| entry.task.is_hosted_by(host)).cloned().collect()
}

/// That a task is in the list, for as long as this lives.
pub(crate) struct Awaited(Arc<Entry>);

impl Awaited {
    pub(crate) fn begin(task: TaskRef) -> Awaited {
        let entry = Arc::new(Entry { task, stage: StaticAtomicU8::new(0), report: OnceLock::new() });
        LIST.lock().push(Arc::clone(&entry));
        Awaited(entry)
    }

    /// The task has ended: returns the report, if it was in a deadlock.
    pub(crate) fn end(self) -> Option<Arc<str>> {
        self.0.report.get().cloned()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        LIST.lock().retain(|entry| !Arc::ptr_eq(entry, &self.0));
    }
}
