//! The netpoller: learns from the kernel which sockets became ready, and lists the waiters that this wakes.
//!
//! It owns no thread. Whoever has nothing better to do (the worker that would sleep, the monitor when the workers are
//! stuck) takes the one [`Driver`] and polls. Polling fills a list of [`Wakeup`]s and does nothing else: the caller
//! fires them where and when it likes, so a batch of woken tasks can go straight into a worker's own queue.
//!
//! # States
//!
//! A socket has two [`Readiness`](readiness::Readiness)es, one a direction. Each is a *tick*, which counts the events of that
//! direction, and a queue of waiters. A [`Source`] ties the two to a netpoll when the first of its operations would block, and
//! to each direction only when that direction is first waited for: a socket that is only read costs no event for being
//! writable. It stays registered, edge-triggered, until it is dropped.
//!
//! # Protocol
//!
//! ```text
//!   waiter                                        driver
//!   ------                                        ------
//!   seen = tick                                   epoll_wait tells of an edge
//!   try the system call: WouldBlock               tick += 1
//!   register the direction, if it isn't           take the lock; unlink and claim every waiter
//!   take the lock                                 give the lock back; hand the wake-ups out
//!   tick != seen? give it back and start over
//!   link, give it back, park, start over
//! ```
//!
//! # The races, and why they can't happen
//!
//! * **Ready between the call and the park.** The edge comes after the call that would have blocked, so its tick comes
//!   after `seen`. The driver counts *before* it takes the lock. So either the waiter sees the new tick under the lock
//!   and starts over, or it linked itself first, and the driver finds it.
//! * **Ready before it was registered.** `EPOLL_CTL_ADD` and `EPOLL_CTL_MOD` look at the present state and queue an
//!   event if it is ready already. A waiter registers before it parks, after its call.
//! * **An event for a socket that is gone.** A batch of events may hold one for a socket that was deregistered after
//!   `epoll_wait` returned. Its token carries a generation, and the table no longer knows it. The file descriptor
//!   itself, which the kernel may have given away again, stands in no token.
//! * **An event for a closed descriptor.** The kernel forgets a descriptor when its *file* is closed, and a `dup` keeps
//!   the file open. So a source takes itself out of the kernel's set before its descriptor is closed.
//! * **A wake-up lost before the sleep.** [`Netpoll::wake`] swaps NOTIFIED into the sleep word, and a poll that means
//!   to block moves it from AWAKE to ASLEEP. Both are read-modify-writes of one word: either `wake` sees ASLEEP and
//!   writes to the event descriptor, whose edge the kernel keeps until it is collected, or the poll sees NOTIFIED and
//!   does not block. A poll that was not to block leaves NOTIFIED alone: it is no substitute for the sleeper.
//! * **The netpoll goes away under its waiters.** [`Netpoll::close`] shuts the table, then makes every source in it
//!   forget its registration, then counts a tick in both directions and wakes everybody. They start over and register
//!   with the netpoll of whoever waits now. A source marks itself registered *before* it enters the table, so `close`'s
//!   mark comes after its own; and it adds a direction only to a mark that is still there.
//!
//! # Deadlines
//!
//! mio rounds a timeout up to a millisecond. So [`Wait::Until`] sets an [`Alarm`], a timer descriptor in the same set.
//! It is set only if nothing earlier is: a deadline that keeps moving away, as time-outs do, costs one system call each
//! time the alarm rings, not one each poll. And it is set only if nothing is ready: an alarm costs an interrupt and an
//! event besides the call, and a busy server's workers, of which each would only nap, find work in nearly every poll.
//!
//! # Tried and rejected
//!
//! * *A poller thread.* Each wake-up then costs a kernel thread switch.
//! * *The address of the socket's state as its token*, kept alive by a reference count that the poller holds. It saves
//!   the look-up in the table, about ten nanoseconds beside a system call, and pays with unsafe code and a list of the
//!   dead that waits for the next poll.
//! * *Both directions at once.* Each new connection then begins with an event that tells that it is writable, and a
//!   datagram socket gets one for every packet that it has sent.

#[allow(unsafe_code)]
mod alarm;
mod readiness;
mod source;
mod table;

pub(crate) use source::{Direction, Source};

