//! The next slot: the task that its worker will run next.
//!
//! A task that was just woken by the task that runs goes here rather than behind the queue: its data is in this core's
//! cache, and two tasks that talk to each other run hand in hand. Only the owner puts a task in; the owner and thieves
//! take one out. A thief comes only after a moment (see `worker.rs`), since the owner is most likely about to run it.
//!
//! Because nobody but the owner ever makes an empty slot full, the owner may fill an empty slot with a plain store.
//! Every other change is an exchange, so a task comes out exactly once.

use crate::control::Header;
use crate::primitive::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

pub(super) struct NextSlot {
    task: AtomicPtr<Header>,
}

impl NextSlot {
    pub(super) fn new() -> NextSlot {
        NextSlot { task: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The owner puts a task in, and gets back the one that was there.
    #[inline]
    pub(super) fn put(&self, task: NonNull<Header>) -> Option<NonNull<Header>> {
        // Relaxed: if it reads null, only the owner itself can have changed that.
        if self.task.load(Ordering::Relaxed).is_null() {
            // Release: pairs with the Acquire of `take`.
            self.task.store(task.as_ptr(), Ordering::Release);
            return None;
        }
        // AcqRel: as above, and for the one that comes out.
        NonNull::new(self.task.swap(task.as_ptr(), Ordering::AcqRel))
    }

    /// Takes the task out: the owner, or a thief whose moment has come.
    #[inline]
    pub(super) fn take(&self) -> Option<NonNull<Header>> {
        if self.task.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // Acquire: pairs with the Release of `put`.
        NonNull::new(self.task.swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Who is in it, for a thief to compare: not to be followed.
    pub(super) fn peek(&self) -> *const Header {
        self.task.load(Ordering::Relaxed)
    }
}
