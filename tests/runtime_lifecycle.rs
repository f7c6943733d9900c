//! `Runtime`: running, spawning, dropping, shutting down.

#[path = "common/chan.rs"]
mod chan;
mod common;
#[path = "common/stuck.rs"]
mod stuck;

use common::{Dropped, message, runtime, until};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use stuck::{Gate, Stuck, Way, short_of_threads};
use throng::cancel::Cancelled;
use throng::runtime::Runtime;
use throng::task;

#[test]
fn run_borrows_and_returns() {
    let mut log = vec![1];
    let sum = throng::run(|| {
        log.push(2);
        log.iter().sum::<i32>()
    });
    assert_eq!((sum, log), (3, vec![1, 2]));
}

#[test]
fn run_inside_a_task_is_a_call() {
    throng::run(|| {
        let outer = task::current().id();
        assert_eq!(throng::run(|| task::current().id()), outer);
    });
    let own = runtime(1);
    own.run(|| {
        let outer = task::current().id();
        assert_eq!(own.run(|| task::current().id()), outer);
        assert_eq!(throng::run(|| task::current().id()), outer, "the global one's `run` too");
        assert_eq!(throng::blocking(|| own.run(|| task::current().id())), outer, "in a section as well");
    });
}

#[test]
fn run_on_another_runtime_is_a_task_there() {
    let (a, b) = (runtime(1), runtime(1));
    let mut trail = Vec::new();
    a.run(|| {
        let here = task::current().id();
        let there = b.run(|| {
            trail.push(std::thread::current().id());
            // And back: `a`'s only worker is free, since its task waits.
            let back = a.run(|| task::current().id());
            assert_ne!(back, here);
            task::current().id()
        });
        assert_ne!(here, there);
        trail.push(std::thread::current().id());
    });
    assert_ne!(trail[0], trail[1]);
}

#[test]
fn a_task_spawns_on_its_own_runtime() {
    let own = throng::runtime::Builder::new().workers(1).name("own").build().expect("a runtime");
    let name = own.run(|| throng::spawn(|| std::thread::current().name().map(str::to_owned)).join().expect("no panic"));
    assert_eq!(name.as_deref(), Some("own-0"));
}

#[test]
fn what_run_panics_with_comes_out() {
    let own = runtime(2);
    for _ in 0..10 {
        let payload = catch_unwind(AssertUnwindSafe(|| own.run(|| panic!("by {}", "run")))).expect_err("a panic");
        assert_eq!(message(&*payload), "by run");
    }
    let payload = catch_unwind(|| throng::run(|| std::panic::panic_any(42_u64))).expect_err("a panic");
    assert_eq!(payload.downcast_ref::<u64>(), Some(&42));
    assert_eq!(own.run(|| 1), 1, "and the runtime goes on");
}

#[test]
fn threads_spawn_at_the_same_time() {
    let own = runtime(2);
    let total = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                let handles: Vec<_> = (0..500_usize).map(|i| own.spawn(move || i)).collect();
                total.fetch_add(handles.into_iter().map(|handle| handle.join().expect("no panic")).sum(), SeqCst);
            });
        }
    });
    assert_eq!(total.into_inner(), 8 * 499 * 500 / 2);
}

#[test]
fn several_runtimes_talk() {
    let runtimes: Vec<Runtime> = (1..=4).map(runtime).collect();
    let next = AtomicUsize::new(0);
    // A token round the runtimes, by unpark.
    let tasks: Mutex<Vec<task::Task>> = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for (index, own) in runtimes.iter().enumerate() {
            let (next, tasks) = (&next, &tasks);
            s.spawn(move || {
                own.run(|| {
                    until(|| tasks.lock().expect("no panic").len() == index);
                    tasks.lock().expect("no panic").push(task::current());
                    until(|| tasks.lock().expect("no panic").len() == 4);
                    for round in 0..100 {
                        while next.load(SeqCst) != round * 4 + index {
                            task::park();
                        }
                        next.fetch_add(1, SeqCst);
                        let following = tasks.lock().expect("no panic")[(index + 1) % 4].clone();
                        following.unpark();
                    }
                });
            });
        }
    });
    assert_eq!(next.into_inner(), 400);
}

