//! Synchronous groups: sg_create, sg_delete, sg_get, sg_put, sg_block, sg_test, sg_reset.

use super::arguments::{optional_seconds, seconds, whole};
use super::chid::Chid;
use super::context::current;
use super::read::{DBRValue, Read};
use super::wait::wait_for;
use super::write::{Beyond, Write};
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::convert::Style;
use crate::errors::{Failure, deadline, eca, optional_deadline, raise, status, truth};
use crate::protocol::status::Status;
use pyo3::prelude::*;
use std::sync::Arc;

/// A group and its context.
type Group = (Arc<Context>, Arc<PendingIo>);

fn group(py: Python<'_>, gid: u32) -> Result<Group, Failure> {
    let context = current(py)?;
    let pending = context.sync_groups.get(gid)?;
    Ok((context, pending))
}

/// Makes a synchronous group; returns `(ECA, gid)` (ca_sg_create).
#[pyfunction]
pub fn sg_create(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Option<u32>)> {
    match raise(current(py))? {
        Ok(context) => Ok((
            eca(py, Status::NORMAL)?,
            Some(context.sync_groups.create(&context.waiters)),
        )),
        Err(error) => Ok((eca(py, error.status)?, None)),
    }
}

/// Deletes a synchronous group (ca_sg_delete); BADSYNCGRP if there is none.
#[pyfunction]
pub fn sg_delete(
    py: Python<'_>,
    #[pyo3(from_py_with = whole)] gid: u32,
) -> PyResult<Bound<'_, PyAny>> {
    let deleted = current(py).and_then(|context| Ok(context.sync_groups.delete(gid)?));
    status(py, deleted)
}

/// Forgets what is outstanding in a group (ca_sg_reset).
#[pyfunction]
pub fn sg_reset(
    py: Python<'_>,
    #[pyo3(from_py_with = whole)] gid: u32,
) -> PyResult<Bound<'_, PyAny>> {
    let reset =
        current(py).and_then(|context| Ok(context.sync_groups.reset(gid, &context.waiters)?));
    status(py, reset)
}

/// IODONE, or IOINPROGRESS while something is outstanding in the group (ca_sg_test).
#[pyfunction]
pub fn sg_test(
    py: Python<'_>,
    #[pyo3(from_py_with = whole)] gid: u32,
) -> PyResult<Bound<'_, PyAny>> {
    let status = match raise(group(py, gid))? {
        Ok((_, pending)) if pending.is_done() => {
            // The round is over: its failure does not belong to the next one.
            pending.take_failure();
            Status::IODONE
        }
        Ok(_) => Status::IOINPROGRESS,
        Err(error) => error.status,
    };
    eca(py, status)
}

/// Flushes, and waits until all of a group's gets and puts are complete (ca_sg_block).
///
/// `timeout`: seconds, 0 for ever. Returns NORMAL, TIMEOUT, BADSYNCGRP, or the status of the first request that failed.
#[pyfunction]
pub fn sg_block(
    py: Python<'_>,
    #[pyo3(from_py_with = whole)] gid: u32,
    #[pyo3(from_py_with = seconds)] timeout: f64,
) -> PyResult<Bound<'_, PyAny>> {
    let deadline = deadline(timeout)?;
    let result = group(py, gid).and_then(|(context, pending)| {
        py.detach(|| context.flush())?;
        wait_for(py, &context, &[pending], deadline, true)
    });
    status(py, result)
}

/// Requests a value as part of a group; as `get` without callback (ca_sg_array_get).
#[pyfunction]
#[pyo3(signature = (gid, chid, chtype=None, count=None, use_numpy=false))]
pub fn sg_get<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = whole)] gid: u32,
    chid: Option<&Bound<'py, Chid>>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = truth)] use_numpy: bool,
) -> PyResult<(Bound<'py, PyAny>, Option<DBRValue>)> {
    let pending = match raise(group(py, gid))? {
        Ok((_, pending)) => pending,
        Err(error) => return Ok((eca(py, error.status)?, None)),
    };
    let read = Read {
        chid,
        chtype,
        count,
        use_numpy,
        style: Style::Plain,
    };
    read.start(py, None, |_| Some(pending.begin()))
}

/// Writes a value as part of a group, which waits for its processing; as `put` (ca_sg_array_put).
#[pyfunction]
#[pyo3(signature = (gid, chid, value, chtype=None, count=None, *, timeout=None))]
pub fn sg_put<'py>(
    py: Python<'py>,
    #[pyo3(from_py_with = whole)] gid: u32,
    chid: Option<&Bound<'py, Chid>>,
    value: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = optional_seconds)] timeout: Option<f64>,
) -> PyResult<Bound<'py, PyAny>> {
    let deadline = optional_deadline(timeout)?;
    let pending = match raise(group(py, gid))? {
        Ok((_, pending)) => pending,
        Err(error) => return eca(py, error.status),
    };
    let write = Write {
        chid,
        value,
        chtype,
        count,
        beyond: Beyond::Capped,
        deadline,
    };
    let sent = write.send(py, |channel, dbr_type, count, bytes| {
        let guard = Some(pending.begin());
        channel
            .put_notify(dbr_type, count, bytes, None, guard)
            .map(drop)
    });
    status(py, sent)
}
