//! Who runs on this kernel thread: the crate's one thread-local.
//!
//! A task can resume on another kernel thread than it left, so the address of a thread-local must never live across a
//! suspension. The compiler believes that it may (it keeps such addresses in registers over any opaque call), so the
//! slot is only read inside functions that are never inlined: each call computes the address anew.
//!
//! # Invariant
//! Each pointer in the slot is null, or leads to something that lives until it is replaced by the same thread.

use crate::control::{Context, Header, Participant, TaskRef, ThreadParker};
use crate::primitive::{Ordering, StaticAtomicU64, clear_just_below};
use crate::rng;
use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

struct Slot {
    /// Of a thread that runs tasks.
    context: Cell<*const Context>,
    /// Of one that doesn't, while it is in a cancel scope.
    parker: Cell<*const ThreadParker>,
}

thread_local! {
    static SLOT: Slot = const { Slot { context: Cell::new(ptr::null()), parker: Cell::new(ptr::null()) } };
}

/// Asks or changes this kernel thread's slot. To be called in functions that are never inlined.
#[inline(always)]
fn with_slot<T>(f: impl FnOnce(&Slot) -> T) -> T {
    let result = SLOT.with(f);
    // Where nothing is optimised, the slot's address was in a frame.
    if cfg!(debug_assertions) {
        clear_just_below();
    }
    result
}

/// This kernel thread's context, null if it runs no tasks. Not to be kept across a suspension.
#[inline(never)]
pub(crate) fn context() -> *const Context {
    with_slot(|slot| slot.context.get())
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
        with_slot(|slot| NonNull::from(slot).addr())
    }
    task().map_or_else(slot, NonNull::addr)
}

/// Makes `context` this kernel thread's, or clears it.
///
/// # Safety
/// It lives until the slot is written again.
#[inline(never)]
pub(crate) unsafe fn set_context(context: *const Context) {
    with_slot(|slot| slot.context.set(context));
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

/// How many kernel threads of the process simulate. Relaxed throughout: what matters to a thread is that it sees its own
/// count, and who doesn't simulate learns that from its context.
static SIMULATIONS: StaticAtomicU64 = StaticAtomicU64::new(0);

/// That the calling kernel thread simulates, for as long as this lives.
pub(crate) struct Simulating(());

impl Simulating {
    pub(crate) fn begin() -> Simulating {
        SIMULATIONS.fetch_add(1, Ordering::Relaxed);
        Simulating(())
    }
}

impl Drop for Simulating {
    fn drop(&mut self) {
        SIMULATIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the caller may be a simulator's task: one load of what nobody writes, so that those who must ask on a hot
/// path hardly pay for it where there is no simulator.
#[inline(always)]
pub(crate) fn may_be_simulated() -> bool {
    SIMULATIONS.load(Ordering::Relaxed) != 0
}

/// The task that calls and its kernel thread's context, if its host is a simulator.
#[cold]
pub(crate) fn simulated() -> Option<(NonNull<Header>, *const Context)> {
    // SAFETY: the invariant of this file.
    task_and_context().filter(|&(_, context)| unsafe { (*context).simulation.is_some() })
}

/// Stands where an operation that others can observe begins, and where a lock has just been taken. The simulator may let
/// others run here; elsewhere it is a load and a branch. No lock of the crate is held, and no wait is armed.
#[inline(always)]
pub(crate) fn step() {
    if may_be_simulated() {
        step_simulated();
    }
}

#[cold]
fn step_simulated() {
    if let Some((task, context)) = simulated()
        && !std::thread::panicking()
    {
        // SAFETY: it is the running task, alive and unfinished, on its own stack. A simulated one is in no section.
        unsafe { task.as_ref().host().step(context) }
    }
}

/// The task that calls, if it is one.
#[inline]
pub(crate) fn task() -> Option<NonNull<Header>> {
    task_and_context().map(|(task, _)| task)
}

/// [`task`], with a reference of its own.
pub(crate) fn task_ref() -> Option<TaskRef> {
    task().map(|task| {
        // SAFETY: the running task is alive; the reference that `from_raw` takes was just made.
        unsafe {
            task.as_ref().retain();
            TaskRef::from_raw(task)
        }
    })
}

/// What this kernel thread waits by while it is in a cancel scope. None of a task's business.
#[inline(never)]
pub(crate) fn thread_parker() -> Option<NonNull<ThreadParker>> {
    with_slot(|slot| NonNull::new(slot.parker.get().cast_mut()))
}

/// Makes `parker` this kernel thread's, or clears it.
///
/// # Safety
/// It lives until it is replaced.
#[inline(never)]
pub(crate) unsafe fn set_thread_parker(parker: *const ThreadParker) {
    with_slot(|slot| slot.parker.set(parker));
}

/// The caller, if it can be cancelled: a task, or a thread in a scope.
pub(crate) fn cancellable() -> Option<Participant> {
    task().map(Participant::Task).or_else(|| thread_parker().map(Participant::Thread))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::arch;

    #[test]
    #[cfg_attr(throng_asan, ignore = "it reads between the frames")]
    fn the_slot_s_address_does_not_stay_below() {
        #[inline(never)]
        fn use_all() {
            assert!(context().is_null() && thread_parker().is_none());
            // SAFETY: no obligations.
            unsafe { set_context(ptr::null()) };
        }
        const DEPTH: usize = 512;
        let mut left = [0; DEPTH];
        let mut at = left.as_ptr().addr();
        use_all();
        // No calls, which would lie there themselves.
        let mut index = 0;
        while index < DEPTH {
            at -= size_of::<usize>();
            // SAFETY: this thread's stack, and there is that much of it.
            left[index] = unsafe { arch::peek(at) };
            index += 1;
        }
        // Also those whose last byte has been overwritten.
        let slot = participant().get() & !0xff;
        assert!(left.iter().all(|word| word & !0xff != slot));
    }
}
