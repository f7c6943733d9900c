//! The simulator: one execution of a program, step by step.
//!
//! The kernel thread's own stack runs the loop, [`Simulator::drive`]. It chooses a task, switches to its stack, and gets
//! control back when the task waits, yields, ends, or another one was chosen at a step: two switches, of a nanosecond
//! each. What can only be done once the stack has been left (committing a wait, reusing the stack) is noted in `left`,
//! and settled there.
//!
//! # The end
//! An execution is over when the root task has ended, or at the first failure. Then all tasks are cancelled, and run until
//! all have ended, as when a runtime is dropped; those that have not begun are dropped as they are. A task that doesn't
//! end then (it catches the cancellation, or waits in a shield) is left where it is, for ever: its stack isn't used again,
//! and the simulator, to which its wake-ups lead, isn't freed.
//!
//! # Other kernel threads
//! One that wakes a task comes into [`make_runnable`](Schedule::make_runnable) from outside. It must not touch what belongs
//! to the simulating thread, and it must not panic either, because it may have others to wake. So it leaves the task in
//! `outside`, where the loop finds it, and fails.
//!
//! # Invariants
//! * All but `outside` is used by the simulating thread alone, which is the one whose context this is.
//! * No borrow of `core` is held across a switch, nor while code of the user's runs.

use super::core::Core;
use super::failure::{Cause, Failed};
use super::log::{End, Log, Name, id};
use super::strategy::Plan;
use crate::control::blocks::Blocks;
use crate::control::{Context, Header, Leave, Running, Schedule, Section, TimerEntry};
use crate::current;
use crate::fiber::Fiber;
use crate::join::{JoinHandle, Observer, new_task, refuse};
use crate::park::Reason;
use crate::primitive::{Ordering, StaticAtomicBool};
use crate::rng::Rng;
use crate::stack::{self, Class};
use parking_lot::Mutex;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

/// What an execution is run with.
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) steps: u64,
    pub(super) switches: super::Switches,
    pub(super) plan: Plan,
    /// For what the library draws.
    pub(super) rng: Rng,
    pub(super) class: Class,
}

/// A task in the list of those woken from outside.
struct Outsider(NonNull<Header>);

// SAFETY: it belongs to whoever takes it out.
unsafe impl Send for Outsider {}

/// How the task that was switched to has left its stack.
enum Left {
    /// It has armed a wait.
    Waiting(NonNull<Header>),
    /// It is among those that can run.
    Ready,
    Finished(NonNull<Fiber>),
    /// It is never to be resumed.
    Stuck,
}

/// Panics that nobody will see.
pub(super) type Unseen = Arc<Mutex<Option<Failed>>>;

pub(crate) struct Simulator {
    context: Context,
    home: Fiber,
    class: Class,
    switches: super::Switches,
    core: RefCell<Core>,
    left: Cell<Option<Left>>,
    /// Who is to run next, if that has been chosen at a step.
    chosen: Cell<Option<NonNull<Header>>>,
    unseen: Unseen,
    outside: Mutex<Vec<Outsider>>,
    has_outside: StaticAtomicBool,
}

// SAFETY: see the invariants; the list is under its lock.
unsafe impl Sync for Simulator {}

/// Notes the panic of a task if nobody takes it out of its handle. Tasks of a scope have the scope for that.
struct Watch {
    number: u32,
    unseen: Unseen,
}

impl Observer for Watch {
    fn task_ended(&self) {}

    fn panic_unseen(&self, payload: &(dyn Any + Send)) {
        self.unseen.lock().get_or_insert_with(|| Failed::panic(self.number, payload));
    }
}

impl Simulator {
    pub(super) fn new(settings: Settings) -> Box<Simulator> {
        let Settings { seed, steps, switches, plan, rng, class } = settings;
        let mut simulator = Box::new(Simulator {
            context: Context {
                host: std::ptr::null(),
                serves: Cell::new(std::ptr::null()),
                simulation: Some(seed),
                task: Running::nothing(),
                blocks: Blocks::new(),
                rng,
            },
            home: Fiber::of_thread(),
            class,
            switches,
            core: RefCell::new(Core::new(plan, steps)),
            left: Cell::new(None),
            chosen: Cell::new(None),
            unseen: Arc::default(),
            outside: Mutex::new(Vec::new()),
            has_outside: StaticAtomicBool::new(false),
        });
        let host: *const Simulator = &raw const *simulator;
        simulator.context.host = host.cast();
        simulator.context.serves.set(host.cast());
        simulator
    }