#[test]
fn dropping_cancels_those_that_wait() {
    let own = runtime(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let waiting = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..100)
        .map(|i| {
            let (guard, waiting) = (Dropped(Arc::clone(&dropped)), Arc::clone(&waiting));
            own.spawn(move || {
                let _guard = guard;
                waiting.fetch_add(1, SeqCst);
                match i % 3 {
                    0 => task::park(),
                    1 => task::sleep(Duration::from_secs(1000)),
                    _ => loop {
                        task::yield_now();
                    },
                }
            })
        })
        .collect();
    until(|| waiting.load(SeqCst) == 100);
    drop(own);
    assert_eq!(dropped.load(SeqCst), 100);
    for handle in handles {
        assert!(handle.is_finished());
        assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
    }
}

#[test]
fn dropping_ends_a_lonely_task_that_only_yields() {
    let own = runtime(1);
    let begun = Arc::new(AtomicBool::new(false));
    let handle = own.spawn({
        let begun = Arc::clone(&begun);
        move || loop {
            begun.store(true, SeqCst);
            task::yield_now();
        }
    });
    until(|| begun.load(SeqCst));
    drop(own);
    assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn dropping_drops_those_that_have_not_begun() {
    let own = runtime(1);
    let stuck = Stuck::new(&own, 1, Way::Sleeps).all_begun();
    let (dropped, ran) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let (guard, ran) = (Dropped(Arc::clone(&dropped)), Arc::clone(&ran));
            own.spawn(move || {
                let _guard = guard;
                ran.fetch_add(1, SeqCst);
            })
        })
        .collect();
    std::thread::scope(|s| {
        // The drop marks the scheduler as stopping before it waits; let it come to that.
        s.spawn(|| drop(own));
        std::thread::sleep(Duration::from_millis(50));
        stuck.release();
    });
    // All of them were dropped; how many had a chance to run before the drop began is the machine's business.
    assert_eq!(dropped.load(SeqCst), 100);
    let cancelled = handles.into_iter().filter_map(|handle| handle.join().err()).count();
    assert_eq!(cancelled + ran.load(SeqCst), 100);
}

#[test]
fn what_a_task_that_has_not_begun_holds_may_wait_as_it_is_dropped() {
    struct WaitsInDrop(Arc<AtomicUsize>);
    impl Drop for WaitsInDrop {
        fn drop(&mut self) {
            task::sleep(Duration::from_millis(1));
            // The runtime comes to know those that have waited, and cancels them.
            task::sleep(Duration::from_millis(1));
            throng::cancel::check();
            self.0.fetch_add(1, SeqCst);
        }
    }
    let own = short_of_threads(1, 1);
    let stuck = Stuck::new(&own, 1, Way::Sleeps).all_begun();
    let dropped = Arc::new(AtomicUsize::new(0));
    let behind: Vec<_> = (0..10).map(|_| WaitsInDrop(Arc::clone(&dropped))).map(|guard| own.spawn(|| guard)).collect();
    own.shutdown_timeout(Duration::ZERO).expect_err("out of time");
    stuck.release();
    for handle in behind {
        assert!(handle.join().is_err_and(|payload| payload.is::<Cancelled>()));
    }
    assert_eq!(dropped.load(SeqCst), 10);
}

#[test]
fn a_task_that_is_being_cancelled_may_spawn_and_join_no_more() {
    struct SpawnsInDrop(Arc<AtomicUsize>);
    impl Drop for SpawnsInDrop {
        fn drop(&mut self) {
            let ended = Arc::clone(&self.0);
            throng::spawn(move || drop(Dropped(ended)));
        }
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let own = runtime(2);
    let waiting = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let (guard, waiting) = (SpawnsInDrop(Arc::clone(&ended)), Arc::clone(&waiting));
        own.spawn(move || {
            let _guard = guard;
            waiting.fetch_add(1, SeqCst);
            task::park();
        });
    }
    until(|| waiting.load(SeqCst) == 20);
    drop(own);
    // Spawned while stopping: the closure was dropped unrun, and with it nothing that counts. It must not hang or leak.
    assert_eq!(Arc::strong_count(&ended), 1);
}

