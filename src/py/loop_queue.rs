//! The events of an event loop's channels, which the loop's thread delivers.

use super::thread::Thread;
use crate::calls::{call, discard, truth};
use crate::client::fork;
use crate::client::queue::{EventQueue, Wake};
use crate::deferred_decref::DeferredDecref;
use crate::dispatch::drain;
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
/// While the state is *called*, the waking thread sleeps: however many events come, the loop is asked once. Whatever comes between
/// the last look of `drain` and *asleep* is still in the queue, where the waking thread finds it: it looks there before it sleeps.
/// A `drain` that raises leaves the rest in the queue, and the state *asleep*, so that the loop is asked again.
///
/// A forked child has neither the waking thread nor, maybe, the locks: there nothing is delivered, and nothing to close.
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
    generation: u64,
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

    fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    fn close(&self) {
        if self.is_inherited() {
            return;
        }
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
            generation: fork::generation(),
        });
        let own = shared.clone();
        Thread::start("cachannel event loop", move |py| own.run(py))?;
        Ok(LoopQueue { shared })
    }

    /// Delivers what has come, for a few milliseconds; true where there is more, for which the caller calls this again soon.
    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        if self.shared.is_inherited() {
            return Ok(false);
        }
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
