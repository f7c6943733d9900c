//! Cancel scopes: how far a cancellation unwinds.
//!
//! A participant (a task, or a kernel thread while it is in a scope) has a list of [`Scope`]s, innermost first. Each lies
//! in the frame that opened it, which is also where an unwinding for its sake ends. Outermost is the task as a whole,
//! which has no frame but a flag; a thread has no such thing.
//!
//! A scope is *over* once it was cancelled or its deadline has passed, and never goes back. A wait ends as cancelled if a
//! scope that is *open to* it is over, and then it unwinds to the outermost such scope.
//!
//! # Shields
//! A shield keeps out what lies outside of it, and no scope that is opened in it. It is in the list as well, and has a
//! number that nothing else had in there when it was entered: where all are left in order, how many shields there are. A
//! wait has the number of the innermost shield, or 0; a scope has the one that waits had when it was entered, and is open to
//! those that have the same. So no shield around the wait was entered after the scope: the innermost would have been, too,
//! and its number would be another.
//!
//! (A scope that was entered in a shield and outlives it, in another crate's coroutine, is open to no wait from then on.)
//!
//! Rejected: counting the shields. If one was left before another in it, or before a scope in it, others may be as many
//! without being the same, and keep out nothing. Then there unwinds what must not: a guard that locks again would live on
//! without its lock.
//!
//! # Deadlines
//! A scope has no timer. Whoever begins a wait asks [`Scopes::limit`] for the nearest deadline of its scopes, and
//! waits no longer; if that is what ends the wait, it is a cancellation. So nothing fires that would have to be called
//! off, and a scope that was left in time leaves nothing behind.
//!
//! # The races of cancelling a scope, and why they can't happen
//! * **A wait that is not in the scope is ended.** A canceller holds a lock that the owner takes before it leaves the
//!   frame (the token's), and claims nothing but a wait that has the scope's number, which is part of the epoch. So what
//!   it claims is a wait inside, which the scope is open to.
//! * **A cancelled scope sleeps on.** As for a task: the canceller marks the scope, fences and reads the state word, the
//!   owner arms its state word, fences and reads the marks; see [`Header::cancel`](super::Header::cancel).

use super::Outcome;
use crate::asymmetric;
use crate::primitive::{AtomicBool, AtomicU8, Ordering};
use std::cell::Cell;
use std::ptr;
use std::time::Instant;

/// A stretch of a participant's run that can be cancelled by itself; or a shield, which is never over.
///
/// # Invariant
/// From [`Scopes::enter`] to [`Scopes::leave`] it stays where it is.
pub(crate) struct Scope {
    deadline: Option<Instant>,
    cancelled: AtomicBool,
    is_shield: bool,
    /// A shield's own number.
    shields: Cell<u32>,
    outer: Cell<*const Scope>,
}

/// What an unwinding is for: a scope's address, which serves as a name among those that are open at one time; or 0, the
/// task as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target(usize);

impl Target {
    pub(crate) const WHOLE: Target = Target(0);
}

impl Scope {
    pub(crate) fn new(deadline: Option<Instant>) -> Scope {
        let (cancelled, shields, outer) = (AtomicBool::new(false), Cell::new(0), Cell::new(ptr::null()));
        Scope { deadline, cancelled, is_shield: false, shields, outer }
    }

    pub(crate) fn shield() -> Scope {
        Scope { is_shield: true, ..Scope::new(None) }
    }

    pub(crate) fn target(&self) -> Target {
        Target(ptr::from_ref(self).addr())
    }

    /// The number of a wait that this scope is open to. It doesn't change while the scope is entered.
    pub(crate) fn shields(&self) -> u32 {
        self.shields.get()
    }

    /// The first half of cancelling; the fence and the claim follow.
    pub(crate) fn mark_cancelled(&self) {
        // Relaxed: the owner itself sees it, or there is a fence.
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self, now: impl FnOnce() -> Instant) -> bool {
        // Relaxed: ordered by the owner's fence.
        self.cancelled.load(Ordering::Relaxed) || self.deadline.is_some_and(|deadline| deadline <= now())
    }
}

