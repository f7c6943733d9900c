//! The next slot: the task that its worker will run next.
//!
//! A task that was just woken by the task that runs goes here rather than behind the queue: its data is in this core's
//! cache, and two tasks that talk to each other run hand in hand. Only the owner puts a task in; the owner and thieves
//! take one out. A thief comes only after a moment (see `search.rs`), since the owner is most likely about to run it.
//!
//! # Protocol
//! The owner uses the slot twice for each hand-off, a thief perhaps never, so the owner's side is free of atomic
//! read-modify-writes: it says that it is busy, makes sure that no raid is on, and then the slot is its own. A thief
//! declares a raid, fences for both (see `asymmetric.rs`), and gives up if the owner is busy.
//!
//! # The race of the owner against a thief
//! Owner: `busy = true`, light fence, read `raid`. Thief: `raid = true`, heavy fence, read `busy`. At least one sees the
//! other. The thief then gives up; the owner steps back and waits for the end of the raid, which is a few instructions
//! and one system call away. So only one of them is between its check and the end of its section, and a task comes out
//! exactly once.
//!
//! The owner may fill an *empty* slot without any of this: nobody but the owner ever makes it full, and a thief that
//! reads it as empty leaves it alone.

use crate::asymmetric;
use crate::chaos;
use crate::control::Header;
use crate::primitive::{AtomicBool, AtomicPtr, Ordering, spin_loop, yield_thread};
use std::ptr::{self, NonNull};

pub(super) struct NextSlot {
    task: AtomicPtr<Header>,
    /// The owner is in its section.
    busy: AtomicBool,
    /// A thief is in its own: also the lock between thieves.
    raid: AtomicBool,
}

impl NextSlot {
    pub(super) fn new() -> NextSlot {
        NextSlot { task: AtomicPtr::new(ptr::null_mut()), busy: AtomicBool::new(false), raid: AtomicBool::new(false) }
    }

    /// The owner puts a task in, and gets back the one that was there.
    #[inline]
    pub(super) fn put(&self, task: NonNull<Header>) -> Option<NonNull<Header>> {
        // Relaxed: if it reads null, nobody else changes that.
        if self.task.load(Ordering::Relaxed).is_null() {
            chaos::point();
            // Release: pairs with the Acquire of `steal`.
            self.task.store(task.as_ptr(), Ordering::Release);
            return None;
        }
        self.exchange(task.as_ptr())
    }

    /// The owner takes the task out.
    #[inline]
    pub(super) fn take(&self) -> Option<NonNull<Header>> {
        // Relaxed: if it reads null, nobody else changes that.
        if self.task.load(Ordering::Relaxed).is_null() {
            return None;
        }
        self.exchange(ptr::null_mut())
    }

    #[inline]
    fn exchange(&self, new: *mut Header) -> Option<NonNull<Header>> {
        loop {
            // Relaxed: ordered by the fence.
            self.busy.store(true, Ordering::Relaxed);
            asymmetric::light();
            // Acquire: pairs with the Release at the end of `steal`.
            if !self.raid.load(Ordering::Acquire) {
                break;
            }
            self.wait_for_the_end_of_the_raid();
        }
        chaos::point();
        // Relaxed: what the owner put in itself, or null.
        let old = self.task.load(Ordering::Relaxed);
        // Release: pairs with the Acquire of `steal`.
        self.task.store(new, Ordering::Release);
        chaos::point();
        // Release: pairs with the Acquire with which a thief finds that the owner is not busy.
        self.busy.store(false, Ordering::Release);
        NonNull::new(old)
    }

    #[cold]
    fn wait_for_the_end_of_the_raid(&self) {
        // Release: as in `exchange`; nothing was changed.
        self.busy.store(false, Ordering::Release);
        let mut rounds = 0;
        while self.raid.load(Ordering::Relaxed) {
            if rounds < 100 {
                rounds += 1;
                spin_loop();
            } else {
                yield_thread();
            }
        }
    }

