//! One worker: the loop at the base of every stack, and the hand-over from task to task.
//!
//! # The loop is at the base of the stacks
//! A worker has no stack of its own to which tasks return. Every stack begins with [`base`], the worker's loop. A new
//! task's closure is *called* by the loop, so a task that never waits costs no switch at all. A task that waits leaves
//! its stack as it is and goes straight to the next task's; only if there is none does it go to an idle stack, whose
//! loop looks for work. When the loop comes to a task that has a stack already, it jumps there, and the stack it was
//! on is idle.
//!
//! ```text
//!   stack 1: base ▶ task A ▶ park ──switch──▶ stack 2: base ▶ task B ▶ (ends) ▶ base ──jump──▶ stack 1: A goes on
//!                                                                         (stack 2 is idle, and the next to be used)
//! ```
//!
//! The loop may return from a task on another kernel thread than it called it on, so it asks for its worker anew in
//! each round, and keeps nothing of the worker across a task.
//!
//! # Leaving a stack
//! What can only be done once a stack has been left (committing the park, queueing one that yielded, reusing the stack
//! of one that ended) is noted in the worker and settled by whoever arrives next on this kernel thread: the first thing
//! after every switch is [`Worker::settle`].
//!
//! # Fairness
//! A chain of hand-offs through the next slot shares one turn at the queue: after [`HAND_OFFS`] of them the woken task
//! goes behind the queue. Every [`INJECTOR_TURNS`] turns the injector comes first, or every
//! [`SET_ASIDE_TURNS`] what was set aside; every [`TIMER_TURNS`] the clock is read if there are timers, and every
//! [`POLL_TURNS`] the poller is asked if there are sockets. Where turns are so long that this takes milliseconds, the monitor has
//! the worker do all that between two of them.

use super::crew::Seat;
use super::duty::{AWAY, ON};
use super::idle::Choice;
use super::migration::{LIBRARY_TURNS, Policy};
use super::search::{Nap, naps_shortly};
use super::thread_state;
use super::{Runnable, Scheduler};
use crate::census::Member;
use crate::chaos;
use crate::control::blocks::Blocks;
use crate::control::{Context, Header, Leave, Outcome, Running, Section};
use crate::current;
use crate::fiber::Fiber;
use crate::netpoll::Wait;
use crate::overflow::AlternateStack;
use crate::primitive::{Ordering, clear_below};
use crate::rng::Rng;
use crate::stack::{self, Class, Stack};
use crate::wait::Wakeup;
use crossbeam_deque::{Steal, Worker as Deque};
use crossbeam_utils::CachePadded;
use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

const HAND_OFFS: u32 = 128;
pub(super) const INJECTOR_TURNS: u32 = 64;
pub(super) const SET_ASIDE_TURNS: u32 = 512;
const TIMER_TURNS: u32 = 16;
const POLL_TURNS: u32 = 64;

/// Idle stacks that a worker keeps for itself, and how many it takes or gives at a time.
const STACKS: usize = 64;
const STACK_BATCH: usize = 32;
const FIRST_BATCH: usize = 2;
/// Reserved for a worker as long as it runs: for the idle ones, the one its loop is on, and the one that it has just left, which
/// joins the idle ones before these are too many.
pub(super) const STACKS_KEPT: usize = STACKS + 2;
/// Reservations that a worker keeps for the tasks it will spawn, and how many it makes at a time.
const CREDITS: usize = 256;
const CREDIT_BATCH: usize = 64;