/// The task as a whole is cancelled.
const WHOLE: u8 = 1;
/// There is a scope that is no shield. Written by the owner alone.
const SCOPED: u8 = 2;

/// A participant's scopes and shields.
///
/// # Invariant
/// The list leads through entered scopes; so does the owner's stack, in the same order. (Unless it is in another crate's
/// coroutine now and then: what was entered there may be left before what was entered later elsewhere.)
pub(crate) struct Scopes {
    /// Zero means that nothing here can end a wait, which is all that most waits ever read.
    flags: AtomicU8,
    /// The number of the innermost shield, or 0.
    shields: Cell<u32>,
    innermost: Cell<*const Scope>,
}

impl Scopes {
    pub(crate) fn new() -> Scopes {
        Scopes { flags: AtomicU8::new(0), shields: Cell::new(0), innermost: Cell::new(ptr::null()) }
    }

    /// The number of a wait that would begin now. 0 if the owner is in no shield.
    #[inline]
    pub(crate) fn shields(&self) -> u32 {
        self.shields.get()
    }

    /// Whether the owner, which has armed its state word, can wait as if there were no cancellation.
    #[inline]
    pub(crate) fn are_quiet(&self) -> bool {
        asymmetric::light();
        // Relaxed: ordered by the fence.
        self.flags.load(Ordering::Relaxed) == 0
    }

    /// The task as a whole is cancelled: the first half, as for a scope.
    pub(crate) fn mark_cancelled(&self) {
        // Relaxed: as in `Scope::mark_cancelled`.
        self.flags.fetch_or(WHOLE, Ordering::Relaxed);
    }

    /// The scopes and shields, innermost first.
    fn entered(&self) -> impl Iterator<Item = &Scope> {
        let mut at = self.innermost.get();
        std::iter::from_fn(move || {
            // SAFETY: the invariant. Only the owner is here, so no scope is left meanwhile.
            let scope = unsafe { at.as_ref() }?;
            at = scope.outer.get();
            Some(scope)
        })
    }

    /// The scopes that are open to a wait that would begin now, innermost first.
    fn open(&self) -> impl Iterator<Item = &Scope> {
        self.entered().filter(|scope| !scope.is_shield && scope.shields() == self.shields())
    }

    /// The number for one more shield. Where all are left in order, the first one tried is free.
    fn next_shield(&self) -> u32 {
        let up = self.entered().filter(|scope| scope.is_shield).count() as u32;
        let is_free = |&number: &u32| self.entered().all(|scope| scope.shields() != number);
        (up + 1..).find(is_free).expect("there are fewer in the list")
    }

    fn is_whole_cancelled(&self) -> bool {
        // Relaxed: as in `are_quiet`.
        self.flags.load(Ordering::Relaxed) & WHOLE != 0 && self.shields.get() == 0
    }

    /// For a wait that is armed, and would by itself end at `deadline`: when it has to end, and what has come to pass then.
    /// `None` if it must not begin.
    #[inline]
    pub(crate) fn limit(
        &self,
        deadline: Option<Instant>,
        now: impl Fn() -> Instant,
    ) -> Option<(Option<Instant>, Outcome)> {
        if self.are_quiet() { Some((deadline, Outcome::TimedOut)) } else { self.limit_by_scopes(deadline, now) }
    }

    #[cold]
    fn limit_by_scopes(
        &self,
        deadline: Option<Instant>,
        now: impl Fn() -> Instant,
    ) -> Option<(Option<Instant>, Outcome)> {
        if self.is_whole_cancelled() || self.open().any(|scope| scope.is_over(&now)) {
            return None;
        }
        match self.open().filter_map(|scope| scope.deadline).min() {
            Some(end) if deadline.is_none_or(|deadline| end < deadline) => Some((Some(end), Outcome::Cancelled)),
            _ => Some((deadline, Outcome::TimedOut)),
        }
    }

