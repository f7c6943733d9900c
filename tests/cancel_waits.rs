//! Every wait of the library, cancelled in every way: it unwinds, and leaves what it waited for intact.

mod common;

use common::{Dropped, in_tasks, is_simulated, ms, simulated_in_cases, until};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use throng::cancel::{self, Cancelled, Token};
use throng::chan::{Receiver, Select, at, bounded, never, unbounded};
use throng::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use throng::sync::{Barrier, Condvar, Mutex, Once, OnceLock, ReentrantMutex, RwLock, Semaphore, WaitGroup};
use throng::time::{now, timeout};
use throng::{future, task};

const HOUR: Duration = Duration::from_secs(3600);

/// A wait that doesn't end by itself, and a look at what it waited for afterwards.
struct Case {
    name: &'static str,
    wait: Box<dyn Fn() + Send + Sync>,
    check: Box<dyn FnOnce() + Send>,
}

fn case(name: &'static str, wait: impl Fn() + Send + Sync + 'static, check: impl FnOnce() + Send + 'static) -> Case {
    Case { name, wait: Box::new(wait), check: Box::new(check) }
}

fn receiving() -> Vec<Case> {
    let mut cases = Vec::new();
    for capacity in [0, 1] {
        let mut receive = |name, wait: fn(&Receiver<u32>)| {
            let (sender, receiver) = bounded(capacity);
            let waiting = receiver.clone();
            cases.push(case(
                name,
                move || wait(&waiting),
                move || {
                    // Nobody stands in the line any more, and the next message is for whoever comes.
                    assert_eq!(sender.try_send(5).is_ok(), capacity == 1);
                    let sender = throng::spawn(move || sender.send(6));
                    assert_eq!(receiver.recv(), Ok(if capacity == 1 { 5 } else { 6 }));
                    if capacity == 1 {
                        assert_eq!(receiver.recv(), Ok(6));
                    }
                    sender.join().unwrap().unwrap();
                },
            ));
        };
        receive("recv", |r| _ = r.recv());
        receive("recv_timeout", |r| _ = r.recv_timeout(HOUR));
        receive("recv_deadline", |r| _ = r.recv_deadline(now() + HOUR));
        receive("iter", |r| _ = r.iter().next());
        receive("block_on recv_async", |r| _ = future::block_on(r.recv_async()));
        receive("select recv", |r| {
            throng::select! {
                recv(r) -> _ => {}
                recv(never::<()>()) -> _ => {}
            }
        });
        receive("select_biased recv twice", |r| {
            throng::select_biased! {
                recv(r) -> _ => {}
                recv(r) -> _ => {}
                default(HOUR) => {}
            }
        });
        receive("Select", |r| {
            let mut select = Select::new();
            select.recv(r);
            let _ = select.select().recv(r);
        });
        receive("ready", |r| {
            let mut select = Select::new();
            select.recv(r);
            select.ready();
        });
    }
    cases
}

fn sending() -> Vec<Case> {
    let mut cases = Vec::new();
    for capacity in [0, 1] {
        let mut send = |name, wait: fn(&throng::chan::Sender<Dropped>, Dropped)| {
            let (sender, receiver) = bounded(capacity);
            let count = Arc::new(AtomicUsize::new(0));
            (0..capacity).for_each(|_| _ = sender.send(Dropped(Arc::clone(&count))));
            let waiting = (sender.clone(), Arc::clone(&count));
            cases.push(case(
                name,
                move || wait(&waiting.0, Dropped(Arc::clone(&waiting.1))),
                move || {
                    // The message that wasn't sent has been dropped, those before it are still there.
                    let unsent = count.load(SeqCst);
                    assert!(unsent > 0);
                    assert_eq!(receiver.try_iter().count(), capacity);
                    assert_eq!(count.load(SeqCst), unsent + capacity);
                    let next = throng::spawn(move || sender.send(Dropped(Arc::new(AtomicUsize::new(0)))).is_ok());
                    assert!(receiver.recv().is_ok());
                    assert!(next.join().unwrap());
                },
            ));
        };
        send("send", |s, message| _ = s.send(message));
        send("send_timeout", |s, message| _ = s.send_timeout(message, HOUR));
        send("block_on send_async", |s, message| _ = future::block_on(s.send_async(message)));
        send("select send", |s, message| {
            let mut message = Some(message);
            throng::select! {
                send(s, message.take().unwrap()) -> _ => {}
                recv(never::<()>()) -> _ => {}
            }
        });
    }
    cases
}

