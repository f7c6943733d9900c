//! `scope`, as `std::thread::scope`.

mod common;

use common::{everywhere, message, ms, until};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::task::{self, Builder};

#[test]
fn children_borrow_and_change_what_is_around() {
    everywhere(|| {
        let mut numbers = [1, 2, 3, 4];
        let sum = AtomicUsize::new(0);
        throng::scope(|s| {
            for number in &mut numbers {
                let sum = &sum;
                s.spawn(move || {
                    task::yield_now();
                    *number *= 10;
                    sum.fetch_add(*number, SeqCst);
                });
            }
        });
        assert_eq!((numbers, sum.into_inner()), ([10, 20, 30, 40], 100));
    });
}

#[test]
fn results_come_out_and_may_borrow() {
    everywhere(|| {
        let text = String::from("some words here");
        let words = throng::scope(|s| {
            let handles: Vec<_> = text.split(' ').map(|word| s.spawn(move || word)).collect();
            handles.into_iter().map(|handle| handle.join().expect("no panic")).collect::<Vec<&str>>()
        });
        assert_eq!(words, ["some", "words", "here"]);
    });
}

#[test]
fn scope_waits_for_those_that_were_not_joined() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        throng::scope(|s| {
            for i in 0..20 {
                let done = &done;
                s.spawn(move || {
                    task::sleep(Duration::from_micros(i * 50));
                    done.fetch_add(1, SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 20);
    });
}

#[test]
fn children_spawn_in_the_same_scope() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        throng::scope(|s| {
            s.spawn(|| {
                s.spawn(|| {
                    task::yield_now();
                    s.spawn(|| done.fetch_add(1, SeqCst));
                    done.fetch_add(1, SeqCst)
                });
                done.fetch_add(1, SeqCst)
            });
        });
        assert_eq!(done.into_inner(), 3);
    });
}

#[test]
fn scopes_nest() {
    everywhere(|| {
        let total = throng::scope(|outer| {
            let handles = [1, 2, 3].map(|i| {
                outer.spawn(move || {
                    throng::scope(|inner| {
                        let a = inner.spawn(move || i);
                        let b = inner.spawn(move || i * 10);
                        a.join().expect("no panic") + b.join().expect("no panic")
                    })
                })
            });
            handles.map(|handle| handle.join().expect("no panic")).iter().sum::<i32>()
        });
        assert_eq!(total, 66);
    });
}

#[test]
fn a_joined_panic_is_the_joiners_alone() {
    everywhere(|| {
        let kept = throng::scope(|s| {
            let payload = s.spawn(|| panic!("joined")).join().expect_err("a panic");
            message(&*payload).to_owned()
        });
        assert_eq!(kept, "joined");
    });
}

#[test]
fn an_unjoined_panic_is_the_scopes_after_all_have_ended() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        let payload = catch_unwind(AssertUnwindSafe(|| {
            throng::scope(|s| {
                s.spawn(|| panic!("unjoined"));
                s.spawn(|| {
                    task::sleep(ms(2));
                    done.fetch_add(1, SeqCst);
                });
            });
        }));
        assert_eq!(message(&*payload.expect_err("a panic")), "a scoped task panicked");
        assert_eq!(done.into_inner(), 1);
    });
}

#[test]
fn a_panic_whose_handle_is_dropped_late_is_the_scopes_too() {
    everywhere(|| {
        let payload = catch_unwind(AssertUnwindSafe(|| {
            throng::scope(|s| {
                let handle = s.spawn(|| panic!("unjoined"));
                until(|| handle.is_finished());
                drop(handle);
            });
        }));
        assert_eq!(message(&*payload.expect_err("a panic")), "a scoped task panicked");
    });
}

#[test]
fn the_bodys_panic_comes_out_after_all_have_ended() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        let payload = catch_unwind(AssertUnwindSafe(|| {
            throng::scope(|s| {
                for _ in 0..5 {
                    s.spawn(|| {
                        task::sleep(ms(2));
                        done.fetch_add(1, SeqCst);
                    });
                }
                s.spawn(|| panic!("of a child"));
                panic!("of the body");
            });
        }));
        assert_eq!(message(&*payload.expect_err("a panic")), "of the body");
        assert_eq!(done.into_inner(), 5);
    });
}

#[test]
fn a_leaked_handle_keeps_nobody() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        throng::scope(|s| {
            std::mem::forget(s.spawn(|| {
                task::yield_now();
                done.fetch_add(1, SeqCst)
            }));
        });
        assert_eq!(done.into_inner(), 1);
    });
}

#[test]
fn a_child_outlives_its_handle_but_not_the_scope() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        throng::scope(|s| {
            let handle = s.spawn(|| {
                task::sleep(ms(2));
                done.fetch_add(1, SeqCst)
            });
            drop(handle);
            assert!(done.load(SeqCst) <= 1);
        });
        assert_eq!(done.into_inner(), 1);
    });
}

#[test]
fn results_that_nobody_takes_are_dropped_before_the_scope_ends() {
    struct Borrows<'a>(&'a AtomicUsize);
    impl Drop for Borrows<'_> {
        fn drop(&mut self) {
            task::yield_now();
            self.0.fetch_add(1, SeqCst);
        }
    }
    everywhere(|| {
        let dropped = AtomicUsize::new(0);
        throng::scope(|s| {
            let dropped = &dropped;
            for _ in 0..10 {
                s.spawn(move || Borrows(dropped));
            }
            let handle = s.spawn(move || Borrows(dropped));
            until(|| handle.is_finished());
        });
        assert_eq!(dropped.into_inner(), 11);
    });
}

#[test]
fn a_spawn_that_fails_leaves_the_scope_whole() {
    everywhere(|| {
        let done = AtomicUsize::new(0);
        throng::scope(|s| {
            let error = Builder::new().stack_size(1).spawn_scoped(s, || ()).expect_err("too small");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let handle = Builder::new().name("named").stack_size(64 << 10).spawn_scoped(s, || {
                done.fetch_add(1, SeqCst);
                task::current().name().map(str::to_owned)
            });
            let handle = handle.expect("spawned");
            assert_eq!(handle.task().name(), Some("named"));
            assert_eq!(handle.join().expect("no panic").as_deref(), Some("named"));
        });
        assert_eq!(done.into_inner(), 1);
    });
}

#[test]
fn so_does_one_whose_closure_panics_as_it_is_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    everywhere(|| {
        let child = Panics;
        let spawn = || throng::scope(|s| Builder::new().stack_size(1).spawn_scoped(s, move || drop(child)).is_ok());
        let payload = catch_unwind(AssertUnwindSafe(spawn)).expect_err("a panic");
        assert_eq!(message(&*payload), "dropped");
    });
}

#[test]
fn a_scope_without_children_is_a_call() {
    everywhere(|| assert_eq!(throng::scope(|_| 5), 5));
}

#[test]
fn debug_forms() {
    throng::scope(|s| {
        let handle = s.spawn(task::park);
        assert!(format!("{s:?}").contains("running: 1"));
        assert!(format!("{handle:?}").contains("TaskId"));
        handle.task().unpark();
    });
}
