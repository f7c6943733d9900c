//! Where the handler runs: a stack of the arena, with a guard of its own.
//!
//! `std` gives its threads one of two pages, if it has installed its handler (which it hasn't where `main` isn't Rust's). That
//! is room for the report, but not for a backtrace, which takes eight. So each worker takes a larger one at its
//! start; of what is never touched only the page table is paid for.

use super::SANITIZED;
use crate::stack::{self, DEFAULT_STACK_SIZE, Stack};
use std::{mem, ptr};

/// The calling kernel thread's alternate stack, as long as this lives; after that, the one it had before.
pub(crate) struct AlternateStack(Option<(Stack, libc::stack_t)>);

impl AlternateStack {
    /// Gives the calling kernel thread one. If there is no room for it, the thread keeps what it has.
    pub(crate) fn ensure() -> AlternateStack {
        if SANITIZED {
            return AlternateStack(None);
        }
        let class = stack::class_for(DEFAULT_STACK_SIZE).expect("the default is valid");
        if stack::reserve(class, 1).is_err() {
            return AlternateStack(None);
        }
        let stack = stack::take_one(class);
        let size = stack.top().addr() - stack.bottom().addr();
        let new = libc::stack_t { ss_sp: stack.bottom().cast(), ss_flags: 0, ss_size: size };
        // SAFETY: the stack is this thread's until `drop` has put the old one back.
        let before = unsafe {
            let mut before = mem::zeroed();
            libc::sigaltstack(&new, &mut before);
            before
        };
        AlternateStack(Some((stack, before)))
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        if let Some((stack, before)) = self.0.take() {
            // SAFETY: what was there before is still good; the thread is on its ordinary stack.
            unsafe { libc::sigaltstack(&before, ptr::null_mut()) };
            stack::give_up(stack);
        }
    }
}

/// Bytes of the calling kernel thread's alternate stack, whoever gave it. Async-signal-safe.
pub(super) fn size() -> usize {
    // SAFETY: only asks.
    unsafe {
        let mut stack: libc::stack_t = mem::zeroed();
        libc::sigaltstack(ptr::null(), &mut stack);
        if stack.ss_flags & libc::SS_DISABLE == 0 { stack.ss_size } else { 0 }
    }
}
