//! Who goes next.
//!
//! * **Random walk**: each of those that can run is as likely as the others. Simple, hard to fool, and good at bugs that
//!   need many switches in no particular place.
//! * **Priorities**, after "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (Burckhardt, Kothari,
//!   Musuvathi, Nagarakatte; 2010), which calls it PCT: each task gets a random priority, the highest runs, and at `d - 1`
//!   random steps the one that runs goes behind those that still have theirs; which of those that had to is before which
//!   is random too, since a bug may need either. A bug of *depth* `d` is one that shows whenever `d` events come in
//!   one certain order. Among `n` tasks and `k` steps one run finds it with a probability of at least `1 / (n * k^(d-1))`,
//!   where a random walk may need exponentially many: it hardly ever lets one task run for long while another, which could,
//!   doesn't.
//!
//! What differs from the paper: `k` isn't known beforehand, and to learn it from earlier runs would make a seed mean
//! something else in each process. So each seed draws the power of two that it takes for `k`, which costs a factor of
//! [`SCALES`] at most. And a task that yields goes behind all others, as does one that has taken [`PATIENCE`] steps in a
//! row while others could run: it probably waits for one of them.

use crate::rng::Rng;

/// How the simulator chooses among the tasks that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Each task that can run is as likely as the others, at each step.
    RandomWalk,
    /// The task with the highest priority runs. Priorities are random, and change at a few random steps, fewer than
    /// [`Check::depth`](super::Check::depth).
    Priorities,
}

/// Executions of 2^2 to 2^16 steps.
const LEAST_SCALE: u32 = 2;
const SCALES: usize = 15;

const PATIENCE: u32 = 1000;

/// What one execution's choices come from.
pub(super) struct Plan {
    rng: Rng,
    kind: Kind,
}

enum Kind {
    RandomWalk,
    Priorities {
        /// By task number.
        priorities: Vec<u64>,
        /// Steps at which the running task goes behind those that were never lowered, the next one last; and its place
        /// among those that the other changes put there.
        changes: Vec<(u64, u64)>,
        /// The places there are.
        places: u64,
        /// All priorities that were given out are above this, or within `places` below it.
        lowest: u64,
        /// Who was chosen last, and how often in a row.
        streak: (u32, u32),
    },
}

impl Plan {
    /// `fixed` leaves the strategy to the seed if it is `None`.
    pub(super) fn new(seed: u64, depth: u32, fixed: Option<Strategy>) -> Plan {
        let rng = Rng::new(seed);
        let tossed = if rng.next() & 1 == 0 { Strategy::RandomWalk } else { Strategy::Priorities };
        let kind = match fixed.unwrap_or(tossed) {
            Strategy::RandomWalk => Kind::RandomWalk,
            Strategy::Priorities => {
                let length = 1_usize << (LEAST_SCALE + rng.below(SCALES) as u32);
                // There is one at each step at most.
                let changes = rng.below(depth.max(1) as usize).min(length);
                let mut changes: Vec<_> = (1..=changes as u64).map(|place| (rng.below(length) as u64, place)).collect();
                changes.sort_unstable_by(|a, b| b.cmp(a));
                let places = changes.len() as u64;
                Kind::Priorities { priorities: Vec::new(), changes, places, lowest: 1 << 63, streak: (0, 0) }
            }
        };
        Plan { rng, kind }
    }

    pub(super) fn strategy(&self) -> Strategy {
        match self.kind {
            Kind::RandomWalk => Strategy::RandomWalk,
            Kind::Priorities { .. } => Strategy::Priorities,
        }
    }

    /// The task with this number, the next one, has been spawned.
    pub(super) fn spawned(&mut self, number: u32) {
        if let Kind::Priorities { priorities, .. } = &mut self.kind {
            debug_assert_eq!(priorities.len(), number as usize);
            priorities.push(1 << 63 | self.rng.next());
        }
    }

    /// A task lets the others go first.
    pub(super) fn yielded(&mut self, number: u32) {
        if let Kind::Priorities { priorities, places, lowest, .. } = &mut self.kind {
            priorities[number as usize] = behind_all(lowest, *places);
        }
    }

