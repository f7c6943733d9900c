//! Runtimes: the global one, and one's own.
//!
//! # When the system has no more
//! Whoever asks is told, by an error; nobody else notices, and once there is room again the same call succeeds. The errors
//! of runtimes and tasks say which limit to raise, those of sockets are the system's own.
//!
//! | what has run out | who is told |
//! |---|---|
//! | threads (`ulimit -u`) | [`Builder::build`]; the first use of the global runtime |
//! | file descriptors (`ulimit -n`) | likewise; whatever opens a socket; `accept`, which leaves the connection in its queue |
//! | address space (`ulimit -v`), mappings (`vm.max_map_count`) | [`Builder::build`]; [`task::Builder::spawn`] |
//!
//! What can't return an error panics with it: [`spawn`], [`run`] and [`Runtime::spawn`]. Memory itself is as everywhere in
//! Rust: where the allocator has none, the process is aborted.
//!
//! [`task::Builder::spawn`]: crate::task::Builder::spawn

use crate::asymmetric;
use crate::census;
use crate::current;
use crate::join::{self, JoinHandle, Observer};
use crate::netpoll::Netpoll;
use crate::overflow;
use crate::park::{self, Reason};
pub use crate::scheduler::{Metrics, Migration, OnDeadlock, Shortage, Unfinished, UnfinishedTask};
use crate::scheduler::{OnShortage, Policy, Scheduler};
use crate::sim::{self, Simulator};
use crate::stack;
use std::fmt;
use std::io;
use std::panic::{self, Location};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// More workers than this are refused: no machine has as many cores.
const MAX_WORKERS: usize = 4096;

const MAX_THREADS: usize = 512;
/// More threads than this are refused: kernels are set to allow fewer.
const MOST_THREADS: usize = 1 << 16;

