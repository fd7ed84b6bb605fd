//! What the calling thread is in the middle of: delivering events, or being left behind as the interpreter ends.

use crate::ca::context::Context;
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::OnceLock;
use std::thread::ThreadId;
use std::time::Duration;

thread_local! {
    /// The context whose events this thread is delivering, and how deep.
    static DELIVERING: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
}

/// Longer than the end of an interpreter takes, all contexts ended.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// The thread that ends the interpreter, once one does.
static EXITING: OnceLock<ThreadId> = OnceLock::new();

/// Counts the calling thread as delivering one more event of this context, while it lives.
pub struct Delivering {
    before: (u64, usize),
}

impl Delivering {
    pub fn start(context: &Context) -> Delivering {
        let before = DELIVERING.get();
        DELIVERING.set((context.id(), depth(context) + 1));
        Delivering { before }
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        DELIVERING.set(self.before);
    }
}

/// How many callbacks of this context the calling thread is in, one within the other.
pub fn depth(context: &Context) -> usize {
    match DELIVERING.get() {
        (id, depth) if id == context.id() => depth,
        _ => 0,
    }
}

/// The calling thread ends the interpreter.
pub fn start_exit() {
    EXITING.get_or_init(|| std::thread::current().id());
}

/// The interpreter is ending.
pub fn is_exiting() -> bool {
    EXITING.get().is_some()
}

/// Only daemon threads are left when the interpreter ends, and what they are in the middle of fails as its context goes.
/// They are not to complain of that: they wait for the end here, as Python has them wait for its lock. (Not for ever: an
/// exit handler may wait for such a thread in its turn.) A callback is waited for, so it goes on.
pub fn park_at_exit(py: Python<'_>) {
    let current = std::thread::current().id();
    let left_behind = EXITING.get().is_some_and(|thread| *thread != current);
    if left_behind && DELIVERING.get().1 == 0 {
        py.detach(|| std::thread::sleep(LEFT_BEHIND));
    }
}

/// Looks for signals while detached; keeps what their handlers raise.
#[derive(Default)]
pub struct Signals {
    pub raised: Option<PyErr>,
}

impl Signals {
    /// Something was raised: whatever goes on is to end.
    pub fn check(&mut self) -> bool {
        if self.raised.is_none() {
            self.raised = Python::attach(|py| py.check_signals().err());
        }
        self.raised.is_some()
    }
}
