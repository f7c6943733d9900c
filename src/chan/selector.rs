//! How `select` chooses one of several operations: the engine below [`Select`](super::Select) and `select!`.
//!
//! 1. *Try.* Each arm in turn, in random or in the given order, under the lock of its channel alone; but those whose
//!    [`Sign`] says that there is nothing to receive are passed by. The first that is ready is chosen: its message is moved
//!    into its [`Place`] if it has one, or else what it needs is reserved (see [`state`](super::state)).
//! 2. *Look at one instant.* If none was ready, the locks of all channels are taken together: any that are free in any
//!    order, since that waits for nobody; but if one isn't, all are let go and then waited for in the order of
//!    their addresses, so two selects can't deadlock. A select that may not wait then knows that at this instant no arm
//!    was ready: it doesn't take its `default` because a message moved from one arm's channel to another's
//!    between two looks. One that may wait links a node for every arm before it lets go. So while it is linked anywhere
//!    it is linked everywhere, it never meets itself (a send and a receive on one channel in one select), and
//!    nothing it looked at can have changed unseen.
//! 3. *Wait*, and unlink every node, each under its lock. One waker has claimed the select, at one arm, and left a note
//!    there; the other arms were not touched. A select that watches a timed channel wakes when that is due, and
//!    begins again.
//! 4. *Collect.* A receive that was [promised](super::promise) a message waits until it is there. If its peer fails to make
//!    one, the choice is void: the select begins again, and may yet come to another arm, or to its `default`.
//!
//! # A place for each type
//! The arms are of one type, whatever their channels carry: they know their channels as `dyn Selectable`, and their
//! places as untyped pointers. [`Arm::recv`] takes both of one type, and a [`Chosen`] is completed only with the
//! handle that its arm was made of, which knows the type again.
//!
//! # Tried and rejected
//! * Step 1 left out. A select on a channel that all tasks share (a `done` that is never ready but once) then takes
//!   that one lock even where another arm is ready.
//! * Step 1 without the signs: a lock round for each arm that has nothing. These were a third of the rounds of a select
//!   that waits, and most of those of one that needn't.
//! * The locks always in their order. To sort the arms, which are large, cost more than to take the locks.

use super::receiver::Receiver;
use super::sender::Sender;
use super::shared::{Patience, collect, earlier};
use super::sign::Sign;
use super::state::{Line, Note, Selectable, Side, Slot, Token, Wakes};
use crate::control::Outcome;
use crate::current;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::{self, Reason};
use crate::rng::Rng;
use crate::wait::{Node, Waiter};
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::time::Instant;

/// One operation of a select, and its place in the queues of its channel.
#[doc(hidden)]
pub struct Arm<'a> {
    lock: &'a Lock<dyn Selectable + 'a>,
    /// A receive's.
    sign: Option<&'a Sign>,
    side: Side,
    /// Whether the lock is held for this arm, and not for another one of the same channel.
    has_lock: bool,
    index: usize,
    /// The handle that the operation must be completed with.
    handle: *const (),
    /// Where its message goes; null if it must be reserved instead.
    place: *mut (),
    /// Of the last wait.
    node: UnsafeCell<MaybeUninit<Node<Slot>>>,
}

/// Where the message of a receive goes. The receive that is completed takes it from there.
#[doc(hidden)]
///
/// It is borrowed as long as the arm, and then as what was chosen, so that no other message can go there meanwhile:
/// ```compile_fail,E0499
/// use throng::chan::__select::{Arm, place, try_select};
///
/// let (_s, r) = throng::chan::unbounded::<String>();
/// let mut place = place::recv(&r);
/// let one = try_select(&mut [Arm::recv(&r, &mut place, 0)], false);
/// let other = try_select(&mut [Arm::recv(&r, &mut place, 0)], false);
/// drop((one, other));
/// ```
pub struct Place<T>(MaybeUninit<T>);

/// The places of arms, by the words of the grammar.
#[doc(hidden)]
pub mod place {
    use super::{MaybeUninit, Place, Receiver, Sender};

    #[inline]
    pub fn recv<T>(_: &Receiver<T>) -> Place<T> {
        Place(MaybeUninit::uninit())
    }

    #[inline]
    pub fn send<T>(_: &Sender<T>) {}
}