#[test]
fn dropping_waits_for_one_that_runs() {
    let own = runtime(1);
    let (begun, has_begun) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    own.spawn({
        let done = Arc::clone(&done);
        move || {
            begun.send(()).expect("a receiver");
            std::thread::sleep(Duration::from_millis(30));
            done.store(true, SeqCst);
        }
    });
    has_begun.recv().expect("a sender");
    drop(own);
    assert!(done.load(SeqCst));
}

#[test]
fn shutdown_in_time_tells_so() {
    let own = runtime(2);
    let handle = own.spawn(task::park);
    own.shutdown_timeout(Duration::from_secs(3600)).expect("in time");
    assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn shutdown_out_of_time_names_what_is_left() {
    let own = runtime(2);
    let (release, blocked) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = Dropped(Arc::clone(&dropped));
    let stuck = own.run(|| {
        // Neither has ever waited before it blocks its thread: nothing but the worker itself knows that it runs.
        let stuck = task::Builder::new().name("stuck").spawn(move || {
            let _guard = guard;
            begun.send(()).expect("a receiver");
            let _ = blocked.recv();
            task::park();
        });
        stuck.expect("a task")
    });
    has_begun.recv().expect("a sender");
    let unfinished = own.shutdown_timeout(Duration::from_millis(20)).expect_err("out of time");
    assert_eq!(unfinished.count(), 1);
    let left = unfinished.tasks().next().expect("it is known");
    assert_eq!((left.id(), left.name(), left.is_running()), (stuck.task().id(), Some("stuck"), true));
    assert_eq!(left.task(), &stuck.task());
    let text = unfinished.to_string();
    let expected = format!(
        "1 of the runtime's tasks did not end in time: task {} `stuck` runs, or blocks its kernel thread",
        left.id()
    );
    assert_eq!(text, expected);
    // What is left goes on by itself, is cancelled at its next wait, and can be joined.
    assert_eq!(dropped.load(SeqCst), 0);
    drop(release);
    assert!(stuck.join().expect_err("cancelled").is::<Cancelled>());
    assert_eq!(dropped.load(SeqCst), 1);
}

/// Its worker wakes whoever waits for its end before anything else, and that may take long.
#[test]
fn one_that_was_seen_to_end_is_not_left() {
    struct Slow(Gate, AtomicBool);
    impl Wake for Slow {
        fn wake(self: Arc<Self>) {
            self.1.store(true, SeqCst);
            self.0.pass(Way::Sleeps);
        }
    }
    for others in [0, 1] {
        let own = runtime(2);
        let (send, receive) = chan::channel::<u32>(None);
        let mut ends = own.spawn(move || receive.recv());
        let slow = Arc::new(Slow(Gate::default(), AtomicBool::new(false)));
        let poll = Pin::new(&mut ends).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&slow))));
        assert!(poll.is_pending());
        send.send(1).expect("a receiver");
        until(|| slow.1.load(SeqCst));
        assert!(ends.is_finished());
        let stuck = Stuck::new(&own, others, Way::Sleeps).all_begun();
        if others == 0 {
            // Nothing is left but the workers' end.
            std::thread::scope(|s| {
                let ended = s.spawn(|| own.shutdown_timeout(Duration::ZERO));
                slow.0.open();
                ended.join().expect("no panic").expect("nothing is left");
            });
        } else {
            let unfinished = own.shutdown_timeout(Duration::ZERO).expect_err("out of time");
            assert_eq!((unfinished.count(), unfinished.tasks().len()), (1, 1), "{unfinished}");
            assert!(unfinished.tasks().all(|task| task.id() == stuck.tasks()[0].task().id()), "{unfinished}");
            slow.0.open();
        }
        assert_eq!(ends.join().expect("no panic"), Ok(1));
        stuck.release();
    }
}

