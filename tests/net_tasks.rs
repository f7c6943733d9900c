//! Sockets in tasks: parked, woken, cancelled, and outliving their runtime.

use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use throng::net::{Shutdown, TcpListener, TcpStream, UdpSocket, UnixStream, lookup_host};
use throng::runtime::Runtime;
use throng::task;

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// One server task and one client task a connection, all at once, on one worker and on several.
#[test]
fn many_connections_echo() {
    for workers in [1, 2, 4] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        runtime.run(|| {
            const CONNECTIONS: u32 = 64;
            let listener = TcpListener::bind(LOOPBACK).unwrap();
            let address = listener.local_addr().unwrap();
            let server = throng::spawn(move || {
                for stream in listener.into_incoming().take(CONNECTIONS as usize) {
                    let mut stream = stream.unwrap();
                    throng::spawn(move || {
                        let mut buf = [0; 64];
                        loop {
                            match stream.read(&mut buf).unwrap() {
                                0 => return,
                                n => stream.write_all(&buf[..n]).unwrap(),
                            }
                        }
                    });
                }
            });
            let clients: Vec<_> = (0..CONNECTIONS)
                .map(|i| {
                    throng::spawn(move || {
                        let mut stream = TcpStream::connect(address).unwrap();
                        for round in 0..20 {
                            let sent = (i * 1000 + round).to_le_bytes();
                            stream.write_all(&sent).unwrap();
                            let mut got = [0; 4];
                            stream.read_exact(&mut got).unwrap();
                            assert_eq!(got, sent);
                        }
                        stream.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
            server.join().unwrap();
        });
    }
}

/// There is always a task that is ready on each worker, so none of them ever looks for something to wait for.
#[test]
fn sockets_and_timers_beside_workers_that_are_never_idle() {
    for workers in [1, 2, 4] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let stop = AtomicBool::new(false);
        runtime.run(|| {
            throng::scope(|scope| {
                for _ in 0..2 * workers {
                    scope.spawn(|| {
                        while !stop.load(Ordering::SeqCst) {
                            task::yield_now();
                        }
                    });
                }
                let (mut near, mut far) = UnixStream::pair().unwrap();
                scope.spawn(move || {
                    let mut byte = [0];
                    while far.read(&mut byte).unwrap() == 1 {
                        far.write_all(&byte).unwrap();
                    }
                });
                for round in 0..20 {
                    let mut byte = [0];
                    near.write_all(&[round]).unwrap();
                    near.read_exact(&mut byte).unwrap();
                    assert_eq!(byte, [round]);
                    task::sleep(Duration::from_micros(100));
                }
                stop.store(true, Ordering::SeqCst);
            });
        });
    }
}

/// A task and a plain thread, each at one end.
#[test]
fn a_task_and_a_thread_talk() {
    let (mut near, mut far) = pair();
    let task = throng::spawn(move || {
        let mut byte = [0];
        while far.read(&mut byte).unwrap() == 1 {
            far.write_all(&byte).unwrap();
        }
    });
    for i in 0..500 {
        near.write_all(&[i as u8]).unwrap();
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], i as u8);
    }
    drop(near);
    task.join().unwrap();
}

#[test]
fn reads_time_out_in_tasks() {
    throng::run(|| {
        let (mut client, mut server) = pair();
        server.set_read_timeout(Some(Duration::from_micros(300))).unwrap();
        for _ in 0..20 {
            assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        client.write_all(b"x").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
    });
}

#[test]
fn a_cancelled_task_leaves_its_wait() {
    for _ in 0..100 {
        let (mut client, server) = UnixStream::pair().unwrap();
        let keep = server.try_clone().unwrap();
        let task = throng::spawn(move || (&server).read(&mut [0; 1]).map(drop));
        thread::yield_now();
        task.cancel();
        assert!(task.join().is_err());
        client.write_all(b"x").unwrap();
        assert_eq!((&keep).read(&mut [0; 8]).unwrap(), 1, "nothing was taken");
    }
}

#[test]
fn names_are_looked_up_while_others_run() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        let askers: Vec<_> = (0..20).map(|_| throng::spawn(|| lookup_host("localhost:1").unwrap().count())).collect();
        let other = throng::spawn(|| 7);
        assert_eq!(other.join().unwrap(), 7);
        assert!(askers.into_iter().all(|asker| asker.join().unwrap() > 0));
        let asker = throng::spawn(|| lookup_host("nowhere.invalid:1").map(|_| ()));
        asker.cancel();
        let _ = asker.join();
    });
}

/// The socket is registered with a runtime that goes away while a thread waits. It goes over to another.
#[test]
fn a_wait_survives_the_runtime_it_was_registered_with() {
    for round in 0..50 {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let (mut client, mut server) = UnixStream::pair().unwrap();
        server.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
        let mut server = runtime.run(move || {
            assert!(server.read(&mut [0; 1]).is_err());
            server.set_read_timeout(None).unwrap();
            server
        });
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            sender.send(()).unwrap();
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            byte[0]
        });
        receiver.recv().unwrap();
        if round % 2 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(runtime);
        client.write_all(&[round]).unwrap();
        assert_eq!(reader.join().unwrap(), round);
    }
}

/// Tasks that wait for sockets are unwound when their runtime is dropped, and their sockets closed.
#[test]
fn a_dropped_runtime_closes_its_sockets() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let mut ends = Vec::new();
    for _ in 0..20 {
        let (near, mut far) = pair();
        runtime.spawn(move || far.read(&mut [0; 1]).map(drop));
        let socket = UdpSocket::bind(LOOPBACK).unwrap();
        runtime.spawn(move || socket.recv(&mut [0; 1]).map(drop));
        ends.push(near);
    }
    drop(runtime);
    for mut near in ends {
        assert_eq!(near.read(&mut [0; 1]).unwrap(), 0);
    }
}
