//! Sending and receiving as futures, for code on an async executor.
//!
//! A future waits as a task does, by a node in the channel's lines; the node is in the pinned future, and what is claimed is
//! a waker. Two things differ, because a future can be dropped at any time, and may never be polled again:
//!
//! * A receive shows no place for a message. It is *granted* one, which stays in the queue until the future is polled; so
//!   if the future is dropped instead, the message is simply available again, at its old place.
//! * A send shows its message, which is taken without another poll.

use super::error::{RecvError, SendError};
use super::promise::{Collected, Ticket};
use super::receiver::Receiver;
use super::sender::Sender;
use super::shared::Shared;
use super::state::{Found, Line, Note, Refused, Selectable, Slot, State, fire_all};
use crate::current;
use crate::join::JoinHandle;
use crate::lock::Guard;
use crate::wait::{FutureParker, Node, Waiter};
use std::fmt;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};

/// A future's wait in a line. It must not move while it is linked.
struct Wait {
    parker: FutureParker,
    node: Option<Node<Slot>>,
    line: Line,
    _pinned: PhantomPinned,
}

impl Wait {
    fn new() -> Wait {
        Wait { parker: FutureParker::new(), node: None, line: Line::Receivers, _pinned: PhantomPinned }
    }

    /// What the wait has come to, if it has begun; else nothing.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Note> {
        let Some(node) = &self.node else { return Poll::Ready(Note::Waiting) };
        let fresh = cx.waker().clone();
        // A waker is claimed under this lock, so the claim is seen here, or sees the fresh waker. And whoever claimed has
        // let go of the future by then.
        let mut waker = self.parker.waker.lock();
        let waits = self.parker.state.outcome().is_none();
        let stale = if waits { waker.replace(fresh) } else { Some(fresh) };
        drop(waker);
        // It may panic, and what the wait has come to isn't taken yet.
        drop(stale);
        if waits {
            return Poll::Pending;
        }
        // SAFETY: it was claimed, and thereby unlinked.
        let note = unsafe { node.payload() }.note;
        self.node = None;
        Poll::Ready(note)
    }

    /// Begins a wait, with the channel's lock held up to then. (So the waker, which is foreign code, is cloned before.)
    ///
    /// # Safety
    /// As for [`Slot::at`], until the wait is over or left; or `place` is null. Nor does the wait move until then.
    unsafe fn begin<T>(&mut self, mut state: Guard<'_, State<T>>, line: Line, place: *mut T, waker: Waker) {
        // Nobody can claim it before it is linked. The old wait's waker, which may not be dropped here, has gone with the
        // claim, or when it was left.
        *self.parker.waker.lock() = Some(waker);
        let epoch = self.parker.state.arm(true);
        self.line = line;
        let waiter = Waiter::future(&self.parker, epoch);
        // SAFETY: the caller's.
        let observers = unsafe { state.link(line, self.node.insert(Node::new(waiter, Slot::at(place)))) };
        drop(state);
        if let Some(observers) = observers {
            fire_all(observers);
        }
    }

    /// Ends a wait, however far it is, and tells what it has come to. The waker comes with it if nobody has claimed the wait: its
    /// drop is foreign code, may panic, and goes last.
    fn leave<T>(&mut self, shared: &Shared<T>) -> (Note, Option<Waker>) {
        let Some(node) = &self.node else { return (Note::Waiting, None) };
        current::step();
        let mut state = shared.lock();
        // SAFETY: it was pushed to this line, whose lock is held.
        let note = unsafe {
            state.unlink(self.line, node);
            node.payload().note
        };
        drop(state);
        self.node = None;
        let waker = self.parker.waker.lock().take();
        // It may still be armed.
        self.parker = FutureParker::new();
        (note, waker)
    }
}

/// A future that receives a message. See [`Receiver::recv_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct RecvFuture<'a, T> {
    receiver: &'a Receiver<T>,
    wait: Wait,
    /// What a peer has promised.
    ticket: Option<Ticket>,
    /// A task that sleeps until a timed channel's message is due.
    alarm: Option<JoinHandle<()>>,
}

