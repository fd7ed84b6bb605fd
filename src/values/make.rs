//! A value with what came along.

use super::classes::classes;
use super::update::Update;
use super::{Face, Manner};
use crate::calls::{call, call_method, import, setattr};
use crate::client::channel::Channel;
use crate::convert::text::{self, STATE, decoded};
use crate::convert::{Memory, elements};
use crate::protocol::dbr::{Base, DbrClass};
use crate::protocol::validate::Shape;
use crate::protocol::value::Dbr;
use crate::protocol::view::{Number, View};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::sync::Arc;

/// A value of the class for it. `properties`: a CTRL structure that came beside it, if one did.
pub fn value<'py>(
    py: Python<'py>,
    channel: &Arc<Channel>,
    dbr: &Arc<Dbr>,
    properties: Option<Arc<Dbr>>,
    manner: Manner,
) -> PyResult<Bound<'py, PyAny>> {
    let plain = plain(py, channel, dbr, properties.as_ref(), manner)?;
    let classes = classes(py)?;
    let made = if plain.is_exact_instance_of::<PyFloat>() {
        of(&classes.float, &plain)?
    } else if plain.is_exact_instance_of::<PyInt>() {
        of(&classes.int, &plain)?
    } else if plain.is_exact_instance_of::<PyString>() {
        of(&classes.str, &plain)?
    } else if plain.is_exact_instance_of::<PyBytes>() {
        of(&classes.bytes, &plain)?
    } else {
        call_method(&plain, intern!(py, "view"), (classes.array.bind(py),))?
    };
    let brings_properties = matches!(dbr.dbr_type.form(), DbrClass::Ctrl | DbrClass::Gr);
    let update = Update {
        channel: channel.clone(),
        dbr: dbr.clone(),
        properties: if brings_properties {
            Some(dbr.clone())
        } else {
            properties
        },
        face: manner.face,
        element_count: match channel.element_count() {
            0 => dbr.count,
            held => held,
        },
    };
    setattr(&made, intern!(py, "_update"), Bound::new(py, update)?)?;
    Ok(made)
}

fn of<'py>(class: &Py<PyAny>, plain: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = plain.py();
    call(class.bind(py), &PyTuple::new(py, [plain])?, None)
}

/// The number, the text or the array alone.
fn plain<'py>(
    py: Python<'py>,
    channel: &Channel,
    dbr: &Arc<Dbr>,
    properties: Option<&Arc<Dbr>>,
    manner: Manner,
) -> PyResult<Bound<'py, PyAny>> {
    let view = dbr.view();
    let is_array = dbr.shape == Shape::Array
        || manner.face == Face::Aio && dbr.shape == Shape::Scalar && channel.element_count() > 1;
    if manner.as_bytes && dbr.shape == Shape::Text {
        let bytes = crate::protocol::view::text(view.value_bytes());
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    if manner.as_bytes && dbr.dbr_type.base() == Base::String && !is_array {
        return Ok(PyBytes::new(py, view.string(0)).into_any());
    }
    if dbr.dbr_type.base() == Base::Enum && manner.state_texts {
        let states = match properties {
            Some(properties) => properties.view(),
            None => view,
        };
        let states: Vec<_> = states.states();
        let texts = (0..view.count).map(|index| state_text(&view, index, &states));
        if !is_array {
            let text = texts.into_iter().next().unwrap_or_default();
            return Ok(PyString::new(py, &text).into_any());
        }
        return text_array(py, texts.collect());
    }
    if !is_array {
        return elements(py, dbr, true, Memory::Share);
    }
    if dbr.dbr_type.base() == Base::String {
        let texts = (0..view.count)
            .map(|index| decoded(view.string(index), text::STRING).into_owned())
            .collect();
        return text_array(py, texts);
    }
    if dbr.shape == Shape::Array {
        return elements(py, dbr, true, Memory::Share);
    }
    // One element that was asked for of an array.
    let one = elements(py, dbr, true, Memory::Share)?;
    let numpy = import(py, "numpy")?;
    call_method(&numpy, intern!(py, "atleast_1d"), (one,))
}

/// The name of an enum's state, or its number where the state has none.
fn state_text(view: &View<'_>, index: usize, states: &[&[u8]]) -> String {
    let number = match view.number(index) {
        Number::Int(number) => number,
        Number::Float(number) => number as i64,
    };
    let named = usize::try_from(number)
        .ok()
        .and_then(|index| states.get(index))
        .filter(|name| !name.is_empty());
    match named {
        Some(name) => decoded(name, STATE).into_owned(),
        None => number.to_string(),
    }
}

fn text_array(py: Python<'_>, texts: Vec<String>) -> PyResult<Bound<'_, PyAny>> {
    let numpy = import(py, "numpy")?;
    let texts = PyList::new(py, texts)?;
    let class = py.get_type::<PyString>();
    call_method(&numpy, intern!(py, "array"), (texts, class))
}
