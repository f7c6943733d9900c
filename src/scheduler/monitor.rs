//! The monitor: a kernel thread that sees to it that as many workers are on duty as there should be.
//!
//! It looks at the workers from time to time. One whose turn is still the same as at the last look, and who isn't asleep
//! for want of work, is in the middle of a task. It is *stuck* if
//!
//! * its thread is asleep in the kernel: the task makes a system call that blocks, waits for a lock of `std`, or for C
//!   code that does. Two looks, [`SECOND_LOOK`] apart, find it so, and no processor time spent in between. Where the kernel
//!   doesn't say (`/proc` isn't mounted, or no descriptor is left), it is one that hardly ran for [`TOO_LONG`]; or
//! * it runs on: for [`TOO_LONG`] by the clock, and for [`TOO_BUSY`] by its own processor time, for a thread that others
//!   keep from the processor isn't to blame; or
//! * it is in an announced section ([`blocking`](crate::blocking())), and somebody wants work done, or a look was long
//!   enough ago.
//!
//! The monitor takes it off duty and calls a spare one in; see `crew.rs`. The kernel then shares the processors.
//!
//! # Waves
//! If most of those that are on duty are stuck, and work waits, those called in for them will most likely be stuck soon,
//! too. So each wave is twice the one before, or four times if all of that one were found asleep at once, up to the number
//! of tasks that wait: 64 sleeping threads are there after four looks. Tasks that run on share the processors among them,
//! so a wave of these ends at [`RUNNING_ON`] times the usual number. When most workers move, or one has nothing to do,
//! the wave is over, and who is too many becomes spare.
//!
//! Hundreds of threads that run on leave the monitor a hundredth part of a processor, as to each of them. So it does
//! little: it asks for a short time slice, which lets it begin at once, looks less often than for those that block, and
//! starts no more threads at a time than are of use.
//!
//! # When it looks
//! A look costs some ten microseconds of processor time, most of it for waking up. So it looks often only if there is
//! reason to: [`FIRST_LOOK`] after somebody got up, and as long as it finds workers asleep in the kernel ([`IN_A_WAVE`] in a
//! wave, whose threads are up sooner than that); then half as often each time, down to a look each [`CALM`] if all workers
//! are up, and each [`QUIET`] if one sleeps and so can look after the others. When all have slept for some time it sleeps
//! too, until somebody gets up, or until a timer of a seat that is off duty. A runtime with nothing to do has no tick.
//!
//! So the first task in a long while that blocks when all others work is seen within [`CALM`], and one that blocks after
//! others did, or soon after the last worker got up, within a fraction of a millisecond. (Within [`QUIET`] if one sleeps: what
//! the blocked one has woken may wait so long for that one's nap to end.)
//!
//! # Besides
//! * It fires the timers of seats that are off duty, and of those that don't move.
//! * Where the number of workers wasn't given, it asks every ten seconds for how many processors this process may use: the
//!   quota of its control groups, and who of them may, can change.
//! * When all have slept for a while it asks whether that may be for ever; see `deadlock.rs`.
//! * A worker that moves, but takes so long for its turns that it would come to the injector, the timers and the poller after
//!   more than [`CALM`], is told to look there after its next one.
//! * If a worker too many sleeps, it gets that one up, to become spare.
//! * If somebody is up and doesn't move while others sleep and none of them naps, it gets one up, which looks into the
//!   queues and the slots, at the timers and the poller (see `search.rs`).
//!
//! # Tried and rejected
//! * Signals that interrupt a task: what it holds then nobody knows.
//! * A tick of half a millisecond throughout: a hundredth of the processor time of two cores.
//! * To tell a blocked thread by its processor time alone: one that others keep from the processor looks the same.
//! * To let a wave of 300 tasks that run on double to the end, and the newcomers start one another: each thread's start
//!   takes 25 µs of a processor's time that is shared by all of them, half a second in all.

