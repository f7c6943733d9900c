//! Waiting for a group of tasks.

use super::crowd::{self, Crowd};
use crate::control::Outcome;
use crate::current::step;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::{self, Reason};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits until a group of tasks or threads is done.
///
/// This is Go's `sync.WaitGroup` and `crossbeam-utils`' in one type, and the two ways can be mixed:
///
/// * *By handles*, as in crossbeam: each member holds a clone, and is done when it drops it.
/// * *By count*, as in Go: [`add`](WaitGroup::add) says how many more members there are, and each calls
///   [`done`](WaitGroup::done).
///
/// [`wait`](WaitGroup::wait) gives its own handle up and waits for both: no other handle, and a count of zero.
/// [`wait_done`](WaitGroup::wait_done) waits for the count alone, through a borrowed handle.
///
/// # Examples
/// ```
/// use throng::sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// for _ in 0..4 {
///     let member = group.clone();
///     throng::spawn(move || drop(member));
/// }
/// group.wait();
///
/// let group = WaitGroup::new();
/// group.add(4);
/// throng::scope(|s| {
///     for _ in 0..4 {
///         s.spawn(|| group.done());
///     }
///     group.wait_done();
/// });
/// ```
#[doc(alias = "sync.WaitGroup")]
pub struct WaitGroup {
    shared: Arc<Lock<State>>,
}

struct State {
    handles: usize,
    count: usize,
    /// Those who wait for both, and those who wait for the count.
    waiting: Crowd,
    waiting_for_count: Crowd,
}

impl State {
    /// There is no handle left to change this.
    fn is_done(&self) -> bool {
        self.handles == 0 && self.count == 0
    }
}

impl WaitGroup {
    /// A group with one handle and a count of zero.
    pub fn new() -> WaitGroup {
        let state = State { handles: 1, count: 0, waiting: Crowd::new(), waiting_for_count: Crowd::new() };
        WaitGroup { shared: Arc::new(Lock::new(state)) }
    }

    /// Counts `n` more members.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`.
    #[track_caller]
    pub fn add(&self, n: usize) {
        step();
        let mut state = self.shared.lock();
        match state.count.checked_add(n) {
            Some(count) => state.count = count,
            None => {
                drop(state);
                panic!("a WaitGroup counts at most usize::MAX members");
            }
        }
    }

    /// One member that was added is done.
    ///
    /// # Panics
    /// If more are done than were added.
    #[track_caller]
    pub fn done(&self) {
        step();
        let mut state = self.shared.lock();
        match state.count.checked_sub(1) {
            Some(count) => state.count = count,
            None => {
                drop(state);
                panic!("WaitGroup::done was called more often than members were added");
            }
        }
        // Those who wait for both wait for this handle too.
        if state.count == 0 {
            crowd::wake_all(&self.shared, state, |state| &mut state.waiting_for_count);
        }
    }

    /// Drops this handle, and waits until there is no other one, and every added member is done.
    ///
    /// A group of which all handles wait is done, as in crossbeam.
    pub fn wait(self) {
        let done = self.wait_until(None);
        debug_assert!(done.is_ok(), "without a deadline");
    }

    /// [`wait`](WaitGroup::wait), for no longer than `timeout`.
    ///
    /// # Errors
    /// When the time has passed: a handle, in place of the one that was given up.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use throng::sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// let member = group.clone();
    /// let group = group.wait_timeout(Duration::from_millis(5)).unwrap_err();
    /// drop(member);
    /// group.wait();
    /// ```
    pub fn wait_timeout(self, timeout: Duration) -> Result<(), WaitGroup> {
        self.wait_until(park::deadline_in(timeout))
    }

    /// [`wait`](WaitGroup::wait), no longer than until `deadline`.
    ///
    /// # Errors
    /// As [`wait_timeout`](WaitGroup::wait_timeout).
    pub fn wait_deadline(self, deadline: Instant) -> Result<(), WaitGroup> {
        self.wait_until(Some(deadline))
    }

    fn wait_until(self, deadline: Option<Instant>) -> Result<(), WaitGroup> {
        let shared = Arc::clone(&self.shared);
        drop(self);
        let state = shared.lock();
        if state.is_done() {
            return Ok(());
        }
        match crowd::wait(Reason::WaitGroup, deadline, &shared, state, |state| &mut state.waiting) {
            Outcome::Woken => Ok(()),
            Outcome::Cancelled => interrupt::unwind(),
            Outcome::TimedOut => {
                let mut state = shared.lock();
                // If all was done since, others know of it: it can't be taken back.
                if state.is_done() {
                    return Ok(());
                }
                state.handles += 1;
                drop(state);
                Err(WaitGroup { shared })
            }
        }
    }

    /// Waits until every added member is done, whatever handles there are.
    pub fn wait_done(&self) {
        self.wait_done_until(None);
    }

    /// [`wait_done`](WaitGroup::wait_done), for no longer than `timeout`. `false` if that has passed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use throng::sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_done_timeout(Duration::from_millis(5)));
    /// group.done();
    /// assert!(group.wait_done_timeout(Duration::from_millis(5)));
    /// ```
    pub fn wait_done_timeout(&self, timeout: Duration) -> bool {
        self.wait_done_until(park::deadline_in(timeout))
    }

    /// [`wait_done`](WaitGroup::wait_done), no longer than until `deadline`. `false` if that has passed.
    pub fn wait_done_deadline(&self, deadline: Instant) -> bool {
        self.wait_done_until(Some(deadline))
    }

    fn wait_done_until(&self, deadline: Option<Instant>) -> bool {
        step();
        let state = self.shared.lock();
        if state.count == 0 {
            return true;
        }
        match crowd::wait(Reason::WaitGroup, deadline, &self.shared, state, |state| &mut state.waiting_for_count) {
            Outcome::Woken => true,
            Outcome::TimedOut => false,
            Outcome::Cancelled => interrupt::unwind(),
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        self.shared.lock().handles += 1;
        WaitGroup { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        step();
        let mut state = self.shared.lock();
        state.handles -= 1;
        if state.is_done() {
            crowd::wake_all(&self.shared, state, |state| &mut state.waiting);
        }
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { handles, count, .. } = &*self.shared.lock();
        f.debug_struct("WaitGroup").field("handles", handles).field("count", count).finish()
    }
}
