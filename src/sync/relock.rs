//! Locking again for a guard that lives on must not unwind.
//!
//! `MutexGuard::unlocked` and its like release a lock, call a closure, and lock again before they return the guard. If
//! that last lock unwound, there would be a guard without a lock; `lock_api` aborts the process instead. A cancelled
//! task that has to wait does unwind, and no cancellation may end the process. The raw lock is called the same way for
//! both, with one difference: a user's call comes through methods that pass the caller's location on
//! (`#[track_caller]`), a call of `lock_api`'s own names `lock_api`'s source. Where it does, the wait is shielded.
//! (So does a call through a function pointer, `let lock: fn(&_) -> _ = Mutex::lock`: it has no other place to name.)
//!
//! A path is no proof, so any that has the crate's name in it counts: builds lay their sources out in many ways. A source of the
//! user's that is taken for the crate's waits uncancelled; one of the crate's that isn't known (where the compiler is told to
//! leave locations out, or to cut paths that short) aborts when a cancellation meets it, as without all this.
//!
//! Rejected: never letting a cancellation end the wait for a lock. Then a task that waits for a lock that is never
//! freed could not be unwound at shutdown, nor a timeout end the wait for one that is held for long.

use crate::interrupt;
use std::panic::Location;

/// Waits by calling `wait`, which unwinds if the task is cancelled, unless `caller` can't have that. (To find that out takes as
/// long as a short spin, so who spins does it before.)
pub(super) fn wait_for<R>(caller: &Location<'_>, wait: impl FnOnce() -> R) -> R {
    if caller.file().contains("lock_api") { interrupt::shielded(wait) } else { wait() }
}
