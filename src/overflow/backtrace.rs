//! The backtrace of an overflow: whatever `std` can tell, at the risk that it can't.
//!
//! To unwind needs no allocation, but to find out names, files and lines does, and locks as well; and addresses
//! alone help nobody, in a program that is gone and was loaded at random. The handler may have interrupted the
//! allocator or the unwinder in the middle of something. That is rare, as most overflows happen elsewhere; what is
//! needed most has been said; and the process is about to end anyway. So `std`'s backtrace is tried, between two rails:
//! - **a second fault** ends the attempt. Handlers for that are put in place first, and the signals let through;
//! - **a deadlock** does so too, by an alarm after ten seconds. Half a million frames take one.
//!
//! Either says so, and aborts as if nothing had been tried. (A frame takes some hundred bytes meanwhile: a
//! backtrace of a runaway recursion on a stack of 1 GiB may take gigabytes, or the ten seconds.)
//!
//! Only if `RUST_BACKTRACE` is set, as for a panic. It is read when the handler is installed, since a handler may not.
//!
//! # From `std`'s text to ours
//! `std` tells its frames as text alone. Three things are done to it:
//! - *The handler's own frames go.* The first frame of interest is the one whose address is the program counter at
//!   the fault. Only the long form has addresses, so the frames of the short one are counted from their ends.
//! - *A fault at a function's first instruction* (a push, as often as not) would be called by the name of the function that
//!   lies before it in memory, because `std` looks up the instruction before each address, as is right for one that is
//!   returned to. Such a frame goes too: its caller follows, at the line of the call.
//! - *Repetitions are folded*, since an overflow is a recursion as a rule, and its interesting frames are few: those
//!   of one cycle, and those from where it was entered.

use super::report::{LAST_WORDS, Output};
use super::{SIGNALS, handle, unblock};
use std::backtrace::Backtrace;
use std::ffi::{c_int, c_uint, c_void};
use std::fmt::{self, Write};
use std::{mem, ptr};

/// How long it may take, in seconds.
const PATIENCE: c_uint = 10;

/// What it may take of the alternate stack. Measured: 24 KiB, in a debug build.
const ROOM: usize = 64 << 10;

/// The longest cycle that is looked for.
const LONGEST_CYCLE: usize = 64;

/// Repeated frames that are worth a line.
const WORTH_FOLDING: usize = 3;

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

/// Shows how the task got to the instruction at `program_counter`, or aborts in the attempt.
///
/// Called by the handler of a fault there.
pub(super) fn print(out: &mut Output, style: Style, program_counter: usize) -> fmt::Result {
    if style == Style::Off {
        return out.write_str("note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n");
    }
    if alternate_stack_size() < ROOM {
        return out.write_str("note: there is no room for a backtrace\n");
    }
    out.flush();
    for signal in SIGNALS.into_iter().chain([libc::SIGALRM]) {
        // SAFETY: a handler of that kind, which does nothing but what a handler may.
        unsafe { handle(signal, give_up as *const () as usize) };
    }
    unblock(&[libc::SIGSEGV, libc::SIGBUS, libc::SIGALRM]);
    // SAFETY: no obligations.
    unsafe { libc::alarm(PATIENCE) };

    let trace = Backtrace::force_capture();
    let full = format!("{trace:#}");
    let mut frames = split(&full);
    let first = frames.iter().position(|frame| address(frame) == Some(program_counter)).unwrap_or(0);
    let mut start = first;
    if is_entry(program_counter) {
        start += frames[first..].iter().take_while(|frame| address(frame) == Some(program_counter)).count();
    }
    let short;
    let mut skipped = start;
    if style == Style::Short {
        let count = frames.len() - start;
        short = trace.to_string();
        frames = split(&short);
        skipped = frames.len().saturating_sub(count);
    }
    out.write_str("stack backtrace:\n")?;
    fold(&frames[skipped..], out)?;

    // SAFETY: no obligations.
    unsafe { libc::alarm(0) };
    Ok(())
}

