//! What the kernel knows of a process: its CPU time, its memory, its mappings.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time that this process has used, user and system.
pub(crate) fn cpu_time() -> Duration {
    cpu_time_of(std::process::id()).expect("a process may read its own clock")
}

/// CPU time that a process has used, user and system, to the nanosecond.
///
/// # Errors
/// There is no such process, or it may not be looked at.
pub fn cpu_time_of(process: u32) -> io::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let process = libc::pid_t::try_from(process).map_err(io::Error::other)?;
    // SAFETY: `clock` is valid for a write; any process number may be asked for.
    let error = unsafe { libc::clock_getcpuclockid(process, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: `time` is valid for a write, and the clock's number comes from the call above.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
}

/// Memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Bytes in physical memory, page tables excluded.
    pub resident: u64,
    /// Bytes of page tables.
    pub page_tables: u64,
    /// Ranges of the address space, as `vm.max_map_count` limits them.
    pub mappings: u64,
}

impl Memory {
    /// Reads it from `/proc/self`.
    pub fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux 4.14 or later");
        let maps = fs::read("/proc/self/maps").expect("procfs is mounted");
        let kilobytes = |text: &str, name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field exists");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
        };
        Memory {
            resident: kilobytes(&rollup, "Rss:"),
            page_tables: kilobytes(&status, "VmPTE:"),
            mappings: maps.iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }
}
