//! The context switch.
#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{jump, prepare, switch};

/// A suspended context's stack pointer.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct StackPointer(usize);
