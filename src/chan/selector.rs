//! How `select` chooses one of several operations: the engine below [`Select`](super::Select) and `select!`.
//!
//! 1. *Try.* Each arm in turn, in random or in the given order, under the lock of its channel alone. The first that is
//!    ready is chosen: what it needs is reserved (see [`state`](super::state)).
//! 2. *Look at one instant.* If none was ready, the locks of all channels are taken together, in the order of their
//!    addresses (so two selects can't deadlock). A select that may not wait then knows that at this instant no arm
//!    was ready: it doesn't take its `default` because a message moved from one arm's channel to another's
//!    between two looks. One that may wait links a node for every arm before it lets go. So while it is linked anywhere
//!    it is linked everywhere, it never meets itself (a send and a receive on one channel in one select), and
//!    nothing it looked at can have changed unseen.
//! 3. *Wait*, and unlink every node, each under its lock. One waker has claimed the select, at one arm, and left a note
//!    there; the other arms were not touched. A select that watches a timed channel wakes when that is due, and
//!    begins again.
//!
//! The steps of 1 could be left out, and were at first; but then a select on a channel that all tasks share (a `done`
//! that is never ready but once) would take that one lock even where another arm is ready.

use super::receiver::Receiver;
use super::sender::Sender;
use super::shared::{Patience, earlier};
use super::state::{Line, Note, Selectable, Side, Slot, Token};
use crate::cancel;
use crate::control::Outcome;
use crate::lock::{Guard, Lock};
use crate::park::{self, Reason};
use crate::rng::{self, Rng};
use crate::wait::{Node, Waiter, Wakeup};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::time::Instant;

/// One operation of a select, and its place in the queues of its channel.
#[doc(hidden)]
pub struct Arm<'a> {
    lock: &'a Lock<dyn Selectable + 'a>,
    side: Side,
    index: usize,
    /// The handle that the operation must be completed with.
    handle: *const (),
    /// The channel's lock, while the select looks at all of them together. `ManuallyDrop`, since a select may outlive
    /// its channels as long as it isn't used: an arm must not have drop glue.
    guard: Cell<Option<ManuallyDrop<Guard<'a, dyn Selectable + 'a>>>>,
    node: OnceCell<Node<Slot>>,
}

impl<'a> Arm<'a> {
    /// A send.
    #[inline]
    pub fn send<T>(sender: &'a Sender<T>, index: usize) -> Arm<'a> {
        Arm::new(sender.shared().untyped(), Side::Send, index, (&raw const *sender).cast())
    }

    /// A receive.
    #[inline]
    pub fn recv<T>(receiver: &'a Receiver<T>, index: usize) -> Arm<'a> {
        Arm::new(receiver.shared().untyped(), Side::Receive, index, (&raw const *receiver).cast())
    }

    #[inline]
    fn new(lock: &'a Lock<dyn Selectable + 'a>, side: Side, index: usize, handle: *const ()) -> Arm<'a> {
        Arm { lock, side, index, handle, guard: Cell::new(None), node: OnceCell::new() }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Links the arm, under its channel's lock.
    fn link(&self, channel: &mut (dyn Selectable + 'a), line: Line, waiter: Waiter) {
        let node = self.node.get_or_init(|| Node::new(waiter, Slot::nowhere()));
        // SAFETY: `wait`, which shares the arms before it links them, unlinks them all before it gives them back.
        unsafe { channel.line(line).push_back(node) }
    }

    /// Unlinks the arm if it was linked, and reads its note.
    fn unlink(&self, line: Line) -> Option<Note> {
        let node = self.node.get()?;
        let mut channel = self.lock.lock();
        // SAFETY: it was pushed to this line, whose lock is held.
        unsafe {
            channel.line(line).remove(node);
            Some(node.payload().note)
        }
    }

    fn address(&self) -> *const () {
        (&raw const *self.lock).cast()
    }
}

impl Clone for Arm<'_> {
    /// The operation, in no queue.
    fn clone(&self) -> Self {
        Arm::new(self.lock, self.side, self.index, self.handle)
    }
}

impl fmt::Debug for Arm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arm").field("side", &self.side).field("index", &self.index).finish_non_exhaustive()
    }
}

/// An arm that was chosen, and what completes it.
pub(super) struct Chosen<'a> {
    pub(super) lock: &'a Lock<dyn Selectable + 'a>,
    pub(super) side: Side,
    pub(super) index: usize,
    pub(super) handle: *const (),
    pub(super) token: Token,
}

