//! `select!` and `select_biased!`: the grammar, what is evaluated when, what a body may do.

#![forbid(unsafe_code)] // There is none in the macro either.
// The forms that the grammar takes are the matter here, not the best ones.
#![allow(clippy::never_loop, clippy::redundant_closure_call, clippy::unnecessary_literal_unwrap)]

mod common;

use common::{everywhere, message, ms, until};
use std::cell::Cell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use throng::chan::{
    self, Receiver, RecvError, Select, SendError, Sender, TryRecvError, after, bounded, never, unbounded,
};
use throng::{select, select_biased};

#[test]
fn the_arm_that_is_ready_runs() {
    let ((s1, r1), (s2, r2)) = (unbounded::<i32>(), bounded::<&str>(1));
    s1.send(1).unwrap();
    select! {
        recv(r1) -> msg => assert_eq!(msg, Ok(1)),
        recv(r2) -> _ => unreachable!(),
    }
    s2.send("two").unwrap();
    select! {
        recv(r1) -> _ => unreachable!(),
        recv(r2) -> msg => assert_eq!(msg, Ok("two")),
    }
    select! {
        recv(r1) -> _ => unreachable!(),
        recv(r2) -> _ => unreachable!(),
        send(s2, "three") -> res => assert_eq!(res, Ok(())),
    }
    select! {
        send(s2, "four") -> _ => unreachable!(),
        default => {}
    }
    drop(s1);
    select! {
        recv(r1) -> msg => assert_eq!(msg, Err(RecvError)),
        send(s2, "four") -> _ => unreachable!(),
    }
    drop(r2);
    select! {
        send(s2, "five") -> res => assert_eq!(res, Err(SendError("five"))),
        default => unreachable!(),
    }
}

/// Every way to write an arm, with and without commas; each must parse as the last and before another.
#[test]
fn arms_are_written_in_many_ways() {
    let (s, r) = unbounded::<i32>();
    select! { recv(r) -> _ => {} default => {} }
    select! { recv(r) -> _ => {}, default => {}, }
    select! { recv(r,) -> _ => (), default() => (), }
    select! { default => (), recv(r) -> _ => () }
    select! { default(ms(0),) => {} recv(r) -> _ => {} }
    select! { default => {} }
    select! { default() => (), }
    select! { default(ms(0)) => {} }
    select! { send(s, 0,) -> _ => {} recv(r) -> _ => {}, default(ms(0)) => () }
    select! { send(s, if true { 1 } else { 2 }) -> _res => {} };
    select! { recv(r) -> msg => { let _: Result<i32, RecvError> = msg; } send(s, 1) -> _ => {} }
    select! { send(s, 0) -> res => { let _: Result<(), SendError<i32>> = res; } }
    select_biased! { recv(r) -> msg => assert!(msg.is_ok()), default => unreachable!(), }
    r.try_iter().for_each(drop);
    let value = select! {
        recv(r) -> _ => loop { unreachable!() },
        recv(never::<()>()) -> _ => match 1 { _ => unreachable!() },
        recv(r) -> _ => if true { unreachable!() } else { 4.5 },
        recv(never::<u8>()) -> _ => unsafe_free(|x| x + 0.5),
        default => 7.,
    };
    assert_eq!(value, 7.0);
    // Bodies that begin with a block or a keyword, and bodies that are macros.
    let text = select! {
        recv(r) -> msg => format!("{msg:?}"),
        default => { String::from("none") }
    };
    assert_eq!(text, "none");
}

fn unsafe_free(f: impl Fn(f64) -> f64) -> f64 {
    f(0.0)
}

#[test]
fn results_are_bound_by_patterns() {
    let (s, r) = unbounded();
    s.send((1, "a")).unwrap();
    select! {
        recv(r) -> ref msg => assert_eq!(*msg, Ok((1, "a"))),
        default => unreachable!(),
    }
    s.send((2, "b")).unwrap();
    select! {
        recv(r) -> mut msg => {
            msg = msg.map(|(n, text)| (n + 1, text));
            assert_eq!(msg, Ok((3, "b")));
        }
        recv(never::<()>()) -> _ => {}
    }
    // A name of the user's doesn't meet one of the macro's.
    let (oper, a0, res) = (1, 2, 3);
    select! {
        recv(r) -> _ => unreachable!(),
        send(s, (oper + a0 + res, "c")) -> r => assert_eq!((r, oper, a0, res), (Ok(()), 1, 2, 3)),
    }
    select! {
        recv(r) -> r => assert_eq!(r, Ok((6, "c"))),
    }
}

