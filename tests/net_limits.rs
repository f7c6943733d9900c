//! When the process runs out of descriptors. It would disturb other tests, so it happens in child processes.

mod common;
#[path = "common/limits.rs"]
mod limits;

use common::{is_child, ms, passes_in_a_child, runtime};
use limits::limit;
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use throng::chan::{Receiver, Sender, unbounded};
use throng::net::{TcpListener, TcpStream, UdpSocket};

fn is_exhaustion<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EMFILE))
}

/// Opens files until there is no room for another one.
fn use_all_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            result => {
                assert!(is_exhaustion(result));
                return files;
            }
        }
    }
}

#[test]
fn out_of_descriptors() {
    if !is_child() {
        return passes_in_a_child("out_of_descriptors");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // One round before the limit, so that the runtime has what it needs.
    let mut first = TcpStream::connect(address).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    first.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0; 1]).unwrap();

    limit(libc::RLIMIT_NOFILE, 64);
    let mut clients = Vec::new();
    let refusal = loop {
        match TcpStream::connect(address) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(refusal.raw_os_error(), Some(libc::EMFILE), "{refusal}");
    assert!(clients.len() > 10);

    // Nothing is lost: the connections wait in the queue until there is room.
    for _ in 0..3 {
        assert!(is_exhaustion(listener.accept()));
        assert!(is_exhaustion(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))));
        assert!(is_exhaustion(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))));
        assert!(is_exhaustion(first.try_clone()));
    }
    // Sockets that are open go on, those too that have yet to be registered.
    accepted.write_all(b"y").unwrap();
    first.read_exact(&mut [0; 1]).unwrap();

    for (i, client) in clients.iter_mut().enumerate() {
        client.write_all(&[i as u8]).unwrap();
    }
    for i in 0..clients.len() {
        // Each one closed makes room for one accepted, and what it wrote is there.
        drop(clients.remove(0));
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        assert_eq!(text, [i as u8]);
    }
}

/// Accepts one connection after the other, and tells what came of each. After an error it waits until it is told to go on,
/// as a server does that waits for another connection to be closed.
fn accept_all(listener: &TcpListener, results: &Sender<io::Result<TcpStream>>, go_on: &Receiver<()>) {
    loop {
        let result = listener.accept().map(|(stream, _)| stream);
        let failed = result.is_err();
        if results.send(result).is_err() || (failed && go_on.recv().is_err()) {
            return;
        }
    }
}

fn exchange(mut from: impl Write, mut to: impl Read, byte: u8) {
    from.write_all(&[byte]).unwrap();
    let mut read = [0];
    to.read_exact(&mut read).unwrap();
    assert_eq!(read, [byte]);
}

/// The poller tells of a connection once. Whoever was woken by that and found no descriptor must find the connection later.
#[test]
fn a_connection_that_found_no_descriptor_is_not_lost() {
    if !is_child() {
        return passes_in_a_child("a_connection_that_found_no_descriptor_is_not_lost");
    }
    let own = runtime(2);
    let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = listener.local_addr().unwrap();
    let (bystander, mut echoing) = (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0);
    own.spawn(move || {
        let mut byte = [0];
        while echoing.read_exact(&mut byte).is_ok() && echoing.write_all(&byte).is_ok() {}
    });
    // Two tasks and a thread, which all wait for the same listener.
    let (send, results) = unbounded();
    let (go_on, goes_on) = unbounded();
    let acceptor = || {
        let (listener, send, goes_on) = (Arc::clone(&listener), send.clone(), goes_on.clone());
        move || accept_all(&listener, &send, &goes_on)
    };
    own.spawn(acceptor());
    own.spawn(acceptor());
    std::thread::spawn(acceptor());
    // The next connection that was accepted. Those who had failed, or do so yet, go on.
    let accepted = || loop {
        match results.recv().unwrap() {
            Ok(stream) => return stream,
            error => assert!(is_exhaustion(error)),
        }
        go_on.send(()).unwrap();
    };
    let connect = || std::net::TcpStream::connect(address).unwrap();
    limit(libc::RLIMIT_NOFILE, 64);
    let mut refused = 0;
    for round in 0..50 {
        // They have been woken before; and some of them wait now, or all.
        exchange(connect(), accepted(), round);
        std::thread::sleep(ms(u64::from(round) % 3));
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let files = use_all_descriptors();
        client.connect(&address.into()).unwrap();
        match results.recv().unwrap() {
            // One of the runtime's threads has ended meanwhile, and closed the file it was watched by.
            Ok(stream) => {
                drop(files);
                exchange(client, stream, round);
                continue;
            }
            error => assert!(is_exhaustion(error)),
        }
        refused += 1;
        // What there is goes on.
        exchange(&bystander, &bystander, round);
        drop(files);
        go_on.send(()).unwrap();
        exchange(client, accepted(), round);
    }
    assert!(refused > 25, "only {refused} of 50 found no descriptor");
}
