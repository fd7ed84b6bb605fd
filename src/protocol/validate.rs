//! What a request asks for, and whether an answer is that: of the same type, and with no more elements.
//!
//! libca passes on the type and the count that a server claims, and does not say how many bytes came with them. Correct servers
//! answer with what was asked for, or with less. So a claim of more is an error, and not a byte of such an answer is read.
//! `docs/hostile.rst` says which cases this does not cover.

use super::dbr::{Base, DbrClass, DbrType};
use super::status::Status;

/// The least memory that libca has for a message (its MAX_TCP): this much can be read, whatever was sent.
#[cfg(test)]
const ALWAYS_THERE: usize = 16 * 1024;

/// What a request asks the server for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestSpec {
    pub dbr_type: DbrType,
    /// 0: as many elements as there are.
    pub count: usize,
    /// The value has as many elements as the PV can hold: zeros take the place of those that the PV does not hold now.
    pub whole: bool,
    /// The elements are CHARs, and the value is the text in them.
    pub text: bool,
    /// The type is a STS type, of which only the value is used.
    pub bare: bool,
    /// The value is the text of an enum's state, and a state without a name gives its number.
    pub numbered: bool,
}

/// What a server claims of its answer. The numbers are unchecked.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub status: Status,
    pub dbr_type: i64,
    pub count: i64,
    /// Whether there is a structure at all.
    pub has_data: bool,
}

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A single value: the PV has one element, or one element was asked for.
    Scalar,
    /// An array: the PV can hold more elements, however many came.
    Array,
    /// CHARs that are a text.
    Text,
    /// The text of an enum's state: a STRING.
    State,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Elements that the server sent.
    pub received: usize,
    /// Elements of the value: those that came, then zeros.
    pub count: usize,
    pub shape: Shape,
}

impl Extent {
    /// An answer with `count` elements.
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
    /// `count` elements of a type: for a write, and for a read of a PV of one element.
    pub fn exactly(dbr_type: DbrType, count: usize) -> RequestSpec {
        RequestSpec {
            dbr_type,
            count,
            whole: false,
            text: false,
            bare: false,
            numbered: false,
        }
    }

    /// `count` elements of a PV that can hold `held`: all of them if `count` is `None`, as many as there are if it is 0.
    ///
    /// A server is asked for a number of elements only if fewer than all are wanted. A server that holds fewer elements than it
    /// was asked for should send zeros for the missing ones; some servers send fewer bytes than they say, and libca would read
    /// beyond these.
    pub fn of(dbr_type: DbrType, count: Option<usize>, held: usize) -> RequestSpec {
        if dbr_type.number() >= DbrType::FORMS {
            // These types have one element, whatever the PV has.
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

    /// As [`of`](RequestSpec::of), except that an array of CHAR that is asked for as STRING gives the text in the array. The
    /// request then has to be for CHAR: for STRING, a server sends a text for each element. And a state of an enum that has no
    /// name gives its number.
    pub fn of_text(
        dbr_type: DbrType,
        native: Base,
        count: Option<usize>,
        held: usize,
    ) -> RequestSpec {
        let is_string = dbr_type.base() == Base::String && dbr_type.number() < DbrType::FORMS;
        if !is_string || native != Base::Char || held <= 1 {
            return RequestSpec {
                numbered: is_string && native == Base::Enum && held == 1,
                ..RequestSpec::of(dbr_type, count, held)
            };
        }
        RequestSpec {
            text: true,
            ..RequestSpec::of(DbrType::in_form(dbr_type.form(), Base::Char), count, held)
        }
    }

    /// The request as a subscription makes it. If an array has become empty or cannot be read, and as many elements as there
    /// are were asked for, of a plain type, a server answers with an empty message; libca takes that for the end of the
    /// subscription, and does not report it. Messages of other types are never empty.
    ///
    /// The text of an enum's state comes with its time: by that, the number of the state is found.
    pub(crate) fn for_updates(self) -> RequestSpec {
        if self.numbered {
            return RequestSpec {
                dbr_type: DbrType::in_form(DbrClass::Time, Base::String),
                ..self
            };
        }
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

    /// The type of the value: the answer's type, or that of the elements alone.
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

    /// Whether a subscription with this request brings what `now` asks for.
    pub(crate) fn serves(&self, now: &RequestSpec) -> bool {
        // As many as there are is right for all of them. And one element is one, however many the PV can hold.
        let all = RequestSpec { count: 0, ..*now };
        let one = RequestSpec {
            whole: self.whole,
            ..*now
        };
        self == now || now.whole && *self == all.for_updates() || self.count == 1 && *self == one
    }

    /// What the answer holds, or why it is invalid. `held` gives the number of elements that the channel may have.
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
            // There is no value, and a zero in its place would look like one.
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
            if self.numbered {
                Shape::State
            } else {
                Shape::Scalar
            }
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