#[test]
fn a_body_may_go_anywhere() {
    fn early(r: &Receiver<i32>, q: &Receiver<i32>) -> Result<&'static str, RecvError> {
        let mut turns = 0;
        'turns: loop {
            turns += 1;
            select! {
                recv(r) -> msg => match msg? {
                    0 => continue,
                    1 => break 'turns,
                    2 => return Ok("two"),
                    _ => {}
                },
                recv(q) -> _ => unreachable!(),
            }
            assert!(turns < 10);
        }
        Ok("one")
    }
    let ((s, r), (_s, q)) = (unbounded(), unbounded());
    [0, 5, 0, 1].into_iter().for_each(|i| s.send(i).unwrap());
    assert_eq!(early(&r, &q), Ok("one"));
    [0, 2].into_iter().for_each(|i| s.send(i).unwrap());
    assert_eq!(early(&r, &q), Ok("two"));
    drop(s);
    assert_eq!(early(&r, &q), Err(RecvError));
}

#[test]
fn the_value_is_that_of_the_body() {
    let ((s, r), (lone, _)) = (unbounded::<i32>(), bounded(0));
    for expected in ["sent", "received", "nothing"] {
        let text: String = select_biased! {
            recv(r) -> _ => "received".into(),
            send(if expected == "sent" { &s } else { &lone }, 0) -> res => match res {
                Ok(()) => "sent".to_owned(),
                Err(_) => "nothing".to_string(),
            },
            default => unreachable!(),
        };
        assert_eq!(text, expected);
    }
}

#[test]
fn a_body_owns_what_it_uses() {
    let (s, r) = unbounded::<i32>();
    let (one, two, three) = (Box::new(1), Box::new(2), Box::new(3));
    select! {
        recv(r) -> _ => drop(one),
        send(s, 0) -> _ => drop((one, two)),
        default => drop((one, three)),
    }
    // Not even the channels are borrowed any more.
    select! {
        recv(r) -> _ => drop(r),
        send(s, 1) -> _ => drop((s, r)),
    }
}

#[test]
fn channels_may_be_references_and_temporaries() {
    let (s, r) = unbounded::<i32>();
    select! { send(&&&s, 0) -> _ => {} }
    select! { recv(&&&r) -> msg => assert_eq!(msg, Ok(0)), default => unreachable!() }
    select! { recv(Some(&r).unwrap_or(&never())) -> _ => unreachable!(), default => {} }
    let boxed = (Box::new(s.clone()), Box::new(r.clone()));
    select! { send(*boxed.0, 1) -> _ => {} recv(never::<()>()) -> _ => {} }
    select! { recv(boxed.1) -> msg => assert_eq!(msg, Ok(1)), recv(never::<()>()) -> _ => {} }
    select! {
        recv((move || r)()) -> _ => unreachable!(),
        send((move || s)(), 0) -> res => assert_eq!(res, Ok(())),
    }
}

#[test]
fn channels_may_be_what_dereferences_to_them() {
    struct MySender<T>(Sender<T>);
    struct MyReceiver<T>(Receiver<T>);
    impl<T> Deref for MySender<T> {
        type Target = Sender<T>;
        fn deref(&self) -> &Sender<T> {
            &self.0
        }
    }
    impl<T> Deref for MyReceiver<T> {
        type Target = Receiver<T>;
        fn deref(&self) -> &Receiver<T> {
            &self.0
        }
    }
    let (s, r) = bounded(1);
    let (s, r) = (MySender(s), MyReceiver(r));
    select_biased! {
        recv(r) -> _ => unreachable!(),
        send(s, 4) -> res => assert_eq!(res, Ok(())),
    }
    select! {
        recv(r) -> msg => assert_eq!(msg, Ok(4)),
        default => unreachable!(),
    }
}

