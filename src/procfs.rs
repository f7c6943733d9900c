//! `/proc/self/task`, in which the kernel tells of each thread of this process.
//!
//! It may be another namespace's, whose numbers of the threads aren't those that system calls know them by; or not be mounted.

use std::fs::{self, File};
use std::io;

/// What it tells under `name`: whoever reads this from its beginning reads how things are then, as often as need be.
pub(crate) fn of_thread(thread: u32, name: &str) -> io::Result<File> {
    File::open(format!("/proc/self/task/{thread}/{name}"))
}

/// The numbers of all threads, in no order. Those that are started meanwhile may be missing.
pub(crate) fn threads() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc/self/task")?;
    entries.filter_map(|entry| entry.map(|entry| entry.file_name().to_str()?.parse().ok()).transpose()).collect()
}

/// The number of the calling thread.
pub(crate) fn current_thread() -> io::Result<u32> {
    let link = fs::read_link("/proc/thread-self")?;
    link.file_name()
        .and_then(|name| name.to_str()?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "`/proc/thread-self` has an unknown form"))
}
