//! How a cancellation ends a wait: the unwinding, where it stops, and what holds it off.
//!
//! The unwinding is a panic in all but name: destructors run, `catch_unwind` sees it; but the panic hook doesn't. Its
//! payload names what it is for (see [`control::Target`](crate::control::Target)): a scope, which stops it and no other
//! does, or the task as a whole, whose [`join`](crate::JoinHandle::join) yields it.
//!
//! While the participant unwinds, for this or from a panic, it isn't cancelled: a second unwinding out of a destructor
//! would abort the process. `park` sees to that.
//!
//! # Where panics abort
//! A program that is built with `panic = "abort"` can't unwind. There the first cancellation that meets a wait is a panic
//! in name too, whose message says what is wrong. Rejected: to let such a wait go on, since a time limit that silently
//! isn't one, or a runtime whose drop never returns, is the worse error; and to abandon a cancelled task where it
//! stands, since then the locks that it holds stay locked, and the tasks of its scopes go on without it.

use crate::control::{Participant, Scope, Target, ThreadParker};
use crate::current;
use std::any::Any;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::time::Instant;

/// What a cancelled task unwinds with, and [`join`](crate::JoinHandle::join) returns for it as the payload; also the error
/// of [`Token::run`](crate::cancel::Token::run).
///
/// Code that catches panics should pass this one on, by [`resume_unwind`](std::panic::resume_unwind). If it doesn't, the
/// next wait unwinds again.
///
/// ```
/// use std::panic::{catch_unwind, resume_unwind};
/// use throng::cancel::Cancelled;
///
/// fn attempt(job: fn()) {
///     match catch_unwind(job) {
///         Err(payload) if payload.is::<Cancelled>() => resume_unwind(payload),
///         Err(_) => println!("the job panicked"),
///         Ok(()) => println!("the job is done"),
///     }
/// }
/// # attempt(|| ());
/// ```
#[derive(Clone, Copy)]
pub struct Cancelled(Target);

impl Cancelled {
    /// The payload of a task that is cancelled as a whole.
    pub(crate) fn payload() -> Box<dyn Any + Send> {
        Box::new(Cancelled(Target::WHOLE))
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled")
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == Target::WHOLE { "the task was cancelled" } else { "cancelled" })
    }
}

impl std::error::Error for Cancelled {}

/// Whether the caller's next wait would unwind, and for what.
fn target() -> Option<Target> {
    if std::thread::panicking() {
        return None;
    }
    let who = current::cancellable()?;
    // SAFETY: it is the caller, which is in this frame.
    let scopes = unsafe { who.scopes() };
    // SAFETY: as above.
    if scopes.are_quiet() { None } else { scopes.target(|| unsafe { who.now() }) }
}

/// Unwinds the cancelled caller, after its wait has been tidied up.
#[cold]
pub(crate) fn unwind() -> ! {
    // Or one that catches it, and waits again, would never come to a step.
    current::step();
    let target = target();
    debug_assert!(target.is_some(), "nothing is cancelled");
    if cfg!(panic = "abort") {
        panic!(
            "a wait was cancelled (by a time limit, a token, a handle, a deadlock, or the end of a runtime), which has to \
             unwind, but this program is built with `panic = \"abort\"`: build it with `panic = \"unwind\"`, or use what is not \
             cancelled but asks or returns, such as `recv_timeout`, `set_read_timeout`, or `Token::done` in a `select!`"
        );
    }
    panic::resume_unwind(Box::new(Cancelled(target.unwrap_or(Target::WHOLE))))
}

/// Whether the code that calls has been cancelled: its next wait would unwind.
///
/// `false` where it wouldn't: in a [`shield`](crate::cancel::shield), and while the caller unwinds already. So a destructor can't
/// tell by it why it runs.
pub fn is_cancelled() -> bool {
    current::step();
    target().is_some()
}

