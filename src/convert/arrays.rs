//! numpy arrays to DBR elements.

use super::elements::{Given, append, explain, has_no_double};
use super::target::Target;
use super::wire::Outgoing;
use crate::calls::{call_method, get_item, getattr, hasattr, import, is_instance, truth};
use crate::errors::bad_argument;
use crate::protocol::dbr::Base;
use crate::protocol::error::ErrorKind;
use crate::protocol::status::Status;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PySlice, PyString};

/// What an array of numbers is converted to.
pub(super) enum Numbers<'py> {
    Ready(Outgoing<'py>),
    /// One of the elements is an integer that no double holds, and must not be rounded.
    Exact(Given),
    /// The elements are not numbers, or the type is not one of numbers.
    None,
}

/// The elements of an array of numbers, for a type of numbers.
pub(super) fn numbers_of<'py>(
    target: &Target<'_>,
    array: &Bound<'py, PyUntypedArray>,
) -> PyResult<Numbers<'py>> {
    if is_masked(array)? {
        return Err(target.fail(ErrorKind::Value, Status::NOCONVERT, MASKED.to_owned()));
    }
    let base = target.base();
    if !matches!(array.dtype().kind(), b'b' | b'i' | b'u' | b'f') || base == Base::String {
        return Ok(Numbers::None);
    }
    let flat = plain_layout(&flat(target, array)?)?;
    let (count, dtype) = (flat.len(), flat.dtype());
    let (kind, size) = (dtype.kind(), dtype.itemsize());
    if wire_kinds(base).contains(&kind) && size == base.size() {
        return Ok(Numbers::Ready(Outgoing::array(
            target.dbr_type,
            count,
            flat,
        )));
    }
    if count == 0 {
        return Ok(Numbers::Ready(Outgoing::owned(target.dbr_type, 0, &[])));
    }
    // SAFETY: `plain_layout` made it contiguous and of the host's byte order, and we hold a reference to it.
    let source = unsafe {
        std::slice::from_raw_parts(
            (*flat.as_array_ptr()).fields.data.cast::<u8>(),
            count * size,
        )
    };
    let mut bytes = Vec::with_capacity(count * base.size());
    for (index, chunk) in source.chunks_exact(size).enumerate() {
        let Some(given) = array_element(kind, chunk) else {
            return Err(target.wrong_type(&flat, "")?);
        };
        if target.is_exact() && has_no_double(given) {
            return Ok(Numbers::Exact(given));
        }
        append(&mut bytes, given, base).map_err(|misfit| {
            let detail = format!("item {index}: {}", explain(misfit, given, base));
            target.fail(ErrorKind::Value, Status::NOCONVERT, detail)
        })?;
    }
    let out = Outgoing::owned(target.dbr_type, count, &bytes);
    Ok(Numbers::Ready(out))
}

/// The elements that are sent, as Python objects: texts, or numbers that are sent as text.
pub(super) fn items_of<'py>(
    target: &Target<'_>,
    array: &Bound<'py, PyUntypedArray>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let kind = array.dtype().kind();
    if !matches!(kind, b'b' | b'i' | b'u' | b'f' | b'S' | b'U' | b'O') {
        return Err(target.wrong_type(array, "")?);
    }
    let items = call_method(&flat(target, array)?, "tolist", ())?;
    Ok(items.cast_into::<PyList>()?.iter().collect())
}

/// The elements that are sent, in C order.
fn flat<'py>(
    target: &Target<'_>,
    array: &Bound<'py, PyUntypedArray>,
) -> PyResult<Bound<'py, PyAny>> {
    if array.len() <= target.limit {
        return call_method(array, "reshape", (-1,));
    }
    // The array may be very large, and not in memory at all (numpy.broadcast_to).
    let sent = isize::try_from(target.limit).unwrap_or(isize::MAX);
    get_item(
        &getattr(array, "flat")?,
        PySlice::new(array.py(), 0, sent, 1),
    )
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
    if array.get_type().is(array.py().get_type::<PyUntypedArray>()) || !hasattr(array, "mask")? {
        return Ok(false);
    }
    truth(&call_method(&getattr(array, "mask")?, "any", ())?)
}

/// The kinds of numpy types whose memory is sent as it is, if the size is that of `base`.
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

/// The array with contiguous, aligned elements in the host's byte order; half and long floats as doubles. An array that is so
/// already is returned itself.
pub(super) fn plain_layout<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = array.py();
    let dtype = getattr(array, "dtype")?;
    let size: usize = getattr(&dtype, "itemsize")?.extract()?;
    let kind: String = getattr(&dtype, "kind")?.extract()?;
    let native = if kind == "f" && size != 4 && size != 8 {
        PyString::new(py, "float64").into_any()
    } else {
        call_method(&dtype, "newbyteorder", ("=",))?
    };
    let plain = call_method(numpy(py)?, "require", (array, native, ("C", "A")))?;
    Ok(plain.cast_into::<PyUntypedArray>()?)
}

pub(super) fn as_array<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let array = call_method(numpy(value.py())?, "asarray", (value,))?;
    Ok(array.cast_into::<PyUntypedArray>()?)
}

/// numpy, imported. Call this before the numpy crate is asked for a type: the crate panics if the import is interrupted.
pub fn numpy(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static NUMPY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let numpy = NUMPY.get_or_try_init(py, || import(py, "numpy").map(Bound::unbind))?;
    Ok(numpy.bind(py))
}

pub(super) fn is_array_array(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let array = ARRAY.get_or_try_init(py, || {
        getattr(&import(py, "array")?, "array").map(Bound::unbind)
    })?;
    is_instance(value, array.bind(py))
}
