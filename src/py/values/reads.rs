//! Reads of many channels at once.

use super::channels::{channels_of, context_of};
use super::properties::PyProperties;
use super::spec::ValueSpec;
use crate::client::channel::Channel;
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::convert::names::names;
use crate::protocol::status::Status;
use crate::py::chid::Chid;
use crate::py::outstanding::Wait;
use crate::values::properties::{Found, PropertyCell};
use crate::values::{Manner, make};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use std::sync::Arc;

/// Reads of channels, which were sent.
#[pyclass(frozen, extends = Wait, module = "cachannel._ca")]
pub struct Reads {
    reads: Vec<ReadOne>,
    manner: Manner,
    /// The values come as another type than the PVs' own.
    converted: bool,
    /// The outcome, once somebody has asked for it.
    results: PyOnceLock<Py<PyList>>,
}

struct ReadOne {
    channel: Arc<Channel>,
    request: Result<Arc<Request>, Status>,
    cell: Option<Arc<PropertyCell>>,
    /// The read of the properties, where these were unknown.
    properties: Option<Arc<Request>>,
}

/// Sends a read to each channel, all at once. A channel that cannot be read counts as answered.
///
/// `properties`: those of each channel, or None for it, for formats that do not bring them themselves.
#[pyfunction]
#[pyo3(signature = (chids, spec, properties=None))]
pub fn read_values<'py>(
    py: Python<'py>,
    chids: Vec<Bound<'py, Chid>>,
    spec: &Bound<'py, ValueSpec>,
    properties: Option<Vec<Option<Bound<'py, PyProperties>>>>,
) -> PyResult<Bound<'py, Reads>> {
    let spec = spec.get();
    let channels = channels_of(&chids)?;
    let context = context_of(&channels)?;
    let cells: Vec<_> = properties.map_or_else(Vec::new, |all| {
        let cell = |one: &Bound<'_, PyProperties>| one.get().cell.clone();
        all.iter().map(|one| one.as_ref().map(cell)).collect()
    });
    let pending = context.pending_io();
    let reads = py.detach(|| {
        let all = pending.begin();
        let mut cells = cells.into_iter();
        let reads = channels
            .into_iter()
            .map(|channel| ReadOne::send(channel, spec, cells.next().flatten(), &pending))
            .collect();
        // If the flush fails, the circuits are gone, and the requests say so.
        drop(context.flush());
        drop(all);
        reads
    });
    let wait = PyClassInitializer::from(Wait::new(&context, pending, Vec::new()));
    let (manner, converted) = (spec.manner, spec.converts());
    let reads = Reads {
        reads,
        manner,
        converted,
        results: PyOnceLock::new(),
    };
    Bound::new(py, wait.add_subclass(reads))
}

impl ReadOne {
    fn send(
        channel: Arc<Channel>,
        spec: &ValueSpec,
        cell: Option<Arc<PropertyCell>>,
        pending: &Arc<PendingIo>,
    ) -> ReadOne {
        let native = channel.connected_type();
        let mut properties = None;
        let request = native.and_then(|native| {
            if let Some(cell) = &cell
                && matches!(cell.find_for(native), Found::Unknown)
                && let Some(wanted) = PropertyCell::spec(native)
            {
                // Properties that cannot be asked for are none; the read of the value says what is wrong.
                properties = channel.get_later(wanted, pending.begin(), None).ok();
            }
            let wanted = spec.read_spec(native, channel.element_count());
            channel.get_later(wanted, pending.begin(), None)
        });
        ReadOne {
            channel,
            request: request.map_err(|error| error.status),
            cell,
            properties,
        }
    }

    fn value<'py>(
        &self,
        py: Python<'py>,
        manner: Manner,
        converted: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let (Some(request), Some(cell)) = (&self.properties, &self.cell)
            && let Some(answer) = request.answer()
            && answer.status != Status::TIMEOUT
        {
            cell.set_if_unknown(&answer);
        }
        let answer = match &self.request {
            Ok(request) => request.answer(),
            Err(status) => return names(py)?.eca.get(py, status.0.into()),
        };
        let status = answer
            .as_ref()
            .map_or(Status::TIMEOUT, |answer| answer.status);
        let Some(dbr) = answer.and_then(|answer| answer.dbr) else {
            return names(py)?.eca.get(py, status.0.into());
        };
        let find = |cell: &Arc<PropertyCell>| match converted {
            true => cell.find_converted(self.channel.native_type()),
            false => cell.find(&dbr),
        };
        let properties = match self.cell.as_ref().map(find) {
            Some(Found::Known(properties)) => Some(properties),
            _ => None,
        };
        make::value(py, &self.channel, &dbr, properties, manner)
    }
}

#[pymethods]
impl Reads {
    /// The value of each channel, or the status (ECA) to which its read has come: ECA_TIMEOUT where there is no answer. The same
    /// list each time: an array lies over the memory of its answer, and is made once.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let results = self.results.get_or_try_init(py, || {
            let results: PyResult<Vec<_>> = self
                .reads
                .iter()
                .map(|read| read.value(py, self.manner, self.converted))
                .collect();
            PyList::new(py, results?).map(Bound::unbind)
        })?;
        Ok(results.bind(py).clone())
    }
}