// SAFETY: what other threads do with the node they do under the channel's lock; what comes out is a `T`.
unsafe impl<T: Send> Send for RecvFuture<'_, T> {}
// SAFETY: a shared future gives access to nothing.
unsafe impl<T: Send> Sync for RecvFuture<'_, T> {}

impl<T> Receiver<T> {
    /// Receives a message, as a future: for code on an async executor, or [`throng::future::block_on`].
    ///
    /// A future that is dropped takes no message with it.
    ///
    /// # Errors
    /// If the channel is empty and every sender is gone.
    ///
    /// ```
    /// use throng::future::block_on;
    ///
    /// let (s, r) = throng::chan::bounded(0);
    /// throng::spawn(move || s.send(5).unwrap());
    /// assert_eq!(block_on(r.recv_async()), Ok(5));
    /// assert!(block_on(r.recv_async()).is_err());
    /// ```
    ///
    /// [`throng::future::block_on`]: crate::future::block_on
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture { receiver: self, wait: Wait::new(), ticket: None, alarm: None }
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing is moved out of it; it is dropped by `Drop`, which leaves the wait first.
        let this = unsafe { self.get_unchecked_mut() };
        current::step();
        let shared = this.receiver.shared();
        // Cloned when it turns out to be needed, and then everything is looked at again.
        let mut waker = None;
        loop {
            match this.wait.poll(cx) {
                Poll::Pending => {
                    if this.is_due(cx) {
                        // The message is for whoever looks first; this one does, now.
                        this.let_go();
                        continue;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Note::Granted) => {
                    let (message, wakes) = shared.lock().receive_granted();
                    wakes.fire();
                    return Poll::Ready(Ok(message));
                }
                Poll::Ready(Note::Promised(ticket)) => this.ticket = Some(ticket),
                Poll::Ready(_) => {}
            }
            let mut state = shared.lock();
            if let Some(ticket) = this.ticket {
                let collected = state.promises.collect(ticket);
                if let Collected::Pending = collected {
                    let Some(waker) = waker.take() else {
                        drop(state);
                        waker = Some(cx.waker().clone());
                        continue;
                    };
                    // SAFETY: no place is shown; the future is pinned.
                    unsafe { this.wait.begin(state, Line::Settlers, ptr::null_mut(), waker) };
                    return Poll::Pending;
                }
                drop(state);
                this.ticket = None;
                match collected {
                    Collected::Message(message) => return Poll::Ready(Ok(message)),
                    _ => continue,
                }
            }
            let mut place = MaybeUninit::uninit();
            // SAFETY: the place is in this frame.
            match unsafe { state.receive(place.as_mut_ptr()) } {
                Found::Message(wakes) => {
                    drop(state);
                    wakes.fire();
                    // SAFETY: a message has been moved there.
                    return Poll::Ready(Ok(unsafe { place.assume_init() }));
                }
                Found::Promise(ticket, wakes) => {
                    this.ticket = Some(ticket);
                    drop(state);
                    wakes.fire();
                }
                Found::Disconnected => return Poll::Ready(Err(RecvError)),
                Found::Nothing => {
                    let Some(waker) = waker.take() else {
                        drop(state);
                        waker = Some(cx.waker().clone());
                        continue;
                    };
                    let due = state.due();
                    // SAFETY: no place is shown; the future is pinned.
                    unsafe { this.wait.begin(state, Line::Receivers, ptr::null_mut(), waker) };
                    this.alarm = due.map(|due| crate::runtime::spawn(move || crate::time::sleep_until(due)));
                    if !this.is_due(cx) {
                        return Poll::Pending;
                    }
                    this.let_go();
                }
            }
        }
    }
}

