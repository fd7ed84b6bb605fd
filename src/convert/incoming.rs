//! DBR structures to Python.

use super::arrays::numpy;
use super::names::{Names, names};
use super::text::{self, STATE, STRING, UNITS, decoded};
use crate::calls::call_method;
use crate::protocol::buffer::Bytes;
use crate::protocol::dbr::{Base, DbrClass, POSIX_TIME_AT_EPICS_EPOCH};
use crate::protocol::validate::Shape;
use crate::protocol::value::Dbr;
use crate::protocol::view::{DisplayLimits, Number, View};
use numpy::ndarray::ArrayView1;
use numpy::{Element, PyArray1};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use pyo3::{IntoPyObjectExt, intern};
use std::sync::Arc;

/// The names in a value's dict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As module `ca` does: `value`, `stamp`, `upper_disp_limit`, …
    Plain,
    /// As class `CaChannel` does: `pv_value`, `pv_seconds`, `pv_updislim`, …
    Pv,
}

/// Keeps a value's memory while a numpy array uses it.
#[pyclass(frozen, module = "cachannel._ca")]
struct Lender {
    _dbr: Arc<Dbr>,
}

/// The memory that a numpy array uses.
#[derive(Clone, Copy)]
pub enum Memory<'a> {
    /// The value's own memory: the value is converted once.
    Share,
    /// The value's own memory; the array is kept for the next conversion.
    Once(&'a ArrayCache),
    /// A copy, for a value that is converted again and again.
    Copy,
}

/// The numpy array of a value, so that each conversion gives the same array.
pub type ArrayCache = PyOnceLock<Py<PyAny>>;

/// The value as `getValue` returns it: plain types as they are, the others as a dict.
pub fn value<'py>(
    py: Python<'py>,
    dbr: &Arc<Dbr>,
    style: Style,
    use_numpy: bool,
    memory: Memory<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let elements = elements(py, dbr, use_numpy, memory)?;
    if dbr.dbr_type.form() == DbrClass::Plain {
        return Ok(elements);
    }
    let dict = PyDict::new(py);
    describe(&dict, &dbr.view(), style, elements)?;
    Ok(dict.into_any())
}

/// Puts the value into the dict that a callback gets: under `value`, or spread out under the `pv_` names.
pub fn fill(
    dict: &Bound<'_, PyDict>,
    dbr: Option<&Arc<Dbr>>,
    style: Style,
    use_numpy: bool,
) -> PyResult<()> {
    let py = dict.py();
    let Some(dbr) = dbr else {
        return dict.set_item(keys(py).of(style).value.bind(py), py.None());
    };
    let elements = elements(py, dbr, use_numpy, Memory::Share)?;
    match style {
        Style::Pv => describe(dict, &dbr.view(), style, elements),
        Style::Plain if dbr.dbr_type.form() == DbrClass::Plain => {
            dict.set_item(intern!(py, "value"), elements)
        }
        Style::Plain => {
            let inner = PyDict::new(py);
            describe(&inner, &dbr.view(), style, elements)?;
            dict.set_item(intern!(py, "value"), inner)
        }
    }
}

fn describe(
    dict: &Bound<'_, PyDict>,
    view: &View<'_>,
    style: Style,
    elements: Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = dict.py();
    let names = names(py)?;
    let keys = keys(py).of(style);
    dict.set_item(keys.value.bind(py), elements)?;
    let form = view.dbr_type.form();
    if form == DbrClass::Plain {
        return Ok(());
    }
    let severity = names.severity.get(py, view.severity().into())?;
    dict.set_item(keys.severity.bind(py), severity)?;
    let status = names.condition.get(py, view.status().into())?;
    dict.set_item(keys.status.bind(py), status)?;
    match form {
        DbrClass::Time => stamp(dict, view, style),
        DbrClass::StsAck => acknowledgement(dict, view, style, names),
        DbrClass::Gr | DbrClass::Ctrl if view.dbr_type.base() == Base::Enum => {
            let states = view.states();
            dict.set_item(keys.no_str.bind(py), states.len())?;
            let texts = states.into_iter().map(|state| decoded(state, STATE));
            dict.set_item(keys.strs.bind(py), PyTuple::new(py, texts)?)
        }
        _ => match view.limits() {
            Some(limits) => self::limits(dict, &limits, keys),
            None => Ok(()),
        },
    }
}

