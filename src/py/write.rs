//! put, and puts that are waited for.

use super::arguments::{element_count, optional_seconds, request_type, seconds};
use super::chid::Chid;
use super::wait::{make_room, wait_for};
use crate::callback::Callback;
use crate::calls::report_unraisable;
use crate::client::channel::Channel;
use crate::client::pending_io::PendingIo;
use crate::convert::{To, outgoing, shown};
use crate::dispatch::{interrupts, warn};
use crate::errors::{Failure, deadline, eca, optional_deadline, raise, status};
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::thread_state::interruptible;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A value of at least this size is passed to the backend without the interpreter's lock.
const DETACH_FROM: usize = 4_096;

/// How long the states of an enum are waited for if the caller gives no timeout.
const STATES_WITHIN: Duration = Duration::from_secs(3);

/// What happens to a count beyond the elements that the PV holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Module `ca`: the count becomes the PV's, as in 3.2.0. Elements that are cut off are reported in the log.
    Capped,
    Refused,
}

/// The arguments of a write.
pub struct Write<'a, 'py> {
    pub chid: Option<&'a Bound<'py, Chid>>,
    pub value: &'a Bound<'py, PyAny>,
    pub chtype: Option<&'a Bound<'py, PyAny>>,
    pub count: Option<&'a Bound<'py, PyAny>>,
    /// What happens to a count beyond the PV's.
    pub beyond: Beyond,
    /// Until when the write may wait for the server to read what was sent before.
    pub deadline: Option<Instant>,
}

