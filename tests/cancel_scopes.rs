//! Scopes and time limits: how they nest, what holds them off, and what they leave behind.

mod common;

use common::{Dropped, everywhere, few, in_tasks, leaves_the_hook_alone, ms, on_real_threads, runtime, until};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use throng::cancel::{self, Cancelled, Token, check, is_cancelled, shield};
use throng::chan::{TryRecvError, bounded, unbounded};
use throng::task::{self, sleep};
use throng::time::{Elapsed, now, timeout, timeout_at};

const HOUR: Duration = Duration::from_secs(3600);

fn cancelled() -> Token {
    let token = Token::new();
    token.cancel();
    token
}

#[test]
fn the_value_is_returned_if_nothing_happens() {
    everywhere(|| {
        assert_eq!(timeout(HOUR, || 5), Ok(5));
        assert_eq!(timeout(Duration::MAX, || 5), Ok(5));
        assert_eq!(Token::new().run(|| 5).unwrap(), 5);
        assert_eq!(timeout(HOUR, || sleep(ms(1))), Ok(()));
    });
}

#[test]
fn what_needs_no_more_waits_is_returned_however_late() {
    on_real_threads(|| {
        assert_eq!(timeout(Duration::ZERO, || 5), Ok(5));
        assert_eq!(cancelled().run(|| 5).unwrap(), 5);
        let start = now();
        let late = || {
            std::thread::sleep(ms(2));
            start.elapsed()
        };
        assert!(timeout(ms(1), late).unwrap() >= ms(2));
        // And nothing is left behind of it.
        sleep(ms(1));
        assert!(!is_cancelled());
    });
}

#[test]
fn operations_that_need_not_wait_are_no_wait() {
    everywhere(|| {
        let (sender, receiver) = bounded(1);
        cancelled()
            .run(|| {
                sender.send(1).unwrap();
                receiver.recv().unwrap();
                let mutex = throng::sync::Mutex::new(1);
                assert_eq!(*mutex.lock(), 1);
            })
            .unwrap();
    });
}

#[test]
fn destructors_run_and_the_hook_does_not() {
    leaves_the_hook_alone("destructors_run_and_the_hook_does_not", || {
        everywhere(|| {
            let count = Arc::new(AtomicUsize::new(0));
            let guard = Dropped(Arc::clone(&count));
            let ended = timeout(ms(1), || {
                let _guard = guard;
                sleep(HOUR);
            });
            assert_eq!(count.load(SeqCst), 1);
            assert!(ended.is_err());
        });
    });
}

#[test]
fn an_inner_limit_leaves_the_outer_one_alone() {
    everywhere(|| {
        let outer = timeout(HOUR, || {
            assert!(timeout(ms(1), || sleep(HOUR)).is_err());
            assert!(!is_cancelled());
            sleep(ms(1));
            assert!(cancelled().run(|| sleep(HOUR)).is_err());
            sleep(ms(1));
            5
        });
        assert_eq!(outer, Ok(5));
    });
}

#[test]
fn an_outer_limit_unwinds_through_inner_ones() {
    everywhere(|| {
        let reached = Cell::new(false);
        let outer = timeout(ms(1), || {
            let inner = timeout(HOUR, || Token::new().run(|| timeout(HOUR, || sleep(HOUR))));
            reached.set(true);
            inner.unwrap_err();
        });
        assert_eq!(outer, Err(outer.unwrap_err()));
        assert!(!reached.get());
        sleep(ms(1));
    });
}

#[test]
fn of_several_that_are_over_the_outermost_counts() {
    everywhere(|| {
        let token = cancelled();
        let outer = token.run(|| {
            let _ = timeout(Duration::ZERO, || cancelled().run(|| sleep(HOUR)));
            unreachable!("it unwinds further");
        });
        outer.unwrap_err();
        // One token twice.
        token
            .run(|| {
                let _ = token.run(|| sleep(HOUR));
                unreachable!("it unwinds further");
            })
            .unwrap_err();
    });
}

