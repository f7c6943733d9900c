//! Which case a select takes, in whichever way it is written: by chance or by order, and when `default`.

#[path = "common/chan.rs"]
mod chan;
mod common;
#[path = "common/crew.rs"]
mod crew;

use chan::{Bell, channel, in_line, meets_receiver, meets_sender, poll};
use common::{elapsed_at_least, everywhere, few, ms, runtime, scaled, until};
use crew::every_crew;
use std::fmt::Debug;
use std::task::Poll;
use std::time::Duration;
use throng::chan::{
    Receiver, RecvError, Select, SelectTimeoutError, SelectedOperation, SendError, Sender, TryRecvError,
    TrySelectError, after, at, bounded, never, tick, unbounded,
};
use throng::time::now;
use throng::{select, select_biased};

const CAPACITIES: [Option<usize>; 3] = [Some(0), Some(1), None];

// Who wins.

const TURNS: usize = 2_000;

/// By chance alone this fails once in more runs than anybody will see: it is ten standard deviations away, or more.
#[track_caller]
fn fair(hits: &[usize]) {
    let mean = hits.iter().sum::<usize>() / hits.len();
    assert!(hits.iter().all(|hits| (mean / 2..=mean * 3 / 2).contains(hits)), "{hits:?}");
}

#[test]
fn sends_that_are_ready_share_alike() {
    let ((s1, r1), (s2, r2)) = (unbounded(), bounded(2 * TURNS));
    for _ in 0..TURNS {
        select! {
            send(s1, ()) -> res => res.unwrap(),
            send(s2, ()) -> res => res.unwrap(),
        }
    }
    fair(&[r1.len(), r2.len()]);
    // Of one channel too.
    let (s, r) = unbounded();
    for _ in 0..TURNS {
        select! {
            send(s, 0) -> res => res.unwrap(),
            send(s, 1) -> res => res.unwrap(),
        }
    }
    let ones = r.try_iter().sum::<usize>();
    fair(&[ones, TURNS - ones]);
}

#[test]
fn cases_of_every_kind_share_alike() {
    let ((s, r), (_, closed), (open, _sink)) = (unbounded(), bounded::<()>(0), unbounded());
    let ticks = tick(Duration::ZERO);
    (0..TURNS).for_each(|_| s.send(()).unwrap());
    let mut hits = [0; 6];
    for _ in 0..TURNS {
        select! {
            recv(r) -> msg => { msg.unwrap(); hits[0] += 1 }
            recv(closed) -> msg => { msg.unwrap_err(); hits[1] += 1 }
            recv(never::<()>()) -> _ => unreachable!(),
            send(open, ()) -> res => { res.unwrap(); hits[2] += 1 }
            recv(ticks) -> _ => hits[3] += 1,
            recv(closed) -> _ => hits[4] += 1,
            recv(after(Duration::ZERO)) -> _ => hits[5] += 1,
        }
    }
    fair(&hits);
    // And what `ready` names.
    let idle = never::<()>();
    let mut select = Select::new();
    select.recv(&r);
    select.recv(&closed);
    select.recv(&idle);
    select.send(&open);
    select.recv(&ticks);
    let mut hits = [0; 5];
    (0..TURNS).for_each(|_| hits[select.ready()] += 1);
    assert_eq!(hits[2], 0);
    fair(&[hits[0], hits[1], hits[3], hits[4]]);
}

/// Without a buffer, and the one that isn't met goes on waiting.
#[test]
fn peers_that_wait_share_alike() {
    let ((s1, r1), (s2, r2)) = (bounded(0), bounded(0));
    let mut hits = [0; 4];
    for turn in 0..TURNS {
        let (mut a, mut b) = (in_line(r1.recv_async()), in_line(r2.recv_async()));
        let (met, left) = select! {
            send(s1, turn) -> res => { res.unwrap(); hits[0] += 1; (&mut a, &mut b) }
            send(s2, turn) -> res => { res.unwrap(); hits[1] += 1; (&mut b, &mut a) }
        };
        assert_eq!((poll(met), poll(left)), (Poll::Ready(Ok(turn)), Poll::Pending));
        drop((a, b));

        let (mut a, mut b) = (in_line(s1.send_async(turn)), in_line(s2.send_async(!turn)));
        let (met, left) = select! {
            recv(r1) -> msg => { assert_eq!(msg, Ok(turn)); hits[2] += 1; (&mut a, &mut b) }
            recv(r2) -> msg => { assert_eq!(msg, Ok(!turn)); hits[3] += 1; (&mut b, &mut a) }
        };
        assert_eq!((poll(met), poll(left)), (Poll::Ready(Ok(())), Poll::Pending));
    }
    fair(&hits[..2]);
    fair(&hits[2..]);
}

