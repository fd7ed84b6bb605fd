//! The end of a context.

use super::{Attached, Context, LIVING};
use crate::client::channel::Channel;
use crate::client::fork;
use crate::client::pending_io::{Check, INTERRUPT_CHECK, remaining};
use crate::protocol::status::Status;
use crate::sync::lock;
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
        self.circuits.close();
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
            while !context.gate.is_empty() {
                if Instant::now() >= deadline {
                    // Somebody is stuck inside libca: it must not lose its context.
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            context.destroy_now(&channels, patience / 2);
            // Nobody listens any more where the patience is over.
            over.send(()).ok();
        });
        // Where no thread is to be had, nobody is left who would say that it is over.
        drop(started);
        Some(End { is_over, deadline })
    }

    /// Has libca destroy the context, whose gate is closed and empty. Its channels are cleared before, as far as that is
    /// over within `patience`: libca loses some memory of those that are left.
    fn destroy_now(self: &Arc<Context>, channels: &[Arc<Channel>], patience: Duration) {
        let Ok(_attached) = Attached::to(self.api, self.raw) else {
            return;
        };
        let enough = Instant::now() + patience;
        let mut left = self.channels().into_iter();
        left.try_for_each(|channel| {
            // SAFETY: the gate is closed and empty, so nobody uses its channels; this thread is in it.
            unsafe { channel.clear_with_context(self.api) };
            (Instant::now() < enough).then_some(())
        });
        // SAFETY: as above.
        unsafe { self.api.ca_context_destroy() };
        // libca has forgotten all pointers to channels, requests and subscriptions.
        for channel in channels {
            channel.abandon(Status::CHANDESTROY);
            self.release(channel);
        }
        self.get_coalescer.forget();
        lock(LIVING.get()).retain(|other| !Arc::ptr_eq(other, self));
    }
}
