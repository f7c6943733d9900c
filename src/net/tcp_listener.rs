//! A TCP socket that listens.

use super::addr::{self, ToSocketAddrs};
use super::common::{common_methods, ttl_methods};
use super::socket::Socket;
use super::tcp_stream::TcpStream;
use crate::netpoll::Direction;
use socket2::SockRef;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;

/// A TCP socket that listens for connections.
///
/// Modelled on [`std::net::TcpListener`]; see the [module](super) for what differs. Several tasks may accept from one
/// listener, through a reference or through clones.
///
/// ```no_run
/// use std::io::Write;
/// use throng::net::TcpListener;
///
/// let listener = TcpListener::bind("127.0.0.1:8080")?;
/// for stream in listener.incoming() {
///     stream?.write_all(b"good bye\n")?;
/// }
/// # std::io::Result::Ok(())
/// ```
pub struct TcpListener(pub(super) Socket<std::net::TcpListener>);

common_methods!(TcpListener);
ttl_methods!(TcpListener);

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

impl TcpListener {
    /// Listens at the first address that can be bound. With port 0 the system chooses one; `local_addr` tells which.
    ///
    /// # Errors
    /// The last address's error if none can be bound, such as [`AddrInUse`](io::ErrorKind::AddrInUse); that of looking
    /// up the name.
    #[doc(alias = "Listen")]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        addr::first_of(addr, |addr| {
            let listener = std::net::TcpListener::bind(addr)?;
            // `std` lets 128 connections wait to be accepted; a server of tasks has more clients than that. The system
            // lowers this to its own limit.
            SockRef::from(&listener).listen(BACKLOG)?;
            listener.try_into()
        })
    }

    /// Waits for a connection; also tells where it comes from.
    ///
    /// # Errors
    /// Those of the system call. When the process has no descriptor left (`EMFILE`, `ENFILE`) the connection stays in
    /// the queue, and the next call tries again at once: [`sleep`](crate::task::sleep) for some time before that.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let listener = self.0.inner();
        let (socket, peer) = self.0.io(Direction::Read, || {
            // One call that also sets the modes, for which `std` would need another.
            SockRef::from(listener).accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
        })?;
        let peer = peer.as_socket().ok_or_else(|| io::Error::other("the connection has no IP address"))?;
        Ok((TcpStream(Socket::new(socket.into())), peer))
    }

    /// Accepts one connection after the other, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// As [`incoming`](TcpListener::incoming), with the listener inside.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.inner().local_addr()
    }
}

/// Connections without end; made by [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

/// Connections without end; made by [`TcpListener::into_incoming`].
#[derive(Debug)]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        self.listener.incoming().next()
    }
}

impl FusedIterator for IntoIncoming {}
