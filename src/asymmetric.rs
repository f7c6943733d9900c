//! A fence in two halves, for handshakes with one busy side and one rare side.
//!
//! Two threads that each write a flag and then read the other's need a sequentially consistent fence between the two
//! steps, on both sides, or both may read the old value. Such a fence costs as much as an atomic read-modify-write. With
//! `membarrier(2)` the rare side can have the kernel run a fence on every core that runs this process; then the busy
//! side only has to keep the compiler from swapping its two steps.
//!
//! Where the kernel doesn't have it (before Linux 4.14, or a filter forbids the call) both halves are ordinary fences.

use crate::chaos;
use crate::primitive::{Ordering, fence};

/// The busy side's half.
#[inline(always)]
pub(crate) fn light() {
    // In place of the store that may linger in the core's buffer.
    chaos::point();
    #[cfg(not(any(loom, throng_tsan)))]
    if kernel::ready() {
        return crate::primitive::compiler_fence(Ordering::SeqCst);
    }
    fence(Ordering::SeqCst);
}

/// The rare side's half: a system call.
#[cold]
pub(crate) fn heavy() {
    chaos::point();
    fence(Ordering::SeqCst);
    #[cfg(not(any(loom, throng_tsan)))]
    kernel::fence_everywhere();
    chaos::point();
}

#[cfg(not(any(loom, throng_tsan)))]
mod kernel {
    use crate::primitive::{Ordering, StaticAtomicBool};
    use std::sync::OnceLock;

    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;

    /// Set once the process is registered, and never cleared. A busy side that doesn't see it yet fences in full, which
    /// is always right.
    static READY: StaticAtomicBool = StaticAtomicBool::new(false);
    static REGISTERED: OnceLock<bool> = OnceLock::new();

    #[inline(always)]
    pub(super) fn ready() -> bool {
        // Relaxed: see `READY`; a heavy side that finds the process unregistered registers it before it fences.
        READY.load(Ordering::Relaxed)
    }

    fn call(command: libc::c_int) -> bool {
        // SAFETY: the call takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    /// Registers the process. `false` if the kernel can't.
    pub(super) fn register() -> bool {
        *REGISTERED.get_or_init(|| {
            let registered = call(REGISTER_PRIVATE_EXPEDITED) && call(PRIVATE_EXPEDITED);
            READY.store(registered, Ordering::Relaxed);
            registered
        })
    }

    pub(super) fn fence_everywhere() {
        if register() {
            assert!(call(PRIVATE_EXPEDITED), "membarrier(2) worked before");
        }
    }
}

/// To be called before the first use of `light` is to be cheap.
pub(crate) fn prepare() {
    #[cfg(not(any(loom, throng_tsan)))]
    kernel::register();
}
