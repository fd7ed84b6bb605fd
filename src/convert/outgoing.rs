//! Python values to DBR elements.

use super::elements::{Given, append, explain};
use crate::ca::dbr::{Base, DbrType, MAX_STRING_SIZE};
use crate::ca::error::{Error, Kind};
use crate::ca::status::Status;
use crate::errors::bad_argument;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBaseException, PyOverflowError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

/// What goes over the wire: `count` elements of `dbr_type`. None at all where there was none in the value.
pub struct Outgoing<'py> {
    pub dbr_type: DbrType,
    pub count: usize,
    data: Data<'py>,
}

enum Data<'py> {
    /// Words, so that every element type is aligned.
    Owned(Vec<u64>, usize),
    /// A numpy array that has the wire's type: sent from where it lies.
    Array(Bound<'py, PyUntypedArray>, usize),
}

impl Outgoing<'_> {
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            // SAFETY: the words are initialised, and there are at least `len` bytes of them.
            Data::Owned(words, len) => unsafe {
                std::slice::from_raw_parts(words.as_ptr().cast(), *len)
            },
            Data::Array(_, 0) => &[],
            // SAFETY: `from_array` has seen to it that the array is contiguous and holds `len` bytes, and we hold a
            // reference, so numpy keeps its memory. A program that writes into an array in one thread while another
            // puts it gets some mixture of old and new on the wire, as with any function that takes an array.
            Data::Array(array, len) => unsafe {
                std::slice::from_raw_parts((*array.as_array_ptr()).fields.data.cast::<u8>(), *len)
            },
        }
    }
}

/// What a value is for, for conversion and for messages.
struct Target<'a> {
    pv: &'a str,
    dbr_type: DbrType,
    /// Elements that are sent at most.
    limit: usize,
}

impl Target<'_> {
    fn base(&self) -> Base {
        self.dbr_type.base()
    }

    fn fail(&self, kind: Kind, status: Status, detail: String) -> PyErr {
        Error {
            kind,
            status,
            pv: Some(self.pv.to_owned()),
            detail,
        }
        .into()
    }

    fn text(&self, item: &Bound<'_, PyAny>, text: PyResult<Vec<u8>>) -> PyResult<Vec<u8>> {
        text.map_err(|_| {
            let detail = format!(
                "{} has no UTF-8 form: it has a surrogate in it",
                shown(item)
            );
            self.fail(Kind::Value, Status::BADSTR, detail)
        })
    }

    fn wrong_type(&self, item: &Bound<'_, PyAny>, place: &str) -> PyErr {
        let detail = format!(
            "{place}{} of type {} does not convert to {}: give a number, str, bytes, a sequence or a numpy array of them",
            shown(item),
            type_name(item),
            self.base().name()
        );
        self.fail(Kind::Type, Status::NOCONVERT, detail)
    }
}

/// Converts `value` for a put to a channel of type `native` with `element_count` elements. `requested` is the caller's
/// type, `count` their limit.
pub fn outgoing<'py>(
    value: &Bound<'py, PyAny>,
    pv: &str,
    native: Base,
    element_count: usize,
    requested: Option<DbrType>,
    count: Option<usize>,
) -> PyResult<Outgoing<'py>> {
    let dbr_type = requested.unwrap_or(DbrType::plain(native));
    if !dbr_type.is_writable() {
        return Err(Error::new(Status::BADTYPE, pv).into());
    }
    let mut target = Target {
        pv,
        dbr_type,
        limit: element_count.min(count.unwrap_or(usize::MAX)),
    };
    if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() {
        return from_items(&target, std::slice::from_ref(value));
    }
    if let Some(text) = text_bytes(value) {
        return match dbr_type {
            DbrType::CHAR => char_array(&target, value, target.text(value, text)?),
            DbrType::ENUM => {
                target.dbr_type = DbrType::STRING;
                from_items(&target, std::slice::from_ref(value))
            }
            _ => from_items(&target, std::slice::from_ref(value)),
        };
    }
    numpy(value.py())?;
    if let Ok(array) = value.cast::<PyUntypedArray>() {
        return from_array(target, array);
    }
    if value.is_instance_of::<PyMemoryView>()
        || value.hasattr("__array_interface__")?
        || is_array_array(value)?
    {
        return from_array(target, &as_array(value)?);
    }
    let items = match items(value)? {
        Some(items) => items,
        None => vec![value.clone()],
    };
    from_sequence(target, &items)
}

