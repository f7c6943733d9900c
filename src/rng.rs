//! The runtime's one source of randomness: where a thief begins, which ready case a `select!` takes.
//!
//! Not for secrets. Each worker has a generator of its own; every other kernel thread draws from a shared one. A
//! runtime's seed fixes all of its workers' generators.

use crate::primitive::{Ordering, StaticAtomicU64};
use std::cell::Cell;

/// A SplitMix64 generator: one add and three multiply-xor rounds, every seed good.
#[derive(Debug)]
pub(crate) struct Rng(Cell<u64>);

/// The golden ratio in 64 bits: the step that makes SplitMix64 visit every state.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes near numbers far ones, one to one.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(Cell::new(mix(seed)))
    }

    pub(crate) fn next(&self) -> u64 {
        let z = self.0.get().wrapping_add(STEP);
        self.0.set(z);
        mix(z)
    }

    /// A number below `n`, which isn't 0. The bias is at most `n / 2^32`, which no user of this file can notice.
    pub(crate) fn below(&self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
}

/// For kernel threads that are no worker. Relaxed: each draw only has to differ from the others.
static SHARED: StaticAtomicU64 = StaticAtomicU64::new(STEP);

/// A number from the generator that threads outside any runtime share.
pub(crate) fn shared() -> u64 {
    mix(SHARED.fetch_add(STEP, Ordering::Relaxed))
}
