//! Arguments that several functions take: request types, element counts, masks.

use crate::calls::{double, index};
use crate::convert::shown;
use crate::errors::{misuse, refused};
use crate::protocol::constants;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;

/// DBE_VALUE | DBE_ALARM.
pub const DEFAULT_MASK: u32 = constants::DBE_VALUE | constants::DBE_ALARM;

/// A request type: None for the native one, `Err` for what is no type.
pub fn request_type(
    pv: &str,
    chtype: Option<&Bound<'_, PyAny>>,
) -> PyResult<Result<Option<DbrType>, Error>> {
    let Some(chtype) = chtype else {
        return Ok(Ok(None));
    };
    let number = match index(chtype).and_then(|number| number.extract::<i64>()) {
        Ok(number) => number,
        Err(error) if error.is_instance_of::<PyOverflowError>(chtype.py()) => -1,
        Err(error) => {
            return Err(refused(chtype.py(), error, |_| {
                let shown = shown(chtype)?;
                let detail = format!("a request type is a number such as DBR_DOUBLE, not {shown}");
                Ok(misuse(ErrorKind::Type, Status::BADTYPE, Some(pv), detail))
            }));
        }
    };
    Ok(DbrType::new(number).map(Some).ok_or_else(|| {
        let detail = format!("{number} is no request type such as DBR_DOUBLE");
        Error::with_detail(Status::BADTYPE, pv, detail)
    }))
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
        // 4 / 2 is a float in Python 3, and a count all the same.
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

/// A subscription's mask: `Err` for a number that has no event in it.
pub fn event_mask(pv: &str, mask: &Bound<'_, PyAny>) -> PyResult<Result<u32, Error>> {
    let known = DEFAULT_MASK | constants::DBE_LOG | constants::DBE_PROPERTY;
    let bad = || {
        let shown = shown(mask)?;
        let detail = format!(
            "{shown} is none of DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY, or of their sums"
        );
        Ok(Err(Error::with_detail(Status::BADMASK, pv, detail)))
    };
    match index(mask).and_then(|number| number.extract::<u32>()) {
        Ok(mask) if mask & known != 0 && mask & !known == 0 => Ok(Ok(mask)),
        Ok(_) => bad(),
        Err(error) if error.is_instance_of::<PyOverflowError>(mask.py()) => bad(),
        Err(error) => Err(refused(mask.py(), error, |_| {
            let detail = format!("a mask is a number such as DBE_VALUE, not {}", shown(mask)?);
            Ok(misuse(ErrorKind::Type, Status::BADMASK, Some(pv), detail))
        })),
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
