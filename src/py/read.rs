//! get, and DBRValue.

use super::arguments::{element_count, request_type};
use super::chid::Chid;
use super::wait::{make_room, wait_own};
use crate::ca::batch::Ticket;
use crate::ca::channel::Channel;
use crate::ca::dbr::DbrType;
use crate::ca::error::Error;
use crate::ca::request::Request;
use crate::ca::status::Status;
use crate::callback::Callback;
use crate::convert::{ArrayCache, Memory, Style, value};
use crate::errors::{deadline, eca, outcome, truth};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A numpy array from this size on is given out once, over the value's own memory; smaller ones are copied each time.
const SHARED_FROM: usize = 1 << 20;

/// The value that a get will have brought once `pend_io` has succeeded.
#[pyclass(frozen, module = "cachannel.ca")]
pub struct DBRValue {
    request: Arc<Request>,
    use_numpy: AtomicBool,
    style: Style,
    array: ArrayCache,
    /// What to say while there is no answer.
    missing: Error,
}

impl DBRValue {
    fn new(request: Arc<Request>, use_numpy: bool, style: Style) -> DBRValue {
        let detail = "the value has not arrived: wait for it with pend_io";
        let missing = Error::with_detail(Status::IOINPROGRESS, request.channel.name(), detail);
        DBRValue {
            request,
            use_numpy: AtomicBool::new(use_numpy),
            style,
            array: ArrayCache::new(),
            missing,
        }
    }
}

#[pymethods]
impl DBRValue {
    /// The value: new each time, but that a numpy array of 1 MiB or more is one and the same, over the memory into which
    /// it was received.
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = self.request.channel.name();
        let Some(answer) = self.request.answer() else {
            return Err(self.missing.clone().into());
        };
        match &answer.dbr {
            Some(dbr) => {
                let large = dbr.view().value_bytes().len() >= SHARED_FROM;
                let memory = if large {
                    Memory::Once(&self.array)
                } else {
                    Memory::Copy
                };
                value(py, dbr, self.style, self.use_numpy(), memory)
            }
            None => Err(Error::new(answer.status, name).into()),
        }
    }

    #[getter]
    fn use_numpy(&self) -> bool {
        self.use_numpy.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_use_numpy(&self, #[pyo3(from_py_with = truth)] use_numpy: bool) {
        self.use_numpy.store(use_numpy, Ordering::Relaxed);
    }
}

/// A read, as its caller asks for it.
pub struct Read<'a, 'py> {
    pub chid: Option<&'a Bound<'py, Chid>>,
    pub chtype: Option<&'a Bound<'py, PyAny>>,
    pub count: Option<&'a Bound<'py, PyAny>>,
    pub use_numpy: bool,
    pub style: Style,
}

impl<'py> Read<'_, 'py> {
    /// Sends the request; `ticket` gives what counts it as outstanding.
    pub fn start(
        &self,
        py: Python<'py>,
        callback: Option<&Arc<Callback>>,
        ticket: impl FnOnce(&Channel) -> Option<Ticket>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<DBRValue>)> {
        let Some(chid) = self.chid else {
            return Ok((eca(py, Status::BADCHID)?, None));
        };
        let channel = match chid.get().channel() {
            Ok(channel) => channel,
            Err(error) => return Ok((eca(py, error.status)?, None)),
        };
        let requested = request_type(channel.name(), self.chtype)?;
        let count = element_count(channel.name(), self.count)?;
        let handler = callback.map(Callback::handler);
        if let Err(error) = make_room(py, channel, None)? {
            return Ok((eca(py, error.status)?, None));
        }
        let started = channel.connected_type().and_then(|native| {
            let dbr_type = requested?.unwrap_or(DbrType::plain(native));
            let held = channel.element_count();
            let count = count.map_or(held, |count| count.min(held));
            let ticket = ticket(channel);
            py.detach(|| channel.get(dbr_type, count, handler, ticket))
        });
        let (status, request) = outcome(started)?;
        let value = request
            .filter(|_| callback.is_none())
            .map(|request| DBRValue::new(request, self.use_numpy, self.style));
        Ok((eca(py, status)?, value))
    }
}

fn style_of(user_args: Option<&Bound<'_, PyAny>>) -> Style {
    if user_args.is_some() {
        Style::Pv
    } else {
        Style::Plain
    }
}

/// Asks for a PV's value (ca_array_get, ca_array_get_callback).
///
/// `chtype`: request type; the native one where None. `count`: elements at most; the PV's element count where None, as many
/// as it holds now where 0. `use_numpy`: more than one element come as a numpy array instead of a list.
///
/// Without a callback returns `(ECA, DBRValue)`, whose `get()` has the value once `pend_io` has succeeded. With one returns
/// `(ECA, None)`, and the callback gets a dict `chid`, `type` (DBR), `count`, `status` (ECA), `value` (None where the read
/// failed). Status: BADCHID, DISCONN, BADTYPE, NORDACCESS where nothing was asked.
#[pyfunction]
#[pyo3(signature = (chid, chtype=None, count=None, callback=None, use_numpy=false, *, user_args=None))]
pub fn get<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    callback: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = truth)] use_numpy: bool,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Option<DBRValue>)> {
    let callback = Callback::optional(callback, user_args, use_numpy)?;
    let read = Read {
        chid,
        chtype,
        count,
        use_numpy,
        style: style_of(user_args),
    };
    let waited_for = callback.is_none();
    read.start(py, callback.as_ref(), |channel| {
        waited_for.then(|| channel.context().ticket())
    })
}

/// Asks for a value and waits until it has come, at most `timeout` seconds; what this thread asked for before is waited for
/// too, as a `pend_io` would (see `wait_own`). Where it has not come, `get()` of what is returned raises ECA_TIMEOUT.
#[pyfunction]
#[pyo3(signature = (chid, chtype, count, use_numpy, timeout))]
pub fn read_wait<'py>(
    py: Python<'py>,
    chid: &Bound<'py, Chid>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = truth)] use_numpy: bool,
    timeout: f64,
) -> PyResult<DBRValue> {
    let deadline = deadline(timeout)?;
    let channel = chid.get().channel()?;
    let requested = request_type(channel.name(), chtype)??;
    let count = element_count(channel.name(), count)?;
    let native = channel.connected_type()?;
    let dbr_type = requested.unwrap_or(DbrType::plain(native));
    let held = channel.element_count();
    let count = count.map_or(held, |count| count.min(held));
    make_room(py, channel, deadline)??;
    let batch = channel.context().batch();
    let ticket = Some(batch.ticket());
    let request = py.detach(|| channel.get(dbr_type, count, None, ticket))?;
    let waited = wait_own(py, channel.context(), Some(batch), deadline)?;
    let mut answer = DBRValue::new(request, use_numpy, Style::Pv);
    if let Err(error) = waited {
        let pv = Some(channel.name().to_owned());
        answer.missing = Error { pv, ..error };
    }
    Ok(answer)
}
