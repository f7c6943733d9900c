//! The migration guard: which tasks may go on elsewhere than on the kernel thread that they left.
//!
//! A task that goes on at home costs a comparison. One that comes out of a queue on another thread is looked at first, by that
//! thread, which owns it:
//!
//! ```text
//!    it has not begun ─────────────────────────────────────────▶ it begins here
//!    this is its home ─────────────────────────────────────────▶ it goes on
//!    it is pinned, or the runtime moves none that have begun ──▶ it is held
//!    its stack leads back to its home (see `tls/`) ────────────▶ it is held
//!    it waits on another stack than its own ───────────────────▶ it is held
//!    else ─────────────────────────────────────────────────────▶ this is its home from now on, and it goes on
//! ```
//!
//! A task that is held is put into its home's inbox (see `home.rs`), and the thread that had it takes the next one. It goes on
//! at home, where nobody asks; so a task makes this journey once for each time that somebody else takes it from a queue. Those of
//! which it is known beforehand that they will be held are put into the inbox when they become runnable.
//!
//! # The races, and why they can't happen
//! * **The stack changes while it is searched.** The searcher has taken the task out of a queue, as if to run it.
//! * **The home's thread ends** while its storage is read, or before the task arrives: see `home.rs`.
//! * **Two threads send one another the same task.** Only its home may run it without asking, and nobody takes it from there.

use super::worker::Worker;
use super::{Runnable, Scheduler};
use crate::control::Header;
use crate::primitive::{AtomicU64, Ordering, clear_below};
use crate::tls::Watch;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// One search of so many is timed.
const TIMED: u64 = 64;
/// How often, in turns, a busy worker asks whether libraries have come or gone.
pub(super) const LIBRARY_TURNS: u32 = 4096;

/// Which tasks a runtime moves from one kernel thread to another; see
/// [`Builder::migration`](crate::runtime::Builder::migration).
///
/// A task that moves while it holds what belongs to its thread, such as a borrow of a thread-local or an `Rc` out of one, is
/// undefined behaviour that the compiler doesn't see. The repository's `docs/soundness.md` tells how each of these answers
/// that, and how to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migration {
    /// All that seem to hold nothing of their thread's: those whose stacks have no word that leads to the thread's storage.
    ///
    /// That costs some nanoseconds, and only when a task moves. It sees what is held by an address, and can't see all.
    #[default]
    Guarded,
    /// Only tasks that have not begun. One that has goes on where it began.
    ///
    /// Nothing that a task holds ever changes its thread. The price: work is shared less evenly, and a task that is woken by one
    /// of another worker's waits until that worker gets up, or, if another task blocks it in the kernel, until that is over. So a
    /// lock of `std` that a task keeps over a wait can block the thread that it must go on on, for ever.
    BeforeFirstRun,
}

/// `Migration`, and what can't be had without `unsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Guarded,
    BeforeFirstRun,
    Unguarded,
}

impl From<Migration> for Policy {
    fn from(migration: Migration) -> Policy {
        match migration {
            Migration::Guarded => Policy::Guarded,
            Migration::BeforeFirstRun => Policy::BeforeFirstRun,
        }
    }
}

/// What one worker has counted. Written by it alone.
pub(super) struct Counters {
    moved: AtomicU64,
    searched: AtomicU64,
    held: AtomicU64,
    /// For the searches that were timed.
    nanoseconds: AtomicU64,
}

fn add(counter: &AtomicU64, amount: u64) {
    // Relaxed: a figure.
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn new() -> Counters {
        let [moved, searched, held, nanoseconds] = [(); 4].map(|()| AtomicU64::new(0));
        Counters { moved, searched, held, nanoseconds }
    }
}

/// What a runtime has counted since it started; see [`Runtime::metrics`](crate::runtime::Runtime::metrics).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    migrations: u64,
    guard_scans: u64,
    guard_holds: u64,
    guard_time: Duration,
}

impl Metrics {
    /// How often a task that had begun went on on another kernel thread than it had left.
    pub fn migrations(&self) -> u64 {
        self.migrations
    }

    /// How often the migration guard searched a stack.
    pub fn guard_scans(&self) -> u64 {
        self.guard_scans
    }

    /// How often a task was sent back to its own kernel thread: because of what the guard saw, or because it was
    /// [pinned](crate::task::pin), or for [`Migration::BeforeFirstRun`]'s sake.
    pub fn guard_holds(&self) -> u64 {
        self.guard_holds
    }

    /// How much time the searches have taken, as far as that is known: one of 64 is timed.
    pub fn guard_time(&self) -> Duration {
        self.guard_time
    }
}

impl Worker {
    /// Whether the task may go on here. If not it has been sent home.
    ///
    /// # Safety
    /// It came out of a queue.
    #[inline]
    pub(super) unsafe fn may_run(&self, task: NonNull<Header>) -> bool {
        // SAFETY: the caller's: it is alive, and ours.
        let header = unsafe { task.as_ref() };
        // SAFETY: likewise.
        header.is_at_home(self.index()) || header.fiber.get().is_none() || unsafe { self.take_in(task) }
    }

