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

fn spec(count: usize) -> RequestSpec {
    RequestSpec::exactly(DbrType::CHAR, count)
}

/// How many came.
fn checked(spec: RequestSpec, claim: Claim) -> Result<usize, Status> {
    spec.check(claim, || 7).map(|extent| extent.received)
}

fn extent(spec: RequestSpec, received: i64, held: usize) -> (usize, Shape) {
    let checked = spec.check(claim(spec.dbr_type.number(), received, 1), || held);
    let extent = checked.unwrap();
    assert_eq!(extent.received, received as usize);
    (extent.count, extent.shape)
}

#[test]
fn what_is_missing_counts() {
    let of = |count, held| RequestSpec::of(DbrType::CHAR, count, held);
    for received in [0, 1, 5] {
        // All of it.
        assert_eq!(extent(of(None, 5), received, 5), (5, Shape::Array));
        assert_eq!(extent(of(Some(5), 5), received, 5), (5, Shape::Array));
        assert_eq!(extent(of(Some(9), 5), received, 5), (5, Shape::Array));
        // As much as there is.
        let all = (received as usize, Shape::Array);
        assert_eq!(extent(of(Some(0), 5), received, 5), all);
    }
    for received in [0, 1] {
        assert_eq!(extent(of(Some(3), 5), received, 5), (3, Shape::Array));
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
        let spec = RequestSpec::of_text(string, Base::Char, None, 5);
        assert_eq!(i64::from(spec.dbr_type.number()), number + 4);
        assert!(spec.text && spec.whole);
        assert_eq!(spec.requested_type(), string);
        assert_eq!(extent(spec, 2, 5), (5, Shape::Text));
        // One element is a number.
        let one = RequestSpec::of(string, None, 1);
        assert_eq!(RequestSpec::of_text(string, Base::Char, None, 1), one);
        let other = RequestSpec::of(string, None, 5);
        assert_eq!(RequestSpec::of_text(string, Base::Short, None, 5), other);
    }
    for other in [DbrType::CHAR, DbrType::CLASS_NAME, DbrType::STSACK_STRING] {
        let spec = RequestSpec::of_text(other, Base::Char, None, 5);
        assert_eq!(spec, RequestSpec::of(other, None, 5));
    }
}

#[test]
fn updates_are_never_empty_messages() {
    for number in 0..39 {
        let spec = RequestSpec::of(DbrType::new(number).unwrap(), Some(0), 5).for_updates();
        assert!(
            spec.dbr_type.size(0).unwrap() > 0 || number > 34,
            "{spec:?}"
        );
        assert_eq!(i64::from(spec.requested_type().number()), number);
        assert_eq!(spec.for_updates(), spec);
    }
    let scalar = RequestSpec::of(DbrType::DOUBLE, None, 1);
    assert_eq!(scalar.for_updates(), scalar);
    let text = RequestSpec::of_text(DbrType::STRING, Base::Char, None, 5).for_updates();
    assert_eq!(text.requested_type(), DbrType::STRING);
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
        assert_eq!(checked(spec(5), claim(4, count, 1)), Ok(count as usize));
    }
    assert_eq!(checked(spec(1), claim(4, 1, 1)), Ok(1));
    assert_eq!(checked(spec(1), claim(4, 0, 1)), Err(Status::BADCOUNT));
    for count in [0, 1, 7] {
        assert_eq!(checked(spec(0), claim(4, count, 1)), Ok(count as usize));
    }
}

#[test]
fn more_or_another_type_is_refused() {
    assert_eq!(checked(spec(5), claim(4, 6, 1)), Err(Status::BADCOUNT));
    assert_eq!(checked(spec(0), claim(4, 8, 1)), Err(Status::BADCOUNT));
    assert_eq!(checked(spec(5), claim(4, -1, 1)), Err(Status::BADCOUNT));
    assert_eq!(checked(spec(5), claim(5, 5, 1)), Err(Status::BADTYPE));
    assert_eq!(checked(spec(5), claim(-1, 5, 1)), Err(Status::BADTYPE));
    let mut nothing = claim(4, 5, 1);
    nothing.has_data = false;
    assert_eq!(checked(spec(5), nothing), Err(Status::BADTYPE));
}

#[test]
fn the_servers_own_failure_comes_first() {
    assert_eq!(checked(spec(5), claim(9, 99, 152)), Err(Status::GETFAIL));
    assert_eq!(checked(spec(5), claim(4, 5, -3)), Err(Status(-3)));
}

proptest! {
    #[test]
    fn nothing_beyond_passes(
        number in 0i64..39, count in 0usize..100_000, type_: i32, claimed: i32, status: i32, held: u32,
    ) {
        let spec = RequestSpec::exactly(DbrType::new(number).unwrap(), count);
        if let Ok(Extent { received: taken, .. }) = spec.check(claim(type_, claimed.into(), status), || held as usize) {
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
