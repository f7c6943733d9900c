//! How a file is opened.

use super::File;
use crate::blocking::briefly;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file is opened for, and whether it is made.
///
/// Modelled on [`std::fs::OpenOptions`], from which it also converts.
/// [`OpenOptionsExt`] has the permissions of a file that is made, and flags.
///
/// # Examples
/// ```
/// use std::io::Write;
/// use std::os::unix::fs::OpenOptionsExt;
/// use throng::fs::{self, OpenOptions};
///
/// # let path = std::env::temp_dir().join(format!("throng-doc-options-{}", std::process::id()));
/// for line in ["one\n", "two\n"] {
///     let mut log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
///     log.write_all(line.as_bytes())?;
/// }
/// assert_eq!(fs::read_to_string(&path)?, "one\ntwo\n");
/// # fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open` is called"]
pub struct OpenOptions(pub(super) std::fs::OpenOptions);

impl OpenOptions {
    /// Options that are all off; at least one of reading, writing and appending is needed.
    #[expect(clippy::new_without_default, reason = "`std`'s has none either")]
    pub fn new() -> OpenOptions {
        OpenOptions(std::fs::OpenOptions::new())
    }

    /// For reading.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.0.read(read);
        self
    }

    /// For writing, over what is there.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.0.write(write);
        self
    }

    /// For writing at the end, wherever that is by then, whoever else appends.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.0.append(append);
        self
    }

    /// Emptied when it is opened; needs [`write`](OpenOptions::write).
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.0.truncate(truncate);
        self
    }

    /// Made if it doesn't exist; needs writing or appending.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.0.create(create);
        self
    }

    /// Made, and an error if it exists; `create` and `truncate` don't matter then. Needs writing or appending.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.0.create_new(create_new);
        self
    }

    /// Opens that file.
    ///
    /// # Errors
    /// * [`NotFound`](io::ErrorKind::NotFound): the file doesn't exist and isn't to be made, or its directory doesn't exist.
    /// * [`AlreadyExists`](io::ErrorKind::AlreadyExists): [`create_new`](OpenOptions::create_new), and it exists.
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): the options make no sense together.
    /// * [`PermissionDenied`](io::ErrorKind::PermissionDenied), and what else the system call returns.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let path = path.as_ref();
        briefly(|| self.0.open(path)).map(File)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.0.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.0.custom_flags(flags);
        self
    }
}
