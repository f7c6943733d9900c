//! Tasks that keep their kernel threads unannounced, by computing on and on or by blocking, don't hold up the others.

mod common;
#[path = "common/stuck.rs"]
mod stuck;

use common::{WORKERS, ms, runtime, scaled, until};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::{io, thread};
use stuck::{Gate, Stuck, WAYS, Way, ordinary_work, short_of_threads};
use throng::chan::{after, bounded, unbounded};
use throng::net::{TcpListener, TcpStream, UnixStream};
use throng::task;

#[test]
fn others_go_on_beside_spinners_and_sleepers() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            let stuck = Stuck::new(&runtime, 2 * workers + 1, way);
            // Now with some of them waiting to begin, then with all of them stuck.
            ordinary_work(&runtime);
            let stuck = stuck.all_begun();
            ordinary_work(&runtime);
            stuck.release();
            ordinary_work(&runtime);
        }
    }
}

/// Not inlined: what is a thread's may be looked up once in a function, and so before a wait for what comes after it.
#[inline(never)]
fn this_thread() -> thread::ThreadId {
    thread::current().id()
}

#[test]
fn one_that_runs_on_keeps_its_thread() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let gate = Arc::new(Gate::default());
        let opener = Arc::clone(&gate);
        let runs = runtime.spawn(move || {
            let here = this_thread();
            gate.pass(Way::Spins);
            assert_eq!(this_thread(), here);
        });
        ordinary_work(&runtime);
        opener.open();
        runs.join().unwrap();
    }
}

/// The one that wakes it has taken its thread, and runs on there.
#[test]
fn one_that_waits_may_go_on_on_another_thread() {
    runtime(1).run(|| {
        let moves = || {
            let (me, here, gate) = (task::current(), this_thread(), Arc::new(Gate::default()));
            let waker = throng::spawn({
                let gate = Arc::clone(&gate);
                move || {
                    me.unpark();
                    gate.pass(Way::Spins);
                }
            });
            task::park();
            let there = this_thread();
            gate.open();
            waker.join().unwrap();
            here != there
        };
        // Another thread may have begun the waker, if this one was kept from running for long.
        while !moves() {}
    });
}

/// A runtime whose tasks are stuck isn't idle: it is told of their end.
#[test]
fn a_runtime_is_dropped_while_tasks_are_stuck() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            let stuck = Stuck::new(&runtime, workers + 1, way).all_begun();
            let ended = Arc::new(AtomicUsize::new(0));
            let waits = runtime.spawn({
                let ended = Arc::clone(&ended);
                move || {
                    let _counted = common::Dropped(ended);
                    task::park();
                }
            });
            thread::scope(|s| {
                s.spawn(move || drop(runtime));
                // The drop ends what waits, although all threads were kept.
                until(|| waits.is_finished());
                stuck.release();
            });
            assert!(ended.load(SeqCst) <= 1);
        }
    }
}

/// Something that blocks a kernel thread, and what ends that, for a number of tasks.
struct Case {
    name: &'static str,
    block: Box<dyn Fn() + Send + Sync>,
    end: Box<dyn FnOnce() + Send>,
}

fn case(name: &'static str, block: impl Fn() + Send + Sync + 'static, end: impl FnOnce() + Send + 'static) -> Case {
    Case { name, block: Box::new(block), end: Box::new(end) }
}

fn cases(tasks: usize) -> Vec<Case> {
    let mut cases = Vec::new();

    let lock = Arc::new(Mutex::new(()));
    let ((tell, told), (go, wait)) = (mpsc::channel(), mpsc::channel());
    let holder = thread::spawn({
        let lock = Arc::clone(&lock);
        move || {
            let _held = lock.lock().unwrap();
            tell.send(()).unwrap();
            wait.recv().unwrap();
        }
    });
    told.recv().unwrap();
    cases.push(case(
        "a mutex of std, held by a thread",
        move || drop(lock.lock().unwrap()),
        move || {
            go.send(()).unwrap();
            holder.join().unwrap();
        },
    ));

    let (reader, mut writer) = io::pipe().unwrap();
    cases.push(case(
        "a read from a pipe",
        move || (&reader).read_exact(&mut [0]).unwrap(),
        move || writer.write_all(&vec![0; tasks]).unwrap(),
    ));

    const MUCH: usize = 1 << 17;
    let (mut reader, writer) = io::pipe().unwrap();
    cases.push(case(
        "a write to a pipe",
        move || (&writer).write_all(&[0; MUCH]).unwrap(),
        move || reader.read_exact(&mut vec![0; tasks * MUCH]).unwrap(),
    ));

    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    cases.push(case(
        "a read from a socket of std",
        move || assert_eq!((&near).read(&mut [0]).unwrap(), 0),
        move || drop(far),
    ));

    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    cases.push(case(
        "a receiver of std's, in a mutex of std",
        move || receiver.lock().unwrap().recv().unwrap(),
        move || (0..tasks).for_each(|_| sender.send(()).unwrap()),
    ));

    let (sender, receiver) = mpsc::sync_channel(0);
    cases.push(case(
        "a sender of std's",
        move || sender.send(()).unwrap(),
        move || (0..tasks).for_each(|_| receiver.recv().unwrap()),
    ));

    let gate = Arc::new(Gate::default());
    let opener = Arc::clone(&gate);
    cases.push(case(
        "a join of a thread",
        move || {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.pass(Way::Sleeps)).join().unwrap();
        },
        move || opener.open(),
    ));

    let barrier = Barrier::new(tasks);
    // Each of them needs a thread of its own.
    cases.push(case("a barrier of std", move || _ = barrier.wait(), || {}));

    cases.push(case("a sleep", || thread::sleep(ms(2)), || {}));
    cases
}

