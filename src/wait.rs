//! Waiters, and queues of them.
//!
//! A [`Waiter`] names one wait of one participant: a task, a kernel thread or a future. A [`WaitQueue`] is a list of
//! [`Node`]s, each of which lives in the frame (or the pinned future) of the one that waits, and is linked under the
//! lock of the thing waited for. So a wait allocates nothing.
//!
//! # Protocol
//! The waiter arms its state word, links its nodes, each under its queue's lock, and suspends. A waker, holding the
//! lock, unlinks a node, writes what it has to give, claims the waiter, and after it has let go of the lock fires the
//! [`Wakeup`]. A waiter that comes back takes the lock of every queue it is linked in and unlinks itself.
//!
//! # The races, and why they can't happen
//! * **A node used after its frame is gone.** A node is touched only under its queue's lock, and by a waker only up to
//!   its claim. The waiter frees it when it was claimed by that queue (then that was the last touch), or after it has
//!   held the lock itself.
//! * **A message given to one who has gone.** A waker gives before it claims; if the claim fails it takes back what it
//!   gave, still under the lock, which the waiter has yet to take. So a message is either received or still here.
//! * **A wake-up lost with a cancelled waiter.** A failed claim passes on to the next node in the same step.
//! * **A thread that is gone before its node.** A waker that finds a node follows it to the participant. A thread whose
//!   deadline has passed has left its wait and not yet unlinked its node; so what its waiter points to lives in the frame
//!   that unlinks the node, not in that of the wait (`park::Frame`).
//! * **A participant used after it is gone.** Between claim and fire the lock is free, and a thread or a future that was
//!   claimed may go on by itself. So the claim takes a handle of its own out of it first. A parked task can't go on
//!   before it is fired.

use crate::chaos;
use crate::control::{Claimed, Epoch, Header, Outcome, Participant, State, ThreadParker};
use crate::lock::Lock;
use crate::primitive::thread::Thread;
use std::cell::{Cell, UnsafeCell};
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::task::Waker;

/// A future that waits; inside the pinned future.
pub(crate) struct FutureParker {
    pub(crate) state: State,
    pub(crate) waker: Lock<Option<Waker>>,
}

impl FutureParker {
    pub(crate) fn new() -> FutureParker {
        FutureParker { state: State::new(), waker: Lock::new(None) }
    }
}

#[derive(Clone, Copy)]
enum Who {
    Task(NonNull<Header>),
    Thread(NonNull<ThreadParker>),
    Future(NonNull<FutureParker>),
}

/// One wait of one participant.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    who: Who,
    epoch: Epoch,
}

impl Waiter {
    pub(crate) fn task(task: NonNull<Header>, epoch: Epoch) -> Waiter {
        Waiter { who: Who::Task(task), epoch }
    }

    pub(crate) fn thread(parker: &ThreadParker, epoch: Epoch) -> Waiter {
        Waiter { who: Who::Thread(NonNull::from(parker)), epoch }
    }

    pub(crate) fn future(parker: &FutureParker, epoch: Epoch) -> Waiter {
        Waiter { who: Who::Future(NonNull::from(parker)), epoch }
    }

    /// Ends this wait with `outcome`, if nobody has ended it yet.
    ///
    /// # Safety
    /// The participant is still in the wait, or held in it by a lock that it must take before it leaves.
    #[inline]
    pub(crate) unsafe fn claim(self, outcome: Outcome) -> Option<Wakeup> {
        match self.who {
            // SAFETY: the caller vouches that the participant is there until the claim.
            Who::Task(task) => match unsafe { task.as_ref() }.state.claim(self.epoch, outcome)? {
                Claimed::Parked => Some(Wakeup(Wake::Task(task))),
                Claimed::OnStack => Some(Wakeup(Wake::Nothing)),
            },
            // SAFETY: as above.
            _ => unsafe { self.claim_other(outcome) },
        }
    }

    /// `claim`, of what is no task.
    ///
    /// # Safety
    /// As for `claim`.
    #[cold]
    unsafe fn claim_other(self, outcome: Outcome) -> Option<Wakeup> {
        match self.who {
            Who::Task(_) => unreachable!("a task was claimed above"),
            Who::Thread(parker) => {
                // SAFETY: as in `claim`.
                let parker = unsafe { parker.as_ref() };
                let thread = parker.thread.clone();
                let _ = parker.state.claim(self.epoch, outcome)?;
                Some(Wakeup(Wake::Thread(thread)))
            }
            Who::Future(parker) => {
                // SAFETY: as in `claim`.
                let parker = unsafe { parker.as_ref() };
                let mut waker = parker.waker.lock();
                let _ = parker.state.claim(self.epoch, outcome)?;
                Some(Wakeup(waker.take().map_or(Wake::Nothing, |waker| Wake::Future(Box::new(waker)))))
            }
        }
    }

