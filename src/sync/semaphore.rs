//! A number of permits, given out in the order in which they were asked for.
//!
//! The permits and the queue of those who wait are under one lock. Whoever comes while others wait goes behind them,
//! even if there are enough permits for it, so one who wants many is not starved by those who want few. Permits are
//! handed over: they are taken from the count for a waiter before it is woken, and put back if it has gone. A waiter
//! that gives up lets those behind it have what it could not get.

use super::crowd::{self, Batch};
use crate::control::Outcome;
use crate::current::step;
use crate::interrupt;
use crate::lock::{Guard, Lock};
use crate::park::{self, Reason};
use crate::wait::WaitQueue;
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct State {
    permits: usize,
    /// Each with what it wants.
    waiting: WaitQueue<usize>,
}

/// A counting semaphore: at most so many at once.
///
/// Modelled on `tokio`'s, but that it can't be closed. Permits go out in the order in which they were asked for.
///
/// # Examples
/// ```
/// use throng::sync::Semaphore;
///
/// let two_at_once = Semaphore::new(2);
/// throng::scope(|s| {
///     for _ in 0..10 {
///         s.spawn(|| {
///             let _permit = two_at_once.acquire();
///             throng::task::yield_now();
///         });
///     }
/// });
/// assert_eq!(two_at_once.available_permits(), 2);
/// ```
pub struct Semaphore {
    state: Lock<State>,
}

impl Semaphore {
    /// A semaphore with so many permits.
    #[cfg(not(loom))]
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore { state: Lock::new(State { permits, waiting: WaitQueue::new() }) }
    }

    #[cfg(loom)]
    pub(crate) fn new(permits: usize) -> Semaphore {
        Semaphore { state: Lock::new(State { permits, waiting: WaitQueue::new() }) }
    }

    /// Waits for a permit, which goes back when it is dropped.
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Waits for `n` permits at once.
    pub fn acquire_many(&self, n: usize) -> SemaphorePermit<'_> {
        self.take(n, None);
        SemaphorePermit { semaphore: self, permits: n }
    }

    /// Waits for a permit, for no longer than `timeout`. `None` if that has passed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use throng::sync::Semaphore;
    ///
    /// let one = Semaphore::new(1);
    /// let permit = one.acquire();
    /// assert!(one.acquire_timeout(Duration::from_millis(5)).is_none());
    /// drop(permit);
    /// assert!(one.acquire_timeout(Duration::from_millis(5)).is_some());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Waits for `n` permits at once, for no longer than `timeout`. `None` if that has passed.
    pub fn acquire_many_timeout(&self, n: usize, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        let taken = self.try_take(n) || self.take(n, park::deadline_in(timeout));
        taken.then(|| SemaphorePermit { semaphore: self, permits: n })
    }

    /// Waits for a permit, no longer than until `deadline`. `None` if that has passed.
    pub fn acquire_deadline(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_deadline(1, deadline)
    }

    /// Waits for `n` permits at once, no longer than until `deadline`. `None` if that has passed.
    pub fn acquire_many_deadline(&self, n: usize, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        self.take(n, Some(deadline)).then(|| SemaphorePermit { semaphore: self, permits: n })
    }

    /// A permit, if there is one and nobody waits for it.
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// `n` permits, if there are so many and nobody waits.
    pub fn try_acquire_many(&self, n: usize) -> Option<SemaphorePermit<'_>> {
        self.try_take(n).then(|| SemaphorePermit { semaphore: self, permits: n })
    }

    /// [`acquire`](Semaphore::acquire), for a permit that may go where the semaphore's borrow can't.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use throng::sync::Semaphore;
    ///
    /// let at_once = Arc::new(Semaphore::new(8));
    /// let permit = at_once.acquire_arc();
    /// throng::spawn(move || {
    ///     let _permit = permit;
    ///     // One of eight.
    /// });
    /// ```
    pub fn acquire_arc(self: &Arc<Self>) -> ArcSemaphorePermit {
        self.acquire_many_arc(1)
    }

    /// [`acquire_many`](Semaphore::acquire_many), likewise.
    pub fn acquire_many_arc(self: &Arc<Self>, n: usize) -> ArcSemaphorePermit {
        self.take(n, None);
        ArcSemaphorePermit { semaphore: Arc::clone(self), permits: n }
    }

    /// [`try_acquire`](Semaphore::try_acquire), likewise.
    pub fn try_acquire_arc(self: &Arc<Self>) -> Option<ArcSemaphorePermit> {
        self.try_take(1).then(|| ArcSemaphorePermit { semaphore: Arc::clone(self), permits: 1 })
    }

    /// Adds permits.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`.
    #[track_caller]
    pub fn add_permits(&self, n: usize) {
        step();
        let mut state = self.state.lock();
        let Some(permits) = state.permits.checked_add(n) else {
            drop(state);
            panic!("a semaphore has at most usize::MAX permits");
        };
        state.permits = permits;
        if !state.waiting.is_empty() {
            self.hand_out(state);
        }
    }

    /// Gives permits to those who wait, the oldest first, for as long as there are enough.
    #[cold]
    fn hand_out<'a>(&'a self, state: Guard<'a, State>) {
        crowd::in_batches(&self.state, state, State::fill);
    }

    /// How many permits there are now.
    pub fn available_permits(&self) -> usize {
        step();
        self.state.lock().permits
    }

    fn try_take(&self, n: usize) -> bool {
        step();
        self.state.lock().take_at_once(n)
    }

    fn take(&self, n: usize, deadline: Option<Instant>) -> bool {
        step();
        let mut state = self.state.lock();
        if state.take_at_once(n) {
            return true;
        }
        let outcome = park::wait_in(Reason::Semaphore, deadline, &self.state, state, |s| &mut s.waiting, n);
        if outcome == Outcome::Woken {
            return true;
        }
        // Those behind it may want less.
        self.add_permits(0);
        match outcome {
            Outcome::Cancelled => interrupt::unwind(),
            _ => false,
        }
    }
}

