//! What the rest of the crate assumes of the DBR structures, checked against the headers when it is compiled.
//!
//! `protocol::dbr` reads these structures as bytes at offsets; a header that disagrees must not compile.

use super::bindings::*;
use std::mem::{offset_of, size_of};

macro_rules! value_at {
    ($($kind:ty => $offset:expr),* $(,)?) => {
        $(const _: () = assert!(offset_of!($kind, value) == $offset);)*
    };
}

value_at! {
    dbr_sts_string => 4, dbr_sts_short => 4, dbr_sts_float => 4, dbr_sts_enum => 4,
    dbr_sts_char => 5, dbr_sts_long => 4, dbr_sts_double => 8,
    dbr_time_string => 12, dbr_time_short => 14, dbr_time_float => 12, dbr_time_enum => 14,
    dbr_time_char => 15, dbr_time_long => 12, dbr_time_double => 16,
    dbr_gr_short => 24, dbr_gr_float => 40, dbr_gr_enum => 422, dbr_gr_char => 19, dbr_gr_long => 36,
    dbr_gr_double => 64,
    dbr_ctrl_short => 28, dbr_ctrl_float => 48, dbr_ctrl_enum => 422, dbr_ctrl_char => 21, dbr_ctrl_long => 44,
    dbr_ctrl_double => 80,
    dbr_stsack_string => 8,
}

// The alarm state opens every structure that has one.
const _: () =
    assert!(offset_of!(dbr_ctrl_double, status) == 0 && offset_of!(dbr_ctrl_double, severity) == 2);
const _: () = assert!(
    offset_of!(dbr_stsack_string, status) == 0 && offset_of!(dbr_stsack_string, severity) == 2
);
const _: () =
    assert!(offset_of!(dbr_stsack_string, ackt) == 4 && offset_of!(dbr_stsack_string, acks) == 6);
const _: () = assert!(offset_of!(dbr_time_double, stamp) == 4 && size_of::<epicsTimeStamp>() == 8);
const _: () =
    assert!(offset_of!(dbr_ctrl_enum, no_str) == 4 && offset_of!(dbr_ctrl_enum, strs) == 6);

// Units and limits, in the order in which `protocol::dbr` takes them.
const _: () =
    assert!(offset_of!(dbr_ctrl_double, precision) == 4 && offset_of!(dbr_ctrl_double, units) == 8);
const _: () = assert!(
    offset_of!(dbr_ctrl_long, units) == 4 && offset_of!(dbr_ctrl_long, upper_disp_limit) == 12
);
const _: () = assert!(offset_of!(dbr_ctrl_double, upper_disp_limit) == 16);
const _: () = assert!(offset_of!(dbr_ctrl_double, lower_disp_limit) == 24);
const _: () = assert!(offset_of!(dbr_ctrl_double, upper_alarm_limit) == 32);
const _: () = assert!(offset_of!(dbr_ctrl_double, upper_warning_limit) == 40);
const _: () = assert!(offset_of!(dbr_ctrl_double, lower_warning_limit) == 48);
const _: () = assert!(offset_of!(dbr_ctrl_double, lower_alarm_limit) == 56);
const _: () = assert!(offset_of!(dbr_ctrl_double, upper_ctrl_limit) == 64);
const _: () = assert!(offset_of!(dbr_ctrl_double, lower_ctrl_limit) == 72);

// `protocol::constants` has these too, because programs see them whatever the backend is.
const _: () = {
    use crate::protocol::constants as c;
    assert!(c::DBE_VALUE == DBE_VALUE && c::DBE_LOG == DBE_LOG);
    assert!(c::DBE_ALARM == DBE_ALARM && c::DBE_PROPERTY == DBE_PROPERTY);
    assert!(c::CA_OP_GET == CA_OP_GET && c::CA_OP_PUT == CA_OP_PUT);
    assert!(c::CA_OP_ADD_EVENT == CA_OP_ADD_EVENT);
    assert!(c::CA_OP_CONN_UP == CA_OP_CONN_UP && c::CA_OP_CONN_DOWN == CA_OP_CONN_DOWN);
};
