//! Synchronous groups: sg_create, sg_delete, sg_get, sg_put, sg_block, sg_test, sg_reset.

use super::chid::Chid;
use super::context::current;
use super::errors::{deadline, eca, status};
use super::transfer::{DBRValue, Read, Write};
use super::wait::wait_for;
use crate::ca::batch::Batch;
use crate::ca::context::Context;
use crate::ca::error::Error;
use crate::ca::status::Status;
use crate::convert::Style;
use pyo3::prelude::*;
use std::sync::Arc;

fn group(py: Python<'_>, gid: u32) -> PyResult<Result<(Arc<Context>, Arc<Batch>), Error>> {
    Ok(current(py)?.and_then(|context| {
        let batch = context.group(gid)?;
        Ok((context, batch))
    }))
}

#[pyfunction]
pub fn sg_create(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Option<u32>)> {
    match current(py)? {
        Ok(context) => Ok((eca(py, Status::NORMAL)?, Some(context.create_group()))),
        Err(error) => Ok((eca(py, error.status)?, None)),
    }
}

#[pyfunction]
pub fn sg_delete(py: Python<'_>, gid: u32) -> PyResult<Bound<'_, PyAny>> {
    let deleted = current(py)?.and_then(|context| context.delete_group(gid));
    status(py, deleted)
}

#[pyfunction]
pub fn sg_reset(py: Python<'_>, gid: u32) -> PyResult<Bound<'_, PyAny>> {
    let reset = current(py)?.and_then(|context| context.reset_group(gid));
    status(py, reset)
}

#[pyfunction]
pub fn sg_test(py: Python<'_>, gid: u32) -> PyResult<Bound<'_, PyAny>> {
    let status = match group(py, gid)? {
        Ok((_, batch)) if batch.is_done() => Status::IODONE,
        Ok(_) => Status::IOINPROGRESS,
        Err(error) => error.status,
    };
    eca(py, status)
}

#[pyfunction]
pub fn sg_block(py: Python<'_>, gid: u32, timeout: f64) -> PyResult<Bound<'_, PyAny>> {
    let deadline = deadline(timeout)?;
    let result = match group(py, gid)? {
        Ok((context, batch)) => match py.detach(|| context.flush()) {
            Ok(()) => wait_for(py, &context, &[batch], deadline, true)?,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    status(py, result)
}

#[pyfunction]
#[pyo3(signature = (gid, chid, chtype=None, count=None, use_numpy=false))]
pub fn sg_get<'py>(
    py: Python<'py>,
    gid: u32,
    chid: Option<&Bound<'py, Chid>>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    use_numpy: bool,
) -> PyResult<(Bound<'py, PyAny>, Option<DBRValue>)> {
    let batch = match group(py, gid)? {
        Ok((_, batch)) => batch,
        Err(error) => return Ok((eca(py, error.status)?, None)),
    };
    let read = Read {
        chid,
        chtype,
        count,
        use_numpy,
        style: Style::Plain,
    };
    read.start(py, None, |_| Some(batch.ticket()))
}

#[pyfunction]
#[pyo3(signature = (gid, chid, value, chtype=None, count=None))]
pub fn sg_put<'py>(
    py: Python<'py>,
    gid: u32,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let batch = match group(py, gid)? {
        Ok((_, batch)) => batch,
        Err(error) => return eca(py, error.status),
    };
    let write = Write {
        chid,
        value,
        chtype,
        count,
    };
    let status = write.send(py, |channel, dbr_type, count, bytes| {
        let ticket = Some(batch.ticket());
        channel
            .put_notify(dbr_type, count, bytes, None, ticket)
            .map(drop)
    })?;
    eca(py, status)
}
