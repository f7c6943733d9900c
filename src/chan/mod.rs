//! Channels.

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
