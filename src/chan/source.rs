//! Channels whose messages are instants: `after`, `at`, `tick`; `never`, which has none; and `until`, which just ends.
//!
//! They have no sender, and no timer runs for them. Such a channel keeps the instant of its next message, or of its end;
//! a receiver that finds it in the future waits until then, or until its own deadline, and looks again.

use super::receiver::Receiver;
use super::shared::Kind;
use crate::park;
use std::time::{Duration, Instant};

/// What makes the messages of a channel that has no sender.
pub(super) struct Source<T> {
    /// When the next message is due.
    pub(super) next: Option<Instant>,
    pub(super) period: Option<Duration>,
    /// There is no message: when the next one would be due, the channel disconnects.
    pub(super) ends: bool,
    /// An instant as a message; `T` is `Instant`, which the channel's code doesn't know.
    pub(super) message: fn(Instant) -> T,
}

impl<T> Source<T> {
    /// The message that is due, if one is. A tick that nobody took is late, not lost: the next is a period from now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next.filter(|next| *next <= now)?;
        self.next = self.period.and_then(|period| now.checked_add(period));
        Some(due)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }
}

fn timed(next: Option<Instant>, period: Option<Duration>) -> Receiver<Instant> {
    match next {
        Some(_) => Receiver::alone(Kind::Timed, Some(Source { next, period, ends: false, message: |instant| instant })),
        None => never(),
    }
}

/// A channel that delivers one message, `duration` from now: the instant at which it was due.
///
/// Its capacity is 1, and it never disconnects. It costs no timer and no task until somebody waits for it.
///
/// ```
/// use std::time::Duration;
/// use throng::chan::{after, unbounded};
///
/// let (_s, r) = unbounded::<i32>();
/// throng::select! {
///     recv(r) -> _ => unreachable!("nobody sends"),
///     recv(after(Duration::from_millis(5))) -> due => assert!(due.is_ok()),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    timed(park::deadline_in(duration), None)
}

/// A channel that delivers one message at the instant `when`: that instant.
///
/// Its capacity is 1, and it never disconnects. If `when` has passed, the message is there at once.
///
/// ```
/// use std::time::Instant;
/// use throng::chan::at;
///
/// let now = Instant::now();
/// let r = at(now);
/// assert_eq!(r.recv(), Ok(now));
/// assert!(r.try_recv().is_err());
/// ```
pub fn at(when: Instant) -> Receiver<Instant> {
    timed(Some(when), None)
}

/// A channel that delivers a message every `period`: the instant at which it was due.
///
/// Its capacity is 1, and it never disconnects. A tick that isn't taken in time is kept, and the next one comes a
/// period after it was taken, so ticks never pile up.
///
/// ```
/// use std::time::{Duration, Instant};
/// use throng::chan::tick;
///
/// let start = Instant::now();
/// let ticks = tick(Duration::from_millis(2));
/// for _ in 0..3 {
///     ticks.recv().unwrap();
/// }
/// assert!(start.elapsed() >= Duration::from_millis(6));
/// ```
#[doc(alias = "ticker")]
pub fn tick(period: Duration) -> Receiver<Instant> {
    timed(park::deadline_in(period), Some(period))
}

/// A channel that never delivers a message and never disconnects: an arm of `select!` that is switched off.
///
/// Its capacity is 0. Unlike crossbeam-channel's this is no `const fn`.
///
/// ```
/// use std::time::Duration;
/// use throng::chan::{after, never, unbounded};
///
/// let (s, r) = unbounded();
/// s.send(7).unwrap();
///
/// let limit: Option<Duration> = None;
/// throng::select! {
///     recv(r) -> msg => assert_eq!(msg, Ok(7)),
///     recv(limit.map(after).unwrap_or_else(never)) -> _ => println!("timed out"),
/// }
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver::alone(Kind::Never, None)
}

/// A channel without messages that disconnects at an instant, if one is given, and by [`Receiver::end`].
pub(crate) fn until(end: Option<Instant>) -> Receiver<()> {
    Receiver::alone(Kind::Never, Some(Source { next: end, period: None, ends: true, message: |_| () }))
}
