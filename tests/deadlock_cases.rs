//! Deadlocks, and what only looks like one. Each case runs in a process of its own, which is this program itself: a test
//! harness has threads, and the runtime can't know that none of them will wake a task.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};
use throng::cancel::shield;
use throng::chan::{Receiver, Sender, bounded, unbounded};
use throng::net::UnixStream;
use throng::runtime::{Migration, OnDeadlock, Runtime};
use throng::sync::WaitGroup;
use throng::task;

/// Long enough for a deadlock to be noticed where there was one.
const WHILE: Duration = Duration::from_millis(100);

const CASE: &str = "THRONG_DEADLOCK";

/// How a case ends.
enum End {
    /// By itself, and it has checked what there is to check.
    Returns,
    /// Not at all; this stands in what it writes to standard error.
    Hangs(&'static str),
    /// Not at all, and it says nothing for some time.
    HangsSilently,
}

const CASES: &[(&str, End, fn())] = &[
    ("two locks in two orders", End::Returns, two_locks_in_two_orders),
    ("everybody receives", End::Returns, everybody_receives),
    ("equal tasks are one entry", End::Returns, equal_tasks_are_one_entry),
    ("many kinds of tasks", End::Returns, many_kinds_of_tasks),
    ("a scope", End::Returns, a_scope),
    ("again and again", End::Returns, again_and_again),
    ("a service survives", End::Returns, a_service_survives),
    ("a runtime in a runtime", End::Returns, a_runtime_in_a_runtime),
    ("a runtime in a section", End::Returns, a_runtime_in_a_section),
    ("a runtime in a destructor", End::Returns, a_runtime_in_a_destructor),
    ("several wait", End::Returns, several_wait),
    ("a join on a plain thread", End::Returns, a_join_on_a_plain_thread),
    ("threads that wait for threads", End::Returns, threads_that_wait_for_threads),
    ("a thread that was in the way", End::Returns, a_thread_that_was_in_the_way),
    ("a root that blocks its thread", End::Hangs("they can't be unwound"), a_root_that_blocks_its_thread),
    ("a root that waits while it unwinds", End::Hangs("they can't be unwound"), a_root_that_waits_while_it_unwinds),
    ("a blocked root that is let go", End::Returns, a_blocked_root_that_is_let_go),
    ("a root that waits for a thread", End::Returns, a_root_that_waits_for_a_thread),
    ("a shield", End::Hangs("they can't be unwound"), a_shield),
    ("a stuck home", End::Hangs("waits to go on on its own kernel thread, which another task keeps"), a_stuck_home),
    (
        "a stuck home of one that waited for another runtime",
        End::Hangs("waits to go on on its own kernel thread, which another task keeps"),
        a_stuck_home_of_one_that_waited_for_another_runtime,
    ),
    (
        "a stuck thread in the strict mode",
        End::Hangs("task 1 waits to go on on its own kernel thread"),
        a_stuck_thread_in_the_strict_mode,
    ),
    ("a spare home", End::Returns, a_spare_home),
    ("all threads blocked", End::Hangs("no thread is left to unwind them on"), all_threads_blocked),
    ("a root that ended for one that has no thread", End::HangsSilently, a_root_that_ended_for_one_that_has_no_thread),
    ("all threads but one blocked", End::Returns, all_threads_but_one_blocked),
    ("report only", End::Hangs("waits to be unparked"), report_only),
    ("ignored", End::Returns, ignored),
    ("a timer", End::Returns, a_timer),
    ("a timer of another runtime", End::Returns, a_timer_of_another_runtime),
    ("a socket", End::Returns, a_socket),
    ("a socket of another runtime", End::Returns, a_socket_of_another_runtime),
    ("a socket of a plain thread", End::Returns, a_socket_of_a_plain_thread),
    ("a thread that sleeps", End::Returns, a_thread_that_sleeps),
    ("a thread that waits for a time", End::Returns, a_thread_that_waits_for_a_time),
    ("a spare thread", End::Returns, a_spare_thread),
    ("a hook of another runtime", End::Returns, a_hook_of_another_runtime),
    ("a thread that reads", End::Returns, a_thread_that_reads),
    ("a waker in a thread", End::Returns, a_waker_in_a_thread),
    ("a signal handler", End::Returns, a_signal_handler),
    ("pauses", End::Returns, pauses),
];

fn main() {
    if let Ok(case) = std::env::var(CASE) {
        let (_, _, case) = CASES.iter().find(|(name, ..)| *name == case).expect("a case");
        return case();
    }
    // As a harness takes them: a case's name is the name of its function.
    let (options, filter): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with('-'));
    if options.iter().any(|option| option == "--list") {
        return;
    }
    let exact = options.iter().any(|option| option == "--exact");
    let filter: Vec<String> = filter.iter().map(|arg| arg.replace('_', " ")).collect();
    let is_wanted = |name: &str| filter.iter().any(|f| if exact { name == f } else { name.contains(&**f) });
    if cfg!(throng_tsan) {
        println!("skipped: ThreadSanitizer has a thread of its own that sleeps for a time, so nothing is certain");
        return;
    }
    let mut passed = 0;
    for (name, end, _) in CASES.iter().filter(|(name, ..)| filter.is_empty() || is_wanted(name)) {
        println!("case: {name}");
        check(name, end);
        passed += 1;
    }
    println!("test result: ok. {passed} passed");
}

