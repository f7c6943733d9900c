//! The report of a deadlock: what each task waits for, those that are alike on one line.

use crate::control::Header;
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
    /// The one with the lowest number; the order of the report.
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
    const EMPTY: Group = Group { first: u64::MAX, count: 0, longest: Duration::ZERO, shortest: Duration::MAX };

    fn add(&mut self, number: u64, waited: Duration) {
        self.first = self.first.min(number);
        self.count += 1;
        self.longest = self.longest.max(waited);
        self.shortest = self.shortest.min(waited);
    }
}

/// Who waits for what. Made while nothing moves.
pub(crate) struct Report {
    groups: BTreeMap<Kind, Group>,
    total: usize,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report { groups: BTreeMap::new(), total: 0 }
    }

    /// Adds a task that waits, by the number that it is to have in the report.
    pub(crate) fn add(&mut self, number: u64, header: &Header, waited: Duration) {
        self.put(Kind::of(header, true), number, waited);
    }

    /// Adds one that doesn't wait, but blocks its kernel thread.
    pub(crate) fn add_blocking(&mut self, number: u64, header: &Header) {
        self.put(Kind::of(header, false), number, Duration::ZERO);
    }

    fn put(&mut self, kind: Kind, number: u64, waited: Duration) {
        self.total += 1;
        self.groups.entry(kind).or_insert(Group::EMPTY).add(number, waited);
    }

    /// How many tasks wait, in words.
    pub(crate) fn total(&self) -> impl fmt::Display + use<> {
        struct Total(usize);
        impl fmt::Display for Total {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let s = if self.0 == 1 { "task waits" } else { "tasks wait" };
                write!(f, "{} {s}", self.0)
            }
        }
        Total(self.total)
    }
}

/// One line a kind, each after a line break.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(&Kind, &Group)> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| group.first);
        for (kind, group) in groups.iter().take(KINDS) {
            describe(f, kind, group)?;
        }
        if let Some((_, left)) = groups.split_at_checked(KINDS).filter(|(_, left)| !left.is_empty()) {
            let tasks: usize = left.iter().map(|(_, group)| group.count).sum();
            write!(f, "\n  and {tasks} more tasks, of {} other kinds", left.len())?;
        }
        Ok(())
    }
}

fn describe(text: &mut impl Write, kind: &Kind, group: &Group) -> fmt::Result {
    let Group { first, count, longest, shortest } = group;
    write!(text, "\n  task {first}")?;
    if let Some(name) = &kind.name {
        write!(text, " `{name}`")?;
    }
    match kind.reason {
        Some(reason) => write!(text, " waits to {reason}, for {}", Rounded(*longest))?,
        None => text.write_str(" blocks its kernel thread")?,
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
