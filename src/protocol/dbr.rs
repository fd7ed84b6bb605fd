//! DBR types: the structure of each of the 39 request types, and where its parts are (`ca_sys::layout` checks the offsets
//! against the headers).

/// The value's own type: what CA calls the native field type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    String,
    Short,
    Float,
    Enum,
    Char,
    Long,
    Double,
}

/// What comes with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbrClass {
    /// The value alone (also PUT_ACKT, PUT_ACKS and CLASS_NAME).
    Plain,
    /// Alarm status and severity.
    Sts,
    /// Those and the time stamp.
    Time,
    /// Those of STS, units, display, alarm and warning limits, precision; the states of an enum.
    Gr,
    /// Those of GR and the control limits.
    Ctrl,
    /// DBR_STSACK_STRING: status, severity, alarm acknowledgement.
    StsAck,
}

/// A request type, DBR_STRING (0) to DBR_CLASS_NAME (38).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DbrType(u8);

pub const MAX_STRING_SIZE: usize = 40;
pub const MAX_UNITS_SIZE: usize = 8;
pub const MAX_ENUM_STRING_SIZE: usize = 26;
pub const MAX_ENUM_STATES: usize = 16;
/// Seconds from the POSIX epoch (1970) to the EPICS epoch (1990).
pub const POSIX_TIME_AT_EPICS_EPOCH: i64 = 631_152_000;
/// The time of a value that has none: numpy's NaT.
pub const NO_TIME: i64 = i64::MIN;

/// Nanoseconds from the POSIX epoch to a time stamp, which is seconds since the EPICS epoch and nanoseconds. A record that was
/// never processed has the stamp 0, and no time.
pub fn posix_nanoseconds((seconds, nanoseconds): (u32, u32)) -> i64 {
    if (seconds, nanoseconds) == (0, 0) {
        return NO_TIME;
    }
    (i64::from(seconds) + POSIX_TIME_AT_EPICS_EPOCH) * 1_000_000_000 + i64::from(nanoseconds)
}

impl Base {
    const ALL: [Base; 7] = [
        Base::String,
        Base::Short,
        Base::Float,
        Base::Enum,
        Base::Char,
        Base::Long,
        Base::Double,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Base::String => MAX_STRING_SIZE,
            Base::Short | Base::Enum => 2,
            Base::Float | Base::Long => 4,
            Base::Char => 1,
            Base::Double => 8,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Base::String => "STRING",
            Base::Short => "SHORT",
            Base::Float => "FLOAT",
            Base::Enum => "ENUM",
            Base::Char => "CHAR",
            Base::Long => "LONG",
            Base::Double => "DOUBLE",
        }
    }

    pub const fn is_floating(self) -> bool {
        matches!(self, Base::Float | Base::Double)
    }
}

impl DbrType {
    pub const STRING: DbrType = DbrType(0);
    pub const ENUM: DbrType = DbrType(3);
    pub const CHAR: DbrType = DbrType(4);
    pub const DOUBLE: DbrType = DbrType(6);
    pub const TIME_DOUBLE: DbrType = DbrType(20);
    pub const PUT_ACKT: DbrType = DbrType(35);
    pub const PUT_ACKS: DbrType = DbrType(36);
    pub const STSACK_STRING: DbrType = DbrType(37);
    pub const CLASS_NAME: DbrType = DbrType(38);
    /// The types with lower numbers are the five forms of each base.
    pub const FORMS: i32 = 35;

    /// The type with this number, if there is one.
    pub fn new(number: i64) -> Option<DbrType> {
        u8::try_from(number).ok().filter(|n| *n <= 38).map(DbrType)
    }

    pub fn plain(base: Base) -> DbrType {
        DbrType(base as u8)
    }

    /// A type of this form; of `StsAck` there is only one.
    pub fn in_form(form: DbrClass, base: Base) -> DbrType {
        let first = match form {
            DbrClass::Plain => 0,
            DbrClass::Sts => 7,
            DbrClass::Time => 14,
            DbrClass::Gr => 21,
            DbrClass::Ctrl => 28,
            DbrClass::StsAck => return DbrType::STSACK_STRING,
        };
        DbrType(first + base as u8)
    }

    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    pub fn base(self) -> Base {
        match self {
            DbrType::PUT_ACKT | DbrType::PUT_ACKS => Base::Enum,
            DbrType::STSACK_STRING | DbrType::CLASS_NAME => Base::String,
            DbrType(n) => Base::ALL[usize::from(n % 7)],
        }
    }

