//! The methods of class `CaChannel` that programs call in loops, without a Python frame.

use super::chid::Chid;
use super::read::{DBRValue, Read};
use super::write::{Beyond, Write};
use crate::calls::{call_method, getattr, import, setattr, truth};
use crate::convert::Style;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

/// The part of `CaChannel` that is written in Rust.
///
/// It has no fields of its own (its state is in `_chid` and `_dbrvalue`), so that a class can derive from `CaChannel` and from
/// any other class at the same time.
#[pyclass(frozen, subclass, module = "cachannel._ca")]
pub struct ChannelCore;

/// Whether numpy arrays are wanted: the keyword `use_numpy`, or the package's USE_NUMPY.
#[pyfunction]
pub fn use_numpy(py: Python<'_>, keywords: Option<&Bound<'_, PyDict>>) -> PyResult<bool> {
    static PACKAGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Some(keywords) = keywords.filter(|keywords| !keywords.is_empty()) else {
        let package = PACKAGE.get_or_try_init(py, || import(py, "cachannel").map(Bound::unbind))?;
        return truth(&getattr(package.bind(py), intern!(py, "USE_NUMPY"))?);
    };
    let name = intern!(py, "use_numpy");
    for key in keywords.keys() {
        let key = key.cast::<PyString>()?.to_cow()?;
        if key != "use_numpy" {
            let text = format!("unexpected keyword argument: {key}");
            return Err(PyTypeError::new_err(text));
        }
    }
    match keywords.get_item(name)? {
        Some(value) => truth(&value),
        None => use_numpy(py, None),
    }
}

/// The channel's id; raises if there was no search.
fn chid<'py>(this: &Bound<'py, ChannelCore>) -> PyResult<Bound<'py, Chid>> {
    let chid = getattr(this, intern!(this.py(), "_chid"))?;
    chid.cast_into::<Chid>().map_err(|_| {
        let mut error = Error::from(Status::BADCHID);
        let name = call_method(this, "_name", ()).and_then(|name| name.extract());
        error.pv = name.unwrap_or(None);
        error.detail = "search for the PV first".to_owned();
        error.into()
    })
}

#[pymethods]
impl ChannelCore {
    #[new]
    #[pyo3(signature = (*_args, **_keywords))]
    fn new(_args: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> ChannelCore {
        ChannelCore
    }

    /// Writes; sent with the next flush. See ca_array_put.
    ///
    /// :param value: a number, str, bytes, a sequence, or a numpy array of any dtype and shape (sent flat, in C order). It is
    ///     sent exactly or not at all; only floats are rounded to the precision of the type. A sequence is cut to the PV's
    ///     element count, with a warning in the log; an empty one empties an array. A str is sent to an ENUM as the name of its
    ///     state, and to a CHAR array as its bytes with a trailing 0.
    /// :param req_type: request type (``ca.DBR_XXXX``); the native type if None.
    /// :param count: elements to write at most, no more than the PV holds; all if None.
    #[pyo3(signature = (value, req_type=None, count=None))]
    fn array_put<'py>(
        slf: &Bound<'py, ChannelCore>,
        value: &Bound<'py, PyAny>,
        req_type: Option<&Bound<'py, PyAny>>,
        count: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let chid = chid(slf)?;
        let write = Write {
            chid: Some(&chid),
            value,
            chtype: req_type,
            count,
            beyond: Beyond::Refused,
            deadline: None,
        };
        Ok(write.send(slf.py(), |channel, dbr_type, count, bytes| {
            channel.put(dbr_type, count, bytes)
        })?)
    }

    /// Requests the value: :meth:`getValue` returns it once :meth:`pend_io` has succeeded. See ca_array_get.
    ///
    /// :param req_type: request type (``ca.DBR_XXXX``); the native type if None. An array of CHAR asked for as ``DBR_STRING``,
    ///     ``DBR_TIME_STRING``, … gives the text in it, up to its NUL.
    /// :param count: elements to read at most; if None the PV's element count, with zeros for those that the PV does not hold
    ///     now; if 0 as many as the PV holds.
    /// :param use_numpy: whether an array comes as a numpy array; the package's ``USE_NUMPY`` by default.
    #[pyo3(signature = (req_type=None, count=None, **keywords))]
    fn array_get<'py>(
        slf: &Bound<'py, ChannelCore>,
        req_type: Option<&Bound<'py, PyAny>>,
        count: Option<&Bound<'py, PyAny>>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let use_numpy = use_numpy(py, keywords)?;
        let chid = chid(slf)?;
        let read = Read {
            chid: Some(&chid),
            chtype: req_type,
            count,
            use_numpy,
            style: Style::Pv,
        };
        let place = intern!(py, "_dbrvalue");
        let sent = match getattr(slf, place)?.cast::<DBRValue>() {
            Ok(before) => before.get().send_again(py, &read),
            Err(_) => Ok(false),
        };
        let sent = match sent {
            Ok(false) => DBRValue::send(&read).and_then(|value| setattr(slf, place, value)),
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        // An older value must not be taken for the answer to this request.
        sent.inspect_err(|_| drop(setattr(slf, place, py.None())))
    }

    /// The value of the last :meth:`array_get`; None if there was none.
    ///
    /// A plain type gives the value itself, the others give a dict as for :meth:`array_get_callback`. The value is an int,
    /// float or str; for a PV that can hold more than one element it is a list or numpy array, unless ``count`` was 1.
    ///
    /// :raises CaChannelException: if the value has not arrived (ECA_IOINPROGRESS), has not arrived in time (ECA_TIMEOUT, even
    ///     if it has arrived since), or could not be read by the server.
    #[pyo3(name = "getValue")]
    fn get_value<'py>(slf: &Bound<'py, ChannelCore>) -> PyResult<Bound<'py, PyAny>> {
        let value = getattr(slf, intern!(slf.py(), "_dbrvalue"))?;
        match value.cast::<DBRValue>() {
            Ok(value) => value.get().get(slf.py()),
            Err(_) => Ok(value),
        }
    }
}
