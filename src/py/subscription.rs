//! Subscriptions: create_subscription, clear_subscription, and evid.

use super::arguments::{DEFAULT_MASK, element_count, event_mask, request_type};
use super::chid::Chid;
use crate::callback::{Callback, callback};
use crate::client::subscription::{Subscription, SubscriptionSpec, WantedCount, WantedType};
use crate::convert::Style;
use crate::dispatch;
use crate::errors::{eca, outcome, raise, status, truth};
use crate::protocol::dbr::DbrClass;
use crate::protocol::status::Status;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;

/// A subscription. It ends with `clear_subscription` or with its channel, not with this object.
#[pyclass(frozen, name = "evid", module = "cachannel.ca")]
pub struct Evid {
    pub subscription: Arc<Subscription>,
    pub chid: Py<Chid>,
}

#[pymethods]
impl Evid {
    fn __repr__(&self) -> String {
        let channel = self.subscription.channel();
        let name = channel.as_ref().map_or("", |channel| channel.name());
        let state = if self.subscription.is_closed() {
            " cleared"
        } else {
            ""
        };
        format!("<evid of {name:?}{state}>")
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.chid)
    }
}

/// Calls a callback with a PV's value, now and at every change (ca_create_subscription).
///
/// `chtype`, `count`, `use_numpy`: as for `get`. `mask`: DBE_VALUE | DBE_ALARM if None. The callback gets a dict as for `get`.
/// A channel that is not connected accepts a subscription that names its type. If the callback is too slow, updates are
/// dropped, the oldest first (`dropped`).
///
/// The subscription goes on after a reconnect. If the PV then has another type or element count, the updates have it, too,
/// unless `chtype` or `count` was given. (`native`: also if a type was given, of which only the form counts: plain, STS, TIME,
/// GR or CTRL.)
///
/// Returns `(ECA, evid)`. The subscription lives until `clear_subscription`, or as long as its channel.
#[pyfunction]
#[pyo3(signature = (chid, callback, chtype=None, count=None, mask=None, use_numpy=false, *, user_args=None, native=false))]
#[allow(clippy::too_many_arguments)] // ca_create_subscription has them
pub fn create_subscription<'py>(
    py: Python<'py>,
    chid: Option<&Bound<'py, Chid>>,
    callback: &Bound<'py, PyAny>,
    chtype: Option<&Bound<'py, PyAny>>,
    count: Option<&Bound<'py, PyAny>>,
    mask: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = truth)] use_numpy: bool,
    user_args: Option<&Bound<'py, PyAny>>,
    native: bool,
) -> PyResult<(Bound<'py, PyAny>, Option<Evid>)> {
    let callback = Callback::new(callback, user_args, use_numpy)?;
    let Some(chid) = chid else {
        return Ok((eca(py, Status::BADCHID)?, None));
    };
    let channel = match chid.get().channel() {
        Ok(channel) => channel,
        Err(error) => return Ok((eca(py, error.status)?, None)),
    };
    let requested = raise(request_type(channel.name(), chtype))?;
    let count = element_count(channel.name(), count)?;
    let mask = match mask
        .map(|mask| raise(event_mask(channel.name(), mask)))
        .transpose()?
    {
        None => DEFAULT_MASK,
        Some(Ok(mask)) => mask,
        Some(Err(error)) => return Ok((eca(py, error.status)?, None)),
    };
    let started = requested.and_then(|requested| {
        let dbr_type = match requested {
            // A subscription that names its type may be made before the PV is found.
            Some(dbr_type) if !native => match callback.style {
                Style::Pv => WantedType::Text(dbr_type),
                Style::Plain => WantedType::Fixed(dbr_type),
            },
            Some(dbr_type) => WantedType::Native(dbr_type.form()),
            None => WantedType::Native(DbrClass::Plain),
        };
        let count = match count {
            Some(count) => WantedCount::Fixed(count),
            None => WantedCount::Native,
        };
        let spec = SubscriptionSpec {
            dbr_type,
            count,
            mask,
        };
        let handler = callback.handler();
        py.detach(|| channel.subscribe(spec, handler))
    });
    let (status, subscription) = outcome(started)?;
    let evid = subscription.map(|subscription| {
        Chid::add_subscription(chid, callback.clone());
        if subscription.is_closed() {
            // It has failed since, maybe before its callback was listed.
            chid.get().remove(py, &callback);
        }
        Evid {
            subscription,
            chid: chid.clone().unbind(),
        }
    });
    Ok((eca(py, status)?, evid))
}

/// Ends a subscription (ca_clear_subscription).
///
/// No callback of it starts after this returns. Returns BADMONID for one that was cleared before, by itself or with its
/// channel.
#[pyfunction]
pub fn clear_subscription<'py>(
    py: Python<'py>,
    evid: Option<&Bound<'py, Evid>>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(evid) = evid else {
        return eca(py, Status::BADMONID);
    };
    let evid = evid.get();
    let cleared = py.detach(|| evid.subscription.clear());
    if let Some(callback) = callback(&evid.subscription.handler) {
        evid.chid.get().remove(py, &callback);
    }
    status(py, cleared)
}

/// In a callback that holds them up: delivers the updates of a subscription that the package itself made, and returns True.
/// Elsewhere returns False.
#[pyfunction]
pub fn deliver_own(py: Python<'_>, evid: &Bound<'_, Evid>) -> PyResult<bool> {
    let evid = evid.get();
    if !dispatch::holds_up(evid.chid.get().channel()?.context()) {
        return Ok(false);
    }
    dispatch::deliver_own(py, &evid.subscription)?;
    Ok(true)
}

/// Whether the calling thread delivers the channel's events itself while it waits: its context is not preemptive.
#[pyfunction]
pub fn delivers_events(chid: &Bound<'_, Chid>) -> PyResult<bool> {
    let context = chid.get().channel()?.context();
    Ok(dispatch::delivers_while_waiting(context))
}

/// Updates of a subscription that were dropped, oldest first, because its callback did not keep up.
#[pyfunction]
pub fn dropped(evid: &Bound<'_, Evid>) -> u64 {
    let subscription = &evid.get().subscription;
    let values = callback(&subscription.handler);
    let held = values.and_then(|callback| Some(callback.values.as_ref()?.dropped()));
    subscription.dropped() + held.unwrap_or(0)
}
