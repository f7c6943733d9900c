//! Into and out of `std`'s types and descriptors, the same for every socket.

use super::socket::Socket;
use super::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use socket2::SockRef;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

macro_rules! conversions {
    ($($socket:ident: $std:ty;)*) => {$(
        /// Takes the socket, with its time-outs, and puts it into non-blocking mode. Whether it was in that mode before
        /// makes no difference: calls wait.
        impl TryFrom<$std> for $socket {
            type Error = io::Error;
            fn try_from(socket: $std) -> io::Result<$socket> {
                Ok($socket(Socket::adopt(socket)?))
            }
        }

        /// Gives the socket back, with its time-outs, in blocking mode, or in that which `set_nonblocking` asked for.
        impl TryFrom<$socket> for $std {
            type Error = io::Error;
            fn try_from(socket: $socket) -> io::Result<$std> {
                socket.0.into_blocking()
            }
        }

        /// Puts the descriptor into non-blocking mode. Time-outs that the kernel holds for it are left there, and not
        /// heeded.
        impl From<OwnedFd> for $socket {
            fn from(fd: OwnedFd) -> $socket {
                let socket = <$std>::from(fd);
                // It fails only for what isn't a socket at all, and then every call will say so.
                let _ = SockRef::from(&socket).set_nonblocking(true);
                $socket(Socket::new(socket))
            }
        }

        /// The descriptor is in non-blocking mode.
        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> OwnedFd {
                socket.0.into_inner().into()
            }
        }

        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.inner().as_fd()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.0.inner().as_raw_fd()
            }
        }

        impl IntoRawFd for $socket {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_inner().into_raw_fd()
            }
        }

        impl FromRawFd for $socket {
            unsafe fn from_raw_fd(fd: RawFd) -> $socket {
                // SAFETY: the caller's: it is open, and nobody else's.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }
    )*};
}

conversions! {
    TcpListener: std::net::TcpListener;
    TcpStream: std::net::TcpStream;
    UdpSocket: std::net::UdpSocket;
    UnixDatagram: std::os::unix::net::UnixDatagram;
    UnixListener: std::os::unix::net::UnixListener;
    UnixStream: std::os::unix::net::UnixStream;
}
