//! The scheduler: N workers, each with a queue of its own, that steal from one another.
//!
//! * `worker.rs`: what one worker does: the loop at the base of every stack, the hand-over from task to task.
//! * `search.rs`: where a worker without work looks for some, and how it sleeps.
//! * `crew.rs`, `duty.rs`, `monitor.rs`: what happens when a task blocks its worker or doesn't end: another one steps in.
//! * `deadlock.rs`: what is done when nobody can ever wake a task again.
//! * `tally.rs`, `lookers.rs`, `unfinished.rs`: what runs, and what has not ended when the time to shut down is up.
//! * `slot.rs`, `idle.rs`, `sleep.rs`, `registry.rs`: the next slot, who sleeps and searches, how one sleeps, and the
//!   list of tasks that wait.
//!
//! # Where a runnable task can be
//! In a worker's next slot, in a worker's queue, or in the injector, which takes those made runnable by threads that
//! are no workers. Each is looked into by every worker before it sleeps. And in a worker's inbox, if it must go on there and
//! nowhere else (see `migration.rs`, `home.rs`): into that only the worker itself looks.
//!
//! # Shutdown
//! `stop` marks the scheduler as stopping and cancels every task in the registry. From then on a task that parks is
//! cancelled at once, one that is resumed is marked as cancelled first, and one that has not begun is abandoned. A
//! worker that finds nothing to run while no task is left ends, and gets the others up to do the same. Whoever shuts
//! it down may wait for that or not: the workers keep the scheduler alive, and the last of them frees it.
//!
//! The race of a task that parks against the cancelling walk: a task is registered before it parks, under the shard's
//! lock. Either the walk comes later and finds it, or the walk came before, and then the task sees the mark, which was
//! set before the walk took that lock.

mod crew;
mod deadlock;
mod duty;
mod home;
mod idle;
mod lookers;
mod migration;
mod monitor;
mod registry;
mod search;
mod shortage;
mod sleep;
mod slot;
mod tally;
mod thread_state;
mod unfinished;
mod worker;

use crate::asymmetric;
use crate::chaos;
use crate::control::{Context, Header, Leave, Outcome, Schedule, Section, TimerEntry};
use crate::current;
use crate::lock::Lock;
use crate::netpoll::Netpoll;
use crate::park::{Reason, wait_in};
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::stack::{self, Class};
use crate::wait::{WaitQueue, Wakeup};
use crew::{Crew, Roster, Seat, Short};
use crossbeam_deque::Injector;
pub use deadlock::OnDeadlock;
use idle::{Choice, Idle};
use lookers::Lookers;
pub(crate) use migration::Policy;
pub use migration::{Metrics, Migration};
use monitor::Monitor;
use parking_lot::MutexGuard;
use registry::Registry;
pub(crate) use shortage::OnShortage;
pub use shortage::Shortage;
use shortage::Warning;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tally::Tally;
pub use unfinished::{Unfinished, UnfinishedTask};
use worker::Worker;

/// A task in a queue: the queue holds the runtime's reference.
#[derive(Clone, Copy)]
struct Runnable(NonNull<Header>);

// SAFETY: a runnable task belongs to whoever takes it out of its queue.
unsafe impl Send for Runnable {}

struct Exits {
    left: usize,
    waiting: WaitQueue<()>,
}

pub(crate) struct Scheduler {
    /// Itself, for those who must keep it alive while they are in here.
    me: Weak<Scheduler>,
    crew: Crew,
    shortage: Warning,
    monitor: Monitor,
    monitor_thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    injector: Injector<Runnable>,
    /// New tasks that the last worker doesn't take, and those from the queues of stuck ones; see `crew.rs`.
    set_aside: Injector<Runnable>,
    idle: Idle,
    netpoll: Arc<Netpoll>,
    registry: Registry,
    lookers: Lookers,
    default_class: Class,
    policy: Policy,
    /// How many of the sleepers sleep for a moment only; see `search.rs`.
    naps: AtomicU32,
    /// Tasks are being cancelled; workers end when none is left.
    stopping: AtomicBool,
    /// When idle memory is to be looked after next; see `search.rs`.
    next_trim: Lock<Instant>,
    /// Tasks spawned by threads that are no workers of ours.
    outside: Tally,
    exits: Lock<Exits>,
    seed: u64,
    /// An index of `OnDeadlock::ALL`.
    on_deadlock: AtomicU8,
}

