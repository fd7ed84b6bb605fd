//! Every function that libca calls, on its own threads.
//!
//! None of them takes the interpreter's lock, waits for anything but a short critical section, or lets a panic out.

use super::channel::host_name;
use super::subscription;
use crate::backend::ConnectionInfo;
use crate::backend::libca::error_log;
use crate::backend::libca::messages;
use crate::ca_sys::{
    self, access_rights_handler_args, connection_handler_args, dbr_time_double, event_handler_args,
    exception_handler_args,
};
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::{Event, Exception};
use crate::client::group::reply::GroupReply;
use crate::client::group::request::GroupRequest;
use crate::client::request::Request;
use crate::client::subscription::Subscription;
use crate::protocol::dbr::DbrType;
use crate::protocol::status::Status;
use crate::protocol::value::{Answer, Received, ScalarUpdate};
use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A panic must not unwind into C, nor end a thread that has more to do.
pub(crate) fn contained(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        messages::write_stderr("cachannel: something failed that must not; this is a bug");
    }
}

/// One more reference to what libca holds a pointer to.
///
/// # Safety
/// `user` must come from `Arc::as_ptr` of an `Arc<T>` that is alive.
unsafe fn borrowed<T>(user: *const c_void) -> Arc<T> {
    let pointer: *const T = user.cast();
    // SAFETY: the caller's promise; the count is raised for the reference that is made.
    unsafe {
        Arc::increment_strong_count(pointer);
        Arc::from_raw(pointer)
    }
}

/// The channel behind libca's id.
///
/// # Safety
/// `chid` must be an id that libca hands to a callback.
unsafe fn channel(chid: ca_sys::chid) -> Option<Arc<Channel>> {
    let api = ca_sys::loaded()?.api();
    // SAFETY: in a callback the id is alive, and its user pointer is the one that `Channel::create` gave: a channel which
    // its context keeps until ca_clear_channel has returned, which waits for this callback.
    unsafe {
        let user = api.ca_puser(chid);
        (!user.is_null()).then(|| borrowed::<Channel>(user))
    }
}

pub unsafe extern "C" fn connection(args: connection_handler_args) {
    contained(|| {
        // SAFETY: libca calls this with a living id.
        let Some(channel) = (unsafe { channel(args.chid) }) else {
            return;
        };
        let up = u32::try_from(args.op) == Ok(ca_sys::CA_OP_CONN_UP);
        let Some(loaded) = ca_sys::loaded() else {
            return;
        };
        let (api, io) = (loaded.api(), channel.libca());
        io.learn_id(args.chid, &channel);
        if !up {
            io.set_circuit(None);
            channel.disconnected();
            return;
        }
        // SAFETY: as above.
        let (info, server, read, write) = unsafe {
            let info = ConnectionInfo {
                native_type: i32::from(api.ca_field_type(args.chid)),
                element_count: usize::try_from(api.ca_element_count(args.chid)).unwrap_or(0),
            };
            let server = host_name(api, args.chid);
            let read = api.ca_read_access(args.chid) != 0;
            let write = api.ca_write_access(args.chid) != 0;
            (info, server, read, write)
        };
        let circuit = channel.context().libca().find_circuit(&channel, server);
        io.set_circuit(Some(circuit));
        channel.connected(info);
        subscription::look_at_all(&channel);
        channel.access_at_connection(read, write);
    });
}

pub unsafe extern "C" fn access_rights(args: access_rights_handler_args) {
    contained(|| {
        // SAFETY: libca calls this with a living id.
        let Some(channel) = (unsafe { channel(args.chid) }) else {
            return;
        };
        channel.access_changed(args.ar.read_access() != 0, args.ar.write_access() != 0);
    });
}

