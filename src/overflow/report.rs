//! What is said, and how it gets out. Async-signal-safe, but for what [`backtrace`] does.

use super::{Registers, SETTINGS, backtrace};
use crate::current;
use crate::stack::Place;
use std::fmt::{self, Write};
use std::io;

/// Of a task's name. There is no limit to names, but there is one to lines.
const MOST_OF_A_NAME: usize = 200;

pub(super) const LAST_WORDS: &str = "fatal runtime error: stack overflow, aborting\n";

/// Says who overflowed the stack at `place`, and aborts.
pub(super) fn overflow(place: &Place, at: &Registers) -> ! {
    let mut out = Output::new();
    _ = describe(&mut out, place.size / 1024);
    if let Some(settings) = SETTINGS.get() {
        _ = backtrace::print(&mut out, settings.style, at.program_counter);
    }
    _ = out.write_str(LAST_WORDS);
    out.flush();
    // SAFETY: no obligations.
    unsafe { libc::abort() }
}

fn describe(out: &mut Output, kibibytes: usize) -> fmt::Result {
    match current::task() {
        Some(task) => {
            // SAFETY: the running task is alive, and its name never changes.
            let task = unsafe { task.as_ref() };
            out.write_str("\ntask ")?;
            match task.name() {
                Some(name) => {
                    let start = &name[..name.floor_char_boundary(MOST_OF_A_NAME)];
                    write!(out, "'{start}{}'", if start.len() < name.len() { "..." } else { "" })?;
                }
                None => out.write_str("<unnamed>")?,
            }
            write!(out, " (id {})", task.id())?;
        }
        // The loop at the base of the stacks.
        None => out.write_str("\na worker between two tasks")?,
    }
    writeln!(out, " has overflowed its stack of {kibibytes} KiB")?;
    // SAFETY: the thread's context outlives what runs on it.
    let seed = unsafe { current::context().as_ref() }.and_then(|context| context.simulation);
    let all = if seed.is_some() { "sim::Check" } else { "runtime::Builder" };
    writeln!(out, "note: `task::Builder::stack_size` gives a task a larger one, `{all}::stack_size` all tasks")?;
    match seed {
        Some(seed) => {
            writeln!(out, "in a simulation: seed {seed}; to see it again, run this test alone with THRONG_SEED={seed}")
        }
        None => Ok(()),
    }
}

/// Standard error, by the buffer.
pub(super) struct Output {
    buffer: [u8; 1024],
    length: usize,
}

impl Output {
    pub(super) fn new() -> Output {
        Output { buffer: [0; 1024], length: 0 }
    }

    pub(super) fn flush(&mut self) {
        write_to_stderr(&self.buffer[..self.length]);
        self.length = 0;
    }
}

/// Writes to standard error, past the lock of `std`. An error has nowhere to go. Async-signal-safe.
pub(crate) fn write_to_stderr(mut left: &[u8]) {
    while !left.is_empty() {
        // SAFETY: the bytes are readable.
        let written = unsafe { libc::write(libc::STDERR_FILENO, left.as_ptr().cast(), left.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(count) => left = &left[count..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}