use super::Scheduler;
use super::crew::{Seat, Short};
use super::duty::{AWAY, BRIEFLY_AWAY, ON, SPARE, STUCK};
use super::thread_state::ThreadState;
use super::worker::INJECTOR_TURNS;
use crate::census::Member;
use crate::chaos;
use crate::control::clock;
use crate::primitive::{AtomicBool, AtomicU8, Ordering, fence, thread};
use crate::wait::Wakeup;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const FIRST_LOOK: Duration = Duration::from_micros(300);
const SECOND_LOOK: Duration = Duration::from_micros(40);
const IN_A_WAVE: Duration = Duration::from_micros(100);
/// The longest time between two looks: soon after some were found blocked, while all workers are up, and while one
/// sleeps.
const ALERT: Duration = Duration::from_millis(1);
const CALM: Duration = Duration::from_millis(4);
const QUIET: Duration = Duration::from_millis(10);
/// How long it stays alert.
const ALERT_FOR: Duration = Duration::from_millis(100);
/// How long all must have slept before it does.
const TO_SLEEP: Duration = Duration::from_millis(20);
/// Looks from the first one on are not begun anew more often than this.
const TO_BEGIN_ANEW: Duration = Duration::from_millis(5);
/// At a stretch, a thread that runs on may have so much processor time, so that those that wake up need not wait for it.
const SLICE: Duration = Duration::from_millis(20);
/// The monitor's own: its work is short, and shouldn't wait.
const OWN_SLICE: Duration = Duration::from_micros(100);
/// How often the processors are counted, which takes a few files to be read.
const TO_COUNT: Duration = Duration::from_secs(10);
/// Of how many threads that are stuck the kernel's file stays open, which takes 5 µs: hundreds of them may be, and a process
/// has perhaps no more than a thousand descriptors.
const FILES_KEPT: usize = 64;
/// How many times the usual number of workers a wave of tasks that run on may be.
const RUNNING_ON: usize = 8;
const TOO_LONG: Duration = Duration::from_millis(10);
const TOO_BUSY: Duration = Duration::from_micros(200);

const WATCHING: u8 = 0;
/// The next look is some time off: who gets up as the last one should say so.
const DROWSY: u8 = 1;
/// All sleep: who gets up should say so.
const ASLEEP: u8 = 2;

/// How the others reach the monitor.
pub(super) struct Monitor {
    state: AtomicU8,
    called: AtomicBool,
    thread: OnceLock<thread::Thread>,
}

impl Monitor {
    pub(super) fn new() -> Monitor {
        Monitor { state: AtomicU8::new(WATCHING), called: AtomicBool::new(false), thread: OnceLock::new() }
    }

    /// Makes it look at once: somebody is away, and there is work.
    #[cold]
    pub(super) fn call(&self) {
        // Release: pairs with the Acquire in `sleep`.
        if !self.called.swap(true, Ordering::Release) {
            self.rouse();
        }
    }

    /// Whether the calling thread is the monitor's.
    pub(super) fn is_caller(&self) -> bool {
        self.thread.get().is_some_and(|thread| thread.id() == thread::current().id())
    }

    fn rouse(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// A worker has got up, and the counts say so. (Or somebody waits for a task, see `deadlock.rs`.)
    #[inline]
    pub(super) fn note_up(&self, all_are_up: bool) {
        chaos::point();
        // SeqCst: pairs with the fence of `doze`. The counts came before it.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        let state = self.state.load(Ordering::Relaxed);
        if state == ASLEEP || state == DROWSY && all_are_up {
            // Relaxed: one of those that got up rouses it.
            if self.state.swap(WATCHING, Ordering::Relaxed) != WATCHING {
                self.rouse();
            }
        }
    }

    /// Says how it is about to sleep. It must look at the counts afterwards.
    fn doze(&self, state: u8) {
        // Relaxed: ordered by the fence.
        self.state.store(state, Ordering::Relaxed);
        // SeqCst: pairs with the fence of `note_up`. The counts are looked at after it.
        fence(Ordering::SeqCst);
        chaos::point();
    }

    /// Sleeps until then, or until it is called or roused. Says whether it was called.
    fn sleep(&self, state: u8, until: Option<Instant>) -> bool {
        loop {
            // Acquire: pairs with the Release of `call`.
            if self.called.swap(false, Ordering::Acquire) {
                return true;
            }
            if state != WATCHING && self.state.load(Ordering::Relaxed) == WATCHING {
                return false;
            }
            chaos::point();
            match until {
                None => thread::park(),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    thread::park_timeout(left);
                }
            }
        }
    }
}

