//! A task's allocation, its result, and those who wait for it.
//!
//! One allocation holds the control block, the [`Joint`], and the closure, which its result replaces. The joint's lock
//! decides between a task that ends and a handle that joins it, is dropped, or is polled:
//!
//! * The task stores its result, then marks itself as finished under the lock and takes whoever waits.
//! * `join` looks at the mark under the same lock before it waits, so no end is missed.
//! * A result that nobody will take is dropped inside of a task or thread of the user's, never by the scheduler's loop:
//!   a handle that is dropped says so under the lock, and then the task drops its own result; a handle dropped after
//!   the end drops it itself.
//!
//! `park` and `unpark` wait here too: the token is under the same lock.

use crate::awaited::Awaited;
use crate::chaos;
use crate::control::{Header, Outcome, Schedule, State, TaskId, TaskRef, Vtable, blocks};
use crate::current;
use crate::interrupt::{self, Cancelled};
use crate::lock::{Guard, Lock};
use crate::park::{Reason, wait_in};
use crate::stack::Class;
use crate::wait::{FutureParker, Node, WaitQueue, Waiter, quietly};
use std::alloc::Layout;
use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

struct Meeting {
    finished: bool,
    /// The handle has been dropped: the task drops its own result.
    detached: bool,
    /// `unpark`'s token.
    token: bool,
    joiner: WaitQueue<()>,
    parked: WaitQueue<()>,
}

/// One who wants to know of a task's end: the scope that it borrows from.
pub(crate) trait Observer: Send + Sync {
    /// The last thing a task does: nothing of the user's is touched after it.
    fn task_ended(&self);
    /// A task panicked, and nobody has taken its payload. Called before `task_ended` if nobody can.
    fn panic_unseen(&self, payload: &(dyn Any + Send));
}

#[repr(C)]
struct Joint {
    header: Header,
    meeting: Lock<Meeting>,
    observer: Option<Arc<dyn Observer>>,
}

impl Joint {
    /// A result is dropped that nobody has seen.
    fn unseen<T>(&self, result: std::thread::Result<T>) {
        if let (Err(payload), Some(observer)) = (&result, &self.observer)
            && !payload.is::<Cancelled>()
        {
            observer.panic_unseen(&**payload);
        }
        drop_quietly(result);
    }
}

enum Stage<F, T> {
    Closure(F),
    Result(std::thread::Result<T>),
    Taken,
}

#[repr(C)]
struct Cell<F, T> {
    joint: Joint,
    /// The task's until it is marked as finished, then the handle's.
    stage: UnsafeCell<Stage<F, T>>,
}

impl<F: FnOnce() -> T, T> Cell<F, T> {
    const VTABLE: Vtable = Vtable { run: Self::run, abandon: Self::abandon, free: Self::free, take: Self::take };

    unsafe fn run(task: NonNull<Header>) {
        // SAFETY: the header is the first field of this cell, and the stage is the running task's.
        unsafe {
            let stage = task.cast::<Self>().as_ref().stage.get();
            let Stage::Closure(f) = mem::replace(&mut *stage, Stage::Taken) else { unreachable!("a task runs once") };
            let result = panic::catch_unwind(AssertUnwindSafe(f));
            *stage = Stage::Result(result);
            Self::finish(task);
        }
    }

    unsafe fn abandon(task: NonNull<Header>) {
        // SAFETY: as in `run`, instead of it.
        unsafe {
            let stage = task.cast::<Self>().as_ref().stage.get();
            let closure = mem::replace(&mut *stage, Stage::Result(Err(Cancelled::payload())));
            // Its destructors may wait, as those of a task that unwinds may.
            interrupt::shielded(|| drop_quietly(closure));
            Self::finish(task);
        }
    }

    unsafe fn finish(task: NonNull<Header>) {
        // SAFETY: as in `run`; the runtime's reference keeps the cell.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        let mut meeting = cell.joint.meeting.lock();
        meeting.finished = true;
        let joiner = meeting.joiner.take_one();
        let detached = meeting.detached;
        drop(meeting);
        chaos::point();
        if let Some(wakeup) = joiner {
            wakeup.fire();
        }
        // SAFETY: without a handle the stage is still ours.
        if detached && let Stage::Result(result) = mem::replace(unsafe { &mut *cell.stage.get() }, Stage::Taken) {
            cell.joint.unseen(result);
        }
        if let Some(observer) = &cell.joint.observer {
            observer.task_ended();
        }
    }

