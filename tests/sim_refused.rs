//! What can't be simulated says so: it names the call, and what to do instead.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use throng::chan::unbounded;
use throng::runtime::Runtime;
use throng::sim::{self, Cause, Check, Failure};
use throng::sync::Mutex;
use throng::{cancel, net, spawn, task};

fn failure(f: impl FnOnce() + 'static) -> Failure {
    Check::new().run(1, f).expect_err("it can't be simulated")
}

fn refused(call: &str, instead: &str, f: impl FnOnce() + 'static) {
    let failure = failure(f);
    assert_eq!(failure.cause(), Cause::Panic);
    let text = failure.to_string();
    assert!(text.starts_with(&format!("task 1 panicked: {call}")), "{text}");
    assert!(text.contains("can't be called in a simulation") && text.contains(instead), "{text}");
}

#[test]
fn sockets() {
    refused("what opens a socket", "use channels instead", || drop(net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))));
    refused("what opens a socket", "use channels instead", || drop(net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))));
    refused("what opens a socket", "use channels instead", || drop(net::UnixStream::pair()));
    let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    refused("what waits for a socket", "use channels instead", move || drop(listener.accept()));
    refused("what looks a host's name up", "write the address instead", || drop(net::lookup_host(("localhost", 1))));
}

#[test]
fn blocking_sections() {
    refused("`throng::blocking`", "call what it calls instead", || throng::blocking(|| ()));
    // A short look at a file is a call like any other.
    sim::run(0, || throng::fs::read_to_string("/proc/self/status").unwrap());
}

#[test]
fn other_runtimes() {
    let runtime = Arc::new(Runtime::builder().workers(1).build().unwrap());
    let [a, b, c] = [(); 3].map(|()| Arc::clone(&runtime));
    refused("`Runtime::run`", "call `throng::run`", move || a.run(|| ()));
    refused("`Runtime::spawn`", "call `throng::spawn` instead", move || drop(b.spawn(|| ())));
    refused("`Runtime::spawn`", "call `throng::spawn` instead", move || drop(task::Builder::new().spawn_on(&c, || ())));
    refused("what starts a runtime", "call `throng::spawn` instead", || drop(Runtime::builder().workers(1).build()));
    refused("what starts a runtime", "call `throng::spawn` instead", || drop(Runtime::builder().build_global()));
    refused("what waits for the end of a runtime", "drop it outside", move || drop(runtime));
    assert_eq!(sim::run(0, || throng::run(|| 5)), 5);
    assert_eq!(sim::run(0, throng::runtime::metrics), Default::default());
}

/// Where it can't panic, since the task unwinds already, it is an error.
#[test]
fn sockets_of_a_task_that_unwinds() {
    struct Accepts(net::TcpListener, mpsc::Sender<ErrorKind>);
    impl Drop for Accepts {
        fn drop(&mut self) {
            self.1.send(self.0.accept().unwrap_err().kind()).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let accepts = Accepts(net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), tell);
    failure(move || {
        let _accepts = accepts;
        panic!("it unwinds");
    });
    assert_eq!(told.recv(), Ok(ErrorKind::Unsupported));
}

#[test]
fn other_kernel_threads() {
    let (s, r) = unbounded();
    let (say, said) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        said.recv().unwrap();
        s.send(()).unwrap();
        tell.send(()).unwrap();
    });
    let failure = failure(move || {
        let waits = spawn(move || r.recv());
        // By then it waits: that goes by the seed.
        (0..100).for_each(|_| task::yield_now());
        say.send(()).unwrap();
        told.recv().unwrap();
        waits.join().unwrap().unwrap();
    });
    thread.join().unwrap();
    assert_eq!(failure.cause(), Cause::Outside);
    let text = failure.to_string();
    assert!(text.starts_with("task 2, spawned at tests/sim_refused.rs:"), "{text}");
    assert!(text.contains("was woken by another kernel thread"), "{text}");
}

#[test]
fn simulations_in_tasks() {
    let text = |f: fn()| {
        let payload = catch_unwind(f).unwrap_err();
        payload.downcast_ref::<String>().cloned().or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
    };
    for begins in [(|| throng::run(|| sim::run(0, || ()))) as fn(), || sim::run(0, || sim::run(0, || ()))] {
        let text = text(begins).unwrap();
        assert!(text.contains("a simulation was begun by a task"), "{text}");
    }
    // The thread is as good as before.
    assert_eq!(sim::run(0, || spawn(|| 6).join().unwrap()), 6);
    assert_eq!(spawn(|| 7).join().unwrap(), 7);
}

struct Waits<'a>(&'a Mutex<()>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        drop(self.0.lock());
    }
}

