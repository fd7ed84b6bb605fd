//! The channels of a `ChannelGroup`: operations on all of them, without a Python frame for each.

use super::arguments::seconds;
use super::chid::Chid;
use super::context::current;
use super::wait::wait_done;
use super::write::enum_states;
use crate::calls::iter;
use crate::client::channel::Channel;
use crate::client::group::channels;
use crate::client::group::request::{GroupRequest, Job, ReadAs};
use crate::client::pending_io::PendingIo;
use crate::convert::many::{Values, items, values};
use crate::convert::text;
use crate::errors::deadline;
use crate::protocol::dbr::{NO_TIME, posix_nanoseconds};
use crate::protocol::status::Status;
use crate::states::{self, is_nameless};
use crate::sync::wait_queue::Waited;
use crate::thread_state::park_at_exit;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use std::sync::Arc;
use std::time::Instant;

/// The alarm of a PV that was not read: INVALID, COMM.
const NO_ALARM_KNOWN: (i16, i16) = (3, 9);

type Array<'py, T> = Bound<'py, PyArray1<T>>;

/// Channels that are read and written together. All methods take a timeout in seconds, 0 for ever, and return the status of
/// each channel (ECA) with its value.
#[pyclass(frozen, module = "cachannel._ca")]
pub struct ChannelGroupCore {
    group: Arc<channels::GroupChannels>,
}

/// While this lives, the group waits for its channels' connections.
struct Search<'m> {
    group: &'m channels::GroupChannels,
    pending: Arc<PendingIo>,
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.group.cancel_await(&self.pending);
    }
}

impl ChannelGroupCore {
    /// Does a job with all channels; `None` if their context is gone.
    fn run(
        &self,
        py: Python<'_>,
        job: Job,
        deadline: Option<Instant>,
    ) -> PyResult<Option<Arc<GroupRequest>>> {
        let group = &self.group;
        let context = group.context();
        if !context.is_alive() {
            park_at_exit(py);
            return Ok(None);
        }
        let (request, mut backlog) = py.detach(|| {
            let request = group.new_request(job);
            let backlog = request.start();
            (request, backlog)
        });
        while let Some(unsent) = backlog.wait_for.clone() {
            match wait_done(py, context, &[unsent], deadline) {
                Ok(Waited::Done) => backlog = py.detach(|| request.resume(backlog)),
                waited => {
                    py.detach(|| {
                        request.give_up(backlog);
                        if request.expects_answers() {
                            request.withdraw();
                        }
                    });
                    waited?;
                    break;
                }
            }
        }
        if request.expects_answers() {
            let pending = std::slice::from_ref(request.pending_io());
            let waited = wait_done(py, context, pending, deadline);
            if !matches!(waited, Ok(Waited::Done)) {
                py.detach(|| request.withdraw());
            }
            waited?;
        }
        if !context.is_alive() {
            park_at_exit(py);
        }
        Ok(Some(request))
    }

    fn read(
        &self,
        py: Python<'_>,
        read_as: ReadAs,
        timeout: f64,
    ) -> PyResult<Option<Arc<GroupRequest>>> {
        self.run(py, Job::Read(read_as), deadline(timeout)?)
    }

    fn number(&self) -> usize {
        self.group.channels().len()
    }

    fn all_gone(&self) -> Vec<i32> {
        vec![Status::BADCHID.0; self.number()]
    }
}

#[pymethods]
impl ChannelGroupCore {
    /// `chids`: channels that were just made, all in the calling thread's context.
    #[new]
    fn new(py: Python<'_>, chids: Vec<Bound<'_, Chid>>) -> PyResult<ChannelGroupCore> {
        let channels: Result<Vec<_>, _> = chids
            .iter()
            .map(|chid| chid.get().channel().cloned())
            .collect();
        let channels = channels?;
        let context = match channels.first() {
            Some(channel) => channel.context().clone(),
            None => current(py)?,
        };
        let group = py.detach(|| channels::GroupChannels::new(&context, channels))?;
        Ok(ChannelGroupCore { group })
    }

