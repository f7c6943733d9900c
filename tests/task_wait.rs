//! Waiting: yield, park and unpark, sleep.

mod common;

use common::{elapsed_at_least, everywhere, in_tasks, runtime, until};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::task;
use throng::time::now;

#[test]
fn one_that_yields_lets_the_others_run() {
    in_tasks(|_| {
        let done = Arc::new(AtomicBool::new(false));
        for _ in 0..10 {
            let done = Arc::clone(&done);
            throng::spawn(move || done.store(true, SeqCst));
        }
        // With one worker, nobody else can do it meanwhile.
        while !done.load(SeqCst) {
            task::yield_now();
        }
    });
}

/// Where the machine has no time for the one worker, another takes over what it has: so it need not be so each time.
#[test]
fn those_that_yield_take_turns() {
    let own = runtime(1);
    let in_turn = || {
        let order = own.run(|| {
            let order = std::sync::Mutex::new(Vec::new());
            throng::scope(|s| {
                for i in 0..4 {
                    let order = &order;
                    s.spawn(move || {
                        for _ in 0..100 {
                            order.lock().expect("no panic").push(i);
                            task::yield_now();
                        }
                    });
                }
            });
            order.into_inner().expect("no panic")
        });
        println!("{order:?}");
        assert_eq!(order.len(), 400);
        // Once all four have begun, each has its turn before the first has its next.
        order[40..360].chunks(4).all(|round| (0..4).all(|i| round.contains(&i)))
    };
    assert!((0..50).any(|_| in_turn()));
}

/// On one worker: whoever is woken has his turn among those who do nothing but yield.
#[test]
fn those_that_yield_do_not_starve_one_that_was_woken() {
    runtime(1).run(|| {
        let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (wake, woken) = throng::chan::bounded::<()>(0);
        throng::scope(|s| {
            s.spawn(|| {
                for _ in 0..100 {
                    begun.fetch_add(1, SeqCst);
                    woken.recv().expect("a message");
                    done.fetch_add(1, SeqCst);
                }
            });
            s.spawn(|| until(|| done.load(SeqCst) == 100));
            for turn in 1..=100 {
                until(|| begun.load(SeqCst) == turn);
                wake.send(()).expect("a receiver");
                until(|| done.load(SeqCst) == turn);
            }
        });
    });
}

#[test]
fn a_chain_of_hand_offs_does_not_starve_the_queue() {
    let own = runtime(1);
    own.run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        // Two tasks that wake each other for ever.
        let ping = throng::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let partner = std::sync::OnceLock::new();
                let me = task::current();
                partner
                    .set(throng::spawn({
                        let stop = Arc::clone(&stop);
                        move || {
                            while !stop.load(SeqCst) {
                                me.unpark();
                                task::park();
                            }
                            me.unpark();
                        }
                    }))
                    .expect("set once");
                let partner = partner.into_inner().expect("set");
                while !stop.load(SeqCst) {
                    task::park();
                    partner.task().unpark();
                }
                partner.task().unpark();
                partner.join().expect("no panic");
            }
        });
        // A timer fires all the same, and a third task gets its turns.
        task::sleep(Duration::from_millis(5));
        for _ in 0..100 {
            task::yield_now();
        }
        stop.store(true, SeqCst);
        ping.join().expect("no panic");
    });
}

