//! The crew: who is on duty, who is stuck, and who steps in.
//!
//! A worker is a kernel thread on a *seat*: what the others see of it, its slot, its queue's other end, its timers, its
//! way to sleep. A task that blocks its thread, or computes without end, takes the thread with it, but not the seat's
//! belongings: anybody may take tasks from a seat's slot and queue, and claim its timers. So a worker that is stuck has
//! nothing to hand over. It only has to be *replaced*: by one on another seat.
//!
//! # Duties
//!
//! ```text
//!            announced section begins          the monitor sees it last
//!        ┌──────────────────────────▶ AWAY ───────────────────────────┐
//!        │ ◀──────────────────────────                                ▼
//!   ──▶ ON                  it ends                                 STUCK
//!    ▲   │ ──────────────────────────────────────────────────────────▶ │
//!    │   │           the monitor sees it asleep in the kernel, or      │
//!    │   │           on the same task for long                         │
//!    │   │ too many are on duty                 its task came back;    │ its task came back;
//!    │   ▼                                      there are enough       │ one is wanted: ON
//!    └─ SPARE ◀────────────────────────────────────────────────────────┘
//!  called in
//! ```
//!
//! A spare thread that has tasks in its inbox (see `home.rs`), which nobody else may run, runs them one by one: it is off duty
//! meanwhile, as one that is stuck, and spare again when the task leaves its stack.
//!
//! ON and AWAY are *on duty*. As many as are wanted are kept there: a seat that is relieved of its duty (it becomes
//! STUCK) is replaced by a spare one, whose thread is parked or has yet to be started. Where there are too many, since
//! the stuck came back, some become spare. A spare thread ends after [`SPARE_FOR`] without work, unless it is some task's home;
//! its seat stays.
//!
//! Duties change under the lock of the roster, but for ON and AWAY, which a worker and the monitor exchange by
//! compare-and-swap, so that an announced section costs no lock; see `duty.rs`.
//!
//! # Who looks after a seat that is off duty
//! * Its queue and slot: any worker that searches, as for every seat. But the others may never have to search, so the
//!   monitor takes over what lies there, now and at each look. What has begun goes into the injector. New tasks are often
//!   of the kind that got their neighbour stuck: they are *set aside*, and taken one by one, after what the injector
//!   and the poller have (and each [`SET_ASIDE_TURNS`](worker::SET_ASIDE_TURNS) turns in any case). So beside three
//!   hundred tasks that run on, those that serve somebody wait for two of these, not for all. A task that is stuck but
//!   runs may go on to wake others, into its own slot; as its seat is off duty it notifies each time (see
//!   `Worker::ready`).
//! * Its timers: the monitor.
//! * A spare seat has nothing in its queue and slot: its worker has put it into the injector before it parked.
//!
//! # The races, and why they can't happen
//! * **A worker is called stuck as it goes to sleep.** It is on the list of sleepers then, and off duty. The monitor finds
//!   it asleep and puts it on duty again; if it is woken before that, it sees its duty itself.
//! * **One that is stuck takes a turn**, and would put the task that it leaves into its queue, where nobody looks for it. It
//!   asks for its duty first, at every turn.
//! * **Work lies in the queue of one that is called stuck**, and the others go to sleep, as nobody is up whom they should
//!   look after. Whoever relieves it of its duty notifies afterwards, and a worker's last look before it sleeps covers those
//!   that are stuck. As for work that is published (see `idle.rs`), one of the two sees the other.
//! * **Work is published while a replacement is on its way.** The publisher finds no sleeper to wake. The replacement is a
//!   worker that is up: it looks everywhere before it sleeps, and its last look comes after the count (see `idle.rs`).
//! * **A spare one is called in while it still hands over.** Its duty is set and its sleep notified, so its park returns at
//!   once.
//!
//! # The last one
//! At most `max_threads` threads are started. The one on the last seat takes only tasks that have begun: what the stuck
//! ones wait for, such as a lock of `std`'s, is held by one of these, and a task that has not begun holds nothing. Those it
//! sets aside, until another worker comes back. (A task that has begun can block the last one too. No bound on threads
//! prevents that.) Where there are fewer than [`SPARES_FOR_A_LAST_ONE`] spare seats none is special: it would be missed
//! more than it helps.

use super::duty::{Duty, ON, SPARE, STUCK};
use super::home::Home;
use super::idle::Idle;
use super::migration::Counters;
use super::sleep::Sleep;
use super::slot::NextSlot;
use super::tally::Tally;
use super::thread_state;
use super::worker::{self, Worker};
use super::{Runnable, Scheduler};
use crate::chaos;
use crate::control::Header;
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use crate::stack;
use crate::timer::Timers;
use crossbeam_deque::{Steal, Stealer, Worker as Deque};
use crossbeam_utils::CachePadded;
use parking_lot::MutexGuard;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a spare thread waits to be called in before it ends.
pub(super) const SPARE_FOR: Duration = Duration::from_secs(3);

