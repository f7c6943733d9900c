//! A socket that listens for connections on this host.

use super::common::common_methods;
use super::socket::Socket;
use super::unix_stream::UnixStream;
use crate::netpoll::Direction;
use std::io;
use std::iter::FusedIterator;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// A socket that listens for connections from processes on the same host.
///
/// Modelled on [`std::os::unix::net::UnixListener`]; see the [module](super) for what differs.
///
/// ```
/// use throng::net::{UnixListener, UnixStream};
///
/// # let directory = std::env::temp_dir().join(format!("throng-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let path = directory.join("socket");
/// let listener = UnixListener::bind(&path)?;
/// let client = UnixStream::connect(&path)?;
/// let (server, _) = listener.accept()?;
/// # drop((client, server));
/// # std::fs::remove_dir_all(&directory)?;
/// # std::io::Result::Ok(())
/// ```
pub struct UnixListener(pub(super) Socket<std::os::unix::net::UnixListener>);

common_methods!(UnixListener);

impl UnixListener {
    /// Makes a socket at that path. It stays there, and keeps others from binding, until it is removed.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if something is there; those of the system call.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        std::os::unix::net::UnixListener::bind(path)?.try_into()
    }

    /// Makes a socket at that address.
    ///
    /// # Errors
    /// As for [`bind`](UnixListener::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        std::os::unix::net::UnixListener::bind_addr(addr)?.try_into()
    }

    /// Waits for a connection; also tells where it comes from.
    ///
    /// # Errors
    /// As for [`TcpListener::accept`](super::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = self.0.io(Direction::Read, || self.0.inner().accept())?;
        Ok((stream.try_into()?, peer))
    }

    /// Accepts one connection after the other, without end.
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.inner().local_addr()
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;
    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}

/// Connections without end; made by [`UnixListener::incoming`].
#[derive(Debug)]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;
    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for UnixIncoming<'_> {}