/// What comes from outside, and what has slept, waits for a few turns of those that yield, not for sixty-three, if each of these
/// takes long. (In the middle of many: the machine may have no time for the thread that sees to that.)
#[test]
fn long_turns_make_nobody_wait_for_many() {
    const ROUNDS: usize = 8;
    let runtime = runtime(1);
    let (turns, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let busy = [(); 3].map(|()| {
        let (turns, over) = (Arc::clone(&turns), Arc::clone(&over));
        runtime.spawn(move || {
            while !over.load(SeqCst) {
                turns.fetch_add(1, SeqCst);
                let begun = now();
                while begun.elapsed() < Duration::from_millis(5) {
                    std::hint::spin_loop();
                }
                task::yield_now();
            }
        })
    });
    until(|| turns.load(SeqCst) > 0);
    let waited = |wait: &dyn Fn()| {
        let before = turns.load(SeqCst);
        wait();
        turns.load(SeqCst) - before
    };
    let from_outside: usize = (0..ROUNDS).map(|_| waited(&|| runtime.spawn(|| ()).join().unwrap())).sum();
    let asleep: usize = runtime.run(|| (0..ROUNDS).map(|_| waited(&|| task::sleep(Duration::from_micros(10)))).sum());
    over.store(true, SeqCst);
    busy.into_iter().for_each(|task| task.join().unwrap());
    assert!(from_outside < 32 * ROUNDS && asleep < 32 * ROUNDS, "{from_outside} {asleep}");
}

#[test]
fn yielding_outside_a_task_returns() {
    task::yield_now();
    std::thread::spawn(task::yield_now).join().expect("no panic");
}

#[test]
fn an_unpark_before_the_park_is_kept() {
    in_tasks(|_| {
        task::current().unpark();
        task::park();
    });
}

#[test]
fn the_token_is_one() {
    in_tasks(|_| {
        for _ in 0..3 {
            task::current().unpark();
        }
        task::park();
        let start = now();
        task::park_timeout(Duration::from_millis(10));
        elapsed_at_least(start, Duration::from_millis(10));
    });
}

#[test]
fn a_timed_park_ends_with_the_token_or_in_time() {
    in_tasks(|_| {
        let start = now();
        task::park_timeout(Duration::from_millis(10));
        elapsed_at_least(start, Duration::from_millis(10));
        let me = task::current();
        throng::spawn(move || me.unpark());
        task::park_timeout(Duration::from_secs(3600));
        // A wait that was ended by time leaves no token and no entry behind.
        let start = now();
        task::park_timeout(Duration::from_millis(2));
        elapsed_at_least(start, Duration::from_millis(2));
        task::park_timeout(Duration::ZERO);
        task::current().unpark();
        task::park_timeout(Duration::ZERO);
        let start = now();
        task::park_timeout(Duration::from_millis(2));
        elapsed_at_least(start, Duration::from_millis(2));
    });
}

#[test]
fn a_park_without_a_token_waits() {
    everywhere(|| {
        let woken = Arc::new(AtomicBool::new(false));
        let handle = throng::spawn({
            let woken = Arc::clone(&woken);
            move || {
                task::park();
                assert!(woken.load(SeqCst), "woken for no reason");
            }
        });
        task::sleep(Duration::from_millis(10));
        woken.store(true, SeqCst);
        handle.task().unpark();
        handle.join().expect("no panic");
    });
}

#[test]
fn unparking_one_that_has_ended_does_nothing() {
    let handle = throng::spawn(|| ());
    let task = handle.task();
    handle.join().expect("no panic");
    task.unpark();
    task.unpark();
}

#[test]
fn parking_outside_a_task_is_stds() {
    let thread = std::thread::current();
    std::thread::spawn(move || thread.unpark());
    task::park();
    let start = now();
    // `std`'s may return early; in practice it doesn't without a token.
    while start.elapsed() < Duration::from_millis(2) {
        task::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn sleep_lasts_at_least_as_long() {
    let sleeps = || {
        for wait in [0, 1, 1_000, 50_000, 1_000_000, 20_000_000].map(Duration::from_nanos) {
            let start = now();
            task::sleep(wait);
            elapsed_at_least(start, wait);
            let until = now() + wait;
            task::sleep_until(until);
            assert!(now() >= until);
        }
    };
    // A plain thread sleeps too.
    everywhere(sleeps);
    task::sleep_until(now() - Duration::from_nanos(1));
}

/// Deadlines are rounded by a millisecond at most, and these lie four apart. Where the machine has no time for the one
/// worker, another comes to its help, and two that are late may overtake each other: so it need not be so each time.
#[test]
fn those_that_sleep_wake_in_their_order() {
    let own = runtime(1);
    let is_in_order = || {
        let order = std::sync::Mutex::new(Vec::new());
        own.run(|| {
            let start = now() + Duration::from_millis(5);
            throng::scope(|s| {
                for i in (0..10).rev() {
                    let order = &order;
                    s.spawn(move || {
                        task::sleep_until(start + i * Duration::from_millis(4));
                        order.lock().expect("no panic").push(i);
                    });
                }
            });
        });
        let order = order.into_inner().expect("no panic");
        println!("{order:?}");
        order.is_sorted()
    };
    assert!((0..50).any(|_| is_in_order()));
}

#[test]
fn a_sleep_for_ever_is_no_overflow() {
    let own = runtime(1);
    let handle = own.spawn(|| task::sleep(Duration::MAX));
    let again = own.spawn(|| task::park_timeout(Duration::MAX));
    own.run(|| task::sleep(Duration::from_millis(2)));
    assert!(!handle.is_finished());
    again.task().unpark();
    again.join().expect("no panic");
    drop(own);
    let _ = handle.join().expect_err("cancelled");
}

#[test]
fn a_long_timer_set_first_does_not_delay_a_short_one() {
    let own = runtime(1);
    let long = own.spawn(|| task::sleep(Duration::from_secs(3600)));
    own.run(|| task::sleep(Duration::from_millis(1)));
    long.cancel();
    let _ = long.join().expect_err("cancelled");
}

#[test]
fn a_busy_workers_timers_are_fired_by_another() {
    let own = runtime(2);
    let stop = AtomicBool::new(false);
    let ticks = AtomicUsize::new(0);
    own.run(|| {
        throng::scope(|s| {
            s.spawn(|| {
                for _ in 0..20 {
                    task::sleep(Duration::from_micros(300));
                    ticks.fetch_add(1, SeqCst);
                }
                stop.store(true, SeqCst);
            });
            s.spawn(|| {
                while !stop.load(SeqCst) {
                    std::hint::spin_loop();
                }
            });
        });
    });
    assert_eq!(ticks.into_inner(), 20);
}

#[test]
fn a_panic_in_flight_follows_its_task() {
    // `std` counts panics by kernel thread. A task that catches a panic and waits in between must not carry the count away,
    // and one that waits while it unwinds must not let others see it.
    struct WaitsInDrop;
    impl Drop for WaitsInDrop {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            for _ in 0..5 {
                task::yield_now();
                task::sleep(Duration::from_micros(100));
            }
            assert!(std::thread::panicking());
        }
    }
    let own = runtime(2);
    own.run(|| {
        throng::scope(|s| {
            for i in 0..100 {
                s.spawn(move || {
                    if i % 4 == 0 {
                        let result = catch_unwind(|| {
                            let _waits = WaitsInDrop;
                            panic!("{i}");
                        });
                        assert!(result.is_err());
                    }
                    for _ in 0..20 {
                        assert!(!std::thread::panicking());
                        task::yield_now();
                    }
                });
            }
        });
    });
}

#[test]
fn a_caught_panic_can_be_kept_across_waits() {
    in_tasks(|_| {
        let payload = catch_unwind(|| panic!("kept")).expect_err("a panic");
        for _ in 0..10 {
            task::sleep(Duration::from_micros(50));
            assert!(!std::thread::panicking());
        }
        let again = catch_unwind(AssertUnwindSafe(move || std::panic::resume_unwind(payload))).expect_err("a panic");
        assert_eq!(common::message(&*again), "kept");
    });
}

#[test]
fn threads_unpark_tasks() {
    let handle = throng::spawn(|| {
        for _ in 0..100 {
            task::park();
        }
    });
    let task = handle.task();
    std::thread::scope(|s| {
        s.spawn(|| {
            until(|| {
                task.unpark();
                handle.is_finished()
            });
        });
    });
    handle.join().expect("no panic");
}
