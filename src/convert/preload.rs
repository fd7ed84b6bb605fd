//! numpy and its C interface, as the package is imported.
//!
//! The crate `numpy` looks for the C interface when that is first used, by running Python code, and panics where that fails: by
//! Ctrl-C, say, or in a daemon thread that the end of the interpreter meets. So all that is used later is looked up now.

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
