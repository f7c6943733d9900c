//! No thread, no descriptor, no address space: an error, and the program goes on. Each in a process of its own.

mod common;
#[path = "common/limits.rs"]
mod limits;

use limits::{become_nobody_else, limit, passes_in_a_child, threads};
use std::io::ErrorKind;
use throng::runtime::Runtime;
use throng::task::Builder;

/// How much address space this process has.
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    pages.split(' ').next().expect("a number").parse::<u64>().expect("a number") * 4096
}

#[test]
fn no_thread_to_be_had() {
    if !common::is_child() {
        return passes_in_a_child("no_thread_to_be_had");
    }
    let own = common::runtime(2);
    assert_eq!(own.run(|| 1), 1);
    become_nobody_else();
    let before = threads();
    let allowed = limit(libc::RLIMIT_NPROC, before + 10);
    // A user who is not root may have other processes, and then there is room for none.
    for _ in 0..3 {
        let error = Runtime::builder().workers(64).build().expect_err("no room for 64 threads");
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
        assert!(error.to_string().contains("ulimit -u"), "{error}");
        println!("{error}");
        // Those that were started have ended. (The kernel forgets them a moment after they were joined.)
        common::until(|| threads() == before);
    }
    // The old runtime goes on.
    assert_eq!(own.run(|| throng::spawn(|| 2).join().expect("no panic")), 2);
    limit(libc::RLIMIT_NPROC, allowed);
    assert_eq!(common::runtime(8).run(|| 3), 3);
}

#[test]
fn no_address_space_for_a_stack() {
    if !common::is_child() {
        return passes_in_a_child("no_address_space_for_a_stack");
    }
    let own = common::runtime(2);
    own.run(|| {
        // Room for four stacks of 16 MiB, and for `malloc`, which could not report that there is none.
        limit(libc::RLIMIT_AS, address_space() + (72 << 20));
        let mut parked = Vec::new();
        let error = loop {
            match Builder::new().stack_size(16 << 20).spawn(throng::task::park) {
                Ok(handle) => parked.push(handle),
                Err(error) => break error,
            }
            assert!(parked.len() < 1000, "the limit was passed");
        };
        println!("{error}, after {}", parked.len());
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        // Smaller ones, and those that are there, go on.
        assert_eq!(throng::spawn(|| 4).join().expect("no panic"), 4);
        for handle in parked {
            handle.task().unpark();
            handle.join().expect("no panic");
        }
        limit(libc::RLIMIT_AS, libc::RLIM_INFINITY);
        assert_eq!(Builder::new().stack_size(16 << 20).spawn(|| 5).expect("spawned").join().expect("no panic"), 5);
    });
}

#[test]
fn no_file_descriptor_to_be_had() {
    if !common::is_child() {
        return passes_in_a_child("no_file_descriptor_to_be_had");
    }
    let own = common::runtime(1);
    limit(libc::RLIMIT_NOFILE, 0);
    let result = Runtime::builder().workers(1).build();
    let payload = std::panic::catch_unwind(|| throng::spawn(|| ()));
    limit(libc::RLIMIT_NOFILE, 1024);
    // The poller may be made only when the first socket comes: then this isn't an error either.
    match result {
        Ok(other) => assert_eq!(other.run(|| 6), 6),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}"),
    }
    if let Err(payload) = payload {
        assert!(common::message(&*payload).contains("can't"), "{}", common::message(&*payload));
    }
    assert_eq!(own.run(|| 7), 7);
    // A global runtime that could not be started is tried again.
    assert_eq!(throng::spawn(|| 8).join().expect("no panic"), 8);
}