impl<'a> Arm<'a> {
    /// A send.
    #[inline]
    pub fn send<T>(sender: &'a Sender<T>, (): &mut (), index: usize) -> Arm<'a> {
        Arm::new(sender.shared().untyped(), None, Side::Send, index, (&raw const *sender).cast())
    }

    /// A receive.
    #[inline]
    pub fn recv<T>(receiver: &'a Receiver<T>, place: &'a mut Place<T>, index: usize) -> Arm<'a> {
        Arm { place: place.0.as_mut_ptr().cast(), ..Arm::recv_later(receiver, index) }
    }

    /// A receive that has no place for its message yet.
    #[inline]
    pub(super) fn recv_later<T>(receiver: &'a Receiver<T>, index: usize) -> Arm<'a> {
        let handle = (&raw const *receiver).cast();
        let shared = receiver.shared();
        Arm::new(shared.untyped(), Some(&shared.sign), Side::Receive, index, handle)
    }

    #[inline]
    fn new(
        lock: &'a Lock<dyn Selectable + 'a>,
        sign: Option<&'a Sign>,
        side: Side,
        index: usize,
        handle: *const (),
    ) -> Arm<'a> {
        let node = UnsafeCell::new(MaybeUninit::uninit());
        Arm { lock, sign, side, has_lock: false, index, handle, place: ptr::null_mut(), node }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Whether it is worth to look under the lock. If not, and the lock is held already, it isn't ready.
    #[inline]
    fn may_be_ready(&self) -> bool {
        !self.sign.is_some_and(Sign::is_up)
    }

    #[inline]
    fn address(&self) -> *const () {
        (&raw const *self.lock).cast()
    }
}

impl Clone for Arm<'_> {
    /// The operation, in no queue, and with no place: that is lent to one.
    fn clone(&self) -> Self {
        Arm::new(self.lock, self.sign, self.side, self.index, self.handle)
    }
}

impl fmt::Debug for Arm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arm").field("side", &self.side).field("index", &self.index).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Place { .. }")
    }
}

/// An arm that was chosen, and what completes it.
pub(super) struct Chosen<'a> {
    pub(super) lock: &'a Lock<dyn Selectable + 'a>,
    pub(super) side: Side,
    pub(super) index: usize,
    pub(super) handle: *const (),
    pub(super) place: *mut (),
    pub(super) token: Token,
}

impl<'a> Chosen<'a> {
    #[inline]
    fn new(arm: &Arm<'a>, token: Token) -> Chosen<'a> {
        let &Arm { lock, side, index, handle, place, .. } = arm;
        Chosen { lock, side, index, handle, place, token }
    }

    /// Waits for the message that a receive was promised. `false` if there will be none.
    #[cold]
    fn collect(&mut self) -> bool {
        let Token::Promised(ticket) = self.token else { return true };
        // SAFETY: as in `Operate::look`.
        let collected = unsafe { collect(self.lock, ticket, self.place) };
        collected.is_some_and(|token| {
            self.token = token;
            true
        })
    }
}

/// What the select is for.
trait Purpose {
    /// What it has of a ready arm.
    type Got<'a>;
    /// Looks at one arm, under its lock. May claim some to be woken afterwards.
    fn look<'a>(arm: &Arm<'a>, channel: &mut (dyn Selectable + 'a)) -> Option<(Self::Got<'a>, Wakes)>;
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
    fn look<'a>(arm: &Arm<'a>, channel: &mut (dyn Selectable + 'a)) -> Option<(Chosen<'a>, Wakes)> {
        // SAFETY: an arm's place is one of its channel's type, borrowed for as long as the arm.
        let (token, wakes) = unsafe { channel.select(arm.side, arm.place)? };
        Some((Chosen::new(arm, token), wakes))
    }

    #[inline]
    fn line(side: Side) -> Line {
        side.into()
    }

    #[inline]
    fn got<'a>(arm: &Arm<'a>, note: Note) -> Option<Chosen<'a>> {
        let token = match note {
            Note::Waiting => return None,
            Note::Moved => Token::Moved,
            Note::Granted => Token::Granted,
            Note::Promised(ticket) => Token::Promised(ticket),
            Note::Disconnected => Token::Disconnected,
        };
        Some(Chosen::new(arm, token))
    }
}

/// To know which operation is ready.
struct Observe;

impl Purpose for Observe {
    type Got<'a> = usize;

