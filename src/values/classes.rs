//! The Python classes of values, `cachannel.values`.

use crate::calls::{getattr, import};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub(super) struct Classes {
    pub int: Py<PyAny>,
    pub float: Py<PyAny>,
    pub str: Py<PyAny>,
    pub bytes: Py<PyAny>,
    pub array: Py<PyAny>,
}

pub(super) fn classes(py: Python<'_>) -> PyResult<&'static Classes> {
    static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
    CLASSES.get_or_try_init(py, || {
        let module = import(py, "cachannel.values")?;
        let class = |name: &str| getattr(&module, name).map(Bound::unbind);
        Ok(Classes {
            int: class("IntValue")?,
            float: class("FloatValue")?,
            str: class("StrValue")?,
            bytes: class("BytesValue")?,
            array: class("ArrayValue")?,
        })
    })
}
