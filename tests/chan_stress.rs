//! Many senders and receivers: nothing is lost, nothing comes twice, nobody sleeps for ever.

#[path = "common/chan.rs"]
mod chan;
mod common;

use chan::channel;
use common::{Dropped, in_tasks, scaled};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::chan::{Select, SendTimeoutError, after, bounded, select};

const CAPACITIES: [Option<usize>; 4] = [Some(0), Some(1), Some(50), None];

/// `peers` senders of `each` messages, and as many receivers; the messages of each sender come in their order to each
/// receiver.
fn many_to_many(peers: usize, each: usize, capacity: Option<usize>) {
    let (s, r) = channel::<(usize, usize)>(capacity);
    throng::scope(|scope| {
        let receivers: Vec<_> = (0..peers)
            .map(|_| {
                let r = r.clone();
                scope.spawn(move || {
                    let (mut last, mut count) = (vec![None; peers], 0);
                    for (sender, i) in r {
                        assert!(last[sender] < Some(i));
                        last[sender] = Some(i);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for sender in 0..peers {
            let s = s.clone();
            scope.spawn(move || (0..each).for_each(|i| s.send((sender, i)).unwrap()));
        }
        drop(s);
        let count: usize = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
        assert_eq!(count, peers * each);
    });
    assert!(r.recv().is_err());
}

#[test]
fn tasks_lose_nothing() {
    in_tasks(|_| {
        for capacity in CAPACITIES {
            many_to_many(4, scaled(500, 20_000), capacity);
        }
    });
}

#[test]
fn threads_lose_nothing() {
    for capacity in CAPACITIES {
        let (s, r) = channel(capacity);
        let each = scaled(1_000, 30_000);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (s, r) = (s.clone(), r.clone());
                scope.spawn(move || (0..each).for_each(|i| s.send(i).unwrap()));
                let sum = &sum;
                scope.spawn(move || sum.fetch_add(r.into_iter().sum::<usize>(), SeqCst));
            }
            drop(s);
        });
        assert_eq!(sum.into_inner(), 4 * each * (each - 1) / 2);
    }
}

#[test]
fn threads_and_tasks_mix() {
    for capacity in CAPACITIES {
        let each = scaled(500, 10_000);
        let (s, r) = channel(capacity);
        let (back, answers) = channel(capacity);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (s, r, back) = (s.clone(), r.clone(), back.clone());
                scope.spawn(move || (0..each).for_each(|i| s.send(i).unwrap()));
                throng::spawn(move || r.into_iter().for_each(|i| back.send(i).unwrap()));
            }
            drop((s, back));
            assert_eq!(answers.into_iter().sum::<usize>(), each * (each - 1));
        });
    }
}

#[test]
fn selects_of_all_kinds_lose_nothing() {
    in_tasks(|_| {
        for capacity in CAPACITIES {
            let each = scaled(200, 5_000);
            let ((s1, r1), (s2, r2)) = (channel(capacity), channel(capacity));
            let received = AtomicUsize::new(0);
            throng::scope(|scope| {
                for peer in 0..4 {
                    let (s1, s2) = (s1.clone(), s2.clone());
                    scope.spawn(move || {
                        for i in 0..each {
                            select! {
                                send(s1, i) -> res => res.unwrap(),
                                send(s2, i) -> res => res.unwrap(),
                            }
                        }
                    });
                    let (received, r1, r2) = (&received, &r1, &r2);
                    scope.spawn(move || {
                        let mut open = (true, true);
                        let mut sum = 0;
                        while open != (false, false) {
                            let nobody = throng::chan::never();
                            let a = if open.0 { r1 } else { &nobody };
                            let b = if open.1 { r2 } else { &nobody };
                            if peer == 0 {
                                // The dynamic list, watching and trying.
                                let mut select = Select::new();
                                select.recv(a);
                                select.recv(b);
                                let index = select.ready();
                                match [a, b][index].try_recv() {
                                    Ok(i) => sum += i,
                                    Err(e) if e.is_empty() => {}
                                    Err(_) if index == 0 => open.0 = false,
                                    Err(_) => open.1 = false,
                                }
                            } else if peer == 1 {
                                select! {
                                    recv(a) -> msg => msg.map_or_else(|_| open.0 = false, |i| sum += i),
                                    recv(b) -> msg => msg.map_or_else(|_| open.1 = false, |i| sum += i),
                                    default(Duration::from_micros(50)) => {}
                                }
                            } else {
                                select! {
                                    recv(a) -> msg => msg.map_or_else(|_| open.0 = false, |i| sum += i),
                                    recv(b) -> msg => msg.map_or_else(|_| open.1 = false, |i| sum += i),
                                    recv(after(Duration::from_secs(100))) -> _ => unreachable!(),
                                }
                            }
                        }
                        received.fetch_add(sum, SeqCst);
                    });
                }
                drop((s1, s2));
            });
            assert_eq!(received.into_inner(), 4 * each * (each - 1) / 2, "{capacity:?}");
        }
    });
}

