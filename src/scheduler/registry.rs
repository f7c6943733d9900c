//! The tasks that have left their stacks: where a shutdown finds those that still do.
//!
//! A task that runs from its start to its end without leaving its stack never comes here, so most short tasks pay nothing. A
//! task is entered when it leaves it for the first time, in the shard of the worker that it is on, and taken out when it
//! ends. A list in which tasks pointed to one another would cost less memory, but a task that ends would touch two
//! others, which have long been out of the cache.

use crate::control::Header;
use crate::primitive::Mutex;
use crossbeam_utils::CachePadded;
use std::ptr::NonNull;

/// A shard that was larger than this gives its memory back when the last of its tasks has ended.
const KEPT: usize = 1024;

struct List {
    tasks: Vec<Option<NonNull<Header>>>,
    /// The empty places in there.
    free: Vec<u32>,
}

// SAFETY: the list is used under its lock, and holds only unfinished tasks, which are alive.
unsafe impl Send for List {}

impl List {
    const EMPTY: List = List { tasks: Vec::new(), free: Vec::new() };
}

pub(super) struct Registry {
    shards: Box<[CachePadded<Mutex<List>>]>,
}

impl Registry {
    pub(super) fn new(shards: usize) -> Registry {
        Registry { shards: (0..shards).map(|_| CachePadded::new(Mutex::new(List::EMPTY))).collect() }
    }

    /// # Safety
    /// The task is unfinished, is in no list, and is taken out before it is freed. The caller runs it.
    #[cold]
    pub(super) unsafe fn enter(&self, worker: usize, task: NonNull<Header>) {
        // There may be more workers than shards, while some are stuck.
        let shard = worker % self.shards.len();
        let mut list = self.shards[shard].lock();
        let place = match list.free.pop() {
            Some(place) => place,
            None => {
                list.tasks.push(None);
                // As many as there are tasks at a time, and each has a stack.
                u32::try_from(list.tasks.len() - 1).expect("fewer tasks than 2^32")
            }
        };
        list.tasks[place as usize] = Some(task);
        drop(list);
        // SAFETY: the caller's.
        let header = unsafe { task.as_ref() };
        header.place.set(place);
        header.shard.set(shard as u32 + 1);
    }

    /// Whether it was in the list.
    ///
    /// # Safety
    /// The task is alive; the caller ends it.
    #[inline]
    pub(super) unsafe fn leave(&self, task: NonNull<Header>) -> bool {
        // SAFETY: the caller's; it runs the task, so these are its own.
        let header = unsafe { task.as_ref() };
        let shard = header.shard.get();
        if shard != 0 {
            self.clear(shard as usize - 1, header.place.get());
        }
        shard != 0
    }

    #[cold]
    fn clear(&self, shard: usize, place: u32) {
        let mut list = self.shards[shard].lock();
        list.tasks[place as usize] = None;
        list.free.push(place);
        if list.free.len() == list.tasks.len() && list.free.len() > KEPT {
            *list = List::EMPTY;
        }
    }

    /// Calls `visit` with each registered task, under the shard's lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(NonNull<Header>)) {
        for shard in &self.shards {
            shard.lock().tasks.iter().copied().flatten().for_each(&mut visit);
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::asymmetric;
    use crate::control::Outcome;
    use crate::control::models::Blank;
    use crate::primitive::{AtomicBool, Ordering};
    use std::sync::Arc;
    use std::time::Instant;

    /// A task parks for the first time as its scheduler stops: one of the two makes it runnable again. See the head of
    /// `scheduler/mod.rs`.
    #[test]
    fn a_task_that_parks_as_all_are_cancelled_goes_on_once() {
        loom::model(|| {
            let all = Arc::new((Registry::new(1), AtomicBool::new(false)));
            let task = Blank::new(1);
            let canceller = loom::thread::spawn({
                let all = Arc::clone(&all);
                move || {
                    let (registry, is_stopping) = &*all;
                    is_stopping.store(true, Ordering::Release);
                    // SAFETY (both): a registered task is alive.
                    registry.for_each(|task| unsafe { task.as_ref() }.mark_cancelled());
                    asymmetric::heavy();
                    let mut woken = 0;
                    registry.for_each(|task| woken += u32::from(unsafe { task.as_ref() }.wake_cancelled()));
                    woken
                }
            });
            let (registry, is_stopping) = &*all;
            // SAFETY: it lives to the end of the model.
            let header = unsafe { task.task().as_ref() };
            let epoch = header.state.arm_shielded(0);
            let goes_on = if header.scopes.limit(None, Instant::now).is_none() {
                let _ = header.state.withdraw(epoch);
                true
            } else {
                // SAFETY: it is in no list, and this is who runs it.
                unsafe { registry.enter(0, task.task()) };
                // Relaxed: as in `Worker::commit`.
                if is_stopping.load(Ordering::Relaxed) {
                    let _ = header.state.claim_current(0, Outcome::Cancelled);
                    true
                } else {
                    !header.state.commit()
                }
            };
            assert_eq!(u32::from(goes_on) + canceller.join().unwrap(), 1, "it goes on so many times");
        });
    }
}
