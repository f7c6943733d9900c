//! The one way to wait.
//!
//! Every wait of the crate, whatever for, is a call of [`park`]: by a task, which leaves its stack to the next one; by
//! a plain kernel thread, which sleeps in the kernel. (A future waits by arming a
//! [`FutureParker`](crate::wait::FutureParker) of its own; see `join.rs`.) The caller says why it waits, until when, and
//! publishes its waiter; everything else is here.

use crate::blocking;
use crate::census::Waiting;
use crate::chaos;
use crate::control::clock;
use crate::control::{Context, Header, Leave, Outcome, ThreadParker, TimerEntry};
use crate::current;
use crate::interrupt;
use crate::lock::{Guard, Lock};
use crate::primitive::{Ordering, thread};
use crate::wait::{Node, WaitQueue, Waiter};
use std::cell::OnceCell;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// What a participant waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    Park = 1,
    Run,
    Sleep,
    Join,
    Send,
    Receive,
    Select,
    Mutex,
    RwLockRead,
    RwLockWrite,
    Condvar,
    Once,
    Barrier,
    WaitGroup,
    Semaphore,
    Scope,
    Future,
    Read,
    Write,
}

impl Reason {
    const ALL: [Reason; Reason::Write as usize] = [
        Reason::Park,
        Reason::Run,
        Reason::Sleep,
        Reason::Join,
        Reason::Send,
        Reason::Receive,
        Reason::Select,
        Reason::Mutex,
        Reason::RwLockRead,
        Reason::RwLockWrite,
        Reason::Condvar,
        Reason::Once,
        Reason::Barrier,
        Reason::WaitGroup,
        Reason::Semaphore,
        Reason::Scope,
        Reason::Future,
        Reason::Read,
        Reason::Write,
    ];

    /// What a task's `reason` stands for; `None` if it doesn't wait.
    pub(crate) fn from_byte(byte: u8) -> Option<Reason> {
        Reason::ALL.into_iter().find(|&reason| reason as u8 == byte)
    }

    /// For a report, after the words "waits to".
    pub(crate) fn words(self) -> &'static str {
        match self {
            Reason::Park => "be unparked",
            Reason::Run => "see a root task's end, in `run`",
            Reason::Sleep => "have slept",
            Reason::Join => "join a task",
            Reason::Send => "send to a channel",
            Reason::Receive => "receive from a channel",
            Reason::Select => "do one of the operations of a `select!`",
            Reason::Mutex => "lock a mutex",
            Reason::RwLockRead => "lock an `RwLock` for reading",
            Reason::RwLockWrite => "lock an `RwLock` for writing",
            Reason::Condvar => "be notified by a condition variable",
            Reason::Once => "see an initialisation's end",
            Reason::Barrier => "see the others at a barrier",
            Reason::WaitGroup => "see a wait group done",
            Reason::Semaphore => "get a semaphore's permit",
            Reason::Scope => "see the end of a scope's tasks",
            Reason::Future => "be woken by a future",
            Reason::Read => "read from a socket",
            Reason::Write => "write to a socket",
        }
    }
}

/// Whether a task can leave its stack: not while it unwinds, see `park`, nor in a blocking section.
#[inline]
fn can_leave(context: *const Context) -> bool {
    // SAFETY: it is this kernel thread's, which stays as long as the thread runs tasks.
    !std::thread::panicking() && !unsafe { (*context).is_in_section() }
}

/// Lets the others run first; returns at once if there are none. Unwinds if the caller was cancelled.
pub(crate) fn yield_now() {
    match current::task_and_context() {
        Some((task, context)) if can_leave(context) => {
            // SAFETY: it is the running task: alive, and not finished.
            let header = unsafe { task.as_ref() };
            // SAFETY: as above, on its own stack.
            unsafe { header.host().suspend(context, Leave::Yield) };
            if header.scopes.are_quiet() {
                return;
            }
        }
        _ => crate::primitive::yield_thread(),
    }
    interrupt::check();
}

/// The time, as the caller's host sees it.
pub(crate) fn now() -> Instant {
    match current::task() {
        // SAFETY: a running task has not finished.
        Some(task) => unsafe { task.as_ref().host().now() },
        None => Instant::now(),
    }
}

/// The instant that is `timeout` from now; `None`, for ever, if there is no such instant.
pub(crate) fn deadline_in(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}

/// What a plain thread's waiter points to. A task's waiter points to its control block, which is always there; a thread's
/// must be there for as long as a waker may find the waiter, and that is until the caller has unlinked it, after the
/// wait. So the caller keeps it, in a variable declared before its nodes.
#[derive(Default)]
pub(crate) struct Frame(OnceCell<ThreadParker>);

/// Waits.
///
/// `publish` gets the armed waiter and links it wherever wakers look; from then on it can be claimed. (Whether there is
/// something to wait for is asked before, under the lock that `publish` frees.) The caller unlinks afterwards what is still
/// linked.
///
/// One that is cancelled gets [`Outcome::Cancelled`], at once and without publishing if it was cancelled before. The
/// caller tidies up and then calls [`unwind`](interrupt::unwind). The same if the deadline of a cancel scope comes
/// before the wait's own.
///
/// A task that waits while it unwinds from a panic blocks its kernel thread, as in a blocking section: the panic count of
/// `std` is the thread's, so a panicking task can't move to another one.
#[inline]
pub(crate) fn park(frame: &Frame, reason: Reason, deadline: Option<Instant>, publish: impl FnOnce(Waiter)) -> Outcome {
    match current::task_and_context() {
        Some((task, context)) if can_leave(context) => park_task(task, context, reason, deadline, publish),
        _ => park_thread(frame, reason, deadline, publish),
    }
}

