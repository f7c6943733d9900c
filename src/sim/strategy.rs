//! Who goes next.
//!
//! * **Random walk**: each of those that can run is as likely as the others. Simple, hard to fool, and good at bugs that
//!   need many switches in no particular place.
//! * **Priorities**, after "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (Burckhardt, Kothari,
//!   Musuvathi, Nagarakatte; 2010), which calls it PCT: each task gets a random priority, the highest runs, and at `d - 1`
//!   random steps the one that runs becomes the lowest. A bug of *depth* `d` is one that shows whenever `d` events come in
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
        /// Steps at which the running task becomes the lowest, the next one last.
        changes: Vec<u64>,
        /// Lower than all that were given out.
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
                let changes = rng.below(depth.max(1) as usize);
                let mut changes: Vec<u64> = (0..changes).map(|_| rng.below(length) as u64).collect();
                changes.sort_unstable_by(|a, b| b.cmp(a));
                Kind::Priorities { priorities: Vec::new(), changes, lowest: 1 << 63, streak: (0, 0) }
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
        if let Kind::Priorities { priorities, lowest, .. } = &mut self.kind {
            *lowest -= 1;
            priorities[number as usize] = *lowest;
        }
    }

    /// Chooses one of `candidates`, which are some, in the order of their numbers; returns its place among them.
    pub(super) fn choose(&mut self, step: u64, candidates: &[u32]) -> usize {
        match &mut self.kind {
            Kind::RandomWalk if candidates.len() == 1 => 0,
            Kind::RandomWalk => self.rng.below(candidates.len()),
            Kind::Priorities { priorities, changes, lowest, streak } => {
                let mut chosen = highest(priorities, candidates);
                let is_change = changes.pop_if(|change| *change <= step).is_some();
                if is_change || streak.0 == candidates[chosen] && streak.1 >= PATIENCE {
                    *lowest -= 1;
                    priorities[candidates[chosen] as usize] = *lowest;
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

fn highest(priorities: &[u64], candidates: &[u32]) -> usize {
    let places = 0..candidates.len();
    places.max_by_key(|&place| priorities[candidates[place] as usize]).expect("there are candidates")
}
