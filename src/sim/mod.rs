//! TODO
#![allow(missing_docs)]

mod check;
mod failure;
mod log;
mod simulator;
mod strategy;
mod timers;

pub use check::{Check, Switches};
pub use failure::{Cause, Failure};
pub(crate) use simulator::Simulator;
pub use strategy::Strategy;

use crate::current;

#[track_caller]
pub fn run<T>(seed: u64, f: impl FnOnce() -> T) -> T {
    Check::new().run(seed, f).unwrap_or_else(|failure| panic!("{failure}"))
}

#[track_caller]
pub fn check(f: impl Fn()) {
    Check::new().check(f);
}

/// Panics if a simulated task calls.
#[inline]
#[track_caller]
pub(crate) fn refuse_if_simulated(call: &str, instead: &str) {
    if current::may_be_simulated() && current::simulated().is_some() && !std::thread::panicking() {
        refuse(call, instead);
    }
}

#[cold]
#[track_caller]
fn refuse(call: &str, instead: &str) -> ! {
    panic!(
        "{call} can't be called in a simulation, where all that happens must go by the seed: what the system and other \
         kernel threads do doesn't; {instead} instead"
    )
}
