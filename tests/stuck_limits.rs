//! When there are no more threads to step in, tasks wait, the hook says why, and they go on when one comes back.

mod common;
#[path = "common/limits.rs"]
mod limits;
#[path = "common/stuck.rs"]
mod stuck;

use common::{WORKERS, is_child, ms, passes_in_a_child, scaled, until};
use limits::{become_nobody_else, limit, threads};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use stuck::{Stuck, WAYS, Way, short_of_threads};
use throng::chan::unbounded;
use throng::runtime::Runtime;
use throng::{JoinHandle, task};

/// What the hook was told: the number of threads, whether there was an error, and the text.
type Told = Arc<Mutex<Vec<(usize, Option<ErrorKind>, String)>>>;

fn with_hook(workers: usize, max_threads: usize) -> (Runtime, Told) {
    let told = Told::default();
    let hook = Arc::clone(&told);
    let builder = Runtime::builder().workers(workers).max_threads(max_threads).on_shortage(move |shortage| {
        let error = shortage.error().map(std::io::Error::kind);
        hook.lock().unwrap().push((shortage.threads(), error, shortage.to_string()));
    });
    (builder.build().unwrap(), told)
}

/// A task that has not run by the time that the hook is told why.
fn waits_for_a_thread(runtime: &Runtime, told: &Told) -> JoinHandle<()> {
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);
    let waits = runtime.spawn(move || runs.store(true, SeqCst));
    until(|| !told.lock().unwrap().is_empty());
    assert!(!ran.load(SeqCst), "by which thread?");
    waits
}

#[test]
fn tasks_wait_while_all_threads_are_kept() {
    for workers in WORKERS {
        for way in WAYS {
            // Few more than workers: so none of them is the last one, see below.
            let most = workers + 3;
            let (runtime, told) = with_hook(workers, most);
            for _ in 0..3 {
                let stuck = Stuck::new(&runtime, most, way).all_begun();
                let waits = waits_for_a_thread(&runtime, &told);
                stuck.release();
                waits.join().unwrap();
                assert_eq!(runtime.run(|| throng::spawn(|| 1).join().unwrap()), 1);
            }
            let told = told.lock().unwrap();
            let [(threads, None, text)] = &told[..] else { panic!("{told:?}") };
            assert_eq!(*threads, most);
            assert!(text.contains(&most.to_string()) && text.contains("max_threads"), "{text}");
        }
    }
}

#[test]
fn one_that_comes_back_is_enough() {
    for workers in WORKERS {
        for way in WAYS {
            let (runtime, told) = with_hook(workers, workers + 3);
            let stuck = Stuck::new(&runtime, workers + 2, way).all_begun();
            let other = Stuck::new(&runtime, 1, way).all_begun();
            let waiting: Vec<_> = (0..100).map(|i| runtime.spawn(move || i)).collect();
            until(|| !told.lock().unwrap().is_empty());
            other.release();
            assert_eq!(waiting.into_iter().map(|task| task.join().unwrap()).sum::<i32>(), 4950);
            stuck.release();
        }
    }
}

/// The last thread of many is kept for those that the stuck ones may wait for.
#[test]
fn one_that_has_begun_goes_on_when_all_others_are_stuck() {
    for workers in WORKERS {
        for way in WAYS {
            let most = workers + 16;
            let (runtime, _told) = with_hook(workers, most);
            let (ask, asked) = unbounded::<i32>();
            let (answer, answers) = unbounded();
            let (ready, is_ready) = unbounded();
            let begun = runtime.spawn(move || {
                ready.send(()).unwrap();
                for number in asked.iter() {
                    task::sleep(ms(1));
                    answer.send(number + 1).unwrap();
                }
            });
            is_ready.recv().unwrap();
            let stuck = Stuck::new(&runtime, 2 * most, way);
            until(|| stuck.begun() == most - 1);
            for number in 0..10 {
                ask.send(number).unwrap();
                assert_eq!(answers.recv(), Ok(number + 1));
            }
            drop(ask);
            begun.join().unwrap();
            assert!(stuck.begun() < most, "the last thread took a new task");
            stuck.release();
        }
    }
}

