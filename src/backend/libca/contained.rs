//! What must not let a panic out.

use super::messages;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic must not unwind into C, nor end a thread that has more to do.
pub(super) fn contained(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        messages::write_stderr("cachannel: something failed that must not; this is a bug");
    }
}
