//! Messages that were promised but are not there yet.
//!
//! `select!` evaluates the message of a send only once it has chosen that send. On a channel without a buffer this means
//! that sender and receiver have found each other, and can't turn back, before the message exists. The two hold
//! a *ticket* then. The sender redeems it with the message, or voids it if the evaluation panics; the receiver collects.
//! Each ticket belongs to one pair, so nobody waits for the evaluation of a message but the one who was promised it.
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

pub(super) struct Promises<T> {
    next: u64,
    open: Vec<(Ticket, Stage<T>)>,
}

impl<T> Promises<T> {
    pub(super) const fn new() -> Promises<T> {
        Promises { next: 0, open: Vec::new() }
    }

    /// The ticket that `open` will give out next.
    pub(super) fn upcoming(&self) -> Ticket {
        Ticket(self.next)
    }

    pub(super) fn open(&mut self) -> Ticket {
        let ticket = self.upcoming();
        self.next += 1;
        self.open.push((ticket, Stage::Pending));
        ticket
    }

    fn find(&self, ticket: Ticket) -> usize {
        self.open.iter().position(|(open, _)| *open == ticket).expect("a ticket is good until it is collected")
    }

    /// The sender has the message. It comes back if the receiver has gone.
    pub(super) fn fulfil(&mut self, ticket: Ticket, message: T) -> Result<(), T> {
        let at = self.find(ticket);
        match self.open[at].1 {
            Stage::Forsaken => {
                self.open.swap_remove(at);
                Err(message)
            }
            _ => {
                self.open[at].1 = Stage::Here(message);
                Ok(())
            }
        }
    }

    /// The sender will have no message.
    pub(super) fn void(&mut self, ticket: Ticket) {
        let at = self.find(ticket);
        match self.open[at].1 {
            Stage::Forsaken => drop(self.open.swap_remove(at)),
            _ => self.open[at].1 = Stage::Void,
        }
    }

    /// The receiver asks for its message.
    pub(super) fn collect(&mut self, ticket: Ticket) -> Collected<T> {
        let at = self.find(ticket);
        if let Stage::Pending = self.open[at].1 {
            return Collected::Pending;
        }
        match self.open.swap_remove(at).1 {
            Stage::Here(message) => Collected::Message(message),
            _ => Collected::Void,
        }
    }

    /// The receiver goes without its message, which comes back if it is there.
    pub(super) fn forsake(&mut self, ticket: Ticket) -> Option<T> {
        match self.collect(ticket) {
            Collected::Pending => {
                let at = self.find(ticket);
                self.open[at].1 = Stage::Forsaken;
                None
            }
            Collected::Message(message) => Some(message),
            Collected::Void => None,
        }
    }
}
