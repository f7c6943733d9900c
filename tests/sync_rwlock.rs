//! `RwLock`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{Random, elapsed_at_least, in_tasks, runtime, stress};
use crew::every_crew;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::Cancelled;
use throng::sync::{
    ArcRwLockReadGuard, ArcRwLockWriteGuard, Barrier, MappedRwLockReadGuard, MappedRwLockWriteGuard, RawRwLock, RwLock,
    RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
use throng::task;
use throng::time::now;

/// Who is inside, as seen by those who are.
#[derive(Default)]
struct Inside {
    readers: AtomicUsize,
    upgradable: AtomicUsize,
    writers: AtomicUsize,
}

impl Inside {
    fn read(&self, random: &Random) {
        self.readers.fetch_add(1, SeqCst);
        assert_eq!(self.writers.load(SeqCst), 0);
        pause(random);
        assert_eq!(self.writers.load(SeqCst), 0);
        self.readers.fetch_sub(1, SeqCst);
    }

    fn read_upgradably(&self, random: &Random) {
        assert_eq!(self.upgradable.fetch_add(1, SeqCst), 0);
        self.read(random);
        self.upgradable.fetch_sub(1, SeqCst);
    }

    fn write(&self, random: &Random) {
        assert_eq!(self.writers.fetch_add(1, SeqCst), 0);
        assert_eq!(self.readers.load(SeqCst), 0);
        pause(random);
        assert_eq!(self.readers.load(SeqCst), 0);
        self.writers.fetch_sub(1, SeqCst);
    }
}

fn pause(random: &Random) {
    if random.below(8) == 0 {
        task::yield_now();
    }
}

#[test]
fn a_writer_is_alone() {
    every_crew(|crew| {
        let (lock, inside, writes) = (RwLock::new(0), Inside::default(), AtomicUsize::new(0));
        crew.run(8, |me| {
            let random = Random::new(me as u64 + 11);
            for _ in 0..stress(150) {
                match random.below(8) {
                    0..4 => {
                        let mut guard = lock.read();
                        inside.read(&random);
                        if random.below(8) == 0 {
                            RwLockReadGuard::bump(&mut guard);
                            inside.read(&random);
                        }
                    }
                    4 => {
                        let mut guard = lock.write();
                        *guard += 1;
                        writes.fetch_add(1, SeqCst);
                        inside.write(&random);
                        RwLockWriteGuard::bump(&mut guard);
                        inside.write(&random);
                    }
                    5 => {
                        let guard = lock.write();
                        inside.write(&random);
                        let guard = RwLockWriteGuard::downgrade(guard);
                        inside.read(&random);
                        drop(guard);
                    }
                    6 => {
                        let guard = lock.upgradable_read();
                        inside.read_upgradably(&random);
                        let before = *guard;
                        let mut guard = RwLockUpgradableReadGuard::upgrade(guard);
                        assert_eq!(*guard, before);
                        *guard += 1;
                        writes.fetch_add(1, SeqCst);
                        inside.write(&random);
                        let guard = RwLockWriteGuard::downgrade_to_upgradable(guard);
                        inside.read_upgradably(&random);
                        let guard = RwLockUpgradableReadGuard::downgrade(guard);
                        inside.read(&random);
                        drop(guard);
                    }
                    _ => {
                        let mut guard = lock.upgradable_read();
                        inside.read_upgradably(&random);
                        RwLockUpgradableReadGuard::bump(&mut guard);
                        inside.read_upgradably(&random);
                    }
                }
            }
        });
        assert!(!lock.is_locked());
        assert_eq!(lock.into_inner(), writes.into_inner());
    });
}

#[test]
fn waits_with_deadlines_lose_nothing() {
    every_crew(|crew| {
        let (lock, inside) = (RwLock::new(()), Inside::default());
        crew.run(6, |me| {
            let random = Random::new(me as u64 + 5);
            for _ in 0..stress(100) {
                let timeout = Duration::from_micros(random.below(60));
                match random.below(5) {
                    0 => drop(lock.try_read_for(timeout).inspect(|_| inside.read(&random))),
                    1 => drop(lock.try_write_for(timeout).inspect(|_| inside.write(&random))),
                    2 => {
                        if let Some(guard) = lock.try_upgradable_read_for(timeout) {
                            inside.read_upgradably(&random);
                            match RwLockUpgradableReadGuard::try_upgrade_for(guard, timeout) {
                                Ok(_writer) => inside.write(&random),
                                Err(_reader) => inside.read_upgradably(&random),
                            }
                        }
                    }
                    3 => drop(lock.try_write_until(now() + timeout).inspect(|_| inside.write(&random))),
                    _ => {
                        let _guard = lock.read();
                        inside.read(&random);
                        task::sleep(Duration::from_micros(20));
                    }
                }
            }
        });
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn readers_are_in_together() {
    every_crew(|crew| {
        // More than are let in at once, behind a writer.
        let (lock, all, writing) = (RwLock::new(0), Barrier::new(40), AtomicBool::new(false));
        crew.run(41, |me| {
            if me == 40 {
                let mut guard = lock.write();
                writing.store(true, SeqCst);
                task::sleep(Duration::from_millis(1));
                *guard = 1;
            } else {
                common::until(|| writing.load(SeqCst));
                let guard = lock.read();
                all.wait();
                assert_eq!(*guard, 1);
            }
        });
    });
}

#[test]
fn readers_do_not_starve_a_writer() {
    every_crew(|crew| {
        let (lock, written) = (RwLock::new(()), AtomicBool::new(false));
        crew.run(5, |me| {
            if me == 0 {
                for _ in 0..stress(20) {
                    drop(lock.write());
                }
                written.store(true, SeqCst);
            } else {
                // There is hardly a moment at which nobody reads.
                while !written.load(SeqCst) {
                    let _guard = lock.read();
                    task::yield_now();
                }
            }
        });
    });
}

#[test]
fn writers_do_not_starve_a_reader() {
    every_crew(|crew| {
        let (lock, read) = (RwLock::new(()), AtomicBool::new(false));
        crew.run(5, |me| {
            if me == 0 {
                for _ in 0..stress(20) {
                    drop(lock.read());
                }
                read.store(true, SeqCst);
            } else {
                while !read.load(SeqCst) {
                    let _guard = lock.write();
                    task::yield_now();
                }
            }
        });
    });
}

#[test]
fn attempts_see_who_is_in() {
    let lock = RwLock::new(1);
    let soon = Duration::from_millis(2);
    {
        let reader = lock.read();
        assert!(lock.is_locked() && !lock.is_locked_exclusive());
        assert!(lock.try_read().is_some() && lock.try_upgradable_read().is_some() && lock.try_write().is_none());
        let start = now();
        assert!(lock.try_write_for(soon).is_none());
        elapsed_at_least(start, soon);
        assert!(lock.try_read().is_some(), "the writer that gave up is forgotten");
        drop(reader);
    }
    {
        let upgradable = lock.upgradable_read();
        assert!(lock.try_upgradable_read().is_none() && lock.try_upgradable_read_for(soon).is_none());
        let reader = lock.read();
        let upgradable = RwLockUpgradableReadGuard::try_upgrade(upgradable).expect_err("one reads");
        let upgradable = RwLockUpgradableReadGuard::try_upgrade_for(upgradable, soon).expect_err("one reads");
        assert!(lock.try_read().is_some(), "the upgrade that gave up is forgotten");
        drop(reader);
        let writer = RwLockUpgradableReadGuard::try_upgrade(upgradable).expect("nobody else reads");
        assert!(lock.try_read().is_none());
        drop(writer);
    }
    {
        let writer = lock.write();
        assert!(lock.is_locked_exclusive());
        assert!(lock.try_read().is_none() && lock.try_write().is_none() && lock.try_upgradable_read().is_none());
        assert!(lock.try_read_for(soon).is_none() && lock.try_read_until(now()).is_none());
        drop(writer);
    }
    assert!(!lock.is_locked());
    assert_eq!(*lock.try_write_for(Duration::MAX).expect("it is free"), 1);
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_in() {
    for way in 0..2 {
        in_tasks(move |random| {
            for _ in 0..stress(100) {
                let lock = Arc::new(RwLock::new(()));
                let reader = lock.read();
                let writer = throng::spawn({
                    let lock = Arc::clone(&lock);
                    move || match way {
                        0 => drop(lock.write()),
                        _ => drop(lock.try_write_for(Duration::from_micros(50))),
                    }
                });
                // Before, while and after the writer waits.
                let readers: Vec<_> = (0..20)
                    .map(|i| {
                        if i == random.below(20) {
                            task::yield_now();
                        }
                        let lock = Arc::clone(&lock);
                        throng::spawn(move || drop(lock.read()))
                    })
                    .collect();
                if way == 0 {
                    writer.cancel();
                }
                for reader in readers {
                    reader.join().expect("the readers go in");
                }
                match writer.join() {
                    Ok(()) => assert_eq!(way, 1),
                    Err(payload) => assert!(payload.is::<Cancelled>()),
                }
                drop(reader);
                assert!(lock.try_write().is_some());
            }
        });
    }
}

#[test]
fn cancellation_races_with_the_unlock() {
    in_tasks(|random| {
        for _ in 0..stress(100) {
            let lock = Arc::new(RwLock::new(0));
            let guard = lock.write();
            let waiters: [_; 6] = std::array::from_fn(|i| {
                let lock = Arc::clone(&lock);
                throng::spawn(move || match i % 3 {
                    0 => assert!(*lock.read() < 7),
                    1 => *lock.write() += 1,
                    _ => *RwLockUpgradableReadGuard::upgrade(lock.upgradable_read()) += 1,
                })
            });
            for _ in 0..random.below(8) {
                task::yield_now();
            }
            drop(guard);
            waiters[random.below(6) as usize].cancel();
            waiters[random.below(6) as usize].cancel();
            let ended = waiters.map(|waiter| waiter.join().is_ok());
            let writes = ended.iter().enumerate().filter(|&(i, ok)| i % 3 != 0 && *ok).count();
            assert_eq!(*lock.write(), writes);
        }
    });
}

#[test]
fn a_guard_that_lives_on_is_locked_again_for_a_cancelled_task() {
    runtime(2).run(|| {
        let lock = Arc::new(RwLock::new(0));
        for i in 0..2 {
            let (stage, theirs) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&lock));
            let seen = Arc::clone(&stage);
            let cancelled = throng::spawn(move || {
                let pause = || {
                    seen.store(1, SeqCst);
                    while seen.load(SeqCst) == 1 {
                        std::thread::yield_now();
                    }
                };
                match i {
                    0 => RwLockWriteGuard::unlocked(&mut theirs.write(), pause),
                    _ => RwLockReadGuard::unlocked(&mut theirs.read(), pause),
                }
                seen.store(3, SeqCst);
                task::park();
            });
            common::until(|| stage.load(SeqCst) == 1);
            let guard = lock.write();
            cancelled.cancel();
            stage.store(2, SeqCst);
            for _ in 0..100 {
                task::yield_now();
            }
            assert_eq!(stage.load(SeqCst), 2);
            drop(guard);
            assert!(cancelled.join().unwrap_err().is::<Cancelled>());
            assert_eq!(stage.load(SeqCst), 3);
        }
    });
}

#[test]
fn parts_and_arcs() {
    static PAIR: RwLock<(u8, u8)> = RwLock::new((1, 2));
    {
        let first: MappedRwLockReadGuard<'_, u8> = RwLockReadGuard::map(PAIR.read(), |pair| &pair.0);
        let second = RwLockReadGuard::map(PAIR.read(), |pair| &pair.1);
        assert_eq!((*first, *second), (1, 2));
    }
    let mut second: MappedRwLockWriteGuard<'_, u8> = RwLockWriteGuard::map(PAIR.write(), |pair| &mut pair.1);
    *second = 3;
    drop(second);

    let shared = Arc::new(RwLock::new(PAIR.read().1));
    let (one, other): (ArcRwLockReadGuard<u8>, _) = (shared.read_arc(), shared.upgradable_read_arc());
    assert_eq!((*one, *other), (3, 3));
    drop((one, other));
    let mut writer: ArcRwLockWriteGuard<u8> = shared.write_arc();
    *writer += 1;
    throng::spawn(move || drop(writer)).join().unwrap();
    assert_eq!(format!("{shared:?}"), "RwLock { data: 4 }");
}

#[test]
fn sizes() {
    assert!(size_of::<RawRwLock>() <= 80);
    assert_eq!(size_of::<RwLockReadGuard<'_, u8>>(), size_of::<usize>());
}
