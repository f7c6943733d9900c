//! Locks, semaphores, condition variables and barriers, simulated: whatever a few tasks do, a model explains it.

mod common;
#[path = "common/model.rs"]
mod model;

use model::{HOUR, History, How, Model, simulate};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use throng::cancel::Token;
use throng::sim::Check;
use throng::sync::{Barrier, Condvar, Mutex, MutexGuard, OnceLock, RwLock, Semaphore, WaitGroup};
use throng::task::yield_now;
use throng::{scope, task, time};

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Try), Just(How::Limited), Just(How::Limited), Just(How::Cancelled), Just(How::UnderToken)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    It,
    Not,
    Late,
    /// It had to wait, and was ended by its token.
    Cancelled,
    Released,
}

impl Got {
    /// Of a call that got something or not.
    fn of<G>(how: How, guard: Option<G>, guards: &mut Vec<G>) -> Got {
        match guard {
            Some(guard) => {
                guards.push(guard);
                Got::It
            }
            None if how == How::Try => Got::Not,
            None => Got::Late,
        }
    }
}

/// A number of permits: all of them are a writer's, one is a reader's. A mutex has one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Permits {
    free: usize,
    all: usize,
    /// Whether one that waits for many holds up those who come after it and want less.
    in_order: bool,
}

#[derive(Clone, Debug)]
#[allow(dead_code, reason = "`how` is shown by a failure")]
struct Take {
    how: How,
    permits: usize,
}

impl Model for Permits {
    type Op = Take;
    type Result = Got;

    fn apply(&mut self, _: usize, take: &Take, got: &Got) -> bool {
        match got {
            Got::It if self.free < take.permits => return false,
            Got::It => self.free -= take.permits,
            Got::Released => self.free += take.permits,
            // Somebody may wait for more, and come first.
            Got::Not | Got::Late | Got::Cancelled if self.in_order => {}
            Got::Not | Got::Late | Got::Cancelled => return self.free < take.permits,
        }
        self.free <= self.all
    }

    fn is_late(got: &Got) -> bool {
        *got == Got::Late
    }
}

/// For each task what it takes, one after the other, and how long it has it: half-hours, so that what it gives back often
/// comes at the last moment.
type Program = Vec<Vec<(How, usize, u32)>>;

fn programs(most: usize) -> impl Strategy<Value = Program> {
    vec(vec((how(), 1..=most, 0..3_u32), 1..5), 2..5)
}

/// Runs the program; `take` takes so many permits, and `give` gives a guard back.
fn run<G>(program: &Program, model: Permits, take: impl Fn(How, usize) -> Option<G> + Sync, give: impl Fn(G) + Sync) {
    let history = History::new();
    let tokens: Vec<Token> = program.iter().map(|_| Token::new()).collect();
    scope(|s| {
        // One after the other, at moments at which others give back what they have, or run out of time.
        s.spawn(|| {
            tokens.iter().for_each(|token| {
                token.cancel();
                task::sleep(HOUR / 2);
            });
        });
        for (task, steps) in program.iter().enumerate() {
            let (history, take, give, token) = (history.clone(), &take, &give, &tokens[task]);
            s.spawn(move || {
                for &(how, permits, pauses) in steps {
                    let mut guards = Vec::new();
                    history.call(task, Take { how, permits }, || match how {
                        How::UnderToken => match token.run(|| take(How::Limited, permits)) {
                            Ok(guard) => Got::of(how, guard, &mut guards),
                            Err(_) => Got::Cancelled,
                        },
                        _ => Got::of(how, take(how, permits), &mut guards),
                    });
                    for guard in guards {
                        if pauses > 0 {
                            task::sleep(HOUR / 2 * pauses);
                        }
                        history.call(task, Take { how, permits }, || {
                            give(guard);
                            Got::Released
                        });
                    }
                }
            });
        }
    });
    history.all_end_within(HOUR);
    nobody_waits_for_what_is_free(&history, model.all);
    history.explain(model);
}

/// Whenever time passes, not all who wait could have what they want.
fn nobody_waits_for_what_is_free(history: &History<Permits>, all: usize) {
    let calls = history.calls();
    let mut ticks: Vec<_> = calls.iter().flat_map(|call| [(call.start, call.began), (call.end, call.ended)]).collect();
    ticks.sort_unstable();
    for pair in ticks.windows(2).filter(|pair| pair[0].1 < pair[1].1) {
        let before = pair[0].0;
        let sum = |got: Got| {
            let ended = calls.iter().filter(|call| call.end <= before && call.result == got);
            ended.map(|call| call.op.permits).sum::<usize>()
        };
        let free = all + sum(Got::Released) - sum(Got::It);
        let waiting = calls.iter().filter(|call| call.start <= before && call.end > before);
        let most = waiting.map(|call| call.op.permits).max();
        assert!(
            most.is_none_or(|most| most > free),
            "at {before}, {free} were free, and all who waited wanted less:\n{calls:?}"
        );
    }
}