fn check(name: &str, end: &End) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CASE, name)
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut text = Vec::new();
    match end {
        End::Returns => {
            stderr.read_to_end(&mut text).unwrap();
            assert!(child.wait().unwrap().success(), "{name}:\n{}", String::from_utf8_lossy(&text));
        }
        End::HangsSilently => {
            std::thread::sleep(5 * WHILE);
            child.kill().unwrap();
            child.wait().unwrap();
            stderr.read_to_end(&mut text).unwrap();
            assert!(text.is_empty(), "{name}:\n{}", String::from_utf8_lossy(&text));
        }
        End::Hangs(mark) => {
            let mut buffer = [0; 1024];
            while !String::from_utf8_lossy(&text).contains(mark) {
                let n = stderr.read(&mut buffer).unwrap();
                assert!(n > 0, "{name} has ended:\n{}", String::from_utf8_lossy(&text));
                text.extend(&buffer[..n]);
            }
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

fn runtime(what: OnDeadlock) -> Runtime {
    Runtime::builder().workers(2).on_deadlock(what).build().unwrap()
}

/// The report that comes out.
fn report<T>(f: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("that was a deadlock"),
        Err(payload) => *payload.downcast::<String>().expect("a message"),
    }
}

fn hang() {
    task::park();
}

fn two_locks_in_two_orders() {
    let report = report(|| {
        throng::run(|| {
            let locks = Arc::new([(); 2].map(throng::sync::Mutex::new));
            let met = Arc::new(throng::sync::Barrier::new(2));
            let tasks = ["AB", "BA"].map(|name| {
                let (locks, met) = (Arc::clone(&locks), Arc::clone(&met));
                let lock_both = move || {
                    let (first, second) = if name == "AB" { (0, 1) } else { (1, 0) };
                    let _first = locks[first].lock();
                    met.wait();
                    let _second = locks[second].lock();
                };
                task::Builder::new().name(name).spawn(lock_both).unwrap()
            });
            tasks.map(|task| task.join().unwrap())
        })
    });
    for words in ["deadlock: 3 tasks wait", "`AB` waits to lock a mutex", "`BA`", "join a task", file!(), "spawned at"]
    {
        assert!(report.contains(words), "{report}");
    }
}

fn everybody_receives() {
    let report = report(|| {
        throng::run(|| {
            throng::scope(|s| {
                let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..10).map(|_| unbounded::<u8>()).unzip();
                senders.rotate_left(1);
                for (sender, receiver) in senders.into_iter().zip(receivers) {
                    s.spawn(move || receiver.iter().for_each(|value| sender.send(value).unwrap()));
                }
            });
        })
    });
    assert!(report.contains("10 tasks like this") && report.contains("receive from a channel"), "{report}");
}

