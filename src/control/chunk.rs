//! Chunks: what blocks are cut from.
//!
//! A chunk is one allocation, aligned to its size, so that a block's address leads to its chunk. Its own record lies in
//! the place of its first block: the free blocks that have come home, and how many were never given out. Those aren't
//! touched before they are, so a chunk takes memory only as it is used.
//!
//! What is called here is called under the lock of `blocks.rs`.

use std::alloc::{self, Layout};
use std::ptr::NonNull;

/// A block holds the control block and a closure of about ten words.
pub(super) const BLOCK: Layout = match Layout::from_size_align(256, 64) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// So large that the general allocator, which may ask the system for a few pages at a time, is hardly ever asked; so
/// small that a block in use somewhere keeps little memory.
const CHUNK: Layout = match Layout::from_size_align(64 << 10, 64 << 10) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Blocks of a chunk, but for the first.
pub(super) const BLOCKS: usize = CHUNK.size() / BLOCK.size() - 1;

/// What a free block holds: the next one of its chain.
struct Free {
    next: Option<NonNull<Free>>,
}

/// A list of free blocks, which it owns.
pub(super) struct Chain {
    first: Option<NonNull<Free>>,
    length: usize,
}

// SAFETY: a chain owns its blocks, and memory has no thread.
unsafe impl Send for Chain {}

impl Chain {
    pub(super) const EMPTY: Chain = Chain { first: None, length: 0 };

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<NonNull<u8>> {
        let first = self.first?;
        // SAFETY: a chain's blocks are free, initialised by `push`, and its own.
        self.first = unsafe { first.as_ref() }.next;
        self.length -= 1;
        Some(first.cast())
    }

    /// # Safety
    /// The block is one of a chunk's, and nobody uses it.
    #[inline]
    pub(super) unsafe fn push(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Free>();
        // SAFETY: the caller's.
        unsafe { block.write(Free { next: self.first }) };
        self.first = Some(block);
        self.length += 1;
    }
}

pub(super) struct Chunk {
    /// Blocks that came home.
    home: Chain,
    /// Blocks at the end that were never given out.
    fresh: usize,
    /// The owner's: where it keeps the chunk.
    pub(super) place: usize,
}

const _: () = assert!(size_of::<Chunk>() <= BLOCK.size() && BLOCK.size().is_multiple_of(BLOCK.align()));

impl Chunk {
    /// A chunk, all of it free. `None` if there is no memory.
    pub(super) fn new() -> Option<NonNull<Chunk>> {
        // SAFETY: the layout's size isn't zero.
        let chunk = NonNull::new(unsafe { alloc::alloc(CHUNK) })?.cast::<Chunk>();
        // SAFETY: the allocation has room for its record.
        unsafe { chunk.write(Chunk { home: Chain::EMPTY, fresh: BLOCKS, place: usize::MAX }) };
        Some(chunk)
    }

    /// The chunk that a block was cut from.
    pub(super) fn of(block: NonNull<u8>) -> NonNull<Chunk> {
        let chunk = block.as_ptr().map_addr(|address| address & !(CHUNK.size() - 1));
        NonNull::new(chunk).expect("nothing is allocated at address 0").cast()
    }

    /// Blocks that it has.
    pub(super) fn free_blocks(&self) -> usize {
        self.home.len() + self.fresh
    }

    /// Takes a block that is free, one that was used before if there is any.
    ///
    /// # Safety
    /// The chunk is alive, and nobody else has a reference to its record.
    pub(super) unsafe fn take(chunk: NonNull<Chunk>) -> Option<NonNull<u8>> {
        // SAFETY: the caller's.
        let record = unsafe { &mut *chunk.as_ptr() };
        if let Some(block) = record.home.pop() {
            return Some(block);
        }
        let index = BLOCKS - record.fresh;
        record.fresh = record.fresh.checked_sub(1)?;
        // SAFETY: there are so many blocks behind the record.
        Some(unsafe { chunk.cast::<u8>().add((1 + index) * BLOCK.size()) })
    }

    /// Takes a block home.
    ///
    /// # Safety
    /// As for `take`; the block is this chunk's, and nobody uses it.
    pub(super) unsafe fn give(chunk: NonNull<Chunk>, block: NonNull<u8>) {
        // SAFETY: the caller's.
        unsafe { (*chunk.as_ptr()).home.push(block) }
    }

    /// # Safety
    /// All its blocks are free and at home, and nobody uses it.
    pub(super) unsafe fn free(chunk: NonNull<Chunk>) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { alloc::dealloc(chunk.as_ptr().cast(), CHUNK) }
    }
}