fn from_sequence<'py>(
    mut target: Target<'_>,
    items: &[Bound<'py, PyAny>],
) -> PyResult<Outgoing<'py>> {
    // Names of states, like a single one, are for the server to look up.
    let is_text = |item: &Bound<'_, PyAny>| {
        item.is_instance_of::<PyString>() || item.is_instance_of::<PyBytes>()
    };
    if target.dbr_type == DbrType::ENUM && !items.is_empty() && items.iter().all(is_text) {
        target.dbr_type = DbrType::STRING;
    }
    from_items(&target, items)
}

/// The items of a sequence; `None` for a scalar.
fn items<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    if let Ok(list) = value.cast::<PyList>() {
        return Ok(Some(list.iter().collect()));
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return Ok(Some(tuple.iter().collect()));
    }
    let has = |name| value.hasattr(name);
    if !has("__len__")? || !has("__getitem__")? || has("keys")? {
        return Ok(None);
    }
    value.try_iter()?.collect::<PyResult<_>>().map(Some)
}

fn from_items<'py>(target: &Target<'_>, items: &[Bound<'py, PyAny>]) -> PyResult<Outgoing<'py>> {
    let single = items.len() == 1;
    let base = target.base();
    let mut bytes = Vec::with_capacity(items.len() * base.size());
    for (index, item) in items.iter().enumerate() {
        let place = || {
            if single {
                String::new()
            } else {
                format!("item {index}: ")
            }
        };
        if base == Base::String {
            append_string(&mut bytes, target, item, &place)?;
            continue;
        }
        let given = given(target, item, &place)?;
        append(&mut bytes, given, base).map_err(|misfit| {
            let detail = place() + &explain(misfit, given, base);
            target.fail(Kind::Value, Status::NOCONVERT, detail)
        })?;
    }
    // All of them had to convert; those that the PV has no room for stay behind.
    let count = items.len().min(target.limit);
    Ok(owned(target.dbr_type, count, &bytes[..count * base.size()]))
}

fn owned<'py>(dbr_type: DbrType, count: usize, bytes: &[u8]) -> Outgoing<'py> {
    let words = bytes
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        })
        .collect();
    Outgoing {
        dbr_type,
        count,
        data: Data::Owned(words, bytes.len()),
    }
}

/// The number that an item stands for.
fn given(
    target: &Target<'_>,
    item: &Bound<'_, PyAny>,
    place: &dyn Fn() -> String,
) -> PyResult<Given> {
    if let Ok(float) = item.cast::<PyFloat>() {
        return Ok(Given::Float(float.value()));
    }
    if item.is_instance_of::<PyInt>() || (item.hasattr("__index__")? && !is_exception(item)) {
        if let Ok(value) = item.extract::<i64>() {
            return Ok(Given::Int(value.into()));
        }
        return match item.extract::<i128>() {
            Ok(value) => Ok(Given::Int(value)),
            Err(error) if error.is_instance_of::<PyOverflowError>(item.py()) => {
                if target.base().is_floating()
                    && let Ok(value) = item.extract::<f64>()
                {
                    return Ok(Given::Float(value));
                }
                let name = target.base().name();
                let detail = format!("{}{} is out of the range of {name}", place(), shown(item));
                Err(target.fail(Kind::Value, Status::NOCONVERT, detail))
            }
            // A numpy array of one element has both, and takes its float.
            Err(_) => match float(item) {
                Some(value) => Ok(Given::Float(value)),
                None => Err(target.wrong_type(item, &place())),
            },
        };
    }
    if text_bytes(item).is_some() {
        let number = item.py().get_type::<PyFloat>().call1((item,));
        return match number.and_then(|number| number.extract::<f64>()) {
            Ok(value) if value.is_finite() || !has_digits(item) => Ok(Given::Float(value)),
            _ => {
                let name = target.base().name();
                let detail = format!(
                    "{}{} is no number, and {name} takes numbers",
                    place(),
                    shown(item)
                );
                Err(target.fail(Kind::Value, Status::NOCONVERT, detail))
            }
        };
    }
    if let Some(value) = float(item) {
        return Ok(Given::Float(value));
    }
    Err(target.wrong_type(item, &place()))
}

/// What `float()` makes of an object that is no text.
fn float(item: &Bound<'_, PyAny>) -> Option<f64> {
    let value = item.call_method0("__float__").ok()?;
    value.extract::<f64>().ok()
}

