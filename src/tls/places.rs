//! Where a thread's storage is: what `dl_iterate_phdr` tells the thread itself.
//!
//! The blocks of the program and of all libraries that it was started with lie side by side, next to the thread pointer (below
//! it on x86-64, above it on AArch64), and the thread's control block lies on the other side: *the storage*. What is
//! in between, and a library that is loaded late and finds room there, belongs to it. The blocks of other late libraries are on
//! the heap, and come into being when the thread first uses them; that is what has to be asked for anew.

use crate::{arch, stack};
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ops::Range;
use std::slice;

pub(super) const WORD: usize = size_of::<usize>();

/// The control block is no larger: glibc's takes 2304 bytes, musl's 200. To take too much for it holds tasks that need not be
/// held: a little behind musl's, others' memory begins.
const CONTROL_BLOCK: usize = if cfg!(target_env = "musl") { 256 } else { 2304 };
/// Blocks that are not farther apart belong together: libcs leave less than this for late libraries.
const GAP: usize = 4096;

/// Of the set of loaded libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    loaded: u64,
    unloaded: u64,
    /// Whether each library's block was there. If not, asking again may tell more.
    complete: bool,
}

impl Version {
    /// Whether the calling thread, of which this is known, should be asked again.
    pub(crate) fn is_stale(self) -> bool {
        unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, size: usize, data: *mut c_void) -> c_int {
            // SAFETY: `data` is what is passed below, and `info` as large as `size` says.
            unsafe {
                if size >= offset_of!(libc::dl_phdr_info, dlpi_tls_modid) {
                    data.cast::<(u64, u64)>().write(((*info).dlpi_adds, (*info).dlpi_subs));
                }
            }
            1
        }
        let mut counts = (self.loaded, self.unloaded);
        // SAFETY: the callback writes to `counts`, and ends the walk.
        unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut counts).cast()) };
        !self.complete || counts != (self.loaded, self.unloaded)
    }
}

pub(crate) struct Places {
    /// The control block, and the blocks next to it.
    pub(super) storage: Range<usize>,
    /// The blocks in there, without the control block.
    pub(super) blocks: Vec<Range<usize>>,
    /// The blocks elsewhere.
    pub(super) others: Vec<Range<usize>>,
    /// Where programs and libraries lie.
    pub(super) images: Vec<Range<usize>>,
    pub(super) version: Version,
}

/// What the walk has found.
struct Found {
    blocks: Vec<Range<usize>>,
    images: Vec<Range<usize>>,
    version: Version,
}

/// # Safety
/// As `dl_iterate_phdr` calls it, with a `Found`.
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the caller's.
    let (info, found) = unsafe { (&*info, &mut *data.cast::<Found>()) };
    let mut image: Option<Range<usize>> = None;
    // SAFETY: the headers of a loaded library, which stays loaded during the walk.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    // Older libcs don't say.
    let says_all = size >= offset_of!(libc::dl_phdr_info, dlpi_tls_data) + WORD;
    for header in headers {
        let size = header.p_memsz as usize;
        if header.p_type == libc::PT_LOAD {
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            let before = image.unwrap_or(start..start);
            image = Some(before.start.min(start)..before.end.max(start + size));
        } else if header.p_type == libc::PT_TLS && says_all {
            let start = info.dlpi_tls_data.addr();
            if start == 0 {
                found.version.complete = false;
            } else {
                // Of whole words.
                found.blocks.push(start & !(WORD - 1)..(start + size).next_multiple_of(WORD));
            }
        }
    }
    found.images.extend(image);
    if says_all {
        (found.version.loaded, found.version.unloaded) = (info.dlpi_adds, info.dlpi_subs);
    }
    0
}

impl Places {
    pub(crate) fn of_this_thread() -> Places {
        let version = Version { loaded: 0, unloaded: 0, complete: true };
        let mut found = Found { blocks: Vec::new(), images: Vec::new(), version };
        // SAFETY: `visit` gets what it asks for.
        unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
        let Found { blocks: mut found_blocks, images, version } = found;
        // SAFETY: no obligations.
        let control_block = unsafe { libc::pthread_self() } as usize;
        let pointer = arch::thread_pointer();
        let mut storage = control_block.min(pointer)..(control_block + CONTROL_BLOCK).max(pointer + 2 * WORD);
        let distance = |block: &Range<usize>| {
            if block.start >= pointer { block.start - pointer } else { pointer.saturating_sub(block.end) }
        };
        found_blocks.sort_by_key(distance);
        let (mut blocks, mut others) = (Vec::new(), Vec::new());
        for block in found_blocks {
            if block.end + GAP >= storage.start && block.start <= storage.end + GAP {
                storage = storage.start.min(block.start)..storage.end.max(block.end);
                blocks.push(block);
            } else {
                others.push(block);
            }
        }
        Places { storage, blocks, others, images, version }
    }

    /// Whether a word of the storage could be a pointer to what tasks share with the thread: on the heap, or on a stack.
    pub(super) fn may_lead_on(&self, word: usize) -> bool {
        const LOWEST: usize = 1 << 16;
        const HIGHEST: usize = 1 << 56;
        // Two small numbers side by side: hardly anything is mapped there.
        let is_pair = word < 1 << 36 && word % (1 << 32) < LOWEST;
        (LOWEST..HIGHEST).contains(&word)
            // What is lent of a task's stack need not be a word.
            && (word.is_multiple_of(WORD) || stack::locate(word).is_some())
            && !is_pair
            && !self.storage.contains(&word)
            && !self.images.iter().any(|image| image.contains(&word))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_small_numbers_lead_nowhere() {
        let version = Version { loaded: 0, unloaded: 0, complete: true };
        let places = Places { storage: 0..64, blocks: Vec::new(), others: Vec::new(), images: Vec::new(), version };
        for pair in [1 << 32, (7 << 32) + 0x1230] {
            assert!(!places.may_lead_on(pair));
        }
        // Without position-independent code, on kernels with 39 bits of address, on others.
        for address in [0x0123_4560, 0x55_0000_1230, 0x7f_8000_1230, 0x5555_0000_1230, 0x7fff_1234_5678] {
            assert!(places.may_lead_on(address));
        }
    }
}
