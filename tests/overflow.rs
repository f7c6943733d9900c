//! A stack overflow is reported and aborts: seen in a child process, which is this test binary itself.
// A sanitizer reports these faults itself, in its own words.
#![cfg(not(any(throng_asan, throng_tsan)))]
#![allow(unsafe_code)]

use std::hint::black_box;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use throng::runtime::Runtime;
use throng::task;

const CHILD: &str = "THRONG_OVERFLOW";

// What a child does, and where.

#[inline(never)]
fn recurse(n: u64) -> u64 {
    let frame = black_box([n; 64]);
    if n == u64::MAX { frame[0] } else { recurse(n + 1) + frame[7] }
}

/// A cycle of two, with frames so small that the fault comes at any of their instructions.
#[inline(never)]
fn ping(n: u64) -> u64 {
    pong(black_box(n) + 1) + n
}

#[inline(never)]
fn pong(n: u64) -> u64 {
    if n == u64::MAX { 1 } else { ping(black_box(n)) + n }
}

#[inline(never)]
fn huge_frame() -> u64 {
    let frame = black_box([1u8; 3 << 20]);
    frame[frame.len() / 2].into()
}

/// Overflows in the library as often as not, or in the allocator that it calls, with a lock held.
fn recurse_in_the_library(n: u64) -> u64 {
    if n == u64::MAX {
        return 0;
    }
    let lock = throng::sync::Mutex::new(n);
    let guard = lock.lock();
    let (sender, receiver) = throng::chan::bounded(2);
    sender.send(Box::new(*guard)).unwrap();
    task::yield_now();
    let child = throng::spawn(move || receiver.recv().unwrap());
    let sum = *child.join().unwrap();
    recurse_in_the_library(n + 1) + sum
}

fn null() -> u64 {
    // SAFETY: none; that is the point.
    unsafe { ptr::without_provenance::<u64>(8).read_volatile() }
}

/// A mapping beyond the end of its file.
fn bus() -> u64 {
    // SAFETY: none; that is the point.
    unsafe {
        let file = libc::memfd_create(c"empty".as_ptr(), 0);
        let page = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u64>().read_volatile()
    }
}

/// The page of the guard below a place on a task's stack: the first that the kernel can't read either.
fn guard_below(place: *const u8) -> usize {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut page = place as usize & !4095;
    // SAFETY: the kernel says so if it can't read there.
    while unsafe { libc::write(writer.as_raw_fd(), ptr::with_exposed_provenance(page), 1) } == 1 {
        page -= 4096;
    }
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
    drop(reader);
    page
}

/// What a C function does whose frame is as large as the rest of the stack, and which has no probes: it moves the stack
/// pointer below the guard, and then touches something in the guard.
#[cfg(target_arch = "x86_64")]
fn without_probes() -> u64 {
    let local = 0u8;
    let guard = guard_below(&raw const local);
    // SAFETY: none; that is the point.
    unsafe { std::arch::asm!("lea rsp, [{0} - 4096]", "mov byte ptr [{0} + 2048], 1", "ud2", in(reg) guard) };
    unreachable!()
}

/// A wild pointer into the guard of another task's stack.
fn foreign_guard() -> u64 {
    let other = task::Builder::new().stack_size(64 << 10);
    static GUARD: AtomicUsize = AtomicUsize::new(0);
    let waits = || {
        let local = 0u8;
        GUARD.store(guard_below(&raw const local), Ordering::Release);
        task::park();
    };
    let _other = other.spawn(waits).unwrap();
    while GUARD.load(Ordering::Acquire) == 0 {
        task::yield_now();
    }
    let guard = GUARD.load(Ordering::Acquire);
    // SAFETY: none; that is the point.
    unsafe { ptr::with_exposed_provenance::<u64>(guard + 8).read_volatile() }
}

fn sent() -> u64 {
    // SAFETY: no obligations.
    unsafe { libc::raise(libc::SIGSEGV) };
    println!("survived");
    0
}