    /// The outermost of what is over: how far to unwind. `None` if nothing is.
    #[cold]
    pub(crate) fn target(&self, now: impl Fn() -> Instant) -> Option<Target> {
        if self.is_whole_cancelled() {
            return Some(Target::WHOLE);
        }
        self.open().filter(|scope| scope.is_over(&now)).last().map(Scope::target)
    }

    /// The owner enters a scope or a shield.
    ///
    /// # Safety
    /// It stays where it is until `leave`.
    pub(crate) unsafe fn enter(&self, scope: &Scope) {
        if scope.is_shield {
            self.shields.set(self.next_shield());
        } else {
            // Relaxed: for the owner itself.
            self.flags.fetch_or(SCOPED, Ordering::Relaxed);
        }
        scope.shields.set(self.shields.get());
        scope.outer.set(self.innermost.replace(scope));
    }

    /// The owner leaves what it has entered: its innermost one, but see the invariant.
    pub(crate) fn leave(&self, scope: &Scope) {
        let mut link = &self.innermost;
        while !ptr::eq(link.get(), scope) {
            // SAFETY: the invariant; the list is not at its end, for the scope is in it.
            link = unsafe { &(*link.get()).outer };
        }
        link.set(scope.outer.get());
        if scope.is_shield {
            self.shields.set(self.entered().find(|scope| scope.is_shield).map_or(0, Scope::shields));
        } else if self.entered().all(|scope| scope.is_shield) {
            // Relaxed: as in `enter`.
            self.flags.fetch_and(!SCOPED, Ordering::Relaxed);
        }
    }

