//! Writes to many channels at once.

use super::channels::{channels_of, context_of};
use super::properties::PyProperties;
use crate::client::channel::Channel;
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::convert::names::names;
use crate::convert::{To, outgoing};
use crate::errors::bad_argument;
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::status::Status;
use crate::py::chid::Chid;
use crate::py::outstanding::Wait;
use crate::values::properties::Found;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Arc;

/// Writes to channels, which were sent.
#[pyclass(frozen, extends = Wait, module = "cachannel._ca")]
pub struct Writes {
    writes: Vec<Write>,
}

enum Write {
    /// Done when the processing that the write started is complete.
    Notified(Arc<Request>),
    /// Done when it has left the process.
    Handed(Arc<PendingIo>),
    Failed(Status),
}

/// Converts a value for each channel, then sends all; raises, and sends nothing, where one does not convert.
///
/// `wait`: until the processing that the writes started is complete; without, until they have left the process. `properties`: those
/// of each channel, or None; a text to an enum is sent by the states in them.
#[pyfunction]
#[pyo3(signature = (chids, values, datatype=None, *, wait, properties=None))]
pub fn write_values<'py>(
    py: Python<'py>,
    chids: Vec<Bound<'py, Chid>>,
    values: Vec<Bound<'py, PyAny>>,
    datatype: Option<i64>,
    wait: bool,
    properties: Option<Vec<Option<Bound<'py, PyProperties>>>>,
) -> PyResult<Bound<'py, Writes>> {
    let channels = channels_of(&chids)?;
    let context = context_of(&channels)?;
    if values.len() != channels.len() {
        return Err(bad_argument("there has to be one value for each channel"));
    }
    let requested = datatype.and_then(DbrType::new);
    let mut converted = Vec::with_capacity(channels.len());
    for (index, (channel, value)) in channels.iter().zip(&values).enumerate() {
        let native = match channel.connected_type() {
            Ok(native) => native,
            Err(error) => {
                converted.push(Err(error.status));
                continue;
            }
        };
        let cell = properties
            .as_ref()
            .and_then(|all| all.get(index)?.as_ref())
            .map(|one| one.get().cell.clone());
        let states = move || {
            let known = cell.as_ref().map(|cell| cell.find_for(Base::Enum));
            Ok(match known {
                Some(Found::Known(dbr)) => {
                    let states = dbr.view().states();
                    states.iter().map(|state| state.to_vec()).collect()
                }
                _ => Vec::new(),
            })
        };
        let to = To {
            pv: channel.name(),
            native,
            held: channel.element_count(),
            requested,
            count: None,
            cuts: false,
            states: &states,
        };
        converted.push(Ok(outgoing(value, &to)?));
    }
    let pending = context.pending_io();
    let all = pending.begin();
    let mut writes = Vec::with_capacity(channels.len());
    for (channel, out) in channels.iter().zip(&converted) {
        writes.push(match out {
            Ok(out) => {
                let (dbr_type, count, bytes) = (out.dbr_type, out.count, out.bytes());
                py.detach(|| Write::send(channel, dbr_type, count, bytes, wait, &pending))
            }
            Err(status) => Write::Failed(*status),
        });
    }
    py.detach(|| drop(context.flush()));
    drop(all);
    let parts = writes.iter().filter_map(Write::part).collect();
    let wait = PyClassInitializer::from(Wait::new(&context, pending, parts));
    Bound::new(py, wait.add_subclass(Writes { writes }))
}

impl Write {
    fn send(
        channel: &Arc<Channel>,
        dbr_type: DbrType,
        count: usize,
        bytes: &[u8],
        wait: bool,
        pending: &Arc<PendingIo>,
    ) -> Write {
        if wait {
            let guard = Some(pending.begin());
            return match channel.put_notify(dbr_type, count, bytes, None, guard) {
                Ok(request) => Write::Notified(request),
                Err(error) => Write::Failed(error.status),
            };
        }
        let handed = channel.context().pending_io();
        let sent = channel.put_for(Some(&handed), dbr_type, count, bytes);
        if let Err(error) = sent {
            return Write::Failed(error.status);
        }
        let guard = pending.begin();
        handed.then(move || drop(guard));
        Write::Handed(handed)
    }

    fn part(&self) -> Option<Arc<PendingIo>> {
        match self {
            Write::Handed(handed) => Some(handed.clone()),
            _ => None,
        }
    }

    fn status(&self) -> Status {
        match self {
            Write::Notified(request) => request
                .answer()
                .map_or(Status::TIMEOUT, |answer| answer.status),
            Write::Handed(handed) if handed.is_done() => {
                handed.failure_status().unwrap_or(Status::NORMAL)
            }
            Write::Handed(_) => Status::TIMEOUT,
            Write::Failed(status) => *status,
        }
    }
}

#[pymethods]
impl Writes {
    /// To what each write has come (ECA): ECA_TIMEOUT where it is not done, or was withdrawn.
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let names = names(py)?;
        let results: PyResult<Vec<_>> = self
            .writes
            .iter()
            .map(|write| names.eca.get(py, write.status().0.into()))
            .collect();
        PyList::new(py, results?)
    }
}
