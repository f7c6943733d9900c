//! Addresses, and names that stand for them.

use super::resolve;
use sealed::{Resolve, Targets};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::vec;

/// What can stand where a socket address is wanted.
///
/// Modelled on [`std::net::ToSocketAddrs`], and implemented for the same types: addresses, pairs of a host and a port,
/// strings such as `"localhost:80"`, and slices of addresses. What differs: it can't be implemented for other types,
/// since only what is known to be an address, or else to be a name, can be kept from blocking a worker. A name is
/// looked up as [`lookup_host`] does it.
///
/// ```
/// use throng::net::ToSocketAddrs;
///
/// let mut addresses = "127.0.0.1:80".to_socket_addrs()?;
/// assert_eq!(addresses.next(), Some(([127, 0, 0, 1], 80).into()));
/// # std::io::Result::Ok(())
/// ```
pub trait ToSocketAddrs: Resolve {
    /// The addresses that this stands for; waits if that must be looked up.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](io::ErrorKind::InvalidInput) for a string that has no port; whatever the system's
    /// resolver says of a name; that there is no room for the task that asks it.
    fn to_socket_addrs(&self) -> io::Result<vec::IntoIter<SocketAddr>> {
        Ok(match self.targets()? {
            Targets::One(addr) => vec![addr],
            Targets::Many(addrs) => addrs.to_vec(),
            Targets::Name(host, port) => resolve::lookup(host, port)?,
        }
        .into_iter())
    }
}

impl<T: Resolve + ?Sized> ToSocketAddrs for T {}

/// Looks up the addresses of a host, such as `"localhost:80"` or `("localhost", 80)`.
///
/// A task is parked meanwhile: the system's resolver blocks, so another task, of the same runtime, asks it in a
/// [blocking section](crate::blocking()). A cancelled caller leaves at once, and the look-up ends by itself.
///
/// # Errors
/// As for [`ToSocketAddrs::to_socket_addrs`].
///
/// ```
/// let found: Vec<_> = throng::net::lookup_host("localhost:80")?.collect();
/// assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// # std::io::Result::Ok(())
/// ```
#[doc(alias = "LookupHost")]
pub fn lookup_host<A: ToSocketAddrs>(host: A) -> io::Result<impl Iterator<Item = SocketAddr> + use<A>> {
    host.to_socket_addrs()
}

/// Tries what `addr` stands for one after the other, until something other than an error comes out; the last error if
/// nothing does.
pub(super) fn first_of<A: ToSocketAddrs, R>(
    addr: A,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut each = |addrs: &[SocketAddr]| {
        let mut last = None;
        for &addr in addrs {
            match attempt(addr) {
                Ok(result) => return Ok(result),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    };
    match addr.targets()? {
        Targets::One(addr) => each(&[addr]),
        Targets::Many(addrs) => each(addrs),
        Targets::Name(host, port) => each(&resolve::lookup(host, port)?),
    }
}

/// The first address that `addr` stands for.
pub(super) fn first<A: ToSocketAddrs>(addr: A) -> io::Result<SocketAddr> {
    match addr.targets()? {
        Targets::One(addr) => Some(addr),
        Targets::Many(addrs) => addrs.first().copied(),
        Targets::Name(host, port) => resolve::lookup(host, port)?.first().copied(),
    }
    .ok_or_else(no_address)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to")
}

mod sealed {
    use std::io;
    use std::net::SocketAddr;

    /// What an argument stands for, as far as that can be known without asking anyone.
    #[derive(Debug)]
    pub enum Targets<'a> {
        One(SocketAddr),
        Many(&'a [SocketAddr]),
        Name(&'a str, u16),
    }

    pub trait Resolve {
        fn targets(&self) -> io::Result<Targets<'_>>;
    }
}

macro_rules! address {
    ($($address:ty),*) => {$(
        impl Resolve for $address {
            fn targets(&self) -> io::Result<Targets<'_>> {
                Ok(Targets::One((*self).into()))
            }
        }
    )*};
}

address! { SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16) }

fn host_and_port(host: &str, port: u16) -> Targets<'_> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Targets::One((ip, port).into()),
        Err(_) => Targets::Name(host, port),
    }
}

impl Resolve for (&str, u16) {
    fn targets(&self) -> io::Result<Targets<'_>> {
        Ok(host_and_port(self.0, self.1))
    }
}

impl Resolve for (String, u16) {
    fn targets(&self) -> io::Result<Targets<'_>> {
        Ok(host_and_port(&self.0, self.1))
    }
}

impl Resolve for str {
    fn targets(&self) -> io::Result<Targets<'_>> {
        if let Ok(addr) = self.parse() {
            return Ok(Targets::One(addr));
        }
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let (host, port) = self.rsplit_once(':').ok_or_else(|| invalid("invalid socket address"))?;
        Ok(host_and_port(host, port.parse().map_err(|_| invalid("invalid port value"))?))
    }
}

impl Resolve for String {
    fn targets(&self) -> io::Result<Targets<'_>> {
        self.as_str().targets()
    }
}

impl Resolve for [SocketAddr] {
    fn targets(&self) -> io::Result<Targets<'_>> {
        Ok(Targets::Many(self))
    }
}

impl<T: Resolve + ?Sized> Resolve for &T {
    fn targets(&self) -> io::Result<Targets<'_>> {
        (**self).targets()
    }
}