#[test]
fn waits_of_a_task_that_unwinds() {
    // On a thread of its own, which is left as one that panics.
    let thread = std::thread::spawn(|| {
        let failure = Check::new().search(|| {
            let mutex = Mutex::new(());
            throng::scope(|s| {
                s.spawn(|| {
                    let _held = mutex.lock();
                    task::park();
                });
                task::yield_now();
                while !mutex.is_locked() {
                    task::yield_now();
                }
                let unwinds = s.spawn(|| {
                    let _waits = Waits(&mutex);
                    task::park();
                });
                task::yield_now();
                unwinds.cancel();
                drop(unwinds.join());
            });
        });
        assert!(std::thread::panicking());
        let again = catch_unwind(|| sim::check(|| ())).unwrap_err();
        (failure.unwrap_err().to_string(), *again.downcast::<&str>().unwrap())
    });
    let (text, again) = thread.join().unwrap();
    assert!(again.starts_with("a simulation was begun on a kernel thread that unwinds"), "{again}");
    assert!(text.contains("run this test alone with THRONG_SEED="), "{text}");
    assert!(text.contains("has to wait to lock a mutex while it unwinds"), "{text}");
    assert!(text.contains("counts panics by the kernel thread") && text.contains("`try_lock`"), "{text}");
}

/// Who is stuck there keeps no lock of the crate's: not that of its own end, of which the simulator asks, nor that of what it
/// shares with kernel threads.
#[test]
fn what_a_task_that_unwinds_waits_in_can_be_used() {
    struct Last<F: Fn()>(F);
    impl<F: Fn()> Drop for Last<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    fn stuck(f: impl Fn() + Send + 'static) -> String {
        let stuck = move || {
            let _last = Last(f);
            panic!("out of paper");
        };
        std::thread::spawn(|| failure(stuck).to_string()).join().unwrap()
    }
    let text = stuck(task::park);
    assert!(text.contains("has to wait to be unparked while it unwinds"), "{text}");

    let (s, r) = unbounded();
    let text = stuck(move || {
        let _ = r.recv();
    });
    assert!(text.contains("has to wait to receive from a channel while it unwinds"), "{text}");
    assert_eq!(s.send(1), Ok(()));
    drop(s);

    let mutex = Arc::new(Mutex::new(()));
    let held = mutex.lock();
    let text = stuck({
        let mutex = Arc::clone(&mutex);
        move || drop(mutex.lock())
    });
    assert!(text.contains("has to wait to lock a mutex while it unwinds"), "{text}");
    assert!(mutex.try_lock_for(Duration::from_millis(1)).is_none());
    drop(held);
}

#[test]
fn tasks_that_do_not_end_when_they_are_cancelled() {
    let failure = failure(|| {
        spawn(|| cancel::shield(task::park));
        task::yield_now();
        task::yield_now();
        task::yield_now();
        task::yield_now();
    });
    assert!(failure.to_string().starts_with("deadlock, of tasks that were cancelled: 1 task waits"), "{failure}");
    let failure = Check::new().steps(500).run(0, || {
        spawn(|| {
            loop {
                drop(catch_unwind(AssertUnwindSafe(task::park)));
            }
        });
        task::yield_now();
        task::yield_now();
        task::yield_now();
        task::yield_now();
    });
    let failure = failure.unwrap_err();
    assert!(failure.to_string().starts_with("tasks that were cancelled went on and on"), "{failure}");
}

#[test]
fn what_failed_first_is_what_failed() {
    // A root that panics takes from the others what they need.
    let root = failure(|| {
        let (s, r) = unbounded();
        spawn(move || (0..1000).for_each(|number| s.send(number).unwrap()));
        r.recv().unwrap();
        panic!("out of paper");
    });
    let text = root.to_string();
    assert!(
        text.starts_with("task 1 panicked: out of paper\n  besides, task 2 panicked: called `Result::unwrap()`"),
        "{text}"
    );
    // What can't end comes to light only afterwards.
    let stays = || drop(spawn(|| cancel::shield(task::park)));
    let text = failure(move || {
        stays();
        (0..9).for_each(|_| task::yield_now());
        panic!("out of paper");
    });
    let text = text.to_string();
    assert!(
        text.starts_with("task 1 panicked: out of paper\n  besides, deadlock, of tasks that were cancelled"),
        "{text}"
    );
    let text = failure(move || {
        stays();
        (0..9).for_each(|_| task::yield_now());
        spawn(|| panic!("out of ink"));
        task::park();
    });
    assert!(text.to_string().starts_with("task 3 panicked: out of ink\n"), "{text}");
    // Nor does a destructor that has to wait hide the deadlock that has ended its task.
    let thread = std::thread::spawn(|| {
        failure(|| {
            let mutex = Mutex::new(());
            let _held = mutex.lock();
            throng::scope(|s| {
                s.spawn(|| {
                    let _waits = Waits(&mutex);
                    task::park();
                });
                cancel::shield(task::park);
            });
        })
        .to_string()
    });
    let text = thread.join().unwrap();
    assert!(text.starts_with("deadlock: 2 tasks wait"), "{text}");
    assert!(text.contains("\n  besides, task 2, spawned at") && text.contains("while it unwinds"), "{text}");
}

#[test]
fn payloads_and_results_whose_destructors_panic() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "this is no failure of its own");
        }
    }
    let payload = || std::panic::panic_any(Bad);
    assert_eq!(failure(payload).cause(), Cause::Panic);
    let unseen = failure(move || {
        drop(spawn(payload));
        task::sleep(Duration::from_secs(1));
    });
    assert_eq!(unseen.cause(), Cause::Panic);
    let result = Check::new().run(1, || {
        spawn(|| cancel::shield(task::park));
        (0..9).for_each(|_| task::yield_now());
        Bad
    });
    assert_eq!(result.map(std::mem::forget).unwrap_err().cause(), Cause::Deadlock);
}
