//! `Mutex` and `ReentrantMutex`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{Random, in_tasks, message, runtime, stress, until, with_workers};
use crew::every_crew;
use std::cell::{Cell, RefCell};
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::Cancelled;
use throng::sync::{
    ArcMutexGuard, MappedMutexGuard, Mutex, MutexGuard, RawMutex, ReentrantMutex, ReentrantMutexGuard, lock_api,
};
use throng::time::now;
use throng::{JoinHandle, task};

#[test]
fn one_at_a_time() {
    every_crew(|crew| {
        let rounds = stress(300);
        let (mutex, inside) = (Mutex::new(0), AtomicUsize::new(0));
        crew.run(8, |me| {
            let random = Random::new(me as u64 + 7);
            for _ in 0..rounds {
                let mut count = mutex.lock();
                assert_eq!(inside.fetch_add(1, SeqCst), 0);
                *count += 1;
                if random.below(16) == 0 {
                    task::yield_now();
                }
                inside.fetch_sub(1, SeqCst);
                match random.below(8) {
                    0 => MutexGuard::unlock_fair(count),
                    1 => MutexGuard::bump(&mut count),
                    _ => {}
                }
            }
        });
        assert_eq!(mutex.into_inner(), 8 * rounds);
    });
}

#[test]
fn waits_with_deadlines_lose_nothing() {
    every_crew(|crew| {
        let rounds = stress(100);
        let (mutex, locked) = (Mutex::new(0), AtomicUsize::new(0));
        crew.run(6, |me| {
            let random = Random::new(me as u64 + 3);
            for _ in 0..rounds {
                let guard = match random.below(3) {
                    0 => mutex.try_lock_for(Duration::from_micros(random.below(60))),
                    1 => mutex.try_lock_until(now() + Duration::from_micros(random.below(60))),
                    _ => Some(mutex.lock()),
                };
                if let Some(mut count) = guard {
                    *count += 1;
                    locked.fetch_add(1, SeqCst);
                    if random.below(4) == 0 {
                        task::sleep(Duration::from_micros(20));
                    }
                }
            }
        });
        assert!(!mutex.is_locked());
        assert_eq!(mutex.into_inner(), locked.into_inner());
    });
}

#[test]
fn one_who_waits_is_not_passed_over_for_ever() {
    every_crew(|crew| {
        let (mutex, done) = (Mutex::new(()), AtomicBool::new(false));
        crew.run(4, |me| {
            if me == 0 {
                for _ in 0..stress(20) {
                    drop(mutex.lock());
                }
                done.store(true, SeqCst);
            } else {
                // Holds it whenever another could look.
                while !done.load(SeqCst) {
                    let _guard = mutex.lock();
                    task::yield_now();
                }
            }
        });
    });
}

#[test]
fn a_fair_unlock_lets_others_in() {
    every_crew(|crew| {
        let (mutex, turns) = (Mutex::new(0), AtomicUsize::new(0));
        crew.run(2, |me| {
            let mut last = mutex.lock();
            while turns.fetch_add(1, SeqCst) < stress(100) {
                *last = me;
                MutexGuard::bump(&mut last);
                task::yield_now();
            }
        });
    });
}

#[test]
fn try_lock_and_deadlines_see_that_it_is_held() {
    let mutex = Mutex::new(1);
    assert_eq!(mutex.try_lock().as_deref(), Some(&1));
    let guard = mutex.lock();
    assert!(mutex.is_locked());
    assert!(mutex.try_lock().is_none());
    assert!(mutex.try_lock_for(Duration::ZERO).is_none());
    let start = now();
    assert!(mutex.try_lock_for(Duration::from_millis(5)).is_none());
    common::elapsed_at_least(start, Duration::from_millis(5));
    assert!(mutex.try_lock_until(start).is_none(), "a deadline in the past");
    drop(guard);
    assert!(mutex.try_lock_until(start).is_some(), "it is free");
    assert!(mutex.try_lock_for(Duration::MAX).is_some());
}