    /// Whether each channel is connected.
    fn connected<'py>(&self, py: Python<'py>) -> Array<'py, bool> {
        let channels = self.group.channels().iter();
        let connected =
            channels.map(|channel| channel.native_type().is_some() && !channel.is_closed());
        PyArray1::from_vec(py, connected.collect())
    }

    /// The element count of each channel, 0 if it is not connected.
    fn element_counts(&self) -> Vec<usize> {
        let channels = self.group.channels().iter();
        channels.map(|channel| channel.element_count()).collect()
    }

    /// Waits until all channels are connected.
    fn connect<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = seconds)] timeout: f64,
    ) -> PyResult<Array<'py, i32>> {
        let deadline = deadline(timeout)?;
        let (group, context) = (&*self.group, self.group.context());
        if context.is_alive() {
            let search = py.detach(|| {
                // The searches may still wait for a flush.
                drop(context.flush());
                Search {
                    group,
                    pending: group.await_connections(),
                }
            });
            wait_done(py, context, std::slice::from_ref(&search.pending), deadline)?;
        }
        if !context.is_alive() {
            park_at_exit(py);
        }
        let statuses = group.channels().iter().map(|channel| {
            match channel.native_type() {
                _ if channel.is_closed() => Status::BADCHID,
                Some(_) => Status::NORMAL,
                None => Status::TIMEOUT,
            }
            .0
        });
        Ok(PyArray1::from_vec(py, statuses.collect()))
    }

    /// The values as doubles, NaN if there is none.
    fn get<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = seconds)] timeout: f64,
    ) -> PyResult<(Array<'py, i32>, Array<'py, f64>)> {
        let request = self.read(py, ReadAs::Value, timeout)?;
        let (statuses, values) = py.detach(|| {
            let Some(request) = request else {
                return (self.all_gone(), vec![f64::NAN; self.number()]);
            };
            let readings = request.readings();
            let read = readings
                .map(|(status, reading)| (status.0, reading.map_or(f64::NAN, |r| r.value)))
                .unzip();
            self.group.recycle(request);
            read
        });
        Ok((
            PyArray1::from_vec(py, statuses),
            PyArray1::from_vec(py, values),
        ))
    }

    /// Values, times (ns since the POSIX epoch), severities and alarm statuses.
    #[allow(clippy::type_complexity)] // five columns
    fn get_time<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = seconds)] timeout: f64,
    ) -> PyResult<(
        Array<'py, i32>,
        Array<'py, f64>,
        Array<'py, i64>,
        Array<'py, i16>,
        Array<'py, i16>,
    )> {
        let request = self.read(py, ReadAs::Time, timeout)?;
        let mut statuses = Vec::with_capacity(self.number());
        let (mut values, mut stamps) = (Vec::new(), Vec::new());
        let (mut severities, mut conditions) = (Vec::new(), Vec::new());
        py.detach(|| {
            let Some(request) = request else {
                statuses = self.all_gone();
                values.resize(self.number(), f64::NAN);
                stamps.resize(self.number(), NO_TIME);
                severities.resize(self.number(), NO_ALARM_KNOWN.0);
                conditions.resize(self.number(), NO_ALARM_KNOWN.1);
                return;
            };
            for (status, reading) in request.readings() {
                statuses.push(status.0);
                values.push(reading.map_or(f64::NAN, |r| r.value));
                stamps.push(reading.map_or(NO_TIME, |r| posix_nanoseconds(r.stamp)));
                severities.push(reading.map_or(NO_ALARM_KNOWN.0, |r| r.severity));
                conditions.push(reading.map_or(NO_ALARM_KNOWN.1, |r| r.status));
            }
            self.group.recycle(request);
        });
        Ok((
            PyArray1::from_vec(py, statuses),
            PyArray1::from_vec(py, values),
            PyArray1::from_vec(py, stamps),
            PyArray1::from_vec(py, severities),
            PyArray1::from_vec(py, conditions),
        ))
    }

    /// The values as texts, empty if there is none.
    fn get_text<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = seconds)] timeout: f64,
    ) -> PyResult<(Array<'py, i32>, Bound<'py, PyList>)> {
        let deadline = deadline(timeout)?;
        let Some(request) = self.run(py, Job::Read(ReadAs::Text), deadline)? else {
            let texts = vec![""; self.number()];
            let statuses = PyArray1::from_vec(py, self.all_gone());
            return Ok((statuses, PyList::new(py, texts)?));
        };
        let mut statuses = Vec::with_capacity(self.number());
        let mut texts = Vec::with_capacity(self.number());
        let (mut nameless, mut channels) = (Vec::new(), self.group.channels().iter());
        for (status, text) in request.texts() {
            statuses.push(status.0);
            let channel = channels.next();
            if let (Some(dbr), Some(channel)) = (text, channel)
                && is_nameless(channel, dbr)
            {
                nameless.push((texts.len(), channel));
            }
            texts.push(PyString::new(py, &text.map(text::of).unwrap_or_default()));
        }
        py.detach(|| self.group.recycle(request));
        if !nameless.is_empty() {
            let (places, channels): (Vec<_>, Vec<_>) = nameless.into_iter().unzip();
            let named = states::texts(py, self.group.context(), &channels, deadline)?;
            for (place, text) in places.into_iter().zip(named) {
                match text {
                    Ok(text) => texts[place] = PyString::new(py, &text),
                    Err(status) => statuses[place] = status.0,
                }
            }
        }
        Ok((PyArray1::from_vec(py, statuses), PyList::new(py, texts)?))
    }

    /// Writes `values`, one for all or one each; with `wait` until the processing is complete. Raises, and sends nothing, if
    /// one of the values does not convert.
    fn put<'py>(
        &self,
        py: Python<'py>,
        values: &Bound<'py, PyAny>,
        wait: bool,
        #[pyo3(from_py_with = seconds)] timeout: f64,
    ) -> PyResult<Array<'py, i32>> {
        let deadline = deadline(timeout)?;
        let channels = self.group.channels();
        let given = self::values(values, channels.len())?;
        let fast = match &given {
            Values::Numbers(numbers) => py.detach(|| numbers.items(channels)),
            _ => None,
        };
        let states = |channel: &Arc<Channel>| enum_states(py, channel, deadline);
        let items = match (fast, given) {
            (Some(items), _) => items?,
            (None, Values::One(value)) => items(channels, |_| value.clone(), states)?,
            (None, Values::Each(each)) => items(channels, |index| each[index].clone(), states)?,
            (None, Values::Numbers(_)) => {
                let each = match iter(values) {
                    Ok(all) => all.collect::<PyResult<Vec<_>>>()?,
                    Err(_) => vec![values.clone(); channels.len()],
                };
                items(channels, |index| each[index].clone(), states)?
            }
        };
        let job = if wait {
            Job::WriteNotify(items)
        } else {
            Job::Write(items)
        };
        let request = self.run(py, job, deadline)?;
        let statuses = py.detach(|| {
            let Some(request) = request else {
                return self.all_gone();
            };
            let statuses = request.statuses();
            self.group.recycle(request);
            statuses
        });
        Ok(PyArray1::from_vec(py, statuses))
    }
}
