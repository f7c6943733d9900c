//! The state word: is its owner running, about to wait, waiting, or already told to go on?
//!
//! Every participant that can wait has one: a task in its control block, a kernel thread and a future in a frame of
//! their own. It is the one place where the race between "I am going to sleep" and "wake up" is decided.
//!
//! # States
//!
//! The word holds an *epoch* (which wait this is, counted by the owner) and a *phase*:
//!
//! ```text
//!                arm                      commit
//!   RUNNING ───────────────▶ WAITING ───────────────▶ PARKED
//!      ▲                     │     │                     │
//!      │ withdraw            │     │ claim               │ claim
//!      ├─────────────────────┘     ▼                     ▼
//!      │                     WOKEN │ TIMED_OUT │ CANCELLED
//!      └──────────── the owner goes on, and arms again ──┘
//! ```
//!
//! * `arm` is the owner's: from now on it may be claimed. It then publishes the epoch wherever a waker may look (the
//!   queues it waits in, a timer) while it still runs on its own stack.
//! * `commit` is made *for* the owner once its stack has been left, by whoever runs next on that kernel thread. A
//!   participant that has no stack to leave (a thread, a future) is never committed: it stays WAITING.
//! * `claim` is the wakers'. A waker, a timer and a canceller may try at the same time, and exactly one wins an epoch.
//!   The winner is told whether the stack had been left.
//!
//! # The races, and why they can't happen
//!
//! * **Resumed on a stack still in use.** A waker that finds WAITING must not make the task runnable: another worker
//!   could enter a stack that the task is still leaving. It only leaves its outcome. `commit` then fails, and the
//!   worker that left the stack makes the task runnable itself. If the waker finds PARKED the stack is free, and
//!   `commit`'s Release made all that was written on it visible to the claimer's Acquire.
//! * **Lost wake-up.** `claim` and `commit` are read-modify-writes of one word, so one of them sees the other: either
//!   the claimer sees PARKED and makes the task runnable, or `commit` sees the claim.
//! * **Double wake-up.** Only one compare-exchange can take an epoch out of WAITING or PARKED.
//! * **A stale waker** (a timer that fires late, an entry left over) carries the epoch it was given. Epochs are 55 bits
//!   wide and don't come back in years of nothing but waits, so its compare-exchange fails.
//!
//! # Tried and rejected
//!
//! Publishing the waiter only after the stack was left, as Go's `gopark` does, needs no `commit`; but it holds the
//! channel's lock across the switch, needs all locks of a `select` at once, and can't serve a thread or a future,
//! which leave no stack. An "on a processor" flag that the resumer spins on, as an operating system's kernel has it,
//! saves the read-modify-write too, but two workers that each want what the other is leaving spin for ever.

use crate::chaos;
use crate::primitive::{AtomicU64, Ordering};

const PHASE: u64 = 0b0111;
/// The number of the shield that the wait is in, for cancellers, who know no epoch; `CLOSED` means this one or a higher, and
/// is closed to all of them. It is told apart by being part of the epoch.
const SHIELDS: u64 = 0b1_1111_1000;
const SHIELDS_ONE: u64 = 0b1000;
const CLOSED: u32 = (SHIELDS / SHIELDS_ONE) as u32;
const EPOCH_ONE: u64 = 0b10_0000_0000;

const RUNNING: u64 = 0;
const WAITING: u64 = 1;
const PARKED: u64 = 2;
const WOKEN: u64 = 3;
const TIMED_OUT: u64 = 4;
const CANCELLED: u64 = 5;

/// Which wait of its owner a claim is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// Whoever it waited for woke it.
    Woken,
    /// The deadline passed first.
    TimedOut,
    /// The task was cancelled first.
    Cancelled,
}

impl Outcome {
    fn phase(self) -> u64 {
        match self {
            Outcome::Woken => WOKEN,
            Outcome::TimedOut => TIMED_OUT,
            Outcome::Cancelled => CANCELLED,
        }
    }

