//! Whatever another kernel thread could do between two operations, a simulated task does with some seed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;
use throng::cancel::Token;
use throng::chan::{Receiver, TryRecvError, bounded, unbounded};
use throng::future::block_on;
use throng::sync::{Condvar, Mutex, Once, OnceLock, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard, Semaphore};
use throng::sync::{MutexGuard, WaitGroup};
use throng::task::{self, yield_now};
use throng::{scope, select_biased, sim, spawn, time};

const HOUR: Duration = Duration::from_secs(3600);

/// Asks that `f` returns `true` with one of some seeds.
fn with_some_seed(f: impl Fn() -> bool + Copy + 'static) {
    assert!((0..3000).any(|seed| sim::run(seed, f)), "no seed has come there");
}

/// Asks that both return `true` with some seed. The second one goes on when the first has spoken. It looks for that now and
/// then: to wake one who waits is a step, and that isn't what these tests are about.
fn both<T: Sync + 'static>(new: fn() -> T, first: fn(&T, &dyn Fn()) -> bool, second: fn(&T) -> bool) {
    with_some_seed(move || {
        let shared = new();
        let (s, r) = bounded(1);
        scope(|scope| {
            let second = scope.spawn(|| {
                look_out(&r);
                second(&shared)
            });
            let first = first(&shared, &|| s.send(()).unwrap());
            second.join().unwrap() && first
        })
    });
}

fn look_out<T>(r: &Receiver<T>) -> T {
    loop {
        match r.try_recv() {
            Ok(message) => return message,
            Err(_) => yield_now(),
        }
    }
}

#[test]
fn a_message_is_taken_before_its_sender_looks() {
    fn takes(f: fn(&throng::chan::Sender<()>, &Receiver<()>) -> bool) {
        with_some_seed(move || {
            let (s, r) = bounded(1);
            let other = r.clone();
            let taken = spawn(move || other.try_recv().is_ok());
            s.send(()).unwrap();
            let seen = f(&s, &r);
            taken.join().unwrap() && seen
        });
    }
    takes(|s, _| s.is_empty());
    takes(|_, r| r.is_empty());
    takes(|s, _| !s.is_full());
    takes(|_, r| !r.is_full());
}

#[test]
fn a_message_is_there_and_its_sender_not_yet_gone() {
    with_some_seed(|| {
        let (s, r) = unbounded();
        spawn(move || s.send(()).unwrap());
        look_out(&r);
        r.try_recv() == Err(TryRecvError::Empty)
    });
    with_some_seed(|| {
        let ((s, r), (say, heard)) = (unbounded(), unbounded());
        spawn(move || {
            say.send(()).unwrap();
            drop(r);
        });
        look_out(&heard);
        s.send(()).is_ok()
    });
}

#[test]
fn of_two_messages_that_a_future_sends_one_is_there() {
    with_some_seed(|| {
        let (s, r) = unbounded();
        spawn(move || {
            block_on(async {
                s.send_async(1).await.unwrap();
                s.send_async(2).await.unwrap();
            });
            task::park();
        });
        look_out(&r);
        r.try_recv() == Err(TryRecvError::Empty)
    });
    with_some_seed(|| {
        let (s, r) = unbounded();
        (0..2).for_each(|message| s.send(message).unwrap());
        spawn(move || {
            block_on(async {
                r.recv_async().await.unwrap();
                r.recv_async().await.unwrap();
            });
        });
        (0..9).any(|_| {
            yield_now();
            s.len() == 1
        })
    });
}

#[test]
fn a_future_s_message_is_taken_before_the_future_is_dropped() {
    both(
        || {
            let (s, r) = bounded(1);
            s.send(0).unwrap();
            (s, r)
        },
        |(s, _), say| {
            let mut send = pin!(Some(s.send_async(1)));
            let polled = send.as_mut().as_pin_mut().unwrap().poll(&mut Context::from_waker(Waker::noop()));
            say();
            send.set(None);
            polled.is_pending()
        },
        |(_, r)| (r.try_recv(), r.try_recv()) == (Ok(0), Ok(1)),
    );
}

#[test]
fn a_biased_select_takes_the_later_of_two_that_come_while_it_looks() {
    with_some_seed(|| {
        let ((s, first), (t, second)) = (bounded(1), bounded(1));
        spawn(move || s.send(()).and_then(|()| t.send(())));
        let is_second = select_biased! { recv(first) -> _ => false, recv(second) -> _ => true };
        is_second && first.len() == 1
    });
}

