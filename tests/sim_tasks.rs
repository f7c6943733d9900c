//! Timers, time limits, tokens, scopes and joins, simulated: what comes out is what arithmetic says.

mod common;
#[path = "common/model.rs"]
mod model;

use model::simulate;
use proptest::collection::vec;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use throng::cancel::{Cancelled, Token, shield};
use throng::chan::{after, bounded, tick, unbounded};
use throng::sim::Check;
use throng::sync::Mutex;
use throng::task::{self, sleep, yield_now};
use throng::{scope, select, spawn, time};

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    simulate(60, vec(vec(0..10_u64, 1..4), 1..6), |sleeps| {
        let (start, (s, r)) = (time::now(), unbounded());
        for sleeps in sleeps.clone() {
            let s = s.clone();
            spawn(move || {
                let mut at = 0;
                for n in sleeps {
                    sleep(minutes(n));
                    at += n;
                    assert_eq!(time::now(), start + minutes(at));
                    s.send(at).unwrap();
                }
            });
        }
        drop(s);
        let woken: Vec<u64> = r.iter().collect();
        assert!(woken.is_sorted(), "{woken:?}");
        assert_eq!(woken.len(), sleeps.iter().map(Vec::len).sum::<usize>());
    });
}

/// Time limits around one another, outermost first, and a sleep in them. The shortest decides; among equals any may.
#[test]
fn the_shortest_of_nested_limits_decides() {
    fn nest(limits: &[u64], then: u64) -> Option<usize> {
        match limits.split_first() {
            None => {
                sleep(minutes(then));
                None
            }
            Some((&limit, rest)) => match time::timeout(minutes(limit), || nest(rest, then)) {
                Ok(outcome) => outcome.map(|at| at + 1),
                Err(_) => Some(0),
            },
        }
    }
    simulate(80, (vec(1..8_u64, 0..4), 1..8_u64), |(limits, then)| {
        let start = time::now();
        let outcome = nest(limits, *then);
        let shortest = limits.iter().copied().chain([*then]).min().unwrap();
        assert_eq!(time::now() - start, minutes(shortest));
        assert_eq!(outcome.map_or(*then, |at| limits[at]), shortest);
    });
}

#[test]
fn ticks_and_alarms_come_when_they_are_due() {
    simulate(40, (1..5_u64, 1..12_u64), |&(period, end)| {
        let (start, ticks, end_of_it) = (time::now(), tick(minutes(period)), after(minutes(end)));
        let mut count = 0;
        loop {
            select! {
                recv(ticks) -> due => {
                    count += 1;
                    assert_eq!(due.unwrap(), start + minutes(count * period));
                }
                recv(end_of_it) -> due => {
                    assert_eq!(due.unwrap(), start + minutes(end));
                    break;
                }
            }
        }
        // What is due at the same instant may come first, or not.
        assert!((count * period..=(count + 1) * period).contains(&end), "{count}");
    });
}

/// A tree of tokens, each with its parent's index; tasks wait under them, and some tokens are cancelled.
#[test]
fn a_token_cancels_what_is_below_it_and_nothing_else() {
    let tree = vec((any::<prop::sample::Index>(), any::<bool>()), 1..6);
    simulate(60, tree, |tree| {
        let mut tokens = vec![Token::new()];
        let mut doomed = vec![false];
        for (parent, is_cancelled) in tree {
            let parent = parent.index(tokens.len());
            tokens.push(tokens[parent].child());
            doomed.push(*is_cancelled || doomed[parent]);
        }
        let outcomes = scope(|s| {
            let waiters: Vec<_> =
                tokens.iter().map(|token| s.spawn(|| token.run(|| sleep(minutes(1))).is_err())).collect();
            let observers: Vec<_> = tokens
                .iter()
                .map(|token| {
                    s.spawn(|| {
                        select! { recv(token.done()) -> _ => true, recv(after(minutes(1))) -> _ => false }
                    })
                })
                .collect();
            for (token, _) in tokens[1..].iter().zip(tree).filter(|(_, (_, is_cancelled))| *is_cancelled) {
                token.cancel();
            }
            [waiters, observers].map(|tasks| tasks.into_iter().map(|task| task.join().unwrap()).collect::<Vec<_>>())
        });
        assert_eq!(outcomes, [doomed.clone(), doomed.clone()]);
        assert_eq!(tokens.iter().map(Token::is_cancelled).collect::<Vec<_>>(), doomed);
    });
}

