//! Storms, over 1, 2, 4 and 8 workers. `THRONG_STRESS=n` makes them n times as long, `THRONG_SEED=n` repeats one.

mod common;

use common::{Random, is_child, message, passes_in_a_child, runtime, scaled, stress, until, with_workers};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use throng::cancel::Cancelled;
use throng::task::{self, Task};

#[test]
fn trees_of_tasks() {
    fn tree(depth: u32, random: &Random) -> usize {
        if depth == 0 {
            return 1;
        }
        let children: Vec<_> = (0..2 + random.below(3))
            .map(|_| {
                let random = Random::new(random.next());
                throng::spawn(move || tree(depth - 1, &random))
            })
            .collect();
        if random.below(2) == 0 {
            task::yield_now();
        }
        1 + children.into_iter().map(|child| child.join().expect("no panic")).sum::<usize>()
    }
    with_workers(|own, random| {
        for _ in 0..stress(3) {
            let seed = random.next();
            let count = own.run(move || tree(5, &Random::new(seed)));
            assert!(count >= 63);
        }
    });
}

#[test]
fn fork_and_join() {
    fn fib(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        throng::scope(|s| {
            let left = s.spawn(|| fib(n - 1));
            fib(n - 2) + left.join().expect("no panic")
        })
    }
    with_workers(|own, _| {
        for _ in 0..stress(2) {
            assert_eq!(own.run(|| fib(14)), 377);
        }
    });
}

/// Every unpark is answered: a pair that hands a token back and forth, many pairs at once.
#[test]
fn no_unpark_is_lost() {
    with_workers(|own, random| {
        let rounds = scaled(300, 5_000);
        let pairs = 1 + random.below(12);
        own.run(|| {
            throng::scope(|s| {
                for _ in 0..pairs {
                    s.spawn(|| {
                        let turn = AtomicUsize::new(0);
                        let me = task::current();
                        throng::scope(|s| {
                            let other = s.spawn(|| {
                                for round in 0..rounds {
                                    while turn.load(SeqCst) != 2 * round + 1 {
                                        task::park();
                                    }
                                    turn.store(2 * round + 2, SeqCst);
                                    me.unpark();
                                }
                            });
                            let other = other.task();
                            for round in 0..rounds {
                                turn.store(2 * round + 1, SeqCst);
                                other.unpark();
                                while turn.load(SeqCst) != 2 * round + 2 {
                                    task::park();
                                }
                            }
                        });
                    });
                }
            });
        });
    });
}