/// What libca lends to a callback.
///
/// # Safety
/// `args` must be what libca handed to a callback, which has not returned.
unsafe fn received(args: &event_handler_args) -> Received<'_> {
    #[allow(clippy::useless_conversion)] // c_long has 32 bits on Windows
    let (dbr_type, count) = (i64::from(args.type_), i64::from(args.count));
    // SAFETY: libca lends a structure of the type and count that it names, where these are within what was asked of the channel.
    unsafe { Received::new(Status(args.status), dbr_type, count, args.dbr) }
}

pub unsafe extern "C" fn update(args: event_handler_args) {
    contained(|| {
        // SAFETY: libca hands back the pointer given to ca_create_subscription, whose subscription is kept until
        // ca_clear_subscription or ca_clear_channel has returned, which wait for this callback.
        let subscription = unsafe { borrowed::<Subscription>(args.usr) };
        if subscription.is_closed() || subscription.libca().is_stale() {
            return;
        }
        if let Some(channel) = subscription.channel() {
            let asked = subscription.active_spec();
            // SAFETY: `args` is libca's.
            let received = unsafe { received(&args) };
            let answer = received.answer(asked, || channel.element_count(), None);
            channel.context().queue.push_update(&subscription, answer);
        }
    });
}

/// As `update`, for a recorder. It is called millions of times a second, and so does without a reference of its own.
pub unsafe extern "C" fn record(args: event_handler_args) {
    contained(|| {
        // SAFETY: as for `update`: libca's pointer is good until this returns.
        let subscription = unsafe { &*args.usr.cast::<Subscription>() };
        let Some(track) = subscription.recorded() else {
            return;
        };
        // SAFETY: `args` is libca's.
        if let Err(status) = unsafe { received(&args) }.scalar(DbrType::TIME_DOUBLE) {
            return track.record_failure(status);
        }
        // SAFETY: libca lends a structure of the type that was checked, until this returns; a copy may lie anywhere.
        let update = unsafe { args.dbr.cast::<dbr_time_double>().read_unaligned() };
        track.record(ScalarUpdate {
            value: update.value,
            stamp: (update.stamp.secPastEpoch, update.stamp.nsec),
            severity: update.severity,
            status: update.status,
        });
    });
}

pub unsafe extern "C" fn get(args: event_handler_args) {
    contained(|| {
        // SAFETY: libca hands back the pointer given to ca_array_get_callback, once; the channel keeps the request until
        // `finish` here, or until ca_clear_channel has returned, which waits for this callback.
        let (request, answer) = unsafe {
            let request = borrowed::<Request>(args.usr);
            let (asked, spare) = (request.asked(), request.take_spare());
            let held = || request.channel.element_count();
            let answer = received(&args).answer(asked, held, spare);
            (request, answer)
        };
        if let Some(request) = request.channel.finish(&request) {
            if is_servers(answer.status) {
                confirm(&request.channel, request.sent());
            }
            request.complete(answer);
        }
    });
}

/// Answers to the requests of a group.
pub unsafe extern "C" fn group(args: event_handler_args) {
    contained(|| {
        // SAFETY: libca hands back the pointer given to ca_array_get_callback or ca_array_put_callback, once. The group keeps the
        // reply's request until all of its replies are there, or until the channel was released, which waits for this callback.
        let (reply, request) = unsafe {
            let reply = &*args.usr.cast::<GroupReply>();
            (reply, GroupRequest::of(reply))
        };
        let Some(request) = request else { return };
        // SAFETY: `args` is libca's.
        let received = unsafe { received(&args) };
        let sent = reply.sent.load(Ordering::Acquire);
        if sent != 0
            && is_servers(received.status())
            && let Some(group) = request.members()
        {
            confirm(&group.channels()[reply.index as usize], sent);
        }
        drop(request.answered(reply, &received));
    });
}

/// An answer with this status comes from the server, not from libca alone.
fn is_servers(status: Status) -> bool {
    !matches!(status, Status::DISCONN | Status::CHANDESTROY)
}

