//! `future::block_on`.

mod common;
#[path = "common/crew.rs"]
mod crew;

use common::{Dropped, everywhere, in_tasks, message, stress, until};
use crew::every_crew;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use throng::cancel::Cancelled;
use throng::future::block_on;
use throng::task;

/// Ready once it has been set.
#[derive(Clone, Default)]
struct Flag(Arc<Mutex<(bool, Option<Waker>)>>);

impl Flag {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_awaited(&self) -> bool {
        self.0.lock().unwrap().1.is_some()
    }
}

impl Future for Flag {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

#[test]
fn a_ready_future_is_not_waited_for() {
    assert_eq!(block_on(ready(5)), 5);
    let name = String::from("borrowed");
    assert_eq!(block_on(async { name.len() }), 8);
}

#[test]
fn woken_from_anywhere() {
    every_crew(|crew| {
        for _ in 0..stress(50) {
            let (there, back) = (Flag::default(), Flag::default());
            crew.run(2, |me| match me {
                0 => {
                    there.set();
                    block_on(back.clone());
                }
                _ => {
                    block_on(there.clone());
                    back.set();
                }
            });
        }
    });
}

#[test]
fn woken_while_it_is_polled() {
    every_crew(|crew| {
        crew.run(3, |_| {
            let mut left = stress(100);
            block_on(poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                // By reference and by value, and more than once.
                context.waker().wake_by_ref();
                let waker = context.waker().clone();
                waker.wake();
                Poll::Pending
            }));
        });
    });
}

#[test]
fn polled_only_when_woken() {
    everywhere(|| {
        let (flag, polls) = (Flag::default(), Arc::new(AtomicUsize::new(0)));
        let task = throng::spawn({
            let (mut flag, polls) = (flag.clone(), Arc::clone(&polls));
            move || {
                block_on(poll_fn(|context| {
                    polls.fetch_add(1, SeqCst);
                    Pin::new(&mut flag).poll(context)
                }))
            }
        });
        until(|| flag.is_awaited());
        for _ in 0..50 {
            task::yield_now();
        }
        assert_eq!(polls.load(SeqCst), 1);
        flag.set();
        task.join().unwrap();
        assert_eq!(polls.load(SeqCst), 2);
    });
}

#[test]
fn one_within_another() {
    every_crew(|crew| {
        let (outer, inner) = (Flag::default(), Flag::default());
        crew.run(2, |me| match me {
            0 => block_on(async {
                block_on(inner.clone());
                outer.clone().await;
                assert_eq!(block_on(async { block_on(ready(1)) }), 1);
            }),
            _ => {
                // The outer one's waker is used while the inner one waits.
                outer.set();
                task::yield_now();
                inner.set();
            }
        });
    });
}

#[test]
fn a_waker_outlives_the_wait() {
    let mut kept = None;
    block_on(poll_fn(|context| {
        kept = Some(context.waker().clone());
        Poll::Ready(())
    }));
    let waker = kept.expect("it was polled");
    std::thread::spawn(move || {
        waker.wake_by_ref();
        waker.wake();
    })
    .join()
    .unwrap();
}

#[test]
fn a_panic_comes_out() {
    let panic = catch_unwind(AssertUnwindSafe(|| block_on(async { panic!("on purpose") }))).unwrap_err();
    assert_eq!(message(&*panic), "on purpose");
}

#[test]
fn a_cancelled_task_drops_its_future() {
    in_tasks(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        let flag = Flag::default();
        let task = throng::spawn({
            let (value, flag) = (Dropped(Arc::clone(&drops)), flag.clone());
            move || {
                block_on(async move {
                    let _value = value;
                    flag.await;
                    pending::<()>().await;
                })
            }
        });
        until(|| flag.is_awaited());
        task.cancel();
        assert!(task.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.load(SeqCst), 1);
        flag.set();
    });
}

#[test]
fn it_joins_tasks() {
    in_tasks(|_| {
        let tasks: Vec<_> = (0..stress(50)).map(|i| throng::spawn(move || i)).collect();
        let sum = block_on(async {
            let mut sum = 0;
            for task in tasks {
                sum += task.await.expect("no panic");
            }
            sum
        });
        assert_eq!(sum, (0..stress(50)).sum());
        // A task that waits for a task that waits for a future.
        let flag = Flag::default();
        let waits = throng::spawn({
            let flag = flag.clone();
            move || {
                let inner = throng::spawn(move || block_on(flag));
                block_on(async { inner.await.expect("no panic") });
            }
        });
        std::thread::sleep(Duration::from_micros(100));
        flag.set();
        waits.join().unwrap();
    });
}

#[test]
fn a_future_that_was_not_awaited_to_its_end_can_be_dropped() {
    // Polled by one, ended by another.
    let flag = Flag::default();
    let mut other = flag.clone();
    {
        let mut polled = pin!(flag.clone());
        block_on(poll_fn(|context| {
            assert!(polled.as_mut().poll(context).is_pending());
            Poll::Ready(())
        }));
    }
    std::thread::scope(|threads| {
        threads.spawn(|| block_on(&mut other));
        flag.set();
    });
}
