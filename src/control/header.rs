//! The control block: the part of a task that doesn't depend on what it computes.
//!
//! One allocation holds the control block, then the closure, then (in the closure's place) the result. It is counted:
//! the runtime owns one reference from the spawn to the end, each handle owns one. A queue of runnable tasks holds the
//! runtime's reference; a wait queue holds none, because a waiter leaves its queues before it goes on.
//!
//! # Invariants
//! * `fiber`, `shard`, `place`, `pins`, `home` (but for looks) and `scopes` (but for its flags) belong to whoever runs the
//!   task, or, while it is suspended, to whoever will resume it.
//! * `host` outlives the task's run; it is not touched after the task has finished.

use super::{Claimed, Outcome, Schedule, Scopes, State};
use crate::asymmetric;
use crate::fiber::Fiber;
use crate::primitive::{AtomicU8, AtomicU32, Ordering, StaticAtomicU64};
use crate::stack::Class;
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

/// A task's identity: unique in the process, never reused. (But that [simulated](crate::sim) tasks are counted from 1 in
/// each execution, in the order in which they are spawned, as its reports do.)
///
/// Modelled on [`std::thread::ThreadId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    /// The id as a number: small, and in the order in which tasks were first asked for theirs.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What depends on the types of the closure and the result.
pub(crate) struct Vtable {
    /// Calls the closure and stores what came out; never unwinds. Called once, on the task's stack.
    pub(crate) run: unsafe fn(NonNull<Header>),
    /// Drops the closure of a task that will never run, and stores that it was cancelled. Called instead of `run`.
    pub(crate) abandon: unsafe fn(NonNull<Header>),
    /// Moves the result of a finished task to a place that has room for it. Called at most once.
    pub(crate) take: unsafe fn(NonNull<Header>, *mut ()),
    /// Frees the allocation and the result, if it is still there. Called when the last reference goes.
    pub(crate) free: unsafe fn(NonNull<Header>),
}

/// In `home`, beside the thread: the task lies in that thread's inbox.
const HELD: u32 = 1 << 31;
/// What `home` is before the task has left its stack for the first time.
const NOWHERE: u32 = u32::MAX;

#[repr(C)]
pub(crate) struct Header {
    pub(crate) state: State,
    refs: AtomicU32,
    /// The `Reason` of the present wait, for those who look from outside. Relaxed: it is a hint.
    pub(crate) reason: AtomicU8,
    /// The class of stack it runs on; accounted for when it was spawned.
    pub(crate) stack_class: Class,
    /// How many guards keep it on its kernel thread.
    pub(crate) pins: Cell<u16>,
    /// When the present wait began, by the coarse clock. As `reason`.
    pub(crate) since: AtomicU32,
    /// Which of the host's threads it left its stack on; a host's business. See `HELD` and `NOWHERE`.
    home: AtomicU32,
    pub(crate) scopes: Scopes,
    pub(crate) fiber: Cell<Option<NonNull<Fiber>>>,
    /// Which of the host's lists it is in, counted from 1; 0 is none. For whoever runs the task.
    pub(crate) shard: Cell<u32>,
    /// Where in that list.
    pub(crate) place: Cell<u32>,
    vtable: &'static Vtable,
    host: NonNull<dyn Schedule>,
    /// Given out when first asked for: 0 until then.
    id: StaticAtomicU64,
    name: Option<Arc<str>>,
    spawned_at: &'static Location<'static>,
}

// SAFETY: the atomics are; the cells have one owner at a time (see the head of this file), and the task changes
// hands through a queue or a claim, which synchronise; the rest is never written after `new`. A `Schedule` is Sync.
unsafe impl Send for Header {}
// SAFETY: as above.
unsafe impl Sync for Header {}

impl Header {
    /// A task to which `refs` references are held.
    ///
    /// # Safety
    /// `host` lives until the task has finished.
    pub(crate) unsafe fn new(
        vtable: &'static Vtable,
        host: NonNull<dyn Schedule>,
        stack_class: Class,
        name: Option<Arc<str>>,
        spawned_at: &'static Location<'static>,
        refs: u32,
    ) -> Header {
        Header {
            state: State::new(),
            refs: AtomicU32::new(refs),
            reason: AtomicU8::new(0),
            since: AtomicU32::new(0),
            pins: Cell::new(0),
            home: AtomicU32::new(NOWHERE),
            scopes: Scopes::new(),
            stack_class,
            fiber: Cell::new(None),
            shard: Cell::new(0),
            place: Cell::new(0),
            vtable,
            host,
            id: StaticAtomicU64::new(0),
            name,
            spawned_at,
        }
    }

    /// Runs the closure to its end.
    ///
    /// # Safety
    /// Once a task, on the stack it was given, as its host's current task; `abandon` was not called.
    pub(crate) unsafe fn run(task: NonNull<Header>) {
        // SAFETY: the task is alive, and its vtable is that of its allocation.
        unsafe { (task.as_ref().vtable.run)(task) }
    }