    /// Moves the result out.
    unsafe fn take(task: NonNull<Header>, to: *mut ()) {
        // SAFETY: the task is finished, so the stage is the handle's, which calls this once, with room for the result.
        unsafe {
            let stage = task.cast::<Self>().as_ref().stage.get();
            let Stage::Result(result) = mem::replace(&mut *stage, Stage::Taken) else { unreachable!("taken once") };
            to.cast::<std::thread::Result<T>>().write(result);
        }
    }

    unsafe fn free(task: NonNull<Header>) {
        let cell = task.cast::<Self>();
        // SAFETY: the last reference is gone, and `new_task` allocated the cell with this layout.
        unsafe {
            cell.drop_in_place();
            blocks::free(
                cell.cast(),
                Layout::new::<Self>(),
                current::context().as_ref().map(|context| &context.blocks),
            );
        }
    }
}

fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// The task isn't made. Its closure is dropped while the error is still here, and not on its way to the caller: if the drop
/// panics, the error is lost there, which would leak it.
#[cold]
pub(crate) fn refuse<F, T>(f: F, error: io::Error) -> io::Result<T> {
    drop(f);
    Err(error)
}

/// A task that is not yet launched, and its handle. The runtime owns one reference to it.
///
/// # Safety
/// `host` outlives the task. `f` and its result are valid for as long as the task may use them, whatever the types say.
pub(crate) unsafe fn new_task<F: FnOnce() -> T, T>(
    f: F,
    host: NonNull<dyn Schedule>,
    stack_class: Class,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
    observer: Option<Arc<dyn Observer>>,
) -> (NonNull<Header>, JoinHandle<T>) {
    // SAFETY: a context lives while this thread doesn't clear it.
    let blocks = unsafe { current::context().as_ref() }.map(|context| &context.blocks);
    let place = blocks::allocate(Layout::new::<Cell<F, T>>(), blocks).cast::<Cell<F, T>>();
    let cell = Cell {
        joint: Joint {
            // SAFETY: the caller's.
            header: unsafe { Header::new(&Cell::<F, T>::VTABLE, host, stack_class, name, spawned_at, 2) },
            meeting: Lock::new(Meeting {
                finished: false,
                detached: false,
                token: false,
                joiner: WaitQueue::new(),
                parked: WaitQueue::new(),
            }),
            observer,
        },
        stage: UnsafeCell::new(Stage::<F, T>::Closure(f)),
    };
    // SAFETY: the place was allocated for it.
    unsafe { place.write(cell) };
    let task = place.cast::<Header>();
    // SAFETY: the second of the two references.
    let reference = unsafe { TaskRef::from_raw(task) };
    (task, JoinHandle { task: reference, polled: None, taken: false, result: PhantomData })
}

fn joint(task: &TaskRef) -> &Joint {
    // SAFETY: every header is the first field of a joint, which is the first of a cell.
    unsafe { task.as_ptr().cast::<Joint>().as_ref() }
}

/// Waits until the task's token is there, and takes it.
pub(crate) fn park_for_token(task: NonNull<Header>, deadline: Option<Instant>) -> Outcome {
    current::step();
    // SAFETY: as in `joint`; the running task is alive.
    let joint = unsafe { task.cast::<Joint>().as_ref() };
    let mut meeting = joint.meeting.lock();
    if mem::take(&mut meeting.token) {
        return Outcome::Woken;
    }
    wait_in(Reason::Park, deadline, &joint.meeting, meeting, |meeting| &mut meeting.parked, ())
}

/// Gives the task its token, and wakes it if it waits for it.
pub(crate) fn unpark(task: &TaskRef) {
    current::step();
    let mut meeting = joint(task).meeting.lock();
    let parked = meeting.parked.take_one();
    meeting.token |= parked.is_none();
    drop(meeting);
    if let Some(wakeup) = parked {
        wakeup.fire();
    }
}

