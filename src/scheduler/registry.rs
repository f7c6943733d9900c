//! The tasks that have waited: where a shutdown finds those that still do.
//!
//! A task that runs from its start to its end without waiting never comes here, so most short tasks pay nothing. A
//! task is entered when it parks for the first time, in the shard of the worker it parks on, and taken out when it
//! ends. The list is intrusive: the links lie in the control block.

use crate::control::{Header, Links};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use std::ptr::NonNull;

struct List(Option<NonNull<Header>>);

// SAFETY: the list is used under its lock, and holds only unfinished tasks, which are alive.
unsafe impl Send for List {}

pub(super) struct Registry {
    shards: Box<[CachePadded<Mutex<List>>]>,
}

impl Registry {
    pub(super) fn new(shards: usize) -> Registry {
        Registry { shards: (0..shards).map(|_| CachePadded::new(Mutex::new(List(None)))).collect() }
    }

    /// # Safety
    /// The task is unfinished, is in no list, and is taken out before it is freed. The caller runs it.
    #[cold]
    pub(super) unsafe fn enter(&self, shard: usize, task: NonNull<Header>) {
        let mut list = self.shards[shard].lock();
        // SAFETY: tasks in the list are alive, and their links are ours under the lock.
        unsafe {
            if let Some(first) = list.0 {
                let mut links = first.as_ref().links.get();
                links.prev = Some(task);
                first.as_ref().links.set(links);
            }
            task.as_ref().links.set(Links { prev: None, next: list.0 });
            task.as_ref().shard.set(shard as u32 + 1);
        }
        list.0 = Some(task);
    }

    /// # Safety
    /// The task is alive; the caller ends it.
    #[inline]
    pub(super) unsafe fn leave(&self, task: NonNull<Header>) {
        // SAFETY: the caller's; it runs the task, so `shard` is its own.
        let shard = unsafe { task.as_ref() }.shard.get();
        if shard != 0 {
            // SAFETY: it is in that shard.
            unsafe { self.unlink(shard as usize - 1, task) }
        }
    }

    #[cold]
    unsafe fn unlink(&self, shard: usize, task: NonNull<Header>) {
        let mut list = self.shards[shard].lock();
        // SAFETY: as in `enter`.
        unsafe {
            let Links { prev, next } = task.as_ref().links.get();
            match prev {
                None => list.0 = next,
                Some(prev) => prev.as_ref().links.set(Links { next, ..prev.as_ref().links.get() }),
            }
            if let Some(next) = next {
                next.as_ref().links.set(Links { prev, ..next.as_ref().links.get() });
            }
        }
    }

    /// Calls `visit` with each registered task, under the shard's lock.
    pub(super) fn for_each(&self, mut visit: impl FnMut(NonNull<Header>)) {
        for shard in &self.shards {
            let list = shard.lock();
            let mut at = list.0;
            while let Some(task) = at {
                visit(task);
                // SAFETY: as in `enter`.
                at = unsafe { task.as_ref() }.links.get().next;
            }
        }
    }
}