#[test]
fn types_are_inferred() {
    let (s, r) = unbounded();
    select! { recv(r) -> _ => {} default => {} }
    s.send(1_u8).unwrap();
    let (s, r) = unbounded();
    select! { send(s, ()) -> _ => {} recv(never::<u8>()) -> _ => {} }
    r.recv().unwrap();
}

#[test]
fn everything_is_evaluated_once_and_the_message_only_if_it_is_sent() {
    everywhere(|| {
        let ((s, r), (full, _r)) = (unbounded::<i32>(), bounded::<i32>(0));
        let log = Cell::new(String::new());
        let note = |what: &str| log.set(log.take() + what);
        for _ in 0..20 {
            select! {
                recv({ note("a"); &_r }) -> _ => unreachable!(),
                send({ note("b"); &full }, { note("!"); 1 }) -> _ => unreachable!(),
                send({ note("c"); &s }, { note("d"); 2 }) -> res => { res.unwrap(); note("e"); }
                default({ note("t"); Duration::ZERO }) => unreachable!(),
            }
            assert_eq!(log.take(), "abctde");
        }
        assert_eq!(r.len(), 20);
        select! {
            recv({ note("a"); &_r }) -> _ => unreachable!(),
            default({ note("t"); Duration::ZERO }) => note("x"),
        }
        assert_eq!(log.take(), "atx");
    });
}

#[test]
fn selects_nest() {
    let (s, r) = unbounded::<i32>();
    drop(s);
    let depth = select! {
        recv(r) -> _ => select! {
            recv(r) -> _ => {
                select_biased! {
                    recv(r) -> _ => select! { default => 3 },
                    default => 2,
                }
            }
            default => 1,
        },
        recv(r) -> _ => 3,
    };
    assert_eq!(depth, 3);
    // Also in the message of a send.
    let (s, r) = unbounded();
    select! {
        send(s, select! { default => 1 }) -> _ => {}
        recv(never::<()>()) -> _ => {}
    }
    assert_eq!(r.try_recv(), Ok(1));
}

#[test]
fn there_may_be_many_arms() {
    let (s, r) = unbounded::<i32>();
    let n = never::<i32>;
    s.send(7).unwrap();
    let got = select! {
        recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
        recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
        recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m,
        recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(n()) -> m => m, recv(r) -> m => m,
    };
    assert_eq!(got, Ok(7));
}

