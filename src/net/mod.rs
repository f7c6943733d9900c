//! Sockets, shaped like those of [`std::net`] and [`std::os::unix::net`].
//!
//! A program moves over by changing its `use` lines: `std::net` becomes `throng::net`, and `std::os::unix::net` becomes
//! [`throng::net::unix`](unix). The addresses are `std`'s. A call that has to wait parks the task that made it, and its worker
//! runs others meanwhile. The same calls work from `main` and from every `std::thread`, which sleep in the kernel.
//!
//! ```
//! use std::io::{Read, Write};
//! use throng::net::{TcpListener, TcpStream};
//!
//! # fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = TcpStream::connect(listener.local_addr()?)?;
//! let (mut server, _) = listener.accept()?;
//! client.write_all(b"hello")?;
//! let mut greeting = [0; 5];
//! server.read_exact(&mut greeting)?;
//! assert_eq!(&greeting, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # What differs from `std`
//!
//! * Descriptors are in non-blocking mode underneath, also those that [`AsFd`](std::os::fd::AsFd) lends and
//!   [`IntoRawFd`](std::os::fd::IntoRawFd) gives away. A conversion into the type of `std` (by `TryFrom`) makes the
//!   descriptor blocking again. The mode belongs to the open socket, not to the descriptor: don't convert one of two
//!   clones.
//! * Time-outs are kept here and not in the kernel. A conversion from and into `std`'s types takes them along.
//! * [`ToSocketAddrs`] can't be implemented elsewhere; host names are looked up in a blocking section of a task of its own.
//! * A call that a signal interrupts goes on; `ErrorKind::Interrupted` isn't returned.

mod addr;
mod common;
#[allow(unsafe_code)]
mod convert;
mod resolve;
mod socket;
mod tcp_listener;
mod tcp_stream;
mod udp;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use addr::{ToSocketAddrs, lookup_host};
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::{UnixIncoming, UnixListener};
pub use unix_stream::UnixStream;

#[doc(no_inline)]
pub use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The names of [`std::os::unix::net`], for a `use` line that moves over.
pub mod unix {
    #[doc(no_inline)]
    pub use super::{UnixDatagram, UnixIncoming as Incoming, UnixListener, UnixStream};
    #[doc(no_inline)]
    pub use std::os::unix::net::SocketAddr;
}
