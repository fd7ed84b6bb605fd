//! Recorder: the updates of many PVs, in memory.

use super::arguments::{DEFAULT_MASK, event_mask, optional_seconds, pv_names, whole};
use super::context::current;
use crate::calls::{double, getattr, import};
use crate::client::fork;
use crate::client::recorder::session::RecorderSession;
use crate::client::recorder::update_buffer::{RecordedUpdate, UpdateBuffer};
use crate::convert::recorded_updates;
use crate::errors::{after_wait, bad_argument, deadline, truth};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::sync::wait_queue::Check;
use crate::thread_state::{Signals, interruptible, park_at_exit};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two reads of a fast stream at least this time passes, unless there is much to read. A loop reads less often, in
/// larger pieces.
const READ_PAUSE: Duration = Duration::from_millis(1);
const LOOP_PAUSE: Duration = Duration::from_millis(20);

/// Records the updates of many scalar PVs into memory, with no Python per update. See ca_create_subscription.
///
/// As a context manager it starts on entry and stops at the end. A loop over it gets the updates since the last round, at most
/// 50 times a second, until it is stopped and all updates are read:
///
/// >>> import cachannel
/// >>> with cachannel.Recorder(["catest", "calong"]) as recorder:
/// ...     updates = recorder.read(min_updates=2)
/// >>> updates.dtype.names
/// ('channel', 'time', 'value', 'severity', 'status')
///
/// The first updates are the values that the PVs have at the start. After a reconnect, recording goes on.
///
/// :param names: names of PVs. Each must be a number: a scalar of any type but STRING; of an ENUM the number is recorded.
/// :param mask: which changes are updates: ``ca.DBE_VALUE``, ``DBE_ALARM``, ``DBE_LOG``, ``DBE_PROPERTY``, or-ed; ``DBE_VALUE |
///     DBE_ALARM`` if None.
/// :param capacity: the most updates that it holds, of 32 bytes each. Memory is allocated when it is needed. If more updates
///     come than are read, the oldest are overwritten, and counted: :attr:`dropped`.
/// :raises CaChannelValueError: if there are no names, or the capacity is less than 1.
/// :raises CaChannelException: ECA_BADMASK.
#[pyclass(frozen, weakref, module = "cachannel")]
pub struct Recorder {
    names: Arc<[String]>,
    mask: u32,
    buffer: Arc<UpdateBuffer>,
    session: Mutex<Option<Arc<RecorderSession>>>,
    generation: u64,
}

