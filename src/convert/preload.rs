//! numpy and its C interface, loaded when the package is imported.
//!
//! The crate `numpy` looks up the C interface when that is first used, by running Python code, and panics if that fails:
//! because of Ctrl-C, or in a daemon thread while the interpreter ends. So everything that is used later is looked up now.

use super::recorded::recorded_updates;
use crate::calls::import;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Imports numpy, and looks up its C interface.
pub fn numpy(py: Python<'_>) -> PyResult<()> {
    import(py, "numpy")?;
    // Python raises KeyboardInterrupt in its main thread only: in another one this cannot be interrupted.
    let found = py.detach(|| {
        let look_up = || Python::attach(|py| recorded_updates(py, Vec::new()).map(drop));
        std::thread::Builder::new()
            .spawn(look_up)?
            .join()
            .ok()
            .transpose()
    })?;
    found.ok_or_else(|| PyImportError::new_err("numpy's C interface is not what cachannel needs"))
}
