//! What every socket is: a descriptor in non-blocking mode, its place with the netpoller, and the one I/O loop.

use crate::control::Outcome;
use crate::interrupt;
use crate::netpoll::{Direction, Source};
use crate::park;
use crate::primitive::{AtomicBool, AtomicU64, Ordering};
use crate::runtime::current_netpoll;
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The kernel moves no more than this in one call. A count that fell short of more than this means nothing.
const MOST_AT_ONCE: usize = 0x7fff_f000;

/// How long to sleep where the kernel tells no event: doubled from the first to the last.
const FIRST_NAP: Duration = Duration::from_micros(250);
const LAST_NAP: Duration = Duration::from_millis(32);

/// A socket around one of `std`'s.
pub(super) struct Socket<S> {
    // First, so that it is dropped first: the source leaves the kernel's set while the descriptor is still open.
    source: Source,
    settings: Arc<Settings>,
    inner: S,
}

/// What clones share, as in `std`, where the kernel keeps it with the open socket.
struct Settings {
    /// In nanoseconds; 0 for none.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    /// The user's wish; the descriptor itself is always in non-blocking mode.
    nonblocking: AtomicBool,
    /// Reading was shut down. Only `UnixDatagram` asks.
    read_ended: AtomicBool,
}

impl<S> Socket<S> {
    /// Around a socket that is in non-blocking mode already.
    pub(super) fn new(inner: S) -> Socket<S> {
        crate::sim::refuse_if_simulated("what opens a socket", "use channels");
        let settings = Settings {
            read_timeout: AtomicU64::new(0),
            write_timeout: AtomicU64::new(0),
            nonblocking: AtomicBool::new(false),
            read_ended: AtomicBool::new(false),
        };
        Socket { source: Source::new(), settings: Arc::new(settings), inner }
    }

    #[inline]
    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    /// Gives the socket up as it is, in non-blocking mode.
    pub(super) fn into_inner(self) -> S {
        drop(self.source);
        self.inner
    }

    /// A second descriptor for the same socket; `duplicate` makes it.
    pub(super) fn try_clone(&self, duplicate: impl FnOnce(&S) -> io::Result<S>) -> io::Result<Socket<S>> {
        Ok(Socket { source: Source::new(), settings: self.settings.clone(), inner: duplicate(&self.inner)? })
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        // Relaxed, here and below: a setting orders nothing else.
        self.settings.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// To be called before reading is shut down.
    pub(super) fn set_read_ended(&self) {
        self.settings.read_ended.store(true, Ordering::Relaxed);
    }

    /// Relaxed will do: whoever is woken by the shutdown has synchronised with it through the kernel and the poller.
    pub(super) fn read_ended(&self) -> bool {
        self.settings.read_ended.load(Ordering::Relaxed)
    }

    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        let nanos = self.settings.timeout(direction).load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Fails, as `std` does, for a duration of zero.
    pub(super) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) -> io::Result<()> {
        let nanos = match timeout {
            None => 0,
            Some(Duration::ZERO) => return Err(zero_timeout()),
            Some(timeout) => timeout.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        self.settings.timeout(direction).store(nanos, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) fn zero_timeout() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "cannot set a 0 duration timeout")
}

impl Settings {
    fn timeout(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Read => &self.read_timeout,
            Direction::Write => &self.write_timeout,
        }
    }
}

impl<S: AsFd> Socket<S> {
    /// Around a socket of whatever mode, with the time-outs that it has.
    pub(super) fn adopt(inner: S) -> io::Result<Socket<S>> {
        let (read, write) = {
            let socket = SockRef::from(&inner);
            socket.set_nonblocking(true)?;
            (socket.read_timeout()?, socket.write_timeout()?)
        };
        let socket = Socket::new(inner);
        socket.set_timeout(Direction::Read, read)?;
        socket.set_timeout(Direction::Write, write)?;
        Ok(socket)
    }

    /// Gives the socket up such that it behaves by itself as it did here.
    pub(super) fn into_blocking(self) -> io::Result<S> {
        {
            let socket = SockRef::from(&self.inner);
            socket.set_read_timeout(self.timeout(Direction::Read))?;
            socket.set_write_timeout(self.timeout(Direction::Write))?;
            socket.set_nonblocking(self.settings.nonblocking.load(Ordering::Relaxed))?;
        }
        Ok(self.into_inner())
    }

