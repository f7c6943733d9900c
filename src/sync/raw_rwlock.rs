//! The raw readers-writer lock: one word to enter and leave, and two queues for those who must wait.
//!
//! # States
//! ```text
//!   bit 0 WRITER       a writer is in, alone
//!   bit 1 UPGRADABLE   one of the readers may become a writer
//!   bit 2 QUEUED       somebody waits: all come by the slow path (written under the queues' lock only)
//!   from bit 3         the number of readers, the upgradable one included
//! ```
//! Three can wait: readers, in a crowd; writers and upgradable readers, in *the line*; and the upgradable reader that
//! becomes a writer once all others have left.
//!
//! # Protocol
//! While nobody waits, entering is one compare-exchange and leaving one subtraction. Who can't enter sets `QUEUED` under
//! the queues' lock and waits to be let in. Who leaves and sees `QUEUED` *settles*: it lets in, on their behalf, all who
//! can enter now. The lock is always handed over: nobody overtakes those who wait. Phases alternate:
//!
//! * **Writers aren't starved by readers.** While a writer is first in the line, or an upgrade waits, new readers queue.
//!   The last reader to leave lets the writer in.
//! * **Readers aren't starved by writers.** A writer that leaves lets in all readers that have queued by then, before
//!   the next writer. So a reader waits for at most one writer to enter and leave, and a writer for one phase of
//!   readers for each writer before it.
//!
//! It follows that a task or thread that reads must not ask to read again: if a writer came in between, both wait for ever.
//!
//! # The races, and why they can't happen
//! * **Lost wake-up: queued just as the last one leaves.** `QUEUED` is set by a compare-exchange on the word that shows that
//!   the lock is taken, so the leave either comes before, and it fails, or sees `QUEUED` and waits for the queues'
//!   lock, which is held until the node is linked.
//! * **Let in, and gone.** The one let in counts in the word before it is claimed, so it may leave at once. If the claim
//!   fails it is subtracted again, and the settling goes on with the next one, and evaluates the word anew: one who
//!   left in between did not see the lock empty, so it did not settle.
//! * **One who gives up blocks others.** A writer that times out or is cancelled had readers wait behind it. So whoever
//!   gives up settles.
//! * **A batch of readers outlives its phase.** Many readers are let in some at a time. If the first have all left before
//!   the last are in, and a writer entered, the rest isn't admitted, and waits for the next phase.
//!
//! # Tried and rejected
//! Go's lock counts a reader first and asks afterwards, which needs no compare-exchange. But a reader that gives up has to
//! take back a count of which it can't know what it meant by now. Letting writers overtake, as the mutex does, is not
//! worth a baton here: a lock that mostly writes should be a mutex.

use super::crowd::{self, Batch, Crowd};
use super::spin::spin;
use crate::control::Outcome;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::{Reason, wait_in};
use crate::primitive::{AtomicUsize, Ordering};
use crate::wait::WaitQueue;
use std::time::{Duration, Instant};

const WRITER: usize = 1;
const UPGRADABLE: usize = 2;
const QUEUED: usize = 4;
const READER: usize = 8;

/// How to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Shared,
    Exclusive,
    Upgradable,
}

impl Mode {
    /// What the word holds for one who is in.
    const fn share(self) -> usize {
        match self {
            Mode::Shared => READER,
            Mode::Exclusive => WRITER,
            Mode::Upgradable => READER | UPGRADABLE,
        }
    }

    /// The word once one more is in, if it can be together with those who are.
    #[inline]
    fn enter(self, state: usize) -> Option<usize> {
        let taken = match self {
            Mode::Shared => WRITER,
            Mode::Exclusive => !QUEUED,
            Mode::Upgradable => WRITER | UPGRADABLE,
        };
        (state & taken == 0).then_some(state + self.share())
    }
}

/// The word once the upgradable reader is a writer, if it is the only reader.
#[inline]
fn upgraded(state: usize) -> Option<usize> {
    (state & !QUEUED == Mode::Upgradable.share()).then_some(state & QUEUED | WRITER)
}

