//! TCP: what `std::net` promises.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::thread;
use std::time::Duration;
use throng::net::{Shutdown, TcpListener, TcpStream};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

/// Gives another thread time to begin its wait. A test that calls this is right without it, only weaker.
fn let_wait() {
    thread::sleep(Duration::from_millis(5));
}

/// Has the socket registered with the netpoller, so that what happens next is an event.
fn register(socket: &TcpStream) {
    socket.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
    assert_eq!((&*socket).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_read_timeout(None).unwrap();
}

#[test]
fn echoes() {
    let (mut client, mut server) = pair();
    let echo = thread::spawn(move || {
        let mut buf = [0; 64];
        loop {
            match server.read(&mut buf).unwrap() {
                0 => return,
                n => server.write_all(&buf[..n]).unwrap(),
            }
        }
    });
    for round in 0..2000_u32 {
        client.write_all(&round.to_le_bytes()).unwrap();
        let mut reply = [0; 4];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(u32::from_le_bytes(reply), round);
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
    echo.join().unwrap();
}

#[test]
fn a_read_times_out_and_the_socket_goes_on() {
    let (mut client, mut server) = pair();
    assert_eq!(server.read_timeout().unwrap(), None);
    server.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    assert_eq!(server.read_timeout().unwrap(), Some(Duration::from_millis(2)));
    for _ in 0..3 {
        assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(server.peek(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    client.write_all(b"x").unwrap();
    server.set_read_timeout(None).unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
    // A socket known to be drained times out too, and what comes then isn't lost.
    server.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.write_all(b"yz").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 2);
}

#[test]
fn a_write_times_out() {
    let (mut client, _server) = pair();
    client.set_write_timeout(Some(Duration::from_millis(2))).unwrap();
    let error = loop {
        if let Err(error) = client.write(&[0; 1 << 16]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_timeout_of_zero_is_an_error() {
    let (client, server) = pair();
    let address = server.local_addr().unwrap();
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(client.set_read_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
    assert_eq!(kind(client.set_write_timeout(Some(Duration::ZERO))), ErrorKind::InvalidInput);
    assert_eq!(kind(TcpStream::connect_timeout(&address, Duration::ZERO).map(drop)), ErrorKind::InvalidInput);
}

#[test]
fn nonblocking_calls_do_not_wait() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // A short read leaves a note that there is nothing more. It must not hide what comes later.
    server.set_nonblocking(false).unwrap();
    client.write_all(b"a").unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
    server.set_nonblocking(true).unwrap();
    client.write_all(b"b").unwrap();
    while server.read(&mut [0; 8]).is_err() {}
}

#[test]
fn clones_share_their_settings() {
    let (client, _server) = pair();
    let clone = client.try_clone().unwrap();
    clone.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_millis(1)));
    client.set_nonblocking(true).unwrap();
    assert_eq!((&clone).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn peeks() {
    let (mut client, mut server) = pair();
    let peeking = thread::spawn(move || {
        let mut buf = [0; 8];
        for _ in 0..3 {
            let n = server.peek(&mut buf).unwrap();
            assert_eq!(&buf[..n], b"look");
        }
        assert_eq!(server.read(&mut buf).unwrap(), 4);
    });
    let_wait();
    client.write_all(b"look").unwrap();
    peeking.join().unwrap();
}

#[test]
fn reads_and_writes_with_several_buffers() {
    let (mut client, mut server) = pair();
    let writing = thread::spawn(move || {
        let_wait();
        client.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]).unwrap()
    });
    let (mut a, mut b) = ([0; 3], [0; 4]);
    assert_eq!(server.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap(), 5);
    assert_eq!((&a, &b[..2]), (b"abc", &b"de"[..]));
    assert_eq!(writing.join().unwrap(), 5);
}

/// The one event that tells of data and of the end comes before a read that falls short.
#[test]
fn an_end_that_came_with_the_data_is_seen_after_it() {
    for _ in 0..30 {
        let (mut client, mut server) = pair();
        register(&server);
        client.write_all(b"abc").unwrap();
        drop(client);
        let mut text = Vec::new();
        server.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"abc");
    }
}

/// A read stops before urgent data, with more behind it.
#[test]
fn urgent_data_hides_nothing() {
    for _ in 0..30 {
        let (mut client, mut server) = pair();
        register(&server);
        client.write_all(b"abc").unwrap();
        socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
        client.write_all(b"def").unwrap();
        let mut got = Vec::new();
        while got.len() < 6 {
            let mut buf = [0; 64];
            let n = server.read(&mut buf).unwrap();
            got.extend_from_slice(&buf[..n]);
        }
        assert_eq!(got, b"abcdef");
    }
}

#[test]
fn nobody_listens() {
    let address = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let error = TcpStream::connect_timeout(&address, Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn connect_tries_every_address() {
    let nobody = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let somebody = listener.local_addr().unwrap();
    let stream = TcpStream::connect(&[nobody, somebody][..]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), somebody);
    let none: &[SocketAddr] = &[];
    assert_eq!(TcpStream::connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(TcpStream::connect("nonsense").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(TcpStream::connect("127.0.0.1:port").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn connects_within_a_timeout() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(60)).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    assert!(stream.read_timeout().unwrap().is_none());
}

/// A full queue of connections ignores those who knock.
#[test]
fn a_connection_times_out() {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(LOOPBACK).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    let error = loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(20)) {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
        assert!(held.len() < 100, "the queue doesn't fill");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_bound_port_is_in_use() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let error = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_peer_that_is_gone_is_an_error() {
    let (mut client, server) = pair();
    server.set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(server.linger().unwrap(), Some(Duration::ZERO));
    drop(server);
    let error = loop {
        if let Err(error) = client.write(b"x") {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");

    let (mut client, server) = pair();
    server.set_linger(Some(Duration::ZERO)).unwrap();
    let reader = thread::spawn(move || client.read(&mut [0; 1]));
    let_wait();
    drop(server);
    assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn options() {
    let (client, server) = pair();
    client.set_nodelay(true).unwrap();
    assert!(client.nodelay().unwrap());
    client.set_ttl(42).unwrap();
    assert_eq!(client.ttl().unwrap(), 42);
    assert_eq!(client.linger().unwrap(), None);
    assert!(client.take_error().unwrap().is_none());
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    assert!(format!("{client:?}").starts_with("TcpStream"));
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.set_ttl(17).unwrap();
    assert_eq!(listener.ttl().unwrap(), 17);
    assert!(listener.take_error().unwrap().is_none());
    assert!(format!("{listener:?}").starts_with("TcpListener"));
}

#[test]
fn goes_to_std_and_back() {
    let (mut client, server) = pair();
    register(&server);
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut plain = std::net::TcpStream::try_from(server).unwrap();
    assert!(plain.read_timeout().unwrap().is_some());
    plain.set_read_timeout(None).unwrap();
    let reader = thread::spawn(move || {
        plain.read_exact(&mut [0; 2]).unwrap();
        plain.set_write_timeout(Some(Duration::from_secs(9))).unwrap();
        plain
    });
    let_wait();
    client.write_all(b"ab").unwrap();
    let mut server = TcpStream::try_from(reader.join().unwrap()).unwrap();
    assert!(server.write_timeout().unwrap().is_some_and(|timeout| timeout >= Duration::from_secs(9)));

    let reader = thread::spawn(move || server.read(&mut [0; 8]).map(|n| (n, server)).unwrap());
    let_wait();
    client.write_all(b"abc").unwrap();
    let (n, server) = reader.join().unwrap();
    assert_eq!(n, 3);

    let number = server.as_raw_fd();
    assert_eq!(server.as_fd().as_raw_fd(), number);
    let fd: OwnedFd = server.into();
    assert_eq!(fd.as_raw_fd(), number);
    let number = TcpStream::from(fd).into_raw_fd();
    #[allow(unsafe_code)]
    // SAFETY: it was just given up.
    let mut server = unsafe { TcpStream::from_raw_fd(number) };
    client.write_all(b"z").unwrap();
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);

    let listener = TcpListener::try_from(std::net::TcpListener::bind(LOOPBACK).unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = thread::spawn(move || listener.accept().map(|_| listener).unwrap());
    let_wait();
    drop(TcpStream::connect(address).unwrap());
    let listener = std::net::TcpListener::try_from(acceptor.join().unwrap()).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    listener.accept().unwrap();
}
