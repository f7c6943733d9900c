//! Channels of every capacity, none and huge ones among them: who waits, in which order, for how long, and whose the
//! message is when the wait was in vain.

#[path = "common/chan.rs"]
mod chan;
mod common;

use chan::{channel, in_line, meets_receiver, meets_sender, poll};
use common::{Dropped, elapsed_at_least, everywhere, in_tasks, ms, scaled, until};
use std::fmt::Debug;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;
use throng::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded,
    unbounded,
};
use throng::future::block_on;
use throng::time::now;

const CAPACITIES: [usize; 4] = [0, 1, 3, 40];

fn full(capacity: usize) -> (Sender<usize>, Receiver<usize>) {
    let (s, r) = bounded(capacity);
    (0..capacity).for_each(|i| s.send(i).unwrap());
    (s, r)
}

// Order.

#[test]
fn those_who_wait_to_send_are_let_in_in_order() {
    for capacity in CAPACITIES {
        let (s, r) = full(capacity);
        let mut waiting: Vec<_> = (capacity..capacity + 5).map(|i| in_line(s.send_async(i))).collect();
        for i in 0..capacity + 5 {
            // Nobody overtakes them, and nobody sees more than the channel may hold.
            if i < 5 {
                assert_eq!(s.try_send(99), Err(TrySendError::Full(99)));
                assert_eq!((r.len(), r.is_full()), (capacity, true));
            }
            assert_eq!(r.try_recv(), Ok(i));
        }
        assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
        assert!(waiting.iter_mut().all(|send| poll(send) == Poll::Ready(Ok(()))));
    }
}

#[test]
fn those_who_wait_to_receive_are_served_in_order() {
    for capacity in [Some(0), Some(5), Some(40), None] {
        let (s, r) = channel(capacity);
        let mut waiting: Vec<_> = (0..5).map(|_| in_line(r.recv_async())).collect();
        for i in 0..5 {
            assert_eq!(s.try_send(i), Ok(()));
            // It has its receiver, and is no message that others may take.
            assert_eq!((r.try_recv(), r.len(), s.is_empty()), (Err(TryRecvError::Empty), 0, true));
        }
        for (i, receive) in waiting.iter_mut().enumerate() {
            assert_eq!(poll(receive), Poll::Ready(Ok(i)));
        }
        assert_eq!(s.try_send(5).is_ok(), capacity != Some(0));
    }
}

/// A receiver that was woken for a message hasn't come for it yet; another, that waits, doesn't get the next before it.
#[test]
fn what_is_claimed_is_not_overtaken() {
    everywhere(|| {
        for capacity in [0, 3] {
            for selects in [false, true] {
                let (s, r) = bounded(capacity);
                let mut first = in_line(r.recv_async());
                s.try_send(1).unwrap();
                throng::scope(|scope| {
                    let receiver = scope.spawn(|| (r.recv().unwrap(), r.recv().unwrap()));
                    if capacity == 0 {
                        until(|| meets_receiver(&s));
                    } else {
                        throng::task::sleep(ms(1));
                    }
                    if selects {
                        throng::select! {
                            send(s, 2) -> res => res.unwrap(),
                            recv(throng::chan::never::<()>()) -> _ => unreachable!(),
                        }
                    } else {
                        s.send(2).unwrap();
                    }
                    s.send(3).unwrap();
                    let (a, b) = receiver.join().unwrap();
                    assert!(a < b, "{a} before {b}");
                    assert_eq!(poll(&mut first), Poll::Ready(Ok(6 - a - b)));
                });
            }
        }
    });
}

