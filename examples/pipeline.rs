//! A pipeline: a source, several parsers, a summary, joined by bounded channels; `select!` adds a progress report.
//!
//! ```sh
//! cargo run --release --example pipeline
//! ```
//!
//! The bounds make the stages wait for one another, so that little is in flight however long the input is. A stage ends
//! when the one before it has: its senders are gone, and the receiver says so.

use std::collections::BTreeMap;
use std::time::Duration;
use throng::chan::{Receiver, Sender, bounded, tick};
use throng::select;

const LINES: usize = 1_000_000;
const PARSERS: usize = 4;

struct Entry {
    path: String,
    milliseconds: u64,
}

fn main() {
    throng::run(|| {
        let (lines, unparsed) = bounded(128);
        throng::spawn(move || produce(&lines));

        let (entries, parsed) = bounded(128);
        for _ in 0..PARSERS {
            let (unparsed, entries) = (unparsed.clone(), entries.clone());
            throng::spawn(move || parse(&unparsed, &entries));
        }
        // Only the parsers' senders may keep the last stage waiting.
        drop(entries);

        summarize(&parsed);
    });
}

/// Writes the log of an imaginary server.
fn produce(lines: &Sender<String>) {
    let paths = ["/", "/about", "/news", "/search"];
    for number in 0..LINES {
        let line = match number % 1000 {
            999 => "(a line that was cut off".to_owned(),
            n => format!("GET {} {}", paths[n % paths.len()], 1 + n * n % 97),
        };
        if lines.send(line).is_err() {
            return;
        }
    }
}

fn parse(lines: &Receiver<String>, entries: &Sender<Option<Entry>>) {
    for line in lines {
        let mut words = line.split(' ').skip(1);
        let (path, time) = (words.next(), words.next().and_then(|time| time.parse().ok()));
        let entry = path.zip(time).map(|(path, milliseconds)| Entry { path: path.to_owned(), milliseconds });
        if entries.send(entry).is_err() {
            return;
        }
    }
}

fn summarize(entries: &Receiver<Option<Entry>>) {
    let mut paths = BTreeMap::<String, (u64, u64)>::new();
    let (mut good, mut bad) = (0, 0);
    let progress = tick(Duration::from_millis(250));
    loop {
        select! {
            recv(entries) -> entry => match entry {
                Ok(Some(entry)) => {
                    good += 1;
                    let (count, total) = paths.entry(entry.path).or_default();
                    *count += 1;
                    *total += entry.milliseconds;
                }
                Ok(None) => bad += 1,
                Err(_) => break,
            },
            recv(progress) -> _ => println!("{:>8} of {LINES} lines", good + bad),
        }
    }
    println!("{good} lines understood, {bad} not");
    for (path, (count, total)) in paths {
        println!("{path:<10} {count:>8} requests, {:>5.1} ms on average", total as f64 / count as f64);
    }
}
