//! What a channel's lock guards, and every transition of it.
//!
//! There is one structure for all channels: a queue of messages, a capacity, a line of those who wait to send and a line
//! of those who wait to receive. Bounded, unbounded, without a buffer: these are values of the capacity. Nothing is
//! atomic but the lock (and a hint beside it, the [sign](super::sign)), so an operation that need not wait costs one lock
//! round, and each transition can be read as if it were alone in the world. No function here waits, wakes anybody, runs code of
//! the user's or drops a message: those who were claimed are returned as [`Wakes`], to be fired once the lock is free.
//!
//! # Who waits, and what for
//! A waiter links a node that holds a [`Slot`]. The slot of a plain send or receive, or of a receive of `select!`, names a
//! *place*, in the frame of its owner: the peer that comes moves the message from one place straight to the other, and
//! the owner needs the lock no more. The others can't name one: the message of a send of `select!` doesn't exist yet, a
//! [`Select`](super::Select) lets its caller run between the choice and its completion, and the receive of a future may be
//! dropped with the message in it. Such a slot has no place, and gets a *reservation* instead:
//!
//! * A receiver is *granted* one of the messages that are in the queue: `claimed` of them are no longer for others. It
//!   comes for it under the lock.
//! * A sender is granted room: `reserved` places of the capacity are no longer for others.
//! * If there is no buffer, a sender that is chosen has chosen its receiver too. Both get the ticket of a
//!   [promise](super::promise), and the receiver waits until the sender has made its message.
//!
//! A reservation is a number and not a place in the queue. So one that is given back leaves no hole, and nobody waits for
//! one that is slow to be used; the order of messages is that in which they were pushed.
//!
//! # The races, and why they can't happen
//! * **A message moved to or from one who has left.** The bits are copied before the claim, under the lock, which a
//!   waiter that wasn't claimed must take before it leaves its frame. They become the message when the claim succeeds.
//! * **A message overtakes.** Whoever waits to receive does so because no message is available, and whoever waits to send
//!   because there is no room (the invariants of [`State`]); a pop lets the oldest sender in under the same lock. But
//!   messages that are claimed may still be in the queue, and it isn't said which of them is whose. So a message
//!   that goes from place to place goes past an empty queue only: else the receiver gets the front, and the message goes
//!   behind. Otherwise a receiver that got the second message by its place could find the first one in the queue later.
//! * **Two selects choose each other twice, or one chooses itself.** A select looks at its channels and links its nodes
//!   under all of their locks; see [`selector`](super::selector).
//! * **A grant is lost with its owner.** It is a number: whoever drops an operation, a future or a task's frame gives
//!   it back, and the next in line is served in the same step.
//!
//! # Tried and rejected
//! Reservations for all of a select's operations, and places for none: its receives then take the lock twice, once to be
//! chosen and once to be completed. Places for those of a `Select` too: the message of one that is dropped before
//! it is completed would have to be put back where others have since pushed. Reserving slots of the queue itself, as
//! crossbeam-channel does, makes receivers spin for slow senders.

use super::fifo::Fifo;
use super::promise::{Collected, Promises, Ticket};
use super::sign::Keeper;
use super::source::Source;
use crate::park;
use crate::wait::{Node, WaitQueue, Wakeup};
use std::ptr;
use std::time::Instant;

/// The two things one can do with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Send,
    Receive,
}

/// The queues of those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Senders,
    Receivers,
    /// Those who were promised a message; see [`promise`](super::promise).
    Settlers,
    /// Those who only want to know that something changed: `Select::ready`.
    Observers,
}

impl From<Side> for Line {
    fn from(side: Side) -> Line {
        match side {
            Side::Send => Line::Senders,
            Side::Receive => Line::Receivers,
        }
    }
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing yet.
    Waiting,
    /// Its message was moved, out of its place or into it.
    Moved,
    /// One message in the queue, or room for one, is reserved for it.
    Granted,
    /// It met a peer, and the message will come.
    Promised(Ticket),
    /// The channel is disconnected.
    Disconnected,
}

/// What a waiter shows to those who may serve it.
pub(super) struct Slot {
    /// Where a message of the channel's type is, or where one goes. Null: nowhere, so make a reservation instead.
    place: *mut (),
    pub(super) note: Note,
}

// SAFETY: the place is touched under the channel's lock only, until its owner is claimed, and the owner leaves it alone
// until then; what moves through it is `Send`, or else every handle of the channel is on one thread.
unsafe impl Send for Slot {}

