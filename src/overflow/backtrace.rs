//! The backtrace of an overflow: whatever `std` can tell, at the risk that it can't.
//!
//! To unwind needs no allocation, but to find out names, files and lines does, and locks as well. The handler may have
//! interrupted the allocator in the middle of something, and recursions that allocate often overflow just there.
//! But what is needed most has been said, and the process is about to end anyway. So `std`'s backtrace is
//! tried, between rails:
//! - the **addresses** are taken first, and shown instead if the attempt fails, with what else is known without allocating;
//! - if they lie in **the C library's allocator**, there is no attempt;
//! - **a second fault** ends it. Handlers for that are put in place first, and the signals let through;
//! - **a deadlock** does so too, by an alarm after ten seconds. Half a million frames take one. (And some hundred bytes
//!   each: the backtrace of a runaway recursion on a stack of 1 GiB may take gigabytes, or the ten seconds.)
//!
//! Where the unwinder doesn't get from the handler to what it interrupted (musl's has nothing to go by there), that is said.
//!
//! Only if `RUST_BACKTRACE` is set, as for a panic. It is read when the handler is installed, as a handler can't.
//!
//! # From `std`'s text to ours
//! `std` tells its frames as text alone. Three things are done to it:
//! - *The handler's own frames go.* The first frame of interest is the one whose address is the program counter at
//!   the fault. Only the long form has addresses, so the frames of the short one are counted from their ends.
//! - *A fault at a function's first instruction* (a push, as often as not) would be called by the name of the function that
//!   lies before it in memory, because `std` looks up the instruction before each address, as is right for one that is
//!   returned to. Such a frame goes too: its caller follows, at the line of the call.
//! - *Repetitions are folded.*

use super::addresses::{Addresses, is_entry};
use super::fold::fold;
use super::report::{LAST_WORDS, Output};
use super::{SIGNALS, alternate_stack, handle, unblock, wait_for_the_end};
use crate::primitive::{Ordering, StaticAtomicPtr};
use std::backtrace::Backtrace;
use std::ffi::{c_int, c_uint, c_void};
use std::fmt::{self, Write};
use std::ptr;

/// How long it may take, in seconds.
const PATIENCE: c_uint = 10;

/// What it may take of the alternate stack. Measured: 31 KiB, of which the addresses are 8; and the kernel's frame.
const ROOM: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Off,
    Short,
    Full,
}

impl Style {
    /// As for `std`'s panics.
    pub(super) fn from_environment() -> Style {
        match std::env::var_os("RUST_BACKTRACE") {
            None => Style::Off,
            Some(value) if value == "0" => Style::Off,
            Some(value) if value == "full" => Style::Full,
            Some(_) => Style::Short,
        }
    }
}

/// What there is if the attempt fails: lent by [`attempt`], which doesn't return if they are taken.
static ADDRESSES: StaticAtomicPtr<Addresses> = StaticAtomicPtr::new(ptr::null_mut());

/// Shows how the task got to the instruction at `program_counter`, or aborts in the attempt.
///
/// Called by the handler of a fault there.
pub(super) fn print(out: &mut Output, style: Style, program_counter: usize) -> fmt::Result {
    if style == Style::Off {
        return out.write_str("note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n");
    }
    if alternate_stack::size() < ROOM {
        return out.write_str("note: there is no room for a backtrace\n");
    }
    out.flush();
    attempt(out, style, program_counter)
}

/// Not inlined: without it, what is above fits the small alternate stack that `std` gives its threads.
#[inline(never)]
fn attempt(out: &mut Output, style: Style, program_counter: usize) -> fmt::Result {
    put_up_rails();
    let addresses = Addresses::take(program_counter);
    // Release: pairs with the Acquire of `settle_for_addresses`, which another thread may run.
    ADDRESSES.store((&raw const addresses).cast_mut(), Ordering::Release);
    if addresses.are_none() {
        come_through();
        return out.write_str("note: there is no backtrace: this system's unwinder doesn't get past a signal\n");
    }
    if addresses.are_in_the_allocator() {
        settle_for_addresses("the allocator was interrupted");
    }
    let trace = Backtrace::force_capture();
    let full = format!("{trace:#}");
    let short = if style == Style::Short { trace.to_string() } else { String::new() };
    let full = split(&full);
    let skipped = own_frames(&full, program_counter);
    let short = split(&short);
    let frames = match style {
        Style::Short => &short[short.len().saturating_sub(full.len() - skipped)..],
        _ => &full[skipped..],
    };
    come_through();
    out.write_str("stack backtrace:\n")?;
    fold(frames, out, |frame, out| out.write_str(frame))
}

