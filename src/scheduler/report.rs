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

/// What makes tasks alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    spawned_at: &'static Location<'static>,
    name: Option<String>,
    reason: &'static str,
}

struct Group {
    /// The one that was asked for its number first; the order of the report.
    first: u64,
    count: usize,
    longest: Duration,
    shortest: Duration,
}

impl Kind {
    fn of(header: &Header) -> Kind {
        // Relaxed: it is parked.
        let reason = Reason::from_byte(header.reason.load(Ordering::Relaxed));
        let reason = reason.map_or("go on", Reason::words);
        let reason = if header.is_held() { "go on on its own kernel thread, which another task keeps" } else { reason };
        Kind { spawned_at: header.spawned_at(), name: header.name().map(str::to_owned), reason }
    }
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
        self.registry.for_each(|task| {
            // SAFETY: a registered task is alive.
            let header = unsafe { task.as_ref() };
            if header.state.is_parked() || header.is_held() {
                total += 1;
                let empty = Group { first: u64::MAX, count: 0, longest: Duration::ZERO, shortest: Duration::MAX };
                let waited = clock::elapsed(header.since.load(Ordering::Relaxed));
                groups.entry(Kind::of(header)).or_insert(empty).add(header, waited);
            }
        });
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
    write!(text, " waits to {}", kind.reason)?;
    write!(text, ", for {}; spawned at {}", Rounded(*longest), kind.spawned_at)?;
    if *count > 1 {
        write!(text, "\n    {count} tasks like this, the last of them for {}", Rounded(*shortest))?;
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