impl Slot {
    /// A slot with a place for a message.
    ///
    /// # Safety
    /// The place stays valid while the slot is linked; it holds a message if it is linked among the senders. Or it is
    /// null, and there is none.
    pub(super) unsafe fn at<T>(place: *mut T) -> Slot {
        Slot { place: place.cast(), note: Note::Waiting }
    }

    /// A slot without a place.
    pub(super) fn reserving() -> Slot {
        Slot { place: ptr::null_mut(), note: Note::Waiting }
    }
}

/// An operation that `select` has chosen, and what completes it.
pub(super) enum Token {
    /// The message is in the arm's place.
    Moved,
    /// One message, or room for one, is reserved.
    Granted,
    /// A peer was met.
    Promised(Ticket),
    /// The message of a timed channel.
    Due(Instant),
    Disconnected,
}

/// Those to be woken once the lock is free: mostly one, the peer. One word where there are no others.
#[must_use]
pub(super) struct Wakes {
    peer: Option<Wakeup>,
    others: Others,
}

#[allow(clippy::box_collection)] // one word, see `Wakes`
pub(super) type Others = Option<Box<Vec<Wakeup>>>;

impl Wakes {
    pub(super) const NONE: Wakes = Wakes { peer: None, others: None };

    #[inline]
    pub(super) fn add(&mut self, others: Others) {
        if let Some(mut others) = others {
            self.others.get_or_insert_default().append(&mut others);
        }
    }

    #[inline]
    pub(super) fn fire(self) {
        if let Some(peer) = self.peer {
            peer.fire();
        }
        if let Some(others) = self.others {
            fire_all(others);
        }
    }
}

#[cold]
#[allow(clippy::boxed_local, clippy::box_collection)] // as it is kept
pub(super) fn fire_all(others: Box<Vec<Wakeup>>) {
    others.into_iter().for_each(Wakeup::fire);
}

/// Why a message was not taken.
pub(super) enum Refused {
    Full,
    Disconnected,
}

/// What a receiver found.
pub(super) enum Found {
    /// A message, which has been moved into the receiver's place.
    Message(Wakes),
    Promise(Ticket, Wakes),
    Nothing,
    Disconnected,
}

/// # Invariants
/// * The first `claimed` messages of the queue belong to those who were granted one. The others are *available*.
/// * `reserved` slots of the capacity belong to those who were granted room.
/// * While the [sign](super::sign) is up, no message is available, nobody waits to send, and the channel isn't disconnected.
/// * Whoever waits to receive and can be claimed, waits because no message is available; whoever waits to send, because
///   there is no room. (On a channel with capacity, that is. One without has never room, and both lines are never
///   claimable at once, but for the arms of one `select`.)
pub(super) struct State<T> {
    queue: Fifo<T>,
    /// `usize::MAX` if unbounded.
    capacity: usize,
    /// The capacity; or 0 while a send concerns others than the queue, since the channel is disconnected or its sign is
    /// up. One comparison then tells a plain send all of that.
    quiet: usize,
    claimed: usize,
    reserved: usize,
    receivers: WaitQueue<Slot>,
    senders: WaitQueue<Slot>,
    observers: WaitQueue<Slot>,
    disconnected: bool,
    sign: Keeper,
    settlers: WaitQueue<Slot>,
    pub(super) promises: Promises<T>,
    source: Option<Box<Source<T>>>,
}

impl<T> State<T> {
    pub(super) fn new(capacity: usize, source: Option<Source<T>>, sign: Keeper) -> State<T> {
        State {
            queue: Fifo::new(),
            capacity,
            quiet: capacity,
            claimed: 0,
            reserved: 0,
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
            observers: WaitQueue::new(),
            disconnected: false,
            sign,
            settlers: WaitQueue::new(),
            promises: Promises::new(),
            source: source.map(Box::new),
        }
    }

    #[inline]
    fn has_message(&self) -> bool {
        self.queue.len() > self.claimed
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() + self.reserved < self.capacity
    }

    /// How many messages are available. Without a buffer none ever counts: one that was given back stands for its sender,
    /// who would be waiting with it.
    pub(super) fn len(&self) -> usize {
        let queued = self.queue.len().saturating_sub(self.claimed);
        match &self.source {
            Some(source) => queued + usize::from(!source.ends && self.is_due()),
            None if self.capacity == 0 => 0,
            None => queued,
        }
    }

