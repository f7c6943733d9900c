//! The condition variable, as `lock_api` shows it.

use super::RawCondvar;

pub use lock_api::WaitTimeoutResult;

/// A place to wait until another task or thread has changed what a [`Mutex`](super::Mutex) guards.
///
/// Modelled on `parking_lot`'s. What differs from [`std::sync::Condvar`]: the guard is passed by reference; a wait that isn't
/// timed ends by a notification only; `notify_one` and `notify_all` tell exactly how many they woke. What differs from
/// `parking_lot`'s: it may be used with several mutexes at a time.
///
/// # Cancellation
/// A task that is cancelled while it waits locks the mutex again, then unwinds, which drops the guard. A notification
/// is never lost with it: it goes to the next waiter.
///
/// # Examples
/// ```
/// use throng::sync::{Condvar, Mutex};
///
/// let (ready, changed) = (Mutex::new(false), Condvar::new());
/// std::thread::scope(|s| {
///     s.spawn(|| {
///         *ready.lock() = true;
///         changed.notify_one();
///     });
///     let mut ready = ready.lock();
///     changed.wait_while(&mut ready, |ready| !*ready);
///     assert!(*ready);
/// });
/// ```
pub type Condvar = lock_api::Condvar<RawCondvar>;