    /// Whether this wait still goes on. A hint, unless a lock keeps the others away.
    ///
    /// # Safety
    /// As for `claim`.
    unsafe fn is_claimable(self) -> bool {
        let state = match self.who {
            // SAFETY: as in `claim`.
            Who::Task(task) => unsafe { &task.as_ref().state },
            // SAFETY: as in `claim`.
            Who::Thread(parker) => unsafe { &parker.as_ref().state },
            // SAFETY: as in `claim`.
            Who::Future(parker) => unsafe { &parker.as_ref().state },
        };
        state.is_claimable(self.epoch)
    }
}

enum Wake {
    /// The task was still on its stack; its worker sees the claim when it leaves it.
    Nothing,
    Task(NonNull<Header>),
    Thread(Thread),
    /// Boxed so that the others, which are frequent, travel in two registers.
    Future(Box<Waker>),
}

/// A claimed waiter, to be woken once no lock is held.
#[must_use = "a claimed waiter sleeps on until it is fired"]
pub(crate) struct Wakeup(Wake);

// SAFETY: a claimed and parked task belongs to the claimer, whichever thread that is on; the others are Send.
unsafe impl Send for Wakeup {}

impl Wakeup {
    /// Ends whatever wait `who` is in as cancelled, if it is in the shield of this number.
    ///
    /// # Safety
    /// It is alive.
    pub(crate) unsafe fn cancelling(who: Participant, shields: u32) -> Option<Wakeup> {
        // SAFETY: the caller's.
        let claimed = unsafe { who.claim(shields)? };
        Some(Wakeup(match (who, claimed) {
            (Participant::Task(task), Claimed::Parked) => Wake::Task(task),
            (Participant::Task(_), Claimed::OnStack) => Wake::Nothing,
            // SAFETY: the caller's.
            (Participant::Thread(parker), _) => Wake::Thread(unsafe { parker.as_ref() }.thread.clone()),
        }))
    }

    /// Whether to wake it is to run code that isn't ours, and may take its time.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.0, Wake::Future(_))
    }

    /// Wakes it. Not under a lock: a waker is foreign code, and a scheduler may take its time. Nor is a waker's panic the
    /// caller's, who may have others to wake, and holds what was handed over.
    #[inline]
    pub(crate) fn fire(self) {
        chaos::point();
        match self.0 {
            Wake::Nothing => {}
            // SAFETY: it was parked and the claim made it ours, so it has not finished and its stack is left.
            Wake::Task(task) => unsafe { task.as_ref().host().make_runnable(task) },
            Wake::Thread(thread) => thread.unpark(),
            Wake::Future(waker) => quietly(|| waker.wake()),
        }
    }
}

/// Runs foreign code whose panic is nobody's; the panic hook has reported it, and it has nowhere else to go.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f))
        && let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // That would go on for ever.
        std::mem::forget(another);
    }
}

/// A place in a [`WaitQueue`], with what is handed over there.
pub(crate) struct Node<P> {
    waiter: Waiter,
    linked: Cell<bool>,
    prev: Cell<*const Node<P>>,
    next: Cell<*const Node<P>>,
    payload: UnsafeCell<P>,
}

impl<P> Node<P> {
    pub(crate) fn new(waiter: Waiter, payload: P) -> Node<P> {
        Node {
            waiter,
            linked: Cell::new(false),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            payload: UnsafeCell::new(payload),
        }
    }

    /// What was handed over, once the node is in no queue.
    pub(crate) fn into_payload(self) -> P {
        debug_assert!(!self.linked.get());
        self.payload.into_inner()
    }

    /// The payload in place.
    ///
    /// # Safety
    /// The caller holds the queue's lock, or the node is unlinked and was claimed.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn payload(&self) -> &mut P {
        // SAFETY: the caller's.
        unsafe { &mut *self.payload.get() }
    }
}

/// A queue of waiters, oldest first; guarded by the lock it stands under.
///
/// # Invariant
/// Every node in the list is alive, stays where it is, and is linked in this list alone.
pub(crate) struct WaitQueue<P> {
    head: *const Node<P>,
    tail: *const Node<P>,
}

// SAFETY: a queue is a list of pointers to nodes, used under the lock that guards the queue; the payloads cross threads.
unsafe impl<P: Send> Send for WaitQueue<P> {}

