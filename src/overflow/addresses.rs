//! The backtrace of an overflow as bare addresses: taken without an allocation, and shown if nothing better can be had.
//!
//! The unwinder is that of `std`. It neither allocates nor takes a lock that the interrupted thread could
//! not take again; nor does `dladdr`, which knows files and the names of exported functions, so those of C libraries.
//! `addr2line -e file offset` tells the rest.

use super::fold::fold;
use std::ffi::{CStr, c_int, c_void};
use std::fmt::{self, Write};
use std::{mem, ptr};

/// As many as are kept, from where the fault was. A cycle and not the way to it.
const MOST: usize = 1024;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(each: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
    /// The start of the function in which the instruction *before* `address` is.
    fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
}

/// Whether a function begins there.
pub(super) fn is_entry(address: usize) -> bool {
    // SAFETY: it looks up a number.
    let start = unsafe { _Unwind_FindEnclosingFunction(ptr::without_provenance_mut(address.wrapping_add(1))) };
    start.addr() == address
}

pub(super) struct Addresses {
    list: [usize; MOST],
    length: usize,
    /// Those above it are the handler's own.
    from: usize,
}

impl Addresses {
    /// Of the calling frames, from the one at `from`.
    #[inline(never)]
    pub(super) fn take(from: usize) -> Addresses {
        extern "C" fn each(frame: *mut c_void, addresses: *mut c_void) -> c_int {
            const NO_REASON: c_int = 0;
            const NORMAL_STOP: c_int = 4;
            // SAFETY: the frame is that of the unwinder, and the addresses are those lent to it below.
            let (address, addresses) = unsafe { (_Unwind_GetIP(frame), &mut *addresses.cast::<Addresses>()) };
            if addresses.length > 0 || address == addresses.from {
                let Some(free) = addresses.list.get_mut(addresses.length) else { return NORMAL_STOP };
                *free = address;
                addresses.length += 1;
            }
            NO_REASON
        }
        let mut addresses = Addresses { list: [0; MOST], length: 0, from };
        // SAFETY: `each` doesn't unwind, and the addresses are borrowed for the call.
        unsafe { _Unwind_Backtrace(each, (&raw mut addresses).cast()) };
        addresses
    }

    /// Whether the unwinder didn't come to where they begin.
    pub(super) fn are_none(&self) -> bool {
        self.length == 0
    }

    fn get(&self) -> &[usize] {
        self.list[..self.length].strip_suffix(&[0]).unwrap_or(&self.list[..self.length])
    }

    /// Whether the fault was inside the C library's allocator, which is not to be entered again.
    pub(super) fn are_in_the_allocator(&self) -> bool {
        const ENTRIES: [&[u8]; 6] = [b"malloc", b"calloc", b"realloc", b"free", b"posix_memalign", b"aligned_alloc"];
        let is_entry = |address| symbol(address).is_some_and(|symbol| ENTRIES.contains(&symbol.name));
        // It isn't deep.
        self.get().iter().take(12).copied().any(is_entry)
    }

    pub(super) fn write(&self, out: &mut impl Write) -> fmt::Result {
        fold(self.get(), out, |&address, out| match symbol(address) {
            None => write!(out, "{address:#x}"),
            Some(Symbol { file, offset, name: [] }) => write!(out, "{}+{offset:#x}", Bytes(file)),
            Some(Symbol { file, offset, name }) => write!(out, "{}+{offset:#x} ({})", Bytes(file), Bytes(name)),
        })?;
        if self.length == MOST { out.write_str("      ... and more\n") } else { Ok(()) }
    }
}

struct Symbol {
    /// The program, or a library.
    file: &'static [u8],
    /// From where the file was loaded.
    offset: usize,
    /// Of the function, or empty.
    name: &'static [u8],
}

fn symbol(address: usize) -> Option<Symbol> {
    // SAFETY: it looks up a number. The strings it finds are the dynamic linker's; nothing is unloaded in a dying process.
    unsafe {
        let mut found: libc::Dl_info = mem::zeroed();
        if libc::dladdr(ptr::without_provenance(address), &mut found) == 0 || found.dli_fname.is_null() {
            return None;
        }
        let name: &[u8] = if found.dli_sname.is_null() { &[] } else { CStr::from_ptr(found.dli_sname).to_bytes() };
        let file = CStr::from_ptr(found.dli_fname).to_bytes();
        Some(Symbol { file, offset: address - found.dli_fbase.addr(), name })
    }
}

/// Text of whoever named the file.
struct Bytes(&'static [u8]);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| f.write_str(chunk.valid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_functions() {
        let function = symbol as *const () as usize;
        assert!(is_entry(function));
        assert!(!is_entry(function + 1));
        assert!(!is_entry(8));
    }

    /// A program that is linked statically has no symbols that could be asked for.
    #[test]
    #[cfg(not(target_feature = "crt-static"))]
    fn symbols_of_the_c_library() {
        let Symbol { file, offset, name } = symbol(libc::malloc as *const () as usize).unwrap();
        assert!(!file.is_empty() && offset > 0);
        assert_eq!(name, b"malloc");
        assert!(symbol(8).is_none());
    }
}
