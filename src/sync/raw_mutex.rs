//! The raw mutex: one byte to lock and unlock, and a queue for those who must wait.
//!
//! # States
//! Three bits in one byte:
//!
//! * `LOCKED`: somebody holds it.
//! * `QUEUED`: the queue isn't empty. Written under the queue's lock only.
//! * `WOKEN`: somebody was taken out of the queue to compete for the mutex and has not done so yet: it has *the baton*.
//!   While there is a baton, nobody else is woken.
//!
//! # Protocol
//! `lock` is one compare-exchange from 0, `unlock` one back to 0. A locker that finds it `LOCKED` spins for less than a
//! microsecond (the holder may be about to unlock on another core; if others are queued already it does not), then
//! queues: under the queue's lock, in one compare-exchange, it sets `QUEUED` if the mutex is still `LOCKED`.
//!
//! An unlock that finds `QUEUED` and no baton takes the oldest waiter and does one of two things:
//!
//! * **It lets it compete**: frees the mutex, gives it the baton and wakes it. Whoever comes first may lock meanwhile
//!   (*barging*), so a mutex under load isn't idle for as long as it takes to wake somebody, which for a mutex that
//!   is held for a few instructions is nearly always. A waiter that loses drops the baton and queues again, in front.
//! * **It hands the mutex over**: `LOCKED` stays set and the woken waiter is the holder. So it is done for a waiter that
//!   has been passed over [`MAX_LOSSES`] times, or for [`PATIENCE`] since its first loss, and by `unlock_fair`.
//!
//! So a waiter with `n` before it gets the mutex after at most `(n + 1) * (MAX_LOSSES + 1)` wake-ups: nobody starves.
//! The clock is read only by those who lose.
//!
//! # The races, and why they can't happen
//! * **Lost wake-up: queued just as the holder unlocks.** `QUEUED` is set, and `LOCKED` cleared, by compare-exchanges on
//!   one word: either the locker sees that it is free, or the unlock sees `QUEUED`, and then waits for the queue's lock,
//!   which the locker holds until its node is linked.
//! * **Lost baton.** `WOKEN` without anybody on the way would be a mutex that wakes nobody. The one with the baton
//!   clears `WOKEN` in the compare-exchange that locks, or in the one by which it queues again, and does nothing else
//!   before one of them succeeds. The latter needs `LOCKED`, so there is an unlock to come, which sees the queue: also if
//!   the one that queues finds then that its task has been cancelled, and leaves. A waiter that is woken as its deadline
//!   passes is woken: only one of the two claims succeeds.
//! * **Cancelled with the mutex in its hands.** A waiter that is handed the mutex is claimed for that, so it can't be
//!   cancelled or time out any more; if the claim fails, the unlock goes on to the next one.
//! * **`WOKEN` set too late**, after the one it stands for has locked. An unlock sets it in the store that frees the
//!   mutex, before which nobody can lock. When a baton is passed on it is set already.
//! * **An overwritten word.** The unlock's plain store is made while it holds the mutex and the queue's lock. Then nobody
//!   else writes the word: lockers need it to be free, and all others need the queue's lock.
//!
//! An unlock touches the mutex until it returns, so whoever frees the memory must know that it has returned. A guard's
//! borrow, or its `Arc`, is that knowledge.

use super::spin::spin;
use crate::control::Outcome;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::{Reason, now, wait_linked};
use crate::primitive::{AtomicU8, Ordering};
use crate::wait::{Node, WaitQueue};
use std::time::{Duration, Instant};

const LOCKED: u8 = 1;
const QUEUED: u8 = 2;
const WOKEN: u8 = 4;

/// Who was passed over as many times is handed the mutex.
const MAX_LOSSES: u32 = 16;
/// Who was passed over for as long is handed the mutex.
const PATIENCE: Duration = Duration::from_millis(1);

/// The lock of a [`Mutex`](super::Mutex), without what it guards.
///
/// To be used through [`lock_api`]. It can be unlocked by another task or thread than locked it.
pub struct RawMutex {
    state: AtomicU8,
    /// The payload says whether the mutex is handed over: the waiter may demand it, and learns from it what was done.
    queue: Lock<WaitQueue<bool>>,
}

impl std::fmt::Debug for RawMutex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawMutex").field("locked", &self.is_held()).finish_non_exhaustive()
    }
}

/// A wait for the mutex, over all its rounds.
struct Attempt {
    /// `WOKEN` if it has the baton, else 0.
    baton: u8,
    losses: u32,
    first_loss: Option<Instant>,
}

impl Attempt {
    /// Notes that others were faster, if it had been woken; whether it now demands the mutex.
    fn lose(&mut self) -> bool {
        if self.baton == 0 {
            return false;
        }
        self.losses += 1;
        let now = now();
        let first = *self.first_loss.get_or_insert(now);
        self.losses >= MAX_LOSSES || now.saturating_duration_since(first) >= PATIENCE
    }
}

impl RawMutex {
    #[cfg(not(loom))]
    pub(super) const fn new() -> RawMutex {
        RawMutex { state: AtomicU8::new(0), queue: Lock::new(WaitQueue::new()) }
    }

