//! Slabs: the mappings that stacks are cut from; and the handle of a stack.

use super::class::Class;
use super::guard::{Guards, guard_size};
use super::memory;
use crate::primitive::{Ordering, StaticAtomicPtr};
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::{fmt, io};

/// A stack: a unique handle to one slot of a slab. It goes back to the arena by hand; dropping it does nothing.
///
/// One word, since caches are made of them: the address of the slot, its class in the low bits.
#[must_use]
pub(crate) struct Stack(NonNull<u8>);

/// Slots start at a page, so these bits of their address are free.
const CLASS_BITS: usize = 31;

// SAFETY: the handle is unique, and memory has no thread.
unsafe impl Send for Stack {}
// SAFETY: a shared handle tells addresses, no more.
unsafe impl Sync for Stack {}

impl Stack {
    /// The caller owns the slot at `base`.
    fn new(base: NonNull<u8>, class: Class) -> Stack {
        debug_assert_eq!(base.addr().get() & CLASS_BITS, 0);
        Stack(base.map_addr(|address| address | class.index()))
    }

    #[inline]
    pub(crate) fn class(&self) -> Class {
        Class::from_index(self.0.addr().get() & CLASS_BITS)
    }

    /// The start of the slot, which is its guard.
    #[inline]
    pub(super) fn guard(&self) -> NonNull<u8> {
        let address = self.0.as_ptr().map_addr(|address| address & !CLASS_BITS);
        // SAFETY: a slot is never at address 0.
        unsafe { NonNull::new_unchecked(address) }
    }

    /// The lowest usable address, just above the guard.
    #[inline]
    pub(crate) fn bottom(&self) -> *mut u8 {
        self.guard().as_ptr().wrapping_add(guard_size())
    }

    /// One past the highest usable address; a multiple of the page size.
    #[inline]
    pub(crate) fn top(&self) -> *mut u8 {
        self.guard().as_ptr().wrapping_add(self.class().size())
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({:?}..{:?})", self.bottom(), self.top())
    }
}

/// Where an address lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The usable addresses of the stack, above the guard.
    pub(crate) stack: Range<usize>,
    /// Bytes of the stack with its guard: those of its class.
    pub(crate) size: usize,
    /// Whether the address is in the guard below them: whoever touched it overflowed this stack.
    pub(crate) in_guard: bool,
}

/// A run of slots that were never handed out.
pub(super) struct Fresh {
    next: NonNull<u8>,
    left: usize,
    class: Class,
}

// SAFETY: it stands for the slots, whose handles are `Send`.
unsafe impl Send for Fresh {}

impl Fresh {
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The stack `index` slots on, of which there must be only one handle in the end.
    fn stack(&self, index: usize) -> Stack {
        assert!(index < self.left);
        // SAFETY: the slot lies in the slab.
        Stack::new(unsafe { self.next.add(index * self.class.size()) }, self.class)
    }

    /// Hands out the next `count` slots, or all that are left.
    pub(super) fn cut(&mut self, out: &mut Vec<Stack>, count: usize) {
        let count = count.min(self.left);
        out.extend((0..count).map(|index| self.stack(index)));
        // SAFETY: at most the end of the slab.
        self.next = unsafe { self.next.add(count * self.class.size()) };
        self.left -= count;
    }
}

/// All slabs of an arena: a list that only grows, so that a signal handler can walk it at any instant.
pub(super) struct Slabs {
    head: StaticAtomicPtr<Slab>,
}

struct Slab {
    base: NonNull<u8>,
    slots: usize,
    class: Class,
    guard_size: usize,
    next: *mut Slab,
}

impl Slabs {
    pub(super) const fn new() -> Slabs {
        Slabs { head: StaticAtomicPtr::new(ptr::null_mut()) }
    }

    /// Maps a slab of `slots` stacks, with their guards if those are made at once. Calls are serialized by the caller.
    pub(super) fn grow(&self, class: Class, slots: usize, guards: Guards) -> io::Result<Fresh> {
        let bytes = slots.checked_mul(class.size()).filter(|&bytes| isize::try_from(bytes).is_ok());
        let bytes = bytes.ok_or(io::ErrorKind::OutOfMemory)?;
        let base = memory::map_and_leave(bytes)?;
        let fresh = Fresh { next: base, left: slots, class };
        if guards == Guards::Mprotect
            && let Err(error) = (0..slots).try_for_each(|index| guards.install(&[fresh.stack(index)]))
        {
            // SAFETY: mapped above, known to nobody yet.
            unsafe { memory::unmap(base, bytes) };
            return Err(error);
        }
        // Relaxed: the pointer to the last head was published by a call before this one.
        let next = self.head.load(Ordering::Relaxed);
        let slab = Box::into_raw(Box::new(Slab { base, slots, class, guard_size: guard_size(), next }));
        // Release: pairs with the Acquire of `iter`, for the contents of the slab.
        self.head.store(slab, Ordering::Release);
        Ok(fresh)
    }

    fn iter(&self) -> impl Iterator<Item = &Slab> {
        // Acquire: pairs with the Release of `grow`. It covers the rest of the list too: each slab was published
        // before the one in front of it, by the same thread or under the same lock.
        let mut slab = self.head.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: a slab in the list is never changed, nor freed before the list.
            let this = unsafe { slab.as_ref() }?;
            slab = this.next;
            Some(this)
        })
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.iter().count()
    }

    /// Async-signal-safe: reads an atomic and memory that never changes.
    pub(super) fn locate(&self, address: usize) -> Option<Place> {
        let slab = self.iter().find(|slab| slab.range().contains(&address))?;
        let size = slab.class.size();
        let base = address - (address - slab.range().start) % size;
        let stack = base + slab.guard_size..base + size;
        Some(Place { in_guard: address < stack.start, stack, size })
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        let mut slab = *self.head.get_mut();
        while !slab.is_null() {
            // SAFETY: made by `Box::into_raw` in `grow`; nobody walks the list any more.
            let this = unsafe { Box::from_raw(slab) };
            // SAFETY: mapped in `grow`; an arena that is dropped has no stack in use.
            unsafe { memory::unmap(this.base, this.slots * this.class.size()) };
            slab = this.next;
        }
    }
}

impl Slab {
    fn range(&self) -> Range<usize> {
        memory::range(self.base, self.slots * self.class.size())
    }
}
