//! Cancellation: ending what waits, in good order.
//!
//! Nothing is killed. Code that was cancelled *unwinds from its next wait, or from the one it is in*, as if that wait had
//! panicked: destructors run, guards are released, a half-done `select!` gives back what it had reserved. There is no
//! message, since the panic hook isn't called. Whatever waits in this crate is such a wait: channels, locks, sockets,
//! `sleep`, `join`.
//!
//! How far it unwinds depends on what was cancelled:
//!
//! | what | by | unwinds to | which returns |
//! |---|---|---|---|
//! | a task | [`JoinHandle::cancel`], a runtime that is dropped | the task's end | an error of [`join`], with a [`Cancelled`] as its payload |
//! | a scope | [`Token::cancel`], a deadline | [`Token::run`], [`Token::scope`] | [`Cancelled`] |
//! | a time-out | its deadline | [`timeout`](crate::time::timeout) | [`Elapsed`](crate::time::Elapsed) |
//!
//! Scopes nest, and each takes what is meant for it and passes on what is meant for one further out. If several are
//! over at one time, the outermost counts.
//!
//! ```
//! use std::time::Duration;
//! use throng::cancel::Token;
//! use throng::chan::unbounded;
//!
//! let token = Token::new();
//! let (sender, inbox) = unbounded::<String>();
//! let reader = throng::spawn({
//!     let token = token.clone();
//!     move || {
//!         let mut lines = 0;
//!         // What is inside needs to know nothing of the token.
//!         let _ = token.run(|| inbox.iter().for_each(|_line| lines += 1));
//!         lines
//!     }
//! });
//! sender.send("one line".to_string()).unwrap();
//! while !sender.is_empty() {
//!     throng::task::sleep(Duration::from_millis(1));
//! }
//! token.cancel();
//! assert_eq!(reader.join().unwrap(), 1);
//! ```
//!
//! # What a cancelled wait leaves behind
//! The waiter leaves every queue it stood in. A wake-up or a message that came at the same moment is passed on to the
//! next in line: a message is either received or still in the channel, a permit taken or still there. A mutex that was
//! being waited for isn't held; a [`Condvar`](crate::sync::Condvar)'s mutex is, while the guard's destructor runs.
//!
//! # What isn't interrupted
//! * Code that doesn't wait. Call [`check`] in long computations.
//! * Waits that don't know of this crate: `std`'s locks, files, `std::thread::sleep`.
//! * [`shield`]ed code, and destructors that run while their task unwinds already, be it from a panic; those of what a task
//!   holds that never began, at its runtime's end.
//! * [`ReentrantMutex::lock`](crate::sync::ReentrantMutex), and the locking again after
//!   [`MutexGuard::unlocked`](crate::sync::MutexGuard) and its like; neither can unwind.
//! * A [`scope`](crate::scope())'s wait for its tasks, and [`run`](crate::run)'s on a thread: both must see them end.
//!   [`Token::scope`] passes the cancellation on to them.
//!
//! After a caught unwinding the next wait unwinds again, for as long as the code is in what was cancelled.
//!
//! What reacts to panics reacts to this unwinding as well: [`std::thread::panicking`] is true in its destructors, and a lock
//! of `std`'s that is held is poisoned.
//!
//! # Where panics abort
//! With `panic = "abort"` nothing unwinds. There the first wait that is cancelled, or that a time limit ends, is a panic
//! that says so, and with it the program's end. What works there is what asks or returns: `recv_timeout`,
//! `set_read_timeout`, [`is_cancelled`], [`Token::done`] as an arm of a `select!`. A
//! [`Runtime`](crate::runtime::Runtime) whose tasks still wait mustn't be dropped: join them, or keep it with
//! [`std::mem::forget`].
//!
//! # Threads and futures
//! [`Token::run`], [`Token::scope`], [`timeout`](crate::time::timeout) and [`shield`] work on a plain thread as in a task,
//! and end the same waits there; the one exception is [`task::park`](crate::task::park), which is `std`'s there. A thread
//! as a whole can't be cancelled. A future is cancelled by dropping it; it can await
//! [`done`](Token::done)'s [`recv_async`](crate::chan::Receiver::recv_async).
//!
//! [`JoinHandle::cancel`]: crate::JoinHandle::cancel
//! [`join`]: crate::JoinHandle::join

#[allow(unsafe_code)]
mod token;

pub use self::token::Token;
pub use crate::interrupt::{Cancelled, check, is_cancelled};

/// Runs `f` with cancellation held off: no wait in it is ended from outside.
///
/// Deadlines count as outside too. What is opened inside, such as a [`timeout`](crate::time::timeout), works as ever; so
/// a shield should have one, or else do little, since a runtime that is dropped waits for it. When it is over, the next
/// wait unwinds.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throng::cancel::{self, Token};
/// use throng::chan::bounded;
/// use throng::time::timeout;
///
/// let (goodbye, heard) = bounded(0);
/// let token = Token::new();
/// token.cancel();
/// throng::spawn(move || {
///     let _ = token.run(|| {
///         cancel::shield(|| {
///             // Up to a second for it, cancelled or not.
///             let _ = timeout(Duration::from_secs(1), || goodbye.send("bye"));
///         });
///         throng::task::park(); // unwinds
///         unreachable!();
///     });
/// });
/// assert_eq!(heard.recv(), Ok("bye"));
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    crate::interrupt::shielded(f)
}
