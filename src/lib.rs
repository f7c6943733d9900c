//! Green threads for plain blocking Rust.
//!
//! [`spawn`] starts a *task*: a thread of Throng's own, with a stack of its own, that costs about a page of memory.
//! A few kernel threads, the *workers*, run millions of them. A task that waits for a socket, a timer, a channel or another
//! task leaves its worker to the next one, and the code that does so is ordinary code: no `async`, no `await`, no pinning,
//! and any crate's loops over `Read` and `Write` as they are.
//!
//! # First steps
//! Tasks are made and joined as threads are. There is nothing to set up: the runtime starts when it is first needed.
//!
//! ```
//! use std::time::Duration;
//!
//! let handle = throng::spawn(|| {
//!     throng::task::sleep(Duration::from_millis(10));
//!     6 * 7
//! });
//! assert_eq!(handle.join().unwrap(), 42);
//!
//! // The tasks of a scope may borrow.
//! let words = ["any", "plain", "blocking", "code"];
//! let longest = throng::scope(|s| {
//!     let lengths = words.map(|word| s.spawn(|| word.len()));
//!     lengths.map(|length| length.join().unwrap()).into_iter().max()
//! });
//! assert_eq!(longest, Some(8));
//! ```
//!
//! They talk over channels, and [`select!`] waits for several at once:
//!
//! ```
//! use std::time::Duration;
//! use throng::chan::{after, bounded};
//!
//! let (sender, numbers) = bounded(4);
//! throng::spawn(move || (1..=10).try_for_each(|number| sender.send(number)));
//! let too_late = after(Duration::from_secs(60));
//!
//! let mut sum = 0;
//! loop {
//!     throng::select! {
//!         recv(numbers) -> number => match number {
//!             Ok(number) => sum += number,
//!             Err(_) => break, // the sender is gone, and the channel empty
//!         },
//!         recv(too_late) -> _ => panic!("that took a minute"),
//!     }
//! }
//! assert_eq!(sum, 55);
//! ```
//!
//! And they serve sockets, one task for each connection:
//!
//! ```
//! use std::io::{self, Read, Write};
//! use throng::net::{Shutdown, TcpListener, TcpStream};
//!
//! # fn main() -> io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! throng::spawn(move || {
//!     for stream in listener.incoming().flatten() {
//!         throng::spawn(move || io::copy(&mut &stream, &mut &stream));
//!     }
//! });
//!
//! let mut client = TcpStream::connect(address)?;
//! client.write_all(b"echo")?;
//! client.shutdown(Shutdown::Write)?;
//! let mut reply = String::new();
//! client.read_to_string(&mut reply)?;
//! assert_eq!(reply, "echo");
//! # Ok(())
//! # }
//! ```
//!
//! [`run`] makes the main program a task as well. It needn't be one, since everything here that waits works on a kernel
//! thread too, but tasks wake one another faster than they wake a thread. As with threads, the process ends when `main`
//! returns, whatever tasks still run.
//!
//! # What is where
//!
//! | module | holds | shaped like |
//! |---|---|---|
//! | the root | [`spawn`], [`JoinHandle`], [`fn@scope`], [`run`], [`select!`] | [`std::thread`] |
//! | [`task`] | names and stack sizes, [`sleep`](task::sleep), [`yield_now`](task::yield_now), [`park`](task::park), the [`current`](task::current) task | [`std::thread`] |
//! | [`chan`] | channels, bounded and unbounded, timers that are channels, [`Select`](chan::Select) | `crossbeam-channel` |
//! | [`sync`] | locks, condition variables, wait groups, semaphores, barriers, lazy values | `parking_lot`, [`std::sync`] |
//! | [`net`] | TCP, UDP and Unix sockets, name look-up | [`std::net`], [`std::os::unix::net`] |
//! | [`fs`] | files and directories | [`std::fs`] |
//! | [`future`] | [`block_on`](future::block_on): awaiting in plain code | |
//! | [`cancel`] | tokens, which cancel what runs under them; shields; tasks that end together | Go's `context`, Trio |
//! | [`time`] | [`sleep`](time::sleep); [`timeout`](time::timeout): a time limit around any code | |
//! | [`sim`] | tests under schedules that a seed names, and that come again with it | `shuttle` |
//! | [`runtime`] | settings of the global runtime; runtimes of one's own | |
//!
//! A program moves over from the model by changing its `use` lines: [`task`] stands for [`std::thread`], with [`spawn`] and
//! all else that is at the root. Each module says at its head what differs. Tasks and kernel threads mix at will: either end
//! of a channel, either side of a lock or a socket may be a task or a plain [`std::thread`]. A [`JoinHandle`] is also a
//! [`Future`], for code on an async executor, and [`future::block_on`] is the way back.
//!
//! # Workers
//! A worker is a kernel thread that runs tasks: by default there are as many as [`std::thread::available_parallelism`]
//! says, which knows of CPU quotas; [`build_global`](runtime::Builder::build_global) can say otherwise, and
//! [`set_workers`](runtime::Runtime::set_workers) changes it. Each has a queue; one that has nothing to do takes from the
//! others, and sleeps in the kernel when there is nothing to take. Tasks are switched where they wait and nowhere else, so
//! between two waits a task has its worker for itself.
//!
//! # Tasks that block or compute
//! A task that computes for long, or waits in the kernel behind Throng's back (for a lock of `std` that is held elsewhere, a
//! pipe, a slow file system, in [`std::thread::sleep`]) keeps its kernel thread, but holds nobody else up: a monitor
//! sees it, and another thread takes the worker's place. A thread that is asleep in the kernel is replaced after a fraction
//! of a millisecond, or a few where nothing blocked for long; one that runs on, after 10 ms. When the task comes back
//! there is a worker too many, and one retires.
//!
//! Nothing has to be done for that. But [`fn@blocking`] says beforehand that something blocks, and then it costs no time; the
//! files of [`fs`] do so by themselves:
//!
//! ```
//! let content = throng::run(|| throng::fs::read_to_string("/etc/hostname"));
//! let status = throng::run(|| throng::blocking(|| std::process::Command::new("true").status()));
//! # drop((content, status));
//! ```
//!
//! At most [`max_threads`](runtime::Builder::max_threads) threads are started for this, 512 if you don't say otherwise.
//! Beyond that tasks wait, and [a hook](runtime::Builder::on_shortage) says so once.
//!
//! # Stacks
//! A task's stack is address space, of which only the pages that were touched take memory. By default it has 256 KiB, and
//! 1 MiB in debug builds, whose frames are several times as large. That is plenty for ordinary code. Ask for more for deep
//! recursion or large arrays, for one task by [`task::Builder::stack_size`], for all of a runtime by
//! [`runtime::Builder::stack_size`]; for less there is hardly a reason, as it saves no memory, only page tables, and no
//! task gets less than 64 KiB, which leaves room for a panic with a backtrace. A task gets its stack when it first runs, and
//! one that ends gives it to the next, so short tasks share a few that are hot.
//!
//! Below each stack lies a guard, a page that can't be touched. A task that overflows its stack is reported, with its id
//! and name, the size of its stack, how to get a larger one, and, if `RUST_BACKTRACE` is set, a backtrace in which
//! repeated frames are folded; then the process aborts, as after the overflow of a thread of `std`'s. Rust's frames can't
//! jump over the guard, however large they are. Those of C can, unless it is compiled with `-fstack-clash-protection`.
//!
//! Throng handles SIGSEGV and SIGBUS for that. All faults that are no overflow of a task go to the handler that was
//! there when the first runtime started, `std`'s or the program's own. A handler that is installed later replaces
//! Throng's: it gets all faults first, and should pass on to its predecessor those that it doesn't know.
//!
//! # Panics and cancellation
//! A panic ends its task and no other. [`JoinHandle::join`] returns the payload, and [`run`] passes it on to the caller. A
//! [`fn@scope`] panics with a message of its own, as `std`'s does, if a task did that was not joined by hand. Locks are not
//! poisoned.
//!
//! [`JoinHandle::cancel`] asks a task to end: it unwinds from the wait it is in, or from its next one, and runs its
//! destructors. The same happens to the tasks of a [`Runtime`](runtime::Runtime) that is dropped. A
//! [`cancel::Token`] ends parts of many tasks like that, and [`time::timeout`] what takes too long:
//!
//! ```
//! use std::time::Duration;
//! use throng::time::timeout;
//!
//! let (_sender, numbers) = throng::chan::unbounded::<u32>();
//! let sum = timeout(Duration::from_millis(5), || numbers.iter().sum::<u32>());
//! assert!(sum.is_err());
//! ```
//!
//! With `panic = "abort"` a panic is the program's end, as ever, and so is a cancellation that meets a wait, since it has
//! to unwind. See [`cancel`](cancel#where-panics-abort) for what to use there.
//!
//! # Deadlocks
//! When every task waits, and nothing in the process is left that could wake one, [`run`] panics: the message says what
//! each task waits for, for how long, and where it was spawned. It is never a false alarm. See
//! [`runtime::OnDeadlock`].
//!
//! # What a task may not assume
//! A task may go on, after a wait, on another kernel thread than before, and other tasks ran on the old one meanwhile. What
//! belongs to a kernel thread should therefore not be held across a wait, though the compiler doesn't object:
//!
//! * a reference into a thread-local: in `KEY.with(|value| ..)` don't wait, nor while a `RefCell` in there is borrowed;
//! * what shares something with a thread-local, such as an `Rc` out of one: the handle that `rand::rng()` returns, a span of
//!   `tracing` that was entered;
//! * a guard that its thread must release: those of [`std::sync`] and of [`std::io::stdout`]'s lock.
//!
//! To move a task that holds such a thing can be undefined behaviour, although [`spawn`] is a safe function: it is a hole in what
//! Rust promises, which comes with tasks that have stacks and change threads. So before a task goes on on another thread its
//! stack is searched for what leads back to the one that it has left; where something does, it goes on there. This *migration
//! guard* sees most of the first two kinds, and not the third. [`Migration::BeforeFirstRun`](runtime::Migration) moves no
//! task that has begun, and [`task::pin`] keeps one on its thread. The repository's `docs/soundness.md` has all of it.
//!
//! [`std::thread::current`] and [`std::thread::park`] speak of the worker; [`task::current`] and [`task::park`] of the task.
//!
//! # Platforms
//! Linux on x86-64 and AArch64.

