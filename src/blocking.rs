//! The announced blocking section. A placeholder: it announces nothing yet.

/// Runs `f`, which may block in the kernel.
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// `blocking` for what mostly takes no longer than it would take another worker to step in.
pub(crate) fn briefly<T>(f: impl FnOnce() -> T) -> T {
    f()
}
