//! The search of a suspended stack, word by word.
//!
//! It is like a conservative collector's: a word is taken for a pointer if it could be one. What a frame has left behind
//! counts as well, so a task may be held that need not be; and what isn't a word of memory doesn't, such as a pointer that
//! code has hidden in a sum.

use super::places::WORD;
use crate::arch;
use std::ops::Range;

/// So many words are looked at before it is asked whether one was of the kind.
pub(super) const AT_ONCE: usize = 8;

/// A suspended stack's live part.
pub(super) struct Stack(Range<usize>);

impl Stack {
    /// # Safety
    /// It can be read, and nobody else uses it, as long as this is used.
    pub(super) unsafe fn new(range: Range<usize>) -> Stack {
        Stack(range.start.next_multiple_of(WORD)..range.end & !(WORD - 1))
    }

    /// Whether that is an address in here.
    pub(super) fn holds(&self, address: usize) -> bool {
        self.0.contains(&address)
    }

    #[inline(always)]
    pub(super) fn any(&self, test: impl Fn(usize) -> bool) -> bool {
        // SAFETY: those who call it read words of the stack.
        let peek = |at| unsafe { arch::peek(at) };
        let mut at = self.0.start;
        while at + AT_ONCE * WORD <= self.0.end {
            // No branch for each word.
            let mut found = false;
            for index in 0..AT_ONCE {
                found |= test(peek(at + index * WORD));
            }
            if found {
                return true;
            }
            at += AT_ONCE * WORD;
        }
        (at..self.0.end).step_by(WORD).any(|at| test(peek(at)))
    }

    #[inline]
    pub(super) fn points_into(&self, Span { negated_start, length }: Span) -> bool {
        self.any(|word| word.wrapping_add(negated_start) < length)
    }
}

/// Where something lies. Its copies on the stack of whoever searches are not taken for pointers to it later.
#[derive(Clone, Copy)]
pub(super) struct Span {
    negated_start: usize,
    length: usize,
}

impl Span {
    pub(super) fn of(range: &Range<usize>) -> Span {
        Span { negated_start: range.start.wrapping_neg(), length: range.end - range.start }
    }
}
