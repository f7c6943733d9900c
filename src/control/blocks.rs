//! Memory for tasks: blocks of one size, kept by the worker that frees them.
//!
//! A task is often made by one worker and freed by another, which is the worst case of a general allocator: its caches
//! are each thread's, so every such block goes back under its maker's lock. Here the freeing worker keeps the block for
//! the tasks that it makes itself. One that frees more than it makes hands chains of them to the others through a pool.
//! ```text
//!   worker's chains <--chain by chain--> pool's chains --not needed for a while--> their chunks --all free--> allocator
//!         ^                                                                          |
//!         +------------------------------ where the pool has no chain ---------------+
//! ```
//! Blocks are cut from chunks (see `chunk.rs`). Those of a chain are from many of them, as their tasks happened to end. The
//! pool is trimmed as idle stacks are (see `stack/`): chains that were not needed for a while are taken apart, and a chunk
//! whose blocks have all come home is freed. A few blocks left in a chain would keep as many chunks, so once there is too
//! much, all that isn't needed goes home: the rest of the pool, and what the workers have when they go to sleep.
//!
//! Threads that are no workers share one chain, in the pool. Under a sanitizer each task is an allocation of its own, so
//! that each use after a free is seen.

use super::chunk::{BLOCK, BLOCKS, Chain, Chunk};
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{Ordering, StaticAtomicBool};
use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::NonNull;

/// Blocks in a chain, and chains that the pool may keep for ever: 4 MiB.
const CHAIN: usize = 64;
const CHAINS: usize = 256;
/// Likewise chunks that are all free.
const CHUNKS: usize = CHAINS * CHAIN / BLOCKS;

/// Chains that are taken apart by one call, at least.
const TRIM_BATCH: usize = 64;

/// What no worker has.
struct Pool {
    chains: Vec<Chain>,
    /// The fewest chains there were since the last `trim_unused`.
    unneeded: usize,
    /// For threads that are no workers.
    outside: Chain,
    /// Chunks with free blocks. Each knows its place in here.
    chunks: Vec<NonNull<Chunk>>,
    /// How many of them are all free.
    empty: usize,
}

// SAFETY: the chunks are used under the pool's lock.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { chains: Vec::new(), unneeded: 0, outside: Chain::EMPTY, chunks: Vec::new(), empty: 0 });

/// Whether chains are to be taken apart: from when there are more than may be kept until none is left.
static EXCESS: StaticAtomicBool = StaticAtomicBool::new(false);

impl Pool {
    /// A chain that isn't empty. `None` if there is no memory.
    fn take(&mut self) -> Option<Chain> {
        if let Some(chain) = self.chains.pop() {
            self.unneeded = self.unneeded.min(self.chains.len());
            return Some(chain);
        }
        let mut chain = Chain::EMPTY;
        while chain.len() < CHAIN
            && let Some(block) = self.cut()
        {
            // SAFETY: it has just been taken.
            unsafe { chain.push(block) };
        }
        (chain.len() > 0).then_some(chain)
    }

    fn give(&mut self, chain: Chain) {
        if chain.len() > 0 {
            self.chains.push(chain);
        }
        if self.chains.len() > CHAINS {
            // Relaxed: a hint.
            EXCESS.store(true, Ordering::Relaxed);
        }
    }

    /// Takes one block from a chunk.
    fn cut(&mut self) -> Option<NonNull<u8>> {
        let chunk = match self.chunks.last() {
            Some(&chunk) => chunk,
            None => {
                let chunk = Chunk::new()?;
                self.insert(chunk);
                self.empty += 1;
                chunk
            }
        };
        // SAFETY: chunks in the list are alive, and under our lock.
        unsafe {
            self.empty -= usize::from(chunk.as_ref().free_blocks() == BLOCKS);
            let block = Chunk::take(chunk);
            if chunk.as_ref().free_blocks() == 0 {
                self.remove(chunk);
            }
            block
        }
    }

    /// Gives one block back to its chunk.
    ///
    /// # Safety
    /// It came from `cut`, and nobody uses it.
    unsafe fn bring_home(&mut self, block: NonNull<u8>) {
        let chunk = Chunk::of(block);
        // SAFETY: a chunk is alive while a block of it is out, and its record is under our lock.
        unsafe {
            if chunk.as_ref().free_blocks() == 0 {
                self.insert(chunk);
            }
            Chunk::give(chunk, block);
            if chunk.as_ref().free_blocks() < BLOCKS {
                return;
            }
            if self.empty < CHUNKS {
                self.empty += 1;
            } else {
                self.remove(chunk);
                Chunk::free(chunk);
            }
        }
    }

    fn insert(&mut self, mut chunk: NonNull<Chunk>) {
        // SAFETY: as in `cut`.
        unsafe { chunk.as_mut() }.place = self.chunks.len();
        self.chunks.push(chunk);
    }