const SPARES_FOR_A_LAST_ONE: usize = 16;

/// Whether there are seats enough beside those of the workers for one of them to be special.
fn affords_last_one(workers: usize, max_threads: usize) -> bool {
    workers + SPARES_FOR_A_LAST_ONE <= max_threads
}

/// How many tasks the monitor moves from one seat before it looks at the next.
const RESCUED_AT_ONCE: usize = 4096;

/// What the others see of a worker.
pub(super) struct Seat {
    pub(super) slot: NextSlot,
    /// Counts the worker's turns, for others to see whether it moves. Written by the worker alone.
    pub(super) turn: AtomicU32,
    pub(super) duty: Duty,
    pub(super) stealer: Stealer<Runnable>,
    pub(super) timers: Timers,
    pub(super) sleep: Sleep,
    /// How many tasks were spawned and ended here.
    pub(super) tally: Tally,
    pub(super) home: Home,
    pub(super) migrations: Counters,
    /// The kernel's name of the thread; 0 while there is none.
    pub(super) thread: AtomicI32,
    /// The queue's own end, while no thread has it.
    queue: Mutex<Option<Deque<Runnable>>>,
}

impl Seat {
    fn new(start: Instant) -> Arc<CachePadded<Seat>> {
        let queue = Deque::new_fifo();
        Arc::new(CachePadded::new(Seat {
            slot: NextSlot::new(),
            turn: AtomicU32::new(0),
            duty: Duty::new(),
            stealer: queue.stealer(),
            timers: Timers::new(start),
            sleep: Sleep::new(),
            tally: Tally::new(),
            home: Home::new(),
            migrations: Counters::new(),
            thread: AtomicI32::new(0),
            queue: Mutex::new(Some(queue)),
        }))
    }

    #[inline]
    pub(super) fn duty(&self) -> u8 {
        self.duty.get()
    }

    /// Whether it counts among those who look for work.
    pub(super) fn is_on_duty(&self) -> bool {
        self.duty() < STUCK
    }

    /// Whether a task lies in its queue or slot. A hint.
    pub(super) fn has_work(&self) -> bool {
        !self.stealer.is_empty() || !self.slot.peek().is_null()
    }

    pub(super) fn sit_down(&self) -> Deque<Runnable> {
        self.queue.lock().take().expect("one thread at a time has a seat")
    }

    fn get_up(&self, queue: Deque<Runnable>) {
        *self.queue.lock() = Some(queue);
    }
}

/// All seats: those that were ever used, and room for as many as there may be threads.
pub(super) struct Crew {
    seats: Box<[OnceLock<Arc<CachePadded<Seat>>>]>,
    /// How many were made.
    open: AtomicUsize,
    start: Instant,
    /// What the threads are called, before their number.
    name: String,
    pub(super) roster: Mutex<Roster>,
    /// Whether the one on the last seat is a spare one.
    has_last_one: AtomicBool,
}

pub(super) struct Roster {
    /// Spare seats with a parked thread, and those without.
    pub(super) spares: Vec<usize>,
    vacant: Vec<usize>,
    /// How many are neither: their thread ends, and they will be vacant in a moment.
    leaving: usize,
    threads: Vec<Option<JoinHandle<()>>>,
    /// Those of threads whose seat has another one, on their way out.
    ending: Vec<JoinHandle<()>>,
    /// How many workers there are to be, and whether that is the machine's business.
    pub(super) wanted: usize,
    pub(super) follows_machine: bool,
    /// How many more than that while a wave of tasks blocks; see `monitor.rs`.
    pub(super) extra: usize,
}

/// What a worker that asked for its duty is to do.
#[derive(PartialEq, Eq)]
pub(super) enum Orders {
    Work,
    /// To run a task of its inbox, off duty.
    Visit,
    End,
}

impl Crew {
    pub(super) fn new(wanted: usize, max_threads: usize, name: &str, start: Instant) -> Crew {
        Crew {
            seats: (0..max_threads).map(|_| OnceLock::new()).collect(),
            open: AtomicUsize::new(0),
            start,
            name: name.into(),
            roster: Mutex::new(Roster {
                spares: Vec::new(),
                vacant: Vec::new(),
                leaving: 0,
                threads: Vec::new(),
                ending: Vec::new(),
                wanted,
                follows_machine: false,
                extra: 0,
            }),
            has_last_one: AtomicBool::new(affords_last_one(wanted, max_threads)),
        }
    }

