//! Directories made and removed.

use crate::blocking::{blocking, briefly};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// How a directory is made.
///
/// Modelled on [`std::fs::DirBuilder`]. [`DirBuilderExt`] has its permissions.
///
/// # Examples
/// ```
/// use std::os::unix::fs::DirBuilderExt;
/// use throng::fs::{self, DirBuilder};
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-builder-{}", std::process::id()));
/// DirBuilder::new().recursive(true).mode(0o700).create(dir.join("a/b/c"))?;
/// assert!(fs::metadata(dir.join("a/b/c"))?.is_dir());
/// # fs::remove_dir_all(&dir)?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `create` is called"]
pub struct DirBuilder(std::fs::DirBuilder);

impl DirBuilder {
    /// Makes one directory, with the permissions that are usual.
    #[expect(clippy::new_without_default, reason = "`std`'s has none either")]
    pub fn new() -> DirBuilder {
        DirBuilder(std::fs::DirBuilder::new())
    }

    /// Whether directories that lead there are made too. It is no error then if it exists.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.0.recursive(recursive);
        self
    }

    /// Makes that directory.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists), if it exists and isn't a directory, or this isn't recursive;
    /// [`NotFound`](io::ErrorKind::NotFound) if the one it is to be in doesn't exist, and this isn't recursive; those of the
    /// system call.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let path = path.as_ref();
        briefly(|| self.0.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.0.mode(mode);
        self
    }
}

/// Makes one directory.
///
/// Modelled on [`std::fs::create_dir`].
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists); [`NotFound`](io::ErrorKind::NotFound) if the one it is to be in doesn't
/// exist; those of the system call.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use throng::fs;
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-create-{}", std::process::id()));
/// fs::create_dir(&dir)?;
/// assert_eq!(fs::create_dir(&dir).unwrap_err().kind(), ErrorKind::AlreadyExists);
/// fs::remove_dir(&dir)?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "mkdir")]
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    briefly(|| std::fs::create_dir(path))
}

/// Makes a directory and those that lead there, as far as they don't exist.
///
/// Modelled on [`std::fs::create_dir_all`]. Several may do so at the same time. After an error some may have been made.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if something else is there; [`NotADirectory`](io::ErrorKind::NotADirectory)
/// if something else is on the way; those of the system call.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-create-all-{}", std::process::id()));
/// fs::create_dir_all(dir.join("a/b"))?;
/// fs::create_dir_all(dir.join("a/b"))?;
/// fs::remove_dir_all(&dir)?;
/// assert!(!fs::exists(&dir)?);
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "MkdirAll")]
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    briefly(|| std::fs::create_dir_all(path))
}

/// Removes a directory that is empty.
///
/// Modelled on [`std::fs::remove_dir`].
///
/// # Errors
/// [`DirectoryNotEmpty`](io::ErrorKind::DirectoryNotEmpty), [`NotADirectory`](io::ErrorKind::NotADirectory),
/// [`NotFound`](io::ErrorKind::NotFound); those of the system call.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use throng::fs;
///
/// assert_eq!(fs::remove_dir("src").unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
/// ```
#[doc(alias = "rmdir")]
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    briefly(|| std::fs::remove_dir(path))
}

/// Removes a directory with all that is in it. Symbolic links are removed, and not followed.
///
/// Modelled on [`std::fs::remove_dir_all`]. The whole of it is one section, which can't be cancelled halfway. After an error
/// some of the content may be gone.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound) if the directory itself doesn't exist, [`NotADirectory`](io::ErrorKind::NotADirectory);
/// those of the system calls.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-remove-all-{}", std::process::id()));
/// fs::create_dir(&dir)?;
/// fs::write(dir.join("file"), "content")?;
/// fs::remove_dir_all(&dir)?;
/// assert!(!fs::exists(&dir)?);
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "RemoveAll")]
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_dir_all(path))
}
