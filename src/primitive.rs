//! The ground: every atomic, cell and spin hint of the crate is named here, and nowhere else.
//!
//! A normal build uses `std`'s. Under `--cfg loom` the same names are loom's, so that the protocols built on them
//! (the state word, the wait queues, the next slot, the idle protocol, the channels) can be run through every
//! interleaving by the models that stand at the end of each of those files, or in the `models.rs` beside it.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Keeps the compiler alone from moving accesses: half of a fence whose other half the kernel runs.
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::compiler_fence;

/// A cell that tells loom's race detector of each access.
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell as TrackedCell;

/// `std`'s, under loom too: for a counter or a list in a `static`, which loom can't reset between executions, and for a word
/// that others only glance at.
pub(crate) use std::sync::atomic::{
    AtomicBool as StaticAtomicBool, AtomicPtr as StaticAtomicPtr, AtomicU8 as StaticAtomicU8,
    AtomicU64 as StaticAtomicU64,
};

/// A sequentially consistent fence, for one whose last access was a sequentially consistent read-modify-write. On x86-64
/// that was a fence for everything by itself; elsewhere later reads may be made before its write is seen.
#[inline(always)]
pub(crate) fn fence_after_exchange() {
    #[cfg(all(target_arch = "x86_64", not(any(loom, throng_tsan))))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(any(loom, throng_tsan)))))]
    fence(Ordering::SeqCst);
}

/// Tells the processor (or loom) that the caller spins.
#[inline]
pub(crate) fn spin_loop() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Lets another kernel thread have the core.
#[cold]
pub(crate) fn yield_thread() {
    #[cfg(not(loom))]
    std::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Clears the stack below the caller's frame. Frames of old lie there, and the next ones between the caller's and the switch
/// don't write all of their words: what is left would be taken for theirs by the migration guard. So it is called, on a task's
/// stack, after what has most likely left addresses of the thread's storage.
pub(crate) fn clear_below() {
    // Where nothing is optimised, frames are many and large.
    if cfg!(debug_assertions) { clear::<1024>() } else { clear::<128>() }
}

/// As `clear_below`, for what is called often and is not deep.
pub(crate) fn clear_just_below() {
    clear::<64>();
}

#[inline(never)]
fn clear<const WORDS: usize>() {
    std::hint::black_box([0_usize; WORDS]);
}

/// Runs what waits in `parking_lot`, and leaves nothing of that on the stack of the task that had to: it has used the address
/// of its data for the thread.
#[cold]
pub(crate) fn waiting<R>(wait: impl FnOnce() -> R) -> R {
    #[inline(never)]
    fn call<R>(wait: impl FnOnce() -> R) -> R {
        wait()
    }
    let result = call(wait);
    clear_below();
    result
}

/// A lock for longer sections, which sleeps in the kernel: `parking_lot`'s, and [`waiting`]. In a `static`, loom's can't be used.
#[derive(Debug, Default)]
pub(crate) struct StaticMutex<T>(parking_lot::Mutex<T>);

impl<T> StaticMutex<T> {
    pub(crate) const fn new(value: T) -> StaticMutex<T> {
        StaticMutex(parking_lot::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        self.0.try_lock().unwrap_or_else(|| waiting(|| self.0.lock()))
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<parking_lot::MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

#[cfg(not(loom))]
pub(crate) use {StaticMutex as Mutex, parking_lot::MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::MutexGuard;

/// Loom's, with the other one's face.
#[cfg(loom)]
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a section doesn't panic")
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// The calling kernel thread's handle, to unpark it by.
pub(crate) mod thread {
    #[cfg(loom)]
    pub(crate) use loom::thread::{Thread, current, park};
    #[cfg(not(loom))]
    pub(crate) use std::thread::{Thread, current, park, park_timeout};

    /// Loom knows no time: a model that waits with a deadline waits without one.
    #[cfg(loom)]
    pub(crate) fn park_timeout(_: std::time::Duration) {
        park();
    }
}