#[test]
fn a_panic_frees_it() {
    let mutex = Mutex::new(0);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = mutex.lock();
        *guard = 5;
        panic!("on purpose");
    }));
    assert_eq!(message(&*panic.unwrap_err()), "on purpose");
    assert_eq!(*mutex.lock(), 5);
}

#[test]
fn a_guard_may_be_dropped_elsewhere() {
    let mutex = Mutex::new(0);
    throng::scope(|s| {
        let guard = mutex.lock();
        s.spawn(move || drop(guard));
        *mutex.lock() += 1;
        let guard = mutex.lock();
        std::thread::scope(|threads| {
            threads.spawn(move || drop(guard));
        });
        *mutex.lock() += 1;
    });
    assert_eq!(mutex.into_inner(), 2);
}

#[test]
fn parts_and_arcs() {
    static NUMBERS: Mutex<[u8; 2]> = Mutex::new([1, 2]);
    {
        let mut second: MappedMutexGuard<'_, u8> = MutexGuard::map(NUMBERS.lock(), |both| &mut both[1]);
        *second = 9;
        assert!(NUMBERS.is_locked());
    }
    assert_eq!(*NUMBERS.lock(), [1, 9]);

    let shared = Arc::new(Mutex::new(String::new()));
    let mut guard: ArcMutexGuard<String> = shared.lock_arc();
    drop(shared);
    guard.push('x');
    let shared = Arc::clone(ArcMutexGuard::mutex(&guard));
    drop(guard);
    assert_eq!(*shared.lock(), "x");
    assert_eq!(format!("{shared:?}"), "Mutex { data: \"x\" }");
    assert_eq!(Mutex::<u8>::default().into_inner(), 0);
}

/// Tasks that add one each; some of them, or all, have come to the lock.
fn four_that_count(mutex: &Arc<Mutex<usize>>, random: &Random) -> [JoinHandle<()>; 4] {
    let waiters = std::array::from_fn(|_| {
        let mutex = Arc::clone(mutex);
        throng::spawn(move || *mutex.lock() += 1)
    });
    for _ in 0..random.below(6) {
        task::yield_now();
    }
    waiters
}

#[test]
fn a_cancelled_waiter_leaves_the_queue_whole() {
    in_tasks(|random| {
        for _ in 0..stress(100) {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.lock();
            let waiters = four_that_count(&mutex, random);
            let victim = random.below(4) as usize;
            waiters[victim].cancel();
            drop(guard);
            let mut done = 0;
            for (i, waiter) in waiters.into_iter().enumerate() {
                match waiter.join() {
                    // The victim too, if it only came when the mutex was free and did not wait.
                    Ok(()) => done += 1,
                    Err(payload) => assert!(i == victim && payload.is::<Cancelled>()),
                }
            }
            assert!(done >= 3);
            assert_eq!(*mutex.lock(), done);
        }
    });
}

#[test]
fn cancellation_races_with_the_unlock() {
    in_tasks(|random| {
        for _ in 0..stress(100) {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.lock();
            let waiters = four_that_count(&mutex, random);
            match random.below(2) {
                0 => drop(guard),
                _ => MutexGuard::unlock_fair(guard),
            }
            waiters[random.below(4) as usize].cancel();
            waiters[random.below(4) as usize].cancel();
            let done = waiters.into_iter().filter_map(|waiter| waiter.join().ok()).count();
            assert_eq!(*mutex.lock(), done);
        }
    });
}

