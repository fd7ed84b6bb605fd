//! Calls the function that an event is for, with the arguments that Python code expects.

use super::repeated::warn;
use super::values::{connection_changed, properties, property_cell, release_all, value_came};
use crate::callback::{Callback, callback, chid_of};
use crate::calls::getattr;
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::{Exception, UserData};
use crate::client::request::{Op, Request};
use crate::client::subscription::Subscription;
use crate::convert::names::names;
use crate::convert::{Style, fill};
use crate::protocol::constants;
use crate::protocol::dbr::DbrType;
use crate::protocol::status::Status;
use crate::protocol::value::Answer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

pub(super) fn update(
    py: Python<'_>,
    subscription: &Arc<Subscription>,
    answer: &Answer,
) -> PyResult<()> {
    if subscription.is_closed() {
        return Ok(());
    }
    let Some(channel) = subscription.channel() else {
        return Ok(());
    };
    let Some(callback) = callback(&subscription.handler) else {
        return match property_cell(&subscription.handler) {
            Some(cell) => properties(py, &cell, answer),
            None => Ok(()),
        };
    };
    if let Some(monitor) = &callback.values {
        return value_came(py, subscription, &channel, monitor, answer);
    }
    let brought = answer.dbr.as_ref().map(|dbr| dbr.requested_type());
    let dbr_type = brought.unwrap_or_else(|| subscription.dbr_type());
    let Some(args) = value_args(py, &channel, dbr_type, 0, answer, &callback)? else {
        return Ok(());
    };
    // Making the arguments may have run other Python code, which may have cleared the subscription.
    if subscription.is_closed() || channel.is_closed() {
        return Ok(());
    }
    callback.call(args.into_any())
}

pub(super) fn reply(py: Python<'_>, request: &Arc<Request>, answer: &Answer) -> PyResult<()> {
    let channel = &request.channel;
    let Some(callback) = request.handler.as_ref().and_then(callback) else {
        return match request.handler.as_ref().and_then(property_cell) {
            Some(cell) => properties(py, &cell, answer),
            None => Ok(()),
        };
    };
    if channel.is_closed() {
        return Ok(());
    }
    let (dbr_type, count) = request.requested();
    let args = match request.op {
        Op::Get => value_args(py, channel, dbr_type, count, answer, &callback)?,
        Op::Put => base_args(py, channel, dbr_type, count, answer)?,
    };
    match args {
        Some(args) if !channel.is_closed() => callback.call(args.into_any()),
        _ => Ok(()),
    }
}

/// chid, type, count, status: the arguments of every reply. `None` if the channel's object no longer exists.
fn base_args<'py>(
    py: Python<'py>,
    channel: &Channel,
    dbr_type: DbrType,
    count: usize,
    answer: &Answer,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(chid) = chid_of(py, channel) else {
        return Ok(None);
    };
    let names = names(py)?;
    let args = PyDict::new(py);
    args.set_item(intern!(py, "chid"), &*chid)?;
    args.set_item(
        intern!(py, "type"),
        names.dbr.get(py, dbr_type.number().into())?,
    )?;
    args.set_item(intern!(py, "count"), count)?;
    args.set_item(
        intern!(py, "status"),
        names.eca.get(py, answer.status.0.into())?,
    )?;
    Ok(Some(args))
}

fn value_args<'py>(
    py: Python<'py>,
    channel: &Channel,
    dbr_type: DbrType,
    count: usize,
    answer: &Answer,
    callback: &Callback,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let dbr = answer.dbr.as_ref();
    let (dbr_type, count) = dbr.map_or((dbr_type, count), |dbr| (dbr.requested_type(), dbr.count));
    let args = base_args(py, channel, dbr_type, count, answer)?;
    if let Some(args) = &args {
        fill(args, dbr, callback.style, callback.use_numpy)?;
    }
    Ok(args)
}

pub(super) fn connection(py: Python<'_>, channel: &Arc<Channel>, up: bool) -> PyResult<()> {
    connection_changed(channel);
    let Some(callback) = channel.connection_handler().as_ref().and_then(callback) else {
        return Ok(());
    };
    let Some(chid) = chid_of(py, channel).filter(|_| !channel.is_closed()) else {
        return Ok(());
    };
    let number = if up {
        constants::CA_OP_CONN_UP
    } else {
        constants::CA_OP_CONN_DOWN
    };
    let op = names(py)?.op.get(py, number.into())?;
    if callback.style == Style::Pv {
        return callback.call((&*chid, op).into_pyobject(py)?.into_any());
    }
    let args = PyDict::new(py);
    args.set_item(intern!(py, "chid"), &*chid)?;
    args.set_item(intern!(py, "op"), op)?;
    callback.call(args.into_any())
}

pub(super) fn access_rights(
    py: Python<'_>,
    channel: &Arc<Channel>,
    handler: &UserData,
    read: bool,
    write: bool,
) -> PyResult<()> {
    let Some(callback) = callback(handler) else {
        return Ok(());
    };
    let Some(chid) = chid_of(py, channel).filter(|_| !channel.is_closed()) else {
        return Ok(());
    };
    let args = PyDict::new(py);
    args.set_item(intern!(py, "chid"), &*chid)?;
    args.set_item(intern!(py, "read_access"), read)?;
    args.set_item(intern!(py, "write_access"), write)?;
    callback.call(args.into_any())
}

pub(super) fn exception(
    py: Python<'_>,
    context: Option<&Context>,
    exception: &Exception,
) -> PyResult<()> {
    let names = names(py)?;
    let op = names.op.get(py, exception.op)?;
    let handler = context.and_then(Context::exception_handler);
    let Some(callback) = handler.as_ref().and_then(callback) else {
        let mut text = exception.status.message().to_owned();
        if let Some(channel) = &exception.channel {
            text = format!("{}: {text}", channel.name());
        }
        text.push_str(&format!(
            " ({}; {})",
            getattr(&op, "name")?,
            exception.context
        ));
        if exception.status == Status::NOSEARCHADDR {
            text.push_str(": no PV can be found, as EPICS_CA_AUTO_ADDR_LIST is NO and there is no address to search");
        }
        return message(py, context, &text);
    };
    let args = PyDict::new(py);
    let chid = exception
        .channel
        .as_ref()
        .and_then(|channel| chid_of(py, channel));
    args.set_item("chid", chid.as_deref())?;
    args.set_item("type", names.dbr.get(py, exception.dbr_type)?)?;
    args.set_item("count", exception.count)?;
    args.set_item("state", names.eca.get(py, exception.status.0.into())?)?;
    args.set_item("op", op)?;
    args.set_item("ctx", &exception.context)?;
    args.set_item("file", &exception.file)?;
    args.set_item("lineNo", exception.line)?;
    callback.call(args.into_any())
}

/// What somebody who does not sleep waited for is done.
pub(super) fn done(py: Python<'_>, handler: &UserData) -> PyResult<()> {
    match callback(handler) {
        Some(callback) => {
            let called = callback.call(py.None().into_bound(py));
            callback.let_go(py);
            called
        }
        // The patience of values that wait for their properties is over.
        None => property_cell(handler).map_or(Ok(()), |cell| release_all(py, &cell)),
    }
}

pub(super) fn message(py: Python<'_>, context: Option<&Context>, text: &str) -> PyResult<()> {
    let handler = context.and_then(Context::message_handler);
    match handler.as_ref().and_then(callback) {
        Some(callback) => callback.call(text.into_pyobject(py)?.into_any()),
        None => warn(py, "cachannel.libca", text.trim_end().to_owned()),
    }
}