fn deed(name: &str) -> fn() -> u64 {
    match name {
        "recurse" => || recurse(0),
        "ping" => || ping(0),
        "frame" => huge_frame,
        "library" => || recurse_in_the_library(0),
        "scope" => || throng::scope(|s| s.spawn(|| recurse(0)).join().unwrap()),
        "catch" => || std::panic::catch_unwind(|| recurse(0)).unwrap(),
        "timeout" => || throng::time::timeout(std::time::Duration::from_secs(1000), || recurse(0)).unwrap(),
        "drop" => || {
            struct Deep;
            impl Drop for Deep {
                fn drop(&mut self) {
                    recurse(0);
                }
            }
            let _deep = Deep;
            panic!("unwinds into an overflow");
        },
        "panic" => || panic!("a message with a {:?}", std::time::Duration::from_millis(1)),
        "null" => null,
        "bus" => bus,
        #[cfg(target_arch = "x86_64")]
        "probes" => without_probes,
        "foreign" => foreign_guard,
        "sent" => sent,
        _ => unreachable!("{name}"),
    }
}

/// A user's handler: says that it was called, and ends the process, or returns, or calls the one that was there before.
extern "C" fn users(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let text = b"the user's handler\n";
    // SAFETY: async-signal-safe; the handler before was installed with `SA_SIGINFO`, as std's and Throng's are.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        match THEN.load(Ordering::Relaxed) {
            EXIT => libc::_exit(77),
            RETURN => {}
            before => mem::transmute::<usize, extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)>(before)(
                signal, info, context,
            ),
        }
    }
}

static THEN: AtomicUsize = AtomicUsize::new(EXIT);
const EXIT: usize = 0;
const RETURN: usize = 1;

/// Returns the handler before.
fn install(handler: usize, flags: i32) -> usize {
    let install = |signal| {
        // SAFETY: the handler is async-signal-safe.
        unsafe {
            let (mut new, mut old): (libc::sigaction, libc::sigaction) = mem::zeroed();
            new.sa_sigaction = handler;
            new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
            assert_eq!(libc::sigaction(signal, &new, &mut old), 0);
            old.sa_sigaction
        }
    };
    install(libc::SIGBUS);
    install(libc::SIGSEGV)
}

/// In the child: does what it is told to.
#[test]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let [what, handlers, workers, kibibytes, name] = order.splitn(5, ' ').collect::<Vec<_>>().try_into().unwrap();
    let deed = deed(what);
    let users = users as *const () as usize;
    match handlers {
        "default" => _ = install(libc::SIG_DFL, 0),
        "ignored" => _ = install(libc::SIG_IGN, 0),
        "before" => _ = install(users, 0),
        "before-once" => {
            THEN.store(RETURN, Ordering::Relaxed);
            install(users, libc::SA_RESETHAND);
        }
        _ => {}
    }
    let runtime = Runtime::builder().workers(workers.parse().unwrap()).build().unwrap();
    if handlers == "after" {
        THEN.store(install(users, 0), Ordering::Relaxed);
    }
    let size = kibibytes.parse::<usize>().unwrap() << 10;
    let name_of_task = name.to_owned();
    let task = move || {
        let task = task::Builder::new().stack_size(size);
        let task = if name_of_task.is_empty() { task } else { task.name(&*name_of_task) };
        task.spawn(move || println!("{}", deed())).unwrap()
    };
    match name {
        "a thread" => {
            let thread = std::thread::Builder::new().name(name.into()).stack_size(size);
            println!("{}", thread.spawn(deed).unwrap().join().unwrap());
        }
        "a simulation" => throng::sim::run(7, move || task().join().unwrap()),
        "a herd" => runtime.run(|| {
            let tasks: Vec<_> = (0..20).map(|_| task()).collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
        }),
        _ => runtime.run(|| task().join().unwrap()),
    }
}

/// What the child is like.
#[derive(Clone, Copy)]
struct Child<'a> {
    handlers: &'a str,
    workers: usize,
    kibibytes: usize,
    name: &'a str,
    backtrace: &'a str,
}

const PLAIN: Child = Child { handlers: "", workers: 2, kibibytes: 64, name: "", backtrace: "0" };

