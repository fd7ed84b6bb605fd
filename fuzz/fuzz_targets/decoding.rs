//! Decodes whatever bytes as whatever DBR type: no panic, no read beyond their end, nothing longer than its field.
//!
//! Input: the type (one byte), the element count (eight), the structure.

#![no_main]

use cachannel::protocol::validate::Extent;
use cachannel::protocol::dbr::{Base, DbrType, DbrClass, MAX_ENUM_STATES, MAX_ENUM_STRING_SIZE, MAX_STRING_SIZE, MAX_UNITS_SIZE};
use cachannel::protocol::view::{View};
use cachannel::protocol::value::Dbr;
use cachannel::convert::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((head, bytes)) = input.split_first_chunk::<9>() else {
        return;
    };
    let Some(dbr_type) = DbrType::new(i64::from(head[0])) else {
        return;
    };
    let mut count = [0; 8];
    count.copy_from_slice(&head[1..]);
    let count = usize::try_from(u64::from_le_bytes(count)).unwrap_or(usize::MAX);
    look(&View::new(dbr_type, count, bytes));
    // What an answer that passed the checks is copied from holds what it claims.
    if dbr_type.size(count).is_some_and(|size| size <= bytes.len()) {
        // SAFETY: so many bytes are there.
        let dbr = unsafe { Dbr::copy_from(dbr_type, Extent::of(count), bytes.as_ptr().cast()) };
        let dbr = dbr.expect("memory for what there is");
        look(&dbr.view());
        assert_eq!(
            dbr.view().value_bytes().len(),
            count * dbr_type.base().size()
        );
        assert!(text::of(&dbr).chars().count() <= bytes.len());
    }
});

fn look(view: &View<'_>) {
    let kind = view.dbr_type;
    let (value, has_limits) = (view.value_bytes(), view.limits().is_some());
    assert!(value.len() <= view.count.saturating_mul(kind.base().size()));
    let numeric = !matches!(kind.base(), Base::String | Base::Enum);
    assert_eq!(
        has_limits,
        numeric && matches!(kind.form(), DbrClass::Gr | DbrClass::Ctrl)
    );
    if let Some(limits) = view.limits() {
        assert!(limits.units.len() <= MAX_UNITS_SIZE && !limits.units.contains(&0));
        assert_eq!(limits.ctrl.is_some(), kind.form() == DbrClass::Ctrl);
    }
    let states = view.states();
    assert!(states.len() <= MAX_ENUM_STATES);
    assert!(
        states
            .iter()
            .all(|state| state.len() <= MAX_ENUM_STRING_SIZE && !state.contains(&0))
    );
    let _ = (
        view.status(),
        view.severity(),
        view.stamp(),
        view.acknowledgement(),
    );
    for index in [
        0,
        1,
        15,
        16,
        view.count.wrapping_sub(1),
        view.count,
        usize::MAX,
    ] {
        let _ = view.number(index);
        let text = view.string(index);
        assert!(text.len() <= MAX_STRING_SIZE && !text.contains(&0));
    }
}
