//! Who has a state word and scopes: a task or a kernel thread.

use super::{Claimed, Header, Outcome, Scopes, State};
use crate::primitive::thread::{Thread, current};
use std::ptr::NonNull;
use std::time::Instant;

/// A kernel thread that waits. It lies in a frame that outlives its nodes (see `park::Frame`), or on the heap until it is in no
/// scope or shield.
pub(crate) struct ThreadParker {
    pub(crate) state: State,
    pub(crate) scopes: Scopes,
    pub(crate) thread: Thread,
}

impl ThreadParker {
    /// The calling thread's.
    pub(crate) fn new() -> ThreadParker {
        ThreadParker { state: State::new(), scopes: Scopes::new(), thread: current() }
    }
}

/// One that can be in a scope.
#[derive(Clone, Copy)]
pub(crate) enum Participant {
    Task(NonNull<Header>),
    Thread(NonNull<ThreadParker>),
}

impl Participant {
    /// # Safety
    /// It is the caller, and still there for as long as the result is used.
    pub(crate) unsafe fn scopes<'a>(self) -> &'a Scopes {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Participant::Task(task) => &task.as_ref().scopes,
                Participant::Thread(parker) => &parker.as_ref().scopes,
            }
        }
    }

    /// The time, as it sees it.
    ///
    /// # Safety
    /// It is alive and, if it is a task, unfinished.
    pub(crate) unsafe fn now(self) -> Instant {
        match self {
            // SAFETY: the caller's.
            Participant::Task(task) => unsafe { task.as_ref().host().now() },
            Participant::Thread(_) => Instant::now(),
        }
    }

    /// Claims its present wait as cancelled, if it is in the shield of this number.
    ///
    /// # Safety
    /// It is alive.
    pub(crate) unsafe fn claim(self, shields: u32) -> Option<Claimed> {
        // SAFETY: the caller's.
        let state = unsafe {
            match self {
                Participant::Task(task) => &task.as_ref().state,
                Participant::Thread(parker) => &parker.as_ref().state,
            }
        };
        state.claim_current(shields, Outcome::Cancelled)
    }
}
