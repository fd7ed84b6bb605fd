//! Arguments of Python's functions: names of PVs, request types, element counts, masks, times.

use crate::calls::{double, index, iter, repr};
use crate::convert::shown;
use crate::errors::{Failure, bad_argument, bad_type, misuse, refused};
use crate::protocol::constants;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::sync::Arc;

/// DBE_VALUE | DBE_ALARM.
pub const DEFAULT_MASK: u32 = constants::DBE_VALUE | constants::DBE_ALARM;

/// The name of a PV, given as str or bytes.
pub fn pv_name(name: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = name.cast::<PyString>() {
        return Ok(text.to_cow()?.into_owned());
    }
    if let Ok(bytes) = name.cast::<PyBytes>() {
        let text = std::str::from_utf8(bytes.as_bytes());
        return text
            .map(str::to_owned)
            .map_err(|_| bad_type(Status::BADSTR, "a PV name in bytes must be UTF-8"));
    }
    let detail = format!("a PV name is a str, not {}", repr(name)?.to_string_lossy());
    Err(bad_type(Status::BADSTR, detail))
}

/// The names of a recorder's PVs: one, or several.
pub fn pv_names(names: &Bound<'_, PyAny>) -> PyResult<Arc<[String]>> {
    if names.is_instance_of::<PyString>() || names.is_instance_of::<PyBytes>() {
        return Ok(Arc::new([pv_name(names)?]));
    }
    let names: PyResult<Arc<[String]>> = iter(names)?.map(|name| pv_name(&name?)).collect();
    match names {
        Ok(names) if names.is_empty() => Err(bad_argument("a recorder needs the name of a PV")),
        names => names,
    }
}

/// A request type: None for the native one; the inner error if there is no such type.
pub fn request_type(
    pv: &str,
    chtype: Option<&Bound<'_, PyAny>>,
) -> Result<Option<DbrType>, Failure> {
    let Some(chtype) = chtype else {
        return Ok(None);
    };
    let number = match index(chtype).and_then(|number| number.extract::<i64>()) {
        Ok(number) => number,
        Err(error) if error.is_instance_of::<PyOverflowError>(chtype.py()) => -1,
        Err(error) => {
            let raised = refused(chtype.py(), error, |_| {
                let shown = shown(chtype)?;
                let detail = format!("a request type is a number such as DBR_DOUBLE, not {shown}");
                Ok(misuse(ErrorKind::Type, Status::BADTYPE, Some(pv), detail))
            });
            return Err(raised.into());
        }
    };
    DbrType::new(number).map(Some).ok_or_else(|| {
        let detail = format!("{number} is no request type such as DBR_DOUBLE");
        Error::with_detail(Status::BADTYPE, pv, detail).into()
    })
}

/// An element count: None for the default.
pub fn element_count(pv: &str, count: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(count) = count else {
        return Ok(None);
    };
    let py = count.py();
    let bad = |kind, detail| misuse(kind, Status::BADCOUNT, Some(pv), detail);
    let no_number = || {
        let detail = format!("an element count is a number, not {}", shown(count)?);
        PyResult::Ok(bad(ErrorKind::Type, detail))
    };
    match index(count).and_then(|number| number.extract::<i64>()) {
        Ok(number) => usize::try_from(number).map(Some).map_err(|_| {
            let detail = format!("an element count is 0 or more, not {number}");
            bad(ErrorKind::Value, detail)
        }),
        // In Python 3, 4 / 2 is a float, and still a valid count.
        Err(error) if error.is_instance_of::<PyTypeError>(py) => match double(count) {
            Ok(number) if number >= 0.0 && number.fract() == 0.0 => Ok(Some(number as usize)),
            Ok(_) => Err(no_number()?),
            Err(error) => Err(refused(py, error, |_| no_number())),
        },
        Err(error) => Err(refused(py, error, |_| {
            let detail = format!("{} is no element count", shown(count)?);
            Ok(bad(ErrorKind::Value, detail))
        })),
    }
}

/// A subscription's mask; the inner error if the number has no event in it.
pub fn event_mask(pv: &str, mask: &Bound<'_, PyAny>) -> Result<u32, Failure> {
    let known = DEFAULT_MASK | constants::DBE_LOG | constants::DBE_PROPERTY;
    let bad = || {
        let shown = shown(mask)?;
        let detail = format!(
            "{shown} is none of DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY, or of their sums"
        );
        Err(Error::with_detail(Status::BADMASK, pv, detail).into())
    };
    match index(mask).and_then(|number| number.extract::<u32>()) {
        Ok(mask) if mask & known != 0 && mask & !known == 0 => Ok(mask),
        Ok(_) => bad(),
        Err(error) if error.is_instance_of::<PyOverflowError>(mask.py()) => bad(),
        Err(error) => {
            let raised = refused(mask.py(), error, |_| {
                let detail = format!("a mask is a number such as DBE_VALUE, not {}", shown(mask)?);
                Ok(misuse(ErrorKind::Type, Status::BADMASK, Some(pv), detail))
            });
            Err(raised.into())
        }
    }
}

/// A time in seconds.
pub fn seconds(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    double(object)
}

/// A time in seconds, or None.
pub fn optional_seconds(object: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    (!object.is_none()).then(|| double(object)).transpose()
}

/// A whole number.
pub fn whole<T: for<'a, 'py> FromPyObject<'a, 'py, Error = PyErr>>(
    object: &Bound<'_, PyAny>,
) -> PyResult<T> {
    index(object)?.extract()
}