#[test]
fn shutdown_out_of_time_tells_what_is_waited_for() {
    let own = runtime(1);
    let (senders, handles): (Vec<_>, Vec<_>) = (0..30)
        .map(|i| {
            let (send, receive) = chan::channel::<u32>(Some(0));
            let name = (i == 7).then_some("number 7");
            let wait = move || throng::cancel::shield(|| receive.recv().expect("a sender"));
            let handle = own.run(|| match name {
                Some(name) => task::Builder::new().name(name).spawn(wait).expect("a task"),
                None => throng::spawn(wait),
            });
            (send, handle)
        })
        .unzip();
    until(|| senders.iter().all(chan::meets_receiver));
    let unfinished = own.shutdown_timeout(Duration::ZERO).expect_err("out of time");
    assert_eq!((unfinished.count(), unfinished.tasks().len()), (30, 30));
    // The last of them may be about to leave the one worker.
    assert!(unfinished.tasks().filter(|task| task.is_running()).count() <= 1);
    let text = unfinished.to_string();
    assert!(text.starts_with("30 of the runtime's tasks did not end in time: task "), "{text}");
    assert!(text.ends_with(", and 10 more"), "{text}");
    let named = unfinished.tasks().find(|task| task.name().is_some()).expect("one has a name");
    assert_eq!(named.id(), handles[7].task().id());
    let what = if named.is_running() { "runs, or blocks its kernel thread" } else { "waits to receive from a channel" };
    assert_eq!(named.to_string(), format!("task {} `number 7` {what}", named.id()));
    // Its workers are there until the last task has ended.
    for (i, send) in senders.iter().enumerate() {
        send.send(i as u32).expect("a receiver");
    }
    for (i, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().expect("no panic"), i as u32);
    }
}

#[test]
fn what_has_not_begun_is_counted() {
    // Nobody steps in for the one worker.
    let own = short_of_threads(1, 1);
    let stuck = Stuck::new(&own, 1, Way::Sleeps).all_begun();
    let behind: Vec<_> = (0..5).map(|i| own.spawn(move || i)).collect();
    let unfinished = own.shutdown_timeout(Duration::ZERO).expect_err("out of time");
    assert!((1..=6).contains(&unfinished.count()), "{unfinished}");
    assert!(
        unfinished.tasks().any(|task| task.is_running() && task.id() == stuck.tasks()[0].task().id()),
        "{unfinished}"
    );
    stuck.release();
    for handle in behind {
        assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
    }
}

#[test]
fn tasks_come_and_go_while_a_shutdown_looks() {
    // Each round looks at workers whose tasks end and change places at this very moment.
    for round in 0..common::stress(200) {
        let own = runtime(3);
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..6 {
            let begun = Arc::clone(&begun);
            own.spawn(move || {
                begun.fetch_add(1, SeqCst);
                // Shielded, so that they go on for a little after the shutdown has begun.
                throng::cancel::shield(|| (0..round % 7 * 20).for_each(|_| task::yield_now()));
            });
        }
        until(|| begun.load(SeqCst) > 0);
        if let Err(unfinished) = own.shutdown_timeout(Duration::from_micros(round as u64 % 5 * 10)) {
            assert!((1..=6).contains(&unfinished.count()), "{unfinished:?}");
            assert!(unfinished.tasks().len() <= unfinished.count());
            drop(unfinished.to_string());
        }
    }
}

#[test]
fn dropping_a_runtime_in_its_own_task_is_a_panic() {
    let own = runtime(2);
    let dropped = Arc::new(AtomicUsize::new(0));
    let (send, receive) = mpsc::channel::<Runtime>();
    let other = own.spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || {
            let _guard = guard;
            task::park();
        }
    });
    let handle = own.spawn({
        let guard = Dropped(Arc::clone(&dropped));
        move || {
            let _guard = guard;
            let own = receive.recv().expect("a sender");
            drop(own);
        }
    });
    send.send(own).expect("a receiver");
    let payload = handle.join().expect_err("a panic");
    assert!(message(&*payload).contains("by one of its own tasks"), "{}", message(&*payload));
    // Nothing is lost: the others are cancelled, and run their destructors.
    assert!(other.join().expect_err("cancelled").is::<Cancelled>());
    assert_eq!(dropped.load(SeqCst), 2);
}