impl Child<'_> {
    fn run(self, what: &str) -> (String, ExitStatus) {
        let Child { handlers, workers, kibibytes, name, backtrace } = self;
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(CHILD, format!("{what} {handlers} {workers} {kibibytes} {name}"))
            .env("RUST_BACKTRACE", backtrace)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        (text, output.status)
    }

    /// The report of the overflow that it ends by.
    fn overflow(self, what: &str) -> String {
        let (text, status) = self.run(what);
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{what}: {text}");
        assert!(text.contains(" has overflowed its stack"), "{what}: {text}");
        assert!(text.contains("\nfatal runtime error: stack overflow, aborting\n"), "{what}: {text}");
        text
    }
}

#[test]
fn an_overflow_names_the_task_and_its_stack_and_aborts() {
    for what in ["recurse", "ping", "frame"] {
        for workers in [1, 4] {
            for (name, kibibytes) in [("deep", 64), ("", 128), ("\u{e9}t\u{e9} 2", 1024)] {
                let text = Child { workers, kibibytes, name, ..PLAIN }.overflow(what);
                let name = if name.is_empty() { "<unnamed>".to_owned() } else { format!("'{name}'") };
                let (_, line) = text.split_once(&format!("\ntask {name} (id ")).unwrap_or_else(|| panic!("{text}"));
                let (id, line) = line.split_once(')').unwrap();
                assert!(id.parse::<u64>().is_ok_and(|id| id > 0), "{text}");
                assert!(line.starts_with(&format!(" has overflowed its stack of {kibibytes} KiB\n")), "{text}");
                assert!(text.contains("`task::Builder::stack_size`"), "{text}");
                assert!(text.contains("`runtime::Builder::stack_size`"), "{text}");
                assert!(text.contains("run with `RUST_BACKTRACE=1`") && !text.contains("stack backtrace"), "{text}");
            }
        }
    }
}

#[test]
fn wherever_the_task_is() {
    for what in [
        "scope",
        "catch",
        "timeout",
        "drop",
        #[cfg(target_arch = "x86_64")]
        "probes",
    ] {
        for workers in [1, 4] {
            Child { workers, ..PLAIN }.overflow(what);
        }
    }
}

#[test]
fn with_locks_held() {
    for kibibytes in [64, 128, 256] {
        for backtrace in ["0", "1"] {
            // The backtrace may fail, but nothing else.
            Child { kibibytes, backtrace, ..PLAIN }.overflow("library");
        }
    }
}

#[test]
fn a_long_name_is_cut() {
    let name = "\u{20ac}".repeat(5_000);
    let text = Child { name: &name, ..PLAIN }.overflow("recurse");
    assert!(text.contains(&format!("task '{}...' (id ", "\u{20ac}".repeat(66))), "{text}");
}

#[test]
fn one_in_a_simulation_tells_the_seed() {
    let text = Child { name: "a simulation", ..PLAIN }.overflow("recurse");
    assert!(text.contains("\ntask 'a simulation' (id 2) has overflowed its stack of 64 KiB\n"), "{text}");
    assert!(text.contains("THRONG_SEED=7\n") && text.contains("`sim::Check::stack_size`"), "{text}");
}

#[test]
fn of_many_overflows_one_is_reported() {
    for backtrace in ["0", "1"] {
        let text = Child { name: "a herd", workers: 4, backtrace, ..PLAIN }.overflow("recurse");
        assert_eq!(text.matches("has overflowed").count(), 1, "{text}");
    }
}

#[test]
#[cfg(not(target_env = "gnu"))]
fn a_backtrace_that_cannot_be_had() {
    for backtrace in ["1", "full"] {
        let text = Child { backtrace, ..PLAIN }.overflow("recurse");
        assert!(text.contains("note: there is no backtrace: "), "{text}");
    }
}

