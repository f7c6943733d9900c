//! Cancellation: a task that was asked to end unwinds from the wait it is in, or from its next one.
//!
//! The unwinding is a panic in all but name: destructors run, `catch_unwind` sees it; but the panic hook doesn't, and
//! [`join`](crate::JoinHandle::join) yields [`Cancelled`] as the payload. A task that catches it and waits again is
//! unwound again. See [`JoinHandle::cancel`](crate::JoinHandle::cancel).

use crate::current;
use std::any::Any;
use std::fmt;
use std::panic;

/// The payload that a cancelled task unwinds with, and that [`join`](crate::JoinHandle::join) returns for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cancelled(());

impl Cancelled {
    pub(crate) fn payload() -> Box<dyn Any + Send> {
        Box::new(Cancelled(()))
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled")
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Unwinds the cancelled task, after its wait has been tidied up.
#[cold]
pub(crate) fn unwind() -> ! {
    panic::resume_unwind(Cancelled::payload())
}

/// Runs `f` with cancellation held off: no wait in it ends as cancelled.
pub(crate) fn shielded<R>(f: impl FnOnce() -> R) -> R {
    struct Unmask;
    impl Drop for Unmask {
        fn drop(&mut self) {
            mask(-1);
        }
    }
    mask(1);
    let _unmask = Unmask;
    f()
}

/// Changes the depth of the caller's shields, if it is a task.
fn mask(by: i32) {
    if let Some(task) = current::task() {
        // SAFETY: the running task is alive, and its mask is its own.
        let mask = unsafe { &task.as_ref().mask };
        mask.set(mask.get().wrapping_add_signed(by));
    }
}