impl State {
    /// Takes as many, if there are enough and nobody waits.
    fn take_at_once(&mut self, n: usize) -> bool {
        let enough = self.waiting.is_empty() && self.permits >= n;
        if enough {
            self.permits -= n;
        }
        enough
    }

    /// Takes those who can have what they want.
    fn fill(&mut self, batch: &mut Batch) {
        let State { permits, waiting } = self;
        let permits = Cell::from_mut(permits);
        while !batch.is_full() {
            let enough = |wanted: &mut usize| {
                let left = permits.get().checked_sub(*wanted)?;
                permits.set(left);
                Some(*wanted)
            };
            match waiting.take_front(enough, |_, wanted| permits.set(permits.get() + wanted)) {
                Some((_, wakeup)) => batch.push(wakeup),
                None => return,
            }
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("permits", &self.available_permits()).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], which go back when they are dropped.
#[must_use = "permits that are dropped at once limit nothing"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl SemaphorePermit<'_> {
    /// How many permits these are.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Keeps the permits from going back: the semaphore has fewer from now on.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permits(mem::take(&mut self.permits));
    }
}

/// Permits of a [`Semaphore`] in an `Arc`, which go back when they are dropped.
#[must_use = "permits that are dropped at once limit nothing"]
#[derive(Debug)]
pub struct ArcSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl ArcSemaphorePermit {
    /// How many permits these are.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Keeps the permits from going back: the semaphore has fewer from now on.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for ArcSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.add_permits(mem::take(&mut self.permits));
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::primitive::{AtomicUsize, Ordering};

    fn model(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(f);
    }

    #[test]
    fn loom_semaphore_lets_no_more_in_and_all() {
        model(2, || {
            let shared = Arc::new((Semaphore::new(1), AtomicUsize::new(0)));
            let threads = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    let (semaphore, inside) = &*shared;
                    let _permit = semaphore.acquire();
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    inside.fetch_sub(1, Ordering::Relaxed);
                })
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(shared.0.available_permits(), 1);
        });
    }

    #[test]
    fn loom_semaphore_many_piece_by_piece() {
        model(3, || {
            let semaphore = Arc::new(Semaphore::new(0));
            let other = Arc::clone(&semaphore);
            let other = loom::thread::spawn(move || other.acquire_many(2).forget());
            semaphore.add_permits(1);
            drop(semaphore.try_acquire());
            semaphore.add_permits(1);
            other.join().unwrap();
            assert_eq!(semaphore.available_permits(), 0);
        });
    }
}
