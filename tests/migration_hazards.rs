//! What a task can hold that belongs to its kernel thread: each hazard happens with the migration guard off, and doesn't with it on.
//!
//! The guard sees words on stacks, so these are about what the compiler makes of a program. Run them in release builds, with link-time
//! optimisation and without: `scripts/hazards`.

// Frames that are instrumented, and not optimised, lead back by themselves; and the generators' handles are never dropped.
#![cfg(not(any(throng_asan, throng_tsan)))]
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use throng::runtime::{Builder, Metrics, Migration, Runtime};
use throng::task;

mod common;

/// How a hazard is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It must be seen to happen.
    Unguarded,
    Guarded,
    BeforeFirstRun,
}

fn runtime(mode: Mode, workers: usize) -> Runtime {
    let builder = Builder::new().workers(workers);
    let builder = match mode {
        // SAFETY: what the tasks below keep of their threads' they only compare; see `Trial`.
        Mode::Unguarded => unsafe { builder.migration_unguarded() },
        Mode::Guarded => builder.migration(Migration::Guarded),
        Mode::BeforeFirstRun => builder.migration(Migration::BeforeFirstRun),
    };
    builder.build().expect("a runtime")
}

/// What tasks report: how often they went on, how often elsewhere than before, and how often with what wasn't their thread's.
#[derive(Default)]
struct Trial {
    rounds: AtomicUsize,
    moved: AtomicUsize,
    wrong: AtomicUsize,
    over: AtomicBool,
    /// What was lent to threads whose tasks have left them.
    stale: Mutex<HashSet<usize>>,
}