fn equal_tasks_are_one_entry() {
    let report = report(|| {
        throng::run(|| {
            let group = WaitGroup::new();
            for _ in 0..998 {
                let group = group.clone();
                throng::spawn(move || group.wait());
            }
            hang();
        })
    });
    assert!(report.contains("deadlock: 999 tasks wait") && report.contains("998 tasks like this"), "{report}");
    assert_eq!(report.lines().count(), 4, "{report}");
}

fn many_kinds_of_tasks() {
    let report = report(|| {
        throng::run(|| {
            for name in 0..99 {
                task::Builder::new().name(name.to_string()).spawn(hang).unwrap();
            }
            hang();
        })
    });
    assert!(
        report.contains("deadlock: 100 tasks wait") && report.ends_with("50 more tasks, of 50 other kinds"),
        "{report}"
    );
}

/// The root task can't be unwound before the others are.
fn a_scope() {
    let mut ended = 0;
    let report = report(|| {
        throng::run(|| {
            throng::scope(|s| {
                s.spawn(|| {
                    let _guard = Ended(&mut ended);
                    hang();
                });
            });
        })
    });
    assert!(report.contains("see the end of a scope's tasks"), "{report}");
    assert_eq!(ended, 1);
}

struct Ended<'a>(&'a mut usize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.0 += 1;
    }
}

fn again_and_again() {
    let runtime = runtime(OnDeadlock::Panic);
    for round in 1..=5 {
        let report = report(|| runtime.run(|| throng::spawn(hang).join().unwrap()));
        // Those of the rounds before are still there, but for the root tasks.
        assert!(report.starts_with(&format!("deadlock: {} tasks", round + 1)), "{report}");
        assert_eq!(runtime.run(|| throng::spawn(|| 6 * 7).join().unwrap()), 42);
    }
}

fn a_service_survives() {
    let (questions, service) = unbounded::<(u32, throng::chan::Sender<u32>)>();
    throng::spawn(move || service.iter().for_each(|(number, reply)| reply.send(number + 1).unwrap()));
    let ask = || {
        let (reply, answer) = bounded(1);
        questions.send((1, reply)).unwrap();
        answer.recv().unwrap()
    };
    assert_eq!(throng::run(ask), 2);
    report(|| throng::run(hang));
    assert_eq!(throng::run(ask), 2);
}

fn a_runtime_in_a_runtime() {
    let (outer, inner) = (runtime(OnDeadlock::Panic), runtime(OnDeadlock::Panic));
    let caught =
        outer.run(|| report(|| inner.run(|| task::Builder::new().name("in").spawn(hang).unwrap().join().unwrap())));
    assert!(caught.contains("`in` waits to be unparked"), "{caught}");
    // And through both.
    let caught = report(|| outer.run(|| inner.run(hang)));
    assert!(caught.contains("waits to be unparked"), "{caught}");
}

/// The root of one keeps its kernel thread while it waits for the root of another: only the latter is told.
fn a_runtime_in_a_section() {
    let (outer, inner) = (runtime(OnDeadlock::Panic), runtime(OnDeadlock::Panic));
    for _ in 0..10 {
        let told = outer.run(|| throng::blocking(|| report(|| inner.run(hang))));
        assert!(told.contains("deadlock: 1 task waits"), "{told}");
    }
}

/// Likewise, in a destructor while it unwinds.
fn a_runtime_in_a_destructor() {
    struct Runs<'a>(&'a Runtime);
    impl Drop for Runs<'_> {
        fn drop(&mut self) {
            let told = report(|| self.0.run(hang));
            assert!(told.contains("deadlock: 1 task waits"), "{told}");
        }
    }
    let (outer, inner) = (runtime(OnDeadlock::Panic), runtime(OnDeadlock::Panic));
    for _ in 0..10 {
        let unwound = outer.run(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let _runs = Runs(&inner);
                panic!("it unwinds");
            }))
        });
        assert!(unwound.is_err());
    }
}

