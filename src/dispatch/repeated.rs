//! Warnings that may come many times a second: writes that were cut, messages of the backend, and exceptions without a handler.
//! A server that dies can fail thousands of writes to one PV with one text.

use super::log::log;
use crate::calls::report_unraisable;
use crate::client::fork::PerProcess;
use crate::client::repeats::{Line, Repeats};
use pyo3::prelude::*;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    repeats: Repeats,
    /// There is a thread that logs the counted warnings.
    attended: bool,
    /// The program ends: the thread ends, too, and leaves the rest of the warnings.
    ended: bool,
}

#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

static LOG: PerProcess<Log> = PerProcess::new();

impl Log {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: logs the counted warnings, and ends when there are none left.
    fn attend(&self) {
        let mut state = self.lock();
        while let Some(next) = state.repeats.next().filter(|_| !state.ended) {
            let now = Instant::now();
            if next > now {
                let waited = self.changed.wait_timeout(state, next - now);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let lines = state.repeats.due(Some(now));
            drop(state);
            Python::attach(|py| tell_all(py, &lines));
            state = self.lock();
        }
        state.attended = false;
        drop(state);
        self.changed.notify_all();
    }
}

/// Logs lines; no caller could catch what a handler raises.
fn tell_all(py: Python<'_>, lines: &[Line]) {
    for line in lines {
        if let Err(error) = tell(py, line) {
            report_unraisable(py, error);
        }
    }
}

fn tell(py: Python<'_>, (logger, text): &Line) -> PyResult<()> {
    log(py, logger, "warning", text, None)
}

/// Logs a warning. Equal warnings within a second are counted, and logged as one line at the end of the second.
pub fn warn(py: Python<'_>, logger: &'static str, text: String) -> PyResult<()> {
    let line = (logger, text);
    let shared = LOG.get();
    let mut state = shared.lock();
    let mut lines = Vec::new();
    let next = state.repeats.next();
    if state.ended || state.repeats.add(&line, Instant::now()) {
        lines.push(line);
    } else if !state.attended {
        let thread = std::thread::Builder::new().name("cachannel log".to_owned());
        state.attended = thread.spawn(|| shared.attend()).is_ok();
        if !state.attended {
            lines = state.repeats.due(None);
        }
    } else if state.repeats.next() != next {
        // The thread waits for the end of another text's second, which is later.
        shared.changed.notify_all();
    }
    // A handler of the log may cause another warning.
    drop(state);
    lines.iter().try_for_each(|line| tell(py, line))
}

/// At exit: logs the counted warnings. Later warnings are logged at once.
pub fn finish(py: Python<'_>, patience: Duration) {
    let lines = py.detach(|| {
        let shared = LOG.get();
        let mut state = shared.lock();
        state.ended = true;
        shared.changed.notify_all();
        // The thread may be in a handler of the log.
        let waited = shared
            .changed
            .wait_timeout_while(state, patience, |state| state.attended);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.repeats.due(None)
    });
    tell_all(py, &lines);
}
