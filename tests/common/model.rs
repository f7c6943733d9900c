//! Histories of calls, and whether a model explains them.
//!
//! A history is *linearizable* if each call can be thought of as done at one instant between its beginning and its end,
//! such that the model, which does one call after the other, gives the same results. A call that ran out of time is
//! thought of as done at the instant when that was up: in a simulation no time passes while anybody can go on, so at that
//! moment it was really impossible.
#![allow(dead_code, reason = "each test file uses its part")]

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use throng::sim::Check;
use throng::time;

/// The time limit of a call. Nothing else takes so long.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How a call is made that might wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum How {
    Try,
    /// With a time limit of the call's own.
    Limited,
    /// With one around it, which cancels the call.
    Cancelled,
    /// With a time limit, under a token that another task cancels at some time. So others run between the end of the wait and
    /// its owner's return, and come across a waiter that is in the queue and can't be woken.
    UnderToken,
}

/// A thing as one task alone would see it.
pub(crate) trait Model: Clone + Eq + Hash {
    type Op: Clone + Debug + Send + 'static;
    type Result: Clone + Debug + Send + 'static;

    /// Does `op`; whether it may have that result.
    fn apply(&mut self, task: usize, op: &Self::Op, result: &Self::Result) -> bool;

    /// Whether that result means that the call ran out of time.
    fn is_late(result: &Self::Result) -> bool;
}

#[derive(Clone, Debug)]
pub(crate) struct Call<O, R> {
    pub(crate) task: usize,
    pub(crate) op: O,
    pub(crate) result: R,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The virtual time at both.
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl<O: Debug, R: Debug> Call<O, R> {
    fn line(&self) -> String {
        let Call { task, op, result, start, end, .. } = self;
        format!("\n  {start} to {end}: task {task}: {op:?}: {result:?}")
    }
}

pub(crate) struct History<M: Model> {
    #[allow(clippy::type_complexity)]
    inner: Arc<Mutex<(usize, Vec<Call<M::Op, M::Result>>)>>,
}

impl<M: Model> Clone for History<M> {
    fn clone(&self) -> History<M> {
        History { inner: Arc::clone(&self.inner) }
    }
}

impl<M: Model> History<M> {
    pub(crate) fn new() -> History<M> {
        History { inner: Arc::default() }
    }

    fn tick(&self) -> usize {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 += 1;
        inner.0
    }

    pub(crate) fn call(&self, task: usize, op: M::Op, f: impl FnOnce() -> M::Result) {
        let (start, began) = (self.tick(), time::now());
        let result = f();
        let (end, ended) = (self.tick(), time::now());
        let call = Call { task, op, result, start, end, began, ended };
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.push(call);
    }

    pub(crate) fn calls(&self) -> Vec<Call<M::Op, M::Result>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Panics if a call took longer than all are allowed to.
    #[track_caller]
    pub(crate) fn all_end_within(&self, limit: Duration) {
        for call in self.calls() {
            assert!(call.ended - call.began <= limit, "it took longer than its limit:{}", call.line());
        }
    }

    /// Panics unless the model explains what has happened.
    #[track_caller]
    pub(crate) fn explain(&self, model: M) {
        let mut calls = self.calls();
        calls.sort_by_key(|call| call.start);
        let ticks = calls.iter().flat_map(|call| [(call.start, call.began), (call.end, call.ended)]);
        let ticks: Vec<(usize, Instant)> = ticks.collect();
        for call in calls.iter_mut().filter(|call| M::is_late(&call.result)) {
            let at_its_end = ticks.iter().filter(|(_, time)| *time == call.ended).map(|(tick, _)| *tick);
            call.start = at_its_end.min().expect("its own end is one").max(call.start);
        }
        assert!(calls.len() <= 64, "a short history");
        let is_explained = explains(&model, &calls, 0, &mut HashSet::new());
        assert!(is_explained, "no order of these explains them:{}", calls.iter().map(Call::line).collect::<String>());
    }
}

fn explains<M: Model>(model: &M, calls: &[Call<M::Op, M::Result>], done: u64, seen: &mut HashSet<(u64, M)>) -> bool {
    let is_left = |at: &usize| done & 1 << at == 0;
    let Some(first_end) = (0..calls.len()).filter(is_left).map(|at| calls[at].end).min() else { return true };
    if !seen.insert((done, model.clone())) {
        return false;
    }
    (0..calls.len()).filter(is_left).any(|at| {
        let Call { task, op, result, start, .. } = &calls[at];
        let mut model = model.clone();
        *start <= first_end && model.apply(*task, op, result) && explains(&model, calls, done | 1 << at, seen)
    })
}

/// So many seeds each generated program is run with.
const SEEDS: u64 = 25;

/// Runs generated programs, each with some seeds, the same ones in each run of a test. `THRONG_STRESS=n` tries n times as
/// many. A failure tells the seed that found it, and the text of the smallest program that fails.
#[track_caller]
pub(crate) fn simulate<S: Strategy>(cases: usize, programs: S, run: fn(&S::Value))
where
    S::Value: Clone + Debug + 'static,
{
    // It all happens on one thread: few are enough for a sanitizer.
    let cases = cases / if cfg!(any(throng_tsan, throng_asan)) { 5 } else { 1 };
    let config = Config {
        cases: super::common::stress(cases) as u32,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (next, found) = (std::cell::Cell::new(0), std::cell::OnceCell::new());
    let result = runner.run(&programs, |program| {
        let check = Check::new().first_seed(next.replace(next.get() + SEEDS)).seeds(SEEDS);
        check.search(move || run(&program)).map_err(|failure| {
            found.get_or_init(|| failure.seed());
            TestCaseError::fail(failure.to_string())
        })
    });
    if let Err(error) = result {
        panic!(
            "{error}\nfound by seed {}, before the program was made smaller",
            found.get().expect("a failure has one")
        );
    }
}
