//! libCom's error log, through which libca tells most of what goes wrong: it is brought to where libca's other messages go.

use super::{fork, trampoline};
use crate::ca_sys;
use std::sync::Once;

/// Has what libca and libCom log go to the contexts, as libca's messages do, and no more to standard error.
///
/// The log belongs to the process, and whoever has an IOC in it wants the IOC's messages where they are: not for them.
pub fn divert() {
    static ONCE: Once = Once::new();
    // Where an ancestor process has begun the log, it has no thread here that would deliver anything.
    if fork::generation() > 0 {
        return;
    }
    ONCE.call_once(|| {
        if let Some(errlog) = ca_sys::loaded().and_then(ca_sys::Loaded::errlog) {
            // SAFETY: the listener has the type that libCom wants, needs no user pointer, and stays for good, as does libCom.
            unsafe {
                (errlog.add_listener)(trampoline::errlog, std::ptr::null_mut());
                (errlog.to_console)(0);
            }
        }
    });
}
