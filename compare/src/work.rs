//! The programs: their names and their sizes.

/// A program that every runtime runs, and what one operation of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A hundred tasks yield in turn; an operation is one yield.
    Yield,
    /// An empty task is spawned and joined, then the next one.
    SpawnJoin,
    /// All tasks are spawned at once, then all are waited for; an operation is one task.
    SpawnAll,
    /// Two tasks and two rendezvous channels; an operation is there and back.
    PingPong,
    /// A token goes round a thousand tasks joined by rendezvous channels; an operation is one hop.
    Ring,
    /// One producer, one consumer, capacity 128; an operation is one message.
    Spsc,
    /// Four producers, four consumers, capacity 128; an operation is one message.
    Mpmc,
    /// One task selects over four rendezvous channels, each with its own producer; an operation is one message.
    Select,
    /// The first thousand primes by a chain of filters over rendezvous channels; an operation is the whole.
    Sieve,
    /// `fib(32)` by fork and join, sequential below 13; an operation is the whole.
    ForkJoin,
    /// Eight tasks add to one number under a lock; an operation is one section.
    Mutex,
    /// Tasks that sleep for a random time within a second; an operation is one sleep, and its *CPU* time is measured.
    Sleep,
}

impl Work {
    /// All of them, in the order of the report.
    pub const ALL: [Work; 12] = [
        Work::Yield,
        Work::SpawnJoin,
        Work::SpawnAll,
        Work::PingPong,
        Work::Ring,
        Work::Spsc,
        Work::Mpmc,
        Work::Select,
        Work::Sieve,
        Work::ForkJoin,
        Work::Mutex,
        Work::Sleep,
    ];

    /// What the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Work::Yield => "yield",
            Work::SpawnJoin => "spawn-join",
            Work::SpawnAll => "spawn-all",
            Work::PingPong => "ping-pong",
            Work::Ring => "ring",
            Work::Spsc => "spsc",
            Work::Mpmc => "mpmc",
            Work::Select => "select",
            Work::Sieve => "sieve",
            Work::ForkJoin => "fork-join",
            Work::Mutex => "mutex",
            Work::Sleep => "sleep",
        }
    }

    /// How many operations make a measurement of about a second on the slowest runtime that is worth waiting for.
    pub fn operations(self) -> u64 {
        match self {
            Work::Yield | Work::Mpmc | Work::Mutex => 5_000_000,
            Work::Spsc => 10_000_000,
            Work::SpawnJoin | Work::SpawnAll | Work::PingPong | Work::Select => 1_000_000,
            Work::Ring => 2_000_000,
            Work::Sieve => 5,
            Work::ForkJoin => 20,
            Work::Sleep => 100_000,
        }
    }
}
