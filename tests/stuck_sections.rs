//! `throng::blocking`: what may be done inside, and that it holds nobody up.

mod common;
#[path = "common/stuck.rs"]
mod stuck;
#[path = "common/waits.rs"]
mod waits;

use common::{WORKERS, message, ms, runtime, scaled, until};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use stuck::{Stuck, Way};
use throng::cancel::Cancelled;
use throng::chan::{bounded, unbounded};
use throng::net::UnixStream;
use throng::runtime::Runtime;
use throng::{blocking, task};

#[test]
fn the_value_comes_out() {
    let mut trail = vec![1];
    let outside = blocking(|| {
        trail.push(2);
        blocking(|| trail.len())
    });
    assert_eq!((outside, trail), (2, vec![1, 2]));
    for workers in WORKERS {
        let runtime = runtime(workers);
        let inside = runtime.run(|| {
            let before = task::current().id();
            let sum = blocking(|| {
                assert_eq!(task::current().id(), before);
                1 + blocking(|| 2 + blocking(|| 4))
            });
            // A section inside a section ends with the outer one.
            blocking(|| {
                blocking(|| ());
                let here = thread::current().id();
                task::sleep(ms(1));
                assert_eq!(thread::current().id(), here, "a task stays on its thread");
            });
            sum
        });
        assert_eq!(inside, 7);
    }
}

#[test]
fn the_panic_comes_out() {
    let test = || {
        let payload = catch_unwind(|| -> () { blocking(|| blocking(|| resume_unwind(Box::new("out")))) });
        assert_eq!(message(&*payload.unwrap_err()), "out");
        // The section is over: waits are as ever.
        task::yield_now();
        task::sleep(ms(1));
        assert_eq!(blocking(|| 1), 1);
    };
    test();
    for workers in WORKERS {
        let runtime = runtime(workers);
        for _ in 0..10 {
            runtime.run(test);
        }
        let payload = runtime.spawn(|| -> () { blocking(|| resume_unwind(Box::new("out"))) }).join();
        assert_eq!(message(&*payload.unwrap_err()), "out");
    }
}

#[test]
fn waits_of_every_kind() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for wait in waits::every_wait() {
            println!("{workers} workers: {}", wait.name);
            let task = runtime.spawn(|| {
                blocking(|| {
                    let here = thread::current().id();
                    (wait.wait)();
                    assert_eq!(thread::current().id(), here, "a task stays on its thread");
                });
                task::yield_now();
            });
            runtime.run(|| {
                task::sleep(ms(1));
                blocking(wait.end);
            });
            task.join().unwrap();
        }
    }
}

#[test]
fn cancellation_comes_after_it() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let (begun, begins) = unbounded();
        let (s, r) = bounded(0);
        let ended = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ended);
        let task = runtime.spawn(move || {
            blocking(|| {
                begun.send(()).unwrap();
                assert_eq!(r.recv(), Ok(1));
                task::sleep(ms(1));
                assert_eq!(r.recv(), Ok(2));
                ends.store(true, SeqCst);
            });
            loop {
                task::park();
            }
        });
        begins.recv().unwrap();
        task.cancel();
        s.send(1).unwrap();
        s.send(2).unwrap();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert!(ended.load(SeqCst));
    }
}

/// Each of them needs a thread of its own.
#[test]
fn many_at_once() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let barrier = Barrier::new(100);
        for _ in 0..scaled(3, 10) {
            runtime.run(|| {
                throng::scope(|scope| {
                    for _ in 0..100 {
                        scope.spawn(|| blocking(|| barrier.wait()));
                    }
                });
            });
        }
    }
}

/// While all are in sections, work comes from a thread, a timer and a socket.
#[test]
fn work_arrives_while_all_are_in_sections() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        for _ in 0..scaled(3, 10) {
            let (near, mut far) = UnixStream::pair().unwrap();
            let reads = runtime.spawn(move || (&near).read_exact(&mut [0]).unwrap());
            let (s, r) = bounded(0);
            let receives = runtime.spawn(move || r.recv());
            let sleeps = runtime.spawn(|| task::sleep(ms(5)));
            let stuck = Stuck::new(&runtime, workers + 1, Way::Announced).all_begun();
            s.send(1).unwrap();
            assert_eq!(receives.join().unwrap(), Ok(1));
            far.write_all(&[1]).unwrap();
            reads.join().unwrap();
            sleeps.join().unwrap();
            assert_eq!(runtime.spawn(|| 2).join().unwrap(), 2);
            stuck.release();
        }
    }
}

/// As soon as a section begins, and at its very end.
#[test]
fn work_arrives_as_sections_begin_and_end() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let stop = Arc::new(AtomicBool::new(false));
        let sections: Vec<_> = (0..2 * workers)
            .map(|i| {
                let stop = Arc::clone(&stop);
                runtime.spawn(move || {
                    while !stop.load(SeqCst) {
                        blocking(|| {
                            if i % 2 == 0 {
                                thread::yield_now()
                            }
                        });
                        task::yield_now();
                    }
                })
            })
            .collect();
        for i in 0..scaled(200, 2000) {
            assert_eq!(runtime.spawn(move || i).join().unwrap(), i);
            assert_eq!(runtime.run(|| throng::spawn(move || i).join().unwrap()), i);
        }
        stop.store(true, SeqCst);
        sections.into_iter().for_each(|task| task.join().unwrap());
    }
}

/// How many threads of a runtime there are.
fn threads(name: &str) -> usize {
    let is_one = |thread: std::io::Result<std::fs::DirEntry>| {
        let of = std::fs::read_to_string(thread.expect("a thread").path().join("comm"));
        of.is_ok_and(|of| of.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')))
    };
    std::fs::read_dir("/proc/self/task").expect("procfs").map(is_one).filter(|&is| is).count()
}

/// Those that stepped in step in again, so there are never many more than there were tasks at once.
#[test]
fn threads_are_used_again() {
    let runtime = Runtime::builder().workers(2).name("again").build().unwrap();
    let most = AtomicUsize::new(0);
    for _ in 0..scaled(100, 300) {
        let barrier = Barrier::new(8);
        runtime.run(|| {
            throng::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| blocking(|| barrier.wait()));
                }
            });
        });
        most.fetch_max(threads("again"), SeqCst);
    }
    assert!((8..60).contains(&most.load(SeqCst)), "{most:?} threads");
    drop(runtime);
    until(|| threads("again") == 0);
}

#[test]
fn spare_threads_end() {
    let runtime = Runtime::builder().workers(2).name("spare").build().unwrap();
    let most = 2 + 1; // and the monitor
    let stuck = Stuck::new(&runtime, 50, stuck::WAYS[0]).all_begun();
    assert!(threads("spare") >= 50);
    stuck.release();
    until(|| threads("spare") <= most);
    assert_eq!(runtime.run(|| throng::spawn(|| 1).join().unwrap()), 1);
}

#[test]
fn a_section_outlives_a_caught_panic_inside() {
    for workers in WORKERS {
        runtime(workers).run(|| {
            blocking(|| {
                let here = thread::current().id();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    blocking(|| resume_unwind(Box::new("inside")));
                }));
                assert!(caught.is_err());
                task::sleep(ms(1));
                assert_eq!(thread::current().id(), here);
            });
        });
    }
}
