//! Updates for callbacks that get values, and the properties that go with these.

use super::log::report;
use super::patience::remind;
use super::repeated::warn;
use crate::callback::callback;
use crate::client::channel::Channel;
use crate::client::event::{Event, UserData};
use crate::client::subscription::Subscription;
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::value::{Answer, Dbr};
use crate::values::make;
use crate::values::monitor::{Admitted, ValueMonitor};
use crate::values::properties::PropertyCell;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::sync::Arc;

/// The properties that a subscription, or a request, is for.
pub(super) fn property_cell(handler: &UserData) -> Option<Arc<PropertyCell>> {
    handler.clone().downcast::<PropertyCell>().ok()
}

/// The PV has connected or disconnected: its properties may be others from then on.
pub(super) fn connection_changed(channel: &Channel) {
    for subscription in channel.all_subscriptions() {
        if let Some(cell) = property_cell(&subscription.handler) {
            cell.connection_changed();
        }
    }
}

/// An update of a subscription to values.
pub(super) fn value_came(
    py: Python<'_>,
    subscription: &Arc<Subscription>,
    channel: &Arc<Channel>,
    monitor: &ValueMonitor,
    answer: &Answer,
) -> PyResult<()> {
    let Some(dbr) = &answer.dbr else {
        let error = Error::new(answer.status, channel.name());
        return warn(
            py,
            "cachannel",
            format!("{error}: a subscription brings no value"),
        );
    };
    match monitor.admit(dbr, channel.native_type()) {
        Admitted::Now(properties) => {
            deliver_value(py, subscription, channel, monitor, dbr, properties)
        }
        Admitted::Held => {
            if let Some(cell) = &monitor.properties {
                ask(py, channel, cell)?;
            }
            release(py, subscription, monitor)
        }
    }
}

/// Properties have come, or the answer that there are none: the values that wait for them are delivered.
pub(super) fn properties(
    py: Python<'_>,
    cell: &Arc<PropertyCell>,
    answer: &Answer,
) -> PyResult<()> {
    cell.set(answer);
    release_all(py, cell)
}

/// Delivers the values that wait for these properties, as far as they need not wait any longer.
pub(super) fn release_all(py: Python<'_>, cell: &Arc<PropertyCell>) -> PyResult<()> {
    let mut ended = Ok(());
    for subscription in cell.listeners() {
        let Some(callback) = callback(&subscription.handler) else {
            continue;
        };
        let Some(monitor) = &callback.values else {
            continue;
        };
        if let Err(error) = release(py, &subscription, monitor) {
            ended = Err(error);
        }
    }
    ended
}

/// Asks the server for the properties, unless it is being asked. What cannot be asked is taken for none.
fn ask(py: Python<'_>, channel: &Arc<Channel>, cell: &Arc<PropertyCell>) -> PyResult<()> {
    let Some(spec) = channel.native_type().and_then(PropertyCell::spec) else {
        return Ok(());
    };
    if !cell.begin_to_ask() {
        return Ok(());
    }
    let asked = py.detach(|| {
        channel.get(spec, Some(cell.clone()), None)?;
        channel.context().flush()
    });
    match asked {
        Ok(()) => {
            remind(channel, cell);
            Ok(())
        }
        Err(error) => properties(py, cell, &Answer::failed(error.status)),
    }
}

/// Delivers the values that were held, as far as their properties are known now.
fn release(
    py: Python<'_>,
    subscription: &Arc<Subscription>,
    monitor: &ValueMonitor,
) -> PyResult<()> {
    let Some(channel) = subscription.channel() else {
        return Ok(());
    };
    let mut ended = Ok(());
    while let Some((dbr, properties)) = monitor.release(channel.native_type()) {
        let delivered = deliver_value(py, subscription, &channel, monitor, &dbr, properties);
        match delivered {
            // It ends only the callback that has raised it: nothing else would deliver the values that are still held.
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let (subscription, answer) = (subscription.clone(), Answer::failed(Status::NORMAL));
                let event = Event::Update {
                    subscription,
                    answer,
                };
                report(py, &event, error);
            }
            Err(error) => ended = Err(error),
            Ok(()) => {}
        }
    }
    ended
}

fn deliver_value(
    py: Python<'_>,
    subscription: &Arc<Subscription>,
    channel: &Arc<Channel>,
    monitor: &ValueMonitor,
    dbr: &Arc<Dbr>,
    properties: Option<Arc<Dbr>>,
) -> PyResult<()> {
    let Some(callback) = callback(&subscription.handler) else {
        return Ok(());
    };
    let value = make::value(py, channel, dbr, properties, monitor.manner)?;
    // Making the value may have run other Python code, which may have cleared the subscription.
    if subscription.is_closed() || channel.is_closed() {
        return Ok(());
    }
    callback.call(value)
}
