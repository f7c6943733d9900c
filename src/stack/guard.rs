//! Guards: the lowest page of each stack, which no access is allowed to.
//!
//! One page is enough for Rust, whose functions touch each page of a large frame in turn (stack probes). C code built
//! without `-fstack-clash-protection` may step over it with one frame larger than a page; `std`'s threads have the
//! same guard and the same gap.

use super::memory;
use super::slab::Stack;
use std::io;

/// `MADV_GUARD_INSTALL`, which marks pages in the page table alone.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How guards are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guards {
    /// By `MADV_GUARD_INSTALL` (Linux 6.13): no mapping of its own. Made when a stack is first taken, for it allocates
    /// page tables, and can fail only where touching the stack would.
    Advice,
    /// By `mprotect(PROT_NONE)`: up to two mappings for each guard. Made when the slab is, for it fails when mappings
    /// run out, and then a reservation must.
    Mprotect,
}

impl Guards {
    /// The best kind this kernel has.
    pub(super) fn probe() -> io::Result<Guards> {
        let page = memory::page_size();
        let base = memory::map(page)?;
        // SAFETY: a mapping of our own that nothing uses.
        let takes = |advice| unsafe { memory::advise(&[memory::extent(base, page)], advice) }.is_ok();
        // An emulator (qemu's user mode) may take every advice for a hint and do nothing: who takes nonsense isn't believed.
        let advised = takes(MADV_GUARD_INSTALL) && !takes(libc::c_int::MAX);
        // SAFETY: mapped above, used by nothing.
        unsafe { memory::unmap(base, page) };
        Ok(if advised { Guards::Advice } else { Guards::Mprotect })
    }

    /// Makes the guards of `stacks`, which nobody uses yet.
    pub(super) fn install(self, stacks: &[Stack]) -> io::Result<()> {
        let mut left = stacks;
        if self == Guards::Advice {
            let guards: Vec<_> = stacks.iter().map(|stack| memory::extent(stack.guard(), guard_size())).collect();
            // SAFETY: the lowest pages of stacks that nobody uses; they lose no contents.
            match unsafe { memory::advise(&guards, MADV_GUARD_INSTALL) } {
                Ok(()) => return Ok(()),
                Err((index, _)) => left = &stacks[index..],
            }
        }
        // A kernel refuses the advice on memory it was told (`mlockall`) to lock.
        for stack in left {
            // SAFETY: as above.
            unsafe { memory::forbid(stack.guard(), guard_size())? };
        }
        Ok(())
    }

    /// How many guards of this kind an arena may make.
    pub(super) fn limit(self) -> usize {
        match self {
            Guards::Advice => usize::MAX,
            Guards::Mprotect => mapping_budget() / MAPPINGS_OF_A_GUARD,
        }
    }
}

/// The protected page and the rest of the stack.
pub(super) const MAPPINGS_OF_A_GUARD: usize = 2;

/// One page, as a thread's: Rust code that makes larger frames touches each of their pages (stack probes). C code
/// without them could jump over a guard of any size.
pub(super) fn guard_size() -> usize {
    memory::page_size()
}

/// Mappings the guards may use: half of all, and never the last quarter of what is free now, because past the limit
/// `malloc` fails too.
fn mapping_budget() -> usize {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    // The kernel's default, where it doesn't say.
    let most: usize = limit.unwrap_or(65_530);
    let used = std::fs::read("/proc/self/maps").map_or(0, |maps| maps.iter().filter(|&&byte| byte == b'\n').count());
    (most / 2).min(most.saturating_sub(used) / 4 * 3)
}
