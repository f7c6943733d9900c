//! Scoped tasks: shaped like [`std::thread::scope`]; and [`Token::scope`], which ends them together.
//!
//! # Why it is sound
//! A scoped task borrows from frames below the call of [`scope`]. `scope` neither returns nor unwinds before every task
//! of the scope has ended: it waits for their count with cancellation held off, in a frame that no safe code can forget,
//! since it isn't a value. A task counts itself off as the last thing it does: its closure is gone by then, and its
//! result is dropped too, or belongs to the handle, which can't leave the scope.

use crate::cancel::{Cancelled, Token};
use crate::control::Outcome;
use crate::interrupt;
use crate::join::{JoinHandle, Observer, Task};
use crate::lock::Lock;
use crate::park::{Reason, wait_in};
use crate::runtime::{Settings, no_room, spawn_here};
use crate::wait::WaitQueue;
use std::any::Any;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

struct Count {
    running: usize,
    panicked: bool,
    owner: WaitQueue<()>,
}

/// What the scope and its tasks share. A task may still be in here when the scope has seen it off, so it is counted.
struct Tally {
    count: Lock<Count>,
    /// Of a scope whose tasks end together.
    token: Option<Token>,
}

impl Observer for Tally {
    fn task_ended(&self) {
        let mut count = self.count.lock();
        count.running -= 1;
        let owner = if count.running == 0 { count.owner.take_one() } else { None };
        drop(count);
        if let Some(wakeup) = owner {
            wakeup.fire();
        }
    }

    fn panic_unseen(&self, _: &(dyn Any + Send)) {
        self.count.lock().panicked = true;
    }
}

impl Tally {
    /// Runs a task of the scope.
    fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        let Some(token) = &self.token else { return f() };
        match panic::catch_unwind(AssertUnwindSafe(|| token.run(f))) {
            Ok(Ok(value)) => value,
            Ok(Err(_)) => panic::resume_unwind(Cancelled::payload()),
            Err(payload) => {
                if !payload.is::<Cancelled>() {
                    // Whoever joins it is cancelled too, and so can't be counted on to see it.
                    self.panic_unseen(&*payload);
                    token.cancel();
                }
                panic::resume_unwind(payload)
            }
        }
    }

    /// Waits until no task runs. Returns whether one that nobody joined has panicked.
    fn wait(&self) -> bool {
        interrupt::shielded(|| self.wait_unless_cancelled())
    }

    /// As `wait`; unwinds if the caller is cancelled.
    fn wait_unless_cancelled(&self) -> bool {
        loop {
            let count = self.count.lock();
            if count.running == 0 {
                return count.panicked;
            }
            if wait_in(Reason::Scope, None, &self.count, count, |count| &mut count.owner, ()) == Outcome::Cancelled {
                interrupt::unwind();
            }
        }
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
    scope: PhantomData<&'scope mut &'scope ()>,
}

/// Runs `f`, which may spawn tasks that borrow from its surroundings, and waits for all of them.
///
/// Modelled on [`std::thread::scope`]: tasks that were not joined by hand are joined when `f` has returned, and if one
/// of those panicked, `scope` does. A cancelled task that is in `scope` waits for its children all the same; cancel them
/// too if they may take long, or use [`Token::scope`].
///
/// # Panics
/// With what `f` panics with, once all tasks have ended. Or, with a message of its own as `std`'s, if a task panicked that
/// was not joined by hand: join it for the payload.
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
    let scope = Scope::new(None);
    let result = panic::catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let panicked = scope.tally.wait();
    match result {
        Err(payload) => panic::resume_unwind(payload),
        Ok(_) if panicked => panic!("a scoped task panicked"),
        Ok(value) => value,
    }
}

