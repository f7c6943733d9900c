//! What a select does, and what it leaves alone: cases that lose, channels that are disconnected, selects within selects,
//! and of tasks and threads together.

#[path = "common/chan.rs"]
mod chan;
mod common;
#[path = "common/crew.rs"]
mod crew;

use chan::{Bell, channel, in_line, poll};
use common::{Dropped, everywhere, in_tasks, ms, scaled};
use crew::every_crew;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;
use throng::chan::{RecvError, Select, SendError, TryRecvError, after, bounded, never, unbounded};
use throng::future::block_on;
use throng::{select, select_biased};

const CAPACITIES: [Option<usize>; 3] = [Some(0), Some(1), None];

// Losing has no effect.

#[test]
fn cases_that_lose_take_and_leave_nothing() {
    let ((s, r), (room, left), (won, _r)) = (bounded(3), bounded(1), unbounded());
    (0..3).for_each(|i| s.send(i).unwrap());
    for turn in 0..200 {
        if turn % 2 == 0 {
            select_biased! {
                send(won, ()) -> res => res.unwrap(),
                recv(r) -> _ => unreachable!(),
                send(room, 0) -> _ => unreachable!(),
                default(ms(1)) => unreachable!(),
            }
        } else {
            let mut select = Select::new_biased();
            select.send(&won);
            select.recv(&r);
            select.send(&room);
            select.select().send(&won, ()).unwrap();
        }
    }
    assert_eq!((r.len(), left.len(), won.len()), (3, 0, 200));
    assert_eq!((s.is_full(), room.is_full(), room.try_send(9)), (true, false, Ok(())));
    assert_eq!(r.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

/// Others were in line before and behind a select that left it.
#[test]
fn a_select_that_lost_leaves_the_line_in_order() {
    everywhere(|| {
        for capacity in [0, 1] {
            let ((s, r), bell) = (bounded(capacity), Bell::new());
            let mut first = in_line(r.recv_async());
            throng::scope(|scope| {
                let select = scope.spawn(|| {
                    select! {
                        recv(r) -> _ => unreachable!(),
                        recv(bell.r) -> msg => msg,
                        recv(r) -> _ => unreachable!(),
                    }
                });
                bell.until_awaited();
                let mut last = in_line(r.recv_async());
                bell.s.send(()).unwrap();
                assert_eq!(select.join().unwrap(), Ok(()));
                assert_eq!((s.try_send(1), s.try_send(2)), (Ok(()), Ok(())));
                assert_eq!((poll(&mut first), poll(&mut last)), (Poll::Ready(Ok(1)), Poll::Ready(Ok(2))));
            });
            assert_eq!((s.try_send(3).is_ok(), r.try_recv().is_ok()), (capacity == 1, capacity == 1));

            (0..capacity).for_each(|_| s.send(0).unwrap());
            let mut first = in_line(s.send_async(1));
            throng::scope(|scope| {
                let select = scope.spawn(|| {
                    select! {
                        send(s, 7) -> _ => unreachable!(),
                        recv(bell.r) -> msg => msg,
                        send(s, 8) -> _ => unreachable!(),
                    }
                });
                bell.until_awaited();
                let mut last = in_line(s.send_async(2));
                bell.s.send(()).unwrap();
                assert_eq!(select.join().unwrap(), Ok(()));
                assert!(r.try_iter().eq(1 - capacity..3));
                assert_eq!((poll(&mut first), poll(&mut last)), (Poll::Ready(Ok(())), Poll::Ready(Ok(()))));
            });
        }
    });
}

#[test]
fn a_select_that_gives_up_leaves_nothing_behind() {
    everywhere(|| {
        for capacity in [0, 1] {
            let ((s, r), (full, unread), bell) = (bounded(capacity), bounded(capacity), Arc::new(Bell::new()));
            (0..capacity).for_each(|i| full.send(i).unwrap());
            let untouched = || {
                assert!(!bell.is_awaited());
                assert_eq!((s.try_send(0).is_ok(), r.try_recv().is_ok()), (capacity == 1, capacity == 1));
                assert!(full.try_send(7).is_err());
                assert!(unread.try_iter().eq(0..capacity));
                (0..capacity).for_each(|i| full.send(i).unwrap());
            };
            // Its time is up.
            select! {
                recv(r) -> _ => unreachable!(),
                send(full, 7) -> _ => unreachable!(),
                recv(bell.r) -> _ => unreachable!(),
                default(ms(1)) => {}
            }
            untouched();
            // It only watched.
            let mut select = Select::new();
            select.recv(&r);
            select.send(&full);
            select.recv(&bell.r);
            assert!(select.ready_timeout(ms(1)).is_err());
            untouched();
            // Its task was cancelled.
            let (r2, full2, bell2) = (r.clone(), full.clone(), Arc::clone(&bell));
            let task = throng::spawn(move || {
                select! {
                    recv(r2) -> _ => unreachable!(),
                    send(full2, 7) -> _ => unreachable!(),
                    recv(bell2.r) -> _ => unreachable!(),
                }
            });
            bell.until_awaited();
            task.cancel();
            assert!(task.join().is_err());
            untouched();
        }
    });
}

/// A select that waits in one line several times is met once.
#[test]
fn one_message_wakes_one_arm() {
    everywhere(|| {
        let ((s, r), bell) = (bounded(0), Bell::new());
        for i in 0..20 {
            throng::scope(|scope| {
                let receiver = scope.spawn(|| {
                    select! {
                        recv(r) -> msg => msg,
                        recv(bell.r) -> _ => unreachable!(),
                        recv(r) -> msg => msg,
                        recv(r) -> msg => msg,
                    }
                });
                bell.until_awaited();
                assert_eq!((s.try_send(i), s.try_send(!i).is_err()), (Ok(()), true));
                assert_eq!(receiver.join().unwrap(), Ok(i));
                let sender = scope.spawn(|| {
                    select! {
                        send(s, i) -> res => res,
                        recv(bell.r) -> _ => unreachable!(),
                        send(s, i) -> res => res,
                    }
                });
                bell.until_awaited();
                assert_eq!((r.try_recv(), r.try_recv()), (Ok(i), Err(TryRecvError::Empty)));
                assert_eq!(sender.join().unwrap(), Ok(()));
            });
        }
    });
}

// Disconnection.

#[test]
fn a_disconnection_ends_the_wait_and_a_dropped_clone_does_not() {
    everywhere(|| {
        for capacity in CAPACITIES {
            let ((s, r), bell) = (channel::<i32>(capacity), Bell::new());
            throng::scope(|scope| {
                let receiver = scope.spawn(|| {
                    select! {
                        recv(r) -> msg => msg,
                        recv(bell.r) -> _ => unreachable!(),
                    }
                });
                let watcher = scope.spawn(|| {
                    let mut select = Select::new();
                    select.recv(&r);
                    select.ready()
                });
                bell.until_awaited();
                drop(s.clone());
                assert!(bell.is_awaited());
                drop(s);
                assert_eq!((receiver.join().unwrap(), watcher.join().unwrap()), (Err(RecvError), 0));
            });
            let Some(capacity) = capacity else { continue };
            let ((s, r), bell) = (bounded(capacity), Bell::new());
            (0..capacity).for_each(|_| s.send(0).unwrap());
            throng::scope(|scope| {
                let sender = scope.spawn(|| {
                    select! {
                        send(s, 5) -> res => res,
                        recv(bell.r) -> _ => unreachable!(),
                    }
                });
                let watcher = scope.spawn(|| {
                    let mut select = Select::new();
                    select.send(&s);
                    select.ready_timeout(Duration::MAX)
                });
                bell.until_awaited();
                drop(r.clone());
                assert!(bell.is_awaited());
                drop(r);
                assert_eq!((sender.join().unwrap(), watcher.join().unwrap()), (Err(SendError(5)), Ok(0)));
            });
        }
    });
}

/// What was chosen before stands; only the send finds that nobody will receive.
#[test]
fn a_chosen_operation_meets_a_disconnection() {
    for capacity in CAPACITIES {
        let drops = Arc::new(AtomicUsize::new(0));
        let (s, r) = channel(capacity);
        let receive = async move { r.recv_async().await };
        let mut receive = Box::pin(receive);
        if capacity == Some(0) {
            assert!(poll(&mut receive).is_pending());
        }
        let mut select = Select::new();
        select.send(&s);
        let oper = select.select();
        drop(receive);
        let error = oper.send(&s, Dropped(Arc::clone(&drops))).unwrap_err();
        assert_eq!(drops.load(SeqCst), 0);
        drop(error);
        assert_eq!(drops.load(SeqCst), 1);

        let (s, r) = channel(capacity);
        let mut send = Box::pin(async move { s.send_async(5).await });
        assert_eq!(poll(&mut send).is_pending(), capacity == Some(0));
        let mut select = Select::new();
        select.recv(&r);
        let oper = select.select();
        drop(send);
        assert_eq!(oper.recv(&r), Ok(5));
        assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
    }
}

/// Senders of every kind, receivers that leave at any time: each message is dropped, once.
#[test]
fn every_message_is_dropped_once_whoever_goes_first() {
    in_tasks(|random| {
        for capacity in [Some(0), Some(1), Some(3), None] {
            let (made, drops) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let message = || {
                made.fetch_add(1, SeqCst);
                Dropped(Arc::clone(&drops))
            };
            for round in 0..scaled(10, 200) {
                let (s, r) = channel(capacity);
                let (other, unread) = bounded(1);
                let sends = random.below(12);
                throng::scope(|scope| {
                    for kind in 0..5 {
                        let (s, other, message) = (s.clone(), other.clone(), &message);
                        scope.spawn(move || {
                            for _ in 0..sends {
                                let sent = match kind {
                                    0 => s.send(message()).is_ok(),
                                    1 => s.send_timeout(message(), ms(1)).is_ok(),
                                    2 => block_on(s.send_async(message())).is_ok(),
                                    3 => s.try_send(message()).is_ok(),
                                    _ => select! {
                                        send(s, message()) -> res => res.is_ok(),
                                        send(other, message()) -> res => res.is_ok(),
                                    },
                                };
                                if !sent {
                                    break;
                                }
                            }
                        });
                    }
                    drop((s, other));
                    for kind in 0..2 {
                        let (r, unread) = (r.clone(), unread.clone());
                        let most = if round % 2 == 0 { usize::MAX } else { random.below(20) as usize };
                        scope.spawn(move || {
                            for _ in 0..most {
                                let open = match kind {
                                    0 => r.recv().is_ok(),
                                    _ => select! {
                                        recv(r) -> msg => msg.is_ok(),
                                        recv(unread) -> msg => msg.is_ok(),
                                    },
                                };
                                if !open {
                                    break;
                                }
                            }
                        });
                    }
                    drop((r, unread));
                });
                assert_eq!(drops.load(SeqCst), made.load(SeqCst));
            }
        }
    });
}

// Nesting.

#[test]
fn a_message_may_be_made_by_a_select_on_the_same_channels() {
    everywhere(|| {
        let (s, r) = bounded(0);
        let mut receivers: Vec<_> = (0..3).map(|_| in_line(r.recv_async())).collect();
        select! {
            send(s, select! {
                send(s, { s.try_send(3).unwrap(); 2 }) -> res => { res.unwrap(); 1 }
                recv(never::<()>()) -> _ => unreachable!(),
            }) -> res => assert_eq!(res, Ok(())),
            recv(r) -> _ => unreachable!(),
        }
        // Which of them got which is not said.
        let mut got: Vec<_> = receivers.iter_mut().map(|receive| block_on(receive).unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, [1, 2, 3]);
    });
}

#[test]
fn a_message_may_wait_for_others() {
    everywhere(|| {
        let ((s, r), (ask, asked), (answer, answered)) = (bounded(0), bounded(0), bounded(0));
        throng::scope(|scope| {
            let receiver = scope.spawn(|| r.recv());
            scope.spawn(|| {
                let question: i32 = asked.recv().unwrap();
                select! {
                    send(answer, question + 1) -> res => res.unwrap(),
                    recv(never::<()>()) -> _ => unreachable!(),
                }
            });
            select! {
                send(s, { ask.send(41).unwrap(); answered.recv().unwrap() }) -> res => res.unwrap(),
                recv(never::<()>()) -> _ => unreachable!(),
            }
            assert_eq!(receiver.join().unwrap(), Ok(42));
        });
    });
}

// Threads and tasks.

/// Half of them send and half receive, each in its way, on two channels: as much comes out as went in.
#[test]
fn threads_and_tasks_select_among_each_other() {
    every_crew(|crew| {
        for capacity in CAPACITIES {
            let ((s1, r1), (s2, r2)) = (channel(capacity), channel(capacity));
            let (each, received) = (scaled(60, 1_000), AtomicUsize::new(0));
            crew.run(8, |job| match job {
                // Of each kind one may be a thread and one a task.
                0..4 => {
                    for i in 0..each {
                        select! {
                            send(s1, i) -> res => res.unwrap(),
                            send(s2, i) -> res => res.unwrap(),
                        }
                    }
                }
                4 | 5 => {
                    for _ in 0..each {
                        let i = select_biased! {
                            recv(r1) -> msg => msg.unwrap(),
                            recv(r2) -> msg => msg.unwrap(),
                            recv(after(Duration::from_secs(3600))) -> _ => unreachable!(),
                        };
                        received.fetch_add(i, SeqCst);
                    }
                }
                _ => {
                    let mut select = Select::new();
                    assert_eq!((select.recv(&r1), select.recv(&r2)), (0, 1));
                    for _ in 0..each {
                        let i = loop {
                            let r = [&r1, &r2][select.ready()];
                            match r.try_recv() {
                                Ok(i) => break i,
                                Err(error) => assert!(error.is_empty()),
                            }
                        };
                        received.fetch_add(i, SeqCst);
                    }
                }
            });
            assert_eq!(received.into_inner(), 4 * each * (each - 1) / 2);
            assert!(r1.try_recv().is_err() && r2.try_recv().is_err());
        }
    });
}

#[test]
fn a_thread_and_a_task_meet_in_selects() {
    let ((s, r), bell) = (bounded(0), Bell::new());
    let receive = || {
        select! {
            recv(r) -> msg => msg,
            recv(bell.r) -> _ => unreachable!(),
        }
    };
    let send = |i: i32| {
        bell.until_awaited();
        select! {
            send(s, i) -> res => res,
            recv(never::<()>()) -> _ => unreachable!(),
        }
    };
    std::thread::scope(|threads| {
        throng::scope(|tasks| {
            for i in 0..scaled(50, 500) as i32 {
                let receiver = threads.spawn(receive);
                assert_eq!(tasks.spawn(move || send(i)).join().unwrap(), Ok(()));
                assert_eq!(receiver.join().unwrap(), Ok(i));
                let receiver = tasks.spawn(receive);
                assert_eq!(threads.spawn(move || send(!i)).join().unwrap(), Ok(()));
                assert_eq!(receiver.join().unwrap(), Ok(!i));
            }
        });
    });
}