fn locks() -> Vec<Case> {
    fn mutex(name: &'static str, wait: fn(&Mutex<u32>)) -> Case {
        let mutex = Arc::new(Mutex::new(7));
        let held = mutex.lock_arc();
        let waiting = Arc::clone(&mutex);
        let check = move || {
            assert!(mutex.try_lock().is_none());
            drop(held);
            assert_eq!(*mutex.lock(), 7);
        };
        case(name, move || wait(&waiting), check)
    }
    fn rwlock(name: &'static str, for_writing: bool, wait: fn(&RwLock<u32>)) -> Case {
        let lock = Arc::new(RwLock::new(7));
        let waiting = Arc::clone(&lock);
        let held = if for_writing { (Some(lock.write_arc()), None) } else { (None, Some(lock.read_arc())) };
        let check = move || {
            assert_eq!(lock.try_read().is_some(), !for_writing);
            drop(held);
            assert_eq!(*lock.read(), 7);
            assert_eq!(*lock.write(), 7);
        };
        case(name, move || wait(&waiting), check)
    }
    let reentrant = {
        let mutex = Arc::new(ReentrantMutex::new(7));
        let (locked, is_locked) = unbounded();
        let (free, is_free) = bounded::<()>(0);
        let holder = throng::spawn({
            let mutex = Arc::clone(&mutex);
            move || {
                let _held = mutex.lock();
                locked.send(()).unwrap();
                let _ = is_free.recv();
            }
        });
        is_locked.recv().unwrap();
        let waiting = Arc::clone(&mutex);
        let check = move || {
            drop(free);
            holder.join().unwrap();
            assert_eq!(*mutex.lock(), 7);
        };
        case("ReentrantMutex::try_lock_for", move || _ = waiting.try_lock_for(HOUR), check)
    };
    vec![
        mutex("Mutex::lock", |m| _ = m.lock()),
        mutex("Mutex::try_lock_for", |m| _ = m.try_lock_for(HOUR)),
        rwlock("RwLock::read", true, |l| _ = l.read()),
        rwlock("RwLock::upgradable_read", true, |l| _ = l.upgradable_read()),
        rwlock("RwLock::write", true, |l| _ = l.write()),
        rwlock("RwLock::write, held by a reader", false, |l| _ = l.write()),
        rwlock("RwLock::try_write_for", false, |l| _ = l.try_write_for(HOUR)),
        reentrant,
    ]
}

