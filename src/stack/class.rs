//! Size classes: a stack is as large as a power of two from 64 KiB to 1 GiB, its guard page included.
//!
//! Powers of two waste address space, which is not scarce, and never memory, which a stack takes by the page it
//! touches; in exchange any two stacks of a class are exchangeable and there are few pools.
//!
//! # The smallest
//! A task must be able to panic, whatever the hook does with it, or an error that `join` was to return ends the process. Bytes
//! of stack that were used, from its top, by a task that does nothing else:
//!
//! | | optimized | not optimized |
//! |---|---|---|
//! | nothing | 1,800 | 3,100 |
//! | waiting: yield, sleep | 1,600 | 6,400 |
//! | a panic with a message | 6,000 | 7,700 |
//! | a panic with `RUST_BACKTRACE=1`, or `full`; a hook that prints a `Backtrace` | 20,700, 21,100 | 23,000 |
//! | the same, debug information compressed | 21,700 | |
//!
//! So 16 KiB aren't enough, and 32 KiB, less the guard, leave the task some 5 KiB for itself. 64 KiB leave it half. What
//! is not touched takes no memory but its part of a page table: 128 bytes for 64 KiB.

use std::io;

/// The smallest stack, its guard page included. Those that a sanitizer instruments need more.
const MIN_STACK_SIZE: usize = if cfg!(any(throng_tsan, throng_asan)) { 128 << 10 } else { 64 << 10 };

/// The least that can be asked for; whoever asks for less has made a mistake.
const LEAST_ASKED: usize = 16 << 10;

/// The largest, which is a bound against mistakes: sixteen of them are mapped at once.
const MAX_STACK_SIZE: usize = 1 << 30;

/// What a task gets that asks for nothing. Frames of unoptimized and of instrumented code are several times as large.
pub(crate) const DEFAULT_STACK_SIZE: usize =
    if cfg!(any(debug_assertions, throng_tsan, throng_asan)) { 1 << 20 } else { 256 << 10 };

/// A size class of stacks: `MIN_STACK_SIZE << class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Class(u8);

impl Class {
    pub(crate) const COUNT: usize = (MAX_STACK_SIZE / MIN_STACK_SIZE).ilog2() as usize + 1;

    /// The smallest class of at least `size` bytes, which must not exceed [`MAX_STACK_SIZE`].
    const fn holding(size: usize) -> Class {
        let class = size.div_ceil(MIN_STACK_SIZE).next_power_of_two().trailing_zeros();
        assert!(class < Class::COUNT as u32);
        Class(class as u8)
    }

    #[inline]
    pub(super) fn from_index(index: usize) -> Class {
        debug_assert!(index < Class::COUNT);
        Class(index as u8)
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Bytes from one stack of this class to the next, guard page included.
    #[inline]
    pub(crate) fn size(self) -> usize {
        MIN_STACK_SIZE << self.0
    }
}

/// The smallest class that holds a stack of `size` bytes, guard page included.
///
/// # Errors
/// `InvalidInput`, with what to ask for instead, if `size` is too small, too large or no whole number of pages.
pub(crate) fn class_for(size: usize) -> io::Result<Class> {
    let page = super::memory::page_size();
    // Where pages are large, the guard must leave most of the stack.
    let least = LEAST_ASKED.max(4 * page);
    let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if size < least {
        refuse(format!("a stack of {size} bytes is too small: ask for at least {least}"))
    } else if size > MAX_STACK_SIZE {
        refuse(format!("a stack of {size} bytes is too large: ask for at most {MAX_STACK_SIZE}"))
    } else if !size.is_multiple_of(page) {
        let next = size.next_multiple_of(page);
        refuse(format!("a stack of {size} bytes is no whole number of pages of {page} bytes: ask for {next}"))
    } else {
        Ok(Class::holding(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_class_that_holds() {
        let page = super::super::memory::page_size();
        let size = |size| class_for(size).unwrap().size();
        assert_eq!(size(MIN_STACK_SIZE), MIN_STACK_SIZE);
        assert_eq!(size(128 << 10), 128 << 10);
        assert_eq!(size((128 << 10) + page), 256 << 10);
        assert_eq!(size(256 << 10), 256 << 10);
        assert_eq!(size(MAX_STACK_SIZE), MAX_STACK_SIZE);
        assert_eq!(class_for(DEFAULT_STACK_SIZE).unwrap(), Class::holding(DEFAULT_STACK_SIZE));
        if page <= 4096 {
            assert_eq!(size(LEAST_ASKED), MIN_STACK_SIZE);
            assert_eq!(size(20 << 10), MIN_STACK_SIZE);
        }
    }

    #[test]
    fn refusals_say_what_to_ask_for() {
        let refusal = |size| {
            let error = class_for(size).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            error.to_string()
        };
        assert!(refusal(0).contains("too small: ask for at least"));
        assert!(refusal(LEAST_ASKED - 1).contains("too small"));
        assert!(refusal(MAX_STACK_SIZE + 1).contains("too large: ask for at most 1073741824"));
        assert!(refusal(usize::MAX).contains("too large"));
        assert!(refusal((256 << 10) - 1).contains("ask for 262144"));
    }
}
