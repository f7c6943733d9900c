//! Every way to send and to receive, at random and at once, among tasks and threads: operations that time out, that are
//! cancelled, dropped after they were chosen, or whose message panics. As many messages come out as went in, in each
//! sender's order, and nobody is left waiting.

#[path = "common/chan.rs"]
mod chan;
mod common;

use chan::poll;
use common::{Random, few, simulated_with_choices, stress, with_workers};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;
use throng::cancel::Token;
use throng::chan::{Receiver, Select, Sender, bounded, never};
use throng::future::block_on;
use throng::select;
use throng::task::yield_now;

const SENDERS: usize = 3;
const MESSAGES: usize = 100;

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    sent: AtomicUsize,
    /// By futures that were dropped: these don't tell.
    unknown: AtomicUsize,
    received: AtomicUsize,
}

struct Message {
    sender: usize,
    number: usize,
    counts: Arc<Counts>,
}

impl Drop for Message {
    fn drop(&mut self) {
        assert!(self.counts.alive.fetch_sub(1, SeqCst) > 0, "dropped twice");
    }
}

fn shortly(random: &Random) -> Duration {
    Duration::from_micros(random.below(60))
}

/// A panic that no hook reports.
fn fail<T>(_dropped: T) {
    resume_unwind(Box::new("a panic of this test"))
}

/// Drops an operation that was chosen: in a panic, since it would make one.
fn waste<T>(chosen: T) {
    assert!(catch_unwind(AssertUnwindSafe(|| fail(chosen))).is_err());
}

fn send(sender: usize, [s, other]: &[Sender<Message>; 2], counts: &Arc<Counts>, random: &Random) {
    for number in 0..few(MESSAGES) {
        let message = || {
            counts.alive.fetch_add(1, SeqCst);
            Message { sender, number, counts: Arc::clone(counts) }
        };
        let perhaps = || {
            match random.below(3) {
                0 => fail(()),
                1 => yield_now(),
                _ => {}
            }
            message()
        };
        let sent = match random.below(11) {
            0 => s.send(message()).is_ok(),
            1 => other.send(message()).is_ok(),
            2 => s.try_send(message()).is_ok(),
            3 => s.send_timeout(message(), shortly(random)).is_ok(),
            4 => block_on(s.send_async(message())).is_ok(),
            5 => {
                let mut future = Box::pin(s.send_async(message()));
                let sent = poll(&mut future).is_ready();
                counts.unknown.fetch_add(usize::from(!sent), SeqCst);
                sent
            }
            6 => Token::with_timeout(shortly(random)).run(|| s.send(message())).is_ok(),
            7 => select! {
                send(s, message()) -> sent => sent.is_ok(),
                send(other, message()) -> sent => sent.is_ok(),
                default(shortly(random)) => false,
            },
            8 => {
                let choose = || {
                    select! {
                        send(s, perhaps()) -> sent => sent.is_ok(),
                        send(other, perhaps()) -> sent => sent.is_ok(),
                    }
                };
                catch_unwind(AssertUnwindSafe(choose)).unwrap_or(false)
            }
            9 => {
                let choose = || {
                    select! {
                        send(s, { yield_now(); message() }) -> sent => sent.is_ok(),
                        send(other, message()) -> sent => sent.is_ok(),
                    }
                };
                Token::with_timeout(shortly(random)).run(choose).unwrap_or(false)
            }
            _ => {
                let mut select = Select::new();
                select.send(s);
                select.send(other);
                match select.select_timeout(shortly(random)) {
                    Ok(chosen) if random.below(2) == 0 => {
                        let s = [s, other][chosen.index()];
                        chosen.send(s, message()).is_ok()
                    }
                    Ok(chosen) => {
                        waste(chosen);
                        false
                    }
                    Err(_) => false,
                }
            }
        };
        counts.sent.fetch_add(usize::from(sent), SeqCst);
    }
}

