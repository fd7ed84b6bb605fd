use super::*;

#[test]
fn orders_by_native_type() {
    let spec = |read_as: ReadAs, native, held| {
        let spec = read_as.spec(native, held);
        spec.map(|spec| (spec.dbr_type, spec.count))
    };
    assert_eq!(spec(ReadAs::Value, Base::Enum, 1), Ok((DbrType::DOUBLE, 1)));
    assert_eq!(
        spec(ReadAs::Time, Base::Char, 1),
        Ok((DbrType::TIME_DOUBLE, 1))
    );
    assert_eq!(spec(ReadAs::Text, Base::Char, 1), Ok((DbrType::STRING, 1)));
    assert_eq!(spec(ReadAs::Text, Base::Char, 40), Ok((DbrType::CHAR, 0)));
    assert_eq!(
        spec(ReadAs::Text, Base::String, 1),
        Ok((DbrType::STRING, 1))
    );
    assert_eq!(ReadAs::Text.spec(Base::Double, 2), Err(Status::BADCOUNT));
    assert_eq!(ReadAs::Value.spec(Base::Char, 40), Err(Status::BADCOUNT));
    assert_eq!(ReadAs::Time.spec(Base::String, 1), Err(Status::NOCONVERT));
}
