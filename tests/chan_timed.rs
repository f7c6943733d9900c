//! Channels that deliver instants: after, at, tick; and never.

#[path = "common/chan.rs"]
mod chan;
mod common;

use chan::in_line;
use common::{elapsed_at_least, everywhere, ms};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use throng::chan::{RecvTimeoutError, Select, TryRecvError, after, at, bounded, never, select, tick, unbounded};
use throng::time::now;

#[test]
fn after_delivers_once_and_not_too_soon() {
    everywhere(|| {
        let start = now();
        let r = after(ms(5));
        assert_eq!(r.capacity(), Some(1));
        let due = r.recv().unwrap();
        elapsed_at_least(start, ms(5));
        assert!(due >= start + ms(5) && due <= now());
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(r.recv_timeout(ms(2)), Err(RecvTimeoutError::Timeout));
        assert_eq!((r.len(), r.is_empty(), r.is_full()), (0, true, false));
    });
}

#[test]
fn a_message_that_is_due_is_in_the_channel() {
    let r = after(Duration::ZERO);
    assert_eq!((r.len(), r.is_empty(), r.is_full()), (1, false, true));
    assert!(r.try_recv().is_ok());
    assert_eq!(r.len(), 0);

    let past = now();
    assert_eq!(at(past).recv(), Ok(past));
    let r = at(past + Duration::from_secs(3600));
    assert_eq!((r.len(), r.try_recv()), (0, Err(TryRecvError::Empty)));
}

#[test]
fn clones_share_the_one_message() {
    everywhere(|| {
        let r = after(ms(3));
        let got = throng::scope(|scope| {
            let tasks: Vec<_> = (0..4).map(|_| scope.spawn(|| r.recv_timeout(ms(30)).is_ok())).collect();
            tasks.into_iter().map(|task| task.join().unwrap()).filter(|got| *got).count()
        });
        assert_eq!(got, 1);
    });
}

/// One that was chosen, but not received.
#[test]
fn a_message_that_is_given_back_is_for_those_who_wait() {
    let now = now();
    let r = at(now);
    for _ in 0..2 {
        let mut select = Select::new();
        select.recv(&r);
        let oper = select.select();
        assert_eq!((r.len(), r.try_recv()), (0, Err(TryRecvError::Empty)));
        let waiting = in_line(r.recv_async());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(oper))).is_err());
        assert_eq!(r.len(), 0, "it is granted");
        drop(waiting);
        assert_eq!((r.len(), r.is_full()), (1, true));
    }
    let (mut select, late) = (Select::new(), r.clone());
    select.recv(&r);
    let oper = select.select();
    let late = throng::spawn(move || late.recv());
    std::thread::sleep(ms(1));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(oper))).is_err());
    assert_eq!(late.join().unwrap(), Ok(now));
}

#[test]
fn a_deadline_before_the_message_comes_first() {
    everywhere(|| {
        let r = after(Duration::from_secs(3600));
        assert_eq!(r.recv_timeout(ms(2)), Err(RecvTimeoutError::Timeout));
        let start = now();
        assert!(after(ms(2)).recv_timeout(Duration::from_secs(3600)).is_ok());
        elapsed_at_least(start, ms(2));
        assert_eq!(after(Duration::MAX).recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        assert_eq!(tick(Duration::MAX).try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn ticks_come_again_and_do_not_pile_up() {
    everywhere(|| {
        let start = now();
        let ticks = tick(ms(2));
        assert_eq!(ticks.capacity(), Some(1));
        let mut last = ticks.recv().unwrap();
        for _ in 0..3 {
            let next = ticks.recv().unwrap();
            assert!(next >= last + ms(2));
            last = next;
        }
        elapsed_at_least(start, ms(8));
        throng::task::sleep(ms(10));
        assert_eq!((ticks.len(), ticks.is_full()), (1, true));
        assert!(ticks.recv().unwrap() <= now());
    });
}

#[test]
fn a_tick_of_no_time_is_always_there() {
    let ticks = tick(Duration::ZERO);
    (0..100).for_each(|_| assert!(ticks.try_recv().is_ok()));
}

#[test]
fn never_means_never() {
    everywhere(|| {
        let r = never::<i32>();
        assert_eq!((r.len(), r.is_empty(), r.is_full(), r.capacity()), (0, true, true, Some(0)));
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(r.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
        assert!(r.same_channel(&never()) && r.same_channel(&r.clone()));
        assert!(!after(ms(1)).same_channel(&never()) && !after(ms(1)).same_channel(&after(ms(1))));
        select! {
            recv(r) -> _ => unreachable!(),
            default(ms(1)) => {}
        }
        select! {
            recv(r) -> _ => unreachable!(),
            recv(never::<String>()) -> _ => unreachable!(),
            default => {}
        }
    });
}

#[test]
fn a_select_waits_for_the_first_that_is_due() {
    everywhere(|| {
        let start = now();
        let (_s, r) = unbounded::<()>();
        select! {
            recv(r) -> _ => unreachable!(),
            recv(after(Duration::from_secs(3600))) -> _ => unreachable!(),
            recv(after(ms(3))) -> due => assert!(due.unwrap() >= start + ms(3)),
            recv(tick(Duration::from_secs(3600))) -> _ => unreachable!(),
        }
        elapsed_at_least(start, ms(3));

        let timeout = at(start);
        let mut select = Select::new_biased();
        select.recv(&r);
        let due = select.recv(&timeout);
        assert_eq!(select.ready(), due);
        assert_eq!(select.try_ready(), Ok(due));
        let oper = select.select();
        assert_eq!(oper.index(), due);
        assert_eq!(oper.recv(&timeout), Ok(start));
        assert!(select.try_select().is_err());
        assert!(select.ready_timeout(ms(1)).is_err());
    });
}

#[test]
fn a_timeout_does_not_fire_while_messages_come() {
    everywhere(|| {
        let (s, r) = bounded(0);
        throng::scope(|scope| {
            scope.spawn(move || (0..100).for_each(|i| s.send(i).unwrap()));
            let mut sum = 0;
            loop {
                select! {
                    recv(r) -> msg => match msg {
                        Ok(i) => sum += i,
                        Err(_) => break,
                    },
                    recv(after(Duration::from_secs(3600))) -> _ => unreachable!(),
                }
            }
            assert_eq!(sum, 4950);
        });
    });
}
