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

/// In a forked child, the last step of a context's end waits for the thread of libCom's error log, which exists in the parent
/// only.
const FORKED_PATIENCE: Duration = Duration::from_millis(200);

/// The end of a context, in progress.
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
    /// Ends the context and every channel in it (ca_context_destroy). Returns `false` if the end was not complete within
    /// `patience` (a circuit may hang) or `check` ended the wait; the end then goes on in a thread.
    pub fn destroy(self: &Arc<Context>, patience: Duration, check: Check<'_>) -> bool {
        let end = self.begin_end(patience);
        end.is_none_or(|end| end.wait(check))
    }

    /// Begins to [`destroy`](Context::destroy) the context. `None` if the end has begun before.
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
        // Threads that wait for something in this context are woken: they may be inside the gate.
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
                // A thread is stuck inside the backend, which must not lose its context.
                return;
            }
            // SAFETY: the gate was closed by `begin_end`, and is empty.
            unsafe { context.destroy_now(&channels, patience / 2) };
            // The receiver is gone if the patience is over.
            over.send(()).ok();
        });
        // If no thread could be started, the sender is dropped, and the receiver learns from that.
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
            channel.backend_let_go(Status::CHANDESTROY);
            self.release(channel);
        }
        lock(LIVING.get()).retain(|other| !Arc::ptr_eq(other, self));
    }
}