impl<P> WaitQueue<P> {
    pub(crate) const fn new() -> WaitQueue<P> {
        WaitQueue { head: ptr::null(), tail: ptr::null() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Links a node at the end.
    ///
    /// # Safety
    /// The node is unlinked, and stays where it is until it has been unlinked: by being taken, or by `remove`, which
    /// its owner calls under the lock unless it knows that this queue has woken it.
    pub(crate) unsafe fn push_back(&mut self, node: &Node<P>) {
        debug_assert!(!node.linked.get());
        node.linked.set(true);
        node.prev.set(self.tail);
        node.next.set(ptr::null());
        if self.tail.is_null() {
            self.head = node;
        } else {
            // SAFETY: the invariant.
            unsafe { (*self.tail).next.set(node) };
        }
        self.tail = node;
    }

    /// Links a node before all others: one that has been woken for nothing keeps its turn.
    ///
    /// # Safety
    /// As for `push_back`.
    pub(crate) unsafe fn push_front(&mut self, node: &Node<P>) {
        debug_assert!(!node.linked.get());
        node.linked.set(true);
        node.prev.set(ptr::null());
        node.next.set(self.head);
        if self.head.is_null() {
            self.tail = node;
        } else {
            // SAFETY: the invariant.
            unsafe { (*self.head).prev.set(node) };
        }
        self.head = node;
    }

    /// Unlinks a node wherever it stands, unless it has been taken.
    ///
    /// # Safety
    /// The node was pushed to this queue.
    pub(crate) unsafe fn remove(&mut self, node: &Node<P>) {
        if !node.linked.replace(false) {
            return;
        }
        let (prev, next) = (node.prev.get(), node.next.get());
        // SAFETY: the invariant, for both neighbours.
        unsafe {
            if prev.is_null() {
                self.head = next
            } else {
                (*prev).next.set(next)
            }
            if next.is_null() { self.tail = prev } else { (*next).prev.set(prev) }
        }
    }

    /// Claims the oldest waiter that can be. `give` is called with its payload before the claim, and `undo` with what it
    /// returned when the claim fails; the next one is tried then.
    #[inline(always)]
    pub(crate) fn take<R>(
        &mut self,
        mut give: impl FnMut(&mut P) -> R,
        undo: impl FnMut(&mut P, R),
    ) -> Option<(R, Wakeup)> {
        self.take_front(|payload| Some(give(payload)), undo)
    }

    /// Claims the oldest waiter that can be, if it gets what it wants: `offer` is called with its payload before the
    /// claim, and `undo` when the claim fails; the next one is tried then. Where `offer` refuses, that waiter stays the
    /// oldest, and nobody behind it is asked.
    #[inline(always)]
    pub(crate) fn take_front<R>(
        &mut self,
        mut offer: impl FnMut(&mut P) -> Option<R>,
        mut undo: impl FnMut(&mut P, R),
    ) -> Option<(R, Wakeup)> {
        while !self.head.is_null() {
            // SAFETY: the invariant; the payload is ours under the lock.
            let (node, payload) = unsafe { (&*self.head, &mut *(*self.head).payload.get()) };
            let given = offer(payload)?;
            // SAFETY: it is linked in this queue.
            unsafe { self.remove(node) };
            chaos::point();
            // SAFETY: the waiter must take the lock we hold before it leaves, unless this claim succeeds.
            match unsafe { node.waiter.claim(Outcome::Woken) } {
                Some(wakeup) => return Some((given, wakeup)),
                None => undo(payload, given),
            }
        }
        None
    }

    /// What the oldest waiter has to say.
    #[inline]
    pub(crate) fn front(&mut self) -> Option<&mut P> {
        // SAFETY: the invariant; the payload is ours under the lock.
        (!self.head.is_null()).then(|| unsafe { &mut *(*self.head).payload.get() })
    }

    /// Claims the oldest waiter that can be, where nothing is handed over.
    #[inline]
    pub(crate) fn take_one(&mut self) -> Option<Wakeup> {
        self.take(|_| (), |_, ()| ()).map(|((), wakeup)| wakeup)
    }

    /// Claims all waiters, in their order.
    pub(crate) fn take_all(&mut self) -> Vec<Wakeup> {
        std::iter::from_fn(|| self.take_one()).collect()
    }

    /// Whether anybody could be taken.
    pub(crate) fn has_waiter(&self) -> bool {
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: the invariant.
            let node = unsafe { &*at };
            // SAFETY: a linked waiter must take the lock we hold before it leaves.
            if unsafe { node.waiter.is_claimable() } {
                return true;
            }
            at = node.next.get();
        }
        false
    }
}
