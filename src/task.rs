//! What a task can do, and how one is made: shaped like [`std::thread`].

use crate::control::{Outcome, TaskRef};
use crate::current;
use crate::interrupt;
use crate::join::{self, JoinHandle, Observer};
use crate::park::{self, Reason};
use crate::runtime::{self, Settings};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::control::TaskId;
pub use crate::join::Task;

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

    /// Names the task.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The size in bytes of the task's stack: a multiple of the page size, and at least 16 KiB.
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
        // SAFETY: `f` and `T` are valid for ever.
        unsafe { runtime::spawn_here(self.settings(None), f) }
    }

    pub(crate) fn settings(self, observer: Option<Arc<dyn Observer>>) -> Settings {
        Settings { name: self.name, stack_size: self.stack_size, observer }
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
pub fn try_current() -> Option<Task> {
    current::task().map(|task| {
        // SAFETY: the running task is alive; the reference that `from_raw` takes was just made.
        unsafe {
            task.as_ref().retain();
            Task(TaskRef::from_raw(task))
        }
    })
}

/// Lets other tasks run first. Outside a task it yields the kernel thread.
#[doc(alias = "Gosched")]
pub fn yield_now() {
    park::yield_now();
}

/// Waits for at least `duration`. Other tasks run meanwhile; outside a task the kernel thread sleeps.
///
/// It may sleep longer, by about a sixteenth of the duration and a millisecond at most, plus the time until a worker is
/// free.
pub fn sleep(duration: Duration) {
    sleep_to(park::deadline_in(duration));
}

/// Waits until `deadline` at least; see [`sleep`].
pub fn sleep_until(deadline: Instant) {
    sleep_to(Some(deadline));
}

fn sleep_to(deadline: Option<Instant>) {
    if deadline.is_some_and(|deadline| deadline <= park::now()) {
        return park::yield_now();
    }
    match park::park(&park::Frame::default(), Reason::Sleep, deadline, |_| true) {
        Ok(Outcome::Cancelled) => interrupt::unwind(),
        outcome => debug_assert!(matches!(outcome, Ok(Outcome::TimedOut))),
    }
}

/// Waits until [`Task::unpark`] is called on this task, or returns at once if that happened since the last `park`.
/// Outside a task it is [`std::thread::park`].
///
/// As in `std` the token is one: several `unpark`s let one `park` return. Unlike `std`'s, a task's `park` doesn't return
/// for no reason.
pub fn park() {
    park_to(None);
}

/// [`park`], for no longer than `timeout`.
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