#[test]
fn a_cancelled_task_beats_all_scopes() {
    everywhere(|| {
        let (begin, begun) = unbounded();
        let handle = throng::spawn(move || {
            let _ = timeout(HOUR, || {
                Token::new().run(|| {
                    begin.send(()).unwrap();
                    sleep(HOUR);
                })
            });
            unreachable!("it unwinds further");
        });
        begun.recv().unwrap();
        handle.cancel();
        let payload = handle.join().unwrap_err();
        assert_eq!(payload.downcast::<Cancelled>().unwrap().to_string(), "the task was cancelled");
    });
}

#[test]
fn a_caught_unwinding_is_raised_again_at_the_next_wait() {
    everywhere(|| {
        let caught = Cell::new(0);
        let ended = timeout(ms(1), || {
            for _ in 0..3 {
                let payload = catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).unwrap_err();
                assert!(payload.is::<Cancelled>());
                assert!(is_cancelled());
                caught.set(caught.get() + 1);
            }
            sleep(HOUR);
        });
        assert_eq!(ended.unwrap_err().to_string(), "the time limit has passed");
        assert_eq!(caught.get(), 3);
        // Caught for good, it may go on without waiting.
        let value = timeout(ms(1), || catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).is_err());
        assert_eq!(value, Ok(true));
        sleep(ms(1));
    });
}

#[test]
fn one_that_is_passed_on_keeps_its_aim() {
    everywhere(|| {
        let pass = |f: fn()| {
            if let Err(payload) = catch_unwind(f) {
                assert!(payload.is::<Cancelled>());
                resume_unwind(payload);
            }
        };
        timeout(ms(1), || timeout(HOUR, || pass(|| sleep(HOUR)))).unwrap_err();
    });
}

#[test]
fn a_payload_out_of_another_task_is_no_ones_but_the_tasks() {
    let own = runtime(2);
    let handle = own.spawn(|| {
        let child = throng::spawn(task::park);
        child.cancel();
        let ended = timeout(Duration::ZERO, || {
            // It has ended before, so this isn't a wait.
            while !child.is_finished() {
                std::thread::yield_now();
            }
            resume_unwind(child.join().unwrap_err())
        });
        unreachable!("{ended:?}");
    });
    assert!(handle.join().unwrap_err().is::<Cancelled>());
}

#[test]
fn a_payload_that_was_kept_ends_no_later_scope() {
    everywhere(|| {
        let token = cancelled();
        let mut kept = None;
        token.run(|| kept = catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).err()).unwrap();
        let kept = Cell::new(kept);
        let escaped = catch_unwind(AssertUnwindSafe(|| {
            Token::new().run(|| timeout(HOUR, || resume_unwind(kept.take().unwrap()))).unwrap_err()
        }));
        assert!(escaped.unwrap_err().is::<Cancelled>());
        sleep(ms(1));
    });
}

#[test]
fn panics_go_through() {
    everywhere(|| {
        let panic = || timeout(Duration::ZERO, || cancelled().run(|| resume_unwind(Box::new(5))));
        let payload = catch_unwind(|| panic().map(|_| ())).unwrap_err();
        assert_eq!(*payload.downcast::<i32>().unwrap(), 5);
        sleep(ms(1));
    });
}

#[test]
fn shields() {
    everywhere(|| {
        let reached = Cell::new(0);
        let ended = cancelled().run(|| {
            shield(|| {
                assert!(!is_cancelled());
                check();
                sleep(ms(1));
                shield(|| sleep(ms(1)));
                task::yield_now();
                reached.set(1);
                // What is opened inside works.
                assert!(timeout(ms(1), || sleep(HOUR)).is_err());
                assert!(cancelled().run(|| shield(|| sleep(ms(1)))).is_ok());
                assert!(cancelled().run(|| sleep(HOUR)).is_err());
                sleep(ms(1));
                reached.set(2);
            });
            assert!(is_cancelled());
            sleep(HOUR);
        });
        ended.unwrap_err();
        assert_eq!(reached.get(), 2);
        // A panic takes the shield down.
        let ended = cancelled().run(|| {
            let _ = catch_unwind(|| shield(|| resume_unwind(Box::new(5))));
            sleep(HOUR);
        });
        ended.unwrap_err();
    });
}