#[repr(C)]
pub(super) struct Worker {
    /// First, so that the thread-local's pointer leads here.
    pub(super) context: Context,
    pub(super) scheduler: Arc<Scheduler>,
    index: usize,
    pub(super) has_last_seat: bool,
    /// Whether tasks that have begun never leave it.
    pub(super) keeps_begun: bool,
    seat: Arc<CachePadded<Seat>>,
    pub(super) queue: Deque<Runnable>,
    pub(super) turn: Cell<u32>,
    /// Hand-offs through the next slot since the queue had its turn.
    hand_offs: Cell<u32>,
    /// Whose turn it is, if there is something in both the queue and the inbox.
    pub(super) queue_first: Cell<bool>,
    /// Who has left its stack, and how, until that is settled.
    left: Cell<Option<(NonNull<Header>, Leave)>>,
    /// The fiber whose loop has jumped away.
    ended: Cell<Option<NonNull<Fiber>>>,
    /// A new task, handed to the loop of a fresh fiber.
    first: Cell<Option<NonNull<Header>>>,
    /// Whether what becomes runnable now comes in bulk, from the poller or the timers.
    in_bulk: Cell<bool>,
    /// Idle stacks of the default class, the hottest last.
    stacks: RefCell<Vec<Stack>>,
    stack_batch: Cell<usize>,
    credits: Cell<usize>,
    pub(super) nap: Nap,
    pub(super) member: Member,
    /// Reused for what the poller and the timers wake.
    pub(super) woken: Cell<Vec<Wakeup>>,
    home: Fiber,
}

/// The calling kernel thread's worker. Not to be kept across a suspension.
#[inline]
fn worker<'a>() -> &'a Worker {
    let context = current::context();
    debug_assert!(!context.is_null());
    // SAFETY: this is called on stacks that only workers run, whose context is their first field; it lives until the
    // worker's thread has left the last of them.
    unsafe { &*context.cast::<Worker>() }
}

/// A worker's kernel thread.
pub(super) fn main(scheduler: Arc<Scheduler>, index: usize) {
    let host = Arc::as_ptr(&scheduler).cast();
    let seat = Arc::clone(scheduler.crew.seat(index));
    let worker = Worker {
        context: Context {
            host,
            serves: Cell::new(host),
            simulation: None,
            task: Running::nothing(),
            blocks: Blocks::new(),
            rng: Rng::new(scheduler.seed.wrapping_add(index as u64)),
        },
        index,
        has_last_seat: scheduler.crew.is_last(index),
        keeps_begun: scheduler.policy == Policy::BeforeFirstRun,
        queue: seat.sit_down(),
        // Relaxed: the queue's lock orders it with the thread before.
        turn: Cell::new(seat.turn.load(Ordering::Relaxed)),
        hand_offs: Cell::new(0),
        queue_first: Cell::new(false),
        left: Cell::new(None),
        ended: Cell::new(None),
        first: Cell::new(None),
        in_bulk: Cell::new(false),
        stacks: RefCell::new(Vec::with_capacity(STACKS + STACK_BATCH)),
        stack_batch: Cell::new(FIRST_BATCH),
        credits: Cell::new(0),
        nap: Nap::new(),
        member: Member::enter(),
        woken: Cell::new(Vec::new()),
        home: Fiber::of_thread(),
        seat,
        scheduler,
    };
    let _alternate_stack = AlternateStack::ensure();
    worker.seat().sleep.settle();
    // Relaxed: a hint to the monitor.
    worker.seat().thread.store(thread_state::current(), Ordering::Relaxed);
    // The queues' collector sets its thread-local up at the first theft, which takes more stack than the smallest task's.
    let _ = worker.seat().stealer.steal();
    // SAFETY: the worker outlives its thread's use of it, which ends below.
    unsafe { current::set_context(&raw const worker.context) };
    // What the thread's storage holds by now is no task's.
    worker.seat().home.open(worker.scheduler.watch());
    // SAFETY: likewise; it is taken out below.
    unsafe { worker.scheduler.lookers.enter(&worker.context) };
    let fiber = worker.fresh_fiber(worker.scheduler.default_class);
    // SAFETY: the home fiber is the running one; the other is fresh. It jumps back here when the scheduler stops.
    unsafe { Fiber::switch(NonNull::from(&worker.home), fiber) };
    worker.settle();
    worker.scheduler.lookers.leave(&worker.context);
    // SAFETY: null needs nothing.
    unsafe { current::set_context(std::ptr::null()) };
    worker.close();
}