    #[cfg(loom)]
    pub(super) fn new() -> RawMutex {
        RawMutex { state: AtomicU8::new(0), queue: Lock::new(WaitQueue::new()) }
    }

    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Locks without looking for waiters.
    #[inline]
    fn acquire_fast(&self) -> bool {
        // Acquire: pairs with the Release of the unlocks.
        self.state.compare_exchange_weak(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Locks if it is free, and drops the baton if the caller has it.
    #[inline]
    fn try_acquire(&self, baton: u8) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            let locked = (state | LOCKED) & !baton;
            // Acquire: pairs with the Release of the unlocks.
            match self.state.compare_exchange_weak(state, locked, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// Locks. Unwinds if the task is cancelled while it waits.
    #[inline]
    pub(super) fn acquire(&self) {
        if !self.acquire_fast() {
            self.acquire_slow(None);
        }
    }

    /// Locks; `false` if the deadline has passed. Unwinds if the task is cancelled while it waits.
    #[cold]
    fn acquire_slow(&self, deadline: Option<Instant>) -> bool {
        self.spin() || self.acquire_queued(deadline)
    }

    /// As `acquire_slow`, without a spin.
    fn acquire_queued(&self, deadline: Option<Instant>) -> bool {
        let mut attempt = Attempt { baton: 0, losses: 0, first_loss: None };
        while !self.try_acquire(attempt.baton) {
            let demand = attempt.lose();
            let queue = self.queue.lock();
            if !self.announce(attempt.baton) {
                continue;
            }
            let link = |queue: &mut WaitQueue<bool>, waiter, node: &mut Option<Node<bool>>| {
                let node = node.insert(Node::new(waiter, demand));
                let push = if attempt.losses > 0 { WaitQueue::push_front } else { WaitQueue::push_back };
                // SAFETY: the node stays where it is until it has been unlinked, by a waker or below.
                unsafe { push(queue, node) };
                || ()
            };
            let unlink = |queue: &mut WaitQueue<bool>, node: &Node<bool>| {
                // SAFETY: it was pushed to this queue.
                unsafe { queue.remove(node) };
            };
            match wait_linked(Reason::Mutex, deadline, &self.queue, queue, link, unlink) {
                (Outcome::Woken, Some(true)) => return true,
                (Outcome::Woken, _) => attempt.baton = WOKEN,
                (outcome, _) => {
                    self.tidy();
                    if outcome == Outcome::Cancelled {
                        interrupt::unwind();
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Spins while the mutex is likely to come free: it isn't if others have queued.
    fn spin(&self) -> bool {
        spin(|| match self.try_acquire(0) {
            true => Some(true),
            false => (self.state.load(Ordering::Relaxed) & QUEUED != 0).then_some(false),
        })
    }

    /// Sets `QUEUED` and drops the baton; `false` if the mutex is free. Under the queue's lock.
    fn announce(&self, baton: u8) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED != 0 {
            let queued = (state | QUEUED) & !baton;
            // Relaxed: the unlock that sees `QUEUED` takes the queue's lock, which synchronises.
            match self.state.compare_exchange_weak(state, queued, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// After somebody has left the queue, or has not entered it after all.
    #[cold]
    fn tidy(&self) {
        let queue = self.queue.lock();
        if queue.is_empty() {
            // Relaxed: it carries no data.
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Unlocks.
    ///
    /// # Safety
    /// The caller holds it.
    #[inline]
    pub(super) unsafe fn release(&self) {
        // Release: pairs with the Acquire of the next locker.
        if self.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.release_slow(false);
        }
    }

    #[cold]
    fn release_slow(&self, hand_over: bool) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & QUEUED == 0 || (state & WOKEN != 0 && !hand_over) {
            // Release: pairs with the Acquire of the next locker.
            match self.state.compare_exchange_weak(state, state & !LOCKED, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => state = seen,
            }
        }
        let wakeup = {
            let mut queue = self.queue.lock();
            let oldest = queue.take_front(
                |demand| {
                    *demand |= hand_over;
                    Some(*demand)
                },
                |_, _| (),
            );
            let queued = if queue.is_empty() { 0 } else { QUEUED };
            match oldest {
                Some((true, heir)) => {
                    // It may be at work already, so only the one bit is touched that is ours under the queue's lock.
                    // Relaxed: the claim released what we wrote.
                    if queued == 0 {
                        self.state.fetch_and(!QUEUED, Ordering::Relaxed);
                    }
                    Some(heir)
                }
                // Release (both): pairs with the Acquire of the next locker.
                Some((false, competitor)) => {
                    self.state.store(queued | WOKEN, Ordering::Release);
                    Some(competitor)
                }
                None => {
                    let baton = self.state.load(Ordering::Relaxed) & WOKEN;
                    self.state.store(queued | baton, Ordering::Release);
                    None
                }
            }
        };
        if let Some(wakeup) = wakeup {
            wakeup.fire();
        }
    }

    /// Whether an unlock would have somebody to think of. A hint.
    fn has_waiters(&self) -> bool {
        self.state.load(Ordering::Relaxed) & QUEUED != 0
    }
}

#[cfg(not(loom))]
mod face {
    //! What `lock_api` asks for.

    use super::{Duration, Instant, LOCKED, Ordering, RawMutex};
    use crate::current::{may_be_simulated, step};
    use crate::interrupt;
    use crate::park::deadline_in;
    use crate::sync::relock;
    use lock_api::GuardSend;
    use std::panic::Location;

    impl RawMutex {
        #[inline(always)]
        fn lock_without_steps(&self, caller: &Location<'_>) {
            if !self.acquire_fast() {
                self.lock_slow(caller);
            }
        }

        #[cold]
        fn lock_slow(&self, caller: &Location<'_>) {
            if !self.spin() {
                relock::wait_for(caller, || self.acquire_queued(None));
            }
        }

        #[cold]
        fn lock_in_steps(&self, caller: &Location<'_>) {
            step();
            self.lock_without_steps(caller);
            step();
        }
    }

    // SAFETY: only one compare-exchange or hand-over sets `LOCKED` between two unlocks, with Acquire, and every unlock
    // releases. A lock that unwinds has neither the mutex nor the baton.
    unsafe impl lock_api::RawMutex for RawMutex {
        #[allow(clippy::declare_interior_mutable_const)]
        const INIT: RawMutex = RawMutex::new();

        type Guard = GuardSend;

        #[inline]
        #[track_caller]
        fn lock(&self) -> GuardSend {
            if may_be_simulated() {
                self.lock_in_steps(Location::caller());
            } else {
                self.lock_without_steps(Location::caller());
            }
            GuardSend::new()
        }

        #[inline]
        fn try_lock(&self) -> Option<GuardSend> {
            step();
            self.try_acquire(0).then(GuardSend::new)
        }

        #[inline]
        unsafe fn unlock(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.release() }
        }

        #[inline]
        fn is_locked(&self) -> bool {
            step();
            self.is_held()
        }
    }

    // SAFETY: as above.
    unsafe impl lock_api::RawMutexFair for RawMutex {
        #[inline]
        unsafe fn unlock_fair(&self, _: GuardSend) {
            step();
            // Release: pairs with the Acquire of the next locker.
            if self.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
                self.release_slow(true);
            }
        }

        #[inline]
        unsafe fn bump(&self, _: &mut GuardSend) {
            if self.has_waiters() {
                self.release_slow(true);
                // The guard lives on, so this must not unwind.
                interrupt::shielded(|| self.acquire());
            }
        }
    }

    // SAFETY: as above.
    unsafe impl lock_api::RawMutexTimed for RawMutex {
        type Duration = Duration;
        type Instant = Instant;

        #[inline]
        fn try_lock_for(&self, timeout: Duration) -> Option<GuardSend> {
            step();
            (self.acquire_fast() || self.acquire_slow(deadline_in(timeout))).then(GuardSend::new)
        }

        #[inline]
        fn try_lock_until(&self, deadline: Instant) -> Option<GuardSend> {
            step();
            (self.acquire_fast() || self.acquire_slow(Some(deadline))).then(GuardSend::new)
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::cell::UnsafeCell;
    use std::sync::Arc;

    struct Guarded {
        mutex: RawMutex,
        count: UnsafeCell<usize>,
    }

    // SAFETY: the mutex guards the cell, which is what the model checks.
    unsafe impl Send for Guarded {}
    // SAFETY: as above.
    unsafe impl Sync for Guarded {}

    fn add_one(guarded: &Guarded, fair: bool) {
        guarded.mutex.acquire();
        // SAFETY: loom reports any access at the same time.
        guarded.count.with_mut(|count| unsafe { *count += 1 });
        if fair {
            if guarded.mutex.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
                guarded.mutex.release_slow(true);
            }
        } else {
            // SAFETY: it is held.
            unsafe { guarded.mutex.release() };
        }
    }

    fn race(threads: usize, rounds: usize, fair: bool, preemptions: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(move || {
            let guarded = Arc::new(Guarded { mutex: RawMutex::new(), count: UnsafeCell::new(0) });
            let work = move |guarded: &Guarded| (0..rounds).for_each(|_| add_one(guarded, fair));
            let others: Vec<_> = (1..threads)
                .map(|_| {
                    let guarded = Arc::clone(&guarded);
                    loom::thread::spawn(move || work(&guarded))
                })
                .collect();
            work(&guarded);
            others.into_iter().for_each(|other| other.join().unwrap());
            // SAFETY: all others have ended.
            guarded.count.with(|count| assert_eq!(unsafe { *count }, threads * rounds));
            assert_eq!(guarded.mutex.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_mutex_two_threads() {
        race(2, 2, false, 4);
    }

    #[test]
    fn loom_mutex_three_threads() {
        // With one preemption more, two that spin for the queue's lock can keep loom from ever running its holder.
        race(3, 1, false, 2);
    }

    #[test]
    fn loom_mutex_handed_over() {
        race(2, 2, true, 4);
        race(3, 1, true, 2);
    }
}
