//! The texts of an enum's states for a group: a state that has no name gives its number.
//!
//! A server that is asked for the text of such a state sends an empty one, and no number with it. So it is asked once more, for the
//! number and the names in one answer: that is the state of the PV at that time, by its name if it has one now.

use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::enum_text::{called, is_empty};
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::convert::text;
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::Dbr;
use crate::thread_state::interruptible;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// Whether a value is the empty text of an enum.
pub fn is_nameless(channel: &Channel, dbr: &Dbr) -> bool {
    is_empty(dbr) && channel.native_type() == Some(Base::Enum)
}

/// The states that enums are in now, by their names, or by their numbers where they have none; ECA_TIMEOUT for those that do not
/// answer by the deadline.
pub fn texts(
    py: Python<'_>,
    context: &Context,
    channels: &[&Arc<Channel>],
    deadline: Option<Instant>,
) -> PyResult<Vec<Result<String, Status>>> {
    interruptible(py, |check| {
        let pending = context.pending_io();
        let requests: Vec<_> = channels
            .iter()
            .map(|channel| send_request(channel, &pending))
            .collect();
        // If the flush fails, no answer comes.
        drop(context.flush());
        context.wait_done(&[pending], deadline, check);
        requests
            .into_iter()
            .map(|request| request.and_then(|request| answered(&request)))
            .collect()
    })
}

fn send_request(channel: &Arc<Channel>, pending: &Arc<PendingIo>) -> Result<Arc<Request>, Status> {
    let states = RequestSpec::exactly(DbrType::in_form(DbrClass::Gr, Base::Enum), 1);
    let request = channel.get(states, None, Some(pending.begin()));
    request.map_err(|error| error.status)
}

fn answered(request: &Request) -> Result<String, Status> {
    let answer = request.answer().ok_or(Status::TIMEOUT)?;
    let dbr = answer.dbr.ok_or(answer.status)?;
    let called = called(DbrClass::Plain, &dbr, &dbr.view().states());
    called
        .map(|text| text::of(&text).into_owned())
        .ok_or(Status::BADTYPE)
}
