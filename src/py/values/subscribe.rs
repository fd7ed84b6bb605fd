//! Subscriptions whose callbacks get values.

use super::properties::PyProperties;
use super::spec::ValueSpec;
use crate::callback::Callback;
use crate::client::subscription::LIMITS;
use crate::py::chid::Chid;
use crate::py::subscription::Evid;
use crate::values::monitor::ValueMonitor;
use pyo3::prelude::*;

/// Starts a subscription whose callback gets values. The channel need not be connected.
///
/// `mask`: of DBE_VALUE, …; `latest_only`: of the updates that wait for the callback, only the newest is kept; `skips_first`: the
/// value at the time of the subscription is not wanted; `properties`: what comes with the values.
#[pyfunction]
#[pyo3(signature = (chid, callback, spec, mask, properties=None, *, latest_only=false, skips_first=false))]
#[allow(clippy::too_many_arguments)] // what a subscription can be told
pub fn subscribe_values(
    py: Python<'_>,
    chid: &Bound<'_, Chid>,
    callback: &Bound<'_, PyAny>,
    spec: &Bound<'_, ValueSpec>,
    mask: u32,
    properties: Option<&Bound<'_, PyProperties>>,
    latest_only: bool,
    skips_first: bool,
) -> PyResult<Evid> {
    let spec = spec.get();
    let cell = properties.map(|properties| properties.get().cell.clone());
    let channel = chid.get().channel()?;
    let mut limits = LIMITS;
    if latest_only {
        limits.updates = 1;
    }
    let monitor = ValueMonitor::new(spec.manner, cell.clone(), spec.converts(), limits);
    let callback = Callback::of_values(callback, monitor)?;
    let handler = callback.handler();
    let wanted = spec.subscription_spec(mask);
    let subscription =
        py.detach(|| channel.subscribe_within(limits, wanted, handler, skips_first))?;
    if let Some(cell) = cell {
        cell.listen(&subscription);
    }
    Chid::add_subscription(chid, callback.clone());
    if subscription.is_closed() {
        chid.get().remove(py, &callback);
    }
    Ok(Evid {
        subscription,
        chid: chid.clone().unbind(),
    })
}
