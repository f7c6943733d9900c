//! What of a kernel thread's own memory a suspended task may point to: the eyes of the migration guard.
//!
//! Each thread that runs tasks has a [`Watch`], made by itself when it starts: where its thread-local storage is, and what
//! lay in there before it ran its first task. Whoever is about to resume one of its tasks elsewhere asks it for a [`View`], and
//! the view whether the task's stack leads back. What the answer is used for is told in `scheduler/migration.rs`, and what
//! can't be seen in `docs/soundness.md`.
//!
//! * `places.rs`: where the storage is, as the dynamic linker tells.
//! * `scan.rs`: the search of a stack.
//!
//! # Two kinds of words
//! A stack *leads back* if a word on it
//! 1. points into the thread's storage: the blocks of all modules, the thread's control block, its thread pointer included. So
//!    does a borrow of a thread-local, and its address in a register that the compiler has saved; or
//! 2. points to where a word of the storage points, or a little behind: to the heap, most likely. An `Rc` that was cloned out
//!    of a thread-local, and a borrow of what it leads to;
//!
//! or if a word of the storage points into the stack: code that lends a local variable to a thread-local for a while.
//!
//! # What of the storage is compared
//! It would be a good deal of work to compare all of the stack with all of the storage. But most of what lies in a thread's
//! storage was there before the thread ran its first task: the library's own pointers, `std`'s, the allocator's. No task can
//! have put it there, and none gets hold of it but through code that is made for threads. So what has not changed since
//! (the *baseline*) isn't compared; nor are numbers, nor what points to a module's image (functions, statics) or to the storage
//! itself. In most programs nothing is left.
//!
//! The storage is read when it is needed, not when the task left it: the thread may have changed it since, by running others.
//! The words themselves are read with [`arch::peek`], for the thread may write them at that moment. They stay mapped: a
//! thread doesn't end while a task has its home there.
//!
//! # The library's own slot
//! Frames of the library hold addresses of the thread's `Worker` at every suspension, and so does its slot in the storage. They
//! don't count: a worker lies on its thread's own stack, not in the storage, so the first rule doesn't see it, and the slot
//! is written before the baseline is taken, so neither does the second. It is sound to carry them along, since the library
//! asks for its worker anew after each switch. The slot's own address never stays on a stack (see `current.rs`).
//!
//! # What the libraries below use
//! The crates that the library is built on, `std` and the C library have thread-locals of their own, which change with every
//! lock that is waited for: `parking_lot` notes the lock, which most likely lies beside what tasks share. So a new thread
//! uses them all once, and what changes by that isn't compared. Nor may the addresses of these thread-locals stay on a task's
//! stack when such a lock had to be waited for: see `StaticMutex` in `primitive.rs`.
//!
//! # Tried and rejected
//! * A summary of the storage that its own thread renews now and then: the first use of a lazy thread-local, just before the
//!   suspension, is the likeliest of all hazards, and the summary misses it.
//! * To take any word that is on the heap for a hazard: every stack has some.

mod places;
mod scan;

use crate::arch;
use places::WORD;
pub(crate) use places::{Places, Version};
use scan::{AT_ONCE, Span, Stack};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How many words of a thread's storage are compared with stacks. What lies in a block beyond that is only watched for
/// pointers into it.
const COMPARED: usize = 2048;
/// How far behind the place where a word of the storage points a word of the stack still counts: the head of what an `Rc`
/// leads to.
const BEHIND: usize = 64;

/// What others know of a thread's storage.
pub(crate) struct Watch {
    places: Places,
    /// The places of the words that are compared, in whole eights: the last one is repeated.
    compared: Vec<usize>,
    /// The compared words as they were before the first task, and when they were last looked at.
    baseline: Box<[usize]>,
    seen: Box<[usize]>,
    /// Where in `seen` the words are that may lead to what tasks share with the thread.
    leads: Vec<usize>,
    /// Of the leads, and of the storage that is not in one piece.
    more: Option<Arc<More>>,
}

/// What to look for on a stack. It lies on one itself, that of whoever searches, so it tells no address.
pub(crate) struct View {
    storage: Span,
    more: Option<Arc<More>>,
}

/// What most threads don't have.
struct More {
    /// Storage apart from the rest: of libraries that were loaded late.
    others: Vec<Range<usize>>,
    leads: Vec<usize>,
    /// Which of 64 classes of addresses the leads are in; see `class`.
    classes: u64,
}

/// Has the calling thread use what those use that serve it: the allocator, `std`'s list of destructors, the crates that the
/// library is built on. What changes by that in its storage is theirs, and goes on changing.
fn warm_up() {
    thread_local! {
        static DROPPED: DropMe = const { DropMe };
    }
    struct DropMe;
    impl Drop for DropMe {
        fn drop(&mut self) {}
    }
    DROPPED.with(|_| ());
    let deque = crossbeam_deque::Worker::<Box<u8>>::new_fifo();
    deque.push(Box::new(0));
    let _ = deque.stealer().steal();
    // Waits for no time at all, but in the queue of those that wait.
    let lock = parking_lot::Mutex::new(());
    let _ = parking_lot::Condvar::new().wait_for(&mut lock.lock(), Duration::ZERO);
}

