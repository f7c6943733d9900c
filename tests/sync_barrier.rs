//! `Barrier` and `WaitGroup`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{elapsed_at_least, everywhere, in_tasks, message, stress, until};
use crew::every_crew;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::Cancelled;
use throng::sync::{Barrier, WaitGroup};
use throng::task;
use throng::time::now;

#[test]
fn a_barrier_opens_for_all_and_closes_again() {
    every_crew(|crew| {
        const SIZE: usize = 20;
        let rounds = stress(20);
        let (barrier, came, leaders) = (Barrier::new(SIZE), AtomicUsize::new(0), AtomicUsize::new(0));
        crew.run(SIZE, |_| {
            for round in 1..=rounds {
                came.fetch_add(1, SeqCst);
                if barrier.wait().is_leader() {
                    leaders.fetch_add(1, SeqCst);
                }
                assert!(came.load(SeqCst) >= round * SIZE, "let through before all came");
                assert!(came.load(SeqCst) <= (round + 1) * SIZE);
            }
        });
        assert_eq!(leaders.into_inner(), rounds);
    });
}

#[test]
fn a_barrier_for_one_is_open() {
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        for _ in 0..3 {
            assert!(barrier.wait().is_leader());
        }
    }
}

#[test]
fn a_cancelled_one_has_not_come() {
    in_tasks(|random| {
        for _ in 0..stress(100) {
            let (barrier, passed) = (Arc::new(Barrier::new(4)), Arc::new(AtomicUsize::new(0)));
            let spawn = || {
                let (barrier, passed) = (Arc::clone(&barrier), Arc::clone(&passed));
                throng::spawn(move || {
                    barrier.wait();
                    passed.fetch_add(1, SeqCst);
                })
            };
            // The barrier can't open yet, so whoever is cancelled is so for good.
            let mut tasks = Vec::from([(); 3].map(|()| spawn()));
            for _ in 0..random.below(5) {
                task::yield_now();
            }
            let victim = tasks.swap_remove(random.below(3) as usize);
            victim.cancel();
            assert!(victim.join().unwrap_err().is::<Cancelled>());
            tasks.push(spawn());
            assert_eq!(passed.load(SeqCst), 0);
            barrier.wait();
            tasks.into_iter().for_each(|task| task.join().expect("it opened"));
            assert_eq!(passed.load(SeqCst), 3);
        }
    });
}

#[test]
fn a_group_by_handles() {
    every_crew(|crew| {
        for _ in 0..stress(20) {
            let (group, done) = (WaitGroup::new(), AtomicUsize::new(0));
            let handles = std::sync::Mutex::new(vec![group.clone(); 5]);
            let waiter = std::sync::Mutex::new(Some(group));
            crew.run(6, |me| {
                if me == 5 {
                    let group = waiter.lock().unwrap().take().expect("one waits");
                    group.wait();
                    assert_eq!(done.load(SeqCst), 5);
                } else {
                    let handle = handles.lock().unwrap().pop().expect("five are dropped");
                    task::yield_now();
                    done.fetch_add(1, SeqCst);
                    drop(handle);
                }
            });
        }
    });
}

#[test]
fn all_handles_may_wait() {
    every_crew(|crew| {
        let came = AtomicUsize::new(0);
        let handles = std::sync::Mutex::new(vec![WaitGroup::new()]);
        let first = handles.lock().unwrap()[0].clone();
        handles.lock().unwrap().resize(20, first);
        crew.run(20, |_| {
            let group = handles.lock().unwrap().pop().expect("twenty wait");
            came.fetch_add(1, SeqCst);
            group.wait();
            assert_eq!(came.load(SeqCst), 20);
        });
    });
}

#[test]
fn a_group_by_count() {
    every_crew(|crew| {
        let (group, done) = (WaitGroup::new(), AtomicUsize::new(0));
        for round in 1..=stress(10) {
            group.add(2);
            group.add(4);
            crew.run(8, |me| {
                if me < 6 {
                    task::yield_now();
                    done.fetch_add(1, SeqCst);
                    group.done();
                } else {
                    group.wait_done();
                    assert_eq!(done.load(SeqCst), round * 6);
                }
            });
        }
        group.wait_done();
        group.wait();
    });
}