/// From here on, faults and deadlocks end in [`on_failure`].
fn put_up_rails() {
    for signal in SIGNALS.into_iter().chain([libc::SIGALRM]) {
        // SAFETY: a handler of that kind, which does nothing but what a handler may.
        unsafe { handle(signal, on_failure as *const () as usize, libc::SA_NODEFER) };
    }
    unblock(&[libc::SIGSEGV, libc::SIGBUS, libc::SIGALRM]);
    // SAFETY: no obligations.
    unsafe { libc::alarm(PATIENCE) };
}

/// The attempt has succeeded. If it is just being given up, on another thread, that holds.
fn come_through() {
    // SAFETY: no obligations.
    unsafe { libc::alarm(0) };
    // Relaxed: nothing is read through it.
    if ADDRESSES.swap(ptr::null_mut(), Ordering::Relaxed).is_null() {
        wait_for_the_end()
    }
}

extern "C" fn on_failure(signal: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    settle_for_addresses(if signal == libc::SIGALRM { "it took too long" } else { "another fault" })
}

/// Shows the addresses, and aborts; if that fails too, just aborts.
fn settle_for_addresses(why: &str) -> ! {
    let mut out = Output::new();
    _ = writeln!(out, "note: there is no backtrace with names: {why}");
    // Acquire: pairs with the Release of `attempt`.
    let addresses = ADDRESSES.swap(ptr::null_mut(), Ordering::Acquire);
    // SAFETY: null, or lent by a call that waits for the end of the process then.
    if let Some(addresses) = unsafe { addresses.as_ref() } {
        // A new deadline.
        // SAFETY: no obligations.
        unsafe { libc::alarm(PATIENCE) };
        _ = addresses.write(&mut out);
    }
    _ = out.write_str(LAST_WORDS);
    out.flush();
    // SAFETY: no obligations.
    unsafe { libc::abort() }
}

/// How many of the frames, given in the long form, come before the first of interest.
fn own_frames(frames: &[&str], program_counter: usize) -> usize {
    let is_there = |frame: &&str| address(frame) == Some(program_counter);
    let before = frames.iter().position(is_there).unwrap_or(0);
    let at_entry = if is_entry(program_counter) { &frames[before..] } else { &[] };
    before + at_entry.iter().take_while(|&frame| is_there(frame)).count()
}

/// The frames of a backtrace, without their numbers. One that is null, as some unwinders add at the end, is none.
fn split(text: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let digits = line.trim_start().bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && line.trim_start()[digits..].starts_with(": ") {
            starts.push((at, at + (line.len() - line.trim_start().len()) + digits + 2));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|&(line, _)| line).chain([text.len()]);
    let frames = starts.iter().zip(ends).map(|(&(_, start), end)| text[start..end].trim_end());
    frames.filter(|frame| address(frame) != Some(0)).collect()
}

/// The address of a frame in the long form.
fn address(frame: &str) -> Option<usize> {
    let digits = frame.trim_start().strip_prefix("0x")?;
    usize::from_str_radix(digits.split(' ').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_both_forms() {
        let full = "   0:     0x55fa9b377eab - std::one::h77\n             at /file: one.rs:117:9\n  \
                    1:     0x55fa9b33e4d6 - two\n  17:                0x0 - <unknown>\n";
        let frames = split(full);
        assert_eq!(frames.len(), 2);
        assert!(frames[0].ends_with("one.rs:117:9"));
        assert_eq!(
            frames.iter().map(|frame| address(frame)).collect::<Vec<_>>(),
            [Some(0x55fa9b377eab), Some(0x55fa9b33e4d6)]
        );
        let short = "   0: std::one\n             at ./one.rs:1:2\n   1: two";
        assert_eq!(split(short), ["std::one\n             at ./one.rs:1:2", "two"]);
        assert_eq!(address("std::one"), None);
        assert_eq!(split("disabled backtrace"), [""; 0]);
    }

    /// What `print` relies on: the forms name the same frames, and addresses can be found in the long one.
    #[test]
    fn stds_text_is_as_expected() {
        let trace = Backtrace::force_capture();
        let (full, short) = (format!("{trace:#}"), trace.to_string());
        let (full, short) = (split(&full), split(&short));
        assert!(full.iter().all(|frame| address(frame).is_some()), "{full:#?}");
        assert!(short.len() > 3 && full.len() >= short.len());
        // Names are spelled differently, and paths are shortened.
        let place = |frame: &str| frame.lines().nth(1).and_then(|line| line.rsplit('/').next()).map(str::to_owned);
        for (long, short) in full[full.len() - short.len()..].iter().zip(&short) {
            assert_eq!(place(long), place(short), "{long} {short}");
        }
    }
}