#[test]
fn a_biased_select_takes_the_first_case_of_any_kind() {
    let ((s, r), (full, met), (closed, _)) = (bounded(1), bounded(0), bounded(0));
    // `default` is the last, wherever it is written.
    let turn = || {
        select_biased! {
            default => 0,
            recv(r) -> _ => 1,
            send(full, ()) -> _ => 2,
            send(s, ()) -> _ => 3,
            send(closed, ()) -> _ => 4,
        }
    };
    let mut waiting = in_line(met.recv_async());
    s.send(()).unwrap();
    assert_eq!([turn(), turn(), turn(), turn(), turn()], [1, 2, 3, 1, 3]);
    assert!(poll(&mut waiting).is_ready());
    let mut select = Select::new_biased();
    let gone = select.send(&closed);
    select.recv(&r);
    for _ in 0..10 {
        assert_eq!((select.ready(), select.try_ready()), (gone, Ok(gone)));
        let oper = select.try_select().unwrap();
        assert_eq!((oper.index(), oper.send(&closed, ())), (gone, Err(SendError(()))));
    }
    assert_eq!(r.len(), 1);
    select_biased! {
        send(full, ()) -> _ => unreachable!(),
        default => {}
    }
}

// `default`.

type Way<'a> = fn(&mut Select<'a>) -> SelectedOperation<'a>;

/// All the ways to choose that need no wait, but for `select` itself.
fn ways<'a>() -> [Way<'a>; 4] {
    [
        |select| select.try_select().unwrap(),
        |select| select.select_timeout(Duration::ZERO).unwrap(),
        |select| select.select_deadline(now()).unwrap(),
        |select| select.select(),
    ]
}

fn is_ready(select: &mut Select<'_>, index: usize) {
    for _ in 0..2 {
        assert_eq!(select.try_ready(), Ok(index));
        assert_eq!(select.ready_timeout(Duration::ZERO), Ok(index));
        assert_eq!(select.ready_deadline(now()), Ok(index));
        assert_eq!(select.ready(), index);
    }
}

/// `ready` makes a receiver that is ready, and what must be kept for that.
fn recv_beats_default<T: PartialEq + Debug, K>(
    ready: impl Fn() -> (Receiver<T>, K),
    expected: impl Fn(Result<T, RecvError>) -> bool,
) {
    let idle = never::<()>();
    for way in 0..4 {
        let (r, _keep) = ready();
        let mut select = Select::new();
        select.recv(&idle);
        let index = select.recv(&r);
        is_ready(&mut select, index);
        let oper = ways()[way](&mut select);
        assert_eq!(oper.index(), index);
        assert!(expected(oper.recv(&r)));
    }
    let (r, _keep) = ready();
    assert!(expected(select! { recv(r) -> msg => msg, default => unreachable!() }));
    let (r, _keep) = ready();
    assert!(expected(select! { recv(r) -> msg => msg, default(Duration::ZERO) => unreachable!() }));
    let (r, _keep) = ready();
    assert!(expected(select! { recv(idle) -> _ => unreachable!(), recv(r) -> msg => msg, default => unreachable!() }));
    let (r, _keep) = ready();
    assert!(expected(select_biased! {
        default(Duration::ZERO) => unreachable!(),
        recv(idle) -> _ => unreachable!(),
        recv(r) -> msg => msg,
    }));
}

