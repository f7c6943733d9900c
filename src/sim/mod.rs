//! A simulator: programs under every schedule that a seed can name.
//!
//! A test of concurrent code that runs a million times on a real machine sees a few schedules a million times. Here one
//! kernel thread runs all tasks, and a generator of random numbers decides at each step who goes next: so each seed is an
//! execution, the same one each time, and a thousand seeds are nearly a thousand different ones. What fails once fails
//! again with its seed.
//!
//! ```
//! use std::sync::Arc;
//! use throng::sync::Mutex;
//! use throng::{sim, spawn};
//!
//! # let payload = std::panic::catch_unwind(|| {
//! sim::check(|| {
//!     let total = Arc::new(Mutex::new(0));
//!     let add = |total: Arc<Mutex<u32>>| {
//!         let before = *total.lock();
//!         // Another task may come in here, which hardly ever happens.
//!         *total.lock() = before + 1;
//!     };
//!     let other = Arc::clone(&total);
//!     let task = spawn(move || add(other));
//!     add(Arc::clone(&total));
//!     task.join().unwrap();
//!     assert_eq!(*total.lock(), 2);
//! });
//! # });
//! // task 1 panicked: assertion `left == right` failed ..
//! //   in a simulation: seed 3, a random walk, 19 steps; to see it again, run this test alone with THRONG_SEED=3
//! // ..
//! # let text = payload.unwrap_err().downcast::<String>().unwrap();
//! # assert!(text.contains("in a simulation: seed"), "{text}");
//! ```
//!
//! The code under test is as ever: whatever a simulated task calls of this crate works in the simulation, tasks that it
//! spawns are simulated, and time is virtual. `docs/testing.md` in the repository shows how to go about it.
//!
//! # What happens in an execution
//! * **A step** ends where a task waits, yields or ends, and, as [`Switches`] says, before each operation of a channel, a
//!   lock, a token and so on, when a lock has been taken, and when somebody was woken or spawned. What only looks (`len`,
//!   `is_finished`) is an operation too, and so is the drop that others notice: of a guard, of the last sender. Then one of
//!   the tasks that can go on is chosen, by one of two [strategies](Strategy), which the seed picks as well.
//! * **Time** stands still while any task can go on; then it jumps to the next timer. An hour's sleep takes no time, what
//!   is further off than 584 years never comes, and timers go off in the order of their deadlines. When several are due at
//!   once, and so whether a message or a time limit comes first, is for the strategy to choose. [`time::now`](crate::time::now)
//!   tells the virtual time. `Instant::now` can't: a deadline made of it is right as long as no virtual time has passed.
//! * **What the library draws**, such as the arm that a `select!` takes, goes by the seed too.
//! * **It ends** with the root task. Other tasks are then cancelled, as when a [`Runtime`](crate::runtime::Runtime) is
//!   dropped: join what is to be seen to its end.
//!
//! # What fails
//! See [`Cause`]: the root's panic, and that of a task whose handle was dropped without a look at its result (what is
//! joined, or belongs to a [scope](crate::scope), is the joiner's business); a deadlock, with the report of who waits for
//! what; more steps than [allowed](Check::steps). And [`check`] runs each seed twice: if the second run takes another way,
//! the program doesn't go by the seed, and to be simulated it would have to. (If a third run goes as the second did, it was
//! something that is initialised once in a process, and is let pass.)
//!
//! # What it can't find
//! * Nothing that happens between two steps. A task that reads and writes an atomic of its own without calling anything
//!   here does so in one go: put a [`yield_now`](crate::task::yield_now) between.
//! * Nothing of weak memory: there is one kernel thread, so every task sees what the others wrote before it. That is what
//!   [loom](https://github.com/tokio-rs/loom) is for.
//! * No deadlock that a timer, or a task that goes round and round, keeps company; but for the bound on the steps.
//! * It proves nothing: it tries the schedules of some seeds.
//!
//! # What it can't run
//! What depends on the system or on other kernel threads doesn't go by the seed: sockets, [`blocking`](crate::blocking)
//! sections, [runtimes](crate::runtime::Runtime) of one's own. Such a call panics and says so. A kernel thread outside may use
//! the channels and locks that it shares with simulated tasks, but when it wakes one the execution fails; and nobody waits
//! for it: if all tasks wait, that is a deadlock. Two more things, which only having one kernel thread does:
//!
//! * Whoever waits behind the simulator's back waits for ever: for a lock of [`std::sync`] that another task holds, or in a
//!   loop that only spins. See [`Switches::WhereTasksWait`].
//! * `std` counts panics by the thread, so a task that unwinds, be it for a panic or a cancellation, can't leave the thread
//!   to others: these would find themselves panicking, and take a `std` lock's poison or a destructor's other branch for it.
//!   If it has to wait in a destructor, the execution fails with [`Cause::Unwinding`].
//!
//! # Why the same seed gives the same execution
//! There is one kernel thread, and it switches where the simulator says. Whatever is chosen is drawn from generators that
//! begin with the seed. Tasks are numbered in the order in which they are spawned, which gives them their ids, too, and those
//! that can run are kept in the order of their numbers. Whoever wakes several does so in an order that comes from no address:
//! a wake-up is a step, so it makes a difference who is first. Timers are in the order of their deadlines, then of their
//! arming. The real clock is read once, for the origin of virtual time, and only differences count.
//!
//! # Tried and rejected
//! * *Switching at wake-ups and waits alone.* A lock that is free is taken without either, so two tasks never met in a
//!   critical section, and the lost update above was never found.
//! * *Timers that go off while tasks can still go on*, as they might on a machine that is busy elsewhere. It finds code that
//!   counts on being quick, but calls most tests with a time limit wrong.
//! * *Another kernel thread for the others while one waits as it unwinds*, which is how the real runtime does it. They would
//!   have to be moved there in the middle of what they do: the root, whose closure need not be `Send`, and whoever
//!   has come by the address of a thread-local. And `thread_local!`s, which go by the seed as long as there is one thread,
//!   no longer would. To take `std`'s count back for a while isn't possible: there is no way to lower it but to catch.
//! * *Borrowing closures.* An execution that fails may leave a task behind that can't be unwound. Nobody resumes it, but a
//!   thread to which it has lent something goes on; so what it has must not end.

