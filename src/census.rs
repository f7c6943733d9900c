//! What every kernel thread of the process does, as the kernel tells it: can any of them still do something by itself?
//!
//! A task that waits is woken by code, and code runs on a kernel thread. So a process in which no kernel thread will ever
//! run again is one in which nobody is ever woken again. The kernel says in `/proc/self/task/*/syscall` which system call
//! a sleeping thread is in, and with which arguments. A thread is *still* if it sleeps
//!
//! * on a futex in memory of this process's own, without a time limit: only code of this process can end that. (All of
//!   `std`, `parking_lot`, the C library, and therefore this crate's workers and its waits on plain threads sleep so); or
//! * however it likes to, in [`Member::rest`]: a thread of the crate's own that on waking by itself only finds out whether
//!   there is something for it to do. The caller says whether there is.
//!
//! Every other thread may move: one that runs, that sleeps for a time, that is in a `read` or in a poller of its own.
//!
//! # One moment for all of them
//! Threads are looked at one after the other, and one that was seen asleep may be woken by one that is looked at later. So
//! there are two rounds. If a thread was asleep in both, and the kernel's count of how often it went to sleep is the
//! same, it slept all the time in between: it can't have run without going to sleep again, and the second count is read
//! after it was seen asleep again. All those stretches share the moment between the rounds. At that moment every thread
//! of the process was asleep but for the caller.
//!
//! * **A thread that isn't in the list** because it was started while the directory was read. At that moment the kernel's
//!   number of threads is asked for. All those in the list were alive then, as they were still there afterwards; so if the
//!   number is theirs there was no other.
//! * **A helper** of the crate's, which looks after the others now and then, so that it would hardly ever be asleep for as
//!   long as the rounds take. For it, it is enough that it rests at that moment, *after* the caller has said that there is
//!   nothing to do. What it had taken in hand before, it has dealt with before it rested: it has woken a worker, which
//!   the second round sees awake, or to have been. And after that there is nothing that it could take.
//! * **Woken, but not running yet** on a busy machine: the kernel doesn't call that asleep, it says `running`.
//! * **About to sleep**: the kernel doesn't call it asleep until it has left its processor.
//!
//! # What else could wake somebody
//! * **A signal handler.** It may do nothing with a task: nothing of this crate may be called in one. But it may wake a
//!   thread that waits for a `sem_t`, which sleeps on a futex too. So where a handler is installed for a signal that isn't
//!   a fault, threads are only trusted that are in waits of this crate, which are counted for that.
//! * **Another process**, over a socket, a pipe, a descriptor: somebody waits for that in a system call that isn't a futex's,
//!   or in a poller, which the scheduler knows of. Over shared memory: its futexes are not trusted.
//!   (A process that shares all of this one's memory without being its thread is beyond this. A `vfork` makes one, but the
//!   thread that called it waits for it in that call.)
//! * **The kernel**: timers end a sleep, send a signal, or are read from a descriptor, for all of which see above. Rings of
//!   `io_uring` are waited for in a system call of their own, or by a descriptor. (A ring can be told to wake a futex by itself
//!   after some time. No waker is made of that as far as we know; for one that is, this would be wrong.)
//! * **A debugger** that calls functions is beyond this.
//!
//! # Tried and rejected
//! Counting the process's threads, and comparing with those that are known to wait here. It proves nothing where a single
//! thread waits for a lock of `std` or in a `join`, as the main thread of many programs does; and a count is no moment.

use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{AtomicBool, Ordering, StaticAtomicU64, fence};
use crate::procfs;
use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;

/// The crate's own kernel threads.
static MEMBERS: Mutex<Vec<Arc<Entry>>> = Mutex::new(Vec::new());

/// How many kernel threads that run no tasks are in a wait of this crate without a time limit.
static WAITING: StaticAtomicU64 = StaticAtomicU64::new(0);

struct Entry {
    thread: u32,
    /// Doesn't run tasks, but looks after those who do.
    helps: bool,
    rests: Rests,
}

/// Whether a thread rests.
struct Rests(AtomicBool);

impl Rests {
    fn new() -> Rests {
        Rests(AtomicBool::new(false))
    }

    fn during<R>(&self, sleep: impl FnOnce() -> R) -> R {
        // For a helper. (Any other thread is asleep when this is read, and the kernel has ordered that.)
        // Release: what it did before is seen by whoever sees it rest. Pairs with the Acquire load of `is_so_after`.
        self.0.store(true, Ordering::Release);
        let result = sleep();
        self.0.store(false, Ordering::Relaxed);
        // Release: whoever sees that something was taken away after this doesn't see it rest. Pairs with the Acquire fence of
        // `is_so_after`.
        fence(Ordering::Release);
        result
    }

