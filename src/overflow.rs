//! The report of a stack overflow.
//!
//! A task that overflows its stack touches the guard page below it, and the kernel sends SIGSEGV. The handler runs on the
//! kernel thread's alternate stack, asks the arena whose guard the address is in, says which task it was and what can be
//! done, and aborts, as `std` does for threads. It neither allocates nor locks. Every other fault goes on to the handler
//! that was there before, which is `std`'s or the user's own.

use crate::current;
use crate::stack;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

/// The handlers that were there before, for SIGSEGV and SIGBUS.
static BEFORE: OnceLock<[libc::sigaction; 2]> = OnceLock::new();

const SIGNALS: [c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Installs the handler, once a process. A sanitizer has one of its own, which knows more.
pub(crate) fn install() {
    if cfg!(any(throng_asan, throng_tsan)) {
        return;
    }
    // The old handlers must be known before the new one can run, so they are asked for first.
    let mut first = false;
    BEFORE.get_or_init(|| {
        first = true;
        SIGNALS.map(|signal| {
            let mut old = MaybeUninit::zeroed();
            // SAFETY: only asks, and writes to a place of the right type. A zeroed `sigaction` is a valid one, should it fail.
            unsafe {
                libc::sigaction(signal, ptr::null(), old.as_mut_ptr());
                old.assume_init()
            }
        })
    });
    if first {
        for signal in SIGNALS {
            // SAFETY: the handler is async-signal-safe, see `on_fault`; a zeroed mask is empty.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_fault as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    }
}

/// An alternate stack for the calling kernel thread, unless it has one. `std` gives its threads one if it has installed
/// its own handler, which it hasn't in a program whose `main` isn't Rust's.
pub(crate) struct AlternateStack(Option<Box<[MaybeUninit<u8>]>>);

impl AlternateStack {
    pub(crate) fn ensure() -> AlternateStack {
        // SAFETY: plain out-parameters; the new stack lives until `drop` has disabled it.
        unsafe {
            let mut old: libc::stack_t = std::mem::zeroed();
            libc::sigaltstack(ptr::null(), &mut old);
            if old.ss_flags & libc::SS_DISABLE == 0 {
                return AlternateStack(None);
            }
            let mut stack = Box::new_uninit_slice(64 << 10);
            let new = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
            libc::sigaltstack(&new, ptr::null_mut());
            AlternateStack(Some(stack))
        }
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        if self.0.is_some() {
            let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: the thread is on its ordinary stack.
            unsafe { libc::sigaltstack(&none, ptr::null_mut()) };
        }
    }
}

/// Async-signal-safe: it reads memory that doesn't change, writes to standard error, and aborts or passes on.
unsafe extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a fault's information over.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some(place) = stack::locate(address)
        && place.in_guard
    {
        report(place.stack.len());
        // SAFETY: no obligations.
        unsafe { libc::abort() }
    }
    let before = BEFORE.get().and_then(|before| SIGNALS.iter().zip(before).find(|&(&own, _)| own == signal));
    match before {
        Some((_, action)) if !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
            // SAFETY: it was installed as a handler of this kind, and gets what it was installed to get.
            unsafe {
                if action.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        std::mem::transmute(action.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: unsafe extern "C" fn(c_int) = std::mem::transmute(action.sa_sigaction);
                    handler(signal);
                }
            }
        }
        // SAFETY: the default action; returning repeats the fault, which then ends the process.
        _ => unsafe {
            libc::signal(signal, libc::SIG_DFL);
        },
    }
}

fn report(stack_size: usize) {
    write("\ntask ");
    match current::task() {
        // SAFETY: the running task is alive, and its name never changes.
        Some(task) => match unsafe { task.as_ref() }.name() {
            Some(name) => {
                write("'");
                write(name);
                write("'");
            }
            None => write("<unnamed>"),
        },
        None => write("<none>"),
    }
    write(" has overflowed its stack of ");
    write_number(stack_size / 1024);
    write(" KiB\n");
    write("note: task::Builder::stack_size and runtime::Builder::stack_size give tasks a larger one\n");
    write("fatal runtime error: stack overflow, aborting\n");
}

fn write(text: &str) {
    // SAFETY: the text is readable; an error has nowhere to go.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

fn write_number(mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    write(str::from_utf8(&digits[at..]).expect("digits"));
}
