//! The functions that libca is given to call, by kind. [`callbacks`](super::callbacks) has them; whoever asks something of libca
//! takes them from here, so that nothing in this folder is above the callbacks but the table's maker.

use crate::ca_sys::{
    access_rights_handler_args, connection_handler_args, event_handler_args, exception_handler_args,
};
use std::ffi::{c_char, c_int, c_void};

type OnEvent = unsafe extern "C" fn(event_handler_args);

pub(super) struct CallbackTable {
    pub connection: unsafe extern "C" fn(connection_handler_args),
    pub access_rights: unsafe extern "C" fn(access_rights_handler_args),
    pub update: OnEvent,
    pub record: OnEvent,
    pub read: OnEvent,
    pub written: OnEvent,
    pub group: OnEvent,
    pub exception: unsafe extern "C" fn(exception_handler_args),
    pub message: unsafe extern "C" fn(*const c_char, *mut c_void) -> c_int,
}