    /// For one who has just seen that there is nothing to do: whether it rests, and not only from before it took that away.
    fn is_so_after(&self) -> bool {
        // Acquire (both): pair with the Releases of `during`.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Acquire)
    }

    /// For one who has seen it asleep.
    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// That the calling kernel thread is one of the crate's own, for as long as this lives.
pub(crate) struct Member(Arc<Entry>);

impl Member {
    pub(crate) fn enter() -> Member {
        Member::new(false)
    }

    /// That it is one which wakes up now and then to see whether there is something to do.
    pub(crate) fn enter_as_helper() -> Member {
        Member::new(true)
    }

    fn new(helps: bool) -> Member {
        // Without `/proc` no name is known, and none is needed.
        let thread = procfs::current_thread().unwrap_or(0);
        let entry = Arc::new(Entry { thread, helps, rests: Rests::new() });
        MEMBERS.lock().push(Arc::clone(&entry));
        Member(entry)
    }

    /// Runs `sleep`, which sleeps and does nothing else: after it, the thread doesn't go on with anything that it has begun,
    /// but looks for something to do.
    pub(crate) fn rest<R>(&self, sleep: impl FnOnce() -> R) -> R {
        self.0.rests.during(sleep)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        MEMBERS.lock().retain(|entry| !Arc::ptr_eq(entry, &self.0));
    }
}

/// A wait without a time limit, on a kernel thread that runs no tasks.
pub(crate) struct Waiting(());

impl Waiting {
    pub(crate) fn begin() -> Waiting {
        // Relaxed (both): as for a thread that rests, the kernel has ordered it with the sleep that is seen.
        WAITING.fetch_add(1, Ordering::Relaxed);
        Waiting(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why it isn't certain that nothing moves.
#[derive(Debug)]
pub(crate) enum Doubt {
    /// The kernel doesn't say.
    Unknown(io::Error),
    /// So many threads may move; the name of one, and what it does.
    Threads { count: usize, example: String },
    /// So many threads wait for what a signal handler might give them.
    Signals { count: usize },
    /// Something has just moved.
    Moving,
    /// Another one looks.
    Taken,
}

impl From<io::Error> for Doubt {
    fn from(error: io::Error) -> Doubt {
        Doubt::Unknown(error)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::Unknown(error) => write!(f, "the kernel doesn't say what the process's threads do: {error}"),
            Doubt::Threads { count: 1, example } => {
                write!(f, "1 kernel thread that doesn't rest could still wake a task: {example}")
            }
            Doubt::Threads { count, example } => {
                write!(f, "{count} kernel threads that don't rest could still wake a task; one of them, {example}")
            }
            Doubt::Signals { count } => {
                let s = if *count == 1 { "" } else { "s" };
                write!(f, "a signal handler could still wake {count} kernel thread{s}, which could wake a task")
            }
            Doubt::Moving | Doubt::Taken => f.write_str("something is moving"),
        }
    }
}

/// Calls `act` if there was a moment at which no kernel thread of the process, but for the caller, could ever move again
/// by itself, and `confirm`, which is called at that moment, returned something for `act`. One caller at a time gets so
/// far, so that what `act` moves the next one sees moving. To be called by a [`Member`].
pub(crate) fn when_still<T>(confirm: impl FnOnce() -> Option<T>, act: impl FnOnce(T)) -> Result<(), Doubt> {
    let Some(_alone) = LOOKING.try_lock() else { return Err(Doubt::Taken) };
    let threads = Threads::list()?;
    let before = round(&threads)?;
    // In this order: see the head of this file. A helper that rests is alive, and so was when the threads were counted.
    let process = Process::read()?;
    let strangers = before.iter().filter(|thread| !thread.rests).count();
    // Relaxed: see `Waiting`. Read once: it may have moved since.
    let known = WAITING.load(Ordering::Relaxed) as usize;
    if process.threads != threads.others.len() + 1 {
        return Err(Doubt::Moving);
    }
    if process.catches && strangers > known {
        return Err(Doubt::Signals { count: strangers - known });
    }
    let Some(confirmed) = confirm() else { return Err(Doubt::Moving) };
    if !threads.helpers().all(|helper| helper.rests.is_so_after()) {
        return Err(Doubt::Moving);
    }
    if before != round(&threads)? {
        return Err(Doubt::Moving);
    }
    act(confirmed);
    Ok(())
}

/// Held by the one that looks: two that look at the same time would only see each other move.
static LOOKING: Mutex<()> = Mutex::new(());

/// Whether a thread that is neither the crate's own nor the caller's could move, as things are now.
pub(crate) fn doubt() -> Result<(), Doubt> {
    let mut threads = Threads::list()?;
    threads.others.retain(|&thread| !threads.members.iter().any(|member| member.thread == thread));
    let strangers = round(&threads)?.len();
    let known = WAITING.load(Ordering::Relaxed) as usize;
    if strangers > known && Process::read()?.catches {
        return Err(Doubt::Signals { count: strangers - known });
    }
    Ok(())
}

struct Threads {
    /// All but the caller.
    others: Vec<u32>,
    members: Vec<Arc<Entry>>,
}

impl Threads {
    /// Those among them that help.
    fn helpers(&self) -> impl Iterator<Item = &Entry> {
        self.members
            .iter()
            .map(|member| &**member)
            .filter(|member| member.helps && self.others.contains(&member.thread))
    }

    fn list() -> Result<Threads, Doubt> {
        let me = procfs::current_thread()?;
        let members = MEMBERS.lock().clone();
        let mut others = procfs::threads()?;
        others.retain(|&thread| thread != me);
        others.sort_unstable();
        Ok(Threads { others, members })
    }
}

/// A thread that is asleep, and may be until the end of time.
#[derive(PartialEq, Eq)]
struct Still {
    thread: u32,
    rests: bool,
    /// How often it has gone to sleep.
    sleeps: u64,
}

/// Looks at each of them, but for helpers. Fails if there is one that may move.
fn round(threads: &Threads) -> Result<Vec<Still>, Doubt> {
    let mut still = Vec::with_capacity(threads.others.len());
    let mut count = 0;
    let mut example = None;
    for &thread in &threads.others {
        if threads.helpers().any(|helper| helper.thread == thread) {
            continue;
        }
        let call = read(thread, "syscall")?;
        // After the call; see the head of this file. The member's mark is read after that: it doesn't change in its sleep.
        let status = read(thread, "status")?;
        let sleeps = field(&status, "voluntary_ctxt_switches:")?;
        let rests = threads.members.iter().any(|member| member.thread == thread && member.rests.is_so());
        let call = Call::parse(&call);
        let is_still = match call {
            Call::Futex { .. } | Call::Epoll if rests => true,
            Call::Futex { address, private, for_ever: true } => private || is_own_memory(address)?,
            _ => false,
        };
        if is_still {
            still.push(Still { thread, rests, sleeps });
        } else {
            count += 1;
            example.get_or_insert_with(|| {
                let name = status.lines().next().and_then(|line| line.strip_prefix("Name:")).unwrap_or("").trim();
                format!("`{name}` (thread {thread}) {call}")
            });
        }
    }
    match example {
        None => Ok(still),
        Some(example) => Err(Doubt::Threads { count, example }),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Call {
    Running,
    Futex {
        address: u64,
        private: bool,
        for_ever: bool,
    },
    /// An `epoll_wait`.
    Epoll,
    Other(i64),
}

impl Call {
    /// `running`, or the number of the call and its six arguments; -1 if it sleeps in no call.
    fn parse(line: &str) -> Call {
        const PRIVATE: u64 = libc::FUTEX_PRIVATE_FLAG as u64;
        const NO_MATTER: u64 = PRIVATE | libc::FUTEX_CLOCK_REALTIME as u64;
        const WAITS: [u64; 2] = [libc::FUTEX_WAIT as u64, libc::FUTEX_WAIT_BITSET as u64];
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(number)) = words.next().map(str::parse::<i64>) else { return Call::Running };
        let argument = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let arguments: Vec<u64> = words.map_while(argument).collect();
        match (number, &arguments[..]) {
            (libc::SYS_futex, &[address, operation, _, limit, ..]) if WAITS.contains(&(operation & !NO_MATTER)) => {
                Call::Futex { address, private: operation & PRIVATE != 0, for_ever: limit == 0 }
            }
            #[cfg(target_arch = "x86_64")]
            (libc::SYS_epoll_wait, _) => Call::Epoll,
            (libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2, _) => Call::Epoll,
            _ => Call::Other(number),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Running | Call::Other(..0) => f.write_str("runs"),
            Call::Futex { for_ever: false, .. } => f.write_str("sleeps for a limited time"),
            Call::Futex { .. } => f.write_str("waits for something in shared memory"),
            Call::Epoll => f.write_str("waits for descriptors"),
            Call::Other(number) => write!(f, "is in system call {number}"),
        }
    }
}

/// Whether no other process can have this memory: `pthread_join` waits there as if one could.
fn is_own_memory(address: u64) -> Result<bool, Doubt> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let is_own = |line: &str| {
        // `7f1e00000000-7f1e00021000 rw-p ..`
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some((number(start)?..number(end)?).contains(&address) && rest.as_bytes().get(3) == Some(&b'p'))
    };
    Ok(maps.lines().any(|line| is_own(line) == Some(true)))
}

/// The process as a whole.
struct Process {
    threads: usize,
    /// Whether it has handlers for signals that aren't faults.
    catches: bool,
}

impl Process {
    fn read() -> Result<Process, Doubt> {
        let status = fs::read_to_string("/proc/self/status")?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).ok_or_else(unreadable)?;
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
        // The two that the C library keeps for itself.
        let own = [32, 33];
        let harmless = faults.into_iter().chain(own).fold(0, |mask, signal| mask | 1_u64 << (signal - 1));
        Ok(Process { threads: field(&status, "Threads:")? as usize, catches: caught & !harmless != 0 })
    }
}

fn read(thread: u32, what: &str) -> Result<String, Doubt> {
    procfs::of_thread(thread, what).and_then(io::read_to_string).map_err(|error| match error.raw_os_error() {
        // It has just ended.
        Some(libc::ENOENT) if fs::exists("/proc/self/syscall").unwrap_or(false) => Doubt::Moving,
        Some(libc::ESRCH) => Doubt::Moving,
        _ => Doubt::Unknown(error),
    })
}

fn field(status: &str, name: &str) -> Result<u64, Doubt> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| Doubt::Unknown(unreadable()))
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "`/proc/self/status` has an unknown form")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart() {
        let futex = |private, for_ever| Call::Futex { address: 0x10, private, for_ever };
        let number = libc::SYS_futex;
        for (arguments, call) in [
            ("0x10 0x80 0x0 0x0 0x0 0x0 0x7f 0x7f", futex(true, true)),
            ("0x10 0x189 0x0 0x0 0x0 0xffffffff 0x7f 0x7f", futex(true, true)),
            ("0x10 0x89 0x0 0x7ffe0000 0x0 0xffffffff 0x7f 0x7f", futex(true, false)),
            ("0x10 0x109 0x4711 0x0 0x0 0xffffffff 0x7f 0x7f", futex(false, true)),
            // FUTEX_LOCK_PI
            ("0x10 0x86 0x0 0x0 0x0 0x0 0x7f 0x7f", Call::Other(number)),
        ] {
            assert_eq!(Call::parse(&format!("{number} {arguments}\n")), call);
        }
        assert_eq!(Call::parse("running\n"), Call::Running);
        assert_eq!(Call::parse("-1 0x7f 0x7f\n"), Call::Other(-1));
        assert_eq!(
            Call::parse(&format!("{} 0x3 0x10 0x400 0xffffffff 0x0 0x8 0x1 0x1", libc::SYS_epoll_pwait)),
            Call::Epoll
        );
    }

    #[test]
    fn own_memory_is_known() {
        let here = 0_u64;
        assert!(is_own_memory(std::ptr::from_ref(&here).addr() as u64).unwrap());
        assert!(!is_own_memory(8).unwrap());
    }

    #[test]
    fn a_thread_that_sleeps_for_a_time_may_move() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || ended.recv_timeout(std::time::Duration::from_secs(3600)).is_ok());
        // Other tests begin and end threads meanwhile, so it can be in doubt for other reasons first.
        while !matches!(doubt().expect_err("one may move"), Doubt::Threads { .. }) {
            std::thread::yield_now();
        }
        end.send(()).unwrap();
        assert!(sleeper.join().unwrap());
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::primitive::AtomicU32;

    /// A helper takes something in hand, wakes a worker for it and rests again. Who sees that there is nothing left, and
    /// after that the helper at rest, sees the worker woken.
    #[test]
    fn a_helper_that_rests_has_nothing_in_hand() {
        loom::model(|| {
            let rests = Arc::new(Rests::new());
            let [left, woken] = [1, 0].map(|n| Arc::new(AtomicU32::new(n)));
            let helper = loom::thread::spawn({
                let (rests, left, woken) = (Arc::clone(&rests), Arc::clone(&left), Arc::clone(&woken));
                move || {
                    rests.during(|| ());
                    // Relaxed (both): the marks have to order them.
                    left.store(0, Ordering::Relaxed);
                    woken.store(1, Ordering::Relaxed);
                    rests.during(loom::thread::yield_now);
                }
            });
            if left.load(Ordering::Relaxed) == 0 && rests.is_so_after() {
                assert_eq!(woken.load(Ordering::Relaxed), 1, "it has something in hand, and is taken to be at rest");
            }
            helper.join().unwrap();
        });
    }
}