extern "C" fn give_up(signal: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    let mut out = Output::new();
    let cause = if signal == libc::SIGALRM { "it took too long" } else { "another fault" };
    _ = write!(out, "note: no backtrace: {cause}\n{LAST_WORDS}");
    out.flush();
    // SAFETY: no obligations.
    unsafe { libc::abort() }
}

fn alternate_stack_size() -> usize {
    // SAFETY: only asks.
    unsafe {
        let mut stack: libc::stack_t = mem::zeroed();
        libc::sigaltstack(ptr::null(), &mut stack);
        if stack.ss_flags & libc::SS_DISABLE == 0 { stack.ss_size } else { 0 }
    }
}

/// Whether a function begins there.
fn is_entry(address: usize) -> bool {
    unsafe extern "C" {
        /// Of the unwinder that `std` comes with: the start of the function in which the instruction before `address` is.
        fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
    }
    // SAFETY: it looks up a number.
    let start = unsafe { _Unwind_FindEnclosingFunction(ptr::without_provenance_mut(address.wrapping_add(1))) };
    start.addr() == address
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

/// Writes `frames`, cycles only once.
fn fold(frames: &[&str], out: &mut impl Write) -> fmt::Result {
    let mut at = 0;
    while at < frames.len() {
        let (length, times) = cycle(&frames[at..]);
        for frame in &frames[at..at + length] {
            writeln!(out, "{at:>4}: {frame}")?;
            at += 1;
        }
        if times > 0 {
            let what = if length == 1 { "frame" } else { "frames" };
            writeln!(out, "      ... {times} times more the same {length} {what}")?;
            at += length * times;
        }
    }
    Ok(())
}

/// The length of the cycle that `frames` begins with, and how many times it comes again; or one frame, and none.
fn cycle(frames: &[&str]) -> (usize, usize) {
    let mut best = (1, 0);
    for length in 1..=LONGEST_CYCLE.min(frames.len() / 2) {
        // As many frames as are equal to those `length` before them.
        let again = frames[length..].iter().zip(frames).take_while(|(one, other)| one == other).count();
        let times = again / length;
        let folded = length * times;
        if folded >= WORTH_FOLDING && folded > best.0 * best.1 {
            best = (length, times);
        }
        if folded > frames.len() / 2 {
            // A longer one can't be much better: a multiple of this one, most likely.
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(frames: &str) -> String {
        let frames: Vec<_> = frames.split(' ').collect();
        let mut out = String::new();
        fold(&frames, &mut out).unwrap();
        let lines = out.lines().map(|line| line.trim_start().replace(" times more the same ", "x"));
        lines.map(|line| line.trim_start_matches("... ").to_owned()).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn cycles_are_folded() {
        assert_eq!(folded("a"), "0: a");
        assert_eq!(folded("a b c a b c"), "0: a|1: b|2: c|1x3 frames");
        assert_eq!(folded("a b a b c"), "0: a|1: b|2: a|3: b|4: c", "not worth it");
        assert_eq!(folded("p r r r r r m"), "0: p|1: r|4x1 frame|6: m");
        assert_eq!(folded("p r s r s r s r m"), "0: p|1: r|2: s|2x2 frames|7: r|8: m");
        // The longer cycle, though a shorter one stands in it.
        let long = "a a a a a b ".repeat(10) + "m";
        assert_eq!(folded(&long), "0: a|1: a|2: a|3: a|4: a|5: b|9x6 frames|60: m");
    }

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
        let tails = full[full.len() - short.len()..].iter().zip(&short);
        for (long, short) in tails {
            let name = short.lines().next().unwrap();
            assert!(long.contains(name), "{long} {short}");
        }
    }

    #[test]
    fn entries_of_functions() {
        let function = alternate_stack_size as *const () as usize;
        assert!(is_entry(function));
        assert!(!is_entry(function + 1));
        assert!(!is_entry(8));
    }
}
