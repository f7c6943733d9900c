//! The tasks that somebody waits for from outside: root tasks in `run`, and those that a plain thread joins.
//!
//! These are whom a deadlock is told of. The list is short, and touched by those who are about to sleep in the kernel.

use crate::control::{Schedule, TaskRef};
use crate::current;
use crate::primitive::{Ordering, StaticAtomicU8};
use parking_lot::Mutex;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

static LIST: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());

pub(crate) struct Entry {
    pub(crate) task: TaskRef,
    /// The address of the task that waits for it, if it is one, of another host's, in `run`; else 0.
    by: usize,
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

/// Those among a host's tasks that don't wait for another host's themselves, whether they have left their stacks for that or keep
/// their kernel threads. To be called while nothing moves.
pub(crate) fn last_among(host: NonNull<dyn Schedule>) -> Vec<Arc<Entry>> {
    let list = LIST.lock();
    let waits = |task: &TaskRef| {
        // What it waited for is over if it has left its stack and was woken; it may be held, or lie in a queue.
        let was_woken = task.reason.load(Ordering::Relaxed) != 0 && !task.state.is_parked();
        !was_woken && list.iter().any(|entry| entry.by == task.as_ptr().addr().get())
    };
    list.iter().filter(|entry| entry.task.is_hosted_by(host) && !waits(&entry.task)).cloned().collect()
}

/// That a task is in the list, for as long as this lives.
pub(crate) struct Awaited(Arc<Entry>);

impl Awaited {
    /// The caller waits for it.
    pub(crate) fn begin(task: TaskRef) -> Awaited {
        let by = current::task().map_or(0, |task| task.addr().get());
        let entry = Arc::new(Entry { task, by, stage: StaticAtomicU8::new(0), report: OnceLock::new() });
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