/// A handle that waits for a task's end and takes its result.
///
/// Dropping it detaches the task, which then runs on by itself. It is also a [`Future`] with the same output as
/// [`join`](JoinHandle::join), for code that runs on an async executor.
///
/// Modelled on [`std::thread::JoinHandle`]. A task that was cancelled yields an error whose payload is a
/// [`Cancelled`].
///
/// # Examples
/// ```
/// let handle = throng::spawn(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
pub struct JoinHandle<T> {
    task: TaskRef,
    /// The wait of the last poll, if it was left pending. The handle owns it, but others point to it, so it isn't a `Box`.
    polled: Option<NonNull<Polled>>,
    /// The result has been given out by `poll`.
    taken: bool,
    result: PhantomData<T>,
}

// SAFETY: what it gives access to is the result, a `T` that it moves between threads; a wait has no thread.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a shared handle gives no access to the result, nor to the wait.
unsafe impl<T> Sync for JoinHandle<T> {}
impl<T> panic::UnwindSafe for JoinHandle<T> {}
impl<T> panic::RefUnwindSafe for JoinHandle<T> {}
impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Waits for the task to end, and returns its result, or the payload of its panic.
    ///
    /// That takes as long as the task does, also where [`Runtime::shutdown_timeout`] didn't wait for it any longer.
    ///
    /// [`Runtime::shutdown_timeout`]: crate::runtime::Runtime::shutdown_timeout
    ///
    /// # Errors
    /// The payload the task panicked with; a [`Cancelled`] if it was cancelled. To `unwrap` either
    /// says no more than `Any { .. }`, and of a cancellation the panic hook has told nothing before: where a task may be
    /// cancelled ask `payload.is::<Cancelled>()` first.
    ///
    /// # Panics
    /// If the handle was polled as a future until it was ready: then it has given the result out. Outside of tasks: with the
    /// report of a [deadlock](crate::runtime::OnDeadlock), if the task could never have ended.
    #[track_caller]
    pub fn join(mut self) -> std::thread::Result<T> {
        // There is one joiner: a wait left over from a poll would be woken in place of this one.
        drop(self.withdraw());
        assert!(!self.taken, "a task is joined whose handle was polled until it was ready: its result has been taken");
        if let Some(report) = self.wait(Reason::Join) {
            panic!("{report}");
        }
        self.take_result()
    }

    /// Waits for the end, and leaves the result where it is. Returns the report if it was a deadlock that brought it about;
    /// that is looked for if the wait is one for a root task, or one outside of tasks.
    pub(crate) fn wait(&self, reason: Reason) -> Option<Arc<str>> {
        let joint = joint(&self.task);
        let meeting = joint.meeting.lock();
        if meeting.finished {
            return None;
        }
        if reason == Reason::Run || current::task().is_none() {
            drop(meeting);
            return self.wait_watched(reason);
        }
        self.wait_for_end(meeting, reason);
        None
    }

    #[cold]
    fn wait_watched(&self, reason: Reason) -> Option<Arc<str>> {
        let awaited = Awaited::begin(self.task.clone());
        let meeting = joint(&self.task).meeting.lock();
        if meeting.finished {
            return None;
        }
        // SAFETY: it is unfinished as long as we hold the lock.
        unsafe { self.task.host() }.someone_waits();
        self.wait_for_end(meeting, reason);
        awaited.end()
    }

    #[inline]
    fn wait_for_end(&self, meeting: Guard<'_, Meeting>, reason: Reason) {
        let joint = joint(&self.task);
        match wait_in(reason, None, &joint.meeting, meeting, |meeting| &mut meeting.joiner, ()) {
            Outcome::Cancelled => interrupt::unwind(),
            _ => debug_assert!(joint.meeting.lock().finished),
        }
    }

    /// Takes the wait of the last poll back, if it was left pending. What it returns has a waker, whose drop is foreign code.
    fn withdraw(&mut self) -> Option<Box<Polled>> {
        let polled = self.polled.take()?;
        // SAFETY: `poll` made it of a box; its node is in this queue or in none, and then nobody else points to it.
        unsafe {
            let node = polled.as_ref().node.as_ref().expect("set by `poll`");
            joint(&self.task).meeting.lock().joiner.remove(node);
            Some(Box::from_raw(polled.as_ptr()))
        }
    }

    /// The task is finished, and its result was not taken.
    fn take_result(&mut self) -> std::thread::Result<T> {
        debug_assert!(!self.taken);
        self.taken = true;
        let mut result = mem::MaybeUninit::<std::thread::Result<T>>::uninit();
        // SAFETY: the task is finished, its result is a `T`, and this is the one handle to it, which does this once.
        unsafe {
            self.task.take_result(result.as_mut_ptr().cast());
            result.assume_init()
        }
    }

    /// Whether the task has ended: then [`join`](JoinHandle::join) won't wait.
    pub fn is_finished(&self) -> bool {
        current::step();
        joint(&self.task).meeting.lock().finished
    }

    /// The task itself: to unpark it, to learn its id and its name.
    pub fn task(&self) -> Task {
        Task(self.task.clone())
    }

    /// Asks the task to end: it unwinds from the wait it is in, or from the next one it begins, running its destructors.
    ///
    /// A task that has not begun begins all the same. One that never waits again never notices, and ends as if nothing had
    /// been asked. If it was unwound,
    /// [`join`](JoinHandle::join) returns an error whose payload is a [`Cancelled`].
    ///
    /// # Examples
    /// ```
    /// use throng::cancel::Cancelled;
    ///
    /// let handle = throng::spawn(throng::task::park);
    /// handle.cancel();
    /// assert!(handle.join().unwrap_err().is::<Cancelled>());
    /// ```
    pub fn cancel(&self) {
        current::step();
        let task = &self.task;
        if task.cancel() {
            // SAFETY: it was parked, so it is unfinished; the claim made it ours.
            unsafe { task.host() }.make_runnable(task.as_ptr());
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // It may panic, and goes last.
        let _polled = self.withdraw();
        if self.taken {
            return;
        }
        current::step();
        let mut meeting = joint(&self.task).meeting.lock();
        meeting.detached = true;
        let finished = meeting.finished;
        drop(meeting);
        if finished {
            let result = self.take_result();
            joint(&self.task).unseen(result);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.task.id()).finish_non_exhaustive()
    }
}