/// Makes a [`Runtime`] with settings of one's own.
///
/// [`build_global`](Builder::build_global) gives the settings to the global one.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// let runtime = throng::runtime::Builder::new().workers(2).name("search").build()?;
/// assert_eq!(runtime.run(|| 1 + 1), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    workers: Option<usize>,
    max_threads: Option<usize>,
    stack_size: usize,
    name: String,
    seed: Option<u64>,
    on_shortage: Option<OnShortage>,
    on_deadlock: OnDeadlock,
    migration: Policy,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Builder { workers, max_threads, stack_size, name, seed, on_shortage: _, on_deadlock, migration } = self;
        let mut debug = f.debug_struct("Builder");
        debug.field("workers", workers).field("max_threads", max_threads).field("stack_size", stack_size);
        debug.field("name", name).field("seed", seed).field("on_deadlock", on_deadlock);
        debug.field("migration", migration).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// The settings of the global runtime: a worker for each core that this process may use.
    pub fn new() -> Builder {
        Builder {
            workers: None,
            max_threads: None,
            stack_size: stack::DEFAULT_STACK_SIZE,
            name: "throng".into(),
            seed: None,
            on_shortage: None,
            on_deadlock: OnDeadlock::Panic,
            // What a sanitizer instruments, with nothing optimised, leaves so many addresses that tasks would be held at random.
            migration: if cfg!(any(throng_tsan, throng_asan)) { Policy::Unguarded } else { Policy::Guarded },
        }
    }

    /// How many workers, each a kernel thread, run tasks at the same time. By default
    /// [`std::thread::available_parallelism`], which goes by the CPU quota of the process's control groups, too; and if that
    /// changes, so does the number of workers, some seconds later.
    #[doc(alias = "GOMAXPROCS")]
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// How many kernel threads may run tasks at most, those included whose tasks block them or run on and on. While some
    /// are stuck like that, others step in, up to this number; beyond it tasks wait. By default 512, or as many as there
    /// are workers if that is more.
    ///
    /// If it is at least sixteen more than the number of workers, the last thread is kept for tasks that have begun, since
    /// those that are stuck may wait for one of them.
    ///
    /// A thread that is no longer needed ends after some seconds, but not before the tasks that it was the last to run, and
    /// that wait, have gone on: they may have to return to it (see [`Migration`]).
    pub fn max_threads(mut self, threads: usize) -> Builder {
        self.max_threads = Some(threads);
        self
    }

    /// The size in bytes of a task's stack, where [`task::Builder`](crate::task::Builder) doesn't say otherwise: a
    /// multiple of the page size, at least 16 KiB and at most 1 GiB. It is rounded up to a power of two, and to 64 KiB,
    /// which any panic hook can do with (a backtrace takes a third of that); one page of it is the guard. Memory is only
    /// used as far as the stack is. By default 256 KiB in release builds and 1 MiB in debug builds.
    ///
    /// Address space is another matter: each worker keeps room for 66 stacks, and it is limited in some places (`ulimit -v`).
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    /// What the workers' kernel threads are called, before their number.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = name.into();
        self
    }

    /// Fixes what the runtime's workers draw at random: whom to steal from first, which ready case a `select!` takes.
    /// (Not the order in which kernel threads happen to run.)
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// What to do when tasks have waited for ten milliseconds because all [`max_threads`](Builder::max_threads) threads are
    /// kept by tasks that block or run on, or because the system has no more threads: once in the runtime's life. By default
    /// it is said on the standard error.
    ///
    /// The hook runs on a thread that looks after the workers, so it should be short. Like a task it can't wait for its
    /// runtime's end: to drop the runtime there is a panic.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = throng::runtime::Builder::new()
    ///     .workers(2)
    ///     .max_threads(64)
    ///     .on_shortage(|shortage| eprintln!("search: {shortage}"))
    ///     .build()?;
    /// # drop(runtime);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_shortage(mut self, hook: impl Fn(&Shortage) + Send + Sync + 'static) -> Builder {
        self.on_shortage = Some(Arc::new(hook));
        self
    }

    /// What is done when all tasks wait for one another; by default [`OnDeadlock::Panic`].
    ///
    /// # Examples
    /// ```
    /// use throng::runtime::{Builder, OnDeadlock};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Builder::new().workers(1).on_deadlock(OnDeadlock::Ignore).build()?;
    /// assert_eq!(runtime.deadlock_detection().unwrap_err().to_string(), "the runtime was told to ignore deadlocks");
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_deadlock(mut self, what: OnDeadlock) -> Builder {
        self.on_deadlock = what;
        self
    }

    /// Which tasks move from one kernel thread to another; by default [`Migration::Guarded`].
    ///
    /// # Examples
    /// ```
    /// use throng::runtime::{Builder, Migration};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Builder::new().workers(2).migration(Migration::BeforeFirstRun).build()?;
    /// runtime.run(|| {
    ///     let before = std::thread::current().id();
    ///     throng::task::yield_now();
    ///     assert_eq!(std::thread::current().id(), before);
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn migration(mut self, migration: Migration) -> Builder {
        self.migration = migration.into();
        self
    }

    /// Lets every task move that isn't [pinned](crate::task::pin), whatever it holds: for comparisons, and for programs whose
    /// tasks are known to hold nothing of their threads' while they wait. It saves the guard's look at a stack that moves, which
    /// takes some nanoseconds.
    ///
    /// # Safety
    /// No task of the runtime, with all the code that it calls, keeps what belongs to its kernel thread while it waits, yields,
    /// or does anything else that may let others run: no reference into a thread-local, nothing that shares memory with one, no
    /// guard that its thread must release.
    pub unsafe fn migration_unguarded(mut self) -> Builder {
        self.migration = Policy::Unguarded;
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): no workers, or more than 4096; fewer `max_threads` than workers, or
    ///   more than 65,536; a stack that is too small, too large or no multiple of the page size; a name with a null byte.
    /// * Whatever the system says when there is no thread, no file descriptor, or no address space to be had.
    ///
    /// # Panics
    /// In a [simulation](crate::sim).
    #[track_caller]
    pub fn build(self) -> io::Result<Runtime> {
        refuse_to_start();
        let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let workers = match self.workers {
            Some(0) => return refuse("a runtime needs at least one worker; leave `workers` out for one a core".into()),
            Some(n) if n > MAX_WORKERS => {
                return refuse(format!("can't have {n} workers: ask for at most {MAX_WORKERS}"));
            }
            Some(n) => n,
            None => std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS),
        };
        let max_threads = match self.max_threads {
            Some(n) if n < workers => {
                return refuse(format!(
                    "max_threads({n}) is less than {workers}, the number of workers; raise it, or ask for fewer workers"
                ));
            }
            Some(n) if n > MOST_THREADS => {
                return refuse(format!("can't have max_threads({n}): ask for at most {MOST_THREADS}"));
            }
            Some(n) => n,
            None => MAX_THREADS.max(workers),
        };
        if self.name.contains('\0') {
            return refuse("a runtime's name can't have a null byte".into());
        }
        let class = stack::class_for(self.stack_size)?;
        asymmetric::prepare();
        overflow::install();
        let seed = self.seed.unwrap_or_else(crate::rng::shared);
        let scheduler =
            Scheduler::start(workers, max_threads, class, self.migration, &self.name, seed, self.on_shortage)?;
        scheduler.set_on_deadlock(self.on_deadlock);
        if self.workers.is_none() {
            scheduler.follow_machine();
        }
        Ok(Runtime { scheduler: Some(scheduler) })
    }
}

