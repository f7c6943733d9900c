//! The first steps: tasks, scopes, and a panic that stays where it happened.
//!
//! ```sh
//! cargo run --example hello
//! ```

use std::time::{Duration, Instant};
use throng::task;

fn main() {
    // A task is made and joined as a thread is.
    let handle = throng::spawn(|| format!("hello from task {}", task::current().id()));
    println!("{}", handle.join().unwrap());

    // But one may make thousands. While they sleep they take a page of memory each, and no thread at all.
    let start = Instant::now();
    let naps: Vec<_> = (0..10_000).map(|_| throng::spawn(|| task::sleep(Duration::from_millis(200)))).collect();
    for nap in naps {
        nap.join().unwrap();
    }
    println!("10,000 tasks slept for 200 ms each: {} ms in all", start.elapsed().as_millis());

    // The tasks of a scope may borrow.
    let words = ["any", "plain", "blocking", "code"];
    let mut lengths = [0; 4];
    throng::scope(|s| {
        for (word, length) in words.iter().zip(&mut lengths) {
            s.spawn(move || *length = word.len());
        }
    });
    println!("{words:?} have {lengths:?} letters");

    // A panic ends its task, and whoever joins it learns of it. (The message on stderr comes from the usual panic hook.)
    let empty: Vec<u32> = Vec::new();
    match throng::spawn(move || empty[0]).join() {
        Ok(first) => println!("the first is {first}"),
        Err(_) => println!("the task has panicked, and we go on"),
    }
}