#[test]
fn a_guard_that_lives_on_is_locked_again_for_a_cancelled_task() {
    for fair in [false, true] {
        runtime(2).run(|| {
            let (mutex, stage) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
            let cancelled = {
                let (mutex, stage) = (Arc::clone(&mutex), Arc::clone(&stage));
                throng::spawn(move || {
                    let mut guard = mutex.lock();
                    let pause = || {
                        stage.store(1, SeqCst);
                        // Not a wait that ends by cancellation.
                        while stage.load(SeqCst) == 1 {
                            std::thread::yield_now();
                        }
                    };
                    match fair {
                        false => MutexGuard::unlocked(&mut guard, pause),
                        true => MutexGuard::unlocked_fair(&mut guard, pause),
                    }
                    *guard += 1;
                    task::park();
                    unreachable!("it is cancelled");
                })
            };
            until(|| stage.load(SeqCst) == 1);
            let guard = mutex.lock();
            cancelled.cancel();
            stage.store(2, SeqCst);
            for _ in 0..100 {
                task::yield_now();
            }
            assert_eq!(*guard, 0);
            drop(guard);
            assert!(cancelled.join().unwrap_err().is::<Cancelled>());
            assert_eq!(*mutex.lock(), 1);
        });
    }
}

#[test]
fn locks_are_taken_while_unwinding() {
    struct Locks(Arc<Mutex<usize>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            *self.0.lock() += 1;
        }
    }
    with_workers(|runtime, _| {
        let (mutex, started) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks = [(); 8].map(|()| {
            let (last, started) = (Locks(Arc::clone(&mutex)), Arc::clone(&started));
            runtime.spawn(move || {
                let _last = last;
                started.fetch_add(1, SeqCst);
                task::park();
            })
        });
        until(|| started.load(SeqCst) == 8);
        let guard = mutex.lock();
        tasks.iter().for_each(|task| task.cancel());
        std::thread::sleep(Duration::from_millis(1));
        drop(guard);
        tasks.into_iter().for_each(|task| assert!(task.join().unwrap_err().is::<Cancelled>()));
        assert_eq!(*mutex.lock(), 8);
    });
}

#[test]
fn the_holder_may_lock_a_reentrant_one_again() {
    every_crew(|crew| {
        let mutex = ReentrantMutex::new((Cell::new(0), RefCell::new(Vec::new())));
        let rounds = stress(100);
        crew.run(6, |me| {
            for _ in 0..rounds {
                let outer = mutex.lock();
                let before = outer.0.get();
                assert!(mutex.is_owned_by_current_thread());
                let inner = mutex.try_lock().expect("it is ours");
                inner.1.borrow_mut().push(me);
                // Perhaps on another kernel thread afterwards, on which it is ours all the same.
                task::yield_now();
                let innermost = mutex.lock();
                assert_eq!(innermost.0.get(), before, "nobody else was here");
                drop(outer);
                innermost.0.set(before + 1);
                drop((inner, innermost));
            }
        });
        assert_eq!(mutex.lock().0.get(), 6 * rounds);
        assert_eq!(mutex.into_inner().1.into_inner().len(), 6 * rounds);
    });
}

#[test]
fn a_reentrant_one_tells_tasks_and_threads_apart() {
    let mutex = ReentrantMutex::new(0);
    runtime(1).run(|| {
        let guard = mutex.lock();
        throng::scope(|s| {
            // On the same kernel thread.
            s.spawn(|| assert!(mutex.try_lock().is_none()));
        });
        std::thread::scope(|threads| {
            threads.spawn(|| assert!(mutex.try_lock_for(Duration::from_millis(1)).is_none()));
        });
        let part = ReentrantMutexGuard::map(guard, |number| number);
        assert_eq!(*part, 0);
        assert!(mutex.is_owned_by_current_thread());
    });
    let guard = mutex.lock();
    throng::spawn(|| ()).join().unwrap();
    assert!(mutex.is_owned_by_current_thread());
    runtime(1).run(|| assert!(mutex.try_lock().is_none()));
    drop(guard);
}

#[test]
fn sizes() {
    assert!(size_of::<RawMutex>() <= 32);
    assert_eq!(size_of::<MutexGuard<'_, u8>>(), size_of::<usize>());
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<MutexGuard<'_, u8>>();
    is_sync::<Mutex<Cell<u8>>>();
    is_sync::<lock_api::Mutex<RawMutex, u8>>();
}
