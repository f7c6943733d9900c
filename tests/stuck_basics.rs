//! Tasks that block their kernel thread or run on and on don't hold up the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use throng::runtime::Runtime;
use throng::task;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn spinners_do_not_hold_up_others() {
    for workers in [1, 2, 4] {
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = runtime(workers);
        for _ in 0..2 * workers {
            let stop = Arc::clone(&stop);
            runtime.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        runtime.run(|| {
            for _ in 0..20 {
                task::sleep(Duration::from_millis(1));
            }
        });
        stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn tasks_asleep_in_the_kernel_do_not_hold_up_others() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let before = Instant::now();
        let ended = Arc::new(AtomicU32::new(0));
        for _ in 0..64 {
            let ended = Arc::clone(&ended);
            runtime.spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        while ended.load(Ordering::Relaxed) < 64 {
            std::thread::sleep(Duration::from_micros(500));
        }
        eprintln!("{workers} workers: 64 sleeps of 20 ms took {:?}", before.elapsed());
    }
}

#[test]
fn announced() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let before = Instant::now();
        runtime.run(|| {
            throng::scope(|s| {
                for _ in 0..64 {
                    s.spawn(|| throng::blocking(|| std::thread::sleep(Duration::from_millis(20))));
                }
            });
        });
        eprintln!("{workers} workers: 64 announced sleeps of 20 ms took {:?}", before.elapsed());
    }
}

/// The lock is held across a wait by a task that has begun; those that want it block their threads.
#[test]
fn a_lock_of_std_held_across_a_sleep() {
    for (workers, threads) in [(1, 64), (2, 512), (2, 64)] {
        let runtime = Runtime::builder().workers(workers).max_threads(threads).on_shortage(|_| {}).build().unwrap();
        let lock = Arc::new(std::sync::Mutex::new(0));
        let before = Instant::now();
        let tasks: Vec<_> = (0..2000)
            .map(|_| {
                let lock = Arc::clone(&lock);
                runtime.spawn(move || {
                    let mut held = lock.lock().unwrap();
                    task::sleep(Duration::from_millis(1));
                    *held += 1;
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*lock.lock().unwrap(), 2000);
        eprintln!("{workers} workers, {threads} threads: 2000 holders took {:?}", before.elapsed());
    }
}