/// A text that names a number, not infinity: "1e999" is one that no float holds.
fn has_digits(text: &Bound<'_, PyAny>) -> bool {
    let bytes = text_bytes(text).and_then(PyResult::ok).unwrap_or_default();
    bytes.iter().any(u8::is_ascii_digit)
}

fn append_string(
    out: &mut Vec<u8>,
    target: &Target<'_>,
    item: &Bound<'_, PyAny>,
    place: &dyn Fn() -> String,
) -> PyResult<()> {
    let bytes = match text_bytes(item) {
        Some(text) => target.text(item, text)?,
        None if is_number(item)? => item.str()?.to_cow()?.into_owned().into_bytes(),
        None => return Err(target.wrong_type(item, &place())),
    };
    if bytes.contains(&0) {
        let detail = format!(
            "{}{} contains NUL, which ends a string",
            place(),
            shown(item)
        );
        return Err(target.fail(Kind::Value, Status::BADSTR, detail));
    }
    if bytes.len() >= MAX_STRING_SIZE {
        let detail = format!(
            "{}{} has {} bytes, and a DBR_STRING holds 39",
            place(),
            shown(item),
            bytes.len()
        );
        return Err(target.fail(Kind::Value, Status::STRTOBIG, detail));
    }
    let end = out.len() + MAX_STRING_SIZE;
    out.extend(bytes);
    out.resize(end, 0);
    Ok(())
}

fn is_number(item: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(item.is_instance_of::<PyInt>()
        || item.is_instance_of::<PyFloat>()
        || (item.hasattr("__float__")? && !item.hasattr("__len__")? && !is_exception(item)))
}

/// An exception, such as what stands in the place of a value that could not be read: its status is no value.
fn is_exception(item: &Bound<'_, PyAny>) -> bool {
    item.is_instance_of::<PyBaseException>()
}

/// The bytes of a str (UTF-8), bytes or bytearray; `None` for anything else.
fn text_bytes(value: &Bound<'_, PyAny>) -> Option<PyResult<Vec<u8>>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Some(text.to_cow().map(|text| text.into_owned().into_bytes()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Some(Ok(bytes.as_bytes().to_vec()));
    }
    value
        .cast::<PyByteArray>()
        .ok()
        .map(|bytes| Ok(bytes.to_vec()))
}

/// A text to a CHAR array: its bytes and a NUL, as far as they fit.
fn char_array<'py>(
    target: &Target<'_>,
    value: &Bound<'_, PyAny>,
    mut text: Vec<u8>,
) -> PyResult<Outgoing<'py>> {
    // bytes may well be numbers, and a NUL among them one of them; in a text it would hide the rest.
    if value.is_instance_of::<PyString>() && text.contains(&0) {
        let detail = format!(
            "{} contains NUL, which ends a string: send bytes",
            shown(value)
        );
        return Err(target.fail(Kind::Value, Status::BADSTR, detail));
    }
    text.push(0);
    text.truncate(target.limit);
    Ok(owned(target.dbr_type, text.len(), &text))
}

fn from_array<'py>(
    target: Target<'_>,
    array: &Bound<'py, PyUntypedArray>,
) -> PyResult<Outgoing<'py>> {
    if is_masked(array)? {
        return Err(target.fail(Kind::Value, Status::NOCONVERT, MASKED.to_owned()));
    }
    let kind = array.dtype().kind();
    if !matches!(kind, b'b' | b'i' | b'u' | b'f') || target.base() == Base::String {
        if !matches!(kind, b'b' | b'i' | b'u' | b'f' | b'S' | b'U' | b'O') {
            return Err(target.wrong_type(array, ""));
        }
        let flat = array.call_method1("reshape", (-1,))?;
        return from_sequence(target, &flat.call_method0("tolist")?.extract::<Vec<_>>()?);
    }
    let flat = array.call_method1("reshape", (-1,))?;
    let flat = plain_layout(&flat)?;
    let length = flat.len();
    let count = length.min(target.limit);
    let (base, dtype) = (target.base(), flat.dtype());
    let (kind, size) = (dtype.kind(), dtype.itemsize());
    if wire_kinds(base).contains(&kind) && size == base.size() {
        return Ok(Outgoing {
            dbr_type: target.dbr_type,
            count,
            data: Data::Array(flat, count * size),
        });
    }
    if length == 0 {
        return Ok(owned(target.dbr_type, 0, &[]));
    }
    // SAFETY: `plain_layout` made it contiguous and of the host's byte order, and we hold a reference to it.
    let source = unsafe {
        std::slice::from_raw_parts(
            (*flat.as_array_ptr()).fields.data.cast::<u8>(),
            length * size,
        )
    };
    let mut bytes = Vec::with_capacity(length * base.size());
    for (index, chunk) in source.chunks_exact(size).enumerate() {
        let given = array_element(kind, chunk).ok_or_else(|| target.wrong_type(&flat, ""))?;
        append(&mut bytes, given, base).map_err(|misfit| {
            let detail = format!("item {index}: {}", explain(misfit, given, base));
            target.fail(Kind::Value, Status::NOCONVERT, detail)
        })?;
    }
    Ok(owned(target.dbr_type, count, &bytes[..count * base.size()]))
}

