//! Python values to DBR elements.

use super::arrays::{Numbers, as_array, is_array_array, items_of, numbers_of};
use super::elements::{Given, append, explain, has_no_double};
use super::numbers::{append_usual, given};
use super::strings::{append_string, is_text, text_of};
use super::target::{Target, To, shown};
use super::wire::Outgoing;
use crate::calls::{hasattr, iter, len};
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

/// After this many items, signals are checked: the conversion may run no Python code that would check them.
const SIGNALS_EACH: usize = 1 << 16;

/// Converts `value` for a put.
pub fn outgoing<'py>(value: &Bound<'py, PyAny>, to: &To<'_>) -> PyResult<Outgoing<'py>> {
    let dbr_type = to.requested.unwrap_or(DbrType::plain(to.native));
    if !dbr_type.is_writable() {
        return Err(Error::new(Status::BADTYPE, to.pv).into());
    }
    let mut target = Target {
        to,
        dbr_type,
        limit: to.held.min(to.count.unwrap_or(usize::MAX)),
    };
    if value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>() {
        return from_items(&target, std::slice::from_ref(value), 1);
    }
    if is_text(value) {
        let spelled = to.held > 1
            && (dbr_type == DbrType::CHAR
                || to.native == Base::Char && dbr_type == DbrType::STRING);
        if spelled {
            return char_array(&target, value);
        }
        if dbr_type == DbrType::ENUM && !target.is_one_char() {
            target.dbr_type = DbrType::STRING;
        }
        return from_items(&target, std::slice::from_ref(value), 1);
    }
    if let Ok(array) = value.cast::<PyUntypedArray>() {
        return from_array(target, array);
    }
    let is_view = value.is_instance_of::<PyMemoryView>();
    if is_view && target.base() == Base::String {
        // The bytes of a memoryview may be a text, or numbers.
        return Err(target.wrong_type(value, "")?);
    }
    if is_view || hasattr(value, "__array_interface__")? || is_array_array(value)? {
        let array = as_array(value).map_err(|error| target.unfit(value, "", error))?;
        return from_array(target, &array);
    }
    match items(&target, value)? {
        Some((items, given)) => from_sequence(target, &items, given),
        None => from_sequence(target, std::slice::from_ref(value), 1),
    }
}

/// Of `given` elements, `items` are those that are sent.
fn from_sequence<'py>(
    mut target: Target<'_>,
    items: &[Bound<'py, PyAny>],
    given: usize,
) -> PyResult<Outgoing<'py>> {
    // The server looks up names of states, as it does for a single name.
    if target.dbr_type == DbrType::ENUM
        && !target.is_one_char()
        && !items.is_empty()
        && items.iter().all(is_text)
    {
        target.dbr_type = DbrType::STRING;
    }
    from_items(&target, items, given)
}

/// The items of a sequence that are sent, and how many it has; `None` for a scalar.
#[allow(clippy::type_complexity)] // a list and a number
fn items<'py>(
    target: &Target<'_>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<(Vec<Bound<'py, PyAny>>, usize)>> {
    let limit = target.limit;
    if let Ok(list) = value.cast::<PyList>() {
        return Ok(Some((list.iter().take(limit).collect(), list.len())));
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return Ok(Some((tuple.iter().take(limit).collect(), tuple.len())));
    }
    if !hasattr(value, "__len__")? || !hasattr(value, "__getitem__")? || hasattr(value, "keys")? {
        return Ok(None);
    }
    let collect = || {
        let length = len(value)?;
        // The sequence may have more items than its length, without an end.
        let items: Vec<_> = iter(value)?
            .take(length.min(limit))
            .collect::<PyResult<_>>()?;
        // The sequence may have fewer items than its length.
        let given = if items.len() < length.min(limit) {
            items.len()
        } else {
            length
        };
        Ok((items, given))
    };
    collect()
        .map(Some)
        .map_err(|error| target.unfit(value, "", error))
}

