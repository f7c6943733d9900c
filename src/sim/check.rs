//! Many executions: which seeds, with which settings, and whether each is what its seed says.

use super::failure::{Cause, Failed, Failure};
use super::simulator::{Concluded, Settings, Simulator};
use super::strategy::{Plan, Strategy};
use crate::asymmetric;
use crate::current::{self, Simulating};
use crate::interrupt::Cancelled;
use crate::overflow::{self, AlternateStack};
use crate::rng::Rng;
use crate::stack::{self, DEFAULT_STACK_SIZE};
use crate::wait::quietly;
use std::panic::Location;
use std::rc::Rc;

/// Executions for a [`check`](super::check) that doesn't say otherwise.
const SEEDS: u64 = 1000;
const STEPS: u64 = 100_000;
const DEPTH: u32 = 3;

/// Where the simulator may switch from one task to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Switches {
    /// Before each operation of a channel, a lock, a token and so on (also one that only looks, and the drop of a guard or of
    /// the last sender), once a lock was taken, and after each wake-up: where another kernel thread might come in between.
    #[default]
    Everywhere,
    /// Where a task waits, yields or ends. For programs that hold a lock of [`std::sync`] across calls of this crate, as
    /// whoever waits for such a lock blocks the one kernel thread for ever.
    WhereTasksWait,
}

/// How programs are simulated.
///
/// # Examples
/// ```
/// use throng::sim::{Cause, Check};
/// use throng::sync::Mutex;
///
/// let failure = Check::new().seeds(200).search(|| {
///     let (a, b) = (Mutex::new(()), Mutex::new(()));
///     throng::scope(|s| {
///         s.spawn(|| drop((a.lock(), b.lock())));
///         s.spawn(|| drop((b.lock(), a.lock())));
///     });
/// });
/// let failure = failure.unwrap_err();
/// assert_eq!(failure.cause(), Cause::Deadlock);
/// // deadlock: 3 tasks wait, and nothing is left that could wake one
/// //   task 1 waits to see the end of a scope's tasks, ..
/// println!("{failure}");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until `check`, `search` or `run` is called"]
pub struct Check {
    first: u64,
    seeds: u64,
    steps: u64,
    depth: u32,
    strategy: Option<Strategy>,
    switches: Switches,
    stack_size: usize,
}

impl Default for Check {
    fn default() -> Check {
        Check::new()
    }
}

impl Check {
    /// A thousand seeds, with both strategies.
    pub fn new() -> Check {
        Check {
            first: 0,
            seeds: SEEDS,
            steps: STEPS,
            depth: DEPTH,
            strategy: None,
            switches: Switches::Everywhere,
            stack_size: DEFAULT_STACK_SIZE,
        }
    }

    /// How many seeds are tried. By default 1000.
    pub fn seeds(mut self, seeds: u64) -> Check {
        self.seeds = seeds;
        self
    }

    /// The first seed; the others follow it. By default 0, so that each run of a test tries the same ones.
    pub fn first_seed(mut self, seed: u64) -> Check {
        self.first = seed;
        self
    }

    /// An execution with more steps than this fails: it probably has no end. By default 100,000.
    pub fn steps(mut self, steps: u64) -> Check {
        self.steps = steps;
        self
    }

    /// The most steps that [`Strategy::Priorities`] may have to get right to find a bug, the first of which is for free. By
    /// default 3. Each more makes bugs that are less deep harder to find.
    pub fn depth(mut self, depth: u32) -> Check {
        self.depth = depth;
        self
    }

    /// Uses this strategy alone. By default each seed says which one it goes by.
    pub fn strategy(mut self, strategy: Strategy) -> Check {
        self.strategy = Some(strategy);
        self
    }

    /// Where tasks may be switched. By default everywhere.
    pub fn switches(mut self, switches: Switches) -> Check {
        self.switches = switches;
        self
    }

    /// The size of a task's stack, as [`runtime::Builder::stack_size`](crate::runtime::Builder::stack_size) says it.
    pub fn stack_size(mut self, bytes: usize) -> Check {
        self.stack_size = bytes;
        self
    }

    /// Runs `f` with each seed, twice (thrice if the first two differ); or, if the environment has a `THRONG_SEED`, with
    /// that seed alone.
    ///
    /// # Panics
    /// At the first [`Failure`], with its text; and as [`search`](Check::search).
    #[track_caller]
    pub fn check(&self, f: impl Fn() + 'static) {
        if let Err(failure) = self.search(f) {
            panic!("{failure}");
        }
    }

    /// As [`check`](Check::check), for whoever wants to have the failure.
    ///
    /// # Errors
    /// The first failure.
    ///
    /// # Panics
    /// Where [`run`](Check::run) does, and if `THRONG_SEED` is no number.
    #[track_caller]
    pub fn search(&self, f: impl Fn() + 'static) -> Result<(), Failure> {
        let given = std::env::var("THRONG_SEED").ok();
        let given = given.map(|seed| seed.trim().parse().unwrap_or_else(|_| panic!("THRONG_SEED={seed} is no number")));
        let (first, seeds) = given.map_or((self.first, self.seeds), |seed| (seed, 1));
        let thread = Thread::prepare();
        let f = Rc::new(f);
        let f = || {
            let f = Rc::clone(&f);
            move || f()
        };
        for at in 0..seeds {
            self.try_seed(&thread, first.wrapping_add(at), f)?;
        }
        Ok(())
    }

