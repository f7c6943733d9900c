//! A queue of which all can be woken at once, without allocating and without holding the lock for long.
//!
//! Each waiter draws a ticket. Waking all wakes those whose ticket was drawn before, some at a time: a batch is claimed
//! under the lock, and fired after it. Who comes between two batches has a later ticket and is none of those.

use crate::control::Outcome;
use crate::lock::{Guard, Lock};
use crate::park::{Reason, wait_linked};
use crate::wait::{Node, WaitQueue, Wakeup};
use std::time::Instant;

/// How many are claimed in one go: as long as a thread may spin for the lock.
const BATCH: usize = 16;

/// Claimed waiters that are fired once the lock is free.
pub(super) struct Batch {
    claimed: [Option<Wakeup>; BATCH],
    len: usize,
}

impl Batch {
    fn new() -> Batch {
        Batch { claimed: [const { None }; BATCH], len: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == BATCH
    }

    /// Adds one to a batch that isn't full.
    pub(super) fn push(&mut self, wakeup: Wakeup) {
        self.claimed[self.len] = Some(wakeup);
        self.len += 1;
    }

    fn fire(self) {
        self.claimed.into_iter().map_while(|wakeup| wakeup).for_each(Wakeup::fire);
    }
}

/// The queue; under the lock of the thing waited for.
pub(super) struct Crowd {
    queue: WaitQueue<u64>,
    tickets: u64,
}

impl Crowd {
    pub(super) const fn new() -> Crowd {
        Crowd { queue: WaitQueue::new(), tickets: 0 }
    }

    /// Wakes the oldest.
    pub(super) fn take_one(&mut self) -> Option<Wakeup> {
        self.queue.take_one()
    }

    /// The first ticket that isn't drawn yet.
    pub(super) fn next_ticket(&self) -> u64 {
        self.tickets
    }

    /// Fills the batch with those whose ticket is below `end` and of whom `admit` approves, in their order. `dismiss`
    /// takes back the approval of one who has gone.
    pub(super) fn take_before(
        &mut self,
        end: u64,
        batch: &mut Batch,
        mut admit: impl FnMut() -> bool,
        mut dismiss: impl FnMut(),
    ) {
        while !batch.is_full() {
            let admitted = self.queue.take_front(|ticket| (*ticket < end && admit()).then_some(()), |_, ()| dismiss());
            match admitted {
                Some(((), wakeup)) => batch.push(wakeup),
                None => return,
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Waits in the crowd; called with the lock, which is free while waiting. One that was not woken has left the crowd.
pub(super) fn wait<S>(
    reason: Reason,
    deadline: Option<Instant>,
    lock: &Lock<S>,
    guard: Guard<'_, S>,
    crowd: impl Fn(&mut S) -> &mut Crowd,
) -> Outcome {
    wait_and(reason, deadline, lock, guard, crowd, || ())
}

/// As `wait`; calls `joined` once it can be woken and the lock is free, unless its task has been cancelled before.
pub(super) fn wait_and<S>(
    reason: Reason,
    deadline: Option<Instant>,
    lock: &Lock<S>,
    guard: Guard<'_, S>,
    crowd: impl Fn(&mut S) -> &mut Crowd,
    joined: impl FnOnce(),
) -> Outcome {
    let link = |state: &mut S, waiter, node: &mut Option<Node<u64>>| {
        let crowd = crowd(state);
        // SAFETY: the node stays where it is until it has been unlinked, by a waker or below.
        unsafe { crowd.queue.push_back(node.insert(Node::new(waiter, crowd.tickets))) };
        crowd.tickets += 1;
        joined
    };
    let unlink = |state: &mut S, node: &Node<u64>| {
        // SAFETY: it was pushed to this queue.
        unsafe { crowd(state).queue.remove(node) };
    };
    wait_linked(reason, deadline, lock, guard, link, unlink).0
}

/// Wakes all who are there; called with the lock. Tells how many.
pub(super) fn wake_all<'a, S>(
    lock: &'a Lock<S>,
    mut guard: Guard<'a, S>,
    crowd: impl Fn(&mut S) -> &mut Crowd,
) -> usize {
    if crowd(&mut guard).is_empty() {
        return 0;
    }
    let end = crowd(&mut guard).next_ticket();
    in_batches(lock, guard, |state, batch| crowd(state).take_before(end, batch, || true, || ()))
}

/// Wakes those whom `claim` puts into a batch, one batch after the other until one isn't filled; called with the lock, under
/// which it claims. Tells how many.
pub(super) fn in_batches<'a, S>(
    lock: &'a Lock<S>,
    mut guard: Guard<'a, S>,
    mut claim: impl FnMut(&mut S, &mut Batch),
) -> usize {
    let mut woken = 0;
    loop {
        let mut batch = Batch::new();
        claim(&mut guard, &mut batch);
        drop(guard);
        woken += batch.len;
        let more = batch.is_full();
        batch.fire();
        if !more {
            return woken;
        }
        guard = lock.lock();
    }
}
