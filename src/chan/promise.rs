//! Messages that were promised but are not there yet.
//!
//! `select!` evaluates the message of a send only once it has chosen that send. On a channel without a buffer this means
//! that sender and receiver have found each other, and can't turn back, before the message exists. The two hold
//! a *ticket* then. The sender redeems it with the message, or voids it if the evaluation panics; the receiver collects.
//! Each ticket belongs to one pair, so nobody waits for the evaluation of a message but the one who was promised it. (If
//! messages that others have claimed are in the queue by then, it gets the oldest of these, and they the new one.)
//!
//! ```text
//!                fulfil               collect
//!   open ──▶ PENDING ───────▶ HERE ───────────▶ gone
//!              │ │  void                collect
//!              │ └────────▶ VOID ─────────────▶ gone (and the receiver begins anew)
//!              │ forsake        fulfil / void
//!              └────────▶ FORSAKEN ───────────▶ gone (and the message is for whoever comes)
//! ```
//!
//! This is rare (one side must be a `select!` that sends without a buffer), and seldom more than one ticket is open: a
//! list that is searched from the front.

use crate::wait::Wakeup;

/// Names one promise of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

enum Stage<T> {
    Pending,
    Here(T),
    Void,
    Forsaken,
}

/// What has become of a promise.
pub(super) enum Collected<T> {
    /// Its sender still evaluates it.
    Pending,
    Message(T),
    /// There will be no message.
    Void,
}

struct Promise<T> {
    ticket: Ticket,
    stage: Stage<T>,
    /// A receiver that was waiting when the sender came: it sleeps on until its message is there.
    receiver: Option<Wakeup>,
}

pub(super) struct Promises<T> {
    next: u64,
    open: Vec<Promise<T>>,
}

impl<T> Promises<T> {
    pub(super) const fn new() -> Promises<T> {
        Promises { next: 0, open: Vec::new() }
    }

    /// The ticket that `open` will give out next.
    pub(super) fn upcoming(&self) -> Ticket {
        Ticket(self.next)
    }

    pub(super) fn open(&mut self, receiver: Option<Wakeup>) -> Ticket {
        let ticket = self.upcoming();
        self.next += 1;
        self.open.push(Promise { ticket, stage: Stage::Pending, receiver });
        ticket
    }

    fn find(&self, ticket: Ticket) -> usize {
        self.open.iter().position(|promise| promise.ticket == ticket).expect("a ticket is good until it is collected")
    }

    /// Whether the receiver is still there.
    pub(super) fn is_awaited(&self, ticket: Ticket) -> bool {
        !matches!(self.open[self.find(ticket)].stage, Stage::Forsaken)
    }

    /// The sender has the message. Returns whom to wake; the message if the receiver has gone.
    pub(super) fn fulfil(&mut self, ticket: Ticket, message: T) -> Result<Option<Wakeup>, T> {
        let at = self.find(ticket);
        if let Stage::Forsaken = self.open[at].stage {
            self.open.swap_remove(at);
            return Err(message);
        }
        self.open[at].stage = Stage::Here(message);
        Ok(self.open[at].receiver.take())
    }

    /// The sender will have no message. Returns whom to wake.
    pub(super) fn void(&mut self, ticket: Ticket) -> Option<Wakeup> {
        let at = self.find(ticket);
        if let Stage::Forsaken = self.open[at].stage {
            self.open.swap_remove(at);
            return None;
        }
        self.open[at].stage = Stage::Void;
        self.open[at].receiver.take()
    }

    /// The receiver asks for its message.
    pub(super) fn collect(&mut self, ticket: Ticket) -> Collected<T> {
        let at = self.find(ticket);
        if let Stage::Pending = self.open[at].stage {
            return Collected::Pending;
        }
        match self.open.swap_remove(at).stage {
            Stage::Here(message) => Collected::Message(message),
            _ => Collected::Void,
        }
    }

    /// The receiver goes without its message, which comes back if it is there. If not, the receiver's waker may, which is
    /// foreign code and can't be dropped in here.
    pub(super) fn forsake(&mut self, ticket: Ticket) -> Result<T, Option<Wakeup>> {
        match self.collect(ticket) {
            Collected::Pending => {
                let at = self.find(ticket);
                self.open[at].stage = Stage::Forsaken;
                Err(self.open[at].receiver.take())
            }
            Collected::Message(message) => Ok(message),
            Collected::Void => Err(None),
        }
    }
}