    fn from_phase(phase: u64) -> Option<Outcome> {
        match phase {
            WOKEN => Some(Outcome::Woken),
            TIMED_OUT => Some(Outcome::TimedOut),
            CANCELLED => Some(Outcome::Cancelled),
            _ => None,
        }
    }
}

/// What the winner of a claim has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Claimed {
    /// The stack had not been left: a task's worker will see the claim by itself, a thread or a future must be told.
    OnStack,
    /// The stack had been left: the winner makes the task runnable.
    Parked,
}

#[derive(Debug)]
pub(crate) struct State {
    word: AtomicU64,
}

impl State {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> State {
        State { word: AtomicU64::new(RUNNING) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> State {
        State { word: AtomicU64::new(RUNNING) }
    }

    /// The owner begins a wait, which no canceller can end if it is closed.
    #[inline]
    pub(crate) fn arm(&self, closed: bool) -> Epoch {
        self.arm_shielded(if closed { CLOSED } else { 0 })
    }

    /// The owner begins a wait in the shield of this number, or in none: 0.
    #[inline]
    pub(crate) fn arm_shielded(&self, shields: u32) -> Epoch {
        // Relaxed: only the owner takes the word out of a final phase, and the epoch reaches wakers through the lock of
        // the queue it is published in.
        let word = self.word.load(Ordering::Relaxed);
        debug_assert!(!matches!(word & PHASE, WAITING | PARKED), "armed twice");
        let count = (word & !(PHASE | SHIELDS)).wrapping_add(EPOCH_ONE);
        let epoch = count | (u64::from(shields.min(CLOSED)) * SHIELDS_ONE);
        self.word.store(epoch | WAITING, Ordering::Relaxed);
        Epoch(epoch)
    }

    /// The owner takes its wait back before it has left its stack. Fails with the outcome if somebody claimed it.
    #[inline]
    pub(crate) fn withdraw(&self, epoch: Epoch) -> Result<(), Outcome> {
        chaos::point();
        // Acquire on failure: pairs with the Release of `claim`.
        match self.word.compare_exchange(epoch.0 | WAITING, epoch.0 | RUNNING, Ordering::Relaxed, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(word) => Err(Outcome::from_phase(word & PHASE).expect("a wait is withdrawn before it is committed")),
        }
    }

    /// The owner's stack has been left: called on another stack of the same kernel thread. `false` if the wait has
    /// been claimed already, and then the caller makes the task runnable.
    #[inline]
    pub(crate) fn commit(&self) -> bool {
        // Relaxed: this kernel thread wrote it, or the compare-exchange fails.
        let word = self.word.load(Ordering::Relaxed);
        if word & PHASE != WAITING {
            // Synchronise with the claim all the same: the owner reads what its waker wrote.
            // Acquire: pairs with the Release of `claim`.
            let _ = self.word.load(Ordering::Acquire);
            return false;
        }
        chaos::point();
        // Release on success: gives the stack to the claimer's Acquire. Acquire on failure: pairs with the Release of
        // `claim`.
        self.word.compare_exchange(word, word & !PHASE | PARKED, Ordering::Release, Ordering::Acquire).is_ok()
    }

    /// A waker, a timer or a canceller takes this wait. `None` if it is over or somebody else has it.
    #[inline]
    pub(crate) fn claim(&self, epoch: Epoch, outcome: Outcome) -> Option<Claimed> {
        let claimed = epoch.0 | outcome.phase();
        // AcqRel: Acquire takes over the stack that `commit` released; Release shows the owner what the waker wrote
        // before (pairs with `commit`, `outcome` and `withdraw`). The likely phase is tried first.
        match self.word.compare_exchange(epoch.0 | PARKED, claimed, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Some(Claimed::Parked),
            Err(word) if word == epoch.0 | WAITING => self.claim_waiting(epoch, claimed),
            Err(_) => None,
        }
    }

    fn claim_waiting(&self, epoch: Epoch, claimed: u64) -> Option<Claimed> {
        chaos::point();
        // AcqRel: as in `claim`.
        match self.word.compare_exchange(epoch.0 | WAITING, claimed, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => Some(Claimed::OnStack),
            // It was committed in between.
            Err(word) if word == epoch.0 | PARKED => {
                chaos::point();
                let exchanged = self.word.compare_exchange(word, claimed, Ordering::AcqRel, Ordering::Relaxed);
                exchanged.is_ok().then_some(Claimed::Parked)
            }
            Err(_) => None,
        }
    }

    /// Claims whatever wait the owner is in, if it is in one and in the shield of this number: for a canceller, which knows
    /// no epoch.
    pub(crate) fn claim_current(&self, shields: u32, outcome: Outcome) -> Option<Claimed> {
        // Relaxed: the caller's heavy fence came before; see `Header::cancel`.
        let word = self.word.load(Ordering::Relaxed);
        let has = (word & SHIELDS) / SHIELDS_ONE;
        chaos::point();
        match word & PHASE {
            WAITING | PARKED if shields < CLOSED && has == u64::from(shields) => {
                self.claim(Epoch(word & !PHASE), outcome)
            }
            _ => None,
        }
    }

    /// Whether this wait can still be claimed. A hint: it may be over the next moment.
    #[inline]
    pub(crate) fn is_claimable(&self, epoch: Epoch) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word == epoch.0 | PARKED || word == epoch.0 | WAITING
    }