#[test]
fn so_it_is_in_a_blocking_section() {
    let own = runtime(2);
    let (send, receive) = mpsc::channel::<Runtime>();
    let handle = own.spawn(move || {
        let own = receive.recv().expect("a sender");
        throng::blocking(|| drop(own));
    });
    send.send(own).expect("a receiver");
    let payload = handle.join().expect_err("a panic");
    assert!(message(&*payload).contains("by one of its own tasks"), "{}", message(&*payload));
}

#[test]
fn a_panicking_task_may_drop_its_runtime() {
    let own = runtime(2);
    let (send, receive) = mpsc::channel::<Runtime>();
    let other = own.spawn(task::park);
    let handle = own.spawn(move || {
        let _own = receive.recv().expect("a sender");
        panic!("the first panic");
    });
    send.send(own).expect("a receiver");
    assert_eq!(message(&*handle.join().expect_err("a panic")), "the first panic");
    assert!(other.join().expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn so_it_is_in_its_hook() {
    let place = Arc::new(Mutex::new(None::<Runtime>));
    let (tell, told) = mpsc::channel();
    let hook = {
        let place = Arc::clone(&place);
        move |_: &_| {
            let own = place.lock().unwrap().take().expect("called once");
            tell.send(catch_unwind(AssertUnwindSafe(|| drop(own)))).expect("a receiver");
        }
    };
    let own = Runtime::builder().workers(1).max_threads(1).on_shortage(hook).build().expect("a runtime");
    let (release, released) = mpsc::channel::<()>();
    let mut held = place.lock().unwrap();
    let (blocks, parks) = (own.spawn(move || released.recv()), own.spawn(task::park));
    *held = Some(own);
    drop(held);
    let payload = told.recv().expect("a result").expect_err("a panic");
    assert!(message(&*payload).contains("by its own hook"), "{}", message(&*payload));
    drop(release);
    assert!(blocks.join().expect("it returns").is_err());
    assert!(parks.join().expect_err("cancelled").is::<Cancelled>());
}

/// A thread-local that a task has set keeps the runtime, and its destructor runs when the thread, which is spare, ends.
#[test]
fn a_thread_that_was_a_worker_may_drop_its_runtime() {
    type Place = Arc<Mutex<Option<(Runtime, mpsc::Sender<()>)>>>;
    struct AtTheEnd(Place);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let taken = self.0.lock().unwrap().take();
            if let Some((own, ended)) = taken {
                drop(own);
                ended.send(()).expect("a receiver");
            }
        }
    }
    thread_local!(static LEFT: Cell<Option<AtTheEnd>> = const { Cell::new(None) });
    let own = runtime(1);
    let place = Place::default();
    let met = Arc::new(Barrier::new(2));
    // They need a thread each, one of which is one too many afterwards.
    let tasks = [(); 2].map(|()| {
        let (at_the_end, met) = (AtTheEnd(Arc::clone(&place)), Arc::clone(&met));
        own.spawn(move || {
            LEFT.set(Some(at_the_end));
            met.wait();
        })
    });
    tasks.into_iter().for_each(|task| task.join().expect("no panic"));
    let parks = own.spawn(task::park);
    let (ended, has_ended) = mpsc::channel();
    *place.lock().unwrap() = Some((own, ended));
    assert!(parks.join().expect_err("cancelled").is::<Cancelled>());
    has_ended.recv().expect("the runtime has ended");
}

#[test]
fn a_runtime_shared_with_its_tasks_ends_with_the_last_owner_outside() {
    let own = Arc::new(runtime(2));
    let inner = Arc::clone(&own);
    own.run(move || {
        let again = Arc::clone(&inner);
        assert_eq!(inner.spawn(move || again.run(|| 5)).join().expect("no panic"), 5);
    });
    drop(Arc::into_inner(own).expect("the tasks have let go of it"));
}

