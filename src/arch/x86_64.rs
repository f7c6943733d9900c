//! x86-64, System V ABI. The contract, and the pictures, are in `mod.rs`.

use std::arch::{asm, naked_asm};
use std::mem::{MaybeUninit, offset_of};

use super::{Saved, StackPointer, Start};

/// Where every stack begins: calls `entry(argument)`, which `prepare` left at the stack pointer.
///
/// A naked function and no `global_asm!`, so that its symbol is mangled and two versions of the crate can be linked together.
#[unsafe(naked)]
pub(super) extern "C" fn trampoline() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip", // the outermost frame: unwinders end here
        "endbr64",
        "mov rdi, [rsp + {argument}]",
        // The stack pointer is a multiple of 16, as the ABI wants it at a call, and `rbp` is zero.
        "call [rsp + {entry}]",
        "ud2",
        ".cfi_endproc",
        entry = const offset_of!(Start, entry),
        argument = const offset_of!(Start, argument),
    )
}

/// Suspends the running context, stores it in `*save`, and continues `to`. Returns when somebody continues what was stored.
///
/// # Safety
/// - `save` can be written. It's written before `to` continues, by a plain store.
/// - `to` is suspended, and nobody else continues it: a context is continued once each time it is suspended. What its last
///   thread wrote happens before this call.
/// - Neither the calling function nor its callers assume that they stay on the same kernel thread, if the stored
///   context is continued on another one.
/// - A context that is never continued leaks what its frames own, and its stack may only be freed if nothing refers to them.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut StackPointer, to: StackPointer) {
    let mut saved = MaybeUninit::<Saved>::uninit();
    // SAFETY: what the compiler keeps in registers is either declared clobbered here or saved in `saved`, which lives in this
    // frame until the block is over, and with it the stack, by the caller's word. The block does not touch the stack
    // below the stack pointer. The target's registers are consistent by the same protocol.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "mov [rdx + {resume}], rax",
            "mov [rdx + {stack_pointer}], rsp",
            "mov [rdx + {frame_pointer}], rbp",
            "mov [rdx + {base}], rbx",
            "mov [rdi], rdx",
            // The exchange.
            "mov rbx, [rsi + {base}]",
            "mov rbp, [rsi + {frame_pointer}]",
            "mov rsp, [rsi + {stack_pointer}]",
            "jmp [rsi + {resume}]",
            // Continued here, with the stack pointer, `rbp` and `rbx` as they were.
            "2:",
            "endbr64",
            stack_pointer = const offset_of!(Saved, stack_pointer),
            frame_pointer = const offset_of!(Saved, frame_pointer),
            base = const offset_of!(Saved, base),
            resume = const offset_of!(Saved, resume),
            in("rdi") save,
            in("rsi") to.0,
            in("rdx") saved.as_mut_ptr(),
            out("rax") _,
            // No `nostack`: with it a leaf function could keep live data below the stack pointer, in the red zone.
            // The caller-saved registers: the other general ones, all vector, mask, x87 and tile registers.
            clobber_abi("sysv64"),
            // The callee-saved ones, less those in `Saved`.
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
        );
    }
}

/// Continues `to`, and forgets the running context: nothing of its frames is dropped, and its stack is free as soon as
/// `to` runs.
///
/// # Safety
/// As for [`switch`], about `to`; and nothing refers to the frames of the running context, or needs them dropped.
#[inline(always)]
pub(crate) unsafe fn jump(to: StackPointer) -> ! {
    // SAFETY: as in `switch`; nothing is needed of this context any more.
    unsafe {
        asm!(
            "mov rbx, [rsi + {base}]",
            "mov rbp, [rsi + {frame_pointer}]",
            "mov rsp, [rsi + {stack_pointer}]",
            "jmp [rsi + {resume}]",
            stack_pointer = const offset_of!(Saved, stack_pointer),
            frame_pointer = const offset_of!(Saved, frame_pointer),
            base = const offset_of!(Saved, base),
            resume = const offset_of!(Saved, resume),
            in("rsi") to.0,
            options(noreturn),
        )
    }
}

/// The calling kernel thread's thread pointer. Not to be kept across a switch.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let pointer;
    // SAFETY: the ABI wants the thread pointer's own value at the place that it points to; nothing is written.
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    pointer
}

/// Reads a word whatever lies there: a part of a frame that was never initialised, or what another thread writes at this
/// moment. Rust's own loads may do neither.
///
/// # Safety
/// The word is mapped and readable.
#[inline(always)]
pub(crate) unsafe fn peek(at: usize) -> usize {
    let word;
    // SAFETY: the caller's. The processor reads an aligned word as a whole, and knows of no uninitialised ones.
    unsafe { asm!("mov {}, [{}]", out(reg) word, in(reg) at, options(nostack, preserves_flags, readonly)) };
    word
}
