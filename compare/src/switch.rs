//! The bare switch between two stacks, there and back, without a scheduler.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

use crate::arch::{self, StackPointer};

/// The two sides of Throng's switch.
struct Pair {
    caller: StackPointer,
    coroutine: StackPointer,
}

extern "C" fn suspend_for_ever(pair: usize) -> ! {
    let pair = std::ptr::with_exposed_provenance_mut::<Pair>(pair);
    loop {
        // SAFETY: the caller has suspended itself, and leaves the pair alone until this side does so.
        unsafe { arch::switch(&raw mut (*pair).coroutine, (*pair).caller) }
    }
}

/// `n` round trips by Throng's switch. No public item of the library is the bare switch, so its source is compiled here too.
pub fn throng(n: u64) -> Duration {
    let mut stack = vec![0_u8; 64 << 10];
    // SAFETY: two addresses, which are written before they are read.
    let mut pair: Pair = unsafe { std::mem::zeroed() };
    let pair = &raw mut pair;
    // SAFETY: the stack is used for nothing else, and outlives the coroutine, which is never resumed after the loop. The two
    // sides use the pair by turns.
    unsafe {
        (*pair).coroutine = arch::prepare(stack.as_mut_ptr_range().end, suspend_for_ever, pair.expose_provenance());
        let start = Instant::now();
        for _ in 0..n {
            arch::switch(&raw mut (*pair).caller, (*pair).coroutine);
        }
        start.elapsed()
    }
}

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
pub const ALL: [(&str, Switch); 3] = [("throng", throng), ("corosensei", corosensei), ("generator", generator)];
