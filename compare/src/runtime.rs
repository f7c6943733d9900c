//! What the programs run on.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http::Service;
use crate::on_may::May;
use crate::on_threads::Threads;
use crate::on_throng::{Migration, Throng};
use crate::on_tokio;
use crate::programs;
use crate::work::Work;

/// A runtime within this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Throng.
    Throng(Migration),
    /// tokio's multi-threaded runtime.
    Tokio,
    /// may.
    May,
    /// Kernel threads with crossbeam's channels.
    Threads,
}

/// Calls a program of [`programs`] or its tokio version.
macro_rules! on {
    ($runtime:expr, $program:ident($($argument:expr),*)) => {
        match $runtime {
            Runtime::Throng(migration) => {
                migration.choose();
                programs::$program::<Throng>($($argument),*)
            }
            Runtime::Tokio => on_tokio::$program($($argument),*),
            Runtime::May => programs::$program::<May>($($argument),*),
            Runtime::Threads => programs::$program::<Threads>($($argument),*),
        }
    };
}

impl Runtime {
    /// All of them, in the order of the report.
    pub const ALL: &[Runtime] = &[
        Runtime::Throng(Migration::Guarded),
        Runtime::Throng(Migration::Unguarded),
        Runtime::Throng(Migration::BeforeFirstRun),
        Runtime::Tokio,
        Runtime::May,
        Runtime::Threads,
    ];

    /// What the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Throng(Migration::Guarded) => "throng",
            Runtime::Throng(Migration::Unguarded) => "unguarded",
            Runtime::Throng(Migration::BeforeFirstRun) => "strict",
            Runtime::Tokio => "tokio",
            Runtime::May => "may",
            Runtime::Threads => "threads",
        }
    }

    /// Whether it can do `work` at all, in a time worth waiting for.
    pub fn can(self, work: Work) -> bool {
        match self {
            // Without a bound on its channels the source of the sieve fills the memory.
            Runtime::May => work != Work::Sieve,
            Runtime::Threads => matches!(work, Work::PingPong | Work::Spsc | Work::Mpmc | Work::Select | Work::Mutex),
            _ => true,
        }
    }

    /// How many operations of `work` to measure: fewer where they would take too long, or can't all be in flight.
    pub fn operations(self, work: Work) -> u64 {
        match (self, work) {
            // Each of its tasks has two mappings from the start, and the kernel allows 65,530.
            (Runtime::May, Work::SpawnAll | Work::Sleep) => 20_000,
            (Runtime::May, Work::SpawnJoin) | (Runtime::Threads, Work::PingPong | Work::Select) => 100_000,
            _ => work.operations(),
        }
    }

    /// Time of `n` operations of `work`.
    pub fn measure(self, work: Work, n: u64) -> Duration {
        on!(self, run(work, n))
    }

    /// Leaves `n` tasks parked for ever, all of which have run.
    pub fn park_tasks(self, n: u64) {
        on!(self, park_tasks(n));
    }

    /// Leaves `n` tasks asleep for an hour.
    pub fn long_sleeps(self, n: u64) {
        on!(self, long_sleeps(n));
    }

    /// Starts a server that never ends, on a free port of the loopback address.
    pub fn serve(self, service: Service) -> SocketAddr {
        on!(self, serve(service))
    }
}
