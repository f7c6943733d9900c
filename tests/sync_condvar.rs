//! `Condvar`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{Random, elapsed_at_least, everywhere, in_tasks, stress, until};
use crew::every_crew;
use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::Cancelled;
use throng::sync::{Condvar, Mutex};
use throng::task;
use throng::time::now;

#[test]
fn nobody_there_to_notify() {
    let changed = Condvar::new();
    assert!(!changed.notify_one());
    assert_eq!(changed.notify_all(), 0);
    assert_eq!(format!("{changed:?}"), "Condvar { .. }");
}

#[test]
fn two_take_turns() {
    every_crew(|crew| {
        let (turn, changed) = (Mutex::new(0), Condvar::new());
        let rounds = stress(300);
        crew.run(2, |me| {
            for _ in 0..rounds {
                let mut turn = turn.lock();
                changed.wait_while(&mut turn, |turn| *turn % 2 != me);
                *turn += 1;
                changed.notify_one();
            }
        });
        assert_eq!(turn.into_inner(), 2 * rounds);
    });
}

#[test]
fn a_bounded_queue() {
    every_crew(|crew| {
        let (queue, filled, emptied) = (Mutex::new(VecDeque::new()), Condvar::new(), Condvar::new());
        let (each, sum) = (stress(200), AtomicUsize::new(0));
        crew.run(8, |me| {
            for i in 0..each {
                let mut queue = queue.lock();
                if me % 2 == 0 {
                    emptied.wait_while(&mut queue, |queue| queue.len() == 3);
                    queue.push_back(i);
                    filled.notify_one();
                } else {
                    filled.wait_while(&mut queue, |queue| queue.is_empty());
                    sum.fetch_add(queue.pop_front().expect("it isn't empty"), SeqCst);
                    emptied.notify_one();
                }
            }
        });
        assert_eq!(sum.into_inner(), 4 * each * (each - 1) / 2);
    });
}

/// More than are woken in one go.
const MANY: usize = 40;

#[test]
fn all_are_notified_and_counted() {
    every_crew(|crew| {
        let (waiting, changed) = (Mutex::new((0, 0)), Condvar::new());
        crew.run(MANY + 1, |me| {
            if me < MANY {
                let mut state = waiting.lock();
                state.0 += 1;
                changed.wait(&mut state);
                state.1 += 1;
            } else {
                until(|| waiting.lock().0 == MANY);
                // They are in the queue: the mutex was free.
                assert_eq!(changed.notify_all(), MANY);
                assert_eq!(changed.notify_all(), 0);
            }
        });
        assert_eq!(waiting.into_inner(), (MANY, MANY));
    });
}

#[test]
fn one_is_notified_at_a_time_the_oldest_first() {
    every_crew(|crew| {
        let (order, changed) = (Mutex::new((Vec::new(), Vec::new())), Condvar::new());
        crew.run(9, |me| {
            if me < 8 {
                let mut order = order.lock();
                order.0.push(me);
                changed.wait(&mut order);
                order.1.push(me);
            } else {
                until(|| order.lock().0.len() == 8);
                for n in 1..=8 {
                    assert!(changed.notify_one());
                    until(|| order.lock().1.len() == n);
                }
                assert!(!changed.notify_one());
            }
        });
        let (came, went) = order.into_inner();
        assert_eq!(came, went);
    });
}

#[test]
fn a_wait_has_a_deadline() {
    let (mutex, changed) = (Mutex::new(3), Condvar::new());
    let mut guard = mutex.lock();
    let start = now();
    assert!(changed.wait_for(&mut guard, Duration::from_millis(5)).timed_out());
    elapsed_at_least(start, Duration::from_millis(5));
    assert!(mutex.is_locked());
    assert!(changed.wait_until(&mut guard, start).timed_out());
    let ended = changed.wait_while_for(&mut guard, |n| *n == 3, Duration::from_millis(1));
    assert!(ended.timed_out());
    let ended = changed.wait_while_until(&mut guard, |n| *n == 4, start);
    assert!(!ended.timed_out());
    std::thread::scope(|s| {
        s.spawn(|| {
            *mutex.lock() = 4;
            changed.notify_one();
        });
        assert!(!changed.wait_for(&mut guard, Duration::MAX).timed_out());
    });
    assert_eq!(*guard, 4);
}

