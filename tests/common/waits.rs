//! A wait of every kind, and what ends it. The end may come first: then there is nothing to wait for.
#![allow(dead_code, reason = "each test file uses its part")]

use super::common::ms;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use throng::chan::{after, bounded, never, unbounded};
use throng::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use throng::sync::{Barrier, Condvar, Mutex, Once, OnceLock, ReentrantMutex, RwLock, Semaphore, WaitGroup};
use throng::{future, task};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Wait {
    pub(crate) name: &'static str,
    pub(crate) wait: Box<dyn FnOnce() + Send>,
    pub(crate) end: Box<dyn FnOnce() + Send>,
}

fn wait(name: &'static str, wait: impl FnOnce() + Send + 'static, end: impl FnOnce() + Send + 'static) -> Wait {
    Wait { name, wait: Box::new(wait), end: Box::new(end) }
}

pub(crate) fn every_wait() -> Vec<Wait> {
    let mut waits = channels();
    waits.extend(locks());
    waits.extend(sockets());
    waits.extend(tasks());
    waits
}

fn channels() -> Vec<Wait> {
    let mut waits = Vec::new();

    let (s, r) = bounded(0);
    waits.push(wait("send", move || s.send(1).unwrap(), move || assert_eq!(r.recv(), Ok(1))));
    let (s, r) = bounded(1);
    s.send(0).unwrap();
    waits.push(wait(
        "send to a full one",
        move || s.send(1).unwrap(),
        move || assert_eq!([r.recv(), r.recv()], [Ok(0), Ok(1)]),
    ));
    let (s, r) = bounded(0);
    waits.push(wait("recv", move || assert_eq!(r.recv(), Ok(1)), move || s.send(1).unwrap()));
    let (s, r) = unbounded::<()>();
    waits.push(wait("recv from one that is given up", move || assert!(r.recv().is_err()), move || drop(s)));
    let (s, r) = bounded(0);
    waits.push(wait("recv_timeout", move || assert_eq!(r.recv_timeout(HOUR), Ok(1)), move || s.send(1).unwrap()));
    let (s, r) = unbounded();
    waits.push(wait(
        "select",
        move || {
            throng::select! {
                recv(never::<()>()) -> _ => unreachable!(),
                recv(r) -> number => assert_eq!(number, Ok(1)),
            }
        },
        move || s.send(1).unwrap(),
    ));
    let (s, r) = bounded(0);
    waits.push(wait(
        "select that sends",
        move || {
            throng::select! {
                send(s, 1) -> sent => sent.unwrap(),
                recv(never::<()>()) -> _ => unreachable!(),
            }
        },
        move || assert_eq!(r.recv(), Ok(1)),
    ));
    let (s, r) = bounded(0);
    waits.push(wait(
        "a future",
        move || assert_eq!(future::block_on(r.recv_async()), Ok(1)),
        move || s.send(1).unwrap(),
    ));
    waits.push(wait("after", || assert!(after(ms(1)).recv().is_ok()), || {}));
    waits
}

