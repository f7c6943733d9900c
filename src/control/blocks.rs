//! Memory for tasks: blocks of one size, kept by the worker that frees them.
//!
//! A task is often made by one worker and freed by another, which is the worst case of a general allocator: its caches
//! are each thread's, so every such block goes back under its maker's lock. Here the freeing worker keeps the block for
//! the tasks that it makes itself. One that frees more than it makes hands chains of them to the others through a pool.
//! The pool is trimmed as idle stacks are (see `stack/`): what was not needed for a while goes back.
//!
//! Blocks come from the global allocator, one by one, and any of them may go back there at any time: threads that are no
//! workers use it directly. Under a sanitizer nothing is kept, so that it sees each use after a free.

use parking_lot::Mutex;
use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::NonNull;

/// Holds the control block and a closure of about ten words.
const LAYOUT: Layout = match Layout::from_size_align(256, 64) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Blocks in a chain, and chains that the pool may keep for ever: 4 MiB.
const CHAIN: usize = 64;
const CHAINS: usize = 256;

/// Chains that are freed by one call, at least.
const TRIM_BATCH: usize = 64;

/// What a free block holds: the next one of its chain.
struct Free {
    next: Option<NonNull<Free>>,
}

/// A list of free blocks.
struct Chain {
    first: Option<NonNull<Free>>,
    length: usize,
}

// SAFETY: a chain owns its blocks, and memory has no thread.
unsafe impl Send for Chain {}

/// The chains that some worker had too many of.
struct Pool {
    chains: Vec<Chain>,
    /// The fewest there were since the last `trim_unused`.
    unneeded: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { chains: Vec::new(), unneeded: 0 });

impl Chain {
    const EMPTY: Chain = Chain { first: None, length: 0 };

    fn pop(&mut self) -> Option<NonNull<u8>> {
        let first = self.first?;
        // SAFETY: a chain's blocks are free, initialised by `push`, and its own.
        self.first = unsafe { first.as_ref() }.next;
        self.length -= 1;
        Some(first.cast())
    }

    /// # Safety
    /// The block is of our layout, and nobody uses it.
    unsafe fn push(&mut self, block: NonNull<u8>) {
        let block = block.cast::<Free>();
        // SAFETY: the caller's.
        unsafe { block.write(Free { next: self.first }) };
        self.first = Some(block);
        self.length += 1;
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while let Some(block) = self.pop() {
            // SAFETY: it came from the global allocator, with this layout.
            unsafe { alloc::dealloc(block.as_ptr(), LAYOUT) };
        }
    }
}

/// One worker's free blocks: the hot chain, and a full one or none behind it.
pub(crate) struct Blocks {
    hot: Cell<Chain>,
    full: Cell<Chain>,
}

impl Blocks {
    pub(crate) const fn new() -> Blocks {
        Blocks { hot: Cell::new(Chain::EMPTY), full: Cell::new(Chain::EMPTY) }
    }

    fn pop(&self) -> Option<NonNull<u8>> {
        let mut hot = self.hot.replace(Chain::EMPTY);
        if hot.first.is_none() {
            hot = self.full.replace(Chain::EMPTY);
        }
        if hot.first.is_none() {
            let mut pool = POOL.lock();
            if let Some(chain) = pool.chains.pop() {
                pool.unneeded = pool.unneeded.min(pool.chains.len());
                hot = chain;
            }
        }
        let block = hot.pop();
        self.hot.set(hot);
        block
    }

    /// # Safety
    /// As for [`Chain::push`].
    unsafe fn push(&self, block: NonNull<u8>) {
        let mut hot = self.hot.replace(Chain::EMPTY);
        if hot.length == CHAIN {
            let full = self.full.replace(hot);
            hot = Chain::EMPTY;
            if full.length > 0 {
                POOL.lock().chains.push(full);
            }
        }
        // SAFETY: the caller's.
        unsafe { hot.push(block) };
        self.hot.set(hot);
    }
}

/// Whether the pool holds more than it may for ever.
pub(crate) fn has_excess() -> bool {
    POOL.lock().chains.len() > CHAINS
}

/// Frees some of what was not needed since the last call: to be called now and then while [`has_excess`].
pub(crate) fn trim_unused() {
    let mut pool = POOL.lock();
    let count = pool.unneeded.min(pool.chains.len().saturating_sub(CHAINS));
    let count = count.min(TRIM_BATCH.max(count / 8));
    let freed: Vec<Chain> = pool.chains.drain(..count).collect();
    pool.unneeded = pool.chains.len();
    drop(pool);
    drop(freed);
}

/// Memory for a task.
pub(crate) fn allocate(layout: Layout, blocks: Option<&Blocks>) -> NonNull<u8> {
    let fits = fits(layout);
    if let Some(block) = blocks.filter(|_| fits).and_then(Blocks::pop) {
        return block;
    }
    let layout = if fits { LAYOUT } else { layout };
    // SAFETY: the layout's size isn't zero: a task has a control block.
    NonNull::new(unsafe { alloc::alloc(layout) }).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Frees what `allocate` returned.
///
/// # Safety
/// It came from `allocate` with the same layout, and nobody uses it.
pub(crate) unsafe fn free(block: NonNull<u8>, layout: Layout, blocks: Option<&Blocks>) {
    let fits = fits(layout);
    match blocks.filter(|_| fits && cfg!(not(any(throng_asan, throng_tsan)))) {
        // SAFETY: the caller's.
        Some(blocks) => unsafe { blocks.push(block) },
        // SAFETY: the caller's; it was allocated with this very layout.
        None => unsafe { alloc::dealloc(block.as_ptr(), if fits { LAYOUT } else { layout }) },
    }
}

fn fits(layout: Layout) -> bool {
    layout.size() <= LAYOUT.size() && layout.align() <= LAYOUT.align()
}