mod check;
mod core;
mod failure;
mod log;
mod simulator;
mod strategy;
mod timers;

pub use check::{Check, Switches};
pub use failure::{Cause, Failure};
pub(crate) use simulator::Simulator;
pub use strategy::Strategy;

use crate::current;

/// Runs `f` once, as the root task of a simulation with this seed and the settings of [`Check::new`].
///
/// For a program whose seed is known to fail, or one that is to be the same each time.
///
/// # Panics
/// If it fails, with the text of the [`Failure`]; and as [`Check::run`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use throng::chan::unbounded;
/// use throng::{sim, spawn, task};
///
/// let order = || {
///     let (s, r) = unbounded();
///     for name in ["sun", "moon", "star"] {
///         let s = s.clone();
///         spawn(move || s.send(name).unwrap());
///     }
///     drop(s);
///     task::sleep(Duration::from_secs(3600));
///     r.iter().collect::<Vec<_>>()
/// };
/// assert_eq!(sim::run(7, order), sim::run(7, order));
/// ```
#[track_caller]
pub fn run<T: 'static>(seed: u64, f: impl FnOnce() -> T + 'static) -> T {
    match Check::new().run(seed, f) {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

/// Runs `f` with a thousand seeds, twice each; see the [module](self). [`Check`] has more to choose from.
///
/// If the environment has a `THRONG_SEED`, that seed alone is run.
///
/// # Panics
/// At the first failure, with its text; and as [`Check::search`].
#[track_caller]
pub fn check(f: impl Fn() + 'static) {
    Check::new().check(f);
}

/// Panics if a simulated task calls.
#[inline]
#[track_caller]
pub(crate) fn refuse_if_simulated(call: &str, instead: &str) {
    if current::may_be_simulated() && current::simulated().is_some() && !std::thread::panicking() {
        refuse(call, instead);
    }
}

#[cold]
#[track_caller]
fn refuse(call: &str, instead: &str) -> ! {
    panic!(
        "{call} can't be called in a simulation, where all that happens must go by the seed: what the system and other \
         kernel threads do doesn't; {instead} instead"
    )
}
