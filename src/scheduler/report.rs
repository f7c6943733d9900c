//! The report of a deadlock: what each task waits for, those that are alike on one line.

use super::Scheduler;
use crate::control::{Header, clock};
use crate::park::Reason;
use crate::primitive::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::panic::Location;
use std::time::Duration;

/// Kinds of tasks that a report names; the others are counted.
const KINDS: usize = 50;
/// Characters of a task's name.
const LONGEST_NAME: usize = 80;

/// What makes tasks alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    spawned_at: &'static Location<'static>,
    name: Option<String>,
    /// What it waits for; `None` if it blocks its kernel thread.
    reason: Option<&'static str>,
}

struct Group {
    /// The one that was asked for its number first; the order of the report.
    first: u64,
    count: usize,
    longest: Duration,
    shortest: Duration,
}

impl Kind {
    fn of(header: &Header, is_parked: bool) -> Kind {
        // Relaxed: nothing moves.
        let reason = Reason::from_byte(header.reason.load(Ordering::Relaxed)).map_or("go on", Reason::words);
        let reason = if header.is_held() { "go on on its own kernel thread, which another task keeps" } else { reason };
        Kind { spawned_at: header.spawned_at(), name: header.name().map(readable), reason: is_parked.then_some(reason) }
    }
}

/// A task's name is any text.
fn readable(name: &str) -> String {
    let mut chars = name.chars();
    let start: String = chars.by_ref().take(LONGEST_NAME).collect();
    let more = if chars.next().is_some() { ".." } else { "" };
    format!("{}{more}", start.escape_debug())
}

impl Group {
    fn add(&mut self, header: &Header, waited: Duration) {
        self.first = self.first.min(header.id().get());
        self.count += 1;
        self.longest = self.longest.max(waited);
        self.shortest = self.shortest.min(waited);
    }
}

impl Scheduler {
    /// What its tasks wait for. It is called in a deadlock, so nothing moves.
    pub(super) fn report(&self) -> String {
        let mut groups: BTreeMap<Kind, Group> = BTreeMap::new();
        let mut total = 0;
        let mut add = |header: &Header, is_parked: bool| {
            total += 1;
            let empty = Group { first: u64::MAX, count: 0, longest: Duration::ZERO, shortest: Duration::MAX };
            let waited = clock::elapsed(header.since.load(Ordering::Relaxed));
            groups.entry(Kind::of(header, is_parked)).or_insert(empty).add(header, waited);
        };
        self.registry.for_each(|task| {
            // SAFETY: a registered task is alive.
            let header = unsafe { task.as_ref() };
            if header.state.is_parked() || header.is_held() {
                add(header, true);
            }
        });
        // Those that wait in a call of the system's, behind our back or in a section.
        self.lookers.running().iter().for_each(|task| add(task, false));
        let mut groups: Vec<(Kind, Group)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| group.first);
        let s = if total == 1 { "task waits" } else { "tasks wait" };
        let mut text = format!("deadlock: {total} {s}, and nothing is left that could wake one");
        for (kind, group) in groups.iter().take(KINDS) {
            // Writing to a string doesn't fail.
            let _ = describe(&mut text, kind, group);
        }
        if let Some((_, left)) = groups.split_at_checked(KINDS).filter(|(_, left)| !left.is_empty()) {
            let tasks: usize = left.iter().map(|(_, group)| group.count).sum();
            let _ = write!(text, "\n  and {tasks} more tasks, of {} other kinds", left.len());
        }
        text
    }
}

fn describe(text: &mut String, kind: &Kind, group: &Group) -> fmt::Result {
    let Group { first, count, longest, shortest } = group;
    write!(text, "\n  task {first}")?;
    if let Some(name) = &kind.name {
        write!(text, " `{name}`")?;
    }
    match kind.reason {
        Some(reason) => write!(text, " waits to {reason}, for {}", Rounded(*longest))?,
        None => text.push_str(" blocks its kernel thread"),
    }
    write!(text, "; spawned at {}", kind.spawned_at)?;
    if *count > 1 {
        write!(text, "\n    {count} tasks like this")?;
        if kind.reason.is_some() {
            write!(text, ", the last of them for {}", Rounded(*shortest))?;
        }
    }
    Ok(())
}

/// A duration by a coarse clock.
struct Rounded(Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms @ ..1000 => write!(f, "{} ms", ms.max(1)),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}
