//! What a value is written to, and the errors of values that do not convert.

use crate::calls::{repr, str};
use crate::errors::refused;
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use pyo3::exceptions::{PyBaseException, PyException, PyMemoryError, PyTypeError};
use pyo3::prelude::*;

/// What a value is written to, and how.
pub struct To<'a> {
    pub pv: &'a str,
    pub native: Base,
    /// Elements that the PV can hold.
    pub held: usize,
    /// The caller's request type.
    pub requested: Option<DbrType>,
    /// The caller's count: the most elements that are sent.
    pub count: Option<usize>,
    /// More elements than the PV holds are cut off, as in 3.x, instead of refused.
    pub cuts: bool,
    /// The names of an enum's states, in the bytes that the server sends.
    pub states: &'a dyn Fn() -> PyResult<Vec<Vec<u8>>>,
}

/// The type and the number of elements that a value is converted to.
pub(super) struct Target<'a> {
    pub to: &'a To<'a>,
    /// The type that is sent.
    pub dbr_type: DbrType,
    /// The most elements that are sent.
    pub limit: usize,
}

impl Target<'_> {
    pub fn base(&self) -> Base {
        self.dbr_type.base()
    }

    /// A CHAR of one element is a number, whatever type the caller asked for.
    pub fn is_one_char(&self) -> bool {
        self.to.native == Base::Char && self.to.held <= 1
    }

    /// Integers that no double holds must not be rounded, because the caller did not ask for doubles.
    pub fn is_exact(&self) -> bool {
        self.to.requested.is_none() && self.to.native == Base::Double
    }

    pub fn fail(&self, kind: ErrorKind, status: Status, detail: String) -> PyErr {
        Error {
            kind,
            status,
            pv: Some(self.to.pv.to_owned()),
            detail,
        }
        .into()
    }

    /// The error of an item whose type does not convert.
    pub fn wrong_type(&self, item: &Bound<'_, PyAny>, place: &str) -> PyResult<PyErr> {
        let detail = format!(
            "{place}{} of type {} does not convert to {}: give a number, str, bytes, a sequence or a numpy array of them",
            shown(item)?,
            type_name(item),
            self.base().name()
        );
        Ok(self.fail(ErrorKind::Type, Status::NOCONVERT, detail))
    }

    /// The error of an item that raised `error` when it was asked for its value.
    pub fn unfit(&self, item: &Bound<'_, PyAny>, place: &str, error: PyErr) -> PyErr {
        let py = item.py();
        refused(py, error, |error| {
            if error.is_instance_of::<PyTypeError>(py) {
                return self.wrong_type(item, place);
            }
            let detail = format!(
                "{place}{} does not convert to {}: {}",
                shown(item)?,
                self.base().name(),
                str(error.value(py))?.to_string_lossy()
            );
            Ok(self.fail(ErrorKind::Value, Status::NOCONVERT, detail))
        })
    }

    /// How many elements were given, if they have to be cut to those that the PV holds; an error if cutting is not allowed. A
    /// caller who gives a count below what the PV holds has asked for the cut.
    pub fn cut(&self, given: usize, what: &str) -> PyResult<Option<usize>> {
        let held = self.to.held;
        if given <= held || self.to.count.is_some_and(|count| count < held) {
            return Ok(None);
        }
        if self.to.cuts && held > 0 {
            return Ok(Some(given));
        }
        let detail = format!("{given} {what} were given, and the PV holds {held}");
        Err(self.fail(ErrorKind::Value, Status::BADCOUNT, detail))
    }
}

/// The value in a message: its repr, shortened.
pub fn shown(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = match repr(value) {
        Ok(repr) => repr.to_string_lossy().into_owned(),
        // A repr that fails is not the subject of the message.
        Err(error) if is_ordinary(value.py(), &error) => "the value".to_owned(),
        Err(error) => return Err(error),
    };
    Ok(if text.chars().count() > 60 {
        text.chars().take(57).chain("...".chars()).collect()
    } else {
        text
    })
}

fn is_ordinary(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py) && !error.is_instance_of::<PyMemoryError>(py)
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().qualname().map(|name| name.to_string());
    name.unwrap_or_else(|_| "unknown".to_owned())
}

/// An exception, such as the one that stands for a value that could not be read: its status must not be taken for a number.
pub(super) fn is_exception(item: &Bound<'_, PyAny>) -> bool {
    item.is_instance_of::<PyBaseException>()
}
