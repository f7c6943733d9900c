//! UDP: what `std::net` promises.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;
use throng::net::UdpSocket;

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn bound() -> UdpSocket {
    UdpSocket::bind(LOOPBACK).unwrap()
}

#[test]
fn sends_and_receives_unconnected() {
    let (a, b) = (bound(), bound());
    let target = b.local_addr().unwrap();
    let from = a.local_addr().unwrap();
    let receiver = thread::spawn(move || {
        let mut buf = [0; 8];
        for i in 0..100 {
            assert_eq!(b.peek_from(&mut buf).unwrap(), (1, from));
            assert_eq!(b.recv_from(&mut buf).unwrap(), (1, from));
            assert_eq!(buf[0], i);
            b.send_to(&buf[..1], from).unwrap();
        }
    });
    for i in 0..100 {
        assert_eq!(a.send_to(&[i], target).unwrap(), 1);
        assert_eq!(a.recv_from(&mut [0; 8]).unwrap(), (1, target));
    }
    receiver.join().unwrap();
}

#[test]
fn sends_and_receives_connected() {
    let (a, b) = (bound(), bound());
    assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    a.connect(b.local_addr().unwrap()).unwrap();
    b.connect(a.local_addr().unwrap()).unwrap();
    assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
    let receiver = thread::spawn(move || {
        let mut buf = [0; 8];
        assert_eq!(b.peek(&mut buf).unwrap(), 5);
        assert_eq!(b.recv(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        b.send(&buf[..5]).unwrap();
    });
    a.send(b"hello").unwrap();
    assert_eq!(a.recv(&mut [0; 8]).unwrap(), 5);
    receiver.join().unwrap();
}

#[test]
fn an_empty_datagram_is_one_too() {
    let (a, b) = (bound(), bound());
    a.send_to(b"", b.local_addr().unwrap()).unwrap();
    a.send_to(b"x", b.local_addr().unwrap()).unwrap();
    assert_eq!(b.recv_from(&mut [0; 8]).unwrap().0, 0);
    assert_eq!(b.recv_from(&mut [0; 8]).unwrap().0, 1);
}

#[test]
fn times_out() {
    let socket = bound();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(3))).unwrap();
    assert_eq!(socket.write_timeout().unwrap(), Some(Duration::from_millis(3)));
    assert_eq!(socket.recv_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(socket.peek_from(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(socket.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    socket.set_nonblocking(true).unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn clones_share_the_port() {
    let (a, b) = (bound(), bound());
    let clone = b.try_clone().unwrap();
    assert_eq!(clone.local_addr().unwrap(), b.local_addr().unwrap());
    // Whichever gets it: both must have been woken to look.
    let target = b.local_addr().unwrap();
    let readers = [b, clone].map(|socket| thread::spawn(move || socket.recv(&mut [0; 8]).unwrap()));
    a.send_to(b"x", target).unwrap();
    a.send_to(b"y", target).unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 1);
    }
}

/// The refusal comes back as an error of the socket, which ends a wait.
#[test]
fn a_closed_port_refuses() {
    let gone = bound().local_addr().unwrap();
    let socket = bound();
    socket.connect(gone).unwrap();
    socket.send(b"x").unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn options() {
    let socket = bound();
    socket.set_broadcast(true).unwrap();
    assert!(socket.broadcast().unwrap());
    socket.set_ttl(9).unwrap();
    assert_eq!(socket.ttl().unwrap(), 9);
    socket.set_multicast_loop_v4(false).unwrap();
    assert!(!socket.multicast_loop_v4().unwrap());
    socket.set_multicast_ttl_v4(3).unwrap();
    assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
    assert!(socket.take_error().unwrap().is_none());
    assert!(format!("{socket:?}").starts_with("UdpSocket"));
    // Where the host has the protocols for it.
    let group = Ipv4Addr::new(224, 0, 0, 123);
    if socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).is_ok() {
        socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    }
    if let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        socket.set_multicast_loop_v6(false).unwrap();
        assert!(!socket.multicast_loop_v6().unwrap());
    }
}

#[test]
fn goes_to_std_and_back() {
    let socket = bound();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert!(socket.recv(&mut [0; 1]).is_err());
    let plain = std::net::UdpSocket::try_from(socket).unwrap();
    assert_eq!(plain.read_timeout().unwrap(), Some(Duration::from_millis(20)));
    assert_eq!(plain.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let socket = UdpSocket::try_from(plain).unwrap();
    assert_eq!(socket.read_timeout().unwrap(), Some(Duration::from_millis(20)));
    bound().send_to(b"x", socket.local_addr().unwrap()).unwrap();
    assert_eq!(socket.recv(&mut [0; 1]).unwrap(), 1);
}