fn several_wait() {
    let runtime = runtime(OnDeadlock::Panic);
    let caught = std::thread::scope(|s| {
        let waits: Vec<_> = (0..4).map(|_| s.spawn(|| report(|| runtime.run(hang)))).collect();
        waits.into_iter().map(|wait| wait.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(caught.iter().all(|report| report.contains("4 tasks")), "{caught:?}");
}

fn a_join_on_a_plain_thread() {
    let report = report(|| throng::spawn(hang).join());
    assert!(report.contains("deadlock: 1 task waits"), "{report}");
}

/// In locks and joins of `std`.
fn threads_that_wait_for_threads() {
    let (lock, signal): &(Mutex<()>, Condvar) = Box::leak(Box::default());
    std::thread::spawn(|| drop(signal.wait(lock.lock().unwrap())));
    let report = std::thread::spawn(|| report(|| throng::run(hang))).join().unwrap();
    assert!(report.contains("deadlock: 1 task waits"), "{report}");
}

fn a_root_that_blocks_its_thread() {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    throng::run(move || receiver.recv().unwrap());
}

fn a_root_that_waits_while_it_unwinds() {
    struct Waits(Receiver<()>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }
    let (_sender, receiver) = bounded(1);
    let _ = throng::spawn(|| {
        let _waits = Waits(receiver);
        panic!("it unwinds");
    })
    .join();
}

/// By the end of a task that is cancelled in its stead.
fn a_blocked_root_that_is_let_go() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let report = report(|| {
        throng::run(move || {
            throng::spawn(move || {
                hang();
                drop(sender);
            });
            assert!(receiver.recv().is_err());
        });
    });
    assert!(report.contains("deadlock: 2 tasks wait") && report.contains("blocks its kernel thread"), "{report}");
}

fn a_root_that_waits_for_a_thread() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        std::thread::sleep(WHILE);
        sender.send(()).unwrap();
    });
    throng::run(move || receiver.recv().unwrap());
}

fn a_thread_that_was_in_the_way() {
    let runtime = runtime(OnDeadlock::Panic);
    // Its own threads are known to it once they have begun.
    while runtime.deadlock_detection().is_err() {
        std::thread::yield_now();
    }
    let sleeper = std::thread::Builder::new().name("sleeper".into()).spawn(|| std::thread::sleep(WHILE)).unwrap();
    let reason = runtime.deadlock_detection().expect_err("a thread that might send").to_string();
    assert!(reason.contains("1 kernel thread that doesn't rest could still wake a task"), "{reason}");
    report(|| runtime.run(hang));
    sleeper.join().unwrap();
}

fn a_shield() {
    throng::run(|| shield(hang));
}

/// A task that must go on on a kernel thread which another task keeps for ever.
fn a_stuck_home() {
    let runtime = Runtime::builder().workers(1).build().expect("a runtime");
    runtime.run(|| {
        let _pinned = task::pin();
        let root = task::current();
        throng::spawn(move || {
            // On another thread, when this one is known to be stuck.
            throng::spawn(move || root.unpark());
            block_for_ever();
        });
        task::park();
    });
}

/// What it waited for is over, so it is told.
fn a_stuck_home_of_one_that_waited_for_another_runtime() {
    let (outer, inner) = (Runtime::builder().workers(1).build().expect("a runtime"), runtime(OnDeadlock::Panic));
    outer.run(|| {
        let _pinned = task::pin();
        let (sender, receiver) = bounded(1);
        throng::spawn(move || {
            sender.send(()).expect("somebody receives");
            block_for_ever();
        });
        inner.run(|| {
            receiver.recv().expect("a message");
            throng::time::sleep(WHILE);
        });
    });
}

