//! A PV's properties, kept up to date.

use crate::client::channel::Channel;
use crate::client::subscription::{SubscriptionSpec, WantedCount, WantedType};
use crate::protocol::constants::DBE_PROPERTY;
use crate::protocol::dbr::DbrClass;
use crate::py::chid::Chid;
use crate::values::properties::{Found, PropertyCell};
use crate::values::update::Update;
use pyo3::prelude::*;
use std::sync::Arc;

/// A PV's properties, kept up to date as long as its channel lives; with `follow=False` those that the next read finds.
#[pyclass(frozen, name = "Properties", module = "cachannel._ca")]
pub struct PyProperties {
    pub(super) cell: Arc<PropertyCell>,
    channel: Arc<Channel>,
}

#[pymethods]
impl PyProperties {
    #[new]
    #[pyo3(signature = (chid, *, follow=true))]
    fn new(py: Python<'_>, chid: &Bound<'_, Chid>, follow: bool) -> PyResult<PyProperties> {
        let channel = chid.get().channel()?.clone();
        let cell = Arc::<PropertyCell>::default();
        if !follow {
            return Ok(PyProperties { cell, channel });
        }
        let spec = SubscriptionSpec {
            dbr_type: WantedType::AnyNative(DbrClass::Ctrl),
            count: WantedCount::Fixed(1),
            mask: DBE_PROPERTY,
        };
        let handler = cell.clone();
        py.detach(|| channel.subscribe(spec, handler))?;
        Ok(PyProperties { cell, channel })
    }

    /// What is known of them, as an Update; None where nothing is, or where the PV has none.
    #[getter]
    fn latest(&self) -> Option<Update> {
        let native = self.channel.native_type();
        if native.is_some_and(|native| matches!(self.cell.find_for(native), Found::None)) {
            return None;
        }
        let known = self.cell.latest()?;
        Some(Update::of_properties(&self.channel, known))
    }

    /// Whether there is nothing to wait for: they are known for the PV as it is now, or are known not to exist.
    #[getter]
    fn settled(&self) -> bool {
        let native = self.channel.native_type();
        native.is_none_or(|native| !matches!(self.cell.find_for(native), Found::Unknown))
    }
}
