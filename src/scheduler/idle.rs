//! Who sleeps and who searches: the idle protocol.
//!
//! Waking a kernel thread costs microseconds, and a task may take a tenth of one, so a wake for every ready task would
//! be most of the work. The rule is: *wake one worker if one sleeps and none searches.* A worker that is woken
//! searches; when it finds work and was the last that searched, it wakes another, so that workers come one after the
//! other for as long as there is something for them to find.
//!
//! # States of a worker
//!
//! ```text
//!              nothing found, few search        nothing found
//!   working ───────────────────────────▶ searching ─────────▶ sleeping
//!      ▲  ▲                                 │   ▲                │
//!      │  └────────── found work ───────────┘   └── woken ───────┤
//!      └──────────────────── the poller, or a timer, gave work ──┘
//! ```
//!
//! One word counts those that sleep, those that search, and those that are away in a blocking section; a list, under
//! a lock, says who sleeps. (Who is on duty at all is told in `crew.rs`.)
//!
//! # The races, and why they can't happen
//! * **Work published while the last worker falls asleep.** The publisher makes its task visible, fences, and reads the
//!   counts. The sleeper counts itself as sleeping (and as not searching), fences, and looks into the injector once more.
//!   The two fences are sequentially consistent, so at least one of them sees the other: either the publisher finds a
//!   sleeper to wake, or the sleeper finds the task.
//! * **Work in a worker's own queue** can't be lost so: that worker is awake, and will come to it. What could be missed is
//!   that another might do it at the same time; the one that naps while somebody works (see `search.rs`) sees to that,
//!   so the last look needn't cover it.
//! * **Work published while somebody searches.** The publisher wakes nobody. The searcher either finds it, or goes to
//!   sleep through the same count-fence-look, as above.
//! * **Work trusted to a searcher that found none.** It came while the searcher was about to sleep, so nobody was woken for
//!   it, and the last look finds it. The worker then gets up as a searcher, and wakes another one when it has its task: what
//!   it was trusted with may be more than one.
//! * **Work trusted to a searcher for whom it isn't**: a new task, to the last worker (see `crew.rs`). Its last look finds it,
//!   and it gets another one up in its stead.
//! * **A wake for a worker that has got up by itself** (it found work in its last look, or the poller gave it some).
//!   It takes itself off the list under the lock. If it is no longer there, a waker has chosen it: then it has been
//!   counted as searching, and it goes on as a searcher, so that the waker's work is looked for.
//!
//! * **Work published while the last one that is up goes away**, into an announced blocking section. It counts itself as
//!   away, fences, and then looks at its own queue; the publisher fences between its work and the counts. As above, one sees
//!   the other; and if nobody sleeps or searches the monitor is called, which finds a replacement.
//! * **All sleep, the monitor too, and one gets up.** The monitor says that it goes to sleep, fences, and looks whether all
//!   workers sleep. Who gets up changes the counts first, and looks for the monitor then.
//!
//! # Tried and rejected
//! A wake for each ready task (a storm of futile wake-ups), and handing a task straight to a sleeping worker (the task
//! waits for a kernel thread while its own core is about to be free).

use crate::chaos;
use crate::lock::Lock;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence, fence_after_exchange};

/// In the count word, one of each: three fields of 21 bits.
const SLEEPER: u64 = 1;
const SEARCHER: u64 = 1 << 21;
const AWAY: u64 = 1 << 42;

fn sleeping(counts: u64) -> u64 {
    counts & (SEARCHER - 1)
}

fn searching(counts: u64) -> u64 {
    (counts / SEARCHER) & (SEARCHER - 1)
}

fn away(counts: u64) -> u64 {
    counts / AWAY
}

pub(super) struct Idle {
    counts: AtomicU64,
    /// Who sleeps; the one that fell asleep last is woken first, because its cache is the warmest.
    sleepers: Lock<Vec<usize>>,
    /// How many workers are on duty, and how many should be. Written under the roster's lock; a hint without.
    on_duty: AtomicU32,
    quota: AtomicU32,
}

