//! Information about channels, and about libca itself.

use super::arguments::whole;
use super::chid::Chid;
use crate::backend::{self, Choice};
use crate::client::channel::Channel;
use crate::convert::names::names;
use crate::protocol::dbr::DbrType;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
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

/// A PV's native type (ca_field_type); DBF.NOTCONN while it is not connected.
#[pyfunction]
pub fn field_type<'py>(py: Python<'py>, chid: &Bound<'py, Chid>) -> PyResult<Bound<'py, PyAny>> {
    let native = open(chid)?.native_type();
    names(py)?
        .dbf
        .get(py, native.map_or(-1, |base| base as i64))
}

/// Elements that a PV can hold (ca_element_count); 0 while it is not connected.
#[pyfunction]
pub fn element_count(chid: &Bound<'_, Chid>) -> PyResult<usize> {
    Ok(open(chid)?.element_count())
}

/// The name that a channel was created with (ca_name).
#[pyfunction]
pub fn name(chid: &Bound<'_, Chid>) -> PyResult<String> {
    Ok(open(chid)?.name().to_owned())
}

/// Name and port of a channel's server (ca_host_name); `<disconnected>` if there is none.
#[pyfunction]
pub fn host_name(py: Python<'_>, chid: &Bound<'_, Chid>) -> PyResult<String> {
    let channel = open(chid)?;
    Ok(py.detach(|| channel.host_name())?)
}

/// Whether a PV can be read (ca_read_access); False while it is not connected.
#[pyfunction]
pub fn read_access(py: Python<'_>, chid: &Bound<'_, Chid>) -> PyResult<bool> {
    let channel = open(chid)?;
    Ok(py.detach(|| channel.access()).0)
}

/// Whether a PV can be written (ca_write_access); False while it is not connected.
#[pyfunction]
pub fn write_access(py: Python<'_>, chid: &Bound<'_, Chid>) -> PyResult<bool> {
    let channel = open(chid)?;
    Ok(py.detach(|| channel.access()).1)
}

/// The text of a status (ca_message).
#[pyfunction]
pub fn message(#[pyo3(from_py_with = whole)] status: i32) -> &'static str {
    Status(status).message()
}

/// Bytes of a structure of a request type with `count` elements, one at least (dbr_size_n).
#[pyfunction]
#[pyo3(signature = (r#type, count, /))]
pub fn dbr_size_n(
    #[pyo3(from_py_with = whole)] r#type: i64,
    #[pyo3(from_py_with = whole)] count: i64,
) -> PyResult<usize> {
    let dbr_type = DbrType::new(r#type).ok_or_else(|| Error::from(Status::BADTYPE))?;
    let count = usize::try_from(count).unwrap_or(0).max(1);
    let size = dbr_type.size(count);
    Ok(size.ok_or_else(|| Error::from(Status::BADCOUNT))?)
}

/// The version of Channel Access that libca speaks, such as "4.13" (ca_version).
#[pyfunction]
pub fn version() -> PyResult<String> {
    Ok(backend::selected()?.protocol_version())
}

/// Opens the first of the (source, path) candidates that is a libca.
#[pyfunction]
pub fn load_libca(candidates: Vec<(String, PathBuf)>) -> PyResult<()> {
    backend::load(Choice::Libca(candidates)).map_err(PyImportError::new_err)
}

/// Sends libca's error log to the contexts instead of standard error.
#[pyfunction]
pub fn divert_errlog(py: Python<'_>) {
    if let Ok(backend) = backend::selected() {
        py.detach(|| backend.take_over_log());
    }
}

/// Whether some program of this host uses a UDP port: libca's own test for a running repeater.
#[pyfunction]
pub fn udp_port_is_taken(#[pyo3(from_py_with = whole)] port: u16) -> bool {
    let bound = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
    bound.is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// Who named the libca in use, and its path.
#[pyfunction]
pub fn loaded_libca() -> Option<(String, PathBuf)> {
    backend::selected().ok()?.source()
}
