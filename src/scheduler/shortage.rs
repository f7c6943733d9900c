//! What is said when tasks wait because there are no more threads.

use crate::primitive::{AtomicBool, Ordering};
use crate::wait::quietly;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Every thread that a runtime may have is kept by a task that blocks or runs on, so the others wait.
///
/// See [`Builder::on_shortage`](crate::runtime::Builder::on_shortage).
#[derive(Debug)]
pub struct Shortage {
    threads: usize,
    error: Option<io::Error>,
}

impl Shortage {
    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Why there are no more, if not because of [`max_threads`](crate::runtime::Builder::max_threads).
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortage { threads, error } = self;
        match threads {
            1 => f.write_str("the only thread is kept by a task that blocks or runs on")?,
            _ => write!(f, "all {threads} threads are kept by tasks that block or run on")?,
        }
        f.write_str("; other tasks wait until one comes back; ")?;
        match error {
            None => f.write_str("raise `max_threads`, or have fewer tasks block at a time"),
            Some(error) => write!(f, "{error}"),
        }
    }
}

pub(crate) type OnShortage = Arc<dyn Fn(&Shortage) + Send + Sync>;

/// Says it once.
pub(super) struct Warning {
    hook: OnShortage,
    given: AtomicBool,
}

impl Warning {
    pub(super) fn new(hook: Option<OnShortage>) -> Warning {
        let to_standard_error: OnShortage = Arc::new(|shortage| eprintln!("throng: {shortage}"));
        Warning { hook: hook.unwrap_or(to_standard_error), given: AtomicBool::new(false) }
    }

    pub(super) fn is_given(&self) -> bool {
        // Relaxed: for others than the monitor a hint; see `deadlock.rs` for when it is more.
        self.given.load(Ordering::Relaxed)
    }

    pub(super) fn give(&self, threads: usize, error: Option<io::Error>) {
        // Relaxed: only the monitor does this.
        if !self.given.swap(true, Ordering::Relaxed) {
            // Its panic (of `eprintln!`, too, if nobody reads that) would leave the workers without the monitor.
            quietly(|| (self.hook)(&Shortage { threads, error }));
        }
    }
}