/// The monitor's thread.
pub(super) fn main(scheduler: Arc<Scheduler>) {
    super::thread_state::want_precise_timers();
    super::thread_state::set_slice(0, Some(OWN_SLICE));
    let _ = scheduler.monitor.thread.set(thread::current());
    let mut watch = Watch::new(&scheduler);
    while !scheduler.is_over() {
        let called = watch.sleep();
        watch.look(called);
    }
    drop(watch);
    scheduler.exited();
}

/// What the monitor knows of one worker.
struct Record {
    turn: u32,
    /// When it was first seen at that turn, and how much processor time it had had.
    since: Instant,
    busy: Option<Duration>,
    /// Its turn some time ago, and when that was.
    round: (u32, Instant),
    thread: ThreadState,
}

impl Record {
    fn new(now: Instant) -> Record {
        Record { turn: 0, since: now, busy: None, round: (0, now), thread: ThreadState::unknown() }
    }

    /// Whether it is still at the turn it was at.
    fn is_unmoved(&mut self, seat: &Seat, now: Instant) -> bool {
        // Relaxed: a hint.
        let turn = seat.turn.load(Ordering::Relaxed);
        if turn == self.turn {
            return true;
        }
        self.turn = turn;
        self.since = now;
        self.busy = None;
        false
    }
}

enum Verdict {
    Fine,
    /// Asleep in the kernel. With its processor time.
    Blocked(Duration),
    RunsOn,
}

/// Those that are on duty at once while most of them get stuck.
#[derive(Default)]
struct Wave {
    /// How many they are; 0 if there is none.
    size: usize,
    /// How many have got stuck since it is of that size.
    stuck: usize,
}

impl Wave {
    /// So many have got stuck. Returns whether that is half of it, and so the next one should be greater.
    fn count(&mut self, blocked: usize, ran_on: usize, wanted: usize) -> bool {
        self.stuck += blocked + ran_on;
        blocked + ran_on > 0 && 2 * self.stuck >= self.size.max(wanted)
    }

    /// The next one, for tasks of which so many wait.
    fn grow(&mut self, blocked: usize, wanted: usize, waiting: usize) {
        let next = match blocked {
            _ if self.size == 0 => wanted,
            // They only compete for the processors.
            0 => (2 * self.size).min(self.size.max(RUNNING_ON * wanted)),
            // All of it, within one look.
            _ if blocked >= self.size => 4 * self.size,
            _ => 2 * self.size,
        };
        *self = Wave { size: next.min(waiting).max(wanted), stuck: 0 };
    }
}

struct Watch<'a> {
    scheduler: &'a Scheduler,
    member: Member,
    records: Vec<Record>,
    interval: Duration,
    /// When the looks were begun anew, when somebody was last found blocked, since when all sleep, and when they are looked at
    /// again as those that may sleep for ever.
    begun: Instant,
    last_blocked: Option<Instant>,
    quiet_since: Option<Instant>,
    next_deadlock: Option<Instant>,
    /// Since when tasks wait and no thread can be had.
    short_since: Option<Instant>,
    wave: Wave,
    woken: Vec<Wakeup>,
    /// When the processors were last counted.
    counted: Instant,
}

