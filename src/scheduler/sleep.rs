//! How one worker sleeps, and how it is got up: in the kernel's thread parker, or in the poller.

use crate::chaos;
use crate::netpoll::{Driver, Netpoll, Wait};
use crate::primitive::{AtomicU8, Ordering, thread};
use crate::wait::Wakeup;
use parking_lot::Mutex;
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
        if !self.fall_asleep(PARKED) {
            return;
        }
        chaos::point();
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
        chaos::point();
        // Acquire: as above, should the wake come just now.
        self.state.swap(AWAKE, Ordering::Acquire);
    }

    /// Sleeps in the poller, which also returns when a socket is ready; fills `woken` with its waiters.
    pub(super) fn poll(&self, driver: &mut Driver<'_>, deadline: Option<Instant>, woken: &mut Vec<Wakeup>) {
        if !self.fall_asleep(POLLING) {
            return;
        }
        chaos::point();
        let wait = deadline.map_or(Wait::Forever, Wait::Until);
        if let Err(error) = driver.poll(wait, woken) {
            // Nothing is known to make an epoll that exists fail; a loop of failures would be a silent spin.
            panic!("the poller failed: {error}");
        }
        chaos::point();
        // Acquire: as in `park`.
        self.state.swap(AWAKE, Ordering::Acquire);
    }

    /// Whether it sleeps. A hint. (A notice may be there while it is up: it is for the next sleep.)
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), PARKED | POLLING)
    }

    fn fall_asleep(&self, how: u8) -> bool {
        // Acquire on failure: pairs with the Release half of `wake`. Release on success: `wake` reads how it sleeps.
        match self.state.compare_exchange(AWAKE, how, Ordering::Release, Ordering::Acquire) {
            Ok(_) => true,
            Err(_) => {
                // Acquire: as above.
                self.state.swap(AWAKE, Ordering::Acquire);
                false
            }
        }
    }

    /// Gets it up, or keeps it from falling asleep the next time.
    pub(super) fn wake(&self, netpoll: &Netpoll) {
        chaos::point();
        // AcqRel: Release pairs with the Acquires above; Acquire with the Release of `fall_asleep`.
        let state = self.state.swap(NOTIFIED, Ordering::AcqRel);
        chaos::point();
        match state {
            PARKED => self.thread.lock().as_ref().expect("a sleeper has settled").unpark(),
            POLLING => netpoll.wake(),
            _ => {}
        }
    }
}
