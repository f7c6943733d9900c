//! Channels awaited: by any executor, mixed with those who block, and dropped at any time.

mod common;

use common::{Dropped, elapsed_at_least, everywhere, few, ms, scaled};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use throng::chan::{RecvError, SendError, after, bounded, never, select, unbounded};
use throng::future::block_on;
use throng::time::now;

/// Counts how often it was woken.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count(AtomicUsize::new(0)));
    (Arc::clone(&count), Waker::from(count))
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[test]
fn a_future_receives_and_sends() {
    everywhere(|| {
        for capacity in [0, 1, 10] {
            let (s, r) = bounded(capacity);
            throng::scope(|scope| {
                scope.spawn(move || (0..few(100)).for_each(|i| s.send(i).unwrap()));
                block_on(async {
                    for i in 0..few(100) {
                        assert_eq!(r.recv_async().await, Ok(i));
                    }
                    assert_eq!(r.recv_async().await, Err(RecvError));
                });
            });
            let (s, r) = bounded(capacity);
            throng::scope(|scope| {
                let sum = scope.spawn(move || r.iter().take(few(100)).sum::<usize>());
                block_on(async {
                    for i in 0..few(100) {
                        s.send_async(i).await.unwrap();
                    }
                });
                assert_eq!(sum.join().unwrap(), (0..few(100)).sum());
                assert_eq!(block_on(s.send_async(1)), Err(SendError(1)));
            });
        }
    });
}

#[test]
fn a_future_is_woken_once_by_the_last_waker_it_was_given() {
    let (s, r) = bounded(0);
    let ((first, first_waker), (last, last_waker)) = (counting(), counting());
    let mut receive = pin!(r.recv_async());
    assert!(poll(receive.as_mut(), &first_waker).is_pending());
    assert!(poll(receive.as_mut(), &last_waker).is_pending());
    assert_eq!(s.try_send(5), Ok(()));
    assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1));
    assert_eq!(poll(receive.as_mut(), &last_waker), Poll::Ready(Ok(5)));

    let mut send = Box::pin(s.send_async(6));
    assert!(poll(send.as_mut(), &first_waker).is_pending());
    assert!(poll(send.as_mut(), &last_waker).is_pending());
    // The message is taken without another poll.
    assert_eq!(r.try_recv(), Ok(6));
    assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 2));
    assert_eq!(poll(send.as_mut(), &last_waker), Poll::Ready(Ok(())));
    drop(send);

    let mut receive = pin!(r.recv_async());
    assert!(poll(receive.as_mut(), &last_waker).is_pending());
    drop(s);
    assert_eq!(poll(receive.as_mut(), &last_waker), Poll::Ready(Err(RecvError)));
    assert_eq!(last.0.load(SeqCst), 3);
}

#[test]
fn a_receive_that_is_dropped_takes_nothing_with_it() {
    let (_, waker) = counting();
    for granted in [false, true] {
        for (s, r) in [unbounded(), bounded(3), bounded(0)] {
            let mut receive = Box::pin(r.recv_async());
            assert!(poll(receive.as_mut(), &waker).is_pending());
            if granted {
                s.try_send(1).unwrap();
                if s.capacity() != Some(0) {
                    s.try_send(2).unwrap();
                }
                assert!(r.len() < 2);
            }
            drop(receive);
            assert_eq!(r.try_recv().is_ok(), granted);
            assert_eq!(r.try_recv().is_ok(), granted && s.capacity() != Some(0));
            assert_eq!(s.try_send(3).is_ok(), s.capacity() != Some(0));
        }
    }
    // The next in line gets it.
    let (s, r) = bounded(0);
    let (mut one, mut two) = (Box::pin(r.recv_async()), Box::pin(r.recv_async()));
    assert!(poll(one.as_mut(), &waker).is_pending() && poll(two.as_mut(), &waker).is_pending());
    s.try_send(7).unwrap();
    drop(one);
    assert_eq!(poll(two.as_mut(), &waker), Poll::Ready(Ok(7)));
    drop(two);
    assert!(s.try_send(8).is_err());
}

