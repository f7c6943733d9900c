//! `Select`: operations listed at run time, chosen or only watched.

mod common;

use common::{elapsed_at_least, everywhere, few, message, ms};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use throng::chan::{
    Receiver, RecvError, Select, SelectTimeoutError, SendError, TryReadyError, TrySelectError, bounded, never,
    unbounded,
};
use throng::time::now;

#[test]
fn an_empty_list_has_nothing_to_choose() {
    let mut select = Select::new();
    assert_eq!(select.try_select().unwrap_err(), TrySelectError);
    assert_eq!(select.try_ready(), Err(TryReadyError));
    let start = now();
    assert_eq!(select.select_timeout(ms(2)).unwrap_err(), SelectTimeoutError);
    assert!(select.ready_deadline(start + ms(4)).is_err());
    elapsed_at_least(start, ms(4));
    assert!(catch_unwind(AssertUnwindSafe(|| Select::new().ready())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(Select::new().select()))).is_err());
    assert_eq!(format!("{select:?}"), "Select { .. }");
}

#[test]
fn indices_count_up_and_are_not_reused() {
    let ((s, r), (s2, _r2)) = (unbounded::<i32>(), bounded::<i32>(0));
    let mut select = Select::default();
    assert_eq!((select.recv(&r), select.send(&s2), select.recv(&r)), (0, 1, 2));
    select.remove(0);
    assert_eq!(select.send(&s), 3);
    select.remove(2);
    assert_eq!(select.ready(), 3);
    select.remove(3);
    assert!(select.try_ready().is_err());
    for gone in [0, 4] {
        assert!(catch_unwind(AssertUnwindSafe(|| select.remove(gone))).is_err());
    }
}

#[test]
fn an_operation_is_completed_with_its_own_handle() {
    let ((s, r), (other, _r)) = (unbounded(), unbounded());
    let again = s.clone();
    for wrong in [&other, &again] {
        let mut select = Select::new();
        select.send(&s);
        let oper = select.select();
        assert_eq!(format!("{oper:?}"), "SelectedOperation { .. }");
        assert!(catch_unwind(AssertUnwindSafe(|| oper.send(wrong, 1))).is_err());
    }
    assert_eq!((r.len(), s.is_full()), (0, false));
    s.send(5).unwrap();
    let mut select = Select::new();
    select.recv(&r);
    let (oper, wrong) = (select.select(), r.clone());
    assert!(catch_unwind(AssertUnwindSafe(|| oper.recv(&wrong))).is_err());
    assert_eq!(r.try_recv(), Ok(5));
}

#[test]
fn an_operation_that_is_dropped_panics_and_gives_back_what_it_had() {
    everywhere(|| {
        for capacity in [Some(1), None] {
            let (s, r) = capacity.map_or_else(unbounded, bounded);
            let forget = |select: &mut Select<'_>| {
                let panic = catch_unwind(AssertUnwindSafe(|| drop(select.select()))).unwrap_err();
                assert!(message(&*panic).contains("completed"));
            };
            let mut sends = Select::new();
            sends.send(&s);
            forget(&mut sends);
            assert_eq!((r.len(), s.try_send(1)), (0, Ok(())));
            let mut receives = Select::new();
            receives.recv(&r);
            forget(&mut receives);
            assert_eq!((r.len(), r.try_recv()), (1, Ok(1)));
        }
    });
}

/// Without a buffer the sender of a message that is given back has gone on. As long as nobody receives it, the channel is
/// as one with a sender that waits.
#[test]
fn a_message_that_is_given_back_without_a_buffer_is_not_in_the_channel() {
    let (s, r) = bounded(0);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| s.send(1));
        let mut select = Select::new();
        select.recv(&r);
        let oper = select.select();
        assert_eq!(sender.join().unwrap(), Ok(()));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(oper))).is_err());
    });
    assert_eq!((r.len(), s.len(), r.is_empty(), r.is_full()), (0, 0, true, true));
    assert_eq!((s.try_send(2).is_err(), r.try_recv(), r.try_recv().is_err()), (true, Ok(1), true));
}

