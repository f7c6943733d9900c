//! The report of a stack overflow.
//!
//! A task that overflows its stack touches the guard page below it, and the kernel sends SIGSEGV. The handler says which
//! task it was, how large its stack is and how it gets a larger one, shows a backtrace if `RUST_BACKTRACE` asks for one,
//! and aborts, as `std` does for threads (which shows no backtrace). Every other fault goes on to the handler that was
//! there before: `std`'s, which reports the overflow of a thread, or the user's own.
//!
//! # What is an overflow
//! A fault in a guard, if the stack pointer is in the same stack, or if the stack is the running task's. The second is
//! for C code: Rust touches each page of a frame before it goes on to the next one (stack probes), so a huge frame can't
//! jump over the guard, and the stack pointer is there when the fault comes; C code without probes moves the stack pointer
//! first and touches something then. If that something is in the guard, it is an overflow all the same. If the
//! frame is so large that it lies beyond the guard as a whole, it is in the next stack, and there is no fault:
//! the guard is one page, as a thread's is. Compilers of C have probes as well (`-fstack-clash-protection`).
//! Whoever touches another task's guard has a wild pointer, which is no overflow.
//!
//! # What a handler may do
//! It interrupts anything: the allocator, a `Lock` of this crate, a half-written line. So up to the backtrace, nothing
//! here allocates or waits: it reads an atomic list of slabs, the thread-local (which has no constructor),
//! the task's immutable name, and formats into a buffer that goes out by one `write(2)`. It runs on an alternate
//! stack, as there is no room on the task's.
//!
//! Two threads may overflow at once: the first reports, the other one waits for the end of the process.
//!
//! # Handlers before and after
//! * One that was installed before the first runtime started gets all faults that are no overflow of a task, and gets
//!   them as if the kernel had called it: with its mask, and once if it asked for that. If there was none,
//!   the default action follows.
//! * One that is installed later replaces this one. What it passes on to its predecessor is treated as above. Like any
//!   handler of overflows it must ask for the alternate stack (`SA_ONSTACK`).

mod addresses;
mod alternate_stack;
mod backtrace;
mod fold;
mod report;

pub(crate) use alternate_stack::AlternateStack;
pub(crate) use report::write_to_stderr;