#[test]
fn a_send_that_is_dropped_drops_its_message_unless_it_was_received() {
    let (_, waker) = counting();
    let drops = Arc::new(AtomicUsize::new(0));
    let (s, r) = bounded(0);
    drop(s.send_async(Dropped(Arc::clone(&drops))));
    assert_eq!(drops.load(SeqCst), 1);
    for received in [false, true] {
        let before = drops.load(SeqCst);
        let mut send = Box::pin(s.send_async(Dropped(Arc::clone(&drops))));
        assert!(poll(send.as_mut(), &waker).is_pending());
        let message = if received { r.try_recv().ok() } else { None };
        drop(send);
        assert_eq!(drops.load(SeqCst), before + usize::from(!received));
        drop(message);
        assert_eq!(drops.load(SeqCst), before + 1);
        assert!(r.try_recv().is_err());
    }
}

#[test]
fn a_future_meets_a_select() {
    let (_, waker) = counting();
    let (s, r) = bounded(0);
    let mut receive = Box::pin(r.recv_async());
    assert!(poll(receive.as_mut(), &waker).is_pending());
    select! {
        send(s, { assert!(poll(receive.as_mut(), &waker).is_pending()); 1 }) -> res => assert_eq!(res, Ok(())),
        recv(never::<()>()) -> _ => unreachable!(),
    }
    assert_eq!(poll(receive.as_mut(), &waker), Poll::Ready(Ok(1)));
    // One that goes while the message is made.
    let mut receive = Some(Box::pin(r.recv_async()));
    assert!(poll(receive.as_mut().unwrap().as_mut(), &waker).is_pending());
    select! {
        send(s, { receive = None; 2 }) -> res => assert_eq!(res, Ok(())),
        recv(never::<()>()) -> _ => unreachable!(),
    }
    assert_eq!((receive.is_none(), r.try_recv()), (true, Ok(2)));
    let mut send = Box::pin(s.send_async(3));
    assert!(poll(send.as_mut(), &waker).is_pending());
    select! {
        recv(r) -> msg => assert_eq!(msg, Ok(3)),
        recv(never::<()>()) -> _ => unreachable!(),
    }
    assert_eq!(poll(send.as_mut(), &waker), Poll::Ready(Ok(())));
}

#[test]
fn a_timed_channel_can_be_awaited() {
    everywhere(|| {
        let start = now();
        let r = after(ms(4));
        let due = block_on(async { r.recv_async().await.unwrap() });
        elapsed_at_least(start, ms(4));
        assert!(due >= start + ms(4));
        let later = after(std::time::Duration::from_secs(3600));
        let (_, waker) = counting();
        let mut receive = Box::pin(later.recv_async());
        assert!(poll(receive.as_mut(), &waker).is_pending());
        assert!(poll(receive.as_mut(), &waker).is_pending());
    });
}

/// Futures that are dropped at random among threads that block: as many messages come out as went in.
#[test]
fn dropped_futures_lose_nothing() {
    for capacity in [0, 1, 5] {
        let (s, r) = bounded(capacity);
        let rounds = scaled(1_000, 30_000);
        let counted = std::thread::scope(|scope| {
            let (count, blocking) = ((0..2), (0..2));
            let senders: Vec<_> = count
                .map(|_| {
                    let s = s.clone();
                    scope.spawn(move || {
                        let (_, waker) = counting();
                        let sent = Arc::new(AtomicUsize::new(0));
                        for i in 0..rounds {
                            let message = Dropped(Arc::clone(&sent));
                            if i % 4 == 0 {
                                let mut send = Box::pin(s.send_async(message));
                                let _ = poll(send.as_mut(), &waker);
                            } else {
                                s.send(message).ok().unwrap();
                            }
                        }
                        sent
                    })
                })
                .collect();
            let receivers: Vec<_> = blocking
                .map(|_| {
                    let r = r.clone();
                    scope.spawn(move || {
                        let (_, waker) = counting();
                        loop {
                            let mut receive = Box::pin(r.recv_async());
                            let _ = poll(receive.as_mut(), &waker);
                            drop(receive);
                            match r.recv() {
                                Ok(message) => drop(message),
                                Err(_) => break,
                            }
                        }
                    })
                })
                .collect();
            drop((s, r));
            let sent: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
            receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
            sent
        });
        assert!(counted.iter().all(|sent| sent.load(SeqCst) == rounds));
    }
}