    /// Ends a task that never ran.
    ///
    /// # Safety
    /// Once a task, instead of `run`.
    pub(crate) unsafe fn abandon(task: NonNull<Header>) {
        // SAFETY: as in `run`.
        unsafe { (task.as_ref().vtable.abandon)(task) }
    }

    /// What runs this task.
    ///
    /// # Safety
    /// The task has not finished.
    #[inline]
    pub(crate) unsafe fn host(&self) -> &dyn Schedule {
        // SAFETY: a host outlives its unfinished tasks.
        unsafe { self.host.as_ref() }
    }

    /// See `home`. Relaxed throughout: to others it is a hint.
    #[inline]
    pub(crate) fn home(&self) -> usize {
        (self.home.load(Ordering::Relaxed) & !HELD) as usize
    }

    /// Whether that is its home, and it isn't held.
    #[inline]
    pub(crate) fn is_at_home(&self, here: usize) -> bool {
        self.home.load(Ordering::Relaxed) == here as u32
    }

    pub(crate) fn set_home(&self, home: usize) {
        self.home.store(home as u32, Ordering::Relaxed);
    }

    /// Whether it lies where nobody but its home's thread takes it.
    pub(crate) fn is_held(&self) -> bool {
        let home = self.home.load(Ordering::Relaxed);
        home != NOWHERE && home & HELD != 0
    }

    pub(crate) fn set_held(&self, held: bool) {
        let home = self.home.load(Ordering::Relaxed) & !HELD;
        self.home.store(if held { home | HELD } else { home }, Ordering::Relaxed);
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// Whether that is what runs this task.
    pub(crate) fn is_hosted_by(&self, host: NonNull<dyn Schedule>) -> bool {
        self.host.cast::<()>() == host.cast()
    }

    /// Gives a task an id that it has not drawn itself, before anybody could ask for it.
    pub(crate) fn set_id(&self, id: NonZeroU64) {
        // Relaxed: the number carries no other data.
        self.id.store(id.get(), Ordering::Relaxed);
    }

    pub(crate) fn id(&self) -> TaskId {
        static NEXT: StaticAtomicU64 = StaticAtomicU64::new(1);
        // Relaxed throughout: the number carries no other data.
        let mut id = self.id.load(Ordering::Relaxed);
        if id == 0 {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
            id = match self.id.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fresh,
                Err(first) => first,
            };
        }
        TaskId(NonZeroU64::new(id).expect("ids start at 1"))
    }

    /// Asks the task to unwind from its next suspension point, or from the one it is parked in. `true` if the caller
    /// now has to make it runnable.
    ///
    /// The race against a task that is about to wait: the canceller sets the flag, fences, and reads the state word; the
    /// task arms its state word, fences, and reads the flag. One of them sees the other. Tasks wait much more often than
    /// they are cancelled, so the task's fence is the light one.
    #[must_use]
    pub(crate) fn cancel(&self) -> bool {
        self.mark_cancelled();
        asymmetric::heavy();
        self.wake_cancelled()
    }

    /// The second half of `cancel`, after the fence.
    #[must_use]
    pub(crate) fn wake_cancelled(&self) -> bool {
        self.state.claim_current(0, Outcome::Cancelled) == Some(Claimed::Parked)
    }

    /// The first half of `cancel`; all of it for a task that the caller is about to run.
    pub(crate) fn mark_cancelled(&self) {
        self.scopes.mark_cancelled();
    }

    #[inline]
    pub(crate) fn retain(&self) {
        // Relaxed: a new reference is made from one that is held.
        let old = self.refs.fetch_add(1, Ordering::Relaxed);
        if old > u32::MAX / 2 {
            std::process::abort();
        }
    }

    /// Gives one reference back.
    ///
    /// # Safety
    /// The caller owns one, and doesn't touch the task after this.
    #[inline]
    pub(crate) unsafe fn release(task: NonNull<Header>) {
        // SAFETY: the caller's reference keeps it alive up to the decrement.
        let header = unsafe { task.as_ref() };
        // Release, and Acquire for the last one: all uses happen before the free.
        if header.refs.fetch_sub(1, Ordering::Release) == 1 {
            let _ = header.refs.load(Ordering::Acquire);
            let free = header.vtable.free;
            // SAFETY: that was the last reference.
            unsafe { free(task) }
        }
    }
}

/// A counted reference to a task.
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: a header is shared between threads, and its result is only handed out by the one join handle, which asks
// for `T: Send` itself.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// # Safety
    /// The caller gives away one reference.
    pub(crate) unsafe fn from_raw(task: NonNull<Header>) -> TaskRef {
        TaskRef(task)
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }

    /// # Safety
    /// The task has finished; `to` has room for a `std::thread::Result` of its type; once a task.
    pub(crate) unsafe fn take_result(&self, to: *mut ()) {
        // SAFETY: the caller's.
        unsafe { (self.vtable.take)(self.0, to) }
    }
}

impl std::ops::Deref for TaskRef {
    type Target = Header;
    fn deref(&self) -> &Header {
        // SAFETY: the reference keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> TaskRef {
        self.retain();
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        // SAFETY: it owns one reference.
        unsafe { Header::release(self.0) }
    }
}