    /// Chooses one of `candidates`, which are some, in the order of their numbers; returns its place among them.
    pub(super) fn choose(&mut self, step: u64, candidates: &[u32]) -> usize {
        match &mut self.kind {
            Kind::RandomWalk if candidates.len() == 1 => 0,
            Kind::RandomWalk => self.rng.below(candidates.len()),
            Kind::Priorities { priorities, changes, places, lowest, streak } => {
                let mut chosen = highest(priorities, candidates);
                let change = changes.pop_if(|change| change.0 <= step).map(|(_, place)| *lowest - place);
                let is_tried = || streak.0 == candidates[chosen] && streak.1 >= PATIENCE;
                if let Some(lower) = change.or_else(|| is_tried().then(|| behind_all(lowest, *places))) {
                    priorities[candidates[chosen] as usize] = lower;
                    streak.1 = 0;
                    chosen = highest(priorities, candidates);
                }
                let before = if streak.0 == candidates[chosen] { streak.1 } else { 0 };
                *streak = (candidates[chosen], before + 1);
                chosen
            }
        }
    }
}

/// A priority below all that were given out; the changes to come are below it.
fn behind_all(lowest: &mut u64, places: u64) -> u64 {
    *lowest -= places + 1;
    *lowest
}

fn highest(priorities: &[u64], candidates: &[u32]) -> usize {
    let places = 0..candidates.len();
    places.max_by_key(|&place| priorities[candidates[place] as usize]).expect("there are candidates")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Who takes the steps, if tasks with so many each are there from the start.
    fn order(plan: &mut Plan, mut steps: Vec<u32>) -> Vec<u32> {
        let mut order = Vec::new();
        (0..steps.len() as u32).for_each(|task| plan.spawned(task));
        loop {
            let candidates: Vec<u32> = (0..steps.len() as u32).filter(|&task| steps[task as usize] > 0).collect();
            if candidates.is_empty() {
                return order;
            }
            let task = candidates[plan.choose(order.len() as u64, &candidates)];
            steps[task as usize] -= 1;
            order.push(task);
        }
    }

    /// All orders in which one task is left at most as often as the priorities of a depth allow.
    #[test]
    fn priorities_come_to_every_order_of_their_depth() {
        let orders = |depth| -> BTreeSet<Vec<u32>> {
            let plan = |seed| Plan::new(seed, depth, Some(Strategy::Priorities));
            (0..20_000).map(|seed| order(&mut plan(seed), vec![2, 2, 1])).collect()
        };
        let preemptions = |order: &[u32]| {
            let left = |at: usize| order[at] != order[at + 1] && order[at + 1..].contains(&order[at]);
            (0..order.len() - 1).filter(|&at| left(at)).count()
        };
        // Without a change no task is left before its end.
        let [one, two, three] = [1, 2, 3].map(orders);
        assert!(one.len() == 6 && one.iter().all(|order| preemptions(order) == 0), "{one:?}");
        assert!(two.is_superset(&one) && two.iter().all(|order| preemptions(order) <= 1), "{two:?}");
        // Of two that are lowered either comes back first.
        assert!(three.contains([0, 1, 2, 0, 1].as_slice()) && three.contains([0, 1, 2, 1, 0].as_slice()), "{three:?}");
        assert!(three.is_superset(&two) && three.iter().all(|order| preemptions(order) <= 2), "{three:?}");
    }

    #[test]
    fn a_depth_beyond_all_steps_costs_no_more_than_they_do() {
        let mut plan = Plan::new(1, u32::MAX, Some(Strategy::Priorities));
        assert_eq!(order(&mut plan, vec![3; 3]).len(), 9);
    }

    #[test]
    fn who_yields_is_behind_who_was_lowered_and_the_other_way_round() {
        for seed in 0..2000 {
            let mut plan = Plan::new(seed, 4, Some(Strategy::Priorities));
            (0..3).for_each(|task| plan.spawned(task));
            for step in 0..20 {
                let task = plan.choose(step, &[0, 1, 2]) as u32;
                plan.yielded(task);
                // Nobody goes on whom the other two are before.
                assert_ne!(plan.choose(step + 1, &[0, 1, 2]) as u32, task, "seed {seed}");
            }
        }
    }
}
