//! The receiving side.

use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::iter::{IntoIter, Iter, TryIter};
use super::shared::{Kind, Patience, Shared};
use super::source::Source;
use super::state::Side;
use crate::current;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// The receiving side of a channel; clones receive from the same one, and each message goes to one of them.
///
/// When the last is dropped, the channel is disconnected: what is left in it is dropped, and senders get an error.
///
/// ```
/// let (s, r) = throng::chan::bounded(2);
/// throng::spawn(move || (0..5).for_each(|i| s.send(i).unwrap()));
/// let other = r.clone();
/// let theirs = throng::spawn(move || other.iter().sum::<i32>());
/// assert_eq!(r.iter().sum::<i32>() + theirs.join().unwrap(), 10);
/// ```
pub struct Receiver<T> {
    shared: NonNull<Shared<T>>,
}

// SAFETY: the channel is behind a lock and atomic counts, and hands each message to one receiver.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}
// A panic can't leave the channel half changed: no code of the user's runs inside.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Receiver<T> {
    /// # Safety
    /// The caller gives away one of the channel's counted receivers.
    pub(super) unsafe fn from_raw(shared: NonNull<Shared<T>>) -> Receiver<T> {
        Receiver { shared }
    }

    /// A channel without senders.
    pub(super) fn alone(kind: Kind, source: Option<Source<T>>) -> Receiver<T> {
        Receiver { shared: Shared::new(kind, source) }
    }

    /// Disconnects a channel without senders.
    pub(crate) fn end(&self) {
        let (wakes, _) = self.shared().lock().disconnect(Side::Send);
        wakes.fire();
    }

    #[inline]
    pub(super) fn shared(&self) -> &Shared<T> {
        // SAFETY: this handle is counted.
        unsafe { self.shared.as_ref() }
    }

    /// Receives a message. Waits while the channel is empty.
    ///
    /// # Errors
    /// If the channel is empty and every sender is gone.
    ///
    /// ```
    /// use throng::chan::{RecvError, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// throng::spawn(move || s.send(5).unwrap());
    /// assert_eq!(r.recv(), Ok(5));
    /// assert_eq!(r.recv(), Err(RecvError));
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive_with(Patience::Forever).map_err(|_| RecvError)
    }

    /// Receives a message if that needs no wait. Without a buffer, if somebody is waiting to send one.
    ///
    /// If the one that waits is a `select!`, this call waits until that has evaluated the message.
    ///
    /// # Errors
    /// If the channel is empty, and if besides every sender is gone.
    ///
    /// ```
    /// use throng::chan::{TryRecvError, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    /// s.send(5).unwrap();
    /// drop(s);
    /// assert_eq!(r.try_recv(), Ok(5));
    /// assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receive_with(Patience::Now).map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives a message, waiting no longer than `timeout`. If there is one it is received, however short the timeout.
    ///
    /// # Errors
    /// If the time ran out, or the channel is empty and every sender is gone.
    ///
    /// ```
    /// use std::time::Duration;
    /// use throng::chan::{RecvTimeoutError, unbounded};
    ///
    /// let (_s, r) = unbounded::<i32>();
    /// assert_eq!(r.recv_timeout(Duration::from_millis(1)), Err(RecvTimeoutError::Timeout));
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.receive_with(Patience::For(timeout))
    }

    /// Receives a message, waiting no longer than until `deadline`. If there is one it is received, whatever the
    /// deadline.
    ///
    /// # Errors
    /// If the time ran out, or the channel is empty and every sender is gone.
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// let (s, r) = throng::chan::unbounded();
    /// s.send(5).unwrap();
    /// assert_eq!(r.recv_deadline(Instant::now()), Ok(5));
    /// assert!(r.recv_deadline(Instant::now()).unwrap_err().is_timeout());
    /// ```
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.receive_with(Patience::Until(deadline))
    }

    #[inline]
    fn receive_with(&self, patience: Patience) -> Result<T, RecvTimeoutError> {
        current::step();
        let shared = self.shared();
        let mut state = shared.lock();
        if let Some(message) = state.pop_quietly() {
            return Ok(message);
        }
        let mut place = MaybeUninit::uninit();
        // SAFETY: the place is in this frame, and holds a message if this succeeds.
        unsafe {
            shared.receive(state, place.as_mut_ptr(), patience)?;
            Ok(place.assume_init())
        }
    }

    /// Whether no message can be received at once. Always so without a buffer, whoever waits to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel holds as many messages as it can. Always so without a buffer.
    pub fn is_full(&self) -> bool {
        match self.shared().kind {
            Kind::Timed => !self.is_empty(),
            _ => {
                current::step();
                !self.shared().lock().has_room()
            }
        }
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

    /// An iterator that waits for each message, and ends when the channel is empty and every sender is gone.
    ///
    /// ```
    /// let (s, r) = throng::chan::unbounded();
    /// throng::spawn(move || (1..=3).for_each(|i| s.send(i).unwrap()));
    /// assert_eq!(r.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// An iterator over the messages that need no wait.
    ///
    /// ```
    /// let (s, r) = throng::chan::unbounded();
    /// s.send(1).unwrap();
    /// s.send(2).unwrap();
    /// assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Whether both receivers receive from the same channel. Channels made by [`never`](super::never) are all the same.
    ///
    /// ```
    /// let (_s, r) = throng::chan::unbounded::<i32>();
    /// let (_s, other) = throng::chan::unbounded::<i32>();
    /// assert!(r.same_channel(&r.clone()));
    /// assert!(!r.same_channel(&other));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        self.shared == other.shared || (self.shared().kind == Kind::Never && other.shared().kind == Kind::Never)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared().acquire(Side::Receive);
        Receiver { shared: self.shared }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // SAFETY: this handle is counted, and ends here.
        unsafe { Shared::release(self.shared, Side::Receive) }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}
