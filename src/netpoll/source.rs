//! One socket, as the netpoller sees it.

use super::Netpoll;
use super::readiness::{Readiness, Seen};
use crate::chaos;
use crate::control::Outcome;
use crate::park::Reason;
use crate::primitive::{AtomicU8, Mutex, Ordering};
use crate::wait::Wakeup;
use mio::event::Event;
use mio::{Interest, Token};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

/// Which half of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

const READ: u8 = 1;
const WRITE: u8 = 2;

impl Direction {
    fn bit(self) -> u8 {
        match self {
            Direction::Read => READ,
            Direction::Write => WRITE,
        }
    }

    pub(crate) fn reason(self) -> Reason {
        match self {
            Direction::Read => Reason::Read,
            Direction::Write => Reason::Write,
        }
    }
}

fn interest(bits: u8) -> Interest {
    // PRIORITY tells of urgent data, which makes short reads mean nothing; see `readiness.rs`.
    match bits {
        READ => Interest::READABLE | Interest::PRIORITY,
        WRITE => Interest::WRITABLE,
        _ => Interest::READABLE | Interest::PRIORITY | Interest::WRITABLE,
    }
}

/// A descriptor's place with the netpoller; whoever owns the descriptor drops this first.
pub(crate) struct Source(Arc<Shared>);

/// What the netpoll's table shares with the socket.
pub(super) struct Shared {
    read: Readiness,
    write: Readiness,
    /// The directions that a live netpoll watches. Set under the lock of `registration`, cleared by anyone.
    watched: AtomicU8,
    registration: Mutex<Option<Registration>>,
}

struct Registration {
    netpoll: Arc<Netpoll>,
    token: Token,
    fd: RawFd,
}

impl Source {
    pub(crate) fn new() -> Source {
        Source(Arc::new(Shared {
            read: Readiness::new(),
            write: Readiness::new(),
            watched: AtomicU8::new(0),
            registration: Mutex::new(None),
        }))
    }

    /// To be called before a call that may block.
    #[inline]
    pub(crate) fn look(&self, direction: Direction) -> Seen {
        let seen = self.0.readiness(direction).look();
        chaos::point();
        seen
    }

    /// Whether the call would block, as far as is known.
    #[inline]
    pub(crate) fn is_drained(&self, direction: Direction, seen: Seen) -> bool {
        self.0.readiness(direction).is_drained(seen)
    }

    /// Notes that the call after `seen` was cut short by there being nothing left.
    #[inline]
    pub(crate) fn set_drained(&self, direction: Direction, seen: Seen) {
        self.0.readiness(direction).set_drained(seen);
    }

    /// Waits until the direction has had an event since `seen`. `fd` is the socket's own, always the same.
    ///
    /// `netpoll` names the netpoll of the caller, in case the socket has none yet. An error is that of registering.
    pub(crate) fn wait(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        seen: Seen,
        deadline: Option<Instant>,
        netpoll: impl FnOnce() -> io::Result<Arc<Netpoll>>,
    ) -> io::Result<Outcome> {
        chaos::point();
        // Acquire: pairs with the Release of `forget`. If it is cleared later, a tick comes with it.
        if self.0.watched.load(Ordering::Acquire) & direction.bit() == 0 {
            let netpoll = netpoll()?;
            self.register(fd.as_raw_fd(), direction, netpoll)?;
        }
        Ok(self.0.readiness(direction).wait(direction.reason(), deadline, seen))
    }

    #[cold]
    fn register(&self, fd: RawFd, direction: Direction, netpoll: Arc<Netpoll>) -> io::Result<()> {
        let shared = &*self.0;
        let bit = direction.bit();
        let mut registration = shared.registration.lock();
        // Only onto a mark that is there: `close` may clear it at any time, and then this netpoll is of no use.
        // Relaxed: under the lock; and `close` orders itself by the table's.
        let known = shared
            .watched
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |watched| (watched != 0).then_some(watched | bit));
        let result = match (&*registration, known) {
            (Some(_), Ok(known)) if known & bit != 0 => return Ok(()),
            (Some(Registration { netpoll, token, fd }), Ok(known)) => {
                netpoll.reregister(*fd, interest(known | bit), *token)
            }
            _ => {
                if let Some(Registration { netpoll, token, fd }) = registration.take() {
                    netpoll.deregister(fd, token);
                }
                // Before it enters the table, where `close` finds it and clears the mark again.
                shared.watched.store(bit, Ordering::Relaxed);
                chaos::point();
                netpoll.register(fd, interest(bit), self.0.clone()).map(|token| {
                    *registration = Some(Registration { netpoll, token, fd });
                })
            }
        };
        if result.is_err() {
            // Those who trusted the mark meanwhile and parked must try for themselves. Release: as in `forget`.
            shared.watched.fetch_and(!bit, Ordering::Release);
            drop(registration);
            let mut woken = Vec::new();
            shared.readiness(direction).event(false, &mut woken);
            woken.into_iter().for_each(Wakeup::fire);
        }
        result
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // Nobody waits: who waits borrows the socket. So nobody else wants this lock either.
        if let Some(Registration { netpoll, token, fd }) = self.0.registration.lock().take() {
            netpoll.deregister(fd, token);
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.0.watched.load(Ordering::Relaxed);
        f.debug_struct("Source")
            .field("watched_read", &(watched & READ != 0))
            .field("watched_write", &(watched & WRITE != 0))
            .finish()
    }
}

impl Shared {
    #[inline]
    fn readiness(&self, direction: Direction) -> &Readiness {
        match direction {
            Direction::Read => &self.read,
            Direction::Write => &self.write,
        }
    }

    /// What the kernel told.
    pub(super) fn event(&self, event: &Event, woken: &mut Vec<Wakeup>) {
        let failed = event.is_error();
        let read_ends = failed || event.is_read_closed() || event.is_priority();
        let write_ends = failed || event.is_write_closed();
        if read_ends || event.is_readable() {
            self.read.event(read_ends, woken);
        }
        if write_ends || event.is_writable() {
            self.write.event(write_ends, woken);
        }
    }

    /// Whether anybody waits for either direction.
    pub(super) fn has_waiter(&self) -> bool {
        self.read.has_waiter() || self.write.has_waiter()
    }

    /// The netpoll is closed: whoever waits starts over.
    pub(super) fn forget(&self, woken: &mut Vec<Wakeup>) {
        // Release: pairs with the Acquire of `wait`; the tick comes after.
        self.watched.store(0, Ordering::Release);
        chaos::point();
        self.read.event(false, woken);
        self.write.event(false, woken);
    }
}
