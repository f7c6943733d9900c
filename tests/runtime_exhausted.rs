//! No thread, no descriptor, no address space: an error, and the program goes on. Each in a process of its own.

mod common;
#[path = "common/limits.rs"]
mod limits;

use common::{is_child, passes_in_a_child};
use limits::{become_nobody_else, limit, threads};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use throng::JoinHandle;
use throng::net::lookup_host;
use throng::runtime::Runtime;
use throng::sim::Check;
use throng::task::Builder;

/// How much address space this process has.
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    pages.split(' ').next().expect("a number").parse::<u64>().expect("a number") * 4096
}

/// A page of its stack, and its control block. (Code that isn't optimized has larger frames.)
#[test]
#[cfg(not(any(throng_tsan, throng_asan)))]
fn a_parked_task_takes_little_memory() {
    if !common::is_child() {
        return passes_in_a_child("a_parked_task_takes_little_memory");
    }
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("procfs");
        pages.split(' ').nth(1).expect("a number").parse::<f64>().expect("a number")
    };
    const TASKS: usize = 10_000;
    let own = Runtime::builder().workers(1).build().expect("a runtime");
    own.run(|| {
        let before = resident();
        let begun = throng::sync::WaitGroup::new();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let begun = begun.clone();
                throng::spawn(move || {
                    drop(begun);
                    throng::task::park();
                })
            })
            .collect();
        begun.wait();
        let each = (resident() - before) / TASKS as f64;
        println!("{each:.2} pages a task");
        assert!(each < if cfg!(debug_assertions) { 4.0 } else { 2.0 }, "{each:.2} pages a task");
        for task in tasks {
            task.task().unpark();
            task.join().expect("no panic");
        }
    });
}

/// A runtime that has stacks enough for those who go on. It has one worker: another one would have a stock of its own.
fn others() -> Runtime {
    let others = common::runtime(1);
    others.run(|| {
        let parked = (0..100).map(|_| throng::spawn(throng::task::park)).collect();
        end(parked);
    });
    others
}

/// Spawns tasks that park, until one can't be spawned.
fn park_as_many_as_can_be(spawn: impl Fn(fn()) -> io::Result<JoinHandle<()>>) -> (Vec<JoinHandle<()>>, io::Error) {
    let mut parked = Vec::new();
    loop {
        match spawn(throng::task::park) {
            Ok(handle) => parked.push(handle),
            Err(error) => return (parked, error),
        }
    }
}

fn end(parked: Vec<JoinHandle<()>>) {
    for handle in parked {
        handle.task().unpark();
        handle.join().expect("no panic");
    }
}

/// Runs `f` while tasks of this runtime talk, sleep and come and go; they must get on meanwhile.
fn while_others_go_on<T>(own: &Runtime, f: impl FnOnce() -> T) -> T {
    let rounds = Arc::new(AtomicUsize::new(0));
    let (send, receive) = throng::chan::bounded(0);
    let sender = own.spawn(move || while send.send(()).is_ok() {});
    let receiver = own.spawn({
        let rounds = Arc::clone(&rounds);
        move || {
            while receive.recv().is_ok() {
                throng::task::sleep(common::ms(1));
                throng::spawn(|| ()).join().expect("no panic");
                rounds.fetch_add(1, SeqCst);
            }
        }
    });
    let get_on = || {
        let before = rounds.load(SeqCst);
        common::until(|| rounds.load(SeqCst) > before + 3 || receiver.is_finished());
        assert!(!receiver.is_finished());
    };
    get_on();
    let result = f();
    get_on();
    receiver.cancel();
    assert!(receiver.join().expect_err("cancelled").is::<throng::cancel::Cancelled>());
    sender.join().expect("no panic");
    result
}