/// The last thread comes to a new task right after one that waits, too.
#[test]
fn new_tasks_of_any_stack_size_wait_for_another_thread() {
    for workers in WORKERS {
        let most = workers + 16;
        let (runtime, _told) = with_hook(workers, most);
        let (go, goes) = unbounded::<()>();
        let (ready, is_ready) = unbounded();
        let spawner = runtime.spawn(move || {
            ready.send(()).unwrap();
            goes.recv().unwrap();
            let spawn = |size: usize| task::Builder::new().stack_size(size << 10).spawn(move || size).unwrap();
            let new: Vec<_> = [64, 64, 512, 2048, 64, 512].map(spawn).into();
            for _ in 0..10 {
                task::sleep(ms(1));
            }
            new
        });
        is_ready.recv().unwrap();
        let stuck = Stuck::new(&runtime, 2 * most, Way::Sleeps);
        until(|| stuck.begun() == most - 1);
        go.send(()).unwrap();
        let new = spawner.join().unwrap();
        assert!(new.iter().all(|task| !task.is_finished()), "the last thread took a new task");
        stuck.release();
        assert_eq!(new.into_iter().map(|task| task.join().unwrap()).sum::<usize>(), 3264);
    }
}

#[test]
fn a_hook_that_panics_stops_nothing() {
    let runtime = Runtime::builder().workers(1).max_threads(2).on_shortage(|_| panic!("out of the hook"));
    let runtime = runtime.build().unwrap();
    let told = Stuck::new(&runtime, 2, Way::Sleeps).all_begun();
    let waits = runtime.spawn(|| 1);
    thread::sleep(ms(50));
    told.release();
    assert_eq!(waits.join().unwrap(), 1);
    // There is still somebody who sees this.
    let stuck = Stuck::new(&runtime, 1, Way::Sleeps).all_begun();
    assert_eq!(runtime.spawn(|| 2).join().unwrap(), 2);
    stuck.release();
    drop(runtime);
}

#[test]
fn the_number_of_workers_changes_under_load() {
    for way in WAYS {
        let runtime = short_of_threads(2, 64);
        let stop = AtomicBool::new(false);
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..scaled(50, 300) {
                    let workers = [1, 8, 2, 5, 16, 3][i % 6];
                    runtime.set_workers(workers).unwrap();
                    assert_eq!(runtime.workers(), workers);
                    let done_now = done.load(SeqCst);
                    // Some tasks run on each number.
                    until(|| done.load(SeqCst) > done_now + 5);
                }
                stop.store(true, SeqCst);
            });
            let mut spawned = 0;
            while !stop.load(SeqCst) {
                let tasks: Vec<_> = (0..20)
                    .map(|i| {
                        runtime.spawn(move || match i % 5 {
                            0 => task::sleep(ms(1)),
                            1 if way == Way::Announced => throng::blocking(|| thread::sleep(ms(1))),
                            1 if way == Way::Sleeps => thread::sleep(ms(1)),
                            2 => task::yield_now(),
                            _ => throng::spawn(task::yield_now).join().unwrap(),
                        })
                    })
                    .collect();
                spawned += tasks.len();
                for task in tasks {
                    task.join().unwrap();
                    done.fetch_add(1, SeqCst);
                }
            }
            assert_eq!(done.load(SeqCst), spawned);
        });
    }
}

#[test]
fn the_number_of_workers_changes_while_tasks_are_stuck() {
    for way in WAYS {
        let (runtime, _told) = with_hook(4, 64);
        let stuck = Stuck::new(&runtime, 8, way).all_begun();
        for workers in [1, 8, 2, 64, 1] {
            runtime.set_workers(workers).unwrap();
            assert_eq!(runtime.run(|| throng::spawn(|| 1).join().unwrap()), 1);
        }
        stuck.release();
        assert_eq!(runtime.run(|| throng::spawn(|| 1).join().unwrap()), 1);
    }
}

#[test]
fn bad_numbers_are_refused() {
    let runtime = Runtime::builder().workers(2).max_threads(4).build().unwrap();
    for bad in [0, 5, usize::MAX] {
        let error = runtime.set_workers(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("max_threads"), "{error}");
        assert_eq!(runtime.workers(), 2);
    }
    for (workers, most) in [(2, 1), (1, 0), (1, usize::MAX)] {
        let error = Runtime::builder().workers(workers).max_threads(most).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("max_threads"), "{error}");
    }
    assert_eq!(runtime.run(|| 1), 1);
}