impl<'a> Watch<'a> {
    fn new(scheduler: &'a Scheduler) -> Watch<'a> {
        Watch {
            scheduler,
            member: Member::enter_as_helper(),
            records: Vec::new(),
            interval: FIRST_LOOK,
            begun: Instant::now(),
            last_blocked: None,
            quiet_since: None,
            next_deadlock: None,
            short_since: None,
            wave: Wave::default(),
            woken: Vec::new(),
            counted: Instant::now(),
        }
    }

    /// Sleeps until the next look. Says whether it was called.
    fn sleep(&mut self) -> bool {
        let scheduler = self.scheduler;
        let monitor = &scheduler.monitor;
        let now = Instant::now();
        let timer = scheduler.crew.iter().filter(|seat| !seat.is_on_duty()).filter_map(|seat| seat.timers.next()).min();
        let are_as_wanted = {
            let roster = scheduler.crew.roster.lock();
            let on_duty = scheduler.idle.on_duty();
            // Or there can't be as many until a task lets go of a thread, which then says that it is up.
            on_duty == roster.wanted && scheduler.set_aside.is_empty()
                || on_duty < roster.wanted && scheduler.crew.is_exhausted(&roster)
        };
        let is_quiet = self.quiet_since.is_some_and(|since| now - since >= TO_SLEEP) && are_as_wanted;
        let state = if is_quiet {
            ASLEEP
        } else if self.interval > ALERT && now - self.begun >= TO_BEGIN_ANEW {
            DROWSY
        } else {
            WATCHING
        };
        monitor.doze(state);
        let look = if state == ASLEEP && scheduler.idle.all_sleep() {
            // Nobody is there to say that a task has come, of which the hook is to be told.
            let is_short = scheduler.idle.on_duty() == 0 || self.short_since.is_some();
            let owes_hook = is_short && !scheduler.shortage.is_given();
            if !owes_hook || self.next_deadlock.is_none_or(|next| next <= now) {
                // They have slept for some time: maybe for ever.
                let slept = self.quiet_since.map_or(Duration::ZERO, |since| now - since);
                self.next_deadlock = scheduler.look_for_deadlock(slept).map(|again| now + again);
            }
            self.next_deadlock.into_iter().chain(owes_hook.then(|| now + QUIET)).min()
        } else {
            // If it can't be roused yet, it looks again when it can.
            let anew = self.begun + TO_BEGIN_ANEW;
            let look = now + self.interval;
            Some(if now < anew { look.min(anew) } else { look })
        };
        let called = self.member.rest(|| monitor.sleep(state, timer.into_iter().chain(look).min()));
        if state != WATCHING && monitor.state.swap(WATCHING, Ordering::Relaxed) == WATCHING {
            self.begin_anew();
        }
        called
    }

    fn begin_anew(&mut self) {
        self.begun = Instant::now();
        self.interval = FIRST_LOOK;
        self.quiet_since = None;
        self.next_deadlock = None;
    }

    fn look(&mut self, called: bool) {
        let scheduler = self.scheduler;
        let now = Instant::now();
        clock::tick(now);
        let mut blocked = 0;
        let mut ran_on = 0;
        let mut unmoved = 0;
        let mut suspects = Vec::new();
        for (index, seat) in scheduler.crew.iter().enumerate() {
            if index == self.records.len() {
                self.records.push(Record::new(now));
            }
            let record = &mut self.records[index];
            let is_unmoved = record.is_unmoved(seat, now);
            match seat.duty() {
                SPARE => {
                    // Relaxed: a hint.
                    if seat.thread.load(Ordering::Relaxed) == 0 {
                        record.thread.close();
                    }
                }
                STUCK if seat.sleep.is_asleep() => scheduler.reinstate(seat),
                STUCK => {
                    scheduler.rescue(seat);
                    if index >= FILES_KEPT {
                        record.thread.close();
                    }
                }
                duty @ (AWAY | BRIEFLY_AWAY) => {
                    if is_unmoved || called && duty == AWAY {
                        blocked += usize::from(scheduler.relieve(seat, duty));
                    }
                }
                _ if seat.sleep.is_asleep() => record.since = now,
                // In a wave there is no need to see it twice at the same turn.
                duty if is_unmoved || self.wave.size > 0 => {
                    unmoved += usize::from(is_unmoved);
                    match record.judge(seat, now) {
                        Verdict::Fine => {}
                        Verdict::Blocked(busy) => suspects.push((index, busy)),
                        Verdict::RunsOn => {
                            if scheduler.relieve(seat, duty) {
                                ran_on += 1;
                                record.thread.set_slice(Some(SLICE));
                            }
                        }
                    }
                }
                _ => {
                    record.hasten(seat, now);
                    continue;
                }
            }
            if !seat.timers.is_empty() {
                seat.timers.expire(now, &mut self.woken);
            }
        }
        blocked += self.look_again(&suspects);
        self.woken.drain(..).for_each(Wakeup::fire);
        self.follow_machine(now);
        self.reinforce(now, blocked, ran_on, unmoved);
        // To watch, or to find that it is one too many.
        let is_unwatched = unmoved + blocked > 0 && scheduler.naps.load(Ordering::Relaxed) == 0;
        if is_unwatched || scheduler.idle.has_surplus() {
            scheduler.call_for_nap();
        }
        self.set_interval(now, !suspects.is_empty() || blocked > 0);
    }

    /// Those that still sleep in the kernel are blocked. Returns how many.
    fn look_again(&mut self, suspects: &[(usize, Duration)]) -> usize {
        if suspects.is_empty() {
            return 0;
        }
        std::thread::sleep(SECOND_LOOK);
        let scheduler = self.scheduler;
        let mut blocked = 0;
        for &(index, busy) in suspects {
            let seat = scheduler.crew.seat(index);
            let record = &mut self.records[index];
            // Relaxed: a hint.
            if seat.turn.load(Ordering::Relaxed) == record.turn
                && !seat.sleep.is_asleep()
                && record.thread.is_asleep() != Some(false)
                && record.thread.busy() == busy
                && scheduler.relieve(seat, ON)
            {
                blocked += 1;
            }
        }
        blocked
    }

    /// Asks now and then how many processors there are for this process.
    fn follow_machine(&mut self, now: Instant) {
        let scheduler = self.scheduler;
        if now - self.counted < TO_COUNT {
            return;
        }
        self.counted = now;
        let Ok(count) = std::thread::available_parallelism() else { return };
        let count = count.get().min(scheduler.max_threads());
        let roster = scheduler.crew.roster.lock();
        if roster.follows_machine && roster.wanted != count {
            scheduler.want(roster, count);
        }
    }

    /// Calls in as many as are wanted. If none can be had for some time it is told, for one that is kept only for a moment
    /// is no news.
    fn reinforce(&mut self, now: Instant, blocked: usize, ran_on: usize, unmoved: usize) {
        let scheduler = self.scheduler;
        let idle = &scheduler.idle;
        let quota = {
            let mut roster = scheduler.crew.roster.lock();
            if self.wave.count(blocked, ran_on, roster.wanted) {
                self.wave.grow(blocked, roster.wanted, scheduler.waiting());
            } else if 2 * unmoved <= idle.on_duty() || idle.any_sleeps() {
                self.wave = Wave::default();
            }
            roster.extra = self.wave.size.saturating_sub(roster.wanted);
            let quota = roster.wanted + roster.extra;
            idle.set_quota(quota);
            quota
        };
        // The last one is no help to what is set aside.
        let no_help = usize::from(!scheduler.set_aside.is_empty() && scheduler.crew.last_on_duty().is_some());
        let missing = (quota + no_help).saturating_sub(idle.on_duty());
        let refusal = if missing > 0 { scheduler.call_in(missing).err() } else { None };
        match refusal {
            Some(Short(error)) if idle.on_duty() <= no_help && scheduler.waiting() > 0 => {
                let since = *self.short_since.get_or_insert(now);
                if now - since >= TOO_LONG {
                    scheduler.shortage.give(scheduler.crew.threads(), error);
                }
            }
            _ => self.short_since = None,
        }
    }

    fn set_interval(&mut self, now: Instant, found_blocked: bool) {
        let idle = &self.scheduler.idle;
        if found_blocked {
            self.last_blocked = Some(now);
            // Those that a wave has called in are up by now, and most likely blocked as well.
            self.interval = if self.wave.size > 0 { IN_A_WAVE } else { FIRST_LOOK };
        } else {
            let is_alert = self.last_blocked.is_some_and(|last| now - last < ALERT_FOR);
            let longest = match (idle.any_sleeps(), is_alert) {
                (true, _) => QUIET,
                (false, true) => ALERT,
                (false, false) => CALM,
            };
            self.interval = (self.interval * 2).min(longest);
        }
        self.quiet_since = if idle.all_sleep() { self.quiet_since.or(Some(now)) } else { None };
    }
}

impl Record {
    /// It moves, but so slowly perhaps that it doesn't come to look around.
    fn hasten(&mut self, seat: &Seat, now: Instant) {
        let (turn, since) = self.round;
        if self.turn.wrapping_sub(turn) >= INJECTOR_TURNS {
            self.round = (self.turn, now);
        } else if now - since >= CALM {
            self.round = (self.turn, now);
            seat.home.hasten();
        }
    }

