//! Names, and what stands for an address.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::thread;
use throng::cancel::Cancelled;
use throng::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host};
use throng::task::Builder;

fn all(addr: impl ToSocketAddrs) -> Vec<SocketAddr> {
    addr.to_socket_addrs().unwrap().collect()
}

#[test]
fn what_std_takes() {
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 0, 0);
    for addrs in [
        all(v4),
        all(SocketAddr::V4(v4)),
        all((Ipv4Addr::LOCALHOST, 80)),
        all((IpAddr::V4(Ipv4Addr::LOCALHOST), 80)),
        all(("127.0.0.1", 80)),
        all(("127.0.0.1".to_string(), 80)),
        all("127.0.0.1:80"),
        all("127.0.0.1:80".to_string()),
        all("127.0.0.1:80".to_string()),
        all(&[SocketAddr::V4(v4)][..]),
    ] {
        assert_eq!(addrs, [v4.into()]);
    }
    for addrs in [all(v6), all((Ipv6Addr::LOCALHOST, 80)), all(("::1", 80)), all("[::1]:80")] {
        assert_eq!(addrs, [v6.into()]);
    }
}

#[test]
fn names_are_looked_up() {
    let addrs: Vec<_> = lookup_host("localhost:7").unwrap().collect();
    assert!(!addrs.is_empty());
    assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7));
    let listener = TcpListener::bind(("localhost", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect(("localhost", port)).unwrap();
    let socket = UdpSocket::bind("localhost:0").unwrap();
    let target = socket.local_addr().unwrap();
    socket.send_to(b"x", ("localhost", target.port())).unwrap();
}

#[test]
fn a_name_that_is_none_fails() {
    // Reserved never to exist; and one that no resolver takes.
    assert!(lookup_host("nowhere.invalid:80").is_err());
    assert!(lookup_host(("not a\0name", 80)).is_err());
    assert!(TcpStream::connect("nowhere.invalid:80").is_err());
    let kind = |name: &str| name.to_socket_addrs().unwrap_err().kind();
    assert_eq!(kind("localhost"), ErrorKind::InvalidInput);
    assert_eq!(kind("localhost:"), ErrorKind::InvalidInput);
    assert_eq!(kind("localhost:65536"), ErrorKind::InvalidInput);
}

#[test]
fn many_ask_at_once() {
    let ask = |from: u16| {
        for port in from..from + 5 {
            assert!(lookup_host(("localhost", port)).unwrap().all(|addr| addr.port() == port));
        }
    };
    let threads: Vec<_> = (0..10).map(|i| thread::spawn(move || ask(1 + i * 5))).collect();
    let tasks: Vec<_> = (10..40).map(|i| throng::spawn(move || ask(1 + i * 5))).collect();
    threads.into_iter().for_each(|asker| asker.join().unwrap());
    tasks.into_iter().for_each(|asker| asker.join().unwrap());
}

#[test]
fn a_small_stack_is_enough_to_ask() {
    let asker = Builder::new().stack_size(64 << 10).spawn(|| lookup_host(("localhost", 7)).unwrap().count());
    assert!(asker.unwrap().join().unwrap() > 0);
}

#[test]
fn a_cancelled_asker_leaves() {
    for _ in 0..100 {
        let asker = throng::spawn(|| while lookup_host(("localhost", 7)).is_ok() {});
        asker.cancel();
        assert!(asker.join().unwrap_err().is::<Cancelled>());
    }
}

#[test]
fn in_a_blocking_section_the_asker_blocks() {
    let asker = throng::spawn(|| throng::blocking(|| lookup_host(("localhost", 7)).unwrap().count()));
    assert!(asker.join().unwrap() > 0);
}
