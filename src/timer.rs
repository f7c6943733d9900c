//! Timers: a heap of deadlines for each worker.
//!
//! A timer is a [`TimerEntry`] in the frame of the wait that it ends; the heap holds a pointer to it, and the entry
//! knows its place in the heap. So arming allocates nothing (but the heap's growth), and disarming takes the entry out
//! at once, rather than leave a corpse until its deadline: a server that sets a timeout of a minute for each of a
//! million short waits a second holds no more entries than it has waits.
//!
//! The heap is four-ary: half the depth of a binary one, and the four children share a cache line. A new timer is
//! mostly the latest, so arming it moves nothing.
//!
//! Deadlines are rounded up, by a sixteenth of the time that is left and at most a millisecond, so that long sleeps
//! that end near one another end together, in one wake-up of the worker.
//!
//! # The race of firing against disarming
//! Both happen under the heap's lock. An entry is claimed there, while it can't go away; after `disarm` nobody holds a
//! pointer to it.

use crate::control::{Outcome, TimerEntry};
use crate::lock::Lock;
use crate::primitive::{AtomicU64, Ordering};
use crate::wait::{Waiter, Wakeup};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

const ARITY: usize = 4;

/// Later than any deadline.
const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy)]
struct Slot {
    /// Nanoseconds since the heap's start, rounded up.
    at: u64,
    entry: NonNull<TimerEntry>,
}

/// The timers of one worker.
pub(crate) struct Timers {
    start: Instant,
    /// The earliest deadline, for a look without the lock. Relaxed: the lock decides.
    next: AtomicU64,
    heap: Lock<Heap>,
}

struct Heap(Vec<Slot>);

// SAFETY: the entries are used under the heap's lock, and stay where they are until they are taken out.
unsafe impl Send for Heap {}

impl Timers {
    pub(crate) fn new(start: Instant) -> Timers {
        Timers { start, next: AtomicU64::new(NEVER), heap: Lock::new(Heap(Vec::new())) }
    }

    /// # Safety
    /// The entry's wait is armed, and the entry stays where it is until `disarm` has returned.
    pub(crate) unsafe fn arm(&self, entry: &TimerEntry, now: Instant) {
        let at = self.round(entry.deadline, now);
        let mut heap = self.heap.lock();
        heap.push(Slot { at, entry: NonNull::from(entry) });
        self.publish(&heap);
    }

    pub(crate) fn disarm(&self, entry: &TimerEntry) {
        let mut heap = self.heap.lock();
        let index = entry.index.get();
        if index != TimerEntry::OUT {
            heap.remove(index);
            self.publish(&heap);
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
        let mut heap = self.heap.lock();
        while let Some(&Slot { at, entry }) = heap.0.first()
            && at <= now
        {
            heap.remove(0);
            // SAFETY: the entry is in its frame until `disarm`, which needs the lock we hold; so the task is alive too.
            let wakeup = unsafe {
                let entry = entry.as_ref();
                Waiter::task(entry.task, entry.epoch).claim(Outcome::TimedOut)
            };
            woken.extend(wakeup);
        }
        self.publish(&heap);
    }

    fn publish(&self, heap: &Heap) {
        self.next.store(heap.0.first().map_or(NEVER, |slot| slot.at), Ordering::Relaxed);
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

impl Heap {
    fn push(&mut self, slot: Slot) {
        self.0.push(slot);
        self.sift_up(self.0.len() - 1);
    }

    /// Takes the entry at `index` out.
    fn remove(&mut self, index: usize) {
        // SAFETY: an entry in the heap is alive.
        unsafe { self.0[index].entry.as_ref() }.index.set(TimerEntry::OUT);
        self.0.swap_remove(index);
        if index < self.0.len() {
            let index = self.sift_up(index);
            self.sift_down(index);
        }
    }

    fn place(&mut self, index: usize, slot: Slot) {
        self.0[index] = slot;
        // SAFETY: as in `remove`.
        unsafe { slot.entry.as_ref() }.index.set(index);
    }

    fn sift_up(&mut self, mut index: usize) -> usize {
        let slot = self.0[index];
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if self.0[parent].at <= slot.at {
                break;
            }
            self.place(index, self.0[parent]);
            index = parent;
        }
        self.place(index, slot);
        index
    }

    fn sift_down(&mut self, mut index: usize) {
        let slot = self.0[index];
        loop {
            let children = index * ARITY + 1..(index * ARITY + 1 + ARITY).min(self.0.len());
            let Some(least) = children.min_by_key(|&child| self.0[child].at) else { break };
            if slot.at <= self.0[least].at {
                break;
            }
            self.place(index, self.0[least]);
            index = least;
        }
        self.place(index, slot);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// A heap's order doesn't depend on whose timers it holds: any entry will do.
    fn entries(n: usize) -> Vec<TimerEntry> {
        let epoch = crate::control::State::new().arm(false);
        (0..n).map(|_| TimerEntry::new(Instant::now(), NonNull::dangling(), epoch)).collect()
    }

    #[test]
    fn what_is_taken_comes_in_order_whatever_was_removed_before() {
        let rng = Rng::new(7);
        for round in 0..200 {
            let entries = entries(round + 1);
            let mut heap = Heap(Vec::new());
            for entry in &entries {
                heap.push(Slot { at: rng.next() % 64, entry: NonNull::from(entry) });
            }
            for entry in entries.iter().filter(|_| rng.below(3) == 0) {
                heap.remove(entry.index.get());
                assert_eq!(entry.index.get(), TimerEntry::OUT);
            }
            let mut last = 0;
            while let Some(&first) = heap.0.first() {
                assert!(first.at >= last);
                last = first.at;
                heap.remove(0);
            }
            assert!(entries.iter().all(|entry| entry.index.get() == TimerEntry::OUT));
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