#[test]
fn a_shield_keeps_a_deadline_out() {
    everywhere(|| {
        let start = now();
        let ended = timeout(ms(1), || {
            shield(|| sleep(ms(5)));
            common::elapsed_at_least(start, ms(5));
            sleep(HOUR);
        });
        ended.unwrap_err();
    });
}

/// The canceller finds the task in waits with various shields; it may end only those that are open to it.
#[test]
fn a_canceller_ends_no_shielded_wait() {
    in_tasks(|random| {
        for _ in 0..common::scaled(100, 2000) {
            let (outer, inner) = (Token::new(), Token::new());
            let cancels = (random.below(2) == 0, random.below(2) == 0);
            throng::scope(|s| {
                s.spawn(|| {
                    let got = outer.run(|| {
                        shield(|| {
                            let got = inner.run(|| {
                                shield(|| (0..3).for_each(|_| task::yield_now()));
                                shield(|| task::park_timeout(Duration::from_micros(20)));
                                if cancels.1 {
                                    sleep(HOUR);
                                }
                            });
                            // Whatever became of the outer one, it isn't noticed here.
                            task::park_timeout(Duration::from_micros(20));
                            assert_eq!(got.is_err(), cancels.1);
                        });
                        if cancels.0 {
                            sleep(HOUR);
                        }
                    });
                    assert_eq!(got.is_err(), cancels.0);
                });
                for (token, cancels) in [(&outer, cancels.0), (&inner, cancels.1)] {
                    if cancels {
                        s.spawn(|| token.cancel());
                    }
                }
            });
        }
    });
}

#[test]
fn deep_shields() {
    fn deep(n: usize) {
        shield(|| {
            if n > 0 {
                deep(n - 1);
            }
            sleep(Duration::from_micros(1));
        });
    }
    everywhere(|| {
        cancelled()
            .run(|| {
                deep(100);
                sleep(HOUR);
            })
            .unwrap_err();
    });
}

#[test]
fn nothing_is_cancelled_while_it_unwinds() {
    struct Waits<'a>(&'a Cell<u32>);
    impl Drop for Waits<'_> {
        fn drop(&mut self) {
            assert!(!is_cancelled());
            check();
            sleep(ms(1));
            task::yield_now();
            assert!(timeout(Duration::ZERO, || sleep(ms(1))).is_ok());
            self.0.set(self.0.get() + 1);
        }
    }
    on_real_threads(|| {
        let count = Cell::new(0);
        let ended = timeout(ms(1), || {
            let _first = Waits(&count);
            let _second = Waits(&count);
            sleep(HOUR);
        });
        ended.unwrap_err();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            cancelled().run(|| {
                let _third = Waits(&count);
                resume_unwind(Box::new(5));
            })
        }));
        assert!(ended.unwrap_err().is::<i32>());
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn a_scope_that_was_left_is_no_longer_cancelled() {
    everywhere(|| {
        let token = Token::new();
        token.run(|| sleep(ms(1))).unwrap();
        token.cancel();
        sleep(ms(1));
        assert!(!is_cancelled());
        let inside = token.clone();
        Token::new()
            .run(|| {
                inside.run(|| ()).unwrap();
                sleep(ms(1));
            })
            .unwrap();
    });
}

/// A canceller that comes late must not end the next wait, which is outside of the scope.
#[test]
fn a_late_canceller_ends_nothing_outside() {
    in_tasks(|random| {
        for _ in 0..common::scaled(200, 5000) {
            let token = Token::new();
            let spins = random.below(300);
            throng::scope(|s| {
                s.spawn(|| {
                    let _ = token.run(task::yield_now);
                    task::park_timeout(Duration::from_micros(30));
                    let _ = token.run(|| task::park_timeout(Duration::from_micros(1)));
                    task::park_timeout(Duration::from_micros(30));
                });
                s.spawn(|| {
                    (0..spins).for_each(|_| std::hint::spin_loop());
                    token.cancel();
                });
            });
            assert!(token.is_cancelled());
        }
    });
}

