//! Calls into Python that can run Python code, and may therefore still be running when the interpreter ends; and which
//! interpreter that is.
//!
//! Up to Python 3.13, if a thread asks for the interpreter's lock after the interpreter has ended, Python ends the thread by
//! unwinding its stack. PyO3 declares Python's functions as ones that do not unwind, so the process would abort. This module
//! declares them as functions that unwind, and the thread stays in the call for good, as it does in newer Pythons. (PyO3 itself
//! handles attaching.) Whatever can run Python code on an object that is not this package's own is therefore called through
//! this module: `tests/test_exit_in_python_code.py` checks the files that see Python.

use pyo3::BoundObject;
use pyo3::exceptions::PyAttributeError;
use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::ffi::{c_double, c_int};
use std::mem::ManuallyDrop;
use std::ops::Deref;

/// If the stack of a thread is unwound down to here, the thread stays here until the process ends.
struct StayHere;

impl Drop for StayHere {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Runs `work`, which Python may unwind.
#[inline]
fn guarded<T>(work: impl FnOnce() -> T) -> T {
    let unwound = StayHere;
    let result = work();
    std::mem::forget(unwound);
    result
}

/// Calls a function of Python as one that may unwind. `black_box` hides the function from the compiler, which would otherwise
/// use the declaration that it does not unwind.
macro_rules! call_python {
    ($function:path: fn($($type:ty),*) -> $result:ty, $($argument:expr),*) => {{
        type Exact = unsafe extern "C" fn($($type),*) -> $result;
        type Unwinding = unsafe extern "C-unwind" fn($($type),*) -> $result;
        // SAFETY: the types differ only in what they say of unwinding. Every caller is attached, and the references that it
        // passes are alive.
        guarded(|| unsafe {
            let function = std::mem::transmute::<Exact, Unwinding>($function);
            std::hint::black_box(function)($($argument),*)
        })
    }};
}

type Object = *mut PyObject;

/// The result of a function of Python.
fn taken<'py>(py: Python<'py>, result: Object) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

/// As [`taken`], for functions that return -1 if an exception is set.
fn checked<T: PartialEq>(py: Python<'_>, result: T, bad: T) -> PyResult<T> {
    if result == bad
        && let Some(error) = PyErr::take(py)
    {
        return Err(error);
    }
    Ok(result)
}

fn is_true(py: Python<'_>, result: c_int) -> PyResult<bool> {
    Ok(checked(py, result, -1)? != 0)
}

/// `function(*args, **kwargs)`
pub fn call<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    let (function, args, py) = (function.as_ptr(), args.as_ptr(), function.py());
    taken(
        py,
        call_python!(ffi::PyObject_Call: fn(Object, Object, Object) -> Object, function, args, kwargs),
    )
}

/// `object.name(*args)`
pub fn call_method<'py>(
    object: &Bound<'py, PyAny>,
    name: impl IntoPyObject<'py, Target = PyString>,
    args: impl IntoPyObject<'py, Target = PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let args = args.into_pyobject(object.py()).map_err(Into::into)?;
    call(&getattr(object, name)?, &args.as_borrowed(), None)
}

/// `object.name`
pub fn getattr<'py>(
    object: &Bound<'py, PyAny>,
    name: impl IntoPyObject<'py, Target = PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let name = name.into_pyobject(py).map_err(Into::into)?;
    let (object, name) = (object.as_ptr(), name.as_borrowed());
    let name = name.as_ptr();
    taken(
        py,
        call_python!(ffi::PyObject_GetAttr: fn(Object, Object) -> Object, object, name),
    )
}

/// `hasattr(object, name)`
pub fn hasattr<'py>(
    object: &Bound<'py, PyAny>,
    name: impl IntoPyObject<'py, Target = PyString>,
) -> PyResult<bool> {
    match getattr(object, name) {
        Ok(_) => Ok(true),
        Err(error) if error.is_instance_of::<PyAttributeError>(object.py()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `object.name = value`
pub fn setattr<'py>(
    object: &Bound<'py, PyAny>,
    name: impl IntoPyObject<'py, Target = PyString>,
    value: impl IntoPyObject<'py>,
) -> PyResult<()> {
    let py = object.py();
    let name = name.into_pyobject(py).map_err(Into::into)?;
    let value = value.into_pyobject(py).map_err(Into::into)?;
    let (object, name, value) = (object.as_ptr(), name.as_borrowed(), value.as_borrowed());
    let (name, value) = (name.as_ptr(), value.as_ptr());
    let set = call_python!(ffi::PyObject_SetAttr: fn(Object, Object, Object) -> c_int, object, name, value);
    checked(py, set, -1).map(drop)
}

/// `bool(object)`
pub fn truth(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let value = object.as_ptr();
    is_true(
        object.py(),
        call_python!(ffi::PyObject_IsTrue: fn(Object) -> c_int, value),
    )
}

/// `str(object)`
pub fn str<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let value = object.as_ptr();
    let text = call_python!(ffi::PyObject_Str: fn(Object) -> Object, value);
    Ok(taken(object.py(), text)?.cast_into()?)
}

/// `repr(object)`
pub fn repr<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    let value = object.as_ptr();
    let text = call_python!(ffi::PyObject_Repr: fn(Object) -> Object, value);
    Ok(taken(object.py(), text)?.cast_into()?)
}

