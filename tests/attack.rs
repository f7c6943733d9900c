//! Scratch.
#![allow(unsafe_code)]
use std::thread;
use std::time::{Duration, Instant};
use throng::chan::{bounded, unbounded};
use throng::runtime::{Builder, Migration};
use throng::task;

mod common;

/// Calls `f` on a stack of its own, as `stacker` does.
fn on_another_stack(f: &mut dyn FnMut()) {
    extern "C" fn entry(low: u32, high: u32) {
        let f = (u64::from(low) | u64::from(high) << 32) as *mut &mut dyn FnMut();
        unsafe { (*f)() };
    }
    let size = 256 << 10;
    unsafe {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0x20_0000_0000);
        let low = std::env::var_os("LOW").map_or(0, |_| NEXT.fetch_add(1 << 30, std::sync::atomic::Ordering::Relaxed));
        let stack = libc::mmap(
            low as *mut _,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        let mut f = f;
        let mut here: Box<libc::ucontext_t> = Box::new(std::mem::zeroed());
        let mut there: Box<libc::ucontext_t> = Box::new(std::mem::zeroed());
        libc::getcontext(&mut *there);
        there.uc_stack.ss_sp = stack;
        there.uc_stack.ss_size = size;
        there.uc_link = &mut *here;
        let f = (&raw mut f) as u64;
        let entry: extern "C" fn() = std::mem::transmute(entry as extern "C" fn(u32, u32));
        libc::makecontext(&mut *there, entry, 2, f as u32, (f >> 32) as u32);
        libc::swapcontext(&mut *here, &*there);
        libc::munmap(stack, size);
    }
}

#[test]
fn a_wait_on_another_stack() {
    let runtime = common::runtime(4);
    let (send, receive) = bounded::<()>(0);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let receive = receive.clone();
            runtime.spawn(move || {
                let mut ids = 0;
                let mut last = thread::current().id();
                on_another_stack(&mut || {
                    while receive.recv().is_ok() {
                        let now = thread::current().id();
                        ids += usize::from(now != last);
                        last = now;
                    }
                });
                ids
            })
        })
        .collect();
    for _ in 0..2000 {
        send.send(()).unwrap();
    }
    drop(send);
    let moved: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
    println!("moved {moved} {:?}", runtime.metrics());
}

/// The monitor fires a spare seat's timer, its thread comes for the task, which then waits for ever.
#[test]
fn a_deadlock_after_a_visit_is_told() {
    let runtime = Builder::new().workers(4).build().unwrap();
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.run(|| {
            let (_keep, gate) = unbounded::<()>();
            let sleepers: Vec<_> = (0..std::env::var("SLEEPERS").map_or(4, |n| n.parse().unwrap()))
                .map(|_| {
                    let gate = gate.clone();
                    throng::spawn(move || {
                        let _pinned = task::pin();
                        throng::blocking(|| thread::sleep(Duration::from_millis(1)));
                        task::sleep(Duration::from_millis(300));
                        let _ = gate.recv();
                    })
                })
                .collect();
            task::sleep(Duration::from_millis(100));
            throng::runtime::deadlock_detection().unwrap();
            sleepers.into_iter().for_each(|task| drop(task.join()));
        })
    }));
    println!("{}", told.is_err());
}

/// Strict: the root's task lies in its own thread's inbox, which another task keeps for ever.
#[test]
fn a_deadlock_in_the_strict_mode_is_told() {
    let runtime = Builder::new().workers(1).migration(Migration::BeforeFirstRun).build().unwrap();
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.run(|| {
            let (send, receive) = std::sync::mpsc::channel::<()>();
            let other = throng::spawn(move || {
                let _ = receive.recv();
            });
            task::yield_now();
            send.send(()).unwrap();
            other.join().unwrap();
        })
    }));
    println!("{}", told.is_err());
}

/// Guarded: how often tasks of everyday code are held for nothing.
#[test]
fn false_holds() {
    let what: [(&str, fn()); 9] = [
        ("nothing", || ()),
        ("hashmap", || {
            let mut map = std::collections::HashMap::new();
            map.insert(1, 2);
            std::hint::black_box(&map);
        }),
        ("format", || {
            std::hint::black_box(format!("{} {:?}", 1, 2.5));
        }),
        ("write to stderr", || eprint!("")),
        ("println", || print!("")),
        ("alloc", || {
            std::hint::black_box(vec![0u8; 4096]);
        }),
        ("thread::current", || {
            std::hint::black_box(thread::current().id());
        }),
        ("panic", || {
            let _ = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(())));
        }),
        ("file", || {
            let _ = std::fs::read("/etc/hostname");
            let _ = std::fs::read("/nonexistent");
        }),
    ];
    for (name, f) in what {
        let runtime = common::runtime(4);
        let (send, receive) = bounded::<()>(0);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let receive = receive.clone();
                runtime.spawn(move || {
                    while receive.recv().is_ok() {
                        f();
                    }
                })
            })
            .collect();
        for _ in 0..4000 {
            send.send(()).unwrap();
        }
        drop(send);
        tasks.into_iter().for_each(|task| task.join().unwrap());
        let m = runtime.metrics();
        println!("{name}: migrations {} scans {} holds {}", m.migrations(), m.guard_scans(), m.guard_holds());
    }
}

/// Fairness of inbox and queue when takes from the queue come at every other turn.
#[test]
fn inbox_and_queue_at_the_same_parity() {
    let runtime = common::runtime(1);
    let (open, gate) = unbounded::<()>();
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let pinned = runtime.spawn(move || {
        let _pin = task::pin();
        gate.recv().unwrap();
        Instant::now()
    });
    let crowd: Vec<_> = (0..std::env::var("CROWD").map_or(8000, |n| n.parse().unwrap()))
        .map(|_| {
            let (send, receive) = unbounded::<()>();
            let over = over.clone();
            let y = runtime.spawn(move || while receive.recv().is_ok() {});
            let x = runtime.spawn(move || {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    send.send(()).unwrap();
                    task::sleep(Duration::from_nanos(1));
                }
            });
            (x, y)
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let mut worst = Duration::ZERO;
    let begun = Instant::now();
    open.send(()).unwrap();
    let stop = thread::spawn(move || {
        thread::sleep(Duration::from_secs(3));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    worst = worst.max(pinned.join().unwrap() - begun);
    println!("held task waited {worst:?}");
    stop.join().unwrap();
    for (x, y) in crowd {
        x.join().unwrap();
        y.join().unwrap();
    }
}
