//! A runtime that has been dropped leaves nothing behind: no memory (that is for LeakSanitizer to see, which
//! `scripts/sanitize address` runs this under), no thread, no descriptor, no mapping.

mod common;

use common::{Dropped, is_child, passes_in_a_child, runtime, stress, until};
use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::chan::{Receiver, Sender, bounded};
use throng::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use throng::runtime::Runtime;
use throng::sync::{Condvar, Mutex, Semaphore, WaitGroup};
use throng::task;

/// What the process has, as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holdings {
    threads: usize,
    descriptors: usize,
    mappings: usize,
}

impl Holdings {
    fn now() -> Holdings {
        let entries = |folder| std::fs::read_dir(folder).expect("procfs").count();
        Holdings {
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
            mappings: std::fs::read_to_string("/proc/self/maps").expect("procfs").lines().count(),
        }
    }
}

/// Waits for a thing in each of the ways there are, with something on the stack that is to be dropped.
struct Waiters {
    runtime: Runtime,
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    started: usize,
}

impl Waiters {
    fn new(workers: usize) -> Waiters {
        Waiters { runtime: runtime(workers), begun: Arc::default(), dropped: Arc::default(), started: 0 }
    }

    fn start(&mut self, wait: impl FnOnce() + Send + 'static) {
        let guard = Dropped(Arc::clone(&self.dropped));
        let begun = Arc::clone(&self.begun);
        self.started += 1;
        drop(self.runtime.spawn(move || {
            let _guard = guard;
            let boxes: Vec<Box<usize>> = (0..10).map(Box::new).collect();
            begun.fetch_add(1, SeqCst);
            wait();
            drop(boxes);
        }));
    }

    fn start_all(&mut self) {
        self.start(task::park);
        self.start(|| task::sleep(Duration::from_secs(1000)));
        let (send, receive): (Sender<Box<u8>>, Receiver<Box<u8>>) = bounded(1);
        let sender = send.clone();
        self.start(move || drop(receive.recv().and(receive.recv())));
        self.start(move || while sender.send(Box::new(2)).is_ok() {});
        let (full, never_read) = bounded(0);
        self.start(move || drop(full.send(send)));
        let (_s, r) = bounded::<String>(0);
        self.start(move || {
            throng::select! {
                recv(r) -> _ => {}
                recv(throng::chan::after(Duration::from_secs(1000))) -> _ => {}
            }
            drop(never_read);
        });
        let (mutex, condvar) = (Arc::new(Mutex::new(vec![1])), Arc::new(Condvar::new()));
        for _ in 0..2 {
            let (mutex, condvar) = (Arc::clone(&mutex), Arc::clone(&condvar));
            self.start(move || condvar.wait(&mut mutex.lock()));
        }
        let semaphore = Semaphore::new(0);
        self.start(move || semaphore.acquire().forget());
        let group = WaitGroup::new();
        group.add(1);
        self.start(move || group.wait());
        self.start(|| throng::scope(|s| drop(s.spawn(|| task::sleep(Duration::from_secs(1000))))));
        self.start(|| drop(throng::spawn(task::park).join()));
        self.start(|| throng::future::block_on(std::future::pending()));
    }

    fn start_sockets(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("an address");
        self.start(move || {
            let first = listener.accept();
            // There is no second one.
            drop(listener.accept());
            drop(first);
        });
        self.start(move || {
            // The listener may be gone already, when the runtime ends.
            let _ = TcpStream::connect(address).and_then(|mut stream| stream.read(&mut [0; 10]));
        });
        let (mut a, b) = UnixStream::pair().expect("a pair");
        self.start(move || {
            let _ = a.read(&mut [0; 10]);
            drop(b);
        });
        self.start(|| drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket").recv(&mut [0; 10])));
    }
}

/// One round: a runtime with tasks that wait, and the end of it.
fn start_and_drop(round: usize, sockets: bool) {
    let mut waiters = Waiters::new(round % 3 + 1);
    waiters.start_all();
    if sockets {
        waiters.start_sockets();
    }
    // Sometimes they have all begun, and most wait; sometimes the end comes in between.
    if !round.is_multiple_of(4) {
        until(|| waiters.begun.load(SeqCst) == waiters.started);
    }
    let Waiters { runtime, dropped, started, .. } = waiters;
    match round % 2 {
        0 => drop(runtime),
        _ => runtime.shutdown_timeout(Duration::from_secs(3600)).expect("in time"),
    }
    assert_eq!(dropped.load(SeqCst), started);
}

#[test]
fn a_thousand_runtimes_leave_no_memory_behind() {
    for round in 0..stress(1000) {
        start_and_drop(round, round % 10 == 0);
    }
}

/// In a process of its own: other tests have threads and descriptors too.
#[test]
fn a_hundred_runtimes_leave_nothing_of_the_kernels_behind() {
    if !is_child() {
        return passes_in_a_child("a_hundred_runtimes_leave_nothing_of_the_kernels_behind");
    }
    let threads = Holdings::now().threads;
    // What is made once a process, and the allocator's caches, are there after a few.
    (0..10).for_each(|round| start_and_drop(round, true));
    // The kernel forgets a thread a moment after it was joined.
    until(|| Holdings::now().threads == threads);
    let before = Holdings::now();
    (0..stress(100)).for_each(|round| start_and_drop(round, true));
    until(|| Holdings::now().threads == before.threads);
    let after = Holdings::now();
    assert_eq!(after.descriptors, before.descriptors);
    // The allocator maps and unmaps as it likes; but a thread's stack is two mappings, and there were two hundred threads.
    assert!(after.mappings < before.mappings + 100, "{before:?} {after:?}");
}

/// The one that had to be left to itself ends later, and takes the runtime with it.
#[test]
fn what_did_not_end_in_time_is_freed_when_it_does() {
    if !is_child() {
        return passes_in_a_child("what_did_not_end_in_time_is_freed_when_it_does");
    }
    let round = || {
        let mut waiters = Waiters::new(2);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        waiters.start_all();
        waiters.start_sockets();
        waiters.start(move || _ = blocked.recv());
        until(|| waiters.begun.load(SeqCst) == waiters.started);
        let Waiters { runtime, dropped, started, .. } = waiters;
        let unfinished = runtime.shutdown_timeout(Duration::ZERO).expect_err("out of time");
        assert!((1..=started + 2).contains(&unfinished.count()), "{unfinished}");
        drop(unfinished);
        drop(release);
        until(|| dropped.load(SeqCst) == started);
    };
    let before = Holdings::now();
    (0..20).for_each(|_| round());
    // The runtimes end by themselves.
    until(|| {
        let now = Holdings::now();
        (now.threads, now.descriptors) == (before.threads, before.descriptors)
    });
}
