//! Sockets of this host: what `std::os::unix::net` promises.

#[path = "common/directory.rs"]
mod directory;

use directory::Directory;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::thread;
use std::time::Duration;
use throng::net::{Shutdown, UnixDatagram, UnixListener, UnixStream};

fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("throng-{}-{name}", std::process::id())).unwrap()
}

#[test]
fn streams_echo() {
    let directory = Directory::new();
    let path = directory.path("stream");
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_path()));
    assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    let server = thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).unwrap();
            stream.write_all(&text).unwrap();
        }
    });
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&path).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(path.as_path()));
        stream.write_all(&[5; 500_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        assert_eq!(text, [5; 500_000]);
    }
    server.join().unwrap();
}

#[test]
fn abstract_addresses() {
    let address = abstract_address("listener");
    let listener = UnixListener::bind_addr(&address).unwrap();
    let mut client = UnixStream::connect_addr(&address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn nobody_listens() {
    let directory = Directory::new();
    assert_eq!(UnixStream::connect(directory.path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    let path = directory.path("gone");
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// More want to connect than the listener's queue holds: they wait, although the kernel tells them nothing.
#[test]
fn connects_past_a_full_queue() {
    let address = abstract_address("queue");
    let listener = {
        let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        let name = [b"\0", address.as_abstract_name().unwrap()].concat();
        listener.bind(&socket2::SockAddr::unix(std::str::from_utf8(&name).unwrap()).unwrap()).unwrap();
        listener.listen(1).unwrap();
        UnixListener::from(OwnedFd::from(listener))
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| UnixStream::connect_addr(&address).unwrap());
        }
        thread::sleep(Duration::from_millis(5));
        for _ in 0..8 {
            listener.accept().unwrap();
        }
    });
}

#[test]
fn streams_time_out_and_convert() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    a.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    assert_eq!(a.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut plain = std::os::unix::net::UnixStream::try_from(a).unwrap();
    assert_eq!(plain.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    plain.set_read_timeout(None).unwrap();
    let mut a = UnixStream::try_from(plain).unwrap();
    let reader = thread::spawn(move || a.read(&mut [0; 8]).unwrap());
    b.write_all(b"abc").unwrap();
    assert_eq!(reader.join().unwrap(), 3);
    assert!(b.take_error().unwrap().is_none());
    let clone = b.try_clone().unwrap();
    assert!(format!("{clone:?}").starts_with("UnixStream"));
    // The other end is gone, and this process lives on.
    assert_eq!(b.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn datagrams() {
    let directory = Directory::new();
    let (path_a, path_b) = (directory.path("a"), directory.path("b"));
    let a = UnixDatagram::bind(&path_a).unwrap();
    let b = UnixDatagram::bind(&path_b).unwrap();
    a.send_to(b"ping", &path_b).unwrap();
    let mut buf = [0; 8];
    let (n, from) = b.recv_from(&mut buf).unwrap();
    assert_eq!((&buf[..n], from.as_pathname()), (&b"ping"[..], Some(path_a.as_path())));
    let unbound = UnixDatagram::unbound().unwrap();
    unbound.connect(&path_a).unwrap();
    unbound.send(b"hello").unwrap();
    assert_eq!(a.recv(&mut buf).unwrap(), 5);
    let address = abstract_address("datagram");
    let c = UnixDatagram::bind_addr(&address).unwrap();
    a.send_to_addr(b"x", &address).unwrap();
    assert_eq!(c.recv(&mut buf).unwrap(), 1);
    b.connect_addr(&address).unwrap();
    assert!(b.peer_addr().unwrap().as_abstract_name().is_some());
    b.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(b.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A sender waits for a slow receiver, connected (an event tells it) or not (nothing does).
#[test]
fn no_datagram_is_lost() {
    for connected in [true, false] {
        let directory = Directory::new();
        let path = directory.path("slow");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        if connected {
            sender.connect(&path).unwrap();
        }
        let sending = thread::spawn(move || {
            for i in 0..200_u8 {
                if connected { sender.send(&[i]) } else { sender.send_to(&[i], &path) }.unwrap();
            }
        });
        thread::sleep(Duration::from_millis(5));
        for i in 0..200 {
            let mut buf = [0; 8];
            assert_eq!(receiver.recv(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], i);
        }
        sending.join().unwrap();
    }
}

#[test]
fn a_datagram_to_a_full_receiver_times_out() {
    let directory = Directory::new();
    let path = directory.path("full");
    let _receiver = UnixDatagram::bind(&path).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_write_timeout(Some(Duration::from_millis(3))).unwrap();
    let error = loop {
        if let Err(error) = sender.send_to(b"x", &path) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    sender.connect(&path).unwrap();
    assert_eq!(sender.send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn datagram_pairs_shut_down() {
    let (a, b) = UnixDatagram::pair().unwrap();
    let clone = a.try_clone().unwrap();
    let reader = thread::spawn(move || clone.recv(&mut [0; 8]).unwrap());
    thread::yield_now();
    a.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap(), 0);
    let (n, from) = a.recv_from(&mut [0; 8]).unwrap();
    assert!(n == 0 && from.is_unnamed());
    assert_eq!(b.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}