/// The server has answered: what its circuit had been sent before has reached it, too.
fn confirm(channel: &Channel, sent: u64) {
    if let Some(circuit) = channel.libca().circuit() {
        circuit.confirm(sent);
    }
}

pub unsafe extern "C" fn put(args: event_handler_args) {
    contained(|| {
        // SAFETY: as for `get`.
        let request = unsafe { borrowed::<Request>(args.usr) };
        if let Some(request) = request.channel.finish(&request) {
            let status = Status(args.status);
            if is_servers(status) {
                confirm(&request.channel, request.sent());
            }
            request.complete(Answer::failed(status));
        }
    });
}

pub unsafe extern "C" fn exception(args: exception_handler_args) {
    contained(|| {
        // SAFETY: libca hands back the pointer given to ca_add_exception_event; the context is destroyed before it is
        // dropped. The id, where there is one, is alive.
        let (context, channel) = unsafe {
            let context = borrowed::<Context>(args.usr);
            let channel = (!args.chid.is_null()).then(|| channel(args.chid)).flatten();
            (context, channel)
        };
        // A long in the header; codes are small.
        let status = Status(i32::try_from(args.stat).unwrap_or(Status::INTERNAL.0));
        let is_put = u32::try_from(args.op) == Ok(ca_sys::CA_OP_PUT);
        let told = is_put && channel.as_ref().is_some_and(|c| c.refusals.tell(status));
        if told && context.exception_handler().is_none() {
            return;
        }
        #[allow(clippy::useless_conversion)] // c_long has 32 bits on Windows
        let (dbr_type, op) = (i64::from(args.type_), i64::from(args.op));
        // SAFETY: libca's texts, null or with their NUL; but the first may be the body of a server's message, which need not
        // have one: that is followed by more than MAX_TEXT bytes of libca's buffer.
        let (text, file) = unsafe { (string(args.ctx), string(args.pFile)) };
        let exception = Exception {
            channel,
            dbr_type,
            count: usize::try_from(args.count).unwrap_or(0),
            status,
            op,
            context: text,
            file,
            line: args.lineNo,
        };
        context.queue.push(Event::Exception(Box::new(exception)));
    });
}

/// libca's diagnostics.
pub unsafe extern "C" fn message(format: *const c_char, args: *mut c_void) -> c_int {
    let mut length = 0;
    contained(|| {
        let mut buffer = [0 as c_char; 1024];
        // SAFETY: the format and the arguments are libca's and fit; vsnprintf writes at most the given length with NUL.
        let text = unsafe {
            length = vsnprintf(buffer.as_mut_ptr(), buffer.len(), format, args);
            string(buffer.as_ptr())
        };
        messages::publish(text);
    });
    length
}

/// What libca and libCom write to the latter's error log.
pub unsafe extern "C" fn logged(_user: *mut c_void, text: *const c_char) {
    contained(|| {
        // SAFETY: libCom lends a text with its NUL.
        let text = unsafe { string(text) };
        error_log::logged(&text);
    });
}

/// What libCom writes to the console of the error log.
///
/// # Safety
/// There must be so many bytes.
#[cfg(unix)]
pub(crate) unsafe fn console(text: *const c_char, size: usize) {
    contained(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), size) };
        error_log::written(text);
    });
}

#[cfg_attr(windows, link(name = "legacy_stdio_definitions"))]
unsafe extern "C" {
    fn vsnprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        args: *mut c_void,
    ) -> c_int;
}

/// What is taken of a text.
const MAX_TEXT: usize = 1024;

/// # Safety
/// `text` must be null, end with a NUL, or be followed by MAX_TEXT bytes.
unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise; strnlen looks at no more, and not beyond a NUL.
    let bytes = unsafe {
        let length = libc::strnlen(text, MAX_TEXT);
        std::slice::from_raw_parts(text.cast::<u8>(), length)
    };
    String::from_utf8_lossy(bytes).into_owned()
}