    /// How many seats are in use, or were.
    #[inline]
    pub(super) fn len(&self) -> usize {
        // Acquire: pairs with the Release of `vacant_seat`.
        self.open.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn seat(&self, index: usize) -> &Arc<CachePadded<Seat>> {
        self.seats[index].get().expect("an open seat")
    }

    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Seat> + Clone {
        self.seats[..self.len()].iter().map(|seat| &***seat.get().expect("an open seat"))
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        // Relaxed: a hint.
        self.iter().filter(|seat| seat.thread.load(Ordering::Relaxed) != 0).count()
    }

    /// Whether work lies with one that is stuck.
    pub(super) fn has_work_left(&self) -> bool {
        self.iter().any(|seat| seat.duty() == STUCK && seat.has_work())
    }

    pub(super) fn max_threads(&self) -> usize {
        self.seats.len()
    }

    /// Sets how many workers there are to be.
    pub(super) fn want(&self, roster: &mut Roster, workers: usize, idle: &Idle) {
        roster.wanted = workers;
        idle.set_quota(workers + roster.extra);
        self.has_last_one.store(affords_last_one(workers, self.max_threads()), Ordering::Relaxed);
    }

    /// Whether this is the seat of the last thread that there may be.
    pub(super) fn is_last(&self, index: usize) -> bool {
        index + 1 == self.seats.len()
    }

    /// The last seat, if the one there is on duty.
    pub(super) fn last_on_duty(&self) -> Option<usize> {
        let last = self.seats.len() - 1;
        let is_on_duty =
            self.has_last_one.load(Ordering::Relaxed) && self.seats[last].get().is_some_and(|seat| seat.is_on_duty());
        is_on_duty.then_some(last)
    }

    /// Whether every thread that there may be is kept by a task, or works.
    pub(super) fn is_exhausted(&self, roster: &Roster) -> bool {
        let none_is_free = roster.spares.is_empty() && roster.vacant.is_empty() && roster.leaving == 0;
        none_is_free && self.len() == self.seats.len()
    }

    /// A seat without a thread; the last one only if there is no other.
    fn vacant_seat(&self, roster: &mut Roster) -> Option<usize> {
        let other = roster.vacant.iter().rposition(|&index| !self.is_last(index));
        if let Some(index) = other.map(|at| roster.vacant.remove(at)).or_else(|| roster.vacant.pop()) {
            return Some(index);
        }
        let index = self.len();
        if index == self.seats.len() {
            return None;
        }
        self.seats[index].get_or_init(|| Seat::new(self.start));
        roster.threads.push(None);
        // Release: pairs with the Acquire of `len`.
        self.open.store(index + 1, Ordering::Release);
        Some(index)
    }
}

/// No thread could be called in: an error if there may be more, but the system has none.
pub(super) struct Short(pub(super) Option<io::Error>);

impl Scheduler {
    /// Takes one off duty whose thread is busy with its task. `false` if it has just come back.
    pub(super) fn relieve(&self, seat: &Seat, duty: u8) -> bool {
        let roster = self.crew.roster.lock();
        if !seat.duty.relieve(duty, &self.idle) {
            return false;
        }
        drop(roster);
        chaos::point();
        self.rescue(seat);
        true
    }

    /// Takes over what lies with one that is stuck, so that those find it who have enough of their own to do, too.
    pub(super) fn rescue(&self, seat: &Seat) {
        if !seat.has_work() {
            return;
        }
        // The rest comes at the next look.
        for _ in 0..RESCUED_AT_ONCE {
            match seat.stealer.steal() {
                Steal::Success(task) => self.take_over(task),
                Steal::Retry => {}
                Steal::Empty => break,
            }
        }
        if let Some(task) = seat.slot.steal() {
            self.take_over(Runnable(task));
        }
        self.notify();
    }

    /// A new task is set aside: if it is of the kind that got its neighbour stuck, those that have begun needn't wait for it.
    fn take_over(&self, task: Runnable) {
        // SAFETY: it came out of a queue, so it is unfinished and ours.
        let has_begun = unsafe { task.0.as_ref() }.fiber.get().is_some();
        if has_begun { &self.injector } else { &self.set_aside }.push(task);
    }

    /// Puts a worker back on duty that was called stuck, but has gone to sleep.
    pub(super) fn reinstate(&self, seat: &Seat) {
        let _roster = self.crew.roster.lock();
        if seat.duty() == STUCK {
            seat.duty.take_up(&self.idle);
        }
    }

