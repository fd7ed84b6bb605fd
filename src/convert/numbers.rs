//! The number that a Python object stands for.

use super::elements::{Given, number_in};
use super::strings::{is_text, text_of};
use super::target::{Target, is_exception, shown};
use crate::calls::{double, hasattr, index};
use crate::errors::refused;
use crate::protocol::dbr::Base;
use crate::protocol::error::ErrorKind;
use crate::protocol::status::Status;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

/// The number that an item stands for, to be converted to an element of `base`.
pub(super) fn given(
    target: &Target<'_>,
    base: Base,
    item: &Bound<'_, PyAny>,
    place: &dyn Fn() -> String,
) -> PyResult<Given> {
    if let Ok(float) = item.cast::<PyFloat>() {
        return Ok(Given::Float(float.value()));
    }
    if item.is_instance_of::<PyInt>() {
        return integer(target, base, item, place);
    }
    if is_text(item) {
        return from_text(target, base, item, place);
    }
    if is_exception(item) {
        return Err(target.wrong_type(item, &place())?);
    }
    if hasattr(item, "__index__")? {
        match index(item) {
            Ok(number) => return integer(target, base, &number, place),
            // A numpy array of one element has both `__index__` and `__float__`; its float is taken.
            Err(error) if error.is_instance_of::<PyTypeError>(item.py()) => {}
            Err(error) => return Err(target.unfit(item, &place(), error)),
        }
    }
    match double(item) {
        Ok(number) => Ok(Given::Float(number)),
        Err(error) => Err(target.unfit(item, &place(), error)),
    }
}

/// Appends a float or an integer that is an element of `base` as it is, without the questions that other numbers and other
/// objects need; `false` where it is none. No Python code runs.
#[inline]
pub(super) fn append_usual(bytes: &mut Vec<u8>, base: Base, item: &Bound<'_, PyAny>) -> bool {
    if base == Base::Double
        && let Ok(float) = item.cast_exact::<PyFloat>()
    {
        bytes.extend_from_slice(&float.value().to_ne_bytes());
        return true;
    }
    let Some(number) = small_integer(item) else {
        return false;
    };
    match base {
        Base::Double if number.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS => {
            bytes.extend_from_slice(&(number as f64).to_ne_bytes());
            true
        }
        Base::Long => append_as(bytes, i32::try_from(number).ok().map(i32::to_ne_bytes)),
        Base::Short => append_as(bytes, i16::try_from(number).ok().map(i16::to_ne_bytes)),
        Base::Enum => append_as(bytes, u16::try_from(number).ok().map(u16::to_ne_bytes)),
        Base::Char => append_as(bytes, u8::try_from(number).ok().map(u8::to_ne_bytes)),
        Base::Double | Base::Float | Base::String => false,
    }
}

fn append_as<const N: usize>(bytes: &mut Vec<u8>, element: Option<[u8; N]>) -> bool {
    element.is_some_and(|element| {
        bytes.extend_from_slice(&element);
        true
    })
}

/// The number in an int itself (not in a bool, or another subclass), if 64 bits hold it.
fn small_integer(item: &Bound<'_, PyAny>) -> Option<i64> {
    let integer = item.cast_exact::<PyInt>().ok()?;
    let mut overflow = 0;
    // SAFETY: it is an int, to which attached code has a reference. For an int the function raises nothing: it says where the
    // int has more than 64 bits.
    let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(integer.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(number)
}

#[inline]
fn integer(
    target: &Target<'_>,
    base: Base,
    item: &Bound<'_, PyAny>,
    place: &dyn Fn() -> String,
) -> PyResult<Given> {
    if let Ok(number) = item.extract::<i64>() {
        return Ok(Given::Int(number.into()));
    }
    let out_of_range = |error: PyErr| {
        refused(item.py(), error, |_| {
            let detail = format!(
                "{}{} is out of the range of {}",
                place(),
                shown(item)?,
                base.name()
            );
            Ok(target.fail(ErrorKind::Value, Status::NOCONVERT, detail))
        })
    };
    match item.extract::<i128>() {
        Ok(number) => Ok(Given::Int(number)),
        Err(error) if base.is_floating() && error.is_instance_of::<PyOverflowError>(item.py()) => {
            double(item).map(Given::Float).map_err(out_of_range)
        }
        Err(error) => Err(out_of_range(error)),
    }
}

fn from_text(
    target: &Target<'_>,
    base: Base,
    item: &Bound<'_, PyAny>,
    place: &dyn Fn() -> String,
) -> PyResult<Given> {
    let bytes = text_of(target, item, &place())?;
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |i| i + 1);
    if let Some(number) = std::str::from_utf8(&bytes[..end]).ok().and_then(number_in) {
        return Ok(number);
    }
    let detail = format!(
        "{}{} is no number, and {} takes numbers",
        place(),
        shown(item)?,
        base.name()
    );
    Err(target.fail(ErrorKind::Value, Status::NOCONVERT, detail))
}
