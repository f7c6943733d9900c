//! A sign beside a channel's lock, which says that the channel is *bare*: a receive would wait.
//!
//! A select tries one arm after the other, and mostly all but one have nothing for it. It passes by those whose sign is
//! up, without taking their locks.
//!
//! # Protocol
//! Everything that writes the sign holds the lock, and knows by [`Keeper::is_up`] what it says. Only a select takes the
//! trouble to put it up, once it has looked and seen that nothing is left; whoever changes that takes it down in the
//! same step. A channel that no select looks at pays nothing for its sign.
//!
//! # The race, and why it does no harm
//! Who reads the sign without the lock may be late: it is as if it had looked at the channel a moment earlier. A select that
//! finds nothing ready that way looks again, under all locks, before it waits or gives up; and a thread that knows of
//! a message, because it sent it or was told of it, reads a sign that is not older than that.
//!
//! # Tried and rejected
//! The lengths and the lines themselves, as atomics that can be read without the lock: the state would then have to be shared
//! and not, as under a lock, exclusive; and between two of its words one sees what never was, such as a full channel as
//! empty while a message that goes makes room for the next.

use crate::primitive::{AtomicBool, Ordering};
use std::ptr::NonNull;

pub(super) struct Sign(AtomicBool);

impl Sign {
    pub(super) fn new() -> Sign {
        Sign(AtomicBool::new(false))
    }

    #[inline]
    pub(super) fn is_up(&self) -> bool {
        // Relaxed: what there is to receive is looked for under the lock.
        self.0.load(Ordering::Relaxed)
    }
}

/// The sign as the state behind the lock has it, which can't be shared with those who don't hold that.
pub(super) struct Keeper {
    up: bool,
    sign: NonNull<Sign>,
}

// SAFETY: the sign is shared, and atomic.
unsafe impl Send for Keeper {}

impl Keeper {
    /// # Safety
    /// The sign is new, is there as long as the keeper is used, and has no other.
    pub(super) unsafe fn new(sign: NonNull<Sign>) -> Keeper {
        Keeper { up: false, sign }
    }

    #[inline]
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    pub(super) fn set(&mut self, up: bool) {
        self.up = up;
        // Relaxed: as in `Sign::is_up`.
        // SAFETY: the caller of `new` keeps it.
        unsafe { self.sign.as_ref() }.0.store(up, Ordering::Relaxed);
    }
}