/// What is to be done about work that was made visible.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Somebody is at work who will find it.
    Nothing,
    /// This worker is to be woken. It is counted as searching.
    Wake(usize),
    /// Nobody sleeps, and one is away: the monitor is to be called.
    Relieve,
}

impl Idle {
    pub(super) fn new() -> Idle {
        Idle {
            counts: AtomicU64::new(0),
            sleepers: Lock::new(Vec::new()),
            on_duty: AtomicU32::new(0),
            quota: AtomicU32::new(0),
        }
    }

    pub(super) fn on_duty(&self) -> usize {
        self.on_duty.load(Ordering::Relaxed) as usize
    }

    pub(super) fn set_quota(&self, quota: usize) {
        self.quota.store(quota as u32, Ordering::Relaxed);
    }

    /// Whether more are on duty than should be. A hint.
    #[inline]
    pub(super) fn has_surplus(&self) -> bool {
        self.on_duty.load(Ordering::Relaxed) > self.quota.load(Ordering::Relaxed)
    }

    pub(super) fn count_on_duty(&self) {
        self.on_duty.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_off_duty(&self, was_away: bool) {
        self.on_duty.fetch_sub(1, Ordering::Relaxed);
        if was_away {
            self.come_back();
        }
    }

    /// A worker enters a blocking section. It must look into its own queue afterwards.
    ///
    /// Its duty says so already, and if the monitor relieves it of that first, the field is one too low for a moment: it is
    /// the uppermost one, so no other is touched, and whoever reads it then calls the monitor in vain.
    #[inline]
    pub(super) fn go_away(&self) {
        // SeqCst (both): pairs with the fence of `choose`. The counts came before it, the queues are looked into after it.
        self.counts.fetch_add(AWAY, Ordering::SeqCst);
        fence_after_exchange();
    }

    /// The section has ended, or is known for what it is.
    #[inline]
    pub(super) fn come_back(&self) {
        // Relaxed: seen too late, it calls the monitor in vain.
        self.counts.fetch_sub(AWAY, Ordering::Relaxed);
    }

    /// Whether any worker sleeps. A hint.
    pub(super) fn any_sleeps(&self) -> bool {
        sleeping(self.counts.load(Ordering::Relaxed)) > 0
    }

    /// Work has been made visible: who has to be woken for it?
    #[inline]
    pub(super) fn choose(&self) -> Choice {
        chaos::point();
        // SeqCst: pairs with the fence of `sleep`. The work came before it, the counts are read after it.
        fence(Ordering::SeqCst);
        self.choose_unfenced()
    }

    /// `choose` for one who may miss a worker that falls asleep at this moment.
    #[inline]
    pub(super) fn choose_unfenced(&self) -> Choice {
        // Relaxed: ordered by the fence above.
        let counts = self.counts.load(Ordering::Relaxed);
        if searching(counts) > 0 {
            Choice::Nothing
        } else if sleeping(counts) > 0 {
            self.pop_sleeper(None)
        } else if away(counts) > 0 {
            Choice::Relieve
        } else {
            Choice::Nothing
        }
    }

    /// `choose` for one that is counted as sleeping and has seen work that is not for it: another one has to come.
    pub(super) fn choose_other(&self, worker: usize) -> Choice {
        // SeqCst: pairs with the fence of `sleep`. The work was seen before it; whoever still searches looks after it.
        fence(Ordering::SeqCst);
        self.pop_sleeper(Some(worker))
    }

    #[cold]
    fn pop_sleeper(&self, except: Option<usize>) -> Choice {
        chaos::point();
        let mut sleepers = self.sleepers.lock();
        // Relaxed: a second publisher may have been faster.
        let counts = self.counts.load(Ordering::Relaxed);
        if searching(counts) > 0 {
            return Choice::Nothing;
        }
        let Some(worker) = sleepers.iter().rposition(|&worker| Some(worker) != except).map(|at| sleepers.remove(at))
        else {
            // The last one has just got up.
            return if away(counts) > 0 { Choice::Relieve } else { Choice::Nothing };
        };
        // SeqCst: in one order with the counts of `sleep` and the reads after the fences.
        self.counts.fetch_add(SEARCHER - SLEEPER, Ordering::SeqCst);
        Choice::Wake(worker)
    }

    /// Takes every sleeper, for a shutdown or because there are to be more or fewer workers.
    pub(super) fn choose_all(&self) -> Vec<usize> {
        let mut sleepers = self.sleepers.lock();
        let all = std::mem::take(&mut *sleepers);
        // SeqCst: as above.
        self.counts.fetch_add(all.len() as u64 * (SEARCHER - SLEEPER), Ordering::SeqCst);
        all
    }

    /// A worker without work wants to search. At most half of them may: more only get in one another's way.
    pub(super) fn start_search(&self) -> bool {
        // Relaxed: a hint.
        if 2 * searching(self.counts.load(Ordering::Relaxed)) >= u64::from(self.on_duty.load(Ordering::Relaxed)) {
            return false;
        }
        // SeqCst: as above.
        self.counts.fetch_add(SEARCHER, Ordering::SeqCst);
        true
    }

    /// A searcher has found work. If it was the last one, it must let another one be chosen.
    pub(super) fn end_search(&self) -> bool {
        chaos::point();
        // SeqCst: as above.
        searching(self.counts.fetch_sub(SEARCHER, Ordering::SeqCst)) == 1
    }

    /// The worker is going to sleep. It must look into every queue once more before it does.
    pub(super) fn sleep(&self, worker: usize, was_searching: bool) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(worker);
        let change = if was_searching { SLEEPER.wrapping_sub(SEARCHER) } else { SLEEPER };
        // SeqCst: as above.
        self.counts.fetch_add(change, Ordering::SeqCst);
        drop(sleepers);
        // SeqCst: pairs with the fence of `choose`. The counts came before it, the queues are looked into after it.
        fence(Ordering::SeqCst);
        chaos::point();
    }

