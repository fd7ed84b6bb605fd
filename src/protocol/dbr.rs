//! DBR types: what travels for each of the 39 request types, and where its parts lie.
//!
//! Everything here reads bytes at checked offsets (see `ca_sys::layout`): a buffer that is too short gives zeros or
//! nothing, never a read beyond its end.

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

/// What comes along with the value.
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
/// The time of what has none: numpy's NaT.
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
    /// The types below are the five forms of each base.
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

    /// May be written: the plain types and the alarm acknowledgements.
    pub fn is_writable(self) -> bool {
        self.0 <= 6 || self == DbrType::PUT_ACKT || self == DbrType::PUT_ACKS
    }

    /// May be read: all but what is only written.
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

    /// Bytes of a structure with `count` elements; `None` where that overflows.
    pub fn size(self, count: usize) -> Option<usize> {
        count
            .checked_mul(self.base().size())?
            .checked_add(self.value_offset())
    }

    fn units_offset(self) -> usize {
        if self.base().is_floating() { 8 } else { 4 }
    }

    fn limits_offset(self) -> usize {
        self.units_offset() + MAX_UNITS_SIZE
    }

    fn limit_count(self) -> usize {
        if self.form() == DbrClass::Ctrl { 8 } else { 6 }
    }
}

/// A number of a DBR structure: limits keep the type of their value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i64),
    Float(f64),
}

/// Units and limits of a numeric GR or CTRL structure, in C's order.
#[derive(Clone, Debug, PartialEq)]
pub struct DisplayLimits<'a> {
    pub units: &'a [u8],
    /// Decimal places; floating types only.
    pub precision: Option<i16>,
    pub upper_disp: Number,
    pub lower_disp: Number,
    pub upper_alarm: Number,
    pub upper_warning: Number,
    pub lower_warning: Number,
    pub lower_alarm: Number,
    /// Upper and lower control limit; CTRL only.
    pub ctrl: Option<(Number, Number)>,
}

/// A DBR structure in memory, in the host's byte order.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub dbr_type: DbrType,
    pub count: usize,
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    pub fn new(dbr_type: DbrType, count: usize, bytes: &'a [u8]) -> View<'a> {
        View {
            dbr_type,
            count,
            bytes,
        }
    }

    /// Alarm status, where the type has one.
    pub fn status(&self) -> i16 {
        self.i16_at(0)
    }

    pub fn severity(&self) -> i16 {
        self.i16_at(2)
    }

    /// Seconds since the EPICS epoch, and nanoseconds; TIME types.
    pub fn stamp(&self) -> (u32, u32) {
        (
            u32::from_ne_bytes(self.array_at(4)),
            u32::from_ne_bytes(self.array_at(8)),
        )
    }

    /// Whether transient alarms need acknowledgement, and the highest severity to acknowledge; STSACK_STRING.
    pub fn acknowledgement(&self) -> (i16, i16) {
        (self.i16_at(4), self.i16_at(6))
    }

    /// The names of an enum's states; GR_ENUM and CTRL_ENUM.
    pub fn states(&self) -> Vec<&'a [u8]> {
        let count = usize::try_from(self.i16_at(4))
            .unwrap_or(0)
            .min(MAX_ENUM_STATES);
        (0..count)
            .map(|i| text(self.slice(6 + i * MAX_ENUM_STRING_SIZE, MAX_ENUM_STRING_SIZE)))
            .collect()
    }

    /// Units and limits; `None` for types without.
    pub fn limits(&self) -> Option<DisplayLimits<'a>> {
        let kind = self.dbr_type;
        let base = kind.base();
        if !matches!(kind.form(), DbrClass::Gr | DbrClass::Ctrl)
            || matches!(base, Base::String | Base::Enum)
        {
            return None;
        }
        let limit = |index: usize| self.number_at(kind.limits_offset() + index * base.size());
        Some(DisplayLimits {
            units: text(self.slice(kind.units_offset(), MAX_UNITS_SIZE)),
            precision: base.is_floating().then(|| self.i16_at(4)),
            upper_disp: limit(0),
            lower_disp: limit(1),
            upper_alarm: limit(2),
            upper_warning: limit(3),
            lower_warning: limit(4),
            lower_alarm: limit(5),
            ctrl: (kind.form() == DbrClass::Ctrl).then(|| (limit(6), limit(7))),
        })
    }

    /// The elements' bytes: `count` of them, or as many as the buffer holds.
    pub fn value_bytes(&self) -> &'a [u8] {
        let start = self.dbr_type.value_offset().min(self.bytes.len());
        let wanted = self.count.saturating_mul(self.dbr_type.base().size());
        let held = &self.bytes[start..];
        &held[..wanted.min(held.len())]
    }

    /// Element `index` of a numeric type.
    pub fn number(&self, index: usize) -> Number {
        self.number_at(self.element_offset(index))
    }

    /// Element `index` of a string type, up to its NUL.
    pub fn string(&self, index: usize) -> &'a [u8] {
        text(self.slice(self.element_offset(index), MAX_STRING_SIZE))
    }

    /// Where an element would begin, beyond every buffer where that is no number.
    fn element_offset(&self, index: usize) -> usize {
        self.dbr_type.size(index).unwrap_or(usize::MAX)
    }

    fn number_at(&self, offset: usize) -> Number {
        match self.dbr_type.base() {
            Base::Short => Number::Int(self.i16_at(offset).into()),
            Base::Enum => Number::Int(u16::from_ne_bytes(self.array_at(offset)).into()),
            Base::Char | Base::String => Number::Int(self.array_at::<1>(offset)[0].into()),
            Base::Long => Number::Int(i32::from_ne_bytes(self.array_at(offset)).into()),
            Base::Float => Number::Float(f32::from_ne_bytes(self.array_at(offset)).into()),
            Base::Double => Number::Float(f64::from_ne_bytes(self.array_at(offset))),
        }
    }

    fn i16_at(&self, offset: usize) -> i16 {
        i16::from_ne_bytes(self.array_at(offset))
    }

    fn array_at<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes
            .get(offset..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .unwrap_or([0; N])
    }

    fn slice(&self, offset: usize, len: usize) -> &'a [u8] {
        let end = offset.saturating_add(len);
        self.bytes.get(offset..end).unwrap_or(&[])
    }
}

