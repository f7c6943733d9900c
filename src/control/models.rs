//! What models of other files take for tasks.

use super::{Context, Header, Leave, Schedule, Section, TimerEntry, Vtable};
use crate::primitive::{AtomicU32, Ordering};
use crate::stack::class_for;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

/// A host of tasks that are run by hand, each on a thread of its own.
pub(crate) struct Host;

static HOST: Host = Host;

impl Host {
    pub(crate) fn get() -> NonNull<dyn Schedule> {
        NonNull::from(&HOST)
    }
}

// SAFETY: it makes nothing runnable, and is static.
unsafe impl Schedule for Host {
    fn make_runnable(&self, _: NonNull<Header>) {
        unreachable!("the model does that itself");
    }

    unsafe fn suspend(&self, _: *const Context, _: Leave) {
        unreachable!("a thread waits as one");
    }

    unsafe fn begin_section(&self, _: *const Context, _: Section) {
        unreachable!("there is no context");
    }

    unsafe fn end_section(&self, _: *const Context, _: Section) {
        unreachable!("there is no context");
    }

    unsafe fn arm_timer(&self, _: &TimerEntry) {
        unreachable!("loom knows no time");
    }

    fn disarm_timer(&self, _: &TimerEntry) {
        unreachable!("loom knows no time");
    }

    fn someone_waits(&self) {}

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A task that has nothing to run. It stays where it is when it is freed, and tells how often that was.
#[repr(C)]
pub(crate) struct Blank {
    header: Header,
    freed: AtomicU32,
}

impl Blank {
    const VTABLE: Vtable = Vtable {
        run: |_| unreachable!("there is nothing to run"),
        abandon: |_| unreachable!("there is nothing to drop"),
        take: |_, _| unreachable!("there is no result"),
        // SAFETY: the header is the first field.
        free: |task| _ = unsafe { task.cast::<Blank>().as_ref() }.freed.fetch_add(1, Ordering::Relaxed),
    };

    /// One that `refs` references are held to.
    pub(crate) fn new(refs: u32) -> Arc<Blank> {
        let class = class_for(1 << 16).expect("a size like others");
        // SAFETY: the host is static.
        let header = unsafe { Header::new(&Blank::VTABLE, Host::get(), class, None, Location::caller(), refs) };
        Arc::new(Blank { header, freed: AtomicU32::new(0) })
    }

    pub(crate) fn task(&self) -> NonNull<Header> {
        NonNull::from(self).cast()
    }

    pub(crate) fn freed(&self) -> u32 {
        self.freed.load(Ordering::Relaxed)
    }
}
