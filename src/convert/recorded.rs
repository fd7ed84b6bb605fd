//! Recorded updates to numpy.

use crate::client::recorder::update_buffer::RecordedUpdate;
use numpy::{Element, PyArray1, PyArrayDescr, PyArrayDescrMethods};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::mem::{offset_of, size_of};

/// The array's fields, in order and without gaps, as they are in an update.
const FIELDS: [(&str, &str); 5] = [
    ("channel", "i8"),
    ("time", "M8[ns]"),
    ("value", "f8"),
    ("severity", "i4"),
    ("status", "i4"),
];

const _: () =
    assert!(offset_of!(RecordedUpdate, time) == 8 && offset_of!(RecordedUpdate, value) == 16);
const _: () =
    assert!(offset_of!(RecordedUpdate, severity) == 24 && offset_of!(RecordedUpdate, status) == 28);
const _: () =
    assert!(offset_of!(RecordedUpdate, channel) == 0 && size_of::<RecordedUpdate>() == 32);

fn dtype(py: Python<'_>) -> PyResult<&Bound<'_, PyArrayDescr>> {
    static DTYPE: PyOnceLock<Py<PyArrayDescr>> = PyOnceLock::new();
    let dtype = DTYPE.get_or_try_init(py, || {
        let made = PyArrayDescr::new(py, FIELDS.to_vec())?;
        debug_assert_eq!(made.itemsize(), size_of::<RecordedUpdate>());
        PyResult::Ok(made.unbind())
    })?;
    Ok(dtype.bind(py))
}

// SAFETY: an update is five numbers without gaps, and the dtype describes them as they are in memory (see the assertions
// above).
unsafe impl Element for RecordedUpdate {
    const IS_COPY: bool = true;

    fn get_dtype(py: Python<'_>) -> Bound<'_, PyArrayDescr> {
        match dtype(py) {
            Ok(dtype) => dtype.clone(),
            Err(error) => panic!("no dtype for a recorder's rows: {error}"),
        }
    }

    fn clone_ref(&self, _py: Python<'_>) -> RecordedUpdate {
        *self
    }
}

/// A structured array over the updates' own memory.
pub fn recorded_updates(
    py: Python<'_>,
    updates: Vec<RecordedUpdate>,
) -> PyResult<Bound<'_, PyArray1<RecordedUpdate>>> {
    // A failure is an exception here; in `get_dtype` it would be a panic.
    dtype(py)?;
    Ok(PyArray1::from_vec(py, updates))
}
