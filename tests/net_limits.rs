//! When the process runs out of descriptors. It would disturb other tests, so it happens in a child process.
#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::Command;
use throng::net::{TcpListener, TcpStream, UdpSocket};

const CHILD: &str = "THRONG_TEST_OUT_OF_DESCRIPTORS";

fn is_exhaustion<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EMFILE))
}

#[test]
fn out_of_descriptors() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["out_of_descriptors", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

fn child() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // One round before the limit, so that the runtime has what it needs.
    let mut first = TcpStream::connect(address).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    first.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0; 1]).unwrap();

    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limit is read, and nothing else.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut clients = Vec::new();
    let refusal = loop {
        match TcpStream::connect(address) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(refusal.raw_os_error(), Some(libc::EMFILE), "{refusal}");
    assert!(refusal.to_string().contains("Too many open files"));
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
