//! Tokens: what cancels scopes of many tasks at once.
//!
//! A token knows its children and the scopes that run under it at present. [`Token::cancel`] goes down the tree twice,
//! holding one token's lock at a time: first it marks tokens and scopes, then, after one fence for all of them, it ends
//! the waits that are in those scopes.
//!
//! # The races, and why they can't happen
//! * **A child or a scope that is missed.** It is entered in the list under the lock that the first walk takes. Whoever
//!   comes later finds the token cancelled under the same lock, and marks itself.
//! * **A scope that is gone.** It takes itself out of the list, under the lock, before its frame is left; the walks touch
//!   the scopes in the list, with the lock held. Those that they claimed are woken afterwards: a claimed task is the
//!   claimer's, a thread is held by its handle.
//! * **The next wait, or one outside, is ended.** See `control/scopes.rs`: what is claimed under the lock is a wait inside
//!   of the scope.
//!
//! # Tried and rejected
//! Linking a node in the token's list at each wait, as `select!` would, needs no marks and no fence; but then all tasks
//! under one token meet at its lock each time they wait.

use crate::asymmetric;
use crate::chan::{self, Receiver};
use crate::control::{Participant, Scope};
use crate::current;
use crate::interrupt::{self, Cancelled, Entered};
use crate::park;
use crate::primitive::{AtomicBool, Mutex, Ordering};
use crate::wait::Wakeup;
use std::collections::BTreeMap;
use std::fmt;
use std::panic;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// What is cancelled through a token: whatever [runs](Token::run) under it, in any number of tasks and threads, and its
/// children. Clones are handles to the same token.
///
/// A token once cancelled remains so. Dropping it cancels nothing.
///
/// Modelled on Go's `context` and on `tokio_util`'s `CancellationToken`; the scopes on Trio's. What differs from the
/// first two: code that runs under the token needn't ask for it at each wait.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throng::cancel::Token;
/// use throng::chan::tick;
///
/// let shutdown = Token::new();
/// let worker = throng::spawn({
///     let shutdown = shutdown.clone();
///     move || {
///         let ticks = tick(Duration::from_millis(1));
///         let mut jobs = 0;
///         loop {
///             throng::select! {
///                 recv(ticks) -> _ => jobs += 1,
///                 recv(shutdown.done()) -> _ => return jobs,
///             }
///         }
///     }
/// });
/// throng::task::sleep(Duration::from_millis(10));
/// shutdown.cancel();
/// println!("{} jobs done", worker.join().unwrap());
/// ```
#[doc(alias = "context")]
#[doc(alias = "CancellationToken")]
#[derive(Clone)]
pub struct Token {
    inner: Arc<Inner>,
}

struct Inner {
    parent: Option<Arc<Inner>>,
    /// Its number among the parent's children.
    key: u64,
    /// Its own or an ancestor's, whichever is earlier.
    deadline: Option<Instant>,
    /// For a look without the lock.
    cancelled: AtomicBool,
    done: OnceLock<Receiver<()>>,
    members: Mutex<Members>,
}

/// Both lists in the order of entry, in which they are cancelled. (An order that came from addresses would make a
/// simulation that no seed could repeat.)
#[derive(Default)]
struct Members {
    cancelled: bool,
    entered: u64,
    children: BTreeMap<u64, Weak<Inner>>,
    runs: BTreeMap<u64, Run>,
}

impl Members {
    fn next_key(&mut self) -> u64 {
        self.entered += 1;
        self.entered
    }
}

/// A scope that is open, in the frame of a [`Token::run`].
struct Run {
    scope: NonNull<Scope>,
    who: Participant,
}

// SAFETY: both pointers are used under the lock of the list that the run is in, and what they lead to is made for that:
// a scope's mark and a state word are atomics, its number is constant while it is entered.
unsafe impl Send for Run {}

/// A run's place in the list.
struct Listed<'a> {
    token: &'a Inner,
    key: u64,
}

impl<'a> Listed<'a> {
    fn new(token: &'a Inner, Entered { scope, who }: Entered<'_>) -> Listed<'a> {
        let mut members = token.members.lock();
        if members.cancelled {
            scope.mark_cancelled();
        }
        let key = members.next_key();
        members.runs.insert(key, Run { scope: NonNull::from(scope), who });
        Listed { token, key }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.token.members.lock().runs.remove(&self.key);
    }
}

impl Inner {
    fn new(parent: Option<Arc<Inner>>, key: u64, deadline: Option<Instant>) -> Inner {
        let (cancelled, done, members) = (AtomicBool::new(false), OnceLock::new(), Mutex::default());
        Inner { parent, key, deadline, cancelled, done, members }
    }

    /// Marks the token as cancelled, with what runs under it, and adds its children to the list of those to be marked.
    /// Whether anything runs.
    fn mark(&self, list: &mut Vec<Arc<Inner>>) -> bool {
        let mut members = self.members.lock();
        if members.cancelled {
            return false;
        }
        members.cancelled = true;
        // Release: pairs with the Acquire of `is_cancelled`.
        self.cancelled.store(true, Ordering::Release);
        for run in members.runs.values() {
            // SAFETY: a listed scope is open.
            unsafe { run.scope.as_ref() }.mark_cancelled();
        }
        list.extend(members.children.values().filter_map(Weak::upgrade));
        !members.runs.is_empty()
    }

    /// Ends the waits of what runs under it.
    fn claim(&self, woken: &mut Vec<Wakeup>) {
        let members = self.members.lock();
        woken.extend(members.runs.values().filter_map(|run| {
            // SAFETY: a listed scope is open, so the one in it is alive.
            unsafe { Wakeup::cancelling(run.who, run.scope.as_ref().shields()) }
        }));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Ancestors that are freed with it are freed one by one, since there may be more of them than a stack has room for.
        let mut key = self.key;
        let mut parent = self.parent.take();
        while let Some(token) = parent {
            token.members.lock().children.remove(&key);
            key = token.key;
            parent = Arc::into_inner(token).and_then(|mut token| token.parent.take());
        }
    }
}