    /// The worker gets up: by itself, or because a waker has chosen it. Returns whether it is counted as searching: if it
    /// was chosen, or if it asks for that because it saw work in its last look.
    #[must_use]
    pub(super) fn get_up(&self, worker: usize, to_search: bool) -> bool {
        chaos::point();
        let mut sleepers = self.sleepers.lock();
        let Some(at) = sleepers.iter().position(|&sleeper| sleeper == worker) else { return true };
        sleepers.swap_remove(at);
        let change = if to_search { SEARCHER.wrapping_sub(SLEEPER) } else { SLEEPER.wrapping_neg() };
        // SeqCst: as above.
        self.counts.fetch_add(change, Ordering::SeqCst);
        to_search
    }

    /// Whether every worker that is on duty sleeps. A hint.
    pub(super) fn all_sleep(&self) -> bool {
        sleeping(self.counts.load(Ordering::Relaxed)) >= u64::from(self.on_duty.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::thread;
    use std::sync::Arc;

    /// The worker that takes nothing of what lies here.
    const LAST: usize = 2;

    /// A pool of workers that only count: `queue` is how many tasks lie there, `wakes` who was told to get up.
    struct Pool {
        idle: Idle,
        queue: AtomicU32,
        wakes: Vec<AtomicU32>,
    }

    impl Pool {
        fn new(workers: usize) -> Arc<Pool> {
            let wakes = (0..workers).map(|_| AtomicU32::new(0)).collect();
            let idle = Idle::new();
            idle.on_duty.store(workers as u32, Ordering::Relaxed);
            Arc::new(Pool { idle, queue: AtomicU32::new(0), wakes })
        }

        fn publish(&self) {
            // Relaxed, as weak as a queue may be: the fence of `choose` has to do it.
            self.queue.fetch_add(1, Ordering::Relaxed);
            self.notify();
        }

        fn notify(&self) {
            self.act(self.idle.choose());
        }

        fn act(&self, choice: Choice) {
            if let Choice::Wake(worker) = choice {
                // An exchange, as in `Sleep::wake`.
                self.wakes[worker].swap(1, Ordering::AcqRel);
            }
        }

        fn take(&self) -> bool {
            let mut count = self.queue.load(Ordering::Relaxed);
            while count > 0 {
                match self.queue.compare_exchange(count, count - 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return true,
                    Err(now) => count = now,
                }
            }
            false
        }

        /// A worker without work, as `Worker::find_task` is: returns whether it found a task, or fell asleep.
        fn find(&self, worker: usize, mut searching: bool) -> bool {
            if worker == LAST {
                return self.find_nothing(searching);
            }
            loop {
                // Into the injector everybody looks, searching or not.
                if !searching && self.take() {
                    return true;
                }
                searching = searching || self.idle.start_search();
                if searching && self.take() {
                    if self.idle.end_search() {
                        self.notify();
                    }
                    return true;
                }
                self.idle.sleep(worker, searching);
                if self.queue.load(Ordering::Relaxed) == 0 && self.wakes[worker].swap(0, Ordering::Acquire) == 0 {
                    // It sleeps; who wakes it later will find its mark.
                    return false;
                }
                searching = self.idle.get_up(worker, true);
                if searching {
                    self.wakes[worker].swap(0, Ordering::Acquire);
                }
            }
        }

        /// The same for the one on the last seat, which takes nothing of what lies here.
        fn find_nothing(&self, searching: bool) -> bool {
            if !searching && !self.idle.start_search() {
                unreachable!("nobody else searches");
            }
            self.idle.sleep(LAST, true);
            if self.queue.load(Ordering::Relaxed) > 0 {
                self.act(self.idle.choose_other(LAST));
            }
            false
        }

        /// Nobody moves any more: whoever was marked gets up, until all sleep and nobody is marked. Returns what was found.
        fn settle(&self) -> u32 {
            let mut found = 0;
            loop {
                let Some(worker) = (0..self.wakes.len()).find(|&w| self.wakes[w].swap(0, Ordering::Acquire) == 1)
                else {
                    return found;
                };
                // It was taken off the list by the one that chose it.
                assert!(self.idle.get_up(worker, false));
                if self.find(worker, true) {
                    found += 1;
                    // Its task ends, and it looks for more.
                    found += u32::from(self.find(worker, false));
                }
            }
        }
    }

    #[test]
    fn work_published_while_the_last_worker_falls_asleep_is_seen() {
        loom::model(|| {
            let pool = Pool::new(1);
            let publisher = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.publish()
            });
            let found = u32::from(pool.find(0, false));
            publisher.join().unwrap();
            let found = if found == 1 { 1 } else { pool.settle() };
            assert_eq!(
                found,
                1,
                "the task lies there, and all sleep: {:#x} {} {}",
                pool.idle.counts.load(Ordering::Relaxed),
                pool.queue.load(Ordering::Relaxed),
                pool.wakes[0].load(Ordering::Relaxed)
            );
        });
    }

    #[test]
    fn work_trusted_to_one_that_does_not_take_it_is_passed_on() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let pool = Pool::new(3);
            assert!(!pool.find(0, false));
            let publisher = thread::spawn({
                let pool = Arc::clone(&pool);
                move || pool.publish()
            });
            assert!(!pool.find(LAST, false));
            publisher.join().unwrap();
            assert_eq!(pool.settle(), 1, "the task lies there, and the one that would take it sleeps");
        });
    }

    #[test]
    fn the_last_searcher_looks_after_what_it_was_trusted_with() {
        // One worker searches, so a publisher wakes nobody, though another sleeps.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.max_branches = 10_000;
        model.check(|| {
            let pool = Pool::new(2);
            assert!(!pool.find(0, false));
            let publisher = thread::spawn({
                let pool = Arc::clone(&pool);
                move || {
                    pool.publish();
                    pool.publish();
                }
            });
            let first = pool.find(1, false);
            publisher.join().unwrap();
            // If it found one it runs that for long, and the other must find the second without it.
            assert_eq!(u32::from(first) + pool.settle(), 2, "a task lies there, and all sleep");
        });
    }
}