/// The loop. `me` is the fiber that it is on.
extern "C" fn base(me: NonNull<Fiber>) -> ! {
    worker().settle();
    loop {
        let w = worker();
        let task = match w.first.take().or_else(|| w.next_task()) {
            Some(task) => task,
            // SAFETY: the loop is all there is on this stack; the home fiber waits for this jump.
            None => unsafe { w.jump(me, NonNull::from(&w.home)) },
        };
        // SAFETY: it came out of a queue.
        if !unsafe { w.may_run(task) } {
            continue;
        }
        // SAFETY: it came out of a queue, so it is unfinished, and ours.
        let header = unsafe { task.as_ref() };
        // SAFETY: the record of the fiber that we are on.
        let mine = unsafe { me.as_ref() }.stack().expect("a task's stack").class();
        // (Only on a stack of the usual class: one of another was taken for this very task, by `suspend` or below, and either has
        // asked before.)
        if header.fiber.get().is_none() && mine == w.scheduler.default_class && w.is_last_one() {
            // The note of it that `suspend` may have left goes first: see `lookers.rs`.
            w.context.task.set(None);
            w.set_aside(task);
            continue;
        }
        w.context.task.set(Some(task));
        if let Some(fiber) = header.fiber.get() {
            w.mark_if_stopping(header);
            // SAFETY: this fiber has nothing but the loop on it. The task was put into the queue after it had left its own, which
            // nobody but us may resume.
            unsafe { w.jump(me, fiber) }
        }
        if header.stack_class != mine {
            w.first.set(Some(task));
            let fiber = w.fresh_fiber(header.stack_class);
            // SAFETY: this fiber has nothing but the loop on it; the other is fresh.
            unsafe { w.jump(me, fiber) }
        }
        header.fiber.set(Some(me));
        // SAFETY: the task is new, and this is its stack.
        unsafe { run(w, task) };
        // Maybe another kernel thread's.
        let w = worker();
        // SAFETY: it has run to its end, here, and was the runtime's up to now.
        unsafe { w.end(task, mine) };
        if mine != w.scheduler.default_class {
            // The loop stays on stacks that are kept for it. `recycle` ends this one's reservation.
            let fiber = w.fresh_fiber(w.scheduler.default_class);
            // SAFETY: as before: nothing but the loop, and a fresh one.
            unsafe { w.jump(me, fiber) }
        }
    }
}

