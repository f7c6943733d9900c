//! Spawning, joining, detaching; what panics do; names, ids and stacks.

mod common;
#[path = "common/stuck.rs"]
mod stuck;

use common::{Dropped, message, runtime, until, use_stack};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use stuck::{Stuck, Way};
use throng::task::{self, Builder};

fn counter() -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(0))
}

#[test]
fn a_result_comes_out_of_join() {
    assert_eq!(throng::spawn(|| 6 * 7).join().expect("no panic"), 42);
    assert_eq!(throng::spawn(|| vec![1; 1000]).join().expect("no panic").len(), 1000);
    throng::spawn(|| ()).join().expect("no panic");
    // In a task, from a thread, of a result that is aligned for more than a cache line.
    #[repr(align(256))]
    #[derive(Debug, PartialEq)]
    struct Wide([u8; 512]);
    let wide = throng::run(|| throng::spawn(|| Wide([3; 512])).join().expect("no panic"));
    assert_eq!(wide, Wide([3; 512]));
    assert_eq!((&raw const wide) as usize % 256, 0);
}

#[test]
fn large_and_aligned_closures_arrive_whole() {
    #[repr(align(128))]
    struct Aligned([u64; 16]);
    let (large, aligned) = ([7_u8; 20_000], Aligned([9; 16]));
    let handle = throng::spawn(move || {
        assert_eq!((&raw const aligned) as usize % 128, 0);
        large.iter().map(|&x| u64::from(x)).sum::<u64>() + aligned.0.iter().sum::<u64>()
    });
    assert_eq!(handle.join().expect("no panic"), 140_144);
}

#[test]
fn a_dropped_handle_detaches() {
    let done = counter();
    for _ in 0..100 {
        let done = Arc::clone(&done);
        drop(throng::spawn(move || {
            task::yield_now();
            done.fetch_add(1, SeqCst);
        }));
    }
    until(|| done.load(SeqCst) == 100);
}

#[test]
fn results_are_dropped_once_whoever_drops_them() {
    let dropped = counter();
    let own = runtime(2);
    // Detached before the end, and after it.
    let early = own.spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || {
            task::park();
            guard
        }
    });
    let task = early.task();
    drop(early);
    assert_eq!(dropped.load(SeqCst), 0);
    task.unpark();
    until(|| dropped.load(SeqCst) == 1);
    let late = own.spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || guard
    });
    until(|| late.is_finished());
    assert_eq!(dropped.load(SeqCst), 1);
    drop(late);
    assert_eq!(dropped.load(SeqCst), 2);
    let joined = own.spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || guard
    });
    drop(joined.join().expect("no panic"));
    assert_eq!(dropped.load(SeqCst), 3);
}

#[test]
fn payloads_of_panics_come_out_of_join() {
    assert_eq!(message(&*throng::spawn(|| panic!("plain")).join().expect_err("a panic")), "plain");
    assert_eq!(message(&*throng::spawn(|| panic!("of {}", 2)).join().expect_err("a panic")), "of 2");
    let payload = throng::spawn(|| panic_any(vec![1, 2, 3])).join().expect_err("a panic");
    assert_eq!(payload.downcast_ref::<Vec<i32>>().map(Vec::len), Some(3));
    // Of a panic after a wait, too.
    let payload = throng::spawn(|| {
        task::yield_now();
        task::park_timeout(std::time::Duration::from_millis(1));
        panic!("late");
    });
    assert_eq!(message(&*payload.join().expect_err("a panic")), "late");
}

#[test]
fn a_panic_runs_destructors_and_hurts_nobody_else() {
    let dropped = counter();
    let handle = throng::spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || {
            let _guard = guard;
            panic!("here");
        }
    });
    let _ = handle.join().expect_err("a panic");
    assert_eq!(dropped.load(SeqCst), 1);
    // Nobody joins this one.
    drop(throng::spawn(|| panic!("unseen")));
    assert_eq!(throng::run(|| 1), 1);
}

#[derive(Debug)]
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_panic_of_the_closures_destructor_comes_out_of_join() {
    let bomb = Bomb("captured");
    let handle = throng::spawn(move || {
        let _bomb = &bomb;
    });
    assert_eq!(message(&*handle.join().expect_err("a panic")), "captured");
}

#[test]
fn a_panic_of_a_results_destructor_is_its_dropers() {
    let handle = throng::spawn(|| Bomb("result"));
    let result = handle.join();
    let payload = catch_unwind(AssertUnwindSafe(|| drop(result))).expect_err("a panic");
    assert_eq!(message(&*payload), "result");
}

#[test]
fn a_panic_of_an_unwanted_results_destructor_hurts_nobody() {
    let own = runtime(1);
    // The task drops its result itself.
    drop(own.spawn(|| {
        task::yield_now();
        Bomb("unwanted")
    }));
    // The handle's owner drops it.
    let handle = own.spawn(|| Bomb("unwanted"));
    until(|| handle.is_finished());
    drop(handle);
    // A payload whose destructor panics.
    drop(own.spawn(|| panic_any(Bomb("payload"))));
    let handle = own.spawn(|| panic_any(Bomb("payload")));
    let payload = handle.join().expect_err("a panic");
    catch_unwind(AssertUnwindSafe(|| drop(payload))).expect_err("its own panic");
    assert_eq!(own.run(|| 3), 3);
    drop(own);
}

