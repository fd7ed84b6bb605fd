//! libca, opened, with a preemptive context; its statuses as errors.

use crate::Result;
use cachannel::ca_sys::{self, Candidate, LibCa, chid};
use std::ffi::{CString, c_double, c_int, c_long, c_ulong, c_void};
use std::sync::OnceLock;

pub const DBR_DOUBLE: c_long = 6;
pub const DBR_TIME_DOUBLE: c_long = 20;
const ECA_NORMAL: c_int = 1;

type ArrayGet = unsafe extern "C" fn(c_long, c_ulong, chid, *mut c_void) -> c_int;
type PendIo = unsafe extern "C" fn(c_double) -> c_int;

/// Two functions that C programs read with and the package does not: the bindings leave them out.
struct Reading {
    array_get: ArrayGet,
    pend_io: PendIo,
}

static READING: OnceLock<Reading> = OnceLock::new();

/// Opens the library and makes the context of the process.
pub fn open(path: &str) -> Result<()> {
    let candidate = Candidate {
        source: "benchmark".into(),
        path: path.into(),
    };
    ca_sys::load(&[candidate]).map_err(|error| error.to_string())?;
    // SAFETY: the library is open already; the functions have these signatures in cadef.h; it is never closed.
    let reading = unsafe {
        let library = libloading::Library::new(path)?;
        let reading = Reading {
            array_get: *library.get(b"ca_array_get\0")?,
            pend_io: *library.get(b"ca_pend_io\0")?,
        };
        std::mem::forget(library);
        reading
    };
    let _ = READING.set(reading);
    let preemptive = ca_sys::ca_preemptive_callback_select_ca_enable_preemptive_callback;
    // SAFETY: the first call of this thread into libca.
    check(unsafe { api().ca_context_create(preemptive) })
}

/// libca's functions.
pub fn api() -> &'static LibCa {
    ca_sys::loaded().expect("open comes first").api()
}

/// A status that is not ECA_NORMAL is an error.
pub fn check(status: c_int) -> Result<()> {
    if status == ECA_NORMAL {
        Ok(())
    } else {
        Err(format!("libca's status {status}, message {}", status >> 3).into())
    }
}

pub fn pend_io() -> Result<()> {
    let reading = READING.get().expect("open comes first");
    // SAFETY: every value that is read lives until its loop has pended.
    check(unsafe { (reading.pend_io)(60.0) })
}

/// Creates channels without a handler, which the next `pend_io` waits for.
pub fn create(names: &[String]) -> Result<Vec<chid>> {
    let mut channels = Vec::with_capacity(names.len());
    for name in names {
        let name = CString::new(name.as_str())?;
        let mut channel: chid = std::ptr::null_mut();
        // SAFETY: the name is read before the call returns, the channel's place written.
        check(unsafe {
            api().ca_create_channel(name.as_ptr(), None, std::ptr::null_mut(), 0, &mut channel)
        })?;
        channels.push(channel);
    }
    Ok(channels)
}

/// Connected channels.
pub fn connect(names: &[String]) -> Result<Vec<chid>> {
    let channels = create(names)?;
    pend_io()?;
    Ok(channels)
}

pub fn connect_one(name: String) -> Result<chid> {
    Ok(connect(&[name])?[0])
}

/// Asks for the channel's elements, which are in `values` when `pend_io` has returned.
pub fn array_get(channel: chid, values: &mut [f64]) -> Result<()> {
    let reading = READING.get().expect("open comes first");
    let values_start = values.as_mut_ptr().cast();
    // SAFETY: the slice has room for its length; the loops keep it until they have pended.
    check(unsafe {
        (reading.array_get)(DBR_DOUBLE, values.len() as c_ulong, channel, values_start)
    })
}

/// Writes elements, which libca has copied or sent when this returns.
pub fn array_put(channel: chid, values: &[f64]) -> Result<()> {
    // SAFETY: the slice has as many elements as are said.
    check(unsafe {
        api().ca_array_put(
            DBR_DOUBLE,
            values.len() as c_ulong,
            channel,
            values.as_ptr().cast(),
        )
    })
}

pub fn flush() -> Result<()> {
    // SAFETY: there is a context.
    check(unsafe { api().ca_flush_io() })
}