#[test]
fn both_ways_at_once() {
    let done = Arc::new(AtomicUsize::new(0));
    let group = WaitGroup::new();
    for i in 0..8 {
        let (done, member) = (Arc::clone(&done), group.clone());
        member.add(1);
        throng::spawn(move || {
            done.fetch_add(1, SeqCst);
            member.done();
            if i % 2 == 0 {
                task::yield_now();
            }
            done.fetch_add(1, SeqCst);
        });
    }
    group.wait_done();
    assert!(done.load(SeqCst) >= 8);
    group.wait();
    assert_eq!(done.load(SeqCst), 16);
}

#[test]
fn a_limited_wait_says_whether_all_were_done() {
    every_crew(|crew| {
        for round in 0..stress(50) {
            let limit = Duration::from_micros(round as u64 % 8 * 20);
            let (group, done) = (WaitGroup::new(), AtomicUsize::new(0));
            group.add(2);
            let by_handle = std::sync::Mutex::new(vec![group.clone()]);
            crew.run(4, |me| match me {
                0 | 1 => {
                    task::yield_now();
                    done.fetch_add(1, SeqCst);
                    group.done();
                }
                2 if group.wait_done_timeout(limit) => assert_eq!(done.load(SeqCst), 2),
                3 => {
                    let handle = by_handle.lock().unwrap().pop().expect("one waits");
                    let handle = handle.wait_deadline(now() + limit);
                    assert!(handle.is_err(), "`group` is a handle");
                }
                _ => {}
            });
            assert!(group.wait_done_deadline(now()), "no time is needed for what is done");
            assert!(group.wait_timeout(Duration::ZERO).is_ok());
        }
    });
    let group = WaitGroup::new();
    group.add(1);
    let start = now();
    assert!(!group.wait_done_timeout(Duration::from_millis(5)));
    let group = group.wait_timeout(Duration::from_millis(5)).expect_err("a member is missing");
    elapsed_at_least(start, Duration::from_millis(10));
    let member = group.clone();
    throng::spawn(move || member.done());
    group.wait_timeout(Duration::MAX).expect("time enough");
}

/// The one who gives up and the last member may meet.
#[test]
fn a_handle_that_comes_back_is_one() {
    every_crew(|crew| {
        for round in 0..stress(50) {
            let group = WaitGroup::new();
            let handles = std::sync::Mutex::new(vec![group.clone(), group.clone(), group]);
            crew.run(3, |me| {
                let mut handle = handles.lock().unwrap().pop().expect("three");
                let mut limit = Duration::from_micros(round as u64 % 8 * 10 + 1);
                // One drops its handle; the others give theirs up for ever longer, until they do so together.
                if me == 0 {
                    return;
                }
                loop {
                    match handle.wait_timeout(limit) {
                        Ok(()) => return,
                        Err(back) => handle = back,
                    }
                    limit *= 2;
                }
            });
        }
    });
}

#[test]
fn more_done_than_added_is_a_panic() {
    let group = WaitGroup::new();
    group.add(1);
    group.done();
    let panic = catch_unwind(AssertUnwindSafe(|| group.done())).unwrap_err();
    assert!(message(&*panic).contains("more often"));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        group.add(usize::MAX);
        group.add(1);
    }));
    assert!(message(&*panic.unwrap_err()).contains("at most"));
    assert!(format!("{group:?}").starts_with("WaitGroup { handles: 1"));
}

#[test]
fn a_cancelled_member_is_done_and_a_cancelled_waiter_gone() {
    everywhere(|| {
        let group = WaitGroup::new();
        let begun = Arc::new(AtomicBool::new(false));
        let (member, waiter) = (group.clone(), group.clone());
        let member = throng::spawn({
            let begun = Arc::clone(&begun);
            move || {
                let _member = member;
                begun.store(true, SeqCst);
                task::park();
            }
        });
        let waiter = throng::spawn(move || waiter.wait());
        until(|| begun.load(SeqCst));
        waiter.cancel();
        assert!(waiter.join().unwrap_err().is::<Cancelled>());
        member.cancel();
        group.wait();
        assert!(member.join().unwrap_err().is::<Cancelled>());
    });
}
