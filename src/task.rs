//! What a task can do, and how one is made: shaped like [`std::thread`].
//!
//! What is at the crate's root is here too, so for most programs `use throng::task as thread` does it.
//!
//! ```
//! use std::time::Duration;
//! use throng::task as thread;
//!
//! let handles: Vec<_> = (0..4)
//!     .map(|i| {
//!         thread::spawn(move || {
//!             thread::sleep(Duration::from_millis(1));
//!             i * i
//!         })
//!     })
//!     .collect();
//! let sum: i32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
//! assert_eq!(sum, 14);
//! ```
//!
//! # What differs from `std::thread`
//! * Thread-locals belong to the worker, which a task may change with each wait; see
//!   [the rule](crate#what-a-task-may-not-assume), and [`pin`].
//! * A task can be [cancelled](JoinHandle::cancel). [`join`](JoinHandle::join) returns an error then, whose payload is a
//!   [`Cancelled`](crate::cancel::Cancelled).
//! * [`JoinHandle::task`] is `std`'s `thread`, and yields a [`Task`]; [`TaskId`] is its `ThreadId`. A handle is a future,
//!   too.
//! * [`fn@current`] panics on a plain thread, `main`'s included; [`try_current`] doesn't.
//! * [`fn@park`] returns only when there was an [`unpark`](Task::unpark), never for no reason.
//! * [`Builder::name`] takes whatever becomes a `String`, so in `name("a".into())` the type can't be inferred: leave the
//!   `into` out. It is the task's name: what prints the kernel thread's, as the message of a panic does, prints the
//!   worker's. [`Builder::name`] says how to have it otherwise.
//! * [`Builder::stack_size`] takes what is a multiple of the page size, and refuses the rest.
//! * Tasks run on the runtime of the task that spawns them; [`Builder::spawn_on`] chooses another.

use crate::control::Outcome;
use crate::current;
use crate::interrupt;
use crate::join;
use crate::park;
use crate::runtime::{self, Runtime, Settings};
use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

pub use crate::control::TaskId;
pub use crate::join::{JoinHandle, Task};
pub use crate::runtime::spawn;
pub use crate::scope::{Scope, ScopedJoinHandle, scope};
pub use crate::time::{sleep, sleep_until};
#[doc(no_inline)]
pub use std::thread::{Result, available_parallelism, panicking};

/// Makes a task with a name or a stack of its own.
///
/// Modelled on [`std::thread::Builder`].
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// let handle = throng::task::Builder::new().name("deep").stack_size(1 << 20).spawn(|| {
///     throng::task::current().name().map(str::to_owned)
/// })?;
/// assert_eq!(handle.join().unwrap().as_deref(), Some("deep"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A task with no name and the runtime's stack size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the task, with any text: for [`Task::name`], and for the report of a stack overflow.
    ///
    /// The panic hook of `std` names the kernel thread, and so the worker. One of one's own can name the task as well:
    ///
    /// ```
    /// use std::panic;
    /// use throng::task;
    ///
    /// let before = panic::take_hook();
    /// panic::set_hook(Box::new(move |info| {
    ///     if let Some(task) = task::try_current() {
    ///         eprint!("in task '{}': ", task.name().unwrap_or("<unnamed>"));
    ///     }
    ///     before(info);
    /// }));
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The size in bytes of the task's stack: a multiple of the page size, at least 16 KiB and at most 1 GiB. It is
    /// rounded up to a power of two, and to 64 KiB, which any panic hook can do with (a backtrace takes a third of that);
    /// one page of it is the guard. Memory is only used as far as the stack is.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the task, on the runtime of the task that calls, or on the global one.
    ///
    /// # Errors
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): the stack is too small, too large, or no multiple of the page
    ///   size.
    /// * [`OutOfMemory`](io::ErrorKind::OutOfMemory) or what else the system says when there is no room for the task's
    ///   stack, or the global runtime can't be started.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        runtime::spawn_as(self.settings(), f)
    }

    /// Starts the task in a scope: it may borrow what outlives the scope.
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Examples
    /// ```
    /// use throng::task::Builder;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut words = ["threads", "green"];
    /// throng::scope(|s| Builder::new().name("sorter").spawn_scoped(s, || words.sort()).map(drop))?;
    /// assert_eq!(words, ["green", "threads"]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.start(self.settings(), f)
    }

    /// Starts the task on a runtime of one's own.
    ///
    /// # Errors
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Examples
    /// ```
    /// use throng::runtime::Runtime;
    /// use throng::task::Builder;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let handle = Builder::new().name("index").spawn_on(&runtime, || 6 * 7)?;
    /// assert_eq!(handle.join().unwrap(), 42);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_on<F, T>(self, runtime: &Runtime, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        runtime.spawn_with(self.settings(), f)
    }

    fn settings(self) -> Settings {
        Settings { name: self.name, stack_size: self.stack_size, observer: None }
    }
}