/// A stuck home in the strict mode, where it need not have been elsewhere to be kept.
fn a_stuck_thread_in_the_strict_mode() {
    let runtime = Runtime::builder().workers(1).migration(Migration::BeforeFirstRun).build().expect("a runtime");
    runtime.run(|| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        throng::spawn(move || receiver.recv());
        task::yield_now();
        drop(sender);
    });
}

/// The last thing that happens is that a spare thread comes for a task, without any worker's getting up. (That the looks at the
/// deadlock go on takes some luck to be tested: hence so many.)
fn a_spare_home() {
    fn hang_at_home(runtime: &Runtime) {
        let begun = WaitGroup::new();
        let (_open, gate) = unbounded::<()>();
        let wait = |begun: WaitGroup| {
            let gate = gate.clone();
            throng::spawn(move || {
                let _pinned = task::pin();
                // For the other to begin elsewhere.
                throng::blocking(|| std::thread::sleep(Duration::from_millis(1)));
                drop(begun);
                task::sleep(2 * WHILE);
                let _ = gate.recv();
            })
        };
        let tasks = [wait(begun.clone()), wait(begun.clone())];
        begun.wait();
        runtime.set_workers(1).unwrap();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    }
    let runtimes = || {
        let runtime = Runtime::builder().workers(2).build().expect("a runtime");
        let report = report(|| runtime.run(|| hang_at_home(&runtime)));
        assert!(report.contains("3 tasks wait"), "{report}");
    };
    std::thread::scope(|threads| (0..5).for_each(|_| drop(threads.spawn(runtimes))));
}

/// Keeps the kernel thread, in a lock of `std` that nobody unlocks.
fn block_for_ever() {
    let lock = Mutex::new(());
    let _first = lock.lock();
    let _second = lock.lock();
}

/// Blocks so many kernel threads of a runtime for ever.
fn block_threads(blocked: usize, max_threads: usize) {
    let builder = Runtime::builder().workers(2).max_threads(max_threads).on_shortage(|_| {});
    // To drop it would be to wait for them.
    let runtime = ManuallyDrop::new(builder.build().unwrap());
    runtime.run(|| {
        let tasks: Vec<_> = (0..blocked).map(|_| throng::spawn(block_for_ever)).collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
    });
}

fn all_threads_blocked() {
    block_threads(3, 3);
}

/// Who waits for it was woken, and nobody is told that it can't end. (The other runtime's deadlock would be told.)
fn a_root_that_ended_for_one_that_has_no_thread() {
    let inner = runtime(OnDeadlock::Panic);
    let outer = Runtime::builder().workers(1).max_threads(1).on_shortage(|_| {}).on_deadlock(OnDeadlock::Ignore);
    let outer = ManuallyDrop::new(outer.build().unwrap());
    outer.run(|| {
        let (sender, receiver) = bounded(1);
        throng::spawn(move || {
            sender.send(()).unwrap();
            block_for_ever();
        });
        inner.run(|| {
            receiver.recv().unwrap();
            throng::time::sleep(WHILE);
        });
    });
}

/// There are fewer workers than are wanted, for ever.
fn all_threads_but_one_blocked() {
    let report = report(|| block_threads(3, 4));
    assert!(report.contains("4 tasks wait") && report.contains("3 tasks like this"), "{report}");
}

fn report_only() {
    runtime(OnDeadlock::Report).run(hang);
}

fn ignored() {
    let runtime = runtime(OnDeadlock::Ignore);
    assert!(runtime.deadlock_detection().unwrap_err().to_string().contains("ignore"));
    let (pipe, _writer) = shell("sleep 0.2");
    let root = Arc::new(Mutex::new(None));
    let waker = Arc::clone(&root);
    // In a wait that isn't a plain thread's sleep for a time: but for the setting it would be in the way all the same.
    std::thread::spawn(move || {
        let mut pipe = pipe;
        let _ = pipe.read(&mut [0; 1]);
        let root: task::Task = waker.lock().unwrap().take().unwrap();
        root.unpark();
    });
    runtime.run(|| {
        *root.lock().unwrap() = Some(task::current());
        hang();
    });
}