fn lock(mutex: &Mutex<()>, how: How) -> Option<MutexGuard<'_, ()>> {
    match how {
        How::Try => mutex.try_lock(),
        How::Limited => mutex.try_lock_for(HOUR),
        How::Cancelled => time::timeout(HOUR, || mutex.lock()).ok(),
        How::UnderToken => unreachable!("`run` takes it apart"),
    }
}

#[test]
fn a_mutex_is_held_by_one() {
    simulate(60, programs(1), |program| {
        let mutex = Mutex::new(());
        let take = |how, _| lock(&mutex, how);
        run(program, Permits { free: 1, all: 1, in_order: false }, take, drop);
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_mutex_is_handed_over_fairly() {
    simulate(60, programs(1), |program| {
        let mutex = Mutex::new(());
        let take = |how, _| lock(&mutex, how);
        let give = |guard| MutexGuard::unlock_fair(guard);
        run(program, Permits { free: 1, all: 1, in_order: false }, take, give);
        assert!(!mutex.is_locked());
    });
}

#[test]
fn an_rwlock_has_one_writer_or_readers() {
    const ALL: usize = 4;
    #[allow(dead_code, reason = "for their drop")]
    enum Guard<'a> {
        Read(throng::sync::RwLockReadGuard<'a, ()>),
        Write(throng::sync::RwLockWriteGuard<'a, ()>),
    }
    simulate(60, programs(2), |program| {
        let program = program
            .iter()
            .map(|steps| steps.iter().map(|&(how, n, pauses)| (how, if n == 1 { 1 } else { ALL }, pauses)).collect());
        let lock = RwLock::new(());
        let take = |how, permits| match (how, permits) {
            (How::Try, 1) => lock.try_read().map(Guard::Read),
            (How::Limited, 1) => lock.try_read_for(HOUR).map(Guard::Read),
            (How::Cancelled, 1) => time::timeout(HOUR, || lock.read()).ok().map(Guard::Read),
            (How::Try, _) => lock.try_write().map(Guard::Write),
            (How::Limited, _) => lock.try_write_for(HOUR).map(Guard::Write),
            (How::Cancelled, _) => time::timeout(HOUR, || lock.write()).ok().map(Guard::Write),
            (How::UnderToken, _) => unreachable!("`run` takes it apart"),
        };
        run(&program.collect(), Permits { free: ALL, all: ALL, in_order: true }, take, drop);
        assert!(!lock.is_locked());
    });
}

#[test]
fn a_semaphore_gives_no_more_than_it_has() {
    simulate(60, programs(3), |program| {
        let semaphore = Arc::new(Semaphore::new(3));
        let shared = &semaphore;
        let take = |how, n| match how {
            How::Try => shared.try_acquire_many(n),
            How::Limited => shared.acquire_many_timeout(n, HOUR),
            How::Cancelled => time::timeout(HOUR, || shared.acquire_many(n)).ok(),
            How::UnderToken => unreachable!("`run` takes it apart"),
        };
        run(program, Permits { free: 3, all: 3, in_order: true }, take, drop);
        assert_eq!(semaphore.available_permits(), 3);
    });
}

/// Nobody waits for ever for what is there: a semaphore made of a condition variable, and the real one, whose waits have
/// no limits, so that a wake-up that is lost is a deadlock.
#[test]
fn no_wake_up_is_lost() {
    simulate(60, (1..3_usize, vec(vec(any::<bool>(), 1..4), 2..5)), |(permits, program)| {
        let (real, free, more) = (Semaphore::new(*permits), Mutex::new(*permits), Condvar::new());
        scope(|s| {
            for steps in program {
                let (real, free, more) = (&real, &free, &more);
                s.spawn(move || {
                    for &at_once in steps {
                        let permit = real.acquire();
                        let mut left = free.lock();
                        while *left == 0 {
                            more.wait(&mut left);
                        }
                        *left -= 1;
                        drop(left);
                        if !at_once {
                            yield_now();
                        }
                        drop(permit);
                        *free.lock() += 1;
                        if at_once {
                            more.notify_one()
                        } else {
                            more.notify_all() > 0
                        };
                    }
                });
            }
        });
        assert_eq!((real.available_permits(), *free.lock()), (*permits, *permits));
    });
}

/// A waiter of a condition variable that is cancelled, or out of time, takes no notification with it.
#[test]
fn a_notification_goes_to_one_who_takes_it() {
    Check::new().seeds(2000).check(|| {
        let (items, more) = (Mutex::new(0), Condvar::new());
        scope(|s| {
            let consumer = || {
                let mut items = items.lock();
                while *items == 0 {
                    more.wait(&mut items);
                }
                *items -= 1;
            };
            let doomed = s.spawn(consumer);
            let waits = s.spawn(consumer);
            let produce = || {
                *items.lock() += 1;
                more.notify_one();
            };
            s.spawn(produce);
            doomed.cancel();
            // If it was cancelled, the one item is the other's.
            if doomed.join().is_ok() {
                produce();
            }
            waits.join().unwrap();
        });
    });
}

/// As many items as there are consumers, some of whom are cancelled or run out of time. Each of the others gets one, or
/// waits for ever, which is a deadlock; and what nobody took is there.
#[test]
fn whoever_leaves_takes_no_notification_along() {
    let consumers = vec(prop_oneof![2 => Just(None), 3 => (how(), 0..3_u32).prop_map(Some)], 1..6);
    simulate(60, (consumers, 0..3_u32, any::<bool>()), |(consumers, late, to_all)| {
        let (items, more) = (Mutex::new(0), Condvar::new());
        let limited = |deadline: Instant| {
            let mut items = items.lock();
            if more.wait_while_until(&mut items, |items| *items == 0, deadline).timed_out() {
                return false;
            }
            *items -= 1;
            true
        };
        let unlimited = || {
            let mut items = items.lock();
            more.wait_while(&mut items, |items| *items == 0);
            *items -= 1;
            true
        };
        let taken = scope(|s| {
            let tasks: Vec<_> = consumers
                .iter()
                .map(|consumer| {
                    let Some((how, after)) = *consumer else { return s.spawn(unlimited) };
                    let after = HOUR / 2 * after;
                    match how {
                        How::Try => {
                            let task = s.spawn(unlimited);
                            task.cancel();
                            task
                        }
                        How::Limited => s.spawn(move || limited(time::now() + after)),
                        How::Cancelled => s.spawn(move || time::timeout(after, unlimited).is_ok()),
                        How::UnderToken => s.spawn(move || {
                            let token = Token::new();
                            let canceller = token.clone();
                            drop(throng::spawn(move || {
                                task::sleep(after);
                                canceller.cancel();
                            }));
                            token.run(unlimited).is_ok()
                        }),
                    }
                })
                .collect();
            task::sleep(HOUR / 2 * *late);
            for _ in consumers {
                *items.lock() += 1;
                if *to_all {
                    more.notify_all();
                } else {
                    more.notify_one();
                }
            }
            tasks.into_iter().map(|task| task.join().unwrap_or(false)).collect::<Vec<_>>()
        });
        let took = taken.iter().filter(|&&took| took).count();
        assert_eq!(took + items.into_inner(), consumers.len());
        assert!(consumers.iter().zip(taken).all(|(consumer, took)| took || consumer.is_some()));
    });
}

#[test]
fn all_are_at_a_barrier_before_one_leaves() {
    simulate(40, (1..5_usize, 1..4_usize), |&(tasks, rounds)| {
        let (barrier, arrived, leaders) = (Barrier::new(tasks), Mutex::new(0), Mutex::new(0));
        scope(|s| {
            for _ in 0..tasks {
                s.spawn(|| {
                    for round in 1..=rounds {
                        *arrived.lock() += 1;
                        let leads = barrier.wait().is_leader();
                        assert!(*arrived.lock() >= round * tasks);
                        *leaders.lock() += usize::from(leads);
                    }
                });
            }
        });
        assert_eq!(leaders.into_inner(), rounds);
    });
}

#[test]
fn a_wait_group_waits_for_all_and_a_once_runs_once() {
    simulate(40, vec(0..3_usize, 1..5), |pauses| {
        let (group, done) = (WaitGroup::new(), Arc::new(Mutex::new(BTreeSet::new())));
        let first = Arc::new(OnceLock::new());
        group.add(pauses.len());
        for (task, &pauses) in pauses.iter().enumerate() {
            let (group, done, first) = (group.clone(), Arc::clone(&done), Arc::clone(&first));
            throng::spawn(move || {
                let one = *first.get_or_init(|| {
                    (0..pauses).for_each(|_| yield_now());
                    task
                });
                assert_eq!(first.get(), Some(&one));
                done.lock().insert(task);
                group.done();
            });
        }
        group.wait_done();
        assert_eq!(done.lock().len(), pauses.len());
        group.wait();
    });
}
