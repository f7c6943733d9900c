//! Where tasks go on: at home if they are pinned, or if the runtime moves none that have begun, whatever becomes of the thread.

#![allow(unsafe_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;
use throng::chan::{bounded, unbounded};
use throng::runtime::{Builder, Migration, Runtime};
use throng::task;

mod common;

fn strict(workers: usize) -> Runtime {
    Builder::new().workers(workers).migration(Migration::BeforeFirstRun).build().expect("a runtime")
}

/// Passes messages round a ring of tasks, whose threads are checked at each.
fn ring(rounds: usize, pins: bool) {
    const TASKS: usize = 16;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| unbounded::<usize>()).unzip();
    throng::scope(|s| {
        let senders = &senders;
        for (index, receiver) in receivers.into_iter().enumerate() {
            s.spawn(move || {
                let _pinned = pins.then(task::pin);
                let home = thread::current().id();
                for message in receiver {
                    assert_eq!(thread::current().id(), home);
                    if message == 0 {
                        return;
                    }
                    if message % 64 == 0 {
                        task::yield_now();
                        assert_eq!(thread::current().id(), home);
                    }
                    // The last message ends each task in turn.
                    let next = if message <= TASKS { TASKS - 1 } else { 1 };
                    let _ = senders[(index + 1) % TASKS].send(message - 1);
                    if next > 1 {
                        return;
                    }
                }
            });
        }
        for start in 0..4 {
            // What was begun with before may have ended them all by now.
            let _ = senders[start * 4].send(rounds);
        }
        // Whoever still waits.
        while senders.iter().any(|sender| sender.send(0).is_ok()) {
            task::yield_now();
        }
    });
}

#[test]
fn no_begun_task_moves_in_the_strict_mode() {
    for workers in common::WORKERS {
        let runtime = strict(workers);
        runtime.run(|| ring(common::scaled(300, 3000), false));
        assert_eq!((runtime.metrics().migrations(), runtime.metrics().guard_scans()), (0, 0));
    }
}

#[test]
fn a_pinned_task_stays() {
    common::with_workers(|runtime, _| runtime.run(|| ring(common::scaled(300, 3000), true)));
}

#[test]
fn pins_nest_and_do_nothing_on_a_thread() {
    let _no_task = task::pin();
    common::with_workers(|runtime, _| {
        runtime.run(|| {
            let outer = task::pin();
            let inner = task::pin();
            let home = thread::current().id();
            drop(outer);
            for _ in 0..100 {
                task::yield_now();
                throng::spawn(|| ()).join().unwrap();
                assert_eq!(thread::current().id(), home);
            }
            drop(inner);
        });
    });
}

#[test]
fn a_pin_that_gets_to_another_task_is_not_its() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<task::Pinned>> = const { std::cell::RefCell::new(None) };
    }
    let runtime = common::runtime(1);
    runtime.run(|| {
        throng::spawn(|| KEPT.set(Some(task::pin()))).join().unwrap();
        let _mine = task::pin();
        drop(KEPT.take());
        task::yield_now();
    });
}

#[test]
fn a_held_task_waits_for_its_thread_and_the_report_says_so() {
    let runtime = Builder::new().workers(1).build().expect("a runtime");
    let (free, freed) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let (send, receive) = bounded::<()>(1);
    let held = runtime.run(|| {
        let (ready, is_ready) = bounded(0);
        let held = task::Builder::new()
            .name("held")
            .spawn(move || {
                let _pinned = task::pin();
                ready.send(()).unwrap();
                let home = thread::current().id();
                let _ = receive.recv();
                assert_eq!(thread::current().id(), home);
            })
            .unwrap();
        is_ready.recv().unwrap();
        held
    });
    // There was only one thread so far.
    let stuck = runtime.spawn(move || {
        tell.send(()).unwrap();
        let _ = freed.recv();
    });
    told.recv().unwrap();
    send.send(()).unwrap();
    // Another thread serves the others meanwhile.
    runtime.spawn(|| ()).join().unwrap();
    assert!(!held.is_finished());
    let unfinished = runtime.shutdown_timeout(Duration::from_millis(10)).unwrap_err().to_string();
    assert!(unfinished.contains("`held` is ready to run, but must go on on its own kernel thread"), "{unfinished}");
    drop(free);
    held.join().unwrap();
    stuck.join().unwrap();
}

