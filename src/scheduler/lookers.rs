//! Which tasks run, for one who looks from another thread.
//!
//! Each worker's thread notes the task that it runs in its context, by a plain store at every switch. Who reads that from
//! outside must see to it that the task isn't freed before there is a reference to hold it by, and tasks begin and end too
//! often to pay much for that. So one can look only once the scheduler was told to stop: from then on each task that
//! ends passes a lock, which a looker holds. Until then it costs a load and a branch. (Or one looks in a deadlock, when
//! no worker ever moves again.)
//!
//! # The races, and why they can't happen
//! * **A task is freed under the looker.** Before it is freed its worker clears the note, fences, and asks whether to stop;
//!   `Scheduler::stop` says so and fences, before anybody looks. So the worker sees that, and takes the lock: if
//!   before the looker, then the looker no longer finds the note; if after, then the looker has got its reference. Or the
//!   worker doesn't see it, and then its note is cleared for all who look.
//! * **A task's note is left on a worker that it has moved away from.** That worker wrote another note before it let go
//!   of the task, so before the end of the task, and before the lock that was taken then.
//! * **A worker's thread ends under the looker.** It takes its context out, under the lock.

use crate::asymmetric;
use crate::chaos;
use crate::control::{Context, TaskRef};
use crate::primitive::{AtomicBool, Mutex, Ordering};
use std::ptr;

pub(super) struct Lookers(Mutex<Vec<Place>>);

struct Place(*const Context);

// SAFETY: of a context that is in the list only the note is looked at, which is atomic.
unsafe impl Send for Place {}

impl Lookers {
    pub(super) fn new() -> Lookers {
        Lookers(Mutex::new(Vec::new()))
    }

    /// A worker's thread begins.
    ///
    /// # Safety
    /// The context stays where it is until it `leave`s.
    pub(super) unsafe fn enter(&self, context: &Context) {
        self.0.lock().push(Place(context));
    }

    pub(super) fn leave(&self, context: &Context) {
        self.0.lock().retain(|place| !ptr::eq(place.0, context));
    }

    /// A task has run to its end on the calling thread, which has cleared its note of it and is about to let go of it.
    #[inline]
    pub(super) fn let_pass(&self, stopping: &AtomicBool) {
        asymmetric::light();
        // Relaxed: ordered by that fence against the heavy one of `stop`.
        if stopping.load(Ordering::Relaxed) {
            self.pass();
        }
    }

    #[cold]
    fn pass(&self) {
        chaos::point();
        drop(self.0.lock());
    }

    /// The tasks that run at this moment. Called after `Scheduler::stop`, or while every worker sleeps and none can be woken.
    pub(super) fn running(&self) -> Vec<TaskRef> {
        let places = self.0.lock();
        let note = |place: &Place| {
            // SAFETY: the context is in the list; the task it names isn't freed while we hold the lock, see above, and the
            // reference that `from_raw` takes was just made.
            unsafe {
                let task = (*place.0).task.get()?;
                task.as_ref().retain();
                Some(TaskRef::from_raw(task))
            }
        };
        places.iter().filter_map(note).collect()
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::control::blocks::Blocks;
    use crate::control::models::Blank;
    use crate::control::{Header, Running};
    use crate::rng::Rng;
    use std::cell::Cell;
    use std::sync::Arc;

    struct Worker {
        context: Context,
        lookers: Lookers,
        stopping: AtomicBool,
        task: Arc<Blank>,
    }

    // SAFETY: of the context only the note is used, which is atomic.
    unsafe impl Send for Worker {}
    // SAFETY: as above.
    unsafe impl Sync for Worker {}

    /// A task ends and is freed as somebody looks, who finds it alive or not at all.
    #[test]
    fn a_task_that_is_looked_at_is_not_freed() {
        loom::model(|| {
            let context = Context {
                host: ptr::null(),
                serves: Cell::new(ptr::null()),
                simulation: None,
                task: Running::nothing(),
                blocks: Blocks::new(),
                rng: Rng::new(1),
            };
            let (lookers, stopping, task) = (Lookers::new(), AtomicBool::new(false), Blank::new(1));
            let worker = Arc::new(Worker { context, lookers, stopping, task });
            worker.context.task.set(Some(worker.task.task()));
            // SAFETY: it lives to the end of the model.
            unsafe { worker.lookers.enter(&worker.context) };
            let running = loom::thread::spawn({
                let worker = Arc::clone(&worker);
                move || {
                    worker.context.task.set(None);
                    worker.lookers.let_pass(&worker.stopping);
                    // SAFETY: the worker's reference, given back once.
                    unsafe { Header::release(worker.task.task()) };
                }
            });
            worker.stopping.store(true, Ordering::Relaxed);
            asymmetric::heavy();
            for task in worker.lookers.running() {
                assert_eq!(worker.task.freed(), 0, "it was found, and is gone");
                drop(task);
            }
            running.join().unwrap();
            assert_eq!(worker.task.freed(), 1);
        });
    }
}
