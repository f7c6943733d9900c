//! What the system lets a process have. For tests in a process of their own.
#![allow(dead_code, reason = "each test file uses its part")]

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

/// Sets what this process may have, and returns what it was before.
#[expect(unsafe_code, reason = "resource limits have no safe face in `std`")]
pub(crate) fn limit(resource: Resource, soft: u64) -> u64 {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls take a pointer to a structure that lives.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &mut limits), 0);
        let before = limits.rlim_cur;
        limits.rlim_cur = soft;
        assert_eq!(libc::setrlimit(resource, &limits), 0);
        before
    }
}

/// Becomes a user who has no other process, so that the limit of a user's threads is this process's own.
#[expect(unsafe_code, reason = "the user's id has no safe face in `std`")]
pub(crate) fn become_nobody_else() {
    // SAFETY: both only ask and tell the kernel. An id that nobody has is as good as any other.
    unsafe {
        if libc::getuid() == 0 {
            assert_eq!(libc::setuid(1_000_000_000 + std::process::id()), 0);
        }
    }
}

/// How many threads there are of this process's user: those of this process, but for a process with a user of its own.
pub(crate) fn threads() -> u64 {
    std::fs::read_dir("/proc/self/task").expect("procfs").count() as u64
}
