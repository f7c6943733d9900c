//! Locks and meeting points: for tasks and for plain threads alike.
//!
//! Whoever waits here waits as what it is: a task leaves its worker to other tasks, a thread sleeps. So everything in
//! this module works inside and outside of the runtime, and between the two.
//!
//! | type | modelled on |
//! |---|---|
//! | [`Mutex`], [`RwLock`], [`ReentrantMutex`], [`Condvar`] | `parking_lot`: built on [`lock_api`], no poisoning |
//! | [`Once`], [`OnceLock`], [`LazyLock`], [`Barrier`] | [`std::sync`] |
//! | [`WaitGroup`] | `crossbeam-utils` and Go's `sync.WaitGroup` in one |
//! | [`Semaphore`] | `tokio`'s, without its `close` |
//!
//! [`Arc`] and [`Weak`] are `std`'s, here for the sake of `use` lines. A standard lock in a task is correct too, but
//! blocks the kernel thread.
//!
//! # What differs from `std::sync`
//! * Nothing is poisoned, so `lock()` returns the guard itself: leave the `unwrap` out. [`Condvar`]'s waits take the guard
//!   by `&mut` and return nothing to unwrap either.
//! * Everything has timed forms, of its own or by [`time::timeout`](crate::time::timeout), which ends any of these waits.
//! * What waits can be [cancelled](crate::cancel), and then unwinds.
//!
//! As there, all but [`WaitGroup`] can be made in a `static`: their `new` is a `const fn`.
//!
//! ```
//! use throng::sync::{Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, ReentrantMutex, RwLock, Semaphore};
//!
//! static JOBS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
//! static MORE: Condvar = Condvar::new();
//! static NAMES: RwLock<Vec<String>> = RwLock::new(Vec::new());
//! static AT_ONCE: Semaphore = Semaphore::new(32);
//! # static START: Barrier = Barrier::new(2);
//! # static ONCE: Once = Once::new();
//! # static CELL: OnceLock<u32> = OnceLock::new();
//! # static LAZY: LazyLock<u32> = LazyLock::new(|| 1);
//! # static AGAIN: ReentrantMutex<u32> = ReentrantMutex::new(1);
//!
//! throng::spawn(|| {
//!     JOBS.lock().push(1);
//!     MORE.notify_one();
//! });
//! let mut jobs = JOBS.lock();
//! while jobs.is_empty() {
//!     MORE.wait(&mut jobs);
//! }
//! ```

#[cfg(not(loom))]
mod barrier;
#[cfg(not(loom))]
mod condvar;
#[allow(unsafe_code)]
mod crowd;
#[cfg(not(loom))]
mod lazy_lock;
#[cfg(not(loom))]
mod mutex;
mod once;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod once_lock;
#[allow(unsafe_code)]
mod raw_condvar;
#[allow(unsafe_code)]
mod raw_mutex;
#[allow(unsafe_code)]
mod raw_rwlock;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod reentrant;
mod relock;
#[cfg(not(loom))]
mod rwlock;
mod semaphore;
mod spin;
mod wait_group;

#[cfg(not(loom))]
pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    condvar::{Condvar, WaitTimeoutResult},
    lazy_lock::LazyLock,
    mutex::{ArcMutexGuard, MappedMutexGuard, Mutex, MutexGuard},
    once_lock::OnceLock,
    reentrant::{
        ArcReentrantMutexGuard, MappedReentrantMutexGuard, RawParticipantId, ReentrantMutex, ReentrantMutexGuard,
    },
    rwlock::{
        ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard, MappedRwLockReadGuard,
        MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
    },
};
pub use self::{
    once::{Once, OnceState},
    raw_condvar::RawCondvar,
    raw_mutex::RawMutex,
    raw_rwlock::RawRwLock,
    semaphore::{ArcSemaphorePermit, Semaphore, SemaphorePermit},
    wait_group::WaitGroup,
};
pub use lock_api;
#[doc(no_inline)]
pub use std::sync::{Arc, Weak};
