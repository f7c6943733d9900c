//! Scoped tasks: shaped like [`std::thread::scope`].
//!
//! # Why it is sound
//! A scoped task borrows from frames below the call of [`scope`]. `scope` does not return, nor unwind, before every task
//! of the scope has finished: the count of running tasks is waited for with cancellation held off, in a frame that no
//! safe code can forget, since it isn't a value. A task counts itself off as the last thing it does, after its closure
//! and its own result have been dropped or stored. What is stored is taken by a handle that can't outlive the scope, or
//! dropped by the task.

use crate::cancel;
use crate::control::Outcome;
use crate::join::{JoinHandle, Task};
use crate::lock::Lock;
use crate::park::{Reason, wait_in};
use crate::runtime::{Settings, no_room, spawn_here};
use crate::task::Builder;
use crate::wait::{WaitQueue, Wakeup};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

struct Count {
    running: usize,
    panicked: bool,
    owner: WaitQueue<()>,
}

/// What the scope and its tasks share; a task may still be in here when the scope has seen it off, so it is counted.
struct Tally(Lock<Count>);

impl Tally {
    fn task_ended(&self, panicked: bool) {
        let mut count = self.0.lock();
        count.running -= 1;
        count.panicked |= panicked;
        let owner = if count.running == 0 { count.owner.take_one() } else { None };
        drop(count);
        if let Some(wakeup) = owner {
            Wakeup::fire(wakeup);
        }
    }

    /// Waits until no task runs. Returns whether one that nobody joined has panicked.
    fn wait(&self) -> bool {
        cancel::shielded(|| {
            loop {
                let count = self.0.lock();
                if count.running == 0 {
                    return count.panicked;
                }
                let woken = wait_in(Reason::Scope, None, &self.0, count, |count| &mut count.owner, ()).0;
                debug_assert_eq!(woken, Outcome::Woken);
            }
        })
    }
}

/// Where scoped tasks are spawned; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    tally: Arc<Tally>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A handle to a scoped task; see [`Scope::spawn`].
///
/// Modelled on [`std::thread::ScopedJoinHandle`].
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    joined: Arc<Joined>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

/// Whether the handle's owner has seen the task's panic.
type Joined = Lock<bool>;

/// Runs `f`, which may spawn tasks that borrow from its surroundings, and waits for all of them.
///
/// Modelled on [`std::thread::scope`]: tasks that were not joined by hand are joined when `f` has returned, and if one
/// of those panicked, `scope` does. A cancelled task that is in `scope` waits for its children all the same; cancel them
/// too if they may take long.
///
/// # Panics
/// With what `f` panics with, once all tasks have ended; or if a task panicked that was not joined by hand.
///
/// # Examples
/// ```
/// let mut left = vec![3, 1, 2];
/// let mut right = vec![6, 5, 4];
/// throng::scope(|s| {
///     s.spawn(|| left.sort());
///     s.spawn(|| right.sort());
/// });
/// assert_eq!((left, right), (vec![1, 2, 3], vec![4, 5, 6]));
/// ```
#[doc(alias = "errgroup")]
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        tally: Arc::new(Tally(Lock::new(Count { running: 0, panicked: false, owner: WaitQueue::new() }))),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = panic::catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let panicked = scope.tally.wait();
    match result {
        Err(payload) => panic::resume_unwind(payload),
        Ok(_) if panicked => panic!("a scoped task panicked"),
        Ok(value) => value,
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a task that may borrow what outlives the scope.
    ///
    /// # Panics
    /// If there is no room for the task's stack; [`spawn_with`](Scope::spawn_with) returns an error instead.
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.start(Settings::default(), f).unwrap_or_else(|error| no_room(&error))
    }

    /// Starts a task that the builder describes.
    ///
    /// `std` has this as `Builder::spawn_scoped`.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    pub fn spawn_with<F, T>(&'scope self, builder: Builder, f: F) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.start(builder.into_settings(), f)
    }

    fn start<F, T>(&'scope self, settings: Settings, f: F) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.tally.0.lock().running += 1;
        let ended = Ended { tally: Arc::clone(&self.tally), joined: None };
        let joined = Arc::new(Lock::new(false));
        let seen = Arc::clone(&joined);
        // SAFETY: the closure and its result are used up to `Ended`'s drop, which is the last thing that happens to a task
        // that runs, is abandoned, or could not be spawned; and `scope` returns only after all those.
        let spawned = unsafe { spawn_here(settings, move || run_scoped(ended, seen, f)) };
        spawned.map(|handle| ScopedJoinHandle { handle, joined, scope: PhantomData })
    }
}