/// `ready` makes a sender that is ready, and what must be kept for that.
fn send_beats_default<K>(ready: impl Fn() -> (Sender<i32>, K), expected: Result<(), SendError<i32>>) {
    let idle = never::<()>();
    for way in 0..4 {
        let (s, _keep) = ready();
        let mut select = Select::new();
        select.recv(&idle);
        let index = select.send(&s);
        is_ready(&mut select, index);
        let oper = ways()[way](&mut select);
        assert_eq!(oper.index(), index);
        assert_eq!(oper.send(&s, 5), expected);
    }
    let (s, _keep) = ready();
    assert_eq!(select! { send(s, 5) -> res => res, default => unreachable!() }, expected);
    let (s, _keep) = ready();
    assert_eq!(select! { send(s, 5) -> res => res, default(Duration::ZERO) => unreachable!() }, expected);
    let (s, _keep) = ready();
    let res = select_biased! {
        recv(idle) -> _ => unreachable!(),
        send(s, 5) -> res => res,
        default => unreachable!(),
    };
    assert_eq!(res, expected);
}

#[test]
fn default_is_not_for_when_a_case_is_ready() {
    everywhere(|| {
        for capacity in CAPACITIES {
            // Disconnected.
            recv_beats_default(|| (channel::<i32>(capacity).1, ()), |msg| msg == Err(RecvError));
            send_beats_default(|| (channel(capacity).0, ()), Err(SendError(5)));
            if capacity == Some(0) {
                // A peer waits.
                let sending = || {
                    let (s, r) = bounded(0);
                    (r, in_line(async move { s.send_async(5).await }))
                };
                recv_beats_default(sending, |msg| msg == Ok(5));
                let receiving = || {
                    let (s, r) = bounded(0);
                    (s, in_line(async move { r.recv_async().await }))
                };
                send_beats_default(receiving, Ok(()));
                continue;
            }
            // A message, with and without a sender; and room.
            let full = || {
                let (s, r) = channel(capacity);
                s.send(5).unwrap();
                (r, s)
            };
            recv_beats_default(full, |msg| msg == Ok(5));
            recv_beats_default(|| (full().0, ()), |msg| msg == Ok(5));
            send_beats_default(|| channel(capacity), Ok(()));
        }
        let past = now();
        recv_beats_default(|| (at(past), ()), |msg| msg == Ok(past));
        recv_beats_default(|| (tick(Duration::ZERO), ()), |msg| msg.is_ok());
    });
}

#[test]
fn default_is_for_when_no_case_is_ready() {
    everywhere(|| {
        let ((full, r), (_s, empty)) = (bounded(0), bounded::<()>(1));
        let late = after(Duration::from_secs(3600));
        let taken = select! {
            send(full, ()) -> _ => false,
            recv(empty) -> _ => false,
            recv(late) -> _ => false,
            recv(r) -> _ => false,
            default => true,
        };
        assert!(taken);
        let mut select = Select::new();
        select.send(&full);
        select.recv(&empty);
        select.recv(&late);
        assert_eq!(select.try_select().unwrap_err(), TrySelectError);
        assert_eq!(select.select_timeout(Duration::ZERO).unwrap_err(), SelectTimeoutError);
        assert_eq!(select.select_deadline(now()).unwrap_err(), SelectTimeoutError);
        assert!(select.try_ready().is_err() && select.ready_timeout(Duration::ZERO).is_err());
        assert!(select.ready_deadline(now()).is_err());
        // It can be used again, and copied.
        let mut waiting = in_line(async { r.recv_async().await });
        let mut copy = select.clone();
        select.remove(0);
        assert_eq!((copy.ready(), select.try_ready().is_err()), (0, true));
        assert_eq!(copy.select().send(&full, ()), Ok(()));
        assert_eq!(poll(&mut waiting), Poll::Ready(Ok(())));
    });
}

#[test]
fn default_is_not_taken_before_its_time() {
    fn lasts(f: impl FnOnce(Duration)) {
        let start = now();
        f(ms(2));
        elapsed_at_least(start, ms(2));
    }
    everywhere(|| {
        let ((full, r), (_s, empty)) = (bounded::<i32>(0), bounded::<()>(1));
        lasts(|time| select! { default(time) => {} });
        lasts(|time| select! { recv(empty) -> _ => unreachable!(), default(time) => {} });
        lasts(|time| select! { send(full, 1) -> _ => unreachable!(), default(time) => {} });
        lasts(|time| {
            select_biased! {
                default(time) => {}
                send(full, 1) -> _ => unreachable!(),
                recv(after(Duration::from_secs(3600))) -> _ => unreachable!(),
                recv(r) -> _ => unreachable!(),
            }
        });
        let mut select = Select::new();
        select.send(&full);
        select.recv(&empty);
        lasts(|time| assert!(select.select_timeout(time).is_err()));
        lasts(|time| assert!(select.select_deadline(now() + time).is_err()));
        lasts(|time| assert!(select.ready_timeout(time).is_err()));
        lasts(|time| assert!(select.ready_deadline(now() + time).is_err()));
    });
}

