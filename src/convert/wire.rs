//! A value in the form in which it is sent.

use crate::protocol::dbr::{DbrType, MAX_STRING_SIZE};
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

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

    /// The same, of a value of which so many elements were given, where the PV holds fewer.
    pub(super) fn with_cut(self, cut: Option<usize>) -> Outgoing<'py> {
        Outgoing { cut, ..self }
    }

    /// One element of type STRING. The text must have less than 40 bytes.
    pub(super) fn string(text: &str) -> Outgoing<'py> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(MAX_STRING_SIZE, 0);
        Outgoing::owned(DbrType::STRING, 1, &bytes)
    }
}
