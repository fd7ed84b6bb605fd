//! The texts of enum states that have no name: their numbers.
//!
//! A server that is asked for the text of such a state sends an empty text, and no number with it. So a second request asks for
//! the number.

use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::convert::text::{STATE, decoded};
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::validate::RequestSpec;
use crate::protocol::validate::Shape;
use crate::protocol::value::Dbr;
use crate::protocol::view::Number;
use crate::thread_state::interruptible;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// If a server does not answer within this time, the text stays empty.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a value is an empty text: only these need a second request.
pub fn is_empty_text(dbr: &Dbr) -> bool {
    dbr.shape == Shape::Scalar
        && dbr.dbr_type.base() == Base::String
        && dbr.view().value_bytes().first() == Some(&0)
}

/// Whether a value is the empty text of an enum.
pub fn is_nameless(channel: &Channel, dbr: &Dbr) -> bool {
    is_empty_text(dbr)
        && dbr.dbr_type.number() < DbrType::FORMS
        && channel.native_type() == Some(Base::Enum)
}

/// A value, or the dict with one, as the classes return it: with the number of a state that has no name.
pub fn named<'py>(
    py: Python<'py>,
    channel: &Arc<Channel>,
    dbr: &Dbr,
    value: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if !is_nameless(channel, dbr) {
        return Ok(value);
    }
    let Some(text) = texts(py, channel.context(), &[channel])?.pop().flatten() else {
        return Ok(value);
    };
    match value.cast::<PyDict>() {
        Ok(dict) => dict.set_item(intern!(py, "pv_value"), text)?,
        Err(_) => return Ok(PyString::new(py, &text).into_any()),
    }
    Ok(value)
}

/// The present states of enums: their names, or their numbers if they have none; `None` for PVs that do not answer. This works
/// in callbacks, too.
pub fn texts(
    py: Python<'_>,
    context: &Context,
    channels: &[&Arc<Channel>],
) -> PyResult<Vec<Option<String>>> {
    interruptible(py, |check| {
        let pending = context.pending_io();
        let requests: Vec<_> = channels
            .iter()
            .map(|channel| send_request(channel, &pending))
            .collect();
        // If the flush fails, no answer comes.
        drop(context.flush());
        let deadline = Some(Instant::now() + PATIENCE);
        context.wait_done(&[pending], deadline, check);
        requests
            .iter()
            .map(|request| answered(request.as_ref()?))
            .collect()
    })
}

fn send_request(channel: &Arc<Channel>, pending: &Arc<PendingIo>) -> Option<Arc<Request>> {
    let states = RequestSpec::exactly(DbrType::in_form(DbrClass::Gr, Base::Enum), 1);
    channel.get(states, None, Some(pending.begin())).ok()
}

fn answered(request: &Request) -> Option<String> {
    let dbr = request.answer()?.dbr?;
    let Number::Int(number) = dbr.view().number(0) else {
        return None;
    };
    let states = dbr.view().states();
    let name = usize::try_from(number)
        .ok()
        .and_then(|state| states.get(state));
    match name {
        Some(name) if !name.is_empty() => Some(decoded(name, STATE).into_owned()),
        _ => Some(number.to_string()),
    }
}
