//! What a subscription asks for.

use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::validate::RequestSpec;

/// The type of a subscription's updates.
#[derive(Clone, Copy, Debug)]
pub enum WantedType {
    Fixed(DbrType),
    /// The PV's native type in this form; also after the PV has come back with another type.
    Native(DbrClass),
    /// As `Native`; but an array of CHAR is the text in it. The PV need not be connected yet: the backend is asked with the first
    /// connection.
    Readable(DbrClass),
    /// As `Readable`, but an array of CHAR is an array.
    AnyNative(DbrClass),
    /// This type; but if an array of CHAR is asked for as STRING, the text in the array; and if an enum is, the numbers of the
    /// states that have no name.
    Text(DbrType),
}

/// The number of elements of a subscription's updates.
#[derive(Clone, Copy, Debug)]
pub enum WantedCount {
    /// At most this number; 0 means as many as there are at each update.
    Fixed(usize),
    /// As many as the PV can hold; also after the PV has come back with more or fewer.
    Native,
    /// As many as there are at each update; of a PV that can hold one, that one.
    Present,
}

/// What the caller asked for: a type, a number of elements, and which changes are updates.
#[derive(Clone, Copy, Debug)]
pub struct SubscriptionSpec {
    pub dbr_type: WantedType,
    pub count: WantedCount,
    pub mask: u32,
}

impl SubscriptionSpec {
    /// The form of the texts that are asked for. What they are texts of shows when the PV is connected.
    pub(crate) fn text_form(&self) -> Option<DbrClass> {
        match self.dbr_type {
            WantedType::Text(wanted)
                if wanted.base() == Base::String && wanted.number() < DbrType::FORMS =>
            {
                Some(wanted.form())
            }
            _ => None,
        }
    }

    /// The request to the server, for a PV of this type and element count. `None`: the PV has to be connected first.
    pub(super) fn request_spec(&self, native: Option<Base>, held: usize) -> Option<RequestSpec> {
        let count = match self.count {
            WantedCount::Fixed(count) => Some(count),
            WantedCount::Native => None,
            WantedCount::Present => (held != 1).then_some(0),
        };
        let request = match (self.dbr_type, native) {
            (WantedType::Text(dbr_type), Some(native)) => {
                RequestSpec::of_text(dbr_type, native, count, held)
            }
            (WantedType::Fixed(dbr_type) | WantedType::Text(dbr_type), _) => {
                RequestSpec::of(dbr_type, count, held)
            }
            (WantedType::Readable(form), Some(Base::Char)) if held > 1 => {
                let text = DbrType::in_form(form, Base::String);
                RequestSpec::of_text(text, Base::Char, count, held)
            }
            (
                WantedType::Native(form) | WantedType::Readable(form) | WantedType::AnyNative(form),
                Some(native),
            ) => RequestSpec::of(DbrType::in_form(form, native), count, held),
            (WantedType::Native(_) | WantedType::Readable(_) | WantedType::AnyNative(_), None) => {
                return None;
            }
        };
        Some(request.for_updates())
    }
}
