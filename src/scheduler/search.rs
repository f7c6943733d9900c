//! A worker without work: where it looks, and how it goes to sleep.
//!
//! It looks, in this order,
//! 1. at its own timers, slot and queue;
//! 2. into the injector;
//! 3. if any task was set aside (see `crew.rs`), at the poller, and then at those;
//! 4. at the other workers, from a random one on.
//!
//! Then it goes to sleep: in the poller if nobody else is there, else in the kernel's thread parker. See `idle.rs` for why no
//! work is overlooked.
//!
//! # What is worth stealing
//! A task that is stolen runs on a cold cache, and drags those it talks to after it. Where tasks wait for a fraction of
//! a microsecond only, as in a group that passes messages round, two workers do the work of one in three times its time.
//! So a thief first watches for [`WATCH`]: how many turns did the victim take? From that and the length of its queue
//! follows how long the tasks in there wait for their turn. It steals half of the queue if that is longer than
//! [`PATIENCE`], and the task in the next slot only if the victim took no turn at all. A queue of [`LONG_QUEUE`] needs no
//! watch, which would cost more than the whole batch (32 tasks at most) that it ends in: a thief that helps with a million
//! short tasks would watch most of the time.
//!
//! A watch costs as much as a short task, so it is cut short where less tells enough: every time its length has doubled
//! it is asked whether the queue is long enough even if the next turn is about to come. What the thief saw of the same
//! victim at its last search, less than [`RECENT`] ago, counts as a watch of that length.
//!
//! Before it watches it asks the poller: what nobody has begun with is better than what another worker will come to. A
//! server's workers would else share their leftovers, two tasks a theft, while the sockets wait. It doesn't do so twice
//! in the same turn of a victim, which may be a long one: the poller of a busy server always has something.
//!
//! # Naps
//! So work may be in sight that isn't worth stealing *now*. While some work and others sleep, one of the sleepers at
//! least only *naps*: it gets up after 50 µs, then after twice as long each time, up to 10 ms, and looks after those
//! who work: at their queues and slots as above, at their timers, and at the poller, which is never without somebody at
//! it. A worker that was woken, or found work, begins with the shortest nap again.
//!
//! While somebody naps shortly, work that is put into a worker's own queue wakes nobody: it is looked at soon. So a
//! group of tasks that wake each other a million times a second costs one wake of a kernel thread in a third of a
//! millisecond. (What comes in from outside, through the injector, always wakes.) When nobody works any more, the one
//! that naps sleeps like the others, so an idle runtime has no tick.
//!
//! Who goes to sleep also sees to the memory of idle stacks and tasks, once a second while there is more than may be kept
//! for ever; that soon comes to an end, and so do these wake-ups.
//!
//! A worker that leaves the poller with work leaves it unwatched. If it was busy for long the last time, it gets another
//! worker up to watch. (The first long run is not foreseen; it ends, or the queue's own wake-ups get somebody up.)

use super::crew::{Orders, Seat};
use super::duty::ON;
use super::idle::Choice;
use super::worker::Worker;
use crate::chaos;
use crate::control::{Header, blocks, clock};
use crate::primitive::{AtomicU32, Ordering, clear_below, spin_loop};
use crate::stack;
use std::cell::Cell;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_micros(50);
/// Naps up to this one are short.
const SHORT_NAP: Duration = Duration::from_micros(200);
const LONGEST_NAP: Duration = Duration::from_millis(10);
/// How long a thief watches before it steals.
const WATCH: Duration = Duration::from_micros(3);
/// When a thief asks itself for the first time whether it has seen enough.
const FIRST_GLANCE: Duration = Duration::from_nanos(400);
/// For so long a look at a victim tells how fast it takes its turns.
const RECENT: Duration = Duration::from_millis(1);
/// How long tasks may wait in a queue before it is worth stealing them: about what waking a kernel thread costs.
const PATIENCE: Duration = Duration::from_micros(10);
/// A queue of this length is worth stealing from without a watch: no turn takes less than 20 ns.
const LONG_QUEUE: usize = PATIENCE.as_nanos() as usize / 20;
/// A worker that ran this long between two sleeps is expected to do so again.
const LONG_RUN: Duration = Duration::from_micros(200);
/// How often idle memory is looked after while there is too much of it.
const TRIM: Duration = Duration::from_secs(1);

/// In the scheduler's count of those who nap: one short nap. The long ones are in the high half.
const SHORT: u32 = 1;
const LONG: u32 = 1 << 16;

/// Whether somebody will look soon after those who work.
#[inline]
pub(super) fn naps_shortly(naps: &AtomicU32) -> bool {
    // Relaxed: a hint. If the one that napped is just getting up, it looks all the same.
    naps.load(Ordering::Relaxed) & (LONG - 1) > 0
}

