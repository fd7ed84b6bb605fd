//! The end of a context.

use super::{Context, LIVING};
use crate::client::channel::Channel;
use crate::client::fork;
use crate::protocol::status::Status;
use crate::sync::lock;
use crate::sync::wait_queue::{Check, INTERRUPT_CHECK, remaining};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// In a forked child the end of a context, when all else is done, waits for the thread of libCom's error log, which only
/// the parent has.
const FORKED_PATIENCE: Duration = Duration::from_millis(200);

/// A context's end that is under way.
pub struct End {
    is_over: Receiver<()>,
    deadline: Instant,
}

impl End {
    /// See [`Context::destroy`].
    pub fn wait(&self, check: Check<'_>) -> bool {
        while !check() {
            let left = remaining(Some(self.deadline)).unwrap_or_default();
            match self.is_over.recv_timeout(left.min(INTERRUPT_CHECK)) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return false,
            }
        }
        false
    }
}

impl Context {
    /// Ends the context and every channel in it (ca_context_destroy); `false` where that was not over within `patience`
    /// (a circuit may hang) or `check` said so, and goes on by itself.
    pub fn destroy(self: &Arc<Context>, patience: Duration, check: Check<'_>) -> bool {
        let end = self.begin_end(patience);
        end.is_none_or(|end| end.wait(check))
    }

    /// Begins to [`destroy`](Context::destroy) it. `None` where that has begun before.
    pub fn begin_end(self: &Arc<Context>, patience: Duration) -> Option<End> {
        if self.generation != fork::generation() {
            return None;
        }
        self.gate.close()?;
        let patience = if fork::generation() > 0 {
            patience.min(FORKED_PATIENCE)
        } else {
            patience
        };
        self.queue.stop();
        self.io.stop_sending();
        // Whoever waits for something in this context has waited enough, and may be in the way of the gate.
        let channels = self.channels();
        for channel in &channels {
            channel.release_waiters(Status::CHANDESTROY);
        }
        let (over, is_over) = std::sync::mpsc::channel();
        let context = self.clone();
        let deadline = Instant::now() + patience;
        let worker = std::thread::Builder::new().name("cachannel destroy".into());
        let started = worker.spawn(move || {
            let is_empty = || context.gate.is_empty();
            if !context.emptied.sleep(is_empty, patience) {
                // Somebody is stuck inside libca: it must not lose its context.
                return;
            }
            // SAFETY: the gate was closed by `begin_end`, and is empty.
            unsafe { context.destroy_now(&channels, patience / 2) };
            // Nobody listens any more where the patience is over.
            over.send(()).ok();
        });
        // Where no thread is to be had, nobody is left who would say that it is over.
        drop(started);
        Some(End { is_over, deadline })
    }

    /// Has the backend destroy the context.
    ///
    /// # Safety
    /// The gate is closed and empty.
    unsafe fn destroy_now(self: &Arc<Context>, channels: &[Arc<Channel>], patience: Duration) {
        // SAFETY: the caller's promise.
        if !unsafe { self.io.destroy(&self.channels(), patience) } {
            return;
        }
        for channel in channels {
            channel.abandon(Status::CHANDESTROY);
            self.release(channel);
        }
        lock(LIVING.get()).retain(|other| !Arc::ptr_eq(other, self));
    }
}
