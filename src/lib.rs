//! The Python module `cachannel._ca`, and the Channel Access client that it stands on.
//!
//! Layers, each using only those below it:
//!
//! * `py` the functions and classes that Python sees, a few lines each
//! * `dispatch` delivers events to Python functions (`callback`)
//! * [`convert`] DBR structures to Python and numpy values, and back
//! * [`client`] contexts, channels, requests, subscriptions, groups, recorders; knows no Python and no libca
//! * [`backend`] what the client asks of a way to speak Channel Access: traits, the contract, and the choice;
//!   [`backend::libca`] is the only one, and the only user of [`ca_sys`]
//! * [`ca_sys`] libca itself: bindings and loader
//!
//! All of them may use [`protocol`], what Channel Access is, and [`sync`], the concurrent building blocks; these use none of
//! them. Backends call the client's upcalls, which `backend/mod.rs` lists: there the layers are a circle, and
//! `client/mod.rs` says why.
//!
//! For all that see Python: `errors` makes exceptions of errors, `calls` calls Python code, `deferred_decref` has references
//! that any thread may drop, `states` the texts of enum states without a name, and `thread_state` what the calling thread is
//! doing. Without the cargo feature `python` these, `py` and `dispatch` are left out.
//!
//! # The way of a read, a write and an update
//!
//! * `getw` calls `py::read::read_wait`, which sends the request by [`client::channel::Channel::get`], waits in `py::wait`,
//!   and converts the answer with `convert::value`.
//! * `putw` calls `py::write::put_checked`, and that calls `py::write::Write::send`, which converts the value with
//!   `convert::outgoing` and writes it with [`client::channel::Channel::put`].
//! * An update comes from the backend into the context's [`client::queue::EventQueue`]; `dispatch::run` takes it from there
//!   and calls the user's function.
//!
//! `client/mod.rs` tells what happens within the client.

pub mod backend;
pub mod ca_sys;
#[cfg(feature = "python")]
mod callback;
#[cfg(feature = "python")]
mod calls;
pub mod client;
pub mod convert;
#[cfg(feature = "python")]
mod deferred_decref;
#[cfg(feature = "python")]
mod dispatch;
#[cfg(feature = "python")]
mod errors;
pub mod protocol;
#[cfg(feature = "python")]
mod py;
#[cfg(feature = "python")]
mod states;
pub mod sync;
#[cfg(feature = "python")]
mod thread_state;
#[cfg(feature = "python")]
mod values;

// "Free-threaded Python" in docs/internals.rst says what `gil_used` waits for.
#[cfg(feature = "python")]
#[pyo3::pymodule(name = "_ca", gil_used = true)]
mod module {
    #[pymodule_export]
    use crate::callback::Own;
    #[pymodule_export]
    use crate::py::channel::{ChannelCore, use_numpy};
    #[pymodule_export]
    use crate::py::channel_group::ChannelGroupCore;
    #[pymodule_export]
    use crate::py::chid::{
        Chid, change_connection_event, clear_channel, create_channel, open_channel,
        replace_access_rights_event, state,
    };
    #[pymodule_export]
    use crate::py::context::{
        PyContext, add_exception_event, attach_context, create_context, current_context,
        detach_context, prepare_with, replace_printf_handler, show_context,
    };
    #[pymodule_export]
    use crate::py::end::{destroy_context, shutdown};
    #[pymodule_export]
    use crate::py::groups::{sg_block, sg_create, sg_delete, sg_get, sg_put, sg_reset, sg_test};
    #[pymodule_export]
    use crate::py::info::{
        dbr_size_n, divert_errlog, element_count, field_type, host_name, load_libca, loaded_libca,
        message, name, read_access, udp_port_is_taken, version, write_access,
    };
    #[pymodule_export]
    use crate::py::loop_queue::LoopQueue;
    #[pymodule_export]
    use crate::py::outstanding::Wait;
    #[pymodule_export]
    use crate::py::read::{DBRValue, get, read_wait};
    #[pymodule_export]
    use crate::py::recorder::Recorder;
    #[pymodule_export]
    use crate::py::subscription::{
        Evid, clear_subscription, create_subscription, deliver_own, delivers_events, dropped,
    };
    #[pymodule_export]
    use crate::py::thread::{News, start_thread, thread_ident};
    #[pymodule_export]
    use crate::py::values::channels::{backlog, wait_for_connections, watch_channel};
    #[pymodule_export]
    use crate::py::values::properties::PyProperties;
    #[pymodule_export]
    use crate::py::values::reads::{Reads, read_values};
    #[pymodule_export]
    use crate::py::values::spec::ValueSpec;
    #[pymodule_export]
    use crate::py::values::subscribe::subscribe_values;
    #[pymodule_export]
    use crate::py::values::writes::{Writes, write_values};
    #[pymodule_export]
    use crate::py::wait::{
        deliver_due, flush_io, pend, pend_event, pend_io, poll, test_io, wait_answers,
        wait_connected, wait_io,
    };
    #[pymodule_export]
    use crate::py::write::{put, put_checked, put_wait};
    #[pymodule_export]
    use crate::thread_state::in_callback;
    #[pymodule_export]
    use crate::values::update::Update;

    use crate::calls::in_main_interpreter;
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    /// `__all__` is what module `ca` had in CaChannel 3.x: neither what is new, nor what the package itself calls.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        if !in_main_interpreter(module.py()) {
            return Err(PyImportError::new_err(
                "cachannel works in the main interpreter of a process only, not in a sub-interpreter; for work side by side \
                 take threads or processes",
            ));
        }
        crate::convert::preload::numpy(module.py())?;
        let all = module.index()?;
        for private in [
            "divert_errlog",
            "load_libca",
            "loaded_libca",
            "put_checked",
            "put_wait",
            "open_channel",
            "read_wait",
            "deliver_due",
            "deliver_own",
            "delivers_events",
            "wait_answers",
            "wait_connected",
            "Recorder",
            "prepare_with",
            "shutdown",
            "udp_port_is_taken",
            "use_numpy",
            "ChannelGroupCore",
            "Own",
            "News",
            "start_thread",
            "thread_ident",
            "ChannelCore",
            "wait_io",
            "ca_client_context",
            "chid",
            "dropped",
            "evid",
            "LoopQueue",
            "Wait",
            "Properties",
            "Reads",
            "ValueSpec",
            "Writes",
            "Update",
            "backlog",
            "read_values",
            "subscribe_values",
            "wait_for_connections",
            "write_values",
            "watch_channel",
            "in_callback",
        ] {
            all.call_method1("remove", (private,))?;
        }
        Ok(())
    }
}
