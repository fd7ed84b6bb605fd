//! Numbers to elements of a DBR type: exactly, or not at all.

use crate::ca::dbr::Base;
use std::fmt;

/// A number as the caller gave it. (128 bits hold every integer of numpy's.)
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

/// The integers that a type holds. CHAR is read as unsigned, but signed bytes may be written.
pub fn limits(base: Base) -> Option<(i128, i128)> {
    match base {
        Base::Char => Some((-128, 255)),
        Base::Short => Some((i16::MIN.into(), i16::MAX.into())),
        Base::Enum => Some((0, u16::MAX.into())),
        Base::Long => Some((i32::MIN.into(), i32::MAX.into())),
        Base::String | Base::Float | Base::Double => None,
    }
}

/// What is wrong with `given`, and what would do.
pub fn explain(misfit: Misfit, given: Given, base: Base) -> String {
    let name = base.name();
    match (misfit, limits(base)) {
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
        // A cast of floats saturates, and what saturates is out of every type's range.
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
