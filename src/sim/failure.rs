//! What can go wrong in an execution, and the text that says so.

use super::log::{Name, Turns, id};
use super::simulator::Concluded;
use super::strategy::Strategy;
use std::any::Any;
use std::fmt;

/// So many turns are shown.
const TURNS: usize = 40;
/// And so many tasks are named.
const TASKS: usize = 40;

/// Why an execution failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The root task panicked, or another one whose handle was dropped.
    Panic,
    /// All tasks waited, and there was no timer.
    Deadlock,
    /// There was no end after [`Check::steps`](super::Check::steps).
    Steps,
    /// A second execution with the same seed took another way.
    Nondeterminism,
    /// A kernel thread that isn't the simulation's woke a task.
    Outside,
    /// A task had to wait while it unwound. Its kernel thread can't run tasks any more after that.
    Unwinding,
}

/// What failed, before it is known where.
pub(super) struct Failed {
    pub(super) cause: Cause,
    pub(super) text: String,
}

impl Failed {
    /// This was first; another may tell more of it.
    pub(super) fn add(&mut self, other: Failed) {
        self.text.push_str("\n  besides, ");
        self.text.push_str(&other.text);
    }

    pub(super) fn panic(number: u32, payload: &(dyn Any + Send)) -> Failed {
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let said = said.unwrap_or("(a payload that is no text)");
        Failed { cause: Cause::Panic, text: format!("task {} panicked: {said}", id(number)) }
    }
}

/// An execution that failed.
///
/// Its text, which is also that of the panic of [`check`](super::check), says what failed, with which seed, who the tasks
/// were, and who ran when.
pub struct Failure(Box<Parts>);

struct Parts {
    cause: Cause,
    text: String,
    seed: u64,
    strategy: Strategy,
    steps: usize,
    turns: Turns,
    tasks: Vec<Name>,
    /// At which step a second execution took another way.
    differs_at: Option<usize>,
}

impl Failure {
    pub(super) fn new(failed: Failed, seed: u64, concluded: &Concluded) -> Failure {
        let Concluded { log, steps, names, strategy, .. } = concluded;
        let turns = log.turns(*steps, TURNS);
        let mut numbers: Vec<u32> = turns.tasks().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let tasks = numbers.iter().take(TASKS).filter_map(|&number| names.get(number as usize).cloned()).collect();
        let Failed { cause, text } = failed;
        Failure(Box::new(Parts {
            cause,
            text,
            seed,
            strategy: *strategy,
            steps: *steps,
            turns,
            tasks,
            differs_at: None,
        }))
    }

    pub(super) fn set_differs_at(&mut self, step: Option<usize>) {
        self.0.differs_at = step;
    }

    /// Why it failed.
    pub fn cause(&self) -> Cause {
        self.0.cause
    }

    /// The seed that makes it fail, with the same settings.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// How many steps had been taken when it failed.
    pub fn steps(&self) -> usize {
        self.0.steps
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { cause, text, seed, strategy, steps, turns, tasks, differs_at } = &*self.0;
        let strategy = match strategy {
            Strategy::RandomWalk => "a random walk",
            Strategy::Priorities => "by priorities",
        };
        let s = if *steps == 1 { "step" } else { "steps" };
        write!(f, "{text}\n  in a simulation: seed {seed}, {strategy}, {steps} {s}")?;
        match (differs_at, cause) {
            (_, Cause::Nondeterminism) => {}
            (None, _) => write!(f, "; to see it again, run this test alone with THRONG_SEED={seed}")?,
            (Some(step), _) => write!(
                f,
                "\n  it may not come again: a second run with this seed took another way at step {step}, so something \
                 in the program doesn't go by the seed"
            )?,
        }
        write!(f, "\n  who ran:{turns}\n  where")?;
        for task in tasks {
            write!(f, "\n    {task}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
