//! Who runs on this kernel thread: the crate's one thread-local.
//!
//! A task can resume on another kernel thread than it left, so the address of a thread-local must never live across a
//! suspension. The compiler believes that it may (it keeps such addresses in registers over any opaque call), so the
//! slot is only read inside functions that are never inlined: each call computes the address anew.
//!
//! # Invariant
//! The slot is null, or points to a [`Context`] that lives until the slot is cleared by the same thread.

use crate::control::Header;
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// What a host keeps for each kernel thread that runs its tasks; the first field of the host's own structure.
#[derive(Debug)]
pub(crate) struct Context {
    /// Whose thread this is: the address that `Header::host_address` tells.
    pub(crate) host: *const (),
    /// The task that runs here now.
    pub(crate) task: Cell<Option<NonNull<Header>>>,
}

thread_local! {
    static CONTEXT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// This kernel thread's context, null if it runs no tasks. Not to be kept across a suspension.
#[inline(never)]
pub(crate) fn context() -> *const Context {
    CONTEXT.with(Cell::get)
}

/// Makes `context` this kernel thread's, or clears it.
///
/// # Safety
/// It lives until the slot is written again.
#[inline(never)]
pub(crate) unsafe fn set_context(context: *const Context) {
    CONTEXT.with(|slot| slot.set(context));
}

/// The task that calls, if it is one.
#[inline]
pub(crate) fn task() -> Option<NonNull<Header>> {
    let context = context();
    if context.is_null() {
        return None;
    }
    // SAFETY: the invariant of this file.
    unsafe { (*context).task.get() }
}
