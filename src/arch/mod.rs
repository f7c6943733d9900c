//! The machine: how one context is left and another continued.
//!
//! A *context* is a computation together with the stack it runs on. This module knows three things about it, and nothing
//! about tasks, panics or schedulers: how to lay one out on a fresh stack ([`prepare`]), how to leave one for another
//! ([`switch`]), and how to leave one for good ([`jump`]).
//!
//! # What a suspended context is
//! Its stack, and four words on that stack, [`Saved`]. A [`StackPointer`] is the address of those four words.
//!
//! ```text
//!    suspended by `switch`                            laid out by `prepare`
//!
//!    | frames of the callers      |   high             top, rounded down to 16
//!    +----------------------------+                   +----------------------------+
//!    | frame of the function      |                   | resume = trampoline        |
//!    | that `switch` is           |                   | base           = 0         |
//!    | inlined into:              |                   | frame_pointer  = 0         |
//!    |   its locals and whatever  |                   | stack_pointer  ------------+--.
//!    |   it wants to find again   |                   +----------------------------+  | <- StackPointer
//!    | +------------------------+ |                   | argument                   |  |
//!    | | resume = 2: (its code) | |                   | entry                      |  |
//!    | | base           (rbx)   | |                   +----------------------------+ <'  a multiple of 16
//!    | | frame_pointer  (rbp)   | |                   | fresh stack                |
//!    | | stack_pointer  --------+-+-.                 :                            :
//!    | +------------------------+ | |  <- StackPointer
//!    +----------------------------+<'
//!    | not in use                 |   low
//! ```
//!
//! Every other register is declared clobbered by the `asm!` block of `switch`, so whatever the compiler wants to find again
//! afterwards, it has put into the frame beforehand, and what it doesn't need, nobody saves. Of the registers that must
//! survive, only these can't be declared clobbered: the stack pointer, the frame pointer, and the one register that LLVM may
//! take as a base pointer for its own use (`rbx`, `x19`). So a scan from `StackPointer::lowest` to the top of the stack
//! sees every word that the context can still reach by its stack or its registers.
//!
//! # Why an inlined block and no function
//! A function that pushes the callee-saved registers, exchanges the stack pointers and returns is entered by `call` and left by
//! a `ret` that belongs to another `call`: the processor's return predictor is wrong each time, at some 8 ns. Here nobody
//! calls and nobody returns: the block ends in an indirect jump to the address that the other side saved, and the branch
//! predictor learns that as any other. It also saves two registers of the six when the compiler had no use for the others.
//!
//! # Unwinding (CFI)
//! The compiler describes each function to the unwinder: at this program counter, the canonical frame address (CFA) is that
//! register plus that offset, and the callers' registers lie there and there. An `asm!` block can't know the rule it stands
//! under: the CFA hangs on the stack pointer in one function and on the frame pointer in the next one. A block that pushes
//! is therefore described wrongly in the first kind of function, and with a `.cfi_adjust_cfa_offset` in the second kind.
//! That is why [`Saved`] is a local variable of the function and not something pushed: **the block moves the stack
//! pointer only by exchanging it**, so the function's description needs no correction.
//! - Up to the exchange, and from the resumed label on, all three registers hold what the function believes them to hold:
//!   backtraces and panics, which start in calls before or after the block, are described exactly. A panic after a resume
//!   unwinds like any other, and the block itself can't panic.
//! - A debugger or a dump that unwinds a *suspended* context starts with the four saved words, and is exact too.
//! - Between the first of the exchanged registers and the jump there are three instructions at which the program counter is
//!   still in the old function while the registers already belong to the new context. No description can be
//!   right for that, as the exchange isn't atomic. It matters to a profiler that unwinds in a signal handler,
//!   and such a one has to expect a nonsensical frame anywhere; the library itself never unwinds from there.
//!
//! The base of every stack is the `trampoline` of the architecture's file. Its description says that its return address is
//! undefined, which is DWARF's way to say "outermost frame": unwinders, `std::backtrace` and gdb stop there without an
//! error. The frame pointer is zero there, where those that follow frame pointers (perf) stop. A panic must not get there:
//! `entry` is `extern "C"` and aborts instead.
//!
//! # What is not saved
//! - The floating-point environment (`MXCSR`, the x87 control word, `FPCR`): rounding mode, masked exceptions and sticky flags
//!   belong to the kernel thread. Rust doesn't support code that runs with another one than the default, so there is nothing
//!   to preserve; C code that changes it must restore it before it gets back to Rust.
//! - The thread pointer, signal mask, and alternate signal stack: these too belong to the kernel thread.
//! - Shadow stacks (CET SHSTK on x86-64, GCS on AArch64): not supported, since a `ret` on the new stack would be checked
//!   against the old stack's shadow. Linux turns them on only for programs built for them throughout, which a Rust program with
//!   std isn't. Forward-edge checks (CET IBT, BTI) are met: each target of a jump carries its landing pad, a no-op elsewhere.
//!   Return addresses signed by pointer authentication work, as a frame is left with the stack pointer it was entered with.
//! - AArch64's streaming mode and ZA storage (SME), and x86-64's APX registers, which stable Rust gives to nobody.
//!
//! # What a port must supply
//! One file with
//! - `trampoline`: the first code of a context that `prepare` laid out. Calls `entry(argument)`, the two words at its
//!   stack pointer, on a stack aligned as the ABI wants it, with no way to return, its return address described as undefined,
//!   and a frame pointer of zero, if it has one;
//! - `switch` and `jump`: as documented in the file for x86-64, which is the model. Anything that the ABI or the compiler can
//!   keep in a register and that is not in [`Saved`] must be clobbered;
//! - `thread_pointer` and `peek`, with which the migration guard looks for what belongs to a kernel thread.
//!
//! `tests.rs` is the port's acceptance test. The stack must grow downwards, and signal
//! handlers must leave the memory above the stack pointer alone.

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64"))]
#[path = "x86_64.rs"]
mod machine;

