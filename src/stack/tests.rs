//! Tests of the arena as a whole, each on a private one.

use super::arena::{Arena, Statistics};
use super::class::{Class, class_for};
use super::guard::Guards;
use super::memory::page_size;
use super::slab::Stack;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

const EACH_KIND: [Option<Guards>; 2] = [None, Some(Guards::Mprotect)];

fn class(kibibytes: usize) -> Class {
    class_for(kibibytes << 10).unwrap()
}

fn take(arena: &Arena, class: Class, count: usize) -> Vec<Stack> {
    let mut stacks = Vec::new();
    while stacks.len() < count {
        let left = count - stacks.len();
        arena.take(class, &mut stacks, left);
    }
    assert_eq!(stacks.len(), count);
    stacks
}

fn touch(address: *mut u8) {
    // SAFETY: an address in a stack that the test owns; or, in a child, in a guard, which is the end of it.
    unsafe { address.write_volatile(7) };
}

/// The signal that ends a child which touches `address`, or 0.
fn signal_of_touching(address: *mut u8) -> i32 {
    // SAFETY: the child of a process with threads does nothing but async-signal-safe calls and one write to memory.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
            touch(address);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }
    }
}

fn is_fault(signal: i32) -> bool {
    signal == libc::SIGSEGV || signal == libc::SIGBUS
}

/// How many of the process's mappings the arena's stacks lie in. (Other tests map at the same time.)
fn mappings(arena: &Arena) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let is_ours = |line: &&str| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let address = |digits| usize::from_str_radix(digits, 16).unwrap();
        arena.locate(address(start)).is_some() || arena.locate(address(end) - 1).is_some()
    };
    maps.lines().filter(is_ours).count()
}

/// Whether the page at `address` is in memory.
fn is_resident(address: *mut u8) -> bool {
    let mut page = 0;
    // SAFETY: asks about one page of a mapping; the vector has a byte for it.
    assert_eq!(unsafe { libc::mincore(address.cast(), 1, &mut page) }, 0);
    page & 1 == 1
}

#[test]
fn guards_below_each_stack() {
    for kind in EACH_KIND {
        let arena = Arena::new(kind);
        let class = class(64);
        arena.reserve(class, 3).unwrap();
        for stack in take(&arena, class, 3) {
            assert_eq!(stack.top().addr() - stack.bottom().addr(), class.size() - page_size());
            touch(stack.bottom());
            touch(stack.top().wrapping_sub(1));
            assert_eq!(signal_of_touching(stack.bottom()), 0);
            assert!(is_fault(signal_of_touching(stack.bottom().wrapping_sub(1))));
            assert!(is_fault(signal_of_touching(stack.bottom().wrapping_sub(page_size()))));
        }
    }
}

#[test]
fn guards_outlive_the_memory() {
    for kind in EACH_KIND {
        let arena = Arena::new(kind);
        let class = class(64);
        arena.reserve(class, 9).unwrap();
        let mut stacks = take(&arena, class, 9);
        stacks.iter().for_each(|stack| touch(stack.bottom()));
        arena.give(class, &mut stacks, 0);
        arena.trim();
        for stack in take(&arena, class, 9) {
            assert!(is_fault(signal_of_touching(stack.bottom().wrapping_sub(1))));
            touch(stack.bottom());
        }
    }
}