/// The class of what lies within `BEHIND` bytes.
fn class(address: usize) -> u64 {
    let line = address / BEHIND;
    1 << ((line ^ (line >> 6)) % 64)
}

impl Watch {
    /// The calling thread's, which has not run a task yet.
    pub(crate) fn of_this_thread() -> Watch {
        let places = Places::of_this_thread();
        let all = places.blocks.iter().flat_map(|block| block.clone().step_by(WORD)).take(COMPARED);
        // SAFETY: it is the calling thread's storage.
        let peek = |at| unsafe { arch::peek(at) };
        let before: Vec<(usize, usize)> = all.map(|at| (at, peek(at))).collect();
        warm_up();
        let mut compared: Vec<usize> =
            before.into_iter().filter(|&(at, word)| peek(at) == word).map(|(at, _)| at).collect();
        if let Some(&last) = compared.last() {
            compared.resize(compared.len().next_multiple_of(AT_ONCE), last);
        }
        let baseline: Box<[usize]> = compared.iter().map(|&at| peek(at)).collect();
        let mut watch = Watch { places, compared, seen: baseline.clone(), baseline, leads: Vec::new(), more: None };
        watch.sum_up();
        watch
    }

    pub(crate) fn version(&self) -> Version {
        self.places.version
    }

    /// Libraries have come or gone, or have got storage: these are the thread's places now.
    pub(crate) fn renew(&mut self, places: Places) {
        // What it has from its start stays where it is, and so does what is compared.
        self.places.others = places.others;
        self.places.images = places.images;
        self.places.version = places.version;
        self.sum_up();
    }

    /// What to look for on the stack of a task that the thread has left.
    ///
    /// # Safety
    /// The thread is alive.
    #[inline]
    pub(crate) unsafe fn view(&mut self) -> View {
        // No branch for each word.
        let mut difference = 0;
        let (places, _) = self.compared.as_chunks::<AT_ONCE>();
        let (seen, _) = self.seen.as_chunks::<AT_ONCE>();
        for (places, seen) in places.iter().zip(seen) {
            for (&at, before) in places.iter().zip(seen) {
                // SAFETY: the storage is there as long as the thread is.
                difference |= before ^ unsafe { arch::peek(at) };
            }
        }
        if difference != 0 {
            // SAFETY: as above.
            unsafe { self.look_closely() };
        }
        View { storage: Span::of(&self.places.storage), more: self.more.clone() }
    }

    /// A word of the storage has changed.
    ///
    /// # Safety
    /// As for `view`.
    #[inline(never)]
    unsafe fn look_closely(&mut self) {
        let mut changed = false;
        for (index, &at) in self.compared.iter().enumerate() {
            // SAFETY: the caller's.
            let word = unsafe { arch::peek(at) };
            let before = std::mem::replace(&mut self.seen[index], word);
            if word != before {
                changed |= note(&self.places, &mut self.leads, index, self.baseline[index], word);
            }
        }
        if changed {
            self.sum_up();
        }
    }

    #[cold]
    fn sum_up(&mut self) {
        if self.leads.is_empty() && self.places.others.is_empty() {
            self.more = None;
            return;
        }
        let leads: Vec<usize> = self.leads.iter().map(|&index| self.seen[index]).collect();
        let classes = leads.iter().fold(0, |all, &lead| all | class(lead) | class(lead + BEHIND - 1));
        self.more = Some(Arc::new(More { others: self.places.others.clone(), leads, classes }));
    }
}

/// A word of the storage has changed. Whether that matters.
#[cold]
fn note(places: &Places, leads: &mut Vec<usize>, index: usize, baseline: usize, now: usize) -> bool {
    let was_lead = leads.iter().position(|&lead| lead == index);
    let is_lead = now != baseline && places.may_lead_on(now);
    match (was_lead, is_lead) {
        (Some(at), false) => {
            leads.swap_remove(at);
        }
        (None, true) => leads.push(index),
        (None, false) => return false,
        (Some(_), true) => {}
    }
    true
}

impl View {
    /// Whether a stack leads back to the thread.
    ///
    /// # Safety
    /// It can be read, and nobody else uses it.
    #[inline]
    pub(crate) unsafe fn is_led_to(&self, stack: Range<usize>) -> bool {
        // SAFETY: the caller's.
        let stack = unsafe { Stack::new(stack) };
        stack.points_into(self.storage) || self.more.as_deref().is_some_and(|more| more.is_led_to(&stack))
    }
}

