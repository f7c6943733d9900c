//! Kernel threads with crossbeam's channels: what a program uses that has no runtime.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use crossbeam_utils::sync::WaitGroup;

use crate::stackful::{Receive, Stackful, Transmit};

/// Kernel threads.
pub(crate) struct Threads;

impl Stackful for Threads {
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
        f()
    }
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        thread::spawn(f)
    }
    fn join<T: Send + 'static>(handle: JoinHandle<T>) -> T {
        handle.join().expect("the thread panicked")
    }
    fn yield_now() {
        thread::yield_now();
    }
    fn sleep(time: Duration) {
        thread::sleep(time);
    }
    fn park() {
        thread::park();
    }

    fn channel(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        crossbeam_channel::bounded(capacity)
    }
    fn shared_channel(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        crossbeam_channel::bounded(capacity)
    }
    fn select([a, b, c, d]: [Receiver<u64>; 4], each: u64) {
        for _ in 0..4 * each {
            let _: u64 = crossbeam_channel::select! {
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
