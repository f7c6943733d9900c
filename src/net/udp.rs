//! A UDP socket.

use super::addr::{self, ToSocketAddrs};
use super::common::{common_methods, timeout_methods, ttl_methods};
use super::socket::Socket;
use crate::netpoll::Direction;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A UDP socket.
///
/// Modelled on [`std::net::UdpSocket`]; see the [module](super) for what differs.
///
/// ```
/// use throng::net::UdpSocket;
///
/// let a = UdpSocket::bind("127.0.0.1:0")?;
/// let b = UdpSocket::bind("127.0.0.1:0")?;
/// a.send_to(b"ping", b.local_addr()?)?;
/// let mut buffer = [0; 16];
/// let (length, from) = b.recv_from(&mut buffer)?;
/// assert_eq!((&buffer[..length], from), (&b"ping"[..], a.local_addr()?));
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "PacketConn")]
pub struct UdpSocket(pub(super) Socket<std::net::UdpSocket>);

common_methods!(UdpSocket);
timeout_methods!(UdpSocket);
ttl_methods!(UdpSocket);

impl UdpSocket {
    /// Binds the first address that can be.
    ///
    /// # Errors
    /// The last address's error if none can be bound; that of looking up the name.
    #[doc(alias = "ListenPacket")]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        addr::first_of(addr, |addr| std::net::UdpSocket::bind(addr)?.try_into())
    }

    /// Fixes the other end: from now on `send` goes there, and only what comes from there is received. Of several
    /// addresses the first is taken that can be.
    ///
    /// # Errors
    /// The last address's error if there is none; that of looking up the name.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        addr::first_of(addr, |addr| self.0.inner().connect(addr))
    }

    /// Sends one datagram to the first of the addresses.
    ///
    /// # Errors
    /// Those of the system call; that of looking up the name.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let addr = addr::first(addr)?;
        self.0.io(Direction::Write, || self.0.inner().send_to(buf, addr))
    }

    /// Sends one datagram to the other end that [`connect`](UdpSocket::connect) fixed.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, || self.0.inner().send(buf))
    }

    /// Waits for a datagram; tells its length and where it came from. What doesn't fit is lost.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.io(Direction::Read, || self.0.inner().recv_from(buf))
    }

    /// Waits for a datagram from the other end that [`connect`](UdpSocket::connect) fixed. What doesn't fit is lost.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, || self.0.inner().recv(buf))
    }

    /// As [`recv_from`](UdpSocket::recv_from), but leaves the datagram where it is.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.io(Direction::Read, || self.0.inner().peek_from(buf))
    }

    /// As [`recv`](UdpSocket::recv), but leaves the datagram where it is.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, || self.0.inner().peek(buf))
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.inner().local_addr()
    }

    /// The other end that [`connect`](UdpSocket::connect) fixed.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.inner().peer_addr()
    }
}

/// Options of the system's, as they are.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $result:ty;)*) => {
        impl UdpSocket {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// Those of the system call.
            pub fn $name(&self, $($arg: $ty),*) -> io::Result<$result> {
                self.0.inner().$name($($arg),*)
            }
        )*}
    };
}

options! {
    /// Allows sending to a broadcast address (`SO_BROADCAST`).
    set_broadcast(broadcast: bool) -> ();
    /// Whether sending to a broadcast address is allowed.
    broadcast() -> bool;
    /// Whether multicast packets that are sent come back to this host (`IP_MULTICAST_LOOP`).
    set_multicast_loop_v4(multicast_loop: bool) -> ();
    /// What was set by `set_multicast_loop_v4`.
    multicast_loop_v4() -> bool;
    /// How many networks a multicast packet may cross (`IP_MULTICAST_TTL`).
    set_multicast_ttl_v4(multicast_ttl: u32) -> ();
    /// What was set by `set_multicast_ttl_v4`.
    multicast_ttl_v4() -> u32;
    /// Whether multicast packets that are sent come back to this host (`IPV6_MULTICAST_LOOP`).
    set_multicast_loop_v6(multicast_loop: bool) -> ();
    /// What was set by `set_multicast_loop_v6`.
    multicast_loop_v6() -> bool;
    /// Joins a multicast group on the interface that has the given address (`IP_ADD_MEMBERSHIP`).
    join_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Joins a multicast group on the interface of the given index, 0 for any (`IPV6_ADD_MEMBERSHIP`).
    join_multicast_v6(group: &Ipv6Addr, interface: u32) -> ();
    /// Leaves a multicast group (`IP_DROP_MEMBERSHIP`).
    leave_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Leaves a multicast group (`IPV6_DROP_MEMBERSHIP`).
    leave_multicast_v6(group: &Ipv6Addr, interface: u32) -> ();
}
