//! The tasks that somebody waits for from outside: root tasks in `run`, and those that a plain thread joins.
//!
//! These are whom a deadlock is told of. The list is short, and touched by those who are about to sleep in the kernel.

use crate::control::{Schedule, TaskRef};
use crate::current;
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{Ordering, StaticAtomicU8};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

static LIST: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());

pub(crate) struct Entry {
    pub(crate) task: TaskRef,
    /// The task that waits for it, if it is one, of another host's, in `run`.
    by: Option<TaskRef>,
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

    /// Whether its task has ended, for one that looks while nothing moves: who waited for that was woken, but it may be held, or
    /// lie in a queue of those whom nobody runs. (A thread would move.)
    fn is_over(&self) -> bool {
        let was_woken = |by: &TaskRef| by.reason.load(Ordering::Relaxed) != 0 && !by.state.is_parked();
        self.by.as_ref().is_some_and(was_woken)
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
    let mut list = LIST.lock().clone();
    list.retain(|entry| !entry.is_over());
    let is_last = |entry: &Entry| {
        let waits = |other: &Arc<Entry>| other.by.as_ref().is_some_and(|by| by.as_ptr() == entry.task.as_ptr());
        entry.task.is_hosted_by(host) && !list.iter().any(waits)
    };
    list.iter().filter(|entry| is_last(entry)).cloned().collect()
}

/// That a task is in the list, for as long as this lives.
pub(crate) struct Awaited(Arc<Entry>);

impl Awaited {
    /// The caller waits for it.
    pub(crate) fn begin(task: TaskRef) -> Awaited {
        let entry =
            Arc::new(Entry { task, by: current::task_ref(), stage: StaticAtomicU8::new(0), report: OnceLock::new() });
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