impl<'a> Chosen<'a> {
    fn new(arm: &Arm<'a>, token: Token) -> Chosen<'a> {
        Chosen { lock: arm.lock, side: arm.side, index: arm.index, handle: arm.handle, token }
    }
}

/// What the select is for.
trait Purpose {
    /// What it has of a ready arm.
    type Got<'a>;
    /// Looks at one arm, under its lock. May claim one to be woken afterwards.
    fn look<'a>(
        arm: &Arm<'a>,
        channel: &mut (dyn Selectable + 'a),
        wakeup: &mut Option<Wakeup>,
    ) -> Option<Self::Got<'a>>;
    /// The line that an arm waits in.
    fn line(side: Side) -> Line;
    /// What an arm got while it waited.
    fn got<'a>(arm: &Arm<'a>, note: Note) -> Option<Self::Got<'a>>;
}

/// To carry out an operation.
struct Operate;

impl Purpose for Operate {
    type Got<'a> = Chosen<'a>;

    #[inline]
    fn look<'a>(arm: &Arm<'a>, channel: &mut (dyn Selectable + 'a), wakeup: &mut Option<Wakeup>) -> Option<Chosen<'a>> {
        channel.select(arm.side, wakeup).map(|token| Chosen::new(arm, token))
    }

    fn line(side: Side) -> Line {
        side.into()
    }

    fn got<'a>(arm: &Arm<'a>, note: Note) -> Option<Chosen<'a>> {
        let token = match note {
            Note::Waiting => return None,
            Note::Granted => Token::Granted,
            Note::Promised(ticket) => Token::Promised(ticket),
            Note::Disconnected => Token::Disconnected,
            Note::Moved => unreachable!("an arm has no place for a message"),
        };
        Some(Chosen::new(arm, token))
    }
}

/// To know which operation is ready.
struct Observe;

impl Purpose for Observe {
    type Got<'a> = usize;

    fn look<'a>(arm: &Arm<'a>, channel: &mut (dyn Selectable + 'a), _: &mut Option<Wakeup>) -> Option<usize> {
        channel.is_ready(arm.side).then_some(arm.index)
    }

    fn line(_: Side) -> Line {
        Line::Observers
    }

    /// An observer is told that something has changed, not what.
    fn got<'a>(_: &Arm<'a>, _: Note) -> Option<usize> {
        None
    }
}

/// Chooses an operation; `None` if none was ready in time.
#[inline]
pub(super) fn choose<'a>(arms: &mut [Arm<'a>], patience: Patience, biased: bool) -> Option<Chosen<'a>> {
    run::<Operate>(arms, patience, biased)
}

/// Finds an operation that is ready; `None` if none was in time.
pub(super) fn watch(arms: &mut [Arm<'_>], patience: Patience, biased: bool) -> Option<usize> {
    run::<Observe>(arms, patience, biased)
}

fn run<'a, P: Purpose>(arms: &mut [Arm<'a>], mut patience: Patience, biased: bool) -> Option<P::Got<'a>> {
    loop {
        let due = match try_each::<P>(arms, biased) {
            Ok(got) => return Some(got),
            Err(due) => due,
        };
        let deadline = match patience {
            Patience::Now => {
                into_lock_order(arms, biased);
                return at_once::<P>(arms, None, biased);
            }
            Patience::Until(deadline) => Some(deadline),
            Patience::Forever => None,
            Patience::For(timeout) => {
                patience = Patience::within(timeout);
                continue;
            }
        };
        let wake_at = earlier(deadline, due);
        match wait::<P>(arms, wake_at, biased) {
            (Some(got), _) => return Some(got),
            // What became ready at the last moment is taken, as an operation alone would take it.
            (None, Outcome::TimedOut) if wake_at != due => return None,
            (None, Outcome::TimedOut | Outcome::Woken) => {}
            (None, Outcome::Cancelled) => cancel::unwind(),
        }
    }
}

/// Step 1, in the order given or in a random one. If no arm is ready, when the first timed channel is due.
#[inline]
fn try_each<'a, P: Purpose>(arms: &mut [Arm<'a>], biased: bool) -> Result<P::Got<'a>, Option<Instant>> {
    let count = arms.len();
    let order = if biased {
        arms.sort_unstable_by_key(|arm| arm.index);
        None
    } else if count <= 16 {
        Some(permutation(count))
    } else {
        shuffle(arms);
        None
    };
    let mut due = None;
    for at in 0..count {
        let arm = &arms[order.map_or(at, |order| order as usize >> (4 * at) & 15)];
        let mut wakeup = None;
        let mut channel = arm.lock.lock();
        if let Some(got) = P::look(arm, &mut *channel, &mut wakeup) {
            drop(channel);
            if let Some(wakeup) = wakeup {
                wakeup.fire();
            }
            return Ok(got);
        }
        due = earlier(due, channel.due());
    }
    Err(due)
}

