//! A lock for sections of a few instructions: the queue of a channel, a list of waiters, a worker's timers.
//!
//! It spins, because the section it guards is shorter than the trip to the kernel: no user code runs inside one (no `Drop`, no
//! `Clone`, no waker), nothing in it blocks, and it is never held across a context switch. (Now and then what it guards has to
//! grow, and the allocator is called: a channel's queue by a block, a bucket of timers, an inbox.) One
//! atomic read-modify-write locks it and a plain store frees it, which is half of what a lock that must look for
//! sleepers pays. The one bad case, the holder's kernel thread being preempted inside a section, is what
//! [`yield_thread`] is for: after a short spin the waiter gives its core away until the holder has run.
//!
//! It has no poisoning: a section can't panic.

use crate::chaos;
use crate::primitive::{AtomicBool, Ordering, spin_loop, yield_thread};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Spins this many rounds, each twice as long as the one before, before it yields the kernel thread.
const SPIN_ROUNDS: u32 = 6;

pub(crate) struct Lock<T: ?Sized> {
    held: AtomicBool,
    #[cfg(loom)]
    cell: crate::primitive::TrackedCell<()>,
    value: std::cell::UnsafeCell<T>,
}

// SAFETY: it owns its value.
unsafe impl<T: ?Sized + Send> Send for Lock<T> {}
// SAFETY: the lock hands its value to one thread at a time, so sharing it needs no more than `T: Send`.
unsafe impl<T: ?Sized + Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Lock<T> {
        Lock { held: AtomicBool::new(false), value: std::cell::UnsafeCell::new(value) }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Lock<T> {
        Lock {
            held: AtomicBool::new(false),
            cell: crate::primitive::TrackedCell::new(()),
            value: std::cell::UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Lock<T> {
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        chaos::point();
        // Acquire: pairs with the Release store of `Guard::drop`.
        if self.held.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_contended();
        }
        self.guard()
    }

    /// Locks if that needs no wait.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        // Acquire: as in `lock`.
        let locked = self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        locked.is_ok().then(|| self.guard())
    }

    /// The guard that was forgotten.
    ///
    /// # Safety
    /// The caller has locked, and forgot the guard, or will forget this one. It uses only one guard at a time.
    #[inline]
    pub(crate) unsafe fn reclaim(&self) -> Guard<'_, T> {
        Guard { lock: self, lends: PhantomData }
    }

    #[inline]
    fn guard(&self) -> Guard<'_, T> {
        // A write access for loom's race detector, which then checks the orderings above.
        #[cfg(loom)]
        self.cell.with_mut(|_| ());
        Guard { lock: self, lends: PhantomData }
    }

    #[cold]
    fn lock_contended(&self) {
        let mut round = 0;
        loop {
            // Only read while it is held, so that the holder keeps the cache line.
            while self.held.load(Ordering::Relaxed) {
                if round < SPIN_ROUNDS {
                    for _ in 0..1 << round {
                        spin_loop();
                    }
                    round += 1;
                } else {
                    yield_thread();
                }
            }
            // Acquire: as in `lock`.
            if self.held.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }
}

pub(crate) struct Guard<'a, T: ?Sized> {
    lock: &'a Lock<T>,
    /// Lends `&T` and `&mut T`, as a `&mut T` does: so it may be shared between threads only if `T` may, which the lock itself
    /// doesn't ask for.
    lends: PhantomData<&'a mut T>,
}

impl<T: ?Sized> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held, and only one guard does.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; `&mut self` makes the borrow exclusive.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the next `lock`.
        self.lock.held.store(false, Ordering::Release);
        chaos::point();
    }
}