/// Of one sender's messages a receiver gets none before an earlier one, whoever else sends and receives.
#[test]
fn each_sender_has_its_order() {
    in_tasks(|_| {
        for capacity in CAPACITIES {
            let (s, r) = bounded(capacity);
            let each = scaled(100, 2_000);
            throng::scope(|scope| {
                for sender in 0..3 {
                    let s = s.clone();
                    scope.spawn(move || {
                        for i in 0..each {
                            let message = Box::new((sender, i));
                            match i % 3 {
                                0 => s.send(message).unwrap(),
                                1 => s.send_timeout(message, Duration::MAX).unwrap(),
                                _ => block_on(s.send_async(message)).unwrap(),
                            }
                        }
                    });
                }
                drop(s);
                let receivers: Vec<_> = (0..2)
                    .map(|kind| {
                        let r = &r;
                        scope.spawn(move || {
                            let (mut next, mut count) = ([0; 3], 0);
                            let receive = || match kind {
                                0 => r.recv().ok(),
                                _ => block_on(r.recv_async()).ok(),
                            };
                            while let Some(message) = receive() {
                                let (sender, i) = *message;
                                assert!(i >= next[sender]);
                                next[sender] = i + 1;
                                count += 1;
                            }
                            count
                        })
                    })
                    .collect();
                assert_eq!(receivers.into_iter().map(|r| r.join().unwrap()).sum::<usize>(), 3 * each);
            });
        }
    });
}

/// Whoever has put a message into a channel finds one there: his own, or that of another whose own was taken.
#[test]
fn a_message_that_was_sent_is_there() {
    in_tasks(|_| {
        for capacity in [Some(4), None] {
            let (s, r) = channel(capacity);
            throng::scope(|scope| {
                for i in 0..4 {
                    let (s, r) = (&s, &r);
                    scope.spawn(move || {
                        for _ in 0..scaled(300, 5_000) {
                            s.try_send(i).unwrap();
                            r.try_recv().unwrap();
                        }
                    });
                }
            });
            assert_eq!((s.len(), r.try_recv()), (0, Err(TryRecvError::Empty)));
        }
    });
}

