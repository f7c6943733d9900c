//! Sleeping, and time limits.
//!
//! Timers that are channels are in [`chan`](crate::chan): [`after`](crate::chan::after), [`tick`](crate::chan::tick).

use crate::control::Outcome;
use crate::interrupt;
use crate::park::{self, Reason};
use std::fmt;
use std::time::{Duration, Instant};

/// The time, as the caller's waits measure it: [`Instant::now`], but the virtual time in a [simulation](crate::sim).
///
/// For code that is to be simulated, and that makes deadlines or measures time by itself.
#[must_use]
pub fn now() -> Instant {
    park::now()
}

/// Waits for at least `duration`. Other tasks run meanwhile; outside a task the kernel thread sleeps.
///
/// It may wake late by an eighth of the duration, but by no more than about a millisecond; and by the time until a worker is
/// free.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
///
/// let begun = Instant::now();
/// throng::time::sleep(Duration::from_millis(5));
/// assert!(begun.elapsed() >= Duration::from_millis(5));
/// ```
#[doc(alias = "interval")]
pub fn sleep(duration: Duration) {
    sleep_to(park::deadline_in(duration));
}

/// Waits until `deadline` at least; see [`sleep`].
pub fn sleep_until(deadline: Instant) {
    sleep_to(Some(deadline));
}

fn sleep_to(deadline: Option<Instant>) {
    if deadline.is_some_and(|deadline| deadline <= park::now()) {
        return park::yield_now();
    }
    match park::park(&park::Frame::default(), Reason::Sleep, deadline, |_| ()) {
        Outcome::Cancelled => interrupt::unwind(),
        outcome => debug_assert_eq!(outcome, Outcome::TimedOut),
    }
}

/// The error of a [`timeout`]: the time had passed before the code was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f`, and no wait in it for longer than `duration` from now on.
///
/// When the time has passed, `f` unwinds from the wait it is in, or from its next one, with its destructors; see
/// [`cancel`](crate::cancel) for what is interrupted and what isn't. If `f` needs no more waits it goes on to its end,
/// and its result is returned, however late: a computation is not cut short.
///
/// Time limits nest: each returns its own error, and one that is further out unwinds through those inside of it. What was
/// finished in time leaves nothing behind. It costs some tens of nanoseconds, and each wait in it as much
/// as one with a deadline of its own.
///
/// Works in a task and on a plain thread alike; on a thread, [`park`](crate::task::park) and
/// [`park_timeout`](crate::task::park_timeout) are `std`'s, and are not ended.
///
/// # Errors
/// [`Elapsed`], if `f` was unwound because the time had passed.
///
/// # Panics
/// With what `f` panics with.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throng::chan::unbounded;
/// use throng::time::timeout;
///
/// let (sender, receiver) = unbounded();
/// let second = || (receiver.recv(), receiver.recv()).1;
///
/// sender.send(1).unwrap();
/// assert!(timeout(Duration::from_millis(5), second).is_err());
///
/// sender.send(2).unwrap();
/// sender.send(3).unwrap();
/// assert_eq!(timeout(Duration::from_millis(5), second), Ok(Ok(3)));
/// ```
#[doc(alias = "WithTimeout")]
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    limited(park::deadline_in(duration), f)
}

/// Runs `f`, and no wait in it beyond `deadline`; see [`timeout`].
///
/// # Errors
/// [`Elapsed`], if `f` was unwound because the deadline had passed.
///
/// # Examples
/// ```
/// use std::time::{Duration, Instant};
/// use throng::time::timeout_at;
///
/// let deadline = Instant::now() + Duration::from_millis(5);
/// assert_eq!(timeout_at(deadline, || 6 * 7), Ok(42));
/// assert!(timeout_at(deadline, || throng::task::sleep(Duration::MAX)).is_err());
/// ```
#[doc(alias = "WithDeadline")]
pub fn timeout_at<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    limited(Some(deadline), f)
}

fn limited<T>(deadline: Option<Instant>, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    interrupt::within(deadline, |_| f()).map_err(|_| Elapsed(()))
}
