//! The text in bytes.
//!
//! Channel Access does not define an encoding. Servers send UTF-8 and Latin-1, and cut a text that is too long at any byte.

use crate::protocol::dbr::{Base, MAX_ENUM_STRING_SIZE, MAX_STRING_SIZE, MAX_UNITS_SIZE};
use crate::protocol::validate::Shape;
use crate::protocol::value::Dbr;
use crate::protocol::view;
use std::borrow::Cow;
use std::str::Utf8Error;

/// Bytes that a field of Channel Access can carry: one is for the NUL.
pub const UNITS: usize = MAX_UNITS_SIZE - 1;
pub const STATE: usize = MAX_ENUM_STRING_SIZE - 1;
pub const STRING: usize = MAX_STRING_SIZE - 1;

/// A text in a field that carries `room` bytes: UTF-8 or, if the bytes are not valid UTF-8, Latin-1. A character that was cut
/// at the end of the field is dropped.
#[inline]
pub fn decoded(bytes: &[u8], room: usize) -> Cow<'_, str> {
    spelled(bytes, bytes.len() >= room)
}

/// The text in an array of CHAR, up to its NUL.
pub fn in_elements(elements: &[u8]) -> Cow<'_, str> {
    let bytes = view::text(elements);
    // Without a NUL, the text may be longer than the array. And some servers send updates of a long string as a STRING.
    spelled(
        bytes,
        bytes.len() == elements.len() || bytes.len() == STRING,
    )
}

/// The text of an enum's state in a STRING. A record holds the names of its states in the room that a list of states has, and
/// they are cut there; the names of other servers, and those of menus, may fill the STRING.
pub fn of_state(bytes: &[u8]) -> Cow<'_, str> {
    spelled(bytes, [STATE, STRING].contains(&bytes.len()))
}

/// The text of a value: of a STRING, or in the elements of a CHAR array.
pub fn of(dbr: &Dbr) -> Cow<'_, str> {
    let view = dbr.view();
    match dbr.shape {
        Shape::Text => in_elements(view.value_bytes()),
        Shape::State => of_state(view.string(0)),
        _ if dbr.dbr_type.base() == Base::String => decoded(view.string(0), STRING),
        _ => Cow::Borrowed(""),
    }
}

#[inline]
fn spelled(bytes: &[u8], may_be_cut: bool) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) => otherwise(bytes, error, may_be_cut),
    }
}

#[cold]
fn otherwise(bytes: &[u8], error: Utf8Error, may_be_cut: bool) -> Cow<'_, str> {
    let is_cut = may_be_cut && error.error_len().is_none();
    if is_cut && let Ok(text) = std::str::from_utf8(&bytes[..error.valid_up_to()]) {
        return Cow::Borrowed(text);
    }
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_that_was_cut_is_dropped() {
        let units = "µA/cm²".as_bytes();
        assert_eq!(decoded(&units[..UNITS], UNITS), "µA/cm");
        assert_eq!(decoded(units, UNITS), "µA/cm²");
        // Where there was room for more, nothing was cut.
        assert_eq!(decoded(&units[..UNITS], UNITS + 1), "ÂµA/cmÂ");
        let state = format!("{}é", "x".repeat(STATE - 1));
        assert_eq!(
            decoded(&state.as_bytes()[..STATE], STATE),
            "x".repeat(STATE - 1)
        );
        let string = format!("{}€", "x".repeat(STRING - 2));
        assert_eq!(
            decoded(&string.as_bytes()[..STRING], STRING),
            "x".repeat(STRING - 2)
        );
    }

    #[test]
    fn a_state_is_cut_where_a_list_of_states_cuts_it() {
        for cut in [STATE, STRING] {
            let state = format!("{}é", "x".repeat(cut - 1));
            assert_eq!(of_state(&state.as_bytes()[..cut]), "x".repeat(cut - 1));
        }
        assert_eq!(of_state(b"caf\xe9"), "café");
        assert_eq!(of_state(&[b'\xe9'; STATE + 5]), "é".repeat(STATE + 5));
    }

    #[test]
    fn what_is_no_utf8_is_latin1() {
        assert_eq!(decoded(b"\xb5A", UNITS), "µA");
        assert_eq!(decoded(b"caf\xe9", STRING), "café");
        // Not its end alone.
        assert_eq!(decoded(b"\xb5A/cm\xc2\xb2", UNITS), "µA/cmÂ²");
        assert_eq!(decoded(b"\xe9\xe9\xe9\xe9\xe9\xe9\xe9", UNITS), "ééééééé");
    }

    #[test]
    fn a_text_in_elements_ends_with_its_nul() {
        assert_eq!(in_elements(b"ab\0cd"), "ab");
        assert_eq!(in_elements(b"abcd"), "abcd");
        assert_eq!(in_elements(b""), "");
        assert_eq!(in_elements(b"ab\xc3"), "ab");
        assert_eq!(in_elements(b"ab\xc3\0"), "abÃ");
        let mut update = [b'x'; STRING + 20];
        update[STRING - 1] = 0xc3;
        update[STRING..].fill(0);
        assert_eq!(in_elements(&update), "x".repeat(STRING - 1));
    }

    proptest! {
        #[test]
        fn utf8_stays_what_it_is(text in "[^\\x00]*", room in 0usize..60) {
            prop_assert_eq!(decoded(text.as_bytes(), room), text.as_str());
            prop_assert_eq!(in_elements(text.as_bytes()), text.as_str());
        }

        #[test]
        fn what_was_cut_is_the_beginning(text in "[^\\x00]{1,30}", cut in 1usize..40) {
            let bytes = &text.as_bytes()[..cut.min(text.len())];
            let spelled = decoded(bytes, bytes.len());
            prop_assert!(text.starts_with(&*spelled));
            prop_assert!(bytes.len() - spelled.len() < 4);
        }
    }
}
