//! What the simulator finds in code like a user's, and how it says so.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use throng::cancel::Token;
use throng::chan::{after, bounded, tick, unbounded};
use throng::sim::{self, Cause, Check, Failure, Strategy, Switches};
use throng::sync::{Condvar, LazyLock, Mutex};
use throng::task::{self, sleep, yield_now};
use throng::{scope, select, spawn, time};

const HOUR: Duration = Duration::from_secs(3600);

/// The failure that each strategy finds by itself.
fn found(f: impl Fn() + Copy + 'static) -> Failure {
    let _ = Check::new().strategy(Strategy::RandomWalk).search(f).expect_err("a random walk finds it");
    Check::new().strategy(Strategy::Priorities).search(f).expect_err("priorities find it")
}

#[test]
fn finds_an_update_that_is_lost() {
    let failure = found(|| {
        let total = Arc::new(Mutex::new(0));
        let add = |total: Arc<Mutex<u32>>| {
            spawn(move || {
                let before = *total.lock();
                *total.lock() = before + 1;
            })
        };
        let tasks = [(); 2].map(|()| add(Arc::clone(&total)));
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*total.lock(), 2, "an update was lost");
    });
    assert_eq!(failure.cause(), Cause::Panic);
    let text = failure.to_string();
    assert!(text.starts_with("task 1 panicked: assertion"), "{text}");
    assert!(text.contains("an update was lost") && text.contains(&format!("THRONG_SEED={}", failure.seed())), "{text}");
    assert!(text.contains("then ends") && text.contains("spawned at tests/sim_user.rs:"), "{text}");
}

#[test]
fn finds_a_task_that_panics_unseen() {
    let failure = found(|| {
        let (s, r) = bounded(2);
        spawn(move || assert_eq!([r.recv(), r.recv()], [Ok(1), Ok(2)]));
        scope(|scope| {
            scope.spawn(|| s.send(1).unwrap());
            scope.spawn(|| s.send(2).unwrap());
        });
        sleep(HOUR);
    });
    assert_eq!(failure.cause(), Cause::Panic);
    assert!(failure.to_string().starts_with("task 2 panicked: assertion"), "{failure}");
    // A panic that somebody sees is his business, and so is a cancellation.
    sim::check(|| {
        assert!(spawn(|| panic!("seen")).join().is_err());
        let cancelled = spawn(|| sleep(HOUR));
        cancelled.cancel();
        drop(cancelled);
        yield_now();
    });
}

#[test]
fn finds_a_deadlock_of_two_locks() {
    let failure = found(|| {
        let locks = Arc::new((Mutex::new(()), Mutex::new(())));
        let other = Arc::clone(&locks);
        let task = task::Builder::new().name("b then a").spawn(move || drop((other.1.lock(), other.0.lock()))).unwrap();
        drop((locks.0.lock(), locks.1.lock()));
        task.join().unwrap();
    });
    assert_eq!(failure.cause(), Cause::Deadlock);
    let text = failure.to_string();
    assert!(text.starts_with("deadlock: 2 tasks wait, and nothing is left that could wake one"), "{text}");
    assert!(text.contains("\n  task 1 waits to lock a mutex, for 1 ms; spawned at"), "{text}");
    assert!(text.contains("\n  task 2 `b then a` waits to lock a mutex"), "{text}");
}

#[test]
fn finds_a_wake_up_that_is_lost() {
    let failure = found(|| {
        // The flag is looked at under one lock, and waited for under another.
        let (ready, gate) = (Mutex::new(false), (Mutex::new(()), Condvar::new()));
        scope(|s| {
            s.spawn(|| {
                *ready.lock() = true;
                gate.1.notify_one();
            });
            if !*ready.lock() {
                gate.1.wait(&mut gate.0.lock());
            }
        });
    });
    assert_eq!(failure.cause(), Cause::Deadlock);
    assert!(failure.to_string().contains("be notified by a condition variable"), "{failure}");
}

#[test]
fn finds_a_run_that_does_not_end() {
    let failure = Check::new().steps(1000).search(|| {
        let (_s, r) = unbounded::<()>();
        while r.try_recv().is_err() {
            yield_now();
        }
    });
    let failure = failure.unwrap_err();
    assert_eq!((failure.cause(), failure.steps()), (Cause::Steps, 1000));
    assert!(failure.to_string().starts_with("1000 steps were taken, and there was no end"), "{failure}");
    // Virtual time passes at no cost, so this has no end either.
    let failure = Check::new().steps(1000).run(0, || tick(HOUR).iter().for_each(drop)).unwrap_err();
    assert_eq!(failure.cause(), Cause::Steps);
}

