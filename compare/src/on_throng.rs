//! Throng, as its users write it.

use std::net::SocketAddr;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use throng::JoinHandle;
use throng::chan::{self, Receiver, Sender};
use throng::net::{TcpListener, TcpStream};
use throng::runtime::{self, Runtime};
use throng::sync::{Mutex, WaitGroup};
use throng::task;

use crate::WORKERS;
use crate::stackful::{Receive, Stackful, Transmit};

/// Which tasks move: for all of the process, as each program is measured in one of its own.
static MIGRATION: OnceLock<Migration> = OnceLock::new();

/// How Throng is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migration {
    /// As it comes.
    Guarded,
    /// No stack is searched.
    Unguarded,
    /// Only new tasks move.
    BeforeFirstRun,
}

impl Migration {
    pub(crate) fn choose(self) {
        MIGRATION.get_or_init(|| self);
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let builder = Runtime::builder().workers(WORKERS);
    let builder = match MIGRATION.get() {
        // SAFETY: the programs here keep nothing of their threads' over a wait.
        Some(Migration::Unguarded) => unsafe { builder.migration_unguarded() },
        Some(Migration::BeforeFirstRun) => builder.migration(runtime::Migration::BeforeFirstRun),
        Some(Migration::Guarded) | None => builder,
    };
    builder.build().expect("threads can be had")
});

/// Throng.
pub(crate) struct Throng;

impl Stackful for Throng {
    type Handle<T: Send + 'static> = JoinHandle<T>;
    type Sender = Sender<u64>;
    type Receiver = Receiver<u64>;
    type SharedSender = Sender<u64>;
    type SharedReceiver = Receiver<u64>;
    type WaitGroup = WaitGroup;
    type Mutex = Mutex<u64>;
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn enter<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
        RUNTIME.run(f)
    }
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        throng::spawn(f)
    }
    fn join<T: Send + 'static>(handle: JoinHandle<T>) -> T {
        handle.join().expect("the task panicked")
    }
    fn yield_now() {
        task::yield_now();
    }
    fn sleep(time: Duration) {
        task::sleep(time);
    }
    fn park() {
        task::park();
    }

    fn channel(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        chan::bounded(capacity)
    }
    fn shared_channel(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        chan::bounded(capacity)
    }
    fn select([a, b, c, d]: [Receiver<u64>; 4], each: u64) {
        for _ in 0..4 * each {
            let _: u64 = throng::select! {
                recv(a) -> value => value.expect("closed"),
                recv(b) -> value => value.expect("closed"),
                recv(c) -> value => value.expect("closed"),
                recv(d) -> value => value.expect("closed"),
            };
        }
    }

    fn wait_group() -> WaitGroup {
        WaitGroup::new()
    }
    fn wait(group: WaitGroup) {
        group.wait();
    }

    fn mutex() -> Mutex<u64> {
        Mutex::new(0)
    }
    fn increment(mutex: &Mutex<u64>) {
        *mutex.lock() += 1;
    }

    fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }
    fn accept(listener: &TcpListener) -> TcpStream {
        let (stream, _) = listener.accept().expect("descriptors are left");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
    }
}

impl Transmit for Sender<u64> {
    fn send(&self, value: u64) -> bool {
        Sender::send(self, value).is_ok()
    }
}

impl Receive for Receiver<u64> {
    fn recv(&self) -> Option<u64> {
        Receiver::recv(self).ok()
    }
}