    /// A task that has its home elsewhere, and has come out of a queue here.
    #[inline(never)]
    unsafe fn take_in(&self, task: NonNull<Header>) -> bool {
        // SAFETY: the caller's, see `may_run`.
        let header = unsafe { task.as_ref() };
        let scheduler = &*self.scheduler;
        let tally = &self.seat().migrations;
        if scheduler.is_bound(header) || scheduler.policy == Policy::Guarded && self.leads_back(header) {
            add(&tally.held, 1);
            scheduler.send_home(task);
            return false;
        }
        let before = scheduler.crew.seat(header.home());
        if before.home.leave() {
            before.sleep.wake(&scheduler.netpoll);
        }
        header.set_home(self.index());
        self.seat().home.settle();
        add(&tally.moved, 1);
        true
    }

    /// Whether the task's stack leads back to its home.
    #[inline]
    fn leads_back(&self, header: &Header) -> bool {
        let tally = &self.seat().migrations;
        let begun = tally.searched.load(Ordering::Relaxed).is_multiple_of(TIMED).then(Instant::now);
        let fiber = header.fiber.get().expect("it has begun");
        let view = self.scheduler.crew.seat(header.home()).home.view();
        // What can't be searched may hold anything.
        // SAFETY: it is suspended on this fiber, and it is ours.
        let found = view.is_some_and(|view| unsafe { fiber.as_ref().live().is_none_or(|live| view.is_led_to(live)) });
        add(&tally.searched, 1);
        if let Some(begun) = begun {
            add(&tally.nanoseconds, begun.elapsed().as_nanos() as u64);
        }
        found
    }

    /// The running task leaves its stack for the first time.
    #[cold]
    pub(super) fn enroll(&self, task: NonNull<Header>) {
        // SAFETY: it is unfinished, in no list, ours, and `end` takes it out.
        unsafe { self.scheduler.registry.enter(self.index(), task) };
        // SAFETY: it is alive.
        unsafe { task.as_ref() }.set_home(self.index());
        self.seat().home.settle();
    }

    /// Puts a task behind the others: into the queue, or where nobody looks for it if that would be in vain.
    #[inline]
    pub(super) fn enqueue(&self, task: NonNull<Header>) {
        // SAFETY: the caller has it, to be put into a queue.
        let header = unsafe { task.as_ref() };
        if self.keeps_begun && header.is_at_home(self.index()) {
            // Whoever keeps the thread keeps it, too: a report should say so.
            header.set_held(true);
            // The thread is up: it is this one.
            let _ = self.seat().home.put(task);
        } else {
            self.queue.push(Runnable(task));
        }
    }

    /// The first in the queue or in the inbox: each in turn if there is something in both.
    #[inline]
    pub(super) fn pop(&self) -> Option<NonNull<Header>> {
        if self.seat().home.has_notes() {
            return self.pop_either();
        }
        self.queue.pop().map(|Runnable(task)| task)
    }

    #[cold]
    fn pop_either(&self) -> Option<NonNull<Header>> {
        if self.seat().home.take_haste()
            && let task @ Some(_) = self.look_outside()
        {
            return task;
        }
        // Not by the number of the turn: where the slot has every other one, one of the two would have all the rest.
        let queue_first = self.queue_first.get();
        self.queue_first.set(!queue_first);
        if queue_first && let Some(Runnable(task)) = self.queue.pop() {
            return Some(task);
        }
        self.seat().home.take().or_else(|| self.queue.pop().map(|Runnable(task)| task))
    }

    /// Asks whether libraries have come or gone, which may have brought storage of their own.
    #[cold]
    pub(super) fn look_for_libraries(&self) {
        let home = &self.seat().home;
        if home.version().is_some_and(|version| version.is_stale()) {
            home.renew();
        }
        // The dynamic linker tells where the blocks are.
        clear_below();
    }
}

impl Scheduler {
    /// The calling thread's, which is about to become a worker.
    pub(super) fn watch(&self) -> Option<Watch> {
        (self.policy == Policy::Guarded).then(Watch::of_this_thread)
    }

    /// Whether a task that has begun goes on at home whatever is on its stack.
    #[inline]
    pub(super) fn is_bound(&self, header: &Header) -> bool {
        self.policy == Policy::BeforeFirstRun || header.pins.get() > 0
    }

    /// Puts a task that has begun, and that the caller has in hand, into its home's inbox.
    #[cold]
    pub(super) fn send_home(&self, task: NonNull<Header>) {
        // SAFETY: it is alive as long as it is in no queue; its home's thread waits for it then.
        let header = unsafe { task.as_ref() };
        let seat = self.crew.seat(header.home());
        header.set_held(true);
        if seat.home.put(task) {
            seat.sleep.wake(&self.netpoll);
        }
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        let mut timed = 0;
        for Counters { moved, searched, held, nanoseconds } in self.crew.iter().map(|seat| &seat.migrations) {
            let searched = searched.load(Ordering::Relaxed);
            metrics.migrations += moved.load(Ordering::Relaxed);
            metrics.guard_scans += searched;
            metrics.guard_holds += held.load(Ordering::Relaxed);
            let timed_here = searched.div_ceil(TIMED);
            timed += timed_here;
            metrics.guard_time += Duration::from_nanos(nanoseconds.load(Ordering::Relaxed));
        }
        if timed > 0 {
            metrics.guard_time = metrics.guard_time.mul_f64(metrics.guard_scans as f64 / timed as f64);
        }
        metrics
    }
}