    /// Whether a send concerns nobody but the queue.
    #[inline]
    pub(super) fn sends_quietly(&self) -> bool {
        self.queue.len() + self.reserved < self.quiet && self.receivers.is_empty() && self.observers.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, message: T) {
        self.queue.push(message);
    }

    /// Puts the sign up if a receive would wait. Not where the clock could change that.
    fn put_sign_up(&mut self) {
        let is_bare = !self.has_message() && self.senders.is_empty() && !self.disconnected && self.due().is_none();
        if is_bare && !self.sign.is_up() {
            self.sign.set(true);
            self.quiet = 0;
        }
    }

    /// A receive may find something from now on.
    #[inline]
    fn take_sign_down(&mut self) {
        if self.sign.is_up() {
            self.sign.set(false);
            self.quiet = self.capacity;
        }
    }

    /// Receives where that concerns nobody but the queue.
    #[inline]
    pub(super) fn pop_quietly(&mut self) -> Option<T> {
        if self.has_message() && self.senders.is_empty() && self.observers.is_empty() { self.queue.pop() } else { None }
    }

    /// Sends: to one who waits, or into the queue.
    ///
    /// # Safety
    /// `message` points to a message, which is moved from there if this succeeds.
    #[inline(always)]
    pub(super) unsafe fn send(&mut self, message: *mut T) -> Result<Wakes, Refused> {
        if self.disconnected {
            return Err(Refused::Disconnected);
        }
        // If there is a queue, a receiver that waits gets its front, and the message goes behind.
        let front = if self.receivers.is_empty() { None } else { self.queue.front() };
        // SAFETY: the caller's; and the front holds a message, and is discounted if it was moved.
        unsafe {
            if let Some((taken, peer)) = self.hand_over(front.unwrap_or(message)) {
                match (taken, front) {
                    (true, None) => {}
                    (true, Some(_)) => {
                        self.queue.count_popped();
                        self.push_from(message);
                    }
                    (false, _) => {
                        self.push_from(message);
                        self.claimed += 1;
                    }
                }
                return Ok(Wakes { peer: Some(peer), others: None });
            }
            if self.has_room() {
                self.push_from(message);
                return Ok(Wakes { peer: None, others: self.notify() });
            }
        }
        Err(Refused::Full)
    }

    /// Receives: from the queue, or from one who waits.
    ///
    /// # Safety
    /// `place` has room for a message.
    #[inline(always)]
    pub(super) unsafe fn receive(&mut self, place: *mut T) -> Found {
        if self.has_message()
            && let Some(message) = self.queue.pop()
        {
            // SAFETY: the caller's.
            unsafe { place.write(message) };
            let peer = self.admit();
            return Found::Message(Wakes { peer, others: self.notify() });
        }
        if self.capacity == 0
            // SAFETY: the caller's.
            && let Some((moved, peer)) = unsafe { self.take_sender(place, Note::Promised(self.promises.upcoming())) }
        {
            let wakes = Wakes { peer: Some(peer), others: None };
            if !moved {
                return Found::Promise(self.promises.open(None), wakes);
            }
            if self.queue.len() > 0 {
                // SAFETY: a message was moved there.
                unsafe { place.write(self.in_turn(place.read())) };
            }
            return Found::Message(wakes);
        }
        if let Some(due) = self.take_due() {
            // SAFETY: the caller's.
            unsafe { place.write(self.instant(due)) };
            return Found::Message(Wakes::NONE);
        }
        if self.disconnected { Found::Disconnected } else { Found::Nothing }
    }

    /// Takes a message's place in the order of them all: puts it behind the queue, and returns the front.
    fn in_turn(&mut self, message: T) -> T {
        self.queue.push(message);
        self.queue.pop().expect("it isn't empty")
    }

    /// Moves a message from a place into the queue.
    ///
    /// # Safety
    /// There is one.
    unsafe fn push_from(&mut self, message: *mut T) {
        // SAFETY: the caller's, and a vacant slot has room.
        unsafe {
            self.queue.vacant().copy_from_nonoverlapping(message, 1);
            self.queue.count_pushed();
        }
        self.take_sign_down();
    }

