//! AArch64, AAPCS64 as Linux has it. The contract, and the pictures, are in `mod.rs`.

use std::arch::{asm, naked_asm};
use std::mem::{MaybeUninit, offset_of};

use super::{Saved, StackPointer, Start};

/// Where every stack begins: calls `entry(argument)`, which `prepare` left at the stack pointer.
#[unsafe(naked)]
pub(super) extern "C" fn trampoline() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined x30", // the outermost frame: unwinders end here
        "hint #36",           // bti j
        "ldr x1, [sp, #{entry}]",
        "ldr x0, [sp, #{argument}]",
        // The stack pointer is a multiple of 16, as it has to be always, and `x29` is zero.
        "blr x1",
        "brk #1",
        ".cfi_endproc",
        entry = const offset_of!(Start, entry),
        argument = const offset_of!(Start, argument),
    )
}

/// Suspends the running context, stores it in `*save`, and continues `to`. Returns when somebody continues what was stored.
///
/// # Safety
/// As on x86-64.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut StackPointer, to: StackPointer) {
    let mut saved = MaybeUninit::<Saved>::uninit();
    // SAFETY: what the compiler keeps in registers is either declared clobbered here or saved in `saved`, which lives in this
    // frame until the block is over, and with it the stack, by the caller's word. The block does not touch the stack
    // below the stack pointer. The target's registers are consistent by the same protocol.
    unsafe {
        asm!(
            "adr x3, 2f",
            "mov x4, sp",
            "str x3, [x2, #{resume}]",
            "str x4, [x2, #{stack_pointer}]",
            "str x29, [x2, #{frame_pointer}]",
            "str x19, [x2, #{base}]",
            "str x2, [x0]",
            "ldr x3, [x1, #{resume}]",
            "ldr x4, [x1, #{stack_pointer}]",
            // The exchange.
            "ldr x19, [x1, #{base}]",
            "ldr x29, [x1, #{frame_pointer}]",
            "mov sp, x4",
            "br x3",
            // Continued here, with the stack pointer, `x29` and `x19` as they were.
            "2:",
            "hint #36", // bti j
            stack_pointer = const offset_of!(Saved, stack_pointer),
            frame_pointer = const offset_of!(Saved, frame_pointer),
            base = const offset_of!(Saved, base),
            resume = const offset_of!(Saved, resume),
            in("x0") save,
            in("x1") to.0,
            in("x2") saved.as_mut_ptr(),
            out("x3") _,
            out("x4") _,
            // The caller-saved registers: the other general ones, the link register, all vector and predicate registers. It
            // includes the halves of v8 to v15 that a call preserves.
            clobber_abi("C"),
            // The callee-saved ones, less those in `Saved`.
            out("x20") _,
            out("x21") _,
            out("x22") _,
            out("x23") _,
            out("x24") _,
            out("x25") _,
            out("x26") _,
            out("x27") _,
            out("x28") _,
        );
    }
}

/// Continues `to`, and forgets the running context.
///
/// # Safety
/// As on x86-64.
#[inline(always)]
pub(crate) unsafe fn jump(to: StackPointer) -> ! {
    // SAFETY: as in `switch`; nothing is needed of this context any more.
    unsafe {
        asm!(
            "ldr x3, [x1, #{resume}]",
            "ldr x4, [x1, #{stack_pointer}]",
            "ldr x19, [x1, #{base}]",
            "ldr x29, [x1, #{frame_pointer}]",
            "mov sp, x4",
            "br x3",
            stack_pointer = const offset_of!(Saved, stack_pointer),
            frame_pointer = const offset_of!(Saved, frame_pointer),
            base = const offset_of!(Saved, base),
            resume = const offset_of!(Saved, resume),
            in("x1") to.0,
            options(noreturn),
        )
    }
}

/// The calling kernel thread's thread pointer. Not to be kept across a switch.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: every program may read this register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// Reads a word whatever lies there.
///
/// # Safety
/// As on x86-64.
#[inline(always)]
pub(crate) unsafe fn peek(at: usize) -> usize {
    let word;
    // SAFETY: as on x86-64.
    unsafe { asm!("ldr {}, [{}]", out(reg) word, in(reg) at, options(nostack, preserves_flags, readonly)) };
    word
}
