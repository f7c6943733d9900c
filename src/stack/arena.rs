//! The arena: reservations, pools of idle stacks, growth and giving memory back.

use super::class::Class;
use super::guard::{Guards, MAPPINGS_OF_A_GUARD};
use super::memory;
use super::slab::{Fresh, Place, Slabs, Stack};
use crate::primitive::StaticMutex as Mutex;
use crate::primitive::{Ordering, StaticAtomicBool, StaticAtomicU64, waiting};
use parking_lot::Condvar;
use std::collections::VecDeque;
use std::io;

/// A slab is at least this large, ...
const SLAB_BYTES: usize = 64 << 20;
/// ... has at least so many stacks, ...
const SLAB_STACKS: usize = 16;
/// ... and at least this part of those of its class there are already, so that slabs are few however many stacks.
const SLAB_PART: usize = 4;

/// Idle stacks that may keep their memory for ever, by what it can be at most.
const WARM_BYTES: usize = 1 << 30;
const WARM_STACKS: usize = 16;

/// Stacks that lose their memory by one call.
const COOL_BATCH: usize = 1024;

/// A process-wide supply of stacks; or a private one, for tests, whose stacks must be given up before it is dropped.
pub(super) struct Arena {
    slabs: Slabs,
    growth: Mutex<Growth>,
    /// Whether some pool has more warm stacks than it may keep for ever.
    excess: StaticAtomicBool,
    /// Whether the last attempt to grow failed, for whatever class: they share the address space.
    scarce: StaticAtomicBool,
    pools: [Pool; Class::COUNT],
}

/// What only growth looks at.
struct Growth {
    /// `None` until the kernel was asked.
    guards: Option<Guards>,
    /// Guards that may still be made.
    guards_left: Option<usize>,
}

/// The stacks of one class.
struct Pool {
    /// Stacks that exist. Only grows.
    slots: StaticAtomicU64,
    /// Stacks that are promised; never more than exist.
    reserved: StaticAtomicU64,
    idle: Mutex<Idle>,
    /// Stacks that were in flight are idle again.
    landed: Condvar,
}

struct Idle {
    /// With whatever they touched; the one used last at the back.
    warm: VecDeque<Stack>,
    /// Without memory.
    cold: Vec<Stack>,
    /// Never touched and, if guards are made by advice, without a guard yet.
    fresh: Vec<Fresh>,
    /// On their way from warm to cold.
    in_flight: usize,
    /// The fewest warm stacks there were since the last `trim_unused`: so many were not needed.
    unneeded: usize,
    guards: Guards,
}

/// What an arena holds.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Mappings made. The kernel merges neighbours.
    pub(crate) slabs: usize,
    /// Stacks there is address space for.
    pub(crate) slots: usize,
    /// Stacks that are promised.
    pub(crate) reserved: usize,
    /// Stacks that are taken.
    pub(crate) taken: usize,
    /// Idle stacks that keep the memory they touched.
    pub(crate) warm: usize,
    /// Idle stacks that gave it back.
    pub(crate) cold: usize,
}

impl Arena {
    /// With guards of the given kind, or of the best kind the kernel has.
    pub(super) const fn new(guards: Option<Guards>) -> Arena {
        Arena::with_limit(guards, None)
    }

    /// With at most so many guards, instead of as many as the kernel's limits allow.
    pub(super) const fn with_limit(guards: Option<Guards>, guards_left: Option<usize>) -> Arena {
        Arena {
            slabs: Slabs::new(),
            growth: Mutex::new(Growth { guards, guards_left }),
            excess: StaticAtomicBool::new(false),
            scarce: StaticAtomicBool::new(false),
            pools: [const { Pool::new() }; Class::COUNT],
        }
    }

    fn pool(&self, class: Class) -> &Pool {
        &self.pools[class.index()]
    }

    pub(super) fn reserve(&self, class: Class, count: usize) -> io::Result<()> {
        let pool = self.pool(class);
        if pool.try_reserve(count) { Ok(()) } else { self.reserve_by_growth(pool, class, count) }
    }

