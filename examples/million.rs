//! A million tasks that wait: how long it takes to make and to wake them, and what each costs in memory.
//!
//! ```sh
//! cargo run --release --example million
//! cargo run --release --example million -- 100000
//! ```
//!
//! A million take some 5 GB; without a count the example takes fewer where there is less memory.

use std::env;
use std::fs;
use std::time::{Duration, Instant};
use throng::sync::WaitGroup;
use throng::task;

fn main() {
    let count = match env::args().nth(1).map(|count| count.parse()) {
        Some(Ok(count)) if count > 0 => count,
        Some(_) => return eprintln!("usage: million [how many tasks]"),
        None => what_fits(1_000_000),
    };
    throng::run(|| {
        let before = Memory::now();
        let arrived = WaitGroup::new();

        let start = Instant::now();
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let arrived = arrived.clone();
                throng::spawn(move || {
                    drop(arrived);
                    task::park();
                })
            })
            .collect();
        arrived.wait();
        report("spawned and parked", count, start.elapsed());

        let memory = Memory::now();
        let each = |now: usize, then: usize| now.saturating_sub(then) / count;
        println!("resident memory        {:>7} bytes a task", each(memory.resident, before.resident));
        println!("page tables, besides   {:>7} bytes a task", each(memory.page_tables, before.page_tables));
        println!("memory mappings        {:>7} in the process", memory.mappings);

        let start = Instant::now();
        for task in &tasks {
            task.task().unpark();
        }
        for task in tasks {
            task.join().expect("parking doesn't panic");
        }
        report("woken and joined", count, start.elapsed());
    });
}

fn report(what: &str, count: usize, time: Duration) {
    let each = time.as_nanos() / count as u128;
    println!("{count} tasks {what} in {:.2} s: {each} ns each", time.as_secs_f64());
}

/// What the kernel has given to this process, in bytes and in pieces.
struct Memory {
    resident: usize,
    page_tables: usize,
    mappings: usize,
}

impl Memory {
    fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
        let maps = fs::read_to_string("/proc/self/maps").expect("Linux has /proc");
        Memory {
            resident: kilobytes(&status, "VmRSS:") << 10,
            page_tables: kilobytes(&status, "VmPTE:") << 10,
            mappings: maps.lines().count(),
        }
    }
}

/// The number that follows `key` in one of `/proc`'s tables.
fn kilobytes(table: &str, key: &str) -> usize {
    let line = table.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// As many tasks as `wanted`, or as half of the free memory holds.
fn what_fits(wanted: usize) -> usize {
    let free = fs::read_to_string("/proc/meminfo").map_or(0, |table| kilobytes(&table, "MemAvailable:"));
    let each = if cfg!(debug_assertions) { 16 } else { 6 };
    let fitting = (free / 2 / each).clamp(1000, wanted);
    if fitting < wanted {
        println!("{} MB are free: {fitting} tasks instead of {wanted}", free >> 10);
    }
    fitting
}
