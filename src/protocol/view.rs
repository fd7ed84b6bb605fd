//! DBR structures, read in place.
//!
//! All functions here read bytes at checked offsets: a buffer that is too short gives zeros or nothing, and is never read
//! beyond its end.

use super::dbr::{
    Base, DbrClass, DbrType, MAX_ENUM_STATES, MAX_ENUM_STRING_SIZE, MAX_STRING_SIZE, MAX_UNITS_SIZE,
};

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

    /// Alarm status, if the type has one.
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

    /// Units and limits; `None` for types that have none.
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

    /// The offset of an element; beyond every buffer if the number overflows.
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

/// A C string in a fixed field: up to the NUL, or the whole field if there is none.
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
    }
}
