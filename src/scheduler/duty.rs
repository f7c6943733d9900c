//! A seat's duty: the word that its worker and the monitor exchange, and the counts that go with it.
//!
//! What the duties are, and when they change, is told in `crew.rs`. A worker announces a section, and its end, without a
//! lock, as sections are frequent and mostly short. All other changes are made under the roster's lock.
//!
//! # The races, and why they can't happen
//! * **A section ends as the worker is taken off duty**, by the monitor or for its own sake. Both take the word out of AWAY
//!   by a compare-exchange, and one succeeds: that one takes the worker out of the number of those that are away. It is
//!   taken out of the number of those on duty if it was relieved, and only then puts itself back.
//! * **Work published while the last one that is up goes away.** The worker counts itself as away, fences, and looks whether
//!   work lies about; the publisher makes its work visible, fences, and reads the counts. The fences are sequentially
//!   consistent, so at least one sees the other: either the worker finds the work, or the publisher finds that one is away.

use super::idle::Idle;
use crate::chaos;
use crate::control::Section;
use crate::primitive::{AtomicU8, Ordering};

pub(super) const ON: u8 = 0;
/// In an announced section; whoever publishes work should know.
pub(super) const AWAY: u8 = 1;
/// In an announced section that is short, as a rule: only the monitor looks at it.
pub(super) const BRIEFLY_AWAY: u8 = 2;
pub(super) const STUCK: u8 = 3;
pub(super) const SPARE: u8 = 4;

/// Relaxed where it is but a hint; the exchanges order what depends on them.
pub(super) struct Duty(AtomicU8);

impl Duty {
    /// A spare one's.
    pub(super) fn new() -> Duty {
        Duty(AtomicU8::new(SPARE))
    }

    #[inline]
    pub(super) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn exchange(&self, old: u8, new: u8) -> bool {
        chaos::point();
        // AcqRel: whoever sees a duty sees what came before it.
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The worker's task begins a section. Whether it must look now if work lies about.
    #[inline]
    pub(super) fn begin_section(&self, section: Section, idle: &Idle) -> bool {
        if section == Section::Short {
            // If it is stuck already it has been replaced.
            self.exchange(ON, BRIEFLY_AWAY);
            return false;
        }
        let is_announced = self.exchange(ON, AWAY);
        if is_announced {
            chaos::point();
            idle.go_away();
            chaos::point();
        }
        is_announced
    }

    /// The section has ended.
    #[inline]
    pub(super) fn end_section(&self, section: Section, idle: &Idle) {
        if section == Section::Short {
            self.exchange(BRIEFLY_AWAY, ON);
        } else if self.exchange(AWAY, ON) {
            chaos::point();
            idle.come_back();
        }
    }

    /// Takes one off duty that is at `from`, as is everything from here on under the roster's lock. `false` if its duty has
    /// just changed.
    pub(super) fn relieve(&self, from: u8, idle: &Idle) -> bool {
        let is_relieved = self.exchange(from, STUCK);
        if is_relieved {
            chaos::point();
            idle.count_off_duty(from == AWAY);
        }
        is_relieved
    }

    /// Puts one on duty that is stuck or spare.
    pub(super) fn take_up(&self, idle: &Idle) {
        // Release: pairs with the lock of the roster, under which the worker reads it.
        self.0.store(ON, Ordering::Release);
        chaos::point();
        idle.count_on_duty();
    }

    /// Makes one spare that is stuck, or that the caller has counted off.
    pub(super) fn lay_down(&self) {
        // Release: as in `take_up`.
        self.0.store(SPARE, Ordering::Release);
    }

    /// Makes a spare one stuck, with a task that only its thread may run.
    pub(super) fn visit(&self) {
        // Release: as in `take_up`.
        self.0.store(STUCK, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::super::idle::Choice;
    use super::*;
    use crate::lock::Lock;
    use crate::primitive::AtomicU32;
    use loom::thread;
    use std::sync::Arc;

    struct Post {
        duty: Duty,
        idle: Idle,
        /// The roster's lock.
        roster: Lock<()>,
        /// How many tasks lie about.
        work: AtomicU32,
    }

    impl Post {
        fn new() -> Arc<Post> {
            let post = Post { duty: Duty::new(), idle: Idle::new(), roster: Lock::new(()), work: AtomicU32::new(0) };
            post.duty.take_up(&post.idle);
            Arc::new(post)
        }

        /// As the monitor does, whatever it sees.
        fn relieve(&self) -> bool {
            let _roster = self.roster.lock();
            match self.duty.get() {
                STUCK => false,
                duty => self.duty.relieve(duty, &self.idle),
            }
        }

        /// As a worker does between two tasks.
        fn report(&self) {
            let _roster = self.roster.lock();
            if self.duty.get() == STUCK {
                self.duty.take_up(&self.idle);
            }
        }

        fn assert_on_duty(&self) {
            assert_eq!((self.duty.get(), self.idle.on_duty()), (ON, 1));
            assert_eq!(self.idle.choose(), Choice::Nothing, "it is still counted as away");
        }
    }

    fn sections_against_the_monitor(sections: [Section; 2]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let post = Post::new();
            let monitor = thread::spawn({
                let post = Arc::clone(&post);
                move || post.relieve()
            });
            for section in sections {
                post.duty.begin_section(section, &post.idle);
                post.duty.end_section(section, &post.idle);
            }
            let is_stuck = monitor.join().unwrap();
            assert_eq!(post.duty.get() == STUCK, is_stuck);
            post.report();
            post.assert_on_duty();
        });
    }

    #[test]
    fn one_side_counts_when_a_section_ends_as_its_worker_is_relieved() {
        sections_against_the_monitor([Section::Long, Section::Long]);
        sections_against_the_monitor([Section::Short, Section::Long]);
    }

    #[test]
    fn one_that_finds_its_replacement_is_relieved_once() {
        loom::model(|| {
            let post = Post::new();
            let monitor = thread::spawn({
                let post = Arc::clone(&post);
                move || post.relieve()
            });
            let mut by_itself = false;
            if post.duty.begin_section(Section::Long, &post.idle) {
                let _roster = post.roster.lock();
                by_itself = post.duty.relieve(AWAY, &post.idle);
            }
            post.duty.end_section(Section::Long, &post.idle);
            assert!(by_itself != monitor.join().unwrap());
            assert_eq!((post.duty.get(), post.idle.on_duty()), (STUCK, 0));
            post.report();
            post.assert_on_duty();
        });
    }

    #[test]
    fn work_published_while_the_last_worker_goes_away_is_seen() {
        loom::model(|| {
            let post = Post::new();
            let publisher = thread::spawn({
                let post = Arc::clone(&post);
                move || {
                    // Relaxed, as weak as a queue may be.
                    post.work.store(1, Ordering::Relaxed);
                    post.idle.choose() == Choice::Relieve
                }
            });
            assert!(post.duty.begin_section(Section::Long, &post.idle));
            let is_found = post.work.load(Ordering::Relaxed) == 1;
            assert!(publisher.join().unwrap() || is_found, "it lies there, and nobody is up");
        });
    }
}