/// Threads that have become spare come for their tasks.
#[test]
fn tasks_go_on_at_home_when_it_has_become_spare() {
    const WORKERS: usize = 4;
    for strictly in [false, true] {
        let runtime = if strictly { strict(WORKERS) } else { common::runtime(WORKERS) };
        let (open, gate) = unbounded::<()>();
        let begun = AtomicUsize::new(0);
        let homes = Mutex::new(HashMap::<ThreadId, usize>::new());
        let rounds = common::scaled(20, 200);
        runtime.run(|| {
            throng::scope(|s| {
                for _ in 0..64 {
                    s.spawn(|| {
                        let _pinned = task::pin();
                        let home = thread::current().id();
                        *homes.lock().unwrap().entry(home).or_default() += 1;
                        // Long enough for the others to begin elsewhere.
                        throng::blocking(thread::yield_now);
                        begun.fetch_add(1, Ordering::Relaxed);
                        for _ in 0..rounds {
                            gate.recv().unwrap();
                            assert_eq!(thread::current().id(), home);
                        }
                    });
                }
                common::until(|| begun.load(Ordering::Relaxed) == 64);
                runtime.set_workers(1).unwrap();
                for turn in 0..64 * rounds {
                    open.send(()).unwrap();
                    if turn % 7 == 0 {
                        task::yield_now();
                    }
                }
            });
        });
        println!("homes: {:?}", homes.into_inner().unwrap().values());
    }
}

/// Also those that block where nobody knows: their thread is replaced, and what has its home there waits.
#[test]
fn tasks_come_and_go_while_their_homes_block() {
    common::with_workers(|runtime, random| {
        let rounds = common::scaled(40, 400);
        runtime.run(|| {
            throng::scope(|s| {
                for _ in 0..32 {
                    s.spawn(|| {
                        for _ in 0..rounds {
                            let pinned = (random.below(2) == 0).then(task::pin);
                            let home = thread::current().id();
                            match random.below(8) {
                                0 => throng::blocking(thread::yield_now),
                                1 => task::sleep(Duration::from_micros(random.below(50))),
                                2 => thread::sleep(Duration::from_micros(random.below(50))),
                                3 => throng::spawn(|| ()).join().unwrap(),
                                _ => task::yield_now(),
                            }
                            assert!(pinned.is_none() || thread::current().id() == home);
                        }
                    });
                }
            });
        });
    });
}

/// What the library and those below it leave on stacks, and in the storage of threads, is not taken for what tasks hold.
#[test]
fn tasks_that_hold_nothing_are_not_held() {
    common::with_workers(|runtime, random| {
        let shared = throng::sync::Mutex::new(0);
        runtime.run(|| {
            let (send, receive) = bounded(4);
            throng::scope(|s| {
                for _ in 0..16 {
                    s.spawn(|| {
                        for _ in 0..common::scaled(100, 1000) {
                            match random.below(7) {
                                0 => task::sleep(Duration::from_micros(random.below(50))),
                                1 => throng::blocking(thread::yield_now),
                                2 => throng::spawn(|| ()).join().unwrap(),
                                3 => *shared.lock() += 1,
                                4 => send.send(Box::new(1)).unwrap(),
                                5 => drop(receive.try_recv()),
                                _ => task::yield_now(),
                            }
                            while send.len() > 2 {
                                let _ = receive.try_recv();
                            }
                        }
                    });
                }
            });
        });
        let metrics = runtime.metrics();
        println!("{metrics:?}");
        // Chance is not excluded; and where nothing is optimised, large frames keep more of what was there before.
        let allowed = 5 + metrics.guard_scans() / if cfg!(debug_assertions) { 1 } else { 100 };
        assert!(metrics.guard_holds() <= allowed, "{metrics:?}");
    });
}

