//! What a server's answer may be: of the type that was asked for, and with no more elements.
//!
//! libca hands on the type and the count that a server claims, and does not say how many bytes came with them. Honest
//! servers answer with what was asked for, or with less. So a claim that goes beyond is a failure, before a byte of it is
//! read. `docs/hostile.rst` says what that leaves open.

use super::dbr::{Base, DbrClass, DbrType};
use super::status::Status;

/// What libca keeps ready for every message at the least (its MAX_TCP): so much can be read, whatever has been sent.
#[cfg(test)]
const ALWAYS_THERE: usize = 16 * 1024;

/// What libca is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSpec {
    pub dbr_type: DbrType,
    /// 0: as many as there are.
    pub count: usize,
    /// All that the PV can hold is wanted: zeros take the place of the elements that it does not hold now.
    pub whole: bool,
    /// The elements are CHARs, and wanted as the text in them.
    pub text: bool,
    /// The type is a STS one, of which the value alone is wanted.
    pub bare: bool,
}

/// What a server claims of its answer. The numbers are as they came.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub status: Status,
    pub dbr_type: i64,
    pub count: i64,
    /// There is a structure at all.
    pub has_data: bool,
}

/// How a value is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Of a PV of one element, or the one element that was asked for.
    Scalar,
    /// Of a PV that can hold more, however many came.
    Array,
    /// CHARs, which are to be a text.
    Text,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Elements that the server sent.
    pub received: usize,
    /// Elements of the value: zeros follow those that came.
    pub count: usize,
    pub shape: Shape,
}

impl Extent {
    /// An answer with so many elements.
    pub fn of(count: usize) -> Extent {
        Extent {
            received: count,
            count,
            shape: if count == 1 {
                Shape::Scalar
            } else {
                Shape::Array
            },
        }
    }
}

impl RequestSpec {
    /// So many elements of a type: what is written, and what is read of a PV of one element.
    pub fn exactly(dbr_type: DbrType, count: usize) -> RequestSpec {
        RequestSpec {
            dbr_type,
            count,
            whole: false,
            text: false,
            bare: false,
        }
    }

    /// For `count` elements of a PV that can hold `held`; for all of them where `count` is `None`, for as many as there are
    /// where it is 0.
    ///
    /// A server is asked for a number of elements only where fewer than all are wanted: one that holds fewer than it was
    /// asked for should fill up with zeros, and some say that they did while they did not. libca would read on.
    pub fn of(dbr_type: DbrType, count: Option<usize>, held: usize) -> RequestSpec {
        if dbr_type.number() >= DbrType::FORMS {
            // These have one element, whatever the PV has.
            return RequestSpec::exactly(dbr_type, count.map_or(held, |count| count.min(held)));
        }
        match count {
            Some(count) if count < held || held == 0 => RequestSpec::exactly(dbr_type, count),
            _ => RequestSpec {
                whole: true,
                ..RequestSpec::exactly(dbr_type, if held == 1 { 1 } else { 0 })
            },
        }
    }

    /// As [`of`](RequestSpec::of), but what is asked for as a STRING in an array of CHAR is the text in it, which has to be asked
    /// for as CHAR: as STRING, a server sends a text for each element.
    pub fn of_text(
        dbr_type: DbrType,
        native: Base,
        count: Option<usize>,
        held: usize,
    ) -> RequestSpec {
        let is_string = dbr_type.base() == Base::String && dbr_type.number() < DbrType::FORMS;
        if !is_string || native != Base::Char || held <= 1 {
            return RequestSpec::of(dbr_type, count, held);
        }
        RequestSpec {
            text: true,
            ..RequestSpec::of(DbrType::in_form(dbr_type.form(), Base::Char), count, held)
        }
    }

    /// As a subscription asks for it. A server answers with an empty message where an array has become empty, or cannot be
    /// read, and as many elements as there are were asked for, of a plain type; libca takes that for the end of the
    /// subscription, and tells nobody. Messages of other types are never empty.
    pub(crate) fn for_updates(self) -> RequestSpec {
        let is_plain =
            self.dbr_type.form() == DbrClass::Plain && self.dbr_type.number() < DbrType::FORMS;
        if self.count > 0 || !is_plain {
            return self;
        }
        RequestSpec {
            dbr_type: DbrType::in_form(DbrClass::Sts, self.dbr_type.base()),
            bare: true,
            ..self
        }
    }

    /// The type of the value: that of the answer, or that of the elements alone.
    pub(crate) fn value_type(&self) -> DbrType {
        if self.bare {
            DbrType::plain(self.dbr_type.base())
        } else {
            self.dbr_type
        }
    }

    /// The type that the caller asked for.
    pub fn requested_type(&self) -> DbrType {
        let dbr_type = self.value_type();
        if self.text {
            DbrType::in_form(dbr_type.form(), Base::String)
        } else {
            dbr_type
        }
    }

    /// Whether libca, asked for this, brings what `now` asks for.
    pub(crate) fn serves(&self, now: &RequestSpec) -> bool {
        // As many as there are serve for all. And one element is one, however many the PV can hold.
        let all = RequestSpec { count: 0, ..*now };
        let one = RequestSpec {
            whole: self.whole,
            ..*now
        };
        self == now || now.whole && *self == all.for_updates() || self.count == 1 && *self == one
    }

    /// What the answer holds, or why it is none. `held` gives how many elements the channel may have.
    pub(crate) fn check(
        self,
        claim: Claim,
        held: impl FnOnce() -> usize,
    ) -> Result<Extent, Status> {
        if !claim.status.is_normal() {
            return Err(claim.status);
        }
        if claim.dbr_type != i64::from(self.dbr_type.number()) || !claim.has_data {
            return Err(Status::BADTYPE);
        }
        let held = if self.count == 0 { held() } else { usize::MAX };
        let most = if self.count == 0 { held } else { self.count };
        let Some(received) = usize::try_from(claim.count).ok().filter(|n| *n <= most) else {
            return Err(Status::BADCOUNT);
        };
        if self.count == 1 && received == 0 {
            // There is no value, and zero is one.
            return Err(Status::BADCOUNT);
        }
        let count = if self.count == 0 && !self.whole {
            received
        } else {
            most
        };
        let shape = if self.text {
            Shape::Text
        } else if count == 1 && (self.count == 1 || held == 1) {
            Shape::Scalar
        } else {
            Shape::Array
        };
        Ok(Extent {
            received,
            count,
            shape,
        })
    }
}

#[cfg(test)]
mod tests;