    /// Whether the owner waits, and has left its stack. A hint, likewise.
    pub(crate) fn is_parked(&self) -> bool {
        self.word.load(Ordering::Relaxed) & PHASE == PARKED
    }

    /// How the owner's wait ended, if it has.
    #[inline]
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        // Acquire: pairs with the Release of `claim`.
        Outcome::from_phase(self.word.load(Ordering::Acquire) & PHASE)
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::primitive::{AtomicU64, TrackedCell};
    use loom::thread;
    use std::sync::Arc;

    /// A task as the protocol sees it: its state, its stack, and a count of how often it was made runnable.
    struct Task {
        state: State,
        stack: TrackedCell<u32>,
        /// What a waker hands over.
        given: TrackedCell<u32>,
        runnable: AtomicU64,
    }

    // SAFETY: that the cells are used by one thread at a time is what loom checks.
    unsafe impl Sync for Task {}
    // SAFETY: as above.
    unsafe impl Send for Task {}

    impl Task {
        fn new() -> Arc<Task> {
            let (state, runnable) = (State::new(), AtomicU64::new(0));
            Arc::new(Task { state, stack: TrackedCell::new(0), given: TrackedCell::new(0), runnable })
        }

        /// Resumes the task: whoever does that has its stack alone.
        fn resume(&self) {
            self.stack.with_mut(|stack| {
                // SAFETY: loom checks that nobody else is here.
                unsafe { *stack += 1 }
            });
            self.runnable.fetch_add(1, Ordering::Relaxed);
        }

        /// Gives and claims, as a waker does that holds the queue's lock.
        fn wake(&self, epoch: Epoch, outcome: Outcome) -> bool {
            match self.state.claim(epoch, outcome) {
                Some(Claimed::Parked) => self.resume(),
                Some(Claimed::OnStack) => {}
                None => return false,
            }
            true
        }

        /// Leaves the stack.
        fn suspend(&self) {
            self.stack.with_mut(|stack| {
                // SAFETY: as above.
                unsafe { *stack += 1 }
            });
            if !self.state.commit() {
                self.resume();
            }
        }
    }

    #[test]
    fn a_parked_task_is_resumed_once_on_a_stack_that_was_left() {
        loom::model(|| {
            let task = Task::new();
            let epoch = task.state.arm(false);
            let waker = thread::spawn({
                let task = Arc::clone(&task);
                move || {
                    // SAFETY: written before the claim, read after it.
                    task.given.with_mut(|given| unsafe { *given = 7 });
                    assert!(task.wake(epoch, Outcome::Woken));
                }
            });
            task.suspend();
            if task.state.outcome() == Some(Outcome::Woken) {
                // SAFETY: as above.
                task.given.with(|given| assert_eq!(unsafe { *given }, 7));
            }
            waker.join().unwrap();
            assert_eq!(task.runnable.load(Ordering::Relaxed), 1);
            assert_eq!(task.state.outcome(), Some(Outcome::Woken));
        });
    }