use crate::current;
use crate::primitive::{Ordering, StaticAtomicU64};
use crate::stack::{self, Place};
use backtrace::Style;
use std::ffi::{c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;

const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What the handler has to know.
struct Settings {
    /// The handlers that were there before.
    before: [libc::sigaction; SIGNALS.len()],
    style: Style,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// A sanitizer has a handler and alternate stacks of its own, and knows more.
const SANITIZED: bool = cfg!(any(throng_asan, throng_tsan));

/// Installs the handler, once a process.
pub(crate) fn install() {
    if SANITIZED {
        return;
    }
    // The old handlers must be known before the new one can run, so they are asked for first.
    let mut first = false;
    SETTINGS.get_or_init(|| {
        first = true;
        let before = SIGNALS.map(|signal| {
            let mut old = MaybeUninit::zeroed();
            // SAFETY: only asks, and writes to a place of the right type. A zeroed `sigaction` is a valid one, should it fail.
            unsafe {
                libc::sigaction(signal, ptr::null(), old.as_mut_ptr());
                old.assume_init()
            }
        });
        Settings { before, style: Style::from_environment() }
    });
    if first {
        for signal in SIGNALS {
            // SAFETY: see the head of this file.
            unsafe { handle(signal, on_fault as *const () as usize, 0) };
        }
    }
}

/// Makes `handler` that of `signal`, on the alternate stack.
///
/// # Safety
/// It is an `extern "C" fn(c_int, *mut siginfo_t, *mut c_void)` and may run at any instant.
unsafe fn handle(signal: c_int, handler: libc::sighandler_t, flags: c_int) {
    // SAFETY: a zeroed mask is empty; the rest is the caller's.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands over the signal's information, and the context that it interrupted.
    let (is_fault, address, at) =
        unsafe { ((*info).si_code > 0, (*info).si_addr().addr(), Registers::of(&*context.cast())) };
    if is_fault && let Some(place) = overflowed(address, at.stack_pointer) {
        alone();
        report::overflow(&place, &at)
    }
    // SAFETY: handed on as they came.
    unsafe { pass_on(signal, info, context) }
}

/// The stack that was overflowed by touching `address`.
fn overflowed(address: usize, stack_pointer: usize) -> Option<Place> {
    let place = stack::locate(address).filter(|place| place.in_guard)?;
    let is_there = stack::locate(stack_pointer).is_some_and(|there| there.stack == place.stack);
    let is_own = || {
        // SAFETY: the running task is alive, and so is the record of the fiber that it is on.
        let own =
            current::task().and_then(|task| unsafe { Some(task.as_ref().fiber.get()?.as_ref().stack()?.bottom()) });
        own.is_some_and(|bottom| bottom.addr() == place.stack.start)
    };
    (is_there || is_own()).then_some(place)
}

/// What the interrupted code had in the two registers that matter.
struct Registers {
    stack_pointer: usize,
    program_counter: usize,
}

impl Registers {
    #[cfg(target_arch = "x86_64")]
    fn of(context: &libc::ucontext_t) -> Registers {
        let register = |index| context.uc_mcontext.gregs[index as usize] as usize;
        Registers { stack_pointer: register(libc::REG_RSP), program_counter: register(libc::REG_RIP) }
    }

    #[cfg(target_arch = "aarch64")]
    fn of(context: &libc::ucontext_t) -> Registers {
        let registers = &context.uc_mcontext;
        Registers { stack_pointer: registers.sp as usize, program_counter: registers.pc as usize }
    }
}

/// Returns to the first kernel thread that calls it, and to no other.
fn alone() {
    static FIRST: StaticAtomicU64 = StaticAtomicU64::new(0);
    // SAFETY: no obligations.
    let this = unsafe { libc::pthread_self() } as u64;
    // Relaxed: the number carries no other data.
    match FIRST.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        // The report has come to grief.
        // SAFETY: no obligations.
        Err(first) if first == this => unsafe { libc::abort() },
        Err(_) => wait_for_the_end(),
    }
}

/// Another thread is about to abort.
fn wait_for_the_end() -> ! {
    loop {
        // SAFETY: no obligations.
        unsafe { libc::pause() };
    }
}

/// Does what would have happened without this handler.
///
/// # Safety
/// These are a signal handler's parameters, and it does nothing more.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = SETTINGS.get().and_then(|settings| {
        SIGNALS.iter().zip(&settings.before).find(|&(&own, _)| own == signal).map(|(_, action)| action)
    });
    // SAFETY: async-signal-safe calls on valid parameters. The handler before was installed as one of its kind, and gets
    // what it was installed to get. The mask changes until this handler returns, as the kernel restores it then.
    unsafe {
        let default = |signal| {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &action, ptr::null_mut());
        };
        let is_fault = (*info).si_code > 0;
        match before {
            Some(action) if !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
                if action.sa_flags & libc::SA_RESETHAND != 0 {
                    default(signal);
                }
                libc::pthread_sigmask(libc::SIG_BLOCK, &action.sa_mask, ptr::null_mut());
                if action.sa_flags & libc::SA_NODEFER != 0 {
                    unblock(&[signal]);
                }
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        mem::transmute(action.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: unsafe extern "C" fn(c_int) = mem::transmute(action.sa_sigaction);
                    handler(signal);
                }
            }
            // A fault can't be ignored, but a signal that somebody sent can.
            Some(action) if action.sa_sigaction == libc::SIG_IGN && !is_fault => {}
            _ => {
                default(signal);
                // A fault repeats when this returns; a signal that was sent must be sent again, to arrive then.
                if !is_fault {
                    libc::raise(signal);
                }
            }
        }
    }
}

/// Lets `signals` come, on this kernel thread.
fn unblock(signals: &[c_int]) {
    // SAFETY: fills in a set of its own; a signal is never unblocked without a handler that expects it.
    unsafe {
        let mut set = mem::zeroed();
        libc::sigemptyset(&mut set);
        signals.iter().for_each(|&signal| _ = libc::sigaddset(&mut set, signal));
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, ptr::null_mut());
    }
}