impl More {
    #[cold]
    fn is_led_to(&self, stack: &Stack) -> bool {
        let leads_to = |word: usize| {
            self.classes & class(word) != 0 && self.leads.iter().any(|&lead| word.wrapping_sub(lead) < BEHIND)
        };
        self.others.iter().any(|range| stack.points_into(Span::of(range)))
            || self.leads.iter().any(|&lead| stack.holds(lead))
            || !self.leads.is_empty() && stack.any(leads_to)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    /// Whether a stack that holds these words would lead back to the calling thread.
    fn leads_back(watch: &mut Watch, words: &[usize]) -> bool {
        let range = words.as_ptr_range();
        // SAFETY: the thread is this one, the words are there.
        unsafe { watch.view().is_led_to(range.start.addr()..range.end.addr()) }
    }

    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
        static SHARED: RefCell<Option<Rc<[u64; 4]>>> = const { RefCell::new(None) };
        static LENT: Cell<*const usize> = const { Cell::new(std::ptr::null()) };
    }

    #[test]
    fn the_storage_of_a_thread_is_found() {
        let mut watch = Watch::of_this_thread();
        let number = NUMBER.with(|number| std::ptr::from_ref(number).addr());
        // SAFETY: no obligations.
        let errno = unsafe { libc::__errno_location() }.addr();
        // SAFETY: likewise.
        let myself = unsafe { libc::pthread_self() } as usize;
        for word in [number, errno, myself, arch::thread_pointer()] {
            assert!(leads_back(&mut watch, &[0, word, 1]), "{word:#x}");
        }
        let local = 5;
        let allocated = Box::new(5);
        for word in [
            0,
            1,
            usize::MAX,
            std::ptr::from_ref(&local).addr(),
            (&raw const *allocated).addr(),
            class as *const () as usize,
        ] {
            assert!(!leads_back(&mut watch, &[word]), "{word:#x}");
        }
        let theirs = std::thread::spawn(|| NUMBER.with(|number| std::ptr::from_ref(number).addr())).join().unwrap();
        assert!(!leads_back(&mut watch, &[theirs]));
    }

    #[test]
    fn what_the_storage_points_to_counts_while_it_does() {
        let mut watch = Watch::of_this_thread();
        let shared = Rc::new([1, 2, 3, 4]);
        let value = Rc::as_ptr(&shared).addr();
        assert!(!leads_back(&mut watch, &[value, value - 16]));
        SHARED.set(Some(Rc::clone(&shared)));
        for word in [value - 16, value, value + 8] {
            assert!(leads_back(&mut watch, &[3, word]), "{word:#x}");
        }
        assert!(!leads_back(&mut watch, &[value - 24, value + 64]));
        SHARED.set(None);
        assert!(!leads_back(&mut watch, &[value, value - 16]));
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let shared = Rc::new([1, 2, 3, 4]);
        SHARED.set(Some(Rc::clone(&shared)));
        let mut watch = Watch::of_this_thread();
        assert!(!leads_back(&mut watch, &[Rc::as_ptr(&shared).addr()]));
        SHARED.set(None);
    }

    #[test]
    fn a_stack_that_is_lent_to_the_storage_counts() {
        let mut watch = Watch::of_this_thread();
        let stack = [0; 4];
        // What the program only writes the compiler leaves out.
        let lend = |word| LENT.with(|lent| std::hint::black_box(lent).set(word));
        assert!(!leads_back(&mut watch, &stack));
        lend(&raw const stack[2]);
        assert!(leads_back(&mut watch, &stack));
        lend(std::ptr::null());
        assert!(!leads_back(&mut watch, &stack));
    }

    /// However often one looks, nothing is found where nothing is. What a look costs is told by `cargo test --release --lib
    /// what_a_look_costs -- --nocapture`.
    #[test]
    fn what_a_look_costs() {
        const LOOKS: u32 = if cfg!(debug_assertions) { 2000 } else { 1_000_000 };
        let mut watch = Watch::of_this_thread();
        let local = 0;
        let stack: Vec<usize> = (0..64).map(|index| (&raw const local).addr() + index).collect();
        let measure = |watch: &mut Watch, what: &str| {
            let fastest = (0..20).map(|_| {
                let begun = std::time::Instant::now();
                for _ in 0..LOOKS / 20 {
                    assert!(!leads_back(watch, std::hint::black_box(&stack)));
                }
                begun.elapsed() / (LOOKS / 20)
            });
            println!("{what}: {:?} for 512 bytes of stack", fastest.min().unwrap());
        };
        println!("{} words of storage are compared", watch.compared.len());
        measure(&mut watch, "a thread-local that leads nowhere");
        SHARED.set(Some(Rc::new([1, 2, 3, 4])));
        measure(&mut watch, "one that leads to the heap");
        SHARED.set(None);
    }
}
