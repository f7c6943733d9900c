//! placeholder
pub(crate) struct Fiber;
