//! The sending side.

use super::error::{SendError, SendTimeoutError, TrySendError};
use super::shared::{Kind, Patience, Shared, Unsent};
use super::state::Side;
use crate::current;
use crate::interrupt;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// The sending side of a channel; clones send into the same one.
///
/// When the last is dropped, the channel is disconnected: receivers take what is left, and then get an error.
///
/// ```
/// let (s, r) = throng::chan::unbounded();
/// let other = s.clone();
/// throng::spawn(move || other.send(1).unwrap());
/// throng::spawn(move || s.send(2).unwrap());
/// assert_eq!(r.iter().sum::<i32>(), 3);
/// ```
pub struct Sender<T> {
    shared: NonNull<Shared<T>>,
}

// SAFETY: the channel is behind a lock and atomic counts, and hands each message to one receiver.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}
// A panic can't leave the channel half changed: no code of the user's runs inside.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> Sender<T> {
    /// # Safety
    /// The caller gives away one of the channel's counted senders.
    pub(super) unsafe fn from_raw(shared: NonNull<Shared<T>>) -> Sender<T> {
        Sender { shared }
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared<T> {
        // SAFETY: this handle is counted.
        unsafe { self.shared.as_ref() }
    }

    /// Sends a message. Waits while the channel is full; without a buffer, until somebody receives.
    ///
    /// # Errors
    /// The message, if every receiver is gone, or goes before the message was sent.
    ///
    /// ```
    /// use throng::chan::{SendError, bounded};
    ///
    /// let (s, r) = bounded(1);
    /// assert_eq!(s.send(1), Ok(()));
    /// throng::spawn(move || assert_eq!(r.recv(), Ok(1))).join().unwrap();
    /// assert_eq!(s.send(2), Err(SendError(2)));
    /// ```
    #[inline]
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        self.send_with(msg, Patience::Forever, |_, msg| SendError(msg))
    }

    /// Sends a message if that needs no wait. Without a buffer, if somebody is waiting for one.
    ///
    /// # Errors
    /// The message, if the channel is full or every receiver is gone.
    ///
    /// ```
    /// use throng::chan::{TrySendError, bounded};
    ///
    /// let (s, r) = bounded(1);
    /// assert_eq!(s.try_send(1), Ok(()));
    /// assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    /// drop(r);
    /// assert_eq!(s.try_send(3), Err(TrySendError::Disconnected(3)));
    /// ```
    #[inline]
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        self.send_with(
            msg,
            Patience::Now,
            |late, msg| {
                if late { TrySendError::Full(msg) } else { TrySendError::Disconnected(msg) }
            },
        )
    }

    /// Sends a message, waiting no longer than `timeout`. If there is room it is sent, however short the timeout.
    ///
    /// # Errors
    /// The message, if the time ran out or every receiver is gone.
    ///
    /// ```
    /// use std::time::Duration;
    /// use throng::chan::{SendTimeoutError, bounded};
    ///
    /// let (s, _r) = bounded(0);
    /// assert_eq!(s.send_timeout(1, Duration::from_millis(1)), Err(SendTimeoutError::Timeout(1)));
    /// ```
    pub fn send_timeout(&self, msg: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_with(msg, Patience::For(timeout), timed)
    }

    /// Sends a message, waiting no longer than until `deadline`. If there is room it is sent, whatever the deadline.
    ///
    /// # Errors
    /// The message, if the time ran out or every receiver is gone.
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// let (s, _r) = throng::chan::bounded(1);
    /// assert!(s.send_deadline(1, Instant::now()).is_ok());
    /// assert!(s.send_deadline(2, Instant::now()).unwrap_err().is_timeout());
    /// ```
    pub fn send_deadline(&self, msg: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_with(msg, Patience::Until(deadline), timed)
    }

    /// `error` makes the error of whether the send was late (or else disconnected), and the message.
    #[inline]
    fn send_with<E>(&self, msg: T, patience: Patience, error: impl FnOnce(bool, T) -> E) -> Result<(), E> {
        current::step();
        let shared = self.shared();
        let mut state = shared.lock();
        if state.sends_quietly() {
            state.push(msg);
            return Ok(());
        }
        let mut place = MaybeUninit::new(msg);
        // SAFETY: the place is in this frame, and still holds the message if this fails.
        unsafe {
            let Err(unsent) = shared.send(state, place.as_mut_ptr(), patience) else { return Ok(()) };
            let msg = place.assume_init();
            match unsent {
                Unsent::Late => Err(error(true, msg)),
                Unsent::Disconnected => Err(error(false, msg)),
                Unsent::Cancelled => interrupt::unwind(),
            }
        }
    }

    /// Whether no message is in the channel. Always so without a buffer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a message would have to wait for room. Always so without a buffer.
    pub fn is_full(&self) -> bool {
        current::step();
        !self.shared().lock().has_room()
    }

    /// How many messages are in the channel. Always 0 without a buffer.
    pub fn len(&self) -> usize {
        current::step();
        self.shared().lock().len()
    }

    /// How many messages the channel can hold; `None` if it is unbounded.
    pub fn capacity(&self) -> Option<usize> {
        self.shared().kind.capacity()
    }

    /// Whether both senders send into the same channel.
    ///
    /// ```
    /// let (s, _r) = throng::chan::unbounded::<i32>();
    /// let (other, _r) = throng::chan::unbounded::<i32>();
    /// assert!(s.same_channel(&s.clone()));
    /// assert!(!s.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.shared == other.shared
    }
}

fn timed<T>(late: bool, msg: T) -> SendTimeoutError<T> {
    if late { SendTimeoutError::Timeout(msg) } else { SendTimeoutError::Disconnected(msg) }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared().acquire(Side::Send);
        Sender { shared: self.shared }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: this handle is counted, and ends here.
        unsafe { Shared::release(self.shared, Side::Send) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

/// Creates a channel without a bound: a send never waits.
///
/// ```
/// let (s, r) = throng::chan::unbounded();
/// throng::spawn(move || s.send("hello").unwrap());
/// assert_eq!(r.recv(), Ok("hello"));
/// ```
pub fn unbounded<T>() -> (Sender<T>, super::Receiver<T>) {
    pair(Kind::Unbounded)
}

/// Creates a channel that holds at most `cap` messages.
///
/// With a capacity of 0 it holds none: a send and a receive must meet.
///
/// The memory is allocated as messages need it, so a large bound costs nothing by itself.
///
/// ```
/// let (s, r) = throng::chan::bounded(0);
/// throng::spawn(move || s.send("hello").unwrap()); // waits for the next line
/// assert_eq!(r.recv(), Ok("hello"));
/// ```
#[doc(alias = "make(chan)")]
pub fn bounded<T>(cap: usize) -> (Sender<T>, super::Receiver<T>) {
    pair(Kind::Bounded(cap))
}

fn pair<T>(kind: Kind) -> (Sender<T>, super::Receiver<T>) {
    let shared = Shared::new(kind, None);
    // SAFETY: a new channel counts one handle of each side.
    unsafe { (Sender::from_raw(shared), super::Receiver::from_raw(shared)) }
}
