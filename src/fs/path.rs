//! What is at a path, and what can be done to it without opening it.

use crate::blocking::briefly;
use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

/// What the file system knows about a file or directory; symbolic links are followed.
///
/// Modelled on [`std::fs::metadata`].
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied) for a directory on the way;
/// those of the system call.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// assert!(fs::metadata("src")?.is_dir());
/// assert!(fs::metadata("Cargo.toml")?.len() > 0);
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "stat")]
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    let path = path.as_ref();
    briefly(|| std::fs::metadata(path))
}

/// As [`metadata`], but of a symbolic link itself.
///
/// Modelled on [`std::fs::symlink_metadata`].
///
/// # Errors
/// As for [`metadata`].
///
/// # Examples
/// ```
/// use throng::fs;
///
/// # let link = std::env::temp_dir().join(format!("throng-doc-lstat-{}", std::process::id()));
/// fs::symlink("nowhere", &link)?;
/// assert!(fs::symlink_metadata(&link)?.is_symlink());
/// assert!(fs::metadata(&link).is_err());
/// # fs::remove_file(&link)?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "lstat")]
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    let path = path.as_ref();
    briefly(|| std::fs::symlink_metadata(path))
}

/// Whether something is there; symbolic links are followed. The answer may be out of date when it arrives.
///
/// Modelled on [`std::fs::exists`].
///
/// # Errors
/// If that can't be told, because a directory on the way can't be entered, for example.
///
/// # Examples
/// ```
/// assert!(throng::fs::exists("Cargo.toml")?);
/// assert!(!throng::fs::exists("Cargo.tofu")?);
/// # std::io::Result::Ok(())
/// ```
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    let path = path.as_ref();
    briefly(|| std::fs::exists(path))
}

/// The absolute path of something that exists, without symbolic links, `.` and `..`.
///
/// Modelled on [`std::fs::canonicalize`].
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`NotADirectory`](io::ErrorKind::NotADirectory) for something on the way; those of
/// the system calls.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// assert_eq!(fs::canonicalize("src/../src/lib.rs")?, fs::canonicalize("src")?.join("lib.rs"));
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "realpath")]
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref();
    briefly(|| std::fs::canonicalize(path))
}

/// Says who may read, write and run a file or enter a directory; symbolic links are followed.
///
/// Modelled on [`std::fs::set_permissions`].
///
/// # Errors
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for other people's files, [`NotFound`](io::ErrorKind::NotFound); those
/// of the system call.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// # let path = std::env::temp_dir().join(format!("throng-doc-permissions-{}", std::process::id()));
/// fs::write(&path, "final")?;
/// let mut permissions = fs::metadata(&path)?.permissions();
/// permissions.set_readonly(true);
/// fs::set_permissions(&path, permissions)?;
/// assert!(fs::metadata(&path)?.permissions().readonly());
/// # fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "chmod")]
pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    briefly(|| std::fs::set_permissions(path, perm))
}

/// Gives a file or directory another name or place, in one step; a file of that name is replaced.
///
/// Modelled on [`std::fs::rename`].
///
/// # Errors
/// [`CrossesDevices`](io::ErrorKind::CrossesDevices) if the place is on another file system,
/// [`NotFound`](io::ErrorKind::NotFound), [`DirectoryNotEmpty`](io::ErrorKind::DirectoryNotEmpty) for a directory in the way;
/// those of the system call.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// # let dir = std::env::temp_dir().join(format!("throng-doc-rename-{}", std::process::id()));
/// # fs::create_dir(&dir)?;
/// fs::write(dir.join("old"), "content")?;
/// fs::rename(dir.join("old"), dir.join("new"))?;
/// assert!(!fs::exists(dir.join("old"))?);
/// assert_eq!(fs::read(dir.join("new"))?, b"content");
/// # fs::remove_dir_all(&dir)?;
/// # std::io::Result::Ok(())
/// ```
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    briefly(|| std::fs::rename(from, to))
}

/// Removes a file, or a symbolic link. Whoever has it open keeps it until it is closed.
///
/// Modelled on [`std::fs::remove_file`].
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`IsADirectory`](io::ErrorKind::IsADirectory); those of the system call.
///
/// # Examples
/// ```
/// use throng::fs;
///
/// # let path = std::env::temp_dir().join(format!("throng-doc-remove-{}", std::process::id()));
/// fs::write(&path, "soon gone")?;
/// fs::remove_file(&path)?;
/// assert!(!fs::exists(&path)?);
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "unlink")]
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref();
    briefly(|| std::fs::remove_file(path))
}
