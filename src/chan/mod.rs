//! Channels and `select!`.
//!
//! Shaped like `crossbeam-channel`: the same names, types, errors, macro grammar and disconnection, so a program moves
//! over by changing its `use` lines. What differs: whoever waits here waits as what it is, a task (which leaves its worker
//! to others) or a plain kernel thread, and both may be at both ends of one channel; a task that is cancelled while it waits
//! unwinds, and what it was to send or receive is not lost to the others.
//!
//! ```
//! let (sender, receiver) = throng::chan::bounded(1);
//! throng::spawn(move || sender.send("hello").unwrap());
//! assert_eq!(receiver.recv(), Ok("hello"));
//! assert!(receiver.recv().is_err()); // the sender is gone
//! ```
//!
//! # How it works
//! Every channel, bounded, unbounded, without capacity or timed, is one structure under one lock: a queue of messages, and
//! a line of those who wait on each side. An operation takes the lock once. What it finds decides:
//!
//! ```text
//!   send:     disconnected ▶ error │ a receiver waits ▶ move the message to its place, claim it
//!                                  │ room            ▶ into the queue
//!                                  │ neither         ▶ stand in the senders' line, the message in one's own frame
//!   receive:  a message ▶ take it, and let the oldest sender that waits put its own into the room
//!             no capacity, and a sender waits ▶ move the message out of its place, claim it
//!             disconnected ▶ error │ neither ▶ stand in the receivers' line
//! ```
//!
//! The claimed one is woken after the lock is free, and finds its operation done: it takes no lock again. A timed channel
//! (`after`, `at`, `tick`) has no sender and no timer of its own: its receiver waits until the next message is due, and
//! makes it.
//!
//! # The races, and why they can't happen
//! * **A message handed to one who has gone.** What is moved before the claim is a copy of its bits; it becomes the message
//!   if the claim succeeds, and else stays where it was. Both under the lock, which a waiter that leaves by itself takes
//!   before it looks at its place.
//! * **A disconnection missed.** The last handle of a side marks the channel and claims the other side's line under the
//!   lock, under which a waiter has looked at the mark before it stood in the line. (`models.rs` runs both through every
//!   interleaving.)
//! * **User code under the lock.** Messages are moved there, never dropped, cloned or compared; wakers run after it.
//!
//! `selector.rs` is the paper of `select!`, `promise.rs` that of its one hard case.
//!
//! # Tried and rejected
//! A lock-free ring for the bounded channel, as crossbeam has it: two tasks that talk share a worker and run in turn, so the
//! lock is free almost always, and one structure serves all flavours. Under it a message costs two uncontended atomic
//! operations.

mod error;
#[allow(unsafe_code)]
mod fifo;
mod iter;
mod macros;
#[cfg(all(test, loom))]
mod models;
mod promise;
#[allow(unsafe_code)]
mod receiver;
#[allow(unsafe_code)]
mod select;
#[allow(unsafe_code)]
mod selector;
#[allow(unsafe_code)]
mod sender;
#[allow(unsafe_code)]
mod shared;
mod source;
#[allow(unsafe_code)]
mod state;

pub use self::error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError, TryReadyError,
    TryRecvError, TrySelectError, TrySendError,
};
pub use self::iter::{IntoIter, Iter, TryIter};
pub use self::receiver::Receiver;
pub use self::select::{Select, SelectedOperation};
pub use self::sender::{Sender, bounded, unbounded};
pub use self::source::{after, at, never, tick};
pub use crate::{select, select_biased};

/// What `select!` is made of; not for other use.
#[doc(hidden)]
pub mod __select {
    pub use super::select::{select, select_timeout, try_select};
    pub use super::selector::Arm;
    // By the words of the grammar.
    pub use super::{Receiver as recv, Sender as send};
}
