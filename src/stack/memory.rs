//! The system calls of the arena: map, unmap, advise, protect.
//!
//! Everything here takes whole pages of mappings that the arena made itself. Advice for many ranges goes through one
//! `process_madvise(2)` where the kernel allows it for the calling process (Linux 6.13), else through one
//! `madvise(2)` each.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::LazyLock;
use std::{io, ptr};

/// Bytes of a page.
pub(super) fn page_size() -> usize {
    static PAGE_SIZE: LazyLock<usize> = LazyLock::new(|| {
        // SAFETY: reads a constant of the system.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).expect("the system has a page size")
    });
    *PAGE_SIZE
}

/// Stacks don't take the last address space: an allocator that gets none ends the process.
const LEFT: usize = 1 << 20;

/// As [`map`], if something is left behind it.
pub(super) fn map_and_leave(bytes: usize) -> io::Result<NonNull<u8>> {
    let base = map(bytes + LEFT)?;
    // SAFETY: it is the end of the mapping just made.
    unsafe { unmap(base.add(bytes), LEFT) };
    Ok(base)
}

/// Maps `bytes` of readable and writable memory that is not there until it is touched, and never in huge pages.
pub(super) fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // Address space is not memory: nothing is set aside for it.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
    // On Linux 6.7 and later it keeps huge pages away from the start; `MADV_NOHUGEPAGE` does on any.
    let flags = flags | libc::MAP_STACK;
    // SAFETY: a new mapping where the kernel likes it; no existing memory is touched.
    let base = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping just made. A kernel without huge pages refuses, which is as good.
    unsafe {
        libc::madvise(base, bytes, libc::MADV_NOHUGEPAGE);
    }
    Ok(NonNull::new(base.cast()).expect("page 0 is never mapped"))
}

/// # Safety
/// `base` and `bytes` are those of a mapping by [`map`], and nothing uses it any more.
pub(super) unsafe fn unmap(base: NonNull<u8>, bytes: usize) {
    // SAFETY: as promised by the caller.
    let result = unsafe { libc::munmap(base.as_ptr().cast(), bytes) };
    debug_assert_eq!(result, 0, "unmapping a slab: {}", io::Error::last_os_error());
}

/// Makes `[base, base + bytes)` a range that no access is allowed to. It costs the process up to two mappings.
///
/// # Safety
/// The range is in a mapping by [`map`], and nothing uses it.
pub(super) unsafe fn forbid(base: NonNull<u8>, bytes: usize) -> io::Result<()> {
    // SAFETY: as promised by the caller.
    match unsafe { libc::mprotect(base.as_ptr().cast(), bytes, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A range of memory, as the kernel wants it.
pub(super) fn extent(base: NonNull<u8>, bytes: usize) -> libc::iovec {
    libc::iovec { iov_base: base.as_ptr().cast(), iov_len: bytes }
}

/// Gives the same advice for each of the ranges; at the first refusal, the index of the range refused and why.
///
/// # Safety
/// The ranges are in mappings by [`map`], and what the advice does to them is all right with whoever uses them.
pub(super) unsafe fn advise(extents: &[libc::iovec], advice: libc::c_int) -> Result<(), (usize, io::Error)> {
    // SAFETY: as promised by the caller.
    if extents.len() > 1 && unsafe { advise_at_once(extents, advice) } {
        return Ok(());
    }
    for (index, extent) in extents.iter().enumerate() {
        // SAFETY: as promised by the caller.
        if unsafe { libc::madvise(extent.iov_base, extent.iov_len, advice) } != 0 {
            return Err((index, io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// Whether all the advice could be given by vectored calls. If not, some of it may have been.
///
/// # Safety
/// As for [`advise`].
unsafe fn advise_at_once(extents: &[libc::iovec], advice: libc::c_int) -> bool {
    /// "The calling process", in the place of a descriptor for it.
    const PIDFD_SELF_THREAD_GROUP: libc::c_int = -10001;
    /// `IOV_MAX`.
    const MOST: usize = 1024;
    extents.chunks(MOST).all(|extents| {
        let bytes: usize = extents.iter().map(|extent| extent.iov_len).sum();
        // SAFETY: as promised by the caller; the vector lives through the call.
        let advised = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                PIDFD_SELF_THREAD_GROUP,
                extents.as_ptr(),
                extents.len(),
                advice,
                0,
            )
        };
        usize::try_from(advised) == Ok(bytes)
    })
}

/// Explains a failed mapping: what ran out and what can be done.
pub(super) fn explain_exhaustion(error: io::Error, what: &str) -> io::Error {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes to the local it is given.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    let cause = if known && limit.rlim_cur != libc::RLIM_INFINITY {
        format!("the address space is limited to {} KiB: raise `ulimit -v`", limit.rlim_cur >> 10)
    } else if std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "2") {
        "the system commits memory strictly: set vm.overcommit_memory to 0 or 1".to_owned()
    } else {
        "the process has used up its address space or its mappings: raise vm.max_map_count".to_owned()
    };
    io::Error::new(
        error.kind(),
        format!("{what} ({error}); {cause}, run fewer tasks at a time, or give them smaller stacks"),
    )
}

/// The addresses of a mapping.
pub(super) fn range(base: NonNull<u8>, bytes: usize) -> Range<usize> {
    base.addr().get()..base.addr().get() + bytes
}