fn locks() -> Vec<Wait> {
    let mut waits = Vec::new();

    // One holds the lock, and lets others run; the other one waits until it is held.
    macro_rules! held {
        ($name:expr, $lock:expr, $hold:ident, $want:ident) => {{
            let lock = Arc::new($lock);
            let (held, is_held) = unbounded();
            let wanted = Arc::clone(&lock);
            waits.push(wait(
                $name,
                move || {
                    is_held.recv().unwrap();
                    drop(wanted.$want());
                },
                move || {
                    let guard = lock.$hold();
                    held.send(()).unwrap();
                    task::sleep(ms(1));
                    drop(guard);
                },
            ));
        }};
    }
    held!("Mutex", Mutex::new(()), lock, lock);
    held!("ReentrantMutex", ReentrantMutex::new(()), lock, lock);
    held!("RwLock, read", RwLock::new(()), write, read);
    held!("RwLock, write", RwLock::new(()), read, write);

    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let told = Arc::clone(&pair);
    waits.push(wait(
        "Condvar",
        move || {
            let mut is_told = told.0.lock();
            while !*is_told {
                told.1.wait(&mut is_told);
            }
        },
        move || {
            *pair.0.lock() = true;
            pair.1.notify_one();
        },
    ));

    let semaphore = Arc::new(Semaphore::new(0));
    let wanted = Arc::clone(&semaphore);
    waits.push(wait("Semaphore", move || wanted.acquire_many(2).forget(), move || semaphore.add_permits(2)));

    let barrier = Arc::new(Barrier::new(2));
    let other = Arc::clone(&barrier);
    waits.push(wait("Barrier", move || _ = other.wait(), move || _ = barrier.wait()));

    let group = WaitGroup::new();
    let member = group.clone();
    waits.push(wait("WaitGroup", move || group.wait(), move || drop(member)));

    let once = Arc::new(Once::new());
    let (begun, has_begun) = unbounded();
    let other = Arc::clone(&once);
    waits.push(wait(
        "Once",
        move || {
            has_begun.recv().unwrap();
            other.call_once(|| unreachable!("it was begun"));
        },
        move || {
            once.call_once(|| {
                begun.send(()).unwrap();
                task::sleep(ms(1));
            });
        },
    ));

    let cell = Arc::new(OnceLock::new());
    let other = Arc::clone(&cell);
    waits.push(wait("OnceLock", move || assert_eq!(*other.wait(), 1), move || cell.set(1).unwrap()));
    waits
}

fn sockets() -> Vec<Wait> {
    let mut waits = Vec::new();

    let (mut near, mut far) = UnixStream::pair().unwrap();
    waits.push(wait("read", move || near.read_exact(&mut [0]).unwrap(), move || far.write_all(&[1]).unwrap()));

    const MUCH: usize = 1 << 20;
    let (mut near, mut far) = UnixStream::pair().unwrap();
    waits.push(wait(
        "write",
        move || near.write_all(&vec![1; MUCH]).unwrap(),
        move || far.read_exact(&mut vec![0; MUCH]).unwrap(),
    ));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    waits.push(wait("accept", move || drop(listener.accept().unwrap()), move || drop(TcpStream::connect(address))));

    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, sender) = (receiver.local_addr().unwrap(), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    waits.push(wait(
        "recv_from",
        move || assert_eq!(receiver.recv_from(&mut [0]).unwrap().0, 1),
        move || assert_eq!(sender.send_to(&[1], address).unwrap(), 1),
    ));

    let (mut near, far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(HOUR)).unwrap();
    waits.push(wait("read to the end", move || assert_eq!(near.read(&mut [0]).unwrap(), 0), move || drop(far)));
    waits
}

fn tasks() -> Vec<Wait> {
    let mut waits = Vec::new();

    waits.push(wait("sleep", || task::sleep(ms(1)), || {}));
    waits.push(wait("yield_now", || (0..10).for_each(|_| task::yield_now()), || {}));

    let (s, r) = bounded(0);
    waits.push(wait(
        "join",
        move || assert_eq!(throng::spawn(move || r.recv()).join().unwrap(), Ok(1)),
        move || s.send(1).unwrap(),
    ));

    let (s, r) = bounded(0);
    waits.push(wait(
        "scope",
        move || {
            throng::scope(|scope| {
                scope.spawn(|| assert_eq!(r.recv(), Ok(1)));
                scope.spawn(|| task::sleep(ms(1)));
            });
        },
        move || s.send(1).unwrap(),
    ));

    waits.push(wait("run", || assert_eq!(throng::run(|| throng::spawn(|| 1).join().unwrap()), 1), || {}));

    let (tell, told) = unbounded();
    let end = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&end);
    waits.push(wait(
        "park",
        move || {
            tell.send(task::current()).unwrap();
            while !is_over.load(SeqCst) {
                task::park();
            }
        },
        move || {
            let parked = told.recv().unwrap();
            end.store(true, SeqCst);
            parked.unpark();
        },
    ));
    waits
}