#[test]
fn it_never_holds_more_than_it_may() {
    in_tasks(|_| {
        for capacity in CAPACITIES {
            let (s, r) = bounded(capacity);
            let (sent, received, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
            throng::scope(|scope| {
                scope.spawn(|| {
                    until(|| {
                        assert!(s.len() <= capacity && r.len() <= capacity);
                        done.load(SeqCst)
                    });
                });
                scope.spawn(|| {
                    for i in 0..scaled(200, 5_000) {
                        s.send(i).unwrap();
                        sent.fetch_add(1, SeqCst);
                        // As many have been received as don't fit.
                        assert!(i < received.load(SeqCst) + capacity);
                    }
                });
                for i in 0..scaled(200, 5_000) {
                    received.fetch_add(1, SeqCst);
                    assert_eq!(r.recv(), Ok(i));
                }
                until(|| sent.load(SeqCst) == received.load(SeqCst));
                done.store(true, SeqCst);
            });
        }
    });
}

// Without a buffer.

#[test]
fn without_a_buffer_a_send_returns_when_the_message_was_received() {
    everywhere(|| {
        let (s, r) = bounded(0);
        let begun = AtomicUsize::new(0);
        throng::scope(|scope| {
            scope.spawn(|| {
                for i in 1..=scaled(50, 500) {
                    s.send(i).unwrap();
                    assert!(begun.load(SeqCst) >= i);
                }
            });
            for i in 1..=scaled(50, 500) {
                until(|| meets_sender(&r));
                // It waits outside: the channel is empty, and full.
                assert_eq!((r.len(), r.is_empty(), s.is_full(), r.is_full()), (0, true, true, true));
                begun.store(i, SeqCst);
                let received = if i % 2 == 0 { r.try_recv().ok() } else { r.recv_timeout(Duration::ZERO).ok() };
                assert_eq!(received, Some(i));
            }
        });
    });
}

#[test]
fn without_a_buffer_what_must_not_wait_needs_a_peer() {
    everywhere(|| {
        let (s, r) = bounded(0);
        for i in 0..20 {
            assert_eq!((s.try_send(i), r.try_recv()), (Err(TrySendError::Full(i)), Err(TryRecvError::Empty)));
            let mut receive = in_line(r.recv_async());
            assert_eq!((s.try_send(i), s.try_send(!i)), (Ok(()), Err(TrySendError::Full(!i))));
            assert_eq!(poll(&mut receive), Poll::Ready(Ok(i)));
            throng::scope(|scope| {
                let receiver = scope.spawn(|| r.recv_deadline(now() + Duration::from_secs(3600)));
                until(|| meets_receiver(&s));
                assert_eq!(s.send_timeout(i, Duration::ZERO), Ok(()));
                assert_eq!(receiver.join().unwrap(), Ok(i));
            });
        }
    });
}

// Waits in vain.

#[test]
fn a_send_in_vain_gives_back_that_very_message() {
    everywhere(|| {
        for capacity in CAPACITIES {
            let (s, r) = bounded(capacity);
            (0..capacity).for_each(|i| s.send(Box::new(i)).unwrap());
            let message = Box::new(77);
            let place = &raw const *message;
            let message = s.try_send(message).unwrap_err().into_inner();
            let start = now();
            let error = s.send_timeout(message, ms(2)).unwrap_err();
            elapsed_at_least(start, ms(2));
            assert!(error.is_timeout());
            let error = s.send_deadline(error.into_inner(), start + ms(4)).unwrap_err();
            elapsed_at_least(start, ms(4));
            assert!(error.is_timeout());
            let message = error.into_inner();
            // All of them are in order, and there is no trace of those that gave up.
            assert!(r.try_iter().map(|i| *i).eq(0..capacity));
            assert_eq!(r.recv_timeout(ms(1)), Err(RecvTimeoutError::Timeout));
            drop(r);
            let message = s.send(message).unwrap_err().into_inner();
            let message = s.send_timeout(message, Duration::MAX).unwrap_err().into_inner();
            let message = block_on(s.send_async(message)).unwrap_err().into_inner();
            assert_eq!((&raw const *message, *message), (place, 77));
        }
    });
}

/// Whether they wait already or only begin to.
#[test]
fn those_who_wait_to_send_get_their_messages_back_from_a_channel_that_ends() {
    everywhere(|| {
        for capacity in CAPACITIES {
            let drops = Arc::new(AtomicUsize::new(0));
            let (s, r) = bounded(capacity);
            (0..capacity).for_each(|_| s.send((usize::MAX, Dropped(Arc::clone(&drops)))).ok().unwrap());
            let waiting = in_line(s.send_async((9, Dropped(Arc::clone(&drops)))));
            throng::scope(|scope| {
                let senders: Vec<_> = (0..6)
                    .map(|i| {
                        let (s, message) = (s.clone(), (i, Dropped(Arc::clone(&drops))));
                        scope.spawn(move || match i % 3 {
                            0 => s.send(message).unwrap_err().into_inner(),
                            1 => s.send_timeout(message, Duration::MAX).unwrap_err().into_inner(),
                            _ => block_on(s.send_async(message)).unwrap_err().into_inner(),
                        })
                    })
                    .collect();
                if capacity % 2 == 0 {
                    throng::task::sleep(ms(1));
                }
                drop(r);
                let back: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
                assert!(back.iter().map(|(i, _)| *i).eq(0..6));
                // Only what was in the channel went with it.
                assert_eq!(drops.load(SeqCst), capacity);
            });
            assert_eq!(drops.load(SeqCst), capacity + 6);
            let SendError((i, message)) = block_on(waiting).unwrap_err();
            assert_eq!((i, drops.load(SeqCst)), (9, capacity + 6));
            drop(message);
            assert_eq!(drops.load(SeqCst), capacity + 7);
        }
    });
}

#[test]
fn those_who_wait_to_receive_hear_of_the_end() {
    everywhere(|| {
        for capacity in CAPACITIES {
            let (s, r) = bounded::<usize>(capacity);
            throng::scope(|scope| {
                let receivers: Vec<_> = (0..10)
                    .map(|i| {
                        let r = r.clone();
                        scope.spawn(move || match i % 5 {
                            0 => r.recv() == Err(RecvError),
                            1 => r.recv_timeout(Duration::MAX) == Err(RecvTimeoutError::Disconnected),
                            2 => block_on(r.recv_async()) == Err(RecvError),
                            3 => r.iter().next().is_none(),
                            _ => r.into_iter().next().is_none(),
                        })
                    })
                    .collect();
                if capacity % 2 == 0 {
                    throng::task::sleep(ms(1));
                }
                drop(s);
                assert!(receivers.into_iter().all(|receiver| receiver.join().unwrap()));
            });
            assert_eq!(r.recv_deadline(now()), Err(RecvTimeoutError::Disconnected));
        }
    });
}

#[test]
fn a_wait_that_ends_late_loses_nothing() {
    in_tasks(|random| {
        for capacity in [0, 1] {
            let (s, r) = bounded(capacity);
            let drops = Arc::new(AtomicUsize::new(0));
            let (mut sent, mut back) = (0, 0);
            let received = throng::run(|| {
                throng::scope(|scope| {
                    let receiver = scope.spawn(|| {
                        let mut received = 0;
                        loop {
                            match r.recv_timeout(Duration::from_micros(random.below(50))) {
                                Ok(message) => drop::<Dropped>(message),
                                Err(RecvTimeoutError::Timeout) => continue,
                                Err(RecvTimeoutError::Disconnected) => break received,
                            }
                            received += 1;
                        }
                    });
                    for _ in 0..scaled(200, 2_000) {
                        let message = Dropped(Arc::clone(&drops));
                        match s.send_timeout(message, Duration::from_micros(random.below(50))) {
                            Ok(()) => sent += 1,
                            Err(SendTimeoutError::Timeout(_)) => back += 1,
                            Err(SendTimeoutError::Disconnected(_)) => unreachable!(),
                        }
                    }
                    drop(s);
                    receiver.join().unwrap()
                })
            });
            assert_eq!((received, sent + back), (sent, drops.load(SeqCst)));
        }
    });
}

// Messages of any size, and channels too.

/// From hand to hand, through a buffer, and back to one who can't send.
#[test]
fn messages_of_any_size_pass_whole() {
    fn check<T: Clone + PartialEq + Debug + Send + Sync>(message: &T) {
        for capacity in [Some(0), Some(1), Some(3), None] {
            let (s, r) = channel::<T>(capacity);
            throng::scope(|scope| {
                let receiver = scope.spawn(|| (0..8).all(|_| r.recv().unwrap() == *message));
                (0..8).for_each(|_| s.send(message.clone()).unwrap());
                assert!(receiver.join().unwrap());
                let receiver = scope.spawn(|| (0..4).all(|_| block_on(r.recv_async()).unwrap() == *message));
                (0..4).for_each(|_| block_on(s.send_async(message.clone())).unwrap());
                assert!(receiver.join().unwrap());
                scope.spawn(|| {
                    throng::select! {
                        send(s, message.clone()) -> res => res.unwrap(),
                        recv(throng::chan::never::<()>()) -> _ => unreachable!(),
                    }
                });
                throng::select! {
                    recv(r) -> msg => assert_eq!(msg.as_ref(), Ok(message)),
                    recv(throng::chan::never::<()>()) -> _ => unreachable!(),
                }
            });
            drop(r);
            assert!(s.send(message.clone()).unwrap_err().into_inner() == *message);
        }
    }
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(128))]
    struct Aligned([u8; 3]);
    everywhere(|| {
        check(&());
        check(&[0_u64; 0]);
        check(&7_u8);
        check(&Aligned([1, 2, 3]));
        check(&std::array::from_fn::<u32, 100, _>(|i| i as u32));
        check(&std::array::from_fn::<u16, 6_000, _>(|i| i as u16));
        check(&vec![String::from("a"), String::from("b")]);
    });
}

