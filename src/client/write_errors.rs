//! Writes that a server refuses after the fact: it reports them to no request in particular.

use crate::protocol::status::Status;
use crate::sync::lock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A channel's writes, as far as the server's complaints about them go.
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

/// While it lives, what the server refuses is told to it instead of the exception handler.
pub struct WriteErrorWatch<'r>(&'r WriteErrors);

impl WriteErrors {
    /// One at a time: `None` while somebody else watches.
    pub fn watch(&self) -> Option<WriteErrorWatch<'_>> {
        let mut state = lock(&self.state);
        if state.watched {
            return None;
        }
        state.watched = true;
        state.status = None;
        Some(WriteErrorWatch(self))
    }

    /// A write goes out.
    pub(crate) fn write_sent(&self) {
        self.unconfirmed.store(true, Ordering::SeqCst);
    }

    /// Writes were sent about which nobody has asked: a refusal may still be on its way. Asking forgets them.
    pub fn take_unconfirmed(&self) -> bool {
        self.unconfirmed.swap(false, Ordering::SeqCst)
    }

    /// The server refused a write; `true` where somebody waits to hear it.
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

    /// WriteErrors so far were of earlier writes.
    pub fn reset(&self) {
        lock(&self.0.state).status = None;
    }
}

impl Drop for WriteErrorWatch<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).watched = false;
    }
}