#[test]
fn the_time_limit_may_be_an_instant() {
    everywhere(|| {
        let start = now();
        assert!(timeout_at(start + ms(2), || sleep(HOUR)).is_err());
        common::elapsed_at_least(start, ms(2));
        assert!(timeout_at(start, || sleep(HOUR)).is_err());
    });
}

#[test]
fn the_waits_own_deadline_counts_if_it_is_earlier() {
    everywhere(|| {
        let (_sender, receiver) = bounded::<()>(0);
        let got = timeout(HOUR, || receiver.recv_timeout(ms(1)));
        assert!(got.unwrap().is_err());
        let got = timeout(HOUR, || {
            throng::select! {
                recv(receiver) -> _ => unreachable!(),
                default(ms(1)) => 5,
            }
        });
        assert_eq!(got, Ok(5));
        assert!(timeout(ms(1), || receiver.recv_timeout(HOUR)).is_err());
    });
}

#[test]
fn elapsed_says_what_it_is() {
    let elapsed: Elapsed = timeout(Duration::ZERO, || sleep(HOUR)).unwrap_err();
    assert_eq!(elapsed.to_string(), "the time limit has passed");
    assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
    let _: &dyn std::error::Error = &elapsed;
    assert_eq!(cancelled().run(|| sleep(HOUR)).unwrap_err().to_string(), "cancelled");
}

#[test]
fn tokens() {
    let token = Token::new();
    assert!(!token.is_cancelled());
    assert_eq!(token.deadline(), None);
    assert_eq!(format!("{token:?}"), "Token { cancelled: false, deadline: None, .. }");
    let clone = token.clone();
    clone.cancel();
    clone.cancel();
    assert!(token.is_cancelled());
    assert!(token.child().is_cancelled());
    assert!(Token::with_timeout(Duration::ZERO).is_cancelled());
    assert!(!Token::with_timeout(Duration::MAX).is_cancelled());
    let now = now();
    let parent = Token::with_deadline(now + HOUR);
    assert_eq!(parent.child().deadline(), Some(now + HOUR));
    assert_eq!(parent.child_with_deadline(now + HOUR * 2).deadline(), Some(now + HOUR));
    assert_eq!(parent.child_with_deadline(now + ms(1)).deadline(), Some(now + ms(1)));
    assert!(parent.child_with_timeout(HOUR / 2).deadline() < Some(now + HOUR));
}

#[test]
fn children_go_with_their_parents_and_not_the_other_way() {
    let root = Token::new();
    let (one, other) = (root.child(), root.child());
    let grandchild = one.child();
    one.cancel();
    assert!(grandchild.is_cancelled() && !root.is_cancelled() && !other.is_cancelled());
    // A descendant is reached though nobody holds what lies between.
    let deep = root.child().child().child();
    drop(other);
    root.cancel();
    assert!(deep.is_cancelled());
    assert_eq!(deep.done().try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn a_long_line_of_descendants() {
    everywhere(|| {
        let root = Token::new();
        let last = (0..few(20_000)).fold(root.clone(), |token, _| token.child());
        root.cancel();
        assert!(last.is_cancelled());
        drop(last);
    });
}

#[test]
fn done_is_ready_when_the_token_is_cancelled() {
    everywhere(|| {
        let token = Token::new();
        let early = token.child();
        assert_eq!(early.done().try_recv(), Err(TryRecvError::Empty));
        assert!(early.done().is_empty());
        throng::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| assert!(early.done().recv().is_err()));
            }
            s.spawn(|| {
                let (_sender, other) = bounded::<()>(0);
                throng::select! {
                    recv(other) -> _ => unreachable!(),
                    recv(token.done()) -> message => assert!(message.is_err()),
                }
            });
            s.spawn(|| assert!(throng::future::block_on(token.done().recv_async()).is_err()));
            sleep(ms(1));
            token.cancel();
        });
        // Asked for afterwards, too, and for ever.
        for _ in 0..2 {
            assert!(token.child().done().recv().is_err());
            assert!(early.done().recv().is_err());
        }
    });
}

