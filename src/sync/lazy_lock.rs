//! A value that is made when it is first used.

use super::OnceLock;
use crate::lock::Lock;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A value that is made at its first use, by the function it was given.
///
/// Modelled on [`std::sync::LazyLock`]; who waits for the value waits as a task or as a thread. If the function panics
/// the value can't be had any more.
///
/// # Examples
/// ```
/// use throng::sync::LazyLock;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (1..4).map(|n| n * n).collect());
/// assert_eq!(*SQUARES, [1, 4, 9]);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    init: Lock<Option<F>>,
}

impl<T, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> where OnceLock<T>: RefUnwindSafe {}
impl<T, F: UnwindSafe> UnwindSafe for LazyLock<T, F> where OnceLock<T>: UnwindSafe {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    pub const fn new(f: F) -> LazyLock<T, F> {
        LazyLock { cell: OnceLock::new(), init: Lock::new(Some(f)) }
    }

    /// The value, which is made if that has not happened yet.
    ///
    /// # Panics
    /// With what the function panics with, and ever after if it has; and if the function asks for this same value.
    #[inline]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.cell.get_or_init(|| {
            let init = this.init.lock().take();
            init.expect("the function of a LazyLock has panicked before")()
        })
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LazyLock").field(&self.cell.get()).finish()
    }
}
