//! get, put, create_subscription, and DBRValue.

use super::chid::{Chid, Evid};
use super::wait::{wait_for, wait_own};
use crate::ca::batch::{Ticket, remaining};
use crate::ca::channel::Channel;
use crate::ca::dbr::{Base, DbrType};
use crate::ca::error::Error;
use crate::ca::request::Request;
use crate::ca::status::Status;
use crate::callback::Callback;
use crate::convert::{ArrayCache, Memory, Style, outgoing, value};
use crate::errors::{bad_argument, bad_type, deadline, eca, outcome, truth};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// DBE_VALUE | DBE_ALARM.
const DEFAULT_MASK: u32 = crate::ca_sys::DBE_VALUE | crate::ca_sys::DBE_ALARM;

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

/// A request type: None for the native one, `Err` for what is no type.
pub fn request_type(
    pv: &str,
    chtype: Option<&Bound<'_, PyAny>>,
) -> PyResult<Result<Option<DbrType>, Error>> {
    let Some(chtype) = chtype else {
        return Ok(Ok(None));
    };
    let number = match chtype.extract::<i64>() {
        Ok(number) => number,
        Err(error) if error.is_instance_of::<PyOverflowError>(chtype.py()) => -1,
        Err(_) => {
            let shown = chtype.repr()?.to_string_lossy().into_owned();
            let detail =
                format!("{pv}: a request type is a number such as DBR_DOUBLE, not {shown}");
            return Err(bad_type(Status::BADTYPE, detail));
        }
    };
    Ok(DbrType::new(number)
        .map(Some)
        .ok_or_else(|| Error::new(Status::BADTYPE, pv)))
}

/// An element count: None for the default.
pub fn element_count(pv: &str, count: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(count) = count else {
        return Ok(None);
    };
    let shown = || count.repr().map(|repr| repr.to_string_lossy().into_owned());
    match count.extract::<i64>() {
        Ok(number) => usize::try_from(number).map(Some).map_err(|_| {
            bad_argument(format!("{pv}: an element count is 0 or more, not {number}"))
        }),
        Err(error) if error.is_instance_of::<PyOverflowError>(count.py()) => Err(bad_argument(
            format!("{pv}: {} is no element count", shown()?),
        )),
        // 4 / 2 is a float in Python 3, and a count all the same.
        Err(_)
            if count
                .extract::<f64>()
                .is_ok_and(|n| n >= 0.0 && n.fract() == 0.0) =>
        {
            Ok(Some(count.extract::<f64>()? as usize))
        }
        Err(_) => {
            let detail = format!("{pv}: an element count is a number, not {}", shown()?);
            Err(bad_type(Status::BADCOUNT, detail))
        }
    }
}

/// A subscription's mask: `Err` for a number that has no event in it.
fn event_mask(pv: &str, mask: &Bound<'_, PyAny>) -> PyResult<Result<u32, Error>> {
    let known = DEFAULT_MASK | crate::ca_sys::DBE_LOG | crate::ca_sys::DBE_PROPERTY;
    match mask.extract::<u32>() {
        Ok(mask) if mask & known != 0 && mask & !known == 0 => Ok(Ok(mask)),
        Ok(_) => Ok(Err(Error::new(Status::BADMASK, pv))),
        Err(error) if error.is_instance_of::<PyOverflowError>(mask.py()) => {
            Ok(Err(Error::new(Status::BADMASK, pv)))
        }
        Err(_) => {
            let shown = mask.repr()?.to_string_lossy().into_owned();
            let detail = format!("{pv}: a mask is a number such as DBE_VALUE, not {shown}");
            Err(bad_type(Status::BADMASK, detail))
        }
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

/// A write, as its caller asks for it.
pub struct Write<'a, 'py> {
    pub chid: Option<&'a Bound<'py, Chid>>,
    pub value: &'a Bound<'py, PyAny>,
    pub chtype: Option<&'a Bound<'py, PyAny>>,
    pub count: Option<&'a Bound<'py, PyAny>>,
}

impl<'py> Write<'_, 'py> {
    /// Converts the value and hands it to `send`, which runs without the interpreter's lock.
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
        let (dbr_type, count, bytes) = (out.dbr_type, out.count, out.bytes());
        let sent = py.detach(|| send(channel, dbr_type, count, bytes));
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
        if let Some(refusal) = channel.watch_refusal() {
            break refusal;
        }
        if remaining(deadline) == Some(Duration::ZERO) {
            return eca(py, Status::TIMEOUT);
        }
        py.detach(|| std::thread::sleep(Duration::from_millis(1)));
        py.check_signals()?;
    };
    if channel.take_unasked() {
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
    channel.take_unasked();
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

/// Has a callback told of a PV's value now and at every change (ca_create_subscription).
///
/// `chtype`, `count`, `use_numpy`: as for `get`. `mask`: DBE_VALUE | DBE_ALARM where None. The callback gets a dict as for
/// `get`. A channel that is not connected takes a subscription that names its type. Updates that the callback does not keep
/// up with are dropped, the oldest first (`dropped`).
///
/// Returns `(ECA, evid)`. The subscription lives until `clear_subscription`, or as long as its channel.
#[pyfunction]
#[pyo3(signature = (chid, callback, chtype=None, count=None, mask=None, use_numpy=false, *, user_args=None))]
#[allow(clippy::too_many_arguments)] // ca_create_subscription has them
pub fn create_subscription<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    callback: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    mask: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = truth)] use_numpy: bool,
    user_args: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Option<Evid>)> {
    let callback = Callback::new(callback, user_args, use_numpy)?;
    let Some(chid) = chid else {
        return Ok((eca(py, Status::BADCHID)?, None));
    };
    let channel = match chid.get().channel() {
        Ok(channel) => channel,
        Err(error) => return Ok((eca(py, error.status)?, None)),
    };
    let requested = request_type(channel.name(), chtype)?;
    let count = element_count(channel.name(), count)?;
    let mask = match mask
        .map(|mask| event_mask(channel.name(), mask))
        .transpose()?
    {
        None => DEFAULT_MASK,
        Some(Ok(mask)) => mask,
        Some(Err(error)) => return Ok((eca(py, error.status)?, None)),
    };
    let started = requested.and_then(|requested| {
        // With a type of its own, a subscription may be made before the PV is found.
        let dbr_type = match requested {
            Some(dbr_type) => dbr_type,
            None => DbrType::plain(channel.connected_type()?),
        };
        let held = channel.element_count();
        let count = match count {
            Some(count) if held > 0 => count.min(held),
            Some(count) => count,
            None => held,
        };
        let handler = callback.handler();
        py.detach(|| channel.subscribe(dbr_type, count, mask, handler))
    });
    let (status, subscription) = outcome(started)?;
    let evid = subscription.map(|subscription| {
        Chid::add_subscription(chid, callback);
        Evid {
            subscription,
            chid: chid.clone().unbind(),
        }
    });
    Ok((eca(py, status)?, evid))
}