/// A runtime of one's own, beside the global one: workers, queues and poller for itself.
///
/// Dropping it cancels its tasks: one that waits unwinds from its wait, running its destructors, one that runs does so
/// from its next wait, and one that has not begun is dropped. The drop waits until all have ended, so a task that never
/// waits and never ends keeps it waiting; [`shutdown_timeout`](Runtime::shutdown_timeout) doesn't wait longer than told.
/// Then the runtime's kernel threads have ended, and its memory is free.
///
/// The global runtime starts at the first [`run`] or [`spawn`], or by [`Builder::build_global`], and is never dropped.
pub struct Runtime {
    /// `None` only while it is dropped.
    scheduler: Option<Arc<Scheduler>>,
}

// A panic stops at its task's base, and leaves the runtime as it was.
impl panic::UnwindSafe for Runtime {}
impl panic::RefUnwindSafe for Runtime {}

impl Runtime {
    /// A [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn scheduler(&self) -> &Arc<Scheduler> {
        self.scheduler.as_ref().expect("present until it is dropped")
    }

    /// Runs `f` as a task and waits for it. It may borrow from the caller; its panic comes out here.
    ///
    /// Inside one of this runtime's own tasks `f` is just called.
    ///
    /// # Panics
    /// With what `f` panics with; if there is no room for a task; in a [deadlock](OnDeadlock).
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        run_on(self.scheduler(), f)
    }

    /// Starts a task on this runtime; see [`throng::spawn`](crate::spawn).
    ///
    /// # Panics
    /// If there is no room for a task's stack.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.spawn_with(Settings::default(), f) {
            Ok(handle) => handle,
            Err(error) => no_room(&error),
        }
    }

    /// Changes how many workers run tasks at the same time, while they do, and for good: the number no longer follows the
    /// machine. A worker that is too many ends with the task
    /// that it runs; no task is lost.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): no workers, or more than [`max_threads`](Builder::max_threads).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = throng::runtime::Builder::new().workers(1).build()?;
    /// runtime.set_workers(4)?;
    /// assert_eq!(runtime.workers(), 4);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "GOMAXPROCS")]
    pub fn set_workers(&self, workers: usize) -> io::Result<()> {
        let most = self.scheduler().max_threads().min(MAX_WORKERS);
        if workers == 0 || workers > most {
            let text = format!(
                "can't have {workers} workers: ask for at least one, and at most {most} (max_threads, or 4096)"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.scheduler().set_workers(workers);
        Ok(())
    }

    /// How many workers run tasks at the same time.
    pub fn workers(&self) -> usize {
        self.scheduler().workers()
    }

    /// What it has counted so far. Each figure is right in itself; they are not of one moment.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = throng::runtime::Builder::new().workers(1).build()?;
    /// runtime.run(throng::task::yield_now);
    /// // There is nowhere to go.
    /// assert_eq!(runtime.metrics().migrations(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.scheduler().metrics()
    }

    #[track_caller]
    pub(crate) fn spawn_with<F, T>(&self, settings: Settings, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        sim::refuse_if_simulated("`Runtime::spawn`", "call `throng::spawn`");
        // SAFETY: `f` and `T` are valid for ever.
        unsafe { spawn_unchecked(self.scheduler(), settings, f) }
    }

    /// Cancels all tasks, as dropping does, and waits for their end no longer than `timeout`.
    ///
    /// What has not ended by then is left to itself. A task that still runs goes on, and unwinds when it next waits; its
    /// handle can be joined. When the last of them has ended, the runtime's kernel threads end and its memory is freed, as
    /// if it had been dropped; until then they are kept. At the end of the process nobody waits for them.
    ///
    /// # Errors
    /// [`Unfinished`], which names the tasks that are left, and says what each of them does.
    ///
    /// # Panics
    /// As dropping does: when it is called by one of the runtime's own tasks, or by its hook.
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use throng::runtime::Runtime;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let (send, receive) = mpsc::channel::<()>();
    /// let (tell, told) = mpsc::channel();
    /// let handle = runtime.run(|| {
    ///     throng::task::Builder::new().name("stubborn").spawn(move || {
    ///         tell.send(()).unwrap();
    ///         // Not one of Throng's channels: this blocks the kernel thread, and can't be cancelled.
    ///         receive.recv()
    ///     })
    /// })?;
    /// told.recv().unwrap();
    ///
    /// let unfinished = runtime.shutdown_timeout(Duration::from_millis(10)).unwrap_err();
    /// assert_eq!(unfinished.count(), 1);
    /// // 1 of the runtime's tasks did not end in time: task 1 `stubborn` runs, or blocks its kernel thread
    /// println!("{unfinished}");
    ///
    /// drop(send);
    /// assert!(handle.join().unwrap().is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Result<(), Unfinished> {
        self.shut_down(Some(timeout))
    }

    /// Whether a deadlock among this runtime's tasks would be noticed if it came about at this moment; if not, why.
    ///
    /// See [`OnDeadlock`] for what is needed for that. The runtime's own threads are in the way while they start; the thread that
    /// asks isn't, though it may be as soon as it goes on.
    ///
    /// # Errors
    /// [`DetectionOff`], which says why as its text.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use throng::runtime::Runtime;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// // This thread might send to a channel, once it has slept.
    /// let sleeper = std::thread::spawn(|| std::thread::sleep(Duration::from_millis(100)));
    /// if let Err(reason) = runtime.deadlock_detection() {
    ///     // 1 kernel thread that doesn't rest could still wake a task: ..
    ///     println!("{reason}");
    /// }
    /// # sleeper.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadlock_detection(&self) -> Result<(), DetectionOff> {
        detection(self.scheduler())
    }

    fn shut_down(&mut self, timeout: Option<Duration>) -> Result<(), Unfinished> {
        let Some(scheduler) = self.scheduler.take() else { return Ok(()) };
        scheduler.stop();
        sim::refuse_if_simulated("what waits for the end of a runtime", "drop it outside");
        if scheduler.waits_for_caller() {
            if std::thread::panicking() {
                return scheduler.unfinished_tasks().map_or(Ok(()), Err);
            }
            panic!(
                "a runtime was dropped by one of its own tasks, or by its own hook, which can't wait for its own end; its \
                 tasks have been cancelled; drop it outside, or share it in an `Arc` that outlives its tasks"
            );
        }
        // Once it is stopping its end must be waited for, whether or not the waiting task is cancelled.
        crate::interrupt::shielded(|| {
            if !scheduler.join(timeout.and_then(park::deadline_in)) {
                if let Some(unfinished) = scheduler.unfinished_tasks() {
                    return Err(unfinished);
                }
                // The last task has ended meanwhile, and now the workers do.
                scheduler.join(None);
            }
            Ok(())
        })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.shut_down(None);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.workers()).finish_non_exhaustive()
    }
}