#[cfg(all(target_os = "linux", target_arch = "aarch64", target_pointer_width = "64", target_endian = "little"))]
#[path = "aarch64.rs"]
mod machine;

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    target_endian = "little",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!(
    "throng runs on Linux on x86-64 and AArch64. For another architecture, add a file to `src/arch/` with a trampoline, \
     `switch` and `jump`, as `src/arch/mod.rs` specifies them; another operating system needs, besides that, stacks with \
     guards and the report of their overflow (`src/stack/`), and a look at whatever else uses `libc`."
);

// They switch below the annotations of `fiber.rs`, without which ThreadSanitizer loses its way.
#[cfg(all(test, not(throng_tsan)))]
mod tests;

pub(crate) use self::machine::{jump, peek, switch, thread_pointer};

/// The registers of a suspended context that can't be declared clobbered.
///
/// The offsets of these fields are spelled `offset_of!` in the assembly, so their order is free.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Saved {
    pub(crate) stack_pointer: usize,
    /// `rbp`, `x29`.
    pub(crate) frame_pointer: usize,
    /// What LLVM may use as base pointer: `rbx`, `x19`.
    pub(crate) base: usize,
    /// Where to continue.
    pub(crate) resume: usize,
}

/// A suspended context: the address of its saved registers, which lie on its own stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct StackPointer(*mut Saved);

// SAFETY: an address; what it refers to is only touched by `unsafe` functions, whose callers own the context.
unsafe impl Send for StackPointer {}
// SAFETY: as above, and nothing is mutable through a shared one.
unsafe impl Sync for StackPointer {}

impl StackPointer {
    /// Stands where no context is suspended.
    #[cfg(test)]
    pub(crate) const NULL: Self = Self(std::ptr::null_mut());

    /// The saved registers, for whoever unwinds a suspended context.
    ///
    /// # Safety
    /// The context is suspended, and stays so during the call.
    pub(crate) unsafe fn saved(self) -> Saved {
        // SAFETY: a suspended context's four words lie untouched on its stack.
        unsafe { self.0.read() }
    }

    /// The lowest address of its stack that the context has in use. All it can reach by stack and registers, [`Saved`] included,
    /// lies from here upwards.
    ///
    /// # Safety
    /// The context is suspended, and stays so during the call.
    pub(crate) unsafe fn lowest(self) -> *const usize {
        // SAFETY: passed on.
        unsafe { self.saved() }.stack_pointer as *const usize
    }
}

/// What `prepare` lays out at the top of a stack. The trampoline finds `entry` at its stack pointer, `argument` above it.
#[repr(C, align(16))]
struct Start {
    entry: extern "C" fn(usize) -> !,
    argument: usize,
    saved: Saved,
}

/// Lays out a context on a fresh stack, so that continuing it calls `entry(argument)` there.
///
/// Takes less than 64 bytes below `top`, which needs no alignment.
///
/// # Safety
/// `top` is one past the end of memory that is writable and used for nothing else until the context is jumped away from or
/// given up, and that is large enough for this and for what `entry` needs.
pub(crate) unsafe fn prepare(top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> StackPointer {
    let top = top.map_addr(|address| address & !(align_of::<Start>() - 1));
    // The alignment of the structure makes its size a multiple of it, so this is aligned as well.
    let start = top.wrapping_byte_sub(size_of::<Start>()).cast::<Start>();
    let saved = Saved {
        stack_pointer: start.expose_provenance(),
        frame_pointer: 0,
        base: 0,
        resume: machine::trampoline as *const () as usize,
    };
    // SAFETY: aligned as computed above, and within the stack by the caller's word.
    unsafe {
        start.write(Start { entry, argument, saved });
        StackPointer(&raw mut (*start).saved)
    }
}
