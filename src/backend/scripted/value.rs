//! Values as DBR structures.

use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::{Answer, Received};
use crate::protocol::view::{Number, View};

/// A PV: its native type, and its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Pv {
    pub native: Base,
    pub values: Vec<f64>,
}

impl Pv {
    pub fn double(value: f64) -> Pv {
        Pv {
            native: Base::Double,
            values: vec![value],
        }
    }

    /// Lends the PV's value to `take`, as an answer to a request for `spec`.
    pub fn lend<T>(&self, spec: RequestSpec, take: impl FnOnce(&Received<'_>) -> T) -> T {
        let wanted = if spec.count == 0 {
            self.values.len()
        } else {
            spec.count
        };
        let bytes = structure(spec.dbr_type, &self.values[..wanted.min(self.values.len())]);
        let count = i64::try_from(wanted.min(self.values.len())).unwrap();
        let number = i64::from(spec.dbr_type.number());
        // SAFETY: the structure has that type and so many elements, and lives until `take` has returned.
        let received =
            unsafe { Received::new(Status::NORMAL, number, count, bytes.as_ptr().cast()) };
        take(&received)
    }

    /// The PV's value, as an answer to a request for `spec`.
    pub fn answer(&self, spec: RequestSpec) -> Answer {
        self.lend(spec, |received| {
            received.answer(spec, || self.values.len(), None)
        })
    }

    /// Takes in what was written.
    pub fn write(&mut self, spec: RequestSpec, data: &[u8]) {
        self.values = (0..spec.count)
            .map(|index| {
                let view = View::new(spec.dbr_type, spec.count, data);
                match view.number(index) {
                    Number::Float(value) => value,
                    Number::Int(value) => value as f64,
                }
            })
            .collect();
    }
}

/// A DBR structure with an empty head. Its memory is as aligned as a DBR structure has to be.
fn structure(dbr_type: DbrType, values: &[f64]) -> Vec<u64> {
    let mut bytes = vec![0u8; dbr_type.value_offset()];
    for value in values {
        match dbr_type.base() {
            Base::Double => bytes.extend(value.to_ne_bytes()),
            Base::Float => bytes.extend((*value as f32).to_ne_bytes()),
            Base::Long => bytes.extend((*value as i32).to_ne_bytes()),
            Base::Short | Base::Enum => bytes.extend((*value as i16).to_ne_bytes()),
            Base::Char => bytes.push(*value as u8),
            Base::String => {
                let mut text = value.to_string().into_bytes();
                text.resize(Base::String.size(), 0);
                bytes.extend(text);
            }
        }
    }
    bytes.resize(bytes.len().next_multiple_of(8).max(8), 0);
    let words = bytes.chunks_exact(8);
    words
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
        .collect()
}