/// Why deadlocks aren't noticed at the moment; see [`Runtime::deadlock_detection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectionOff(String);

impl fmt::Display for DetectionOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DetectionOff {}

fn detection(scheduler: &Scheduler) -> Result<(), DetectionOff> {
    if scheduler.on_deadlock() == OnDeadlock::Ignore {
        return Err(DetectionOff("the runtime was told to ignore deadlocks".into()));
    }
    census::doubt().map_err(|doubt| DetectionOff(doubt.to_string()))
}

/// [`Runtime::deadlock_detection`] for the runtime of the task that calls, else for the global one.
///
/// # Errors
/// As there; and if the global runtime can't be started.
pub fn deadlock_detection() -> Result<(), DetectionOff> {
    if Simulator::current().is_some() {
        return Ok(());
    }
    match scheduler() {
        Ok(scheduler) => detection(scheduler),
        Err(error) => Err(DetectionOff(format!("there is no runtime: {error}"))),
    }
}

/// [`Runtime::metrics`] for the runtime of the task that calls, else for the global one; all zero if there is none, as in a
/// [simulation](crate::sim).
pub fn metrics() -> Metrics {
    let context = current::context();
    if context.is_null() && GLOBAL.get().is_none() {
        return Metrics::default();
    }
    scheduler().map(Scheduler::metrics).unwrap_or_default()
}