#[test]
fn a_seed_is_an_execution() {
    fn trace(seed: u64) -> Vec<u32> {
        sim::run(seed, || {
            let (s, r) = unbounded();
            for number in 0..4 {
                let s = s.clone();
                spawn(move || {
                    for _ in 0..4 {
                        s.send(number).unwrap();
                    }
                });
            }
            drop(s);
            r.iter().collect()
        })
    }
    let traces: Vec<_> = (0..50).map(trace).collect();
    assert!(traces.iter().all(|trace| trace.len() == 16));
    assert_eq!(traces, (0..50).map(trace).collect::<Vec<_>>());
    let mut different = traces;
    different.sort();
    different.dedup();
    assert!(different.len() > 25, "{}", different.len());
}

#[test]
fn a_failure_comes_again_with_its_seed() {
    let lost = || {
        let total = Mutex::new(0);
        scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    let before = *total.lock();
                    yield_now();
                    *total.lock() = before + 1;
                });
            }
        });
        assert_eq!(total.into_inner(), 3);
    };
    let failure = Check::new().search(lost).unwrap_err();
    let again = Check::new().run(failure.seed(), lost).unwrap_err();
    assert_eq!(failure.to_string(), again.to_string());
}

/// What goes by them goes by the seed, and a program's own words can be compared with the report.
#[test]
fn tasks_have_the_ids_that_reports_call_them_by() {
    sim::check(|| {
        assert_eq!(task::current().id().get(), 1);
        let tasks = [(); 3].map(|()| spawn(|| task::current().id().get()));
        let ids = tasks.each_ref().map(|task| task.task().id().get());
        assert_eq!(ids, [2, 3, 4]);
        assert_eq!(tasks.map(|task| task.join().unwrap()), ids);
    });
    let failure = Check::new().run(1, || {
        spawn(|| panic!("I am {}", task::current().id()));
        sleep(HOUR);
    });
    assert!(failure.unwrap_err().to_string().starts_with("task 2 panicked: I am 2"));
}

#[test]
fn what_does_not_go_by_the_seed_is_found() {
    let executions = AtomicU32::new(0);
    let failure = Check::new().search(move || {
        if executions.fetch_add(1, Relaxed).is_multiple_of(2) {
            yield_now();
        }
    });
    let failure = failure.unwrap_err();
    assert_eq!(failure.cause(), Cause::Nondeterminism);
    assert!(failure.to_string().starts_with("not deterministic: a second execution took another way at step"));
    // Nor is what comes again the same way, with another end.
    let executions = AtomicU32::new(0);
    let failure = Check::new().search(move || assert_ne!(executions.fetch_add(1, Relaxed), 1));
    assert!(failure.unwrap_err().to_string().contains("it may not come again"));
}

#[test]
fn what_is_initialised_once_goes_by_the_seed() {
    static ONCE: LazyLock<u32> = LazyLock::new(|| spawn(|| 5).join().unwrap());
    sim::check(|| assert_eq!(*ONCE, 5));
    // Also if most schedules don't come to it.
    static RARE: LazyLock<u32> = LazyLock::new(|| spawn(|| 6).join().unwrap());
    static SEEDS: AtomicU32 = AtomicU32::new(0);
    sim::check(|| {
        let (s, r) = unbounded();
        spawn(move || (0..5).all(|number| s.send(number).is_ok()));
        yield_now();
        yield_now();
        if r.len() == 4 {
            assert_eq!(*RARE, 6);
        } else {
            SEEDS.fetch_add(1, Relaxed);
        }
    });
    assert!(SEEDS.load(Relaxed) > 0);
    // A failure that it makes an execution more special comes again all the same.
    static LATE: LazyLock<u32> = LazyLock::new(|| spawn(|| 7).join().unwrap());
    let failure = Check::new().search(|| assert_eq!(*LATE, 0)).unwrap_err();
    assert!(failure.to_string().contains("to see it again"), "{failure}");
}

#[test]
fn time_that_is_too_far_never_comes() {
    const AGES: Duration = Duration::from_secs(1 << 40);
    fn waits(f: impl Fn() + 'static) {
        let failure = Check::new().seeds(10).steps(1000).search(f).unwrap_err();
        assert_eq!(failure.cause(), Cause::Deadlock, "{failure}");
    }
    for far in [AGES, Duration::from_secs(i64::MAX as u64 / 2), Duration::MAX] {
        waits(move || sleep(far));
        waits(move || assert!(after(far).recv().is_err()));
        waits(move || {
            let (_s, r) = bounded(0);
            r.recv_timeout(far).unwrap()
        });
        waits(move || time::timeout(far, task::park).unwrap());
        waits(move || Token::with_timeout(far).run(task::park).unwrap());
        // What is due before it comes.
        sim::run(0, move || assert!(time::timeout(HOUR, || sleep(far)).is_err()));
    }
    waits(|| (0..1000).for_each(|_| sleep(Duration::from_secs(1 << 30))));
}