    #[cold]
    fn reserve_by_growth(&self, pool: &Pool, class: Class, count: usize) -> io::Result<()> {
        let mut growth = self.growth.lock();
        // Others may take what was just made for us: the fast path asks for no lock.
        while !pool.try_reserve(count) {
            let grown = self.grow(&mut growth, pool, class, count);
            // Relaxed: a hint.
            self.scarce.store(grown.is_err(), Ordering::Relaxed);
            grown?;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn is_scarce(&self, class: Class, count: usize) -> bool {
        // Relaxed: a hint.
        self.scarce.load(Ordering::Relaxed) && !self.pool(class).has_plenty(count)
    }

    fn grow(&self, growth: &mut Growth, pool: &Pool, class: Class, count: usize) -> io::Result<()> {
        let s = if count == 1 { "" } else { "s" };
        let what = || format!("can't make room for {count} more stack{s} of {} KiB", class.size() >> 10);
        let guards = growth.guards().map_err(|error| memory::explain_exhaustion(error, &what()))?;
        let left = *growth.guards_left.get_or_insert_with(|| guards.limit());
        let slots = pool.slots();
        let need = count.saturating_sub(slots - pool.reserved()).max(1);
        if need > left {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!(
                    "{}: without MADV_GUARD_INSTALL (Linux 6.13) each guard page costs {MAPPINGS_OF_A_GUARD} mappings, \
                     and the share of vm.max_map_count that stacks may use is used up; raise vm.max_map_count, use a \
                     newer kernel, or run fewer tasks at a time",
                    what()
                ),
            ));
        }
        // Guards that each cost mappings aren't made ahead of need.
        let ahead = if guards == Guards::Advice { SLAB_BYTES / class.size() } else { 0 };
        let wish = need.max(ahead).max(SLAB_STACKS).max(slots / SLAB_PART).min(left);
        let fresh = self
            .slabs
            .grow(class, wish, guards)
            .or_else(|_| self.slabs.grow(class, need, guards))
            .map_err(|error| memory::explain_exhaustion(error, &what()))?;
        growth.guards_left = Some(left - fresh.left());
        pool.add(guards, fresh);
        Ok(())
    }

    pub(super) fn release(&self, class: Class, count: usize) {
        // Release: pairs with the Acquire of `try_reserve`: the stacks given back before are there for whoever gets
        // the reservation.
        let before = self.pool(class).reserved.fetch_sub(count as u64, Ordering::Release);
        debug_assert!(before >= count as u64, "more reservations released than made");
    }

    pub(super) fn take(&self, class: Class, out: &mut Vec<Stack>, want: usize) {
        let want = want.max(1);
        let pool = self.pool(class);
        let mut idle = pool.idle.lock();
        loop {
            if !idle.warm.is_empty() {
                let from = idle.warm.len().saturating_sub(want);
                out.extend(idle.warm.drain(from..));
                idle.unneeded = idle.unneeded.min(from);
                return;
            }
            if !idle.cold.is_empty() {
                let from = idle.cold.len().saturating_sub(want);
                out.extend(idle.cold.drain(from..));
                return;
            }
            if let Some(fresh) = idle.fresh.last_mut() {
                let from = out.len();
                fresh.cut(out, want);
                if fresh.left() == 0 {
                    idle.fresh.pop();
                }
                let guards = idle.guards;
                drop(idle);
                if guards == Guards::Advice {
                    guards.install(&out[from..]).unwrap_or_else(|_| no_memory_for_a_guard());
                }
                return;
            }
            assert!(idle.in_flight > 0, "a stack is taken that nobody reserved");
            waiting(|| pool.landed.wait(&mut idle));
        }
    }

    pub(super) fn give(&self, class: Class, stacks: &mut Vec<Stack>, keep: usize) {
        let surplus = stacks.len().saturating_sub(keep);
        if surplus == 0 {
            return;
        }
        debug_assert!(stacks.iter().all(|stack| stack.class() == class));
        let mut idle = self.pool(class).idle.lock();
        idle.warm.extend(stacks.drain(..surplus));
        if idle.warm.len() > warm_limit(class) {
            // Relaxed: a hint.
            self.excess.store(true, Ordering::Relaxed);
        }
    }

    /// Whether more idle stacks keep memory than may for ever.
    pub(super) fn has_excess(&self) -> bool {
        // Relaxed: a hint.
        self.excess.load(Ordering::Relaxed)
    }

