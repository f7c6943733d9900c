//! What the kernel tells of another thread of this process: whether it sleeps, and how much it has run.

use crate::procfs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Another thread, as far as it can be watched.
pub(super) struct ThreadState {
    /// The kernel's name of it; 0 if none is watched.
    thread: libc::pid_t,
    /// Its line in `/proc`. `None` where that isn't mounted.
    stat: Option<File>,
}

impl ThreadState {
    pub(super) fn unknown() -> ThreadState {
        ThreadState { thread: 0, stat: None }
    }

    /// Watches this thread from now on. `false` if there is none.
    pub(super) fn watch(&mut self, thread: libc::pid_t) -> bool {
        if self.thread != thread || self.stat.is_none() {
            self.thread = thread;
            // There may be no descriptor for it just now.
            self.stat = if thread == 0 { None } else { procfs::of_thread(thread.cast_unsigned(), "stat").ok() };
        }
        thread != 0
    }

    /// Keeps no descriptor for it until it is watched again.
    pub(super) fn close(&mut self) {
        self.stat = None;
    }

    /// Whether it sleeps in the kernel, for whatever reason. `None` if that can't be known.
    pub(super) fn is_asleep(&self) -> Option<bool> {
        let mut line = [0; 512];
        let length = self.stat.as_ref()?.read_at(&mut line, 0).ok()?;
        // `4711 (a name) S ..`: the name may hold anything, a closing parenthesis too.
        let line = &line[..length];
        let state = line.iter().rposition(|&byte| byte == b')').and_then(|at| line.get(at + 2))?;
        Some(matches!(state, b'S' | b'D'))
    }

    pub(super) fn set_slice(&self, slice: Option<Duration>) {
        set_slice(self.thread, slice);
    }

    /// How much processor time it has had. No time at all if it is gone.
    pub(super) fn busy(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // The kernel's way to name the clock of a thread: the complement of its number, and three bits that say "a
        // thread's" and "time spent scheduled".
        let clock = !self.thread << 3 | 4 | 2;
        // SAFETY: writes to a place of the right type.
        unsafe { libc::clock_gettime(clock, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// The kernel's number of the calling thread.
pub(super) fn current() -> libc::pid_t {
    // Not the C library's wrapper: older ones have none, and linked with a static musl and link-time optimisation, where `std`
    // wants it only if it is there, it isn't.
    // SAFETY: a call without arguments that can't fail.
    unsafe { libc::syscall(libc::SYS_gettid) as libc::pid_t }
}

/// How long the kernel's scheduler lets a thread run at a stretch; `None` for the usual time. It has the same share of
/// the processor in either case, but the longer its turn, the later it comes, and one that wakes up with a shorter one
/// need not wait until it is over. (From Linux 6.12 on; before, this changes nothing.) Threads and processes that it
/// starts begin with the usual time.
pub(super) fn set_slice(thread: libc::pid_t, slice: Option<Duration>) {
    // SAFETY: both calls are told how large the structure is, which is plain integers.
    unsafe {
        let mut attributes: libc::sched_attr = std::mem::zeroed();
        let size = size_of::<libc::sched_attr>();
        let known = libc::syscall(libc::SYS_sched_getattr, thread, &mut attributes, size, 0) == 0;
        // Threads under a policy of the user's own are left alone, and those whose priority the flag would keep from
        // what they start.
        if known && attributes.sched_policy == libc::SCHED_OTHER as u32 && attributes.sched_nice >= 0 {
            attributes.sched_runtime = slice.map_or(0, |slice| slice.as_nanos() as u64);
            // Once set, it may not be taken back.
            attributes.sched_flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
            libc::syscall(libc::SYS_sched_setattr, thread, &attributes, 0);
        }
    }
}

/// The kernel may not delay the calling thread's timers to fire them together with others.
pub(super) fn want_precise_timers() {
    // SAFETY: changes nothing but that. Without it the timers are late by 50 µs.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_that_sleeps_is_told_from_one_that_runs() {
        let (send, receive) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(current()).unwrap();
            let _ = receive.recv();
        });
        let mut state = ThreadState::unknown();
        assert!(!state.watch(0));
        assert!(state.watch(told.recv().unwrap()));
        while state.is_asleep() != Some(true) {
            std::thread::yield_now();
        }
        let busy = state.busy();
        assert_eq!(state.is_asleep(), Some(true));
        assert_eq!(state.busy(), busy);
        drop(send);
        thread.join().unwrap();
        // The kernel may not be done with it.
        while state.is_asleep() == Some(true) {
            std::thread::yield_now();
        }

        let mut own = ThreadState::unknown();
        assert!(own.watch(current()));
        let before = own.busy();
        while own.busy() == before {
            std::hint::spin_loop();
        }
        assert_eq!(own.is_asleep(), Some(false));
    }
}