fn stamp(dict: &Bound<'_, PyDict>, view: &View<'_>, style: Style) -> PyResult<()> {
    let py = dict.py();
    let (seconds, nanoseconds) = view.stamp();
    if style == Style::Pv {
        dict.set_item(intern!(py, "pv_seconds"), seconds)?;
        return dict.set_item(intern!(py, "pv_nseconds"), nanoseconds);
    }
    let posix = i64::from(seconds) + POSIX_TIME_AT_EPICS_EPOCH;
    let stamp = PyDict::new(py);
    stamp.set_item(intern!(py, "seconds"), posix)?;
    stamp.set_item(intern!(py, "nanoseconds"), nanoseconds)?;
    let timestamp = posix as f64 + 1e-9 * f64::from(nanoseconds);
    stamp.set_item(intern!(py, "timestamp"), timestamp)?;
    dict.set_item(intern!(py, "stamp"), stamp)
}

fn acknowledgement(
    dict: &Bound<'_, PyDict>,
    view: &View<'_>,
    style: Style,
    names: &Names,
) -> PyResult<()> {
    let py = dict.py();
    let (ackt, acks) = view.acknowledgement();
    let keys = keys(py).of(style);
    dict.set_item(keys.ackt.bind(py), ackt != 0)?;
    dict.set_item(keys.acks.bind(py), names.severity.get(py, acks.into())?)
}

fn limits(dict: &Bound<'_, PyDict>, limits: &DisplayLimits<'_>, keys: &Keys) -> PyResult<()> {
    let py = dict.py();
    dict.set_item(keys.units.bind(py), decoded(limits.units, UNITS))?;
    let set = |key: &Py<PyString>, limit| dict.set_item(key.bind(py), number(py, limit)?);
    set(&keys.upper_disp, limits.upper_disp)?;
    set(&keys.lower_disp, limits.lower_disp)?;
    set(&keys.upper_alarm, limits.upper_alarm)?;
    set(&keys.upper_warning, limits.upper_warning)?;
    set(&keys.lower_warning, limits.lower_warning)?;
    set(&keys.lower_alarm, limits.lower_alarm)?;
    if let Some((upper, lower)) = limits.ctrl {
        set(&keys.upper_ctrl, upper)?;
        set(&keys.lower_ctrl, lower)?;
    }
    if let Some(precision) = limits.precision {
        dict.set_item(keys.precision.bind(py), precision)?;
    }
    Ok(())
}

/// A value of one element as a scalar, others as a list or array; a text as str.
pub fn elements<'py>(
    py: Python<'py>,
    dbr: &Arc<Dbr>,
    use_numpy: bool,
    memory: Memory<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let view = dbr.view();
    let base = dbr.dbr_type.base();
    match (dbr.shape, base) {
        (Shape::Scalar, Base::String) => {
            return Ok(PyString::new(py, &decoded(view.string(0), STRING)).into_any());
        }
        (Shape::Text | Shape::State, _) => {
            return Ok(PyString::new(py, &text::of(dbr)).into_any());
        }
        (Shape::Scalar, _) => return number(py, view.number(0)),
        (Shape::Array, Base::String) => {
            let texts: Vec<_> = (0..view.count)
                .map(|index| decoded(view.string(index), STRING))
                .collect();
            return PyList::new(py, texts).map(Bound::into_any);
        }
        (Shape::Array, _) => {}
    }
    if use_numpy {
        return match memory {
            Memory::Share => array(py, dbr),
            Memory::Once(cache) => cache
                .get_or_try_init(py, || array(py, dbr).map(Bound::unbind))
                .map(|array| array.bind(py).clone()),
            Memory::Copy => call_method(&array(py, dbr)?, "copy", ()),
        };
    }
    let bytes = view.value_bytes();
    match base {
        Base::Short => list(py, bytes, i16::from_ne_bytes),
        Base::Enum => list(py, bytes, u16::from_ne_bytes),
        Base::Char => list(py, bytes, u8::from_ne_bytes),
        Base::Long => list(py, bytes, i32::from_ne_bytes),
        Base::Float => list(py, bytes, |b| f64::from(f32::from_ne_bytes(b))),
        Base::Double | Base::String => list(py, bytes, f64::from_ne_bytes),
    }
}

fn list<'py, const N: usize, T: IntoPyObject<'py>>(
    py: Python<'py>,
    bytes: &[u8],
    read: fn([u8; N]) -> T,
) -> PyResult<Bound<'py, PyAny>> {
    let (chunks, _) = bytes.as_chunks::<N>();
    PyList::new(py, chunks.iter().map(|chunk| read(*chunk))).map(Bound::into_any)
}

/// A numpy array over the value's own memory.
fn array<'py>(py: Python<'py>, dbr: &Arc<Dbr>) -> PyResult<Bound<'py, PyAny>> {
    numpy(py)?;
    match dbr.dbr_type.base() {
        Base::Short => typed_array::<i16>(py, dbr),
        Base::Enum => typed_array::<u16>(py, dbr),
        Base::Char => typed_array::<u8>(py, dbr),
        Base::Long => typed_array::<i32>(py, dbr),
        Base::Float => typed_array::<f32>(py, dbr),
        Base::Double | Base::String => typed_array::<f64>(py, dbr),
    }
}