fn a_timer() {
    throng::run(|| {
        let (sender, receiver) = bounded(1);
        throng::spawn(move || {
            task::sleep(WHILE);
            sender.send(()).unwrap();
        });
        receiver.recv().unwrap();
        throng::chan::after(WHILE).recv().unwrap();
        let (_sender, never) = bounded::<()>(1);
        assert!(never.recv_timeout(WHILE).is_err());
    });
}

fn a_timer_of_another_runtime() {
    let (outer, inner) = (runtime(OnDeadlock::Panic), runtime(OnDeadlock::Panic));
    outer.run(|| inner.run(|| task::sleep(WHILE)));
    let (sender, receiver) = bounded(1);
    inner.spawn(move || {
        task::sleep(WHILE);
        sender.send(()).unwrap();
    });
    outer.run(|| receiver.recv().unwrap());
}

/// A socket that another process writes to: no thread of this one has anything to do with it.
fn shell(command: &str) -> (std::os::unix::net::UnixStream, std::process::Child) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let child = Command::new("sh").arg("-c").arg(command).stdout(OwnedFd::from(theirs)).spawn().unwrap();
    (ours, child)
}

fn line_of(mut socket: impl Read) {
    let mut line = [0; 6];
    socket.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"hello\n");
}

const HELLO: &str = "sleep 0.2; echo hello";

fn socket() -> UnixStream {
    UnixStream::try_from(shell(HELLO).0).unwrap()
}

fn a_socket() {
    throng::run(|| line_of(socket()));
    // One that nobody waits for is not in the way.
    let (idle, mut other) = UnixStream::pair().unwrap();
    report(|| {
        throng::run(|| {
            let _ = throng::time::timeout(Duration::from_millis(1), || (&idle).read(&mut [0; 1]));
            hang();
        });
    });
    other.write_all(b"x").unwrap();
}

fn a_socket_of_another_runtime() {
    let (first, second) = (runtime(OnDeadlock::Panic), runtime(OnDeadlock::Panic));
    let (sender, receiver) = bounded(1);
    second.spawn(move || {
        line_of(socket());
        sender.send(()).unwrap();
    });
    first.run(|| receiver.recv().unwrap());
}

fn a_socket_of_a_plain_thread() {
    let (sender, receiver) = bounded(1);
    std::thread::spawn(move || {
        line_of(socket());
        sender.send(()).unwrap();
    });
    throng::run(|| receiver.recv().unwrap());
}

fn received(thread: impl FnOnce() + Send + 'static) {
    let (sender, receiver): (_, Receiver<()>) = bounded(1);
    std::thread::spawn(move || {
        thread();
        sender.send(()).unwrap();
    });
    throng::run(|| receiver.recv().unwrap());
}

fn a_thread_that_sleeps() {
    received(|| std::thread::sleep(2 * WHILE));
}

fn a_thread_that_waits_for_a_time() {
    received(|| {
        let never = Condvar::new();
        let lock = Mutex::new(());
        drop(never.wait_timeout(lock.lock().unwrap(), 2 * WHILE).unwrap());
    });
}

/// A spare thread ends after some time, with the destructors of what tasks have left on it. (Whoever waits for that does so in
/// another runtime: a thread that is home to a task doesn't end.)
fn a_spare_thread() {
    struct AtTheEnd(Sender<u8>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let _ = self.0.send(1);
        }
    }
    thread_local!(static LEFT: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });
    let leave = |sender: &Sender<u8>| drop(LEFT.with(|place| place.replace(Some(AtTheEnd(sender.clone())))));
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (sender, receiver) = unbounded();
    runtime.spawn(move || {
        let (release, released) = std::sync::mpsc::channel::<()>();
        leave(&sender);
        // This needs another thread, since the first one is kept.
        throng::spawn(move || {
            leave(&sender);
            drop(release);
        });
        let _ = released.recv();
    });
    throng::run(|| assert_eq!(receiver.recv(), Ok(1)));
}