#[test]
fn deadlines_and_notifications_race_but_each_counts_once() {
    every_crew(|crew| {
        let (mutex, changed) = (Mutex::new(0), Condvar::new());
        let (notified, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
        crew.run(6, |me| {
            let random = Random::new(me as u64 + 9);
            for _ in 0..stress(150) {
                if me < 4 {
                    let timeout = Duration::from_micros(random.below(50));
                    if !changed.wait_for(&mut mutex.lock(), timeout).timed_out() {
                        notified.fetch_add(1, SeqCst);
                    }
                } else {
                    match random.below(4) {
                        0 => sent.fetch_add(changed.notify_all(), SeqCst),
                        _ => sent.fetch_add(usize::from(changed.notify_one()), SeqCst),
                    };
                    task::yield_now();
                }
            }
        });
        assert_eq!(notified.into_inner(), sent.into_inner());
    });
}

#[test]
fn a_cancelled_waiter_holds_the_mutex_while_it_unwinds() {
    struct Sees(Arc<Mutex<bool>>);
    impl Drop for Sees {
        fn drop(&mut self) {
            assert!(self.0.is_locked());
        }
    }
    in_tasks(|_| {
        for held in [false, true] {
            let (shared, changed) = (Arc::new(Mutex::new(false)), Arc::new(Condvar::new()));
            let waiter = {
                let (shared, changed) = (Arc::clone(&shared), Arc::clone(&changed));
                throng::spawn(move || {
                    let mut guard = shared.lock();
                    let _sees = Sees(Arc::clone(&shared));
                    *guard = true;
                    changed.wait(&mut guard);
                })
            };
            until(|| *shared.lock());
            let guard = held.then(|| shared.lock());
            waiter.cancel();
            for _ in 0..20 {
                task::yield_now();
            }
            assert!(!(waiter.is_finished() && held), "it has to lock first");
            drop(guard);
            assert!(waiter.join().unwrap_err().is::<Cancelled>());
            assert!(!shared.is_locked());
            assert!(!changed.notify_one(), "it is gone from the queue");
        }
    });
}

#[test]
fn cancellations_and_notifications_race_but_none_is_lost() {
    in_tasks(|random| {
        for _ in 0..stress(100) {
            let shared = Arc::new((Mutex::new(0), Condvar::new()));
            let waiters: [_; 5] = std::array::from_fn(|_| {
                let shared = Arc::clone(&shared);
                throng::spawn(move || {
                    let mut guard = shared.0.lock();
                    *guard += 1;
                    shared.1.wait(&mut guard);
                })
            });
            until(|| *shared.0.lock() == 5);
            let victim = random.below(5) as usize;
            let mut notified = 0;
            if random.below(2) == 0 {
                notified += usize::from(shared.1.notify_one());
            }
            waiters[victim].cancel();
            notified += usize::from(shared.1.notify_one());
            notified += shared.1.notify_all();
            let woken = waiters.into_iter().filter_map(|waiter| waiter.join().ok()).count();
            assert_eq!(woken, notified);
            assert!(woken >= 4);
        }
    });
}

#[test]
fn several_mutexes_at_a_time() {
    everywhere(|| {
        let (one, other, changed) = (Mutex::new(false), Mutex::new(false), Condvar::new());
        throng::scope(|s| {
            for mutex in [&one, &other] {
                let changed = &changed;
                s.spawn(move || {
                    let mut waits = mutex.lock();
                    *waits = true;
                    changed.wait(&mut waits);
                });
            }
            until(|| *one.lock() && *other.lock());
            assert_eq!(changed.notify_all(), 2);
        });
    });
}

#[test]
fn sizes() {
    assert!(size_of::<Condvar>() <= 32);
}