#[test]
fn a_default_that_is_far_off_does_not_end_the_wait() {
    everywhere(|| {
        for timeout in [Duration::from_secs(3600), Duration::MAX] {
            let ((s, r), bell) = (bounded(0), Bell::new());
            throng::scope(|scope| {
                let receiver = scope.spawn(|| {
                    select! {
                        recv(r) -> msg => msg,
                        recv(bell.r) -> _ => unreachable!(),
                        default(timeout) => unreachable!(),
                    }
                });
                bell.until_awaited();
                s.send(3).unwrap();
                assert_eq!(receiver.join().unwrap(), Ok(3));
            });
        }
    });
}

/// While one message is put into one channel, another is taken out of the other: at no instant are both empty.
#[test]
fn nothing_is_overlooked_between_two_channels() {
    type Look = fn(&mut Select<'_>, &[Receiver<()>; 2]);
    let looks: [Look; 5] = [
        |select, rs| complete(select.try_select().unwrap(), rs),
        |select, rs| complete(select.select_timeout(Duration::ZERO).unwrap(), rs),
        |select, rs| complete(select.select_deadline(now()).unwrap(), rs),
        |select, _| assert!(select.try_ready().is_ok()),
        |select, _| assert!(select.ready_timeout(Duration::ZERO).is_ok()),
    ];
    fn complete(oper: SelectedOperation<'_>, rs: &[Receiver<()>; 2]) {
        let r = &rs[oper.index()];
        oper.recv(r).unwrap();
    }
    for capacity in [Some(1), None] {
        for look in looks {
            let ((s1, r1), (s2, r2)) = (channel(capacity), channel(capacity));
            let (start, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
            let rounds = scaled(50, 1_000);
            let receivers = [r1, r2];
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        start.wait();
                        s2.send(()).unwrap();
                        let _ = receivers[0].try_recv();
                        end.wait();
                    }
                });
                for _ in 0..rounds {
                    s1.send(()).unwrap();
                    let mut select = Select::new();
                    receivers.iter().enumerate().for_each(|(i, r)| assert_eq!(select.recv(r), i));
                    start.wait();
                    look(&mut select, &receivers);
                    end.wait();
                    receivers.iter().for_each(|r| r.try_iter().for_each(drop));
                }
            });
        }
    }
}

// The same channel in several arms.

#[test]
fn each_arm_of_one_channel_has_its_turn() {
    let (s, r) = unbounded();
    let mut hits = [0; 4];
    while hits.contains(&0) {
        select! {
            recv(r) -> msg => { assert_eq!(msg, Ok(1)); hits[0] += 1 }
            recv(r) -> msg => { assert_eq!(msg, Ok(1)); hits[1] += 1 }
            send(s, 1) -> res => { res.unwrap(); hits[2] += 1 }
            send(s, 1) -> res => { res.unwrap(); hits[3] += 1 }
        }
    }
    assert_eq!(r.len(), hits[2] + hits[3] - hits[0] - hits[1]);
    r.try_iter().for_each(drop);
    let mut select = Select::new();
    assert_eq!([select.recv(&r), select.recv(&r), select.send(&s), select.send(&s)], [0, 1, 2, 3]);
    let mut hits = [0; 4];
    while hits.contains(&0) {
        let index = select.ready();
        hits[index] += 1;
        if index < 2 { assert_eq!(r.try_recv(), Ok(2)) } else { assert_eq!(s.try_send(2), Ok(())) }
    }
    // It doesn't receive from itself what it hasn't sent.
    let (s, r) = unbounded();
    select! {
        recv(r) -> _ => unreachable!(),
        send(s, 1) -> res => assert_eq!(res, Ok(())),
    }
}

