//! Sending and receiving: order, capacity, limits of time, disconnection, errors, iterators.

#[path = "common/chan.rs"]
mod chan;
mod common;

use chan::{channel, meets_receiver, meets_sender};
use common::{elapsed_at_least, everywhere, few, ms, until};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded,
    unbounded,
};
use throng::time::now;

const CAPACITIES: [Option<usize>; 5] = [Some(0), Some(1), Some(3), Some(100), None];

#[test]
fn messages_come_in_their_order() {
    everywhere(|| {
        for capacity in CAPACITIES {
            let (s, r) = channel(capacity);
            throng::scope(|scope| {
                scope.spawn(|| {
                    for i in 0..few(1_000) {
                        s.send(i).unwrap();
                    }
                });
                for i in 0..few(1_000) {
                    assert_eq!(r.recv(), Ok(i));
                }
            });
        }
    });
}

#[test]
fn length_and_capacity_tell_what_is_in_it() {
    let (s, r) = bounded(2);
    assert_eq!((s.len(), s.is_empty(), s.is_full(), s.capacity()), (0, true, false, Some(2)));
    assert_eq!((r.len(), r.is_empty(), r.is_full(), r.capacity()), (0, true, false, Some(2)));
    s.send(()).unwrap();
    assert_eq!((s.len(), s.is_empty(), s.is_full()), (1, false, false));
    s.send(()).unwrap();
    assert_eq!((s.len(), s.is_empty(), s.is_full()), (2, false, true));
    assert_eq!((r.len(), r.is_empty(), r.is_full()), (2, false, true));
    r.recv().unwrap();
    assert_eq!((r.len(), r.is_empty(), r.is_full()), (1, false, false));

    let (s, r) = bounded::<()>(0);
    assert_eq!((s.len(), s.is_empty(), s.is_full(), s.capacity()), (0, true, true, Some(0)));
    assert_eq!((r.len(), r.is_empty(), r.is_full(), r.capacity()), (0, true, true, Some(0)));

    let (s, r) = unbounded();
    (0..1_000).for_each(|i| s.send(i).unwrap());
    assert_eq!((s.len(), s.is_empty(), s.is_full(), s.capacity()), (1_000, false, false, None));
    assert_eq!((r.len(), r.is_empty(), r.is_full(), r.capacity()), (1_000, false, false, None));
    assert_eq!(bounded::<[u8; 4096]>(usize::MAX >> 1).0.capacity(), Some(usize::MAX >> 1));
}