    /// What is to be said of a worker that doesn't move.
    fn judge(&mut self, seat: &Seat, now: Instant) -> Verdict {
        // Relaxed: it doesn't change while the thread is in a task.
        if !self.thread.watch(seat.thread.load(Ordering::Relaxed)) {
            return Verdict::Fine;
        }
        let busy = self.thread.busy();
        let before = *self.busy.get_or_insert(busy);
        let is_long = now - self.since >= TOO_LONG;
        match self.thread.is_asleep() {
            Some(true) => Verdict::Blocked(busy),
            _ if is_long && busy.saturating_sub(before) >= TOO_BUSY => Verdict::RunsOn,
            // The kernel doesn't say: then one that doesn't run for so long is taken for one that sleeps.
            None if is_long => Verdict::Blocked(busy),
            _ => Verdict::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the waves when `blocked` and `ran_on` tell how many of each get stuck between two looks.
    fn sizes(looks: usize, wanted: usize, waiting: usize, stuck: impl Fn(usize) -> (usize, usize)) -> Vec<usize> {
        let mut wave = Wave::default();
        let mut sizes = Vec::new();
        for _ in 0..looks {
            let (blocked, ran_on) = stuck(wave.size.max(wanted));
            if wave.count(blocked, ran_on, wanted) {
                wave.grow(blocked, wanted, waiting);
            }
            sizes.push(wave.size);
        }
        sizes
    }

    #[test]
    fn a_wave_of_those_that_block_grows_to_what_waits() {
        assert_eq!(sizes(5, 2, 60, |on_duty| (on_duty, 0)), [2, 8, 32, 60, 60]);
        assert_eq!(sizes(5, 2, 60, |on_duty| (on_duty / 2, 0)), [2, 4, 8, 16, 32]);
    }

    #[test]
    fn a_wave_of_those_that_run_on_is_bounded() {
        assert_eq!(sizes(7, 2, 300, |on_duty| (0, on_duty)), [2, 4, 8, 16, 16, 16, 16]);
        // One that has grown isn't cut.
        assert_eq!(
            sizes(5, 2, 300, |on_duty| if on_duty < 32 { (on_duty, 0) } else { (0, on_duty) }),
            [2, 8, 32, 32, 32]
        );
    }

    #[test]
    fn it_grows_when_half_of_it_is_stuck_however_that_is_spread() {
        assert_eq!(sizes(8, 4, 300, |_| (0, 1)), [0, 4, 4, 8, 8, 8, 8, 16]);
        assert_eq!(sizes(4, 4, 300, |_| (0, 0)), [0, 0, 0, 0]);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::super::idle::Idle;
    use super::*;
    use crate::primitive::AtomicU32;

    /// The monitor's thread. (Not the model's first, which joins the others: loom takes an unpark for the end of a join.)
    fn monitor(main: impl FnOnce(&Monitor) + 'static) -> (Arc<Monitor>, loom::thread::JoinHandle<()>) {
        let monitor = Arc::new(Monitor::new());
        let thread = loom::thread::spawn({
            let monitor = Arc::clone(&monitor);
            move || {
                let _ = monitor.thread.set(thread::current());
                main(&monitor);
            }
        });
        (monitor, thread)
    }

    /// Loom finds it if the monitor sleeps on, though it was called.
    #[test]
    fn no_call_is_lost() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let work = Arc::new(AtomicU32::new(0));
            let (monitor, thread) = monitor({
                let work = Arc::clone(&work);
                move |monitor| {
                    while work.load(Ordering::Relaxed) < 2 {
                        assert!(monitor.sleep(WATCHING, None));
                    }
                }
            });
            let call = |work: &AtomicU32, monitor: &Monitor| {
                // Relaxed: the call has to show it.
                work.fetch_add(1, Ordering::Relaxed);
                monitor.call();
            };
            let caller = loom::thread::spawn({
                let (monitor, work) = (Arc::clone(&monitor), Arc::clone(&work));
                move || call(&work, &monitor)
            });
            call(&work, &monitor);
            caller.join().unwrap();
            thread.join().unwrap();
        });
    }

    /// A worker that gets up as the monitor falls asleep: one sees the other, or loom finds the monitor asleep for ever.
    #[test]
    fn a_worker_that_gets_up_rouses_the_monitor_that_falls_asleep() {
        for state in [ASLEEP, DROWSY] {
            loom::model(move || {
                let idle = Arc::new(Idle::new());
                idle.count_on_duty();
                idle.sleep(0, false);
                let (monitor, thread) = monitor({
                    let idle = Arc::clone(&idle);
                    move |monitor| {
                        monitor.doze(state);
                        if idle.all_sleep() {
                            assert!(!monitor.sleep(state, None), "nobody has called");
                        }
                    }
                });
                let _ = idle.get_up(0, false);
                monitor.note_up(!idle.any_sleeps());
                thread.join().unwrap();
            });
        }
    }
}