/// Also if they waited for it.
#[test]
fn arms_of_one_channel_share_what_they_waited_for() {
    runtime(1).run(|| {
        let ((s, r), bell) = (bounded(0), Bell::new());
        let (mut hits, mut biased) = ([0; 5], [0; 2]);
        for _ in 0..TURNS / 2 {
            throng::scope(|scope| {
                let receiver = scope.spawn(|| {
                    select! {
                        recv(r) -> _ => 0,
                        recv(bell.r) -> _ => unreachable!(),
                        recv(r) -> _ => 1,
                        recv(r) -> _ => 2,
                    }
                });
                bell.until_awaited();
                s.try_send(0).unwrap();
                hits[receiver.join().unwrap()] += 1;
                let sender = scope.spawn(|| {
                    select! {
                        send(s, 3) -> res => res,
                        send(s, 4) -> res => res,
                        recv(bell.r) -> _ => unreachable!(),
                    }
                });
                bell.until_awaited();
                hits[r.recv().unwrap()] += 1;
                sender.join().unwrap().unwrap();
                let receiver = scope.spawn(|| {
                    select_biased! {
                        recv(r) -> _ => 0,
                        recv(bell.r) -> _ => unreachable!(),
                        recv(r) -> _ => 1,
                    }
                });
                bell.until_awaited();
                s.try_send(0).unwrap();
                biased[receiver.join().unwrap()] += 1;
            });
        }
        fair(&hits[..3]);
        fair(&hits[3..]);
        assert_eq!(biased, [TURNS / 2, 0]);
    });
}

#[test]
fn a_watcher_is_nobodys_peer() {
    everywhere(|| {
        let (s, r) = bounded::<()>(0);
        let both = || {
            let mut select = Select::new();
            select.send(&s);
            select.recv(&r);
            (select.try_ready().is_err(), select.ready_timeout(ms(2)).is_err())
        };
        throng::scope(|scope| {
            let watchers: Vec<_> = (0..3).map(|_| scope.spawn(both)).collect();
            assert!(s.try_send(()).is_err() && r.try_recv().is_err());
            watchers.into_iter().for_each(|watcher| assert_eq!(watcher.join().unwrap(), (true, true)));
        });
    });
}

/// Each meets another one, and all are met; with one who only sends and one who only receives among them.
#[test]
fn many_of_a_kind_meet() {
    every_crew(|crew| {
        let (s, r) = bounded(0);
        crew.run(24, |i| match i {
            10 => s.send(i).unwrap(),
            20 => assert_ne!(r.recv(), Ok(i)),
            _ => select! {
                recv(r) -> msg => assert!(msg.unwrap() != i),
                send(s, i) -> res => res.unwrap(),
            },
        });
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert!(!meets_receiver(&s) && !meets_sender(&r));
    });
}

// Few and many.

#[test]
fn there_may_be_as_many_arms_as_there_are_names() {
    let ((s, r), n) = (unbounded(), never::<i32>);
    let turn = || {
        select! {
            recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
            recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
            recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
            recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
            recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
            recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
            send(s, 1) -> res => res.map(|()| 0).map_err(|_| RecvError),
            recv(r) -> m => m,
            default => unreachable!(),
        }
    };
    assert!((0..100).filter(|_| turn() == Ok(1)).count() > 0);
}

#[test]
fn a_list_of_hundreds_is_woken_by_any() {
    everywhere(|| {
        let many = 10 * few(30);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..many).map(|_| bounded(0)).unzip();
        throng::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut select = Select::new();
                receivers.iter().enumerate().for_each(|(i, r)| assert_eq!(select.recv(r), i));
                for expected in (0..many).rev().step_by(7) {
                    let oper = select.select();
                    let index = oper.index();
                    assert_eq!((index, oper.recv(&receivers[index])), (expected, Ok(expected)));
                }
            });
            for i in (0..many).rev().step_by(7) {
                until(|| meets_receiver(&senders[i]));
                assert_eq!(senders[i].try_send(i), Ok(()));
            }
            receiver.join().unwrap();
        });
    });
}