fn meeting_points() -> Vec<Case> {
    fn condvar(name: &'static str, wait: fn(&Condvar, &Mutex<u32>)) -> Case {
        let pair = Arc::new((Mutex::new(7), Condvar::new()));
        let waiting = Arc::clone(&pair);
        let check = move || {
            assert!(!pair.1.notify_one(), "nobody waits any more");
            assert_eq!(*pair.0.try_lock().expect("free"), 7);
        };
        case(name, move || wait(&waiting.1, &waiting.0), check)
    }
    fn shared<T: Send + Sync + 'static>(
        name: &'static str,
        value: T,
        wait: impl Fn(&T) + Send + Sync + 'static,
        check: impl FnOnce(&T) + Send + 'static,
    ) -> Case {
        let value = Arc::new(value);
        let waiting = Arc::clone(&value);
        case(name, move || wait(&waiting), move || check(&value))
    }
    let free = |semaphore: &Semaphore| {
        assert!(semaphore.try_acquire().is_none());
        semaphore.add_permits(1);
        assert!(semaphore.try_acquire().is_some());
    };
    vec![
        condvar("Condvar::wait", |condvar, mutex| condvar.wait(&mut mutex.lock())),
        condvar("Condvar::wait_for", |condvar, mutex| {
            let _ = condvar.wait_for(&mut mutex.lock(), HOUR);
        }),
        shared("Semaphore::acquire", Semaphore::new(0), |s| _ = s.acquire(), free),
        shared("Semaphore::acquire_timeout", Semaphore::new(0), |s| _ = s.acquire_timeout(HOUR), free),
        shared(
            "Barrier::wait",
            Barrier::new(2),
            |barrier| {
                barrier.wait();
            },
            |barrier| {
                // The one that left isn't counted.
                throng::scope(|s| {
                    let first = s.spawn(|| barrier.wait().is_leader());
                    let second = s.spawn(|| barrier.wait().is_leader());
                    assert!(first.join().unwrap() != second.join().unwrap());
                });
            },
        ),
        {
            let group = WaitGroup::new();
            let other = Arc::new(group.clone());
            case("WaitGroup::wait", move || WaitGroup::clone(&other).wait(), move || drop(group))
        },
        {
            let group = WaitGroup::new();
            group.add(1);
            let waiting = group.clone();
            case("WaitGroup::wait_done", move || waiting.wait_done(), move || group.done())
        },
        shared("Once::wait", Once::new(), Once::wait, |once| once.call_once(|| ())),
        shared(
            "OnceLock::wait",
            OnceLock::new(),
            |lock| {
                lock.wait();
            },
            |lock| assert_eq!(*lock.get_or_init(|| 7), 7),
        ),
        {
            // An initialiser that waits is left, and the next one gets its turn.
            let lock = Arc::new(OnceLock::new());
            let waiting = Arc::clone(&lock);
            let wait = move || {
                waiting.get_or_init(|| {
                    task::sleep(HOUR);
                    6
                });
            };
            case("OnceLock::get_or_init", wait, move || assert_eq!(*lock.get_or_init(|| 7), 7))
        },
    ]
}

fn tasks() -> Vec<Case> {
    vec![
        case("sleep", || task::sleep(HOUR), || ()),
        case("sleep for ever", || task::sleep(Duration::MAX), || ()),
        case("sleep_until", || task::sleep_until(now() + HOUR), || ()),
        case("at", || _ = at(now() + HOUR).recv(), || ()),
        case("never", || _ = never::<()>().recv(), || ()),
        case("done", || _ = Token::new().done().recv(), || ()),
        case("done of a deadline", || _ = Token::with_timeout(HOUR).done().recv(), || ()),
        case("block_on", || future::block_on(std::future::pending()), || ()),
        {
            let (end, ended) = bounded::<()>(0);
            let wait = move || {
                let ended = ended.clone();
                let _ = throng::spawn(move || ended.recv()).join();
            };
            case("join", wait, move || drop(end))
        },
        {
            let (end, ended) = bounded::<()>(0);
            let wait = move || {
                let ended = ended.clone();
                let _ = future::block_on(throng::spawn(move || ended.recv()));
            };
            case("block_on join", wait, move || drop(end))
        },
    ]
}

/// Those that don't wait. In a simulation no time passes meanwhile.
fn loops() -> Vec<Case> {
    vec![
        case(
            "yield_now",
            || {
                loop {
                    task::yield_now();
                }
            },
            || (),
        ),
        case(
            "check",
            || {
                loop {
                    cancel::check();
                    std::hint::spin_loop();
                }
            },
            || (),
        ),
    ]
}

