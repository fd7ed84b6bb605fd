//! Python texts to DBR strings.

use super::states::{may_differ, reads_as};
use super::target::{Target, is_exception, shown};
use crate::calls::{hasattr, str};
use crate::errors::refused;
use crate::protocol::dbr::{Base, MAX_STRING_SIZE};
use crate::protocol::error::ErrorKind;
use crate::protocol::status::Status;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyString};

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
    } else if is_number(item)? {
        let text = str(item).map_err(|error| target.unfit(item, &place(), error))?;
        text.to_cow()?.into_owned().into_bytes()
    } else {
        return Err(target.wrong_type(item, &place())?);
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

fn is_number(item: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(item.is_instance_of::<PyInt>()
        || item.is_instance_of::<PyFloat>()
        || (hasattr(item, "__float__")? && !hasattr(item, "__len__")? && !is_exception(item)))
}
