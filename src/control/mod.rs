//! A task: its control block, its state word, its cancel scopes, and what it needs of whatever runs it.

pub(crate) mod blocks;
mod chunk;
pub(crate) mod clock;
mod header;
#[cfg(all(test, loom))]
pub(crate) mod models;
mod participant;
mod schedule;
mod scopes;
mod state;

pub use header::TaskId;
pub(crate) use header::{Header, TaskRef, Vtable};
pub(crate) use participant::{Participant, ThreadParker};
pub(crate) use schedule::{Context, Leave, Running, Schedule, Section, TimerEntry};
pub(crate) use scopes::{Scope, Scopes, Target};
pub(crate) use state::{Claimed, Epoch, Outcome, State};
