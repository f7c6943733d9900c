//! Links: further names of a file, and paths that stand for others.

use crate::blocking::briefly;
use std::io;
use std::path::{Path, PathBuf};

/// Gives a file one more name, on the same file system.
///
/// Modelled on [`std::fs::hard_link`].
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists), [`NotFound`](io::ErrorKind::NotFound),
/// [`CrossesDevices`](io::ErrorKind::CrossesDevices); those of the system call.
///
/// # Examples
/// ```
/// use std::os::unix::fs::MetadataExt;
/// use throng::fs;
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-link-{}", std::process::id()));
/// # fs::create_dir(&dir)?;
/// fs::write(dir.join("one"), "content")?;
/// fs::hard_link(dir.join("one"), dir.join("other"))?;
/// assert_eq!(fs::metadata(dir.join("other"))?.nlink(), 2);
/// # fs::remove_dir_all(&dir)?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "link")]
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    briefly(|| std::fs::hard_link(original, link))
}

/// Makes a symbolic link. Where it leads needn't exist; if that is relative, it is so to the link's directory.
///
/// Modelled on [`std::os::unix::fs::symlink`].
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists), [`NotFound`](io::ErrorKind::NotFound) for the link's directory; those of
/// the system call.
///
/// # Examples
/// ```
/// use std::path::Path;
/// use throng::fs;
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-symlink-{}", std::process::id()));
/// # fs::create_dir(&dir)?;
/// fs::write(dir.join("v2"), "content")?;
/// fs::symlink("v2", dir.join("latest"))?;
/// assert_eq!(fs::read_link(dir.join("latest"))?, Path::new("v2"));
/// assert_eq!(fs::read(dir.join("latest"))?, b"content");
/// # fs::remove_dir_all(&dir)?;
/// # std::io::Result::Ok(())
/// ```
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    briefly(|| std::os::unix::fs::symlink(original, link))
}

/// Where a symbolic link leads: the path it was made with.
///
/// Modelled on [`std::fs::read_link`].
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if it isn't one, [`NotFound`](io::ErrorKind::NotFound); those of the system
/// call.
///
/// # Examples
/// ```
/// use std::io::ErrorKind;
/// use throng::fs;
///
/// assert_eq!(fs::read_link("src").unwrap_err().kind(), ErrorKind::InvalidInput);
/// ```
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref();
    briefly(|| std::fs::read_link(path))
}