fn receive(channels: &[Receiver<Message>; 2], alone: bool, counts: &Counts, random: &Random) {
    let open = RefCell::new([true; 2]);
    let last = RefCell::new([[None; SENDERS]; 2]);
    // A message, or the channel's end.
    let got = |channel: usize, message: Option<Message>| match message {
        Some(message) => {
            counts.received.fetch_add(1, SeqCst);
            let last = last.borrow_mut()[channel][message.sender].replace(message.number);
            assert!(!alone || last < Some(message.number), "{last:?} before {}", message.number);
        }
        None => open.borrow_mut()[channel] = false,
    };
    let silent = never();
    while open.borrow().contains(&true) {
        let [a, b] = [0, 1].map(|channel| if open.borrow()[channel] { &channels[channel] } else { &silent });
        match random.below(8) {
            0 => match a.recv_timeout(shortly(random)) {
                Err(error) if error.is_timeout() => {}
                message => got(0, message.ok()),
            },
            1 => match b.try_recv() {
                Err(error) if error.is_empty() => {}
                message => got(1, message.ok()),
            },
            2 => select! {
                recv(a) -> message => got(0, message.ok()),
                recv(b) -> message => got(1, message.ok()),
            },
            3 => select! {
                recv(b) -> message => got(1, message.ok()),
                recv(a) -> message => got(0, message.ok()),
                default(shortly(random)) => {}
            },
            4 => {
                let mut future = Box::pin(a.recv_async());
                for _ in 0..1 + random.below(2) {
                    if let Poll::Ready(message) = poll(&mut future) {
                        got(0, message.ok());
                        break;
                    }
                    yield_now();
                }
            }
            5 => {
                if let Ok(message) = Token::with_timeout(shortly(random)).run(|| a.recv()) {
                    got(0, message.ok());
                }
            }
            choice => {
                let mut select = Select::new();
                select.recv(a);
                select.recv(b);
                if choice == 6 {
                    let Ok(ready) = select.ready_timeout(shortly(random)) else { continue };
                    match [a, b][ready].try_recv() {
                        Err(error) if error.is_empty() => {}
                        message => got(ready, message.ok()),
                    }
                } else if let Ok(chosen) = select.select_timeout(shortly(random)) {
                    let index = chosen.index();
                    if random.below(2) == 0 { waste(chosen) } else { got(index, chosen.recv([a, b][index]).ok()) }
                }
            }
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;
type Join = Box<dyn FnOnce() -> std::thread::Result<()>>;

/// `start` starts a job, as a thread where that is asked for.
fn mix(rounds: usize, random: &Random, start: impl Fn(bool, Job) -> Join) {
    for round in 0..rounds {
        let counts = Arc::new(Counts::default());
        let capacity = [0, 0, 1, 3][round % 4];
        let ((s, r), (other, others)) = (bounded(capacity), bounded(capacity));
        let receivers = 1 + random.below(2) as usize;
        let (senders, inboxes) = ([s, other], [r, others]);
        let mut running = Vec::new();
        for sender in 0..SENDERS {
            let (senders, counts, random) = (senders.clone(), Arc::clone(&counts), Random::new(random.next()));
            running.push(start(sender == 0, Box::new(move || send(sender, &senders, &counts, &random))));
        }
        for receiver in 0..receivers {
            let (inboxes, counts, random) = (inboxes.clone(), Arc::clone(&counts), Random::new(random.next()));
            let f = move || receive(&inboxes, receivers == 1, &counts, &random);
            running.push(start(receiver == 1, Box::new(f)));
        }
        drop((senders, inboxes));
        running.into_iter().for_each(|join| join().unwrap());
        let [alive, sent, unknown, received] =
            [&counts.alive, &counts.sent, &counts.unknown, &counts.received].map(|count| count.load(SeqCst));
        assert_eq!(alive, 0);
        assert!((sent..=sent + unknown).contains(&received), "{sent} and {unknown} sent, {received} received");
    }
}

#[test]
fn nothing_is_lost_nor_doubled_nor_overtaken() {
    with_workers(|runtime, random| {
        mix(stress(12), random, |as_thread, job| {
            if as_thread {
                let thread = std::thread::spawn(job);
                Box::new(|| thread.join())
            } else {
                let task = runtime.spawn(job);
                Box::new(|| task.join())
            }
        });
    });
    simulated_with_choices(|random| {
        mix(4, random, |_, job| {
            let task = throng::spawn(job);
            Box::new(|| task.join())
        });
    });
}