    /// The chunk is in the list.
    fn remove(&mut self, chunk: NonNull<Chunk>) {
        // SAFETY: as in `cut`.
        let place = unsafe { chunk.as_ref() }.place;
        self.chunks.swap_remove(place);
        if let Some(moved) = self.chunks.get_mut(place) {
            // SAFETY: as in `cut`.
            unsafe { moved.as_mut() }.place = place;
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
        if hot.len() == 0 {
            hot = self.full.replace(Chain::EMPTY);
        }
        if hot.len() == 0 {
            hot = POOL.lock().take()?;
        }
        let block = hot.pop();
        self.hot.set(hot);
        block
    }

    /// # Safety
    /// As for [`Chain::push`].
    unsafe fn push(&self, block: NonNull<u8>) {
        let mut hot = self.hot.replace(Chain::EMPTY);
        if hot.len() == CHAIN {
            let full = self.full.replace(hot);
            hot = Chain::EMPTY;
            if full.len() > 0 {
                POOL.lock().give(full);
            }
        }
        // SAFETY: the caller's.
        unsafe { hot.push(block) };
        self.hot.set(hot);
    }

    /// Gives all of them to the pool: for a worker that goes to sleep while [`has_excess`], or that ends.
    pub(crate) fn give_up(&self) {
        let mut pool = POOL.lock();
        pool.give(self.hot.replace(Chain::EMPTY));
        pool.give(self.full.replace(Chain::EMPTY));
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Whether blocks are to go home. A hint.
pub(crate) fn has_excess() -> bool {
    // Relaxed: a hint.
    EXCESS.load(Ordering::Relaxed)
}

/// Brings some of the blocks home that were not needed since the last call: to be called now and then while
/// [`has_excess`].
pub(crate) fn trim_unused() {
    let mut pool = POOL.lock();
    let count = pool.unneeded.min(TRIM_BATCH.max(pool.unneeded / 8));
    let unneeded: Vec<Chain> = pool.chains.drain(..count).collect();
    pool.unneeded = pool.chains.len();
    // Relaxed: a hint.
    EXCESS.store(!pool.chains.is_empty(), Ordering::Relaxed);
    drop(pool);
    for mut chain in unneeded {
        // Others may come in between two chains.
        let mut pool = POOL.lock();
        while let Some(block) = chain.pop() {
            // SAFETY: every block came from `cut`, and a chain's are free.
            unsafe { pool.bring_home(block) };
        }
    }
}

/// Memory for a task.
pub(crate) fn allocate(layout: Layout, blocks: Option<&Blocks>) -> NonNull<u8> {
    let block = if !fits(layout) {
        // SAFETY: the layout's size isn't zero: a task has a control block.
        NonNull::new(unsafe { alloc::alloc(layout) })
    } else if let Some(blocks) = blocks {
        blocks.pop()
    } else {
        let mut pool = POOL.lock();
        pool.outside.pop().or_else(|| {
            pool.outside = pool.take()?;
            pool.outside.pop()
        })
    };
    block.unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Frees what `allocate` returned.
///
/// # Safety
/// It came from `allocate` with the same layout, and nobody uses it.
pub(crate) unsafe fn free(block: NonNull<u8>, layout: Layout, blocks: Option<&Blocks>) {
    match blocks {
        // SAFETY: the caller's; it was allocated with this very layout.
        _ if !fits(layout) => unsafe { alloc::dealloc(block.as_ptr(), layout) },
        // SAFETY: the caller's; it is a block.
        Some(blocks) => unsafe { blocks.push(block) },
        None => {
            let mut pool = POOL.lock();
            // SAFETY: likewise.
            unsafe { pool.outside.push(block) };
            if pool.outside.len() > CHAIN {
                let chain = std::mem::replace(&mut pool.outside, Chain::EMPTY);
                pool.give(chain);
            }
        }
    }
}

/// Whether a task of this layout lies in a block.
fn fits(layout: Layout) -> bool {
    cfg!(not(any(throng_asan, throng_tsan))) && layout.size() <= BLOCK.size() && layout.align() <= BLOCK.align()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn pool() -> Pool {
        Pool { chains: Vec::new(), unneeded: 0, outside: Chain::EMPTY, chunks: Vec::new(), empty: 0 }
    }

    fn free_everything(pool: Pool) {
        assert_eq!(pool.empty, pool.chunks.len());
        for chunk in pool.chunks {
            // SAFETY: all of its blocks are at home.
            unsafe { Chunk::free(chunk) }
        }
    }

    #[test]
    fn blocks_are_apart_and_their_chunks_go_when_all_are_home() {
        let rng = Rng::new(11);
        let mut pool = pool();
        let count = 3 * CHUNKS * BLOCKS + 7;
        for _ in 0..2 {
            let mut blocks: Vec<_> = (0..count).map(|_| pool.cut().expect("memory")).collect();
            let mut sorted = blocks.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|pair| pair[1].addr().get() - pair[0].addr().get() >= BLOCK.size()));
            for block in &blocks {
                assert!(block.addr().get().is_multiple_of(BLOCK.align()));
                // SAFETY: it is ours.
                unsafe { block.write_bytes(0xa5, BLOCK.size()) };
            }
            while !blocks.is_empty() {
                let block = blocks.swap_remove(rng.below(blocks.len()));
                // SAFETY: it came from `cut`.
                unsafe { pool.bring_home(block) };
            }
            assert_eq!(pool.chunks.len(), CHUNKS);
        }
        free_everything(pool);
    }

    #[test]
    fn a_chain_comes_back_before_a_chunk_is_cut() {
        let mut pool = pool();
        let mut chain = pool.take().expect("memory");
        assert_eq!(chain.len(), CHAIN);
        let first = chain.pop().expect("it has blocks");
        // SAFETY: just taken.
        unsafe { chain.push(first) };
        pool.give(chain);
        let mut chain = pool.take().expect("memory");
        assert_eq!((chain.len(), chain.pop()), (CHAIN, Some(first)));
        // SAFETY: ours, from `cut`.
        unsafe { pool.bring_home(first) };
        while let Some(block) = chain.pop() {
            // SAFETY: likewise.
            unsafe { pool.bring_home(block) };
        }
        free_everything(pool);
    }
}
