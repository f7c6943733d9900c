//! Every interleaving of a task's end with a handle that joins, is polled or dropped, and of an unpark; run under loom.

use super::*;
use crate::control::models::Host;
use crate::primitive::{AtomicU32, Ordering, TrackedCell};
use crate::stack::class_for;
use loom::thread;
use std::task::Wake;

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// A task that a thread runs to its end.
fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> (thread::JoinHandle<()>, JoinHandle<T>) {
    let class = class_for(1 << 16).expect("a size like others");
    // SAFETY: the host is static, and so is all that the closure has.
    let (task, handle) = unsafe { new_task(f, Host::get(), class, None, Location::caller(), None) };
    let runs = thread::spawn(move || {
        // SAFETY: run once, on this stack; then the runtime's reference is given back.
        unsafe {
            Header::run(task);
            Header::release(task);
        }
    });
    (runs, handle)
}

/// Memory that loom sees used.
struct Memory(TrackedCell<u32>);

// SAFETY: that it is used by one thread at a time is what loom checks.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Arc<Memory> {
        Arc::new(Memory(TrackedCell::new(0)))
    }

    fn touch(&self) -> u32 {
        // SAFETY: as above.
        self.0.with_mut(|count| unsafe {
            *count += 1;
            *count
        })
    }
}

/// A result that counts how often it was dropped, and touches its memory then.
struct Result(Arc<Memory>, Arc<AtomicU32>);

impl Drop for Result {
    fn drop(&mut self) {
        self.0.touch();
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// No end is missed, and what the task wrote is seen by whoever joins it.
#[test]
fn a_join_sees_the_end_and_what_was_written_before() {
    model(|| {
        let memory = Memory::new();
        let (runs, handle) = spawn({
            let memory = Arc::clone(&memory);
            move || memory.touch()
        });
        assert_eq!(handle.join().unwrap(), 1);
        assert_eq!(memory.touch(), 2);
        runs.join().unwrap();
    });
}

/// A handle is dropped as the task ends: one of the two drops the result.
#[test]
fn a_result_that_nobody_takes_is_dropped_once() {
    model(|| {
        let drops = Arc::new(AtomicU32::new(0));
        let (runs, handle) = spawn({
            let result = Result(Memory::new(), Arc::clone(&drops));
            move || {
                result.0.touch();
                result
            }
        });
        drop(handle);
        runs.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// A handle that is polled is woken, or ready at once; and one that is dropped before that leaves nothing behind.
#[test]
fn a_poll_misses_no_end() {
    for polls in [1, usize::MAX] {
        model(move || {
            let drops = Arc::new(AtomicU32::new(0));
            let (runs, mut handle) = spawn({
                let result = Result(Memory::new(), Arc::clone(&drops));
                move || result
            });
            // Not the model's first thread, which joins the others: loom takes an unpark for the end of a join.
            let polling = thread::spawn(move || {
                let waker = Arc::new(Unpark(thread::current())).into();
                for _ in 0..polls {
                    match Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)) {
                        Poll::Ready(result) => return drop(result),
                        Poll::Pending if polls > 1 => thread::park(),
                        Poll::Pending => {}
                    }
                }
            });
            polling.join().unwrap();
            runs.join().unwrap();
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }
}

/// An unpark is answered, whether it comes before, while or after the task parks, and shows what was written before.
#[test]
fn no_unpark_is_lost() {
    model(|| {
        let memory = Memory::new();
        let (runs, handle) = spawn(|| ());
        runs.join().unwrap();
        let task = handle.task();
        let parking = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                assert_eq!(park_for_token(task.0.as_ptr(), None), Outcome::Woken);
                memory.touch();
            }
        });
        memory.touch();
        handle.task().unpark();
        parking.join().unwrap();
        assert_eq!(memory.touch(), 3);
    });
}
