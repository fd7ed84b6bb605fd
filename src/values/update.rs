//! What a value refers to.

use super::Face;
use crate::client::channel::Channel;
use crate::convert::names::names;
use crate::convert::number;
use crate::convert::text::{STATE, UNITS, decoded};
use crate::protocol::dbr::{DbrClass, NO_TIME, POSIX_TIME_AT_EPICS_EPOCH, posix_nanoseconds};
use crate::protocol::value::Dbr;
use crate::protocol::view::DisplayLimits;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use std::sync::Arc;

/// One value as it came, with what came beside it. An attribute that did not come raises AttributeError.
#[pyclass(frozen, module = "cachannel._ca")]
pub struct Update {
    pub(super) channel: Arc<Channel>,
    pub(super) dbr: Arc<Dbr>,
    /// A CTRL structure: `dbr` itself, or one that came beside it.
    pub(super) properties: Option<Arc<Dbr>>,
    pub(super) face: Face,
    pub(super) element_count: usize,
}

fn missing<T>(what: &str) -> PyResult<T> {
    let text = format!("the value came without {what}");
    Err(PyAttributeError::new_err(text))
}

impl Update {
    /// Properties alone.
    pub fn of_properties(channel: &Arc<Channel>, properties: Arc<Dbr>) -> Update {
        Update {
            channel: channel.clone(),
            properties: Some(properties.clone()),
            dbr: properties,
            face: Face::Pv,
            element_count: channel.element_count(),
        }
    }

    fn form(&self) -> DbrClass {
        self.dbr.dbr_type.form()
    }

    /// Seconds and nanoseconds since the POSIX epoch; `None` for a record that was never processed.
    fn stamp(&self) -> PyResult<Option<(i64, u32)>> {
        if self.form() != DbrClass::Time {
            return missing("a time stamp");
        }
        let (seconds, nanoseconds) = self.dbr.view().stamp();
        if self.face == Face::Pv && (seconds, nanoseconds) == (0, 0) {
            return Ok(None);
        }
        // Some servers send more than a second of nanoseconds.
        let more = nanoseconds / 1_000_000_000;
        let seconds = i64::from(seconds) + POSIX_TIME_AT_EPICS_EPOCH + i64::from(more);
        Ok(Some((seconds, nanoseconds % 1_000_000_000)))
    }

    fn limit<'py>(
        &self,
        py: Python<'py>,
        which: impl FnOnce(&DisplayLimits<'_>) -> Option<crate::protocol::view::Number>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.limits(|limits| which(limits)).flatten() {
            Some(limit) => number(py, limit),
            None => missing("limits"),
        }
    }

    fn limits<T>(&self, read: impl FnOnce(&DisplayLimits<'_>) -> T) -> Option<T> {
        let properties = self.properties.as_ref()?;
        properties.view().limits().map(|limits| read(&limits))
    }
}

#[pymethods]
impl Update {
    #[getter]
    fn name(&self) -> &str {
        self.channel.name()
    }

    /// The DBR type of the value alone.
    #[getter]
    fn datatype(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let base = self.dbr.requested_type().base();
        Ok(names(py)?.dbr.get(py, base as i64)?.unbind())
    }

    #[getter]
    fn element_count(&self) -> usize {
        self.element_count
    }

    #[getter]
    fn severity(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.form() == DbrClass::Plain {
            return missing("an alarm");
        }
        let severity = self.dbr.view().severity();
        Ok(names(py)?.severity.get(py, severity.into())?.unbind())
    }

    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.form() == DbrClass::Plain {
            return missing("an alarm");
        }
        let status = self.dbr.view().status();
        Ok(names(py)?.condition.get(py, status.into())?.unbind())
    }

    #[getter]
    fn raw_stamp(&self) -> PyResult<Option<(i64, u32)>> {
        self.stamp()
    }

    #[getter]
    fn timestamp(&self) -> PyResult<Option<f64>> {
        let seconds = self.stamp()?.map(|(seconds, nanoseconds)| {
            // To the microsecond: a double holds no more.
            let microseconds = (f64::from(nanoseconds) * 1e-3).round();
            seconds as f64 + microseconds * 1e-6
        });
        Ok(seconds)
    }

    /// Nanoseconds since the POSIX epoch, as numpy has them.
    #[getter]
    fn nanoseconds(&self) -> PyResult<i64> {
        if self.form() != DbrClass::Time {
            return missing("a time stamp");
        }
        let stamp = self.dbr.view().stamp();
        Ok(match (self.face, posix_nanoseconds(stamp)) {
            (Face::Aio, NO_TIME) => POSIX_TIME_AT_EPICS_EPOCH * 1_000_000_000,
            (_, nanoseconds) => nanoseconds,
        })
    }

    #[getter]
    fn units(&self) -> PyResult<String> {
        let units = self.limits(|limits| decoded(limits.units, UNITS).into_owned());
        units.map_or_else(|| missing("units"), Ok)
    }

    #[getter]
    fn precision(&self) -> PyResult<i16> {
        let precision = self.limits(|limits| limits.precision).flatten();
        precision.map_or_else(|| missing("a precision"), Ok)
    }

    #[getter]
    fn enums(&self) -> PyResult<Vec<String>> {
        match &self.properties {
            Some(properties) if properties.dbr_type.base() == crate::protocol::dbr::Base::Enum => {
                let states = properties.view().states().into_iter();
                Ok(states
                    .map(|state| decoded(state, STATE).into_owned())
                    .collect())
            }
            _ => missing("the names of states"),
        }
    }

    #[getter]
    fn upper_disp_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| Some(limits.upper_disp))
            .map(Bound::unbind)
    }

    #[getter]
    fn lower_disp_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| Some(limits.lower_disp))
            .map(Bound::unbind)
    }

    #[getter]
    fn upper_alarm_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| Some(limits.upper_alarm))
            .map(Bound::unbind)
    }

    #[getter]
    fn lower_alarm_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| Some(limits.lower_alarm))
            .map(Bound::unbind)
    }

    #[getter]
    fn upper_warning_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| Some(limits.upper_warning))
            .map(Bound::unbind)
    }

    #[getter]
    fn lower_warning_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| Some(limits.lower_warning))
            .map(Bound::unbind)
    }

    #[getter]
    fn upper_ctrl_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| limits.ctrl.map(|(upper, _)| upper))
            .map(Bound::unbind)
    }

    #[getter]
    fn lower_ctrl_limit(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.limit(py, |limits| limits.ctrl.map(|(_, lower)| lower))
            .map(Bound::unbind)
    }

    /// Whether transient alarms have to be acknowledged; of STSACK_STRING.
    #[getter]
    fn ackt(&self) -> PyResult<i16> {
        if self.form() != DbrClass::StsAck {
            return missing("an acknowledgement");
        }
        Ok(self.dbr.view().acknowledgement().0)
    }

    /// The highest severity to acknowledge; of STSACK_STRING.
    #[getter]
    fn acks(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.form() != DbrClass::StsAck {
            return missing("an acknowledgement");
        }
        let severity = self.dbr.view().acknowledgement().1;
        Ok(names(py)?.severity.get(py, severity.into())?.unbind())
    }
}
