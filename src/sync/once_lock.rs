//! A cell that is written once.
//!
//! # Invariant
//! The value is initialised if and only if `once` is completed. It is written by the one initialiser, and only read
//! after that, or taken through `&mut`.

use super::Once;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A cell that can be written once, and read from everywhere.
///
/// Modelled on [`std::sync::OnceLock`]; who waits for the initialiser waits as a task or as a thread. If an initialiser
/// panics the next one may try.
///
/// # Examples
/// ```
/// use throng::sync::OnceLock;
///
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// assert_eq!(CONFIG.get_or_init(|| "plain".to_owned()), "plain");
/// assert_eq!(CONFIG.set("other".to_owned()), Err("other".to_owned()));
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: a shared cell hands out `&T`, and takes a `T` in from any thread, which may be dropped on another.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: it owns its value.
unsafe impl<T: Send> Send for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    pub const fn new() -> OnceLock<T> {
        OnceLock { once: Once::new(), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// The value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: the invariant; `is_completed` synchronises with the initialiser.
        self.once.is_completed().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, to change it.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: the invariant; `&mut self` makes it exclusive.
        self.once.is_complete_by_now().then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Waits until there is a value.
    ///
    /// # Panics
    /// In the initialiser of this cell.
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.get().expect("it is completed")
    }

    /// Writes the value, or waits for whoever is writing it.
    ///
    /// # Errors
    /// Gives `value` back if there was one already.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("an initialiser runs once"));
        value.map_or(Ok(()), Err)
    }

    /// The value; `f` makes it if there is none, while the others wait.
    ///
    /// # Panics
    /// With what `f` panics with, which leaves the cell empty; and if `f` asks for the value of this same cell.
    #[inline]
    #[track_caller]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.init(f),
        }
    }

    #[cold]
    #[track_caller]
    fn init(&self, f: impl FnOnce() -> T) -> &T {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: the one initialiser writes, and nobody reads before it has returned.
            unsafe { (*self.value.get()).write(value) };
        });
        self.get().expect("it is completed")
    }

    /// The value, if there is one; empties the cell.
    pub fn take(&mut self) -> Option<T> {
        self.once.is_complete_by_now().then(|| {
            self.once.reset();
            // SAFETY: the invariant held up to the reset, and holds again, as the value is moved out.
            unsafe { self.value.get_mut().assume_init_read() }
        })
    }

    /// The value, if there is one.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let cell = OnceLock::new();
        let _ = cell.set(value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        self.get().cloned().map_or_else(OnceLock::new, OnceLock::from)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}
