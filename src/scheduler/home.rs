//! A task's home: the kernel thread that it last ran on, to which it may have to return.
//!
//! Whether it has to is told in `migration.rs`. A task that has left its stack knows its home, by the number of the seat; the
//! seat has an *inbox* for those that must go on there, and counts those whose home it is.
//!
//! # The inbox
//! What lies in it is for the seat's own thread. Nobody steals it, and the monitor doesn't take it over: who is stuck has its
//! inbox wait. A spare thread comes for what is in there and goes back to rest (see `crew.rs`).
//!
//! Whoever puts a task into an empty inbox wakes the thread; whoever finds it filled needn't, since the one that filled it does.
//! * **The race of a thread that goes to sleep.** It is woken after the task was put in. That either finds it asleep, or leaves
//!   a notice, with which its next sleep ends before it begins (see `sleep.rs`); then it looks into its inbox.
//! * **The one that filled the inbox is held up before it wakes the thread.** Then so are those after it, as every task is that
//!   somebody has in hand. If the thread empties the inbox meanwhile, the next one wakes it: that it is empty is told
//!   under the lock under which tasks go in and out.
//!
//! # A thread with tasks doesn't end
//! A seat can get a new kernel thread, but a home is a kernel thread. So a spare one ends only if no task has its home there.
//! The seat's thread itself counts those that settle, when they leave their stack for the first time or come from elsewhere,
//! and those that end: by plain stores, since a task ends at its home. Who takes one away counts that, in a word of its own.
//!
//! * **A task is taken away while the thread wonders whether to end.** It marks the word of those that have left, and in the same
//!   exchange reads how many they are. Who leaves after that sees the mark, and, if it was the last one, gets the thread up.
//! * **A task settles meanwhile.** Only the thread itself can do that, and it rests.

use super::Runnable;
use crate::control::Header;
use crate::lock::Lock;
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{AtomicU8, AtomicU64, Ordering};
use crate::tls::{Places, Version, View, Watch};
use std::collections::VecDeque;
use std::ptr::NonNull;

/// In the word of those that have left: the thread wants to end.
const WANTS_TO_END: u64 = 1;
const ONE_LEFT: u64 = 2;

// What the seat's thread looks at in each turn.
const FILLED: u8 = 1;
/// It should look around: the injector, the timers or the poller have waited for long.
const HASTE: u8 = 2;

/// What of a seat is its tasks' home.
pub(super) struct Home {
    inbox: Lock<VecDeque<Runnable>>,
    /// `FILLED` if there is something in it, and `HASTE`. The former is written under its lock.
    notes: AtomicU8,
    /// How many tasks have settled here, less those that ended here. Written by the thread alone.
    settled: AtomicU64,
    /// How many have left, and whether the thread wants to end.
    left: AtomicU64,
    /// `None` before the seat's first thread. A whole storage may be compared under this one: hence no spin lock.
    watch: Mutex<Option<Watch>>,
}

impl Home {
    pub(super) fn new() -> Home {
        Home {
            inbox: Lock::new(VecDeque::new()),
            notes: AtomicU8::new(0),
            settled: AtomicU64::new(0),
            left: AtomicU64::new(0),
            watch: Mutex::new(None),
        }
    }

    /// The calling thread begins, with this of its own.
    pub(super) fn open(&self, watch: Option<Watch>) {
        let _before = std::mem::replace(&mut *self.watch.lock(), watch);
        self.stay();
    }

    /// Puts a task into the inbox. Returns whether the caller is to wake the thread.
    #[must_use]
    pub(super) fn put(&self, task: NonNull<Header>) -> bool {
        let mut inbox = self.inbox.lock();
        inbox.push_back(Runnable(task));
        let was_empty = inbox.len() == 1;
        if was_empty {
            // Relaxed: the thread that matters is woken afterwards, which orders it; to others it is a hint.
            self.notes.fetch_or(FILLED, Ordering::Relaxed);
        }
        was_empty
    }

    /// Takes the first task out of the inbox. For the seat's thread.
    pub(super) fn take(&self) -> Option<NonNull<Header>> {
        let mut inbox = self.inbox.lock();
        let Runnable(task) = inbox.pop_front()?;
        if inbox.is_empty() {
            self.notes.fetch_and(!FILLED, Ordering::Relaxed);
        }
        drop(inbox);
        // SAFETY: it came out of a queue, so it is alive and ours.
        unsafe { task.as_ref() }.set_held(false);
        Some(task)
    }

    /// Whether there is something in the inbox. For all but the seat's thread a hint.
    #[inline]
    pub(super) fn is_filled(&self) -> bool {
        self.notes.load(Ordering::Relaxed) & FILLED != 0
    }

    /// Whether the seat's thread is to do more than to take what is next in its queue.
    #[inline]
    pub(super) fn has_notes(&self) -> bool {
        self.notes.load(Ordering::Relaxed) != 0
    }

    /// Has the seat's thread look around between two tasks, soon.
    pub(super) fn hasten(&self) {
        self.notes.fetch_or(HASTE, Ordering::Relaxed);
    }