#[test]
fn messages_of_no_size_are_dropped_as_any() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.fetch_add(1, SeqCst);
        }
    }
    assert_eq!(size_of::<Nothing>(), 0);
    let (s, r) = bounded(1_000);
    (0..1_000).for_each(|_| s.send(Nothing).ok().unwrap());
    assert!(matches!(s.try_send(Nothing), Err(TrySendError::Full(Nothing))));
    assert_eq!((s.len(), DROPS.load(SeqCst)), (1_000, 1));
    (0..300).for_each(|_| drop(r.recv()));
    assert_eq!(DROPS.load(SeqCst), 301);
    let (hand, _r) = bounded(0);
    drop(in_line(hand.send_async(Nothing)));
    assert_eq!(DROPS.load(SeqCst), 302);
    drop(r);
    assert_eq!(DROPS.load(SeqCst), 1_002);
}

#[test]
fn a_huge_bound_costs_nothing() {
    for capacity in [1 << 20, isize::MAX as usize, usize::MAX - 1, usize::MAX] {
        let (s, r) = bounded::<[u8; 1_000]>(capacity);
        assert_eq!((s.capacity(), r.capacity()), (Some(capacity), Some(capacity)));
        for _ in 0..3 {
            (0..100).for_each(|i| s.try_send([i; 1_000]).unwrap());
            assert_eq!((s.len(), s.is_full(), r.is_full()), (100, false, false));
            assert!(r.try_iter().eq((0..100).map(|i| [i; 1_000])));
        }
        let mut receive = in_line(r.recv_async());
        s.send([7; 1_000]).unwrap();
        assert_eq!(poll(&mut receive), Poll::Ready(Ok([7; 1_000])));
    }
}

