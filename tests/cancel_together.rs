//! `Token::scope`: tasks that end together.

mod common;

use common::{Dropped, everywhere, message, ms};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::{Cancelled, Token};
use throng::chan::{bounded, never, unbounded};
use throng::task::{self, sleep};
use throng::time::timeout;

const HOUR: Duration = Duration::from_secs(3600);

/// A panic without a message on stderr.
fn fail() -> ! {
    resume_unwind(Box::new("failed"))
}

#[test]
fn without_trouble_it_is_a_scope() {
    everywhere(|| {
        let mut numbers = [1, 2, 3];
        let token = Token::new();
        let sum = token.scope(|s| {
            numbers.iter_mut().for_each(|number| {
                s.spawn(|| {
                    task::yield_now();
                    *number *= 2;
                });
            });
            let joined = s.spawn(|| 5);
            joined.join().unwrap()
        });
        assert_eq!((sum.unwrap(), numbers), (5, [2, 4, 6]));
        assert!(!token.is_cancelled());
    });
}

#[test]
fn a_panic_ends_the_siblings_and_the_body() {
    everywhere(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let token = Token::new();
        let payload = catch_unwind(AssertUnwindSafe(|| {
            token.scope(|s| {
                for _ in 0..3 {
                    let guard = Dropped(Arc::clone(&ended));
                    s.spawn(move || {
                        let _guard = guard;
                        sleep(HOUR);
                    });
                }
                s.spawn(|| {
                    task::yield_now();
                    fail();
                });
                let _guard = Dropped(Arc::clone(&ended));
                sleep(HOUR);
            })
        }))
        .unwrap_err();
        assert_eq!(message(&*payload), "a scoped task panicked");
        assert_eq!(ended.load(SeqCst), 4);
        assert!(!token.is_cancelled(), "it is the scope's affair");
    });
}

#[test]
fn a_panic_that_was_joined_ends_the_siblings_all_the_same() {
    everywhere(|| {
        let payload = catch_unwind(|| {
            Token::new().scope(|s| {
                let sibling = s.spawn(|| sleep(HOUR));
                let failing = s.spawn(|| fail());
                // Either it sees the panic, or it is cancelled itself before it can.
                assert!(failing.join().unwrap_err().is::<&str>());
                // If it hasn't ended yet, this would wait, but may not.
                let _ = sibling.join();
            })
        })
        .unwrap_err();
        assert_eq!(message(&*payload), "a scoped task panicked");
    });
}

#[test]
fn the_value_of_a_body_that_is_done_is_kept() {
    everywhere(|| {
        let token = Token::new();
        let value = token.scope(|s| {
            (0..3).for_each(|_| drop(s.spawn(|| sleep(HOUR))));
            token.cancel();
            5
        });
        assert_eq!(value.unwrap(), 5);
    });
}

#[test]
fn a_panic_of_the_body_ends_the_tasks() {
    everywhere(|| {
        let payload = catch_unwind(|| {
            Token::new().scope(|s| {
                s.spawn(|| sleep(HOUR));
                s.spawn(|| fail());
                fail();
            })
        })
        .unwrap_err();
        assert_eq!(message(&*payload), "failed");
    });
}

#[test]
fn the_token_ends_them_all() {
    everywhere(|| {
        let token = Token::new();
        let ended = token.scope(|s| {
            let handles = [(); 3].map(|()| s.spawn(|| drop(never::<String>().recv())));
            s.spawn(|| token.cancel());
            for handle in handles {
                assert!(handle.join().unwrap_err().is::<Cancelled>());
            }
            // They may all have ended before it came to wait.
            sleep(HOUR);
        });
        ended.unwrap_err();
        // And one that was cancelled before.
        let (sender, receiver) = bounded(1);
        let ended = token.scope(|s| {
            s.spawn(|| sender.send(5).unwrap());
            s.spawn(|| sleep(HOUR));
            sleep(HOUR);
        });
        ended.unwrap_err();
        assert_eq!(receiver.recv(), Ok(5), "what needs no wait is done");
    });
}

