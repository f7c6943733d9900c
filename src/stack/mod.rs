//! The arena of stacks: all of the process's, shared by its runtimes.
//!
//! A task's stack is 256 KiB of address space, of which it uses a page or two. A million of them must cost a few pages
//! each and nothing else, must never fail half-way, and must give their memory back when they are no longer needed.
//!
//! # From reservation to reuse
//! ```text
//!            grow                 take                give
//!   (kernel) ----> fresh slots ----------> taken <-----------> warm idle stacks      LIFO: the hottest first
//!                                            ^                     |
//!                                            | take                | not needed for a while, or trim(): oldest first
//!                                            |                     v
//!                                       cold idle stacks <---- in flight             MADV_DONTNEED, outside the lock
//! ```
//! **Accounting is at spawn.** A spawner [`reserve`]s: one compare-and-swap while there are slots enough, else a new
//! slab. Only there can anything fail, as an `io::Error` out of `spawn` with its cause and remedy. A task gets a stack
//! when it first runs, from its worker's cache, which [`take`]s and [`give`]s by the batch; by then nobody could be
//! told of an error. Invariant: *taken <= reserved <= slots*. The caller keeps the first half (it reserves the slack of
//! its caches too), `reserve` the second. As each slot is taken, idle, or in flight between two lists, a taker with a
//! reservation who finds every list empty knows that some are in flight, and waits for that one system call to end.
//!
//! **A reservation is address space, not page tables.** One `mmap` makes a slab: 64 MiB, or a quarter of what the class
//! has already, whichever is more, so that a million stacks lie in some 35 slabs. The kernel merges neighbours: they
//! are some two mappings. Guards are installed when a slot is first taken, because they cost 0.6 µs and 512 bytes of
//! page table a stack, and of a million tasks that never wait only a handful ever need a stack. Slabs are never
//! unmapped; what an unused slot keeps is its share of a page table.
//!
//! # Guards
//! Past `vm.max_map_count` (65,530) mappings not only `mmap` but `malloc` fails, and a guard by `mprotect` costs two:
//! no more than 32,765 stacks, and the process is dead by then. `MADV_GUARD_INSTALL` (Linux 6.13) costs none. It is
//! asked for once, at the first growth; on older kernels the guards are by `mprotect`, made at growth and bounded by a
//! limit of the arena's own (at most half of all mappings, as seen at that time), with an error that says so. `--cfg
//! throng_mprotect_guards` forces that.
//!
//! # Memory
//! Idle stacks keep what they touched, since the next page fault costs several times what giving the page back does.
//! Stacks of up to 1 GiB of address space (4,096 of 256 KiB, in practice some 16 to 64 MiB) may keep it for ever. Above
//! that a worker that is about to sleep looks once a second how many were not needed meanwhile, and gives those that
//! were used longest ago back, sorted by address so that neighbours go by one call. So a wave of tasks that comes again
//! finds its stacks warm, and one that doesn't is forgotten within a minute.
//! `MADV_FREE` leaves resident memory overstated until there is pressure. Huge pages are off: one
//! would make a stack of one page into 2 MiB.
//!
//! # Measured
//! Nanoseconds a stack, one core of a virtual AMD EPYC with Linux 6.18, stacks of 256 KiB:
//!
//! | step | ns |
//! |---|---|
//! | reserve and release, no contention | 10 |
//! | take and give again, 32 at a time, warm | 2 |
//! | guard by `process_madvise`, 8, 32 or 256 at a time | 550, 510, 470 |
//! | guard by `madvise`, each alone (much, when the host has to find the memory for page tables) | 620 to 1,700 |
//! | guard by `mprotect` | 2,000 |
//! | first touch of the top page: guard by advice, by `mprotect` | 1,340, 2,050 |
//! | giving one page back: `madvise` each, `process_madvise`, neighbours merged | 1,140, 640, 350 |
//!
//! A million reserved: 22 µs at once, 5 ms one at a time. A million taken and touched: 4.0 GB resident, 0.5 GB of page
//! tables, two mappings.
//!
//! # Rejected
//! - *Populating the top pages of a batch* by `MADV_POPULATE_WRITE`: 1,460 to 1,780 ns a stack through
//!   `process_madvise`, 1,310 to 1,560 by faulting. The fault itself is cheap; clearing and charging the page is the
//!   cost: neighbouring pages populated by one `madvise` take 1,090 each, by faulting 1,160.
//! - *Guards at reservation*: 0.6 s and 0.5 GB for a million spawned tasks that may all run on one stack.
//! - *Per-stack mappings*: a mapping each, see above, and a system call under the process-wide lock for each spawn.

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

pub(crate) use class::{Class, DEFAULT_STACK_SIZE, class_for};
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

/// Whether there was no more room when somebody last asked for it, and not plenty for `count` stacks now: whoever has some to
/// spare should release it. A hint.
#[inline]
pub(crate) fn is_scarce(class: Class, count: usize) -> bool {
    ARENA.is_scarce(class, count)
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

/// Takes one stack, which is reserved.
pub(crate) fn take_one(class: Class) -> Stack {
    let mut one = Vec::with_capacity(1);
    take(class, &mut one, 1);
    one.pop().expect("at least one is taken")
}

/// Gives one stack back, with its reservation.
pub(crate) fn give_up(stack: Stack) {
    let class = stack.class();
    give(class, &mut vec![stack], 0);
    release(class, 1);
}

/// Whether idle stacks hold memory that [`trim_unused`] should look after. A hint.
pub(crate) fn has_excess() -> bool {
    ARENA.has_excess()
}

/// Gives the memory of some of those idle stacks back that were not needed since the last call: to be called now and
/// then while [`has_excess`].
pub(crate) fn trim_unused() {
    ARENA.trim_unused();
}

/// The stack, if any, in which `address` lies. Async-signal-safe.
pub(crate) fn locate(address: usize) -> Option<Place> {
    ARENA.locate(address)
}
