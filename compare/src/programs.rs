//! The programs on a runtime whose tasks have stacks. Each returns the time it took, set-up excluded where that isn't the
//! thing measured.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::{self, Service};
use crate::meter::cpu_time;
use crate::stackful::{Receive, Stackful, Transmit};
use crate::work::Work;

/// Tasks that yield in turn.
pub const YIELDERS: u64 = 100;
/// Tasks in the ring.
pub const RING: u64 = 1000;
/// Room in the buffered channels.
pub const CAPACITY: usize = 128;
/// Tasks on each side of the shared channel.
pub const SIDE: u64 = 4;
/// Primes that the sieve finds.
pub const PRIMES: u64 = 1000;
/// What fork and join computes, and where it stops forking.
pub const FIB: (u64, u64) = (32, 13);
/// Tasks that contend for the lock.
pub const CONTENDERS: u64 = 8;

/// Runs `n` operations of `work` on `R`, entered from the calling kernel thread.
pub fn run<R: Stackful>(work: Work, n: u64) -> Duration {
    R::enter(move || match work {
        Work::Yield => yields::<R>(n),
        Work::SpawnJoin => spawn_join::<R>(n),
        Work::SpawnAll => spawn_all::<R>(n),
        Work::PingPong => ping_pong::<R>(n),
        Work::Ring => ring::<R>(n),
        Work::Spsc => spsc::<R>(n),
        Work::Mpmc => mpmc::<R>(n),
        Work::Select => select::<R>(n),
        Work::Sieve => sieves::<R>(n),
        Work::ForkJoin => fork_join::<R>(n),
        Work::Mutex => mutex::<R>(n),
        Work::Sleep => sleeps::<R>(n),
    })
}

fn yields<R: Stackful>(n: u64) -> Duration {
    let start = Instant::now();
    let each = n.div_ceil(YIELDERS);
    let tasks: Vec<_> = (0..YIELDERS).map(|_| R::spawn(move || (0..each).for_each(|_| R::yield_now()))).collect();
    tasks.into_iter().for_each(R::join);
    start.elapsed()
}

fn spawn_join<R: Stackful>(n: u64) -> Duration {
    let start = Instant::now();
    (0..n).for_each(|_| R::join(R::spawn(|| ())));
    start.elapsed()
}

fn spawn_all<R: Stackful>(n: u64) -> Duration {
    let start = Instant::now();
    let group = R::wait_group();
    for _ in 0..n {
        let group = group.clone();
        drop(R::spawn(move || drop(group)));
    }
    R::wait(group);
    start.elapsed()
}

fn ping_pong<R: Stackful>(n: u64) -> Duration {
    let (ping, pinged) = R::channel(0);
    let (pong, ponged) = R::channel(0);
    let start = Instant::now();
    let other = R::spawn(move || while pinged.recv().is_some_and(|value| pong.send(value)) {});
    for value in 0..n {
        ping.send(value);
        assert_eq!(ponged.recv(), Some(value));
    }
    drop(ping);
    R::join(other);
    start.elapsed()
}

fn ring<R: Stackful>(n: u64) -> Duration {
    let (first, mut receiver) = R::channel(0);
    let mut tasks = Vec::new();
    for _ in 1..RING {
        let (sender, next) = R::channel(0);
        let from = std::mem::replace(&mut receiver, next);
        tasks.push(R::spawn(move || while from.recv().is_some_and(|hops| sender.send(hops + 1)) {}));
    }
    let start = Instant::now();
    let mut hops = 0;
    while hops < n {
        first.send(hops + 1);
        hops = receiver.recv().expect("the ring is closed");
    }
    let time = start.elapsed();
    drop(first);
    tasks.into_iter().for_each(R::join);
    time
}

fn spsc<R: Stackful>(n: u64) -> Duration {
    let (sender, receiver) = R::channel(CAPACITY);
    let start = Instant::now();
    let producer = R::spawn(move || (0..n).for_each(|value| assert!(sender.send(value))));
    let mut expected = 0;
    while let Some(value) = receiver.recv() {
        assert_eq!(value, expected);
        expected += 1;
    }
    R::join(producer);
    assert_eq!(expected, n);
    start.elapsed()
}

fn mpmc<R: Stackful>(n: u64) -> Duration {
    let (sender, receiver) = R::shared_channel(CAPACITY);
    let each = n.div_ceil(SIDE);
    let start = Instant::now();
    for _ in 0..SIDE {
        let sender = sender.clone();
        drop(R::spawn(move || (0..each).for_each(|value| assert!(sender.send(value)))));
    }
    let consumers: Vec<_> = (0..SIDE)
        .map(|_| {
            let receiver = receiver.clone();
            R::spawn(move || std::iter::from_fn(|| receiver.recv()).count() as u64)
        })
        .collect();
    drop((sender, receiver));
    let received: u64 = consumers.into_iter().map(R::join).sum();
    assert_eq!(received, SIDE * each);
    start.elapsed()
}

