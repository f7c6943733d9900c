//! `Once`, `OnceLock` and `LazyLock`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{Dropped, in_tasks, message, runtime, stress, until};
use crew::every_crew;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use throng::cancel::Cancelled;
use throng::sync::{LazyLock, Once, OnceLock};
use throng::task;

fn panics(f: impl FnOnce()) -> String {
    message(&*catch_unwind(AssertUnwindSafe(f)).expect_err("a panic")).to_owned()
}

#[test]
fn one_initialises_and_all_see_it() {
    every_crew(|crew| {
        for _ in 0..stress(30) {
            let (once, calls) = (Once::new(), AtomicUsize::new(0));
            crew.run(6, |_| {
                once.call_once(|| {
                    // It may wait.
                    task::yield_now();
                    calls.fetch_add(1, SeqCst);
                });
                assert_eq!(calls.load(SeqCst), 1);
                assert!(once.is_completed());
                once.wait();
            });
        }
    });
}

#[test]
fn a_panic_poisons_until_it_is_forced() {
    let once = Once::new();
    assert_eq!(panics(|| once.call_once(|| panic!("on purpose"))), "on purpose");
    assert!(!once.is_completed());
    assert!(panics(|| once.call_once(|| unreachable!("it is poisoned"))).contains("panicked"));
    assert!(panics(|| once.wait()).contains("panicked"));
    assert_eq!(panics(|| once.call_once_force(|state| panic!("again: {}", state.is_poisoned()))), "again: true");
    once.call_once_force(|state| assert!(state.is_poisoned()));
    assert!(once.is_completed());
    once.call_once(|| unreachable!("it is done"));
    Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
}

#[test]
fn those_who_wait_learn_of_the_panic() {
    every_crew(|crew| {
        let (once, came) = (Once::new(), AtomicUsize::new(0));
        crew.run(4, |me| {
            if me == 0 {
                let panic = panics(|| {
                    once.call_once(|| {
                        came.store(1, SeqCst);
                        until(|| came.load(SeqCst) == 4);
                        panic!("on purpose");
                    })
                });
                assert_eq!(panic, "on purpose");
            } else {
                until(|| came.load(SeqCst) > 0);
                came.fetch_add(1, SeqCst);
                let panic = panics(|| match me {
                    1 => once.wait(),
                    _ => once.call_once(|| unreachable!("it runs, or it is poisoned")),
                });
                assert!(panic.contains("panicked"));
            }
        });
        crew.run(3, |me| match me {
            0 => once.call_once_force(|_| ()),
            _ => once.wait_force(),
        });
        assert!(once.is_completed());
    });
}

#[test]
fn an_initialiser_that_asks_for_itself_is_told() {
    let once = Once::new();
    assert!(panics(|| once.call_once(|| once.call_once(|| ()))).contains("asked for what it"));
    assert!(panics(|| once.call_once_force(|_| once.wait_force())).contains("asked for what it"));
    once.call_once_force(|_| ());

    let cell = OnceLock::new();
    assert!(panics(|| _ = cell.get_or_init(|| *cell.get_or_init(|| 1))).contains("asked for what it"));
    assert_eq!(*cell.get_or_init(|| 2), 2);

    static KNOT: LazyLock<u8> = LazyLock::new(|| *KNOT);
    assert!(panics(|| _ = *KNOT).contains("asked for what it"));

    // Another task is another matter: it waits.
    runtime(1).run(|| {
        let (outer, inner, third) = (Once::new(), Once::new(), Once::new());
        outer.call_once(|| inner.call_once(|| ()));
        throng::scope(|s| {
            s.spawn(|| third.call_once(task::yield_now));
            s.spawn(|| third.call_once(task::yield_now));
        });
    });
}

