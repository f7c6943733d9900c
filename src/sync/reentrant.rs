//! The reentrant mutex: `lock_api`'s over our raw mutex, and who "the same" is.

use super::RawMutex;
use crate::current;
use std::num::NonZeroUsize;

/// Tells a [`ReentrantMutex`] who locks it: the task, or where none runs the thread.
///
/// The number is an address. A task's control block and a thread's slot are both alive while their owner can hold a
/// lock, and two live objects have two addresses; so a task is never taken for a thread, nor for the thread it runs on.
#[derive(Debug, Default)]
pub struct RawParticipantId(());

// SAFETY: the address of a live object that belongs to the caller alone, and stays its while it lives.
unsafe impl lock_api::GetThreadId for RawParticipantId {
    const INIT: RawParticipantId = RawParticipantId(());

    fn nonzero_thread_id(&self) -> NonZeroUsize {
        current::participant()
    }
}

/// A mutex that its holder can lock again.
///
/// Modelled on `parking_lot`'s. The holder is a task, wherever it runs, or a plain thread; two tasks on one thread exclude
/// each other. Guards give shared access only, and stay in the task or thread that locked.
///
/// # Cancellation
/// The wait for this lock isn't ended by cancellation, except with a timeout.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use throng::sync::ReentrantMutex;
///
/// let count = ReentrantMutex::new(Cell::new(0));
/// let outer = count.lock();
/// let inner = count.lock();
/// inner.set(outer.get() + 1);
/// assert_eq!(count.lock().get(), 1);
/// ```
pub type ReentrantMutex<T> = lock_api::ReentrantMutex<RawMutex, RawParticipantId, T>;

/// Shared access to what a [`ReentrantMutex`] guards; the last one dropped frees the lock.
pub type ReentrantMutexGuard<'a, T> = lock_api::ReentrantMutexGuard<'a, RawMutex, RawParticipantId, T>;

/// Access to a part of what a [`ReentrantMutex`] guards.
pub type MappedReentrantMutexGuard<'a, T> = lock_api::MappedReentrantMutexGuard<'a, RawMutex, RawParticipantId, T>;

/// A [`ReentrantMutexGuard`] that keeps the mutex alive itself.
pub type ArcReentrantMutexGuard<T> = lock_api::ArcReentrantMutexGuard<RawMutex, RawParticipantId, T>;
