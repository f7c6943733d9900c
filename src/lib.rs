//! Throng: an M:N work-stealing runtime of stackful green threads.
#![allow(dead_code, unused_imports)] // while the house is being built

mod cancel;
#[allow(unsafe_code)]
mod current;
mod fiber;
#[allow(unsafe_code)]
mod lock;
pub mod net;
mod netpoll;
#[allow(unsafe_code)]
mod park;
mod primitive;
mod rng;
mod runtime;
#[allow(unsafe_code)]
mod task;
#[allow(unsafe_code)]
mod wait;

pub use crate::task::TaskId;