#[test]
fn a_task_of_another_runtime_may_drop_one() {
    let (a, b) = (runtime(1), runtime(1));
    let handle = b.spawn(task::park);
    a.run(move || drop(b));
    assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
}

#[test]
fn a_cancelled_task_that_waits_for_run_waits_on() {
    // `run` lends what belongs to the frame below it, so it can't leave before the other task has ended.
    let (a, b) = (runtime(1), Arc::new(runtime(1)));
    let (begun, has_begun) = mpsc::channel();
    let finished = Arc::new(AtomicBool::new(false));
    let handle = a.spawn({
        let (b, finished) = (Arc::clone(&b), Arc::clone(&finished));
        move || {
            let frame = [1, 2, 3];
            b.run(|| {
                begun.send(()).expect("a receiver");
                task::sleep(Duration::from_millis(30));
                assert_eq!(frame, [1, 2, 3]);
                finished.store(true, SeqCst);
            });
            task::park();
        }
    });
    has_begun.recv().expect("a sender");
    handle.cancel();
    assert!(handle.join().expect_err("cancelled").is::<Cancelled>());
    assert!(finished.load(SeqCst));
}

#[test]
fn handles_outlive_their_runtime() {
    let own = runtime(1);
    let done = own.spawn(|| vec![1, 2, 3]);
    let parked = own.spawn(task::park);
    let (task, id) = (parked.task(), parked.task().id());
    until(|| done.is_finished());
    drop(own);
    task.unpark();
    parked.cancel();
    assert_eq!(task.id(), id);
    assert!(parked.is_finished());
    assert_eq!(done.join().expect("no panic"), [1, 2, 3]);
    assert!(parked.join().expect_err("cancelled").is::<Cancelled>());
}

/// How often each of a runtime's threads has left its processor: each thread's number and the kernel's two counts.
fn switches(name: &str) -> Vec<(String, String)> {
    let counts = |thread: std::io::Result<std::fs::DirEntry>| {
        let thread = thread.expect("a thread");
        // It may have ended by now.
        let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let named = status.lines().next()?.strip_prefix("Name:\t")?.strip_prefix(name)?;
        let counts = status.lines().filter(|line| line.contains("ctxt_switches")).collect();
        named.starts_with('-').then(|| (thread.file_name().into_string().expect("a number"), counts))
    };
    std::fs::read_dir("/proc/self/task").expect("procfs").filter_map(counts).collect()
}

/// What sleeps is switched neither to nor from. Each try ends with the same answer if any thread ticks.
#[test]
fn an_idle_runtime_sleeps() {
    let own = Runtime::builder().workers(2).name("idle").build().expect("a runtime");
    let begun = Arc::new(AtomicUsize::new(0));
    for i in 0..100 {
        let begun = Arc::clone(&begun);
        own.spawn(move || {
            begun.fetch_add(1, SeqCst);
            match i % 3 {
                0 => task::park(),
                1 => task::sleep(Duration::from_secs(3600)),
                _ => _ = throng::chan::never::<()>().recv(),
            }
        });
    }
    until(|| begun.load(SeqCst) == 100);
    until(|| {
        let before = switches("idle");
        std::thread::sleep(Duration::from_millis(300));
        // One thread may do all the work while the other has not even got its name.
        before.len() >= 2 && switches("idle") == before
    });
    assert_eq!(own.run(|| throng::spawn(|| 1).join().expect("no panic")), 1);
}

/// Between `fork` and `exec` the child calls nothing of the library.
#[test]
fn a_task_may_start_processes() {
    let own = runtime(2);
    own.run(|| {
        throng::scope(|s| {
            for i in 0..10 {
                s.spawn(move || {
                    let exit = || std::process::Command::new("sh").args(["-c", &format!("exit {i}")]).status();
                    let status = if i % 2 == 0 { exit() } else { throng::blocking(exit) };
                    assert_eq!(status.expect("a process").code(), Some(i));
                    task::yield_now();
                });
            }
        });
    });
}