fn typed_array<'py, T: Element + Copy>(
    py: Python<'py>,
    dbr: &Arc<Dbr>,
) -> PyResult<Bound<'py, PyAny>> {
    let view = dbr.view();
    let bytes = view.value_bytes();
    // SAFETY: every bit pattern is a value of the integer and floating types that this is called with.
    let (before, elements, _) = unsafe { bytes.align_to::<T>() };
    if before.is_empty() && matches!(dbr.bytes(), Bytes::Heap(_)) {
        let lender = Bound::new(py, Lender { _dbr: dbr.clone() })?;
        let shape = ArrayView1::from(elements);
        // SAFETY: `lender` keeps the elements where they are for as long as the array lives, and its array is the only one
        // over them (see `Memory`). Rust never writes to them, and reads them again only under the interpreter's lock.
        let array = unsafe { PyArray1::borrow_from_array(&shape, lender.into_any()) };
        return Ok(array.into_any());
    }
    // For few or unaligned elements, a copy costs less than an owner object.
    let copied: Vec<T> = bytes
        .chunks_exact(size_of::<T>())
        // SAFETY: the chunk has the size of T, and read_unaligned needs no more (see above for its bits).
        .map(|chunk| unsafe { chunk.as_ptr().cast::<T>().read_unaligned() })
        .collect();
    Ok(PyArray1::from_vec(py, copied).into_any())
}

/// A number of a structure, such as a limit.
pub fn number(py: Python<'_>, number: Number) -> PyResult<Bound<'_, PyAny>> {
    match number {
        Number::Int(value) => value.into_bound_py_any(py),
        Number::Float(value) => value.into_bound_py_any(py),
    }
}

/// The names of a dict's entries.
struct Keys {
    value: Py<PyString>,
    status: Py<PyString>,
    severity: Py<PyString>,
    no_str: Py<PyString>,
    strs: Py<PyString>,
    units: Py<PyString>,
    precision: Py<PyString>,
    upper_disp: Py<PyString>,
    lower_disp: Py<PyString>,
    upper_alarm: Py<PyString>,
    upper_warning: Py<PyString>,
    lower_warning: Py<PyString>,
    lower_alarm: Py<PyString>,
    upper_ctrl: Py<PyString>,
    lower_ctrl: Py<PyString>,
    ackt: Py<PyString>,
    acks: Py<PyString>,
}

struct BothKeys {
    plain: Keys,
    pv: Keys,
}

impl BothKeys {
    fn of(&self, style: Style) -> &Keys {
        match style {
            Style::Plain => &self.plain,
            Style::Pv => &self.pv,
        }
    }
}

fn keys(py: Python<'_>) -> &'static BothKeys {
    static KEYS: PyOnceLock<BothKeys> = PyOnceLock::new();
    KEYS.get_or_init(py, || {
        let key = |name: &str| PyString::intern(py, name).unbind();
        BothKeys {
            plain: Keys {
                value: key("value"),
                status: key("status"),
                severity: key("severity"),
                no_str: key("no_str"),
                strs: key("strs"),
                units: key("units"),
                precision: key("precision"),
                upper_disp: key("upper_disp_limit"),
                lower_disp: key("lower_disp_limit"),
                upper_alarm: key("upper_alarm_limit"),
                upper_warning: key("upper_warning_limit"),
                lower_warning: key("lower_warning_limit"),
                lower_alarm: key("lower_alarm_limit"),
                upper_ctrl: key("upper_ctrl_limit"),
                lower_ctrl: key("lower_ctrl_limit"),
                ackt: key("ackt"),
                acks: key("acks"),
            },
            pv: Keys {
                value: key("pv_value"),
                status: key("pv_status"),
                severity: key("pv_severity"),
                no_str: key("pv_nostrings"),
                strs: key("pv_statestrings"),
                units: key("pv_units"),
                precision: key("pv_precision"),
                upper_disp: key("pv_updislim"),
                lower_disp: key("pv_lodislim"),
                upper_alarm: key("pv_upalarmlim"),
                upper_warning: key("pv_upwarnlim"),
                lower_warning: key("pv_lowarnlim"),
                lower_alarm: key("pv_loalarmlim"),
                upper_ctrl: key("pv_upctrllim"),
                lower_ctrl: key("pv_loctrllim"),
                ackt: key("pv_ackt"),
                acks: key("pv_acks"),
            },
        }
    })
}
