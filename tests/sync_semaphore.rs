//! `Semaphore`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{Random, elapsed_at_least, in_tasks, message, stress, until};
use crew::every_crew;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use throng::cancel::Cancelled;
use throng::sync::Semaphore;
use throng::task;
use throng::time::now;

#[test]
fn no_more_than_there_are_permits() {
    every_crew(|crew| {
        let (semaphore, inside) = (Semaphore::new(3), AtomicUsize::new(0));
        crew.run(8, |me| {
            let random = Random::new(me as u64 + 1);
            for _ in 0..stress(150) {
                let n = random.below(4) as usize;
                let permits = match random.below(3) {
                    0 => semaphore.acquire_many_timeout(n, Duration::from_micros(random.below(50))),
                    1 => semaphore.try_acquire_many(n),
                    _ => Some(semaphore.acquire_many(n)),
                };
                if let Some(permits) = permits {
                    assert_eq!(permits.permits(), n);
                    assert!(inside.fetch_add(n, SeqCst) + n <= 3);
                    if random.below(4) == 0 {
                        task::yield_now();
                    }
                    inside.fetch_sub(n, SeqCst);
                }
            }
        });
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn permits_come_and_go() {
    let semaphore = Arc::new(Semaphore::new(2));
    let one = semaphore.acquire();
    let other = semaphore.try_acquire().expect("the second");
    assert_eq!(semaphore.available_permits(), 0);
    assert!(semaphore.try_acquire().is_none() && semaphore.try_acquire_arc().is_none());
    assert_eq!(semaphore.available_permits(), 0, "a failed attempt changes nothing");
    assert!(semaphore.try_acquire_many(0).is_some());
    let start = now();
    assert!(semaphore.acquire_timeout(Duration::from_millis(5)).is_none());
    assert!(semaphore.acquire_deadline(start + Duration::from_millis(10)).is_none());
    elapsed_at_least(start, Duration::from_millis(10));
    assert!(semaphore.acquire_many_deadline(0, start).is_some(), "no time is needed for what is there");
    drop(one);
    other.forget();
    assert_eq!(semaphore.available_permits(), 1);
    semaphore.add_permits(4);
    let owned = semaphore.acquire_many_arc(3);
    assert_eq!((owned.permits(), semaphore.available_permits()), (3, 2));
    std::thread::spawn(move || drop(owned)).join().unwrap();
    semaphore.acquire_arc().forget();
    assert_eq!(format!("{semaphore:?}"), "Semaphore { permits: 4, .. }");
    let panic = catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(usize::MAX))).unwrap_err();
    assert!(message(&*panic).contains("at most"));
    assert_eq!(semaphore.available_permits(), 4);
}

#[test]
fn first_come_first_served() {
    every_crew(|crew| {
        for _ in 0..stress(10) {
            let (semaphore, order) = (Semaphore::new(0), Mutex::new(Vec::new()));
            let somebody_waits = || semaphore.try_acquire_many(0).is_none();
            crew.run(6, |me| match me {
                0 => {
                    semaphore.acquire_many(3).forget();
                    order.lock().unwrap().push(me);
                }
                1 => {
                    until(somebody_waits);
                    semaphore.add_permits(2);
                    assert!(semaphore.try_acquire().is_none(), "the first wants three");
                    for _ in 0..20 {
                        task::yield_now();
                    }
                    assert_eq!(order.lock().unwrap().len(), 0);
                    semaphore.add_permits(1);
                    until(|| !order.lock().unwrap().is_empty());
                    assert_eq!(order.lock().unwrap()[0], 0);
                    semaphore.add_permits(4);
                }
                _ => {
                    until(|| somebody_waits() || !order.lock().unwrap().is_empty());
                    semaphore.acquire().forget();
                    order.lock().unwrap().push(me);
                }
            });
            assert_eq!(semaphore.available_permits(), 0);
        }
    });
}

#[test]
fn one_who_wants_many_is_not_starved() {
    every_crew(|crew| {
        let (semaphore, done) = (Semaphore::new(4), AtomicUsize::new(0));
        crew.run(7, |me| {
            if me == 0 {
                for _ in 0..stress(20) {
                    drop(semaphore.acquire_many(4));
                }
                done.store(1, SeqCst);
            } else {
                while done.load(SeqCst) == 0 {
                    let _permit = semaphore.acquire();
                    task::yield_now();
                }
            }
        });
    });
}

#[test]
fn one_who_gives_up_makes_way() {
    for way in 0..2 {
        in_tasks(move |random| {
            for _ in 0..stress(50) {
                let semaphore = Arc::new(Semaphore::new(3));
                let greedy = throng::spawn({
                    let semaphore = Arc::clone(&semaphore);
                    move || match way {
                        0 => semaphore.acquire_many(9).forget(),
                        _ => assert!(semaphore.acquire_many_timeout(9, Duration::from_micros(50)).is_none()),
                    }
                });
                for _ in 0..random.below(3) {
                    task::yield_now();
                }
                let modest: Vec<_> = (0..20)
                    .map(|_| {
                        let semaphore = Arc::clone(&semaphore);
                        throng::spawn(move || drop(semaphore.acquire_many(2)))
                    })
                    .collect();
                if way == 0 {
                    greedy.cancel();
                }
                modest.into_iter().for_each(|task| task.join().unwrap());
                match greedy.join() {
                    Ok(()) => assert_eq!(way, 1),
                    Err(payload) => assert!(way == 0 && payload.is::<Cancelled>()),
                }
                assert_eq!(semaphore.available_permits(), 3);
            }
        });
    }
}

#[test]
fn cancellation_races_with_the_release() {
    in_tasks(|random| {
        for _ in 0..stress(100) {
            let semaphore = Arc::new(Semaphore::new(0));
            let waiters = [(); 6].map(|()| {
                let semaphore = Arc::clone(&semaphore);
                throng::spawn(move || semaphore.acquire().forget())
            });
            for _ in 0..random.below(8) {
                task::yield_now();
            }
            waiters[random.below(6) as usize].cancel();
            semaphore.add_permits(6);
            waiters[random.below(6) as usize].cancel();
            let served = waiters.into_iter().filter_map(|waiter| waiter.join().ok()).count();
            assert_eq!(semaphore.available_permits(), 6 - served);
        }
    });
}