#[test]
fn what_is_reserved_is_not_for_others() {
    let (s, r) = bounded(2);
    s.send(1).unwrap();
    let mut receive = Select::new();
    receive.recv(&r);
    let oper = receive.select();
    assert_eq!((r.len(), r.try_recv().is_err()), (0, true));
    // Its place is still taken, and so is the room of a chosen send.
    let mut send = Select::new();
    send.send(&s);
    let sending = send.select();
    assert!(s.try_send(3).unwrap_err().is_full());
    assert!(send.try_select().is_err());
    assert_eq!(oper.recv(&r), Ok(1));
    assert_eq!(s.try_send(3), Ok(()));
    assert_eq!(sending.send(&s, 2), Ok(()));
    assert_eq!(r.try_iter().collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn a_reservation_that_is_given_back_serves_the_next() {
    everywhere(|| {
        let (s, r) = bounded(1);
        throng::scope(|scope| {
            s.send(1).unwrap();
            let mut select = Select::new();
            select.recv(&r);
            let oper = select.select();
            let receiver = scope.spawn(|| r.recv());
            throng::task::sleep(ms(1));
            assert!(catch_unwind(AssertUnwindSafe(|| drop(oper))).is_err());
            assert_eq!(receiver.join().unwrap(), Ok(1));

            let mut select = Select::new();
            select.send(&s);
            let oper = select.select();
            let sender = scope.spawn(|| s.send(2));
            throng::task::sleep(ms(1));
            assert!(catch_unwind(AssertUnwindSafe(|| drop(oper))).is_err());
            assert_eq!(sender.join().unwrap(), Ok(()));
            assert_eq!(r.recv(), Ok(2));
        });
    });
}

#[test]
fn a_disconnected_channel_is_ready() {
    let ((s, r), (_s, quiet)) = (unbounded::<i32>(), bounded::<i32>(1));
    drop(s);
    let mut select = Select::new();
    select.recv(&quiet);
    let gone = select.recv(&r);
    assert_eq!(select.ready(), gone);
    let oper = select.select();
    assert_eq!((oper.index(), oper.recv(&r)), (gone, Err(RecvError)));
    let (s, r) = bounded::<i32>(0);
    drop(r);
    let mut select = Select::new();
    let gone = select.send(&s);
    assert_eq!(select.try_ready(), Ok(gone));
    assert_eq!(select.select().send(&s, 4), Err(SendError(4)));
}

#[test]
fn a_select_that_waits_is_woken_by_what_makes_it_ready() {
    everywhere(|| {
        for capacity in [0, 1] {
            let (s, r) = bounded(capacity);
            let idle = never::<u8>();
            throng::scope(|scope| {
                let receiver = scope.spawn(|| {
                    let mut select = Select::new();
                    select.recv(&idle);
                    let index = select.recv(&r);
                    let oper = select.select();
                    assert_eq!(oper.index(), index);
                    oper.recv(&r)
                });
                throng::task::sleep(ms(1));
                s.send(1).unwrap();
                assert_eq!(receiver.join().unwrap(), Ok(1));

                (0..capacity).for_each(|_| s.send(2).unwrap());
                let sender = scope.spawn(|| {
                    let mut select = Select::new();
                    select.recv(&idle);
                    select.send(&s);
                    select.select_timeout(Duration::MAX).unwrap().send(&s, 3)
                });
                throng::task::sleep(ms(1));
                (0..capacity).for_each(|_| assert_eq!(r.recv(), Ok(2)));
                assert_eq!(r.recv(), Ok(3));
                assert_eq!(sender.join().unwrap(), Ok(()));
            });
        }
    });
}

#[test]
fn ready_tells_of_every_change() {
    everywhere(|| {
        for capacity in [0, 1] {
            let (s, r) = bounded(capacity);
            let watch_recv = || {
                let mut select = Select::new();
                select.recv(&r);
                select.ready()
            };
            let watch_send = || {
                let mut select = Select::new();
                select.send(&s);
                select.ready_timeout(Duration::MAX).unwrap()
            };
            throng::scope(|scope| {
                let watchers: Vec<_> = (0..3).map(|_| scope.spawn(watch_recv)).collect();
                throng::task::sleep(ms(1));
                let sender = scope.spawn(|| s.send(1));
                watchers.into_iter().for_each(|watcher| assert_eq!(watcher.join().unwrap(), 0));
                assert_eq!(r.recv(), Ok(1));
                sender.join().unwrap().unwrap();

                (0..capacity).for_each(|_| s.send(2).unwrap());
                let watchers: Vec<_> = (0..3).map(|_| scope.spawn(watch_send)).collect();
                throng::task::sleep(ms(1));
                let receiver = scope.spawn(|| r.recv());
                watchers.into_iter().for_each(|watcher| assert_eq!(watcher.join().unwrap(), 0));
                s.send(3).unwrap();
                assert!(receiver.join().unwrap().is_ok());
            });
            r.try_iter().for_each(drop);
            let (s, r) = (s.clone(), r.clone());
            let watcher = throng::spawn(move || {
                let mut select = Select::new();
                select.recv(&r);
                select.ready_timeout(ms(1)).is_err()
            });
            assert!(watcher.join().unwrap());
            drop(s);
        }
    });
}

#[test]
fn the_same_channel_may_be_listed_many_times() {
    everywhere(|| {
        let (s, r) = bounded::<usize>(0);
        throng::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut hits = [0; 3];
                let mut select = Select::new();
                for _ in 0..3 {
                    select.recv(&r);
                }
                for _ in 0..few(300) {
                    let oper = select.select();
                    hits[oper.index()] += 1;
                    oper.recv(&r).unwrap();
                }
                hits.iter().sum::<usize>()
            });
            (0..few(300)).for_each(|i| s.send(i).unwrap());
            assert_eq!(receiver.join().unwrap(), few(300));
        });
    });
}

