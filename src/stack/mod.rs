//! The arena of stacks.

#[allow(unsafe_code)]
mod arena;
mod class;
#[allow(unsafe_code)]
mod guard;
#[allow(unsafe_code)]
mod memory;
#[allow(unsafe_code)]
mod slab;
#[cfg(test)]
#[allow(unsafe_code)]
mod tests;

pub(crate) use arena::Statistics;
pub(crate) use class::{Class, DEFAULT_STACK_SIZE, MAX_STACK_SIZE, MIN_STACK_SIZE, class_for};
pub(crate) use slab::{Place, Stack};

use arena::Arena;
use guard::Guards;
use std::io;

static ARENA: Arena = Arena::new(if cfg!(throng_mprotect_guards) { Some(Guards::Mprotect) } else { None });

/// Makes sure of room for `count` more stacks, so that the [`take`] that follows can't fail.
///
/// # Errors
/// Says what ran out and what to do about it. Nothing is reserved then.
pub(crate) fn reserve(class: Class, count: usize) -> io::Result<()> {
    ARENA.reserve(class, count)
}

/// Gives up `count` reservations. The stacks held for them have been given back before.
pub(crate) fn release(class: Class, count: usize) {
    ARENA.release(class, count);
}

/// Adds at least one and up to `want` idle stacks to `out`, the one used last at its end.
///
/// The caller sees to it that no more stacks are out than are reserved.
pub(crate) fn take(class: Class, out: &mut Vec<Stack>, want: usize) {
    ARENA.take(class, out, want);
}

/// Gives the first of `stacks` back until only the last `keep` are left: in a LIFO cache, those used last.
pub(crate) fn give(class: Class, stacks: &mut Vec<Stack>, keep: usize) {
    ARENA.give(class, stacks, keep);
}

/// Gives the memory of all idle stacks back to the system.
pub(crate) fn trim() {
    ARENA.trim();
}

/// The stack, if any, in which `address` lies. Async-signal-safe.
pub(crate) fn locate(address: usize) -> Option<Place> {
    ARENA.locate(address)
}

/// What the arena holds now, over all classes.
pub(crate) fn statistics() -> Statistics {
    ARENA.statistics()
}
