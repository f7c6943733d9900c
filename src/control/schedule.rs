//! What a task needs of whatever runs it.

use super::blocks::Blocks;
use super::{Epoch, Header};
use crate::primitive::{AtomicPtr, Ordering};
use crate::rng::Rng;
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::time::Instant;

/// How a task leaves its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It has armed a wait: commit it once the stack is left.
    Park,
    /// It stays runnable: put it behind the others once the stack is left.
    Yield,
}

/// A part of a task that may block its kernel thread: one that mostly does, or one that mostly doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Long,
    Short,
}

/// What a host keeps for each kernel thread that runs its tasks; the first field of the host's own structure.
pub(crate) struct Context {
    /// Whose thread this is: the host's address.
    pub(crate) host: *const (),
    /// The host, whose queues this thread works at; null while it is in a blocking section.
    pub(crate) serves: Cell<*const ()>,
    /// The seed, if the host is a simulator.
    pub(crate) simulation: Option<u64>,
    /// The task that runs here now.
    pub(crate) task: Running,
    /// Free memory for tasks.
    pub(crate) blocks: Blocks,
    pub(crate) rng: Rng,
}

impl Context {
    /// Whether the task may block its kernel thread, and can't leave it.
    #[inline]
    pub(crate) fn is_in_section(&self) -> bool {
        self.serves.get().is_null()
    }
}

/// Which task a kernel thread runs: a cell of that thread's, of which another may take a look.
pub(crate) struct Running(AtomicPtr<Header>);

impl Running {
    pub(crate) fn nothing() -> Running {
        Running(AtomicPtr::new(ptr::null_mut()))
    }

    /// Relaxed: for the thread itself it is a plain load. For another one it is a hint, and what is found may be freed the
    /// next moment unless its host sees to it that it isn't.
    #[inline]
    pub(crate) fn get(&self) -> Option<NonNull<Header>> {
        NonNull::new(self.0.load(Ordering::Relaxed))
    }

    /// Relaxed: likewise.
    #[inline]
    pub(crate) fn set(&self, task: Option<NonNull<Header>>) {
        self.0.store(task.map_or(ptr::null_mut(), NonNull::as_ptr), Ordering::Relaxed);
    }
}

/// A scheduler of tasks.
///
/// # Safety
/// A task handed to `make_runnable` is resumed exactly once for each call, on its own stack, and only after that stack
/// was left. A host outlives every unfinished task that names it.
pub(crate) unsafe trait Schedule: Sync {
    /// Takes a task that no queue holds and whose stack has been left (or which has none yet), and sees to it that it
    /// runs. Callable from every kernel thread.
    fn make_runnable(&self, task: NonNull<Header>);

    /// Leaves the current task's stack; returns when the task is resumed, perhaps on another kernel thread.
    ///
    /// # Safety
    /// Called on the stack of a task of this host, with this kernel thread's context. For `Leave::Park` the task has armed
    /// a wait.
    unsafe fn suspend(&self, context: *const Context, how: Leave);

    /// The running task is about to do what may block its kernel thread. It doesn't leave its stack before the end of
    /// the section.
    ///
    /// # Safety
    /// Called by a task of this host that is in no section, with this kernel thread's context.
    unsafe fn begin_section(&self, context: *const Context, section: Section);

    /// The end of the section.
    ///
    /// # Safety
    /// It was begun, with the same arguments.
    unsafe fn end_section(&self, context: *const Context, section: Section);

    /// Claims the entry's wait at its deadline, unless it is disarmed first.
    ///
    /// # Safety
    /// Called by a task of this host. The entry stays where it is until `disarm_timer` has returned.
    unsafe fn arm_timer(&self, entry: &TimerEntry);

    /// Takes the entry out, whether it has fired or not. After that nobody touches it.
    fn disarm_timer(&self, entry: &TimerEntry);

    /// Someone begins to wait for a task's end who isn't a task of this host. Called under a lock of a few instructions.
    fn someone_waits(&self);

    /// The time, which a simulator may invent.
    fn now(&self) -> Instant;

    /// The running task is between two steps that others can tell apart. A simulator may let others go first.
    ///
    /// # Safety
    /// Called on the stack of a task of this host, which can leave it, with this kernel thread's context.
    unsafe fn step(&self, _context: *const Context) {}

    /// The running task waits, for this reason's number, and can't leave its stack, so its kernel thread will wait. A
    /// simulator, which has no other thread, doesn't return. Called with no lock held.
    fn block_in_place(&self, _reason: u8) {}
}

/// A deadline among a host's timers; it lives in the frame of the wait that it ends.
#[derive(Debug)]
pub(crate) struct TimerEntry {
    pub(crate) deadline: Instant,
    pub(crate) task: NonNull<Header>,
    pub(crate) epoch: Epoch,
    /// The host's: whose timers the entry is among. Written when it is armed, by the task.
    pub(crate) seat: Cell<usize>,
    /// The timers', under their lock: the bucket that the entry is in, and where in there, or `OUT`.
    pub(crate) at: Cell<u64>,
    pub(crate) index: Cell<usize>,
}

impl TimerEntry {
    /// The index of an entry that is in no bucket.
    pub(crate) const OUT: usize = usize::MAX;

    pub(crate) fn new(deadline: Instant, task: NonNull<Header>, epoch: Epoch) -> TimerEntry {
        TimerEntry { deadline, task, epoch, seat: Cell::new(0), at: Cell::new(0), index: Cell::new(TimerEntry::OUT) }
    }
}
