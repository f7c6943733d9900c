//! Datagrams on this host.

use super::common::{common_methods, timeout_methods};
use super::socket::Socket;
use crate::netpoll::Direction;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// A socket for datagrams between processes on the same host.
///
/// Modelled on [`std::os::unix::net::UnixDatagram`]; see the [module](super) for what differs. No datagram is lost: a
/// sender waits until the receiver has room.
///
/// ```
/// use throng::net::UnixDatagram;
///
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"ping")?;
/// let mut buffer = [0; 16];
/// let length = b.recv(&mut buffer)?;
/// assert_eq!(&buffer[..length], b"ping");
/// # std::io::Result::Ok(())
/// ```
pub struct UnixDatagram(pub(super) Socket<std::os::unix::net::UnixDatagram>);

common_methods!(UnixDatagram);
timeout_methods!(UnixDatagram);

impl UnixDatagram {
    /// Makes a socket at that path.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if something is there; those of the system call.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        std::os::unix::net::UnixDatagram::bind(path)?.try_into()
    }

    /// Makes a socket at that address.
    ///
    /// # Errors
    /// As for [`bind`](UnixDatagram::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        std::os::unix::net::UnixDatagram::bind_addr(addr)?.try_into()
    }

    /// Makes a socket without an address.
    ///
    /// # Errors
    /// If the process has no descriptor left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        std::os::unix::net::UnixDatagram::unbound()?.try_into()
    }

    /// Two sockets, connected with each other.
    ///
    /// # Errors
    /// If the process has no descriptors left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((a.try_into()?, b.try_into()?))
    }

    /// Fixes the other end: from now on `send` goes there, and only what comes from there is received.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.0.inner().connect(path)
    }

    /// Fixes the other end by its address; else as [`connect`](UnixDatagram::connect).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.0.inner().connect_addr(addr)
    }

    /// Sends one datagram to the other end that [`connect`](UnixDatagram::connect) fixed.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, || self.0.inner().send(buf))
    }

    /// Sends one datagram to the socket at that path.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let path = path.as_ref();
        // A sender that isn't connected isn't told when the receiver has room again.
        self.0.io_unannounced(Direction::Write, || self.0.inner().send_to(buf, path))
    }

    /// Sends one datagram to the socket at that address.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        self.0.io_unannounced(Direction::Write, || self.0.inner().send_to_addr(buf, addr))
    }

    /// Waits for a datagram. What doesn't fit is lost.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, || self.or_end(self.0.inner().recv(buf), || Ok(0)))
    }

    /// Waits for a datagram; tells its length and where it came from. What doesn't fit is lost.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let nobody = || Ok((0, SocketAddr::from_pathname("")?));
        self.0.io(Direction::Read, || self.or_end(self.0.inner().recv_from(buf), nobody))
    }

    /// The end of a datagram socket that was shut down is told by the kernel to calls that block, but not to ours.
    fn or_end<R>(&self, result: io::Result<R>, end: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock && self.0.read_ended() => end(),
            result => result,
        }
    }

    /// Ends one direction, or both. Whoever waits for it, through this handle or a clone, goes on: a receiver gets a
    /// length of 0 from nobody.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.0.set_read_ended();
        }
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
