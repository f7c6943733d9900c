//! Throng: an M:N work-stealing runtime of stackful green threads.
#![allow(dead_code, unused_imports)] // while the house is being built

#[allow(unsafe_code)]
mod arch;
#[allow(unsafe_code)]
mod asymmetric;
#[allow(unsafe_code)]
pub mod cancel;
pub mod chan;
#[allow(unsafe_code)]
mod control;
#[allow(unsafe_code)]
mod current;
#[allow(unsafe_code)]
mod fiber;
#[allow(unsafe_code)]
mod join;
#[allow(unsafe_code)]
mod lock;
pub mod net;
mod netpoll;
#[allow(unsafe_code)]
mod park;
mod primitive;
mod rng;
#[allow(unsafe_code)]
pub mod runtime;
#[allow(unsafe_code)]
mod scheduler;
#[allow(unsafe_code)]
mod scope;
#[allow(unsafe_code)]
mod stack;
#[allow(unsafe_code)]
pub mod task;
#[allow(unsafe_code)]
mod timer;
#[allow(unsafe_code)]
mod wait;

pub use crate::join::JoinHandle;
pub use crate::runtime::{run, spawn};
pub use crate::scope::{Scope, ScopedJoinHandle, scope};