    /// Claims a receiver. The message is moved from `message` to the receiver's place; one that has no place is granted a
    /// message, and it is the caller who puts it into the queue and counts it as claimed. Says which.
    ///
    /// # Safety
    /// `message` points to a message.
    #[inline]
    unsafe fn hand_over(&mut self, message: *mut T) -> Option<(bool, Wakeup)> {
        self.receivers.take(
            |slot| {
                let has_place = !slot.place.is_null();
                if has_place {
                    // SAFETY: a receiver's place has room, and the message is the caller's. It is a copy of bits until the
                    // claim succeeds, and then the message.
                    unsafe { slot.place.cast::<T>().copy_from_nonoverlapping(message, 1) };
                }
                slot.note = if has_place { Note::Moved } else { Note::Granted };
                has_place
            },
            |slot, _| slot.note = Note::Waiting,
        )
    }

    /// Claims a sender. Its message is moved from its place to `place`; one that has none is left the note `reservation`.
    /// Says whether a message was moved.
    ///
    /// # Safety
    /// `place` has room for a message.
    #[inline]
    unsafe fn take_sender(&mut self, place: *mut T, reservation: Note) -> Option<(bool, Wakeup)> {
        self.senders.take(
            |slot| {
                let has_place = !slot.place.is_null();
                if has_place {
                    // SAFETY: a sender's place holds a message, and the caller has room. It is a copy of bits until the
                    // claim succeeds, and then the message.
                    unsafe { place.copy_from_nonoverlapping(slot.place.cast::<T>(), 1) };
                }
                slot.note = if has_place { Note::Moved } else { reservation };
                has_place
            },
            |slot, _| slot.note = Note::Waiting,
        )
    }

    /// Lets a sender in, if there is room.
    fn admit(&mut self) -> Option<Wakeup> {
        if self.senders.is_empty() || !self.has_room() {
            return None;
        }
        let place = self.queue.vacant();
        // SAFETY: a vacant slot has room, and is counted if it was filled.
        unsafe {
            let (moved, wakeup) = self.take_sender(place, Note::Granted)?;
            if moved {
                self.queue.count_pushed();
            } else {
                self.reserved += 1;
            }
            Some(wakeup)
        }
    }

    /// Gives a receiver its message, if there is one.
    fn feed(&mut self) -> Option<Wakeup> {
        if self.receivers.is_empty() || !self.has_message() {
            return None;
        }
        let message = self.queue.front()?;
        // SAFETY: the front holds a message, and is discounted if it was moved.
        unsafe {
            let (moved, wakeup) = self.hand_over(message)?;
            if moved {
                self.queue.count_popped();
            } else {
                self.claimed += 1;
            }
            Some(wakeup)
        }
    }

    /// For a select that receives without a buffer, nor a place: takes a sender's message into the queue, and claims it.
    fn meet_sender(&mut self) -> Option<(Token, Wakes)> {
        if self.senders.is_empty() {
            return None;
        }
        let place = self.queue.vacant();
        // SAFETY: a vacant slot has room, and is counted if it was filled.
        unsafe {
            let (moved, peer) = self.take_sender(place, Note::Promised(self.promises.upcoming()))?;
            let wakes = Wakes { peer: Some(peer), others: None };
            if !moved {
                return Some((Token::Promised(self.promises.open(None)), wakes));
            }
            self.queue.count_pushed();
            self.claimed += 1;
            Some((Token::Granted, wakes))
        }
    }

    /// Restores the invariants about those who wait, after a reservation was used or given back.
    #[inline]
    fn settle(&mut self) -> Wakes {
        self.take_sign_down();
        let peer = self.feed().or_else(|| self.admit());
        let mut others = self.notify();
        if peer.is_some() {
            while let Some(wakeup) = self.feed().or_else(|| self.admit()) {
                others.get_or_insert_default().push(wakeup);
            }
        }
        Wakes { peer, others }
    }

    /// Sends with the room that was granted.
    pub(super) fn send_granted(&mut self, message: T) -> Result<Wakes, T> {
        self.reserved -= 1;
        if self.disconnected {
            return Err(message);
        }
        self.queue.push(message);
        Ok(self.settle())
    }

    /// Receives the message that was granted.
    pub(super) fn receive_granted(&mut self) -> (T, Wakes) {
        self.claimed -= 1;
        let message = self.queue.pop().expect("a claimed message is in the queue");
        (message, self.settle())
    }

    /// Sends what was promised.
    pub(super) fn send_promised(&mut self, ticket: Ticket, mut message: T) -> Result<Wakes, T> {
        if self.queue.len() > 0 && self.promises.is_awaited(ticket) {
            message = self.in_turn(message);
        }
        match self.promises.fulfil(ticket, message) {
            Ok(peer) => Ok(Wakes { peer, others: take_all(&mut self.settlers) }),
            Err(message) if self.disconnected => Err(message),
            Err(message) => Ok(self.return_message(message)),
        }
    }