    pub fn form(self) -> DbrClass {
        match self.0 {
            7..=13 => DbrClass::Sts,
            14..=20 => DbrClass::Time,
            21..=27 => DbrClass::Gr,
            28..=34 => DbrClass::Ctrl,
            37 => DbrClass::StsAck,
            _ => DbrClass::Plain,
        }
    }

    /// Whether the type may be written: the plain types and the alarm acknowledgements.
    pub fn is_writable(self) -> bool {
        self.0 <= 6 || self == DbrType::PUT_ACKT || self == DbrType::PUT_ACKS
    }

    /// Whether the type may be read: all types except those that are only written.
    pub fn is_readable(self) -> bool {
        self != DbrType::PUT_ACKT && self != DbrType::PUT_ACKS
    }

    /// Where the (first) value begins in the structure.
    pub fn value_offset(self) -> usize {
        match (self.form(), self.base()) {
            (DbrClass::Plain, _) => 0,
            (DbrClass::StsAck, _) => 8,
            (DbrClass::Sts, Base::Char) => 5,
            (DbrClass::Sts, Base::Double) => 8,
            (DbrClass::Sts, _) => 4,
            (DbrClass::Time, Base::Short | Base::Enum) => 14,
            (DbrClass::Time, Base::Char) => 15,
            (DbrClass::Time, Base::Double) => 16,
            (DbrClass::Time, _) => 12,
            (DbrClass::Gr | DbrClass::Ctrl, Base::String) => 4,
            (DbrClass::Gr | DbrClass::Ctrl, Base::Enum) => {
                6 + MAX_ENUM_STATES * MAX_ENUM_STRING_SIZE
            }
            (DbrClass::Gr | DbrClass::Ctrl, base) => {
                let end = self.limits_offset() + self.limit_count() * base.size();
                if base == Base::Char { end + 1 } else { end }
            }
        }
    }

    /// Bytes of a structure with `count` elements; `None` if the number overflows.
    pub fn size(self, count: usize) -> Option<usize> {
        count
            .checked_mul(self.base().size())?
            .checked_add(self.value_offset())
    }

    pub(super) fn units_offset(self) -> usize {
        if self.base().is_floating() { 8 } else { 4 }
    }

    pub(super) fn limits_offset(self) -> usize {
        self.units_offset() + MAX_UNITS_SIZE
    }

    fn limit_count(self) -> usize {
        if self.form() == DbrClass::Ctrl { 8 } else { 6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_outside_the_table_are_refused() {
        assert!(DbrType::new(-1).is_none());
        assert!(DbrType::new(39).is_none());
        assert!(DbrType::new(256).is_none());
        assert_eq!(DbrType::new(20).unwrap().form(), DbrClass::Time);
        assert_eq!(DbrType::new(20).unwrap().base(), Base::Double);
    }

    proptest! {
        #[test]
        fn sizes_grow_by_the_element(kind in (0i64..=38).prop_map(|n| DbrType::new(n).unwrap()), count in 0usize..10_000) {
            let size = kind.size(count).unwrap();
            prop_assert_eq!(kind.size(count + 1).unwrap() - size, kind.base().size());
            prop_assert_eq!(kind.size(0).unwrap(), kind.value_offset());
        }
    }

    #[test]
    fn a_record_that_was_never_processed_has_no_time() {
        assert_eq!(posix_nanoseconds((0, 0)), NO_TIME);
        assert_eq!(posix_nanoseconds((0, 1)), 631_152_000_000_000_001);
        // Not valid in a time stamp, but servers send such numbers.
        assert_eq!(posix_nanoseconds((1, u32::MAX)), 631_152_005_294_967_295);
        assert!(posix_nanoseconds((u32::MAX, u32::MAX)) > 0);
    }

    #[test]
    fn absurd_counts_do_not_overflow() {
        assert_eq!(DbrType::plain(Base::Double).size(usize::MAX), None);
    }
}
