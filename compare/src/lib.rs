//! The same programs on Throng, tokio, may and kernel threads, so that a figure always comes with its rivals' figures.
//!
//! [`Work`] names the programs and [`Runtime`] what they run on; [`Runtime::measure`] runs one on the other. The programs
//! for runtimes whose tasks have stacks are written once, in [`programs`], over the trait [`Stackful`]; tokio's colour of
//! function can't be abstracted over, so its versions stand beside them in `on_tokio`. Go's are in `go/main.go`.

#[allow(
    dead_code,
    unused_imports,
    unsafe_code,
    unreachable_pub,
    reason = "a private module of the library, of which only the switch is measured"
)]
#[path = "../../src/arch/mod.rs"]
mod arch;
pub mod http;
pub mod load;
mod meter;
mod on_may;
mod on_threads;
mod on_throng;
mod on_tokio;
pub mod programs;
mod runtime;
mod stackful;
pub mod switch;
mod work;

pub use crate::meter::{Memory, cpu_time_of};
pub use crate::runtime::Runtime;
pub use crate::stackful::{Receive, Stackful, Transmit};
pub use crate::work::Work;

/// How many kernel threads run tasks, on every runtime.
pub const WORKERS: usize = 2;
