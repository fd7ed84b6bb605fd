//! What is known of channels, and of libca itself.

use super::chid::Chid;
use crate::ca::channel::Channel;
use crate::ca::error::Error;
use crate::ca::status::Status;
use crate::ca_sys::{self, Candidate};
use crate::convert::names::names;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;

/// The channel of a handle that was not cleared.
fn open<'a>(chid: &'a Bound<'_, Chid>) -> Result<&'a Arc<Channel>, Error> {
    let channel = chid.get().channel()?;
    if channel.is_closed() {
        return Err(Error::new(Status::BADCHID, channel.name()));
    }
    Ok(channel)
}

#[pyfunction]
pub fn field_type<'py>(py: Python<'py>, chid: &Bound<'py, Chid>) -> PyResult<Bound<'py, PyAny>> {
    let native = open(chid)?.native_type();
    names(py)?
        .dbf
        .get(py, native.map_or(-1, |base| base as i64))
}

#[pyfunction]
pub fn element_count(chid: &Bound<'_, Chid>) -> PyResult<usize> {
    Ok(open(chid)?.element_count())
}

#[pyfunction]
pub fn name(chid: &Bound<'_, Chid>) -> PyResult<String> {
    Ok(open(chid)?.name().to_owned())
}

#[pyfunction]
pub fn host_name(chid: &Bound<'_, Chid>) -> PyResult<String> {
    Ok(open(chid)?.host_name()?)
}

#[pyfunction]
pub fn read_access(chid: &Bound<'_, Chid>) -> PyResult<bool> {
    Ok(open(chid)?.access().0)
}

#[pyfunction]
pub fn write_access(chid: &Bound<'_, Chid>) -> PyResult<bool> {
    Ok(open(chid)?.access().1)
}

#[pyfunction]
pub fn message(status: i32) -> &'static str {
    Status(status).message()
}

#[pyfunction]
pub fn version() -> PyResult<String> {
    let api = ca_sys::loaded()
        .ok_or_else(|| Error::from(Status::INTERNAL))?
        .api();
    // SAFETY: ca_version gives a constant text.
    let text = unsafe { CStr::from_ptr(api.ca_version()) };
    Ok(text.to_string_lossy().into_owned())
}

/// Opens the first of the (source, path) candidates that is a libca.
#[pyfunction]
pub fn load_libca(candidates: Vec<(String, PathBuf)>) -> PyResult<()> {
    let candidates: Vec<Candidate> = candidates
        .into_iter()
        .map(|(source, path)| Candidate { source, path })
        .collect();
    match ca_sys::load(&candidates) {
        Ok(_) => Ok(()),
        Err(error) => Err(PyImportError::new_err(error.to_string())),
    }
}

/// Who named the libca in use, and its path.
#[pyfunction]
pub fn loaded_libca() -> Option<(String, PathBuf)> {
    ca_sys::loaded().map(|loaded| (loaded.source.clone(), loaded.path.clone()))
}