struct Queues {
    readers: Crowd,
    line: WaitQueue<Mode>,
    upgrade: WaitQueue<()>,
}

impl Queues {
    const fn new() -> Queues {
        Queues { readers: Crowd::new(), line: WaitQueue::new(), upgrade: WaitQueue::new() }
    }

    fn is_empty(&self) -> bool {
        self.readers.is_empty() && self.line.is_empty() && self.upgrade.is_empty()
    }

    /// Whether readers have to leave before others can come.
    fn writer_waits(&mut self) -> bool {
        !self.upgrade.is_empty() || self.line.front() == Some(&mut Mode::Exclusive)
    }

    /// Whether one who comes now may be next.
    fn may_pass(&mut self, mode: Mode) -> bool {
        match mode {
            Mode::Shared => !self.writer_waits(),
            Mode::Exclusive => self.is_empty(),
            Mode::Upgradable => self.line.is_empty() && self.upgrade.is_empty(),
        }
    }
}

/// The lock of an [`RwLock`](super::RwLock), without what it guards.
///
/// To be used through [`lock_api`]. It can be unlocked by another task or thread than locked it.
pub struct RawRwLock {
    state: AtomicUsize,
    queues: Lock<Queues>,
}

impl std::fmt::Debug for RawRwLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("RawRwLock")
            .field("readers", &(state / READER))
            .field("writer", &(state & WRITER != 0))
            .finish_non_exhaustive()
    }
}

impl RawRwLock {
    #[cfg(not(loom))]
    const fn new() -> RawRwLock {
        RawRwLock { state: AtomicUsize::new(0), queues: Lock::new(Queues::new()) }
    }

    #[cfg(loom)]
    fn new() -> RawRwLock {
        RawRwLock { state: AtomicUsize::new(0), queues: Lock::new(Queues::new()) }
    }

    /// Moves the word on, unless `next` says that it can't be.
    #[inline]
    fn advance(&self, next: impl Fn(usize) -> Option<usize>) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while let Some(entered) = next(state) {
            // Acquire: pairs with the Release of `leave` and `exchange`. For one who is let in, the claim passes it on.
            match self.state.compare_exchange_weak(state, entered, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// As `advance`; sets `QUEUED` if it can't. Under the queues' lock.
    fn advance_or_queue(&self, next: impl Fn(usize) -> Option<usize>) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let entered = next(state);
            // Acquire: as in `advance`. Who sees `QUEUED` takes the queues' lock, which synchronises.
            match self.state.compare_exchange_weak(
                state,
                entered.unwrap_or(state | QUEUED),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return entered.is_some(),
                Err(seen) => state = seen,
            }
        }
    }

    /// Enters if nobody waits and the lock is free for this.
    #[inline]
    fn try_enter(&self, mode: Mode) -> bool {
        self.advance(|state| if state & QUEUED == 0 { mode.enter(state) } else { None })
    }

    /// Enters, waiting if it must. Unwinds if the task is cancelled while it waits.
    #[inline]
    fn enter(&self, mode: Mode) {
        if !self.try_enter(mode) {
            self.enter_slow(mode, None);
        }
    }

    /// Enters; `false` if the deadline has passed. Unwinds if the task is cancelled while it waits.
    #[cold]
    fn enter_slow(&self, mode: Mode, deadline: Option<Instant>) -> bool {
        self.spin(mode) || self.enter_queued(mode, deadline)
    }

    /// Spins while the lock is likely to come free: it isn't if others have queued.
    fn spin(&self, mode: Mode) -> bool {
        spin(|| match self.try_enter(mode) {
            true => Some(true),
            false => (self.state.load(Ordering::Relaxed) & QUEUED != 0).then_some(false),
        })
    }