impl Scheduler {
    /// A scheduler with its workers running.
    pub(crate) fn start(
        workers: usize,
        max_threads: usize,
        default_class: Class,
        policy: Policy,
        name: &str,
        seed: u64,
        on_shortage: Option<OnShortage>,
    ) -> io::Result<Arc<Scheduler>> {
        let start = Instant::now();
        let netpoll = Netpoll::new()?;
        let scheduler = Arc::new_cyclic(|me| Scheduler {
            me: me.clone(),
            crew: Crew::new(workers, max_threads, name, start),
            shortage: Warning::new(on_shortage),
            monitor: Monitor::new(),
            monitor_thread: Mutex::new(None),
            injector: Injector::new(),
            set_aside: Injector::new(),
            idle: Idle::new(),
            netpoll,
            registry: Registry::new(workers),
            lookers: Lookers::new(),
            default_class,
            policy,
            naps: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            next_trim: Lock::new(start),
            outside: Tally::new(),
            exits: Lock::new(Exits { left: 0, waiting: WaitQueue::new() }),
            seed,
            on_deadlock: AtomicU8::new(OnDeadlock::Panic as u8),
        });
        scheduler.enlist();
        scheduler.idle.set_quota(workers);
        let started = match scheduler.call_in(workers) {
            Ok(()) => scheduler.start_monitor(name),
            Err(Short(error)) => Err(error.expect("there are seats for as many")),
        };
        if let Err(error) = started {
            // Those that run already find no task, and end: what they took is free again when the caller hears of it.
            scheduler.stop();
            crate::interrupt::shielded(|| scheduler.join(None));
            return Err(error);
        }
        Ok(scheduler)
    }

    fn start_monitor(self: &Arc<Self>, name: &str) -> io::Result<()> {
        let scheduler = Arc::clone(self);
        self.exits.lock().left += 1;
        let started = std::thread::Builder::new().name(format!("{name}-monitor")).spawn(|| monitor::main(scheduler));
        let thread = started.map_err(|error| {
            self.exits.lock().left -= 1;
            io::Error::new(error.kind(), format!("can't start the monitor's thread: {error}; raise `ulimit -u`"))
        })?;
        *self.monitor_thread.lock() = Some(thread);
        Ok(())
    }

    pub(crate) fn as_host(&self) -> NonNull<dyn Schedule> {
        NonNull::from(self)
    }

    pub(crate) fn netpoll(&self) -> &Arc<Netpoll> {
        &self.netpoll
    }

    pub(crate) fn default_class(&self) -> Class {
        self.default_class
    }

    /// The calling worker, if it is one of ours.
    /// Not in a blocking section, where it does none of its duties.
    #[inline]
    fn local(&self) -> Option<&Worker> {
        let context = current::context();
        // SAFETY: a context that serves us is the first field of one of our workers, which is on this very thread.
        unsafe {
            if !context.is_null() && (*context).serves.get() == std::ptr::from_ref(self).cast() {
                Some(&*context.cast::<Worker>())
            } else {
                None
            }
        }
    }

    /// Whether the caller is one of this scheduler's tasks.
    pub(crate) fn runs_caller(&self) -> bool {
        // SAFETY: the task that calls is alive.
        current::task().is_some_and(|task| unsafe { task.as_ref() }.is_hosted_by(self.as_host()))
    }

    /// Whether the caller is what the scheduler's end waits for, and so can't wait for that: one of its tasks, or its hook.
    pub(crate) fn waits_for_caller(&self) -> bool {
        self.runs_caller() || self.monitor.is_caller()
    }

    /// Makes sure of room for a task's stack. Every admitted task is launched.
    pub(crate) fn admit(&self, class: Class) -> io::Result<()> {
        match self.local() {
            Some(worker) if class == self.default_class => worker.take_credit(),
            _ => stack::reserve(class, 1),
        }
    }

