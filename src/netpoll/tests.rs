//! A netpoller by itself, with plain threads for its waiters.

use super::*;
use crate::control::Outcome;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::thread;

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    (a, b)
}

/// Polls once and fires what that gives; tells how many.
fn poll(netpoll: &Netpoll, wait: Wait) -> usize {
    let mut woken = Vec::new();
    netpoll.try_driver().expect("nobody else polls").poll(wait, &mut woken).unwrap();
    let count = woken.len();
    woken.into_iter().for_each(Wakeup::fire);
    count
}

/// Reads one byte, with waiting.
fn read(source: &Source, mut socket: &UnixStream, netpoll: impl Fn() -> io::Result<Arc<Netpoll>>) -> io::Result<u8> {
    let mut byte = [0];
    loop {
        let seen = source.look(Direction::Read);
        match socket.read(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => return result.map(|_| byte[0]),
        }
        let outcome = source.wait(socket.as_fd(), Direction::Read, seen, None, &netpoll)?;
        assert_eq!(outcome, Outcome::Woken);
    }
}

#[test]
fn one_driver_at_a_time() {
    let netpoll = Netpoll::new().unwrap();
    let driver = netpoll.try_driver().unwrap();
    assert!(netpoll.try_driver().is_none());
    drop(driver);
    assert!(netpoll.try_driver().is_some());
}

#[test]
fn a_deadline_ends_a_poll_and_not_before() {
    let netpoll = Netpoll::new().unwrap();
    let far = Instant::now() + Duration::from_secs(3600);
    for micros in [0, 1, 50, 300, 2500] {
        // A later deadline first: the earlier one must replace it.
        netpoll.wake();
        assert_eq!(poll(&netpoll, Wait::Until(far)), 0);
        let deadline = Instant::now() + Duration::from_micros(micros);
        while Instant::now() < deadline {
            assert_eq!(poll(&netpoll, Wait::Until(deadline)), 0);
        }
    }
    // A deadline of the past doesn't block either.
    assert_eq!(poll(&netpoll, Wait::Until(Instant::now() - Duration::from_millis(1))), 0);
}

#[test]
fn an_alarm_is_late_rather_than_early() {
    let mut netpoll = Netpoll::new().unwrap();
    let Poller { poll, events, alarm } = Arc::get_mut(&mut netpoll).unwrap().poller.get_mut();
    for _ in 0..100 {
        let deadline = Instant::now() + Duration::from_micros(200);
        alarm.set(deadline).unwrap();
        poll.poll(events, None).unwrap();
        assert!(Instant::now() >= deadline);
        assert_eq!(events.iter().next().unwrap().token(), ALARM);
        alarm.rang();
    }
}

#[test]
fn a_wake_is_kept_for_the_next_sleeper() {
    let netpoll = Netpoll::new().unwrap();
    netpoll.wake();
    netpoll.wake();
    // Whoever doesn't sleep doesn't use it up.
    assert_eq!(poll(&netpoll, Wait::Now), 0);
    assert_eq!(poll(&netpoll, Wait::Forever), 0);
    let sleeper = {
        let netpoll = netpoll.clone();
        thread::spawn(move || poll(&netpoll, Wait::Forever))
    };
    netpoll.wake();
    assert_eq!(sleeper.join().unwrap(), 0);
}

/// Would hang if a wake-up were lost.
#[test]
fn no_wake_is_lost() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const ROUNDS: usize = 5000;
    let netpoll = Netpoll::new().unwrap();
    let (asked, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Acquire) < ROUNDS {
                // Seen before the sleep or by being woken.
                if asked.load(Ordering::Acquire) == done.load(Ordering::Relaxed) {
                    poll(&netpoll, Wait::Forever);
                } else {
                    done.fetch_add(1, Ordering::Release);
                }
            }
        });
        for round in 0..ROUNDS {
            asked.fetch_add(1, Ordering::Release);
            netpoll.wake();
            while done.load(Ordering::Acquire) == round {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn an_event_wakes_who_waits() {
    let netpoll = Netpoll::new().unwrap();
    let (socket, mut other) = pair();
    let source = Source::new();
    assert!(!netpoll.has_sources());
    thread::scope(|scope| {
        let readers = [1, 2].map(|_| scope.spawn(|| read(&source, &socket, || Ok(netpoll.clone())).unwrap()));
        other.write_all(b"a").unwrap();
        other.write_all(b"b").unwrap();
        while !readers.iter().all(|reader| reader.is_finished()) {
            poll(&netpoll, Wait::Until(Instant::now() + Duration::from_millis(1)));
        }
    });
    drop(source);
    assert!(!netpoll.has_sources());
}

#[test]
fn a_stale_event_is_dropped() {
    let netpoll = Netpoll::new().unwrap();
    let (socket, mut other) = pair();
    let source = Source::new();
    let past = Some(Instant::now());
    let seen = source.look(Direction::Read);
    let wait = |source: &Source, seen| {
        source.wait(socket.as_fd(), Direction::Read, seen, past, || Ok(netpoll.clone())).unwrap()
    };
    assert_eq!(wait(&source, seen), Outcome::TimedOut);
    other.write_all(b"a").unwrap();
    // The event has been taken from the kernel, but not been looked at, when the socket goes.
    let mut driver = netpoll.try_driver().unwrap();
    let Poller { poll, events, .. } = &mut *driver.poller;
    poll.poll(events, None).unwrap();
    let token = events.iter().next().unwrap().token();
    drop(source);
    let next = Source::new();
    let seen = next.look(Direction::Read);
    assert_eq!(wait(&next, seen), Outcome::TimedOut);
    assert!(netpoll.table.lock().get(token).is_none(), "the new tenant has another token");
    assert_eq!(netpoll.table.lock().len(), 1);
}

/// Waiters go over to the next netpoll when theirs is closed, again and again, and miss nothing.
#[test]
fn a_closed_netpoll_sends_its_waiters_elsewhere() {
    const ROUNDS: usize = 300;
    let current = Mutex::new(Netpoll::new().unwrap());
    let netpoll = || Ok(current.lock().clone());
    let stop = AtomicBool::new(false);
    let (socket, mut other) = pair();
    let source = Source::new();
    thread::scope(|scope| {
        let poller = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                let netpoll = current.lock().clone();
                poll(&netpoll, Wait::Until(Instant::now() + Duration::from_millis(1)));
            }
        });
        let closer = scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                let next = Netpoll::new().unwrap();
                let last = std::mem::replace(&mut *current.lock(), next);
                last.close();
                assert!(!last.has_sources());
                thread::yield_now();
            }
        });
        for round in 0..ROUNDS {
            let reader = scope.spawn(|| {
                loop {
                    match read(&source, &socket, netpoll) {
                        Ok(byte) => return byte,
                        // It was closed between being named and being registered with.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Other),
                    }
                }
            });
            if round % 2 == 0 {
                thread::yield_now();
            }
            other.write_all(&[round as u8]).unwrap();
            assert_eq!(reader.join().unwrap(), round as u8);
        }
        stop.store(true, Ordering::Release);
        poller.join().unwrap();
        closer.join().unwrap();
    });
}

#[test]
fn registering_with_a_closed_netpoll_is_an_error() {
    let netpoll = Netpoll::new().unwrap();
    netpoll.close();
    let (socket, _other) = pair();
    let error = read(&Source::new(), &socket, || Ok(netpoll.clone())).unwrap_err();
    assert!(error.to_string().contains("shut down"), "{error}");
}