/// The global runtime, started by the first who asks.
fn global() -> io::Result<&'static Runtime> {
    if GLOBAL.get().is_none() {
        start_global(Builder::new())?;
    }
    Ok(GLOBAL.get().expect("it was started"))
}

static GLOBAL: OnceLock<Runtime> = OnceLock::new();

#[track_caller]
fn refuse_to_start() {
    sim::refuse_if_simulated("what starts a runtime", "call `throng::spawn`");
}

/// Starts the global runtime. `false` if it runs already.
fn start_global(builder: Builder) -> io::Result<bool> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if GLOBAL.get().is_some() {
        return Ok(false);
    }
    let runtime = builder.build()?;
    GLOBAL.get_or_init(|| runtime);
    Ok(true)
}

impl Builder {
    /// Starts the global runtime with these settings, in place of the default ones.
    ///
    /// It must come before the first use: [`run`], [`spawn`] and whatever waits for a socket start it otherwise. So call it
    /// at the beginning of `main`, and from no library. Modelled on rayon's `ThreadPoolBuilder::build_global`.
    ///
    /// # Errors
    /// * [`AlreadyExists`](io::ErrorKind::AlreadyExists): the global runtime runs already. It stays as it is.
    /// * As [`build`](Builder::build).
    ///
    /// # Panics
    /// As there.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// throng::runtime::Builder::new().workers(2).stack_size(128 << 10).build_global()?;
    /// throng::spawn(|| println!("one of two workers runs this")).join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "GOMAXPROCS")]
    #[track_caller]
    pub fn build_global(self) -> io::Result<()> {
        refuse_to_start();
        if start_global(self)? {
            return Ok(());
        }
        let text = "the global runtime runs already: its settings must come before the first task or socket";
        Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
    }
}

/// The scheduler that the caller's task runs on; else the global one. Simulated tasks, which can have no scheduler, get an error.
fn scheduler<'a>() -> io::Result<&'a Scheduler> {
    let context = current::context();
    if context.is_null() {
        return Ok(global()?.scheduler());
    }
    // SAFETY: a task that runs has a context.
    if unsafe { (*context).simulation.is_some() } {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no runtime in a simulation"));
    }
    // SAFETY: so the host is a scheduler; it outlives the task that asks, which is unfinished.
    Ok(unsafe { &*(*context).host.cast::<Scheduler>() })
}

/// The poller for whoever waits for a socket: that of its own runtime, or the global one's.
pub(crate) fn current_netpoll() -> io::Result<Arc<Netpoll>> {
    sim::refuse_if_simulated("what waits for a socket", "use channels");
    Ok(Arc::clone(scheduler()?.netpoll()))
}

/// What a task can be told to be like.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) stack_size: Option<usize>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

#[cold]
#[track_caller]
pub(crate) fn no_room(error: &io::Error) -> ! {
    panic!("can't spawn a task: {error}")
}