    /// Calls in as many spare workers.
    pub(super) fn call_in(&self, count: usize) -> Result<(), Short> {
        let mut roster = self.crew.roster.lock();
        for _ in 0..count {
            match self.call_one_in(&mut roster) {
                Ok(()) => {}
                // It calls the monitor when it has left.
                Err(Short(None)) if roster.leaving > 0 => return Ok(()),
                short => return short,
            }
            // To start a thread takes its time; who comes back meanwhile, or goes away, needn't wait for all of them.
            MutexGuard::bump(&mut roster);
        }
        Ok(())
    }

    fn call_one_in(&self, roster: &mut Roster) -> Result<(), Short> {
        if self.call_spare_in(roster) {
            return Ok(());
        }
        let Some(index) = self.crew.vacant_seat(roster) else { return Err(Short(None)) };
        let seat = self.crew.seat(index);
        // The new thread must find itself on duty, and counted.
        seat.duty.take_up(&self.idle);
        match self.start_worker(index) {
            Ok(thread) => {
                roster.ending.retain(|thread| !thread.is_finished());
                if let Some(before) = roster.threads[index].replace(thread) {
                    roster.ending.push(before);
                }
                Ok(())
            }
            Err(error) => {
                seat.duty.lay_down();
                self.idle.count_off_duty(false);
                roster.vacant.push(index);
                Err(Short(Some(error)))
            }
        }
    }

    /// Calls in a spare worker whose thread is there.
    pub(super) fn call_spare_in(&self, roster: &mut Roster) -> bool {
        // The last one only if there is no other, nor can be.
        let other = roster.spares.iter().position(|&spare| !self.crew.is_last(spare));
        let index = match other {
            Some(at) => Some(roster.spares.swap_remove(at)),
            None if roster.vacant.is_empty() && self.crew.len() == self.crew.seats.len() => roster.spares.pop(),
            None => None,
        };
        let Some(index) = index else { return false };
        let seat = self.crew.seat(index);
        seat.duty.take_up(&self.idle);
        seat.sleep.wake(&self.netpoll);
        true
    }

    /// Starts the thread of a vacant seat.
    fn start_worker(&self, index: usize) -> io::Result<JoinHandle<()>> {
        let scheduler = self.me.upgrade().expect("whoever calls keeps it alive");
        stack::reserve(self.default_class, worker::STACKS_KEPT).map_err(|error| {
            let what = "each worker keeps that many at hand: ask for fewer workers, or for a smaller stack_size";
            io::Error::new(error.kind(), format!("{error}; {what}"))
        })?;
        self.exits.lock().left += 1;
        let name = format!("{}-{index}", self.crew.name);
        let started = std::thread::Builder::new().name(name).spawn(move || worker::main(scheduler, index));
        started.map_err(|error| {
            stack::release(self.default_class, worker::STACKS_KEPT);
            self.exits.lock().left -= 1;
            let advice = "ask for fewer workers, or raise `ulimit -u` or `-v`";
            io::Error::new(error.kind(), format!("can't start worker thread {index}: {error}; {advice}"))
        })
    }

    /// A worker's thread ends. The seat may have another one at once.
    pub(super) fn vacate(&self, index: usize, queue: Deque<Runnable>) {
        let mut roster = self.crew.roster.lock();
        let seat = self.crew.seat(index);
        seat.get_up(queue);
        if seat.duty() == SPARE {
            roster.leaving -= 1;
            roster.vacant.push(index);
            // It may have been missed.
            if self.idle.on_duty() < roster.wanted || self.crew.last_on_duty().is_some() {
                self.monitor.call();
            }
        }
    }

    /// The threads' handles, once all have said that they end.
    pub(super) fn take_threads(&self) -> Vec<JoinHandle<()>> {
        let mut roster = self.crew.roster.lock();
        let mut threads = std::mem::take(&mut roster.ending);
        threads.extend(roster.threads.iter_mut().filter_map(Option::take));
        threads
    }

    pub(super) fn wake_spares(&self) {
        let spares = self.crew.roster.lock().spares.clone();
        spares.into_iter().for_each(|index| self.wake(index));
    }
}

impl Worker {
    /// Whether it should ask for its duty: it was relieved, there are too many, or it is the last one.
    #[inline]
    pub(super) fn should_report(&self) -> bool {
        self.seat().duty() != ON || self.scheduler.idle.has_surplus() || self.is_last_one()
    }

    /// Whether it takes only tasks that have begun.
    #[inline]
    pub(super) fn is_last_one(&self) -> bool {
        // Relaxed: changes only when the user says so. A new task that is dropped harms nobody.
        self.has_last_seat && self.scheduler.crew.has_last_one.load(Ordering::Relaxed) && !self.scheduler.is_stopping()
    }