    pub(super) fn context(&self) -> *const Context {
        &raw const self.context
    }

    /// The caller's simulator, if it is a simulated task.
    pub(crate) fn current<'a>() -> Option<&'a Simulator> {
        if !current::may_be_simulated() {
            return None;
        }
        let (_, context) = current::simulated()?;
        // SAFETY: a context that is simulated has a simulator for its host, which outlives the task that asks.
        Some(unsafe { &*(*context).host.cast() })
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Makes a task that can run.
    ///
    /// # Errors
    /// There is no room for its stack.
    ///
    /// # Safety
    /// `f` and its result stay valid for as long as the task may use them.
    pub(crate) unsafe fn spawn<F: FnOnce() -> T, T>(
        &self,
        f: F,
        class: Class,
        name: Option<String>,
        spawned_at: &'static Location<'static>,
        observer: Option<Arc<dyn Observer>>,
    ) -> io::Result<JoinHandle<T>> {
        if let Err(error) = stack::reserve(class, 1) {
            return refuse(f, error);
        }
        let number = u32::try_from(self.core.borrow().entries.len()).expect("fewer tasks than 2^32");
        // The root's panic is the execution's result.
        let watch = || (number > 0).then(|| Arc::new(Watch { number, unseen: Arc::clone(&self.unseen) }) as _);
        let observer = observer.or_else(watch);
        let host: NonNull<dyn Schedule> = NonNull::from(self);
        // SAFETY: a simulator is only freed when its tasks have ended; the rest is the caller's.
        let (task, handle) = unsafe { new_task(f, host, class, name.as_deref().map(Arc::from), spawned_at, observer) };
        self.launch(task, Name { number, name: name.map(Into::into), spawned_at });
        Ok(handle)
    }

    fn launch(&self, task: NonNull<Header>, name: Name) {
        let number = name.number;
        // SAFETY: it was just made.
        let header = unsafe { task.as_ref() };
        header.place.set(number);
        header.set_id(id(number));
        let mut core = self.core.borrow_mut();
        core.spawned(task, name);
        drop(core);
        self.step_if_possible();
    }

    /// Whether the caller is the simulating thread.
    fn is_here(&self) -> bool {
        std::ptr::eq(current::context(), &raw const self.context)
    }

    fn step_if_possible(&self) {
        if self.context.task.get().is_some() && !std::thread::panicking() {
            self.take_step();
        }
    }

    /// Runs all tasks to their ends, or until that is found to be impossible.
    pub(super) fn drive(&self) {
        while let Some(task) = self.next() {
            if !self.resume(task) {
                return;
            }
        }
    }

    /// `false` if nothing can go on after that.
    fn resume(&self, task: NonNull<Header>) -> bool {
        self.context.task.set(Some(task));
        // SAFETY: an unfinished task, ready to run, whose stack has been left.
        let header = unsafe { task.as_ref() };
        let fiber = header.fiber.get().unwrap_or_else(|| {
            let fiber = Fiber::on(stack::take_one(header.stack_class), base);
            header.fiber.set(Some(fiber));
            fiber
        });
        // SAFETY: the loop runs on the home fiber; the other one is fresh, or was left by its task, which is ready.
        unsafe { Fiber::switch(NonNull::from(&self.home), fiber) };
        self.context.task.set(None);
        match self.left.take().expect("whoever comes home has left a stack") {
            Left::Ready => {}
            // SAFETY: it can't be resumed before the commit, so it is alive.
            Left::Waiting(task) => unsafe {
                if !task.as_ref().state.commit() {
                    self.core.borrow_mut().make_ready(task.as_ref().place.get());
                }
            },
            Left::Finished(fiber) => {
                // SAFETY: it was jumped away from.
                stack::give_up(unsafe { Fiber::into_stack(fiber) });
            }
            Left::Stuck => return false,
        }
        true
    }

    /// Who is to run next. `None` when nobody is left, or nobody ever will.
    fn next(&self) -> Option<NonNull<Header>> {
        if let Some(chosen) = self.chosen.take() {
            return Some(chosen);
        }
        loop {
            self.take_outsiders();
            let core = &mut *self.core.borrow_mut();
            if !core.is_stopping && (core.is_over() || self.unseen.lock().is_some()) {
                core.stop(self.unseen.lock().take());
            }
            if core.log.len() as u64 >= core.limit {
                if core.is_stopping {
                    core.fail(Cause::Steps, "tasks that were cancelled went on and on");
                    return None;
                }
                let mut text = format!("{} steps were taken, and there was no end", core.limit);
                if !core.timers.is_empty() {
                    text.push_str(" (time passes only while no task can go on)");
                }
                core.fail(Cause::Steps, text);
                core.stop(None);
            }
            if let Some(task) = core.choose() {
                return Some(task);
            }
            if core.timers.advance() {
                continue;
            }
            if core.unfinished == 0 {
                return None;
            }
            let text = if core.is_stopping { "deadlock, of tasks that were cancelled" } else { "deadlock" };
            core.fail(Cause::Deadlock, text);
            if core.is_stopping {
                return None;
            }
            core.stop(None);
        }
    }

    fn take_outsiders(&self) {
        // Acquire: pairs with the Release of `make_runnable`.
        if !self.has_outside.load(Ordering::Acquire) {
            return;
        }
        let outsiders = std::mem::take(&mut *self.outside.lock());
        let mut core = self.core.borrow_mut();
        for Outsider(task) in outsiders {
            // SAFETY: it was claimed for us, so it is alive.
            let number = unsafe { task.as_ref() }.place.get();
            let text = format!(
                "{} was woken by another kernel thread: what it does can't be repeated; let tasks do it",
                core.entries[number as usize].name
            );
            core.fail(Cause::Outside, text);
            core.make_ready(number);
        }
    }

    /// A step of the running task: others may run before this returns.
    fn take_step(&self) {
        if self.switches == super::Switches::Everywhere {
            self.give_way(End::Stepped);
        }
    }

    /// The running task stays ready; whoever is chosen runs now.
    fn give_way(&self, end: End) {
        let me = self.running();
        {
            let core = &mut *self.core.borrow_mut();
            // SAFETY: the running task is alive.
            let number = unsafe { me.as_ref() }.place.get();
            core.log.end(end);
            if end == End::Yielded {
                core.plan.yielded(number);
            }
            core.make_ready(number);
            // Relaxed: a hint.
            let is_hurried = self.has_outside.load(Ordering::Relaxed)
                || core.log.len() as u64 >= core.limit
                || !core.is_stopping && (core.is_over() || self.unseen.lock().is_some());
            if !is_hurried {
                let chosen = core.choose().expect("there is one that can run");
                if chosen == me {
                    return;
                }
                self.chosen.set(Some(chosen));
            }
        }
        self.leave(me, Left::Ready);
    }

    fn running(&self) -> NonNull<Header> {
        self.context.task.get().expect("a task runs")
    }

    /// Goes home, and returns when the task is resumed.
    fn leave(&self, me: NonNull<Header>, left: Left) {
        self.left.set(Some(left));
        // SAFETY: the running task's fiber is the running one, and the home fiber waits for this switch.
        unsafe {
            let from = me.as_ref().fiber.get().expect("a running task has a stack");
            Fiber::switch(from, NonNull::from(&self.home));
        }
    }

    /// The running task has ended.
    ///
    /// # Safety
    /// Once a task, with the runtime's reference.
    unsafe fn finish(&self, task: NonNull<Header>) {
        let mut core = self.core.borrow_mut();
        // SAFETY: it is alive until the release.
        let number = unsafe { task.as_ref() }.place.get();
        core.finished(number);
        drop(core);
        // What it leaves behind may hold the last handle of a channel, and nobody is left to take the step of its drop.
        self.context.task.set(None);
        // SAFETY: the caller's.
        unsafe { Header::release(task) };
    }

    /// What came of it; and whether nobody is left in it, so that it can be freed.
    pub(super) fn conclude(&self) -> (Concluded, bool) {
        let mut core = self.core.borrow_mut();
        let unseen = self.unseen.lock().take();
        let failed = match (core.failed.take(), unseen) {
            // It may be what the others wait for.
            (Some(mut failed), Some(unseen)) if failed.cause == Cause::Deadlock => {
                failed.add(unseen);
                Some(failed)
            }
            (failed, unseen) => failed.or(unseen),
        };
        let log = std::mem::take(&mut core.log);
        let names = core.entries.iter().map(|entry| entry.name.clone()).collect();
        let (root_was_first, steps, strategy) = (core.root_was_first, core.stopped_at, core.plan.strategy());
        let concluded = Concluded { failed, root_was_first, log, steps, names, strategy };
        let is_empty = core.unfinished == 0;
        drop(core);
        (concluded, is_empty)
    }
}

pub(super) struct Concluded {
    /// What failed, but for a panic of the root's.
    pub(super) failed: Option<Failed>,
    /// The root ended before that.
    pub(super) root_was_first: bool,
    pub(super) log: Log,
    /// How many steps were taken until it was over, or failed.
    pub(super) steps: usize,
    pub(super) names: Vec<Name>,
    pub(super) strategy: super::Strategy,
}

/// The first function on every stack.
extern "C" fn base(me: NonNull<Fiber>) -> ! {
    // SAFETY: the context is that of the simulator that made this fiber, which lives until its tasks have ended.
    let simulator: &Simulator = unsafe { &*(*current::context()).host.cast() };
    let task = simulator.running();
    let is_stopping = simulator.core.borrow().is_stopping;
    // SAFETY: the task is new, and this is its stack.
    unsafe {
        if is_stopping {
            Header::abandon(task)
        } else {
            Header::run(task)
        }
        simulator.finish(task);
        simulator.left.set(Some(Left::Finished(me)));
        Fiber::jump(me, NonNull::from(&simulator.home))
    }
}

// SAFETY: a task is chosen once for each time it was made ready, and it is made ready when it was claimed with its stack
// left, or after its stack was left. The simulator is freed when all tasks have ended, or never.
unsafe impl Schedule for Simulator {
    fn make_runnable(&self, task: NonNull<Header>) {
        if !self.is_here() {
            let mut outside = self.outside.lock();
            outside.push(Outsider(task));
            // Release: pairs with the Acquire of `take_outsiders`. Under the lock, since the simulator may be gone after it.
            return self.has_outside.store(true, Ordering::Release);
        }
        // SAFETY: it was claimed, so it is alive.
        let number = unsafe { task.as_ref() }.place.get();
        self.core.borrow_mut().make_ready(number);
        // A switch at a wake-up: the one that wakes may be put behind the other.
        self.step_if_possible();
    }

