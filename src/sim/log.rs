//! What happened in an execution: who ran at each step, and how the step ended. Two executions with the same log did
//! the same, as far as the simulator can tell.

use crate::park::Reason;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;

/// What a task is called, by its place in the order of spawning: the root is task 1.
pub(super) fn id(number: u32) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(number.into())
}

/// One step: the task's number, and how it ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Step(u32);

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It came to the next step, and might have gone on.
    Stepped,
    Yielded,
    /// By the number of a `Reason`.
    Waits(u8),
    Finished,
}

const YIELDED: u32 = 254;
const FINISHED: u32 = 255;

/// More tasks than this are not told apart.
const MOST_TASKS: u32 = u32::MAX >> 8;

impl Step {
    fn task(self) -> u32 {
        self.0 >> 8
    }

    fn end(self) -> End {
        match self.0 & 0xff {
            0 => End::Stepped,
            YIELDED => End::Yielded,
            FINISHED => End::Finished,
            reason => End::Waits(reason as u8),
        }
    }
}

#[derive(Default)]
pub(super) struct Log {
    steps: Vec<Step>,
}

impl Log {
    pub(super) fn begin(&mut self, task: u32) {
        self.steps.push(Step(task.min(MOST_TASKS) << 8));
    }

    /// How the step that was begun last has ended.
    pub(super) fn end(&mut self, end: End) {
        let number = match end {
            End::Stepped => 0,
            End::Yielded => YIELDED,
            End::Waits(reason) => reason.into(),
            End::Finished => FINISHED,
        };
        if let Some(step) = self.steps.last_mut() {
            step.0 = step.0 & !0xff | number;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The first step at which the two differ.
    pub(super) fn difference(&self, other: &Log) -> Option<usize> {
        let common = self.steps.iter().zip(&other.steps).position(|(a, b)| a != b);
        common.or_else(|| (self.len() != other.len()).then(|| self.len().min(other.len())))
    }

    /// The last turns of the first `steps`, at most `most`: a turn is what one task did without another between.
    pub(super) fn turns(&self, steps: usize, most: usize) -> Turns {
        let mut turns: Vec<Turn> = Vec::new();
        for &step in self.steps.iter().take(steps) {
            match turns.last_mut() {
                Some(last) if last.task == step.task() && matches!(last.end, End::Stepped | End::Yielded) => {
                    last.steps += 1;
                    last.end = step.end();
                }
                _ => turns.push(Turn { task: step.task(), steps: 1, end: step.end() }),
            }
        }
        let left_out = turns.len().saturating_sub(most);
        turns.drain(..left_out);
        Turns { left_out, turns }
    }
}

#[derive(Clone)]
pub(super) struct Turns {
    left_out: usize,
    turns: Vec<Turn>,
}

#[derive(Clone)]
struct Turn {
    task: u32,
    steps: usize,
    end: End,
}

impl Turns {
    /// The tasks that had a turn.
    pub(super) fn tasks(&self) -> impl Iterator<Item = u32> {
        self.turns.iter().map(|turn| turn.task)
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.left_out > 0 {
            write!(f, "\n    .. {} turns before", self.left_out)?;
        }
        for Turn { task, steps, end } in &self.turns {
            let s = if *steps == 1 { "step" } else { "steps" };
            write!(f, "\n    task {}: {steps} {s}, ", id(*task))?;
            match end {
                End::Stepped => f.write_str("and could go on")?,
                End::Yielded => f.write_str("then yields")?,
                End::Finished => f.write_str("then ends")?,
                End::Waits(reason) => {
                    write!(f, "then waits to {}", Reason::from_byte(*reason).map_or("go on", Reason::words))?;
                }
            }
        }
        Ok(())
    }
}

/// Who a task of a report is.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) number: u32,
    pub(super) name: Option<Box<str>>,
    pub(super) spawned_at: &'static Location<'static>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", id(self.number))?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        match self.number {
            0 => write!(f, ", the root"),
            _ => write!(f, ", spawned at {}", self.spawned_at),
        }
    }
}
