//! Choosing among operations at run time, and completing the one that was chosen.

use super::error::{ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError};
use super::receiver::Receiver;
use super::selector::{self, Arm, Chosen};
use super::sender::Sender;
use super::shared::Patience;
use std::fmt;
use std::time::{Duration, Instant};

/// A list of channel operations, of which one is to be carried out, whichever can be first.
///
/// For a fixed list [`select!`](crate::select!) is handier. There are two ways to use it:
///
/// * `try_select`, `select`, `select_timeout`, `select_deadline` choose an operation, which is then *completed*: see
///   [`SelectedOperation`].
/// * `try_ready`, `ready`, `ready_timeout`, `ready_deadline` only tell which operation is ready; it may not be so any more
///   when it is tried.
///
/// An operation is ready if it need not wait, even if that is because the channel is disconnected. If several are, a
/// random one is taken; or the first, if the list is [biased](Select::new_biased). The list can be used again.
///
/// ```
/// use throng::chan::{Receiver, Select, unbounded};
///
/// /// The first message from any of the channels.
/// fn recv_any<T>(receivers: &[Receiver<T>]) -> (usize, T) {
///     let mut select = Select::new();
///     for r in receivers {
///         select.recv(r);
///     }
///     let oper = select.select();
///     let index = oper.index();
///     (index, oper.recv(&receivers[index]).unwrap())
/// }
///
/// let (_s, quiet) = unbounded();
/// let (s, r) = unbounded();
/// s.send("here").unwrap();
/// assert_eq!(recv_any(&[quiet, r]), (1, "here"));
/// ```
#[derive(Clone)]
pub struct Select<'a> {
    arms: Vec<Arm<'a>>,
    next_index: usize,
    biased: bool,
}

// SAFETY: the pointers in an arm are to channels, which are behind locks, and (inside of a call only) to the nodes of the
// arms themselves; they have no places. A select moves messages about in memory, but only a handle, which is `Send` if
// `T` is, takes one out.
unsafe impl Send for Select<'_> {}
// SAFETY: as above; and what takes `&self` doesn't look at the channels.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// An empty list.
    pub fn new() -> Select<'a> {
        Select { arms: Vec::with_capacity(4), next_index: 0, biased: false }
    }

    /// An empty list, of which the first operation that is ready is always taken.
    ///
    /// ```
    /// use throng::chan::{Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// s.send(1).unwrap();
    /// let mut select = Select::new_biased();
    /// let first = select.recv(&r);
    /// select.send(&s);
    /// assert_eq!(select.ready(), first);
    /// ```
    pub fn new_biased() -> Select<'a> {
        Select { biased: true, ..Select::new() }
    }

    /// Adds a send, and returns its index. Indices count up from 0 and are never reused.
    pub fn send<T>(&mut self, s: &'a Sender<T>) -> usize {
        self.add(|index| Arm::send(s, &mut (), index))
    }

    /// Adds a receive, and returns its index. Indices count up from 0 and are never reused.
    pub fn recv<T>(&mut self, r: &'a Receiver<T>) -> usize {
        self.add(|index| Arm::recv_later(r, index))
    }

    fn add(&mut self, arm: impl FnOnce(usize) -> Arm<'a>) -> usize {
        let index = self.next_index;
        self.arms.push(arm(index));
        self.next_index += 1;
        index
    }

    /// Takes an operation out of the list: one, say, whose channel turned out to be disconnected.
    ///
    /// # Panics
    /// If there is no operation of this index, or none any more.
    ///
    /// ```
    /// use throng::chan::{Select, unbounded};
    ///
    /// let (s, r) = unbounded::<i32>();
    /// let mut select = Select::new();
    /// let index = select.recv(&r);
    /// drop(s);
    /// let oper = select.select();
    /// assert!(oper.recv(&r).is_err());
    /// select.remove(index);
    /// assert!(select.try_select().is_err());
    /// ```
    #[track_caller]
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.next_index, "no operation {index} was added to this `Select`");
        let at = self.arms.iter().position(|arm| arm.index() == index);
        let Some(at) = at else { panic!("operation {index} was removed from this `Select` before") };
        self.arms.swap_remove(at);
    }

    /// Chooses an operation that is ready now.
    ///
    /// # Errors
    /// If at some instant during the call none was ready.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        try_select(&mut self.arms, self.biased)
    }

    /// Waits until an operation is ready, and chooses it.
    ///
    /// # Panics
    /// If the list is empty.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        select(&mut self.arms, self.biased)
    }

    /// Waits until an operation is ready, but no longer than `timeout`, and chooses it.
    ///
    /// # Errors
    /// If none became ready in time.
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        select_timeout(&mut self.arms, timeout, self.biased)
    }

    /// Waits until an operation is ready, but no longer than until `deadline`, and chooses it.
    ///
    /// # Errors
    /// If none became ready in time.
    pub fn select_deadline(&mut self, deadline: Instant) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        within(&mut self.arms, Patience::Until(deadline), self.biased)
    }

    /// Finds an operation that is ready now.
    ///
    /// # Errors
    /// If at some instant during the call none was ready.
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        selector::watch(&mut self.arms, Patience::Now, self.biased).ok_or(TryReadyError)
    }

    /// Waits until an operation is ready. When it is tried, somebody else may have been faster: then begin again.
    ///
    /// # Panics
    /// If the list is empty.
    ///
    /// ```
    /// use throng::chan::{Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// throng::spawn(move || s.send(3).unwrap());
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// let msg = loop {
    ///     select.ready();
    ///     match r.try_recv() {
    ///         Err(e) if e.is_empty() => continue,
    ///         result => break result,
    ///     }
    /// };
    /// assert_eq!(msg, Ok(3));
    /// ```
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        assert_not_empty(&self.arms);
        selector::watch(&mut self.arms, Patience::Forever, self.biased).expect("waits for ever")
    }

    /// Waits until an operation is ready, but no longer than `timeout`.
    ///
    /// # Errors
    /// If none became ready in time.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        selector::watch(&mut self.arms, Patience::For(timeout), self.biased).ok_or(ReadyTimeoutError)
    }

    /// Waits until an operation is ready, but no longer than until `deadline`.
    ///
    /// # Errors
    /// If none became ready in time.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        selector::watch(&mut self.arms, Patience::Until(deadline), self.biased).ok_or(ReadyTimeoutError)
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}

