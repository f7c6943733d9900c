//! Virtual time, and the timers in it: a set in the order of their deadlines.

use crate::control::TimerEntry;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

pub(super) struct Timers {
    /// The instant that virtual time began at.
    origin: Instant,
    /// Nanoseconds since then.
    now: u64,
    /// By deadline, then in the order in which they were armed.
    entries: BTreeMap<(u64, usize), NonNull<TimerEntry>>,
    armed: usize,
}

impl Timers {
    pub(super) fn new(origin: Instant) -> Timers {
        Timers { origin, now: 0, entries: BTreeMap::new(), armed: 0 }
    }

    pub(super) fn now(&self) -> Instant {
        self.origin + Duration::from_nanos(self.now)
    }

    /// How much time has passed.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The entry stays where it is until it is removed.
    pub(super) fn insert(&mut self, entry: &TimerEntry) {
        let key = (self.nanos(entry.deadline), self.armed);
        self.armed += 1;
        entry.at.set(key.0);
        entry.index.set(key.1);
        self.entries.insert(key, NonNull::from(entry));
    }

    pub(super) fn remove(&mut self, entry: &TimerEntry) {
        self.entries.remove(&(entry.at.get(), entry.index.get()));
    }

    /// Those whose deadline has come.
    pub(super) fn due(&self) -> impl Iterator<Item = NonNull<TimerEntry>> {
        self.entries.range(..=(self.now, usize::MAX)).map(|(_, &entry)| entry)
    }

    /// Lets the time pass until the next deadline. `false` if there is none to come.
    pub(super) fn advance(&mut self) -> bool {
        match self.entries.range((self.now.saturating_add(1), 0)..).next() {
            Some((&(at, _), _)) if at == self.now => false,
            Some((&(at, _), _)) => {
                self.now = at;
                true
            }
            None => false,
        }
    }
}