/// A C string in a fixed field: up to the NUL, or all of it where there is none.
pub fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_type() -> impl Strategy<Value = DbrType> {
        (0i64..=38).prop_map(|n| DbrType::new(n).unwrap())
    }

    #[test]
    fn types_outside_the_table_are_refused() {
        assert!(DbrType::new(-1).is_none());
        assert!(DbrType::new(39).is_none());
        assert!(DbrType::new(256).is_none());
        assert_eq!(DbrType::new(20).unwrap().form(), DbrClass::Time);
        assert_eq!(DbrType::new(20).unwrap().base(), Base::Double);
    }

    #[test]
    fn a_time_double_is_taken_apart() {
        let mut bytes = Vec::new();
        bytes.extend(4i16.to_ne_bytes());
        bytes.extend(1i16.to_ne_bytes());
        bytes.extend(1_000u32.to_ne_bytes());
        bytes.extend(5u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(1.5f64.to_ne_bytes());
        let view = View::new(DbrType::new(20).unwrap(), 1, &bytes);
        assert_eq!((view.status(), view.severity()), (4, 1));
        assert_eq!(view.stamp(), (1_000, 5));
        assert_eq!(view.number(0), Number::Float(1.5));
        assert_eq!(view.value_bytes(), 1.5f64.to_ne_bytes());
    }

    #[test]
    fn a_record_that_was_never_processed_has_no_time() {
        assert_eq!(posix_nanoseconds((0, 0)), NO_TIME);
        assert_eq!(posix_nanoseconds((0, 1)), 631_152_000_000_000_001);
        // Not what a time stamp may have, but they come.
        assert_eq!(posix_nanoseconds((1, u32::MAX)), 631_152_005_294_967_295);
        assert!(posix_nanoseconds((u32::MAX, u32::MAX)) > 0);
    }

    #[test]
    fn unterminated_strings_end_with_their_field() {
        let bytes = [b'x'; 80];
        let view = View::new(DbrType::STRING, 2, &bytes);
        assert_eq!(view.string(0).len(), 40);
        assert_eq!(view.string(1).len(), 40);
        assert_eq!(view.string(2).len(), 0);
    }

    #[test]
    fn enum_states_above_sixteen_are_cut() {
        let mut bytes = vec![0; 424];
        bytes[4..6].copy_from_slice(&99i16.to_ne_bytes());
        let kind = DbrType::new(31).unwrap();
        assert_eq!(View::new(kind, 1, &bytes).states().len(), 16);
        bytes[4..6].copy_from_slice(&(-1i16).to_ne_bytes());
        assert_eq!(View::new(kind, 1, &bytes).states().len(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_their_bounds(
            kind in any_type(),
            count in prop_oneof![0usize..100, any::<usize>()],
            far in any::<usize>(),
            bytes in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let view = View::new(kind, count, &bytes);
            view.status();
            view.severity();
            view.stamp();
            view.acknowledgement();
            prop_assert!(view.states().len() <= MAX_ENUM_STATES);
            view.limits();
            prop_assert!(view.value_bytes().len() <= bytes.len());
            for index in (0..count.min(700)).chain([far, usize::MAX]) {
                view.number(index);
                prop_assert!(view.string(index).len() <= MAX_STRING_SIZE);
            }
        }

        #[test]
        fn sizes_grow_by_the_element(kind in any_type(), count in 0usize..10_000) {
            let size = kind.size(count).unwrap();
            prop_assert_eq!(kind.size(count + 1).unwrap() - size, kind.base().size());
            prop_assert_eq!(kind.size(0).unwrap(), kind.value_offset());
        }

        #[test]
        fn doubles_survive(values in prop::collection::vec(any::<f64>(), 1..50)) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
            let view = View::new(DbrType::plain(Base::Double), values.len(), &bytes);
            for (index, value) in values.iter().enumerate() {
                let Number::Float(read) = view.number(index) else { panic!("not a float") };
                prop_assert_eq!(read.to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn absurd_counts_do_not_overflow() {
        let view = View::new(DbrType::plain(Base::Double), usize::MAX, &[0; 16]);
        assert_eq!(view.value_bytes().len(), 16);
        assert_eq!(DbrType::plain(Base::Double).size(usize::MAX), None);
    }
}
