//! What is left when a runtime's time to shut down is up.

use super::Scheduler;
use crate::control::{TaskId, TaskRef};
use crate::join::Task;
use crate::park::Reason;
use crate::primitive::Ordering;
use std::fmt;

/// So many tasks are named by the text; the others are counted.
const NAMED: usize = 20;

/// The tasks that had not ended when the time of
/// [`Runtime::shutdown_timeout`](crate::runtime::Runtime::shutdown_timeout) was up.
///
/// Its text names them, and says what keeps each: that it runs (it computes, or blocks its kernel thread), or what it waits
/// for.
pub struct Unfinished {
    tasks: Vec<UnfinishedTask>,
    count: usize,
}

/// One of the tasks that had not ended; see [`Unfinished`].
#[derive(Clone, Debug)]
pub struct UnfinishedTask {
    task: Task,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    Waits(Reason),
    /// It is in a queue.
    Ready,
    /// It is in the inbox of a kernel thread that hasn't come for it.
    Held,
}

impl Unfinished {
    /// How many they were: at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Those that had begun. Tasks that had not are only [counted](Unfinished::count).
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = &UnfinishedTask> {
        self.tasks.iter()
    }
}

impl UnfinishedTask {
    /// The task itself. It may have ended since.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Its identity.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.task.name()
    }

    /// Whether it ran, and so kept a kernel thread busy: it computed, or was in a call that blocks. If not, it waited,
    /// or was about to go on.
    pub fn is_running(&self) -> bool {
        self.state == State::Runs
    }
}

impl fmt::Display for UnfinishedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id())?;
        if let Some(name) = self.name() {
            write!(f, " `{name}`")?;
        }
        match self.state {
            State::Runs => f.write_str(" runs, or blocks its kernel thread"),
            State::Waits(reason) => write!(f, " waits to {}", reason.words()),
            State::Ready => f.write_str(" is ready to run"),
            State::Held => {
                f.write_str(" is ready to run, but must go on on its own kernel thread, which another task keeps")
            }
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the runtime's tasks did not end in time: ", self.count)?;
        for (index, task) in self.tasks.iter().take(NAMED).enumerate() {
            write!(f, "{}{task}", if index == 0 { "" } else { ", " })?;
        }
        match (self.tasks.len().min(NAMED), self.count) {
            (0, _) => f.write_str("they had not begun"),
            (named, count) if named < count => write!(f, ", and {} more", count - named),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").field("count", &self.count).field("tasks", &self.tasks).finish()
    }
}

impl std::error::Error for Unfinished {}

impl Scheduler {
    /// The tasks that have not ended; `None` if all have. Called after `stop`.
    pub(crate) fn unfinished_tasks(&self) -> Option<Unfinished> {
        let count = self.count_unfinished() as usize;
        let running = self.lookers.running();
        let mut waiting = Vec::new();
        self.registry.for_each(|task| {
            if running.iter().all(|running| running.as_ptr() != task) {
                // SAFETY: a registered task is alive while we hold its shard's lock, and the reference that `from_raw` takes
                // was just made.
                waiting.push(unsafe {
                    task.as_ref().retain();
                    TaskRef::from_raw(task)
                });
            }
        });
        let state = |task: &TaskRef| {
            // Relaxed: a hint.
            let reason = Reason::from_byte(task.reason.load(Ordering::Relaxed));
            if task.is_held() {
                return State::Held;
            }
            reason.filter(|_| task.state.is_parked()).map_or(State::Ready, State::Waits)
        };
        let running = running.into_iter().map(|task| UnfinishedTask { task: Task(task), state: State::Runs });
        let waiting = waiting.into_iter().map(|task| UnfinishedTask { state: state(&task), task: Task(task) });
        let mut tasks: Vec<UnfinishedTask> = running.chain(waiting).collect();
        // The one that was asked for its number first, which is mostly the oldest, leads.
        tasks.sort_by_key(|unfinished| (!unfinished.is_running(), unfinished.id()));
        // One that moved from one worker to another meanwhile may have been seen on both.
        tasks.dedup_by(|a, b| a.task == b.task);
        // Whoever has joined one knows that it has ended, even if its worker, which wakes the joiner first, has had no time since
        // to count it. Each of these was seen after they were counted, so it is among them.
        let seen = tasks.len();
        tasks.retain(|unfinished| !unfinished.task.is_finished());
        let count = count.saturating_sub(seen - tasks.len());
        // The last may have ended since they were counted, or one been spawned.
        let count = count.max(tasks.len());
        (count > 0).then_some(Unfinished { tasks, count })
    }
}