    /// Whether the owner is in no scope and no shield.
    pub(crate) fn is_empty(&self) -> bool {
        self.innermost.get().is_null()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// As when they were entered by coroutines.
    #[test]
    fn scopes_are_left_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let scopes = Scopes::new();
            let entered = [(); 3].map(|()| Box::new(Scope::new(None)));
            // SAFETY: they stay until they are left.
            entered.iter().for_each(|scope| unsafe { scopes.enter(scope) });
            let mut entered = entered.map(Some);
            for place in order {
                assert!(!scopes.is_empty() && !scopes.are_quiet());
                scopes.leave(&entered[place].take().unwrap());
                let left: Vec<Target> = entered.iter().rev().flatten().map(|scope| scope.target()).collect();
                assert_eq!(scopes.open().map(Scope::target).collect::<Vec<_>>(), left);
            }
            assert!(scopes.is_empty() && scopes.are_quiet());
        }
    }

    #[test]
    fn a_scope_that_was_entered_behind_a_shield_hides_no_other() {
        let scopes = Scopes::new();
        let [outer, shield, inner] = [Scope::new(None), Scope::shield(), Scope::new(None)];
        // SAFETY: they stay as long as the list.
        [&outer, &shield, &inner].into_iter().for_each(|scope| unsafe { scopes.enter(scope) });
        let open = || scopes.open().map(Scope::target).collect::<Vec<_>>();
        assert_eq!(open(), [inner.target()]);
        scopes.leave(&shield);
        assert_eq!(open(), [outer.target()]);
    }

    /// In whatever order they are entered and left.
    #[test]
    fn no_scope_is_open_that_a_shield_keeps_out() {
        const STEPS: u32 = 6;
        const WAYS: u32 = 6;
        for mut way in 0..WAYS.pow(STEPS) {
            let scopes = Scopes::new();
            let mut entered = Vec::new();
            for _ in 0..STEPS {
                match (way % WAYS) as usize {
                    new @ 0..2 => {
                        entered.push(Box::pin(if new == 0 { Scope::new(None) } else { Scope::shield() }));
                        // SAFETY: it stays where it is until it is left, or to the end.
                        unsafe { scopes.enter(entered.last().unwrap()) };
                    }
                    old if old - 2 < entered.len() => scopes.leave(&entered.remove(old - 2)),
                    _ => break,
                }
                way /= WAYS;
                let outside = entered.iter().rposition(|scope| scope.is_shield).map_or(0, |shield| shield + 1);
                let inside: Vec<Target> = entered[outside..].iter().map(|scope| scope.target()).collect();
                assert!(scopes.open().all(|scope| inside.contains(&scope.target())));
                assert_eq!(scopes.shields() > 0, outside > 0);
                assert_eq!(scopes.are_quiet(), entered.iter().all(|scope| scope.is_shield));
            }
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::control::{Claimed, Epoch, State};
    use crate::lock::Lock;
    use loom::thread;
    use std::ptr::NonNull;
    use std::sync::Arc;

    struct Task {
        state: State,
        scopes: Scopes,
        /// The token's list.
        listed: Lock<Option<NonNull<Scope>>>,
    }

    // SAFETY: the cells are the owner's, but for those of a listed scope that doesn't change.
    unsafe impl Send for Task {}
    // SAFETY: as above.
    unsafe impl Sync for Task {}

    impl Task {
        fn new() -> Arc<Task> {
            Arc::new(Task { state: State::new(), scopes: Scopes::new(), listed: Lock::new(None) })
        }

        /// What `Token::cancel` does, on a thread of its own. Whether it claimed a wait that had been committed.
        fn cancel(self: &Arc<Task>) -> thread::JoinHandle<bool> {
            let task = Arc::clone(self);
            thread::spawn(move || {
                // SAFETY: a listed scope is open.
                if let Some(scope) = *task.listed.lock() {
                    unsafe { scope.as_ref() }.mark_cancelled();
                }
                asymmetric::heavy();
                let listed = task.listed.lock();
                // SAFETY: as above.
                let shields = listed.map(|scope| unsafe { scope.as_ref() }.shields());
                shields.is_some_and(|shields| {
                    task.state.claim_current(shields, Outcome::Cancelled) == Some(Claimed::Parked)
                })
            })
        }

        fn within(&self, f: impl FnOnce()) {
            let scope = Scope::new(None);
            // SAFETY: it is left before this frame is.
            unsafe { self.scopes.enter(&scope) };
            *self.listed.lock() = Some(NonNull::from(&scope));
            f();
            *self.listed.lock() = None;
            self.scopes.leave(&scope);
        }

        /// Begins a wait as `park` does; `None` if it is over at once.
        fn wait(&self) -> Option<Epoch> {
            let epoch = self.state.arm_shielded(self.scopes.shields());
            if self.scopes.limit(None, Instant::now).is_none() {
                let _ = self.state.withdraw(epoch);
                return None;
            }
            Some(epoch)
        }
    }

    #[test]
    fn a_wait_in_a_cancelled_scope_does_not_sleep_on() {
        loom::model(|| {
            let task = Task::new();
            let canceller = Cell::new(None);
            task.within(|| {
                canceller.set(Some(task.cancel()));
                let waits = task.wait().is_some();
                let parked = waits && task.state.commit();
                let woken = canceller.take().unwrap().join().unwrap();
                assert_eq!(woken, parked, "nobody wakes it any more");
            });
        });
    }

    #[test]
    fn a_wait_outside_of_the_scope_goes_on() {
        loom::model(|| {
            let task = Task::new();
            let canceller = Cell::new(None);
            task.within(|| {
                canceller.set(Some(task.cancel()));
                if let Some(epoch) = task.wait() {
                    let _ = task.state.withdraw(epoch);
                }
            });
            let epoch = task.wait().expect("nothing is cancelled");
            task.state.commit();
            assert!(!canceller.take().unwrap().join().unwrap());
            assert!(task.state.is_claimable(epoch));
        });
    }

    #[test]
    fn a_shielded_wait_in_the_scope_goes_on() {
        loom::model(|| {
            let task = Task::new();
            let canceller = Cell::new(None);
            task.within(|| {
                canceller.set(Some(task.cancel()));
                let shield = Scope::shield();
                // SAFETY: it is left below.
                unsafe { task.scopes.enter(&shield) };
                let epoch = task.wait().expect("it is shielded");
                task.state.commit();
                assert!(!canceller.take().unwrap().join().unwrap());
                assert!(task.state.is_claimable(epoch));
                task.scopes.leave(&shield);
            });
        });
    }
}