    /// Leaves a new task to others.
    #[cold]
    pub(super) fn set_aside(&self, task: NonNull<Header>) {
        self.scheduler.set_aside.push(Runnable(task));
        // If another one sleeps it has just come back.
        self.scheduler.notify();
    }

    /// A worker between two tasks asks for its duty. As a spare one it waits here until it is called in. `searching` is
    /// whether it is counted as such, and becomes false if it had to wait.
    #[cold]
    pub(super) fn report(&self, searching: &mut bool) -> Orders {
        let scheduler = &*self.scheduler;
        let seat = self.seat();
        let mut roster = scheduler.crew.roster.lock();
        let has_surplus = scheduler.idle.has_surplus();
        let was_stuck = seat.duty() == STUCK;
        if was_stuck {
            // If it was called so for running on.
            thread_state::set_slice(0, None);
            if scheduler.idle.on_duty() < roster.wanted + roster.extra {
                seat.duty.take_up(&scheduler.idle);
                drop(roster);
                // Where all threads were kept the monitor sleeps perhaps.
                scheduler.monitor.note_up(false);
                return Orders::Work;
            }
        } else if has_surplus {
            scheduler.idle.count_off_duty(false);
        } else if self.is_last_one() && (!roster.spares.is_empty() || !roster.vacant.is_empty()) {
            scheduler.idle.count_off_duty(false);
            if scheduler.call_one_in(&mut roster).is_err() {
                scheduler.idle.count_on_duty();
                return Orders::Work;
            }
        } else {
            return Orders::Work;
        }
        seat.duty.lay_down();
        roster.spares.push(self.index());
        drop(roster);
        chaos::point();
        if let Some(last) = scheduler.crew.last_on_duty() {
            // It sleeps perhaps, with what it has set aside. It changes places with a spare one when it reports.
            scheduler.wake(last);
        }
        // One that got up by itself perhaps leaves the poller to nobody.
        let leaves_a_gap = if std::mem::take(searching) { scheduler.idle.end_search() } else { !was_stuck };
        if leaves_a_gap {
            scheduler.notify();
        }
        self.hand_over();
        self.wait_as_spare()
    }

    /// Puts what it has into the injector.
    fn hand_over(&self) {
        let mut any = false;
        while let Some(task) = self.take_own() {
            self.scheduler.injector.push(Runnable(task));
            any = true;
        }
        if any {
            self.scheduler.notify();
        }
        if !self.seat().timers.is_empty() {
            // They are the monitor's now.
            self.scheduler.monitor.call();
        }
    }

    fn wait_as_spare(&self) -> Orders {
        let scheduler = &*self.scheduler;
        let seat = self.seat();
        self.release_credits(0);
        // Once it has waited for that it waits for the last of its tasks.
        let mut until = Some(Instant::now() + SPARE_FOR);
        loop {
            let is_over = scheduler.is_over();
            let mut roster = scheduler.crew.roster.lock();
            if seat.duty() == ON {
                seat.home.stay();
                return Orders::Work;
            }
            if seat.home.is_filled() {
                roster.spares.retain(|&spare| spare != self.index());
                // As one whose task came back, but another one than it was.
                seat.duty.visit();
                seat.home.stay();
                drop(roster);
                // It gets up without being counted as such. A monitor that has seen its inbox filled leaves it to those who
                // get up to say when they look for a deadlock again.
                scheduler.monitor.note_up(false);
                return Orders::Visit;
            }
            until = until.filter(|&until| Instant::now() < until);
            if is_over || until.is_none() && seat.home.is_deserted() {
                roster.spares.retain(|&spare| spare != self.index());
                roster.leaving += 1;
                drop(roster);
                if is_over {
                    // Maybe it has run the last task itself.
                    scheduler.wake_all();
                }
                return Orders::End;
            }
            drop(roster);
            // No rest in the sense of the census: if its time is up the thread ends, and the destructors of the thread-locals
            // that tasks have set here may wake somebody.
            seat.sleep.park(until);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_seat_is_taken_last() {
        let crew = Crew::new(1, 17, "test", Instant::now());
        let mut roster = crew.roster.lock();
        for index in 0..17 {
            assert_eq!(crew.vacant_seat(&mut roster), Some(index));
        }
        assert_eq!(crew.vacant_seat(&mut roster), None);
        roster.vacant = vec![3, 16];
        assert_eq!(crew.vacant_seat(&mut roster), Some(3));
        assert_eq!(crew.vacant_seat(&mut roster), Some(16));
    }
}
