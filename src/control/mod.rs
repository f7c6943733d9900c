//! A task: its control block, its state word, and what it needs of whatever runs it.

pub(crate) mod blocks;
mod chunk;
mod header;
mod schedule;
mod state;

pub use header::TaskId;
pub(crate) use header::{Header, TaskRef, Vtable};
pub(crate) use schedule::{Context, Leave, Schedule, TimerEntry};
pub(crate) use state::{Claimed, Epoch, Outcome, State};