/// Threads from outside unpark, each unpark counted: none is lost, whatever state it meets the task in.
#[test]
fn no_unpark_from_outside_is_lost() {
    with_workers(|own, _| {
        let rounds = scaled(300, 10_000);
        let wanted = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..3)
            .map(|_| {
                let (wanted, seen) = (Arc::clone(&wanted), Arc::clone(&seen));
                own.spawn(move || {
                    for round in 1..=rounds {
                        while wanted.load(SeqCst) < round {
                            task::park();
                        }
                        seen.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let tasks: Vec<Task> = handles.iter().map(|handle| handle.task()).collect();
        std::thread::scope(|s| {
            s.spawn(|| {
                for round in 1..=rounds {
                    wanted.store(round, SeqCst);
                    tasks.iter().for_each(Task::unpark);
                    if round % 64 == 0 {
                        while seen.load(SeqCst) < 3 * round {
                            std::thread::yield_now();
                        }
                    }
                }
            });
        });
        for handle in handles {
            handle.join().expect("no panic");
        }
        assert_eq!(seen.load(SeqCst), 3 * rounds);
    });
}

#[test]
fn a_timed_park_against_its_unpark() {
    with_workers(|own, random| {
        let rounds = scaled(200, 5_000);
        let seed = random.next();
        own.run(move || {
            let random = Random::new(seed);
            for _ in 0..rounds {
                let child = throng::spawn({
                    let wait = random.below(60_000);
                    move || task::park_timeout(Duration::from_nanos(wait))
                });
                if random.below(3) == 0 {
                    task::sleep(Duration::from_nanos(random.below(60_000)));
                }
                child.task().unpark();
                child.join().expect("no panic");
            }
        });
    });
}

#[test]
fn storms_of_yields() {
    with_workers(|own, random| {
        let (tasks, rounds) = (1 + random.below(40), scaled(100, 5_000));
        let count = AtomicUsize::new(0);
        own.run(|| {
            throng::scope(|s| {
                for _ in 0..tasks {
                    s.spawn(|| {
                        for _ in 0..rounds {
                            task::yield_now();
                            count.fetch_add(1, SeqCst);
                        }
                    });
                }
            });
        });
        assert_eq!(count.into_inner(), tasks as usize * rounds);
    });
}

#[test]
fn zero_timers_and_short_ones_all_fire() {
    with_workers(|own, random| {
        let (tasks, rounds) = (100, scaled(20, 2_500));
        let fired = AtomicUsize::new(0);
        own.run(|| {
            throng::scope(|s| {
                for _ in 0..tasks {
                    let (fired, random) = (&fired, Random::new(random.next()));
                    s.spawn(move || {
                        for _ in 0..rounds {
                            // Most of them have come before they are armed.
                            task::park_timeout(Duration::from_nanos(random.below(4) * 300));
                            fired.fetch_add(1, SeqCst);
                        }
                    });
                }
            });
        });
        assert_eq!(fired.into_inner(), tasks * rounds);
    });
}

#[test]
fn a_mass_of_sleepers() {
    with_workers(|own, random| {
        let count = scaled(1_000, 20_000);
        let late = AtomicUsize::new(0);
        own.run(|| {
            throng::scope(|s| {
                for _ in 0..count {
                    let (late, wait) = (&late, Duration::from_micros(random.below(30_000)));
                    s.spawn(move || {
                        let start = Instant::now();
                        task::sleep(wait);
                        assert!(start.elapsed() >= wait);
                        late.fetch_add(1, SeqCst);
                    });
                }
            });
        });
        assert_eq!(late.into_inner(), count);
    });
}

/// Cancelling races with waking, with timers, with the end and with joining: each task ends once, one way or the other.
#[test]
fn storms_of_cancelling() {
    with_workers(|own, random| {
        let seed = random.next();
        for _ in 0..stress(3) {
            let ended = Arc::new(AtomicUsize::new(0));
            let count = 200;
            let (finished, cancelled) = own.run(|| {
                let random = Random::new(seed);
                let handles: Vec<_> = (0..count)
                    .map(|_| {
                        let (kind, wait) = (random.below(5), random.below(50_000));
                        let guard = common::Dropped(Arc::clone(&ended));
                        throng::spawn(move || {
                            let _guard = guard;
                            match kind {
                                0 => task::park(),
                                1 => task::sleep(Duration::from_nanos(wait)),
                                2 => task::park_timeout(Duration::from_nanos(wait)),
                                3 => throng::scope(|s| {
                                    let child = s.spawn(move || task::sleep(Duration::from_nanos(wait)));
                                    let _ = child.join();
                                }),
                                _ => (0..wait % 20).for_each(|_| task::yield_now()),
                            }
                        })
                    })
                    .collect();
                for handle in &handles {
                    match random.below(4) {
                        0 => handle.cancel(),
                        1 => handle.task().unpark(),
                        2 => {
                            let task = handle.task();
                            throng::spawn(move || task.unpark());
                            handle.cancel();
                        }
                        _ => task::yield_now(),
                    }
                }
                let mut outcomes = (0, 0);
                for handle in handles {
                    // Some wait for a token that nobody else will give.
                    handle.task().unpark();
                    match handle.join() {
                        Ok(()) => outcomes.0 += 1,
                        Err(payload) => {
                            assert!(payload.is::<Cancelled>(), "{}", message(&*payload));
                            outcomes.1 += 1;
                        }
                    }
                }
                outcomes
            });
            assert_eq!(finished + cancelled, count);
            assert_eq!(ended.load(SeqCst), count);
        }
    });
}

#[test]
fn threads_inject_and_join() {
    with_workers(|own, _| {
        let rounds = scaled(200, 10_000);
        std::thread::scope(|s| {
            for thread in 0..3 {
                s.spawn(move || {
                    for round in 0..rounds {
                        // The workers fall asleep between these, and are woken for each.
                        assert_eq!(own.spawn(move || thread + round).join().expect("no panic"), thread + round);
                    }
                });
            }
        });
    });
}

#[test]
fn runtimes_come_and_go() {
    for round in 0..scaled(100, 1_000) {
        let own = runtime(1 + round % 4);
        match round % 5 {
            0 => {}
            1 => assert_eq!(own.run(|| 1), 1),
            2 => drop(own.spawn(task::park)),
            3 => (0..10).for_each(|_| drop(own.spawn(|| task::sleep(Duration::from_secs(60))))),
            _ => (0..10).for_each(|_| {
                drop(own.spawn(|| {
                    loop {
                        drop(throng::spawn(task::yield_now));
                        task::yield_now();
                    }
                }))
            }),
        }
    }
}

/// A drop meets tasks in every state while threads from outside wake and cancel them.
#[test]
fn a_drop_against_wakes_from_outside() {
    for round in 0..scaled(50, 1_000) {
        let own = runtime(1 + round % 3);
        let handles: Vec<_> = (0..16)
            .map(|i| {
                own.spawn(move || {
                    for _ in 0..i {
                        task::park();
                        task::yield_now();
                    }
                })
            })
            .collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !stop.load(SeqCst) {
                    handles.iter().for_each(|handle| handle.task().unpark());
                }
            });
            s.spawn(|| handles.iter().rev().step_by(3).for_each(|handle| handle.cancel()));
            drop(own);
            stop.store(true, SeqCst);
        });
        for handle in handles {
            if let Err(payload) = handle.join() {
                assert!(payload.is::<Cancelled>());
            }
        }
    }
}