impl Trial {
    /// Notes whether the task is still where it was, and whether what it has kept is its present thread's.
    fn note(&self, thread: &mut ThreadId, is_right: bool) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        let now = thread::current().id();
        if std::mem::replace(thread, now) != now {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        if !is_right {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether the tasks have waited often.
    fn has_waited(&self) -> bool {
        self.rounds.load(Ordering::Relaxed) >= common::scaled(6_000, 20_000)
    }
}

const TASKS: usize = 24;
const ENOUGH: usize = 300;

/// Leaves the kernel thread, most likely to another one: the task is woken by what runs elsewhere.
///
/// Migration is forced by a crowd of tasks that pass one another on through a channel of their own, and block a worker now and
/// then, so that the others take over what lies there.
#[inline(never)]
fn wander(gate: &throng::chan::Receiver<()>) {
    gate.recv().expect("the trial holds the other end");
}

/// Runs `hazard` in many tasks, until it was seen often enough, or the tasks have moved or, where they do that rarely or not at
/// all, waited often enough. (On a busy machine they may have waited thousands of times before a second thread gets to them.)
fn try_out(mode: Mode, workers: usize, hazard: fn(&Trial, &throng::chan::Receiver<()>)) -> (Trial, Metrics) {
    let runtime = runtime(mode, workers);
    let trial = Trial::default();
    let is_enough = |trial: &Trial| match mode {
        Mode::Unguarded => trial.moved.load(Ordering::Relaxed) >= 10 * ENOUGH,
        Mode::Guarded => trial.has_waited() && runtime.metrics().guard_scans() >= ENOUGH as u64,
        Mode::BeforeFirstRun => trial.has_waited(),
    };
    runtime.run(|| {
        let (open, gate) = throng::chan::bounded(TASKS / 2);
        throng::scope(|s| {
            let tasks: Vec<_> = (0..TASKS).map(|_| s.spawn(|| hazard(&trial, &gate))).collect();
            let openers: Vec<_> = (0..workers)
                .map(|_| {
                    s.spawn(|| {
                        for turn in 0_usize.. {
                            if trial.is_over() {
                                break;
                            }
                            let _ = open.try_send(());
                            if turn % 64 == 0 {
                                // Those that lie in this worker's queue go on elsewhere.
                                throng::blocking(thread::yield_now);
                            }
                            task::yield_now();
                            let seen = trial.moved.load(Ordering::Relaxed).min(trial.wrong.load(Ordering::Relaxed));
                            if seen >= ENOUGH || is_enough(&trial) {
                                trial.over.store(true, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            openers.into_iter().for_each(|opener| opener.join().expect("no panic"));
            // Every task sees the end once it is let through.
            tasks.into_iter().for_each(|task| {
                while !task.is_finished() {
                    let _ = open.try_send(());
                    task::yield_now();
                }
            });
        });
    });
    (trial, runtime.metrics())
}

/// The hazard is seen without the guard, and never with it.
fn is_caught(hazard: fn(&Trial, &throng::chan::Receiver<()>)) {
    for workers in [2, 4, 8] {
        let (trial, metrics) = try_out(Mode::Unguarded, workers, hazard);
        assert!(trial.wrong.into_inner() >= ENOUGH && metrics.migrations() > 0, "it doesn't happen: {metrics:?}");
        let (trial, metrics) = try_out(Mode::Guarded, workers, hazard);
        println!("{workers} workers, {} rounds: {metrics:?}", trial.rounds.into_inner());
        assert_eq!(trial.wrong.into_inner(), 0, "{workers} workers: {metrics:?}");
        assert!(metrics.guard_holds() > 0, "{workers} workers: {metrics:?}");
        is_impossible(workers, hazard);
    }
}

/// The same for what only a compiler does that sees the program as a whole, as it does for `scripts/hazards`.
#[cfg(not(debug_assertions))]
fn is_caught_if_it_happens(hazard: fn(&Trial, &throng::chan::Receiver<()>)) {
    let (trial, metrics) = try_out(Mode::Unguarded, 4, hazard);
    if std::env::var_os("THRONG_HAZARDS").is_some() || trial.wrong.into_inner() >= ENOUGH {
        is_caught(hazard);
    } else {
        println!("it doesn't happen in this build: {metrics:?}");
    }
}

/// No task changes its thread in the strict mode.
fn is_impossible(workers: usize, hazard: fn(&Trial, &throng::chan::Receiver<()>)) {
    let (trial, metrics) = try_out(Mode::BeforeFirstRun, workers, hazard);
    assert_eq!((trial.moved.into_inner(), trial.wrong.into_inner(), metrics.migrations()), (0, 0, 0));
    assert_eq!(metrics.guard_scans(), 0);
}

/// The address of this thread's `$key`.
macro_rules! address {
    ($key:expr) => {{
        #[inline(never)]
        fn address() -> usize {
            $key.with(|value| std::ptr::from_ref(value).addr())
        }
        address()
    }};
}

thread_local! {
    static CELL: Cell<u64> = const { Cell::new(0) };
    static VECTOR: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static SHARED: Rc<Cell<usize>> = Rc::new(Cell::new(0));
    static NUMBERS: [Cell<u64>; 8] = const { [const { Cell::new(0) }; 8] };
}

/// `KEY.with(|x| { yield_now(); x.set(..) })` on a `Cell`.
#[test]
fn a_cell_of_a_thread_local_is_borrowed_over_a_wait() {
    is_caught(|trial, gate| {
        let mut thread = thread::current().id();
        while !trial.is_over() {
            CELL.with(|cell| {
                wander(gate);
                trial.note(&mut thread, std::ptr::from_ref(cell).addr() == address!(CELL));
                // Where it is not, the unguarded runtime has a data race with the other thread here; all it does is count.
                cell.set(cell.get().wrapping_add(1));
            });
        }
    });
}

/// The same on a `RefCell<Vec>`, whose contents are borrowed.
#[test]
fn a_vector_of_a_thread_local_is_borrowed_over_a_wait() {
    is_caught(|trial, gate| {
        let mut thread = thread::current().id();
        while !trial.is_over() {
            VECTOR.with(|vector| {
                // Without the guard others would borrow it at the same time: they only look.
                black_box(vector);
                wander(gate);
                trial.note(&mut thread, std::ptr::from_ref(vector).addr() == address!(VECTOR));
            });
        }
    });
}

/// A thread-local's address that is computed before a loop, and used in it.
#[test]
fn an_address_is_kept_over_a_loop() {
    is_caught(|trial, gate| {
        NUMBERS.with(|numbers| {
            let mut thread = thread::current().id();
            for turn in 0.. {
                wander(gate);
                trial.note(&mut thread, std::ptr::from_ref(numbers).addr() == address!(NUMBERS));
                numbers[turn % 8].set(turn as u64);
                if trial.is_over() {
                    return;
                }
                // From here on it is another thread's in any case, where the trial is unguarded.
                if std::ptr::from_ref(numbers).addr() != address!(NUMBERS) {
                    thread = thread::current().id();
                }
            }
        });
    });
}

/// An address that the compiler keeps over a wait on its own account, although it is asked for after each.
///
/// It does so where it optimises, if the thread-local and the loop come to it together. Then what is asked for is not this thread's.
#[test]
#[cfg(not(debug_assertions))]
fn the_compiler_keeps_an_address_over_a_loop() {
    is_caught_if_it_happens(|trial, gate| {
        let mut thread = thread::current().id();
        while !trial.is_over() {
            wander(gate);
            let asked_for = SHARED.with(|shared| std::ptr::from_ref(shared).addr());
            trial.note(&mut thread, asked_for == address!(SHARED));
        }
    });
}

/// An `Rc` that was cloned out of a thread-local.
#[test]
fn an_rc_is_cloned_out_of_a_thread_local() {
    /// Never inlined, or the compiler would keep the thread-local's address over the wait.
    #[inline(never)]
    fn ours() -> *const Cell<usize> {
        SHARED.with(Rc::as_ptr)
    }
    is_caught(|trial, gate| {
        let mut thread = thread::current().id();
        while !trial.is_over() {
            // A clone in all but its count, with which an unguarded trial would run into undefined behaviour.
            // SAFETY: the thread-local keeps it alive as long as its thread is there, which is longer than this task.
            let clone = ManuallyDrop::new(unsafe { Rc::from_raw(ours()) });
            black_box(&clone);
            wander(gate);
            trial.note(&mut thread, Rc::as_ptr(black_box(&clone)) == ours());
        }
    });
}

/// `rand::rng()`, an `Rc` out of a thread-local in all but name.
#[test]
fn a_generator_is_held_over_a_wait() {
    use rand::Rng;
    /// What it leads to, which is all there is in it.
    fn leads_to(rng: &rand::rngs::ThreadRng) -> usize {
        const { assert!(size_of::<rand::rngs::ThreadRng>() == size_of::<usize>()) };
        // SAFETY: it is one pointer.
        unsafe { std::ptr::from_ref(rng).cast::<usize>().read() }
    }
    is_caught(|trial, gate| {
        let mut thread = thread::current().id();
        while !trial.is_over() {
            // Not dropped: it would change the other thread's count.
            let rng = ManuallyDrop::new(thread_rng());
            wander(gate);
            let ours = ManuallyDrop::new(thread_rng());
            let is_right = leads_to(black_box(&rng)) == leads_to(&ours);
            trial.note(&mut thread, is_right);
            if is_right {
                let mut rng = rng;
                black_box(rng.random::<u32>());
            }
        }
    });
    /// Each call adds one to the thread's count of those there are; they are never dropped.
    #[inline(never)]
    fn thread_rng() -> rand::rngs::ThreadRng {
        rand::rng()
    }
}

/// `errno`'s address. (Its value is anybody's: other tasks run on the thread.)
#[test]
fn the_address_of_errno_is_kept_over_a_wait() {
    fn errno() -> *mut i32 {
        // SAFETY: no obligations.
        unsafe { libc::__errno_location() }
    }
    is_caught(|trial, gate| {
        let mut thread = thread::current().id();
        while !trial.is_over() {
            let before = black_box(errno());
            wander(gate);
            trial.note(&mut thread, black_box(before) == errno());
        }
    });
}

/// A local variable that is lent to a thread-local, as scoped thread-locals do.
#[test]
fn a_thread_local_points_to_the_stack_of_one_that_waits() {
    is_caught(lend::<0>);
}

/// One that is smaller than a word.
#[test]
fn a_thread_local_points_into_a_word_of_the_stack_of_one_that_waits() {
    is_caught(lend::<1>);
}

fn lend<const INDEX: usize>(trial: &Trial, gate: &throng::chan::Receiver<()>) {
    #[repr(align(8))]
    struct Value([u32; 2]);
    thread_local! {
        static LENT: Cell<usize> = const { Cell::new(0) };
    }
    let mut thread = thread::current().id();
    while !trial.is_over() {
        let value = Value([0; 2]);
        let address = (&raw const value.0[INDEX]).addr();
        let before = LENT.get();
        if before != 0 && !trial.stale.lock().unwrap().contains(&before) {
            // Another task of this thread is at it.
            task::yield_now();
            thread = thread::current().id();
            continue;
        }
        LENT.set(address);
        let home = thread::current().id();
        wander(gate);
        let is_right = thread::current().id() == home;
        if is_right {
            LENT.set(0);
        } else {
            trial.stale.lock().unwrap().insert(address);
        }
        trial.note(&mut thread, is_right);
        black_box(&value);
    }
}

/// Calls `f` deep in the stack, so that no frame of the next wait lies where its frames were. What they leave there counts as
/// if it were held.
#[inline(never)]
fn far_below<T>(f: impl FnOnce() -> T) -> T {
    let between = [0_u8; 16 << 10];
    black_box(&between);
    let result = f();
    black_box(&between);
    result
}

/// Tasks that hold nothing of their threads' do move. And what the guard doesn't see: what belongs to a thread that is only known
/// by its number, as the owner of standard output's lock is.
#[test]
fn tasks_that_hold_no_address_move() {
    for workers in [2, 4, 8] {
        let (trial, metrics) = try_out(Mode::Guarded, workers, |trial, gate| {
            let mut thread = far_below(|| thread::current().id());
            while !trial.is_over() {
                // In place of the lock itself, which would be released by a thread that doesn't have it.
                let owner = thread;
                wander(gate);
                far_below(|| trial.note(&mut thread, owner == thread::current().id()));
            }
        });
        println!("{workers} workers, {} rounds: {metrics:?}", trial.rounds.into_inner());
        assert!(metrics.migrations() > 0 && metrics.guard_scans() >= metrics.migrations(), "{metrics:?}");
        assert!(trial.wrong.into_inner() > 0, "{metrics:?}");
    }
}
