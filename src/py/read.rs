//! get, and DBRValue.

use super::arguments::{element_count, request_type, seconds};
use super::chid::Chid;
use super::wait::{make_room, wait_own};
use crate::callback::Callback;
use crate::client::channel::Channel;
use crate::client::event::UserData;
use crate::client::pending_io::PendingGuard;
use crate::client::request::Request;
use crate::convert::{ArrayCache, Memory, Style, value};
use crate::errors::{Failure, deadline, eca, outcome, raise, truth};
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::Answer;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A numpy array of at least this size is made once, over the value's own memory; smaller ones are copied each time.
const SHARED_FROM: usize = 1 << 20;

/// The value of a get, once `pend_io` has succeeded.
#[pyclass(frozen, module = "cachannel.ca")]
pub struct DBRValue {
    /// `None` while the request is being used again.
    request: Mutex<Option<Arc<Request>>>,
    use_numpy: AtomicBool,
    style: Style,
    array: ArrayCache,
    /// The error of the wait, if the answer did not come.
    missing: Option<Box<Error>>,
}

impl DBRValue {
    pub fn new(request: Arc<Request>, use_numpy: bool, style: Style) -> DBRValue {
        DBRValue {
            request: Mutex::new(Some(request)),
            use_numpy: AtomicBool::new(use_numpy),
            style,
            array: ArrayCache::new(),
            missing: None,
        }
    }

    /// Sends a read, which `pend_io` waits for.
    pub fn send(read: &Read<'_, '_>) -> PyResult<DBRValue> {
        let request = read.send(None)?;
        Ok(DBRValue::new(request, read.use_numpy, read.style))
    }

    fn request(&self) -> MutexGuard<'_, Option<Arc<Request>>> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there is no value: the answer's status, or `None` if there is no answer.
    fn failure(&self, status: Option<Status>) -> Error {
        let request = self.request();
        let request = request.as_ref();
        let name = request.map_or("", |request| request.channel.name());
        let why = request.and_then(|request| request.why_unanswered());
        match status {
            Some(status) => Error::with_detail(status, name, why.unwrap_or("")),
            None => {
                let detail = "the value has not arrived: wait for it with pend_io";
                Error::with_detail(Status::IOINPROGRESS, name, detail)
            }
        }
    }

    /// Sends a read again, in the same memory, for loops over the same channels; `false` if the memory cannot be used again.
    /// The caller must have the only reference to the value.
    pub fn send_again(&self, py: Python<'_>, read: &Read<'_, '_>) -> PyResult<bool> {
        if self.missing.is_some() || self.array.get(py).is_some() {
            return Ok(false);
        }
        let recycled = self.request().take();
        let request = read.send(recycled)?;
        self.set_use_numpy(read.use_numpy);
        *self.request() = Some(request);
        Ok(true)
    }
}

#[pymethods]
impl DBRValue {
    /// The value: a new object each time; but a numpy array of 1 MiB or more is the same object each time, over the memory into
    /// which it was received.
    pub fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(missing) = &self.missing {
            // Even if the answer has come since.
            return Err(missing.as_ref().clone().into());
        }
        let answer = self.request().as_ref().and_then(|request| request.answer());
        let dbr = match answer {
            Some(Answer { dbr: Some(dbr), .. }) => dbr,
            other => return Err(self.failure(other.map(|answer| answer.status)).into()),
        };
        let large = dbr.view().value_bytes().len() >= SHARED_FROM;
        let memory = if large {
            Memory::Once(&self.array)
        } else {
            Memory::Copy
        };
        value(py, &dbr, self.style, self.use_numpy(), memory)
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

/// The arguments of a read.
pub struct Read<'a, 'py> {
    pub chid: Option<&'a Bound<'py, Chid>>,
    pub chtype: Option<&'a Bound<'py, PyAny>>,
    pub count: Option<&'a Bound<'py, PyAny>>,
    pub use_numpy: bool,
    pub style: Style,
}

impl<'py> Read<'_, 'py> {
    fn send(&self, recycled: Option<Arc<Request>>) -> PyResult<Arc<Request>> {
        let chid = self.chid.ok_or_else(|| Error::from(Status::BADCHID))?;
        let channel = chid.get().channel()?;
        make_room(chid.py(), channel, None)?;
        let guard = |channel: &Channel| Some(channel.context().begin());
        Ok(self.begin(channel, None, recycled, guard)?)
    }

