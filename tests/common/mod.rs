//! What several test files share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::Cell;
use std::time::{Duration, Instant};
use throng::runtime::{Builder, Runtime};
use throng::sim::Check;
use throng::{task, time};

/// Small in a plain `cargo test`; `THRONG_STRESS=n` makes everything that is repeated n times as long.
pub(crate) fn stress(times: usize) -> usize {
    few(times * std::env::var("THRONG_STRESS").map_or(1, |n| n.parse().expect("THRONG_STRESS is a number")))
}

/// Larger in a release build.
pub(crate) fn scaled(debug: usize, release: usize) -> usize {
    stress(if cfg!(debug_assertions) { debug } else { release })
}

pub(crate) const WORKERS: [usize; 4] = [1, 2, 4, 8];

pub(crate) fn runtime(workers: usize) -> Runtime {
    Builder::new().workers(workers).build().expect("a runtime")
}

/// Another one each time, unless `THRONG_SEED` fixes it. For the caller to print.
pub(crate) fn seed() -> u64 {
    match std::env::var("THRONG_SEED") {
        Ok(seed) => seed.parse().expect("THRONG_SEED is a number"),
        Err(_) => std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), ()),
    }
}

/// Runs `f` for 1, 2, 4 and 8 workers, each with a seed that is printed; `THRONG_SEED` fixes it.
pub(crate) fn with_workers(f: impl Fn(&Runtime, &Random)) {
    for workers in WORKERS {
        let seed = seed();
        println!("{workers} workers, THRONG_SEED={seed}");
        let runtime = Builder::new().workers(workers).seed(seed).build().expect("a runtime");
        f(&runtime, &Random::new(seed));
    }
}

/// A generator of the tests' own: xorshift. Atomic only to be shared.
pub(crate) struct Random(std::sync::atomic::AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(std::sync::atomic::AtomicU64::new(seed | 1))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut x = self.0.load(std::sync::atomic::Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.store(x, std::sync::atomic::Ordering::Relaxed);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }
}

/// Yields until it is so. It has no limit of its own: a test that hangs is seen by who runs it.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let mut looks = 0;
    while !condition() {
        looks += 1;
        if task::try_current().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        } else if is_simulated() && looks % 8 == 0 {
            // No virtual time passes while somebody yields.
            task::sleep(ms(1));
        } else {
            task::yield_now();
        }
    }
}

/// The text of a panic.
pub(crate) fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .expect("a panic with a text")
}

/// Counts how often it was dropped.
pub(crate) struct Dropped(pub(crate) std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// A waker whose last clone panics as it is dropped.
pub(crate) fn panics_as_it_is_dropped() -> std::task::Waker {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    std::sync::Arc::new(Panics).into()
}

/// Whether this is a process that was made for one test.
pub(crate) fn is_child() -> bool {
    std::env::var_os("THRONG_CHILD").is_some()
}

/// Runs one test of this file in a process of its own. It must pass; what it printed is returned. (No backtraces: they take as
/// much memory as the program's symbols, and some of these have little.)
#[track_caller]
fn in_child(test: &str) -> String {
    let output = std::process::Command::new(std::env::current_exe().expect("a test has a file"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("THRONG_CHILD", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("a child process");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = output.status.success() && printed.contains("1 passed");
    assert!(passed, "{:?}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    printed
}

/// For a test that returns this where it isn't in a process of its own.
#[track_caller]
pub(crate) fn passes_in_a_child(test: &str) {
    in_child(test);
}

/// The body of a test: runs `f` in a process of its own, in which the panic hook must not be called meanwhile.
#[track_caller]
pub(crate) fn leaves_the_hook_alone(test: &str, f: impl FnOnce()) {
    if is_child() {
        std::panic::set_hook(Box::new(|info| println!("HOOK {info}")));
        return f();
    }
    assert!(!in_child(test).contains("HOOK"));
}

/// Since `start`, which is one of `time::now`.
pub(crate) fn elapsed_at_least(start: Instant, least: Duration) {
    let elapsed = time::now() - start;
    assert!(elapsed >= least, "only {elapsed:?}");
}

/// Recurses until it has used that much of its stack; returns how much it was.
pub(crate) fn use_stack(bytes: usize) -> usize {
    #[inline(never)]
    fn deep(top: usize, bytes: usize) -> usize {
        // Large frames: a sanitizer counts calls, and has room for some ten thousand.
        let mut frame = [0_u8; 4096];
        let here = std::hint::black_box(&mut frame).as_ptr() as usize;
        if top - here >= bytes { top - here } else { std::hint::black_box(deep(top, bytes)) }
    }
    let mark = 0_u8;
    deep(std::hint::black_box(&raw const mark) as usize, bytes)
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Runs a test on a plain thread, and as a task among one worker and two.
pub(crate) fn on_real_threads(test: impl Fn() + Sync) {
    test();
    runtime(1).run(&test);
    runtime(2).run(&test);
}

/// Runs a test on a plain thread, as a task among one worker and two, and simulated. It makes all that it needs anew.
#[track_caller]
pub(crate) fn everywhere(test: impl Fn() + Sync + Copy + 'static) {
    on_real_threads(test);
    simulated(test);
}

/// Runs a test as a task among 1, 2, 4 and 8 workers, each with a seed that is printed (`THRONG_SEED` fixes it), and
/// simulated.
#[track_caller]
pub(crate) fn in_tasks(test: impl Fn(&Random) + Sync + Copy + 'static) {
    with_workers(|runtime, random| runtime.run(|| test(random)));
    simulated_with_choices(test);
}

thread_local!(static IS_SIMULATED: Cell<bool> = const { Cell::new(false) });

pub(crate) fn is_simulated() -> bool {
    let is_simulated = IS_SIMULATED.get();
    // Where nothing is optimised, its address is left where the next frames come to lie, and a task that waits then would be held.
    std::hint::black_box([0_usize; 128]);
    is_simulated
}

/// So many; or but a few in a simulation, where it is the seeds that make many.
pub(crate) fn few(many: usize) -> usize {
    if is_simulated() { many.min(3) } else { many }
}

/// So many seeds each test is simulated with. Delays have no place in it, and sanitizers take their time.
fn seeds() -> u64 {
    match () {
        () if cfg!(throng_chaos) => 0,
        () if cfg!(any(throng_tsan, throng_asan)) => 10,
        () => scaled(SIMULATED.0, SIMULATED.1) as u64,
    }
}

/// In a debug build, and in a release build.
const SIMULATED: (usize, usize) = (100, 2000);

/// Runs a test under many schedules: those of the same seeds each time. A failure says which one it was.
#[track_caller]
pub(crate) fn simulated(test: impl Fn() + 'static) {
    search(Check::new().seeds(seeds()), test);
}

/// The same for a test that goes through many cases with each seed: a third of the seeds will do.
#[track_caller]
pub(crate) fn simulated_in_cases(test: impl Fn() + 'static) {
    search(Check::new().seeds(seeds() / 3), test);
}

/// With other random numbers for the test's own choices every so many seeds.
const SCHEDULES: u64 = 25;

/// The same for a test that makes choices.
#[track_caller]
pub(crate) fn simulated_with_choices(test: impl Fn(&Random) + Copy + 'static) {
    for first in (0..seeds()).step_by(SCHEDULES as usize) {
        search(Check::new().first_seed(first).seeds(SCHEDULES), move || test(&Random::new(first)));
    }
}

#[track_caller]
fn search(check: Check, test: impl Fn() + 'static) {
    IS_SIMULATED.set(true);
    let result = check.search(test);
    IS_SIMULATED.set(false);
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