#[test]
fn a_lock_is_still_held_after_what_was_done_under_it() {
    fn mutex() -> Mutex<()> {
        Mutex::new(())
    }
    fn is_held(mutex: &Mutex<()>) -> bool {
        mutex.try_lock().is_none()
    }
    fn under<G>(guard: G, say: &dyn Fn()) -> bool {
        say();
        drop(guard);
        true
    }
    both(mutex, |mutex, say| under(mutex.lock(), say), is_held);
    both(mutex, |mutex, say| under(mutex.try_lock().unwrap(), say), is_held);
    both(mutex, |mutex, say| under(mutex.try_lock_for(HOUR).unwrap(), say), is_held);
    both(
        mutex,
        |mutex, say| {
            let guard = mutex.lock();
            say();
            MutexGuard::unlock_fair(guard);
            true
        },
        is_held,
    );
    both(RwLock::<()>::default, |lock, say| under(lock.read(), say), |lock| lock.try_write().is_none());
    both(RwLock::<()>::default, |lock, say| under(lock.write(), say), |lock| lock.try_read().is_none());
    both(
        RwLock::<()>::default,
        |lock, say| under(lock.upgradable_read(), say),
        |lock| lock.try_upgradable_read().is_none(),
    );
    both(
        RwLock::<()>::default,
        |lock, say| {
            let guard = lock.write();
            say();
            under(RwLockWriteGuard::downgrade(guard), &|| ())
        },
        |lock| lock.try_read().is_none(),
    );
    let one = || Semaphore::new(1);
    both(one, |semaphore, say| under(semaphore.acquire(), say), |semaphore| semaphore.try_acquire().is_none());
}

#[test]
fn a_lock_is_taken_before_one_looks() {
    both(
        || (Mutex::new(()), Semaphore::new(1)),
        |(mutex, semaphore), say| {
            say();
            mutex.is_locked() && semaphore.available_permits() == 0
        },
        |(mutex, semaphore)| {
            let _held = (semaphore.acquire(), mutex.lock());
            (0..9).for_each(|_| yield_now());
            true
        },
    );
    both(
        RwLock::<()>::default,
        |lock, say| {
            say();
            lock.is_locked() && lock.is_locked_exclusive()
        },
        |lock| {
            let _held = lock.write();
            (0..9).for_each(|_| yield_now());
            true
        },
    );
    both(
        RwLock::<()>::default,
        |lock, say| {
            let guard = lock.upgradable_read();
            say();
            RwLockUpgradableReadGuard::try_upgrade(guard).is_err()
        },
        |lock| {
            let _held = lock.try_read();
            (0..9).for_each(|_| yield_now());
            true
        },
    );
}

#[test]
fn a_notification_comes_between_the_look_and_the_wait() {
    both(
        || (Mutex::new(()), Condvar::new(), Token::new()),
        |(mutex, changed, token), say| {
            say();
            let mut guard = mutex.lock();
            !token.is_cancelled() && changed.wait_for(&mut guard, HOUR).timed_out()
        },
        // Not under the lock, as it should be.
        |(_, changed, token)| {
            token.cancel();
            changed.notify_one();
            true
        },
    );
}

#[test]
fn what_is_initialised_once_is_so_before_one_looks() {
    both(
        OnceLock::<()>::new,
        |cell, say| {
            say();
            cell.get().is_some()
        },
        |cell| cell.set(()).is_ok(),
    );
    both(
        Once::new,
        |once, say| {
            say();
            once.is_completed()
        },
        |once| {
            once.call_once(|| ());
            true
        },
    );
}

#[test]
fn two_tokens_for_a_park_are_one() {
    both(
        OnceLock::<task::Task>::new,
        |parks, say| {
            let start = time::now();
            assert!(parks.set(task::current()).is_ok());
            say();
            task::park();
            task::park_timeout(HOUR);
            time::now() - start == HOUR
        },
        |parks| {
            (0..2).for_each(|_| parks.get().expect("set before").unpark());
            // It would have gone on by now.
            (0..9).for_each(|_| yield_now());
            true
        },
    );
}

#[test]
fn a_result_is_dropped_by_either_side() {
    struct Tell(Arc<AtomicBool>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.store(task::current().name() == Some("ends"), Relaxed);
        }
    }
    for by_its_task in [true, false] {
        with_some_seed(move || {
            let (s, r) = bounded(1);
            let by_task = Arc::new(AtomicBool::new(false));
            let tell = Tell(Arc::clone(&by_task));
            let handle = task::Builder::new().name("ends").spawn(move || {
                look_out(&r);
                tell
            });
            s.send(()).unwrap();
            drop(handle.unwrap());
            (0..9).for_each(|_| yield_now());
            by_task.load(Relaxed) == by_its_task && Arc::strong_count(&by_task) == 1
        });
    }
}

#[test]
fn a_group_has_members_between_two_looks() {
    both(
        WaitGroup::new,
        |group, say| {
            say();
            !group.wait_done_timeout(Duration::ZERO)
        },
        |group| {
            group.add(1);
            true
        },
    );
    with_some_seed(|| {
        let (s, r) = bounded(1);
        let group = WaitGroup::new();
        let member = group.clone();
        spawn(move || {
            s.send(()).unwrap();
            drop(member);
        });
        look_out(&r);
        group.wait_timeout(Duration::ZERO).is_err()
    });
}

#[test]
fn a_token_is_cancelled_and_its_child_not_yet() {
    with_some_seed(|| {
        let token = Token::new();
        let child = token.child();
        let (parent, done) = (token.clone(), token.done().clone());
        spawn(move || parent.cancel());
        // In the other order that would be easy.
        (0..9).any(|_| token.is_cancelled() && !child.is_cancelled()) && done.try_recv().is_err()
    });
}
