//! What tests of channels share, above all waiters that they can count on. A task that was started may not wait yet,
//! however long one sleeps; but a future that was polled is in line, and a channel without a buffer tells whether
//! somebody is.
#![allow(dead_code, reason = "each test file uses its part")]

use super::common::until;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use throng::chan::{Receiver, Select, Sender, bounded, unbounded};

pub(crate) fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

/// Polls a future that nobody will wake.
pub(crate) fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// The future, waiting in line.
pub(crate) fn in_line<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll(&mut future).is_pending());
    future
}

/// Whether somebody waits to send into a channel without a buffer.
pub(crate) fn meets_sender<T>(r: &Receiver<T>) -> bool {
    let mut select = Select::new();
    select.recv(r);
    select.try_ready().is_ok()
}

/// Whether somebody waits to receive from a channel without a buffer.
pub(crate) fn meets_receiver<T>(s: &Sender<T>) -> bool {
    let mut select = Select::new();
    select.send(s);
    select.try_ready().is_ok()
}

/// An arm that shows from outside whether its select waits: a select is in all of its lines or in none.
pub(crate) struct Bell {
    pub(crate) s: Sender<()>,
    pub(crate) r: Receiver<()>,
}

impl Bell {
    pub(crate) fn new() -> Bell {
        let (s, r) = bounded(0);
        Bell { s, r }
    }

    pub(crate) fn is_awaited(&self) -> bool {
        meets_receiver(&self.s)
    }

    pub(crate) fn until_awaited(&self) {
        until(|| self.is_awaited());
    }
}
