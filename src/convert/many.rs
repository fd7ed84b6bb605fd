//! Values for many channels: one for all, or one for each.

use super::arrays::{array_element, fail_masked, plain_layout};
use super::elements::{Given, Misfit, append, explain, has_no_double};
use super::outgoing::outgoing;
use super::strings::is_text;
use super::target::To;
use crate::calls::{hasattr, iter, len};
use crate::client::channel::Channel;
use crate::client::group::items::Items;
use crate::errors::{bad_argument, misuse};
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList};
use std::sync::Arc;

/// The values that the caller gave for a group.
pub enum Values<'py> {
    Numbers(Numbers),
    /// For all.
    One(Bound<'py, PyAny>),
    Each(Vec<Bound<'py, PyAny>>),
}

/// Numbers in memory of our own: they are converted without the interpreter's lock.
pub enum Numbers {
    One(Given),
    Each(Vec<Given>),
    /// The bytes of a numpy array with elements of this kind and size.
    Array {
        kind: u8,
        size: usize,
        bytes: Vec<u8>,
    },
}

/// The values for `number` channels; raises if there are more or fewer.
pub fn values<'py>(given: &Bound<'py, PyAny>, number: usize) -> PyResult<Values<'py>> {
    if let Some(scalar) = plain_number(given) {
        return Ok(Values::Numbers(Numbers::One(scalar)));
    }
    if !is_sequence(given)? {
        return Ok(Values::One(given.clone()));
    }
    let length = len(given)?;
    if length != number {
        return Err(bad_argument(format!(
            "{number} PVs need {number} values, or a single one for all, not {length}"
        )));
    }
    if let Ok(array) = given.cast::<PyUntypedArray>() {
        fail_masked(array)?;
        if array.ndim() == 1 && matches!(array.dtype().kind(), b'b' | b'i' | b'u' | b'f') {
            return Ok(Values::Numbers(array_numbers(array)?));
        }
    } else if let Ok(list) = given.cast::<PyList>() {
        let numbers: Option<Vec<Given>> = list.iter().map(|item| plain_number(&item)).collect();
        if let Some(numbers) = numbers.filter(|numbers| numbers.len() == number) {
            return Ok(Values::Numbers(Numbers::Each(numbers)));
        }
    }
    // No more than that: the sequence may have no end.
    let items: Vec<_> = iter(given)?.take(number + 1).collect::<PyResult<_>>()?;
    if items.len() != number {
        return Err(bad_argument("the values changed while they were looked at"));
    }
    Ok(Values::Each(items))
}

/// A Python float, or an int of no more than 64 bits.
fn plain_number(item: &Bound<'_, PyAny>) -> Option<Given> {
    if let Ok(float) = item.cast::<PyFloat>() {
        return Some(Given::Float(float.value()));
    }
    let int = item.cast::<PyInt>().ok()?;
    int.extract::<i64>()
        .ok()
        .map(|value| Given::Int(value.into()))
}

fn is_sequence(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    if is_text(given) {
        return Ok(false);
    }
    if let Ok(array) = given.cast::<PyUntypedArray>() {
        return Ok(array.ndim() > 0);
    }
    Ok(hasattr(given, "__len__")? && hasattr(given, "__getitem__")? && !hasattr(given, "keys")?)
}

fn array_numbers(array: &Bound<'_, PyUntypedArray>) -> PyResult<Numbers> {
    let flat = plain_layout(array.as_any())?;
    let (kind, size) = (flat.dtype().kind(), flat.dtype().itemsize());
    let length = flat.len() * size;
    let bytes = if length == 0 {
        Vec::new()
    } else {
        // SAFETY: `plain_layout` made it contiguous, and we hold a reference to it. A program that writes into it in another
        // thread meanwhile gets some mixture of old and new.
        unsafe {
            std::slice::from_raw_parts((*flat.as_array_ptr()).fields.data.cast::<u8>(), length)
        }
        .to_vec()
    };
    Ok(Numbers::Array { kind, size, bytes })
}

impl Numbers {
    fn get(&self, index: usize) -> Option<Given> {
        match self {
            Numbers::One(given) => Some(*given),
            Numbers::Each(all) => all.get(index).copied(),
            Numbers::Array { kind, size, bytes } => {
                array_element(*kind, bytes.get(index * size..(index + 1) * size)?)
            }
        }
    }

    /// The values to write to the channels. `None` if Python has to convert them: if one of the channels takes text, or an
    /// integer that no double holds may have to be sent as text.
    pub fn items(&self, channels: &[Arc<Channel>]) -> Option<Result<Items, Error>> {
        let mut items = Items::for_channels(channels.len());
        for (index, channel) in channels.iter().enumerate() {
            let base = match channel.native_type() {
                Some(Base::String) => return None,
                Some(base) => base,
                None => {
                    items.skip();
                    continue;
                }
            };
            let given = self.get(index)?;
            if base == Base::Double && has_no_double(given) {
                return None;
            }
            let added = items.add(DbrType::plain(base), 1, |bytes| append(bytes, given, base));
            if let Err(misfit) = added {
                return Some(Err(refused(misfit, given, base, channel.name())));
            }
        }
        Some(Ok(items))
    }
}

fn refused(misfit: Misfit, given: Given, base: Base, pv: &str) -> Error {
    Error {
        kind: ErrorKind::Value,
        status: Status::NOCONVERT,
        pv: Some(pv.to_owned()),
        detail: explain(misfit, given, base),
    }
}

/// The values to write to the channels, from Python objects of any type; `states` gives the names of an enum's states. Channels
/// that are not connected get nothing.
pub fn items<'py>(
    channels: &[Arc<Channel>],
    value: impl Fn(usize) -> Bound<'py, PyAny>,
    states: impl Fn(&Arc<Channel>) -> PyResult<Vec<Vec<u8>>>,
) -> PyResult<Items> {
    let mut items = Items::for_channels(channels.len());
    for (index, channel) in channels.iter().enumerate() {
        let held = channel.element_count();
        let Some(native) = channel.native_type().filter(|_| held > 0) else {
            items.skip();
            continue;
        };
        let to = To {
            pv: channel.name(),
            native,
            held,
            requested: None,
            count: None,
            cuts: false,
            states: &|| states(channel),
        };
        let out = outgoing(&value(index), &to)?;
        if out.count == 0 && held == 1 {
            let detail = "an empty sequence has nothing to write";
            return Err(misuse(
                ErrorKind::Value,
                Status::BADCOUNT,
                Some(to.pv),
                detail,
            ));
        }
        items.add(out.dbr_type, out.count, |bytes| {
            bytes.extend(out.bytes());
            Ok::<(), PyErr>(())
        })?;
    }
    Ok(items)
}
