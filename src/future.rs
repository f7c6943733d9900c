//! Futures: how plain blocking code runs one.

use crate::control::Outcome;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::{Reason, wait_in};
use crate::wait::{WaitQueue, Wakeup};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// The waker's side and the waiter's.
struct Signal(Lock<State>);

struct State {
    /// Woken since the last poll began.
    woken: bool,
    waiting: WaitQueue<()>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.0.lock();
        state.woken = true;
        let waiting = state.waiting.take_one();
        drop(state);
        if let Some(wakeup) = waiting {
            Wakeup::fire(wakeup);
        }
    }
}

/// Runs a future to its end, in a task or in a plain thread. While the future waits, a task leaves its worker to the
/// others.
///
/// The future's wakers may be used from anywhere, at any time. A future that needs an executor of its own (`tokio`'s
/// sockets and timers do) still needs it around it. Let that executor run it then, and await its handle here:
///
/// ```
/// # use throng::future::block_on;
/// # // Shaped like tokio's, of which nothing else is needed here.
/// # #[derive(Clone)]
/// # struct Handle;
/// # impl Handle {
/// #     async fn spawn<F: Future>(&self, future: F) -> std::io::Result<F::Output> { Ok(future.await) }
/// # }
/// # struct Runtime(Handle);
/// # impl Runtime {
/// #     fn handle(&self) -> &Handle { &self.0 }
/// # }
/// # struct Client;
/// # impl Client {
/// #     async fn get(&self, address: &str) -> usize { address.len() }
/// # }
/// # let (tokio_runtime, client, address) = (Runtime(Handle), Client, "here");
/// let tokio = tokio_runtime.handle().clone();
/// let reply = throng::spawn(move || block_on(tokio.spawn(async move { client.get(address).await })));
/// # assert_eq!(reply.join().unwrap().unwrap(), 4);
/// ```
///
/// (The guard of `Handle::enter` belongs to its thread, and must not be held across a wait.) The other way round a
/// [`JoinHandle`](crate::JoinHandle) is a future: `throng::spawn(f).await`.
///
/// A caller that is cancelled meanwhile drops the future, as an executor would.
///
/// # Panics
/// With what the future panics with.
///
/// # Examples
/// ```
/// let task = throng::spawn(|| 6 * 7);
/// let answer = throng::future::block_on(async { task.await.unwrap() });
/// assert_eq!(answer, 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let signal = Arc::new(Signal(Lock::new(State { woken: false, waiting: WaitQueue::new() })));
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    loop {
        signal.0.lock().woken = false;
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let state = signal.0.lock();
        if state.woken {
            continue;
        }
        if wait_in(Reason::Future, None, &signal.0, state, |state| &mut state.waiting, ()) == Outcome::Cancelled {
            interrupt::unwind();
        }
    }
}