    /// Runs `f` until it does the same twice in a row. A third time counts because what is initialised once in a process
    /// makes that execution a special one in which it happens, with whatever seed that is.
    #[track_caller]
    fn try_seed<F: FnOnce() + 'static>(&self, thread: &Thread, seed: u64, f: impl Fn() -> F) -> Result<(), Failure> {
        let mut runs = vec![self.execute(thread, seed, f())];
        let mut differs_at = None;
        // A thread that was left unwinding switches nowhere: it can't show anything again.
        while runs.len() < 3 && !std::thread::panicking() {
            runs.push(self.execute(thread, seed, f()));
            let [.., (was, before), (is, last)] = &runs[..] else { unreachable!("there are two") };
            let difference = before.log.difference(&last.log);
            differs_at = difference.or_else(|| (was.is_ok() != is.is_ok()).then(|| last.log.len()));
            if differs_at.is_none() {
                break;
            }
        }
        if differs_at.is_none() {
            // If it comes again, as it does then.
            runs.reverse();
        }
        let place = runs.iter().position(|(result, _)| result.is_err());
        let (result, concluded) = runs.swap_remove(place.unwrap_or(runs.len() - 1));
        match (result, differs_at) {
            (Err(failed), _) => {
                let mut failure = Failure::new(failed, seed, &concluded);
                failure.set_differs_at(differs_at);
                Err(failure)
            }
            (Ok(()), Some(step)) => {
                let text = format!(
                    "not deterministic: a second execution took another way at step {step}, so something in the program \
                     doesn't go by the seed: a hash map's order, a real clock, an address, a `static` that is left \
                     changed"
                );
                Err(Failure::new(Failed { cause: Cause::Nondeterminism, text }, seed, &concluded))
            }
            (Ok(()), None) => Ok(()),
        }
    }

    /// Runs `f` once, as the root task of a simulation.
    ///
    /// # Errors
    /// It failed.
    ///
    /// # Panics
    /// If it is called by a task, or while the thread unwinds; if there is no room for a task's stack, or the stack's size is
    /// refused.
    #[track_caller]
    pub fn run<T: 'static>(&self, seed: u64, f: impl FnOnce() -> T + 'static) -> Result<T, Failure> {
        let (result, concluded) = self.execute(&Thread::prepare(), seed, f);
        result.map_err(|failed| Failure::new(failed, seed, &concluded))
    }

    #[track_caller]
    fn execute<T: 'static>(
        &self,
        _: &Thread,
        seed: u64,
        f: impl FnOnce() -> T + 'static,
    ) -> (Result<T, Failed>, Concluded) {
        let class = match stack::class_for(self.stack_size) {
            Ok(class) => class,
            Err(error) => panic!("{error}"),
        };
        let simulator = Box::into_raw(Simulator::new(Settings {
            seed,
            steps: self.steps,
            switches: self.switches,
            plan: Plan::new(seed, self.depth, self.strategy),
            rng: Rng::new(!seed),
            class,
        }));
        // SAFETY: it is freed below, if at all, and by nobody else.
        let here = unsafe { &*simulator };
        // SAFETY: it lives until the context is taken out again, by dropping this.
        let context = unsafe { In::enter(here) };
        // SAFETY: `f` and `T` are valid for ever. (One that is stuck is never resumed, but what it has lent, to threads of
        // a scope say, is used on; so they must be.)
        let handle = match unsafe { here.spawn(f, class, None, Location::caller(), None) } {
            Ok(handle) => handle,
            Err(error) => {
                drop(context);
                // SAFETY: made by `into_raw`. There is no task.
                drop(unsafe { Box::from_raw(simulator) });
                panic!("can't simulate: {error}");
            }
        };
        here.drive();
        drop(context);
        let (mut concluded, is_empty) = here.conclude();
        let result = if handle.is_finished() { Some(handle.join()) } else { None };
        if is_empty {
            // SAFETY: made by `into_raw`. All tasks have ended, and so nothing leads here any more.
            drop(unsafe { Box::from_raw(simulator) });
        }
        let failed = match (concluded.failed.take(), &result) {
            (others, Some(Err(payload))) if concluded.root_was_first => {
                let mut failed = match payload.is::<Cancelled>() {
                    true => Failed { cause: Cause::Panic, text: "the root task was cancelled".into() },
                    false => Failed::panic(0, &**payload),
                };
                others.into_iter().for_each(|other| failed.add(other));
                failed
            }
            (Some(failed), _) => failed,
            (None, Some(Ok(_))) => {
                let value = result.and_then(Result::ok).expect("just seen");
                return (Ok(value), concluded);
            }
            (None, _) => unreachable!("a root that has not ended, or was stopped, is a failure"),
        };
        // What failed is to be told, even if a destructor panics.
        quietly(|| drop(result));
        (Err(failed), concluded)
    }
}

/// What a kernel thread needs to run tasks.
struct Thread(#[allow(dead_code, reason = "for its drop")] AlternateStack);

impl Thread {
    #[track_caller]
    fn prepare() -> Thread {
        assert!(
            current::context().is_null(),
            "a simulation was begun by a task, whose kernel thread it would keep: begin it on a plain thread, such as that \
             of a test"
        );
        assert!(
            !std::thread::panicking(),
            "a simulation was begun on a kernel thread that unwinds, or that a simulation whose task had to wait while it \
             unwound has left so: tasks can't be switched there"
        );
        asymmetric::prepare();
        overflow::install();
        Thread(AlternateStack::ensure())
    }
}

/// That the calling kernel thread runs a simulator's tasks.
struct In(#[allow(dead_code, reason = "for its drop")] Simulating);

impl In {
    /// # Safety
    /// The simulator lives until this is dropped.
    unsafe fn enter(simulator: &Simulator) -> In {
        // SAFETY: the caller's.
        unsafe { current::set_context(simulator.context()) };
        In(Simulating::begin())
    }
}

impl Drop for In {
    fn drop(&mut self) {
        // SAFETY: null needs nothing.
        unsafe { current::set_context(std::ptr::null()) };
    }
}
