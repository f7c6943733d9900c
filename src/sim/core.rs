//! The state of an execution: its tasks, who of them can run, the time, and what has failed.

use super::failure::{Cause, Failed};
use super::log::{End, Log, Name, id};
use super::strategy::Plan;
use super::timers::Timers;
use crate::control::{Header, Outcome, TimerEntry};
use crate::report::Report;
use crate::wait::Waiter;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// What cancelled tasks may take at least.
const STOPPING_STEPS: u64 = 10_000;

/// What a task is known by.
pub(super) struct Entry {
    /// `None` once it has ended.
    pub(super) task: Option<NonNull<Header>>,
    pub(super) name: Name,
    /// When its present wait began.
    pub(super) since: Duration,
}

pub(super) struct Core {
    pub(super) entries: Vec<Entry>,
    /// How many have not ended.
    pub(super) unfinished: usize,
    /// The numbers of those that can run, in order.
    ready: Vec<u32>,
    pub(super) timers: Timers,
    pub(super) plan: Plan,
    pub(super) log: Log,
    /// How many steps there may be.
    pub(super) limit: u64,
    pub(super) failed: Option<Failed>,
    pub(super) is_stopping: bool,
    /// The root ended before anything failed, unless it has panicked itself, which only its handle tells.
    pub(super) root_was_first: bool,
    /// How many steps were taken before that.
    pub(super) stopped_at: usize,
    /// Reused.
    candidates: Vec<u32>,
}

impl Core {
    pub(super) fn new(plan: Plan, limit: u64) -> Core {
        Core {
            entries: Vec::new(),
            unfinished: 0,
            ready: Vec::new(),
            timers: Timers::new(Instant::now()),
            plan,
            log: Log::default(),
            limit,
            failed: None,
            is_stopping: false,
            root_was_first: false,
            stopped_at: 0,
            candidates: Vec::new(),
        }
    }

    /// A task has been made; it can run.
    pub(super) fn spawned(&mut self, task: NonNull<Header>, name: Name) {
        let number = name.number;
        self.entries.push(Entry { task: Some(task), name, since: Duration::ZERO });
        self.unfinished += 1;
        self.plan.spawned(number);
        self.make_ready(number);
    }

    /// The running task, which has this number, has ended.
    pub(super) fn finished(&mut self, number: u32) {
        self.entries[number as usize].task = None;
        self.unfinished -= 1;
        self.log.end(End::Finished);
    }

    pub(super) fn make_ready(&mut self, number: u32) {
        match self.ready.binary_search(&number) {
            Ok(_) => debug_assert!(false, "it is ready already"),
            Err(place) => self.ready.insert(place, number),
        }
    }

    /// Chooses one that can run: a task that is ready, or one whose time is up. `None` if there is none.
    pub(super) fn choose(&mut self) -> Option<NonNull<Header>> {
        let Core { entries, ready, timers, plan, log, candidates, .. } = self;
        candidates.clear();
        candidates.extend_from_slice(ready);
        for entry in timers.due() {
            // SAFETY: an armed timer's task waits, or has been claimed, or runs: it is alive, and the entry in its frame.
            let (header, epoch) = unsafe { (entry.as_ref().task.as_ref(), entry.as_ref().epoch) };
            if header.state.is_claimable(epoch)
                && let Err(place) = candidates.binary_search(&header.place.get())
            {
                candidates.insert(place, header.place.get());
            }
        }
        if candidates.is_empty() {
            return None;
        }
        let number = candidates[plan.choose(log.len() as u64, candidates)];
        match ready.binary_search(&number) {
            Ok(place) => drop(ready.remove(place)),
            Err(_) => {
                let late = |entry: &NonNull<TimerEntry>| {
                    // SAFETY: as above.
                    unsafe { entry.as_ref().task.as_ref() }.place.get() == number
                };
                let entry = timers.due().find(late).expect("it was due");
                // SAFETY: as above.
                let claimed =
                    unsafe { Waiter::task(entry.as_ref().task, entry.as_ref().epoch).claim(Outcome::TimedOut) };
                // It was parked, and is run at once: there is nothing to fire.
                std::mem::forget(claimed.expect("it was claimable"));
            }
        }
        log.begin(number);
        entries[number as usize].task
    }

    fn has_root_ended(&self) -> bool {
        self.entries.first().is_some_and(|root| root.task.is_none())
    }

    /// Whether the root has ended, or something has failed.
    pub(super) fn is_over(&self) -> bool {
        self.failed.is_some() || self.has_root_ended()
    }

    pub(super) fn fail(&mut self, cause: Cause, text: impl Into<String>) {
        if self.failed.is_some() {
            return;
        }
        let mut report = Report::new();
        let now = self.timers.elapsed();
        for Entry { task, name, since } in &self.entries {
            // SAFETY: an entry's task is unfinished.
            if let Some(header) = task.as_ref().map(|task| unsafe { task.as_ref() })
                && header.state.is_parked()
            {
                report.add(id(name.number).get(), header, now - *since);
            }
        }
        let text = text.into();
        let text = match cause {
            Cause::Deadlock => {
                format!("{text}: {}, and nothing is left that could wake one{report}", report.total())
            }
            _ => format!("{text}; {}{report}", report.total()),
        };
        self.failed = Some(Failed { cause, text });
    }

    /// Cancels all tasks. What fails after this doesn't take the place of what has come before: of what failed, of the
    /// root's end, or else of a panic that nobody will see. (The root may have dropped that one's handle as it unwound.)
    pub(super) fn stop(&mut self, unseen: Option<Failed>) {
        self.is_stopping = true;
        self.root_was_first = self.failed.is_none() && self.has_root_ended();
        self.failed = self.failed.take().or(unseen);
        self.stopped_at = self.log.len();
        self.limit = (self.log.len() as u64).saturating_add(STOPPING_STEPS.max(self.limit));
        for index in 0..self.entries.len() {
            let Some(task) = self.entries[index].task else { continue };
            // SAFETY: an entry's task is unfinished.
            let header = unsafe { task.as_ref() };
            // One that has not begun is dropped instead, when its turn comes.
            if header.fiber.get().is_some() {
                // What is between the two halves elsewhere is for tasks that run meanwhile.
                header.mark_cancelled();
                if header.wake_cancelled() {
                    self.make_ready(index as u32);
                }
            }
        }
    }
}
