//! Python values to DBR elements.

use super::arrays::{Numbers, as_array, is_array_array, items_of, numbers_of};
use super::elements::{Given, append, explain, has_no_double};
use super::numbers::given;
use super::strings::{append_string, is_text, text_of};
use crate::calls::{hasattr, iter, len, repr, str};
use crate::errors::refused;
use crate::protocol::dbr::{Base, DbrType, MAX_STRING_SIZE};
use crate::protocol::error::{Error, ErrorKind};
use crate::protocol::status::Status;
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyException, PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

/// After so many items Ctrl-C is looked for: their conversion may run no Python code that would.
const SIGNALS_EACH: usize = 1 << 16;

/// What a value is written to, and how.
pub struct To<'a> {
    pub pv: &'a str,
    pub native: Base,
    /// Elements that the PV holds.
    pub held: usize,
    /// The caller's request type.
    pub requested: Option<DbrType>,
    /// The caller's count: elements that are sent at most.
    pub count: Option<usize>,
    /// More elements than the PV holds are cut, as in 3.x, not refused.
    pub cuts: bool,
    /// The names of an enum's states, in the bytes in which the server gives them.
    pub states: &'a dyn Fn() -> PyResult<Vec<Vec<u8>>>,
}

/// What goes over the wire: `count` elements of `dbr_type`. None at all where there was none in the value.
pub struct Outgoing<'py> {
    pub dbr_type: DbrType,
    pub count: usize,
    /// How many elements were given, where the PV holds fewer and they were cut.
    pub cut: Option<usize>,
    data: Data<'py>,
}

enum Data<'py> {
    /// Words, so that every element type is aligned.
    Owned(Vec<u64>, usize),
    /// A numpy array that has the wire's type: sent from where it lies.
    Array(Bound<'py, PyUntypedArray>, usize),
}

impl<'py> Outgoing<'py> {
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            // SAFETY: the words are initialised, and there are at least `len` bytes of them.
            Data::Owned(words, len) => unsafe {
                std::slice::from_raw_parts(words.as_ptr().cast(), *len)
            },
            Data::Array(_, 0) => &[],
            // SAFETY: `numbers_of` has seen to it that the array is contiguous and holds `len` bytes, and we hold a
            // reference, so numpy keeps its memory. A program that writes into an array in one thread while another
            // puts it gets some mixture of old and new on the wire, as with any function that takes an array.
            Data::Array(array, len) => unsafe {
                std::slice::from_raw_parts((*array.as_array_ptr()).fields.data.cast::<u8>(), *len)
            },
        }
    }

    pub(super) fn owned(dbr_type: DbrType, count: usize, bytes: &[u8]) -> Outgoing<'py> {
        let words = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_ne_bytes(word)
            })
            .collect();
        Outgoing {
            dbr_type,
            count,
            cut: None,
            data: Data::Owned(words, bytes.len()),
        }
    }

    /// The array must be contiguous, and hold so many elements of the wire's type.
    pub(super) fn array(
        dbr_type: DbrType,
        count: usize,
        array: Bound<'py, PyUntypedArray>,
    ) -> Outgoing<'py> {
        let len = count * dbr_type.base().size();
        Outgoing {
            dbr_type,
            count,
            cut: None,
            data: Data::Array(array, len),
        }
    }

    /// One element of type STRING. The text must have less than 40 bytes.
    fn string(text: &str) -> Outgoing<'py> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(MAX_STRING_SIZE, 0);
        Outgoing::owned(DbrType::STRING, 1, &bytes)
    }
}

/// What a value is for, for conversion and for messages.
pub(super) struct Target<'a> {
    pub to: &'a To<'a>,
    /// The type that travels.
    pub dbr_type: DbrType,
    /// Elements that are sent at most.
    pub limit: usize,
}

