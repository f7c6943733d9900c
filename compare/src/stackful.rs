//! What the programs ask of a runtime whose tasks have stacks (a kernel thread is one too).

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// A runtime of tasks that block.
///
/// Channels come in two kinds because may has no type that is best at both; a runtime with one kind names it twice.
pub trait Stackful: 'static {
    /// A running task's handle.
    type Handle<T: Send + 'static>: Send;
    /// One producer's end.
    type Sender: Transmit;
    /// One consumer's end.
    type Receiver: Receive;
    /// One of many producers' ends.
    type SharedSender: Transmit + Clone;
    /// One of many consumers' ends.
    type SharedReceiver: Receive + Clone;
    /// Counts its clones; waiting for it ends when they are all dropped.
    type WaitGroup: Clone + Send + 'static;
    /// A lock around a number.
    type Mutex: Send + Sync + 'static;
    /// A listening socket.
    type Listener: Send + 'static;
    /// A connected socket.
    type Stream: Read + Write + Send + 'static;

    /// Runs `f` as a task and waits for it on the calling kernel thread.
    fn enter<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T;
    /// Starts a task.
    fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T>;
    /// Waits for a task's result.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> T;
    /// Lets others run.
    fn yield_now();
    /// Waits for a time.
    fn sleep(time: Duration);
    /// Waits to be unparked, which nobody does.
    fn park();

    /// A channel with one end on each side; a runtime without bounds ignores the capacity.
    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver);
    /// A channel whose ends can be cloned.
    fn shared_channel(capacity: usize) -> (Self::SharedSender, Self::SharedReceiver);
    /// Receives, each time from whichever receiver has a message, until each has given `each`.
    fn select(receivers: [Self::Receiver; 4], each: u64);

    /// A new group with no clone.
    fn wait_group() -> Self::WaitGroup;
    /// Waits until every clone is dropped.
    fn wait(group: Self::WaitGroup);

    /// A new lock.
    fn mutex() -> Self::Mutex;
    /// Adds one under the lock.
    fn increment(mutex: &Self::Mutex);

    /// Listens on a free port of the loopback address.
    fn listen() -> (Self::Listener, SocketAddr);
    /// The next connection, without Nagle's delay.
    fn accept(listener: &Self::Listener) -> Self::Stream;
}

/// The sending end of a channel of numbers.
pub trait Transmit: Send + 'static {
    /// Sends, waiting for room; `false` when nobody can receive any more.
    fn send(&self, value: u64) -> bool;
}

/// The receiving end of a channel of numbers.
pub trait Receive: Send + 'static {
    /// Receives, waiting for a message; `None` when nobody can send any more.
    fn recv(&self) -> Option<u64>;
}
