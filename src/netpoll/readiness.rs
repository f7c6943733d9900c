//! One direction of a socket: how many events it had, whether it is known to have nothing more, and who waits.
//!
//! The protocol and its races stand at the head of [`netpoll`](super). One thing more happens here.
//!
//! # Drained
//!
//! A read that returns less than it had room for has emptied the socket, so the next read needn't be tried: it would
//! only be told `WouldBlock`. The reader notes the tick that it saw *before* its read; a reader that finds this very
//! tick still the present one parks at once. That is as safe as parking after a `WouldBlock`, which tells the same
//! thing: at some moment after the tick was seen the socket was empty. Whatever arrived later is an edge, whose tick is
//! a later one. It doesn't matter who noted it or how late, since a tick never comes back: a note of an old tick only
//! costs the system call that it failed to save. A short write has filled the socket in the same way.
//!
//! It holds only where a short count has no other reason. A connection that ends or fails makes one more edge, but no
//! more after that, and what is left to fetch then (the end, the error) isn't bytes. Urgent data ends a read before the
//! buffer is full. So once an event has told of any of these, the direction is DISTRUSTED for good, and notes mean
//! nothing. The event that tells it comes with a tick too, so a note made before is void by the time it matters.

use crate::chaos;
use crate::control::Outcome;
use crate::lock::Lock;
use crate::park::{self, Reason};
use crate::primitive::{AtomicU64, Ordering};
use crate::wait::{WaitQueue, Wakeup};
use std::time::Instant;

/// The word's lowest bit; the tick is above it. 63 bits don't come round.
const DISTRUSTED: u64 = 1;
const TICK: u64 = 2;

/// A word that no direction has: distrusted from before its first event.
const NEVER: u64 = u64::MAX;

pub(super) struct Readiness {
    word: AtomicU64,
    /// The word as it was before a call that left nothing.
    drained: AtomicU64,
    waiters: Lock<WaitQueue<()>>,
}

/// What a direction looked like before a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(u64);

impl Readiness {
    pub(super) fn new() -> Readiness {
        Readiness { word: AtomicU64::new(0), drained: AtomicU64::new(NEVER), waiters: Lock::new(WaitQueue::new()) }
    }

    #[inline]
    pub(super) fn look(&self) -> Seen {
        // Acquire: the call that follows isn't made before; pairs with the Release of `event`, which comes after the
        // kernel has seen what it tells.
        Seen(self.word.load(Ordering::Acquire))
    }

    /// Whether a call is known to block, if `seen` is still true. [`wait`](Readiness::wait) makes sure of that.
    #[inline]
    pub(super) fn is_drained(&self, seen: Seen) -> bool {
        // Relaxed: a note is true whenever it is read (see the head of this file), and carries no other data.
        seen.0 & DISTRUSTED == 0 && self.drained.load(Ordering::Relaxed) == seen.0
    }

    /// Notes that a call made after `seen` left nothing.
    #[inline]
    pub(super) fn set_drained(&self, seen: Seen) {
        // Relaxed: as in `is_drained`.
        self.drained.store(seen.0, Ordering::Relaxed);
    }

    /// Waits for an event later than `seen`.
    pub(super) fn wait(&self, reason: Reason, deadline: Option<Instant>, seen: Seen) -> Outcome {
        let guard = self.waiters.lock();
        chaos::point();
        // Relaxed: if the event's turn with the lock was before ours, the lock shows its tick; if not, it will find us.
        if self.word.load(Ordering::Relaxed) != seen.0 {
            return Outcome::Woken;
        }
        park::wait_in(reason, deadline, &self.waiters, guard, |queue| queue, ())
    }

    /// Whether anybody waits.
    pub(super) fn has_waiter(&self) -> bool {
        self.waiters.lock().has_waiter()
    }

    /// Counts an event, and appends everybody who waits to `woken`.
    pub(super) fn event(&self, distrust: bool, woken: &mut Vec<Wakeup>) {
        // Both before the lock; see `wait`. Release: pairs with the Acquire of `look`.
        if distrust {
            self.word.fetch_or(DISTRUSTED, Ordering::Release);
        }
        self.word.fetch_add(TICK, Ordering::Release);
        chaos::point();
        loop {
            // Room is made outside the lock, which is no place to allocate in.
            if woken.len() == woken.capacity() {
                woken.reserve(16);
            }
            let mut waiters = self.waiters.lock();
            while woken.len() < woken.capacity() {
                match waiters.take_one() {
                    Some(wakeup) => woken.push(wakeup),
                    None => return,
                }
            }
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;

    /// The kernel: bytes that have arrived. An edge comes for each after it is there; a read takes them all.
    struct Pipe {
        readiness: Readiness,
        bytes: AtomicU64,
    }

    impl Pipe {
        fn arrive(&self) {
            self.bytes.fetch_add(1, Ordering::AcqRel);
            let mut woken = Vec::new();
            self.readiness.event(false, &mut woken);
            woken.into_iter().for_each(Wakeup::fire);
        }

        /// Loom finds a deadlock if this sleeps through an edge.
        fn read(&self) -> u64 {
            loop {
                let seen = self.readiness.look();
                if !self.readiness.is_drained(seen) {
                    let bytes = self.bytes.swap(0, Ordering::AcqRel);
                    if bytes > 0 {
                        self.readiness.set_drained(seen);
                        return bytes;
                    }
                }
                assert_eq!(self.readiness.wait(Reason::Read, None, seen), Outcome::Woken);
            }
        }
    }

    fn model(readers: usize) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let pipe = Arc::new(Pipe { readiness: Readiness::new(), bytes: AtomicU64::new(0) });
            let others: Vec<_> = (1..readers)
                .map(|_| {
                    let pipe = pipe.clone();
                    // Takes what it finds, if only to leave a note at the wrong moment.
                    loom::thread::spawn(move || {
                        let seen = pipe.readiness.look();
                        let bytes = pipe.bytes.swap(0, Ordering::AcqRel);
                        if bytes > 0 {
                            pipe.readiness.set_drained(seen);
                        }
                        bytes
                    })
                })
                .collect();
            let poller = {
                let pipe = pipe.clone();
                loom::thread::spawn(move || {
                    pipe.arrive();
                    pipe.arrive();
                })
            };
            let mut got: u64 = 0;
            if readers == 1 {
                while got < 2 {
                    got += pipe.read();
                }
            }
            poller.join().unwrap();
            got += others.into_iter().map(|other| other.join().unwrap()).sum::<u64>();
            if readers > 1 && got < 2 {
                got += pipe.read();
            }
            assert_eq!(got, 2);
        });
    }

    #[test]
    fn no_edge_is_lost() {
        model(1);
    }

    #[test]
    fn a_note_of_another_reader_hides_nothing() {
        model(2);
    }
}
