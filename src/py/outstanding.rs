//! What a thread, or a coroutine, waits for.

use super::arguments::seconds;
use super::loop_queue::LoopQueue;
use super::wait::wait_done;
use crate::callback::Callback;
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::Event;
use crate::client::pending_io::PendingIo;
use crate::errors::deadline;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::sync::wait_queue::Waited;
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Something that is outstanding: answers, or connections. A thread can wait for it, and an event loop can be told.
#[pyclass(frozen, subclass, module = "cachannel._ca")]
pub struct Wait {
    context: Arc<Context>,
    pub pending: Arc<PendingIo>,
    /// What belongs to it, and is withdrawn with it.
    parts: Vec<Arc<PendingIo>>,
    /// Channels whose connection it waits for.
    connecting: Vec<Arc<Channel>>,
    callback: Mutex<Option<Arc<Callback>>>,
}

impl Wait {
    pub fn new(
        context: &Arc<Context>,
        pending: Arc<PendingIo>,
        parts: Vec<Arc<PendingIo>>,
    ) -> Wait {
        Wait {
            context: context.clone(),
            pending,
            parts,
            connecting: Vec::new(),
            callback: Mutex::new(None),
        }
    }

    /// Until all channels are connected, or closed.
    pub fn for_connections(context: &Arc<Context>, channels: Vec<Arc<Channel>>) -> Wait {
        let pending = context.pending_io();
        let all = pending.begin();
        for channel in &channels {
            channel.await_connection(&pending);
        }
        drop(all);
        let mut wait = Wait::new(context, pending, Vec::new());
        wait.connecting = channels;
        wait
    }
}

#[pymethods]
impl Wait {
    #[getter]
    fn done(&self) -> bool {
        self.pending.is_done() || !self.context.is_alive()
    }

    /// Has the loop of `queue` call `function(None)` when all is done; once, and not at all after `cancel`.
    fn then(&self, queue: &LoopQueue, function: &Bound<'_, PyAny>) -> PyResult<()> {
        let callback = Callback::new(function, None, false)?;
        let handler = callback.handler();
        *self.callback.lock().unwrap_or_else(PoisonError::into_inner) = Some(callback);
        let queue = queue.queue().clone();
        self.pending
            .then(move || queue.push(Event::Done(handler.clone())));
        Ok(())
    }

    /// Waits in the calling thread, `timeout` seconds at most, 0 for ever; false where it is not done by then.
    fn wait(&self, py: Python<'_>, #[pyo3(from_py_with = seconds)] timeout: f64) -> PyResult<bool> {
        let deadline = deadline(timeout)?;
        if !self.context.is_alive() {
            return Err(Error::from(Status::NOCACTX).into());
        }
        let pending = std::slice::from_ref(&self.pending);
        let waited = wait_done(py, &self.context, pending, deadline)?;
        Ok(waited == Waited::Done)
    }

    /// Nobody waits any more: what has not left the process is not sent, answers are forgotten, and the function that `then` was
    /// given is not called.
    fn cancel(&self, py: Python<'_>) {
        let callback = self
            .callback
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        callback
            .into_iter()
            .for_each(|callback| callback.let_go(py));
        self.pending.end();
        py.detach(|| {
            for channel in &self.connecting {
                channel.cancel_await(&self.pending);
            }
            if !self.pending.is_done() {
                let mut all = self.parts.clone();
                all.push(self.pending.clone());
                self.context.withdraw(&all);
            }
        });
    }
}
