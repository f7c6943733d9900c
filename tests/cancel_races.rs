//! Cancellations that race with the wake-up: nothing is lost, nothing comes twice.

mod common;

use common::{Random, few, in_tasks, scaled};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::Token;
use throng::chan::{Receiver, Sender, bounded, never, unbounded};
use throng::sync::{Condvar, Mutex, RwLock, Semaphore};
use throng::task;
use throng::time::timeout;

fn micros(random: &Random, most: u64) -> Duration {
    Duration::from_micros(random.below(most))
}

/// Tries `wait` again and again, under something that ends it at a random moment, until it has returned.
fn persist<T>(random: &Random, mut wait: impl FnMut() -> T) -> T {
    loop {
        let got = match random.below(3) {
            0 => timeout(micros(random, 60), &mut wait).ok(),
            1 => Token::with_timeout(micros(random, 60)).run(&mut wait).ok(),
            _ => {
                let token = Token::new();
                let canceller = token.clone();
                let pause = micros(random, 60);
                let handle = throng::spawn(move || {
                    task::sleep(pause);
                    canceller.cancel();
                });
                let got = token.run(&mut wait).ok();
                handle.cancel();
                got
            }
        };
        if let Some(got) = got {
            return got;
        }
    }
}

/// Each number below `total` is sent once, each send is tried until it has happened, and so is each receive.
fn conserved(
    random: &Random,
    (sender, receiver): (Sender<u64>, Receiver<u64>),
    send: impl Fn(&Sender<u64>, u64) + Sync,
    receive: impl Fn(&Receiver<u64>) -> u64 + Sync,
) {
    let total = scaled(60, 600) as u64;
    let (next, sum) = (AtomicU64::new(0), AtomicU64::new(0));
    let (next, sum, send, receive) = (&next, &sum, &send, &receive);
    throng::scope(|s| {
        for _ in 0..3 {
            let sender = sender.clone();
            s.spawn(move || {
                let mut number = next.fetch_add(1, SeqCst);
                while number < total {
                    persist(random, || send(&sender, number));
                    number = next.fetch_add(1, SeqCst);
                }
            });
            let receiver = receiver.clone();
            s.spawn(move || {
                for _ in 0..total / 3 {
                    sum.fetch_add(persist(random, || receive(&receiver)) + 1, SeqCst);
                }
            });
        }
    });
    assert!(receiver.is_empty());
    assert_eq!(sum.load(SeqCst), total * (total + 1) / 2);
}

#[test]
fn messages() {
    in_tasks(|random| {
        for channel in [bounded(0), bounded(1), bounded(7), unbounded()] {
            conserved(random, channel, |s, number| s.send(number).unwrap(), |r| r.recv().unwrap());
        }
    });
}

#[test]
fn messages_of_selects() {
    in_tasks(|random| {
        let nothing = never::<()>();
        for channel in [bounded(0), bounded(1), bounded(7), unbounded()] {
            conserved(
                random,
                channel,
                |s, number| {
                    throng::select! {
                        send(s, number) -> sent => sent.unwrap(),
                        recv(nothing) -> _ => unreachable!(),
                    }
                },
                |r| {
                    throng::select! {
                        recv(nothing) -> _ => unreachable!(),
                        recv(r) -> number => number.unwrap(),
                    }
                },
            );
        }
    });
}

/// A send is plain here: whether a future that is dropped has sent its message it can't say any more.
#[test]
fn messages_of_futures() {
    in_tasks(|random| {
        for channel in [bounded(0), bounded(1)] {
            conserved(
                random,
                channel,
                |s, number| s.send(number).unwrap(),
                |r| throng::future::block_on(r.recv_async()).unwrap(),
            );
        }
    });
}

#[test]
fn permits() {
    in_tasks(|random| {
        let semaphore = Semaphore::new(3);
        let inside = AtomicUsize::new(0);
        throng::scope(|s| {
            for i in 0..6 {
                let (semaphore, inside) = (&semaphore, &inside);
                s.spawn(move || {
                    let many = 1 + i % 3;
                    for _ in 0..scaled(20, 300) {
                        persist(random, || {
                            let permits = semaphore.acquire_many(many);
                            assert!(inside.fetch_add(many, SeqCst) + many <= 3);
                            // Waits inside, so that the permit is given back by an unwinding.
                            let wait = catch_unwind(AssertUnwindSafe(task::yield_now));
                            inside.fetch_sub(many, SeqCst);
                            drop(permits);
                            wait.unwrap_or_else(|payload| std::panic::resume_unwind(payload));
                        });
                    }
                });
            }
        });
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn locks() {
    in_tasks(|random| {
        let (mutex, rwlock) = (Mutex::new(0), RwLock::new(0));
        let each = scaled(20, 300);
        throng::scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    for _ in 0..each {
                        persist(random, || {
                            let mut count = mutex.lock();
                            let before = *count;
                            cancellable_pause(random);
                            *count = before + 1;
                        });
                        persist(random, || {
                            let before = *rwlock.read();
                            let mut count = rwlock.write();
                            assert!(*count >= before);
                            cancellable_pause(random);
                            *count += 1;
                        });
                    }
                });
            }
        });
        assert_eq!((*mutex.lock(), *rwlock.write()), (5 * each, 5 * each));
    });
}