#[test]
fn many_operations_are_fair() {
    // More than are put in order by one number.
    for count in [2, 5, 16, 17, 40] {
        let channels: Vec<_> = (0..count).map(|_| unbounded()).collect();
        let mut select = Select::new();
        for (s, r) in &channels {
            (0..3_000).for_each(|_| s.send(()).unwrap());
            select.recv(r);
        }
        let mut hits = vec![0; count];
        for _ in 0..200 * count {
            let oper = select.select();
            let index = oper.index();
            hits[index] += 1;
            oper.recv(&channels[index].1).unwrap();
        }
        assert!(hits.iter().all(|hits| (100..300).contains(hits)), "{hits:?}");
    }
}

#[test]
fn a_biased_list_takes_the_first() {
    let channels: Vec<_> = (0..20).map(|_| bounded(1)).collect();
    let mut select = Select::new_biased();
    for (_, r) in &channels {
        select.recv(r);
    }
    assert!(select.select_timeout(ms(1)).is_err());
    channels.iter().for_each(|(s, _)| s.send(()).unwrap());
    for (turn, (_, r)) in channels.iter().enumerate() {
        assert_eq!(select.ready(), turn);
        let oper = select.select();
        assert_eq!((oper.index(), oper.recv(r)), (turn, Ok(())));
    }
    // Those that are removed don't disturb the order of the others.
    select.remove(0);
    channels.iter().for_each(|(s, _)| s.send(()).unwrap());
    assert_eq!(select.clone().ready(), 1);
}

#[test]
fn a_list_may_outlive_its_channels_and_cross_threads() {
    fn check<T: Send + Sync>(_: &T) {}
    let mut select = Select::new();
    let (_s, r) = unbounded::<std::rc::Rc<()>>();
    select.recv(&r);
    check(&select);
    // `r` is dropped before `select`, which is fine as long as nobody uses it.
}

#[test]
fn requests_are_answered_by_whoever_is_free() {
    fn recv_any<T>(receivers: &[Receiver<T>]) -> Option<T> {
        let mut select = Select::new();
        for r in receivers {
            select.recv(r);
        }
        for _ in receivers {
            let oper = select.select();
            let index = oper.index();
            match oper.recv(&receivers[index]) {
                Ok(message) => return Some(message),
                Err(_) => select.remove(index),
            }
        }
        None
    }
    everywhere(|| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..5).map(bounded).unzip();
        throng::scope(|scope| {
            for (i, s) in senders.into_iter().enumerate() {
                scope.spawn(move || (0..few(50)).for_each(|n| s.send(1_000 * i + n).unwrap()));
            }
            let mut got: Vec<_> = std::iter::from_fn(|| recv_any(&receivers)).collect();
            got.sort_unstable();
            assert_eq!(got, (0..5).flat_map(|i| (0..few(50)).map(move |n| 1_000 * i + n)).collect::<Vec<_>>());
        });
    });
}
