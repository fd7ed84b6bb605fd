//! What a circuit's sender thread does.

use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use std::sync::Arc;

/// A call of libca, or several, that libca may block on.
pub(super) trait Work: Send {
    fn run(self: Box<Self>);

    /// No thread can be started for it, and the caller was not told: completes its requests with ECA_ALLOCMEM.
    fn fail(self: Box<Self>);

    /// Nobody waits for it any more: it is not done.
    fn withdraw(self: Box<Self>);

    /// Whoever waits in `pending` waits for it.
    fn waits_in(&self, _pending: &Arc<PendingIo>) -> bool {
        false
    }

    /// Nobody waits for it, and it may as well be done when a thread can be started again.
    fn is_retryable(&self) -> bool {
        false
    }

    /// It is put off until a thread can be started: what the user misses until then is told here.
    fn put_off(&self) {}

    /// Bytes that the circuit has counted as sent for it.
    fn counted(&self) -> u64 {
        0
    }

    /// Memory that it takes, about, as far as that counts towards the limit of what may wait.
    fn bytes(&self) -> usize {
        0
    }

    /// Where it is flushed.
    fn context(&self) -> Option<Arc<Context>>;
}