#[test]
fn a_panic_of_an_unbegun_tasks_destructor_hurts_nobody() {
    let own = runtime(1);
    let stuck = Stuck::new(&own, 1, Way::Sleeps).all_begun();
    let bomb = Bomb("never run");
    let handle = own.spawn(move || drop(bomb));
    std::thread::scope(|s| {
        s.spawn(|| drop(own));
        std::thread::sleep(std::time::Duration::from_millis(20));
        stuck.release();
    });
    let _ = handle.join().expect_err("cancelled before it ran, or a panic");
}

#[test]
fn is_finished_is_true_once_join_would_not_wait() {
    let own = runtime(1);
    let handle = own.spawn(task::park);
    assert!(!handle.is_finished());
    handle.task().unpark();
    until(|| handle.is_finished());
    handle.join().expect("no panic");
}

#[test]
fn ids_are_unique_and_stay() {
    let ids = Mutex::new(HashSet::new());
    throng::scope(|s| {
        for _ in 0..1000 {
            s.spawn(|| {
                let id = task::current().id();
                task::yield_now();
                assert_eq!(task::current().id(), id);
                assert!(ids.lock().expect("no panic").insert(id), "{id} came twice");
            });
        }
    });
    assert_eq!(ids.into_inner().expect("no panic").len(), 1000);
    let handle = throng::spawn(|| task::current().id());
    let id = handle.task().id();
    assert_eq!(handle.join().expect("no panic"), id);
    assert_eq!(format!("{id:?}"), format!("TaskId({})", id.get()));
    assert_eq!(format!("{id}"), id.get().to_string());
}

#[test]
fn names_are_what_they_were_given_as() {
    let handle = Builder::new().name("worker bee").spawn(task::current).expect("spawned");
    assert_eq!(handle.task().name(), Some("worker bee"));
    let task = handle.join().expect("no panic");
    assert_eq!(task.name(), Some("worker bee"));
    assert!(format!("{task:?}").contains("worker bee"));
    assert_eq!(throng::spawn(task::current).join().expect("no panic").name(), None);
    // Unlike a kernel thread's, a task's name may be anything.
    let odd = Builder::new().name(String::from("a\0b")).spawn(|| ()).expect("spawned");
    assert_eq!(odd.task().name(), Some("a\0b"));
}

#[test]
fn tasks_compare_by_identity() {
    let handle = throng::spawn(task::current);
    let outside = handle.task();
    let inside = handle.join().expect("no panic");
    assert_eq!(outside, inside.clone());
    assert_ne!(outside, throng::spawn(task::current).join().expect("no panic"));
}

#[test]
fn current_outside_a_task() {
    assert!(task::try_current().is_none());
    let payload = catch_unwind(task::current).expect_err("a panic");
    assert!(message(&*payload).contains("outside a task"));
    assert!(std::thread::spawn(|| task::try_current().is_none()).join().expect("no panic"));
    throng::run(|| assert!(task::try_current().is_some()));
}

#[test]
fn the_default_stack_can_be_used() {
    let default = if cfg!(debug_assertions) { 1 << 20 } else { 256 << 10 };
    let most = default - 32 * 1024;
    assert!(throng::spawn(move || use_stack(most)).join().expect("no panic") >= most);
}

#[test]
fn a_stack_of_ones_own_can_be_used_to_its_end() {
    for size in [16 << 10, 64 << 10, 128 << 10, 1 << 20, 5 << 20, 64 << 20] {
        // What is left is for the page below, the task's own first frames, and debug builds' large ones.
        let most = size.max(64 << 10) - 24 * 1024;
        let handle = Builder::new().stack_size(size).spawn(move || use_stack(most)).expect("spawned");
        assert!(handle.join().expect("no panic") >= most);
    }
}

#[test]
fn tasks_of_all_stack_sizes_mix() {
    let own = runtime(2);
    own.run(|| {
        let handles: Vec<_> = (0..200_usize)
            .map(|i| {
                let size = [16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20, 3 << 20][i % 6];
                let spawned = Builder::new().stack_size(size).spawn(move || {
                    task::yield_now();
                    let used = if size >= 64 << 10 { use_stack(size / 2) } else { 0 };
                    task::yield_now();
                    (i, used)
                });
                spawned.expect("spawned")
            })
            .collect();
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().expect("no panic").0, i);
        }
    });
}

#[test]
fn debug_forms_name_the_task() {
    let handle = throng::spawn(|| ());
    let id = handle.task().id();
    assert!(format!("{handle:?}").contains(&format!("TaskId({id})")));
    handle.join().expect("no panic");
}

#[test]
fn a_million_bytes_of_tasks_one_after_the_other() {
    // Reuse of stacks and control blocks: each task finds its own data, not the one's before.
    throng::run(|| {
        for i in 0..common::scaled(2_000, 100_000) {
            assert_eq!(throng::spawn(move || i).join().expect("no panic"), i);
        }
    });
}

#[test]
fn the_handle_is_send_and_sync_as_far_as_it_may_be() {
    fn both<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    both::<throng::JoinHandle<u32>>();
    both::<task::Task>();
    both::<task::TaskId>();
    both::<throng::runtime::Runtime>();
    fn sync<T: Sync>() {}
    sync::<throng::JoinHandle<std::cell::Cell<u32>>>();
}
