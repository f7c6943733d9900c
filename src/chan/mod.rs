//! Channels: queues of messages between tasks, threads and futures.
//!
//! Shaped like crossbeam-channel 0.5: the same names, types, errors, macro grammar and rules, so a program moves over by
//! changing its `use` lines (`crossbeam_channel` becomes `throng::chan`). What differs:
//!
//! * A task that waits leaves its worker to others. A plain thread waits as ever, and a future by
//!   [`recv_async`](Receiver::recv_async) and [`send_async`](Sender::send_async).
//! * Errors have other texts, as `Display` and in part as `Debug`: match on the values.
//! * [`select!`] is at the crate's root too, as `throng::select!`.
//! * [`bounded`] allocates as messages need it. [`never`](fn@never) is no `const fn`.
//! * A [`SelectedOperation`] that is dropped gives back what it had reserved before it panics, and doesn't panic during
//!   another panic. So if the message of a `send` arm panics, the peer goes on waiting for another one.
//! * Dropping or cancelling a waiter loses no message. Without a buffer the sender may have gone on by then: such a
//!   message is for whoever receives next, and doesn't count in `len`, which is always 0 there.
//!
//! # Which one
//! [`bounded`] with a capacity of 0 is a meeting: when `send` returns, the message has been received. With a greater
//! capacity it lets the sender run ahead, but not too far. [`unbounded`] never makes a sender wait, and grows. [`after`],
//! [`at`], [`tick`] and [`never`](fn@never) are for the arms of [`select!`].
//!
//! ```
//! use std::time::Duration;
//! use throng::chan::{bounded, select, tick};
//!
//! let (jobs, inbox) = bounded(8);
//! let (done, results) = bounded(8);
//! for _ in 0..2 {
//!     let (inbox, done) = (inbox.clone(), done.clone());
//!     throng::spawn(move || inbox.iter().try_for_each(|job: u64| done.send(job * job)));
//! }
//! drop(done);
//! throng::spawn(move || (1..=10).for_each(|job| jobs.send(job).unwrap()));
//!
//! let progress = tick(Duration::from_millis(100));
//! let mut sum = 0;
//! loop {
//!     select! {
//!         recv(results) -> result => match result {
//!             Ok(square) => sum += square,
//!             Err(_) => break,
//!         },
//!         recv(progress) -> _ => println!("{sum} so far"),
//!     }
//! }
//! assert_eq!(sum, 385);
//! ```
//!
//! # Disconnection
//! A channel has two sides, and is disconnected when all handles of one are gone. When the senders go, receivers still
//! get what is in the channel, and then errors. When the receivers go, what is in the channel is dropped, and senders get
//! errors. Either way everybody who waits is woken.

mod error;
#[allow(unsafe_code)]
mod fifo;
#[allow(unsafe_code)]
mod future;
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
#[allow(unsafe_code)]
mod sign;
mod source;
#[allow(unsafe_code)]
mod state;

pub use self::error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError, TryReadyError,
    TryRecvError, TrySelectError, TrySendError,
};
pub use self::future::{RecvFuture, SendFuture};
pub use self::iter::{IntoIter, Iter, TryIter};
pub use self::receiver::Receiver;
pub use self::select::{Select, SelectedOperation};
pub use self::sender::{Sender, bounded, unbounded};
pub(crate) use self::source::until;
pub use self::source::{after, at, never, tick};
pub use crate::{select, select_biased};

/// What `select!` is made of; not for other use.
#[doc(hidden)]
pub mod __select {
    pub use super::select::{select, select_timeout, try_select};
    pub use super::selector::{Arm, place};
    // By the words of the grammar.
    pub use super::{Receiver as recv, Sender as send};
}
