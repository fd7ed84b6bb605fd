//! put, and puts that are waited for.

use super::arguments::{element_count, request_type};
use super::chid::Chid;
use super::wait::{make_room, wait_for};
use crate::ca::batch::remaining;
use crate::ca::channel::Channel;
use crate::ca::dbr::{Base, DbrType};
use crate::ca::error::Error;
use crate::ca::status::Status;
use crate::callback::Callback;
use crate::convert::outgoing;
use crate::errors::{deadline, eca, outcome};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes from which on libca takes a value without the interpreter's lock.
const DETACH_FROM: usize = 4_096;

/// A write, as its caller asks for it.
pub struct Write<'a, 'py> {
    pub chid: Option<&'a Bound<'py, Chid>>,
    pub value: &'a Bound<'py, PyAny>,
    pub chtype: Option<&'a Bound<'py, PyAny>>,
    pub count: Option<&'a Bound<'py, PyAny>>,
    /// Until when it may wait for the server to take what was sent before.
    pub deadline: Option<Instant>,
}

impl<'py> Write<'_, 'py> {
    /// Converts the value and hands it to `send`, which must not wait.
    pub fn send(
        &self,
        py: Python<'py>,
        send: impl FnOnce(&Arc<Channel>, DbrType, usize, &[u8]) -> Result<(), Error> + Send,
    ) -> PyResult<Status> {
        let Some(chid) = self.chid else {
            return Ok(Status::BADCHID);
        };
        let channel = match chid.get().channel() {
            Ok(channel) => channel,
            Err(error) => return Ok(error.status),
        };
        let requested = match request_type(channel.name(), self.chtype)? {
            Ok(requested) if requested.is_none_or(DbrType::is_writable) => requested,
            _ => return Ok(Status::BADTYPE),
        };
        let count = element_count(channel.name(), self.count)?;
        let native = match channel.connected_type() {
            Ok(native) => native,
            Err(error) => return Ok(error.status),
        };
        let name = channel.name();
        let held = channel.element_count();
        let out = outgoing(self.value, name, native, held, requested, count)?;
        if let Err(error) = make_room(py, channel, self.deadline)? {
            return Ok(error.status);
        }
        let (dbr_type, count, bytes) = (out.dbr_type, out.count, out.bytes());
        // libca only queues it, and there is room; but a large value takes its time to copy.
        let sent = if bytes.len() < DETACH_FROM {
            send(channel, dbr_type, count, bytes)
        } else {
            py.detach(|| send(channel, dbr_type, count, bytes))
        };
        Ok(outcome(sent)?.0)
    }
}

/// Writes a value (ca_array_put, ca_array_put_callback).
///
/// `value`: number, str, bytes, sequence, numpy array of any dtype and shape. It is sent exactly or not at all; only floats
/// are rounded to the type's precision. A sequence is cut to the PV's element count, and to `count`. A str to an ENUM goes
/// as DBR_STRING, to a CHAR array as its bytes with a trailing 0.
///
/// With a callback, that is called when the processing is complete, with a dict `chid`, `type`, `count`, `status`.
/// Returns ECA: BADCHID, DISCONN, BADTYPE, BADCOUNT (an empty sequence), NOWTACCESS where nothing was sent. Raises
/// CaChannelValueError or CaChannelTypeError, and sends nothing, for what does not convert or fit.
#[pyfunction]
#[pyo3(signature = (chid, value, chtype=None, count=None, callback=None, *, user_args=None))]
pub fn put<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    callback: Option<&Bound<'py, PyAny>>,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let handler =
        Callback::optional(callback, user_args, false)?.map(|callback| callback.handler());
    let write = Write {
        chid,
        value,
        chtype,
        count,
        deadline: None,
    };
    let status = write.send(py, |channel, dbr_type, count, bytes| match handler {
        None => channel.put(dbr_type, count, bytes),
        Some(handler) => channel
            .put_notify(dbr_type, count, bytes, Some(handler), None)
            .map(drop),
    })?;
    eca(py, status)
}

