//! may, as its users write it. Its channels have no bound: a sender never waits, so the capacity is not there to be met, and a
//! program that needs it (the sieve, whose source would never stop) can't be run. Its fastest type is taken for each program.

use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;

use may::coroutine::{self, JoinHandle};
use may::net::{TcpListener, TcpStream};
use may::sync::{Mutex, WaitGroup, mpmc, spsc};

use crate::WORKERS;
use crate::stackful::{Receive, Stackful, Transmit};

/// may.
pub(crate) struct May;

impl Stackful for May {
    type Handle<T: Send + 'static> = JoinHandle<T>;
    type Sender = spsc::Sender<u64>;
    type Receiver = spsc::Receiver<u64>;
    type SharedSender = mpmc::Sender<u64>;
    type SharedReceiver = mpmc::Receiver<u64>;
    type WaitGroup = WaitGroup;
    type Mutex = Mutex<u64>;
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn enter<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
        static CONFIGURED: Once = Once::new();
        CONFIGURED.call_once(|| {
            may::config().set_workers(WORKERS);
        });
        Self::join(Self::spawn(f))
    }
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        may::go!(f)
    }
    fn join<T: Send + 'static>(handle: JoinHandle<T>) -> T {
        handle.join().expect("the coroutine panicked")
    }
    fn yield_now() {
        coroutine::yield_now();
    }
    fn sleep(time: Duration) {
        coroutine::sleep(time);
    }
    fn park() {
        coroutine::park();
    }

    fn channel(_: usize) -> (spsc::Sender<u64>, spsc::Receiver<u64>) {
        spsc::channel()
    }
    fn shared_channel(_: usize) -> (mpmc::Sender<u64>, mpmc::Receiver<u64>) {
        mpmc::channel()
    }
    fn select(receivers: [spsc::Receiver<u64>; 4], each: u64) {
        may::cqueue::scope(|queue| {
            for (token, receiver) in receivers.into_iter().enumerate() {
                may::go!(queue, token, move |event| {
                    for _ in 0..each {
                        receiver.recv().expect("closed");
                        event.send(0);
                    }
                });
            }
            // Until the sources have ended by themselves: cancelling them at the end of the scope may hang.
            while queue.poll(None).is_ok() {}
        });
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
        *mutex.lock().expect("no holder panics") += 1;
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

impl Transmit for spsc::Sender<u64> {
    fn send(&self, value: u64) -> bool {
        spsc::Sender::send(self, value).is_ok()
    }
}

impl Receive for spsc::Receiver<u64> {
    fn recv(&self) -> Option<u64> {
        spsc::Receiver::recv(self).ok()
    }
}

impl Transmit for mpmc::Sender<u64> {
    fn send(&self, value: u64) -> bool {
        mpmc::Sender::send(self, value).is_ok()
    }
}

impl Receive for mpmc::Receiver<u64> {
    fn recv(&self) -> Option<u64> {
        mpmc::Receiver::recv(self).ok()
    }
}
