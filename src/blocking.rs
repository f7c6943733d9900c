//! Announced blocking sections.

use crate::control::Section;
use crate::current;

/// Runs `f`, which may block its kernel thread, without holding up other tasks.
///
/// What a task does in the kernel behind Throng's back, such as reading a slow disk, or waiting for a child process or a
/// lock of [`std::sync`], keeps the worker that runs the task. The runtime notices that by itself after a fraction of a
/// millisecond or a few, and lets another worker step in. `blocking` announces it, so that this happens at once. It costs some
/// tens of nanoseconds if there is nothing else to do.
///
/// Inside `f` the task doesn't move to another kernel thread, and everything that would let it wait (locks, channels, sockets,
/// [`sleep`](crate::task::sleep) and so on) blocks that thread instead. Such a wait isn't ended by
/// [cancellation](crate::cancel) or a time limit; the next one after `f` is, and so is [`yield_now`](crate::task::yield_now).
/// Tasks that `f` spawns run as usual. A section inside a section is nothing special, and outside of a task `f` is just called.
///
/// There are at most as many threads as [`max_threads`](crate::runtime::Builder::max_threads) allows. When these are all
/// blocked, tasks wait.
///
/// # Examples
/// ```
/// use std::process::Command;
///
/// let handle = throng::spawn(|| throng::blocking(|| Command::new("true").status()));
/// assert!(handle.join().unwrap().unwrap().success());
/// ```
#[doc(alias = "spawn_blocking")]
#[doc(alias = "block_in_place")]
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T,
{
    within(Section::Long, f)
}

/// `blocking` for what mostly takes no longer than it would take another worker to step in.
#[inline]
pub(crate) fn briefly<T>(f: impl FnOnce() -> T) -> T {
    within(Section::Short, f)
}

#[inline]
fn within<T>(section: Section, f: impl FnOnce() -> T) -> T {
    let Some((task, context)) = current::task_and_context() else { return f() };
    // SAFETY: this kernel thread's context is there as long as the thread runs tasks, and this task runs on it until the
    // section ends, because it can't leave it meanwhile. A task's host outlives it.
    unsafe {
        if (*context).is_in_section() {
            return f();
        }
        let host = task.as_ref().host();
        host.begin_section(context, section);
        let _end = End(|| host.end_section(context, section));
        f()
    }
}

/// Calls it when dropped.
struct End<F: FnMut()>(F);

impl<F: FnMut()> Drop for End<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
