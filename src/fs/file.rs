//! An open file.

use super::OpenOptions;
use crate::blocking::{blocking, briefly};
use std::fmt;
use std::fs::{FileTimes, Metadata, Permissions};
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// An open file.
///
/// Modelled on [`std::fs::File`]; see the [module](super) for what differs. It converts from and into that at no cost.
/// Reading, writing and seeking are done through `&File` as well. They share one position, though: tasks that read different
/// parts at the same time use [`read_at`](std::os::unix::fs::FileExt::read_at), which has none.
///
/// The file is closed when the value is dropped. Errors of that are lost; [`sync_all`](File::sync_all) finds them before.
///
/// # Examples
/// ```
/// use std::io::{Read, Seek, Write};
/// use std::os::unix::fs::FileExt;
/// use throng::fs::File;
///
/// # let path = std::env::temp_dir().join(format!("throng-doc-file-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
/// file.write_all(b"hello, file")?;
/// file.write_at(b"H", 0)?;
///
/// file.rewind()?;
/// let mut text = String::new();
/// file.read_to_string(&mut text)?;
/// assert_eq!(text, "Hello, file");
/// # throng::fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
pub struct File(pub(super) std::fs::File);

impl File {
    /// Opens a file that exists, for reading.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied); those of the system
    /// call.
    ///
    /// # Examples
    /// ```
    /// use std::io::{self, ErrorKind};
    /// use throng::fs::File;
    ///
    /// let manifest = io::read_to_string(File::open("Cargo.toml")?)?;
    /// assert!(manifest.contains("[package]"));
    /// assert_eq!(File::open("Cargo.tofu").unwrap_err().kind(), ErrorKind::NotFound);
    /// # io::Result::Ok(())
    /// ```
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let path = path.as_ref();
        briefly(|| std::fs::File::open(path)).map(File)
    }

    /// Opens a file for writing, anew: it is made if it doesn't exist, and emptied if it does.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if its directory doesn't exist; those of the system call.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let path = path.as_ref();
        briefly(|| std::fs::File::create(path)).map(File)
    }

    /// Makes a file, and opens it for reading and writing.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists), in one step with the making, so that of several who try one succeeds;
    /// those of the system call.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let path = path.as_ref();
        briefly(|| std::fs::File::create_new(path)).map(File)
    }

    /// The same as [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until everything written has reached the disk, data and metadata (`fsync`).
    ///
    /// # Errors
    /// Those of the system call, and of writes that had seemed to succeed.
    #[doc(alias = "fsync")]
    pub fn sync_all(&self) -> io::Result<()> {
        blocking(|| self.0.sync_all())
    }

    /// Waits until what was written can be read after a crash; its time of modification, for example, may be lost
    /// (`fdatasync`).
    ///
    /// # Errors
    /// As for [`sync_all`](File::sync_all).
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&self) -> io::Result<()> {
        blocking(|| self.0.sync_data())
    }

    /// Cuts the file off, or extends it with zeros. The position stays where it is.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it isn't open for writing, or the size exceeds what the system can
    /// say; those of the system call.
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        briefly(|| self.0.set_len(size))
    }

    /// What the file system knows about the file: its size, kind, times and permissions.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn metadata(&self) -> io::Result<Metadata> {
        briefly(|| self.0.metadata())
    }

    /// A second handle to the same open file, with a descriptor of its own. They share the position and locks.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<File> {
        briefly(|| self.0.try_clone()).map(File)
    }

    /// Says who may read, write and run the file.
    ///
    /// # Errors
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for other people's files; those of the system call.
    #[doc(alias = "fchmod")]
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        briefly(|| self.0.set_permissions(perm))
    }

    /// Sets when the file was read and modified last; a time that isn't given stays.
    ///
    /// # Errors
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for other people's files;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for times that the system can't say; those of the system call.
    ///
    /// # Examples
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use throng::fs::{self, File, FileTimes};
    ///
    /// # let path = std::env::temp_dir().join(format!("throng-doc-times-{}", std::process::id()));
    /// let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
    /// let file = File::create(&path)?;
    /// file.set_times(FileTimes::new().set_accessed(day).set_modified(day))?;
    /// assert_eq!(file.metadata()?.modified()?, day);
    /// # fs::remove_file(&path)?;
    /// # std::io::Result::Ok(())
    /// ```
    #[doc(alias = "futimens")]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        briefly(|| self.0.set_times(times))
    }

    /// Sets when the file was modified last.
    ///
    /// # Errors
    /// As for [`set_times`](File::set_times).
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        briefly(|| self.0.set_modified(time))
    }
}

/// Shows the descriptor, the path as far as it is known, and what it is open for, as `std`'s does.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
