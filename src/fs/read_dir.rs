//! What is in a directory.
//!
//! The C library asks the kernel for many entries at once, so most steps of `std`'s iterator are no system call. A section for
//! each entry would cost as much as the entry. So they are taken in batches: one when the directory is opened, in that same
//! section, and others as they are needed.

use crate::blocking::briefly;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// Enough that a section doesn't matter, few enough that a task which stops early hasn't read much for nothing.
const BATCH: usize = 64;

/// Opens a directory, to go through what is in it: files, directories, whatever, but for `.` and `..`.
///
/// Modelled on [`std::fs::read_dir`].
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`NotADirectory`](io::ErrorKind::NotADirectory),
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied); those of the system call.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// let mut names = Vec::new();
/// for entry in fs::read_dir(".")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.iter().any(|name| name == "Cargo.toml"));
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "ReadDir")]
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref();
    briefly(|| {
        let mut entries = ReadDir { batch: VecDeque::new(), rest: std::fs::read_dir(path)? };
        entries.fill();
        Ok(entries)
    })
}

/// The entries of a directory, in no order; made by [`read_dir`].
///
/// Modelled on [`std::fs::ReadDir`]. It reads ahead, as that does: what was made or removed after it was opened may or may
/// not be seen.
///
/// # Errors
/// An item is an error when the directory can't be read any further. It is the last then.
pub struct ReadDir {
    batch: VecDeque<io::Result<std::fs::DirEntry>>,
    rest: std::fs::ReadDir,
}

impl ReadDir {
    /// To be called in a section.
    fn fill(&mut self) {
        self.batch.extend(self.rest.by_ref().take(BATCH));
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;
    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.batch.is_empty() {
            briefly(|| self.fill());
        }
        Some(self.batch.pop_front()?.map(DirEntry))
    }
}

/// Shows the path, as `std`'s does.
impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rest.fmt(f)
    }
}

/// One entry of a directory; an item of [`ReadDir`].
///
/// Modelled on [`std::fs::DirEntry`]. It keeps the directory open.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// let sources = fs::read_dir(".")?.find(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() == "src"));
/// let sources = sources.expect("a directory of sources")?;
/// assert!(sources.file_type()?.is_dir());
/// assert!(sources.path().ends_with("src"));
/// # std::io::Result::Ok(())
/// ```
pub struct DirEntry(std::fs::DirEntry);

impl DirEntry {
    /// Its path: that with which the directory was opened, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// What the file system knows about it; about a symbolic link itself, and not about what that leads to.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if it is gone; those of the system call.
    pub fn metadata(&self) -> io::Result<Metadata> {
        briefly(|| self.0.metadata())
    }

    /// Whether it is a file, a directory, a symbolic link or something else. Most file systems say so in the directory, and
    /// no system call is needed.
    ///
    /// # Errors
    /// As for [`metadata`](DirEntry::metadata), where one is needed.
    pub fn file_type(&self) -> io::Result<FileType> {
        briefly(|| self.0.file_type())
    }

    /// Its name, without what leads there.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.0.ino()
    }
}

/// Shows the path, as `std`'s does.
impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