/// Receivers give up, senders give up, and each knows what became of its message.
#[test]
fn timeouts_lose_nothing() {
    in_tasks(|random| {
        for capacity in [0, 1, 3] {
            let (s, r) = bounded(capacity);
            let (sent, received) = (AtomicUsize::new(0), AtomicUsize::new(0));
            throng::scope(|scope| {
                for _ in 0..3 {
                    let s = s.clone();
                    let sent = &sent;
                    scope.spawn(move || {
                        for _ in 0..scaled(100, 1_000) {
                            match s.send_timeout(1, Duration::from_micros(random.below(60))) {
                                Ok(()) => drop(sent.fetch_add(1, SeqCst)),
                                Err(SendTimeoutError::Timeout(1)) => {}
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                    });
                    scope.spawn(|| {
                        loop {
                            match r.recv_timeout(Duration::from_micros(random.below(60))) {
                                Ok(n) => drop(received.fetch_add(n, SeqCst)),
                                Err(error) if error.is_timeout() => {}
                                Err(_) => break,
                            }
                        }
                    });
                }
                drop(s);
            });
            assert_eq!(sent.into_inner(), received.into_inner());
        }
    });
}

/// Tasks are cancelled while they wait; a message is either received, or in the channel, or went down with its sender.
#[test]
fn cancellation_loses_nothing() {
    in_tasks(|_| {
        for capacity in [0, 1, 4] {
            let drops = Arc::new(AtomicUsize::new(0));
            let (s, r) = bounded(capacity);
            let made = scaled(100, 2_000);
            let tasks: Vec<_> = (0..made)
                .map(|i| {
                    let (s, r) = (s.clone(), r.clone());
                    let message = Dropped(Arc::clone(&drops));
                    let sender = throng::spawn(move || s.send(message).is_ok());
                    let receiver = throng::spawn(move || r.recv().is_ok());
                    if i % 3 == 0 {
                        receiver.cancel();
                    }
                    if i % 5 == 0 {
                        sender.cancel();
                    }
                    (sender, receiver)
                })
                .collect();
            // As many more as were cancelled, and then some; all can end then.
            drop(s);
            let rest = throng::spawn(move || r.into_iter().count());
            for (sender, receiver) in tasks {
                let _ = (sender.join(), receiver.join());
            }
            rest.join().unwrap();
            assert_eq!(drops.load(SeqCst), made);
        }
    });
}

/// One sends and one receives on many channels in turn, as fast as they are made and dropped.
#[test]
fn channels_come_and_go() {
    in_tasks(|_| {
        for i in 0..scaled(300, 10_000) {
            let (s, r) = bounded(i % 2);
            let sender = throng::spawn(move || s.send(i));
            if i % 3 == 0 {
                drop(r);
                assert!(i % 2 == 1 || sender.join().unwrap().is_err());
            } else {
                assert_eq!(r.recv(), Ok(i));
                assert!(r.recv().is_err());
            }
        }
    });
}