    /// Lets an admitted task run for the first time.
    pub(crate) fn launch(&self, task: NonNull<Header>) {
        match self.local() {
            Some(worker) => worker.launch(task),
            None => {
                self.outside.count_spawned_by_any();
                self.inject(task);
            }
        }
    }

    fn make_runnable_outside(&self, task: NonNull<Header>) {
        // SAFETY: it is runnable and in no queue yet, so it is alive.
        if self.is_bound(unsafe { task.as_ref() }) {
            // See `inject`.
            let _alive = self.me.upgrade();
            self.send_home(task);
        } else {
            self.inject(task);
        }
    }

    /// Makes a task runnable from a thread that is no worker of ours.
    fn inject(&self, task: NonNull<Header>) {
        // Once the task is in the injector it may run, end, and be the last one of a runtime that is being dropped.
        let _alive = self.me.upgrade();
        self.injector.push(Runnable(task));
        chaos::point();
        self.notify();
    }

    /// Work has been made visible: gets a worker up for it, if that is called for.
    #[inline]
    fn notify(&self) {
        match self.idle.choose() {
            Choice::Nothing => {}
            Choice::Wake(index) => self.wake(index),
            Choice::Relieve => self.monitor.call(),
        }
    }

    /// Work has been put into the caller's own queue: likewise, unless somebody looks at it soon anyway.
    #[inline]
    fn notify_local(&self) {
        if !search::naps_shortly(&self.naps) {
            self.notify();
        }
    }

    #[cold]
    fn wake(&self, index: usize) {
        self.crew.seat(index).sleep.wake(&self.netpoll);
        self.monitor.note_up(!self.idle.any_sleeps());
    }