impl<'py> Write<'_, 'py> {
    /// Converts the value and passes it to `send`, which must not wait.
    pub fn send(
        &self,
        py: Python<'py>,
        send: impl FnOnce(&Arc<Channel>, DbrType, usize, &[u8]) -> Result<(), Error> + Send,
    ) -> Result<(), Failure> {
        self.send_then(py, send, || ())
    }

    /// As [`send`](Write::send); once the value was sent, calls `sent`, before anything else can run Python code.
    fn send_then(
        &self,
        py: Python<'py>,
        send: impl FnOnce(&Arc<Channel>, DbrType, usize, &[u8]) -> Result<(), Error> + Send,
        sent: impl FnOnce(),
    ) -> Result<(), Failure> {
        let chid = self.chid.ok_or(Status::BADCHID)?;
        let channel = chid.get().channel()?;
        let name = channel.name();
        let requested = request_type(name, self.chtype)?;
        if requested.is_some_and(|requested| !requested.is_writable()) {
            let detail = "only the plain types and PUT_ACKT, PUT_ACKS can be written";
            return Err(Error::with_detail(Status::BADTYPE, name, detail).into());
        }
        let count = element_count(name, self.count)?;
        let native = channel.connected_type()?;
        let held = channel.element_count();
        if held == 0 && channel.native_type().is_none() {
            return Err(Error::new(Status::DISCONN, name).into());
        }
        if count == Some(0) {
            let detail = "with a count of 0 there is nothing to write";
            return Err(Error::with_detail(Status::BADCOUNT, name, detail).into());
        }
        let count = match self.beyond {
            Beyond::Capped => count.map(|count| count.min(held)),
            Beyond::Refused => count,
        };
        if let Some(count) = count.filter(|count| *count > held) {
            let detail = format!("the count is {count}, and the PV holds {held}");
            return Err(Error::with_detail(Status::BADCOUNT, name, detail).into());
        }
        let to = To {
            pv: name,
            native,
            held,
            requested,
            count,
            cuts: true,
            states: &|| enum_states(py, channel, self.deadline),
        };
        let out = outgoing(self.value, &to)?;
        make_room(py, channel, self.deadline)?;
        let (dbr_type, count, bytes) = (out.dbr_type, out.count, out.bytes());
        // The backend only queues the value, and there is room; but copying a large value takes time.
        if bytes.len() < DETACH_FROM {
            send(channel, dbr_type, count, bytes)?;
        } else {
            py.detach(|| send(channel, dbr_type, count, bytes))?;
        }
        sent();
        if let Some(given) = out.cut {
            let text = format!(
                "{name}: {given} elements were given, and the PV holds {held}: those after the first {held} were not written"
            );
            let warned = warn(py, "cachannel", text);
            // The value was sent, so what the log raises is no error of the write.
            match warned {
                Err(error) if interrupts(py, &error) => return Err(error.into()),
                Err(error) => report_unraisable(py, error),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// The names of an enum's states, in the server's bytes; none if the server does not send them.
pub fn enum_states(
    py: Python<'_>,
    channel: &Arc<Channel>,
    deadline: Option<Instant>,
) -> PyResult<Vec<Vec<u8>>> {
    let context = channel.context();
    let deadline = deadline.or_else(|| Instant::now().checked_add(STATES_WITHIN));
    let pending = context.pending_io();
    let guard = Some(pending.begin());
    let sent = py.detach(|| {
        let spec = RequestSpec::exactly(DbrType::in_form(DbrClass::Gr, Base::Enum), 1);
        let request = channel.get(spec, None, guard)?;
        context.flush()?;
        Ok::<_, Error>(request)
    });
    let request = match sent {
        Ok(request) => request,
        Err(error) if error.status == Status::NORDACCESS => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    match raise(wait_for(py, context, &[pending], deadline, false))? {
        Err(error) if matches!(error.status, Status::TIMEOUT | Status::DISCONN) => {
            let detail =
                "the names of its states, which the server compares with the text, did not come";
            return Err(Error::with_detail(error.status, channel.name(), detail).into());
        }
        _ => {}
    }
    let dbr = request.answer().and_then(|answer| answer.dbr.clone());
    let states = dbr.map(|dbr| {
        dbr.view()
            .states()
            .iter()
            .map(|name| name.to_vec())
            .collect()
    });
    Ok(states.unwrap_or_default())
}

/// Writes a value (ca_array_put, ca_array_put_callback).
///
/// `value`: number, str, bytes, sequence, numpy array of any dtype and shape. It is sent exactly or not at all; only floats are
/// rounded to the type's precision. A sequence is cut to the PV's element count, with a warning in the log, and to `count` (a
/// count beyond the PV's becomes the PV's); an empty one empties an array. A str is sent to an ENUM as DBR_STRING, and to a
/// CHAR array as its bytes with a trailing 0.
///
/// This does not wait, unless the server has stopped reading and 8 MiB wait for it already. Then it waits at most `timeout`
/// seconds; if None, until the connection to the server ends.
///
/// A callback is called when the processing is complete, with a dict `chid`, `type`, `count`, `status`. Returns ECA: BADCHID,
/// DISCONN, BADTYPE, BADCOUNT (nothing to write), NOWTACCESS, TIMEOUT if nothing was sent. Raises CaChannelValueError or
/// CaChannelTypeError, and sends nothing, for a value that does not convert or fit.
#[pyfunction]
#[pyo3(signature = (chid, value, chtype=None, count=None, callback=None, *, user_args=None, timeout=None))]
#[allow(clippy::too_many_arguments)] // ca_array_put_callback has them
pub fn put<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    callback: Option<&Bound<'py, PyAny>>,
    user_args: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = optional_seconds)] timeout: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let deadline = optional_deadline(timeout)?;
    let callback = Callback::optional(callback, user_args, false)?;
    let handler = callback.as_ref().map(Callback::handler);
    let write = Write {
        chid,
        value,
        chtype,
        count,
        beyond: if user_args.is_none() {
            Beyond::Capped
        } else {
            Beyond::Refused
        },
        deadline,
    };
    let send = |channel: &Arc<Channel>, dbr_type, count, bytes: &[u8]| match handler {
        None => channel.put(dbr_type, count, bytes),
        Some(handler) => channel
            .put_notify(dbr_type, count, bytes, Some(handler), None)
            .map(drop),
    };
    let hold = || {
        if let (Some(callback), Some(chid)) = (&callback, chid) {
            Chid::add_request(chid, callback);
        }
    };
    let sent = write.send_then(py, send, hold);
    status(py, sent)
}

/// Writes; and if the server may reject the value (a state that an enum does not have), waits for the result. A server answers
/// in order, so a read that is sent after the write is answered after an error about the write. Raises the error.
#[pyfunction]
#[pyo3(signature = (chid, value, chtype, timeout))]
pub fn put_checked<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
) -> PyResult<()> {
    let deadline = deadline(timeout)?;
    let write = Write {
        chid,
        value,
        chtype,
        count: None,
        beyond: Beyond::Refused,
        deadline,
    };
    let channel = chid.and_then(|chid| chid.get().channel().ok());
    let Some(channel) = channel.filter(|c| c.native_type() == Some(Base::Enum)) else {
        write.send(py, |channel, dbr_type, count, bytes| {
            channel.put(dbr_type, count, bytes)?;
            channel.context().flush()
        })?;
        return Ok(());
    };
    let failed = |status| Err(Error::new(status, channel.name()).into());
    // One watch at a time, so that no caller gets another caller's error.
    let errors = &channel.write_errors;
    let watch = match errors.watch() {
        Some(watch) => watch,
        None => match interruptible(py, |check| errors.wait_to_watch(deadline, check))? {
            Ok(watch) => watch,
            Err(_) => return failed(Status::TIMEOUT),
        },
    };
    if errors.take_may_be_rejected() {
        // Errors about earlier writes come first.
        let verdict = round_trip(py, channel, channel.context().pending_io(), deadline)?;
        if matches!(verdict, Status::TIMEOUT | Status::DISCONN) {
            return failed(verdict);
        }
        watch.reset();
    }
    let pending = channel.context().pending_io();
    write.send(py, |channel, dbr_type, count, bytes| {
        channel.put_for(Some(&pending), dbr_type, count, bytes)
    })?;
    let verdict = round_trip(py, channel, pending.clone(), deadline)?;
    errors.take_may_be_rejected();
    match watch.status().unwrap_or(verdict) {
        Status::NORMAL => Ok(()),
        Status::PUTFAIL => {
            let detail = format!("the server does not take {}", shown(value)?);
            Err(Error::with_detail(Status::PUTFAIL, channel.name(), detail).into())
        }
        status => failed(status),
    }
}

