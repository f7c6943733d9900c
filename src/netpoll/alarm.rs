//! A timer descriptor: lets a poll end at an instant, where mio can only count milliseconds.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

pub(super) struct Alarm {
    timer: OwnedFd,
    /// The earliest instant at which it will ring, as far as we know.
    set: Option<Instant>,
    origin: Origin,
}

/// One moment as both clocks tell it. An [`Instant`] is `CLOCK_MONOTONIC`, but doesn't say so in numbers.
struct Origin {
    instant: Instant,
    monotonic: Duration,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Alarm> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and nobody else knows it.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Alarm { timer, set: None, origin: Origin::now() })
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }

    /// Whether it is set to ring at `deadline` or earlier.
    pub(super) fn rings_by(&self, deadline: Instant) -> bool {
        self.set.is_some_and(|set| set <= deadline)
    }

    /// Rings at `deadline`, and not at any instant that it was set for before. At once if that is over.
    pub(super) fn set(&mut self, deadline: Instant) -> io::Result<()> {
        let since = deadline.saturating_duration_since(self.origin.instant);
        // Not zero, which would disarm it; a time that doesn't fit is as good as never.
        let at = self.origin.monotonic.saturating_add(since).max(Duration::from_nanos(1));
        let value =
            libc::timespec { tv_sec: at.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: at.subsec_nanos().into() };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        // SAFETY: the descriptor is a timer, `once` is read, and the old value isn't asked for.
        if unsafe { libc::timerfd_settime(self.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &once, ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        self.set = Some(deadline);
        Ok(())
    }

    /// An event was collected. The descriptor needn't be read: every ring is an edge of its own.
    ///
    /// It can't be the event of a setting that was replaced since: setting it again takes back a ring that wasn't
    /// collected yet.
    pub(super) fn rang(&mut self) {
        self.set = None;
    }
}

impl Origin {
    fn now() -> Origin {
        // The two clocks are read one after the other, and what happens in between makes every alarm that much later.
        // So the closest of a few readings is taken, in case the thread loses its core during one.
        let read = || {
            let instant = Instant::now();
            let origin = Origin { instant, monotonic: monotonic() };
            (instant.elapsed(), origin)
        };
        let closest = (0..4).map(|_| read()).min_by_key(|(took, _)| *took);
        closest.expect("there is more than one").1
    }
}

fn monotonic() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: it writes a `timespec`; this clock always exists, so it can't fail.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