/// Writes, and where the server may refuse what was written (a state that an enum does not have), waits for its verdict:
/// a server answers in order, so a read sent behind the write comes back after any complaint about it.
#[pyfunction]
#[pyo3(signature = (chid, value, chtype, timeout))]
pub fn put_checked<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let deadline = deadline(timeout)?;
    let write = Write {
        chid,
        value,
        chtype,
        count: None,
        deadline,
    };
    let channel = chid.and_then(|chid| chid.get().channel().ok());
    let Some(channel) = channel.filter(|c| c.native_type() == Some(Base::Enum)) else {
        let status = write.send(py, |channel, dbr_type, count, bytes| {
            channel.put(dbr_type, count, bytes)?;
            channel.context().flush()
        })?;
        return eca(py, status);
    };
    // One at a time, so that nobody hears of another's refusal.
    let refusal = loop {
        if let Some(refusal) = channel.refusals.watch() {
            break refusal;
        }
        if remaining(deadline) == Some(Duration::ZERO) {
            return eca(py, Status::TIMEOUT);
        }
        py.detach(|| std::thread::sleep(Duration::from_millis(1)));
        py.check_signals()?;
    };
    if channel.refusals.take_unasked() {
        // Complaints about earlier writes come first.
        let verdict = round_trip(py, channel, deadline)?;
        if matches!(verdict, Status::TIMEOUT | Status::DISCONN) {
            return eca(py, verdict);
        }
        refusal.reset();
    }
    let status = write.send(py, |channel, dbr_type, count, bytes| {
        channel.put(dbr_type, count, bytes)
    })?;
    if status != Status::NORMAL {
        return eca(py, status);
    }
    let verdict = round_trip(py, channel, deadline)?;
    channel.refusals.take_unasked();
    eca(py, refusal.status().unwrap_or(verdict))
}

/// Reads something, to hear what the server has to say of what was sent before; NORMAL where the channel cannot be read.
fn round_trip(
    py: Python<'_>,
    channel: &Arc<Channel>,
    deadline: Option<Instant>,
) -> PyResult<Status> {
    let batch = channel.context().batch();
    let ticket = Some(batch.ticket());
    let sent = py.detach(|| {
        channel.get(DbrType::ENUM, 1, None, ticket)?;
        channel.context().flush()
    });
    if sent.is_err() {
        // It goes without saying: a complaint is the exception handler's then.
        return Ok(Status::NORMAL);
    }
    let answered = wait_for(py, channel.context(), &[batch], deadline, false)?;
    Ok(match answered {
        Err(error) if matches!(error.status, Status::TIMEOUT | Status::DISCONN) => error.status,
        _ => Status::NORMAL,
    })
}

/// Writes and waits until the processing that it started is complete (ca_array_put_callback).
///
/// `timeout`: seconds, 0 for ever. Returns ECA as `put`, TIMEOUT, or what the write came to: PUTFAIL, DISCONN.
#[pyfunction]
#[pyo3(signature = (chid, value, chtype=None, count=None, *, timeout))]
pub fn put_wait<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let deadline = deadline(timeout)?;
    let Some(Ok(channel)) = chid.map(|chid| chid.get().channel()) else {
        return eca(py, Status::BADCHID);
    };
    let write = Write {
        chid,
        value,
        chtype,
        count,
        deadline,
    };
    let batch = channel.context().batch();
    let ticket = batch.ticket();
    let status = write.send(py, |channel, dbr_type, count, bytes| {
        channel.put_notify(dbr_type, count, bytes, None, Some(ticket))?;
        channel.context().flush()
    })?;
    if status != Status::NORMAL {
        return eca(py, status);
    }
    let waited = wait_for(py, channel.context(), &[batch], deadline, false)?;
    eca(
        py,
        waited.err().map_or(Status::NORMAL, |error| error.status),
    )
}
