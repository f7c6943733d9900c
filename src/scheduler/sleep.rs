//! How one worker sleeps, and how it is got up: in the kernel's thread parker, or in the poller.
//!
//! # The races, and why they can't happen
//! Falling asleep, waking and getting up are each a read-modify-write of one word, so each sees the one before it.
//! * **Woken before it sleeps.** The notice is in the word, and it doesn't sleep.
//! * **Woken as it falls asleep.** Who wakes it sees how it is going to sleep, and uses what ends that also if it has not
//!   yet begun: the token of a thread's parker, or the notice that the poller keeps (see `netpoll.rs`).
//! * **What was written before the wake** is seen by whoever got up: it takes the notice with Acquire in every case.

use crate::chaos;
use crate::netpoll::{Driver, Netpoll, Wait};
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{AtomicU8, Ordering, thread};
use crate::wait::Wakeup;
use std::time::Instant;

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const POLLING: u8 = 2;
/// Somebody wants it up. Set before it sleeps, this makes the sleep return at once.
const NOTIFIED: u8 = 3;

pub(super) struct Sleep {
    state: AtomicU8,
    thread: Mutex<Option<thread::Thread>>,
}

impl Sleep {
    pub(super) fn new() -> Sleep {
        Sleep { state: AtomicU8::new(AWAKE), thread: Mutex::new(None) }
    }

    /// The calling kernel thread is the one that will sleep here.
    pub(super) fn settle(&self) {
        *self.thread.lock() = Some(thread::current());
    }

    /// Sleeps until somebody wakes it or the deadline comes.
    pub(super) fn park(&self, deadline: Option<Instant>) {
        self.sleep(PARKED, || {
            // Acquire: pairs with the Release half of `wake`.
            while self.state.load(Ordering::Acquire) != NOTIFIED {
                match deadline {
                    None => thread::park(),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            break;
                        }
                        thread::park_timeout(left);
                    }
                }
            }
        });
    }

    /// Sleeps in the poller, which also returns when a socket is ready; fills `woken` with its waiters.
    pub(super) fn poll(&self, driver: &mut Driver<'_>, deadline: Option<Instant>, woken: &mut Vec<Wakeup>) {
        self.sleep(POLLING, || {
            let wait = deadline.map_or(Wait::Forever, Wait::Until);
            if let Err(error) = driver.poll(wait, woken) {
                // Nothing is known to make an epoll that exists fail; a loop of failures would be a silent spin.
                panic!("the poller failed: {error}");
            }
        });
    }

    /// Whether it sleeps. A hint. (A notice may be there while it is up: it is for the next sleep.)
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), PARKED | POLLING)
    }

    /// Sleeps, unless somebody has wanted it up since the last time.
    fn sleep(&self, how: u8, asleep: impl FnOnce()) {
        // Acquire on failure: pairs with the Release half of `wake`. Release on success: `wake` reads how it sleeps.
        if self.state.compare_exchange(AWAKE, how, Ordering::Release, Ordering::Acquire).is_ok() {
            chaos::point();
            asleep();
            chaos::point();
        }
        // Acquire: as above, should the wake come just now.
        self.state.swap(AWAKE, Ordering::Acquire);
    }

    /// Gets it up, or keeps it from falling asleep the next time.
    pub(super) fn wake(&self, netpoll: &Netpoll) {
        self.wake_by(|| netpoll.wake());
    }

    pub(super) fn wake_by(&self, wake_poller: impl FnOnce()) {
        chaos::point();
        // AcqRel: Release pairs with the Acquires above; Acquire with the Release of `Sleep::sleep`.
        let state = self.state.swap(NOTIFIED, Ordering::AcqRel);
        chaos::point();
        match state {
            PARKED => self.thread.lock().as_ref().expect("a sleeper has settled").unpark(),
            POLLING => wake_poller(),
            _ => {}
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::primitive::AtomicU32;
    use loom::sync::{Condvar, Mutex};
    use std::sync::Arc;

    /// Stands for the poller, whose own models are in `netpoll.rs`: it keeps a notice until it is collected.
    #[derive(Default)]
    struct Poller {
        notice: Mutex<bool>,
        given: Condvar,
    }

    impl Poller {
        fn poll(&self) {
            let mut notice = self.notice.lock().unwrap();
            while !std::mem::take(&mut *notice) {
                notice = self.given.wait(notice).unwrap();
            }
        }

        fn wake(&self) {
            *self.notice.lock().unwrap() = true;
            self.given.notify_one();
        }
    }

    /// A worker that looks for work before each sleep, and two that get it up for some: loom finds it if it sleeps on.
    fn no_wake_is_lost(how: u8) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let all = Arc::new((Sleep::new(), Poller::default(), AtomicU32::new(0)));
            // Not the model's first thread, which joins the others: loom takes an unpark for the end of a join.
            let worker = loom::thread::spawn({
                let all = Arc::clone(&all);
                move || {
                    let (sleep, poller, work) = &*all;
                    sleep.settle();
                    while work.load(Ordering::Relaxed) < 2 {
                        match how {
                            PARKED => sleep.park(None),
                            _ => sleep.sleep(POLLING, || poller.poll()),
                        }
                    }
                }
            });
            let wake = |(sleep, poller, work): &(Sleep, Poller, AtomicU32)| {
                // Relaxed: the wake has to show it.
                work.fetch_add(1, Ordering::Relaxed);
                sleep.wake_by(|| poller.wake());
            };
            let waker = loom::thread::spawn({
                let all = Arc::clone(&all);
                move || wake(&all)
            });
            wake(&all);
            waker.join().unwrap();
            worker.join().unwrap();
        });
    }

    #[test]
    fn no_wake_is_lost_on_one_that_parks() {
        no_wake_is_lost(PARKED);
    }

    #[test]
    fn no_wake_is_lost_on_one_that_polls() {
        no_wake_is_lost(POLLING);
    }
}