#[test]
fn reservations_are_counted() {
    let arena = Arena::new(None);
    let class = class(64);
    assert_eq!(arena.statistics(), Statistics::default());
    arena.reserve(class, 10).unwrap();
    let slots = arena.statistics().slots;
    assert!(slots >= 16);
    arena.reserve(class, slots - 10).unwrap();
    assert_eq!(arena.statistics(), Statistics { slabs: 1, slots, reserved: slots, ..Statistics::default() });
    arena.reserve(class, 1).unwrap();
    let Statistics { slabs, slots: more, reserved, .. } = arena.statistics();
    assert!(slabs == 2 && more > slots && reserved == slots + 1);
    arena.release(class, slots + 1);
    assert_eq!(arena.statistics().reserved, 0);
    // What exists is not made again.
    arena.reserve(class, more).unwrap();
    assert_eq!(arena.statistics().slots, more);
    // A reservation that can't be is no reservation.
    assert_eq!(arena.reserve(class, usize::MAX / 2).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    assert_eq!(arena.reserve(class, usize::MAX).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    assert_eq!(arena.statistics().reserved, more);
}

#[test]
fn last_used_is_first_reused() {
    let arena = Arena::new(None);
    let class = class(64);
    arena.reserve(class, 8).unwrap();
    let mut stacks = take(&arena, class, 8);
    let addresses: Vec<_> = stacks.iter().map(Stack::top).collect();
    arena.give(class, &mut stacks, 3);
    assert_eq!(stacks.iter().map(Stack::top).collect::<Vec<_>>(), addresses[5..], "the cache keeps its hot end");
    assert_eq!(arena.statistics().warm, 5);
    let mut again = Vec::new();
    arena.take(class, &mut again, 2);
    assert_eq!(again.iter().map(Stack::top).collect::<Vec<_>>(), addresses[3..5]);
    let Statistics { taken, warm, cold, .. } = arena.statistics();
    assert_eq!((taken, warm, cold), (5, 3, 0));
}

#[test]
fn addresses_are_located() {
    for kind in EACH_KIND {
        let arena = Arena::new(kind);
        assert_eq!(arena.locate(1 << 20), None);
        for class in [class(64), class(256), class(1024)] {
            arena.reserve(class, 2).unwrap();
            for stack in take(&arena, class, 2) {
                let (bottom, top) = (stack.bottom().addr(), stack.top().addr());
                for (address, in_guard) in
                    [(bottom, false), (top - 1, false), (bottom - 1, true), (bottom - 4096, true)]
                {
                    let place = arena.locate(address).unwrap();
                    assert_eq!((place.stack, place.size, place.in_guard), (bottom..top, class.size(), in_guard));
                }
            }
        }
        assert_eq!(arena.locate((&raw const arena).addr()), None);
    }
}

#[test]
fn fallback_has_a_limit_of_its_own() {
    let arena = Arena::with_limit(Some(Guards::Mprotect), Some(20));
    let class = class(64);
    arena.reserve(class, 15).unwrap();
    arena.reserve(class, 5).unwrap();
    let error = arena.reserve(class, 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(
        text.contains("MADV_GUARD_INSTALL") && text.contains("6.13") && text.contains("vm.max_map_count"),
        "{text}"
    );
    arena.release(class, 1);
    arena.reserve(class, 1).unwrap();
    drop(take(&arena, class, 20));
}

/// Those who hoard are asked to give while there is little left, and not for ever after.
#[test]
fn room_is_scarce_until_there_is_plenty_again() {
    let arena = Arena::with_limit(Some(Guards::Mprotect), Some(40));
    let [small, large] = [64, 128].map(class);
    arena.reserve(small, 24).unwrap();
    arena.reserve(large, 10).unwrap();
    assert!(!arena.is_scarce(small, 4), "nobody has asked in vain");
    arena.reserve(large, 20).unwrap_err();
    assert!(arena.is_scarce(small, 4) && arena.is_scarce(large, 10));
    arena.release(small, 12);
    assert!(!arena.is_scarce(small, 4) && arena.is_scarce(small, 24));
    drop((take(&arena, small, 12), take(&arena, large, 10)));
}

#[test]
fn fallback_leaves_mappings_to_others() {
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    assert!(Guards::Mprotect.limit() * 2 <= most / 2);
    let arena = Arena::new(Some(Guards::Mprotect));
    assert!(arena.reserve(class(64), most).is_err());
    arena.reserve(class(64), 100).unwrap();
}

#[test]
fn a_million_stacks_are_few_mappings() {
    let arena = Arena::new(None);
    let class = class(256);
    if Guards::probe().unwrap() == Guards::Mprotect || cfg!(any(throng_tsan, throng_asan)) {
        return;
    }
    for _ in 0..1_000 {
        arena.reserve(class, 1_000).unwrap();
    }
    let statistics = arena.statistics();
    assert_eq!(statistics.reserved, 1_000_000);
    // Guards split nothing either.
    let mut stacks = take(&arena, class, 1_000);
    stacks.iter().for_each(|stack| touch(stack.top().wrapping_sub(1)));
    let mappings = mappings(&arena);
    assert!((1..1_000).contains(&mappings), "{mappings} mappings");
    assert!(statistics.slabs < 100, "{statistics:?}");
    arena.give(class, &mut stacks, 0);
    arena.release(class, 1_000_000);
}

#[test]
fn trimming_returns_memory() {
    for kind in EACH_KIND {
        let arena = Arena::new(kind);
        let class = class(64);
        arena.reserve(class, 50).unwrap();
        let mut stacks = take(&arena, class, 50);
        for stack in &stacks {
            touch(stack.bottom());
            touch(stack.top().wrapping_sub(1));
            assert!(is_resident(stack.bottom()) && is_resident(stack.top().wrapping_sub(page_size())));
        }
        arena.give(class, &mut stacks, 0);
        arena.trim();
        assert_eq!((arena.statistics().warm, arena.statistics().cold), (0, 50));
        for stack in take(&arena, class, 50) {
            assert!(!is_resident(stack.bottom()) && !is_resident(stack.top().wrapping_sub(page_size())));
        }
    }
}

#[test]
fn idle_memory_is_bounded() {
    let arena = Arena::new(None);
    let class = class(64 << 10);
    let most = 16;
    arena.reserve(class, 3 * most).unwrap();
    let mut stacks = take(&arena, class, 3 * most);
    let oldest = stacks[0].top().wrapping_sub(page_size());
    stacks.iter().for_each(|stack| touch(stack.top().wrapping_sub(1)));
    arena.give(class, &mut stacks, most);
    assert!(arena.has_excess());
    arena.trim_unused();
    let Statistics { warm, cold, .. } = arena.statistics();
    assert_eq!((warm, cold), (2 * most, 0), "they were needed a moment ago");
    arena.give(class, &mut stacks, 0);
    arena.trim_unused();
    let Statistics { warm, cold, taken, .. } = arena.statistics();
    assert_eq!((warm, cold, taken), (most, 2 * most, 0));
    assert!(!arena.has_excess());
    assert!(!is_resident(oldest), "the stack used longest ago goes first");
}

/// Threads that reserve, take, give, trim and release at once; each stack has one owner at a time.
#[test]
fn threads_share() {
    let arena = Arena::new(None);
    let class = class(64);
    let out = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for seed in 1..=4u64 {
            let (arena, out) = (&arena, &out);
            scope.spawn(move || {
                let mut random = seed;
                let mut stacks: Vec<Stack> = Vec::new();
                for round in 0..300 {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let count = (random >> 33) as usize % 60 + 1;
                    arena.reserve(class, count).unwrap();
                    stacks.extend(take(arena, class, count));
                    for stack in &stacks {
                        // SAFETY: this thread owns the stack; its top word is nobody else's.
                        unsafe { stack.top().cast::<u64>().sub(1).write_volatile(seed << 32 | round) };
                    }
                    out.fetch_add(count, Ordering::Relaxed);
                    for stack in &stacks {
                        // SAFETY: as above.
                        assert_eq!(unsafe { stack.top().cast::<u64>().sub(1).read_volatile() }, seed << 32 | round);
                    }
                    arena.give(class, &mut stacks, 0);
                    if random >> 40 & 7 == 0 {
                        arena.trim();
                    }
                    arena.release(class, count);
                }
            });
        }
    });
    let Statistics { reserved, taken, warm, cold, .. } = arena.statistics();
    assert_eq!((reserved, taken), (0, 0));
    // Not lost, and not there twice. (They may be more than were ever out at once: whoever finds that all idle stacks
    // are being trimmed takes a fresh one.)
    let mut idle: Vec<_> = take(&arena, class, warm + cold).iter().map(Stack::top).collect();
    idle.sort_unstable();
    idle.dedup();
    assert_eq!(idle.len(), warm + cold);
    assert_eq!((arena.statistics().warm, arena.statistics().cold), (0, 0));
}

/// Runs itself as a child, since the limit is the whole process's.
#[test]
#[cfg(not(any(throng_tsan, throng_asan)))]
fn exhausted_address_space_is_an_error() {
    const CHILD: &str = "THRONG_TEST_ADDRESS_SPACE";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().unwrap();
        let name = "stack::tests::exhausted_address_space_is_an_error";
        let output = std::process::Command::new(this).args(["--exact", name]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let limit = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
    // SAFETY: reads the local it is given; this process is here for this test only.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let arena = Arena::new(None);
    let class = class(1024);
    let mut count = 0;
    let error = loop {
        match arena.reserve(class, 1) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(count > 1_000, "nearly all of the address space can be used for stacks: {count} MiB");
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(text.contains("limited to 2097152 KiB") && text.contains("ulimit -v"), "{text}");
    assert_eq!(arena.statistics().reserved, count);
    // Those who hold a reservation are served.
    let mut stacks = take(&arena, class, count);
    arena.give(class, &mut stacks, 0);
    arena.release(class, 1);
    arena.reserve(class, 1).unwrap();
}
