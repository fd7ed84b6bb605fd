//! Numbers to elements of a DBR type: converted exactly, or refused.

use crate::protocol::dbr::Base;
use std::fmt;

/// A number as the caller gave it. (128 bits hold every integer of numpy.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Given {
    Int(i128),
    Float(f64),
}

/// Why a number cannot be an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    OutOfRange,
    NotWhole,
    NotFinite,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Int(value) => write!(f, "{value}"),
            Given::Float(value) => write!(f, "{value:?}"),
        }
    }
}

/// The integers that a type holds. A CHAR is read as unsigned, but signed bytes may be written.
pub fn limits(base: Base) -> Option<(i128, i128)> {
    match base {
        Base::Char => Some((-128, 255)),
        Base::Short => Some((i16::MIN.into(), i16::MAX.into())),
        Base::Enum => Some((0, u16::MAX.into())),
        Base::Long => Some((i32::MIN.into(), i32::MAX.into())),
        Base::String | Base::Float | Base::Double => None,
    }
}

/// Whether a number is an integer that EPICS holds and a double does not. No record holds an integer beyond 64 bits.
pub fn has_no_double(given: Given) -> bool {
    match given {
        Given::Int(value) => {
            value.unsigned_abs() > 1 << 53
                && value.unsigned_abs() < 1 << 64
                && (value as f64) as i128 != value
        }
        Given::Float(_) => false,
    }
}

/// The number in a text: a decimal one as in Python, but without underscores, or a hexadecimal integer as EPICS takes it.
/// `None` if the text is not a number, or one that no float holds.
pub fn number_in(text: &str) -> Option<Given> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    if !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix)) {
        match i128::from_str_radix(digits, radix) {
            Ok(0) if negative => return Some(Given::Float(-0.0)),
            Ok(number) => return Some(Given::Int(if negative { -number } else { number })),
            Err(_) if radix == 16 => return None,
            Err(_) => {}
        }
    }
    let number: f64 = text.parse().ok()?;
    let is_too_large = number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!is_too_large).then_some(Given::Float(number))
}

/// What is wrong with `given`, and what would be right.
pub fn explain(misfit: Misfit, given: Given, base: Base) -> String {
    let name = base.name();
    match (misfit, limits(base)) {
        (Misfit::OutOfRange, Some((low, high))) if base != Base::Char => {
            let range = format!("{given} is out of the range of {name}, {low} to {high}");
            // The highest bit is the sign.
            let span = 2 * (high + 1);
            match given {
                Given::Int(value) if low < 0 && value > high && value < span => {
                    format!("{range}: for the bits of {value:#X} write {}", value - span)
                }
                _ => range,
            }
        }
        (Misfit::OutOfRange, Some((low, high))) => {
            format!("{given} is out of the range of {name}, {low} to {high}")
        }
        (Misfit::OutOfRange, None) => format!("{given} is out of the range of {name}"),
        (Misfit::NotWhole, _) => {
            format!("{given} is not a whole number, and {name} takes only those: round it")
        }
        (Misfit::NotFinite, _) => {
            format!("{given} is not a number that {name} can hold: it takes whole numbers")
        }
    }
}

/// Appends `given` as one element of `base` to `out`, in the host's byte order.
pub fn append(out: &mut Vec<u8>, given: Given, base: Base) -> Result<(), Misfit> {
    match base {
        Base::Double => {
            let value = match given {
                Given::Int(value) => value as f64,
                Given::Float(value) => value,
            };
            out.extend(value.to_ne_bytes());
        }
        Base::Float => {
            let wide = match given {
                Given::Int(value) => value as f64,
                Given::Float(value) => value,
            };
            let value = wide as f32;
            if value.is_infinite() && wide.is_finite() {
                return Err(Misfit::OutOfRange);
            }
            out.extend(value.to_ne_bytes());
        }
        Base::Char | Base::Short | Base::Enum | Base::Long | Base::String => {
            let whole = whole(given)?;
            let (low, high) = limits(base).ok_or(Misfit::OutOfRange)?;
            if whole < low || whole > high {
                return Err(Misfit::OutOfRange);
            }
            // In range, so the low bytes are the element: two's complement for negative ones.
            let bytes = whole.to_le_bytes();
            match base.size() {
                1 => out.push(bytes[0]),
                2 => out.extend(u16::from_le_bytes([bytes[0], bytes[1]]).to_ne_bytes()),
                _ => {
                    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
                    out.extend(u32::from_le_bytes(bytes).to_ne_bytes());
                }
            }
        }
    }
    Ok(())
}