/// A random order of up to 16 arms, four bits each: to move the arms themselves would cost more than to try them.
#[inline]
fn permutation(count: usize) -> u64 {
    let mut order = 0xfedc_ba98_7654_3210_u64;
    let mut random = rng::shared();
    for last in (1..count).rev() {
        // The product's upper half is below `last + 1`, and its lower half is what randomness is left.
        let product = u128::from(random) * (last as u128 + 1);
        random = product as u64;
        let pick = (product >> 64) as usize;
        let both = (order >> (4 * last) ^ order >> (4 * pick)) & 15;
        order ^= both << (4 * last) | both << (4 * pick);
    }
    order
}

#[cold]
fn shuffle(arms: &mut [Arm<'_>]) {
    let rng = Rng::new(rng::shared());
    (1..arms.len()).rev().for_each(|last| arms.swap(last, rng.below(last + 1)));
}

/// Puts the arms in the order of their locks. Arms of one channel are met in the order in which they are linked, so that
/// is a random one too, or the given one.
fn into_lock_order(arms: &mut [Arm<'_>], biased: bool) {
    arms.sort_unstable_by_key(Arm::address);
    for run in arms.chunk_by_mut(|a, b| a.address() == b.address()).filter(|run| run.len() > 1) {
        if biased { run.sort_unstable_by_key(|arm| arm.index) } else { shuffle(run) }
    }
}

/// Looks at all arms, which are in the order of their locks, while nothing changes. If none is ready, links them all
/// for the waiter, if there is one.
fn at_once<'a, P: Purpose>(arms: &[Arm<'a>], waiter: Option<Waiter>, biased: bool) -> Option<P::Got<'a>> {
    let guards = Guards::lock(arms);
    let mut wakeups = Vec::new();
    let got = loop {
        // Only what became ready since step 1, so hardly ever more than one channel; then a biased select takes the first.
        let ready = (0..arms.len()).filter(|&at| guards.with(at, |channel| channel.is_ready(arms[at].side)));
        let Some(at) = ready.min_by_key(|&at| if biased { arms[at].index } else { at }) else { break None };
        // A peer that waits can time out under our hands. It is in the line no longer then: look again.
        let mut wakeup = None;
        if let Some(got) = guards.with(at, |channel| P::look(&arms[at], channel, &mut wakeup)) {
            wakeups.extend(wakeup);
            break Some(got);
        }
    };
    if let (None, Some(waiter)) = (&got, waiter) {
        for (at, arm) in arms.iter().enumerate() {
            guards.with(at, |channel| {
                let line = P::line(arm.side);
                arm.link(channel, line, waiter);
                if line != Line::Observers {
                    wakeups.extend(channel.notify().into_iter().flat_map(|others| *others));
                }
            });
        }
    }
    drop(guards);
    wakeups.into_iter().for_each(Wakeup::fire);
    got
}

/// The locks of all arms' channels, held.
struct Guards<'a, 'b>(&'b [Arm<'a>]);

impl<'a, 'b> Guards<'a, 'b> {
    fn lock(arms: &'b [Arm<'a>]) -> Guards<'a, 'b> {
        for (at, arm) in arms.iter().enumerate() {
            // Arms of one channel are neighbours; the first holds the guard.
            if at == 0 || arms[at - 1].address() != arm.address() {
                arm.guard.set(Some(ManuallyDrop::new(arm.lock.lock())));
            }
        }
        Guards(arms)
    }

    /// Works on the channel of one arm.
    fn with<R>(&self, at: usize, f: impl FnOnce(&mut (dyn Selectable + 'a)) -> R) -> R {
        let mut holders = self.0[..=at].iter().rev().map(|arm| &arm.guard);
        loop {
            let holder = holders.next().expect("the first arm of a channel holds its guard");
            if let Some(mut guard) = holder.take() {
                let result = f(&mut **guard);
                holder.set(Some(guard));
                return result;
            }
        }
    }
}

impl Drop for Guards<'_, '_> {
    fn drop(&mut self) {
        self.0.iter().filter_map(|arm| arm.guard.take()).for_each(|guard| drop(ManuallyDrop::into_inner(guard)));
    }
}

/// Step 3. How the wait ended, and with what.
#[cold]
#[inline(never)]
fn wait<'a, P: Purpose>(
    arms: &mut [Arm<'a>],
    deadline: Option<Instant>,
    biased: bool,
) -> (Option<P::Got<'a>>, Outcome) {
    into_lock_order(arms, biased);
    for arm in arms.iter_mut() {
        arm.node.take();
    }
    // Shared from here on: wakers follow pointers to the nodes.
    let arms = &*arms;
    let mut got = None;
    let frame = park::Frame::default();
    let waited = park::park(&frame, Reason::Select, deadline, |waiter| {
        got = at_once::<P>(arms, Some(waiter), biased);
        got.is_none()
    });
    for arm in arms {
        if let Some(note) = arm.unlink(P::line(arm.side)) {
            got = got.or_else(|| P::got(arm, note));
        }
    }
    // A select that found something while it published has it, however its wait ended.
    (got, waited.unwrap_or(Outcome::Woken))
}
