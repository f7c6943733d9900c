//! Initialisation that happens once.

use super::crowd::{self, Crowd};
use crate::cancel;
use crate::control::Outcome;
use crate::lock::Lock;
use crate::park::Reason;
use crate::primitive::{AtomicU8, Ordering};
use std::fmt;

const INCOMPLETE: u8 = 0;
const RUNNING: u8 = 1;
const POISONED: u8 = 2;
const COMPLETE: u8 = 3;

/// Runs an initialiser once, while the others wait for it.
///
/// Modelled on [`std::sync::Once`]; the initialiser may itself wait. A panic in it poisons the `Once`, and so does the
/// cancellation of the task that runs it.
///
/// # Examples
/// ```
/// use throng::sync::Once;
///
/// static START: Once = Once::new();
/// let mut calls = 0;
/// START.call_once(|| calls += 1);
/// START.call_once(|| calls += 1);
/// assert_eq!(calls, 1);
/// ```
pub struct Once {
    /// Changed under the lock; read without it to see whether it is COMPLETE.
    state: AtomicU8,
    waiting: Lock<Crowd>,
}

/// What [`Once::call_once_force`] tells its initialiser.
///
/// Modelled on [`std::sync::OnceState`].
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether an initialiser panicked before.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

/// Ends the initialiser's turn, as poisoned unless it says otherwise.
struct Turn<'a> {
    once: &'a Once,
    end: u8,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = self.once.waiting.lock();
        // Release: what the initialiser wrote; pairs with the Acquire of `is_completed`.
        self.once.state.store(self.end, Ordering::Release);
        crowd::wake_all(&self.once.waiting, waiting, |crowd| crowd);
    }
}

impl Once {
    /// A `Once` that has not run.
    #[cfg(not(loom))]
    pub const fn new() -> Once {
        Once { state: AtomicU8::new(INCOMPLETE), waiting: Lock::new(Crowd::new()) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Once {
        Once { state: AtomicU8::new(INCOMPLETE), waiting: Lock::new(Crowd::new()) }
    }

    /// Runs `f` if no initialiser has run yet, or waits until the one that runs has ended. What it wrote is visible
    /// afterwards.
    ///
    /// Called from within its own initialiser it never returns.
    ///
    /// # Panics
    /// If an initialiser has panicked before; and with what `f` panics with.
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(false, |_| f());
        }
    }

    /// [`call_once`](Once::call_once), but runs `f` also if an initialiser has panicked before.
    ///
    /// # Panics
    /// With what `f` panics with.
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) {
        if !self.is_completed() {
            self.call(true, f);
        }
    }

    /// Whether an initialiser has returned.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire: pairs with the Release at the end of the initialiser's turn.
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    #[cold]
    #[track_caller]
    fn call(&self, force: bool, f: impl FnOnce(&OnceState)) {
        loop {
            let waiting = self.waiting.lock();
            // Relaxed (both): under the lock.
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return,
                POISONED if !force => {
                    drop(waiting);
                    panic!("a Once whose initialiser panicked was used again; `call_once_force` tries again");
                }
                RUNNING => {
                    let outcome = crowd::wait(Reason::Once, None, &self.waiting, waiting, |crowd| crowd);
                    if outcome == Outcome::Cancelled {
                        cancel::unwind();
                    }
                }
                before => {
                    self.state.store(RUNNING, Ordering::Relaxed);
                    drop(waiting);
                    let mut turn = Turn { once: self, end: POISONED };
                    f(&OnceState { poisoned: before == POISONED });
                    turn.end = COMPLETE;
                    return;
                }
            }
        }
    }

    /// Waits until an initialiser has returned, whoever runs it.
    pub fn wait(&self) {
        while !self.is_completed() {
            let waiting = self.waiting.lock();
            // Relaxed: under the lock.
            if self.state.load(Ordering::Relaxed) == COMPLETE {
                return;
            }
            if crowd::wait(Reason::Once, None, &self.waiting, waiting, |crowd| crowd) == Outcome::Cancelled {
                cancel::unwind();
            }
        }
    }

    /// Makes it incomplete again; nobody else has it.
    pub(super) fn reset(&mut self) {
        // Relaxed: `&mut self`.
        self.state.store(INCOMPLETE, Ordering::Relaxed);
    }
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("completed", &self.is_completed()).finish_non_exhaustive()
    }
}
