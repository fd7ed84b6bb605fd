//! Python texts to DBR strings.

use super::arrays::numpy;
use super::states::{may_differ, reads_as};
use super::target::{Target, is_exception, shown};
use crate::calls::{call_method, double, getattr, hasattr, import, index, is_instance, str};
use crate::errors::refused;
use crate::protocol::dbr::{Base, MAX_STRING_SIZE};
use crate::protocol::error::ErrorKind;
use crate::protocol::status::Status;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyString};

/// A str, bytes or bytearray.
pub(super) fn is_text(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
}

/// The bytes of a value that [`is_text`]; of a str its UTF-8.
pub(super) fn text_of(
    target: &Target<'_>,
    value: &Bound<'_, PyAny>,
    place: &str,
) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(bytes.to_vec());
    }
    let text = value.cast::<PyString>()?.to_cow();
    let text = text.map_err(|error| {
        refused(value.py(), error, |_| {
            let detail = format!(
                "{place}{} has no UTF-8 form: it has a surrogate in it",
                shown(value)?
            );
            Ok(target.fail(ErrorKind::Value, Status::BADSTR, detail))
        })
    })?;
    Ok(text.into_owned().into_bytes())
}

/// Appends one element of type STRING.
pub(super) fn append_string(
    out: &mut Vec<u8>,
    target: &Target<'_>,
    item: &Bound<'_, PyAny>,
    place: &dyn Fn() -> String,
) -> PyResult<()> {
    let mut bytes = if is_text(item) {
        text_of(target, item, &place())?
    } else {
        match number_text(item) {
            Ok(Some(text)) => text.into_bytes(),
            Ok(None) => return Err(target.wrong_type(item, &place())?),
            Err(error) => return Err(target.unfit(item, &place(), error)),
        }
    };
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |i| i + 1);
    bytes.truncate(end);
    if bytes.contains(&0) {
        let detail = format!(
            "{}{} contains NUL, which ends a string",
            place(),
            shown(item)?
        );
        return Err(target.fail(ErrorKind::Value, Status::BADSTR, detail));
    }
    if target.to.native == Base::Enum {
        if bytes.is_empty() {
            let detail = format!(
                "{}it names no state: the server does not take {}",
                place(),
                shown(item)?
            );
            return Err(target.fail(ErrorKind::Value, Status::PUTFAIL, detail));
        }
        if item.is_instance_of::<PyString>()
            && let Ok(text) = std::str::from_utf8(&bytes)
            && may_differ(text)
        {
            let states = (target.to.states)()?;
            let state = states.into_iter().find(|state| reads_as(state, text));
            bytes = state.unwrap_or(bytes);
        }
    }
    if bytes.len() >= MAX_STRING_SIZE {
        let detail = format!(
            "{}{} has {} bytes, and a DBR_STRING holds 39",
            place(),
            shown(item)?,
            bytes.len()
        );
        return Err(target.fail(ErrorKind::Value, Status::STRTOBIG, detail));
    }
    let end = out.len() + MAX_STRING_SIZE;
    out.extend(bytes);
    out.resize(end, 0);
    Ok(())
}

/// The text of a number; `None` if the value is not a number. `str` gives the number itself only for some types: for a Python
/// enum it gives the member's name, for a class that has only `__float__` the object's address.
fn number_text(item: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = item.py();
    let shows_itself = item.is_exact_instance_of::<PyInt>()
        || item.is_exact_instance_of::<PyFloat>()
        || item.is_exact_instance_of::<PyBool>()
        || is_instance(item, decimal(py)?)?;
    let number = if shows_itself {
        item.clone()
    } else if is_instance(item, &getattr(numpy(py)?.as_any(), "generic")?)? {
        // As in an array.
        call_method(item, "item", ())?
    } else if is_exception(item) || hasattr(item, "__len__")? {
        return Ok(None);
    } else if hasattr(item, "__index__")? {
        let number = index(item)?;
        if number.is_exact_instance_of::<PyInt>() {
            number
        } else {
            // Up to Python 3.9, the value may still be the enum's member.
            call_method(&number, "__int__", ())?
        }
    } else if hasattr(item, "__float__")? {
        PyFloat::new(py, double(item)?).into_any()
    } else {
        return Ok(None);
    };
    Ok(Some(str(&number)?.to_cow()?.into_owned()))
}

fn decimal(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DECIMAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = DECIMAL.get_or_try_init(py, || {
        let module = import(py, "decimal")?;
        getattr(&module, "Decimal").map(Bound::unbind)
    })?;
    Ok(class.bind(py))
}
