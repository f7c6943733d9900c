//! Deadlocks: every task waits, and nothing is left that could wake one.
//!
//! # When it is one
//! Somebody waits from outside for a task's end (in `run`, or a plain thread in `join`), that task is parked, or in the inbox
//! of a thread that doesn't come (see `home.rs`), and at one moment
//!
//! 1. no kernel thread of the process could ever go on by itself, but for those of the crate that rest, and the one that
//!    looks; that is the business of [`census`], which also says why that is a moment, and what else a task could be
//!    woken by;
//! 2. and those that rest will find nothing to do: in no scheduler of the process is there a task in a queue, a slot,
//!    the injector, or the inbox of one that rests, a timer, or anybody who waits for a socket.
//!
//! From that moment on nothing happens: whatever a kernel thread would do, it does because another one wakes it, or
//! because the kernel lets it, and each way of that is among the two. So the tasks wait for ever, and it doesn't matter how
//! long ago the moment was when something is done about it.
//!
//! # The races, and why they can't happen
//! * **A waker is on its way**: it has claimed a task and not made it runnable yet; it has taken entries out of a timer's
//!   bucket, or events out of the poller, and not fired them. It is code in the middle of something, so its thread isn't
//!   one that rests: it runs, and then 1. fails; or it sleeps, for a lock say, until another thread lets it go on, and
//!   then it comes down to that one.
//! * **Somebody has sent, and its receiver's worker hasn't got up yet.** The kernel calls that worker `running` from the
//!   moment it was woken, and so does 1.
//! * **A worker is about to sleep**, or naps: as long as it isn't asleep it runs, and if it left work behind, 2. finds it.
//! * **A helper thread of another runtime** wakes up now and then and looks after its workers: it may fire timers,
//!   of which 2. says that there are none, and look for deadlocks, which one does at a time.
//!   When it finds that tasks wait while all threads are kept, it calls a hook of the user's, which may do anything. So
//!   tasks in queues are something to do, though nobody is left to do it, until the hook has been called. (If it is being called
//!   the monitor doesn't rest.)
//! * **Another runtime's tasks** may wake ours, and so may its poller and its timers: 2. asks all of them. One that starts
//!   meanwhile has a thread that runs.
//! * **A blocking section**, or a worker whose task blocks behind our back, in whatever call: not a rest, so its thread is
//!   judged as a stranger's is. If it sleeps on a futex for ever, in a lock of `std`, that lock's holder decides.
//! * **A shutdown** may end tasks: while ours runs nothing is looked for. Whoever shuts another one down, waits for it.
//!
//! # What is done about it
//! `run` can't return before its root task has ended, which borrows from the caller. So the root task is cancelled: it
//! unwinds from its wait, and `run` panics with the report. The other tasks stay as they are; many of them go on when they
//! see the root task's ends of the channels dropped, and a service that waits for its next customer isn't to blame. If the
//! looks go on finding the same deadlock (the root task is in a shield, waits for a scope's tasks, or blocks its kernel
//! thread), all tasks of the runtime are cancelled. If that doesn't help either, the report goes to standard error, and
//! they may wait. So it does at once where tasks keep all the threads that there may be, as none is left on which one
//! could unwind.
//!
//! A root task that itself waits in `run`, for another runtime's task, isn't told: the other runtime's deadlock is, and
//! its end goes on to the first one.
//!
//! # When it is looked for
//! When all workers have been asleep for some time. What can't be told at that time is looked at again when that time has
//! doubled, so that a foreign thread that sleeps for long costs a few looks and no more. A look reads two small files for
//! each kernel thread, twice: some 50 µs each.

use super::Scheduler;
use super::crew::Seat;
use super::duty::{ON, SPARE};
use crate::awaited::{self, Entry};
use crate::census::{self, Doubt};
use crate::control::{Schedule, TaskRef, clock};
use crate::overflow;
use crate::primitive::Ordering;
use crate::primitive::StaticMutex as Mutex;
use crate::report::Report;
use std::sync::{Arc, Weak};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(5);
/// The longest time between two looks.
const SELDOM: Duration = Duration::from_secs(60);