#[test]
fn a_full_channel_refuses_what_must_not_wait() {
    let (s, r) = bounded(1);
    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(s.try_send(1), Ok(()));
    assert_eq!(s.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!(s.send_timeout(3, Duration::ZERO), Err(SendTimeoutError::Timeout(3)));
    assert_eq!(r.recv_timeout(Duration::ZERO), Ok(1));
    assert_eq!(r.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));

    let (s, r) = bounded(0);
    assert_eq!(s.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_send_waits_for_room_and_a_receive_for_a_message() {
    everywhere(|| {
        let (s, r) = bounded(1);
        let sent = AtomicUsize::new(0);
        throng::scope(|scope| {
            scope.spawn(|| {
                for i in 0..3 {
                    s.send(i).unwrap();
                    sent.fetch_add(1, SeqCst);
                }
            });
            until(|| sent.load(SeqCst) == 1 && r.is_full());
            throng::task::sleep(ms(5));
            assert_eq!(sent.load(SeqCst), 1);
            assert_eq!(r.recv(), Ok(0));
            until(|| sent.load(SeqCst) == 2);
            assert_eq!((r.recv(), r.recv()), (Ok(1), Ok(2)));
        });

        let (s, r) = bounded(0);
        throng::scope(|scope| {
            let receiver = scope.spawn(|| r.recv());
            until(|| meets_receiver(&s));
            assert_eq!(s.try_send(7), Ok(()));
            assert_eq!(receiver.join().unwrap(), Ok(7));
            let sender = scope.spawn(|| s.send(8));
            until(|| meets_sender(&r));
            assert_eq!(r.try_recv(), Ok(8));
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn a_wait_ends_at_its_deadline_and_gives_the_message_back() {
    everywhere(|| {
        for capacity in [0, 1] {
            let (s, r) = bounded(capacity);
            let start = now();
            assert_eq!(r.recv_timeout(ms(5)), Err(RecvTimeoutError::Timeout));
            elapsed_at_least(start, ms(5));
            (0..capacity).for_each(|_| s.send("first".to_string()).unwrap());
            let start = now();
            let late = s.send_timeout("late".to_string(), ms(5));
            assert_eq!(late, Err(SendTimeoutError::Timeout("late".to_string())));
            elapsed_at_least(start, ms(5));
            assert!(s.send_deadline("late".to_string(), start).unwrap_err().is_timeout());
            // Those who timed out have left no trace.
            assert_eq!(r.try_recv().ok().as_deref(), (capacity > 0).then_some("first"));
            assert_eq!(r.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(r.recv_deadline(start), Err(RecvTimeoutError::Timeout));
        }
        // For ever, in effect.
        let (s, r) = bounded(0);
        throng::scope(|scope| {
            scope.spawn(|| s.send_timeout(1, Duration::MAX).unwrap());
            assert_eq!(r.recv_timeout(Duration::MAX), Ok(1));
        });
    });
}

#[test]
fn an_expired_deadline_does_not_keep_from_what_is_there() {
    let (s, r) = unbounded();
    let past = now();
    s.send_deadline(1, past).unwrap();
    s.send_timeout(2, Duration::ZERO).unwrap();
    assert_eq!(r.recv_deadline(past), Ok(1));
    assert_eq!(r.recv_timeout(Duration::ZERO), Ok(2));
}

#[test]
fn without_senders_what_is_left_is_received() {
    for capacity in [Some(8), None] {
        let (s, r) = channel(capacity);
        let other = s.clone();
        (0..3).for_each(|i| s.send(i).unwrap());
        drop(s);
        assert_eq!(r.recv(), Ok(0));
        drop(other);
        assert_eq!((r.recv(), r.try_recv()), (Ok(1), Ok(2)));
        assert_eq!(r.recv(), Err(RecvError));
        assert_eq!(r.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(r.recv_timeout(ms(1000)), Err(RecvTimeoutError::Disconnected));
        assert_eq!(r.recv_deadline(now()), Err(RecvTimeoutError::Disconnected));
    }
}

#[test]
fn without_receivers_messages_come_back() {
    for capacity in CAPACITIES {
        let (s, r) = channel(capacity);
        let other = r.clone();
        drop(r);
        assert_ne!(s.try_send(0), Err(TrySendError::Disconnected(0)));
        drop(other);
        assert_eq!(s.send(1), Err(SendError(1)));
        assert_eq!(s.try_send(2), Err(TrySendError::Disconnected(2)));
        assert_eq!(s.send_timeout(3, ms(1000)), Err(SendTimeoutError::Disconnected(3)));
        assert_eq!((s.len(), s.is_empty()), (0, true));
    }
}

#[test]
fn a_disconnection_wakes_all_who_wait() {
    everywhere(|| {
        for capacity in [0, 1] {
            let (s, r) = bounded::<usize>(capacity);
            throng::scope(|scope| {
                let waiting: Vec<_> = (0..5).map(|_| r.clone()).map(|r| scope.spawn(move || r.recv())).collect();
                throng::task::sleep(ms(2));
                drop(s);
                waiting.into_iter().for_each(|w| assert_eq!(w.join().unwrap(), Err(RecvError)));
            });
            let (s, r) = bounded::<usize>(capacity);
            (0..capacity).for_each(|_| s.send(9).unwrap());
            throng::scope(|scope| {
                let waiting: Vec<_> =
                    (0..5).map(|i| (i, s.clone())).map(|(i, s)| scope.spawn(move || s.send(i))).collect();
                throng::task::sleep(ms(2));
                drop(r);
                for (i, w) in waiting.into_iter().enumerate() {
                    assert_eq!(w.join().unwrap(), Err(SendError(i)));
                }
            });
        }
    });
}

#[test]
fn every_message_is_dropped_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    for capacity in [Some(100), None] {
        let drops = Arc::new(AtomicUsize::new(0));
        let message = || Counted(Arc::clone(&drops));
        let (s, r) = channel(capacity);
        (0..70).for_each(|_| s.send(message()).ok().unwrap());
        (0..20).for_each(|_| drop(r.recv()));
        assert_eq!(drops.load(SeqCst), 20);
        // The receivers go first: what is left is dropped with the last, not with the channel.
        drop(r);
        assert_eq!(drops.load(SeqCst), 70);
        drop(s.send(message()).unwrap_err().into_inner());
        assert_eq!(drops.load(SeqCst), 71);
        drop(s);

        let (s, r) = channel(capacity);
        (0..40).for_each(|_| s.send(message()).ok().unwrap());
        drop(s);
        assert_eq!(drops.load(SeqCst), 71);
        drop(r);
        assert_eq!(drops.load(SeqCst), 111);
    }
}

#[test]
fn a_message_that_holds_its_own_channel_is_freed() {
    struct Loop(#[allow(dead_code)] Sender<Loop>, #[allow(dead_code)] Rc<()>);
    let token = Rc::new(());
    let (s, r) = unbounded();
    s.send(Loop(s.clone(), Rc::clone(&token))).ok().unwrap();
    drop(r);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn a_destructor_that_panics_leaves_the_channel_whole() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb");
        }
    }
    let (s, r) = unbounded();
    s.send(Some(Bomb)).ok().unwrap();
    s.send(None).ok().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(r.recv()))).is_err());
    assert!(r.recv().unwrap().is_none());
    s.send(Some(Bomb)).ok().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(r))).is_err());
    assert!(s.send(None).is_err());
}

#[test]
fn messages_may_be_large_small_or_nothing() {
    fn check<T: Clone + PartialEq + std::fmt::Debug>(message: T) {
        for capacity in [Some(1), Some(70), None] {
            let (s, r) = channel(capacity);
            for _ in 0..3 {
                let count = capacity.unwrap_or(100);
                (0..count).for_each(|_| s.send(message.clone()).unwrap());
                assert_eq!(r.len(), count);
                assert!(r.try_iter().all(|m| m == message));
            }
        }
    }
    check(());
    check(1_u8);
    check([7_u16; 333]);
    check([1_u8; 40_000]);
    check(Box::new([1_u64; 9]));
}

#[test]
fn channels_go_through_channels() {
    everywhere(|| {
        let (s, r) = bounded(0);
        throng::scope(|scope| {
            scope.spawn(move || {
                let mut s: Sender<Box<dyn std::any::Any + Send>> = s;
                for _ in 0..few(100) {
                    let (next, r) = bounded(0);
                    s.send(Box::new(r)).unwrap();
                    s = next;
                }
            });
            let mut r: Receiver<Box<dyn std::any::Any + Send>> = r;
            for _ in 0..few(100) {
                r = *r.recv().unwrap().downcast().unwrap();
            }
            assert!(r.recv().is_err());
        });
    });
}

#[test]
fn iterators_end_with_the_channel_or_for_now() {
    let (s, r) = unbounded();
    (0..4).for_each(|i| s.send(i).unwrap());
    assert_eq!(r.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(r.try_iter().next(), None);
    (4..8).for_each(|i| s.send(i).unwrap());
    assert_eq!(r.iter().take(2).sum::<i32>(), 9);
    drop(s);
    let mut rest = r.iter();
    assert_eq!((rest.next(), rest.next(), rest.next(), rest.next()), (Some(6), Some(7), None, None));

    let (s, r) = bounded(1);
    throng::scope(|scope| {
        scope.spawn(move || (0..100).for_each(|i| s.send(i).unwrap()));
        let mut sum = 0;
        for i in &r {
            sum += i;
            if i == 49 {
                break;
            }
        }
        assert_eq!(sum + r.into_iter().sum::<i32>(), 4950);
    });
}

#[test]
fn handles_know_their_channel() {
    let ((s, r), (s2, r2)) = (unbounded::<()>(), unbounded());
    assert!(s.same_channel(&s.clone()) && !s.same_channel(&s2));
    assert!(r.same_channel(&r.clone()) && !r.same_channel(&r2));
}

#[test]
fn errors_convert_and_say_what_happened() {
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
    assert_eq!(SendTimeoutError::from(SendError(1)), SendTimeoutError::Disconnected(1));
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
    assert!(TrySendError::Full(()).is_full() && !TrySendError::Full(()).is_disconnected());
    assert!(SendTimeoutError::Timeout(()).is_timeout() && SendTimeoutError::Disconnected(()).is_disconnected());
    assert!(TryRecvError::Empty.is_empty() && TryRecvError::Disconnected.is_disconnected());
    assert!(RecvTimeoutError::Timeout.is_timeout() && RecvTimeoutError::Disconnected.is_disconnected());
    assert_eq!((SendError(1).into_inner(), TrySendError::Full(2).into_inner()), (1, 2));

    // A message needn't be `Debug`.
    struct Plain;
    let errors: [Box<dyn Error>; 5] = [
        Box::new(SendError(Plain)),
        Box::new(TrySendError::Full(Plain)),
        Box::new(SendTimeoutError::Timeout(Plain)),
        Box::new(RecvError),
        Box::new(TryRecvError::Empty),
    ];
    assert!(errors.iter().all(|error| !error.to_string().is_empty()));
    assert_eq!(format!("{:?} {:?}", SendError(Plain), TrySendError::Full(Plain)), "SendError(..) Full(..)");
    let (s, r) = unbounded::<Plain>();
    assert_eq!(format!("{s:?} {r:?} {:?}", r.iter()), "Sender { .. } Receiver { .. } Iter { .. }");
}

#[test]
fn handles_cross_threads_and_panics() {
    fn check<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    check::<Sender<i32>>();
    check::<Receiver<i32>>();
    // What is in it needn't be `Send`, as long as it stays here.
    let (s, r) = unbounded();
    s.send(Rc::new(1)).unwrap();
    assert_eq!(*r.recv().unwrap(), 1);
}

#[test]
fn a_cancelled_task_takes_no_message_and_loses_none() {
    everywhere(|| {
        for round in 0..2 * few(100) {
            let (s, r) = bounded(round % 2);
            let receiver = throng::spawn({
                let r = r.clone();
                move || r.recv()
            });
            if round % 3 == 0 {
                throng::task::yield_now();
            }
            receiver.cancel();
            let sender = throng::spawn(move || s.send(round));
            match receiver.join() {
                Ok(received) => assert_eq!(received, Ok(round)),
                Err(_) => assert_eq!(r.recv(), Ok(round)),
            }
            assert_eq!(sender.join().unwrap(), Ok(()));

            let (s, r) = bounded(0);
            let message = Arc::new(());
            let sender = throng::spawn({
                let message = Arc::clone(&message);
                move || s.send(message)
            });
            sender.cancel();
            // Either it was received, or it went down with its task.
            let received = r.recv();
            assert_eq!(received.is_ok(), sender.join().is_ok());
            drop(received);
            assert_eq!(Arc::strong_count(&message), 1);
        }
    });
}