#[inline]
fn park_task(
    task: NonNull<Header>,
    context: *const Context,
    reason: Reason,
    deadline: Option<Instant>,
    publish: impl FnOnce(Waiter),
) -> Outcome {
    // SAFETY: it is the running task: alive, and not finished.
    let header = unsafe { task.as_ref() };
    // SAFETY: as above.
    let host = unsafe { header.host() };
    let epoch = header.state.arm_shielded(header.scopes.shields());
    let Some((deadline, at_deadline)) = header.scopes.limit(deadline, || host.now()) else {
        // Whether it is withdrawn or was claimed by the canceller just now comes to the same.
        return header.state.withdraw(epoch).err().unwrap_or(Outcome::Cancelled);
    };
    publish(Waiter::task(task, epoch));
    chaos::point();
    header.reason.store(reason as u8, Ordering::Relaxed);
    header.since.store(clock::coarse(), Ordering::Relaxed);
    match deadline {
        // SAFETY: this is a task of `host`, on its own stack, and its wait is armed.
        None => unsafe { host.suspend(context, Leave::Park) },
        // SAFETY: as above; and the entry stays in this frame until it is disarmed.
        Some(deadline) => unsafe {
            let entry = TimerEntry::new(deadline, task, epoch);
            host.arm_timer(&entry);
            host.suspend(context, Leave::Park);
            host.disarm_timer(&entry);
        },
    }
    header.reason.store(0, Ordering::Relaxed);
    let outcome = header.state.outcome().expect("a parked task is resumed by a claim");
    if outcome == Outcome::TimedOut { at_deadline } else { outcome }
}

#[cold]
fn park_thread(frame: &Frame, reason: Reason, deadline: Option<Instant>, publish: impl FnOnce(Waiter)) -> Outcome {
    // One that unwinds is in no scope.
    let in_scope = if std::thread::panicking() { None } else { current::thread_parker() };
    let parker = match &in_scope {
        // SAFETY: it outlives the scopes that this thread is in, and so this wait.
        Some(parker) => unsafe { parker.as_ref() },
        None => frame.0.get_or_init(ThreadParker::new),
    };
    let epoch = parker.state.arm_shielded(parker.scopes.shields());
    let Some((deadline, at_deadline)) = parker.scopes.limit(deadline, Instant::now) else {
        return parker.state.withdraw(epoch).err().unwrap_or(Outcome::Cancelled);
    };
    publish(Waiter::thread(parker, epoch));
    if let Some(task) = current::task() {
        // After `publish`, for it may not return, and what that was called with is free by now.
        // SAFETY: a running task has not finished.
        unsafe { task.as_ref().host() }.block_in_place(reason as u8);
    }
    // A worker's thread is no thread that only waits: its task is in the middle of something.
    let _waiting = (deadline.is_none() && current::context().is_null()).then(Waiting::begin);
    blocking::blocking(|| {
        loop {
            if let Some(outcome) = parker.state.outcome() {
                return outcome;
            }
            chaos::point();
            let Some(deadline) = deadline else {
                thread::park();
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // If that fails somebody has just ended the wait.
                return parker.state.withdraw(epoch).err().unwrap_or(at_deadline);
            }
            thread::park_timeout(left);
        }
    })
}

/// Waits with a node that lies here. Called with the lock that guards where it is linked; the lock is free while waiting.
///
/// `link` makes the node and links it, under the lock, and returns what is to be done as soon as that is free. `unlink` takes it
/// out, under the lock, if no waker has. Returns how the wait ended, and the payload; `None` if the task was cancelled before
/// it could link.
#[inline]
pub(crate) fn wait_linked<S: ?Sized, P, F: FnOnce()>(
    reason: Reason,
    deadline: Option<Instant>,
    lock: &Lock<S>,
    guard: Guard<'_, S>,
    link: impl FnOnce(&mut S, Waiter, &mut Option<Node<P>>) -> F,
    unlink: impl FnOnce(&mut S, &Node<P>),
) -> (Outcome, Option<P>) {
    let mut guard = Some(guard);
    let frame = Frame::default();
    let mut node = None;
    let outcome = park(&frame, reason, deadline, |waiter| {
        let mut guard = guard.take().expect("published once");
        let linked = link(&mut guard, waiter, &mut node);
        drop(guard);
        linked();
    });
    if outcome != Outcome::Woken
        && let Some(node) = &node
    {
        unlink(&mut lock.lock(), node);
    }
    (outcome, node.map(Node::into_payload))
}

/// Waits in one queue. Called with the lock that guards it; the lock is free while waiting.
#[inline]
pub(crate) fn wait_in<S: ?Sized, P>(
    reason: Reason,
    deadline: Option<Instant>,
    lock: &Lock<S>,
    guard: Guard<'_, S>,
    queue: impl Fn(&mut S) -> &mut WaitQueue<P>,
    payload: P,
) -> Outcome {
    let link = |state: &mut S, waiter, node: &mut Option<Node<P>>| {
        // SAFETY: the node stays where it is until it has been unlinked, by a waker or below.
        unsafe { queue(state).push_back(node.insert(Node::new(waiter, payload))) };
        || ()
    };
    let unlink = |state: &mut S, node: &Node<P>| {
        // SAFETY: it was pushed to this queue.
        unsafe { queue(state).remove(node) };
    };
    wait_linked(reason, deadline, lock, guard, link, unlink).0
}