impl Target<'_> {
    pub fn base(&self) -> Base {
        self.dbr_type.base()
    }

    /// A CHAR of one element is a number, whatever type is asked for.
    fn is_one_char(&self) -> bool {
        self.to.native == Base::Char && self.to.held <= 1
    }

    /// Integers that no double holds are not to be rounded: nobody has asked for doubles.
    pub fn is_exact(&self) -> bool {
        self.to.requested.is_none() && self.to.native == Base::Double
    }

    pub fn fail(&self, kind: ErrorKind, status: Status, detail: String) -> PyErr {
        Error {
            kind,
            status,
            pv: Some(self.to.pv.to_owned()),
            detail,
        }
        .into()
    }

    /// An item of a type that does not convert.
    pub fn wrong_type(&self, item: &Bound<'_, PyAny>, place: &str) -> PyResult<PyErr> {
        let detail = format!(
            "{place}{} of type {} does not convert to {}: give a number, str, bytes, a sequence or a numpy array of them",
            shown(item)?,
            type_name(item),
            self.base().name()
        );
        Ok(self.fail(ErrorKind::Type, Status::NOCONVERT, detail))
    }

    /// What is to be raised where an item raised `error` when it was asked for its value.
    pub fn unfit(&self, item: &Bound<'_, PyAny>, place: &str, error: PyErr) -> PyErr {
        let py = item.py();
        refused(py, error, |error| {
            if error.is_instance_of::<PyTypeError>(py) {
                return self.wrong_type(item, place);
            }
            let detail = format!(
                "{place}{} does not convert to {}: {}",
                shown(item)?,
                self.base().name(),
                str(error.value(py))?.to_string_lossy()
            );
            Ok(self.fail(ErrorKind::Value, Status::NOCONVERT, detail))
        })
    }

    /// What becomes of `given` elements, where the PV holds fewer: how many there were, or an error. A caller who gives
    /// a count below what the PV holds has asked for just that.
    fn cut(&self, given: usize, what: &str) -> PyResult<Option<usize>> {
        let held = self.to.held;
        if given <= held || self.to.count.is_some_and(|count| count < held) {
            return Ok(None);
        }
        if self.to.cuts && held > 0 {
            return Ok(Some(given));
        }
        let detail = format!("{given} {what} were given, and the PV holds {held}");
        Err(self.fail(ErrorKind::Value, Status::BADCOUNT, detail))
    }
}

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
        // Its bytes may be those of a text, or numbers.
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

/// `given` elements, of which `items` are those that are sent.
fn from_sequence<'py>(
    mut target: Target<'_>,
    items: &[Bound<'py, PyAny>],
    given: usize,
) -> PyResult<Outgoing<'py>> {
    // Names of states, like a single one, are for the server to look up.
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
        // It may have more than it says, without an end.
        let items: Vec<_> = iter(value)?
            .take(length.min(limit))
            .collect::<PyResult<_>>()?;
        // It may have fewer.
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
    for (index, item) in items.iter().enumerate() {
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
        if target.is_exact() && has_no_double(number) {
            let text = as_text(target, &number, &place)?;
            return Ok(Outgoing { cut, ..text });
        }
        append(&mut bytes, number, base).map_err(|misfit| {
            let detail = place() + &explain(misfit, number, base);
            target.fail(ErrorKind::Value, Status::NOCONVERT, detail)
        })?;
    }
    let out = match (target.base(), base) {
        // As text a server takes what is right for signed and unsigned ones; what only one of them takes goes as it is.
        (Base::String, Base::Char) if bytes.len() == 1 && bytes[0] < 128 => {
            Outgoing::string(&bytes[0].to_string())
        }
        (Base::String, Base::Char) => Outgoing::owned(DbrType::CHAR, items.len(), &bytes),
        _ => Outgoing::owned(target.dbr_type, items.len(), &bytes),
    };
    Ok(Outgoing { cut, ..out })
}

/// An integer that no double holds, for a PV that looks like one of doubles, and may be one of integers.
fn as_text<'py>(
    target: &Target<'_>,
    number: &Given,
    place: &dyn Fn() -> String,
) -> PyResult<Outgoing<'py>> {
    if target.to.held <= 1 {
        return Ok(Outgoing::string(&number.to_string()));
    }
    let detail = format!(
        "{}{number} is no double, and an array of DOUBLE travels as doubles: with float() or ca.DBR_DOUBLE it is rounded",
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
    // bytes may well be numbers, and a NUL among them one of them; in a text it would hide the rest.
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
    Ok(Outgoing { cut, ..out })
}

/// A sequence that came as a numpy array: its items, as Python's own objects.
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
    Ok(Outgoing { cut, ..out })
}

/// The value in a message: its repr, not too long.
pub fn shown(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = match repr(value) {
        Ok(repr) => repr.to_string_lossy().into_owned(),
        // A repr that fails is not what the message is about.
        Err(error) if is_ordinary(value.py(), &error) => "the value".to_owned(),
        Err(error) => return Err(error),
    };
    Ok(if text.chars().count() > 60 {
        text.chars().take(57).chain("...".chars()).collect()
    } else {
        text
    })
}

fn is_ordinary(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyException>(py) && !error.is_instance_of::<PyMemoryError>(py)
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().qualname().map(|name| name.to_string());
    name.unwrap_or_else(|_| "unknown".to_owned())
}