fn sockets() -> Vec<Case> {
    const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }
    /// Fills the socket's buffers and then waits.
    fn fill(mut socket: impl Write) {
        while socket.write(&[0; 65_536]).is_ok() {}
    }
    fn read(name: &'static str, wait: fn(&TcpStream)) -> Case {
        let (socket, mut peer) = pair();
        let socket = Arc::new(socket);
        let waiting = Arc::clone(&socket);
        let check = move || {
            peer.write_all(b"late").unwrap();
            let mut buf = [0; 4];
            (&*socket).read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"late");
        };
        case(name, move || wait(&waiting), check)
    }
    let accept = {
        let listener = Arc::new(TcpListener::bind(LOOPBACK).unwrap());
        let waiting = Arc::clone(&listener);
        let check = move || {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            listener.accept().unwrap();
        };
        case("TcpListener::accept", move || _ = waiting.accept(), check)
    };
    let write = {
        let (socket, peer) = pair();
        let check = move || {
            let mut buf = [1];
            (&peer).read_exact(&mut buf).unwrap();
            assert_eq!(buf, [0]);
        };
        case("TcpStream::write", move || fill(&socket), check)
    };
    let udp = {
        let socket = UdpSocket::bind(LOOPBACK).unwrap();
        case("UdpSocket::recv_from", move || _ = socket.recv_from(&mut [0; 8]), || ())
    };
    let (unix, unix_peer) = UnixStream::pair().unwrap();
    let (full, full_peer) = UnixStream::pair().unwrap();
    let (datagram, datagram_peer) = UnixDatagram::pair().unwrap();
    let (crowded, crowded_peer) = UnixDatagram::pair().unwrap();
    static SOCKETS: AtomicUsize = AtomicUsize::new(0);
    let name = format!("throng-cancel-{}-{}", std::process::id(), SOCKETS.fetch_add(1, SeqCst));
    let path = std::env::temp_dir().join(name);
    let unix_listener = UnixListener::bind(&path).unwrap();
    vec![
        read("TcpStream::read", |mut s| _ = s.read(&mut [0; 8])),
        read("TcpStream::peek", |s| _ = s.peek(&mut [0; 8])),
        read("TcpStream::read with a time-out", |mut s| {
            s.set_read_timeout(Some(HOUR)).unwrap();
            let _ = s.read(&mut [0; 8]);
        }),
        accept,
        write,
        udp,
        case("UnixStream::read", move || _ = (&unix).read(&mut [0; 8]), || drop(unix_peer)),
        case("UnixStream::write", move || fill(&full), || drop(full_peer)),
        case("UnixDatagram::recv", move || _ = datagram.recv(&mut [0; 8]), || drop(datagram_peer)),
        case("UnixDatagram::send", move || while crowded.send(&[0; 64]).is_ok() {}, || drop(crowded_peer)),
        case("UnixListener::accept", move || _ = unix_listener.accept(), move || std::fs::remove_file(path).unwrap()),
    ]
}

fn can_be_simulated() -> Vec<Case> {
    [receiving(), sending(), locks(), meeting_points(), tasks()].into_iter().flatten().collect()
}

/// `run` gets a wait that announces itself first, and must come back once it was cancelled.
fn each_of(cases: Vec<Case>, run: impl Fn(&(dyn Fn() + Send + Sync), &Receiver<()>)) {
    for Case { name, wait, check } in cases {
        println!("{name}");
        let (begin, begun) = unbounded();
        let wait = move || {
            begin.send(()).unwrap();
            wait();
            unreachable!("the wait doesn't end by itself");
        };
        run(&wait, &begun);
        drop(wait);
        check();
    }
}

fn each_for_real(run: impl Fn(&(dyn Fn() + Send + Sync), &Receiver<()>)) {
    each_of([can_be_simulated(), loops(), sockets()].into_iter().flatten().collect(), run);
}

fn each(run: impl Fn(&(dyn Fn() + Send + Sync), &Receiver<()>) + Copy + 'static) {
    each_for_real(run);
    simulated_in_cases(move || each_of(can_be_simulated(), run));
}