    unsafe fn suspend(&self, _: *const Context, how: Leave) {
        if how == Leave::Yield {
            return self.give_way(End::Yielded);
        }
        let me = self.running();
        // SAFETY: the running task is alive.
        let header = unsafe { me.as_ref() };
        if header.state.outcome().is_some() {
            return self.take_step();
        }
        let mut core = self.core.borrow_mut();
        core.log.end(End::Waits(header.reason.load(Ordering::Relaxed)));
        let now = core.timers.elapsed();
        core.entries[header.place.get() as usize].since = now;
        drop(core);
        self.leave(me, Left::Waiting(me));
    }

    unsafe fn begin_section(&self, _: *const Context, section: Section) {
        // Where a panic would abort it is let pass, and so are short ones, which wait for nobody.
        if section == Section::Long && !std::thread::panicking() {
            super::refuse("`throng::blocking`, or a call of `throng::fs` that may take long,", "call what it calls");
        }
    }

    unsafe fn end_section(&self, _: *const Context, _: Section) {}

    unsafe fn arm_timer(&self, entry: &TimerEntry) {
        self.core.borrow_mut().timers.insert(entry);
    }

    fn disarm_timer(&self, entry: &TimerEntry) {
        self.core.borrow_mut().timers.remove(entry);
    }

    fn someone_waits(&self) {}

    fn now(&self) -> Instant {
        self.core.borrow().timers.now()
    }

    unsafe fn step(&self, _: *const Context) {
        self.take_step();
    }

    fn block_in_place(&self, reason: u8) {
        let me = self.running();
        // SAFETY: the running task is alive.
        let number = unsafe { me.as_ref() }.place.get();
        let mut core = self.core.borrow_mut();
        let text = format!(
            "{} has to wait to {} while it unwinds, and nobody can run meanwhile: `std` counts panics by the kernel thread, \
             there is one, and whoever ran on it would be taken for unwinding too; let destructors do what needs no wait \
             (`try_lock`, a channel without a bound, a task of its own), or test this on a runtime, where such a wait blocks \
             a kernel thread",
            core.entries[number as usize].name,
            Reason::from_byte(reason).map_or("go on", Reason::words),
        );
        match core.failed.take() {
            Some(mut before) => {
                before.add(Failed { cause: Cause::Unwinding, text });
                core.failed = Some(before);
            }
            None => core.fail(Cause::Unwinding, text),
        }
        drop(core);
        self.leave(me, Left::Stuck);
        unreachable!("the simulation is over");
    }
}