impl Recorder {
    /// In a forked child the recorder belongs to the parent, with its locks.
    fn own(&self) -> Result<(), Error> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        let mut error = Error::from(Status::BADCHID);
        error.detail = "the recorder belongs to the process that this one was forked from".into();
        Err(error)
    }

    fn session(&self) -> MutexGuard<'_, Option<Arc<RecorderSession>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(
        &self,
        py: Python<'_>,
        session: &RecorderSession,
        timeout: f64,
        throw: bool,
    ) -> PyResult<()> {
        let deadline = until(Some(timeout))?;
        if !throw {
            session.set_warns();
        }
        py.detach(|| session.open(self.mask))?;
        interruptible(py, |check| session.wait_connected(deadline, check))?;
        if throw {
            session.set_warns();
            let verified = session.verify();
            verified.map_err(|error| after_wait(py, error, timeout))?;
        }
        Ok(())
    }

    /// Ends this session, or any session if `one` is `None`.
    fn end(&self, one: Option<&Arc<RecorderSession>>) {
        let ended = {
            let mut session = self.session();
            let is_other =
                |own: &Arc<RecorderSession>| one.is_some_and(|one| !Arc::ptr_eq(own, one));
            if session.as_ref().is_some_and(is_other) {
                return;
            }
            self.buffer.stop();
            session.take()
        };
        if let Some(session) = ended {
            session.close();
        }
    }

    /// If the context was destroyed, no more updates come, and the session ends.
    fn end_with_context(&self) {
        let gone = |session: &Arc<RecorderSession>| !session.context().is_alive();
        if self.session().as_ref().is_some_and(gone) {
            self.end(None);
        }
    }

    fn wait(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&UpdateBuffer, Check<'_>) -> Option<Vec<RecordedUpdate>> + Send,
    ) -> PyResult<Vec<RecordedUpdate>> {
        self.own()?;
        // Signals are checked before updates are read, and even if there are always some.
        py.check_signals()?;
        let mut signals = Signals::default();
        let read = py.detach(|| {
            self.end_with_context();
            read(&self.buffer, &mut || {
                self.end_with_context();
                signals.check()
            })
        });
        park_at_exit(py);
        match signals.raised {
            Some(raised) => Err(raised),
            None => Ok(read.unwrap_or_default()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.own().is_ok() {
            self.end(None);
        }
    }
}

/// The deadline for a timeout in seconds; none means for ever, 0 means at once.
fn until(seconds: Option<f64>) -> PyResult<Option<Instant>> {
    match seconds {
        None => Ok(None),
        Some(0.0) => Ok(Some(Instant::now())),
        Some(seconds) => deadline(seconds),
    }
}

#[pymethods]
impl Recorder {
    /// The status of an update that stands for a lost connection: ECA_DISCONN.
    #[classattr]
    const DISCONNECTED: i32 = Status::DISCONN.0;

    #[new]
    #[pyo3(signature = (names, mask=None, capacity=1_000_000))]
    fn new(
        names: &Bound<'_, PyAny>,
        mask: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = whole)] capacity: i64,
    ) -> PyResult<Recorder> {
        let names = pv_names(names)?;
        let mask = match mask {
            Some(mask) => event_mask(&names[0], mask)?,
            None => DEFAULT_MASK,
        };
        let capacity = usize::try_from(capacity).ok().filter(|rows| *rows > 0);
        let Some(capacity) = capacity else {
            return Err(bad_argument("a capacity is a number of updates, 1 or more"));
        };
        Ok(Recorder {
            mask,
            buffer: Arc::new(UpdateBuffer::new(names.len(), capacity)),
            names,
            session: Mutex::default(),
            generation: fork::generation(),
        })
    }

    /// Connects to all PVs and starts to record. See ca_create_channel, ca_create_subscription.
    ///
    /// Does nothing if the recorder is recording. After :meth:`stop` it can be started again.
    ///
    /// :param timeout: seconds for all PVs to connect; :attr:`CaChannel.ca_timeout` if None. Recording starts at once, with the
    ///     PVs that are connected.
    /// :param throw: if False, PVs that do not connect in time raise no exception, and are recorded when they connect; those
    ///     that are not numbers are left out, with a warning of the logger ``cachannel``.
    /// :raises CaChannelException: nothing is recorded then. ECA_BADTYPE for a PV that is a STRING, ECA_BADCOUNT for one with
    ///     more than one element, ECA_TIMEOUT for one that does not connect. One exception is raised for all such PVs: `pvname`
    ///     is the first, the text has the others.
    #[pyo3(signature = (timeout=None, throw=true))]
    fn start(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = optional_seconds)] timeout: Option<f64>,
        #[pyo3(from_py_with = truth)] throw: bool,
    ) -> PyResult<()> {
        self.own()?;
        let timeout = match timeout {
            Some(timeout) => timeout,
            None => {
                let class = getattr(&import(py, "cachannel")?, "CaChannel")?;
                double(&getattr(&class, "ca_timeout")?)?
            }
        };
        until(Some(timeout))?;
        let context = current(py)?;
        py.detach(|| self.end_with_context());
        let was_empty = self.buffer.is_empty();
        let session = Arc::new(RecorderSession::new(
            &context,
            self.names.clone(),
            &self.buffer,
        ));
        {
            let mut place = self.session();
            if place.is_some() {
                return Ok(());
            }
            *place = Some(session.clone());
            // Under this lock, so that a thread that stops the session stops the buffer, too.
            self.buffer.start();
        }
        self.begin(py, &session, timeout, throw).inspect_err(|_| {
            py.detach(|| {
                self.end(Some(&session));
                if was_empty {
                    self.buffer.discard();
                }
            });
        })
    }

    /// Ends the recording. What was recorded can still be read. See ca_clear_channel.
    ///
    /// A thread that waits in :meth:`read` gets the updates that there are; loops end after the last one. This waits for no
    /// server.
    fn stop(&self, py: Python<'_>) {
        if self.own().is_ok() {
            py.detach(|| self.end(None));
        }
    }

    /// Returns all updates since the last read, in order of arrival; waits until there are some.
    ///
    /// The result is a structured array over the memory into which they were recorded, with the fields
    ///
    /// * ``channel``, int64: the PV, as index into :attr:`names`
    /// * ``time``, datetime64[ns]: the server's time stamp, UTC. NaT for a record that was never processed.
    /// * ``value``, float64
    /// * ``severity``, int32: 0 to 3 (``ca.AlarmSeverity``)
    /// * ``status``, int32: the alarm's condition, 0 to 21 (``ca.AlarmCondition``)
    ///
    /// A lost connection is a row with the value NaN, severity 3, status :attr:`DISCONNECTED` (192, above all conditions) and
    /// the time of this computer. A value that the server must not or cannot send is such a row, too, with the ECA status that
    /// says why.
    ///
    /// :param timeout: seconds to wait; for ever if None, not at all if 0. Afterwards the updates that there are are returned,
    ///     which may be an empty array.
    /// :param min_updates: updates to wait for, at most the capacity. If the recorder is stopped, or not started, this does not
    ///     wait.
    ///
    /// Several threads may read; each update goes to one of them. Ctrl-C ends the wait, and no update is lost. (If updates were
    /// dropped, the memory is put in order first.)
    #[pyo3(signature = (timeout=None, min_updates=1))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = optional_seconds)] timeout: Option<f64>,
        #[pyo3(from_py_with = whole)] min_updates: i64,
    ) -> PyResult<Bound<'py, PyArray1<RecordedUpdate>>> {
        let deadline = until(timeout)?;
        let capacity = self.buffer.capacity();
        let least = usize::try_from(min_updates).ok().filter(|n| *n <= capacity);
        let Some(least) = least else {
            let detail = format!("min_updates is 0 to {capacity}, the capacity, not {min_updates}");
            return Err(bad_argument(detail));
        };
        let read = self.wait(py, |buffer, check| {
            buffer.read(least, deadline, READ_PAUSE, check)
        })?;
        recorded_updates(py, read)
    }

    /// The PVs: ``channel`` is an index into them.
    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.names.iter())
    }

    /// The most updates that the recorder holds.
    #[getter]
    fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Updates that wait to be read.
    #[getter]
    fn pending(&self) -> PyResult<usize> {
        self.own()?;
        Ok(self.buffer.len())
    }

    /// Updates that were overwritten because they were not read in time: an int64 array, one for each PV.
    #[getter]
    fn dropped<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        self.own()?;
        Ok(PyArray1::from_vec(py, self.buffer.dropped()))
    }

    /// Which PVs are connected and recorded: a bool array.
    #[getter]
    fn connected<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<bool>>> {
        self.own()?;
        let session = self.session().clone();
        let connected = match session {
            Some(session) if session.context().is_alive() => session.connected(),
            _ => vec![false; self.names.len()],
        };
        Ok(PyArray1::from_vec(py, connected))
    }

    /// The number of PVs.
    fn __len__(&self) -> usize {
        self.names.len()
    }

    fn __repr__(&self) -> String {
        let names = match &self.names[..] {
            [name] => format!("{name:?}"),
            names => format!("{} PVs", names.len()),
        };
        if self.own().is_err() {
            return format!("<Recorder of {names} in another process>");
        }
        let state = if self.buffer.is_stopped() {
            "stopped"
        } else {
            "recording"
        };
        format!(
            "<Recorder of {names} {state}, {} to read>",
            self.buffer.len()
        )
    }

    fn __enter__<'py>(slf: Bound<'py, Recorder>) -> PyResult<Bound<'py, Recorder>> {
        slf.get().start(slf.py(), None, true)?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exc_type, exc, traceback);
        self.stop(py);
    }

    fn __iter__(slf: Bound<'_, Recorder>) -> Bound<'_, Recorder> {
        slf
    }

    fn __next__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, PyArray1<RecordedUpdate>>>> {
        let read = self.wait(py, |buffer, check| buffer.read(1, None, LOOP_PAUSE, check))?;
        if read.is_empty() {
            return Ok(None);
        }
        recorded_updates(py, read).map(Some)
    }
}
