//! `runtime::Builder`: what it accepts, and what it refuses.

mod common;

use std::io::ErrorKind;
use std::sync::Mutex;
use throng::runtime::{Builder, Runtime};

#[track_caller]
fn refused(builder: Builder, because: &str) {
    let error = builder.build().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains(because), "{error}");
}

#[test]
fn zero_workers_are_refused() {
    refused(Builder::new().workers(0), "at least one worker");
}

#[test]
fn absurdly_many_workers_are_refused() {
    refused(Builder::new().workers(1_000_000), "1000000 workers");
    refused(Builder::new().workers(usize::MAX), "workers");
}

#[test]
fn bad_stack_sizes_are_refused() {
    for (size, because) in [
        (0, "stack"),
        (1, "stack"),
        (4096, "stack"),
        (64 * 1024 + 1, "whole number of pages"),
        (usize::MAX & !0xfff, "stack"),
        (1 << 60, "stack"),
        (usize::MAX, ""),
    ] {
        refused(Builder::new().stack_size(size), because);
        let error = throng::task::Builder::new().stack_size(size).spawn(|| ()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{size}: {error}");
    }
}

#[test]
fn a_name_with_a_null_byte_is_refused() {
    refused(Builder::new().name("a\0b"), "null byte");
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").expect("procfs").count();
    drop(common::runtime(1));
    let before = threads();
    for _ in 0..100 {
        let _ = Builder::new().workers(4).stack_size(1).build().expect_err("refused");
    }
    // Other tests of this file come and go at the same time, but not by hundreds.
    assert!(threads() < before + 100);
}

#[test]
fn workers_run_at_the_same_time_and_bear_the_name() {
    let runtime = Runtime::builder().workers(3).name("hive").build().expect("a runtime");
    let meeting = std::sync::Barrier::new(3);
    let names = Mutex::new(Vec::new());
    runtime.run(|| {
        throng::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    // A kernel thread's barrier: passed only if three kernel threads are here together.
                    meeting.wait();
                    names.lock().expect("no panic").push(std::thread::current().name().map(str::to_owned));
                });
            }
        });
    });
    let mut names: Vec<_> = names.into_inner().expect("no panic").into_iter().flatten().collect();
    names.sort();
    names.dedup();
    // Each has its number. On a busy machine a spare thread may be there sooner than the third worker.
    let number = |name: &String| name.strip_prefix("hive-")?.parse::<usize>().ok();
    assert!(names.len() == 3 && names.iter().all(|name| number(name).is_some()), "{names:?}");
}

#[test]
fn a_builder_is_a_value() {
    let builder = Builder::default().workers(1).name("one").seed(7).stack_size(64 * 1024);
    let again = builder.clone();
    assert_eq!(format!("{builder:?}"), format!("{again:?}"));
    assert_eq!(builder.build().expect("a runtime").run(|| 1), 1);
    let runtime = again.build().expect("another");
    assert_eq!(runtime.run(|| 2), 2);
    assert!(format!("{runtime:?}").starts_with("Runtime"));
}

#[test]
fn a_runtimes_stack_size_is_its_tasks() {
    let runtime = Builder::new().workers(1).stack_size(8 << 20).build().expect("a runtime");
    assert!(runtime.run(|| common::use_stack(7 << 20)) >= 7 << 20);
}

#[test]
fn the_smallest_stack_is_enough_for_the_scheduler() {
    let runtime = Builder::new().workers(4).stack_size(16 << 10).build().expect("a runtime");
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_micros(500));
        let handles: Vec<_> = (0..100_u64)
            .map(|i| {
                runtime.spawn(move || {
                    throng::task::yield_now();
                    throng::task::sleep(std::time::Duration::from_micros(i));
                    let child = throng::spawn(move || i);
                    child.join().expect("no panic")
                })
            })
            .collect();
        assert_eq!(handles.into_iter().map(|handle| handle.join().expect("no panic")).sum::<u64>(), 4950);
    }
}
