//! The raw condition variable: a crowd under a lock.
//!
//! # Protocol
//! `wait` links its node, then unlocks the mutex, then suspends. `notify_one` claims the oldest waiter, `notify_all` all
//! who are there. The woken one locks the mutex again, however its wait ended.
//!
//! # The races, and why they can't happen
//! * **A notification between the unlock and the sleep.** The node is linked, and claimable, before the mutex is unlocked.
//!   Who locks the mutex, changes the condition and notifies finds it.
//! * **A notification lost with one who has gone.** A waiter's deadline, its cancellation and the notification claim the
//!   same wait, so exactly one wins. If the notification does not, it goes on to the next waiter in the same step; if it
//!   does, the waiter returns as notified, even if its deadline has passed or its task was cancelled in the meantime.
//! * **A notification that nobody asked for.** A wait ends by a claim only, so there are no spurious wake-ups, and the
//!   numbers that `notify_one` and `notify_all` tell are exact.
//! * **A guard without its lock.** A cancelled waiter locks again before it unwinds, and that wait can't be cancelled.
//!
//! # Tried and rejected
//! Moving the waiters of `notify_all` over to the queue of the mutex, as `parking_lot` does, saves waking those who
//! will find it locked. For a task a wake-up costs a fraction of what it costs a kernel thread, while nodes that change
//! queues need a second lock for every removal, and bind the variable to one mutex at a time.

use super::crowd::{self, Crowd};
use super::raw_mutex::RawMutex;
use crate::control::Outcome;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::Reason;
use std::time::{Duration, Instant};

/// The working of a [`Condvar`](super::Condvar).
///
/// There are no spurious wake-ups. It may be used with several mutexes, also at the same time.
pub struct RawCondvar {
    crowd: Lock<Crowd>,
}

impl std::fmt::Debug for RawCondvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawCondvar").finish_non_exhaustive()
    }
}

impl RawCondvar {
    #[cfg(not(loom))]
    const fn new() -> RawCondvar {
        RawCondvar { crowd: Lock::new(Crowd::new()) }
    }

    #[cfg(loom)]
    fn new() -> RawCondvar {
        RawCondvar { crowd: Lock::new(Crowd::new()) }
    }

    /// Unlocks the mutex, waits, and locks it again; `false` if the deadline has passed. Unwinds, with the mutex locked,
    /// if the task is cancelled.
    ///
    /// # Safety
    /// The caller holds the mutex.
    unsafe fn wait_on(&self, mutex: &RawMutex, deadline: Option<Instant>) -> bool {
        let mut unlocked = false;
        let outcome = crowd::wait_and(
            Reason::Condvar,
            deadline,
            &self.crowd,
            self.crowd.lock(),
            |crowd| crowd,
            || {
                // SAFETY: the caller holds it.
                unsafe { mutex.release() };
                unlocked = true;
            },
        );
        if unlocked {
            interrupt::shielded(|| mutex.acquire());
        }
        match outcome {
            Outcome::Woken => true,
            Outcome::TimedOut => false,
            Outcome::Cancelled => interrupt::unwind(),
        }
    }

    fn wake_one(&self) -> bool {
        let oldest = self.crowd.lock().take_one();
        match oldest {
            Some(wakeup) => {
                wakeup.fire();
                true
            }
            None => false,
        }
    }

    fn wake_all(&self) -> usize {
        crowd::wake_all(&self.crowd, self.crowd.lock(), |crowd| crowd)
    }
}

#[cfg(not(loom))]
mod face {
    //! What `lock_api` asks for.

    use super::{Duration, Instant, RawCondvar, RawMutex};
    use crate::current::step;
    use crate::park::deadline_in;
    use lock_api::GuardSend;

    // SAFETY: the waiter can be notified before the mutex is unlocked, and holds it again when the wait ends, in whatever
    // way; locking it again doesn't unwind. The guard state carries nothing, so it stays valid.
    unsafe impl lock_api::RawCondvar for RawCondvar {
        #[allow(clippy::declare_interior_mutable_const)]
        const INIT: RawCondvar = RawCondvar::new();

        type RawMutex = RawMutex;

        #[inline]
        unsafe fn wait(&self, mutex: &RawMutex, _: &mut GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.wait_on(mutex, None) };
        }

        #[inline]
        fn notify_one(&self) -> bool {
            step();
            self.wake_one()
        }

        #[inline]
        fn notify_all(&self) -> usize {
            step();
            self.wake_all()
        }
    }

    // SAFETY: as above.
    unsafe impl lock_api::RawCondvarTimed for RawCondvar {
        fn checked_duration_to_instant(timeout: &Duration) -> Option<Instant> {
            deadline_in(*timeout)
        }

        #[inline]
        unsafe fn wait_until(&self, mutex: &RawMutex, _: &mut GuardSend, deadline: &Instant) -> bool {
            step();
            // SAFETY: the caller's.
            !unsafe { self.wait_on(mutex, Some(*deadline)) }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::cell::UnsafeCell;
    use std::sync::Arc;

    struct Gate {
        mutex: RawMutex,
        opened: RawCondvar,
        open: UnsafeCell<bool>,
    }

    // SAFETY: the mutex guards the cell, which is what the model checks.
    unsafe impl Send for Gate {}
    // SAFETY: as above.
    unsafe impl Sync for Gate {}

    impl Gate {
        fn new() -> Arc<Gate> {
            Arc::new(Gate { mutex: RawMutex::new(), opened: RawCondvar::new(), open: UnsafeCell::new(false) })
        }

        fn wait(&self) {
            self.mutex.acquire();
            // SAFETY: the mutex is held at each access, and when it waits and unlocks.
            unsafe {
                while !self.open.with(|open| *open) {
                    self.opened.wait_on(&self.mutex, None);
                }
                self.mutex.release();
            }
        }

        fn open(&self, notify: impl FnOnce()) {
            self.mutex.acquire();
            // SAFETY: the mutex is held.
            unsafe {
                self.open.with_mut(|open| *open = true);
                self.mutex.release();
            }
            notify();
        }
    }

    fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(f);
    }

    #[test]
    fn loom_condvar_notify_one_against_wait() {
        model(4, || {
            let gate = Gate::new();
            let waiter = Arc::clone(&gate);
            let waiter = loom::thread::spawn(move || waiter.wait());
            gate.open(|| {
                gate.opened.wake_one();
            });
            waiter.join().unwrap();
        });
    }

    #[test]
    fn loom_condvar_notify_all_against_two() {
        model(2, || {
            let gate = Gate::new();
            let waiters = [(); 2].map(|()| {
                let gate = Arc::clone(&gate);
                loom::thread::spawn(move || gate.wait())
            });
            gate.open(|| {
                gate.opened.wake_all();
            });
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}
