//! The resolver: asks the system about host names, on kernel threads of its own.
//!
//! `getaddrinfo` blocks for as long as it likes, seconds if a name server is down. So it is called on a helper thread,
//! and whoever asked is parked until the answer is there. There are as many helpers as there are questions, up to
//! [`MAX_HELPERS`]; more questions queue up. A helper that has had nothing to do for [`IDLE`] ends.
//!
//! An asker that is cancelled goes away at once. Question and answer are shared between it and the helper, so the helper
//! finishes by itself and the answer is freed with the last of the two.

use crate::control::Outcome;
use crate::interrupt;
use crate::lock::Lock;
use crate::park::{self, Reason};
use crate::wait::{WaitQueue, Wakeup};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const MAX_HELPERS: usize = 8;
const IDLE: Duration = Duration::from_secs(5);

type Addresses = io::Result<Vec<SocketAddr>>;

/// Asks the system's resolver; parks the caller.
pub(super) fn lookup(host: &str, port: u16) -> Addresses {
    crate::sim::refuse_if_simulated("what looks a host's name up", "write the address");
    let host = host.to_owned();
    ask(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
}

/// Has `question` answered by a helper.
fn ask(question: impl FnOnce() -> Addresses + Send + 'static) -> Addresses {
    let answer = Arc::new(Answer::new());
    let promise = Promise(Some(answer.clone()));
    HELPERS.submit(Box::new(move || promise.keep(question())))?;
    answer.wait()
}

/// One answer, for one asker.
struct Answer(Lock<Inner>);

struct Inner {
    addresses: Option<Addresses>,
    asker: WaitQueue<()>,
}

impl Answer {
    fn new() -> Answer {
        Answer(Lock::new(Inner { addresses: None, asker: WaitQueue::new() }))
    }

    fn wait(&self) -> Addresses {
        loop {
            let mut inner = self.0.lock();
            if let Some(addresses) = inner.addresses.take() {
                return addresses;
            }
            let (outcome, ()) = park::wait_in(Reason::Resolve, None, &self.0, inner, |inner| &mut inner.asker, ());
            if outcome == Outcome::Cancelled {
                interrupt::unwind();
            }
        }
    }

    /// To be called once.
    fn give(&self, addresses: Addresses) {
        let asker = {
            let mut inner = self.0.lock();
            inner.addresses = Some(addresses);
            inner.asker.take_one()
        };
        asker.into_iter().for_each(Wakeup::fire);
    }
}

/// A helper's duty to answer, which it has even if it panics.
struct Promise(Option<Arc<Answer>>);

impl Promise {
    fn keep(mut self, addresses: Addresses) {
        self.give(addresses);
    }

    fn give(&mut self, addresses: Addresses) {
        if let Some(answer) = self.0.take() {
            answer.give(addresses);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.give(Err(io::Error::other("the resolver panicked")));
    }
}

type Job = Box<dyn FnOnce() + Send>;

static HELPERS: Helpers =
    Helpers { state: Mutex::new(State { jobs: VecDeque::new(), threads: 0, idle: 0 }), work: Condvar::new() };

struct Helpers {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// How many of them have nothing to do, those included that have been notified of a job and not taken it yet.
    idle: usize,
}

impl Helpers {
    /// Fails if there is no helper and none can be started.
    fn submit(&'static self, job: Job) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.idle <= state.jobs.len() && state.threads < MAX_HELPERS {
            match thread::Builder::new().name("throng-resolver".into()).spawn(|| self.help()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    let text =
                        format!("can't start a thread that asks for a host's address: {error}; raise `ulimit -u`");
                    return Err(io::Error::new(error.kind(), text));
                }
                Err(_) => {}
            }
        }
        state.jobs.push_back(job);
        self.work.notify_one();
        Ok(())
    }

    fn help(&self) {
        let mut state = self.state.lock();
        loop {
            while let Some(job) = state.jobs.pop_front() {
                MutexGuard::unlocked(&mut state, || {
                    // The job answers for its own panic.
                    let _ = panic::catch_unwind(panic::AssertUnwindSafe(job));
                });
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if timed_out && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}