#[test]
fn a_deadlock_tells_of_a_panic_that_nobody_has_seen() {
    let failure = Check::new().seeds(1).search(|| {
        let (s, r) = bounded::<()>(0);
        let panics = spawn(|| panic!("out of ink"));
        r.recv().unwrap();
        s.send(()).unwrap();
        panics.join().unwrap();
    });
    let failure = failure.unwrap_err();
    assert_eq!(failure.cause(), Cause::Deadlock);
    assert!(failure.to_string().contains("\n  besides, task 2 panicked: out of ink\n  in a simulation"), "{failure}");
}

#[test]
fn time_passes_when_nothing_else_can_happen() {
    let real = Instant::now();
    Check::new().seeds(100).check(|| {
        let start = time::now();
        let (s, r) = unbounded();
        for hours in [3, 1, 2] {
            let s = s.clone();
            spawn(move || {
                sleep(hours * HOUR);
                s.send(hours).unwrap();
            });
        }
        drop(s);
        assert_eq!(r.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(time::now() - start, 3 * HOUR);
        assert!(r.recv_timeout(HOUR).is_err_and(|error| error.is_disconnected()));
        let (_s, r) = bounded::<()>(0);
        assert!(r.recv_timeout(HOUR).is_err_and(|error| error.is_timeout()));
        assert!(time::timeout(HOUR, || r.recv()).is_err());
        let due = after(HOUR).recv().unwrap();
        assert_eq!((due, due - start), (time::now(), 6 * HOUR));
        let token = Token::with_timeout(HOUR);
        assert!(token.run(task::park).is_err());
        assert_eq!(time::now() - start, 7 * HOUR);
    });
    assert!(real.elapsed() < HOUR);
}

#[test]
fn a_timeout_and_what_it_waits_for_race_when_they_are_due_at_once() {
    let outcomes = Arc::new(Mutex::new([0; 2]));
    let counted = Arc::clone(&outcomes);
    Check::new().seeds(200).check(move || {
        let (s, r) = bounded(1);
        spawn(move || {
            sleep(HOUR);
            let _ = s.send(());
        });
        counted.lock()[usize::from(r.recv_timeout(HOUR).is_ok())] += 1;
    });
    assert!(outcomes.lock().iter().all(|&times| times > 20));
}

#[test]
fn a_select_takes_each_arm_that_is_ready_now_and_then() {
    let taken = Arc::new(Mutex::new([0; 3]));
    let counted = Arc::clone(&taken);
    Check::new().seeds(300).check(move || {
        let [a, b, c] = [(); 3].map(|()| {
            let (s, r) = bounded(1);
            s.send(()).unwrap();
            r
        });
        let arm = select! { recv(a) -> _ => 0, recv(b) -> _ => 1, recv(c) -> _ => 2 };
        counted.lock()[arm] += 1;
    });
    assert!(taken.lock().iter().all(|&times| times > 100));
}

#[test]
fn tasks_are_cancelled_at_the_root_s_end() {
    let left = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&left);
    struct Leave(Arc<AtomicU32>);
    impl Drop for Leave {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Relaxed);
        }
    }
    Check::new().seeds(200).check(move || {
        let (_s, r) = unbounded::<()>();
        for _ in 0..3 {
            counted.fetch_add(1, Relaxed);
            let (leave, r) = (Leave(Arc::clone(&counted)), r.clone());
            spawn(move || {
                let _leave = leave;
                select! { recv(r) -> nothing => assert!(nothing.is_err()), recv(after(HOUR)) -> _ => unreachable!() }
            });
        }
        yield_now();
    });
    assert_eq!(left.load(Relaxed), 0);
}

#[test]
fn scopes_borrow_and_the_root_need_not_be_send() {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let total = sim::run(3, move || {
        counted.set(counted.get() + 1);
        let words = ["to", "be"];
        scope(|s| words.map(|word| s.spawn(|| word.len())).map(|task| task.join().unwrap())).iter().sum::<usize>()
    });
    assert_eq!((total, count.get()), (4, 1));
}

#[test]
fn one_can_keep_the_switches_to_the_waits() {
    // With a lock of `std` held across a wake-up, whoever is switched to might block the kernel thread.
    Check::new().switches(Switches::WhereTasksWait).seeds(200).check(|| {
        let (s, r) = unbounded();
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let reader = Arc::clone(&log);
        let task = spawn(move || {
            for number in r {
                reader.lock().unwrap().push(number);
            }
        });
        yield_now();
        {
            let mut log = log.lock().unwrap();
            s.send(1).unwrap();
            log.push(0);
        }
        drop(s);
        task.join().unwrap();
        assert_eq!(*log.lock().unwrap(), [0, 1]);
    });
}