impl<T> RecvFuture<'_, T> {
    /// Whether the alarm has gone off.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(alarm) = &mut self.alarm else { return false };
        if Pin::new(alarm).poll(cx).is_pending() {
            return false;
        }
        self.alarm = None;
        true
    }

    /// Ends the wait and gives back what it has come to.
    fn let_go(&mut self) {
        let shared = self.receiver.shared();
        let (left, _waker) = self.wait.leave(shared);
        let ticket = if let Note::Promised(ticket) = left { Some(ticket) } else { self.ticket.take() };
        let wakes = match (left, ticket) {
            (Note::Granted, _) => shared.lock().forgo(),
            (_, Some(ticket)) => shared.lock().forsake(ticket),
            _ => return,
        };
        wakes.fire();
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        // It has a waker as well, and goes last.
        let alarm = self.alarm.take();
        if let Some(alarm) = &alarm {
            alarm.cancel();
        }
        self.let_go();
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvFuture { .. }")
    }
}

/// A future that sends a message. See [`Sender::send_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendFuture<'a, T> {
    sender: &'a Sender<T>,
    wait: Wait,
    message: MaybeUninit<T>,
    /// Whether the message is still there, but for what the wait has come to.
    unsent: bool,
}

// SAFETY: what other threads do with the node and the message they do under the channel's lock.
unsafe impl<T: Send> Send for SendFuture<'_, T> {}
// SAFETY: a shared future gives access to nothing.
unsafe impl<T: Send> Sync for SendFuture<'_, T> {}

impl<T> Sender<T> {
    /// Sends a message, as a future: for code on an async executor, or [`throng::future::block_on`].
    ///
    /// A future that is dropped before it is done drops its message, unless that has been received.
    ///
    /// # Errors
    /// The message, if every receiver is gone, or goes before the message was sent.
    ///
    /// ```
    /// use throng::future::block_on;
    ///
    /// let (s, r) = throng::chan::bounded(1);
    /// let received = throng::spawn(move || r.iter().collect::<Vec<_>>());
    /// block_on(async {
    ///     for i in 0..3 {
    ///         s.send_async(i).await.unwrap();
    ///     }
    /// });
    /// drop(s);
    /// assert_eq!(received.join().unwrap(), [0, 1, 2]);
    /// ```
    ///
    /// [`throng::future::block_on`]: crate::future::block_on
    pub fn send_async(&self, msg: T) -> SendFuture<'_, T> {
        SendFuture { sender: self, wait: Wait::new(), message: MaybeUninit::new(msg), unsent: true }
    }
}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the message is moved out only when nobody else knows where it is; the rest stays in place, and is
        // dropped by `Drop`, which leaves the wait first.
        let this = unsafe { self.get_unchecked_mut() };
        current::step();
        match this.wait.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Note::Moved) => {
                this.unsent = false;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(_) => assert!(this.unsent, "a `SendFuture` was polled after it was ready"),
        }
        // As in a receive.
        let mut waker = None;
        loop {
            let mut state = this.sender.shared().lock();
            let message = this.message.as_mut_ptr();
            // SAFETY: the message is there.
            match unsafe { state.send(message) } {
                Ok(wakes) => {
                    this.unsent = false;
                    drop(state);
                    wakes.fire();
                    return Poll::Ready(Ok(()));
                }
                Err(Refused::Disconnected) => {
                    this.unsent = false;
                    // SAFETY: the message is there, and nobody will look for it any more.
                    return Poll::Ready(Err(SendError(unsafe { message.read() })));
                }
                Err(Refused::Full) => {
                    let Some(waker) = waker.take() else {
                        drop(state);
                        waker = Some(cx.waker().clone());
                        continue;
                    };
                    // SAFETY: the message is there, and the future is pinned.
                    unsafe { this.wait.begin(state, Line::Senders, message, waker) };
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T> Drop for SendFuture<'_, T> {
    fn drop(&mut self) {
        let (left, _waker) = self.wait.leave(self.sender.shared());
        if self.unsent && left != Note::Moved {
            // SAFETY: nobody has moved it, and nobody will.
            unsafe { self.message.assume_init_drop() }
        }
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendFuture { .. }")
    }
}
