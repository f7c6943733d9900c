//! Repeated frames, told once: an overflow is a recursion as a rule, and its interesting frames are few, those of one cycle,
//! and those of where it was entered.

use std::fmt::{self, Write};

/// The longest cycle that is looked for.
const LONGEST_CYCLE: usize = 64;

/// Repeated frames that are worth a line.
const WORTH_FOLDING: usize = 3;

/// Writes `frames` with their numbers, by `write`, and cycles only once. Allocates nothing.
pub(super) fn fold<T: PartialEq, W: Write>(
    frames: &[T],
    out: &mut W,
    write: impl Fn(&T, &mut W) -> fmt::Result,
) -> fmt::Result {
    let mut at = 0;
    while at < frames.len() {
        let (length, times) = cycle(&frames[at..]);
        for frame in &frames[at..at + length] {
            write!(out, "{at:>4}: ")?;
            write(frame, out)?;
            out.write_str("\n")?;
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
fn cycle<T: PartialEq>(frames: &[T]) -> (usize, usize) {
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
        fold(&frames, &mut out, |frame, out| out.write_str(frame)).unwrap();
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
}