/// Unwinds if the code that calls has been [cancelled](is_cancelled): a wait that never waits, for long computations.
///
/// [`task::yield_now`](crate::task::yield_now) does the same, and lets others run.
///
/// ```
/// use throng::cancel;
///
/// let handle = throng::spawn(|| {
///     for step in 0_u64.. {
///         if step % 1000 == 0 {
///             cancel::check();
///         }
///     }
/// });
/// handle.cancel();
/// assert!(handle.join().unwrap_err().is::<cancel::Cancelled>());
/// ```
pub fn check() {
    if is_cancelled() {
        unwind();
    }
}

/// A scope or a shield that is entered, and who is in it. A thread's parker goes with the last of these that it leaves, which
/// is the first that it has entered, unless another crate's coroutine is in one.
struct Inside<'a> {
    who: Participant,
    scope: &'a Scope,
}

impl<'a> Inside<'a> {
    /// `who` is the caller.
    fn enter(who: Participant, scope: &'a Scope) -> Inside<'a> {
        // SAFETY: it is the caller. The scope stays where it is while it is borrowed, and is left by the drop.
        unsafe { who.scopes().enter(scope) };
        Inside { who, scope }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // SAFETY: it is the caller, which is inside.
        let scopes = unsafe { self.who.scopes() };
        scopes.leave(self.scope);
        if let Participant::Thread(parker) = self.who
            && scopes.is_empty()
        {
            // SAFETY: `within` has leaked it, and nothing leads to it once it is cleared.
            unsafe {
                current::set_thread_parker(ptr::null());
                drop(Box::from_raw(parker.as_ptr()));
            }
        }
    }
}

/// Runs `f` with cancellation held off: no wait in it ends as cancelled, but for a scope that is opened in it.
pub(crate) fn shielded<R>(f: impl FnOnce() -> R) -> R {
    let shield = Scope::shield();
    // A thread that is in no scope needs none.
    let _inside = current::cancellable().map(|who| Inside::enter(who, &shield));
    f()
}

/// A scope that is open, and who is in it.
pub(crate) struct Entered<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) who: Participant,
}

/// Runs `f` in a cancel scope. Fails if `f` was unwound for the scope's sake; any other unwinding goes on.
pub(crate) fn within<T>(deadline: Option<Instant>, f: impl FnOnce(Entered<'_>) -> T) -> Result<T, Cancelled> {
    enter(current::cancellable().unwrap_or_else(thread), deadline, f)
}

/// A thread that is in no scope yet.
#[cold]
fn thread() -> Participant {
    let parker = NonNull::from(Box::leak(Box::new(ThreadParker::new())));
    // SAFETY: `Inside` clears it before the parker goes.
    unsafe { current::set_thread_parker(parker.as_ptr()) };
    Participant::Thread(parker)
}

fn enter<T>(who: Participant, deadline: Option<Instant>, f: impl FnOnce(Entered<'_>) -> T) -> Result<T, Cancelled> {
    let scope = Scope::new(deadline);
    let _inside = Inside::enter(who, &scope);
    let payload = match panic::catch_unwind(AssertUnwindSafe(|| f(Entered { scope: &scope, who }))) {
        Ok(value) => return Ok(value),
        Err(payload) => payload,
    };
    match payload.downcast_ref::<Cancelled>() {
        // The second condition is for a payload that was kept and is resumed late: its scope may be gone, and another be
        // in its place.
        // SAFETY: it is the caller, who is in this frame.
        Some(cancelled) if cancelled.0 == scope.target() && scope.is_over(|| unsafe { who.now() }) => Err(*cancelled),
        _ => panic::resume_unwind(payload),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// As a coroutine leaves them.
    #[test]
    fn a_threads_parker_goes_with_the_last_scope_or_shield() {
        let who = thread();
        let entered = [Scope::new(None), Scope::new(None), Scope::shield()];
        let [outer, inner, shield] = entered.each_ref().map(|scope| Inside::enter(who, scope));
        drop(outer);
        drop(inner);
        assert!(current::thread_parker().is_some());
        drop(shield);
        assert!(current::thread_parker().is_none());
    }
}