/// Their destructors may use the channel that drops them.
#[test]
fn messages_may_use_their_channel_as_they_go() {
    struct Talkative(Sender<Option<Talkative>>, Receiver<Option<Talkative>>, Arc<AtomicUsize>);
    impl Drop for Talkative {
        fn drop(&mut self) {
            // Nobody holds a lock: it could be asked for, and it is.
            let (s, r) = (&self.0, &self.1);
            s.try_send(None).ok();
            assert!(s.len() <= 8 && r.try_recv().is_ok_and(|message| message.is_none()));
            self.2.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let ((s, r), (s2, r2)) = (bounded(8), unbounded());
    (0..5).for_each(|_| s2.send(Talkative(s.clone(), r.clone(), Arc::clone(&drops))).ok().unwrap());
    drop(r2.recv());
    drop(r2);
    assert_eq!(drops.load(SeqCst), 5);
    // The very channel that is being disconnected.
    struct Last(Option<Sender<Last>>, Arc<AtomicUsize>);
    impl Drop for Last {
        fn drop(&mut self) {
            let Some(s) = self.0.take() else { return };
            assert!(s.is_empty());
            let error = s.send_timeout(Last(None, Arc::clone(&self.1)), Duration::MAX).unwrap_err();
            assert!(error.is_disconnected());
            self.1.fetch_add(1, SeqCst);
        }
    }
    let (s, r) = unbounded();
    (0..5).for_each(|_| s.send(Last(Some(s.clone()), Arc::clone(&drops))).ok().unwrap());
    drop(r);
    assert_eq!(drops.load(SeqCst), 10);
}

#[test]
fn a_message_may_be_made_of_another() {
    let (s, r) = bounded(1);
    s.send(1).unwrap();
    (0..100).for_each(|_| s.send(r.recv().unwrap() + 1).unwrap());
    assert_eq!(r.recv(), Ok(101));
}

// Iterators.

#[test]
fn an_iterator_takes_no_more_than_it_gives() {
    fn fused(_: &impl FusedIterator) {}
    everywhere(|| {
        for capacity in [Some(0), Some(2), None] {
            let (s, r) = channel(capacity);
            throng::scope(|scope| {
                scope.spawn(move || (0..60).for_each(|i| s.send(i).unwrap()));
                fused(&r.iter());
                for i in &r {
                    if i == 9 {
                        break;
                    }
                }
                // One within another.
                assert_eq!(r.iter().next(), Some(10));
                for i in r.iter().take(5) {
                    assert_eq!(r.iter().next(), Some(i + 1));
                }
                assert!(r.iter().zip(21..40).all(|(i, expected)| i == expected));
                let mut rest = r.clone().into_iter();
                fused(&rest);
                assert!(rest.by_ref().eq(41..60));
                assert_eq!((rest.next(), r.iter().next(), r.try_iter().next()), (None, None, None));
            });
        }
        // That which needs no wait goes on when there is more.
        let (s, r) = unbounded();
        let mut now = r.try_iter();
        for i in 0..3 {
            assert_eq!(now.next(), None);
            s.send(i).unwrap();
            assert_eq!(now.next(), Some(i));
        }
    });
}