pub(super) struct Nap {
    length: Cell<Duration>,
    /// When this worker last got up with work from the poller.
    up_since: Cell<Option<Instant>>,
    long_runs: Cell<bool>,
    /// For the next search.
    last_look: Cell<Option<Look>>,
}

/// What a worker saw when it last searched and found work.
#[derive(Clone, Copy)]
struct Look {
    /// The first worker that had some, and its turn.
    victim: usize,
    turn: u32,
    at: Instant,
}

impl Nap {
    pub(super) fn new() -> Nap {
        Nap {
            length: Cell::new(NAP),
            up_since: Cell::new(None),
            long_runs: Cell::new(false),
            last_look: Cell::new(None),
        }
    }
}

impl Worker {
    /// The next task; sleeps until there is one. `None` when the worker is to end.
    #[inline]
    pub(super) fn next_task(&self) -> Option<NonNull<Header>> {
        match self.quick_next() {
            None => {
                let task = self.find_task();
                // To steal uses a thread-local (of `crossbeam_epoch`), to sleep those of the C library and of `std`.
                clear_below();
                task
            }
            task => task,
        }
    }

    #[inline(never)]
    fn find_task(&self) -> Option<NonNull<Header>> {
        let mut searching = false;
        loop {
            if self.should_report() {
                match self.report(&mut searching) {
                    Orders::Work => {}
                    Orders::Visit => return self.seat().home.take(),
                    Orders::End => return None,
                }
            }
            if let Some(task) = self.look_everywhere(&mut searching) {
                self.nap.length.set(NAP);
                if searching && self.scheduler.idle.end_search() {
                    // The last searcher has found work: there may be more.
                    self.scheduler.notify();
                }
                return Some(task);
            }
            if self.scheduler.is_over() {
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
        clock::tick(now);
        self.seat().timers.expire(now, &mut woken);
        self.fire(woken);
        if let Some(task) = self.quick_next().or_else(|| self.take_injected()) {
            return Some(task);
        }
        if !self.scheduler.set_aside.is_empty() {
            self.poll_now();
            if let task @ Some(_) = self.quick_next().or_else(|| self.take_set_aside()) {
                return task;
            }
        }
        if !*searching {
            *searching = self.scheduler.idle.start_search();
        }
        if *searching { self.steal() } else { None }
    }

    /// Watches the other workers, and steals from the first one, from a random one on, where that is worth it.
    fn steal(&self) -> Option<NonNull<Header>> {
        let crew = &self.scheduler.crew;
        let count = crew.len();
        let first = self.context.rng.below(count);
        let victims = || (first..count).chain(0..first).filter(|&victim| victim != self.index());
        let long = |&victim: &usize| crew.seat(victim).stealer.len() >= LONG_QUEUE;
        if let Some(stolen) = victims().filter(long).find_map(|victim| self.steal_from(crew.seat(victim))) {
            return Some(stolen);
        }
        // The first few that have work are enough: the others are looked at the next time.
        let mut seen = [(usize::MAX, 0); 8];
        let mut found = 0;
        for victim in victims().filter(|&victim| crew.seat(victim).has_work()).take(seen.len()) {
            seen[found] = (victim, crew.seat(victim).turn.load(Ordering::Relaxed));
            found += 1;
        }
        if found == 0 {
            return None;
        }
        let (victim, turn) = seen[0];
        let look = Look { victim, turn, at: Instant::now() };
        let last = self.nap.last_look.replace(Some(look)).filter(|last| last.victim == victim);
        if last.is_none_or(|last| last.turn != turn) {
            self.poll_now();
            if let task @ Some(_) = self.quick_next() {
                return task;
            }
        }
        if let Some(last) = last
            && let since = look.at - last.at
            && (FIRST_GLANCE..RECENT).contains(&since)
            && let task @ Some(_) = self.steal_early(crew.seat(victim), last.turn, since)
        {
            return task;
        }
        self.watch(look.at, &seen[..found])
    }

    /// Watches victims, which had taken so many turns when it `begun`, until it is clear whether one is worth stealing from.
    fn watch(&self, begun: Instant, seen: &[(usize, u32)]) -> Option<NonNull<Header>> {
        let victims = || seen.iter().map(|&(victim, turn)| (&**self.scheduler.crew.seat(victim), turn));
        let mut glance = FIRST_GLANCE;
        loop {
            let watched = begun.elapsed();
            if watched >= WATCH {
                return victims().find_map(|(victim, turn)| self.steal_if_worth(victim, turn));
            }
            if watched >= glance {
                if let task @ Some(_) = victims().find_map(|(victim, turn)| self.steal_early(victim, turn, watched)) {
                    return task;
                }
                glance = watched * 2;
            }
            spin_loop();
        }
    }

    /// Steals from a victim, seen for less or more than a whole watch, if its queue is so long that it is worth it even if
    /// the next turn is about to come.
    fn steal_early(&self, victim: &Seat, turn: u32, watched: Duration) -> Option<NonNull<Header>> {
        // Relaxed: a hint.
        let turns = victim.turn.load(Ordering::Relaxed).wrapping_sub(turn);
        let waits = watched.as_nanos() as u64 * victim.stealer.len() as u64 / (u64::from(turns) + 1);
        if waits > PATIENCE.as_nanos() as u64 { self.steal_from(victim) } else { None }
    }

    /// Steals from a victim that had taken so many turns when the watch began, which is over.
    fn steal_if_worth(&self, victim: &Seat, turn: u32) -> Option<NonNull<Header>> {
        // Relaxed: a hint.
        let turns = victim.turn.load(Ordering::Relaxed).wrapping_sub(turn);
        let waits = WATCH.as_nanos() as u64 * victim.stealer.len() as u64 / u64::from(turns.max(1));
        if turns == 0 || waits > PATIENCE.as_nanos() as u64 {
            let stolen = self.steal_from(victim);
            if stolen.is_some() {
                return stolen;
            }
        }
        if turns == 0 && !victim.slot.peek().is_null() { victim.slot.steal() } else { None }
    }

    /// Sleeps, once it has been counted as sleeping. Returns whether it got up as a searcher.
    fn sleep(&self) -> bool {
        let scheduler = &*self.scheduler;
        let mut woken = self.woken.take();
        let in_sight = self.has_to_stay_up();
        if !in_sight {
            self.look_for_libraries();
            self.release_credits(0);
            if self.has_last_seat && !scheduler.set_aside.is_empty() {
                // That isn't for this one, which perhaps was got up for it.
                self.call_another();
            }
            let nap = self.nap();
            let deadline = self.deadline(nap).into_iter().chain(self.trim()).min();
            self.note_run();
            self.member.rest(|| match scheduler.netpoll().try_driver() {
                Some(mut driver) => self.seat().sleep.poll(&mut driver, deadline, &mut woken),
                None => self.seat().sleep.park(deadline),
            });
            if let Some((_, kind)) = nap {
                scheduler.naps.fetch_sub(kind, Ordering::Relaxed);
                self.look_after_timers(&mut woken);
            }
        }
        let searching = scheduler.idle.get_up(self.index(), in_sight);
        chaos::point();
        scheduler.monitor.note_up(!scheduler.idle.any_sleeps());
        if !woken.is_empty() {
            self.watch_poller();
        }
        if searching {
            self.nap.length.set(NAP);
        }
        self.fire(woken);
        searching
    }

    #[cold]
    fn call_another(&self) {
        if let Choice::Wake(index) = self.scheduler.idle.choose_other(self.index()) {
            self.scheduler.wake(index);
        }
    }

    /// Whether this sleep is to be a nap, and for how long; counts it by its kind.
    fn nap(&self) -> Option<(Duration, u32)> {
        let scheduler = &*self.scheduler;
        if scheduler.idle.all_sleep() {
            return None;
        }
        let length = self.nap.length.get();
        let kind = if length <= SHORT_NAP { SHORT } else { LONG };
        // Relaxed (both): a hint; that two nap for long, or a moment passes until one does, does no harm.
        if kind == LONG && scheduler.naps.load(Ordering::Relaxed) > 0 {
            return None;
        }
        scheduler.naps.fetch_add(kind, Ordering::Relaxed);
        self.nap.length.set((length * 2).min(LONGEST_NAP));
        Some((length, kind))
    }

    /// Until when to sleep: the next timer, or the end of the nap.
    fn deadline(&self, nap: Option<(Duration, u32)>) -> Option<Instant> {
        let Some((length, _)) = nap else { return self.seat().timers.next() };
        let end = Instant::now() + length;
        Some(self.scheduler.crew.iter().filter_map(|seat| seat.timers.next()).fold(end, Instant::min))
    }

    /// Looks after idle memory, if that is due. Returns when it will be due again.
    fn trim(&self) -> Option<Instant> {
        if blocks::has_excess() {
            self.context.blocks.give_up();
        } else if !stack::has_excess() {
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
        for seat in self.scheduler.crew.iter() {
            seat.timers.expire(now, woken);
        }
    }

    /// The last look before a sleep. Work in another worker's queue is no reason to stay up: that one works, and whoever
    /// put it there has woken somebody, or somebody naps, or this one is going to.
    fn has_to_stay_up(&self) -> bool {
        let scheduler = &*self.scheduler;
        !scheduler.injector.is_empty()
            || self.seat().has_work()
            || self.seat().home.is_filled()
            || self.seat().duty() != ON
            || !scheduler.set_aside.is_empty() && !self.is_last_one()
            || scheduler.crew.len() > scheduler.idle.on_duty() && scheduler.crew.has_work_left()
            || scheduler.is_over()
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
        if self.nap.long_runs.get() && self.scheduler.naps.load(Ordering::Relaxed) == 0 {
            self.call_for_nap();
        }
    }
}