/// A stack that nobody knows of can't be searched, and what lies between it and the task's own needn't be mapped. (Other C
/// libraries have no calls for such a stack.)
#[test]
#[cfg(target_env = "gnu")]
fn a_task_that_waits_on_another_stack_stays() {
    const STACK: usize = 256 << 10;
    extern "C" fn entry(low: u32, high: u32) {
        let f = (u64::from(low) | u64::from(high) << 32) as *mut &mut dyn FnMut();
        // SAFETY: `on_another_stack` waits for the end of this call.
        unsafe { (*f)() };
    }
    fn on_another_stack(mut f: &mut dyn FnMut()) {
        // SAFETY: the contexts and the stack live until the second one has come to its end, which resumes the first.
        unsafe {
            // Far below all others.
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let stack = libc::mmap(std::ptr::without_provenance_mut(1 << 37), STACK, access, kind, -1, 0);
            assert_ne!(stack, libc::MAP_FAILED);
            let [mut here, mut there] = [(); 2].map(|()| Box::new(std::mem::zeroed::<libc::ucontext_t>()));
            assert_eq!(libc::getcontext(&raw mut *there), 0);
            (there.uc_stack.ss_sp, there.uc_stack.ss_size, there.uc_link) = (stack, STACK, &raw mut *here);
            let entry = std::mem::transmute::<extern "C" fn(u32, u32), extern "C" fn()>(entry);
            let f = (&raw mut f).expose_provenance() as u64;
            libc::makecontext(&raw mut *there, entry, 2, f as u32, (f >> 32) as u32);
            assert_eq!(libc::swapcontext(&raw mut *here, &raw const *there), 0);
            libc::munmap(stack, STACK);
        }
    }
    let runtime = Builder::new().workers(4).migration(Migration::Guarded).build().expect("a runtime");
    let (open, gate) = bounded::<()>(0);
    let wait = || {
        let gate = gate.clone();
        runtime.spawn(move || {
            on_another_stack(&mut || {
                let home = thread::current().id();
                while gate.recv().is_ok() {
                    assert_eq!(thread::current().id(), home);
                }
            });
        })
    };
    let tasks: Vec<_> = (0..8).map(|_| wait()).collect();
    (0..common::scaled(500, 5000)).for_each(|_| open.send(()).unwrap());
    drop(open);
    tasks.into_iter().for_each(|task| task.join().unwrap());
    println!("{:?}", runtime.metrics());
}

/// Where every fourth turn is the queue's or the inbox's, and the slot has the others. A hang is a failure.
#[test]
fn the_inbox_and_the_queue_take_turns_however_many_the_slot_has() {
    let runtime = common::runtime(1);
    let (open, gate) = bounded::<()>(0);
    let is_over = AtomicBool::new(false);
    let sender = thread::spawn(move || {
        for _ in 0..16 {
            // For the receiver to wait.
            thread::sleep(Duration::from_micros(500));
            open.send(()).unwrap();
        }
    });
    runtime.run(|| {
        throng::scope(|s| {
            let is_over = &is_over;
            for _ in 0..4 {
                let [a, b, c, d] = [(); 4].map(|()| unbounded::<()>());
                a.0.send(()).unwrap();
                // Four tasks in a ring. The first is put into the queue, displaced from the slot by the third.
                s.spawn(move || {
                    while a.1.recv().is_ok() && !is_over.load(Ordering::Relaxed) {
                        b.0.send(()).unwrap();
                    }
                });
                s.spawn(move || {
                    while b.1.recv().is_ok() {
                        let _ = a.0.send(());
                        c.0.send(()).unwrap();
                    }
                });
                s.spawn(move || c.1.into_iter().for_each(|()| d.0.send(()).unwrap()));
                s.spawn(move || d.1.into_iter().for_each(drop));
            }
            // It takes one turn each time: whichever turns the others have, it meets both kinds.
            s.spawn(move || {
                let _pinned = task::pin();
                gate.into_iter().for_each(drop);
                is_over.store(true, Ordering::Relaxed);
            });
        });
    });
    sender.join().unwrap();
}