use crate::chaos;
use crate::primitive::{AtomicU8, AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::wait::Wakeup;
use alarm::Alarm;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use source::Shared;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::Table;

/// Two tokens that no table hands out.
const WAKER: Token = Token(usize::MAX);
const ALARM: Token = Token(usize::MAX - 1);

/// Events taken from the kernel in one call. More wait there for the next one.
const BATCH: usize = 512;

// The sleep word.
const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const NOTIFIED: u8 = 2;

/// One set of watched sockets; one for each runtime.
pub(crate) struct Netpoll {
    registry: Registry,
    waker: Waker,
    /// Whether somebody blocks in `poll`, or must not.
    sleep: AtomicU8,
    table: Mutex<Table<Arc<Shared>>>,
    /// How many sources the table holds, to look at without its lock.
    sources: AtomicUsize,
    poller: Mutex<Poller>,
}

struct Poller {
    poll: Poll,
    events: Events,
    alarm: Alarm,
}

/// How long a poll may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    Now,
    /// Up to that instant, to within what the kernel takes to switch threads.
    Until(Instant),
    /// Until something happens.
    Forever,
}

impl Netpoll {
    /// Fails where there are no descriptors for it: it takes four.
    pub(crate) fn new() -> io::Result<Arc<Netpoll>> {
        Netpoll::open().map_err(explain)
    }

    fn open() -> io::Result<Arc<Netpoll>> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        let alarm = Alarm::new()?;
        registry.register(&mut SourceFd(&alarm.as_raw_fd()), ALARM, Interest::READABLE)?;
        Ok(Arc::new(Netpoll {
            registry,
            waker,
            sleep: AtomicU8::new(AWAKE),
            table: Mutex::new(Table::new()),
            sources: AtomicUsize::new(0),
            poller: Mutex::new(Poller { poll, events: Events::with_capacity(BATCH), alarm }),
        }))
    }

    /// The exclusive right to poll, if nobody has it. Never blocks.
    pub(crate) fn try_driver(&self) -> Option<Driver<'_>> {
        Some(Driver { netpoll: self, poller: self.poller.try_lock()? })
    }

    /// Makes the present blocking poll return, or the next one if there is none. From any kernel thread; costs a
    /// system call only if somebody blocks. What was written before is seen by whoever polled.
    pub(crate) fn wake(&self) {
        if Sleep::notify(&self.sleep) {
            chaos::point();
            // It can only fail for a descriptor that isn't one.
            let _ = self.waker.wake();
        }
    }

    /// Whether any socket is registered. A hint.
    #[inline]
    pub(crate) fn has_sources(&self) -> bool {
        // Relaxed: who needs to be sure polls.
        self.sources.load(Ordering::Relaxed) != 0
    }

    /// Whether anybody waits for any socket. Looks at all of them.
    pub(crate) fn has_waiter(&self) -> bool {
        self.table.lock().values().any(|source| source.has_waiter())
    }

    /// Nobody will poll any more: takes no new sources, and sends every waiter to register elsewhere.
    pub(crate) fn close(&self) {
        let sources = {
            let mut table = self.table.lock();
            self.sources.store(0, Ordering::Relaxed);
            table.close()
        };
        let mut woken = Vec::new();
        for source in &sources {
            source.forget(&mut woken);
        }
        woken.into_iter().for_each(Wakeup::fire);
        self.wake();
    }

    /// Watches a descriptor for `source`.
    fn register(&self, fd: RawFd, interest: Interest, source: Arc<Shared>) -> io::Result<Token> {
        let token = {
            let mut table = self.table.lock();
            let token = table.insert(source).ok_or_else(closed)?;
            self.sources.store(table.len(), Ordering::Relaxed);
            token
        };
        self.registry.register(&mut SourceFd(&fd), token, interest).map_err(|error| {
            self.remove(token);
            explain(error)
        })?;
        Ok(token)
    }

    fn reregister(&self, fd: RawFd, interest: Interest, token: Token) -> io::Result<()> {
        self.registry.reregister(&mut SourceFd(&fd), token, interest).map_err(explain)
    }

    /// Forgets a descriptor, which is still open.
    fn deregister(&self, fd: RawFd, token: Token) {
        self.remove(token);
        // It fails if the descriptor isn't in the set: then there is nothing to do.
        let _ = self.registry.deregister(&mut SourceFd(&fd));
    }

    fn remove(&self, token: Token) {
        let removed = {
            let mut table = self.table.lock();
            let removed = table.remove(token);
            self.sources.store(table.len(), Ordering::Relaxed);
            removed
        };
        drop(removed);
    }
}