fn cancellable_pause(random: &Random) {
    if random.below(2) == 0 {
        task::park_timeout(Duration::from_micros(5));
    }
}

/// Each notification makes one waiter take one item. Were one lost with a cancelled waiter, all would wait for ever.
#[test]
fn notifications() {
    in_tasks(|random| {
        let (items, ready) = (Mutex::new(0), Condvar::new());
        let total = scaled(60, 600);
        throng::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..total / 3 {
                        persist(random, || {
                            let mut items = items.lock();
                            while *items == 0 {
                                ready.wait(&mut items);
                            }
                            *items -= 1;
                        });
                    }
                });
            }
            s.spawn(|| {
                for _ in 0..total {
                    *items.lock() += 1;
                    ready.notify_one();
                    task::yield_now();
                }
            });
        });
        assert_eq!(*items.lock(), 0);
    });
}

/// `JoinHandle::cancel` against a message: a task that was unwound has received nothing.
#[test]
fn a_task_that_is_cancelled_has_its_message_or_leaves_it() {
    in_tasks(|random| {
        for capacity in [0, 1] {
            for _ in 0..scaled(60, 1500) {
                let (sender, receiver) = bounded(capacity);
                let spare = receiver.clone();
                let handle = throng::spawn(move || receiver.recv().unwrap());
                let pause = random.below(200);
                let sending = throng::spawn(move || sender.send(5).unwrap());
                (0..pause).for_each(|_| std::hint::spin_loop());
                handle.cancel();
                let got = match handle.join() {
                    Ok(got) => got,
                    Err(_) => spare.recv().unwrap(),
                };
                assert_eq!(got, 5);
                sending.join().unwrap();
                assert!(spare.try_recv().is_err());
            }
        }
    });
}

/// The same on plain threads, which are woken another way.
#[test]
fn threads() {
    let random = &Random::new(11);
    for capacity in [0, 1] {
        let (sender, receiver) = bounded::<u64>(capacity);
        let total = scaled(30, 300) as u64;
        let sum = std::thread::scope(|s| {
            s.spawn(|| (0..total).for_each(|number| persist(random, || sender.send(number).unwrap())));
            let got = s.spawn(|| (0..total).map(|_| persist(random, || receiver.recv().unwrap())).sum::<u64>());
            got.join().unwrap()
        });
        assert_eq!(sum, total * (total - 1) / 2);
    }
}

/// Tokens are cancelled, given children, run under and dropped by many at once.
#[test]
fn a_tree_of_tokens() {
    in_tasks(|random| {
        for _ in 0..scaled(10, 200) {
            let root = Token::new();
            let ended = AtomicUsize::new(0);
            throng::scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| {
                        let mut token = root.child();
                        while !root.is_cancelled() {
                            if random.below(2) == 0 {
                                token = token.child();
                            }
                            let _ = token.run(|| task::park_timeout(micros(random, 5)));
                            match random.below(4) {
                                0 => token.cancel(),
                                1 => token = root.child(),
                                _ => {}
                            }
                        }
                        root.child().run(task::park).unwrap_err();
                        ended.fetch_add(1, SeqCst);
                    });
                }
                task::sleep(micros(random, few(500) as u64));
                root.cancel();
            });
            assert_eq!(ended.load(SeqCst), 8);
        }
    });
}

/// Children that are made while their parent is cancelled are cancelled too.
#[test]
fn a_child_that_is_born_late() {
    in_tasks(|_| {
        for _ in 0..scaled(200, 5000) {
            let token = Token::new();
            throng::scope(|s| {
                s.spawn(|| token.cancel());
                s.spawn(|| token.child().run(task::park).unwrap_err());
                s.spawn(|| assert!(token.child().done().recv().is_err()));
            });
        }
    });
}

/// A token that is cancelled by one of those who run under it, while the others come and go.
#[test]
fn cancelled_from_inside() {
    in_tasks(|random| {
        for _ in 0..scaled(20, 500) {
            let token = Arc::new(Token::new());
            throng::scope(|s| {
                for i in 0..6 {
                    let token = &token;
                    let pause = micros(random, 100);
                    s.spawn(move || {
                        let ended = token.run(|| {
                            if i == 0 {
                                task::sleep(pause);
                                token.cancel();
                            }
                            task::park();
                        });
                        ended.unwrap_err();
                    });
                }
            });
        }
    });
}
