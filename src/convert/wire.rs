//! A value in the form in which it is sent.

use crate::protocol::dbr::{DbrType, MAX_STRING_SIZE};
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The elements that are sent: `count` of type `dbr_type`; none if the value had none.
pub struct Outgoing<'py> {
    pub dbr_type: DbrType,
    pub count: usize,
    /// How many elements were given, if they were cut to those that the PV holds.
    pub cut: Option<usize>,
    data: Data<'py>,
}

enum Data<'py> {
    /// Words, so that every element type is aligned.
    Owned(Vec<u64>, usize),
    /// A numpy array whose type is the one that is sent: its memory is sent as it is.
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
            // SAFETY: `numbers_of` has checked that the array is contiguous and holds `len` bytes, and the reference keeps
            // numpy's memory alive. If a program writes into the array in one thread while another thread puts it, the server
            // gets a mixture of old and new elements, as with any function that takes an array.
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

    /// The array must be contiguous, and hold `count` elements of the type that is sent.
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

    /// The same elements, of a value that was cut.
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