/// What is done when all tasks wait, and nothing is left that could wake one; see
/// [`Builder::on_deadlock`](crate::runtime::Builder::on_deadlock).
///
/// Such a deadlock is noticed where somebody outside of the tasks waits for one: in [`run`](crate::run), or in
/// [`join`](crate::JoinHandle::join) on a plain thread. There is never a false alarm: it is told only if it is certain. That
/// takes a look at every kernel thread of the process, for each could hold the sending end of a channel: they must all
/// be asleep, and wait for one another without a time limit. One that sleeps for a time, or reads from a descriptor,
/// may still come to wake a task, and so may the network if anybody waits for a socket.
/// [`Runtime::deadlock_detection`](crate::runtime::Runtime::deadlock_detection) says what is in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDeadlock {
    /// Whoever waits gets a panic whose message is a report: each task, what it waits for, for how long, where it was
    /// spawned.
    ///
    /// The task that is waited for is cancelled first, and unwinds. If it can't be, all of the runtime's tasks are. If that
    /// doesn't help, or if all [`max_threads`](crate::runtime::Builder::max_threads) threads are blocked, so that none is left
    /// to unwind on, the report is written to standard error, and they wait on. In a program that is built with
    /// `panic = "abort"`, which can't unwind, it is written there as well, and the program ends.
    #[default]
    Panic,
    /// The report is written to standard error, once, and they wait on.
    Report,
    /// Nothing. It isn't looked for.
    Ignore,
}

impl OnDeadlock {
    const ALL: [OnDeadlock; 3] = [OnDeadlock::Panic, OnDeadlock::Report, OnDeadlock::Ignore];
}

// What was done for one who waits.
const NOT_TOLD: u8 = 0;
const CANCELLED: u8 = 1;
const ALL_CANCELLED: u8 = 2;
const GIVEN_UP: u8 = 3;

/// Every scheduler that is alive.
static LIVE: Mutex<Vec<Weak<Scheduler>>> = Mutex::new(Vec::new());

fn live() -> Vec<Arc<Scheduler>> {
    let mut live = LIVE.lock();
    live.retain(|scheduler| scheduler.strong_count() > 0);
    live.iter().filter_map(Weak::upgrade).collect()
}

impl Scheduler {
    /// To be called before the first task is spawned.
    pub(crate) fn set_on_deadlock(&self, what: OnDeadlock) {
        // Relaxed: whoever gets the runtime gets this with it; until then nobody waits.
        self.on_deadlock.store(what as u8, Ordering::Relaxed);
    }

    pub(crate) fn on_deadlock(&self) -> OnDeadlock {
        OnDeadlock::ALL[usize::from(self.on_deadlock.load(Ordering::Relaxed))]
    }

    /// To be called once, before the first worker starts.
    pub(super) fn enlist(self: &Arc<Self>) {
        LIVE.lock().push(Arc::downgrade(self));
    }

    /// To be called when all workers have been asleep for so long, by a thread that is a [`Member`](census::Member) and has
    /// nothing in hand: no timers' entries, no wake-ups. Says after what time it is to be called again if all are still asleep;
    /// `None` if not before somebody has got up, or `someone_waits`.
    pub(super) fn look_for_deadlock(&self, asleep_for: Duration) -> Option<Duration> {
        if self.is_stopping() || self.on_deadlock() == OnDeadlock::Ignore {
            return None;
        }
        // Cheap looks first. If there is something to come, a worker gets up for it.
        if self.told_stage()? == GIVEN_UP || !self.has_nothing_to_do() {
            return None;
        }
        let nothing_will_come = || {
            let whom = awaited::last_among(self.as_host());
            (!whom.is_empty() && live().iter().all(|scheduler| scheduler.has_nothing_to_do())).then_some(whom)
        };
        match census::when_still(nothing_will_come, |whom| self.tell(&whom)) {
            // It is looked at whether that has helped.
            Ok(()) => Some(TICK),
            // Those that have slept for equally long would get in one another's way again when that time has doubled.
            Err(Doubt::Taken) => Some(TICK),
            Err(_) => Some(asleep_for.clamp(TICK, SELDOM)),
        }
    }