fn select<R: Stackful>(n: u64) -> Duration {
    let each = n.div_ceil(4);
    let start = Instant::now();
    let channels = [(); 4].map(|()| R::channel(0));
    let mut producers = Vec::new();
    let receivers = channels.map(|(sender, receiver)| {
        producers.push(R::spawn(move || {
            (0..each).for_each(|value| assert!(sender.send(value)));
            sender // a closed channel would be ready for ever
        }));
        receiver
    });
    R::select(receivers, each);
    for producer in producers {
        drop(R::join(producer));
    }
    start.elapsed()
}

fn sieves<R: Stackful>(n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        let (sender, mut receiver) = R::channel(0);
        drop(R::spawn(move || (2..).take_while(|&number| sender.send(number)).for_each(drop)));
        let mut prime = 0;
        for _ in 0..PRIMES {
            prime = receiver.recv().expect("numbers have no end");
            let (sender, next) = R::channel(0);
            let from = std::mem::replace(&mut receiver, next);
            drop(R::spawn(move || {
                std::iter::from_fn(|| from.recv())
                    .filter(|n| n % prime != 0)
                    .take_while(|&n| sender.send(n))
                    .for_each(drop)
            }));
        }
        assert_eq!(prime, 7919);
    }
    start.elapsed()
}

fn fork_join<R: Stackful>(n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        assert_eq!(forking_fib::<R>(FIB.0), 2_178_309);
    }
    start.elapsed()
}

fn forking_fib<R: Stackful>(n: u64) -> u64 {
    if n < FIB.1 {
        return fib(n);
    }
    let left = R::spawn(move || forking_fib::<R>(n - 1));
    let right = forking_fib::<R>(n - 2);
    R::join(left) + right
}

/// The sequential part, the same for every runtime.
pub fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

fn mutex<R: Stackful>(n: u64) -> Duration {
    let mutex = Arc::new(R::mutex());
    let each = n.div_ceil(CONTENDERS);
    let start = Instant::now();
    let tasks: Vec<_> = (0..CONTENDERS)
        .map(|_| {
            let mutex = mutex.clone();
            R::spawn(move || (0..each).for_each(|_| R::increment(&mutex)))
        })
        .collect();
    tasks.into_iter().for_each(R::join);
    start.elapsed()
}

fn sleeps<R: Stackful>(n: u64) -> Duration {
    let before = cpu_time();
    let group = R::wait_group();
    for time in sleep_times(n) {
        let group = group.clone();
        drop(R::spawn(move || {
            R::sleep(time);
            drop(group);
        }));
    }
    R::wait(group);
    cpu_time() - before
}

/// The same random times within a second for every runtime.
pub fn sleep_times(n: u64) -> impl Iterator<Item = Duration> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..n).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_nanos((state >> 33) % 1_000_000_000)
    })
}

/// Leaves `n` tasks parked for ever, all of which have run.
pub fn park_tasks<R: Stackful>(n: u64) {
    R::enter(move || {
        let group = R::wait_group();
        for _ in 0..n {
            let group = group.clone();
            drop(R::spawn(move || {
                drop(group);
                loop {
                    R::park();
                }
            }));
        }
        R::wait(group);
    });
}

/// Leaves `n` tasks asleep for an hour.
pub fn long_sleeps<R: Stackful>(n: u64) {
    R::enter(move || (0..n).for_each(|_| drop(R::spawn(|| R::sleep(Duration::from_secs(3600))))));
}

/// Starts a server that never ends.
pub fn serve<R: Stackful>(service: Service) -> SocketAddr {
    R::enter(move || {
        let (listener, address) = R::listen();
        drop(R::spawn(move || {
            loop {
                let stream = R::accept(&listener);
                drop(R::spawn(move || match service {
                    Service::Echo => echo(stream),
                    Service::Http => answer(stream),
                }));
            }
        }));
        address
    })
}

fn echo(mut stream: impl Read + Write) {
    let mut buffer = [0; http::BUFFER];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
}

fn answer(mut stream: impl Read + Write) {
    let mut buffer = [0; http::BUFFER];
    let mut filled = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += read;
        let (answers, used) = http::answers(&buffer[..filled]);
        if stream.write_all(answers).is_err() {
            break;
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}
