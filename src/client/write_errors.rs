//! Writes that a server rejects after they were sent: it reports the error without saying to which request it belongs.

use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The server's errors about writes to one channel, and who waits for them.
#[derive(Default)]
pub struct WriteErrors {
    state: Mutex<State>,
    unconfirmed: AtomicBool,
}

#[derive(Default)]
struct State {
    watched: bool,
    status: Option<Status>,
}

/// While a watch lives, it gets the server's errors about writes, instead of the exception handler.
pub struct WriteErrorWatch<'r>(&'r WriteErrors);

impl WriteErrors {
    /// One watch at a time: `None` while there is another.
    pub fn watch(&self) -> Option<WriteErrorWatch<'_>> {
        let mut state = lock(&self.state);
        if state.watched {
            return None;
        }
        state.watched = true;
        state.status = None;
        Some(WriteErrorWatch(self))
    }

    /// A write is sent.
    pub(crate) fn write_sent(&self) {
        self.unconfirmed.store(true, Ordering::SeqCst);
    }

    /// Whether writes were sent since the last call: an error about them may still come.
    pub fn take_unconfirmed(&self) -> bool {
        self.unconfirmed.swap(false, Ordering::SeqCst)
    }

    /// The server rejected a write. Returns `true` if a watch gets the error.
    pub(crate) fn tell(&self, status: Status) -> bool {
        let mut state = lock(&self.state);
        state.status = Some(status);
        state.watched
    }
}

impl WriteErrorWatch<'_> {
    pub fn status(&self) -> Option<Status> {
        lock(&self.0.state).status
    }

    /// Forgets the error so far, which is about earlier writes.
    pub fn reset(&self) {
        lock(&self.0.state).status = None;
    }
}

impl Drop for WriteErrorWatch<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).watched = false;
    }
}
