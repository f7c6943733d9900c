//! A connection on this host.

use super::common::{common_methods, stream_io, timeout_methods};
use super::socket::Socket;
use crate::netpoll::Direction;
use socket2::{Domain, SockAddr, SockRef, Type};
use std::ffi::OsStr;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A connection to a process on the same host.
///
/// Modelled on [`std::os::unix::net::UnixStream`]; see the [module](super) for what differs.
///
/// ```
/// use std::io::{Read, Write};
/// use throng::net::UnixStream;
///
/// let (mut a, mut b) = UnixStream::pair()?;
/// a.write_all(b"hello")?;
/// drop(a);
/// let mut text = String::new();
/// b.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// ```
pub struct UnixStream(pub(super) Socket<std::os::unix::net::UnixStream>);

common_methods!(UnixStream);
timeout_methods!(UnixStream);
// Not plain: a read ends early before a message that carries descriptors or other credentials.
stream_io!(UnixStream, false);

impl UnixStream {
    /// Connects to the socket at that path; waits while its queue of connections is full.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_to(&SockAddr::unix(path)?)
    }

    /// Connects to the socket at that address; else as [`connect`](UnixStream::connect).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect_to(&address(addr)?)
    }

    fn connect_to(addr: &SockAddr) -> io::Result<UnixStream> {
        let inner = socket2::Socket::new_raw(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        let socket = Socket::new(inner.into());
        // Either it is connected at once, or the listener's queue is full, of which nobody is told.
        socket.io_unannounced(Direction::Write, || SockRef::from(socket.inner()).connect(addr))?;
        Ok(UnixStream(socket))
    }

    /// Two ends, connected with each other.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = std::os::unix::net::UnixStream::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// Ends one direction, or both. Whoever waits for it, through whatever handle, goes on.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.inner().shutdown(how)
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.inner().peer_addr()
    }

    /// The address at this end.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.inner().local_addr()
    }
}

fn address(addr: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = addr.as_pathname() {
        return SockAddr::unix(path);
    }
    let Some(name) = addr.as_abstract_name() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "an unnamed socket can't be connected to"));
    };
    // As the kernel writes it: what begins with a zero is no path.
    let name = [b"\0", name].concat();
    SockAddr::unix(OsStr::from_bytes(&name))
}