#[test]
fn done_is_ready_at_the_deadline() {
    everywhere(|| {
        let start = now();
        let token = Token::with_deadline(start + ms(2)).child();
        assert_eq!(token.done().len(), 0);
        throng::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| assert!(token.done().recv().is_err()));
            }
            s.spawn(|| assert!(throng::future::block_on(token.done().recv_async()).is_err()));
        });
        common::elapsed_at_least(start, ms(2));
        assert!(token.is_cancelled());
        assert_eq!(token.done().len(), 0);
        throng::select! {
            recv(token.done()) -> message => assert!(message.is_err()),
        }
        // Cancelled in time it doesn't wait for the deadline.
        let token = Token::with_timeout(HOUR);
        throng::scope(|s| {
            s.spawn(|| assert!(token.done().recv().is_err()));
            token.cancel();
        });
    });
}

#[test]
fn done_of_a_token_that_is_gone_stays_as_it_is() {
    let done = Token::new().done().clone();
    assert_eq!(done.try_recv(), Err(TryRecvError::Empty));
    let done = Token::with_timeout(ms(1)).done().clone();
    assert!(done.recv().is_err());
}

#[test]
fn a_runtime_that_is_dropped_unwinds_through_scopes() {
    let own = runtime(2);
    let (begin, begun) = mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..20)
        .map(|i| {
            let (begin, guard) = (begin.clone(), Dropped(Arc::clone(&ended)));
            own.spawn(move || {
                let _guard = guard;
                begin.send(()).unwrap();
                let got = match i % 2 {
                    0 => timeout(HOUR, || sleep(HOUR)).is_err(),
                    _ => Token::new().run(|| sleep(HOUR)).is_err(),
                };
                unreachable!("{got}");
            })
        })
        .collect();
    (0..20).for_each(|_| begun.recv().unwrap());
    drop(own);
    assert_eq!(ended.load(SeqCst), 20);
    for handle in handles {
        assert!(handle.join().unwrap_err().is::<Cancelled>());
    }
}

#[test]
fn a_loop_under_a_limit_that_never_runs_out_of_messages_is_ended() {
    // Each wait is woken at once, so that it is the look before a wait that must find the time passed.
    on_real_threads(|| {
        throng::scope(|s| {
            let (there, peer) = bounded::<()>(0);
            let (answers, back) = bounded::<()>(0);
            s.spawn(move || peer.iter().all(|()| answers.send(()).is_ok()));
            let ended = timeout(ms(3), || {
                loop {
                    there.send(()).unwrap();
                    back.recv().unwrap();
                }
            });
            ended.unwrap_err();
        });
    });
}

#[test]
fn what_must_see_others_end_waits_for_them() {
    let ended = AtomicUsize::new(0);
    let slow = || {
        sleep(ms(5));
        ended.fetch_add(1, SeqCst)
    };
    on_real_threads(|| {
        let before = ended.load(SeqCst);
        // The tasks aren't in the scope of the one that waits for them.
        timeout(ms(1), || throng::scope(|s| drop(s.spawn(slow)))).unwrap();
        assert_eq!(ended.load(SeqCst), before + 1);
        timeout(ms(1), || drop(runtime(1))).unwrap();
    });
    assert_eq!(timeout(ms(1), || throng::run(slow)), Ok(3));
    // A task that calls `run` runs it itself.
    throng::run(|| timeout(ms(1), || throng::run(|| sleep(HOUR))).unwrap_err());
}

#[test]
fn outside_of_everything_nothing_is_cancelled() {
    assert!(!is_cancelled());
    check();
    assert_eq!(shield(|| 5), 5);
    let stop = Arc::new(AtomicBool::new(false));
    let handle = throng::spawn({
        let stop = Arc::clone(&stop);
        move || {
            until(|| stop.load(SeqCst));
            cancel::is_cancelled()
        }
    });
    stop.store(true, SeqCst);
    assert!(!handle.join().unwrap());
}
