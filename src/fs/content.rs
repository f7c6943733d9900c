//! Whole files, each in one section: read, written, copied.

use crate::blocking::{blocking, briefly};
use std::io;
use std::path::Path;

/// Reads a file from beginning to end.
///
/// Modelled on [`std::fs::read`].
///
/// # Errors
/// As for [`File::open`](super::File::open); those of reading.
///
/// # Examples
/// ```
/// let manifest = throng::fs::read("Cargo.toml")?;
/// assert!(manifest.starts_with(b"[package]"));
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "ReadFile")]
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    briefly(|| std::fs::read(path))
}

/// Reads a file of text from beginning to end.
///
/// Modelled on [`std::fs::read_to_string`].
///
/// # Errors
/// [`InvalidData`](io::ErrorKind::InvalidData) if it isn't UTF-8; else as for [`read`].
///
/// # Examples
/// ```
/// let manifest = throng::fs::read_to_string("Cargo.toml")?;
/// assert!(manifest.contains("name = \"throng\""));
/// # std::io::Result::Ok(())
/// ```
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    let path = path.as_ref();
    briefly(|| std::fs::read_to_string(path))
}

/// Writes a file anew: makes it, or replaces what it holds.
///
/// Modelled on [`std::fs::write`]. It isn't done in one step: others may see the file empty or half written. Write another one
/// and [`rename`](super::rename) it where that matters.
///
/// # Errors
/// As for [`File::create`](super::File::create); those of writing.
///
/// # Examples
/// ```
/// # let dir = std::env::temp_dir().join(format!("throng-doc-write-{}", std::process::id()));
/// # throng::fs::create_dir(&dir)?;
/// use throng::fs;
///
/// let draft = dir.join("config.new");
/// fs::write(&draft, "colour = blue\n")?;
/// fs::rename(&draft, dir.join("config"))?;
/// assert_eq!(fs::read(dir.join("config"))?, b"colour = blue\n");
/// # fs::remove_dir_all(&dir)?;
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "WriteFile")]
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    briefly(|| std::fs::write(path, contents))
}

/// Copies what a file holds, and its permissions, to another, which is made or replaced. Returns the number of bytes.
///
/// Modelled on [`std::fs::copy`]: the kernel does the work where it can. Symbolic links are followed at both ends. To copy a
/// file onto itself empties it.
///
/// # Errors
/// Those of opening, reading and writing; [`InvalidInput`](io::ErrorKind::InvalidInput) if `from` isn't a file.
///
/// # Examples
/// ```
/// # let path = std::env::temp_dir().join(format!("throng-doc-copy-{}", std::process::id()));
/// use throng::fs;
///
/// let length = fs::copy("Cargo.toml", &path)?;
/// assert_eq!(length, fs::metadata("Cargo.toml")?.len());
/// # fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    blocking(|| std::fs::copy(from, to))
}
