//! x86-64, System V.
use super::StackPointer;
use std::arch::{asm, naked_asm};

/// A context that calls `entry(argument)`.
pub(crate) unsafe fn prepare(top: *mut u8, entry: extern "C" fn(usize) -> !, argument: usize) -> StackPointer {
    // SAFETY: the caller's: `top` is the aligned top of a stack.
    unsafe {
        let sp = top.cast::<usize>().sub(7);
        sp.add(0).write(trampoline as *const () as usize);
        sp.add(1).write(0); // rbp
        sp.add(2).write(0); // rbx
        sp.add(3).write(argument);
        sp.add(4).write(entry as usize);
        sp.add(5).write(0);
        sp.add(6).write(0);
        StackPointer(sp as usize)
    }
}

#[unsafe(naked)]
unsafe extern "C" fn trampoline() -> ! {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rbp",
        "pop rbx",
        "pop rdi",
        "pop rax",
        "call rax",
        "ud2",
        ".cfi_endproc",
    )
}

#[inline(always)]
pub(crate) unsafe fn switch(save: *mut StackPointer, to: StackPointer) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "push rbx",
            "push rbp",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbp",
            "pop rbx",
            inout("rdi") save => _,
            inout("rsi") to.0 => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
}

#[inline(always)]
pub(crate) unsafe fn jump(to: StackPointer) -> ! {
    // SAFETY: the caller's.
    unsafe { asm!("mov rsp, {0}", "pop rax", "jmp rax", in(reg) to.0, options(noreturn)) }
}
