//! A bank that loses money, once in a long while: found by the simulator, and shown again.
//!
//! ```text
//! cargo run --release --example sim_bank
//! ```

use std::sync::Arc;
use std::time::Instant;
use throng::chan::bounded;
use throng::sim::Check;
use throng::sync::Mutex;
use throng::{scope, spawn};

struct Bank {
    accounts: Vec<Mutex<u64>>,
}

impl Bank {
    fn new(accounts: usize) -> Bank {
        Bank { accounts: (0..accounts).map(|_| Mutex::new(100)).collect() }
    }

    fn total(&self) -> u64 {
        self.accounts.iter().map(|account| *account.lock()).sum()
    }

    /// Wrong: between the look at the balance and the withdrawal another transfer may come.
    fn transfer_badly(&self, from: usize, to: usize, amount: u64) {
        let balance = *self.accounts[from].lock();
        if balance >= amount {
            *self.accounts[from].lock() = balance - amount;
            *self.accounts[to].lock() += amount;
        }
    }

    /// Right: both accounts are locked, in the order of their numbers, as long as it takes.
    fn transfer(&self, from: usize, to: usize, amount: u64) {
        let mut first = self.accounts[from.min(to)].lock();
        let mut second = self.accounts[from.max(to)].lock();
        let (source, target) = if from < to { (&mut first, &mut second) } else { (&mut second, &mut first) };
        if **source >= amount {
            **source -= amount;
            **target += amount;
        }
    }
}

/// Three tasks move money round in a ring. Whatever happens, none may be made or lost.
fn day_at(transfer: fn(&Bank, usize, usize, u64)) {
    let bank = Bank::new(3);
    scope(|s| {
        for from in 0..3 {
            let bank = &bank;
            s.spawn(move || transfer(bank, from, (from + 1) % 3, 30));
        }
    });
    assert_eq!(bank.total(), 300, "money was made or lost");
}

/// For the speed: four tasks, a hundred operations of channels.
fn chatter() {
    let (s, r) = bounded(2);
    for _ in 0..2 {
        let s = s.clone();
        spawn(move || (0..25).try_for_each(|number| s.send(number)));
    }
    drop(s);
    let counts = [(); 2].map(|()| {
        let r = r.clone();
        spawn(move || r.iter().count())
    });
    assert_eq!(counts.into_iter().map(|count| count.join().unwrap()).sum::<usize>(), 50);
}

fn main() {
    // The panics are part of the show.
    std::panic::set_hook(Box::new(|_| ()));

    let failure = Check::new().search(|| day_at(Bank::transfer_badly)).expect_err("the bank is wrong");
    println!("Found:\n{failure}\n");

    let again = Check::new().run(failure.seed(), || day_at(Bank::transfer_badly)).expect_err("a seed is an execution");
    assert_eq!(failure.to_string(), again.to_string());
    println!("The seed {} shows the same again.", failure.seed());

    let check = Check::new();
    check.search(|| day_at(Bank::transfer)).expect("this one is right");
    println!("With both accounts locked, a thousand seeds find nothing.");

    const EXECUTIONS: u32 = 2000;
    let runs = Arc::new(Mutex::new(0));
    let start = Instant::now();
    for seed in 0..EXECUTIONS {
        let runs = Arc::clone(&runs);
        check
            .run(seed.into(), move || {
                chatter();
                *runs.lock() += 1;
            })
            .expect("nothing is wrong with that");
    }
    assert_eq!(*runs.lock(), EXECUTIONS);
    let rate = f64::from(EXECUTIONS) / start.elapsed().as_secs_f64();
    println!("Four tasks, a hundred operations of channels: {rate:.0} executions a second.");
}