/// # Safety
/// `f` and its result stay valid for as long as the task may use them.
#[track_caller]
pub(crate) unsafe fn spawn_unchecked<F, T>(scheduler: &Scheduler, settings: Settings, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let class = settings.stack_size.map_or(Ok(scheduler.default_class()), stack::class_for);
    let class = match class.and_then(|class| scheduler.admit(class).map(|()| class)) {
        Ok(class) => class,
        Err(error) => return join::refuse(f, error),
    };
    // SAFETY: a scheduler outlives its unfinished tasks; the rest is the caller's.
    let (task, handle) = unsafe {
        let (host, name) = (scheduler.as_host(), settings.name.map(Into::into));
        join::new_task(f, host, class, name, Location::caller(), settings.observer)
    };
    scheduler.launch(task);
    Ok(handle)
}

/// # Safety
/// As for `spawn_unchecked`.
#[track_caller]
pub(crate) unsafe fn spawn_here<F, T>(settings: Settings, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if let Some(simulator) = Simulator::current() {
        // SAFETY: the caller's.
        return unsafe { spawn_simulated(simulator, settings, f) };
    }
    match scheduler() {
        // SAFETY: the caller's.
        Ok(scheduler) => unsafe { spawn_unchecked(scheduler, settings, f) },
        Err(error) => join::refuse(f, error),
    }
}

/// Starts a task on the runtime of the task that calls, or on the global one.
#[track_caller]
pub(crate) fn spawn_as<F, T>(settings: Settings, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `f` and `T` are valid for ever.
    unsafe { spawn_here(settings, f) }
}

/// # Safety
/// As for `spawn_unchecked`.
#[cold]
#[track_caller]
unsafe fn spawn_simulated<F, T>(simulator: &Simulator, settings: Settings, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let Settings { name, stack_size, observer } = settings;
    match stack_size.map_or(Ok(simulator.class()), stack::class_for) {
        // SAFETY: the caller's.
        Ok(class) => unsafe { simulator.spawn(f, class, name, Location::caller(), observer) },
        Err(error) => join::refuse(f, error),
    }
}

#[track_caller]
fn run_on<F, T>(scheduler: &Scheduler, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if scheduler.runs_caller() {
        return f();
    }
    sim::refuse_if_simulated("`Runtime::run`", "call `throng::run`, or what it is to run,");
    // SAFETY: we wait for its end before we return, whatever happens to the caller meanwhile: a cancelled caller goes
    // on waiting.
    let handle = match unsafe { spawn_unchecked(scheduler, Settings::default(), f) } {
        Ok(handle) => handle,
        Err(error) => no_room(&error),
    };
    if let Some(report) = crate::interrupt::shielded(|| handle.wait(Reason::Run)) {
        panic!("{report}");
    }
    match handle.join() {
        Ok(value) => value,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Runs `f` as a task of the global runtime and waits for it. It may borrow from the caller; its panic comes out here.
///
/// Inside a task, of whatever runtime, `f` is just called.
///
/// # Panics
/// With what `f` panics with; if the global runtime can't be started, or there is no room for a task; in a
/// [deadlock](crate::runtime::OnDeadlock).
///
/// # Examples
/// ```
/// let words = ["green", "threads"];
/// let total = throng::run(|| {
///     throng::scope(|s| words.map(|word| s.spawn(|| word.len())).map(|h| h.join().unwrap()))
/// });
/// assert_eq!(total, [5, 7]);
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if current::task().is_some() {
        return f();
    }
    match global() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("can't start the global runtime: {error}"),
    }
}

/// Starts a task, on the runtime of the task that calls, or on the global one.
///
/// The task runs at the same time as its caller; [`JoinHandle::join`] waits for it, and dropping the handle lets it
/// run on by itself. Modelled on [`std::thread::spawn`].
///
/// # Panics
/// If there is no room for the task's stack, or the global runtime can't be started. [`task::Builder`] returns an error
/// instead.
///
/// [`task::Builder`]: crate::task::Builder
///
/// # Examples
/// ```
/// let handle = throng::spawn(|| (1..=10).sum::<u32>());
/// assert_eq!(handle.join().unwrap(), 55);
/// ```
#[doc(alias = "go")]
#[doc(alias = "goroutine")]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `f` and `T` are valid for ever.
    match unsafe { spawn_here(Settings::default(), f) } {
        Ok(handle) => handle,
        Err(error) => no_room(&error),
    }
}
