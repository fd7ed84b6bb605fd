//! The end of contexts: of one that the program destroys, and of all contexts at exit.

use super::chid::Chid;
use super::context::{DESTROY_PATIENCE, Dispatcher, take_all, take_thread_context};
use super::forgotten::forgotten;
use crate::callback::chid_of;
use crate::calls::report_unraisable;
use crate::client::channel::Channel;
use crate::client::context::End;
use crate::deferred_decref::release_dropped;
use crate::dispatch;
use crate::thread_state::{Signals, delivers, start_exit};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the end of a dispatcher, and of a context, may take at exit.
const EXIT_PATIENCE: Duration = Duration::from_millis(800);

/// Stops the delivery of the contexts' events, then ends the contexts: all at once, each in bounded time. Ctrl-C shortens the
/// waits, not the end, and is returned. `stopped` gets the channels when events are no longer delivered.
fn finish(
    py: Python<'_>,
    dispatchers: &[Dispatcher],
    patience: Duration,
    stopped: impl FnOnce(&[Arc<Channel>]),
) -> Option<PyErr> {
    let contexts = || dispatchers.iter().map(|dispatcher| &dispatcher.context);
    py.detach(|| contexts().for_each(|context| context.queue.stop()));
    let mut signals = Signals::default();
    let joins_end = Instant::now() + patience;
    for dispatcher in dispatchers {
        if let Some(thread) = &dispatcher.thread
            && !delivers(&dispatcher.context)
            && signals.raised.is_none()
        {
            thread.join(py, joins_end, &mut signals);
        }
    }
    let channels: Vec<Arc<Channel>> = contexts().flat_map(|context| context.channels()).collect();
    stopped(&channels);
    py.detach(|| {
        let begun: Vec<End> = contexts().filter_map(|c| c.begin_end(patience)).collect();
        for end in begun {
            end.wait(&mut || signals.check());
        }
    });
    // No event of these channels is delivered any more: their callbacks are dropped, and with them the channels' objects.
    for channel in channels {
        if let Some(object) = chid_of(py, &channel)
            && let Ok(chid) = object.cast::<Chid>()
        {
            chid.get().let_go(py);
        }
    }
    release_dropped(py);
    signals.raised
}

/// Ends all contexts, at exit, each step in bounded time. Afterwards every call returns ECA_NOCACTX. If `look_for_forgotten`,
/// returns the names of the channels that only their callbacks have kept alive, and what these callbacks are.
#[pyfunction]
pub fn shutdown(py: Python<'_>, look_for_forgotten: bool) -> PyResult<Vec<String>> {
    start_exit();
    dispatch::finish_log(py, EXIT_PATIENCE);
    let dispatchers = take_all(py);
    let mut found = Ok(Vec::new());
    let raised = finish(py, &dispatchers, EXIT_PATIENCE, |channels| {
        if look_for_forgotten {
            found = forgotten(py, channels);
        }
    });
    if let Some(error) = raised {
        report_unraisable(py, error);
    }
    found
}

/// Ends the calling thread's context, with every channel in it (ca_context_destroy).
///
/// Handles of its channels give ECA_BADCHID from then on. This waits a few seconds at most for circuits that hang; Ctrl-C ends
/// the wait.
#[pyfunction]
pub fn destroy_context(py: Python<'_>) -> PyResult<()> {
    let dispatcher = take_thread_context(py);
    let raised =
        dispatcher.and_then(|dispatcher| finish(py, &[dispatcher], DESTROY_PATIENCE, |_| {}));
    raised.map_or(Ok(()), Err)
}
