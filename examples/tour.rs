//! A tour of what Throng does, with figures from the machine it runs on. It takes some seconds.
//!
//! ```sh
//! cargo run --release --example tour
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use throng::chan::{bounded, tick, unbounded};
use throng::net::{TcpListener, TcpStream};
use throng::sync::Mutex;
use throng::{select, task};

fn main() -> io::Result<()> {
    let start = Instant::now();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!("Throng, with a worker for each core: {cores}");
    throng::run(|| {
        tasks();
        channels();
        stealing();
        timers();
        sockets()
    })?;
    println!("\nThat was the tour: {:.1} s.", start.elapsed().as_secs_f64());
    Ok(())
}

/// The time of `what`, and its share for each of `count`.
fn measure(label: &str, count: usize, what: impl FnOnce()) {
    let start = Instant::now();
    what();
    let time = start.elapsed();
    println!("   {label:<56} {:>6} ms {:>7} ns each", time.as_millis(), time.as_nanos() / count as u128);
}

fn tasks() {
    const COUNT: usize = 100_000;
    println!("\n1. A hundred thousand tasks");
    measure("spawned, run to their end, and joined", COUNT, || {
        let handles: Vec<_> = (0..COUNT).map(|number| throng::spawn(move || number)).collect();
        let total: usize = handles.into_iter().map(|handle| handle.join().expect("it doesn't panic")).sum();
        assert_eq!(total, COUNT * (COUNT - 1) / 2);
    });
    measure("alive at once: all wait until a channel is closed", COUNT, || {
        let (gate, closed) = bounded::<()>(0);
        let (arrivals, arrived) = unbounded();
        throng::scope(|s| {
            for _ in 0..COUNT {
                s.spawn(|| {
                    arrivals.send(()).expect("the other end is below");
                    closed.recv().expect_err("nothing is ever sent");
                });
            }
            arrived.iter().take(COUNT).count();
            drop(gate);
        });
    });
}

fn channels() {
    const ROUNDS: usize = 200_000;
    println!("\n2. Channels and select");
    measure("round trips of two tasks over rendezvous channels", ROUNDS, || {
        let ((ping, pinged), (pong, ponged)) = (bounded(0), bounded(0));
        throng::spawn(move || pinged.iter().try_for_each(|ball| pong.send(ball)));
        for ball in 0..ROUNDS {
            ping.send(ball).expect("the other plays on");
            assert_eq!(ponged.recv(), Ok(ball));
        }
    });
    let mut taken = [0; 2];
    measure("messages from two producers, taken by one select!", ROUNDS, || {
        let [left, right] = [(); 2].map(|()| {
            let (sender, receiver) = bounded(16);
            throng::spawn(move || (0..ROUNDS).try_for_each(|number| sender.send(number)));
            receiver
        });
        for _ in 0..ROUNDS {
            select! {
                recv(left) -> _ => taken[0] += 1,
                recv(right) -> _ => taken[1] += 1,
            }
        }
    });
    println!("   it is fair: {} from the one, {} from the other", taken[0], taken[1]);
    let (_silent, silence) = bounded::<()>(0);
    select! {
        recv(silence) -> _ => unreachable!("nobody sends"),
        default(Duration::from_millis(50)) => println!("   and it can give up: 50 ms without a message"),
    }
}

fn stealing() {
    const N: u32 = 38;
    println!("\n3. Work that spreads by itself: fib({N}), forked by one task, stolen by whoever is idle");
    fn sequential(n: u32) -> u64 {
        if n < 2 { n.into() } else { sequential(n - 1) + sequential(n - 2) }
    }
    fn forked(n: u32, ran: &Mutex<BTreeMap<String, usize>>) -> u64 {
        if n <= 18 {
            let worker = thread::current().name().unwrap_or("a thread without a name").to_owned();
            *ran.lock().entry(worker).or_default() += 1;
            return sequential(n);
        }
        throng::scope(|s| {
            let left = s.spawn(|| forked(n - 1, ran));
            let right = forked(n - 2, ran);
            left.join().expect("it doesn't panic") + right
        })
    }
    let start = Instant::now();
    let expected = sequential(N);
    let alone = start.elapsed();
    let ran = Mutex::new(BTreeMap::new());
    let start = Instant::now();
    assert_eq!(forked(N, &ran), expected);
    let together = start.elapsed();
    println!("   one task: {} ms; forked: {} ms", alone.as_millis(), together.as_millis());
    let ran = ran.into_inner();
    let total: usize = ran.values().sum();
    for (worker, leaves) in ran {
        println!("   {worker:<12} {leaves:>6} tasks ran here {}", "#".repeat(40 * leaves / total));
    }
}

fn timers() {
    const COUNT: usize = 100_000;
    println!("\n4. A hundred thousand timers, spread over a second");
    let (woken, late) = unbounded();
    for number in 0..COUNT {
        let woken = woken.clone();
        throng::spawn(move || {
            let nap = Duration::from_micros((number * 618_033 % 1_000_000) as u64);
            let due = Instant::now() + nap;
            task::sleep(nap);
            woken.send(due.elapsed()).expect("the other end is below");
        });
    }
    drop(woken);
    let progress = tick(Duration::from_millis(250));
    let mut delays = Vec::with_capacity(COUNT);
    loop {
        select! {
            recv(late) -> delay => match delay {
                Ok(delay) => delays.push(delay),
                Err(_) => break,
            },
            recv(progress) -> _ => println!("   {:>7} have woken", delays.len()),
        }
    }
    delays.sort_unstable();
    let (median, worst) = (delays[COUNT / 2], delays[COUNT - 1]);
    println!("   {:>7} have woken, late by {median:.1?} (median), by {worst:.1?} at most", delays.len());
}

fn sockets() -> io::Result<()> {
    const ROUNDS: usize = 100;
    // Both ends of each connection are in this process.
    let descriptors = raise_descriptor_limit();
    let connections = (descriptors.saturating_sub(64) / 2).min(1000);
    println!("\n5. An echo server over loopback, {connections} connections, a task at each end of each");
    if connections < 1000 {
        println!("   (not a thousand: this process may open {descriptors} files)");
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    throng::spawn(move || {
        for stream in listener.incoming().flatten() {
            throng::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let start = Instant::now();
    let connecting: Vec<_> = (0..connections).map(|_| throng::spawn(move || TcpStream::connect(address))).collect();
    let streams: Vec<_> =
        connecting.into_iter().map(|task| task.join().expect("it doesn't panic")).collect::<io::Result<_>>()?;
    println!("   all connected after {} ms", start.elapsed().as_millis());
    measure("messages of 64 bytes, there and back", connections * ROUNDS, || {
        throng::scope(|s| {
            for mut stream in &streams {
                s.spawn(move || {
                    let mut reply = [0; 64];
                    for round in 0..ROUNDS {
                        let message = [round as u8; 64];
                        stream.write_all(&message).expect("the server listens");
                        stream.read_exact(&mut reply).expect("the server answers");
                        assert_eq!(reply, message);
                    }
                });
            }
        });
    });
    Ok(())
}

/// Lets this process open as many files as the system allows it, and returns how many that are.
#[allow(unsafe_code)]
fn raise_descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 0;
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: `raised` is a valid limit; if it is refused, the old one stays.
    let refused = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } != 0;
    let now = if refused { limit.rlim_cur } else { raised.rlim_cur };
    usize::try_from(now).unwrap_or(usize::MAX)
}