fn from_items<'py>(
    target: &Target<'_>,
    items: &[Bound<'py, PyAny>],
    given: usize,
) -> PyResult<Outgoing<'py>> {
    let single = given == 1;
    let cut = target.cut(given, "elements")?;
    let items = &items[..items.len().min(target.limit)];
    let base = match target.base() {
        Base::String if target.is_one_char() => Base::Char,
        base => base,
    };
    let mut bytes = Vec::with_capacity(items.len() * base.size());
    let is_exact = target.is_exact();
    for (index, item) in items.iter().enumerate() {
        if append_usual(&mut bytes, base, item) {
            continue;
        }
        let place = || {
            if single {
                String::new()
            } else {
                format!("item {index}: ")
            }
        };
        if index % SIGNALS_EACH == SIGNALS_EACH - 1 {
            item.py().check_signals()?;
        }
        if base == Base::String {
            append_string(&mut bytes, target, item, &place)?;
            continue;
        }
        let number = self::given(target, base, item, &place)?;
        if is_exact && has_no_double(number) {
            let text = as_text(target, &number, &place)?;
            return Ok(text.with_cut(cut));
        }
        append(&mut bytes, number, base).map_err(|misfit| {
            let detail = place() + &explain(misfit, number, base);
            target.fail(ErrorKind::Value, Status::NOCONVERT, detail)
        })?;
    }
    let out = match (target.base(), base) {
        // As text, a server accepts numbers that are valid for signed and unsigned CHARs. A number that is valid for one of
        // them only is sent as CHAR.
        (Base::String, Base::Char) if bytes.len() == 1 && bytes[0] < 128 => {
            Outgoing::string(&bytes[0].to_string())
        }
        (Base::String, Base::Char) => Outgoing::owned(DbrType::CHAR, items.len(), &bytes),
        _ => Outgoing::owned(target.dbr_type, items.len(), &bytes),
    };
    Ok(out.with_cut(cut))
}

/// An integer that no double holds, for a PV that appears as one of doubles, and may be one of integers.
fn as_text<'py>(
    target: &Target<'_>,
    number: &Given,
    place: &dyn Fn() -> String,
) -> PyResult<Outgoing<'py>> {
    if target.to.held <= 1 {
        return Ok(Outgoing::string(&number.to_string()));
    }
    let detail = format!(
        "{}{number} is no double, and an array of DOUBLE is sent as doubles: with float() or ca.DBR_DOUBLE it is rounded",
        place()
    );
    Err(target.fail(ErrorKind::Value, Status::NOCONVERT, detail))
}

/// A text to a CHAR array: its bytes and a NUL, as far as they fit.
fn char_array<'py>(target: &Target<'_>, value: &Bound<'_, PyAny>) -> PyResult<Outgoing<'py>> {
    let mut text = text_of(target, value, "")?;
    let is_str = value.is_instance_of::<PyString>();
    let end = text
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |i| i + 1);
    // In bytes, a NUL may be a number among others; in a text it would hide the rest.
    if is_str && text[..end].contains(&0) {
        let detail = format!(
            "{} contains NUL, which ends a string: send bytes",
            shown(value)?
        );
        return Err(target.fail(ErrorKind::Value, Status::BADSTR, detail));
    }
    let cut = target.cut(end, "bytes")?;
    text.push(0);
    text.truncate(target.limit);
    let out = Outgoing::owned(DbrType::CHAR, text.len(), &text);
    Ok(out.with_cut(cut))
}

/// An array: its memory if it can be sent as it is, or else its items as Python objects.
fn from_array<'py>(
    target: Target<'_>,
    array: &Bound<'py, PyUntypedArray>,
) -> PyResult<Outgoing<'py>> {
    let given = array.len();
    let cut = target.cut(given, "elements")?;
    let out = match numbers_of(&target, array)? {
        Numbers::Ready(out) => out,
        Numbers::Exact(number) => as_text(&target, &number, &String::new)?,
        Numbers::None => {
            let items = items_of(&target, array)?;
            return from_sequence(target, &items, given);
        }
    };
    Ok(out.with_cut(cut))
}