/// One of the tasks ends what the others wait for.
#[test]
fn whatever_blocks_a_thread() {
    for workers in WORKERS {
        let runtime = runtime(workers);
        let tasks = 2 * workers + 1;
        for case in cases(tasks) {
            println!("{workers} workers: {}", case.name);
            let begun = Arc::new(AtomicUsize::new(0));
            let block = Arc::new(case.block);
            let blocked: Vec<_> = (0..tasks)
                .map(|_| {
                    let (begun, block) = (Arc::clone(&begun), Arc::clone(&block));
                    runtime.spawn(move || {
                        begun.fetch_add(1, SeqCst);
                        block();
                    })
                })
                .collect();
            until(|| begun.load(SeqCst) == tasks);
            runtime.run(case.end);
            blocked.into_iter().for_each(|task| task.join().unwrap());
        }
    }
}

#[test]
fn the_queue_of_one_that_is_stuck() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            // More than a slot holds, and more than is stolen at a time.
            let gate = Arc::new(Gate::default());
            let open = gate.opener(100);
            runtime.run(|| {
                (0..100).for_each(|_| drop(throng::spawn(open.clone())));
                gate.pass(way);
            });
        }
    }
}

/// Those who are on duty always have something else to do. That is no reason to leave the queue of one that is stuck.
#[test]
fn the_queue_of_one_that_is_stuck_beside_busy_ones() {
    for workers in WORKERS {
        for way in WAYS {
            for yields in [false, true] {
                println!("{workers} workers, {way:?}, {yields}");
                let runtime = runtime(workers);
                let gate = Arc::new(Gate::default());
                let busy: Vec<_> = (0..workers)
                    .map(|_| {
                        let gate = Arc::clone(&gate);
                        runtime.spawn(move || {
                            if yields {
                                return until(|| gate.is_open());
                            }
                            let (there, at) = bounded(0);
                            throng::scope(|scope| {
                                scope.spawn(move || at.iter().for_each(|()| ()));
                                while !gate.is_open() {
                                    there.send(()).unwrap();
                                }
                                drop(there);
                            });
                        })
                    })
                    .collect();
                let open = gate.opener(100);
                runtime.run(|| {
                    (0..100).for_each(|_| drop(throng::spawn(open.clone())));
                    gate.pass(way);
                });
                busy.into_iter().for_each(|task| task.join().unwrap());
            }
        }
    }
}

/// The one that was woken last lies where only its waker's worker looks for it in a hurry.
#[test]
fn the_next_slot_of_one_that_is_stuck() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            runtime.run(|| {
                for _ in 0..scaled(5, 20) {
                    let gate = Arc::new(Gate::default());
                    let woken = throng::spawn({
                        let gate = Arc::clone(&gate);
                        move || {
                            task::park();
                            gate.open();
                        }
                    });
                    task::yield_now();
                    woken.task().unpark();
                    gate.pass(way);
                    woken.join().unwrap();
                }
            });
        }
    }
}

/// It goes on to wake others while it is stuck. The answer comes by a flag, so it never waits.
#[test]
fn one_that_is_stuck_wakes_others() {
    for workers in WORKERS {
        for way in [Way::Spins, Way::Sleeps] {
            let runtime = runtime(workers);
            let (s, r) = unbounded::<Arc<Gate>>();
            let answers = runtime.spawn(move || r.iter().for_each(|gate| gate.open()));
            runtime.run(|| {
                for round in 0..scaled(20, 100) {
                    let gate = Arc::new(Gate::default());
                    s.send(Arc::clone(&gate)).unwrap();
                    if round % 2 == 0 {
                        gate.pass(way);
                    } else {
                        // Another way to run on.
                        while !gate.is_open() {
                            thread::yield_now();
                        }
                    }
                }
                drop(s);
            });
            answers.join().unwrap();
        }
    }
}

#[test]
fn the_timers_of_those_that_are_stuck() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            let gate = Arc::new(Gate::default());
            let open = gate.opener(2 * workers);
            let tasks: Vec<_> = (0..2 * workers)
                .map(|i| {
                    let open = open.clone();
                    runtime.spawn(move || {
                        // Its sleeper's timer is on the very worker that it keeps, unless the sleeper was stolen.
                        throng::spawn(move || {
                            task::sleep(ms(1 + i as u64 % 5));
                            open();
                        });
                        task::yield_now();
                    })
                })
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            let stuck: Vec<_> = (0..workers + 1)
                .map(|_| {
                    let gate = Arc::clone(&gate);
                    runtime.spawn(move || gate.pass(way))
                })
                .collect();
            stuck.into_iter().for_each(|task| task.join().unwrap());
        }
    }
}