#[test]
fn a_cancelled_initialiser_poisons_and_a_cancelled_waiter_does_not() {
    in_tasks(|_| {
        let (once, began) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
        let initialiser = {
            let (once, began) = (Arc::clone(&once), Arc::clone(&began));
            throng::spawn(move || {
                once.call_once(|| {
                    began.fetch_add(1, SeqCst);
                    task::park();
                })
            })
        };
        until(|| began.load(SeqCst) == 1);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (once, began) = (Arc::clone(&once), Arc::clone(&began));
                throng::spawn(move || {
                    began.fetch_add(1, SeqCst);
                    once.call_once_force(|state| assert!(state.is_poisoned()));
                })
            })
            .collect();
        until(|| began.load(SeqCst) == 3);
        let mut waiters = waiters.into_iter();
        let first = waiters.next().expect("two");
        first.cancel();
        assert!(first.join().unwrap_err().is::<Cancelled>());
        initialiser.cancel();
        assert!(initialiser.join().unwrap_err().is::<Cancelled>());
        waiters.next().expect("two").join().expect("it forces its way");
        assert!(once.is_completed());
    });
}

#[test]
fn a_cell_is_written_once() {
    every_crew(|crew| {
        for _ in 0..stress(30) {
            let (cell, made) = (OnceLock::new(), AtomicUsize::new(0));
            crew.run(6, |me| match me % 3 {
                0 => {
                    let value = cell.get_or_init(|| {
                        task::yield_now();
                        made.fetch_add(1, SeqCst);
                        Box::new(7)
                    });
                    assert_eq!(**value, 7);
                }
                1 => match cell.set(Box::new(7)) {
                    Ok(()) => _ = made.fetch_add(1, SeqCst),
                    Err(mine) => assert_eq!(cell.get(), Some(&mine)),
                },
                _ => assert_eq!(**cell.wait(), 7),
            });
            assert_eq!(made.into_inner(), 1);
        }
    });
}

#[test]
fn a_cell_whose_initialiser_panicked_is_empty() {
    let cell = OnceLock::new();
    assert_eq!(panics(|| _ = cell.get_or_init(|| panic!("on purpose"))), "on purpose");
    assert_eq!(cell.get(), None);
    assert_eq!(cell.set(1), Ok(()));
    assert_eq!(cell.set(2), Err(2));
    assert_eq!(cell.wait(), &1);
}

#[test]
fn a_cell_owns_its_value() {
    let drops = Arc::new(AtomicUsize::new(0));
    let new = || Dropped(Arc::clone(&drops));
    drop(OnceLock::<Dropped>::new());
    drop(OnceLock::from(new()));
    assert_eq!(drops.load(SeqCst), 1);
    let mut cell = OnceLock::new();
    assert!(cell.set(new()).is_ok() && cell.take().is_some() && cell.take().is_none());
    assert_eq!(drops.load(SeqCst), 2);
    assert!(cell.set(new()).is_ok(), "it is empty again");
    assert!(cell.get_mut().is_some());
    drop(cell.into_inner());
    assert_eq!(drops.load(SeqCst), 3);

    let cell = OnceLock::from("a");
    assert_eq!(cell.clone(), cell);
    assert_ne!(OnceLock::default(), cell);
    assert_eq!(format!("{cell:?} {:?}", OnceLock::<u8>::new()), "OnceLock(Some(\"a\")) OnceLock(None)");
}

#[test]
fn a_lazy_value_is_made_once_or_never() {
    every_crew(|crew| {
        for _ in 0..stress(20) {
            let made = AtomicUsize::new(0);
            let lazy = LazyLock::new(|| {
                task::yield_now();
                made.fetch_add(1, SeqCst) + 5
            });
            crew.run(6, |_| assert_eq!(*lazy, 5));
            assert_eq!(made.load(SeqCst), 1);
        }
    });
    let broken = LazyLock::<u8, _>::new(|| panic!("on purpose"));
    assert_eq!(panics(|| _ = *broken), "on purpose");
    assert!(panics(|| _ = *broken).contains("panicked before"));
    assert_eq!(format!("{broken:?}"), "LazyLock(None)");
    assert_eq!(*LazyLock::<String>::default(), "");
}