#[track_caller]
fn assert_says(text: impl ToString, parts: &[&str]) {
    let text = text.to_string();
    println!("{text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn no_thread_to_be_had() {
    if !is_child() {
        return passes_in_a_child("no_thread_to_be_had");
    }
    let own = common::runtime(2);
    assert_eq!(own.run(|| 1), 1);
    become_nobody_else();
    let before = threads();
    let allowed = limit(libc::RLIMIT_NPROC, before + 10);
    while_others_go_on(&own, || {
        // A user who is not root may have other processes, and then there is room for none.
        for _ in 0..3 {
            let error = Runtime::builder().workers(64).build().expect_err("no room for 64 threads");
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            assert_says(error, &["can't start worker thread", "ulimit -u"]);
            // Those that were started have ended. (The kernel forgets them a moment after they were joined.)
            common::until(|| threads() == before);
        }
        limit(libc::RLIMIT_NPROC, before);
        assert!(lookup_host("localhost:7").is_ok());
        // The global runtime, at its first use.
        let error = Builder::new().spawn(|| ()).expect_err("no room for its threads");
        assert_says(error, &["can't start", "ulimit -u"]);
        let payload = std::panic::catch_unwind(|| throng::run(|| ())).expect_err("no room for its threads");
        assert_says(common::message(&*payload), &["can't start the global runtime", "ulimit -u"]);
    });
    limit(libc::RLIMIT_NPROC, allowed);
    assert_eq!(common::runtime(8).run(|| 3), 3);
    assert!(lookup_host("localhost:7").is_ok());
    assert_eq!(throng::run(|| 4), 4);
}

#[test]
fn no_address_space_for_a_stack() {
    if !is_child() {
        return passes_in_a_child("no_address_space_for_a_stack");
    }
    let others = others();
    let own = Runtime::builder().workers(1).stack_size(64 << 20).build().expect("a runtime");
    // Room for four stacks of 64 MiB, and for `malloc` and the sanitizers, which could not report that there is none.
    let allowed = own.run(|| limit(libc::RLIMIT_AS, address_space() + ((4 * 64 + 56) << 20)));
    while_others_go_on(&others, || {
        own.run(|| {
            let (mut parked, error) = park_as_many_as_can_be(|f| Builder::new().spawn(f));
            assert!(parked.len() < 1000, "the limit was passed");
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
            assert_says(error, &["can't make room for", "65536 KiB", "ulimit -v", "smaller stacks"]);
            // Those who can't return an error panic, and only their own task.
            let error = throng::scope(|s| {
                // This one has its room already.
                end(vec![parked.pop().expect("there was room for some")]);
                let spawner = s.spawn(|| {
                    throng::spawn(|| ());
                });
                spawner.join().expect_err("no room for another one")
            });
            assert_says(common::message(&*error), &["can't spawn a task", "ulimit -v"]);
            // Smaller ones, and those that are there, go on.
            assert_eq!(Builder::new().stack_size(64 << 10).spawn(|| 4).expect("spawned").join().expect("no panic"), 4);
            end(parked);
            // What was freed is room for others.
            assert_eq!(throng::spawn(|| 5).join().expect("no panic"), 5);
        });
        let error = Runtime::builder().workers(1).stack_size(128 << 20).build().expect_err("no room for its stacks");
        assert_says(error, &["131072 KiB", "ulimit -v"]);
        let refused = std::panic::catch_unwind(|| Check::new().stack_size(128 << 20).run(1, || ()).map(drop));
        assert_says(common::message(&*refused.expect_err("no room for its root")), &["can't simulate", "ulimit -v"]);
    });
    limit(libc::RLIMIT_AS, allowed);
    own.run(|| assert_eq!(Builder::new().stack_size(128 << 20).spawn(|| 6).expect("spawned").join().expect("ok"), 6));
}

/// Workers that have run many tasks keep no room for them from others. (A sanitizer needs address space for each task, too, and
/// ends the process if it gets none.)
#[test]
#[cfg(not(any(throng_tsan, throng_asan)))]
fn room_that_was_freed_is_there_for_all() {
    if !is_child() {
        return passes_in_a_child("room_that_was_freed_is_there_for_all");
    }
    let own = Runtime::builder().workers(2).stack_size(1 << 20).build().expect("a runtime");
    let spawn = || {
        // On a plain thread.
        let (parked, error) = park_as_many_as_can_be(|f| Builder::new().spawn_on(&own, f));
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        parked
    };
    // For the workers' own stacks.
    own.run(|| ());
    limit(libc::RLIMIT_AS, address_space() + (300 << 20));
    let most = spawn();
    let count = most.len();
    println!("room for {count}");
    assert!((20..1000).contains(&count), "room for {count}");
    end(most);
    for _ in 0..3 {
        // A worker keeps some until it sleeps, which it may only be about to do; the tasks that park leave it nothing else.
        // (Not all of them: if a thread was started meanwhile it has its own.)
        let again = std::cell::RefCell::new(Vec::new());
        common::until(|| {
            again.borrow_mut().extend(spawn());
            again.borrow().len() > count / 2
        });
        end(again.into_inner());
    }
}

/// The kernel has a limit for the number of a process's mappings, past which each call that wants one fails. (musl's `malloc`
/// needs one now and then, and a sanitizer.)
#[test]
#[cfg(all(target_env = "gnu", not(any(throng_tsan, throng_asan))))]
#[expect(unsafe_code, reason = "mappings have no safe face in `std`")]
fn no_mapping_to_be_had() {
    const PAGE: usize = 4096 * 16;
    if !is_child() {
        return passes_in_a_child("no_mapping_to_be_had");
    }
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").expect("procfs");
    let most: usize = most.trim().parse().expect("a number");
    if most > 1 << 20 {
        println!("skipped: {most} mappings are too many to make");
        return;
    }
    let others = others();
    let map = |bytes| {
        // SAFETY: a new mapping, that nobody uses.
        unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0) }
    };
    let spawn = || {
        let task = || Builder::new().stack_size(4 << 20).spawn(|| 7);
        others.run(|| task().map(|handle| handle.join().expect("no panic")))
    };
    while_others_go_on(&others, || {
        let region = map(most * PAGE);
        assert_ne!(region, libc::MAP_FAILED);
        // Each second page is made another mapping, until there can't be more.
        let splits = (1..most).step_by(2).take_while(|page| {
            // SAFETY: a page of the region, that nobody uses.
            unsafe { libc::mprotect(region.byte_add(page * PAGE), PAGE, libc::PROT_READ) == 0 }
        });
        assert!(splits.count() > most / 4);
        while map(PAGE) != libc::MAP_FAILED {}
        let error = spawn().expect_err("no mapping for its stack");
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        // SAFETY: the region that was mapped above.
        assert_eq!(unsafe { libc::munmap(region, most * PAGE) }, 0);
        assert_says(error, &["can't make room for", "4096 KiB", "vm.max_map_count"]);
        assert_eq!(spawn().expect("there is room again"), 7);
    });
}

