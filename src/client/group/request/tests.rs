use super::*;

#[test]
fn orders_by_native_type() {
    let order = |form: ReadAs, native, held| {
        let asked = form.order(native, held);
        asked.map(|asked| (asked.dbr_type, asked.count))
    };
    assert_eq!(
        order(ReadAs::Value, Base::Enum, 1),
        Ok((DbrType::DOUBLE, 1))
    );
    assert_eq!(
        order(ReadAs::Time, Base::Char, 1),
        Ok((DbrType::TIME_DOUBLE, 1))
    );
    assert_eq!(order(ReadAs::Text, Base::Char, 1), Ok((DbrType::STRING, 1)));
    assert_eq!(order(ReadAs::Text, Base::Char, 40), Ok((DbrType::CHAR, 0)));
    assert_eq!(
        order(ReadAs::Text, Base::String, 1),
        Ok((DbrType::STRING, 1))
    );
    assert_eq!(ReadAs::Text.order(Base::Double, 2), Err(Status::BADCOUNT));
    assert_eq!(ReadAs::Value.order(Base::Char, 40), Err(Status::BADCOUNT));
    assert_eq!(ReadAs::Time.order(Base::String, 1), Err(Status::NOCONVERT));
}
