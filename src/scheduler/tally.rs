//! How many tasks are left: each seat counts for itself, and whoever asks adds up.
//!
//! # The races, and why they can't happen
//! **A task is missed that is spawned while they are added up**, by one that ends meanwhile. All the ended are added up
//! before any of the spawned. Who sees that a task has ended sees what it spawned before, wherever that was counted: so a
//! task that is counted as ended is counted as spawned, and its children are too. The sum is never less than there were
//! when it was begun, unless they have ended.
//!
//! **Two workers end the last two tasks, and neither sees that it was the last.** Each counts its own, fences and adds up.
//! Of two such fences one comes first, and who comes second sees what was counted before it.

use crate::primitive::{AtomicU64, Ordering, fence};

pub(super) struct Tally {
    spawned: AtomicU64,
    ended: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally { spawned: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }

    /// A task was spawned. Called by one thread alone, the seat's.
    #[inline]
    pub(super) fn count_spawned(&self) {
        bump(&self.spawned);
    }

    /// The same, where several threads do.
    pub(super) fn count_spawned_by_any(&self) {
        // Release: as in `bump`.
        self.spawned.fetch_add(1, Ordering::Release);
    }

    /// A task has ended. Called by the seat's thread alone.
    #[inline]
    pub(super) fn count_ended(&self) {
        bump(&self.ended);
    }

    /// How many have not ended.
    pub(super) fn left<'a>(tallies: impl Iterator<Item = &'a Tally> + Clone) -> u64 {
        // SeqCst: pairs with itself; see the head of this file.
        fence(Ordering::SeqCst);
        // Acquire (both): pair with the Releases of those who count. The first keeps the second after it, too.
        let ended: u64 = tallies.clone().map(|tally| tally.ended.load(Ordering::Acquire)).sum();
        crate::chaos::point();
        let spawned: u64 = tallies.map(|tally| tally.spawned.load(Ordering::Acquire)).sum();
        spawned - ended
    }
}

/// Adds one to what only the calling thread writes.
#[inline]
fn bump(counter: &AtomicU64) {
    // Release: pairs with the Acquire of `left`.
    #[cfg(not(loom))]
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
    // Loom remembers an object's last access only: the load would hide from it that others read before the store.
    #[cfg(loom)]
    counter.fetch_add(1, Ordering::Release);
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::primitive::AtomicBool;
    use loom::thread;
    use std::sync::Arc;

    #[test]
    fn a_child_is_not_missed_when_its_parent_ends() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let tallies = Arc::new([Tally::new(), Tally::new(), Tally::new()]);
            let (queue, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            tallies[2].count_spawned_by_any();
            let parent = thread::spawn({
                let (tallies, queue) = (Arc::clone(&tallies), Arc::clone(&queue));
                move || {
                    tallies[0].count_spawned();
                    // Release: as a queue does.
                    queue.store(true, Ordering::Release);
                    tallies[0].count_ended();
                }
            });
            let child = thread::spawn({
                let (tallies, ended) = (Arc::clone(&tallies), Arc::clone(&ended));
                move || {
                    if queue.load(Ordering::Acquire) {
                        ended.store(true, Ordering::Relaxed);
                        tallies[1].count_ended();
                    }
                }
            });
            if Tally::left(tallies.iter()) == 0 {
                assert!(ended.load(Ordering::Relaxed), "a task is left");
            }
            parent.join().unwrap();
            child.join().unwrap();
        });
    }

    #[test]
    fn one_of_the_last_two_sees_that_none_is_left() {
        loom::model(|| {
            let tallies = Arc::new([Tally::new(), Tally::new()]);
            (0..2).for_each(|_| tallies[0].count_spawned_by_any());
            let other = thread::spawn({
                let tallies = Arc::clone(&tallies);
                move || {
                    tallies[1].count_ended();
                    Tally::left(tallies.iter())
                }
            });
            tallies[0].count_ended();
            let left = Tally::left(tallies.iter());
            assert!(left == 0 || other.join().unwrap() == 0, "both go to sleep, and nobody ends the others");
        });
    }
}
