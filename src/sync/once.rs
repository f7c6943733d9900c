//! Initialisation that happens once.

use super::crowd::{self, Crowd};
use crate::control::Outcome;
use crate::current;
use crate::interrupt;
use crate::lock::{Guard, Lock};
use crate::park::Reason;
use crate::primitive::{AtomicU8, Ordering};
use std::fmt;
use std::num::NonZeroUsize;

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
    inner: Lock<Inner>,
}

struct Inner {
    waiting: Crowd,
    /// While it is RUNNING: by whom, so that one who would wait for itself is told.
    initialiser: Option<NonZeroUsize>,
}

impl Inner {
    const fn new() -> Inner {
        Inner { waiting: Crowd::new(), initialiser: None }
    }
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
        let mut inner = self.once.inner.lock();
        inner.initialiser = None;
        // Release: what the initialiser wrote; pairs with the Acquire of `is_completed`.
        self.once.state.store(self.end, Ordering::Release);
        crowd::wake_all(&self.once.inner, inner, |inner| &mut inner.waiting);
    }
}

impl Once {
    /// A `Once` that has not run.
    #[cfg(not(loom))]
    pub const fn new() -> Once {
        Once { state: AtomicU8::new(INCOMPLETE), inner: Lock::new(Inner::new()) }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Once {
        Once { state: AtomicU8::new(INCOMPLETE), inner: Lock::new(Inner::new()) }
    }

    /// Runs `f` if no initialiser has run yet, or waits until the one that runs has ended. What it wrote is visible
    /// afterwards.
    ///
    /// # Panics
    /// If an initialiser has panicked before, or the caller is in the initialiser already; and with what `f` panics with.
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_complete_by_now() {
            self.call(false, |_| f());
        }
    }

    /// [`call_once`](Once::call_once), but runs `f` also if an initialiser has panicked before.
    ///
    /// # Panics
    /// If the caller is in the initialiser already; and with what `f` panics with.
    #[track_caller]
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) {
        if !self.is_complete_by_now() {
            self.call(true, f);
        }
    }

    /// Whether an initialiser has returned.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.is_complete_by_now() || {
            current::step();
            self.is_complete_by_now()
        }
    }

    /// [`is_completed`](Once::is_completed), for one who has it alone, or comes to a step anyway.
    #[inline]
    pub(super) fn is_complete_by_now(&self) -> bool {
        // Acquire: pairs with the Release at the end of the initialiser's turn.
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    #[cold]
    #[track_caller]
    fn call(&self, force: bool, f: impl FnOnce(&OnceState)) {
        current::step();
        loop {
            let mut inner = self.inner.lock();
            // Relaxed: under the lock.
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return,
                POISONED if !force => {
                    drop(inner);
                    poisoned();
                }
                RUNNING => self.wait_turn(inner),
                before => {
                    inner.initialiser = Some(current::participant());
                    // Relaxed: under the lock.
                    self.state.store(RUNNING, Ordering::Relaxed);
                    drop(inner);
                    let mut turn = Turn { once: self, end: POISONED };
                    f(&OnceState { poisoned: before == POISONED });
                    turn.end = COMPLETE;
                    return;
                }
            }
        }
    }

    /// Waits until an initialiser has returned, whoever runs it.
    ///
    /// # Panics
    /// If an initialiser has panicked, or does so while this waits, or the caller is in it.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_for(false);
    }

    /// [`wait`](Once::wait), but waits on if an initialiser has panicked, for one that returns.
    ///
    /// # Panics
    /// If the caller is in the initialiser.
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_for(true);
    }

    #[track_caller]
    fn wait_for(&self, force: bool) {
        while !self.is_completed() {
            let inner = self.inner.lock();
            // Relaxed: under the lock.
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => return,
                POISONED if !force => {
                    drop(inner);
                    poisoned();
                }
                _ => self.wait_turn(inner),
            }
        }
    }

    /// Waits until the turn of an initialiser has ended.
    #[track_caller]
    fn wait_turn(&self, inner: Guard<'_, Inner>) {
        // Loom's threads are all one to the kernel.
        if cfg!(not(loom)) && inner.initialiser == Some(current::participant()) {
            drop(inner);
            panic!("an initialiser asked for what it is about to initialise");
        }
        let outcome = crowd::wait(Reason::Once, None, &self.inner, inner, |inner| &mut inner.waiting);
        if outcome == Outcome::Cancelled {
            interrupt::unwind();
        }
    }

    /// Makes it incomplete again; nobody else has it.
    pub(super) fn reset(&mut self) {
        // Relaxed: `&mut self`.
        self.state.store(INCOMPLETE, Ordering::Relaxed);
    }
}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("a Once whose initialiser panicked was used again; `call_once_force` tries again")
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

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::cell::UnsafeCell;
    use std::sync::Arc;

    struct Shared {
        once: Once,
        value: UnsafeCell<usize>,
    }

    // The once orders all access to the cell, which is what the model checks.
    #[allow(unsafe_code)]
    // SAFETY: as said.
    unsafe impl Sync for Shared {}

    #[test]
    fn loom_once_is_seen_by_those_who_wait() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let shared = Arc::new(Shared { once: Once::new(), value: UnsafeCell::new(0) });
            let threads = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    #[allow(unsafe_code)]
                    // SAFETY: loom reports any access at the same time.
                    shared.once.call_once(|| shared.value.with_mut(|value| unsafe { *value += 1 }));
                    #[allow(unsafe_code)]
                    // SAFETY: as above.
                    shared.value.with(|value| assert_eq!(unsafe { *value }, 1));
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
