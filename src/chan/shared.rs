//! A channel's one allocation: who holds it, and how one waits in it.

use super::error::{RecvTimeoutError, SendError};
use super::promise::{Collected, Ticket};
use super::sign::{Keeper, Sign};
use super::source::Source;
use super::state::{Found, Line, Note, Refused, Selectable, Side, Slot, State, Token, Wakes, fire_all};
use crate::control::Outcome;
use crate::current;
use crate::interrupt;
use crate::lock::{Guard, Lock};
use crate::park::{self, Reason, wait_in};
use crate::primitive::{AtomicUsize, Ordering};
use crate::wait::Node;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// What a channel is from outside; nothing in its protocol depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bounded(usize),
    Unbounded,
    Timed,
    Never,
}

impl Kind {
    pub(super) fn capacity(self) -> Option<usize> {
        match self {
            Kind::Bounded(capacity) => Some(capacity),
            Kind::Unbounded => None,
            Kind::Timed => Some(1),
            Kind::Never => Some(0),
        }
    }
}

/// How long an operation may wait.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    Now,
    For(Duration),
    Until(Instant),
    Forever,
}

/// Why a send failed.
#[derive(Clone, Copy)]
pub(super) enum Unsent {
    Late,
    Disconnected,
    Cancelled,
}

/// The channel, counted by its handles: `senders` and `receivers` count those of one side, and `sides` the sides that
/// have any. The last handle of a side disconnects; the last side frees.
pub(super) struct Shared<T> {
    state: Lock<State<T>>,
    pub(super) sign: Sign,
    pub(super) kind: Kind,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    sides: AtomicUsize,
}

impl<T> Shared<T> {
    /// A channel with a handle on each side, or, if it has a source or is `never`, with a receiver alone.
    pub(super) fn new(kind: Kind, source: Option<Source<T>>) -> NonNull<Shared<T>> {
        let sides = match kind {
            Kind::Bounded(_) | Kind::Unbounded => 2,
            Kind::Timed | Kind::Never => 1,
        };
        let capacity = match kind {
            Kind::Bounded(capacity) => capacity,
            Kind::Unbounded => usize::MAX,
            Kind::Timed | Kind::Never => 0,
        };
        let shared = NonNull::from(Box::leak(Box::<Shared<T>>::new_uninit())).cast::<Shared<T>>();
        // SAFETY: it is allocated, and ours. The sign is in it, beside the state, and they go together.
        unsafe {
            let sign = Keeper::new(NonNull::new_unchecked(&raw mut (*shared.as_ptr()).sign));
            shared.write(Shared {
                state: Lock::new(State::new(capacity, source, sign)),
                sign: Sign::new(),
                kind,
                senders: AtomicUsize::new(1),
                receivers: AtomicUsize::new(1),
                sides: AtomicUsize::new(sides),
            });
        }
        shared
    }

    fn handles(&self, side: Side) -> &AtomicUsize {
        match side {
            Side::Send => &self.senders,
            Side::Receive => &self.receivers,
        }
    }

