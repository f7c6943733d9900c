//! The messages of a channel: a queue in blocks.
//!
//! One growing ring would copy every message when it grows, under the channel's lock, and a bounded ring would take all
//! its memory when the channel is made. A chain of small blocks does neither: a push or a pop touches one slot, and
//! every 32nd the allocator, unless the one spare block that is kept serves. A queue that runs empty begins
//! again at the first slot of its block, so a channel that is always nearly empty lives in one cache line.
//!
//! # Invariants
//! * `head` and `tail` are null together. Of the chain from `head` to `tail`, the slots from `first` in `head` up to
//!   `end` in `tail` are initialised, and no others; there are `len` of them.
//! * If `len` is 0, `head == tail` and `first == end == 0` (or there is no block, and `end` says "full").

use std::alloc::{self, Layout};
use std::ptr;

/// What stands before a block's slots.
struct Block {
    next: *mut Block,
}

pub(super) struct Fifo<T> {
    head: *mut Block,
    tail: *mut Block,
    first: u32,
    end: u32,
    len: usize,
    spare: *mut Block,
    owns: std::marker::PhantomData<T>,
}

// SAFETY: the queue owns its messages, and the blocks are reachable only through it.
unsafe impl<T: Send> Send for Fifo<T> {}

impl<T> Fifo<T> {
    /// Slots in a block: fewer of large messages, so that a block stays within a few kilobytes.
    const SLOTS: u32 = match size_of::<T>() {
        0..=128 => 32,
        129..=512 => 8,
        _ => 2,
    };

    /// A block's layout, and where its slots begin.
    const LAYOUT: (Layout, usize) = match Layout::array::<T>(Self::SLOTS as usize) {
        Ok(slots) => match Layout::new::<Block>().extend(slots) {
            Ok((layout, offset)) => (layout.pad_to_align(), offset),
            Err(_) => panic!("a message is too large"),
        },
        Err(_) => panic!("a message is too large"),
    };

    pub(super) const fn new() -> Fifo<T> {
        Fifo {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            first: 0,
            end: Self::SLOTS,
            len: 0,
            spare: ptr::null_mut(),
            owns: std::marker::PhantomData,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, message: T) {
        // SAFETY: the slot is vacant, and holds a message when it is counted.
        unsafe {
            self.vacant().write(message);
            self.count_pushed();
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        let front = self.front()?;
        // SAFETY: the front holds a message, and no longer does when that is discounted.
        unsafe {
            let message = front.read();
            self.count_popped();
            Some(message)
        }
    }

    /// The slot behind the last message. It stays vacant until `count_pushed`.
    #[inline]
    pub(super) fn vacant(&mut self) -> *mut T {
        if self.end == Self::SLOTS {
            self.grow();
        }
        // SAFETY: `tail` is a block of ours, and `end` isn't behind its slots.
        unsafe { Self::slot(self.tail, self.end) }
    }

    /// # Safety
    /// The slot that `vacant` returned last has been filled.
    #[inline]
    pub(super) unsafe fn count_pushed(&mut self) {
        self.end += 1;
        self.len += 1;
    }

    /// The slot of the first message.
    #[inline]
    pub(super) fn front(&mut self) -> Option<*mut T> {
        if self.len == 0 {
            return None;
        }
        if self.first == Self::SLOTS {
            self.advance();
        }
        // SAFETY: the queue isn't empty, so `first` is a slot of `head`, which is a block of ours.
        Some(unsafe { Self::slot(self.head, self.first) })
    }

    /// # Safety
    /// The slot that `front` returned last has been emptied.
    #[inline]
    pub(super) unsafe fn count_popped(&mut self) {
        self.first += 1;
        self.len -= 1;
        if self.len == 0 {
            if self.head != self.tail {
                // `vacant` made a block, and nothing was pushed.
                self.advance();
            }
            self.first = 0;
            self.end = 0;
        }
    }

    /// # Safety
    /// `block` is one of ours, `index` below [`Self::SLOTS`].
    #[inline]
    unsafe fn slot(block: *mut Block, index: u32) -> *mut T {
        // SAFETY: the slots of a block begin at this offset, and there are `SLOTS` of them.
        unsafe { block.byte_add(Self::LAYOUT.1).cast::<T>().add(index as usize) }
    }

    /// Puts an empty block at the end.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let block = if self.spare.is_null() {
            // SAFETY: a block isn't of size 0, since it has a header.
            let block = unsafe { alloc::alloc(Self::LAYOUT.0) }.cast::<Block>();
            if block.is_null() {
                alloc::handle_alloc_error(Self::LAYOUT.0);
            }
            block
        } else {
            std::mem::replace(&mut self.spare, ptr::null_mut())
        };
        // SAFETY: the block is ours alone, and so is the tail, if there is one.
        unsafe {
            block.write(Block { next: ptr::null_mut() });
            if self.tail.is_null() {
                self.head = block;
            } else {
                (*self.tail).next = block;
            }
        }
        self.tail = block;
        self.end = 0;
    }