/// Lets the other one get from the announcement into its wait. That it gets there matters to what is tested, not to
/// whether the test succeeds.
fn settle(begun: &Receiver<()>) {
    begun.recv().unwrap();
    if is_simulated() {
        (0..3).for_each(|_| task::yield_now());
    } else {
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Runs `f` where the test may block its kernel thread, with two workers.
fn as_task<T: Send>(f: impl FnOnce() -> T + Send, meanwhile: impl FnOnce(&throng::ScopedJoinHandle<'_, T>)) -> T {
    throng::scope(|s| {
        let handle = s.spawn(f);
        meanwhile(&handle);
        handle.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    })
}

#[test]
fn by_the_handle_while_it_waits() {
    each(|wait, begun| {
        let ended = as_task(
            || catch_unwind(AssertUnwindSafe(wait)),
            |handle| {
                settle(begun);
                handle.cancel();
            },
        );
        assert!(ended.unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn by_the_handle_before_it_waits() {
    each(|wait, _| {
        let cancelled = AtomicBool::new(false);
        let ended = as_task(
            || {
                cancel::shield(|| until(|| cancelled.load(SeqCst)));
                catch_unwind(AssertUnwindSafe(wait))
            },
            |handle| {
                handle.cancel();
                cancelled.store(true, SeqCst);
            },
        );
        assert!(ended.unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn by_a_token_while_it_waits() {
    each(|wait, begun| {
        let token = Token::new();
        let ended = as_task(
            || token.run(wait),
            |_| {
                settle(begun);
                token.cancel();
            },
        );
        ended.unwrap_err();
    });
}

#[test]
fn by_a_token_while_a_thread_waits() {
    each_for_real(|wait, begun| {
        let token = Token::new();
        std::thread::scope(|s| {
            let thread = s.spawn(|| token.run(wait).unwrap_err());
            settle(begun);
            token.cancel();
            thread.join().unwrap();
        });
    });
}

#[test]
fn by_a_token_before_it_waits() {
    each(|wait, _| {
        let token = Token::new();
        token.cancel();
        token.run(wait).unwrap_err();
        as_task(|| token.run(wait).unwrap_err(), |_| ());
    });
}

#[test]
fn by_a_time_limit() {
    each(|wait, _| {
        timeout(ms(1), wait).unwrap_err();
        as_task(|| timeout(ms(1), wait).unwrap_err(), |_| ());
    });
}

#[test]
fn by_a_time_limit_that_has_passed() {
    each(|wait, _| {
        timeout(Duration::ZERO, wait).unwrap_err();
        as_task(|| timeout(Duration::ZERO, wait).unwrap_err(), |_| ());
    });
}

/// `task::park` is a task's wait alone.
#[test]
fn park() {
    in_tasks(|_| {
        timeout(ms(1), task::park).unwrap_err();
        timeout(ms(1), || task::park_timeout(HOUR)).unwrap_err();
        // The token of an unpark that came in time isn't lost with a cancellation.
        task::current().unpark();
        timeout(Duration::ZERO, task::park).unwrap();
    });
}

/// Many waits cancelled at once, in one sweep.
#[test]
fn a_thousand_at_once() {
    in_tasks(|_| {
        let count = if is_simulated() { 9 } else { common::scaled(300, 3000) };
        let (token, waiting) = (Token::new(), Arc::new(AtomicUsize::new(0)));
        throng::scope(|s| {
            for i in 0..count {
                let (token, waiting) = (token.child(), Arc::clone(&waiting));
                s.spawn(move || {
                    waiting.fetch_add(1, SeqCst);
                    match i % 3 {
                        0 => token.run(task::park),
                        1 => token.run(|| task::sleep(HOUR)),
                        _ => token.run(|| _ = never::<()>().recv()),
                    }
                    .unwrap_err();
                });
            }
            until(|| waiting.load(SeqCst) > count / 2);
            token.cancel();
        });
    });
}
