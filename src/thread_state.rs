//! What the calling thread is doing: delivering events, or waiting for the end because the interpreter has ended.

use crate::client::context::Context;
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

thread_local! {
    static CALLBACK: Cell<InCallback> = const { Cell::new(InCallback::NONE) };
}

/// The callback that a thread is in. A function that is called at once may be called within another callback; each [`Calling`]
/// puts back, in the end, what was before it.
#[derive(Clone, Copy)]
struct InCallback {
    /// The context whose events the thread delivers; 0, which is no context's id, if it delivers none.
    delivers: u64,
    /// The callback was called by a function that the thread has called, and not for an event of a context.
    at_once: bool,
    /// The waits for callbacks within the callback, during which no callback can run: how many, and since when.
    vain: u32,
    since: Option<Instant>,
}

impl InCallback {
    const NONE: InCallback = InCallback {
        delivers: 0,
        at_once: false,
        vain: 0,
        since: None,
    };
}

/// A callback that has waited this often, and for this long, is probably in an endless loop.
const LOOP: (u32, Duration) = (20, Duration::from_secs(1));

/// Longer than the end of an interpreter takes, with the end of all contexts.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// The thread that ends the interpreter, if one does.
static EXITING: OnceLock<ThreadId> = OnceLock::new();

/// While this lives, the calling thread is in a callback.
pub struct Calling {
    before: InCallback,
}

impl Calling {
    /// The thread delivers an event of the context; without a context, of an event loop's channel.
    pub fn for_event(context: Option<&Context>) -> Calling {
        Calling::start(InCallback {
            delivers: context.map_or(0, Context::id),
            at_once: context.is_none(),
            ..InCallback::NONE
        })
    }

    /// A function that the thread has called calls the callback before it returns.
    pub fn at_once() -> Calling {
        Calling::start(InCallback {
            delivers: CALLBACK.get().delivers,
            at_once: true,
            ..InCallback::NONE
        })
    }

    fn start(callback: InCallback) -> Calling {
        let before = CALLBACK.replace(callback);
        Calling { before }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        CALLBACK.set(self.before);
    }
}

/// Whether the calling thread is in a callback of any context, or of an event loop's channels.
#[pyfunction]
pub fn in_callback() -> bool {
    let callback = CALLBACK.get();
    callback.at_once || callback.delivers != 0
}

/// Whether the calling thread delivers an event of this context.
pub fn delivers(context: &Context) -> bool {
    CALLBACK.get().delivers == context.id()
}

/// Counts a wait for callbacks within a callback, during which none can run. Returns `true` once in this process: for the first
/// callback that is probably in a loop that waits for another callback.
pub fn waits_in_vain() -> bool {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let mut callback = CALLBACK.get();
    let now = Instant::now();
    let since = *callback.since.get_or_insert(now);
    callback.vain = callback.vain.saturating_add(1);
    CALLBACK.set(callback);
    callback.vain >= LOOP.0 && now - since >= LOOP.1 && !TOLD.swap(true, Ordering::Relaxed)
}

/// The calling thread ends the interpreter.
pub fn start_exit() {
    EXITING.get_or_init(|| std::thread::current().id());
}

/// Whether the interpreter is ending.
pub fn is_exiting() -> bool {
    EXITING.get().is_some()
}

/// When the interpreter ends, only daemon threads are left, and their calls fail because their contexts end. They must not
/// report these errors: they wait here for the end, as Python lets them wait for its lock. (Not for ever: an exit handler may
/// wait for such a thread.) A thread that delivers an event goes on, because the end waits for dispatchers.
pub fn park_at_exit(py: Python<'_>) {
    let current = std::thread::current().id();
    let left_behind = EXITING.get().is_some_and(|thread| *thread != current);
    if left_behind && CALLBACK.get().delivers == 0 {
        py.detach(|| std::thread::sleep(LEFT_BEHIND));
    }
}

/// Runs `wait` without the interpreter's lock. `wait` calls the check while it waits, and ends if that returns `true`: then a
/// signal's handler has raised (Ctrl-C, say), and this raises what it raised.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    wait: impl FnOnce(&mut dyn FnMut() -> bool) -> T + Send,
) -> PyResult<T> {
    let mut signals = Signals::default();
    let result = py.detach(|| wait(&mut || signals.check()));
    signals.raised.map_or(Ok(result), Err)
}

/// Checks signals while the thread is detached; keeps what their handlers raise.
#[derive(Default)]
pub struct Signals {
    pub raised: Option<PyErr>,
}

impl Signals {
    /// Returns `true` if a signal's handler has raised: the caller ends what it is doing.
    pub fn check(&mut self) -> bool {
        if self.raised.is_none() {
            self.raised = Python::attach(|py| py.check_signals().err());
        }
        self.raised.is_some()
    }
}