    /// Counts one more handle.
    pub(super) fn acquire(&self, side: Side) {
        // Relaxed: a new handle is made from one that is held.
        if self.handles(side).fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            // The handles were leaked by the billion; a count that wraps would free the channel under the others.
            std::process::abort();
        }
    }

    /// Counts one handle less.
    ///
    /// # Safety
    /// The caller owns one of that side, and doesn't use it afterwards.
    pub(super) unsafe fn release(this: NonNull<Shared<T>>, side: Side) {
        // SAFETY: the caller's handle keeps the channel.
        let shared = unsafe { this.as_ref() };
        // Relaxed: the last handle is the caller's, and nobody else can clone it.
        if current::may_be_simulated() && shared.handles(side).load(Ordering::Relaxed) == 1 {
            current::step();
        }
        // AcqRel: what was done through the other handles happens before the disconnection.
        if shared.handles(side).fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let (wakes, messages) = shared.state.lock().disconnect(side);
        wakes.fire();
        // The messages' destructors are the user's, and may panic; the channel is freed all the same.
        let freed = Freed(this);
        drop(messages);
        drop(freed);

        struct Freed<T>(NonNull<Shared<T>>);
        impl<T> Drop for Freed<T> {
            fn drop(&mut self) {
                // AcqRel: all uses of the other side happen before the free.
                // SAFETY: this side's share of the channel is still held; the last one frees it.
                unsafe {
                    if self.0.as_ref().sides.fetch_sub(1, Ordering::AcqRel) == 1 {
                        drop(Box::from_raw(self.0.as_ptr()));
                    }
                }
            }
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> Guard<'_, State<T>> {
        self.state.lock()
    }

    /// The lock, for one who doesn't know `T`.
    pub(super) fn untyped<'a>(&'a self) -> &'a Lock<dyn Selectable + 'a> {
        &self.state
    }

    /// Waits in a line, with the lock held up to then. A woken waiter has been unlinked, and finds a note.
    ///
    /// # Safety
    /// As for [`Slot::at`], until this returns; or `place` is null.
    unsafe fn wait(
        &self,
        reason: Reason,
        deadline: Option<Instant>,
        state: Guard<'_, State<T>>,
        line: Line,
        place: *mut T,
    ) -> (Outcome, Note) {
        let link = |state: &mut State<T>, waiter, node: &mut Option<Node<Slot>>| {
            // SAFETY: the caller's; and the node stays where it is until it has been unlinked, by a waker or below.
            let observers = unsafe { state.link(line, node.insert(Node::new(waiter, Slot::at(place)))) };
            || {
                if let Some(observers) = observers {
                    fire_all(observers);
                }
            }
        };
        // SAFETY: it was linked in this line.
        let unlink = |state: &mut State<T>, node: &Node<Slot>| unsafe { state.unlink(line, node) };
        let (outcome, slot) = park::wait_linked(reason, deadline, &self.state, state, link, unlink);
        (outcome, slot.map_or(Note::Waiting, |slot| slot.note))
    }

    /// Sends what is at `message`, with the lock held already.
    ///
    /// Messages go from place to place, not by value through results: they may be large.
    ///
    /// # Safety
    /// There is a message, which is moved from there if this succeeds.
    #[inline(never)]
    pub(super) unsafe fn send<'a>(
        &'a self,
        mut state: Guard<'a, State<T>>,
        message: *mut T,
        mut patience: Patience,
    ) -> Result<(), Unsent> {
        loop {
            // SAFETY: the caller's; every failure below leaves the message where it was.
            match unsafe { state.send(message) } {
                Ok(wakes) => {
                    drop(state);
                    wakes.fire();
                    return Ok(());
                }
                Err(Refused::Disconnected) => return Err(Unsent::Disconnected),
                Err(Refused::Full) => {}
            }
            let deadline = match patience {
                Patience::Now => return Err(Unsent::Late),
                Patience::Until(deadline) => Some(deadline),
                Patience::Forever => None,
                Patience::For(timeout) => {
                    // The clock isn't read under the lock.
                    drop(state);
                    patience = Patience::within(timeout);
                    state = self.lock();
                    continue;
                }
            };
            // SAFETY: the place holds the message, and the caller keeps it.
            match unsafe { self.wait(Reason::Send, deadline, state, Line::Senders, message) } {
                (_, Note::Moved) => return Ok(()),
                (Outcome::Woken, _) => state = self.lock(),
                (Outcome::TimedOut, _) => return Err(Unsent::Late),
                (Outcome::Cancelled, _) => return Err(Unsent::Cancelled),
            }
        }
    }

    /// Receives into `place`, with the lock held already.
    ///
    /// # Safety
    /// The place has room for a message. It holds one if this succeeds.
    #[inline(never)]
    pub(super) unsafe fn receive<'a>(
        &'a self,
        mut state: Guard<'a, State<T>>,
        place: *mut T,
        mut patience: Patience,
    ) -> Result<(), RecvTimeoutError> {
        loop {
            // SAFETY: the caller's; nothing below leaves a message there but where it succeeds.
            match unsafe { state.receive(place) } {
                Found::Message(wakes) => {
                    drop(state);
                    wakes.fire();
                    return Ok(());
                }
                Found::Promise(ticket, wakes) => {
                    drop(state);
                    wakes.fire();
                    // SAFETY: the caller's.
                    if unsafe { collect(self.untyped(), ticket, place.cast()) }.is_some() {
                        return Ok(());
                    }
                    state = self.lock();
                    continue;
                }
                Found::Disconnected => return Err(RecvTimeoutError::Disconnected),
                Found::Nothing => {}
            }
            let due = state.due();
            let deadline = match patience {
                Patience::Now => return Err(RecvTimeoutError::Timeout),
                Patience::Until(deadline) => Some(deadline),
                Patience::Forever => None,
                Patience::For(timeout) => {
                    // The clock isn't read under the lock.
                    drop(state);
                    patience = Patience::within(timeout);
                    state = self.lock();
                    continue;
                }
            };
            let wake_at = earlier(deadline, due);
            // SAFETY: the place has room for a message, and the caller keeps it.
            match unsafe { self.wait(Reason::Receive, wake_at, state, Line::Receivers, place) } {
                (_, Note::Moved) => return Ok(()),
                (_, Note::Promised(ticket)) => {
                    // SAFETY: the caller's.
                    if unsafe { collect(self.untyped(), ticket, place.cast()) }.is_some() {
                        return Ok(());
                    }
                }
                (Outcome::Woken, _) => {}
                (Outcome::TimedOut, _) if wake_at == due => {}
                (Outcome::TimedOut, _) => return Err(RecvTimeoutError::Timeout),
                (Outcome::Cancelled, _) => interrupt::unwind(),
            }
            state = self.lock();
        }
    }

    /// Completes a send that was selected.
    #[inline]
    pub(super) fn complete_send(&self, token: Token, message: T) -> Result<(), SendError<T>> {
        let mut state = self.lock();
        let sent = match token {
            Token::Granted => state.send_granted(message),
            Token::Promised(ticket) => state.send_promised(ticket, message),
            Token::Disconnected => Err(message),
            Token::Moved | Token::Due(_) => unreachable!("what only a receive can come to"),
        };
        drop(state);
        sent.map(Wakes::fire).map_err(SendError)
    }

    /// Completes a receive that was selected; `None` if the channel is disconnected.
    ///
    /// # Safety
    /// The token is that of a select with this place.
    #[inline]
    pub(super) unsafe fn complete_receive(&self, token: Token, place: *mut T) -> Option<T> {
        match token {
            // SAFETY: this token says that a message is in the place, and the caller that the place is this one.
            Token::Moved => Some(unsafe { place.read() }),
            Token::Granted => {
                let (message, wakes) = self.lock().receive_granted();
                wakes.fire();
                Some(message)
            }
            Token::Due(due) => Some(self.lock().instant(due)),
            Token::Disconnected => None,
            Token::Promised(_) => unreachable!("a chosen receive has its message"),
        }
    }
}

/// Waits for a promised message: into the place, or, if that is null, into the queue, as a grant. `None` if there will be
/// none. The peer is evaluating it at this moment, and this receiver is committed to it, so neither a deadline nor a
/// cancellation ends the wait.
///
/// # Safety
/// The place is null, or has room for a message of this channel.
pub(super) unsafe fn collect(lock: &Lock<dyn Selectable + '_>, ticket: Ticket, place: *mut ()) -> Option<Token> {
    loop {
        let mut channel = lock.lock();
        // SAFETY: the caller's.
        match unsafe { channel.collect(ticket, place) } {
            Collected::Message(token) => return Some(token),
            Collected::Void => return None,
            Collected::Pending => {}
        }
        let _ = interrupt::shielded(|| {
            wait_in(Reason::Receive, None, lock, channel, |channel| channel.settlers(), Slot::reserving())
        });
    }
}

impl Patience {
    /// Until `timeout` has passed from now.
    pub(super) fn within(timeout: Duration) -> Patience {
        park::deadline_in(timeout).map_or(Patience::Forever, Patience::Until)
    }
}

/// The earlier of two instants that may not come.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