const MASKED: &str = "some elements of the array are masked: fill them or leave them out";

/// Raises for a masked array with elements that count as missing.
pub(super) fn fail_masked(array: &Bound<'_, PyUntypedArray>) -> PyResult<()> {
    if is_masked(array)? {
        return Err(bad_argument(MASKED));
    }
    Ok(())
}

/// A masked array with elements that count as missing.
fn is_masked(array: &Bound<'_, PyUntypedArray>) -> PyResult<bool> {
    if array.get_type().is(array.py().get_type::<PyUntypedArray>()) || !array.hasattr("mask")? {
        return Ok(false);
    }
    array.getattr("mask")?.call_method0("any")?.is_truthy()
}

/// The kinds of numpy types whose memory is the wire's, given the size.
fn wire_kinds(base: Base) -> &'static [u8] {
    match base {
        Base::Char => b"uib",
        Base::Short | Base::Long => b"i",
        Base::Enum => b"u",
        Base::Float | Base::Double => b"f",
        Base::String => b"",
    }
}

pub(super) fn array_element(kind: u8, bytes: &[u8]) -> Option<Given> {
    Some(match (kind, bytes.len()) {
        (b'b' | b'u', 1) => Given::Int(bytes[0].into()),
        (b'u', 2) => Given::Int(u16::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'u', 4) => Given::Int(u32::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'u', 8) => Given::Int(u64::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'i', 1) => Given::Int(i8::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'i', 2) => Given::Int(i16::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'i', 4) => Given::Int(i32::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'i', 8) => Given::Int(i64::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'f', 4) => Given::Float(f32::from_ne_bytes(bytes.try_into().ok()?).into()),
        (b'f', 8) => Given::Float(f64::from_ne_bytes(bytes.try_into().ok()?)),
        _ => return None,
    })
}

/// The array with contiguous, aligned elements in the host's byte order; half and long floats as doubles. Itself where it
/// is so already.
pub(super) fn plain_layout<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = array.py();
    let dtype = array.getattr("dtype")?;
    let size: usize = dtype.getattr("itemsize")?.extract()?;
    let kind: String = dtype.getattr("kind")?.extract()?;
    let native = if kind == "f" && size != 4 && size != 8 {
        PyString::new(py, "float64").into_any()
    } else {
        dtype.call_method1("newbyteorder", ("=",))?
    };
    let plain = numpy_function(py, "require")?.call1((array, native, ("C", "A")))?;
    Ok(plain.cast_into::<PyUntypedArray>()?)
}

fn as_array<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let array = numpy_function(value.py(), "asarray")?.call1((value,))?;
    Ok(array.cast_into::<PyUntypedArray>()?)
}

fn numpy_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    numpy(py)?.getattr(name)
}

/// numpy, imported. Before anything asks the numpy crate for a type: that panics where the import is interrupted.
pub fn numpy(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static NUMPY: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let numpy = NUMPY.get_or_try_init(py, || py.import("numpy").map(Bound::unbind))?;
    Ok(numpy.bind(py))
}

fn is_array_array(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let array = ARRAY.get_or_try_init(py, || {
        py.import("array")?.getattr("array").map(Bound::unbind)
    })?;
    value.is_instance(array.bind(py))
}

/// The value in a message: its repr, not too long.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    let text = value.repr().map(|repr| repr.to_string_lossy().into_owned());
    let text = text.unwrap_or_else(|_| "the value".to_owned());
    if text.chars().count() > 60 {
        text.chars().take(57).chain("...".chars()).collect()
    } else {
        text
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().qualname().map(|name| name.to_string());
    name.unwrap_or_else(|_| "unknown".to_owned())
}
