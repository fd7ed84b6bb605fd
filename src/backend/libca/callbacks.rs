//! Every function that libca calls, on its own threads. (What libCom's error log calls is in `error_log`.)
//!
//! None of them takes the interpreter's lock, waits for anything but a short critical section, or lets a panic out.

use super::callback_table::CallbackTable;
use super::contained::contained;
use super::messages;
use super::text::string;
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
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What libca is given to call.
pub(super) static CALLBACKS: CallbackTable = CallbackTable {
    connection,
    access_rights,
    update,
    record,
    read,
    written,
    group,
    exception,
    message,
};

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
    // SAFETY: in a callback the id is alive, and its user pointer is the one that `LibcaChannel::search` gave: a channel which
    // its context keeps until ca_clear_channel has returned, which waits for this callback.
    unsafe {
        let user = api.ca_puser(chid);
        (!user.is_null()).then(|| borrowed::<Channel>(user))
    }
}

unsafe extern "C" fn connection(args: connection_handler_args) {
    contained(|| {
        // SAFETY: libca calls this with a living id.
        let Some(channel) = (unsafe { channel(args.chid) }) else {
            return;
        };
        let up = u32::try_from(args.op) == Ok(ca_sys::CA_OP_CONN_UP);
        let api = channel.context().libca().api();
        // SAFETY: as above.
        unsafe { super::connection::changed(&channel, api, args.chid, up) };
    });
}

unsafe extern "C" fn access_rights(args: access_rights_handler_args) {
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

unsafe extern "C" fn update(args: event_handler_args) {
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
            subscription.brought(&channel, answer);
        }
    });
}

/// As `update`, for a recorder. It is called millions of times a second, and so does without a reference of its own.
unsafe extern "C" fn record(args: event_handler_args) {
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

unsafe extern "C" fn read(args: event_handler_args) {
    contained(|| {
        // SAFETY: libca hands back the pointer given to ca_array_get_callback, once; the channel keeps the request until
        // `finish` here, or until ca_clear_channel has returned, which waits for this callback.
        let (request, answer) = unsafe {
            let request = borrowed::<Request>(args.usr);
            let (asked, spare) = (request.spec(), request.take_spare());
            let held = || request.channel.element_count();
            let answer = received(&args).answer(asked, held, spare);
            (request, answer)
        };
        if let Some(request) = request.channel.finish(&request) {
            if is_servers(answer.status) {
                server_answered(&request.channel, request.sent());
            }
            request.complete(answer);
        }
    });
}

/// Answers to the requests of a group.
unsafe extern "C" fn group(args: event_handler_args) {
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
            && let Some(group) = request.group()
        {
            server_answered(&group.channels()[reply.index as usize], sent);
        }
        drop(request.answered(reply, &received));
    });
}

/// An answer with this status comes from the server, not from libca alone.
fn is_servers(status: Status) -> bool {
    !matches!(status, Status::DISCONN | Status::CHANDESTROY)
}

/// The server has answered the message with which `sent` was this much: the server has read all that was sent before.
fn server_answered(channel: &Channel, sent: u64) {
    if let Some(circuit) = channel.libca().circuit() {
        circuit.confirm_sent(sent);
    }
}

unsafe extern "C" fn written(args: event_handler_args) {
    contained(|| {
        // SAFETY: as for `read`.
        let request = unsafe { borrowed::<Request>(args.usr) };
        if let Some(request) = request.channel.finish(&request) {
            let status = Status(args.status);
            if is_servers(status) {
                server_answered(&request.channel, request.sent());
            }
            request.complete(Answer::failed(status));
        }
    });
}

unsafe extern "C" fn exception(args: exception_handler_args) {
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
        let told = is_put
            && channel
                .as_ref()
                .is_some_and(|c| c.write_errors.tell(status));
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
            ended: None,
        };
        context.queue.push(Event::Exception(Box::new(exception)));
    });
}

/// libca's diagnostics.
unsafe extern "C" fn message(format: *const c_char, args: *mut c_void) -> c_int {
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

#[cfg_attr(windows, link(name = "legacy_stdio_definitions"))]
unsafe extern "C" {
    fn vsnprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        args: *mut c_void,
    ) -> c_int;
}