    pub(super) fn trim_unused(&self) {
        let mut excess = false;
        for (index, pool) in self.pools.iter().enumerate() {
            let mut idle = pool.idle.lock();
            let most = warm_limit(Class::from_index(index));
            let count = idle.unneeded.min(idle.warm.len().saturating_sub(most));
            // An eighth of many: the caller is a worker, whose time this takes.
            let count = count.min(COOL_BATCH.max(count / 8));
            let batch = if count > 0 { idle.depart(count) } else { Vec::new() };
            excess |= idle.warm.len() > most;
            idle.unneeded = idle.warm.len();
            drop(idle);
            if count > 0 {
                pool.cool(batch);
            }
        }
        // Relaxed: a hint.
        self.excess.store(excess, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn trim(&self) {
        for pool in &self.pools {
            let mut idle = pool.idle.lock();
            let all = idle.warm.len();
            if all > 0 {
                let batch = idle.depart(all);
                drop(idle);
                pool.cool(batch);
            }
        }
    }

    pub(super) fn locate(&self, address: usize) -> Option<Place> {
        self.slabs.locate(address)
    }

    #[cfg(test)]
    pub(super) fn statistics(&self) -> Statistics {
        let mut sum = Statistics { slabs: self.slabs.count(), ..Statistics::default() };
        for pool in &self.pools {
            let idle = pool.idle.lock();
            let slots = pool.slots();
            let fresh: usize = idle.fresh.iter().map(Fresh::left).sum();
            sum.slots += slots;
            sum.reserved += pool.reserved();
            sum.warm += idle.warm.len();
            sum.cold += idle.cold.len();
            sum.taken += slots - fresh - idle.warm.len() - idle.cold.len() - idle.in_flight;
        }
        sum
    }
}

impl Growth {
    fn guards(&mut self) -> io::Result<Guards> {
        match self.guards {
            Some(guards) => Ok(guards),
            None => Ok(*self.guards.insert(Guards::probe()?)),
        }
    }
}

impl Pool {
    const fn new() -> Pool {
        let idle = Idle {
            warm: VecDeque::new(),
            cold: Vec::new(),
            fresh: Vec::new(),
            in_flight: 0,
            unneeded: 0,
            guards: Guards::Mprotect,
        };
        Pool {
            slots: StaticAtomicU64::new(0),
            reserved: StaticAtomicU64::new(0),
            idle: Mutex::new(idle),
            landed: Condvar::new(),
        }
    }

    fn slots(&self) -> usize {
        // Acquire: pairs with the Release of `add`: the slots counted are in the pool.
        self.slots.load(Ordering::Acquire) as usize
    }

    fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed) as usize
    }

    /// Whether as many stacks are left, and a quarter of all. A hint.
    #[cold]
    fn has_plenty(&self, count: usize) -> bool {
        let slots = self.slots();
        slots.saturating_sub(self.reserved()) >= count.max(slots / 4)
    }

    fn try_reserve(&self, count: usize) -> bool {
        let slots = self.slots() as u64;
        let more = |reserved: u64| reserved.checked_add(count as u64).filter(|&reserved| reserved <= slots);
        // Acquire: pairs with the Release of `release`.
        self.reserved.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    }

    /// Adds the slots of a new slab. Calls are serialized by the lock on `growth`.
    fn add(&self, guards: Guards, fresh: Fresh) {
        let count = fresh.left();
        let mut idle = self.idle.lock();
        idle.guards = guards;
        idle.fresh.push(fresh);
        // Release: pairs with the Acquire of `slots`.
        self.slots.fetch_add(count as u64, Ordering::Release);
    }

    /// Gives the memory of stacks in flight back to the system.
    fn cool(&self, mut batch: Vec<Stack>) {
        decommit(&mut batch);
        let mut idle = self.idle.lock();
        idle.in_flight -= batch.len();
        idle.cold.append(&mut batch);
        self.landed.notify_all();
    }
}

/// How many idle stacks of a class may keep their memory for ever.
fn warm_limit(class: Class) -> usize {
    (WARM_BYTES / class.size()).max(WARM_STACKS)
}

impl Idle {
    /// Takes the `count` warm stacks that were used longest ago out, to be cooled outside the lock.
    fn depart(&mut self, count: usize) -> Vec<Stack> {
        self.in_flight += count;
        self.warm.drain(..count).collect()
    }
}

/// Gives the memory of `batch` back to the system, neighbours at once.
fn decommit(batch: &mut [Stack]) {
    batch.sort_unstable_by_key(Stack::guard);
    let mut extents: Vec<libc::iovec> = Vec::new();
    for stack in batch.iter() {
        let size = stack.class().size();
        match extents.last_mut() {
            Some(last) if last.iov_base.addr() + last.iov_len == stack.guard().addr().get() => last.iov_len += size,
            _ => extents.push(memory::extent(stack.guard(), size)),
        }
    }
    // SAFETY: stacks that nobody uses; the advice spares the guards among them. If the kernel refuses (the memory is
    // locked), the stacks keep their contents, which harms nobody.
    let _ = unsafe { memory::advise(&extents, libc::MADV_DONTNEED) };
}

/// The kernel has no page left for a page table. Touching the stack would have failed for the same reason, by the
/// hand of the out-of-memory killer; a stack without a guard is no way out.
#[cold]
fn no_memory_for_a_guard() -> ! {
    std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; 4096]>())
}
