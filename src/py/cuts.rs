//! Warnings about writes that were cut to the elements that the PV holds.

use crate::calls::report_unraisable;
use crate::client::fork::PerProcess;
use crate::client::repeats::Repeats;
use crate::dispatch::log;
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
struct Cuts {
    state: Mutex<State>,
    changed: Condvar,
}

static CUTS: PerProcess<Cuts> = PerProcess::new();

impl Cuts {
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
            let texts = state.repeats.due(Some(now));
            drop(state);
            Python::attach(|py| tell_all(py, &texts));
            state = self.lock();
        }
        state.attended = false;
        drop(state);
        self.changed.notify_all();
    }
}

/// Logs texts; no caller could catch what a handler raises.
fn tell_all(py: Python<'_>, texts: &[String]) {
    for text in texts {
        if let Err(error) = tell(py, text) {
            report_unraisable(py, error);
        }
    }
}

fn tell(py: Python<'_>, text: &str) -> PyResult<()> {
    log(py, "cachannel", "warning", text, None)
}

/// Warns that of `given` elements only the first `held` were written. Equal warnings within a second are counted, and logged as
/// one line at the end of the second.
pub fn warn(py: Python<'_>, pv: &str, given: usize, held: usize) -> PyResult<()> {
    let text = format!(
        "{pv}: {given} elements were given, and the PV holds {held}: those after the first {held} were not written"
    );
    let cuts = CUTS.get();
    let mut state = cuts.lock();
    let mut texts = Vec::new();
    if state.ended || state.repeats.add(&text, Instant::now()) {
        texts.push(text);
    } else if !state.attended {
        let thread = std::thread::Builder::new().name("cachannel cuts".to_owned());
        state.attended = thread.spawn(|| cuts.attend()).is_ok();
        if !state.attended {
            texts = state.repeats.due(None);
        }
    }
    // A handler of the log may write, too.
    drop(state);
    texts.iter().try_for_each(|text| tell(py, text))
}

/// At exit: logs the counted warnings. Later warnings are logged at once.
pub fn finish(py: Python<'_>, patience: Duration) {
    let texts = py.detach(|| {
        let cuts = CUTS.get();
        let mut state = cuts.lock();
        state.ended = true;
        cuts.changed.notify_all();
        // The thread may be in a handler of the log.
        let waited = cuts
            .changed
            .wait_timeout_while(state, patience, |state| state.attended);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.repeats.due(None)
    });
    tell_all(py, &texts);
}