/// `len(object)`
pub fn len(object: &Bound<'_, PyAny>) -> PyResult<usize> {
    let value = object.as_ptr();
    let length = call_python!(ffi::PyObject_Size: fn(Object) -> Py_ssize_t, value);
    Ok(checked(object.py(), length, -1)?.cast_unsigned())
}

/// A number as a double (`__float__`, `__index__`): unlike `float(object)`, this does not accept texts.
pub fn double(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    let value = object.as_ptr();
    let number = call_python!(ffi::PyFloat_AsDouble: fn(Object) -> c_double, value);
    checked(object.py(), number, -1.0)
}

/// `operator.index(object)`: an int, which can be extracted without further calls.
pub fn index<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let value = object.as_ptr();
    taken(
        object.py(),
        call_python!(ffi::PyNumber_Index: fn(Object) -> Object, value),
    )
}

/// `isinstance(object, class)`
pub fn is_instance(object: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let (value, class) = (object.as_ptr(), class.as_ptr());
    is_true(
        object.py(),
        call_python!(ffi::PyObject_IsInstance: fn(Object, Object) -> c_int, value, class),
    )
}

/// `object[key]`
pub fn get_item<'py>(
    object: &Bound<'py, PyAny>,
    key: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let key = key.into_pyobject(py).map_err(Into::into)?;
    let (object, key) = (object.as_ptr(), key.as_borrowed());
    let key = key.as_ptr();
    taken(
        py,
        call_python!(ffi::PyObject_GetItem: fn(Object, Object) -> Object, object, key),
    )
}

/// `importlib.import_module(name)`
pub fn import<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let name = PyString::new(py, name);
    let name = name.as_ptr();
    taken(
        py,
        call_python!(ffi::PyImport_Import: fn(Object) -> Object, name),
    )
}

/// What `iter(object)` gives.
pub struct Iter<'py>(Bound<'py, PyAny>);

/// `iter(object)`
pub fn iter<'py>(object: &Bound<'py, PyAny>) -> PyResult<Iter<'py>> {
    let value = object.as_ptr();
    taken(
        object.py(),
        call_python!(ffi::PyObject_GetIter: fn(Object) -> Object, value),
    )
    .map(Iter)
}

impl<'py> Iterator for Iter<'py> {
    type Item = PyResult<Bound<'py, PyAny>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (iterator, py) = (self.0.as_ptr(), self.0.py());
        let item = call_python!(ffi::PyIter_Next: fn(Object) -> Object, iterator);
        if item.is_null() {
            return PyErr::take(py).map(Err);
        }
        Some(taken(py, item))
    }
}

/// Drops a reference to an object that may be a user's: `__del__` is called if this was the last reference.
pub fn release<T>(object: Bound<'_, T>) {
    let object = object.into_ptr();
    call_python!(ffi::Py_DecRef: fn(Object) -> (), object);
}

/// A reference to an object that may be a user's; it is dropped by [`release`].
pub struct Released<'py, T = PyAny>(ManuallyDrop<Bound<'py, T>>);

impl<'py, T> Released<'py, T> {
    pub fn new(object: Bound<'py, T>) -> Released<'py, T> {
        Released(ManuallyDrop::new(object))
    }
}

impl<'py, T> Deref for Released<'py, T> {
    type Target = Bound<'py, T>;

    fn deref(&self) -> &Bound<'py, T> {
        &self.0
    }
}

impl<T> Drop for Released<'_, T> {
    fn drop(&mut self) {
        // SAFETY: only this takes the object, and only once.
        release(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}

/// Drops an exception, and with its traceback the variables of the functions that it came through.
pub fn discard(py: Python<'_>, error: PyErr) {
    release(error.into_value(py).into_bound(py));
}

/// Reports an exception that no caller can catch (`sys.unraisablehook`), and drops it.
pub fn report_unraisable(py: Python<'_>, error: PyErr) {
    error.restore(py);
    let nothing = std::ptr::null_mut();
    call_python!(ffi::PyErr_WriteUnraisable: fn(Object) -> (), nothing);
}

/// Whether the calling thread is in the process's main interpreter, not in a sub-interpreter.
pub fn in_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: the thread is attached, so there is an interpreter, which lives while it is.
    unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) == 0 }
}