/// Tries until it is known whether there is something.
#[inline]
fn persist(steal: impl Fn() -> Steal<Runnable>) -> Option<NonNull<Header>> {
    loop {
        match steal() {
            Steal::Success(Runnable(task)) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}

/// Runs a new task on this stack; or drops what it holds, where no more tasks begin.
///
/// # Safety
/// It has not begun, this is its stack, and it is the worker's current task.
#[inline(always)]
unsafe fn run(w: &Worker, task: NonNull<Header>) {
    // SAFETY: the caller's; one of the two is called, once.
    unsafe { if w.scheduler.is_stopping() { Header::abandon(task) } else { Header::run(task) } }
}

/// See [`Schedule::suspend`](crate::control::Schedule::suspend).
///
/// # Safety
/// As there.
#[inline]
pub(super) unsafe fn suspend(w: &Worker, how: Leave) {
    let me = w.context.task.get().expect("a task suspends itself");
    // SAFETY: the running task is alive.
    let header = unsafe { me.as_ref() };
    let next = match how {
        Leave::Park => {
            if header.state.outcome().is_some() {
                // Claimed already: going on at once saves two switches.
                return;
            }
            w.first_that_may_run(Worker::quick_next)
        }
        // One that should report goes to the loop, which does.
        Leave::Yield if w.is_called(w.turn.get()) => None,
        Leave::Yield => match w.first_that_may_run(Worker::next_for_yield) {
            // If it never left its stack it is in no registry, so nothing else tells it.
            None => return w.mark_if_stopping(header),
            next => next,
        },
    };
    if header.shard.get() == 0 {
        w.enroll(me);
    }
    let from = header.fiber.get().expect("a running task has a stack");
    // SAFETY: it came out of a queue, so it is alive and ours.
    let is_new = |task: NonNull<Header>| unsafe { task.as_ref() }.fiber.get().is_none();
    let next = match next {
        // Its stack's reservation stays with it, so none is taken for it here.
        Some(task) if w.is_last_one() && is_new(task) => {
            w.set_aside(task);
            None
        }
        next => next,
    };
    let to = match next {
        None => w.fresh_fiber(w.scheduler.default_class),
        // SAFETY: it came out of a queue, so it is alive and ours.
        Some(task) => unsafe {
            match task.as_ref().fiber.get() {
                Some(fiber) => {
                    w.mark_if_stopping(task.as_ref());
                    fiber
                }
                None => {
                    w.first.set(Some(task));
                    w.fresh_fiber(task.as_ref().stack_class)
                }
            }
        },
    };
    w.left.set(Some((me, how)));
    w.context.task.set(next);
    // SAFETY: `from` is the running task's fiber. `to` is fresh, or belongs to a task that came out of a queue, and so
    // was put there after its stack was left.
    unsafe { Fiber::switch(from, to) };
    worker().settle();
}

impl Worker {
    pub(super) fn index(&self) -> usize {
        self.index
    }

    #[inline]
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Does what had to wait until the stack was left.
    #[inline]
    fn settle(&self) {
        chaos::point();
        if let Some((task, how)) = self.left.take() {
            match how {
                Leave::Park => self.commit(task),
                Leave::Yield => self.enqueue(task),
            }
        }
        if let Some(fiber) = self.ended.take() {
            self.recycle(fiber);
        }
    }

    #[inline]
    fn commit(&self, task: NonNull<Header>) {
        // SAFETY: it parked here, and nobody can resume it before the commit; after that it may be gone at any moment.
        let header = unsafe { task.as_ref() };
        // Relaxed: see the head of `scheduler/mod.rs`.
        if self.scheduler.stopping.load(Ordering::Relaxed) && header.scopes.shields() == 0 {
            return self.commit_cancelled(task);
        }
        if !header.state.commit() {
            self.ready(task);
        }
    }

    /// A task has parked while the scheduler stops: it goes on at once, to unwind if nobody has woken it.
    #[cold]
    fn commit_cancelled(&self, task: NonNull<Header>) {
        // SAFETY: as in `commit`: it is still uncommitted, so it can't be resumed.
        let header = unsafe { task.as_ref() };
        header.mark_cancelled();
        // Claimed by us or by somebody else, it has left its stack, and it is ours to run.
        let _ = header.state.claim_current(0, Outcome::Cancelled);
        self.ready(task);
    }

    /// A task has become runnable here.
    #[inline]
    pub(super) fn ready(&self, task: NonNull<Header>) {
        // SAFETY: it is runnable and in no queue yet, so it is alive.
        let header = unsafe { task.as_ref() };
        if !header.is_at_home(self.index) && self.scheduler.is_bound(header) {
            return self.scheduler.send_home(task);
        }
        if self.in_bulk.get() {
            return self.enqueue(task);
        }
        let seat = self.seat();
        let displaced = seat.slot.put(task);
        chaos::point();
        if let Some(displaced) = displaced {
            self.enqueue(displaced);
            self.notify_own();
        } else if seat.duty() != ON {
            // What runs here is known to take long, and nobody looks at this slot unasked.
            self.scheduler.notify();
        }
    }

    /// Work has been put into its own queue. While it is stuck nobody counts on it to come to that.
    #[inline]
    fn notify_own(&self) {
        if self.seat().duty() == ON { self.scheduler.notify_local() } else { self.scheduler.notify() }
    }

    /// A new task has been spawned here.
    #[inline]
    pub(super) fn launch(&self, task: NonNull<Header>) {
        let seat = self.seat();
        seat.tally.count_spawned();
        match seat.slot.put(task) {
            Some(displaced) => {
                self.enqueue(displaced);
                self.notify_own();
            }
            None if seat.duty() != ON => self.scheduler.notify(),
            // The spawner may go on for long without waiting, so somebody should look after its slot: one that naps does.
            // A sleeper missed for want of a fence is got up by the next spawn.
            None if !naps_shortly(&self.scheduler.naps) => self.call_for_nap(),
            None => {}
        }
    }

    /// Gets a worker up to look after this one, if one sleeps.
    #[cold]
    pub(super) fn call_for_nap(&self) {
        self.scheduler.call_for_nap();
    }

    /// The first task that is found which may go on here. The others are sent home.
    #[inline]
    fn first_that_may_run(&self, find: impl Fn(&Worker) -> Option<NonNull<Header>>) -> Option<NonNull<Header>> {
        loop {
            let task = find(self)?;
            // SAFETY: it came out of a queue.
            if unsafe { self.may_run(task) } {
                return Some(task);
            }
        }
    }

    /// What to run next, if it is at hand.
    #[inline]
    pub(super) fn quick_next(&self) -> Option<NonNull<Header>> {
        let seat = self.seat();
        let turn = self.count_turn();
        if self.is_called(turn) {
            // The loop is where it reports.
            return None;
        }
        if turn.is_multiple_of(TIMER_TURNS)
            && let Some(task) = self.look_around(turn)
        {
            return Some(task);
        }
        let hand_offs = self.hand_offs.get();
        if hand_offs < HAND_OFFS
            && let Some(task) = seat.slot.take()
        {
            self.hand_offs.set(hand_offs + 1);
            return Some(task);
        }
        self.hand_offs.set(0);
        if let Some(task) = self.pop() {
            if hand_offs >= HAND_OFFS
                && let Some(woken) = seat.slot.take()
            {
                self.enqueue(woken);
            }
            return Some(task);
        }
        seat.slot.take()
    }

    /// Whether it should go to the loop and report. What it would put into its queue while it is stuck, nobody would know of.
    #[inline]
    fn is_called(&self, turn: u32) -> bool {
        self.seat().duty() != ON || turn.is_multiple_of(TIMER_TURNS) && self.should_report()
    }

    #[inline]
    fn count_turn(&self) -> u32 {
        let turn = self.turn.get().wrapping_add(1);
        self.turn.set(turn);
        // Relaxed: a hint to those who watch.
        self.seat().turn.store(turn, Ordering::Relaxed);
        turn
    }

    /// What is in its own slot or queue.
    pub(super) fn take_own(&self) -> Option<NonNull<Header>> {
        self.seat().slot.take().or_else(|| self.queue.pop().map(|Runnable(task)| task))
    }

    /// The next in turn for one that yields, which goes behind it: not the slot first, or two tasks that wake each
    /// other and yield would starve the queue. Nor the queue alone, or two that yield would starve the slot: whoever is
    /// there takes its place in the queue.
    #[inline]
    fn next_for_yield(&self) -> Option<NonNull<Header>> {
        let turn = self.count_turn();
        if turn.is_multiple_of(TIMER_TURNS)
            && let Some(task) = self.look_around(turn)
        {
            return Some(task);
        }
        self.hand_offs.set(0);
        let slot = &self.seat().slot;
        match self.pop() {
            Some(task) => {
                if let Some(woken) = slot.take() {
                    self.enqueue(woken);
                }
                Some(task)
            }
            // Whom the timers and the poller have woken is in the queue by then.
            None => slot.take().or_else(|| self.look_outside()).or_else(|| self.pop()),
        }
    }

    /// The timers, the injector and the poller, each in its turn; and whether others lack what this one hoards.
    #[cold]
    fn look_around(&self, turn: u32) -> Option<NonNull<Header>> {
        if !self.seat().timers.is_empty() {
            self.expire_timers();
        }
        if stack::is_scarce(self.scheduler.default_class, CREDIT_BATCH) {
            self.release_credits(0);
        }
        if turn.is_multiple_of(POLL_TURNS) {
            self.poll_now();
            if turn.is_multiple_of(LIBRARY_TURNS) {
                self.look_for_libraries();
            }
        }
        if !turn.is_multiple_of(INJECTOR_TURNS) {
            None
        } else if turn.is_multiple_of(SET_ASIDE_TURNS) {
            self.take_set_aside().or_else(|| self.take_injected())
        } else {
            self.take_injected().or_else(|| self.take_set_aside())
        }
    }

    /// All of them at once: there is nothing else to run, or the turns are so long that each would wait for long.
    #[cold]
    pub(super) fn look_outside(&self) -> Option<NonNull<Header>> {
        self.expire_timers();
        self.poll_now();
        self.take_injected().or_else(|| self.take_set_aside())
    }

    /// Takes a batch from the injector.
    pub(super) fn take_injected(&self) -> Option<NonNull<Header>> {
        persist(|| self.scheduler.injector.steal_batch_and_pop(&self.queue))
    }

    /// Takes a new task that was set aside; one, as the next may get this worker stuck as well.
    pub(super) fn take_set_aside(&self) -> Option<NonNull<Header>> {
        let set_aside = &self.scheduler.set_aside;
        if set_aside.is_empty() || self.is_last_one() { None } else { persist(|| set_aside.steal()) }
    }

    pub(super) fn steal_from(&self, victim: &Seat) -> Option<NonNull<Header>> {
        persist(|| victim.stealer.steal_batch_and_pop(&self.queue))
    }

    fn expire_timers(&self) {
        let mut woken = self.woken.take();
        self.seat().timers.expire(Instant::now(), &mut woken);
        self.fire(woken);
    }

    /// Asks the poller what is ready, unless somebody is at it.
    pub(super) fn poll_now(&self) {
        let netpoll = self.scheduler.netpoll();
        if netpoll.has_sources()
            && let Some(mut driver) = netpoll.try_driver()
        {
            let mut woken = self.woken.take();
            driver.poll(Wait::Now, &mut woken).expect("the poller works");
            drop(driver);
            // The C library's, where it makes system calls that a thread could be cancelled in.
            clear_below();
            self.fire(woken);
        }
    }

    /// Puts all those woken at the end of the queue, and gets one worker up if there is more than this one can begin
    /// with.
    pub(super) fn fire(&self, mut woken: Vec<Wakeup>) {
        if !woken.is_empty() {
            // Others may take what lies in the queue, but not what is still to be fired.
            let last: Vec<_> = woken.extract_if(.., |wakeup| wakeup.is_foreign()).collect();
            self.in_bulk.set(true);
            woken.drain(..).for_each(Wakeup::fire);
            self.in_bulk.set(false);
            if self.queue.len() > 1 {
                self.scheduler.notify_local();
            }
            last.into_iter().for_each(Wakeup::fire);
        }
        self.woken.set(woken);
    }

    /// While stopping, a task that goes on does so to be cancelled.
    #[inline]
    fn mark_if_stopping(&self, header: &Header) {
        if self.scheduler.stopping.load(Ordering::Relaxed) {
            header.mark_cancelled();
        }
    }

    /// A task has run to its end.
    ///
    /// # Safety
    /// Once a task, with the runtime's reference.
    #[inline]
    unsafe fn end(&self, task: NonNull<Header>, class: Class) {
        self.context.task.set(None);
        // SAFETY: it is alive until the release, and ours.
        unsafe {
            if self.scheduler.registry.leave(task) {
                // It ends at home.
                self.seat().home.end();
            }
            self.scheduler.lookers.let_pass(&self.scheduler.stopping);
            Header::release(task);
        }
        if class == self.scheduler.default_class {
            self.return_credit();
        }
        self.seat().tally.count_ended();
    }

    #[inline]
    pub(super) fn take_credit(&self) -> io::Result<()> {
        let mut credits = self.credits.get();
        if credits == 0 {
            let class = self.scheduler.default_class;
            // Where there is no room for so many, there may be for this one.
            credits = if !stack::is_scarce(class, CREDIT_BATCH) && stack::reserve(class, CREDIT_BATCH).is_ok() {
                CREDIT_BATCH
            } else {
                stack::reserve(class, 1)?;
                1
            };
        }
        self.credits.set(credits - 1);
        Ok(())
    }

    #[inline]
    pub(super) fn return_credit(&self) {
        self.credits.set(self.credits.get() + 1);
        if self.credits.get() > CREDITS {
            self.release_credits(CREDITS / 2);
        }
    }

    /// Leaves room for stacks to others. A worker that sleeps keeps none: those who spawn may be elsewhere.
    pub(super) fn release_credits(&self, keep: usize) {
        let credits = self.credits.get();
        if credits > keep {
            stack::release(self.scheduler.default_class, credits - keep);
            self.credits.set(keep);
        }
    }

    /// A fiber that will begin with the loop.
    #[inline]
    fn fresh_fiber(&self, class: Class) -> NonNull<Fiber> {
        if class == self.scheduler.default_class {
            let mut stacks = self.stacks.borrow_mut();
            if stacks.is_empty() {
                // A spare thread that steps in for one that blocks needs only a few, and a guard takes half a microsecond.
                let batch = self.stack_batch.get();
                self.stack_batch.set(STACK_BATCH.min(2 * batch));
                stack::take(class, &mut stacks, batch);
            }
            return Fiber::on(stacks.pop().expect("an admitted task has a stack"), base);
        }
        Fiber::on(stack::take_one(class), base)
    }

    /// Ends the loop on `me` and goes on with `to`.
    ///
    /// # Safety
    /// As for [`Fiber::jump`].
    #[inline]
    unsafe fn jump(&self, me: NonNull<Fiber>, to: NonNull<Fiber>) -> ! {
        self.ended.set(Some(me));
        // SAFETY: the caller's.
        unsafe { Fiber::jump(me, to) }
    }

    #[inline]
    fn recycle(&self, fiber: NonNull<Fiber>) {
        // SAFETY: it has been jumped away from, by this kernel thread, which is on another stack now.
        let stack = unsafe { Fiber::into_stack(fiber) };
        let class = stack.class();
        if class == self.scheduler.default_class {
            let mut stacks = self.stacks.borrow_mut();
            stacks.push(stack);
            if stacks.len() > STACKS {
                stack::give(class, &mut stacks, STACKS - STACK_BATCH);
            }
        } else {
            stack::give_up(stack);
        }
    }

    /// The running task begins a section in which it may block this thread.
    #[inline]
    pub(super) fn begin_section(&self, section: Section) {
        self.context.serves.set(std::ptr::null());
        let seat = self.seat();
        if seat.duty.begin_section(section, &self.scheduler.idle)
            && (!self.queue.is_empty() || !seat.slot.peek().is_null() || self.scheduler.has_injected())
        {
            self.find_replacement();
        }
    }

    #[inline]
    pub(super) fn end_section(&self, section: Section) {
        self.context.serves.set(self.context.host);
        // So that the monitor can tell one section from the next.
        self.count_turn();
        self.seat().duty.end_section(section, &self.scheduler.idle);
    }

    /// It is away, and there is work: gets somebody up for it.
    #[cold]
    fn find_replacement(&self) {
        let scheduler = &*self.scheduler;
        match scheduler.idle.choose_unfenced() {
            Choice::Wake(index) => scheduler.wake(index),
            Choice::Relieve => {
                let mut roster = scheduler.crew.roster.lock();
                // If the monitor has relieved it just now, it sees to the rest.
                let is_seen_to = !roster.spares.is_empty()
                    && (!self.seat().duty.relieve(AWAY, &scheduler.idle) || scheduler.call_spare_in(&mut roster));
                drop(roster);
                if !is_seen_to {
                    scheduler.monitor.call();
                }
            }
            Choice::Nothing => {}
        }
        // A lock that was waited for.
        clear_below();
    }

    /// The thread is about to end: gives everything back.
    fn close(self) {
        let class = self.scheduler.default_class;
        stack::give(class, &mut self.stacks.borrow_mut(), 0);
        stack::release(class, self.credits.get() + STACKS_KEPT);
        let Worker { scheduler, index, seat, queue, .. } = self;
        seat.thread.store(0, Ordering::Relaxed);
        scheduler.vacate(index, queue);
        scheduler.exited();
    }
}
