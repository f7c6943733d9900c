//! Futures on channels with wakers that do more than an executor's: they panic, or use the very channel when they are
//! cloned, woken or dropped.

mod common;

use common::{ms, panics_as_it_is_dropped};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;
use throng::cancel::Token;
use throng::chan::{Receiver, RecvError, Select, after, bounded, never, select};

type Hook = Arc<dyn Fn() + Send + Sync>;

/// A waker that calls its hook whenever anything is done with it.
#[allow(unsafe_code)]
fn hooked(hook: impl Fn() + Send + Sync + 'static) -> Waker {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(clone, release, wake_by_ref, release);
    fn raw(hook: Hook) -> RawWaker {
        RawWaker::new(Box::into_raw(Box::new(hook)).cast_const().cast(), &VTABLE)
    }
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: the waker owns the hook, as in the others.
        let hook = unsafe { &*data.cast::<Hook>() };
        hook();
        raw(Arc::clone(hook))
    }
    unsafe fn wake_by_ref(data: *const ()) {
        // SAFETY: as above.
        (unsafe { &*data.cast::<Hook>() })();
    }
    unsafe fn release(data: *const ()) {
        // SAFETY: as above, and it is the waker's end.
        (unsafe { Box::from_raw(data.cast_mut().cast::<Hook>()) })();
    }
    // SAFETY: each waker owns a box; a hook is shared between threads.
    unsafe { Waker::from_raw(raw(Arc::new(hook))) }
}

/// A waker that looks at a channel each time, which takes the channel's lock.
fn looking<T: Send + 'static>(r: &Receiver<T>) -> (Arc<AtomicUsize>, Waker) {
    let (looks, r) = (Arc::new(AtomicUsize::new(0)), r.clone());
    let counted = Arc::clone(&looks);
    let waker = hooked(move || {
        let _ = r.len();
        counted.fetch_add(1, SeqCst);
    });
    (looks, waker)
}

fn poll<F: Future>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

fn panicking() -> Waker {
    Waker::from(Arc::new(Panics))
}

// Wakers that use the channel.

#[test]
fn a_waker_is_cloned_without_the_channels_lock() {
    let (s, r) = bounded(0);
    let (looks, waker) = looking(&r);
    let mut receive = Box::pin(r.recv_async());
    assert!(poll(&mut receive, &waker).is_pending() && poll(&mut receive, &waker).is_pending());
    assert_eq!(s.try_send(1), Ok(()));
    assert_eq!(poll(&mut receive, &waker), Poll::Ready(Ok(1)));
    let mut send = Box::pin(s.send_async(2));
    assert!(poll(&mut send, &waker).is_pending() && poll(&mut send, &waker).is_pending());
    assert_eq!(r.try_recv(), Ok(2));
    assert_eq!(poll(&mut send, &waker), Poll::Ready(Ok(())));
    assert!(looks.load(SeqCst) >= 4);
}

#[test]
fn a_promised_futures_waker_is_dropped_without_the_channels_lock() {
    let (s, r) = bounded(0);
    let (looks, waker) = looking(&r);
    let mut receive = Box::pin(r.recv_async());
    assert!(poll(&mut receive, &waker).is_pending());
    let before = looks.load(SeqCst);
    select! {
        send(s, { drop(receive); 1 }) -> res => assert_eq!(res, Ok(())),
        recv(never::<()>()) -> _ => unreachable!(),
    }
    assert!(looks.load(SeqCst) > before, "the promise had a waker");
    assert_eq!(r.try_recv(), Ok(1));
}

/// A message that is due is for the first who asks; another future that was woken for it waits on.
#[test]
fn a_future_that_was_too_late_for_a_timed_message_waits_on() {
    for _ in 0..10 {
        let r = after(ms(3));
        let (_, waker) = looking(&r);
        let mut futures: Vec<_> = (0..3).map(|_| Box::pin(r.recv_async())).collect();
        while futures.len() == 3 {
            std::thread::sleep(ms(1));
            futures.retain_mut(|future| poll(future, &waker).is_pending());
        }
        for _ in 0..3 {
            std::thread::sleep(ms(1));
            assert!(futures.iter_mut().all(|future| poll(future, &waker).is_pending()));
        }
        assert_eq!(futures.len(), 2);
    }
}

// Wakers that panic. Whose work it is to wake them goes on as if they had not, and so do the others.

#[test]
fn a_wakers_panic_harms_no_other_waiter() {
    let (s, r) = bounded::<()>(0);
    std::thread::scope(|scope| {
        let mut futures: Vec<_> = (0..2).map(|_| Box::pin(r.recv_async())).collect();
        assert!(futures.iter_mut().all(|future| poll(future, &panicking()).is_pending()));
        let thread = scope.spawn(|| r.recv());
        let task = throng::spawn({
            let r = r.clone();
            move || r.recv()
        });
        std::thread::sleep(ms(1));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(s)));
        assert!(thread.join().unwrap().is_err() && task.join().unwrap().is_err());
        assert!(futures.iter_mut().all(|future| poll(future, Waker::noop()) == Poll::Ready(Err(RecvError))));
    });
}

