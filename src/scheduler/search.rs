//! A worker without work: where it looks, and how it goes to sleep.
//!
//! It looks, in this order: into its own slot and queue, at its timers, into the injector, into the others' queues from
//! a random one on, and at their slots. Then it goes to sleep in the poller, if nobody else is there, else in the
//! kernel's thread parker. See `idle.rs` for why no work is overlooked.
//!
//! # Naps
//! While some work and others sleep, one of the sleepers only *naps*: it gets up after 50 µs, then after twice as long
//! each time, up to 10 ms, and looks after those who work:
//!
//! * A task that has been in another worker's next slot since the last look, while that worker did not take a turn,
//!   won't be run by its owner soon: it is stolen. ("The moment" of `slot.rs`.)
//! * Timers of a worker that is busy for long are fired here, and the poller is never without somebody at it.
//!
//! The nap replaces a wake for each task that goes into a slot, which is what two tasks that talk do a hundred million
//! times a second. When nobody works any more the one that naps sleeps like the others, so an idle runtime has no tick.
//!
//! Who goes to sleep also sees to the memory of idle stacks and tasks, once a second while there is more than may be kept
//! for ever; that soon comes to an end, and so do these wake-ups.
//!
//! A worker that leaves the poller with work leaves it unwatched. If it was busy for long the last time, it gets another
//! worker up to watch. (The first long run is not foreseen; it ends, or the queue's own wake-ups get somebody up.)

use super::worker::Worker;
use super::{ABANDONED, RUNNING};
use crate::control::{Header, blocks};
use crate::primitive::Ordering;
use crate::stack;
use std::cell::Cell;
use std::ptr;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(10);
/// How often idle memory is looked after while there is too much of it.
const TRIM: Duration = Duration::from_secs(1);
/// A task must have been in the slot for this long before it is stolen from there.
const SLOT_MOMENT: Duration = Duration::from_micros(40);
/// A worker that ran this long between two sleeps is expected to do so again.
const LONG_RUN: Duration = Duration::from_micros(200);

/// What a thief saw in a slot.
#[derive(Clone, Copy)]
struct Sighting {
    victim: usize,
    task: *const Header,
    turn: u32,
    at: Instant,
}

pub(super) struct Nap {
    length: Cell<Duration>,
    sighting: Cell<Option<Sighting>>,
    /// When this worker last got up with work from the poller, if nobody was got up to watch it.
    up_since: Cell<Option<Instant>>,
    long_runs: Cell<bool>,
}

impl Nap {
    pub(super) fn new() -> Nap {
        Nap {
            length: Cell::new(NAP),
            sighting: Cell::new(None),
            up_since: Cell::new(None),
            long_runs: Cell::new(false),
        }
    }
}

impl Worker {
    /// The next task; sleeps until there is one. `None` when the worker is to end.
    #[inline]
    pub(super) fn next_task(&self) -> Option<NonNull<Header>> {
        match self.quick_next() {
            None => self.find_task(),
            task => task,
        }
    }

    #[inline(never)]
    fn find_task(&self) -> Option<NonNull<Header>> {
        let mut searching = false;
        loop {
            if self.scheduler.phase() == ABANDONED {
                self.stop_searching(searching);
                return None;
            }
            if let Some(task) = self.look_everywhere(&mut searching) {
                self.nap.length.set(NAP);
                if searching && self.scheduler.idle.end_search() {
                    // The last searcher has found work: there may be more.
                    self.scheduler.notify();
                }
                return Some(task);
            }
            if self.scheduler.phase() != RUNNING && !self.scheduler.unfinished() {
                self.stop_searching(searching);
                self.scheduler.wake_all();
                return None;
            }
            self.scheduler.idle.sleep(self.index(), searching);
            searching = self.sleep();
        }
    }

    fn stop_searching(&self, searching: bool) {
        if searching {
            self.scheduler.idle.end_search();
        }
    }

    fn look_everywhere(&self, searching: &mut bool) -> Option<NonNull<Header>> {
        let mut woken = self.woken.take();
        let now = Instant::now();
        self.shared().timers.expire(now, &mut woken);
        self.fire(woken);
        if let Some(task) = self.quick_next().or_else(|| self.take_injected()) {
            return Some(task);
        }
        if !*searching {
            *searching = self.scheduler.idle.start_search();
        }
        if *searching { self.steal(now) } else { None }
    }

