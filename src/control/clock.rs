//! A coarse clock, for those who can't afford to read a real one at each wait: for reports, and nothing else.
//!
//! Whoever reads a real clock now and then sets it: a worker that looks for work, or that has just got up, and the
//! monitor, which watches the workers. So it is late by a few milliseconds at most while anybody works. It is written
//! when the millisecond has changed only: its line is in the cache of every worker.

use crate::primitive::{Ordering, StaticAtomicU64};
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Milliseconds since the first tick.
static NOW: CachePadded<StaticAtomicU64> = CachePadded::new(StaticAtomicU64::new(0));
static START: OnceLock<Instant> = OnceLock::new();

/// The clock's reading: milliseconds, which come round after 49 days.
#[inline]
pub(crate) fn coarse() -> u32 {
    // Relaxed throughout: a number that carries no other data.
    NOW.load(Ordering::Relaxed) as u32
}

/// Sets the clock.
pub(crate) fn tick(now: Instant) {
    let since = now.saturating_duration_since(*START.get_or_init(|| now)).as_millis() as u64;
    if since > NOW.load(Ordering::Relaxed) {
        NOW.store(since, Ordering::Relaxed);
    }
}

/// How long ago the clock had this reading.
pub(crate) fn elapsed(reading: u32) -> Duration {
    Duration::from_millis(coarse().wrapping_sub(reading).into())
}
