//! Tasks that spin, block in the kernel, announce it, sleep, pass messages, yield and are cancelled, all at once, while the
//! number of workers changes: every one of them comes to its end.

mod common;

use common::{Random, seed};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use throng::runtime::{OnDeadlock, Runtime};
use throng::{chan, task};

fn micros(n: u64) -> Duration {
    Duration::from_micros(n)
}

fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn act(random: &Random, lock: &std::sync::Mutex<u32>) {
    match random.below(10) {
        0 => spin(micros(random.below(2000))),
        1 => std::thread::sleep(micros(random.below(3000))),
        2 => throng::blocking(|| std::thread::sleep(micros(random.below(3000)))),
        3 => task::sleep(micros(random.below(3000))),
        4 => task::yield_now(),
        // Inside a section a wait blocks the thread.
        5 => throng::blocking(|| task::sleep(micros(random.below(2000)))),
        6 => {
            let (send, receive) = chan::unbounded();
            let child = throng::spawn(move || send.send(7));
            assert_eq!(receive.recv(), Ok(7));
            child.join().unwrap().unwrap();
        }
        7 => {
            // Woken into the slot of one that then blocks.
            let child = throng::spawn(|| 3);
            std::thread::sleep(micros(random.below(1500)));
            assert_eq!(child.join().unwrap(), 3);
        }
        8 => {
            let child = throng::blocking(|| throng::spawn(task::yield_now));
            child.join().unwrap();
        }
        _ => {
            *lock.lock().unwrap() += 1;
            throng::scope(|s| {
                s.spawn(task::yield_now);
                s.spawn(|| spin(micros(50)));
            });
        }
    }
}

fn storm(seed: u64, workers: usize, max_threads: usize, tasks: usize) {
    println!("{workers} workers, {max_threads} threads, THRONG_SEED={seed}");
    let runtime = Runtime::builder().workers(workers).max_threads(max_threads).on_shortage(|_| {});
    let runtime = Arc::new(runtime.on_deadlock(OnDeadlock::Panic).build().unwrap());
    let ended = Arc::new(AtomicUsize::new(0));
    let lock = Arc::new(std::sync::Mutex::new(0));
    let mut handles = Vec::new();
    let random = Random::new(seed);
    let over = Arc::new(AtomicBool::new(false));
    let changer = std::thread::spawn({
        let (runtime, over) = (Arc::clone(&runtime), Arc::clone(&over));
        let random = Random::new(seed ^ 0x9e37_79b9_7f4a_7c15);
        move || {
            while !over.load(Ordering::Relaxed) {
                runtime.set_workers(1 + random.below(max_threads.min(2 * workers) as u64) as usize).unwrap();
                std::thread::sleep(micros(random.below(4000)));
            }
        }
    });
    for _ in 0..tasks {
        let random = Random::new(random.next());
        let (ended, lock) = (Arc::clone(&ended), Arc::clone(&lock));
        handles.push(runtime.spawn(move || {
            for _ in 0..4 {
                act(&random, &lock);
            }
            ended.fetch_add(1, Ordering::Relaxed);
        }));
    }
    handles.into_iter().for_each(|handle| handle.join().unwrap());
    assert_eq!(ended.load(Ordering::Relaxed), tasks);
    over.store(true, Ordering::Relaxed);
    changer.join().unwrap();
    // The rest is in the middle of something when the runtime is dropped.
    let (send, receive) = chan::unbounded::<()>();
    for _ in 0..tasks / 2 {
        let random = Random::new(random.next());
        let (lock, receive) = (Arc::clone(&lock), receive.clone());
        runtime.spawn(move || {
            act(&random, &lock);
            act(&random, &lock);
            let _ = receive.recv();
        });
    }
    drop(Arc::into_inner(runtime).expect("the changer has ended"));
    drop(send);
}

fn storms(workers: usize, max_threads: &[usize]) {
    for &max_threads in max_threads {
        storm(seed(), workers, max_threads, 24);
    }
}

#[test]
fn one_worker() {
    storms(1, &[1, 2, 20]);
}

#[test]
fn two_workers() {
    storms(2, &[2, 3, 64]);
}

#[test]
fn four_workers() {
    storms(4, &[4, 5, 64]);
}

#[test]
fn eight_workers() {
    storms(8, &[8, 9, 64]);
}