/// The task that calls.
///
/// # Panics
/// Outside any task; [`try_current`] returns `None` there.
#[track_caller]
pub fn current() -> Task {
    try_current().expect("`task::current` was called outside a task; `task::try_current` can tell")
}

/// The task that calls, `None` outside any task.
///
/// # Examples
/// ```
/// use throng::task::{current, try_current};
///
/// assert!(try_current().is_none(), "this is `main`");
/// let handle = throng::spawn(|| current().id());
/// let id = handle.task().id();
/// assert_eq!(handle.join().unwrap(), id);
/// ```
pub fn try_current() -> Option<Task> {
    current::task_ref().map(Task)
}

/// Keeps the task that calls on its kernel thread, until the guard is dropped.
///
/// For code that holds what belongs to the thread across a wait, where the runtime's [migration
/// guard](crate::runtime::Migration) may not see it. Other tasks run on the thread meanwhile: what it holds isn't
/// locked, and they may use the same thread-locals. While the thread is kept by another task that blocks or computes for long,
/// this one waits, as no other thread can take it over: for ever, if the other one blocks for something that this one has to
/// do.
///
/// Guards can be nested. Outside a task it does nothing.
///
/// # Panics
/// If there are 65,535 of them in this task.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throng::task;
///
/// throng::spawn(|| {
///     let _pinned = task::pin();
///     let thread = std::thread::current().id();
///     task::sleep(Duration::from_millis(1));
///     assert_eq!(std::thread::current().id(), thread);
/// })
/// .join()
/// .unwrap();
/// ```
#[doc(alias = "LockOSThread")]
pub fn pin() -> Pinned {
    let task = try_current();
    if let Some(task) = &task {
        let pins = &task.0.pins;
        pins.set(pins.get().checked_add(1).expect("fewer than 65,536 guards pin a task"));
    }
    Pinned { task, _of_its_thread: PhantomData }
}

/// The task that made it stays on its kernel thread while it lives; see [`pin`].
#[derive(Debug)]
#[must_use = "the task is pinned as long as this lives"]
pub struct Pinned {
    task: Option<Task>,
    _of_its_thread: PhantomData<*const ()>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It can get to another task, by a thread-local. Then the one that made it stays pinned: the count is its own.
        if let Some(task) = &self.task
            && current::task() == Some(task.0.as_ptr())
        {
            let pins = &task.0.pins;
            pins.set(pins.get() - 1);
        }
    }
}

/// Lets other tasks run first. Outside a task it yields the kernel thread.
///
/// # Examples
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
///
/// let is_done = AtomicBool::new(false);
/// throng::scope(|s| {
///     s.spawn(|| is_done.store(true, Relaxed));
///     while !is_done.load(Relaxed) {
///         throng::task::yield_now();
///     }
/// });
/// ```
#[doc(alias = "Gosched")]
pub fn yield_now() {
    park::yield_now();
}

/// Waits until [`Task::unpark`] is called on this task, or returns at once if that happened since the last `park`.
/// Outside a task it is [`std::thread::park`], which no [cancel scope](crate::cancel) ends.
///
/// As in `std` the token is one: several `unpark`s let one `park` return. Unlike `std`'s, a task's `park` doesn't return
/// for no reason.
///
/// # Examples
/// ```
/// let handle = throng::spawn(|| {
///     throng::task::park();
///     "unparked"
/// });
/// handle.task().unpark();
/// assert_eq!(handle.join().unwrap(), "unparked");
/// ```
pub fn park() {
    park_to(None);
}

/// [`fn@park`], for no longer than `timeout`.
pub fn park_timeout(timeout: Duration) {
    park_to(park::deadline_in(timeout));
}

fn park_to(deadline: Option<Instant>) {
    match (current::task(), deadline) {
        (Some(task), deadline) => {
            if join::park_for_token(task, deadline) == Outcome::Cancelled {
                interrupt::unwind();
            }
        }
        (None, None) => std::thread::park(),
        (None, Some(deadline)) => std::thread::park_timeout(deadline.saturating_duration_since(Instant::now())),
    }
}
