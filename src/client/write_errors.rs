//! Writes that a server rejects after they were sent: it reports the error without saying to which request it belongs.

use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::wait_queue::{Check, INTERRUPT_CHECK, WaitQueue, Waited, remaining};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The server's errors about writes to one channel, and who waits for them.
#[derive(Default)]
pub struct WriteErrors {
    state: Mutex<State>,
    /// Where threads sleep until the watch has ended.
    unwatched: WaitQueue,
    /// Writes were sent that no later answer has shown to be accepted: the server may still reject them.
    may_be_rejected: AtomicBool,
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

    /// Waits while there is another watch.
    pub fn wait_to_watch(
        &self,
        deadline: Option<Instant>,
        check: Check<'_>,
    ) -> Result<WriteErrorWatch<'_>, Waited> {
        loop {
            if let Some(watch) = self.watch() {
                return Ok(watch);
            }
            let left = remaining(deadline).unwrap_or(INTERRUPT_CHECK);
            if left == Duration::ZERO {
                return Err(Waited::Timeout);
            }
            let is_free = || !lock(&self.state).watched;
            if !self.unwatched.sleep(is_free, left.min(INTERRUPT_CHECK)) && check() {
                return Err(Waited::Interrupted);
            }
        }
    }

    /// A write is sent.
    pub(crate) fn write_sent(&self) {
        self.may_be_rejected.store(true, Ordering::SeqCst);
    }

    /// Whether writes were sent since the last call: an error about them may still come.
    pub fn take_may_be_rejected(&self) -> bool {
        self.may_be_rejected.swap(false, Ordering::SeqCst)
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
        self.0.unwatched.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_watch_waits_for_the_end_of_the_first() {
        let errors = WriteErrors::default();
        let first = errors.watch().unwrap();
        let waited = errors.wait_to_watch(Some(Instant::now()), &mut || false);
        assert_eq!(waited.err(), Some(Waited::Timeout));
        let waited = errors.wait_to_watch(None, &mut || true);
        assert_eq!(waited.err(), Some(Waited::Interrupted));
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let watch = errors.wait_to_watch(None, &mut || false).unwrap();
                watch.status()
            });
            assert!(errors.tell(Status::PUTFAIL));
            drop(first);
            // The error is about a write of the first.
            assert_eq!(second.join().unwrap(), None);
        });
        assert!(errors.watch().is_some());
    }
}
