//! A TCP connection.

use super::addr::{self, ToSocketAddrs};
use super::common::{common_methods, stream_io, timeout_methods, ttl_methods};
use super::socket::{self, Socket};
use crate::netpoll::Direction;
use socket2::{Domain, Protocol, SockRef, Type};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// A TCP connection.
///
/// Modelled on [`std::net::TcpStream`]; see the [module](super) for what differs. Reading and writing are done through
/// `&TcpStream` as well, so one task may read while another writes.
///
/// ```
/// use std::io::{Read, Write};
/// use throng::net::{Shutdown, TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let server = throng::spawn(move || {
///     let (mut stream, _) = listener.accept()?;
///     let mut request = String::new();
///     stream.read_to_string(&mut request)?;
///     stream.write_all(request.to_uppercase().as_bytes())
/// });
///
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"shout")?;
/// stream.shutdown(Shutdown::Write)?;
/// let mut reply = String::new();
/// stream.read_to_string(&mut reply)?;
/// assert_eq!(reply, "SHOUT");
/// # server.join().unwrap()?;
/// # std::io::Result::Ok(())
/// ```
pub struct TcpStream(pub(super) Socket<std::net::TcpStream>);

common_methods!(TcpStream);
timeout_methods!(TcpStream);
ttl_methods!(TcpStream);
stream_io!(TcpStream, true);

impl TcpStream {
    /// Connects to the first address that answers.
    ///
    /// # Errors
    /// The last address's error if none does; that of looking up the name.
    #[doc(alias = "Dial")]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        addr::first_of(addr, |addr| TcpStream::connect_to(addr, None))
    }

    /// Connects, but waits no longer than `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::InvalidInput`] for a time-out of zero; those of the system call.
    #[doc(alias = "DialTimeout")]
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(socket::zero_timeout());
        }
        TcpStream::connect_to(*addr, Some(timeout)).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "connection timed out"),
            _ => error,
        })
    }

    fn connect_to(addr: SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let inner = socket2::Socket::new_raw(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
        let socket = Socket::new(std::net::TcpStream::from(inner));
        let inner = socket.inner();
        let mut begun = false;
        let attempt = || {
            if !begun {
                let result = SockRef::from(inner).connect(&addr.into());
                // Interrupted too: the kernel goes on with it.
                begun = matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS)
                    || error.kind() == ErrorKind::Interrupted);
                return if begun { Err(ErrorKind::WouldBlock.into()) } else { result };
            }
            match inner.take_error()? {
                Some(error) => Err(error),
                // Neither failed nor connected: the event was for something else.
                None => inner.peer_addr().map(|_| ()).map_err(|error| match error.kind() {
                    ErrorKind::NotConnected => ErrorKind::WouldBlock.into(),
                    _ => error,
                }),
            }
        };
        socket.io_within(Direction::Write, timeout, attempt, |()| false)?;
        Ok(TcpStream(socket))
    }

    /// Reads what is there without taking it; waits for it as a read does.
    ///
    /// # Errors
    /// As for a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, || self.0.inner().peek(buf))
    }

    /// Ends one direction, or both. Whoever waits for it, through whatever handle, goes on.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] if the other side was faster; those of the system call.
    #[doc(alias = "CloseWrite")]
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.inner().shutdown(how)
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// [`ErrorKind::NotConnected`] once the connection is over.
    #[doc(alias = "RemoteAddr")]
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

    /// Sends small packets at once rather than collecting them (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.inner().set_nodelay(nodelay)
    }

    /// Whether small packets are sent at once.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.inner().nodelay()
    }

    /// What happens to data not sent yet when the last handle is dropped (`SO_LINGER`). `None`: the kernel goes on sending
    /// it. With a duration of zero it is thrown away and the connection is reset. With a longer one the drop blocks
    /// its kernel thread.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.0.inner()).set_linger(linger)
    }

    /// What was set by [`set_linger`](TcpStream::set_linger).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.0.inner()).linger()
    }
}