impl Token {
    /// Runs `f` as [`scope`] does, with tasks that end together.
    ///
    /// All of them, and `f` itself, run as [scopes](Token::run) of a child of this token. The child is cancelled, and so
    /// they unwind from their waits,
    ///
    /// * when this token is, or its deadline comes;
    /// * when one of the tasks panics, or `f` does;
    /// * when the caller is cancelled, as a task or by a scope or time limit around the call.
    ///
    /// In any case the call returns when the last of them has ended. A task that is [cancelled](ScopedJoinHandle::cancel)
    /// by its handle ends alone.
    ///
    /// # Errors
    /// [`Cancelled`], if `f` was unwound because of the token. If `f` has returned, its result is returned, whether or not
    /// its tasks were cancelled.
    ///
    /// # Panics
    /// With what `f` panics with; or, with a message of its own, if a task panicked, be it joined by hand or not.
    ///
    /// # Examples
    /// The first answer ends the search:
    /// ```
    /// use std::time::Duration;
    /// use throng::cancel::Token;
    /// use throng::chan::unbounded;
    ///
    /// let (sender, answers) = unbounded();
    /// let search = Token::new();
    /// let first = search.scope(|s| {
    ///     for server in [1, 3600, 3601] {
    ///         let sender = sender.clone();
    ///         s.spawn(move || {
    ///             throng::task::sleep(Duration::from_secs(server) / 1000);
    ///             let _ = sender.send(server);
    ///         });
    ///     }
    ///     let first = answers.recv().unwrap();
    ///     search.cancel();
    ///     first
    /// });
    /// assert_eq!(first.unwrap(), 1);
    /// ```
    #[doc(alias = "errgroup")]
    #[doc(alias = "nursery")]
    #[track_caller]
    pub fn scope<'env, F, T>(&self, f: F) -> Result<T, Cancelled>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    {
        let token = self.child();
        let scope = Scope::new(Some(token.clone()));
        // Nothing may unwind out of here before the tasks have ended. So what is caught is kept, too: to drop it might.
        let body = panic::catch_unwind(AssertUnwindSafe(|| token.run(|| f(&scope))));
        let waited = panic::catch_unwind(AssertUnwindSafe(|| match body {
            Ok(Ok(_)) => drop(scope.tally.wait_unless_cancelled()),
            _ => token.cancel(),
        }));
        let stopped = panic::catch_unwind(AssertUnwindSafe(|| {
            if waited.is_err() {
                token.cancel()
            }
        }));
        let panicked = scope.tally.wait();
        drop(stopped);
        let result = match (body, waited) {
            (Ok(result), Ok(())) => Ok(result),
            (Err(payload), _) | (Ok(_), Err(payload)) => Err(payload),
        };
        match result {
            Err(payload) if !panicked || !payload.is::<Cancelled>() => panic::resume_unwind(payload),
            Ok(result) if !panicked => result,
            _ => panic!("a scoped task panicked"),
        }
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    fn new(token: Option<Token>) -> Scope<'scope, 'env> {
        let count = Lock::new(Count { running: 0, panicked: false, owner: WaitQueue::new() });
        Scope { tally: Arc::new(Tally { count, token }), scope: PhantomData, env: PhantomData }
    }

    /// Starts a task that may borrow what outlives the scope.
    ///
    /// # Panics
    /// If there is no room for the task's stack; [`task::Builder::spawn_scoped`] returns an error instead.
    ///
    /// [`task::Builder::spawn_scoped`]: crate::task::Builder::spawn_scoped
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.start(Settings::default(), f) {
            Ok(handle) => handle,
            Err(error) => no_room(&error),
        }
    }

    #[track_caller]
    pub(crate) fn start<F, T>(&'scope self, settings: Settings, f: F) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        /// Counts off a task that was not made after all, also if `f`, which is dropped then, panics.
        struct Unmade<'a>(&'a Tally);
        impl Drop for Unmade<'_> {
            fn drop(&mut self) {
                self.0.task_ended();
            }
        }
        let tally = Arc::clone(&self.tally);
        let f = move || tally.run(f);
        self.tally.count.lock().running += 1;
        let unmade = Unmade(&self.tally);
        let settings = Settings { observer: Some(Arc::clone(&self.tally) as Arc<dyn Observer>), ..settings };
        // SAFETY: see the head of this file: `f` and its result are not touched after `task_ended`, which `scope` waits for.
        let handle = unsafe { spawn_here(settings, f)? };
        mem::forget(unmade);
        Ok(ScopedJoinHandle { handle, scope: PhantomData })
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the task to end, and returns its result, or the payload of its panic.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    ///
    /// # Panics
    /// Outside of tasks: as [`JoinHandle::join`], in a deadlock.
    #[track_caller]
    pub fn join(self) -> std::thread::Result<T> {
        self.handle.join()
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The task itself.
    pub fn task(&self) -> Task {
        self.handle.task()
    }

    /// Asks the task to end; see [`JoinHandle::cancel`].
    pub fn cancel(&self) {
        self.handle.cancel();
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("running", &self.tally.count.lock().running).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("handle", &self.handle).finish_non_exhaustive()
    }
}