fn whole(given: Given) -> Result<i128, Misfit> {
    match given {
        Given::Int(value) => Ok(value),
        Given::Float(value) if !value.is_finite() => Err(Misfit::NotFinite),
        Given::Float(value) if value.fract() != 0.0 => Err(Misfit::NotWhole),
        // A cast from a float saturates, and the limits of i128 are out of every type's range.
        Given::Float(value) => Ok(value as i128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(given: Given, base: Base) -> Result<Vec<u8>, Misfit> {
        let mut out = Vec::new();
        append(&mut out, given, base).map(|()| out)
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (given, base, misfit) in [
            (Given::Int(300), Base::Char, Misfit::OutOfRange),
            (Given::Int(-129), Base::Char, Misfit::OutOfRange),
            (Given::Int(70_000), Base::Short, Misfit::OutOfRange),
            (Given::Int(-1), Base::Enum, Misfit::OutOfRange),
            (Given::Int(1 << 40), Base::Long, Misfit::OutOfRange),
            (Given::Float(1e300), Base::Long, Misfit::OutOfRange),
            (Given::Float(1e300), Base::Float, Misfit::OutOfRange),
            (Given::Float(f64::NAN), Base::Long, Misfit::NotFinite),
            (Given::Float(f64::INFINITY), Base::Char, Misfit::NotFinite),
            (Given::Float(1.5), Base::Short, Misfit::NotWhole),
        ] {
            assert_eq!(element(given, base), Err(misfit), "{given} to {base:?}");
        }
    }

    #[test]
    fn bytes_may_be_signed_or_unsigned() {
        assert_eq!(element(Given::Int(-1), Base::Char), Ok(vec![255]));
        assert_eq!(element(Given::Int(255), Base::Char), Ok(vec![255]));
    }

    #[test]
    fn floats_keep_infinity_and_nan() {
        let infinite = element(Given::Float(f64::INFINITY), Base::Float).unwrap();
        assert_eq!(infinite, f32::INFINITY.to_ne_bytes());
        assert!(element(Given::Float(f64::NAN), Base::Double).is_ok());
    }

    #[test]
    fn texts_of_numbers() {
        for (text, number) in [
            ("12", Given::Int(12)),
            (" -12 ", Given::Int(-12)),
            ("+5", Given::Int(5)),
            ("010", Given::Int(10)),
            ("0x10", Given::Int(16)),
            ("-0XfF", Given::Int(-255)),
            ("9007199254740993", Given::Int(9_007_199_254_740_993)),
            ("12.5", Given::Float(12.5)),
            ("1e3", Given::Float(1000.0)),
            (".5", Given::Float(0.5)),
            ("-inf", Given::Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(number_in(text), Some(number), "{text}");
        }
        for text in [
            "", " ", "x", "1_000", "0x", "0x-1", "0x1_0", "0x1.8", "--1", "1 2", "1,5", "1e999",
            "é",
        ] {
            assert_eq!(number_in(text), None, "{text}");
        }
        let Some(Given::Float(zero)) = number_in("-0") else {
            panic!("no float");
        };
        assert!(zero.is_sign_negative());
        assert_eq!(number_in(&"9".repeat(50)), Some(Given::Float(1e50)));
        assert_eq!(number_in(&format!("0x{}", "f".repeat(50))), None);
    }

    #[test]
    fn integers_that_no_double_holds() {
        let held = [
            0,
            1 << 53,
            -(1 << 53),
            1 << 63,
            1 << 64,
            (1 << 64) + 1,
            i128::MIN,
        ];
        assert!(
            !held
                .into_iter()
                .any(|value| has_no_double(Given::Int(value)))
        );
        let not_held = [(1 << 53) + 1, -(1 << 53) - 1, (1 << 63) - 1, (1 << 64) - 1];
        assert!(
            not_held
                .into_iter()
                .all(|value| has_no_double(Given::Int(value)))
        );
    }

    #[test]
    fn how_to_write_a_bit_mask() {
        let told = |value, base| explain(Misfit::OutOfRange, Given::Int(value), base);
        assert!(told(0xFFFF_FFFF, Base::Long).ends_with("for the bits of 0xFFFFFFFF write -1"));
        assert!(told(0x8000, Base::Short).ends_with("for the bits of 0x8000 write -32768"));
        assert!(!told(1 << 32, Base::Long).contains("bits"));
        assert!(!told(-(1 << 40), Base::Long).contains("bits"));
        assert!(!told(70_000, Base::Enum).contains("bits"));
    }

    proptest! {
        #[test]
        fn longs_are_exact_or_refused(value in any::<i64>()) {
            let result = element(Given::Int(value.into()), Base::Long);
            match i32::try_from(value) {
                Ok(fits) => prop_assert_eq!(result, Ok(fits.to_ne_bytes().to_vec())),
                Err(_) => prop_assert_eq!(result, Err(Misfit::OutOfRange)),
            }
        }

        #[test]
        fn shorts_from_floats_are_exact_or_refused(value in any::<f64>()) {
            let result = element(Given::Float(value), Base::Short);
            if let Ok(bytes) = result {
                let back = i16::from_ne_bytes(bytes.try_into().unwrap());
                prop_assert_eq!(f64::from(back), value);
            } else {
                prop_assert!(
                    value.fract() != 0.0 || !value.is_finite() || value.abs() > 32_767.0
                );
            }
        }
    }
}
