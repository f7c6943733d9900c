//! Who runs on this kernel thread: the crate's one thread-local.
//!
//! A task can resume on another kernel thread than it left, so the address of a thread-local must never live across a
//! suspension. The compiler believes that it may (it keeps such addresses in registers over any opaque call), so the
//! slot is only read inside functions that are never inlined: each call computes the address anew.
//!
//! # Invariant
//! The slot is null, or points to a [`Context`] that lives until the slot is cleared by the same thread.

use crate::control::{Context, Header};
use crate::rng;
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

thread_local! {
    static CONTEXT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// This kernel thread's context, null if it runs no tasks. Not to be kept across a suspension.
#[inline(never)]
pub(crate) fn context() -> *const Context {
    CONTEXT.with(Cell::get)
}

/// A number of this kernel thread's generator.
pub(crate) fn random() -> u64 {
    let context = context();
    if context.is_null() {
        return rng::shared();
    }
    // SAFETY: the invariant of this file.
    unsafe { (*context).rng.next() }
}

/// A number that no other task or thread has while this one lives: for a task, whichever thread runs it, the address
/// of its control block; for a thread, the address of its slot. Two live objects never share an address, so tasks and
/// threads can't be taken for one another. It may come back when its owner is gone.
pub(crate) fn participant() -> NonZeroUsize {
    #[inline(never)]
    fn slot() -> NonZeroUsize {
        CONTEXT.with(|slot| NonNull::from(slot).addr())
    }
    task().map_or_else(slot, NonNull::addr)
}

/// Makes `context` this kernel thread's, or clears it.
///
/// # Safety
/// It lives until the slot is written again.
#[inline(never)]
pub(crate) unsafe fn set_context(context: *const Context) {
    CONTEXT.with(|slot| slot.set(context));
}

/// The task that calls, if it is one, and its kernel thread's context, which is not to be kept across a suspension.
#[inline]
pub(crate) fn task_and_context() -> Option<(NonNull<Header>, *const Context)> {
    let context = context();
    if context.is_null() {
        return None;
    }
    // SAFETY: the invariant of this file.
    unsafe { (*context).task.get() }.map(|task| (task, context))
}

/// The task that calls, if it is one.
#[inline]
pub(crate) fn task() -> Option<NonNull<Header>> {
    task_and_context().map(|(task, _)| task)
}