/// Panics that are caught, on tasks that move between kernel threads: nobody sees another's.
#[test]
fn panics_move_with_their_tasks() {
    // The hook would print each of them.
    if !is_child() {
        return passes_in_a_child("panics_move_with_their_tasks");
    }
    std::panic::set_hook(Box::new(|_| ()));
    let failed = AtomicUsize::new(0);
    with_workers(|own, _| {
        let rounds = scaled(20, 200);
        own.run(|| {
            throng::scope(|s| {
                for i in 0..50 {
                    let failed = &failed;
                    s.spawn(move || {
                        for round in 0..rounds {
                            if std::thread::panicking() {
                                failed.fetch_add(1, SeqCst);
                            }
                            let result = catch_unwind(AssertUnwindSafe(|| {
                                task::yield_now();
                                if (i + round) % 3 == 0 {
                                    panic!("{i}");
                                }
                                task::yield_now();
                            }));
                            if result.is_err() != ((i + round) % 3 == 0) || std::thread::panicking() {
                                failed.fetch_add(1, SeqCst);
                            }
                            task::yield_now();
                        }
                    });
                }
            });
        });
    });
    assert_eq!(failed.into_inner(), 0);
}

/// Work that only stealing can spread: one task makes it all, and then blocks its kernel thread until it is done.
#[test]
fn what_a_blocked_worker_has_queued_is_stolen() {
    for workers in [2, 4, 8] {
        let own = runtime(workers);
        for _ in 0..scaled(20, 500) {
            let done = Arc::new(AtomicUsize::new(0));
            let count = 100;
            own.run({
                let done = Arc::clone(&done);
                move || {
                    for _ in 0..count {
                        let done = Arc::clone(&done);
                        drop(throng::spawn(move || {
                            task::yield_now();
                            done.fetch_add(1, SeqCst);
                        }));
                    }
                    // Not a wait of ours: it never gives the worker back.
                    while done.load(SeqCst) < count {
                        std::thread::yield_now();
                    }
                }
            });
        }
    }
}

#[test]
fn an_idle_runtime_wakes_for_whatever_comes() {
    with_workers(|own, random| {
        for _ in 0..stress(20) {
            std::thread::sleep(Duration::from_micros(random.below(3_000)));
            let handle = own.spawn(|| {
                let children: Vec<_> = (0..4).map(|i| throng::spawn(move || i)).collect();
                children.into_iter().map(|child| child.join().expect("no panic")).sum::<usize>()
            });
            until(|| handle.is_finished());
            assert_eq!(handle.join().expect("no panic"), 6);
        }
    });
}
