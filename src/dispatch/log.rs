//! Messages to Python's logging: failures of callbacks, and texts for which there is no callback.

use crate::callback::callback;
use crate::calls::{call, call_method, discard, getattr, import, report_unraisable};
use crate::client::event::Event;
use crate::client::request::Op;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Logs an exception in a callback; the next callback runs.
pub(super) fn report(py: Python<'_>, event: &Event, error: PyErr) {
    let (pv, kind, handler) = match event {
        Event::Update { subscription, .. } => (
            subscription.channel(),
            "subscription",
            Some(subscription.handler.clone()),
        ),
        Event::Reply { request, .. } => {
            let kind = if request.op == Op::Get { "get" } else { "put" };
            (Some(request.channel.clone()), kind, request.handler.clone())
        }
        Event::Connection { channel, .. } => (
            Some(channel.clone()),
            "connection",
            channel.connection_handler(),
        ),
        Event::AccessRights {
            channel, handler, ..
        } => (
            Some(channel.clone()),
            "access rights",
            Some(handler.clone()),
        ),
        Event::Exception(exception) => (exception.channel.clone(), "exception", None),
        Event::Message(_) | Event::Warning(_) | Event::Done(_) => (None, "printf", None),
    };
    let article = if kind.starts_with(['a', 'e']) {
        "an"
    } else {
        "a"
    };
    let mut text = format!("exception in {article} {kind} callback");
    if let Some(pv) = pv {
        text.push_str(&format!(" of {}", pv.name()));
    }
    if let Some(callback) = handler.as_ref().and_then(callback) {
        text.push_str(&format!(": {}", callback.describe(py)));
    }
    let logged = log(py, "cachannel", "error", &text, Some(&error));
    match logged {
        Ok(()) => discard(py, error),
        Err(failed) => {
            report_unraisable(py, error);
            report_unraisable(py, failed);
        }
    }
}

/// Logs through Python's `logging`.
pub fn log(
    py: Python<'_>,
    logger: &str,
    level: &str,
    text: &str,
    error: Option<&PyErr>,
) -> PyResult<()> {
    let logger = call_method(&import(py, "logging")?, "getLogger", (logger,))?;
    let kwargs = PyDict::new(py);
    if let Some(error) = error {
        let info = (error.get_type(py), error.value(py), error.traceback(py));
        kwargs.set_item("exc_info", info)?;
    }
    let args = ("%s", text).into_pyobject(py)?;
    call(&getattr(&logger, level)?, &args, Some(&kwargs)).map(drop)
}

/// Logs the stack of a callback that waits for others, probably in a loop.
pub fn warn_of_loop(py: Python<'_>) -> PyResult<()> {
    let text = "pend_event and poll do not wait in a callback, where they return ECA_EVDISALLOW: a loop in a callback that waits \
                for another callback does not end, as that runs only when this one has returned";
    let stack = call_method(&import(py, "traceback")?, "format_stack", ())?;
    let stack: Vec<String> = stack.extract()?;
    let text = format!("{text}; this one is at\n{}", stack.concat().trim_end());
    log(py, "cachannel", "warning", &text, None)
}
