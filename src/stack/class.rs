//! Size classes: a stack is as large as a power of two from 16 KiB to 1 GiB, its guard page included.
//!
//! Powers of two waste address space, which is not scarce, and never memory, which a stack takes by the page it
//! touches; in exchange any two stacks of a class are exchangeable and there are few pools.

use std::io;

/// The smallest stack, its guard page included: room for `println!`, not for a formatted backtrace.
pub(crate) const MIN_STACK_SIZE: usize = 16 << 10;

/// The largest, which is a bound against mistakes: sixteen of them are mapped at once.
pub(crate) const MAX_STACK_SIZE: usize = MIN_STACK_SIZE << (Class::COUNT - 1);

/// What a task gets that asks for nothing. Frames of unoptimized and of instrumented code are several times as large.
pub(crate) const DEFAULT_STACK_SIZE: usize =
    if cfg!(any(debug_assertions, throng_tsan, throng_asan)) { 1 << 20 } else { 256 << 10 };

/// The smallest that a task really gets. A task that waits runs the scheduler on its own stack, and unoptimized that alone
/// takes more than the smallest stack has.
const LEAST_GIVEN: usize = if cfg!(any(throng_tsan, throng_asan)) {
    8 * MIN_STACK_SIZE
} else if cfg!(debug_assertions) {
    4 * MIN_STACK_SIZE
} else {
    MIN_STACK_SIZE
};

/// A size class of stacks: `MIN_STACK_SIZE << class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Class(u8);

impl Class {
    pub(crate) const COUNT: usize = 17;

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
    let least = MIN_STACK_SIZE.max(4 * page);
    let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if size < least {
        refuse(format!("a stack of {size} bytes is too small: ask for at least {least}"))
    } else if size > MAX_STACK_SIZE {
        refuse(format!("a stack of {size} bytes is too large: ask for at most {MAX_STACK_SIZE}"))
    } else if !size.is_multiple_of(page) {
        let next = size.next_multiple_of(page);
        refuse(format!("a stack of {size} bytes is no whole number of pages of {page} bytes: ask for {next}"))
    } else {
        Ok(Class::holding(size.max(LEAST_GIVEN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_class_that_holds() {
        let page = super::super::memory::page_size();
        let size = |size| class_for(size).unwrap().size();
        assert_eq!(size(128 << 10), 128 << 10);
        assert_eq!(size((128 << 10) + page), 256 << 10);
        assert_eq!(size(256 << 10), 256 << 10);
        assert_eq!(size(MAX_STACK_SIZE), MAX_STACK_SIZE);
        assert_eq!(MAX_STACK_SIZE, 1 << 30);
        assert_eq!(class_for(DEFAULT_STACK_SIZE).unwrap(), Class::holding(DEFAULT_STACK_SIZE));
        if page <= 4096 {
            assert_eq!(size(MIN_STACK_SIZE), LEAST_GIVEN);
            assert_eq!(size(20 << 10), LEAST_GIVEN.max(32 << 10));
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
        assert!(refusal(MIN_STACK_SIZE - 1).contains("too small"));
        assert!(refusal(MAX_STACK_SIZE + 1).contains("too large: ask for at most 1073741824"));
        assert!(refusal(usize::MAX).contains("too large"));
        assert!(refusal((256 << 10) - 1).contains("ask for 262144"));
    }
}