/// Whoever polls them may be stuck.
#[test]
fn the_sockets_of_those_that_are_stuck() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            let (near, mut far): (Vec<_>, Vec<_>) = (0..8).map(|_| UnixStream::pair().unwrap()).unzip();
            let echoes: Vec<_> = near
                .into_iter()
                .map(|mut near| {
                    runtime.spawn(move || {
                        let mut byte = [0];
                        while near.read(&mut byte).unwrap() == 1 {
                            near.write_all(&byte).unwrap();
                        }
                    })
                })
                .collect();
            // A first answer, so that all wait in the poller.
            let mut echo = |byte: u8| {
                for socket in &mut far {
                    let mut answer = [0];
                    socket.write_all(&[byte]).unwrap();
                    socket.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [byte]);
                }
            };
            echo(1);
            let stuck = Stuck::new(&runtime, workers + 1, way).all_begun();
            (2..5).for_each(&mut echo);
            stuck.release();
            drop(far);
            echoes.into_iter().for_each(|task| task.join().unwrap());
        }
    }
}

/// Somebody else's waker may do what it likes.
struct Slow {
    gate: Arc<Gate>,
    way: Way,
    called: AtomicUsize,
}

impl Wake for Slow {
    fn wake(self: Arc<Self>) {
        self.called.fetch_add(1, SeqCst);
        self.gate.pass(self.way);
    }
}

fn slow(way: Way) -> (Arc<Slow>, Waker) {
    let slow = Arc::new(Slow { gate: Arc::new(Gate::default()), way, called: AtomicUsize::new(0) });
    (Arc::clone(&slow), Waker::from(slow))
}

#[test]
fn a_foreign_waker_that_blocks_when_a_task_calls_it() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            let wakers: Vec<_> = (0..workers + 1).map(|_| slow(way)).collect();
            let senders: Vec<_> = wakers
                .iter()
                .map(|(_, waker)| {
                    let (s, r) = unbounded();
                    let mut future = Box::pin(async move { r.recv_async().await });
                    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(waker)).is_pending());
                    runtime.spawn(move || {
                        s.send(()).unwrap();
                        drop(future);
                    })
                })
                .collect();
            for (slow, _) in &wakers {
                until(|| slow.called.load(SeqCst) > 0);
            }
            ordinary_work(&runtime);
            runtime.run(|| wakers.iter().for_each(|(slow, _)| slow.gate.open()));
            senders.into_iter().for_each(|task| task.join().unwrap());
        }
    }
}

/// A timer's waker is called by a worker, or by a thread that looks after them.
#[test]
fn a_foreign_waker_that_blocks_when_a_timer_calls_it() {
    for workers in WORKERS {
        for way in WAYS {
            let runtime = runtime(workers);
            let (slow, waker) = slow(way);
            let future = runtime.run(|| {
                let r = after(ms(1));
                let mut future = Box::pin(async move { r.recv_async().await });
                assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
                future
            });
            until(|| slow.called.load(SeqCst) > 0);
            ordinary_work(&runtime);
            runtime.run(|| slow.gate.open());
            assert!(throng::future::block_on(future).is_ok());
        }
    }
}

/// As many as there are threads for, and more than processors by far.
#[test]
fn hundreds_of_spinners_and_an_answer() {
    for workers in [1, 4] {
        let runtime = runtime(workers);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = runtime.spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                throng::spawn(move || {
                    let mut bytes = [0; 4];
                    stream.read_exact(&mut bytes).unwrap();
                    stream.write_all(&bytes).unwrap();
                });
            }
        });
        let ask = || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"ping").unwrap();
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"ping");
        };
        let stuck = Stuck::new(&runtime, scaled(100, 300), Way::Spins);
        ask();
        // From among them, too.
        runtime.run(ask);
        stuck.release();
        server.join().unwrap();
    }
}

/// The lock is held across a wait by a task that has begun; those that want it block their threads, all but the last.
#[test]
fn holders_of_a_mutex_of_std_that_sleep() {
    for workers in WORKERS {
        let runtime = short_of_threads(workers, 64);
        let lock = Arc::new(Mutex::new(0));
        let holders = scaled(150, 2000);
        let tasks: Vec<_> = (0..holders)
            .map(|i| {
                let lock = Arc::clone(&lock);
                runtime.spawn(move || {
                    let mut held = lock.lock().unwrap();
                    if i % 2 == 0 {
                        task::sleep(ms(1));
                    } else {
                        task::yield_now();
                    }
                    *held += 1;
                })
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        assert_eq!(*lock.lock().unwrap(), holders);
    }
}
