//! The concurrent prime sieve: a chain of tasks, each of which passes on what its prime doesn't divide.
//!
//! ```sh
//! cargo run --release --example prime_sieve -- 1000
//! ```
//!
//! Nothing here says when to stop: once nobody receives any more, each `send` fails in turn, and the chain falls back to
//! its source.

use std::env;
use std::mem;
use std::time::Instant;
use throng::chan::{Receiver, Sender, bounded};

fn main() {
    let count = match env::args().nth(1).map(|count| count.parse()) {
        None => 1000,
        Some(Ok(count)) => count,
        Some(Err(_)) => return eprintln!("usage: prime_sieve [how many primes]"),
    };
    let start = Instant::now();
    let primes = throng::run(|| sieve(count));
    let time = start.elapsed();

    let from = primes.len().saturating_sub(10);
    println!("the last of {} primes: {:?}", primes.len(), &primes[from..]);
    println!("{} tasks, {} ms", primes.len() + 1, time.as_millis());
}

fn sieve(count: usize) -> Vec<u32> {
    let (sender, mut candidates) = bounded(0);
    throng::spawn(move || (2..).try_for_each(|number| sender.send(number)));

    let mut primes = Vec::with_capacity(count);
    while primes.len() < count
        && let Ok(prime) = candidates.recv()
    {
        primes.push(prime);
        let (sender, rest) = bounded(0);
        let candidates = mem::replace(&mut candidates, rest);
        throng::spawn(move || filter(prime, &candidates, &sender));
    }
    primes
}

/// Passes on what `prime` doesn't divide, while anyone wants it.
fn filter(prime: u32, candidates: &Receiver<u32>, sender: &Sender<u32>) {
    for number in candidates {
        if number % prime != 0 && sender.send(number).is_err() {
            break;
        }
    }
}