impl Token {
    /// A token without a deadline.
    pub fn new() -> Token {
        Token { inner: Arc::new(Inner::new(None, 0, None)) }
    }

    /// A token that is cancelled when `deadline` has come.
    #[doc(alias = "WithDeadline")]
    pub fn with_deadline(deadline: Instant) -> Token {
        Token { inner: Arc::new(Inner::new(None, 0, Some(deadline))) }
    }

    /// A token that is cancelled when `timeout` has passed from now.
    #[doc(alias = "WithTimeout")]
    pub fn with_timeout(timeout: Duration) -> Token {
        Token { inner: Arc::new(Inner::new(None, 0, park::deadline_in(timeout))) }
    }

    /// A token that is cancelled with this one, and can be by itself.
    ///
    /// # Examples
    /// ```
    /// use throng::cancel::Token;
    ///
    /// let server = Token::new();
    /// let (one, other) = (server.child(), server.child());
    /// one.cancel();
    /// assert!(one.is_cancelled() && !other.is_cancelled());
    /// server.cancel();
    /// assert!(other.is_cancelled());
    /// ```
    #[doc(alias = "WithCancel")]
    pub fn child(&self) -> Token {
        self.child_until(None)
    }

    /// A [`child`](Token::child) with a deadline of its own, which counts if it is earlier than this one's.
    pub fn child_with_deadline(&self, deadline: Instant) -> Token {
        self.child_until(Some(deadline))
    }

    /// A [`child`](Token::child) that has `timeout` from now.
    pub fn child_with_timeout(&self, timeout: Duration) -> Token {
        self.child_until(park::deadline_in(timeout))
    }

    fn child_until(&self, deadline: Option<Instant>) -> Token {
        let earlier = [self.inner.deadline, deadline].into_iter().flatten().min();
        let mut members = self.inner.members.lock();
        let key = members.next_key();
        let child = Token { inner: Arc::new(Inner::new(Some(Arc::clone(&self.inner)), key, earlier)) };
        if members.cancelled {
            child.inner.mark(&mut Vec::new());
        } else {
            members.children.insert(key, Arc::downgrade(&child.inner));
        }
        drop(members);
        child
    }

    /// Cancels the token and its children: what runs under them unwinds from its wait, or from its next one, and
    /// [`done`](Token::done) becomes ready.
    pub fn cancel(&self) {
        let mut tokens = vec![Arc::clone(&self.inner)];
        let (mut at, mut runs) = (0, false);
        while let Some(token) = tokens.get(at).map(Arc::clone) {
            current::step();
            runs |= token.mark(&mut tokens);
            at += 1;
        }
        if runs {
            asymmetric::heavy();
            let mut woken = Vec::new();
            tokens.iter().for_each(|token| token.claim(&mut woken));
            woken.into_iter().for_each(Wakeup::fire);
        }
        tokens.iter().filter_map(|token| token.done.get()).for_each(Receiver::end);
    }

    /// Whether the token was cancelled, or its deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        current::step();
        // Acquire: pairs with the Release of `mark`.
        self.inner.cancelled.load(Ordering::Acquire)
            || self.inner.deadline.is_some_and(|deadline| deadline <= park::now())
    }

    /// When it will be cancelled at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.inner.deadline
    }

    /// A channel that disconnects when the token is cancelled: for an arm of [`select!`](crate::select).
    ///
    /// It carries no message. A clone of it may outlive the token; it becomes ready no more then, but for a deadline.
    pub fn done(&self) -> &Receiver<()> {
        if let Some(done) = self.inner.done.get() {
            return done;
        }
        let done = self.inner.done.get_or_init(|| chan::until(self.inner.deadline));
        // A canceller that missed the channel has had the lock before.
        if self.inner.members.lock().cancelled {
            done.end();
        }
        done
    }

    /// Runs `f` as a scope that the token cancels.
    ///
    /// When that happens, `f` unwinds from the wait it is in, or from its next one. If it doesn't wait any more, it goes
    /// on to its end, and its result is returned. `f` begins even if the token is cancelled already.
    ///
    /// It is the caller that is in the scope: tasks that `f` spawns aren't. See [`Token::scope`] for those.
    ///
    /// # Errors
    /// [`Cancelled`], if `f` was unwound because of this token. Other unwinding goes on: panics, and cancellations of what
    /// lies further out.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use throng::cancel::Token;
    ///
    /// let token = Token::with_timeout(Duration::from_millis(5));
    /// assert!(token.run(|| throng::task::sleep(Duration::MAX)).is_err());
    /// assert_eq!(token.run(|| 5).unwrap(), 5);
    /// ```
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> Result<T, Cancelled> {
        interrupt::within(self.inner.deadline, |entered| {
            let _listed = Listed::new(&self.inner, entered);
            f()
        })
    }
}

impl panic::UnwindSafe for Token {}
impl panic::RefUnwindSafe for Token {}

impl Default for Token {
    fn default() -> Token {
        Token::new()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("cancelled", &self.is_cancelled())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;

    /// The race of a canceller against a child that is born.
    #[test]
    fn a_child_of_a_cancelled_token_is_cancelled() {
        loom::model(|| {
            let token = Token::new();
            let canceller = loom::thread::spawn({
                let token = token.clone();
                move || token.cancel()
            });
            let child = token.child();
            canceller.join().unwrap();
            assert!(child.is_cancelled());
        });
    }
}