#[test]
fn the_system_has_no_more_threads() {
    if !is_child() {
        return passes_in_a_child("the_system_has_no_more_threads");
    }
    let (runtime, told) = with_hook(2, 100);
    assert_eq!(runtime.run(|| 1), 1);
    become_nobody_else();
    // A user who is not root may have other processes, and then there is room for none either.
    let allowed = limit(libc::RLIMIT_NPROC, threads());
    for way in WAYS {
        let stuck = Stuck::new(&runtime, 2, way).all_begun();
        let waits = waits_for_a_thread(&runtime, &told);
        stuck.release();
        waits.join().unwrap();
    }
    {
        let told = told.lock().unwrap();
        let [(_, Some(ErrorKind::WouldBlock), text)] = &told[..] else { panic!("{told:?}") };
        assert!(text.contains("ulimit -u"), "{text}");
    }
    // It is tried again.
    let stuck = Stuck::new(&runtime, 2, Way::Sleeps).all_begun();
    let waits = runtime.spawn(|| 2);
    limit(libc::RLIMIT_NPROC, allowed);
    assert_eq!(waits.join().unwrap(), 2);
    stuck.release();
}

/// Without a descriptor the kernel can't be asked what a thread does. It is asked again when there is one.
#[test]
fn out_of_descriptors() {
    if !is_child() {
        return passes_in_a_child("out_of_descriptors");
    }
    for workers in WORKERS {
        let runtime = short_of_threads(workers, 100);
        // Of its threads none has been looked at.
        let allowed = limit(libc::RLIMIT_NOFILE, 0);
        for way in WAYS {
            let stuck = Stuck::new(&runtime, workers + 1, way).all_begun();
            assert_eq!(runtime.spawn(|| 1).join().unwrap(), 1);
            stuck.release();
        }
        limit(libc::RLIMIT_NOFILE, allowed);
        let stuck = Stuck::new(&runtime, workers + 1, Way::Sleeps).all_begun();
        until(|| {
            let mut open = std::fs::read_dir("/proc/self/fd").unwrap();
            open.any(|file| std::fs::read_link(file.unwrap().path()).is_ok_and(|file| file.ends_with("stat")))
        });
        stuck.release();
    }
}

/// Hundreds of threads that are kept by tasks don't keep as many descriptors.
#[test]
fn hundreds_of_stuck_threads_take_few_descriptors() {
    if !is_child() {
        return passes_in_a_child("hundreds_of_stuck_threads_take_few_descriptors");
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let runtime = short_of_threads(2, 400);
    let before = open();
    let stuck = Stuck::new(&runtime, 300, Way::Sleeps).all_begun();
    until(|| open() < before + 100);
    stuck.release();
}

/// All threads are kept, for so long that nobody looks after them any more. Those that come back are seen to get stuck again.
#[test]
fn threads_come_back_after_a_long_time() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = short_of_threads(workers, workers + 1);
            let stuck = Stuck::new(&runtime, workers, way).all_begun();
            let other = Stuck::new(&runtime, 1, way).all_begun();
            let again = Stuck::new(&runtime, workers, way);
            thread::sleep(ms(50));
            // Nobody joins, which would rouse the monitor.
            drop(stuck);
            let again = again.all_begun();
            // As many as are wanted seem to be there: this one is spare.
            drop(other);
            let waits = runtime.spawn(|| ());
            until(|| waits.is_finished());
            again.release();
        }
    }
}

/// While nobody waits for a thread there is nothing to tell. It is told when somebody does, however long after.
#[test]
fn nothing_is_told_while_nobody_waits_for_a_thread() {
    for workers in WORKERS {
        for way in WAYS {
            let (runtime, told, stuck) = loop {
                let (runtime, told) = with_hook(workers, workers);
                let stuck = Stuck::new(&runtime, workers, way).all_begun();
                // On a busy machine the last of them may itself have waited for long, for a thread that was kept from the
                // processor.
                thread::sleep(ms(10));
                if told.lock().unwrap().is_empty() {
                    break (runtime, told, stuck);
                }
            };
            thread::sleep(ms(40));
            assert_eq!(told.lock().unwrap().len(), 0);
            let waits = waits_for_a_thread(&runtime, &told);
            stuck.release();
            waits.join().unwrap();
        }
    }
}
