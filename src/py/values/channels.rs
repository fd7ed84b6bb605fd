//! The channels of class PV and of event loops, and what is waited for before they are used.

use crate::callback::Callback;
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::errors::{bad_argument, raise};
use crate::protocol::error::Error;
use crate::py::chid::{Chid, search};
use crate::py::loop_queue::LoopQueue;
use crate::py::outstanding::Wait;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

/// As `create_channel`, for class PV and for event loops: raises, and the callback is called with the chid and `op`. With a
/// `queue`, all events of the channel are delivered by the event loop of that queue.
#[pyfunction]
#[pyo3(signature = (name, callback, queue=None))]
pub fn watch_channel<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    queue: Option<&Bound<'py, LoopQueue>>,
) -> PyResult<Bound<'py, Chid>> {
    let user_args = PyTuple::empty(py);
    let callback = Callback::optional(Some(callback), Some(user_args.as_any()), false)?;
    let queue = queue.map(|queue| queue.get().queue().clone());
    Ok(raise(search(py, name, callback, 0, queue, |_| Ok(())))??)
}

/// The context of the channels, which is one.
pub(super) fn context_of(channels: &[Arc<Channel>]) -> PyResult<Arc<Context>> {
    let Some(first) = channels.first() else {
        return Err(bad_argument("there is no channel"));
    };
    let context = first.context();
    if channels
        .iter()
        .any(|channel| !Arc::ptr_eq(channel.context(), context))
    {
        return Err(bad_argument("the channels are not in one context"));
    }
    Ok(context.clone())
}

pub(super) fn channels_of(chids: &[Bound<'_, Chid>]) -> Result<Vec<Arc<Channel>>, Error> {
    chids
        .iter()
        .map(|chid| chid.get().channel().cloned())
        .collect()
}

/// Waits until the channels are connected.
#[pyfunction]
pub fn wait_for_connections(py: Python<'_>, chids: Vec<Bound<'_, Chid>>) -> PyResult<Wait> {
    let channels = channels_of(&chids)?;
    let context = context_of(&channels)?;
    py.detach(|| {
        // The searches may still wait for a flush.
        drop(context.flush());
        Ok(Wait::for_connections(&context, channels))
    })
}

/// Waits until the channel's server has read so much that more can be sent; None where there is room.
#[pyfunction]
pub fn backlog(chid: &Bound<'_, Chid>) -> PyResult<Option<Wait>> {
    let channel = chid.get().channel()?;
    if channel.is_closed() || !channel.context().has_backlog() {
        return Ok(None);
    }
    let unsent = channel.backlog();
    // What others have sent is not withdrawn with the wait.
    let wait = |unsent: Arc<PendingIo>| {
        let own = channel.context().pending_io();
        let guard = own.begin();
        unsent.then(move || drop(guard));
        Wait::new(channel.context(), own, Vec::new())
    };
    Ok(unsent.map(wait))
}
