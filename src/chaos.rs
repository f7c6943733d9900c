//! Chaos: random delays between the steps of the protocols, for tests that are to meet the rare schedules.
//!
//! A race shows itself when one thread is held up between two of its steps while another goes through all of its own.
//! [`point`] stands between such steps. In a usual build it is nothing. Under `--cfg throng_chaos` it mostly returns at
//! once, sometimes spins or lets another thread have the core, and rarely sleeps in the kernel, for so long that the
//! monitor may take its thread for one that is stuck.
//!
//! Each kernel thread draws from a generator of its own, which begins with the seed in `THRONG_CHAOS_SEED` and the number
//! of the thread, in the order in which they came here first. How often it delays changes from time to time, so that
//! threads overtake one another by much and by little. The kernel has its say too, so a seed makes a failure likely, not
//! certain.
//!
//! There is no atomic read-modify-write in a point, and no fence: either would hide that one is missing where it stands.

/// The calling thread is between two steps.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(throng_chaos)]
    delays::point();
}

#[cfg(throng_chaos)]
mod delays {
    use crate::primitive::{Ordering, StaticAtomicU64, spin_loop, yield_thread};
    use crate::rng::mix;
    use std::cell::Cell;
    use std::hash::{BuildHasher, RandomState};
    use std::sync::OnceLock;
    use std::time::Duration;

    /// One point in 2^n delays, n one of these.
    const ODDS: [u32; 4] = [3, 6, 9, 12];

    #[derive(Clone, Copy)]
    struct Pace {
        /// 0 until the thread has come here.
        random: u64,
        odds: u32,
        /// So many points are left at these odds.
        left: u32,
    }

    thread_local! {
        static PACE: Cell<Pace> = const { Cell::new(Pace { random: 0, odds: 0, left: 0 }) };
    }

    fn seed() -> u64 {
        static SEED: OnceLock<u64> = OnceLock::new();
        *SEED.get_or_init(|| match std::env::var("THRONG_CHAOS_SEED") {
            Ok(seed) => seed.parse().expect("THRONG_CHAOS_SEED is a number"),
            Err(_) => {
                let seed = RandomState::new().hash_one(());
                eprintln!("THRONG_CHAOS_SEED={seed}");
                seed
            }
        })
    }

    #[cold]
    fn first() -> u64 {
        static THREADS: StaticAtomicU64 = StaticAtomicU64::new(1);
        // Relaxed: any order will do.
        mix(seed() ^ mix(THREADS.fetch_add(1, Ordering::Relaxed))) | 1
    }

    impl Pace {
        fn draw(&mut self) -> u64 {
            if self.random == 0 {
                self.random = first();
            }
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
        }
    }

    // Never inlined: the thread-local's address must not be kept across a suspension.
    #[inline(never)]
    pub(super) fn point() {
        let draw = PACE.with(|cell| {
            let mut pace = cell.get();
            if pace.left == 0 {
                let draw = pace.draw();
                pace.odds = ODDS[draw as usize % ODDS.len()];
                pace.left = 1 << (5 + draw / 8 % 8);
            }
            pace.left -= 1;
            let draw = pace.draw();
            cell.set(pace);
            (draw % (1 << pace.odds) == 0).then_some(draw >> pace.odds)
        });
        if let Some(draw) = draw {
            delay(draw);
        }
    }

    #[cold]
    fn delay(draw: u64) {
        let length = draw / 64;
        match draw % 64 {
            0 => std::thread::sleep(Duration::from_micros(length % 200)),
            1..=16 => yield_thread(),
            _ => (0..length % (1 << (length / 2048 % 12))).for_each(|_| spin_loop()),
        }
    }
}