    /// Leaves the drained first block, which has a successor.
    #[cold]
    #[inline(never)]
    fn advance(&mut self) {
        let drained = self.head;
        // SAFETY: the head is a block of ours.
        self.head = unsafe { (*drained).next };
        self.first = 0;
        if self.spare.is_null() {
            self.spare = drained;
        } else {
            // SAFETY: it is drained and unlinked.
            unsafe { Self::free(drained) };
        }
    }

    /// # Safety
    /// The block is one of ours, and neither it nor a message in it is used afterwards.
    unsafe fn free(block: *mut Block) {
        // SAFETY: `grow` allocated it with this layout.
        unsafe { alloc::dealloc(block.cast(), Self::LAYOUT.0) }
    }
}

impl<T> Drop for Fifo<T> {
    /// If a message's destructor panics, the messages behind it are leaked, as in crossbeam-channel: dropping them while
    /// unwinding would turn a second panic into an abort. The blocks are freed all the same.
    fn drop(&mut self) {
        struct Blocks<'a, T>(&'a mut Fifo<T>);
        impl<T> Drop for Blocks<'_, T> {
            fn drop(&mut self) {
                let mut block = self.0.head;
                while !block.is_null() {
                    // SAFETY: it is a block of the chain, and nothing in it is used any more.
                    unsafe {
                        let next = (*block).next;
                        Fifo::<T>::free(block);
                        block = next;
                    }
                }
                if !self.0.spare.is_null() {
                    // SAFETY: the spare block is in no chain.
                    unsafe { Fifo::<T>::free(self.0.spare) };
                }
            }
        }
        let blocks = Blocks(self);
        while blocks.0.pop().is_some() {}
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Fifo;
    use std::collections::VecDeque;
    use std::rc::Rc;

    #[test]
    fn behaves_as_a_deque() {
        let rng = crate::rng::Rng::new(7);
        let (mut fifo, mut model) = (Fifo::new(), VecDeque::new());
        for round in 0..20_000_u32 {
            // Long phases of growing and of draining, so that blocks come and go.
            let growing = (round / 500) % 2 == 0;
            if rng.below(4) < if growing { 3 } else { 1 } {
                fifo.push(Box::new(round));
                model.push_back(round);
            } else {
                assert_eq!(fifo.pop().map(|b| *b), model.pop_front());
            }
            assert_eq!(fifo.len(), model.len());
        }
    }

    #[test]
    fn room_may_be_looked_for_in_vain() {
        let mut fifo = Fifo::new();
        for _ in 0..3 {
            // Up to a block's end, so that the room is in a fresh one.
            (0..32).for_each(|i| fifo.push(i));
            let _ = fifo.vacant();
            (0..32).for_each(|i| assert_eq!(fifo.pop(), Some(i)));
            let _ = fifo.vacant();
            (0..40).for_each(|i| fifo.push(i));
            (0..40).for_each(|i| assert_eq!(fifo.pop(), Some(i)));
        }
    }

    #[test]
    fn holds_messages_of_any_size() {
        fn check<T: Clone + PartialEq + std::fmt::Debug>(message: T) {
            let mut fifo = Fifo::new();
            for _ in 0..3 {
                (0..100).for_each(|_| fifo.push(message.clone()));
                (0..100).for_each(|_| assert_eq!(fifo.pop(), Some(message.clone())));
                assert_eq!(fifo.pop(), None);
            }
        }
        #[derive(Clone, PartialEq, Debug)]
        #[repr(align(64))]
        struct Aligned(u8);
        check(());
        check(7_u8);
        check(Aligned(3));
        check([5_u64; 40]);
        check([5_u64; 400]);
    }

    #[test]
    fn drops_what_is_left() {
        let message = Rc::new(());
        let mut fifo = Fifo::new();
        (0..100).for_each(|_| fifo.push(message.clone()));
        (0..50).for_each(|_| drop(fifo.pop()));
        assert_eq!(Rc::strong_count(&message), 51);
        drop(fifo);
        assert_eq!(Rc::strong_count(&message), 1);
    }

    #[test]
    fn a_panicking_destructor_leaks_only_what_is_behind_it() {
        struct Bomb(bool, #[allow(dead_code)] Rc<()>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0, "boom");
            }
        }
        let count = Rc::new(());
        let mut fifo = Fifo::new();
        (0..100).for_each(|i| fifo.push(Bomb(i == 40, count.clone())));
        let dropping = std::panic::AssertUnwindSafe(|| drop(fifo));
        assert!(std::panic::catch_unwind(dropping).is_err());
        assert_eq!(Rc::strong_count(&count), 1 + 59);
    }
}
