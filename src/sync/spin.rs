//! A short spin before a wait: the holder may be about to leave, on another core.
//!
//! It lasts well under a microsecond, less than a task's trip into a queue and back. A task rather parks than spins,
//! since its worker has others to run.

use crate::primitive::spin_loop;

/// Rounds, each twice as long as the one before. Loom tries every interleaving by itself.
const ROUNDS: u32 = if cfg!(loom) { 0 } else { 4 };

/// Asks `attempt` now and then whether it has succeeded (`Some(true)`) or it is no use to go on (`Some(false)`).
pub(super) fn spin(mut attempt: impl FnMut() -> Option<bool>) -> bool {
    for round in 0..ROUNDS {
        if let Some(done) = attempt() {
            return done;
        }
        for _ in 0..1 << round {
            spin_loop();
        }
    }
    false
}
