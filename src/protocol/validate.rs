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
    pub came: usize,
    /// Elements of the value: zeros follow those that came.
    pub count: usize,
    pub shape: Shape,
}

impl Extent {
    /// An answer with so many elements.
    pub fn of(count: usize) -> Extent {
        Extent {
            came: count,
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

    /// As [`of`](Asked::of), but what is asked for as a STRING in an array of CHAR is the text in it, which has to be asked
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
    pub fn named_type(&self) -> DbrType {
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
        let Some(came) = usize::try_from(claim.count).ok().filter(|n| *n <= most) else {
            return Err(Status::BADCOUNT);
        };
        if self.count == 1 && came == 0 {
            // There is no value, and zero is one.
            return Err(Status::BADCOUNT);
        }
        let count = if self.count == 0 && !self.whole {
            came
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
        Ok(Extent { came, count, shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim(dbr_type: i32, count: i64, status: i32) -> Claim {
        Claim {
            status: Status(status),
            dbr_type: dbr_type.into(),
            count,
            has_data: true,
        }
    }

    fn asked(count: usize) -> RequestSpec {
        RequestSpec::exactly(DbrType::CHAR, count)
    }

    /// How many came.
    fn checked(asked: RequestSpec, claim: Claim) -> Result<usize, Status> {
        asked.check(claim, || 7).map(|extent| extent.came)
    }

    fn extent(asked: RequestSpec, came: i64, held: usize) -> (usize, Shape) {
        let checked = asked.check(claim(asked.dbr_type.number(), came, 1), || held);
        let extent = checked.unwrap();
        assert_eq!(extent.came, came as usize);
        (extent.count, extent.shape)
    }

    #[test]
    fn what_is_missing_counts() {
        let of = |count, held| RequestSpec::of(DbrType::CHAR, count, held);
        for came in [0, 1, 5] {
            // All of it.
            assert_eq!(extent(of(None, 5), came, 5), (5, Shape::Array));
            assert_eq!(extent(of(Some(5), 5), came, 5), (5, Shape::Array));
            assert_eq!(extent(of(Some(9), 5), came, 5), (5, Shape::Array));
            // As much as there is.
            let all = (came as usize, Shape::Array);
            assert_eq!(extent(of(Some(0), 5), came, 5), all);
        }
        for came in [0, 1] {
            assert_eq!(extent(of(Some(3), 5), came, 5), (3, Shape::Array));
        }
        assert_eq!(extent(of(Some(1), 5), 1, 5), (1, Shape::Scalar));
        assert_eq!(extent(of(None, 1), 1, 1), (1, Shape::Scalar));
        assert_eq!(extent(of(Some(0), 1), 1, 1), (1, Shape::Scalar));
        assert_eq!(extent(of(Some(0), 1), 0, 1), (0, Shape::Array));
        assert_eq!(extent(of(None, 0), 0, 0), (0, Shape::Array));
    }

    #[test]
    fn a_number_is_asked_for_where_it_is_less_than_all() {
        let wire = |count, held| RequestSpec::of(DbrType::CHAR, count, held).count;
        assert_eq!(wire(None, 5), 0);
        assert_eq!(wire(Some(5), 5), 0);
        assert_eq!(wire(Some(4), 5), 4);
        assert_eq!(wire(None, 1), 1);
        // Before it is known what the PV can hold.
        assert_eq!(wire(None, 0), 0);
        assert_eq!(wire(Some(4), 0), 4);
    }

    #[test]
    fn an_array_of_char_holds_a_text() {
        for number in [0, 7, 14, 21, 28] {
            let string = DbrType::new(number).unwrap();
            let asked = RequestSpec::of_text(string, Base::Char, None, 5);
            assert_eq!(i64::from(asked.dbr_type.number()), number + 4);
            assert!(asked.text && asked.whole);
            assert_eq!(asked.named_type(), string);
            assert_eq!(extent(asked, 2, 5), (5, Shape::Text));
            // One element is a number.
            let one = RequestSpec::of(string, None, 1);
            assert_eq!(RequestSpec::of_text(string, Base::Char, None, 1), one);
            let other = RequestSpec::of(string, None, 5);
            assert_eq!(RequestSpec::of_text(string, Base::Short, None, 5), other);
        }
        for other in [DbrType::CHAR, DbrType::CLASS_NAME, DbrType::STSACK_STRING] {
            let asked = RequestSpec::of_text(other, Base::Char, None, 5);
            assert_eq!(asked, RequestSpec::of(other, None, 5));
        }
    }

    #[test]
    fn updates_are_never_empty_messages() {
        for number in 0..39 {
            let asked = RequestSpec::of(DbrType::new(number).unwrap(), Some(0), 5).for_updates();
            assert!(
                asked.dbr_type.size(0).unwrap() > 0 || number > 34,
                "{asked:?}"
            );
            assert_eq!(i64::from(asked.named_type().number()), number);
            assert_eq!(asked.for_updates(), asked);
        }
        let scalar = RequestSpec::of(DbrType::DOUBLE, None, 1);
        assert_eq!(scalar.for_updates(), scalar);
        let text = RequestSpec::of_text(DbrType::STRING, Base::Char, None, 5).for_updates();
        assert_eq!(text.named_type(), DbrType::STRING);
        assert_eq!(text.value_type(), DbrType::CHAR);
    }

    #[test]
    fn as_many_as_there_are_serve_for_all() {
        let of = |count, held| RequestSpec::of(DbrType::CHAR, count, held);
        assert!(of(None, 0).for_updates().serves(&of(None, 1)));
        assert!(of(None, 5).for_updates().serves(&of(None, 3).for_updates()));
        // A recorder's, made before the PV was found.
        assert!(of(Some(1), 0).serves(&of(Some(1), 1)));
        assert!(of(Some(1), 5).serves(&of(Some(1), 1)));
        assert!(!of(None, 1).serves(&of(None, 3)));
        assert!(!of(Some(0), 5).serves(&of(None, 5)));
        assert!(!of(Some(4), 5).serves(&of(Some(4), 3)));
        let double = RequestSpec::of(DbrType::DOUBLE, None, 5);
        assert!(!of(None, 5).serves(&double));
    }

    #[test]
    fn what_was_asked_for_or_less_is_taken() {
        for count in [0, 1, 5] {
            assert_eq!(checked(asked(5), claim(4, count, 1)), Ok(count as usize));
        }
        assert_eq!(checked(asked(1), claim(4, 1, 1)), Ok(1));
        assert_eq!(checked(asked(1), claim(4, 0, 1)), Err(Status::BADCOUNT));
        for count in [0, 1, 7] {
            assert_eq!(checked(asked(0), claim(4, count, 1)), Ok(count as usize));
        }
    }

    #[test]
    fn more_or_another_type_is_refused() {
        assert_eq!(checked(asked(5), claim(4, 6, 1)), Err(Status::BADCOUNT));
        assert_eq!(checked(asked(0), claim(4, 8, 1)), Err(Status::BADCOUNT));
        assert_eq!(checked(asked(5), claim(4, -1, 1)), Err(Status::BADCOUNT));
        assert_eq!(checked(asked(5), claim(5, 5, 1)), Err(Status::BADTYPE));
        assert_eq!(checked(asked(5), claim(-1, 5, 1)), Err(Status::BADTYPE));
        let mut nothing = claim(4, 5, 1);
        nothing.has_data = false;
        assert_eq!(checked(asked(5), nothing), Err(Status::BADTYPE));
    }

    #[test]
    fn the_servers_own_failure_comes_first() {
        assert_eq!(checked(asked(5), claim(9, 99, 152)), Err(Status::GETFAIL));
        assert_eq!(checked(asked(5), claim(4, 5, -3)), Err(Status(-3)));
    }

    proptest! {
        #[test]
        fn nothing_beyond_passes(
            number in 0i64..39, count in 0usize..100_000, type_: i32, claimed: i32, status: i32, held: u32,
        ) {
            let asked = RequestSpec::exactly(DbrType::new(number).unwrap(), count);
            if let Ok(Extent { came: taken, .. }) = asked.check(claim(type_, claimed.into(), status), || held as usize) {
                prop_assert_eq!(i64::from(type_), number);
                prop_assert_eq!(taken as i64, i64::from(claimed));
                prop_assert!(taken <= count || count == 0 && taken <= held as usize);
            }
        }
    }

    #[test]
    fn single_values_of_every_type_are_always_there() {
        for number in 0..39 {
            let size = DbrType::new(number).unwrap().size(1).unwrap();
            assert!(size <= ALWAYS_THERE);
        }
    }
}
