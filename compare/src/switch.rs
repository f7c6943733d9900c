//! The bare switch between two stacks, there and back, without a scheduler.

use std::time::{Duration, Instant};

/// `n` resumptions of a corosensei coroutine.
pub fn corosensei(n: u64) -> Duration {
    use corosensei::{Coroutine, CoroutineResult};
    let mut coroutine = Coroutine::new(|yielder, ()| {
        loop {
            yielder.suspend(());
        }
    });
    let start = Instant::now();
    for _ in 0..n {
        assert!(matches!(coroutine.resume(()), CoroutineResult::Yield(())));
    }
    let time = start.elapsed();
    // The stack has nothing to drop.
    std::mem::forget::<Coroutine<(), (), ()>>(coroutine);
    time
}

/// `n` resumptions of a generator, the coroutine under may.
pub fn generator(n: u64) -> Duration {
    let mut generator = generator::Gn::<()>::new_scoped(|mut scope| {
        loop {
            scope.yield_(());
        }
    });
    let start = Instant::now();
    for _ in 0..n {
        assert!(generator.resume().is_some());
    }
    start.elapsed()
}

/// `n` round trips, in nanoseconds by the clock.
pub type Switch = fn(n: u64) -> Duration;

/// All of them, by the names of the command line.
pub const ALL: [(&str, Switch); 2] = [("corosensei", corosensei), ("generator", generator)];