    /// For the seat's thread: whether it was to look around.
    pub(super) fn take_haste(&self) -> bool {
        // Relaxed (all): hints.
        self.notes.fetch_and(!HASTE, Ordering::Relaxed) & HASTE != 0
    }

    /// A task has its home here from now on. For the seat's thread.
    #[inline]
    pub(super) fn settle(&self) {
        // Relaxed (all, and in `end`): who reads it from outside has exchanged the mark with the thread.
        self.settled.store(self.settled.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// One whose home is here has ended. For the seat's thread.
    #[inline]
    pub(super) fn end(&self) {
        self.settled.store(self.settled.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    /// A task has its home elsewhere from now on. Returns whether the caller is to wake the thread.
    #[must_use]
    #[inline]
    pub(super) fn leave(&self) -> bool {
        // AcqRel: pairs with that of `is_deserted`, whose thread has counted before.
        let left = self.left.fetch_add(ONE_LEFT, Ordering::AcqRel);
        left & WANTS_TO_END != 0 && left / ONE_LEFT + 1 == self.settled.load(Ordering::Relaxed)
    }

    /// The thread, which rests, wants to end. Returns whether it may; if not, it is woken when that changes.
    pub(super) fn is_deserted(&self) -> bool {
        // AcqRel: pairs with that of `leave`.
        let left = self.left.fetch_or(WANTS_TO_END, Ordering::AcqRel);
        left / ONE_LEFT == self.settled.load(Ordering::Relaxed)
    }

    /// The thread wants no longer to end.
    pub(super) fn stay(&self) {
        // Relaxed: a mark seen too long wakes the thread in vain.
        self.left.fetch_and(!WANTS_TO_END, Ordering::Relaxed);
    }

    /// What to look for on the stack of a task that has its home here.
    #[inline]
    pub(super) fn view(&self) -> Option<View> {
        // SAFETY: a thread doesn't end while a task has its home there, and the caller has one that has.
        self.watch.lock().as_mut().map(|watch| unsafe { watch.view() })
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.watch.lock().as_ref().map(Watch::version)
    }

    /// Libraries have come or gone since the thread asked last. For the seat's thread.
    #[cold]
    pub(super) fn renew(&self) {
        // The dynamic linker has a lock of its own, which others may hold for long.
        let places = Places::of_this_thread();
        if let Some(watch) = &mut *self.watch.lock() {
            watch.renew(places);
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::control::models::Blank;
    use crate::primitive::AtomicU32;
    use crate::scheduler::sleep::Sleep;
    use std::sync::Arc;

    fn model(f: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(f);
    }

    fn wake(sleep: &Sleep) {
        sleep.wake_by(|| unreachable!("it parks"));
    }

    /// A thread falls asleep as two tasks are put into its inbox, by one that is held up before it wakes the thread, and by
    /// another: it gets both.
    #[test]
    fn no_task_stays_in_the_inbox_of_one_that_sleeps() {
        model(|| {
            let all = Arc::new((Home::new(), Sleep::new()));
            let tasks = [Blank::new(1), Blank::new(1)];
            // Not the model's first thread, which joins the others: loom takes an unpark for the end of a join.
            let owner = loom::thread::spawn({
                let all = Arc::clone(&all);
                move || {
                    let (home, sleep) = &*all;
                    sleep.settle();
                    let mut taken = 0;
                    while taken < 2 {
                        if home.is_filled() {
                            taken += u32::from(home.take().is_some());
                        } else {
                            sleep.park(None);
                        }
                    }
                    assert!(home.take().is_none());
                }
            });
            let (home, sleep) = &*all;
            let first = home.put(tasks[0].task());
            // Whoever put it there is held up.
            let second = home.put(tasks[1].task());
            for is_to_wake in [second, first] {
                if is_to_wake {
                    wake(sleep);
                }
            }
            owner.join().unwrap();
        });
    }

    /// A spare thread wants to end as its last tasks go on elsewhere: it does, and not before both have left.
    #[test]
    fn a_thread_ends_when_its_last_task_has_left() {
        model(|| {
            let all = Arc::new((Home::new(), Sleep::new(), AtomicU32::new(0)));
            let owner = loom::thread::spawn({
                let all = Arc::clone(&all);
                move || {
                    let (home, sleep, left) = &*all;
                    sleep.settle();
                    home.settle();
                    home.settle();
                    // Relaxed: the homes' own words show it.
                    left.store(0, Ordering::Relaxed);
                    let leave = {
                        let all = Arc::clone(&all);
                        move || {
                            let (home, sleep, left) = &*all;
                            left.fetch_add(1, Ordering::Relaxed);
                            if home.leave() {
                                wake(sleep);
                            }
                        }
                    };
                    let others = [loom::thread::spawn(leave.clone()), loom::thread::spawn(leave)];
                    // Sometimes it is called upon instead.
                    if !home.is_deserted() {
                        home.stay();
                    }
                    while !home.is_deserted() {
                        sleep.park(None);
                    }
                    assert_eq!(left.load(Ordering::Relaxed), 2);
                    drop(others);
                }
            });
            owner.join().unwrap();
        });
    }
}
