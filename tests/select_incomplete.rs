//! Operations that were chosen and are not completed, because they are dropped or their message panics.

#[path = "common/chan.rs"]
mod chan;
mod common;

use chan::{Bell, in_line, meets_receiver, meets_sender, poll};
use common::{everywhere, message, ms, until};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;
use throng::chan::{
    Receiver, RecvError, RecvTimeoutError, Select, Sender, TryRecvError, after, at, bounded, never, tick,
};
use throng::time::now;
use throng::{select, select_biased};

/// A message that can't be made.
fn fail() -> i32 {
    panic!("no message")
}

#[track_caller]
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(f()))).expect_err("it should have panicked");
    message(&*panic).to_string()
}

#[test]
fn a_dropped_send_leaves_its_peer_waiting() {
    let (s, r) = bounded(0);
    let mut receive = in_line(r.recv_async());
    let mut select = Select::new();
    select.send(&s);
    for _ in 0..3 {
        let oper = select.select();
        assert!(!meets_receiver(&s));
        assert!(panic_of(|| drop(oper)).contains("dropped"));
        assert!(poll(&mut receive).is_pending());
    }
    assert_eq!(s.try_send(4), Ok(()));
    assert_eq!(poll(&mut receive), Poll::Ready(Ok(4)));
}

#[test]
fn the_message_of_a_dropped_receive_is_for_the_next() {
    let (s, r) = bounded(0);
    let mut select = Select::new();
    select.recv(&r);
    for somebody_waits in [false, true] {
        let mut send = in_line(s.send_async(5));
        let oper = select.select();
        assert_eq!(poll(&mut send), Poll::Ready(Ok(())));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        let mut next = somebody_waits.then(|| in_line(r.recv_async()));
        assert!(panic_of(|| drop(oper)).contains("dropped"));
        match &mut next {
            Some(next) => assert_eq!(poll(next), Poll::Ready(Ok(5))),
            None => assert_eq!(r.try_recv(), Ok(5)),
        }
        assert_eq!((r.try_recv(), s.try_send(6).is_err()), (Err(TryRecvError::Empty), true));
    }
}

#[test]
fn the_instant_of_a_dropped_receive_is_there_again() {
    let past = now();
    for r in [at(past), after(Duration::ZERO), tick(Duration::from_secs(3600)), tick(Duration::ZERO)] {
        let due = r.is_full();
        let mut select = Select::new();
        select.recv(&r);
        let Ok(oper) = select.try_select() else {
            assert!(!due);
            continue;
        };
        assert!(panic_of(|| drop(oper)).contains("dropped"));
        assert!(r.try_recv().unwrap() <= now());
    }
}

#[test]
fn an_operation_that_falls_to_a_panic_is_given_back_silently() {
    everywhere(|| {
        let (s, r) = bounded(1);
        let mut select = Select::new();
        assert_eq!((select.send(&s), select.recv(&r)), (0, 1));
        for _ in 0..2 {
            let panic = panic_of(|| {
                let _oper = select.select();
                panic!("something else")
            });
            assert_eq!(panic, "something else");
            assert_eq!((s.try_send(8), s.try_send(9).is_err()), (Ok(()), true));
            assert_eq!(r.recv(), Ok(8));
            s.send(7).unwrap();
            let panic = panic_of(|| {
                let _oper = select.select();
                panic!("something else")
            });
            assert_eq!((panic.as_str(), r.try_recv()), ("something else", Ok(7)));
        }
    });
}