    /// Sends the request; `guard` gives the guard that counts it as outstanding.
    pub fn start(
        &self,
        py: Python<'py>,
        callback: Option<&Arc<Callback>>,
        guard: impl FnOnce(&Channel) -> Option<PendingGuard>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<DBRValue>)> {
        let Some(chid) = self.chid else {
            return Ok((eca(py, Status::BADCHID)?, None));
        };
        let channel = match chid.get().channel() {
            Ok(channel) => channel,
            Err(error) => return Ok((eca(py, error.status)?, None)),
        };
        if let Err(error) = raise(make_room(py, channel, None))? {
            return Ok((eca(py, error.status)?, None));
        }
        let handler = callback.map(Callback::handler);
        let started = self.begin(channel, handler, None, guard);
        let (status, request) = outcome(started)?;
        if let Some(callback) = callback.filter(|_| request.is_some()) {
            Chid::add_request(chid, callback);
        }
        let value = request
            .filter(|_| callback.is_none())
            .map(|request| DBRValue::new(request, self.use_numpy, self.style));
        Ok((eca(py, status)?, value))
    }

    pub fn begin(
        &self,
        channel: &Arc<Channel>,
        handler: Option<UserData>,
        recycled: Option<Arc<Request>>,
        guard: impl FnOnce(&Channel) -> Option<PendingGuard>,
    ) -> Result<Arc<Request>, Failure> {
        // Of several errors, exceptions come first, then a channel that is not connected.
        let requested = raise(request_type(channel.name(), self.chtype))?;
        let count = element_count(channel.name(), self.count)?;
        let native = channel.connected_type()?;
        let held = channel.element_count();
        let spec = self.style.spec(requested?, native, count, held);
        // The thread stays attached: the backend only queues the request, and there is room.
        Ok(match guard(channel) {
            Some(guard) if handler.is_none() => channel.get_later(spec, guard, recycled),
            guard => channel.get(spec, handler, guard),
        }?)
    }
}

impl Style {
    /// The request to the server. If STRING is asked for, the classes return the text in an array of CHAR, and the number of an
    /// enum's state that has no name; module `ca` returns what the server makes of it, as in C.
    fn spec(
        self,
        requested: Option<DbrType>,
        native: Base,
        count: Option<usize>,
        held: usize,
    ) -> RequestSpec {
        let dbr_type = requested.unwrap_or(DbrType::plain(native));
        match self {
            Style::Pv => RequestSpec::of_text(dbr_type, native, count, held),
            Style::Plain => RequestSpec::of(dbr_type, count, held),
        }
    }
}

fn style_of(user_args: Option<&Bound<'_, PyAny>>) -> Style {
    if user_args.is_some() {
        Style::Pv
    } else {
        Style::Plain
    }
}

/// Requests a PV's value (ca_array_get, ca_array_get_callback).
///
/// `chtype`: request type; the native one if None. `count`: elements at most; if None the PV's element count, with zeros for
/// those that the PV does not hold now; if 0 as many as the PV holds. `use_numpy`: arrays are numpy arrays, not lists. One
/// element is a scalar if the PV has no more, or `count` is 1.
///
/// Without a callback returns `(ECA, DBRValue)`, whose `get()` has the value once `pend_io` has succeeded. With one returns
/// `(ECA, None)`, and the callback gets a dict `chid`, `type` (DBR), `count`, `status` (ECA), `value` (None if the read
/// failed). Status: BADCHID, DISCONN, BADTYPE, NORDACCESS if nothing was sent.
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
        waited_for.then(|| channel.context().begin())
    })
}

/// Requests a value and waits for it, at most `timeout` seconds. This thread's earlier requests are waited for, too, as by
/// `pend_io` (see `wait_own`). If the value has not come, `get()` of the result raises ECA_TIMEOUT.
#[pyfunction]
#[pyo3(signature = (chid, chtype, count, use_numpy, timeout))]
pub fn read_wait<'py>(
    py: Python<'py>,
    chid: &Bound<'py, Chid>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = truth)] use_numpy: bool,
    #[pyo3(from_py_with = seconds)] timeout: f64,
) -> PyResult<DBRValue> {
    let deadline = deadline(timeout)?;
    let channel = chid.get().channel()?;
    let requested = request_type(channel.name(), chtype)?;
    let count = element_count(channel.name(), count)?;
    let native = channel.connected_type()?;
    let spec = Style::Pv.spec(requested, native, count, channel.element_count());
    let pending = channel.context().pending_io();
    let guard = Some(pending.begin());
    make_room(py, channel, deadline)?;
    let request = channel.get(spec, None, guard)?;
    let waited = raise(wait_own(py, channel.context(), Some(pending), deadline))?;
    let mut answer = DBRValue::new(request, use_numpy, Style::Pv);
    if let Err(error) = waited {
        let pv = Some(channel.name().to_owned());
        answer.missing = Some(Box::new(Error { pv, ..error }));
    }
    Ok(answer)
}