#[test]
fn deadlines_and_time_limits_end_them_all() {
    everywhere(|| {
        let work = |token: &Token| {
            token.scope(|s| {
                (0..3).for_each(|_| drop(s.spawn(|| sleep(HOUR))));
            })
        };
        // The body is done before, so its result is kept.
        work(&Token::with_timeout(ms(1))).unwrap();
        // What lies around it passes.
        timeout(ms(1), || work(&Token::new())).unwrap_err();
        Token::with_timeout(ms(1)).run(|| work(&Token::new())).unwrap_err();
        let in_the_body = || {
            Token::new().scope(|s| {
                s.spawn(|| sleep(HOUR));
                sleep(HOUR);
            })
        };
        timeout(ms(1), in_the_body).unwrap_err();
    });
}

#[test]
fn a_cancelled_caller_takes_its_tasks_with_it() {
    everywhere(|| {
        for in_the_body in [false, true] {
            let ended = Arc::new(AtomicUsize::new(0));
            let (begin, begun) = unbounded();
            let handle = throng::spawn({
                let ended = Arc::clone(&ended);
                move || {
                    let got = Token::new().scope(|s| {
                        for _ in 0..3 {
                            let (begin, guard) = (begin.clone(), Dropped(Arc::clone(&ended)));
                            s.spawn(move || {
                                let _guard = guard;
                                begin.send(()).unwrap();
                                sleep(HOUR);
                            });
                        }
                        if in_the_body {
                            sleep(HOUR);
                        }
                    });
                    unreachable!("{got:?}");
                }
            });
            (0..3).for_each(|_| begun.recv().unwrap());
            handle.cancel();
            assert!(handle.join().unwrap_err().is::<Cancelled>());
            assert_eq!(ended.load(SeqCst), 3);
        }
    });
}

#[test]
fn one_that_is_cancelled_alone_ends_alone() {
    everywhere(|| {
        let value = Token::new().scope(|s| {
            let one = s.spawn(|| sleep(HOUR));
            let other = s.spawn(|| sleep(ms(1)));
            one.cancel();
            assert!(one.join().unwrap_err().is::<Cancelled>());
            other.join().unwrap();
            5
        });
        assert_eq!(value.unwrap(), 5);
    });
}

#[test]
fn scopes_within_scopes() {
    everywhere(|| {
        let root = Token::new();
        let ended = AtomicUsize::new(0);
        let outer = root.scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    // By the caller, which is a task of the outer scope, not by the token.
                    let inner = Token::new().scope(|s| {
                        (0..3).for_each(|_| drop(s.spawn(|| sleep(HOUR))));
                        ended.fetch_add(1, SeqCst);
                        sleep(HOUR);
                    });
                    unreachable!("{inner:?}");
                });
            }
            common::until(|| ended.load(SeqCst) == 3);
            root.cancel();
            sleep(HOUR);
        });
        outer.unwrap_err();
    });
}

/// Panics, results and cancellations at random. Whatever happens, no task is left that uses the frame.
#[test]
fn whatever_happens_all_have_ended() {
    common::in_tasks(|random| {
        for _ in 0..common::scaled(60, 1500) {
            let frame = [AtomicUsize::new(0), AtomicUsize::new(0)];
            let fate = random.below(5);
            let pause = Duration::from_micros(random.below(60));
            let token = Token::new();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                timeout(if fate == 0 { pause } else { HOUR }, || {
                    token.scope(|s| {
                        for i in 0..5 {
                            let frame = &frame;
                            s.spawn(move || {
                                struct Ended<'a>(&'a AtomicUsize);
                                impl Drop for Ended<'_> {
                                    fn drop(&mut self) {
                                        self.0.fetch_add(1, SeqCst);
                                    }
                                }
                                frame[0].fetch_add(1, SeqCst);
                                let _ended = Ended(&frame[1]);
                                sleep(pause);
                                if i == 0 && fate == 1 {
                                    fail();
                                }
                                if fate < 3 {
                                    sleep(HOUR);
                                }
                            });
                        }
                        if fate == 2 {
                            s.spawn(|| {
                                sleep(pause);
                                token.cancel();
                            });
                        }
                        if fate == 3 {
                            fail();
                        }
                    })
                })
            }));
            assert_eq!(frame[0].load(SeqCst), frame[1].load(SeqCst));
            match fate {
                0 => assert!(outcome.unwrap().is_err()),
                1 => assert_eq!(message(&*outcome.unwrap_err()), "a scoped task panicked"),
                3 => assert_eq!(message(&*outcome.unwrap_err()), "failed"),
                _ => outcome.unwrap().unwrap().unwrap(),
            }
        }
    });
}
