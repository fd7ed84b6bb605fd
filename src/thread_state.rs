//! What the calling thread is in the middle of: delivering events, or being left behind as the interpreter ends.

use crate::client::context::Context;
use pyo3::prelude::*;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

thread_local! {
    /// The context whose callback this thread is in; 0, which no context has for its id, where it is in none.
    static DELIVERING: Cell<u64> = const { Cell::new(0) };
    /// The waits for callbacks in the present callback, in which none can come.
    static VAIN: Cell<Vain> = const { Cell::new(Vain { count: 0, since: None }) };
}

/// Waits for callbacks within one callback.
#[derive(Clone, Copy)]
struct Vain {
    count: u32,
    since: Option<Instant>,
}

/// A callback that has waited for others so often, and for so long, is in a loop that does not end.
const LOOP: (u32, Duration) = (20, Duration::from_secs(1));

/// Longer than the end of an interpreter takes, all contexts ended.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// The thread that ends the interpreter, once one does.
static EXITING: OnceLock<ThreadId> = OnceLock::new();

/// The calling thread is in a callback of this context, while it lives.
pub struct Delivering(());

impl Delivering {
    pub fn start(context: &Context) -> Delivering {
        DELIVERING.set(context.id());
        Delivering(())
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        DELIVERING.set(0);
        VAIN.set(Vain {
            count: 0,
            since: None,
        });
    }
}

/// The calling thread is in a callback, of whichever context.
pub fn in_callback() -> bool {
    DELIVERING.get() != 0
}

/// The calling thread is in a callback of this context.
pub fn delivers(context: &Context) -> bool {
    DELIVERING.get() == context.id()
}

/// Counts a wait for callbacks in a callback, where none can come. `true` for the first in this process that is likely to be
/// one of a loop that waits for another callback.
pub fn waits_in_vain() -> bool {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let vain = VAIN.get();
    let now = Instant::now();
    let since = vain.since.unwrap_or(now);
    let count = vain.count.saturating_add(1);
    VAIN.set(Vain {
        count,
        since: Some(since),
    });
    count >= LOOP.0 && now - since >= LOOP.1 && !TOLD.swap(true, Ordering::Relaxed)
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
    if left_behind && !in_callback() {
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