    /// Tries every other worker, from a random one on.
    fn steal(&self, now: Instant) -> Option<NonNull<Header>> {
        let workers = &self.scheduler.workers;
        let first = self.rng.below(workers.len());
        let victims = || (first..workers.len()).chain(0..first).filter(|&victim| victim != self.index());
        victims()
            .find_map(|victim| self.steal_from(&workers[victim]))
            .or_else(|| victims().find_map(|victim| self.steal_from_slot(victim, now)))
    }

    fn steal_from_slot(&self, victim: usize, now: Instant) -> Option<NonNull<Header>> {
        let shared = &self.scheduler.workers[victim];
        let task = shared.slot.peek();
        if task.is_null() {
            return None;
        }
        let turn = shared.turn.load(Ordering::Relaxed);
        match self.nap.sighting.get() {
            Some(seen) if seen.victim == victim && seen.task == task && seen.turn == turn => {
                (now.saturating_duration_since(seen.at) >= SLOT_MOMENT).then(|| shared.slot.steal()).flatten()
            }
            _ => {
                self.nap.sighting.set(Some(Sighting { victim, task, turn, at: now }));
                None
            }
        }
    }

    /// Sleeps, once it has been counted as sleeping. Returns whether it got up as a searcher.
    fn sleep(&self) -> bool {
        let scheduler = &*self.scheduler;
        let mut woken = self.woken.take();
        let in_sight = self.work_in_sight();
        if !in_sight {
            let napping = !scheduler.idle.all_sleep()
                // Relaxed: a hint; that two nap, or none for a moment, does no harm.
                && scheduler.napping.compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            let deadline = self.deadline(napping).into_iter().chain(self.trim()).min();
            self.note_run();
            match scheduler.netpoll().try_driver() {
                Some(mut driver) => self.shared().sleep.poll(&mut driver, deadline, &mut woken),
                None => self.shared().sleep.park(deadline),
            }
            if napping {
                scheduler.napping.store(false, Ordering::Relaxed);
                self.look_after_timers(&mut woken);
            }
        }
        let searching = scheduler.idle.get_up(self.index(), in_sight);
        if !woken.is_empty() {
            self.watch_poller();
        }
        self.fire(woken);
        searching
    }

    /// Until when to sleep: the next timer, or the end of the nap.
    fn deadline(&self, napping: bool) -> Option<Instant> {
        let own = self.shared().timers.next();
        if !napping {
            return own;
        }
        let length = self.nap.length.get();
        self.nap.length.set((length * 2).min(LONGEST_NAP));
        let end = Instant::now() + length;
        Some(self.scheduler.workers.iter().filter_map(|shared| shared.timers.next()).fold(end, Instant::min))
    }

    /// Looks after idle memory, if that is due. Returns when it will be due again.
    fn trim(&self) -> Option<Instant> {
        if !stack::has_excess() && !blocks::has_excess() {
            return None;
        }
        let now = Instant::now();
        let mut next = self.scheduler.next_trim.lock();
        if now < *next {
            return Some(*next);
        }
        *next = now + TRIM;
        let after = *next;
        drop(next);
        stack::trim_unused();
        blocks::trim_unused();
        Some(after)
    }

    /// Fires the timers of those who are too busy to.
    fn look_after_timers(&self, woken: &mut Vec<crate::wait::Wakeup>) {
        let now = Instant::now();
        for shared in &self.scheduler.workers {
            shared.timers.expire(now, woken);
        }
    }

    /// The last look into every queue.
    fn work_in_sight(&self) -> bool {
        let scheduler = &*self.scheduler;
        scheduler.phase() == ABANDONED
            || !scheduler.injector.is_empty()
            || scheduler.workers.iter().any(|shared| !shared.stealer.is_empty())
            || !ptr::eq(self.shared().slot.peek(), ptr::null())
            || (scheduler.phase() != RUNNING && !scheduler.unfinished())
    }

    /// It is about to sleep: was it up for long?
    fn note_run(&self) {
        if let Some(since) = self.nap.up_since.take() {
            self.nap.long_runs.set(since.elapsed() > LONG_RUN);
        }
    }

    /// It leaves the poller with work.
    fn watch_poller(&self) {
        self.nap.up_since.set(Some(Instant::now()));
        if self.nap.long_runs.get() && !self.scheduler.napping.load(Ordering::Relaxed) {
            self.call_for_nap();
        }
    }
}
