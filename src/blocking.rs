//! The announced blocking section. A placeholder: it announces nothing yet.

/// Runs `f`, which may block in the kernel.
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    f()
}