#[test]
fn it_waits_for_the_first() {
    everywhere(|| {
        for capacity in [0, 1] {
            let ((s1, r1), (s2, r2)) = (bounded(capacity), bounded::<i32>(capacity));
            throng::scope(|scope| {
                scope.spawn(|| {
                    throng::task::sleep(ms(2));
                    s1.send(1).unwrap();
                });
                select! {
                    recv(r1) -> msg => assert_eq!(msg, Ok(1)),
                    recv(r2) -> _ => unreachable!(),
                }
                select! {
                    recv(r1) -> _ => unreachable!(),
                    recv(r2) -> _ => unreachable!(),
                    default(ms(2)) => {}
                }
                scope.spawn(|| {
                    throng::task::sleep(ms(2));
                    drop(s2);
                });
                select! {
                    recv(r1) -> _ => unreachable!(),
                    recv(r2) -> msg => assert_eq!(msg, Err(RecvError)),
                }
            });
            // Losing arms leave nothing behind.
            assert_eq!(r1.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(s1.try_send(3).is_ok(), capacity == 1);
        }
    });
}

#[test]
fn a_peer_waits_for_the_message_of_a_chosen_send() {
    fn slow(value: i32) -> i32 {
        throng::task::sleep(ms(2));
        value
    }
    everywhere(|| {
        let (s, r) = bounded(0);
        throng::scope(|scope| {
            // A receiver that waits, plainly or in a select, or tries when the sender waits.
            let plain = scope.spawn(|| r.recv());
            select! {
                send(s, slow(1)) -> res => assert_eq!(res, Ok(())),
                recv(never::<()>()) -> _ => unreachable!(),
            }
            assert_eq!(plain.join().unwrap(), Ok(1));

            let chosen = scope.spawn(|| {
                select! {
                    recv(r) -> msg => msg,
                    recv(never::<i32>()) -> _ => unreachable!(),
                }
            });
            select! { send(s, slow(2)) -> res => assert_eq!(res, Ok(())) }
            assert_eq!(chosen.join().unwrap(), Ok(2));

            let sender = scope.spawn(|| select! { send(s, slow(3)) -> res => res });
            until(|| {
                let mut select = Select::new();
                select.recv(&r);
                select.try_ready().is_ok()
            });
            assert_eq!(r.try_recv(), Ok(3));
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    });
}

#[test]
fn a_message_that_panics_frees_its_peer() {
    fn fail() -> i32 {
        panic!("no message")
    }
    everywhere(|| {
        for capacity in [Some(0), Some(1), None] {
            let (s, r) = capacity.map_or_else(unbounded, bounded);
            throng::scope(|scope| {
                let receiver = scope.spawn(|| r.recv());
                let sending = AssertUnwindSafe(|| {
                    select! {
                        send(s, fail()) -> _ => unreachable!(),
                        recv(never::<()>()) -> _ => unreachable!(),
                    }
                });
                let panic = catch_unwind(sending).unwrap_err();
                assert_eq!(message(&*panic), "no message");
                // The room is free again, and the receiver takes the next message.
                s.send(1).unwrap();
                assert_eq!(receiver.join().unwrap(), Ok(1));
                assert_eq!(s.try_send(2).is_ok(), capacity != Some(0));
            });
        }
    });
}

#[test]
fn a_panicking_body_loses_nothing_but_its_own_message() {
    let (s, r) = unbounded();
    (0..3).for_each(|i| s.send(i).unwrap());
    let receive = AssertUnwindSafe(|| {
        select! {
            recv(r) -> msg => panic!("{}", msg.unwrap()),
            recv(never::<()>()) -> _ => {}
        }
    });
    assert_eq!(message(&*catch_unwind(receive).unwrap_err()), "0");
    assert_eq!(r.try_iter().collect::<Vec<_>>(), [1, 2]);
}

/// The same channel on both sides of one select: it doesn't meet itself.
#[test]
fn a_select_does_not_send_to_itself() {
    everywhere(|| {
        let (s, r) = bounded::<i32>(0);
        for _ in 0..50 {
            select! {
                send(s, 1) -> _ => unreachable!(),
                recv(r) -> _ => unreachable!(),
                default(Duration::from_micros(10)) => {}
            }
            select! {
                send(s, 1) -> _ => unreachable!(),
                recv(r) -> _ => unreachable!(),
                default => {}
            }
        }
    });
}

/// Two that both send and receive on one channel: each round one sends and the other receives.
#[test]
fn two_of_a_kind_meet() {
    everywhere(|| {
        let (s, r) = bounded::<usize>(0);
        let turn = |own: usize| {
            let mut balance = 0_i64;
            for _ in 0..300 {
                select! {
                    send(s, own) -> res => { res.unwrap(); balance += 1; }
                    recv(r) -> msg => { assert_eq!(msg, Ok(1 - own)); balance -= 1; }
                }
            }
            balance
        };
        let (a, b) = throng::scope(|scope| {
            let a = scope.spawn(|| turn(0));
            let b = scope.spawn(|| turn(1));
            (a.join().unwrap(), b.join().unwrap())
        });
        assert_eq!(a + b, 0);
    });
}

#[test]
fn choices_are_fair_or_biased() {
    let ((s1, r1), (s2, r2)) = (unbounded(), bounded(6_000));
    (0..6_000).for_each(|_| (s1.send(()).unwrap(), s2.send(()).unwrap()).0);
    let mut hits = [0; 4];
    for _ in 0..6_000 {
        select! {
            recv(r1) -> _ => hits[0] += 1,
            recv(r2) -> _ => hits[1] += 1,
            recv(after(Duration::ZERO)) -> _ => hits[2] += 1,
            recv(chan::tick(Duration::ZERO)) -> _ => hits[3] += 1,
        }
    }
    assert!(hits.iter().all(|hits| *hits > 1_000), "{hits:?}");

    // Where one of three is never ready, the others share alike.
    let mut hits = [0; 2];
    for _ in 0..2_000 {
        select! {
            recv(r1) -> _ => hits[0] += 1,
            recv(never::<()>()) -> _ => unreachable!(),
            recv(r2) -> _ => hits[1] += 1,
        }
    }
    assert!(hits.iter().all(|hits| *hits > 800), "{hits:?}");

    let left = r2.len();
    for turn in 0..left + 10 {
        select_biased! {
            recv(r2) -> _ => assert!(turn < left),
            send(s1, ()) -> _ => assert!(turn >= left),
            recv(r1) -> _ => unreachable!(),
            default => unreachable!(),
        }
    }
}

/// One of two channels always holds the message; a select that sees one instant never finds both empty.
#[test]
fn default_means_that_no_arm_was_ready_at_one_instant() {
    let rounds = common::scaled(300, 20_000);
    let ((s1, r1), (s2, r2)) = (bounded(2), unbounded());
    std::thread::scope(|scope| {
        let (go, start) = bounded::<()>(0);
        let (done, end) = bounded::<()>(0);
        let (r1, r2, s1, s2) = (&r1, &r2, &s1, &s2);
        scope.spawn(move || {
            while start.recv().is_ok() {
                // Back and forth: there is a message at every instant, but never for long at one place.
                for _ in 0..4 {
                    s2.send(()).unwrap();
                    if r1.try_recv().is_err() {
                        break;
                    }
                    s1.send(()).unwrap();
                    if r2.try_recv().is_err() {
                        break;
                    }
                }
                done.send(()).unwrap();
            }
        });
        for _ in 0..rounds {
            s1.send(()).unwrap();
            go.send(()).unwrap();
            select! {
                recv(r1) -> _ => {}
                recv(r2) -> _ => {}
                default => panic!("there was a message at every instant"),
            }
            end.recv().unwrap();
            r1.try_iter().chain(r2.try_iter()).for_each(drop);
        }
    });
}

/// Whether a message comes while the select waits or was there before, from a queue or from a sender's hands: it is
/// moved once, into the place of its own type.
#[test]
fn messages_of_all_types_arrive_once() {
    const EACH: usize = 300;
    let alive = Arc::new(());
    for capacity in [0, 1, 4] {
        let (small, numbers) = bounded::<u8>(capacity);
        let (large, arrays) = bounded::<([usize; 40], Arc<()>)>(capacity);
        let (boxed, strings) = bounded::<Box<(String, Arc<()>)>>(capacity);
        for _ in 0..2 {
            let (small, large, boxed) = (small.clone(), large.clone(), boxed.clone());
            let (one, other) = (alive.clone(), alive.clone());
            throng::spawn(move || (0..EACH).for_each(|i| small.send(i as u8).unwrap()));
            throng::spawn(move || (0..EACH).for_each(|i| large.send(([i; 40], one.clone())).unwrap()));
            throng::spawn(move || {
                (0..EACH).for_each(|i| boxed.send(Box::new((i.to_string(), other.clone()))).unwrap())
            });
        }
        drop((small, large, boxed));
        let select_all = move || {
            let (mut sums, mut open) = ([0; 3], 3);
            let (mut numbers, mut arrays, mut strings) = (numbers, arrays, strings);
            while open > 0 {
                select! {
                    recv(numbers) -> msg => match msg {
                        Ok(_) => sums[0] += 1,
                        Err(_) => (numbers, open) = (never(), open - 1),
                    },
                    recv(arrays) -> msg => match msg {
                        Ok((array, _)) => {
                            assert!(array.iter().all(|&i| i == array[0]));
                            sums[1] += array[0];
                        }
                        Err(_) => (arrays, open) = (never(), open - 1),
                    },
                    recv(strings) -> msg => match msg {
                        Ok(text) => sums[2] += text.0.parse::<usize>().unwrap(),
                        Err(_) => (strings, open) = (never(), open - 1),
                    },
                }
            }
            (sums, (numbers, arrays, strings))
        };
        // Two selects share the channels, one in a task and one in this thread; between them they do all.
        let task = throng::spawn(select_all.clone());
        let (mine, _here) = select_all();
        let (others, _there) = task.join().unwrap();
        let sum = 2 * (0..EACH).sum::<usize>();
        assert_eq!([0, 1, 2].map(|at| mine[at] + others[at]), [2 * EACH, sum, sum]);
    }
    until(|| Arc::strong_count(&alive) == 1);
}
