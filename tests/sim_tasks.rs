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
use throng::chan::{Select, after, at, bounded, tick, unbounded};
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

/// Scopes around one another, each with a token: one that is cancelled at some minute, or has a deadline, or is a child of the
/// one around it; or a mere time limit. What comes first ends the wait inside; the outermost of those that are over by then
/// gets the blame; and whoever is not in the way of it goes on.
#[derive(Clone, Copy, Debug)]
enum Around {
    CancelledAt(u64),
    Deadline(u64),
    ChildWithDeadline(u64),
    Limit(u64),
}

#[test]
fn what_comes_first_ends_the_wait() {
    fn inside(around: &[Around], token: &Token, then: u64) -> Option<usize> {
        let Some((&first, rest)) = around.split_first() else {
            sleep(minutes(then));
            return None;
        };
        let outcome = match first {
            Around::CancelledAt(at) => {
                let token = Token::new();
                let canceller = token.clone();
                spawn(move || {
                    sleep(minutes(at));
                    canceller.cancel();
                });
                token.run(|| inside(rest, &token, then)).ok()
            }
            Around::Deadline(at) => {
                let token = Token::with_timeout(minutes(at));
                token.run(|| inside(rest, &token, then)).ok()
            }
            Around::ChildWithDeadline(at) => {
                let token = token.child_with_timeout(minutes(at));
                token.run(|| inside(rest, &token, then)).ok()
            }
            Around::Limit(at) => time::timeout(minutes(at), || inside(rest, token, then)).ok(),
        };
        match outcome {
            Some(inner) => inner.map(|at| at + 1),
            None => Some(0),
        }
    }
    let around = prop_oneof![
        (1..8_u64).prop_map(Around::CancelledAt),
        (1..8_u64).prop_map(Around::Deadline),
        (1..8_u64).prop_map(Around::ChildWithDeadline),
        (1..8_u64).prop_map(Around::Limit),
    ];
    simulate(80, (vec(around, 0..5), 1..8_u64), |(around, then)| {
        let start = time::now();
        let outcome = inside(around, &Token::new(), *then);
        let at = |around: &Around| match *around {
            Around::CancelledAt(at) | Around::Deadline(at) | Around::ChildWithDeadline(at) | Around::Limit(at) => at,
        };
        let first = around.iter().map(at).chain([*then]).min().unwrap();
        assert_eq!(time::now() - start, minutes(first));
        assert_eq!(outcome.map_or(*then, |index| at(&around[index])), first);
    });
}

/// Alarms and ticks against messages and one another: a select takes each when it is due, and none twice.
#[test]
fn alarms_go_off_among_messages() {
    simulate(60, (vec(1..9_u64, 0..4), vec(1..9_u64, 0..4), 1..4_u64), |(alarms, sends, period)| {
        let (start, (s, r)) = (time::now(), bounded(0));
        for &at in sends {
            let s = s.clone();
            // Whoever sends waits until it is received.
            spawn(move || {
                sleep(minutes(at));
                s.send(at).unwrap();
            });
        }
        drop(s);
        let alarms: Vec<_> = alarms.iter().map(|&n| (n, at(start + minutes(n)))).collect();
        let ticks = tick(minutes(*period));
        let mut select = Select::new();
        let messages = select.recv(&r);
        let ticking = select.recv(&ticks);
        let indices: Vec<usize> = alarms.iter().map(|(_, alarm)| select.recv(alarm)).collect();
        let (mut came, mut ticked, mut rang, mut is_open) = (Vec::new(), 0, vec![false; alarms.len()], true);
        while is_open || rang.contains(&false) {
            let chosen = select.select();
            let now = (time::now() - start).as_secs() / 60;
            match chosen.index() {
                index if index == messages => match chosen.recv(&r) {
                    Ok(sent) => {
                        assert_eq!(sent, now);
                        came.push(sent);
                    }
                    Err(_) => {
                        is_open = false;
                        select.remove(messages);
                    }
                },
                index if index == ticking => {
                    ticked += 1;
                    assert_eq!(chosen.recv(&ticks).unwrap(), start + minutes(ticked * period));
                    assert_eq!(now, ticked * period);
                }
                index => {
                    let which = indices.iter().position(|&one| one == index).unwrap();
                    assert!(!std::mem::replace(&mut rang[which], true));
                    let (due, alarm) = &alarms[which];
                    assert_eq!((chosen.recv(alarm).unwrap(), now), (start + minutes(*due), *due));
                }
            }
        }
        let mut sends = sends.clone();
        sends.sort_unstable();
        assert_eq!(came, sends);
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

/// Then its channel is dropped when there is no task any more that could take a step.
#[test]
fn a_token_may_end_with_the_last_task_of_its_scope() {
    Check::new().seeds(300).check(|| {
        let token = Token::new();
        assert!(token.done().try_recv().is_err());
        assert!(token.scope(|s| drop(s.spawn(yield_now))).is_ok());
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

/// A park that is cancelled leaves the token to the next one; one that is not has taken it.
#[test]
fn a_cancelled_park_takes_no_token_along() {
    Check::new().seeds(1500).check(|| {
        let limit = Token::new();
        let canceller = limit.clone();
        let parks = spawn(move || {
            if limit.run(task::park).is_err() {
                task::park();
            }
            let start = time::now();
            task::park_timeout(minutes(1));
            time::now() - start
        });
        let parked = parks.task();
        let unparks = spawn(move || parked.unpark());
        canceller.cancel();
        assert_eq!(parks.join().unwrap(), minutes(1));
        unparks.join().unwrap();
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