    fn look<'a>(arm: &Arm<'a>, channel: &mut (dyn Selectable + 'a)) -> Option<(usize, Wakes)> {
        channel.is_ready(arm.side).then_some((arm.index, Wakes::NONE))
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
    loop {
        let mut chosen = run::<Operate>(arms, patience, biased)?;
        if !matches!((chosen.side, &chosen.token), (Side::Receive, Token::Promised(_))) || chosen.collect() {
            return Some(chosen);
        }
    }
}

/// Finds an operation that is ready; `None` if none was in time.
pub(super) fn watch(arms: &mut [Arm<'_>], patience: Patience, biased: bool) -> Option<usize> {
    run::<Observe>(arms, patience, biased)
}

fn run<'a, P: Purpose>(arms: &mut [Arm<'a>], mut patience: Patience, biased: bool) -> Option<P::Got<'a>> {
    current::step();
    loop {
        if let Some(got) = try_each::<P>(arms, biased) {
            return Some(got);
        }
        let deadline = match patience {
            Patience::Until(deadline) => Some(deadline),
            Patience::Now | Patience::Forever => None,
            Patience::For(timeout) => {
                patience = Patience::within(timeout);
                continue;
            }
        };
        let held = Held::lock(arms, biased);
        if let Some((got, wakes)) = held.look::<P>(biased) {
            drop(held);
            wakes.fire();
            return Some(got);
        }
        if let Patience::Now = patience {
            return None;
        }
        let due = held.due();
        let wake_at = earlier(deadline, due);
        match wait::<P>(held, wake_at) {
            Ok(got) => return Some(got),
            // What became ready at the last moment is taken, as an operation alone would take it.
            Err(Outcome::TimedOut) if wake_at != due => return None,
            Err(Outcome::TimedOut | Outcome::Woken) => {}
            Err(Outcome::Cancelled) => interrupt::unwind(),
        }
    }
}

/// Step 1, in the order given or in a random one.
#[inline]
fn try_each<'a, P: Purpose>(arms: &mut [Arm<'a>], biased: bool) -> Option<P::Got<'a>> {
    if biased {
        arms.sort_unstable_by_key(|arm| arm.index);
    } else if arms.len() <= u64::BITS as usize {
        let maybe = arms.iter().enumerate().filter(|(_, arm)| arm.may_be_ready());
        let mut maybe = maybe.fold(0, |set, (at, _)| set | 1_u64 << at);
        while maybe != 0 {
            let at = any_of(maybe);
            maybe &= !(1 << at);
            let got = try_one::<P>(&arms[at]);
            if got.is_some() {
                return got;
            }
        }
        return None;
    } else {
        shuffle(arms);
    }
    let looks = arms.iter().enumerate().filter(|&(at, arm)| {
        // What comes to an arm that was looked at, and then to this one, is taken from this one, biased or not.
        if biased && at > 0 {
            current::step();
        }
        arm.may_be_ready()
    });
    looks.map(|(_, arm)| arm).find_map(try_one::<P>)
}

fn try_one<'a, P: Purpose>(arm: &Arm<'a>) -> Option<P::Got<'a>> {
    let mut channel = arm.lock.lock();
    let (got, wakes) = P::look(arm, &mut *channel)?;
    drop(channel);
    wakes.fire();
    Some(got)
}

/// A random one of the bits that are set; there is one.
#[inline]
fn any_of(mut bits: u64) -> usize {
    if !bits.is_power_of_two() {
        for _ in 0..Rng::new(current::random()).below(bits.count_ones() as usize) {
            bits &= bits - 1;
        }
    }
    bits.trailing_zeros() as usize
}

#[cold]
fn shuffle(arms: &mut [Arm<'_>]) {
    let rng = Rng::new(current::random());
    (1..arms.len()).rev().for_each(|last| arms.swap(last, rng.below(last + 1)));
}

/// The locks of all arms' channels, held, with their guards forgotten.
struct Held<'a, 'b>(&'b [Arm<'a>]);