#[allow(unsafe_code)]
mod arch;
#[allow(unsafe_code)]
mod asymmetric;
mod awaited;
#[allow(unsafe_code)]
mod blocking;
pub mod cancel;
mod census;
pub mod chan;
mod chaos;
#[allow(unsafe_code)]
mod control;
#[allow(unsafe_code)]
mod current;
#[allow(unsafe_code)]
mod fiber;
pub mod fs;
pub mod future;
#[allow(unsafe_code)]
mod interrupt;
#[allow(unsafe_code)]
mod join;
#[allow(unsafe_code)]
mod lock;
pub mod net;
mod netpoll;
#[allow(unsafe_code)]
mod overflow;
#[allow(unsafe_code)]
mod park;
mod primitive;
mod procfs;
mod report;
mod rng;
#[allow(unsafe_code)]
pub mod runtime;
#[allow(unsafe_code)]
mod scheduler;
#[allow(unsafe_code)]
mod scope;
#[allow(unsafe_code)]
pub mod sim;
#[allow(unsafe_code)]
mod stack;
pub mod sync;
pub mod task;
pub mod time;
#[allow(unsafe_code)]
mod timer;
#[allow(unsafe_code)]
mod tls;
#[allow(unsafe_code)]
mod wait;

pub use crate::blocking::blocking;
pub use crate::join::JoinHandle;
pub use crate::runtime::{run, spawn};
pub use crate::scope::{Scope, ScopedJoinHandle, scope};

/// Runs the README's examples with the doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
