//! Timers: each worker's, in buckets by their deadline.
//!
//! Deadlines are rounded up, by an eighth of the time that is left or a millisecond at most. So sleeps that end near
//! one another end together, in one wake-up of the worker, and of a hundred thousand timers many share an instant: each
//! instant is a bucket, and the buckets are in order.
//!
//! A timer is a [`TimerEntry`] in the frame of the wait that it ends; its bucket holds a pointer to it, and the entry
//! knows its bucket and its place in there. So disarming takes the entry out at once, rather than leave a corpse until
//! its deadline: a server that sets a timeout of a minute for each of a million short waits a second holds no more
//! entries than it has waits. Arming and disarming touch one other entry at most, and firing a bucket none but its own:
//! entries lie in the stacks of sleeping tasks, each a miss of the cache and of the page tables' too. (A heap of entries,
//! which has to tell each one that moves of its new place, cost three times as much for 100,000 sleepers.)
//!
//! # The race of firing against disarming
//! Both happen under the timers' lock. An entry is claimed there, while it can't go away; after `disarm` nobody holds a
//! pointer to it.

use crate::chaos;
use crate::control::{Outcome, TimerEntry};
use crate::lock::Lock;
use crate::primitive::{AtomicU64, Ordering};
use crate::wait::{Waiter, Wakeup};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// Later than any deadline.
const NEVER: u64 = u64::MAX;

/// Empty buckets that are kept, and how large they may be.
const SPARES: usize = 8;
const SPARE_ROOM: usize = 256;

type Bucket = Vec<NonNull<TimerEntry>>;

/// The timers of one worker.
pub(crate) struct Timers {
    start: Instant,
    /// The earliest deadline, for a look without the lock. Relaxed: the lock decides.
    next: AtomicU64,
    buckets: Lock<Buckets>,
}

struct Buckets {
    /// By nanoseconds since the start, rounded up. None is empty.
    by_time: BTreeMap<u64, Bucket>,
    spares: Vec<Bucket>,
}

// SAFETY: the entries are used under the lock, and stay where they are until they are taken out.
unsafe impl Send for Buckets {}

impl Timers {
    pub(crate) fn new(start: Instant) -> Timers {
        Timers { start, next: AtomicU64::new(NEVER), buckets: Lock::new(Buckets::new()) }
    }

    /// # Safety
    /// The entry's wait is armed, and the entry stays where it is until `disarm` has returned.
    pub(crate) unsafe fn arm(&self, entry: &TimerEntry, now: Instant) {
        let at = self.round(entry.deadline, now);
        let mut buckets = self.buckets.lock();
        buckets.insert(at, entry);
        chaos::point();
        if at < self.next.load(Ordering::Relaxed) {
            self.next.store(at, Ordering::Relaxed);
        }
    }