    /// A thief takes the task out, unless the owner or another thief is at it.
    #[cold]
    pub(super) fn steal(&self) -> Option<NonNull<Header>> {
        // Acquire: pairs with the Release of the raid before.
        if self.raid.swap(true, Ordering::Acquire) {
            return None;
        }
        asymmetric::heavy();
        let mut task = ptr::null_mut();
        // Acquire: pairs with the Release with which the owner ended its section.
        if !self.busy.load(Ordering::Acquire) {
            chaos::point();
            // Acquire: pairs with the Release of `put`.
            task = self.task.load(Ordering::Acquire);
            if !task.is_null() {
                // Relaxed: published by the Release below, or read by the owner as empty.
                self.task.store(ptr::null_mut(), Ordering::Relaxed);
            }
        }
        chaos::point();
        // Release: pairs with the Acquire in `exchange` and the swap above.
        self.raid.store(false, Ordering::Release);
        NonNull::new(task)
    }

    /// Who is in it, for a thief to compare: not to be followed.
    pub(super) fn peek(&self) -> *const Header {
        // Relaxed: a hint.
        self.task.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::primitive::TrackedCell;
    use loom::thread;
    use std::sync::Arc;

    /// What stands for tasks: cells whose address goes through the slot, and whose content loom watches.
    struct Stage {
        slot: NextSlot,
        tasks: [TrackedCell<u32>; 3],
    }

    // SAFETY: that the cells are used by one thread at a time is what loom checks.
    unsafe impl Sync for Stage {}
    // SAFETY: as above.
    unsafe impl Send for Stage {}

    impl Stage {
        fn new() -> Arc<Stage> {
            Arc::new(Stage { slot: NextSlot::new(), tasks: [0, 0, 0].map(TrackedCell::new) })
        }

        fn task(&self, index: usize) -> NonNull<Header> {
            // Never followed as a header.
            NonNull::from(&self.tasks[index]).cast()
        }

        /// Uses a task as its one owner does.
        fn touch(&self, task: NonNull<Header>) {
            // SAFETY: it is one of `tasks`; loom checks that nobody else uses it.
            unsafe { task.cast::<TrackedCell<u32>>().as_ref().with_mut(|count| *count += 1) }
        }

        fn count(&self, taken: Option<NonNull<Header>>) -> u32 {
            taken.map_or(0, |task| {
                self.touch(task);
                1
            })
        }

        fn take(&self) -> u32 {
            self.count(self.slot.take())
        }

        fn steal(&self) -> u32 {
            self.count(self.slot.steal())
        }
    }

    /// Every interleaving with at most three preemptions.
    fn bounded(f: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(f);
    }

    #[test]
    fn each_task_comes_out_once_whoever_takes_it() {
        bounded(|| {
            let stage = Stage::new();
            let thief = thread::spawn({
                let stage = Arc::clone(&stage);
                move || stage.steal() + stage.steal()
            });
            let mut mine = 0;
            for index in 0..2 {
                let task = stage.task(index);
                stage.touch(task);
                if let Some(displaced) = stage.slot.put(task) {
                    stage.touch(displaced);
                    mine += 1;
                }
            }
            mine += stage.take();
            assert_eq!(mine + thief.join().unwrap() + stage.take(), 2);
            assert!(stage.slot.peek().is_null());
        });
    }

    #[test]
    fn two_thieves_do_not_share() {
        bounded(|| {
            let stage = Stage::new();
            let task = stage.task(0);
            stage.touch(task);
            assert!(stage.slot.put(task).is_none());
            let thieves = [(); 2].map(|()| {
                let stage = Arc::clone(&stage);
                thread::spawn(move || stage.steal())
            });
            let stolen: u32 = thieves.map(|thief| thief.join().unwrap()).iter().sum();
            assert_eq!(stolen + stage.take(), 1);
        });
    }
}