    /// Gives a message whose receiver has gone to the next one. On a channel without a buffer it may have to stay in the
    /// queue until somebody comes: its sender has been told that it was received.
    fn return_message(&mut self, message: T) -> Wakes {
        self.queue.push(message);
        self.settle()
    }

    /// The receiver of a promise has gone.
    pub(super) fn forsake(&mut self, ticket: Ticket) -> Wakes {
        match self.promises.forsake(ticket) {
            Ok(message) => self.return_message(message),
            Err(peer) => Wakes { peer, others: None },
        }
    }

    /// One that was granted a message has gone.
    pub(super) fn forgo(&mut self) -> Wakes {
        self.claimed -= 1;
        self.settle()
    }

    /// Disconnects the channel, and takes the messages out if it was the receivers that went.
    pub(super) fn disconnect(&mut self, gone: Side) -> (Wakes, Option<Fifo<T>>) {
        self.take_sign_down();
        self.disconnected = true;
        self.quiet = 0;
        let line = match gone {
            Side::Send => &mut self.receivers,
            Side::Receive => &mut self.senders,
        };
        let mut others = Others::None;
        while let Some(((), wakeup)) =
            line.take(|slot| slot.note = Note::Disconnected, |slot, ()| slot.note = Note::Waiting)
        {
            others.get_or_insert_default().push(wakeup);
        }
        if let Some(observers) = self.notify() {
            others.get_or_insert_default().extend(*observers);
        }
        let messages = (gone == Side::Receive).then(|| std::mem::replace(&mut self.queue, Fifo::new()));
        (Wakes { peer: None, others }, messages)
    }

    #[inline]
    fn line(&mut self, line: Line) -> &mut WaitQueue<Slot> {
        match line {
            Line::Senders => &mut self.senders,
            Line::Receivers => &mut self.receivers,
            Line::Settlers => &mut self.settlers,
            Line::Observers => &mut self.observers,
        }
    }

    /// Claims the observers, because something changed.
    #[inline]
    fn notify(&mut self) -> Others {
        take_all(&mut self.observers)
    }

    /// Takes the message that is due; or disconnects, where the end is.
    #[inline]
    fn take_due(&mut self) -> Option<Instant> {
        let source = self.source.as_mut()?;
        let due = source.take_due(park::now())?;
        self.disconnected |= source.ends;
        (!source.ends).then_some(due)
    }

    fn is_due(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.is_due(park::now()))
    }

    /// An instant as a message of this channel, which is a timed one.
    pub(super) fn instant(&self, instant: Instant) -> T {
        let source = self.source.as_ref().expect("only a timed channel has instants");
        (source.message)(instant)
    }
}

#[inline]
fn take_all(line: &mut WaitQueue<Slot>) -> Others {
    #[cold]
    fn some(line: &mut WaitQueue<Slot>) -> Others {
        Some(Box::new(line.take_all()))
    }
    if line.is_empty() { None } else { some(line) }
}

/// What `select` needs of a channel, whatever the channel carries.
pub(super) trait Selectable {
    /// Chooses the operation if it is ready: moves the message into the place, or reserves what completes it.
    ///
    /// # Safety
    /// The place is null, or has room for a message of this channel.
    unsafe fn select(&mut self, side: Side, place: *mut ()) -> Option<(Token, Wakes)>;
    /// Whether the operation would not wait.
    fn is_ready(&self, side: Side) -> bool;
    /// Gives back what was reserved, or the message.
    ///
    /// # Safety
    /// The token is that of a `select` with this place.
    unsafe fn abandon(&mut self, side: Side, token: Token, place: *mut ()) -> Wakes;
    /// Takes the message of a promise: into the place, or, if that is null, into the queue, as a grant.
    ///
    /// # Safety
    /// As for `select`.
    unsafe fn collect(&mut self, ticket: Ticket, place: *mut ()) -> Collected<Token>;
    /// Those who were promised a message that isn't there yet.
    fn settlers(&mut self) -> &mut WaitQueue<Slot>;
    /// When a timed channel's next message is due.
    fn due(&self) -> Option<Instant>;
    /// Links a waiter. Claims the observers if it waits to send or to receive, since that may be what they watch for.
    ///
    /// # Safety
    /// As for [`WaitQueue::push_back`].
    unsafe fn link(&mut self, line: Line, node: &Node<Slot>) -> Others;
    /// Unlinks a waiter, if it wasn't taken.
    ///
    /// # Safety
    /// It was linked in this line.
    unsafe fn unlink(&mut self, line: Line, node: &Node<Slot>);
}