fn closed() -> io::Error {
    io::Error::other("the runtime that would wait for this socket has shut down")
}

/// The errors whose texts don't tell what to do.
fn explain(error: io::Error) -> io::Error {
    let text = match error.raw_os_error() {
        Some(libc::ENOSPC) => "too many watched sockets: the limit is fs.epoll.max_user_watches".to_owned(),
        Some(libc::EMFILE) => format!("can't make a poller: {error}; raise `ulimit -n`, or close some files"),
        Some(libc::ENFILE) => format!("can't make a poller: {error}; raise fs.file-max, or close some files"),
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

impl std::fmt::Debug for Netpoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Netpoll").field("sources", &self.sources.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}

/// The exclusive right to poll.
pub(crate) struct Driver<'a> {
    netpoll: &'a Netpoll,
    poller: MutexGuard<'a, Poller>,
}

impl Driver<'_> {
    /// Waits for something to happen, no longer than `wait`, and appends to `woken` whoever that wakes.
    ///
    /// It may return early and with nothing: after a [`Netpoll::wake`], or for an alarm that was set for an earlier
    /// deadline. An error means that the process is out of memory or that somebody closed descriptors of ours.
    pub(crate) fn poll(&mut self, wait: Wait, woken: &mut Vec<Wakeup>) -> io::Result<()> {
        let Poller { poll, events, alarm } = &mut *self.poller;
        let sleep = if wait == Wait::Now { None } else { Sleep::begin(&self.netpoll.sleep) };
        chaos::point();
        let to_be_set = match wait {
            Wait::Until(deadline) if sleep.is_some() && !alarm.rings_by(deadline) => Some(deadline),
            _ => None,
        };
        // Something may be ready already, and then no alarm is needed. Without sources it isn't worth asking.
        let asks_first = to_be_set.is_some() && self.netpoll.has_sources();
        if sleep.is_none() || asks_first {
            collect(poll, events, Some(Duration::ZERO))?;
        }
        let has_found = asks_first && !events.is_empty();
        if sleep.is_some() && !has_found {
            if let Some(deadline) = to_be_set {
                alarm.set(deadline)?;
            }
            collect(poll, events, None)?;
        }
        drop(sleep);
        chaos::point();
        for event in events.iter() {
            match event.token() {
                WAKER => {}
                ALARM => alarm.rang(),
                token => {
                    // Not under the table's lock, which those who register want.
                    let source = self.netpoll.table.lock().get(token).cloned();
                    if let Some(source) = source {
                        source.event(event, woken);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Takes from the kernel what has happened, for which it waits no longer than `timeout`.
fn collect(poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
    loop {
        match poll.poll(events, timeout) {
            // After a signal: go on waiting. The alarm is set for an absolute time.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// That a poll blocks; written in the sleep word for as long as this lives.
struct Sleep<'a>(&'a AtomicU8);

impl Sleep<'_> {
    /// Whether the poll that blocks has to be told by its descriptor.
    fn notify(word: &AtomicU8) -> bool {
        // AcqRel: Release shows the sleeper what the caller wrote before (pairs with the Acquire of `Sleep`'s two ends).
        word.swap(NOTIFIED, Ordering::AcqRel) == ASLEEP
    }

    /// `None`, and the notice is used up, if somebody called `wake` before.
    fn begin(word: &AtomicU8) -> Option<Sleep<'_>> {
        // Acquire on failure: pairs with the Release of `wake`. AcqRel on success: `wake` sees it in the word's order.
        match word.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(Sleep(word)),
            Err(_) => {
                // Acquire: the notice may be a later one than that which was just read.
                word.swap(AWAKE, Ordering::Acquire);
                None
            }
        }
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        // Acquire: pairs with the Release of `wake`. A notice that comes from here on is for the next poll.
        self.0.swap(AWAKE, Ordering::Acquire);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod models;
