//! Restores that stop half way.

use std::cell::Cell;

use crate::error::OpenError;

thread_local! {
    /// How many crash points are passed before the crash; none comes while it is `None`.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Stops the restore here, if that is where the test wants it.
pub(super) fn crash_here() -> Result<(), OpenError> {
    match LEFT.get() {
        Some(0) => Err(OpenError::Damaged("the power went".into())),
        left => {
            LEFT.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}
