//! Files among tasks: what they do at the same time, what stands still meanwhile, and what a call may be handed.

mod common;
#[path = "common/directory.rs"]
mod directory;

use common::{ms, on_real_threads, runtime, scaled, until, with_workers};
use directory::Directory;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use throng::fs::{self, File};
use throng::task;
use throng::time::timeout;

/// While a task waits in the kernel for a lock, the one that holds it goes on, also where there is one worker.
#[test]
fn one_that_waits_for_a_lock_lets_the_holder_go_on() {
    for _ in 0..scaled(20, 200) {
        let dir = Directory::new();
        let path = dir.path("file");
        File::create(&path).unwrap();
        runtime(1).run(|| {
            let held = File::open(&path).unwrap();
            held.lock().unwrap();
            let asks = AtomicBool::new(false);
            throng::scope(|s| {
                let waiter = s.spawn(|| {
                    let file = File::open(&path).unwrap();
                    asks.store(true, SeqCst);
                    file.lock().unwrap();
                });
                until(|| asks.load(SeqCst));
                // It waits by now, or soon; either way it isn't done before this is.
                task::yield_now();
                assert!(!waiter.is_finished());
                held.unlock().unwrap();
                waiter.join().unwrap();
            });
        });
    }
}

/// Each with a file of its own, all at the same time.
#[test]
fn tasks_keep_their_files_apart() {
    with_workers(|runtime, _| {
        let dir = Directory::new();
        runtime.run(|| {
            throng::scope(|s| {
                for number in 0..scaled(50, 200) {
                    let path = dir.path(&number.to_string());
                    s.spawn(move || {
                        let mut file = File::create_new(&path).unwrap();
                        for _ in 0..20 {
                            writeln!(file, "{number}").unwrap();
                            task::yield_now();
                        }
                        let lines = BufReader::new(File::open(&path).unwrap()).lines();
                        let numbers: Vec<usize> = lines.map(|line| line.unwrap().parse().unwrap()).collect();
                        assert_eq!(numbers, [number; 20]);
                        fs::remove_file(&path).unwrap();
                    });
                }
            });
        });
        assert_eq!(fs::read_dir(dir.root()).unwrap().count(), 0);
    });
}

/// One file for all: at offsets, where nobody moves anybody's position.
#[test]
fn tasks_share_a_file() {
    with_workers(|runtime, _| {
        let dir = Directory::new();
        let tasks = scaled(50, 200) as u64;
        runtime.run(|| {
            let file = File::create_new(dir.path("file")).unwrap();
            throng::scope(|s| {
                for number in 0..tasks {
                    let file = &file;
                    s.spawn(move || {
                        file.write_all_at(&number.to_ne_bytes(), number * 8).unwrap();
                        task::yield_now();
                        let mut bytes = [0; 8];
                        file.read_exact_at(&mut bytes, number * 8).unwrap();
                        assert_eq!(u64::from_ne_bytes(bytes), number);
                    });
                }
            });
        });
        let content = fs::read(dir.path("file")).unwrap();
        let numbers = content.chunks(8).map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap()));
        assert!(numbers.eq(0..tasks));
    });
}

/// A tree that tasks make, walk and remove while others do so beside them.
#[test]
fn tasks_walk_trees() {
    fn files(path: &Path) -> usize {
        let entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
        throng::scope(|s| {
            let below = entries
                .iter()
                .map(|entry| s.spawn(|| if entry.file_type().unwrap().is_dir() { files(&entry.path()) } else { 1 }));
            below.collect::<Vec<_>>().into_iter().map(|task| task.join().unwrap()).sum()
        })
    }
    with_workers(|runtime, _| {
        let dir = Directory::new();
        runtime.run(|| {
            throng::scope(|s| {
                for tree in 0..4 {
                    let tree = dir.path(&tree.to_string());
                    s.spawn(move || {
                        for branch in ["a", "b", "c/d", "c/e/f"] {
                            fs::create_dir_all(tree.join(branch)).unwrap();
                            for leaf in 0..5 {
                                fs::write(tree.join(branch).join(leaf.to_string()), branch).unwrap();
                            }
                        }
                        assert_eq!(files(&tree), 20);
                        fs::remove_dir_all(&tree).unwrap();
                    });
                }
            });
        });
        assert_eq!(fs::read_dir(dir.root()).unwrap().count(), 0);
    });
}

/// A path and a content whose conversions wait.
struct Slow<T>(T);

impl<T: AsRef<Path>> AsRef<Path> for Slow<T> {
    fn as_ref(&self) -> &Path {
        task::sleep(ms(1));
        self.0.as_ref()
    }
}

impl AsRef<[u8]> for Slow<&str> {
    fn as_ref(&self) -> &[u8] {
        task::sleep(ms(1));
        self.0.as_bytes()
    }
}

#[test]
fn conversions_are_the_callers_and_may_wait() {
    on_real_threads(|| {
        let dir = Directory::new();
        let (one, two) = (Slow(dir.path("one")), Slow(dir.path("two")));
        fs::write(&one, Slow("content")).unwrap();
        fs::rename(&one, &two).unwrap();
        fs::copy(&two, &one).unwrap();
        assert!(File::open(&one).unwrap().metadata().unwrap().is_file());
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        assert_eq!(fs::read_dir(Slow(dir.root())).unwrap().count(), 2);
    });
}

#[test]
fn a_time_limit_interrupts_no_call() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("file");
        let read = Cell::new(0);
        let result = timeout(ms(0), || {
            fs::write(&path, "content").unwrap();
            read.set(fs::read_dir(dir.root()).unwrap().count() + fs::read(&path).unwrap().len());
            task::sleep(ms(60_000));
        });
        assert!(result.is_err());
        assert_eq!(read.get(), 8);
    });
}

/// What cleans up while its task unwinds may use files.
#[test]
fn destructors_use_files() {
    struct Notes<'a>(&'a Path);
    impl Drop for Notes<'_> {
        fn drop(&mut self) {
            assert_eq!(fs::read(self.0).unwrap(), b"begun");
            fs::write(self.0, "ended").unwrap();
        }
    }
    with_workers(|runtime, _| {
        let dir = Directory::new();
        runtime.run(|| {
            throng::scope(|s| {
                let tasks: Vec<_> = (0..20)
                    .map(|number: usize| {
                        let path = dir.path(&number.to_string());
                        s.spawn(move || {
                            fs::write(&path, "begun").unwrap();
                            let _notes = Notes(&path);
                            task::yield_now();
                            // As a panic does, but without a message.
                            std::panic::resume_unwind(Box::new(number));
                        })
                    })
                    .collect();
                for (number, task) in tasks.into_iter().enumerate() {
                    assert_eq!(task.join().unwrap_err().downcast_ref(), Some(&number));
                }
            });
            for entry in fs::read_dir(dir.root()).unwrap() {
                assert_eq!(fs::read(entry.unwrap().path()).unwrap(), b"ended");
            }
        });
    });
}