    /// As `enter_slow`, without a spin.
    fn enter_queued(&self, mode: Mode, deadline: Option<Instant>) -> bool {
        let mut queues = self.queues.lock();
        let passes = queues.may_pass(mode);
        if self.advance_or_queue(|state| if passes { mode.enter(state) } else { None }) {
            self.tidy(&queues);
            return true;
        }
        let outcome = match mode {
            Mode::Shared => crowd::wait(Reason::RwLockRead, deadline, &self.queues, queues, |q| &mut q.readers),
            Mode::Exclusive | Mode::Upgradable => {
                wait_in(Reason::RwLockWrite, deadline, &self.queues, queues, |q| &mut q.line, mode)
            }
        };
        self.conclude(outcome)
    }

    /// Turns the caller's upgradable reader into a writer; `false` if the deadline has passed. Unwinds if the task is
    /// cancelled.
    #[cold]
    fn upgrade_slow(&self, deadline: Option<Instant>) -> bool {
        let queues = self.queues.lock();
        if self.advance_or_queue(upgraded) {
            self.tidy(&queues);
            return true;
        }
        let outcome = wait_in(Reason::RwLockWrite, deadline, &self.queues, queues, |q| &mut q.upgrade, ());
        self.conclude(outcome)
    }

    /// After a wait: lets in whom the caller stood in the way of, if it gave up.
    fn conclude(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Woken => true,
            Outcome::TimedOut => {
                self.settle(false);
                false
            }
            Outcome::Cancelled => {
                self.settle(false);
                interrupt::unwind()
            }
        }
    }

    /// Leaves.
    ///
    /// # Safety
    /// The caller is in, in this mode.
    #[inline]
    unsafe fn leave(&self, mode: Mode) {
        // Release: pairs with the Acquire of `advance`.
        let before = self.state.fetch_sub(mode.share(), Ordering::Release);
        if before & QUEUED != 0 {
            self.left(mode, before - mode.share());
        }
    }

    /// After a leave that saw others wait, and left the word like this.
    #[cold]
    fn left(&self, mode: Mode, rest: usize) {
        let rest = rest & !QUEUED;
        match mode {
            Mode::Exclusive => self.settle(true),
            Mode::Upgradable => self.settle(false),
            Mode::Shared if rest == 0 || rest == Mode::Upgradable.share() => self.settle(false),
            Mode::Shared => {}
        }
    }

    /// Changes the caller's mode to one that lets more others in.
    ///
    /// # Safety
    /// The caller is in, in mode `from`.
    #[inline]
    unsafe fn exchange(&self, from: Mode, to: Mode) {
        // Release: pairs with the Acquire of `advance`.
        let before = self.state.fetch_add(to.share().wrapping_sub(from.share()), Ordering::Release);
        if before & QUEUED != 0 {
            self.settle(from == Mode::Exclusive);
        }
    }

    /// Lets in all who can be now.
    #[cold]
    fn settle(&self, readers_first: bool) {
        let queues = self.queues.lock();
        let end = queues.readers.next_ticket();
        crowd::in_batches(&self.queues, queues, |queues, batch| {
            if readers_first {
                self.let_readers_in(queues, end, batch);
            }
            self.let_line_in(queues, batch);
            if !queues.writer_waits() {
                self.let_readers_in(queues, end, batch);
            }
            self.tidy(queues);
        });
    }

    fn let_readers_in(&self, queues: &mut Queues, end: u64, batch: &mut Batch) {
        let admit = || self.advance(|state| Mode::Shared.enter(state));
        queues.readers.take_before(end, batch, admit, || self.dismiss(Mode::Shared));
    }

    fn let_line_in(&self, queues: &mut Queues, batch: &mut Batch) {
        let upgrade = || self.advance(upgraded).then_some(());
        // Relaxed: it was never a writer.
        let downgrade = || self.state.fetch_add(Mode::Upgradable.share() - WRITER, Ordering::Relaxed);
        if !batch.is_full()
            && let Some((_, wakeup)) = queues.upgrade.take_front(
                |()| upgrade(),
                |(), ()| {
                    downgrade();
                },
            )
        {
            batch.push(wakeup);
        }
        while !batch.is_full() {
            let admit = |mode: &mut Mode| self.advance(|state| mode.enter(state)).then_some(*mode);
            match queues.line.take_front(admit, |_, mode| self.dismiss(mode)) {
                Some((_, wakeup)) => batch.push(wakeup),
                None => return,
            }
        }
    }

    /// Takes back what was counted for one who has gone. Under the queues' lock.
    fn dismiss(&self, mode: Mode) {
        // Relaxed: it was never in.
        self.state.fetch_sub(mode.share(), Ordering::Relaxed);
    }

    /// Clears `QUEUED` if nobody waits. Under the queues' lock.
    fn tidy(&self, queues: &Queues) {
        if queues.is_empty() {
            // Relaxed: the bit carries no data.
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Lets those go first who wait, if any do. Isn't ended by cancellation: the guard lives on.
    ///
    /// # Safety
    /// The caller is in, in this mode.
    #[inline]
    unsafe fn step_aside(&self, mode: Mode) {
        if self.state.load(Ordering::Relaxed) & QUEUED != 0 {
            // SAFETY: the caller's.
            unsafe { self.leave(mode) };
            interrupt::shielded(|| self.enter(mode));
        }
    }
}

#[cfg(not(loom))]
mod face {
    //! What `lock_api` asks for.

    use super::{Duration, Instant, Mode, Ordering, QUEUED, RawRwLock, WRITER, upgraded};
    use crate::current::{may_be_simulated, step};
    use crate::interrupt;
    use crate::park::deadline_in;
    use crate::sync::relock;
    use lock_api::GuardSend;
    use std::panic::Location;

    impl RawRwLock {
        #[inline]
        fn lock(&self, mode: Mode, caller: &Location<'_>) -> GuardSend {
            if may_be_simulated() {
                self.lock_in_steps(mode, caller);
            } else {
                self.lock_without_steps(mode, caller);
            }
            GuardSend::new()
        }

        #[inline(always)]
        fn lock_without_steps(&self, mode: Mode, caller: &Location<'_>) {
            if !self.try_enter(mode) {
                self.lock_slow(mode, caller);
            }
        }

        #[cold]
        fn lock_slow(&self, mode: Mode, caller: &Location<'_>) {
            if !self.spin(mode) {
                relock::wait_for(caller, || self.enter_queued(mode, None));
            }
        }

        #[cold]
        fn lock_in_steps(&self, mode: Mode, caller: &Location<'_>) {
            step();
            self.lock_without_steps(mode, caller);
            step();
        }

        fn enter_by(&self, mode: Mode, deadline: Option<Instant>) -> Option<GuardSend> {
            step();
            (self.try_enter(mode) || self.enter_slow(mode, deadline)).then(GuardSend::new)
        }

        fn upgrade_by(&self, guard: GuardSend, deadline: Option<Instant>) -> Result<GuardSend, GuardSend> {
            step();
            // `lock_api` aborts if this unwinds.
            if self.advance(upgraded) || interrupt::shielded(|| self.upgrade_slow(deadline)) {
                Ok(guard)
            } else {
                Err(guard)
            }
        }
    }

    // SAFETY: the word admits one writer alone or readers only, every entry is an Acquire and every leave a Release. Who
    // unwinds while waiting is not counted.
    unsafe impl lock_api::RawRwLock for RawRwLock {
        #[allow(clippy::declare_interior_mutable_const)]
        const INIT: RawRwLock = RawRwLock::new();

        type SharedGuard = GuardSend;
        type ExclusiveGuard = GuardSend;

        #[inline]
        #[track_caller]
        fn lock_shared(&self) -> GuardSend {
            self.lock(Mode::Shared, Location::caller())
        }

        #[inline]
        fn try_lock_shared(&self) -> Option<GuardSend> {
            step();
            self.try_enter(Mode::Shared).then(GuardSend::new)
        }

        #[inline]
        unsafe fn unlock_shared(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.leave(Mode::Shared) };
        }

        #[inline]
        #[track_caller]
        fn lock_exclusive(&self) -> GuardSend {
            self.lock(Mode::Exclusive, Location::caller())
        }

        #[inline]
        fn try_lock_exclusive(&self) -> Option<GuardSend> {
            step();
            self.try_enter(Mode::Exclusive).then(GuardSend::new)
        }

        #[inline]
        unsafe fn unlock_exclusive(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.leave(Mode::Exclusive) };
        }

        #[inline]
        fn is_locked(&self) -> bool {
            step();
            self.state.load(Ordering::Relaxed) & !QUEUED != 0
        }

        #[inline]
        fn is_locked_exclusive(&self) -> bool {
            step();
            self.state.load(Ordering::Relaxed) & WRITER != 0
        }
    }

    // SAFETY: every unlock is a fair one.
    unsafe impl lock_api::RawRwLockFair for RawRwLock {
        #[inline]
        unsafe fn unlock_shared_fair(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.leave(Mode::Shared) };
        }

        #[inline]
        unsafe fn unlock_exclusive_fair(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.leave(Mode::Exclusive) };
        }

        #[inline]
        unsafe fn bump_shared(&self, _: &mut GuardSend) {
            // SAFETY: the caller's.
            unsafe { self.step_aside(Mode::Shared) };
        }

        #[inline]
        unsafe fn bump_exclusive(&self, _: &mut GuardSend) {
            // SAFETY: the caller's.
            unsafe { self.step_aside(Mode::Exclusive) };
        }
    }

    // SAFETY: one addition turns the writer into a reader, and releases.
    unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
        #[inline]
        unsafe fn downgrade(&self, guard: GuardSend) -> GuardSend {
            step();
            // SAFETY: the caller's.
            unsafe { self.exchange(Mode::Exclusive, Mode::Shared) };
            guard
        }
    }

    // SAFETY: as for `RawRwLock`.
    unsafe impl lock_api::RawRwLockTimed for RawRwLock {
        type Duration = Duration;
        type Instant = Instant;

        #[inline]
        fn try_lock_shared_for(&self, timeout: Duration) -> Option<GuardSend> {
            self.enter_by(Mode::Shared, deadline_in(timeout))
        }

        #[inline]
        fn try_lock_shared_until(&self, deadline: Instant) -> Option<GuardSend> {
            self.enter_by(Mode::Shared, Some(deadline))
        }

        #[inline]
        fn try_lock_exclusive_for(&self, timeout: Duration) -> Option<GuardSend> {
            self.enter_by(Mode::Exclusive, deadline_in(timeout))
        }

        #[inline]
        fn try_lock_exclusive_until(&self, deadline: Instant) -> Option<GuardSend> {
            self.enter_by(Mode::Exclusive, Some(deadline))
        }
    }

    // SAFETY: one upgradable reader is admitted at a time; it becomes a writer, with Acquire, when it is the only reader.
    unsafe impl lock_api::RawRwLockUpgrade for RawRwLock {
        type UpgradableGuard = GuardSend;

        #[inline]
        #[track_caller]
        fn lock_upgradable(&self) -> GuardSend {
            self.lock(Mode::Upgradable, Location::caller())
        }

        #[inline]
        fn try_lock_upgradable(&self) -> Option<GuardSend> {
            step();
            self.try_enter(Mode::Upgradable).then(GuardSend::new)
        }

        #[inline]
        unsafe fn unlock_upgradable(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.leave(Mode::Upgradable) };
        }

        #[inline]
        unsafe fn upgrade(&self, guard: GuardSend) -> GuardSend {
            self.upgrade_by(guard, None)
                .unwrap_or_else(|_| unreachable!("an upgrade without a deadline has none to miss"))
        }

        #[inline]
        unsafe fn try_upgrade(&self, guard: GuardSend) -> Result<GuardSend, GuardSend> {
            step();
            if self.advance(upgraded) { Ok(guard) } else { Err(guard) }
        }
    }

    // SAFETY: as above.
    unsafe impl lock_api::RawRwLockUpgradeFair for RawRwLock {
        #[inline]
        unsafe fn unlock_upgradable_fair(&self, _: GuardSend) {
            step();
            // SAFETY: the caller's.
            unsafe { self.leave(Mode::Upgradable) };
        }

        #[inline]
        unsafe fn bump_upgradable(&self, _: &mut GuardSend) {
            // SAFETY: the caller's.
            unsafe { self.step_aside(Mode::Upgradable) };
        }
    }

    // SAFETY: one addition changes the mode, and releases.
    unsafe impl lock_api::RawRwLockUpgradeDowngrade for RawRwLock {
        #[inline]
        unsafe fn downgrade_upgradable(&self, guard: GuardSend) -> GuardSend {
            step();
            // SAFETY: the caller's.
            unsafe { self.exchange(Mode::Upgradable, Mode::Shared) };
            guard
        }

        #[inline]
        unsafe fn downgrade_to_upgradable(&self, guard: GuardSend) -> GuardSend {
            step();
            // SAFETY: the caller's.
            unsafe { self.exchange(Mode::Exclusive, Mode::Upgradable) };
            guard
        }
    }

    // SAFETY: as above.
    unsafe impl lock_api::RawRwLockUpgradeTimed for RawRwLock {
        #[inline]
        fn try_lock_upgradable_for(&self, timeout: Duration) -> Option<GuardSend> {
            self.enter_by(Mode::Upgradable, deadline_in(timeout))
        }

        #[inline]
        fn try_lock_upgradable_until(&self, deadline: Instant) -> Option<GuardSend> {
            self.enter_by(Mode::Upgradable, Some(deadline))
        }

        #[inline]
        unsafe fn try_upgrade_for(&self, guard: GuardSend, timeout: Duration) -> Result<GuardSend, GuardSend> {
            self.upgrade_by(guard, deadline_in(timeout))
        }

        #[inline]
        unsafe fn try_upgrade_until(&self, guard: GuardSend, deadline: Instant) -> Result<GuardSend, GuardSend> {
            self.upgrade_by(guard, Some(deadline))
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::cell::UnsafeCell;
    use std::sync::Arc;

    struct Guarded {
        lock: RawRwLock,
        count: UnsafeCell<usize>,
    }

    // SAFETY: the lock guards the cell, which is what the model checks.
    unsafe impl Send for Guarded {}
    // SAFETY: as above.
    unsafe impl Sync for Guarded {}

    impl Guarded {
        fn read(&self) {
            self.lock.enter(Mode::Shared);
            // SAFETY (all): loom reports any access at the same time; each leaves in the mode it is in.
            unsafe {
                self.count.with(|count| *count);
                self.lock.leave(Mode::Shared);
            }
        }

        fn write(&self) {
            self.lock.enter(Mode::Exclusive);
            unsafe {
                self.count.with_mut(|count| *count += 1);
                self.lock.leave(Mode::Exclusive);
            }
        }

        fn upgrade(&self) {
            self.lock.enter(Mode::Upgradable);
            if !self.lock.advance(upgraded) {
                self.lock.upgrade_slow(None);
            }
            unsafe {
                self.count.with_mut(|count| *count += 1);
                self.lock.exchange(Mode::Exclusive, Mode::Shared);
                self.count.with(|count| *count);
                self.lock.leave(Mode::Shared);
            }
        }
    }

    fn race<const N: usize>(preemptions: usize, work: [fn(&Guarded); N]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(move || {
            let guarded = Arc::new(Guarded { lock: RawRwLock::new(), count: UnsafeCell::new(0) });
            let threads = work.map(|work| {
                let guarded = Arc::clone(&guarded);
                loom::thread::spawn(move || work(&guarded))
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(guarded.lock.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn loom_rwlock_readers_and_writer() {
        race(3, [Guarded::read, Guarded::write]);
        race(2, [Guarded::read, Guarded::read, Guarded::write]);
    }

    #[test]
    fn loom_rwlock_writers_and_reader() {
        race(2, [Guarded::write, Guarded::write, Guarded::read]);
    }

    #[test]
    fn loom_rwlock_upgrade() {
        race(3, [Guarded::upgrade, Guarded::read]);
        race(2, [Guarded::upgrade, Guarded::read, Guarded::write]);
    }
}
