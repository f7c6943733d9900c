//! Cancellation: a task that was asked to end unwinds from its next suspension point.

use std::panic;

/// What a cancelled task unwinds with. Nobody outside can make or name one, and no panic hook sees it.
pub(crate) struct Cancelled(());

/// Unwinds the cancelled task, after its wait has been tidied up.
#[cold]
pub(crate) fn unwind() -> ! {
    panic::resume_unwind(Box::new(Cancelled(())))
}