/// The wait of a handle that is polled as a future: allocated, so that the handle itself may move.
struct Polled {
    parker: FutureParker,
    /// Set once the parker is where it stays.
    node: Option<Node<()>>,
}

impl<T> Future for JoinHandle<T> {
    type Output = std::thread::Result<T>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.taken, "a join handle is polled again after it was ready");
        current::step();
        // A wait serves one poll: the next one begins anew, with the waker it brings.
        drop(self.withdraw());
        let state = State::new();
        let epoch = state.arm(true);
        let parker = FutureParker { state, waker: Lock::new(Some(cx.waker().clone())) };
        let polled = NonNull::from(Box::leak(Box::new(Polled { parker, node: None })));
        // SAFETY: nobody else knows of it yet. From here on there are only shared references, until `withdraw` frees it.
        let node = unsafe {
            let waiter = Waiter::future(&(*polled.as_ptr()).parker, epoch);
            (*polled.as_ptr()).node = Some(Node::new(waiter, ()));
            (*polled.as_ptr()).node.as_ref().expect("just set")
        };
        self.polled = Some(polled);
        chaos::point();
        let mut meeting = joint(&self.task).meeting.lock();
        if meeting.finished {
            drop(meeting);
            drop(self.withdraw());
            return Poll::Ready(self.take_result());
        }
        // SAFETY: it stays where it is until `withdraw`, which every way out of here comes to.
        unsafe { meeting.joiner.push_back(node) };
        drop(meeting);
        Poll::Pending
    }
}

/// A task, as others see it.
///
/// Modelled on [`std::thread::Thread`].
#[derive(Clone)]
pub struct Task(pub(crate) TaskRef);

impl panic::UnwindSafe for Task {}
impl panic::RefUnwindSafe for Task {}

impl Task {
    /// Its identity.
    pub fn id(&self) -> TaskId {
        self.0.id()
    }

    /// Its name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.0.name()
    }

    /// Wakes the task from [`park`](crate::task::park), or lets its next `park` return at once.
    ///
    /// # Examples
    /// ```
    /// let handle = throng::spawn(throng::task::park);
    /// handle.task().unpark();
    /// handle.join().unwrap();
    /// ```
    pub fn unpark(&self) {
        unpark(&self.0);
    }

    /// Whether it has ended, as far as its handle tells: the worker may be about to let go of it. (One whose handle is gone still
    /// has its result to drop.)
    pub(crate) fn is_finished(&self) -> bool {
        let meeting = joint(&self.0).meeting.lock();
        meeting.finished && !meeting.detached
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Task) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }
}

impl Eq for Task {}

#[cfg(all(test, loom))]
mod models;
