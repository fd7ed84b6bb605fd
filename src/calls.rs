//! Calls of Python functions that may not be over when the interpreter ends; and which interpreter that is.

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// PyObject_Call as it is: it may unwind.
type Call =
    unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// Up to Python 3.13, a thread that wants the interpreter's lock when the interpreter has ended is ended, too, by unwinding
/// its stack; and Rust's frames do not bear that: the process would abort. The thread stays here instead, as newer Pythons
/// have it, and goes with the process.
struct StayHere;

impl Drop for StayHere {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Calls a function that may run for long, or wait.
pub fn call<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    let unwound = StayHere;
    // SAFETY: the types differ only in what they say of unwinding. The thread is attached, the references are alive.
    let result = unsafe {
        let exact = ffi::PyObject_Call
            as unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
        let call = std::mem::transmute::<
            unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject,
            Call,
        >(exact);
        // Not to be seen through: as PyObject_Call is declared, it does not unwind.
        std::hint::black_box(call)(function.as_ptr(), args.as_ptr(), kwargs)
    };
    std::mem::forget(unwound);
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), result) }
}

/// The calling thread is in the process's first interpreter, not in one within it.
pub fn in_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: the thread is attached, so there is an interpreter, which lives while it is.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) == 0 }
}