#[derive(Clone, Debug)]
enum Child {
    Returns,
    Panics,
    Scope(Vec<Child>),
}

impl Child {
    fn panics(&self) -> bool {
        match self {
            Child::Returns => false,
            Child::Panics => true,
            Child::Scope(children) => children.iter().any(Child::panics),
        }
    }

    fn run(&self, running: &Mutex<usize>) {
        *running.lock() += 1;
        let result = catch_unwind(AssertUnwindSafe(|| match self {
            Child::Returns => yield_now(),
            Child::Panics => {
                yield_now();
                resume_unwind(Box::new("a child's"));
            }
            Child::Scope(children) => scope(|s| {
                for child in children {
                    s.spawn(|| child.run(running));
                }
            }),
        }));
        *running.lock() -= 1;
        if let Err(payload) = result {
            resume_unwind(payload);
        }
    }
}

#[test]
fn a_scope_ends_after_all_of_its_tasks_and_panics_if_one_did() {
    // Quietly: a scope's own panic is reported each time.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>().is_none_or(|text| *text != "a scoped task panicked") {
            hook(info);
        }
    }));
    let leaf = prop_oneof![3 => Just(Child::Returns), 1 => Just(Child::Panics)];
    let tree = leaf.prop_recursive(3, 8, 3, |inner| vec(inner, 0..4).prop_map(Child::Scope));
    simulate(60, tree, |child| {
        let running = Mutex::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| scope(|s| drop(s.spawn(|| child.run(&running))))));
        assert_eq!((result.is_err(), *running.lock()), (child.panics(), 0));
    });
}

/// However it is cancelled, a task ends as cancelled or as it would have; what it has is dropped; a shield holds.
#[test]
fn a_cancelled_task_loses_nothing_but_itself() {
    Check::new().seeds(1500).check(|| {
        let (s, r) = bounded(1);
        let kept = Arc::new(Mutex::new(0_usize));
        let received = Arc::new(AtomicUsize::new(0));
        let (counter, came) = (Arc::clone(&kept), Arc::clone(&received));
        let receiver = spawn(move || {
            loop {
                let Ok(number) = r.recv() else { return };
                came.fetch_add(number, Relaxed);
                shield(|| {
                    let mut kept = counter.lock();
                    sleep(minutes(1));
                    *kept += number;
                });
            }
        });
        let sender = spawn(move || (1..=3).take_while(|number| s.send(*number).is_ok()).count());
        yield_now();
        receiver.cancel();
        let sent = sender.join().unwrap();
        match receiver.join() {
            Ok(()) => assert_eq!(*kept.lock(), 6),
            Err(payload) => assert!(payload.is::<Cancelled>() && *kept.lock() <= (0..=sent).sum::<usize>()),
        }
        // What it had received it has kept, one after the other.
        assert!([0, 1, 3, 6].contains(&*kept.lock()));
        assert_eq!(*kept.lock(), received.load(Relaxed));
    });
}

#[test]
fn park_takes_one_token_whenever_it_came() {
    Check::new().seeds(1500).check(|| {
        let parks = spawn(|| {
            task::park();
            let start = time::now();
            task::park_timeout(minutes(1));
            time::now() - start
        });
        let (a, b) = (parks.task(), parks.task());
        let [a, b] = [spawn(move || a.unpark()), spawn(move || b.unpark())];
        let waited = parks.join().unwrap();
        // Both tokens came before the first was taken, so it was one; or one after the other.
        assert!([Duration::ZERO, minutes(1)].contains(&waited));
        a.join().unwrap();
        b.join().unwrap();
    });
}