    fn is_stopping(&self) -> bool {
        // Acquire: pairs with the Release of `stop`.
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether workers are to end.
    fn is_over(&self) -> bool {
        self.is_stopping() && !self.unfinished()
    }

    fn unfinished(&self) -> bool {
        self.count_unfinished() > 0
    }

    fn count_unfinished(&self) -> u64 {
        Tally::left(std::iter::once(&self.outside).chain(self.crew.iter().map(|seat| &seat.tally)))
    }

    /// Cancels every task, and lets the workers end when none is left. Does not wait.
    pub(crate) fn stop(&self) {
        // Release: see the head of this file.
        self.stopping.store(true, Ordering::Release);
        self.cancel_all();
        self.wake_all();
    }

    /// Cancels every task that has waited.
    fn cancel_all(&self) {
        // See `Header::cancel`, which this does for all of them with one fence.
        // SAFETY: a registered task is alive.
        self.registry.for_each(|task| unsafe { task.as_ref() }.mark_cancelled());
        asymmetric::heavy();
        let mut parked = Vec::new();
        self.registry.for_each(|task| {
            // SAFETY: as above.
            if unsafe { task.as_ref() }.wake_cancelled() {
                parked.push(task);
            }
        });
        for task in parked {
            self.make_runnable(task);
        }
    }

    /// Waits for the workers' end. `false` if the deadline came first.
    pub(crate) fn join(&self, deadline: Option<Instant>) -> bool {
        let exits = self.exits.lock();
        if exits.left > 0 {
            match wait_in(Reason::Join, deadline, &self.exits, exits, |exits| &mut exits.waiting, ()) {
                Outcome::Woken => {}
                Outcome::TimedOut => return false,
                Outcome::Cancelled => crate::interrupt::unwind(),
            }
        } else {
            drop(exits);
        }
        let own = std::thread::current().id();
        for thread in self.take_threads().into_iter().chain(self.monitor_thread.lock().take()) {
            // One that has been a worker may come here itself: by the destructor of what a task has left in a thread-local.
            if thread.thread().id() != own {
                // It has said that it ends, so this takes no time; and a worker's thread doesn't panic.
                let _ = thread.join();
            }
        }
        true
    }

    /// Changes how many workers there are to be; there may be as many threads. It stays so from then on.
    pub(crate) fn set_workers(&self, workers: usize) {
        let mut roster = self.crew.roster.lock();
        roster.follows_machine = false;
        self.want(roster, workers);
    }

    /// There are to be as many workers as the process may use processors, also if that changes.
    pub(crate) fn follow_machine(&self) {
        self.crew.roster.lock().follows_machine = true;
    }

    fn want(&self, mut roster: MutexGuard<'_, Roster>, workers: usize) {
        self.crew.want(&mut roster, workers, &self.idle);
        drop(roster);
        // Those that sleep and are too many find that out when they get up.
        self.wake_sleepers();
        self.monitor.call();
    }

    pub(crate) fn workers(&self) -> usize {
        self.crew.roster.lock().wanted
    }

    pub(crate) fn max_threads(&self) -> usize {
        self.crew.max_threads()
    }

    /// Whether tasks lie where every worker looks for them. A hint.
    #[inline]
    fn has_injected(&self) -> bool {
        !self.injector.is_empty() || !self.set_aside.is_empty()
    }

    /// How many tasks lie in queues. A hint.
    fn waiting(&self) -> usize {
        let waits = |seat: &Seat| seat.stealer.len() + usize::from(!seat.slot.peek().is_null());
        self.injector.len() + self.set_aside.len() + self.crew.iter().map(waits).sum::<usize>()
    }

    /// Gets a worker up to look around, if one sleeps and none searches.
    fn call_for_nap(&self) {
        if let Choice::Wake(index) = self.idle.choose_unfenced() {
            self.wake(index);
        }
    }

    fn wake_sleepers(&self) {
        for index in self.idle.choose_all() {
            self.wake(index);
        }
    }

    fn wake_all(&self) {
        self.wake_sleepers();
        self.wake_spares();
        self.monitor.call();
    }

    /// A worker's thread is about to end.
    fn exited(&self) {
        let mut exits = self.exits.lock();
        exits.left -= 1;
        chaos::point();
        let last = exits.left == 0;
        let wakeups = if last { exits.waiting.take_all() } else { Vec::new() };
        drop(exits);
        if last {
            // Who waits for a socket in a task of another runtime, or in a plain thread, is to wait elsewhere.
            self.netpoll.close();
            self.monitor.call();
        }
        wakeups.into_iter().for_each(Wakeup::fire);
    }
}

// SAFETY: a task comes out of the slot, a queue or the injector once for each time it was put in, and is put in once it
// was claimed with its stack left, or by `Worker::settle` after the stack was left. Workers, each of which keeps the
// scheduler alive, end only when no task is left.
unsafe impl Schedule for Scheduler {
    #[inline]
    fn make_runnable(&self, task: NonNull<Header>) {
        match self.local() {
            Some(worker) => worker.ready(task),
            None => self.make_runnable_outside(task),
        }
    }

    #[inline]
    unsafe fn suspend(&self, context: *const Context, how: Leave) {
        // SAFETY: the caller's: it is the context of one of our workers, on this very thread.
        unsafe { worker::suspend(&*context.cast::<Worker>(), how) }
    }

    #[inline]
    unsafe fn begin_section(&self, context: *const Context, section: Section) {
        // SAFETY: as in `suspend`.
        unsafe { &*context.cast::<Worker>() }.begin_section(section);
    }

    #[inline]
    unsafe fn end_section(&self, context: *const Context, section: Section) {
        // SAFETY: as in `suspend`.
        unsafe { &*context.cast::<Worker>() }.end_section(section);
    }

    unsafe fn arm_timer(&self, entry: &TimerEntry) {
        let worker = self.local().expect("a task runs on a worker");
        entry.seat.set(worker.index());
        // SAFETY: the caller's.
        unsafe { worker.seat().timers.arm(entry, Instant::now()) }
    }

    fn disarm_timer(&self, entry: &TimerEntry) {
        self.crew.seat(entry.seat.get()).timers.disarm(entry);
    }

    fn someone_waits(&self) {
        // If all sleep already, nobody would look whether that is for ever.
        self.monitor.note_up(false);
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}
