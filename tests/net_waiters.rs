//! Several waiters on one socket, many sockets at once, and sockets that go away.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use throng::net::{Shutdown, TcpListener, TcpStream, UdpSocket, UnixStream};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// For loops: thousands of connections would use up the ports of the host, which stay taken for a minute.
fn local_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// More than the kernel's buffers hold, in pieces that make reads and writes fall short at every place.
#[test]
fn moves_much_in_both_directions_at_once() {
    const LEN: usize = 3 << 20;
    let byte = |i: usize| ((i * 31) >> 3) as u8;
    let (a, b) = pair();
    thread::scope(|scope| {
        for mut socket in [&a, &b] {
            scope.spawn(move || {
                let data: Vec<u8> = (0..LEN).map(byte).collect();
                for chunk in data.chunks(7001) {
                    socket.write_all(chunk).unwrap();
                }
                socket.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut buf = vec![0; 5003];
                let mut at = 0;
                loop {
                    let n = socket.read(&mut buf).unwrap();
                    if n == 0 {
                        break;
                    }
                    assert!(buf[..n].iter().enumerate().all(|(i, &b)| b == byte(at + i)));
                    at += n;
                }
                assert_eq!(at, LEN);
            });
        }
    });
}

#[test]
fn a_reader_and_a_writer_wait_on_one_socket() {
    let (client, server) = pair();
    thread::scope(|scope| {
        scope.spawn(|| {
            // Waits in a write, its buffers full, while the other waits in a read.
            (&client).write_all(&vec![7; 4 << 20]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| {
            let mut rest = Vec::new();
            (&client).read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"done");
        });
        thread::sleep(Duration::from_millis(5));
        assert_eq!(io::copy(&mut &server, &mut io::sink()).unwrap(), 4 << 20);
        (&server).write_all(b"done").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
    });
}

#[test]
fn many_connections_at_once() {
    const CONNECTIONS: usize = 100;
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let mut handlers = Vec::new();
        for stream in listener.into_incoming().take(CONNECTIONS) {
            let mut stream = stream.unwrap();
            handlers.push(thread::spawn(move || {
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
            }));
        }
        handlers.into_iter().for_each(|handler| handler.join().unwrap());
    });
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        write!(stream, "{i}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    for (i, stream) in streams.iter_mut().enumerate() {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, i.to_string());
    }
    server.join().unwrap();
}

#[test]
fn several_readers_share_a_stream() {
    const BYTES: usize = 5000;
    let (mut client, server) = pair();
    let got = AtomicUsize::new(0);
    thread::scope(|scope| {
        for i in 0..4 {
            let (got, shared) = (&got, &server);
            // Two through one handle, two through handles of their own.
            let own = (i % 2 == 0).then(|| server.try_clone().unwrap());
            scope.spawn(move || {
                let mut stream = own.as_ref().unwrap_or(shared);
                let mut buf = [0; 16];
                loop {
                    match stream.read(&mut buf).unwrap() {
                        0 => return,
                        n => _ = got.fetch_add(n, Ordering::Relaxed),
                    }
                }
            });
        }
        for _ in 0..BYTES {
            client.write_all(b"x").unwrap();
        }
        drop(client);
    });
    assert_eq!(got.into_inner(), BYTES);
}

#[test]
fn several_acceptors_share_a_listener() {
    const CONNECTIONS: usize = 50;
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for i in 0..4 {
            let (accepted, shared) = (&accepted, &listener);
            let own = (i % 2 == 0).then(|| listener.try_clone().unwrap());
            scope.spawn(move || {
                let listener = own.as_ref().unwrap_or(shared);
                loop {
                    let (mut stream, _) = listener.accept().unwrap();
                    if stream.read(&mut [0; 1]).unwrap() == 0 {
                        return; // told to stop
                    }
                    accepted.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(b"k").unwrap();
                }
            });
        }
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"o").unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
        }
        for _ in 0..4 {
            drop(TcpStream::connect(address).unwrap());
        }
    });
    assert_eq!(accepted.into_inner(), CONNECTIONS);
}

#[test]
fn shutdown_wakes_who_waits() {
    for _ in 0..200 {
        let (_client, server) = local_pair();
        let clone = server.try_clone().unwrap();
        let reader = thread::spawn(move || (&clone).read(&mut [0; 1]).unwrap());
        thread::yield_now();
        server.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    }
}

/// A clone has a descriptor of its own: the other may go at any time.
#[test]
fn a_clone_outlives_the_socket_that_is_dropped() {
    for _ in 0..200 {
        let (mut client, mut server) = local_pair();
        let mut clone = server.try_clone().unwrap();
        // The one that is dropped is registered.
        server.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
        assert_eq!(server.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        server.set_read_timeout(None).unwrap();
        let reader = thread::spawn(move || clone.read(&mut [0; 4]).unwrap());
        thread::yield_now();
        drop(server);
        client.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    }
}

/// Sockets come and go with events under way, so that tokens and descriptors are used again while the poller still has
/// events of their last owners. Each wait must be ended by its own socket's datagram.
#[test]
fn stale_events_are_harmless() {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // Registered, made ready, and dropped at once.
                    let (mut client, mut server) = local_pair();
                    server.set_read_timeout(Some(Duration::from_nanos(1))).unwrap();
                    let _ = server.read(&mut [0; 1]);
                    let _ = client.write(b"late");
                }
            });
        }
        let mut waiters = Vec::new();
        for waiter in 0..2_u8 {
            waiters.push(scope.spawn(move || {
                for round in 0..300 {
                    let receiver = UdpSocket::bind(LOOPBACK).unwrap();
                    let address = receiver.local_addr().unwrap();
                    let sender = thread::spawn(move || {
                        let sender = UdpSocket::bind(LOOPBACK).unwrap();
                        sender.send_to(&[waiter, round as u8], address).unwrap();
                    });
                    let mut buf = [0; 8];
                    let (n, _) = receiver.recv_from(&mut buf).unwrap();
                    assert_eq!(buf[..n], [waiter, round as u8]);
                    sender.join().unwrap();
                }
            }));
        }
        let results: Vec<_> = waiters.into_iter().map(|waiter| waiter.join()).collect();
        stop.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
    });
}