#[test]
#[cfg(target_env = "gnu")]
fn a_backtrace_if_asked_for() {
    // The first two frames: `black_box` is a function where nothing is inlined, and as good a place to overflow as any.
    let top = |trace: &str| trace.lines().take(4).collect::<String>();
    for workers in [1, 4] {
        for backtrace in ["1", "full"] {
            let child = Child { workers, backtrace, ..PLAIN };
            let text = child.overflow("recurse");
            let (_, trace) = text.split_once("stack backtrace:\n").unwrap_or_else(|| panic!("{text}"));
            assert!(top(trace).contains("overflow::recurse"), "{text}");
            assert!(trace.contains("tests/overflow.rs:"), "{text}");
            assert!(trace.contains(" times more the same 1 frame\n"), "{text}");
            assert!(trace.contains("overflow::child::"), "where it was entered: {text}");
            assert!(trace.lines().count() < 100, "{text}");
            assert_eq!(backtrace == "full", trace.contains("0x"), "{text}");
            // Wherever in the two functions it was.
            let text = child.overflow("ping");
            assert!(text.contains(" times more the same 2 frames\n"), "{text}");
            let (_, trace) = text.split_once("stack backtrace:\n").unwrap();
            assert!(top(trace).contains("overflow::ping") || top(trace).contains("overflow::pong"), "{text}");
            assert!(child.overflow("frame").contains("overflow::huge_frame"));
        }
    }
}

#[test]
fn a_panic_is_no_overflow_of_the_smallest_stack() {
    for backtrace in ["0", "1", "full"] {
        let (text, status) = Child { kibibytes: 16, backtrace, ..PLAIN }.run("panic");
        assert_eq!(status.code(), Some(101), "the child's own `join().unwrap()` panics: {text}");
        assert!(text.contains("a message with a 1ms") && !text.contains("overflowed"), "{text}");
    }
}

#[test]
fn another_fault_goes_to_the_handler_before() {
    for workers in [1, 4] {
        let child = Child { workers, ..PLAIN };
        for (what, signal) in [("null", libc::SIGSEGV), ("bus", libc::SIGBUS), ("foreign", libc::SIGSEGV)] {
            // `std`'s, which has nothing to say about these; none; the user's; and one that is called once.
            for (handlers, called) in [("", false), ("default", false), ("before-once", true)] {
                let (text, status) = Child { handlers, ..child }.run(what);
                assert_eq!(status.signal(), Some(signal), "{what}: {text}");
                assert_eq!(text.matches("the user's handler").count(), called.into(), "{what}: {text}");
                assert!(!text.contains("overflowed"), "{what}: {text}");
            }
            let (text, status) = Child { handlers: "before", ..child }.run(what);
            assert_eq!((status.code(), text.contains("the user's handler")), (Some(77), true), "{what}: {text}");
        }
        let text = Child { handlers: "before", ..child }.overflow("recurse");
        assert!(!text.contains("the user's handler"), "{text}");
    }
}

#[test]
fn a_handler_installed_later_comes_first_and_can_pass_on() {
    for workers in [1, 4] {
        let child = Child { workers, handlers: "after", ..PLAIN };
        let (text, status) = child.run("null");
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{text}");
        assert!(text.contains("the user's handler") && !text.contains("overflowed"), "{text}");
        let text = child.overflow("recurse");
        assert!(text.contains("the user's handler") && text.contains("task <unnamed>"), "{text}");
    }
}

#[test]
fn a_signal_that_was_sent_is_no_fault() {
    for (handlers, signal) in [("default", Some(libc::SIGSEGV)), ("ignored", None)] {
        let (text, status) = Child { handlers, ..PLAIN }.run("sent");
        assert_eq!((status.signal(), text.contains("survived")), (signal, signal.is_none()), "{text}");
    }
}

#[test]
fn a_thread_is_stds_affair() {
    for what in ["recurse", "frame"] {
        let text = Child { name: "a thread", ..PLAIN }.overflow(what).replace('\'', "");
        assert!(text.contains("thread a thread") && !text.contains("task "), "{text}");
    }
}

/// While tasks run, run on, and sleep, with all threads that there are.
#[test]
fn no_other_signal_has_a_handler() {
    let handled = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    };
    let before = handled();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let after = runtime.run(|| {
        let stop = AtomicUsize::new(0);
        throng::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    while stop.load(Ordering::SeqCst) == 0 {
                        std::hint::spin_loop();
                    }
                });
            }
            // On a thread that stepped in, since there are two workers and three that run on.
            s.spawn(|| task::sleep(std::time::Duration::from_millis(1))).join().unwrap();
            let after = handled();
            stop.store(1, Ordering::SeqCst);
            after
        })
    });
    assert_eq!(after, before | 1 << (libc::SIGSEGV - 1) | 1 << (libc::SIGBUS - 1));
}