    pub(crate) fn disarm(&self, entry: &TimerEntry) {
        let mut buckets = self.buckets.lock();
        if entry.index.get() != TimerEntry::OUT {
            // SAFETY: an entry that is not out is in its bucket here.
            unsafe { buckets.remove(entry) };
            self.publish(&buckets);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        match self.next.load(Ordering::Relaxed) {
            NEVER => None,
            at => Some(self.start + Duration::from_nanos(at)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed) == NEVER
    }

    /// Claims every wait whose deadline has come.
    pub(crate) fn expire(&self, now: Instant, woken: &mut Vec<Wakeup>) {
        let now = self.nanos(now);
        if self.next.load(Ordering::Relaxed) > now {
            return;
        }
        let mut buckets = self.buckets.lock();
        while let Some(mut bucket) = buckets.pop_due(now) {
            woken.reserve(bucket.len());
            chaos::point();
            for entry in bucket.drain(..) {
                // SAFETY: the entry is in its frame until `disarm`, which needs the lock we hold; so the task is alive too.
                let wakeup = unsafe {
                    let entry = entry.as_ref();
                    entry.index.set(TimerEntry::OUT);
                    Waiter::task(entry.task, entry.epoch).claim(Outcome::TimedOut)
                };
                woken.extend(wakeup);
            }
            buckets.spare(bucket);
        }
        self.publish(&buckets);
    }

    fn publish(&self, buckets: &Buckets) {
        self.next.store(buckets.next(), Ordering::Relaxed);
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(NEVER - 1).min(NEVER - 1)
    }

    fn round(&self, deadline: Instant, now: Instant) -> u64 {
        let at = self.nanos(deadline);
        let left = at.saturating_sub(self.nanos(now));
        // A power of two between 1 and 2^20 ns.
        let grain = (1u64 << 20).min((left / 16 + 1).next_power_of_two());
        at.checked_add(grain - 1).map_or(NEVER - 1, |up| up & !(grain - 1)).min(NEVER - 1)
    }
}

impl Buckets {
    fn new() -> Buckets {
        Buckets { by_time: BTreeMap::new(), spares: Vec::new() }
    }

    fn next(&self) -> u64 {
        self.by_time.first_key_value().map_or(NEVER, |(&at, _)| at)
    }

    fn insert(&mut self, at: u64, entry: &TimerEntry) {
        let bucket = self.by_time.entry(at).or_insert_with(|| self.spares.pop().unwrap_or_default());
        entry.at.set(at);
        entry.index.set(bucket.len());
        bucket.push(NonNull::from(entry));
    }

    /// # Safety
    /// The entry is in here, as are all that were inserted and neither removed nor drained, alive.
    unsafe fn remove(&mut self, entry: &TimerEntry) {
        let (at, index) = (entry.at.get(), entry.index.replace(TimerEntry::OUT));
        let bucket = self.by_time.get_mut(&at).expect("an entry's bucket");
        bucket.swap_remove(index);
        if let Some(moved) = bucket.get(index) {
            // SAFETY: the caller's.
            unsafe { moved.as_ref() }.index.set(index);
        } else if bucket.is_empty() {
            let bucket = self.by_time.remove(&at).expect("it is there");
            self.spare(bucket);
        }
    }

    /// Takes the first bucket out, if its time has come. Its entries still believe that they are in it.
    fn pop_due(&mut self, now: u64) -> Option<Bucket> {
        let first = self.by_time.first_entry()?;
        (*first.key() <= now).then(|| first.remove())
    }

    fn spare(&mut self, bucket: Bucket) {
        if self.spares.len() < SPARES && bucket.capacity() <= SPARE_ROOM {
            self.spares.push(bucket);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The order doesn't depend on whose timers they are: any entry will do.
    fn entries(n: usize) -> Vec<TimerEntry> {
        let epoch = crate::control::State::new().arm(false);
        (0..n).map(|_| TimerEntry::new(Instant::now(), NonNull::dangling(), epoch)).collect()
    }

    #[test]
    fn what_is_taken_comes_in_order_whatever_was_removed_before() {
        let rng = Rng::new(7);
        for round in 0..200 {
            let entries = entries(round + 1);
            let mut buckets = Buckets::new();
            for entry in &entries {
                buckets.insert(rng.next() % 64, entry);
            }
            let mut left = entries.len();
            for entry in entries.iter().filter(|_| rng.below(3) == 0) {
                // SAFETY: all of them live to the end of the round.
                unsafe { buckets.remove(entry) };
                assert_eq!(entry.index.get(), TimerEntry::OUT);
                left -= 1;
            }
            let mut last = None;
            while buckets.next() != NEVER {
                let now = buckets.next();
                assert!(last < Some(now) && now < 64 && (now == 0 || buckets.pop_due(now - 1).is_none()));
                let bucket = buckets.pop_due(now).expect("it is due");
                assert!(!bucket.is_empty());
                for (index, entry) in bucket.iter().enumerate() {
                    // SAFETY: as above.
                    let entry = unsafe { entry.as_ref() };
                    assert_eq!((entry.at.get(), entry.index.get()), (now, index));
                    left -= 1;
                }
                last = Some(now);
            }
            assert_eq!(left, 0);
        }
    }

    #[test]
    fn rounding_is_up_and_fine_for_short_waits() {
        let now = Instant::now();
        let timers = Timers::new(now);
        for (wait, grain) in [(0, 1), (100, 16), (50_000, 8192), (1_000_000_000, 1 << 20)] {
            let deadline = now + Duration::from_nanos(wait);
            let at = timers.round(deadline, now);
            assert!(at >= wait && at - wait < grain, "{wait} {at}");
        }
        let far = now.checked_add(Duration::from_secs(1 << 40)).expect("far");
        assert!(timers.round(far, now) < NEVER);
    }
}