/// Where each guard costs two mappings, stacks have a limit of their own, and leave as many mappings to others.
#[test]
#[cfg(throng_mprotect_guards)]
fn no_mapping_for_a_guard() {
    if !is_child() {
        return passes_in_a_child("no_mapping_for_a_guard");
    }
    let others = others();
    let own = Runtime::builder().workers(1).stack_size(64 << 10).build().expect("a runtime");
    while_others_go_on(&others, || {
        own.run(|| {
            let (parked, error) = park_as_many_as_can_be(|f| Builder::new().spawn(f));
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
            assert_says(error, &["64 KiB", "MADV_GUARD_INSTALL", "vm.max_map_count", "fewer tasks"]);
            assert!(parked.len() > 1000);
            end(parked);
            assert_eq!(throng::spawn(|| 8).join().expect("no panic"), 8);
        });
    });
}

#[test]
fn no_file_descriptor_to_be_had() {
    if !is_child() {
        return passes_in_a_child("no_file_descriptor_to_be_had");
    }
    let own = common::runtime(2);
    let allowed = while_others_go_on(&own, || {
        let allowed = limit(libc::RLIMIT_NOFILE, 0);
        let error = Runtime::builder().workers(1).build().expect_err("no room for its poller");
        let payload = std::panic::catch_unwind(|| throng::spawn(|| ()));
        let asked = lookup_host("localhost:7");
        limit(libc::RLIMIT_NOFILE, allowed);
        assert_says(error, &["can't make a poller", "ulimit -n"]);
        let payload = payload.expect_err("no room for the global runtime's poller");
        assert_says(common::message(&*payload), &["can't spawn a task", "ulimit -n"]);
        assert!(asked.is_err());
        allowed
    });
    assert!(allowed > 0);
    assert_eq!(common::runtime(1).run(|| 6), 6);
    // A global runtime that could not be started is tried again.
    assert_eq!(throng::spawn(|| 8).join().expect("no panic"), 8);
    assert!(lookup_host("localhost:7").is_ok());
}