    /// Makes a system call, as often and as late as it takes for it not to block; no longer than the direction's
    /// time-out says. All that waits for a socket comes through here.
    #[inline]
    pub(super) fn io<R>(&self, direction: Direction, call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        self.io_within(direction, self.timeout(direction), call, |_| false)
    }

    /// The loop. A time-out counts from when the call first had to wait; what it ends with is the last call's
    /// `WouldBlock`. `leaves_nothing` tells of a result that another call right after it would block.
    #[inline]
    pub(super) fn io_within<R>(
        &self,
        direction: Direction,
        timeout: Option<Duration>,
        mut call: impl FnMut() -> io::Result<R>,
        leaves_nothing: impl FnOnce(&R) -> bool,
    ) -> io::Result<R> {
        let mut may_wait = !self.settings.nonblocking.load(Ordering::Relaxed);
        let mut deadline = None;
        loop {
            let seen = self.source.look(direction);
            if !may_wait || !self.source.is_drained(direction, seen) {
                match call() {
                    Ok(result) => {
                        if leaves_nothing(&result) {
                            self.source.set_drained(direction, seen);
                        }
                        return Ok(result);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() == ErrorKind::WouldBlock && may_wait => {}
                    Err(error) => return Err(error),
                }
            }
            let deadline = *deadline.get_or_insert_with(|| timeout.and_then(park::deadline_in));
            match self.source.wait(self.inner.as_fd(), direction, seen, deadline, current_netpoll)? {
                Outcome::Woken => {}
                // Once more: what came at the last moment counts.
                Outcome::TimedOut => may_wait = false,
                Outcome::Cancelled => interrupt::unwind(),
            }
        }
    }

    /// As `io`, for the few calls that block on something of which the kernel sends no event (the full queue of a local
    /// socket that isn't our own). They are tried again and again, at growing intervals.
    pub(super) fn io_unannounced<R>(
        &self,
        direction: Direction,
        mut call: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let mut may_wait = !self.settings.nonblocking.load(Ordering::Relaxed);
        let deadline = self.timeout(direction).and_then(park::deadline_in);
        let mut nap = FIRST_NAP;
        loop {
            match call() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock && may_wait => {}
                result => return result,
            }
            let now = park::now();
            may_wait = deadline.is_none_or(|deadline| now < deadline);
            let wake_at = deadline.map_or(now + nap, |deadline: Instant| deadline.min(now + nap));
            match park::park(&park::Frame::default(), direction.reason(), Some(wake_at), |_| ()) {
                Outcome::Cancelled => interrupt::unwind(),
                _ => nap = LAST_NAP.min(nap * 2),
            }
        }
    }
}

/// Whether a count fell short because there was no more to move. Only of a stream that has no other reason for it.
#[inline]
fn fell_short(count: usize, asked: usize) -> bool {
    0 < count && count < asked && asked <= MOST_AT_ONCE
}

/// Reading and writing, for byte streams. `PLAIN`: a short count means that there is no more; see
/// `netpoll/readiness.rs`. The forms with several buffers don't tell, since the kernel has a limit for their number.
impl<S: AsFd> Socket<S>
where
    for<'a> &'a S: Read + Write,
{
    #[inline]
    pub(super) fn read<const PLAIN: bool>(&self, buf: &mut [u8]) -> io::Result<usize> {
        let asked = buf.len();
        self.io_within(
            Direction::Read,
            self.timeout(Direction::Read),
            || (&self.inner).read(buf),
            |&count| PLAIN && fell_short(count, asked),
        )
    }

    pub(super) fn read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.io(Direction::Read, || (&self.inner).read_vectored(bufs))
    }

    #[inline]
    pub(super) fn write<const PLAIN: bool>(&self, buf: &[u8]) -> io::Result<usize> {
        self.io_within(
            Direction::Write,
            self.timeout(Direction::Write),
            || (&self.inner).write(buf),
            |&count| PLAIN && fell_short(count, buf.len()),
        )
    }

    pub(super) fn write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.io(Direction::Write, || (&self.inner).write_vectored(bufs))
    }
}