/// The only thread of a runtime is blocked for ever, and when its monitor sees that a task waits for it, the hook is called, which
/// sends. (To look for a deadlock in between takes some luck: hence so many.)
fn a_hook_of_another_runtime() {
    for wait in 0..30 {
        let (sender, receiver) = unbounded();
        let short = Runtime::builder().workers(1).max_threads(1).on_shortage(move |_| sender.send(1_u8).unwrap());
        let (short, waits) = (short.build().unwrap(), runtime(OnDeadlock::Panic));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let blocks = short.spawn(move || released.recv());
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let spawner = std::thread::spawn(move || {
            let begun = Instant::now();
            // When the others have been asleep for some time.
            while begun.elapsed() < Duration::from_micros(40_000 + 200 * wait) {
                std::hint::spin_loop();
            }
            let _waits = short.spawn(|| ());
            let _ = ends.recv();
            drop(release);
        });
        waits.run(move || assert_eq!(receiver.recv(), Ok(1)));
        drop(end);
        spawner.join().unwrap();
        assert!(blocks.join().unwrap().is_err());
    }
}

fn a_thread_that_reads() {
    received(|| line_of(shell(HELLO).0));
}

fn a_waker_in_a_thread() {
    let mut polls = 0;
    throng::run(|| {
        throng::future::block_on(poll_fn(|cx| {
            polls += 1;
            if polls > 1 {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(2 * WHILE);
                waker.wake();
            });
            Poll::Pending
        }));
    });
}

/// A handler can't do anything with a task, but it can post a semaphore for which a thread waits.
#[allow(unsafe_code)]
fn a_signal_handler() {
    struct Semaphore(std::cell::UnsafeCell<libc::sem_t>);
    // SAFETY: that is what a semaphore is for.
    unsafe impl Sync for Semaphore {}
    // SAFETY: zeroed memory is a valid value of the type.
    static POSTED: Semaphore = Semaphore(std::cell::UnsafeCell::new(unsafe { std::mem::zeroed() }));
    extern "C" fn post(_: libc::c_int) {
        // SAFETY: it is initialised, and this may be called in a handler.
        unsafe { libc::sem_post(POSTED.0.get()) };
    }
    // SAFETY: the semaphore is initialised before it is used; the handler does what a handler may.
    unsafe {
        libc::sem_init(POSTED.0.get(), 0, 0);
        libc::signal(libc::SIGUSR1, post as extern "C" fn(libc::c_int) as libc::sighandler_t);
    }
    let _killer = shell(&format!("sleep 0.2; kill -USR1 {}", std::process::id()));
    received(|| {
        // SAFETY: it is initialised.
        while unsafe { libc::sem_wait(POSTED.0.get()) } < 0 {}
    });
}

/// Tasks and threads that all wait now and then, until one of them, which has slept or waited for a socket, goes on.
fn pauses() {
    let (there, back): (Vec<_>, Vec<_>) = (0..4).map(|_| unbounded::<u32>()).unzip();
    let (sum, sums) = unbounded();
    for (index, receiver) in back.into_iter().enumerate() {
        let next = there[(index + 1) % 4].clone();
        let sum = sum.clone();
        let pass = move || {
            for value in receiver {
                if value % 16 == 0 {
                    match index {
                        0 => task::sleep(Duration::from_millis(12)),
                        1 => std::thread::sleep(Duration::from_millis(12)),
                        _ => {}
                    }
                }
                if value == 0 || next.send(value - 1).is_err() {
                    return sum.send(()).unwrap();
                }
            }
        };
        if index % 2 == 0 {
            throng::spawn(pass);
        } else {
            std::thread::spawn(pass);
        }
    }
    throng::run(|| {
        there[0].send(800).unwrap();
        sums.recv().unwrap();
    });
}
