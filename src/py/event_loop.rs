//! The events of an event loop's channels, which its thread delivers, and what a coroutine waits for.

use super::thread::Thread;
use crate::callback::Callback;
use crate::calls::{call, discard, truth};
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::Event;
use crate::client::pending_io::PendingIo;
use crate::client::queue::{EventQueue, Wake};
use crate::deferred_decref::DeferredDecref;
use crate::dispatch::drain;
use crate::errors::deadline;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::py::arguments::seconds;
use crate::py::wait::wait_done;
use crate::sync::wait_queue::Waited;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The events of the channels that an event loop has, and the thread that wakes the loop for them.
///
/// | state | moves to | who moves it |
/// |---|---|---|
/// | asleep | called | the waking thread: there are events, and it has asked the loop to call `drain` |
/// | called | asleep | the loop's thread, in `drain`, which has delivered all |
/// | any | closed | `close`, or the waking thread, where the loop is closed |
///
/// While the state is *called*, the waking thread sleeps: however many events come, the loop is asked once.
#[pyclass(frozen, weakref, module = "cachannel._ca")]
pub struct LoopQueue {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Arc<EventQueue>,
    /// Asks the loop to call `drain`; false where the loop is closed.
    wake: DeferredDecref<PyAny>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asleep,
    Called,
    Closed,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves to a state, unless it is closed.
    fn become_(&self, state: State) {
        let mut now = self.state();
        if *now != State::Closed {
            *now = state;
        }
        drop(now);
        self.changed.notify_all();
    }

    fn close(&self) {
        self.become_(State::Closed);
        self.queue.stop();
    }

    /// The waking thread.
    fn run(&self, py: Python<'_>) {
        loop {
            match py.detach(|| self.queue.wait(None)) {
                Wake::Stopped => return,
                Wake::Idle => continue,
                Wake::Events => {}
            }
            self.become_(State::Called);
            if !self.wakes_loop(py) {
                return self.close();
            }
            py.detach(|| {
                let state = self.state();
                let called = |state: &mut State| *state == State::Called;
                drop(self.changed.wait_while(state, called));
            });
        }
    }

    fn wakes_loop(&self, py: Python<'_>) -> bool {
        let Some(wake) = self.wake.bound(py) else {
            return false;
        };
        let woken = call(&wake, &PyTuple::empty(py), None);
        woken
            .and_then(|woken| truth(&woken))
            .unwrap_or_else(|error| {
                discard(py, error);
                false
            })
    }
}

#[pymethods]
impl LoopQueue {
    /// `wake()` has the loop call `drain` soon, and returns false where the loop is closed. It is called in a thread of its own,
    /// and must not refer to this object.
    #[new]
    fn new(wake: &Bound<'_, PyAny>) -> PyResult<LoopQueue> {
        let shared = Arc::new(Shared {
            queue: Arc::default(),
            wake: DeferredDecref::new(wake.clone()),
            state: Mutex::new(State::Asleep),
            changed: Condvar::new(),
        });
        let own = shared.clone();
        Thread::start("cachannel event loop", move |py| own.run(py))?;
        Ok(LoopQueue { shared })
    }

    /// Delivers what has come, for a few milliseconds; true where there is more, for which the caller calls this again soon.
    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        let drained = drain(py, &self.shared.queue);
        if !matches!(drained, Ok(true)) {
            self.shared.become_(State::Asleep);
        }
        drained
    }

    /// Nothing is delivered any more.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.shared.close());
    }
}

impl LoopQueue {
    pub fn queue(&self) -> &Arc<EventQueue> {
        &self.shared.queue
    }
}

impl Drop for LoopQueue {
    fn drop(&mut self) {
        self.shared.close();
    }
}

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