/// Reads, so that everything that the server has to say about earlier writes has come; NORMAL if the channel cannot be read.
fn round_trip(
    py: Python<'_>,
    channel: &Arc<Channel>,
    pending: Arc<PendingIo>,
    deadline: Option<Instant>,
) -> PyResult<Status> {
    let guard = Some(pending.begin());
    let sent = py.detach(|| {
        channel.get(RequestSpec::exactly(DbrType::ENUM, 1), None, guard)?;
        channel.context().flush()
    });
    match sent {
        Ok(()) => {}
        Err(error) if error.status == Status::ALLOCMEM => return Ok(error.status),
        // The read could not be sent, but the write was: if the server rejects it, the exception handler is called.
        Err(_) => return Ok(Status::NORMAL),
    }
    let answered = raise(wait_for(py, channel.context(), &[pending], deadline, false))?;
    Ok(match answered {
        Err(error) if matches!(error.status, Status::TIMEOUT | Status::DISCONN) => error.status,
        _ => Status::NORMAL,
    })
}

/// Writes and waits until the processing that it started is complete (ca_array_put_callback).
///
/// `timeout`: seconds, 0 for ever. Raises if nothing was sent. Returns the result of the write: NORMAL, TIMEOUT, PUTFAIL,
/// DISCONN.
#[pyfunction]
#[pyo3(signature = (chid, value, chtype=None, count=None, *, timeout))]
pub fn put_wait<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let deadline = deadline(timeout)?;
    let Some(Ok(channel)) = chid.map(|chid| chid.get().channel()) else {
        return Err(Error::from(Status::BADCHID).into());
    };
    let write = Write {
        chid,
        value,
        chtype,
        count,
        beyond: Beyond::Refused,
        deadline,
    };
    let pending = channel.context().pending_io();
    let guard = pending.begin();
    write.send(py, |channel, dbr_type, count, bytes| {
        channel.put_notify(dbr_type, count, bytes, None, Some(guard))?;
        channel.context().flush()
    })?;
    let waited = raise(wait_for(py, channel.context(), &[pending], deadline, false))?;
    eca(
        py,
        waited.err().map_or(Status::NORMAL, |error| error.status),
    )
}