    /// How far those who wait have been told: the least of all. `None` if nobody waits.
    fn told_stage(&self) -> Option<u8> {
        awaited::among(self.as_host()).iter().map(|entry| entry.stage()).min()
    }

    /// Whether no worker that gets up by itself would find anything to do.
    fn has_nothing_to_do(&self) -> bool {
        // The inbox of one that is stuck is nobody else's work, and it is judged as what keeps it.
        let has_mail = |seat: &Seat| seat.home.is_filled() && matches!(seat.duty(), ON | SPARE);
        let idle = |seat: &Seat| seat.timers.is_empty() && !seat.has_work() && !has_mail(seat);
        // One that has ended, and has left tasks behind, has no workers.
        self.exits.lock().left == 0
            || self.has_nobody()
            || self.injector.is_empty()
                && self.set_aside.is_empty()
                && self.crew.iter().all(idle)
                && !self.netpoll.has_waiter()
    }

    /// Whether each thread that there may be is kept by a task: whatever lies in the queues, nobody is left to do it, and the
    /// hook has been told.
    fn has_nobody(&self) -> bool {
        // One that was called stuck as it went to sleep is there.
        self.idle.on_duty() == 0
            && self.crew.is_exhausted(&self.crew.roster.lock())
            && self.crew.iter().all(|seat| !seat.sleep.is_asleep())
            && (self.shortage.is_given() || self.waiting() == 0)
    }

    /// It is a deadlock, and these wait.
    #[cold]
    fn tell(&self, whom: &[Arc<Entry>]) {
        let at_stage = |stage| whom.iter().filter(move |entry| entry.stage() == stage);
        if self.on_deadlock() == OnDeadlock::Report {
            if at_stage(NOT_TOLD).next().is_some() {
                write_to_stderr(&self.report());
            }
            whom.iter().for_each(|entry| entry.set_stage(GIVEN_UP));
        } else if self.has_nobody() {
            if whom.iter().any(|entry| entry.stage() != GIVEN_UP) {
                write_to_stderr(&format!("{}\nno thread is left to unwind them on, and they wait on", self.report()));
            }
            whom.iter().for_each(|entry| entry.set_stage(GIVEN_UP));
        } else if at_stage(NOT_TOLD).next().is_some() {
            let report: Arc<str> = self.report().into();
            if cfg!(panic = "abort") {
                // To unwind is the program's end, by a message that says nothing of a deadlock.
                write_to_stderr(&report);
            }
            for entry in at_stage(NOT_TOLD) {
                entry.set_report(Arc::clone(&report));
                entry.set_stage(CANCELLED);
                self.cancel(&entry.task);
            }
        } else if at_stage(CANCELLED).next().is_some() {
            at_stage(CANCELLED).for_each(|entry| entry.set_stage(ALL_CANCELLED));
            self.cancel_all();
        } else if at_stage(ALL_CANCELLED).next().is_some() {
            at_stage(ALL_CANCELLED).for_each(|entry| entry.set_stage(GIVEN_UP));
            write_to_stderr(&format!("{}\nthey can't be unwound, and wait on", self.report()));
        }
    }

    /// What its tasks wait for. It is called in a deadlock, so nothing moves.
    fn report(&self) -> String {
        let mut report = Report::new();
        self.registry.for_each(|task| {
            // SAFETY: a registered task is alive.
            let header = unsafe { task.as_ref() };
            if header.state.is_parked() || header.is_held() {
                // The number is given out when it is asked for, so those that don't wait aren't asked.
                report.add(header.id().get(), header, clock::elapsed(header.since.load(Ordering::Relaxed)));
            }
        });
        // Those that wait in a call of the system's, behind our back or in a section.
        self.lookers.running().iter().for_each(|task| report.add_blocking(task.id().get(), task));
        format!("deadlock: {}, and nothing is left that could wake one{report}", report.total())
    }

    fn cancel(&self, task: &TaskRef) {
        if task.cancel() {
            self.make_runnable(task.as_ptr());
        }
    }
}

/// Not by `eprintln!`, whose lock a task in the deadlock may hold.
fn write_to_stderr(text: &str) {
    overflow::write_to_stderr(format!("throng: {text}\n").as_bytes());
}