#[track_caller]
fn assert_not_empty(arms: &[Arm<'_>]) {
    assert!(!arms.is_empty(), "a `Select` without operations would wait for ever");
}

// What `select!` calls, and the methods above.

#[doc(hidden)]
#[inline]
pub fn try_select<'a>(arms: &mut [Arm<'a>], biased: bool) -> Result<SelectedOperation<'a>, TrySelectError> {
    selector::choose(arms, Patience::Now, biased).map(SelectedOperation::new).ok_or(TrySelectError)
}

#[doc(hidden)]
#[inline]
#[track_caller]
pub fn select<'a>(arms: &mut [Arm<'a>], biased: bool) -> SelectedOperation<'a> {
    assert_not_empty(arms);
    SelectedOperation::new(selector::choose(arms, Patience::Forever, biased).expect("waits for ever"))
}

#[doc(hidden)]
#[inline]
pub fn select_timeout<'a>(
    arms: &mut [Arm<'a>],
    timeout: Duration,
    biased: bool,
) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
    within(arms, Patience::For(timeout), biased)
}

fn within<'a>(
    arms: &mut [Arm<'a>],
    patience: Patience,
    biased: bool,
) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
    selector::choose(arms, patience, biased).map(SelectedOperation::new).ok_or(SelectTimeoutError)
}

/// An operation that was chosen: what it needs is reserved, and it will succeed when it is completed.
///
/// It is completed with [`send`](SelectedOperation::send) or [`recv`](SelectedOperation::recv), and the handle that it
/// was added with. A peer may wait for that.
///
/// # Panics
/// If it is dropped without being completed, except by a panic that is under way. What was reserved is given back
/// first. (There crossbeam-channel leaves its peer waiting.)
#[must_use = "a selected operation must be completed"]
pub struct SelectedOperation<'a> {
    /// Until it is completed.
    chosen: Option<Chosen<'a>>,
    index: usize,
}

impl<'a> SelectedOperation<'a> {
    #[inline]
    fn new(chosen: Chosen<'a>) -> SelectedOperation<'a> {
        SelectedOperation { index: chosen.index, chosen: Some(chosen) }
    }

    /// The index of the operation in its list.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    #[inline]
    #[track_caller]
    fn complete<T>(&mut self, handle: *const T) -> Chosen<'a> {
        let chosen = self.chosen.take_if(|chosen| std::ptr::eq(chosen.handle, handle.cast()));
        chosen.expect("a selected operation is completed with the handle that it was added with")
    }

    /// Completes a send.
    ///
    /// # Errors
    /// The message, if every receiver is gone.
    ///
    /// # Panics
    /// If `s` isn't the very sender that the operation was added with.
    ///
    /// ```
    /// use throng::chan::{Select, SendError, bounded};
    ///
    /// let (s, r) = bounded(1);
    /// let mut select = Select::new();
    /// select.send(&s);
    /// assert_eq!(select.select().send(&s, 10), Ok(()));
    /// drop(r);
    /// assert_eq!(select.select().send(&s, 11), Err(SendError(11)));
    /// ```
    #[inline]
    #[track_caller]
    pub fn send<T>(mut self, s: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        let chosen = self.complete(s);
        s.shared().complete_send(chosen.token, msg)
    }

    /// Completes a receive.
    ///
    /// # Errors
    /// If the channel is empty and every sender is gone.
    ///
    /// # Panics
    /// If `r` isn't the very receiver that the operation was added with.
    ///
    /// ```
    /// use throng::chan::{RecvError, Select, unbounded};
    ///
    /// let (s, r) = unbounded();
    /// s.send(10).unwrap();
    /// let mut select = Select::new();
    /// select.recv(&r);
    /// assert_eq!(select.select().recv(&r), Ok(10));
    /// drop(s);
    /// assert_eq!(select.select().recv(&r), Err(RecvError));
    /// ```
    #[inline]
    #[track_caller]
    pub fn recv<T>(mut self, r: &Receiver<T>) -> Result<T, RecvError> {
        let chosen = self.complete(r);
        // SAFETY: they were chosen together, by an arm that was made of this receiver.
        unsafe { r.shared().complete_receive(chosen.token, chosen.place.cast()).ok_or(RecvError) }
    }
}

impl Drop for SelectedOperation<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.chosen.is_some() {
            self.give_back();
        }
    }
}

impl SelectedOperation<'_> {
    #[cold]
    fn give_back(&mut self) {
        if let Some(Chosen { lock, side, token, place, .. }) = self.chosen.take() {
            // SAFETY: they were chosen together.
            let wakes = unsafe { lock.lock().abandon(side, token, place) };
            wakes.fire();
            assert!(std::thread::panicking(), "a `SelectedOperation` was dropped before it was completed");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