#[test]
fn a_wakers_panic_loses_no_message() {
    fn meet(receive: impl Fn(&Receiver<Arc<()>>) -> Option<Arc<()>>) {
        let (s, r) = bounded(0);
        let message = Arc::new(());
        let mut send = Box::pin(s.send_async(Arc::clone(&message)));
        assert!(poll(&mut send, &panicking()).is_pending());
        let received = catch_unwind(AssertUnwindSafe(|| receive(&r)));
        assert!(received.is_ok_and(|received| received.is_some()));
        assert!(poll(&mut send, Waker::noop()).is_ready());
        assert_eq!(Arc::strong_count(&message), 1);
    }
    meet(|r| r.recv().ok());
    meet(|r| r.try_recv().ok());
    meet(|r| {
        select! {
            recv(r) -> message => message.ok(),
            recv(never::<()>()) -> _ => unreachable!(),
        }
    });
    meet(|r| {
        let mut select = Select::new();
        select.recv(r);
        select.select().recv(r).ok()
    });
}

#[test]
fn a_wakers_panic_loses_no_token() {
    let token = Token::new();
    let child = token.child();
    for token in [&token, &child] {
        let mut future = Box::pin(token.done().recv_async());
        assert!(poll(&mut future, &panicking()).is_pending());
        std::mem::forget(future);
    }
    let _ = catch_unwind(AssertUnwindSafe(|| token.cancel()));
    assert!(child.done().recv().is_err() && token.done().recv().is_err());
}

// Wakers that panic as they are dropped. Their future is gone all the same.

/// Polls a future, which has the only waker then, and drops it.
fn drop_with_the_last_waker<F: Future>(mut future: Pin<Box<F>>) {
    let waker = panics_as_it_is_dropped();
    assert!(poll(&mut future, &waker).is_pending());
    drop(waker);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(future))).is_err());
}

#[test]
fn a_message_that_is_not_sent_is_dropped_whatever_its_waker_does() {
    let (s, r) = bounded(0);
    let message = Arc::new(());
    drop_with_the_last_waker(Box::pin(s.send_async(Arc::clone(&message))));
    assert_eq!(Arc::strong_count(&message), 1);
    assert!(r.try_recv().is_err());
}

#[test]
fn a_promised_message_is_for_others_whatever_the_waker_does() {
    let (s, r) = bounded(0);
    let mut receive = Box::pin(r.recv_async());
    assert!(poll(&mut receive, Waker::noop()).is_pending());
    select! {
        send(s, { drop_with_the_last_waker(receive); 1 }) -> res => assert_eq!(res, Ok(())),
        recv(never::<()>()) -> _ => unreachable!(),
    }
    assert_eq!(r.try_recv(), Ok(1));
}

/// A future that is polled when its wait is over clones the waker, and drops it again.
#[test]
fn a_waker_that_panics_as_it_is_dropped_takes_nothing_with_it() {
    let panics_when_dropped = || {
        let calls = AtomicUsize::new(0);
        // The clone, and then its drop.
        hooked(move || assert_ne!(calls.fetch_add(1, SeqCst), 1))
    };
    let (s, r) = bounded(0);
    let message = Arc::new(());
    let mut send = Box::pin(s.send_async(Arc::clone(&message)));
    assert!(poll(&mut send, Waker::noop()).is_pending());
    let received = r.try_recv().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut send, &panics_when_dropped()))).is_err());
    drop(send);
    assert_eq!(Arc::strong_count(&message), 2, "it was dropped once more, by who had sent it");
    drop(received);

    let mut receive = Box::pin(r.recv_async());
    assert!(poll(&mut receive, Waker::noop()).is_pending());
    s.try_send(Arc::clone(&message)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut receive, &panics_when_dropped()))).is_err());
    drop(receive);
    assert!(r.try_recv().is_ok(), "a message was lost with the future");
}

/// It waits for the channel and for its alarm, each with a waker; whichever drop panics, the channel knows it no more.
#[test]
fn a_future_with_an_alarm_leaves_its_channel_whatever_its_wakers_do() {
    let r = after(Duration::from_secs(3600));
    for which in 0..2 {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let waker = hooked({
            let left = Arc::clone(&left);
            move || assert_ne!(left.fetch_sub(1, SeqCst), 0)
        });
        let mut future = Box::pin(r.recv_async());
        assert!(poll(&mut future, &waker).is_pending());
        left.store(which, SeqCst);
        // Or it is the alarm's task that drops that one.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        left.store(usize::MAX, SeqCst);
        // What would be written where it was.
        let others: Vec<_> = (1..64).map(|words| vec![usize::MAX; words]).collect();
        assert!(poll(&mut Box::pin(r.recv_async()), Waker::noop()).is_pending());
        assert!(others.iter().flatten().all(|&word| word == usize::MAX));
    }
}
