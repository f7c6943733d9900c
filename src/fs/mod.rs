//! Files and directories, shaped like [`std::fs`].
//!
//! A program moves over by changing its `use` lines. A file has no readiness that one could wait for: a call that waits for
//! a disk or a file server keeps its kernel thread, here as there. But here it says so. Each call is a
//! [blocking section](fn@crate::blocking), and the other tasks go on elsewhere meanwhile. The same calls work from `main`
//! and from every `std::thread`.
//!
//! ```
//! use std::io::{BufRead, BufReader};
//! use throng::fs::{self, File};
//!
//! # let dir = std::env::temp_dir().join(format!("throng-doc-fs-{}", std::process::id()));
//! fs::create_dir_all(&dir)?;
//! fs::write(dir.join("one"), "to be\n")?;
//! fs::write(dir.join("two"), "or not\nto be\n")?;
//!
//! // A task for each file.
//! let count = |path| -> std::io::Result<usize> { Ok(BufReader::new(File::open(path)?).lines().count()) };
//! let mut tasks = Vec::new();
//! for entry in fs::read_dir(&dir)? {
//!     let path = entry?.path();
//!     tasks.push(throng::spawn(move || count(path)));
//! }
//! let mut lines = 0;
//! for task in tasks {
//!     lines += task.join().unwrap()?;
//! }
//! assert_eq!(lines, 3);
//! fs::remove_dir_all(&dir)?;
//! # std::io::Result::Ok(())
//! ```
//!
//! # What differs from `std`
//!
//! * Only the system's part of a call is in the section. What is the caller's own, such as an `AsRef<Path>`, runs before it,
//!   in the task, and may wait.
//! * A section costs little beside a system call, but a system call for each byte or line costs much, here as there: put a
//!   [`BufReader`](std::io::BufReader) or a [`BufWriter`](std::io::BufWriter) around a [`File`].
//! * A call isn't cancelled while it is in the kernel, and none of them is a wait from which a task unwinds: one that is
//!   cancelled, or whose time limit passes, finishes the call and unwinds from its next wait.
//! * What waits for other programs or tasks, such as [`File::lock`], a FIFO or a terminal, keeps a kernel thread for as
//!   long. Of these a runtime has many, but not as many as it has tasks.
//! * A [`File`] or a [`ReadDir`] that is dropped is closed by the thread that drops it, unannounced.
//! * [`ReadDir`] reads ahead, some dozens of entries in one section.
//! * An `Arc<File>` doesn't implement [`Read`](std::io::Read), [`Write`](std::io::Write) and [`Seek`](std::io::Seek); a
//!   `&File` does.
//! * [`io::copy`](std::io::copy) knows short cuts for the files of `std` alone. [`copy`] has them.
//! * The methods of [`Path`](std::path::Path) that ask the system, such as `exists` and `metadata`, are `std`'s, and not
//!   announced.
//!
//! The traits of [`std::os::unix::fs`] and [`std::os::fd`] are implemented as for `std`'s types, but for [`DirEntry`]'s
//! `DirEntryExt2`, which can't be.

// Sections are `briefly` where the page cache or the kernel's tables mostly answer, which is faster than another worker
// steps in: nobody is woken then unless the call does wait. They are `blocking` where one asks to wait (locks, `sync_all`) or
// has much to do (`copy`, `remove_dir_all`).
//
// Rejected: a pool of threads to which the calls are sent. It hands each of them over to another kernel thread and back,
// which costs a multiple of a read that the page cache answers, and those are most. A section costs that only when
// the call does wait. And io_uring: it is forbidden in many containers, has no call for half of what is here, and gives
// to threads of the kernel what it can't do at once.

mod content;
#[allow(unsafe_code)]
mod convert;
mod directory;
mod file;
mod io;
mod link;
mod lock;
mod options;
mod path;
mod read_dir;

pub use content::{copy, read, read_to_string, write};
pub use directory::{DirBuilder, create_dir, create_dir_all, remove_dir, remove_dir_all};
pub use file::File;
pub use link::{hard_link, read_link, symlink};
pub use options::OpenOptions;
pub use path::{canonicalize, exists, metadata, remove_file, rename, set_permissions, symlink_metadata};
pub use read_dir::{DirEntry, ReadDir, read_dir};

#[doc(no_inline)]
pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};
