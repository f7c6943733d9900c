//! A point that all must reach before any goes on.

use super::crowd::{self, Crowd};
use crate::control::Outcome;
use crate::current::step;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::Reason;
use std::fmt;

/// Lets a number of tasks or threads wait for one another, again and again.
///
/// Modelled on [`std::sync::Barrier`]. A task that is cancelled while it waits
/// counts as not having come, unless the barrier opens before it has unwound.
///
/// # Examples
/// ```
/// use throng::sync::Barrier;
///
/// let barrier = Barrier::new(3);
/// let leaders = throng::scope(|s| {
///     let tasks = [(); 3].map(|()| s.spawn(|| barrier.wait().is_leader()));
///     tasks.into_iter().map(|task| task.join().unwrap()).filter(|&leader| leader).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    size: usize,
    state: Lock<State>,
}

struct State {
    here: usize,
    /// How often it has opened.
    openings: u64,
    crowd: Crowd,
}

/// What [`Barrier::wait`] returns.
///
/// Modelled on [`std::sync::BarrierWaitResult`].
#[derive(Debug)]
pub struct BarrierWaitResult {
    leader: bool,
}

impl BarrierWaitResult {
    /// Whether this was the last to come: true for exactly one each time.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

impl Barrier {
    /// A barrier that opens when `n` wait; for 0 or 1 it is always open.
    pub const fn new(n: usize) -> Barrier {
        Barrier { size: n, state: Lock::new(State { here: 0, openings: 0, crowd: Crowd::new() }) }
    }

    /// Waits until all have come. The last one opens the barrier for those who wait, and it is closed again.
    pub fn wait(&self) -> BarrierWaitResult {
        step();
        let mut state = self.state.lock();
        state.here += 1;
        if state.here >= self.size {
            state.here = 0;
            state.openings += 1;
            crowd::wake_all(&self.state, state, |state| &mut state.crowd);
            return BarrierWaitResult { leader: true };
        }
        let openings = state.openings;
        if crowd::wait(Reason::Barrier, None, &self.state, state, |state| &mut state.crowd) == Outcome::Cancelled {
            let mut state = self.state.lock();
            // If it has opened since, this one was counted for that, and the count is the next opening's.
            if state.openings == openings {
                state.here -= 1;
            }
            drop(state);
            interrupt::unwind();
        }
        BarrierWaitResult { leader: false }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.size).finish_non_exhaustive()
    }
}