#[test]
fn a_message_that_panics_is_not_missed_by_its_peer() {
    everywhere(|| {
        let ((s, r), bell) = (bounded(0), Bell::new());
        let fails = || {
            panic_of(|| {
                select! {
                    send(s, fail()) -> _ => {}
                    recv(bell.r) -> _ => {}
                }
            })
        };
        throng::scope(|scope| {
            // A select that was chosen has made its choice, and takes another message.
            let chosen = scope.spawn(|| {
                select! {
                    recv(r) -> msg => msg,
                    recv(bell.r) -> _ => unreachable!(),
                }
            });
            bell.until_awaited();
            assert_eq!(fails(), "no message");
            s.send(1).unwrap();
            assert_eq!(chosen.join().unwrap(), Ok(1));
            // One that waits for a limited time, and one that doesn't wait.
            let late = scope.spawn(|| r.recv_timeout(Duration::MAX));
            until(|| meets_receiver(&s));
            assert_eq!(fails(), "no message");
            s.send(2).unwrap();
            assert_eq!(late.join().unwrap(), Ok(2));
            let sender = scope.spawn(fails);
            bell.until_awaited();
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(sender.join().unwrap(), "no message");
            let sender = scope.spawn(fails);
            bell.until_awaited();
            assert_eq!(r.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
            assert_eq!(sender.join().unwrap(), "no message");
        });
        // And if nobody sends another.
        let (s2, r2) = bounded(0);
        throng::scope(|scope| {
            let chosen = scope.spawn(|| {
                select! {
                    recv(r2) -> msg => msg,
                    recv(bell.r) -> _ => unreachable!(),
                }
            });
            bell.until_awaited();
            let panic = panic_of(|| {
                select! {
                    send(s2, fail()) -> _ => {}
                    recv(never::<()>()) -> _ => {}
                }
            });
            assert_eq!(panic, "no message");
            drop(s2);
            assert_eq!(chosen.join().unwrap(), Err(RecvError));
        });
    });
}

/// A thread's destructors run when its thread-locals, those of the library among them, may be gone.
#[test]
fn a_thread_that_ends_may_still_select() {
    struct Last(Sender<i32>, Receiver<i32>);
    impl Drop for Last {
        fn drop(&mut self) {
            select! {
                recv(self.1) -> msg => self.0.send(msg.unwrap() + 1).unwrap(),
                recv(never::<()>()) -> _ => unreachable!(),
            }
            select! {
                recv(self.1) -> _ => unreachable!(),
                default(ms(1)) => {}
            }
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
    for first_use in [true, false] {
        let ((s, r), (back, answer)) = (bounded(0), bounded(1));
        let thread = std::thread::spawn(move || {
            let wait = || assert!(never::<()>().recv_timeout(ms(1)).is_err());
            if first_use {
                wait();
            }
            LAST.set(Some(Last(back, r)));
            if !first_use {
                wait();
            }
        });
        s.send(1).unwrap();
        assert_eq!(answer.recv(), Ok(2));
        drop(answer);
        thread.join().unwrap();
    }
}

/// It is not bound to the channel then: another may be ready, or the `default`, or its time be up.
#[test]
fn a_select_whose_peer_fails_begins_again() {
    fn among(receive: impl Fn(&Receiver<i32>, &Receiver<i32>) -> Option<i32>, message: Option<i32>) {
        let ((s, r), (other, others)) = (bounded(0), bounded(1));
        throng::scope(|scope| {
            let (s, other) = (&s, &other);
            let failing = move || {
                select! {
                    send(s, { if message.is_some() { other.send(5).unwrap() } fail() }) -> _ => unreachable!(),
                    recv(never::<()>()) -> _ => unreachable!(),
                }
            };
            let sender = scope.spawn(move || panic_of(failing));
            until(|| meets_sender(&r));
            assert_eq!(receive(&r, &others), message);
            assert_eq!(sender.join().unwrap(), "no message");
        });
    }
    fn biased<'a>(r: &'a Receiver<i32>, others: &'a Receiver<i32>) -> Select<'a> {
        let mut select = Select::new_biased();
        select.recv(r);
        select.recv(others);
        select
    }
    everywhere(|| {
        let both = |r: &Receiver<i32>, others: &Receiver<i32>| {
            select_biased! {
                recv(r) -> _ => unreachable!(),
                recv(others) -> msg => msg.ok(),
            }
        };
        among(both, Some(5));
        let or_default = |r: &Receiver<i32>, others: &Receiver<i32>| {
            select_biased! {
                recv(r) -> _ => unreachable!(),
                recv(others) -> _ => unreachable!(),
                default => None,
            }
        };
        among(or_default, None);
        among(|r, others| biased(r, others).select().recv(others).ok(), Some(5));
        among(|r, others| biased(r, others).select_timeout(ms(1)).ok().map(|_| 0), None);
    });
}
