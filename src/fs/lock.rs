//! Locks on whole files (`flock`), among everyone who asks for them.

use super::File;
use crate::blocking::{blocking, briefly};
use std::fs::TryLockError;
use std::io;

/// # Locks
/// They are held by the open file, its [clones](File::try_clone) included, and by neither a task nor a process. They end with
/// [`unlock`](File::unlock), or when the last handle is closed. Nobody is kept from reading and writing who doesn't ask.
///
/// They are made for several *processes*. A task that waits for one keeps a kernel thread, isn't cancelled meanwhile, and may
/// wait for a task of the same program. When as many wait as the runtime may have threads, the one that holds the lock
/// has none to go on with: among tasks use a [`Mutex`](crate::sync::Mutex), and lock the file by whoever holds it.
///
/// ```
/// use throng::fs::{self, File, TryLockError};
///
/// # let path = std::env::temp_dir().join(format!("throng-doc-lock-{}", std::process::id()));
/// let file = File::create(&path)?;
/// file.lock()?;
/// assert!(matches!(File::open(&path)?.try_lock_shared(), Err(TryLockError::WouldBlock)));
///
/// file.unlock()?;
/// File::open(&path)?.try_lock_shared()?;
/// # fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
impl File {
    /// Locks the file for its holder alone; waits for whoever has it locked, shared or not.
    ///
    /// A handle that holds a shared lock loses it first, and may have to wait in line.
    ///
    /// # Errors
    /// Those of the system call, [`Interrupted`](io::ErrorKind::Interrupted) by a signal among them.
    #[doc(alias = "flock")]
    pub fn lock(&self) -> io::Result<()> {
        blocking(|| self.0.lock())
    }

    /// Locks the file together with others who do so; waits for whoever has it locked alone.
    ///
    /// # Errors
    /// As for [`lock`](File::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        blocking(|| self.0.lock_shared())
    }

    /// Locks the file for its holder alone, if that is possible at once.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if it isn't; [`TryLockError::Error`] with that of the system call.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        briefly(|| self.0.try_lock())
    }

    /// Locks the file together with others, if that is possible at once.
    ///
    /// # Errors
    /// As for [`try_lock`](File::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        briefly(|| self.0.try_lock_shared())
    }

    /// Gives the lock back. Without one nothing happens.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn unlock(&self) -> io::Result<()> {
        briefly(|| self.0.unlock())
    }
}
