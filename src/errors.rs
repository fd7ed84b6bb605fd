//! Errors of the layers below to Python's exceptions.

use crate::calls::{self, call_method, import};
use crate::convert::names::names;
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use crate::thread_state::park_at_exit;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;

/// The class of `cachannel._errors` for each kind of error.
fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Access | ErrorKind::NotFound => "CaChannelException",
        ErrorKind::Value => "CaChannelValueError",
        ErrorKind::Type => "CaChannelTypeError",
    }
}

impl From<Error> for PyErr {
    fn from(error: Error) -> PyErr {
        Python::attach(|py| {
            park_at_exit(py);
            let made = import(py, "cachannel._errors").and_then(|module| {
                let args = (error.status.0, error.pv, error.detail);
                call_method(&module, class_name(error.kind), args)
            });
            match made {
                Ok(exception) => PyErr::from_value(exception),
                Err(other) => other,
            }
        })
    }
}

/// Why an operation failed.
#[derive(Debug)]
pub enum Failure {
    /// An error with a status: module `ca` returns the status, the classes raise an exception.
    Error(Error),
    /// An exception, which both raise.
    Raised(PyErr),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure::Error(status.into())
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Raised(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Error(error) => error.into(),
            Failure::Raised(error) => error,
        }
    }
}

/// Raises an exception. An error with a status stays in the result, for callers that look at the status.
pub fn raise<T>(result: Result<T, Failure>) -> PyResult<Result<T, Error>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Error(error)) => Ok(Err(error)),
        Err(Failure::Raised(error)) => Err(error),
    }
}

/// The exception of a wait. If no server has answered for the PV, it says so, and what to try.
pub fn after_wait(py: Python<'_>, failure: impl Into<Failure>, seconds: f64) -> PyErr {
    let error = match failure.into() {
        Failure::Error(error) => error,
        Failure::Raised(error) => return error,
    };
    match error.pv {
        Some(pv) if error.kind == ErrorKind::NotFound => {
            park_at_exit(py);
            let made = import(py, "cachannel._not_found").and_then(|module| {
                call_method(&module, "one_not_found", (pv, seconds, error.detail))
            });
            made.map_or_else(|other| other, PyErr::from_value)
        }
        _ => error.into(),
    }
}

/// The exception for an invalid argument.
pub fn bad_argument(detail: impl Into<String>) -> PyErr {
    misuse(ErrorKind::Value, Status::BADCOUNT, None, detail)
}

/// The exception for an argument of the wrong type.
pub fn bad_type(status: Status, detail: impl Into<String>) -> PyErr {
    misuse(ErrorKind::Type, status, None, detail)
}

/// The exception for an invalid argument of a call that is about a PV.
pub fn misuse(
    kind: ErrorKind,
    status: Status,
    pv: Option<&str>,
    detail: impl Into<String>,
) -> PyErr {
    Error {
        kind,
        status,
        pv: pv.map(str::to_owned),
        detail: detail.into(),
    }
    .into()
}

/// The exception for an object that raised `error` when it was asked for its value. TypeError, ValueError and OverflowError
/// mean that the object does not convert: they become the cause of the exception that `instead` makes. Any other error, such as
/// Ctrl-C, is returned as it is.
pub fn refused(
    py: Python<'_>,
    error: PyErr,
    instead: impl FnOnce(&PyErr) -> PyResult<PyErr>,
) -> PyErr {
    let does_not_convert = error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyValueError>(py)
        || error.is_instance_of::<PyOverflowError>(py);
    if !does_not_convert {
        return error;
    }
    match instead(&error) {
        Ok(refusal) => {
            refusal.set_cause(py, Some(error));
            refusal
        }
        Err(other) => other,
    }
}

/// A status as member of `ECA`.
pub fn eca(py: Python<'_>, status: Status) -> PyResult<Bound<'_, PyAny>> {
    if !status.is_normal() {
        park_at_exit(py);
    }
    names(py)?.eca.get(py, status.0.into())
}

/// The result of a function of module `ca`: a status, or an exception for an invalid value, so that the mistake is noticed.
pub fn outcome<T>(result: Result<T, impl Into<Failure>>) -> PyResult<(Status, Option<T>)> {
    match raise(result.map_err(Into::into))? {
        Ok(value) => Ok((Status::NORMAL, Some(value))),
        Err(error) if error.is_status() => Ok((error.status, None)),
        Err(error) => Err(error.into()),
    }
}

/// As [`outcome`], for functions that return the status alone.
pub fn status<T>(
    py: Python<'_>,
    result: Result<T, impl Into<Failure>>,
) -> PyResult<Bound<'_, PyAny>> {
    eca(py, outcome(result)?.0)
}

/// As [`deadline`]; no timeout means for ever, too.
pub fn optional_deadline(seconds: Option<f64>) -> PyResult<Option<std::time::Instant>> {
    seconds.map_or(Ok(None), deadline)
}

/// The deadline for a timeout in seconds; zero means for ever, as for libca.
pub fn deadline(seconds: f64) -> PyResult<Option<std::time::Instant>> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Error {
            kind: ErrorKind::Value,
            status: Status::TIMEOUT,
            pv: None,
            detail: format!("a timeout is a number of seconds, 0 or more, not {seconds}"),
        }
        .into());
    }
    if seconds == 0.0 {
        return Ok(None);
    }
    let duration = std::time::Duration::try_from_secs_f64(seconds).ok();
    // A time beyond the clock's range means for ever.
    Ok(duration.and_then(|duration| std::time::Instant::now().checked_add(duration)))
}

/// For arguments that are true or false as Python defines it: 1 and 0 too.
pub fn truth(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    calls::truth(object)
}