impl<T> Selectable for State<T> {
    unsafe fn select(&mut self, side: Side, place: *mut ()) -> Option<(Token, Wakes)> {
        let token = match side {
            Side::Receive if !place.is_null() => {
                // SAFETY: the caller's.
                let found = unsafe { self.receive(place.cast()) };
                self.put_sign_up();
                return match found {
                    Found::Message(wakes) => Some((Token::Moved, wakes)),
                    Found::Promise(ticket, wakes) => Some((Token::Promised(ticket), wakes)),
                    Found::Disconnected => Some((Token::Disconnected, Wakes::NONE)),
                    Found::Nothing => None,
                };
            }
            Side::Send if self.disconnected => Token::Disconnected,
            Side::Send if self.has_room() => {
                self.reserved += 1;
                Token::Granted
            }
            Side::Send if self.capacity == 0 => {
                let note = Note::Promised(self.promises.upcoming());
                let meet = |slot: &mut Slot| slot.note = note;
                let ((), peer) = self.receivers.take(meet, |slot, ()| slot.note = Note::Waiting)?;
                Token::Promised(self.promises.open(Some(peer)))
            }
            Side::Send => return None,
            Side::Receive if self.has_message() => {
                self.claimed += 1;
                Token::Granted
            }
            Side::Receive => {
                if self.capacity == 0
                    && let Some(met) = self.meet_sender()
                {
                    return Some(met);
                }
                match self.take_due() {
                    Some(due) => Token::Due(due),
                    None if self.disconnected => Token::Disconnected,
                    None => {
                        self.put_sign_up();
                        return None;
                    }
                }
            }
        };
        Some((token, Wakes::NONE))
    }

    fn is_ready(&self, side: Side) -> bool {
        self.disconnected
            || match side {
                Side::Send => self.has_room() || self.capacity == 0 && self.receivers.has_waiter(),
                Side::Receive => self.has_message() || self.capacity == 0 && self.senders.has_waiter() || self.is_due(),
            }
    }

    unsafe fn abandon(&mut self, side: Side, token: Token, place: *mut ()) -> Wakes {
        match (token, side) {
            // SAFETY: this token says that a message is in the place, and the caller that the place is this one.
            (Token::Moved, _) => self.return_message(unsafe { place.cast::<T>().read() }),
            (Token::Granted, Side::Receive) => self.forgo(),
            (Token::Granted, Side::Send) => {
                self.reserved -= 1;
                self.settle()
            }
            // A send's; a chosen receive has its message.
            (Token::Promised(ticket), _) => {
                let peer = self.promises.void(ticket);
                Wakes { peer, others: take_all(&mut self.settlers) }
            }
            // It was the last. Those who came since know of no other, and wait for ever.
            (Token::Due(due), _) if self.due().is_none() => self.return_message(self.instant(due)),
            // The next tick stands for this one too.
            (Token::Due(_), _) | (Token::Disconnected, _) => Wakes::NONE,
        }
    }

    unsafe fn collect(&mut self, ticket: Ticket, place: *mut ()) -> Collected<Token> {
        match self.promises.collect(ticket) {
            Collected::Pending => Collected::Pending,
            Collected::Void => Collected::Void,
            Collected::Message(message) if place.is_null() => {
                self.queue.push(message);
                self.claimed += 1;
                Collected::Message(Token::Granted)
            }
            Collected::Message(message) => {
                // SAFETY: the caller's.
                unsafe { place.cast::<T>().write(message) };
                Collected::Message(Token::Moved)
            }
        }
    }

    fn settlers(&mut self) -> &mut WaitQueue<Slot> {
        &mut self.settlers
    }

    fn due(&self) -> Option<Instant> {
        self.source.as_ref()?.next
    }

    unsafe fn link(&mut self, line: Line, node: &Node<Slot>) -> Others {
        // SAFETY: the caller's.
        unsafe { self.line(line).push_back(node) };
        if line == Line::Senders {
            self.take_sign_down();
        }
        if let Line::Senders | Line::Receivers = line { self.notify() } else { None }
    }

    unsafe fn unlink(&mut self, line: Line, node: &Node<Slot>) {
        // SAFETY: the caller's.
        unsafe { self.line(line).remove(node) };
    }
}
