use super::*;
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::validate::{Extent, Shape};

/// TIME_ENUM, with this stamp.
fn number(stamp: u32, number: u16) -> Arc<Dbr> {
    let mut bytes = head(stamp);
    bytes.extend([0; 2]);
    bytes.extend(number.to_ne_bytes());
    made(Base::Enum, &bytes)
}

/// TIME_STRING, with this stamp.
fn text(stamp: u32, text: &str) -> Arc<Dbr> {
    let mut bytes = head(stamp);
    bytes.extend(text.as_bytes());
    bytes.resize(12 + 40, 0);
    made(Base::String, &bytes)
}

fn head(stamp: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(stamp.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes
}

fn made(base: Base, bytes: &[u8]) -> Arc<Dbr> {
    let dbr_type = DbrType::in_form(DbrClass::Time, base);
    assert_eq!(dbr_type.size(1), Some(bytes.len()));
    let mut extent = Extent::of(1);
    if base == Base::String {
        extent.shape = Shape::State;
    }
    // SAFETY: the bytes are as many as one element takes.
    let dbr = unsafe { Dbr::copy_from(dbr_type, extent, bytes.as_ptr().cast()) };
    Arc::new(dbr.unwrap())
}

enum Came {
    Text(u32, &'static str),
    Number(u32, u16),
    /// The answer to the read for the text that waits.
    Read(u32, u16),
    Nothing,
}
use Came::{Nothing, Number as Numbered, Read, Text};

fn delivered(all: &[Came]) -> Vec<String> {
    let (mut texts, mut seen) = (EnumTexts::new(DbrClass::Plain), Vec::new());
    let mut waits = None;
    for came in all {
        let mut deliver = |dbr: Arc<Dbr>| {
            assert_eq!(dbr.dbr_type, DbrType::STRING);
            seen.push(String::from_utf8(dbr.view().string(0).to_vec()).unwrap());
        };
        match came {
            Text(stamp, name) => waits = texts.text(text(*stamp, name), &mut deliver).or(waits),
            Numbered(stamp, state) => texts.number(number(*stamp, *state), &mut deliver),
            Read(stamp, state) => {
                let number = number(*stamp, *state);
                texts.read(waits.as_ref().unwrap(), Some(&number), &mut deliver);
            }
            Nothing => texts.read(waits.as_ref().unwrap(), None, &mut deliver),
        }
    }
    seen
}

#[test]
fn a_text_has_the_number_of_its_time() {
    let all = [
        Numbered(1, 7),
        Text(1, ""),
        Numbered(2, 1),
        Text(2, "on"),
        Numbered(3, 8),
        Text(3, ""),
    ];
    assert_eq!(delivered(&all), ["7", "on", "8"]);
    let reversed = [
        Text(1, ""),
        Numbered(1, 7),
        Text(2, "on"),
        Numbered(2, 1),
        Text(3, ""),
        Numbered(3, 8),
    ];
    assert_eq!(delivered(&reversed), ["7", "on", "8"]);
}

#[test]
fn never_that_of_another() {
    assert_eq!(
        delivered(&[Text(1, ""), Numbered(2, 1), Text(2, "on")]),
        ["", "on"]
    );
    assert_eq!(
        delivered(&[Numbered(1, 1), Text(2, "")]),
        [""; 0],
        "it waits"
    );
    assert_eq!(delivered(&[Text(1, ""), Text(2, "on")]), ["", "on"]);
    // A record that is written without being processed keeps its stamp.
    assert_eq!(
        delivered(&[Numbered(0, 1), Text(0, "on"), Text(0, ""), Numbered(0, 7)]),
        ["on", "7"]
    );
}

#[test]
fn a_number_that_is_read_is_for_its_text() {
    assert_eq!(delivered(&[Text(1, ""), Read(1, 7)]), ["7"]);
    assert_eq!(delivered(&[Text(1, ""), Read(2, 1)]), [""]);
    assert_eq!(delivered(&[Text(1, ""), Nothing]), [""]);
    assert_eq!(delivered(&[Text(1, ""), Numbered(1, 7), Read(1, 7)]), ["7"]);
}

#[test]
fn a_form_has_what_it_has() {
    for form in [DbrClass::Sts, DbrClass::Time, DbrClass::Gr, DbrClass::Ctrl] {
        let named = called(form, &number(5, 1), &[b"off", b"on"]).unwrap();
        assert_eq!(named.dbr_type, DbrType::in_form(form, Base::String));
        assert_eq!(named.view().string(0), b"on");
        let nameless = called(form, &number(5, 1), &[b"off", b""]).unwrap();
        assert_eq!(nameless.view().string(0), b"1");
        assert!(form != DbrClass::Time || nameless.view().stamp() == (5, 0));
    }
}