impl<'a, 'b> Held<'a, 'b> {
    /// Mostly all locks are free, and then their order doesn't matter: nobody waits here.
    #[inline]
    fn lock(arms: &'b mut [Arm<'a>], biased: bool) -> Held<'a, 'b> {
        for at in 0..arms.len() {
            match arms[at].lock.try_lock() {
                Some(guard) => {
                    std::mem::forget(guard);
                    arms[at].has_lock = true;
                }
                None => {
                    // By another, or by us, for another arm of the same channel. So far there was only one of each.
                    drop(Held(&arms[..at]));
                    return Held::lock_in_order(arms, biased);
                }
            }
        }
        Held(arms)
    }

    /// The addresses say in which order the locks are taken, and nothing else: the rest is for a seed to decide, not for the
    /// allocator. Which arm of a channel is met, and which observer is woken first, goes by the order in which they are
    /// linked; so that is a random one, or the given one.
    #[cold]
    fn lock_in_order(arms: &'b mut [Arm<'a>], biased: bool) -> Held<'a, 'b> {
        arms.sort_unstable_by_key(Arm::address);
        for arms in arms.chunk_by_mut(|a, b| a.address() == b.address()) {
            arms.iter_mut().for_each(|arm| arm.has_lock = false);
            std::mem::forget(arms[0].lock.lock());
            arms[0].has_lock = true;
        }
        arms.sort_unstable_by_key(|arm| arm.index);
        if !biased {
            shuffle(arms);
        }
        Held(arms)
    }

    /// Works on the channel of one arm.
    #[inline]
    fn with<R>(&self, arm: &Arm<'a>, f: impl FnOnce(&mut (dyn Selectable + 'a)) -> R) -> R {
        // SAFETY: `self` is the lock held, and there is no other guard meanwhile, since `f` knows of no lock.
        let mut guard = ManuallyDrop::new(unsafe { arm.lock.reclaim() });
        f(&mut **guard)
    }

    /// Step 2. Only what became ready since step 1 is, so hardly ever more than one channel; then a biased select takes
    /// the first.
    #[inline]
    fn look<P: Purpose>(&self, biased: bool) -> Option<(P::Got<'a>, Wakes)> {
        loop {
            let maybe = self.0.iter().filter(|arm| arm.may_be_ready());
            let mut ready = maybe.filter(|arm| self.with(arm, |channel| channel.is_ready(arm.side)));
            let arm = if biased { ready.min_by_key(|arm| arm.index) } else { ready.next() }?;
            // A peer that waits can time out under our hands. It is in the line no longer then: look again.
            let got = self.with(arm, |channel| P::look(arm, channel));
            if got.is_some() {
                return got;
            }
        }
    }

    /// When the first timed channel is due.
    #[inline]
    fn due(&self) -> Option<Instant> {
        let timed = self.0.iter().filter(|arm| arm.may_be_ready());
        timed.fold(None, |due, arm| earlier(due, self.with(arm, |channel| channel.due())))
    }

    /// Links all arms for the waiter, and lets go.
    #[inline]
    fn link<P: Purpose>(self, waiter: Waiter) {
        let mut wakes = Wakes::NONE;
        for arm in self.0 {
            // SAFETY: the node of an arm that isn't linked is ours; and `wait`, which keeps the arms where they are,
            // unlinks them all before it gives them back. The place outlives the arm.
            wakes.add(self.with(arm, |channel| unsafe {
                let node = (*arm.node.get()).write(Node::new(waiter, Slot::at(arm.place)));
                channel.link(P::line(arm.side), node)
            }));
        }
        drop(self);
        wakes.fire();
    }
}

impl Drop for Held<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        for arm in self.0.iter().filter(|arm| arm.has_lock) {
            // SAFETY: `self` is the lock held, and its guard was forgotten.
            drop(unsafe { arm.lock.reclaim() });
        }
    }
}

/// Step 3. What was chosen, or how else the wait ended.
fn wait<'a, P: Purpose>(held: Held<'a, '_>, deadline: Option<Instant>) -> Result<P::Got<'a>, Outcome> {
    let arms = held.0;
    let mut held = Some(held);
    let frame = park::Frame::default();
    let outcome = park::park(&frame, Reason::Select, deadline, |waiter| {
        held.take().expect("published once").link::<P>(waiter);
    });
    if held.is_some() {
        // The task was cancelled before it could publish.
        return Err(outcome);
    }
    let mut got = Err(outcome);
    for arm in arms {
        let mut channel = arm.lock.lock();
        // SAFETY: it was linked in this line, whose lock is held.
        let note = unsafe {
            let node = (*arm.node.get()).assume_init_ref();
            channel.unlink(P::line(arm.side), node);
            node.payload().note
        };
        drop(channel);
        if let Some(one) = P::got(arm, note) {
            got = Ok(one);
        }
    }
    got
}