    #[test]
    fn of_several_claimers_one_wins() {
        loom::model(|| {
            let task = Task::new();
            let epoch = task.state.arm(false);
            let claimers = [Outcome::Woken, Outcome::TimedOut].map(|outcome| {
                let task = Arc::clone(&task);
                thread::spawn(move || task.wake(epoch, outcome))
            });
            task.suspend();
            let [woken, timed_out] = claimers.map(|claimer| claimer.join().unwrap());
            assert!(woken != timed_out);
            assert_eq!(task.runnable.load(Ordering::Relaxed), 1);
            assert_eq!(task.state.outcome(), Some(if woken { Outcome::Woken } else { Outcome::TimedOut }));
        });
    }

    #[test]
    fn a_withdrawn_wait_is_nobodys() {
        loom::model(|| {
            let task = Task::new();
            let epoch = task.state.arm(false);
            let waker = thread::spawn({
                let task = Arc::clone(&task);
                move || {
                    // SAFETY: the waker writes before it claims; the owner reads if it was claimed.
                    task.given.with_mut(|given| unsafe { *given = 7 });
                    task.wake(epoch, Outcome::Woken)
                }
            });
            match task.state.withdraw(epoch) {
                Ok(()) => assert!(!waker.join().unwrap()),
                Err(outcome) => {
                    assert_eq!(outcome, Outcome::Woken);
                    // SAFETY: as above.
                    task.given.with(|given| assert_eq!(unsafe { *given }, 7));
                    assert!(waker.join().unwrap());
                }
            }
            assert_eq!(task.runnable.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn a_stale_claimer_does_not_end_the_next_wait() {
        loom::model(|| {
            let task = Task::new();
            let stale = task.state.arm(false);
            let late = thread::spawn({
                let task = Arc::clone(&task);
                move || task.state.claim(stale, Outcome::TimedOut).is_some()
            });
            let withdrawn = task.state.withdraw(stale).is_ok();
            let epoch = task.state.arm(false);
            assert!(withdrawn != late.join().unwrap());
            assert!(task.state.is_claimable(epoch));
            assert_eq!(task.state.claim(epoch, Outcome::Woken), Some(Claimed::OnStack));
        });
    }

    #[test]
    fn a_shielded_wait_is_closed_to_those_who_know_no_epoch() {
        loom::model(|| {
            let task = Task::new();
            let epoch = task.state.arm(true);
            let canceller = thread::spawn({
                let task = Arc::clone(&task);
                move || task.state.claim_current(0, Outcome::Cancelled).is_some()
            });
            task.suspend();
            assert!(!canceller.join().unwrap());
            assert!(task.wake(epoch, Outcome::Woken));
        });
    }

    /// The handshake of `Header::cancel` against `park`: flag and state word, with a fence on each side.
    #[test]
    fn a_cancelled_task_does_not_sleep_on() {
        loom::model(|| {
            let task = Task::new();
            let cancelled = Arc::new(crate::primitive::AtomicBool::new(false));
            let canceller = thread::spawn({
                let (task, cancelled) = (Arc::clone(&task), Arc::clone(&cancelled));
                move || {
                    cancelled.store(true, Ordering::Relaxed);
                    crate::asymmetric::heavy();
                    if task.state.claim_current(0, Outcome::Cancelled) == Some(Claimed::Parked) {
                        task.resume();
                    }
                }
            });
            let epoch = task.state.arm(false);
            crate::asymmetric::light();
            let goes_on = if cancelled.load(Ordering::Relaxed) {
                let _ = task.state.withdraw(epoch);
                true
            } else {
                task.suspend();
                false
            };
            canceller.join().unwrap();
            assert!(goes_on || task.runnable.load(Ordering::Relaxed) == 1, "nobody wakes it any more");
        });
    }
}
