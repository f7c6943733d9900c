//! Virtual time, and the timers in it: a set in the order of their deadlines.
//!
//! It ends after 2^64 nanoseconds, 584 years. What is due later never is, as with `Duration::MAX`: to let it go off at the
//! end, before its time, would be a lie that a loop which waits for an instant believes for ever.

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

    /// `None` if that is beyond the end.
    fn nanos(&self, at: Instant) -> Option<u64> {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).ok()
    }

    /// The entry stays where it is until it is removed.
    pub(super) fn insert(&mut self, entry: &TimerEntry) {
        let at = self.nanos(entry.deadline);
        let key = (at.unwrap_or(u64::MAX), self.armed);
        self.armed += 1;
        entry.at.set(key.0);
        entry.index.set(key.1);
        if at.is_some() {
            self.entries.insert(key, NonNull::from(entry));
        }
    }

    pub(super) fn remove(&mut self, entry: &TimerEntry) {
        self.entries.remove(&(entry.at.get(), entry.index.get()));
    }

    /// Those whose deadline has come.
    pub(super) fn due(&self) -> impl Iterator<Item = NonNull<TimerEntry>> {
        self.entries.range(..=(self.now, usize::MAX)).map(|(_, &entry)| entry)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
