//! The mutex, as `lock_api` shows it.

use super::RawMutex;

/// A lock that lets one at a time at the data it guards.
///
/// Modelled on `parking_lot`'s mutex, of which it has all methods, and used like [`std::sync::Mutex`]. What differs:
///
/// * It works in tasks and in plain threads, in any mixture. A task that waits lets its worker run others.
/// * It isn't poisoned by a panic: the lock is freed, and the next one finds the data as they were left.
/// * Guards are [`Send`]: a lock may be freed by another task or thread than took it.
/// * It is fair when it matters: a newcomer may overtake those who wait, which is fast, but one who has been passed over for
///   about a millisecond is handed the lock.
/// * [`unlock_fair`](lock_api::MutexGuard::unlock_fair) hands it to the next waiter at once.
///
/// Locking it again in the task or thread that holds it waits for ever; see [`ReentrantMutex`](super::ReentrantMutex).
///
/// # Cancellation
/// A task that is cancelled while it waits for the lock unwinds. To lock again after
/// [`unlocked`](lock_api::MutexGuard::unlocked), [`bump`](lock_api::MutexGuard::bump) or a wait for a
/// [`Condvar`](super::Condvar) isn't ended by cancellation, nor is a lock that is called through a function pointer.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throng::sync::Mutex;
///
/// static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
///
/// NAMES.lock().push("Ada".to_string());
/// let names = NAMES.lock();
/// assert!(NAMES.try_lock_for(Duration::from_millis(1)).is_none());
/// assert_eq!(names.len(), 1);
/// ```
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

/// Access to what a [`Mutex`] guards; frees the lock when dropped.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// Access to a part of what a [`Mutex`] guards, made by [`MutexGuard::map`](lock_api::MutexGuard::map).
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;

/// A [`MutexGuard`] that keeps the mutex alive itself: what `lock_arc` of an `Arc<Mutex<T>>` returns.
pub type ArcMutexGuard<T> = lock_api::ArcMutexGuard<RawMutex, T>;
