//! The methods that several sockets have alike, each written once.

/// For every socket.
macro_rules! common_methods {
    ($socket:ident) => {
        impl $socket {
            /// A second handle to the same socket, with a descriptor of its own. Settings are shared, as in `std`.
            ///
            /// # Errors
            /// If the process has no descriptor left.
            pub fn try_clone(&self) -> io::Result<$socket> {
                Ok($socket(self.0.try_clone(|inner| inner.try_clone())?))
            }

            /// The error that the kernel holds for this socket, if any; reading it clears it.
            ///
            /// # Errors
            /// If it can't be read.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.inner().take_error()
            }

            /// Makes calls that would wait return [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock) instead, or no
            /// longer.
            ///
            /// # Errors
            /// None; the result is there for the likeness with `std`.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.set_nonblocking(nonblocking);
                Ok(())
            }
        }

        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.inner().fmt(f)
            }
        }
    };
}

/// For sockets whose calls can have time-outs.
macro_rules! timeout_methods {
    ($socket:ident) => {
        impl $socket {
            /// Limits how long a read waits; `None` for no limit. For all handles to this socket.
            ///
            /// A read that waited in vain returns [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock), as `std`'s does on
            /// Unix. The time is measured to well under a millisecond, for each call anew from when it begins to wait.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`](io::ErrorKind::InvalidInput) for a duration of zero.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.set_timeout(Direction::Read, timeout)
            }

            /// Limits how long a write waits; else as [`set_read_timeout`](Self::set_read_timeout).
            ///
            /// # Errors
            /// As there.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.set_timeout(Direction::Write, timeout)
            }

            /// The limit that was set for reads.
            ///
            /// # Errors
            /// None; the result is there for the likeness with `std`.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.0.timeout(Direction::Read))
            }

            /// The limit that was set for writes.
            ///
            /// # Errors
            /// As for [`read_timeout`](Self::read_timeout).
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.0.timeout(Direction::Write))
            }
        }
    };
}

/// For byte streams. `$plain`: whether a short count means that there is no more.
macro_rules! stream_io {
    ($socket:ident, $plain:literal) => {
        stream_io!(@impl $socket, $plain, $socket);
        stream_io!(@impl $socket, $plain, &$socket);
    };
    (@impl $socket:ident, $plain:literal, $reader:ty) => {
        impl Read for $reader {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read::<$plain>(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }

        impl Write for $reader {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.write::<$plain>(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

/// For sockets with an IP time-to-live.
macro_rules! ttl_methods {
    ($socket:ident) => {
        impl $socket {
            /// Sets the time-to-live of what is sent (`IP_TTL`).
            ///
            /// # Errors
            /// Those of the system call.
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                self.0.inner().set_ttl(ttl)
            }

            /// The time-to-live of what is sent.
            ///
            /// # Errors
            /// Those of the system call.
            pub fn ttl(&self) -> io::Result<u32> {
                self.0.inner().ttl()
            }
        }
    };
}

pub(super) use {common_methods, stream_io, timeout_methods, ttl_methods};
