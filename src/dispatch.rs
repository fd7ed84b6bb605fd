//! Hands events from libca's threads to Python, in libca's order.

use crate::callback::{Callback, callback, chid_of};
use crate::calls::{call as call_python, call_method, getattr, import};
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::{Event, Exception, UserData};
use crate::client::pending_io::PendingIo;
use crate::client::queue::{Delivery, Wake};
use crate::client::request::{Op, Request};
use crate::client::subscription::Subscription;
use crate::convert::names::names;
use crate::convert::{Style, fill};
use crate::deferred_decref::release_dropped;
use crate::protocol::constants;
use crate::protocol::dbr::DbrType;
use crate::protocol::status::Status;
use crate::protocol::value::Answer;
use crate::states::{is_empty_text, named};
use crate::sync::wait_queue::remaining;
use crate::thread_state::{Delivering, in_callback, is_exiting};
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The dispatcher gives way to other threads at least so often while events stream in.
const TURN: Duration = Duration::from_millis(5);
/// How often a wait that delivers looks for signals.
const SLICE: Duration = Duration::from_millis(50);

/// The dispatcher's life: until the context's queue is stopped.
pub fn run(py: Python<'_>, context: &Context) {
    loop {
        release_dropped(py);
        match py.detach(|| context.queue.wait(None)) {
            Wake::Stopped => return,
            Wake::Idle => {}
            Wake::Events => {
                let turn_ends = Instant::now() + TURN;
                while let Some(delivery) = context.queue.pop() {
                    // Nobody is there to hand an interrupt on to.
                    let delivered = deliver(py, context, delivery, |_, _| false);
                    debug_assert!(delivered.is_ok());
                    if Instant::now() >= turn_ends {
                        break;
                    }
                }
            }
        }
    }
}

/// The calling thread's waits deliver events: the context is not preemptive, and the thread is its own, and in no callback.
pub fn delivers_while_waiting(context: &Context) -> bool {
    !context.is_preemptive() && context.owner() == std::thread::current().id() && !in_callback()
}

/// How a wait that delivers ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pumped {
    Done,
    Timeout,
}

/// Delivers events until all of `pending` are done, or until the deadline; without batches until the deadline. At the
/// end everything that had come by then is delivered.
pub fn pump(
    py: Python<'_>,
    context: &Context,
    pending: Option<&[Arc<PendingIo>]>,
    deadline: Option<Instant>,
) -> PyResult<Pumped> {
    let watch = context.watch(pending.unwrap_or(&[]));
    let is_over = || remaining(deadline) == Some(Duration::ZERO);
    loop {
        let mark = context.queue.mark();
        while !(pending.is_some() && watch.all_done()) {
            let Some(delivery) = context.queue.pop() else {
                break;
            };
            deliver(py, context, delivery, interrupts)?;
            py.check_signals()?;
            // pend_event delivers all that was due by the deadline; what came later is for the next wait.
            if is_over() && (pending.is_some() || context.queue.is_settled(mark)) {
                break;
            }
        }
        if pending.is_some() && watch.all_done() {
            return Ok(Pumped::Done);
        }
        let slice = match remaining(deadline) {
            Some(Duration::ZERO) => return Ok(Pumped::Timeout),
            Some(left) => left.min(SLICE),
            None => SLICE,
        };
        if py.detach(|| context.queue.wait(Some(slice))) == Wake::Stopped {
            return Ok(Pumped::Timeout);
        }
        py.check_signals()?;
    }
}

/// KeyboardInterrupt, SystemExit and their like: not a callback's failure, but a wish to end whatever is going on.
fn interrupts(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyException>(py)
}

/// `sys.exit` in a callback is the main thread's to carry out: `true` where it has been told.
fn ends_program(py: Python<'_>, error: &PyErr) -> bool {
    if !error.is_instance_of::<PySystemExit>(py) && !error.is_instance_of::<PyKeyboardInterrupt>(py)
    {
        return false;
    }
    let hand_on = import(py, "cachannel._exit")
        .and_then(|module| call_method(&module, "hand_on", (error.value(py),)))
        .and_then(|told| told.extract());
    hand_on.unwrap_or(false)
}

/// Delivers one event. An error of its callback is reported, unless it is one for which `hand_on` has the caller stop.
fn deliver(
    py: Python<'_>,
    context: &Context,
    delivery: Delivery<'_>,
    hand_on: fn(Python<'_>, &PyErr) -> bool,
) -> PyResult<()> {
    let delivering = Delivering::start(context);
    let called = call(py, context, &delivery.event);
    drop(delivering);
    let called = match called {
        Err(error) if hand_on(py, &error) => Err(error),
        Err(error) if !is_exiting() => {
            if !ends_program(py, &error) {
                report(py, &delivery.event, error);
            }
            Ok(())
        }
        _ => Ok(()),
    };
    if let Event::Reply { request, .. } = &delivery.event
        && let Some(callback) = request.handler.as_ref().and_then(callback)
    {
        // It was for this one call; libca's thread may drop the request last.
        callback.let_go(py);
    }
    called
}

/// Calls the user's function, if the event is still wanted.
fn call(py: Python<'_>, context: &Context, event: &Event) -> PyResult<()> {
    match event {
        Event::Update {
            subscription,
            answer,
        } => update(py, subscription, answer),
        Event::Reply { request, answer } => reply(py, request, answer),
        Event::Connection { channel, up } => connection(py, channel, *up),
        Event::AccessRights {
            channel,
            handler,
            read,
            write,
        } => access_rights(py, channel, handler, *read, *write),
        Event::Exception(exception) => self::exception(py, context, exception),
        Event::Message(text) => message(py, context, text),
        Event::Warning(text) => log(py, "cachannel", "warning", text, None),
    }
}

/// Delivers what has come of a subscription of the package's own, in a callback that needs to know of it: the dispatcher gets
/// there only when that callback has returned.
pub fn deliver_own(py: Python<'_>, subscription: &Arc<Subscription>) -> PyResult<()> {
    while let Some(answer) = subscription.take_next() {
        update(py, subscription, &answer)?;
    }
    Ok(())
}

fn update(py: Python<'_>, subscription: &Arc<Subscription>, answer: &Answer) -> PyResult<()> {
    if subscription.is_closed() {
        return Ok(());
    }
    let (Some(channel), Some(callback)) = (subscription.channel(), callback(&subscription.handler))
    else {
        return Ok(());
    };
    let brought = answer.dbr.as_ref().map(|dbr| dbr.named_type());
    let dbr_type = brought.unwrap_or_else(|| subscription.dbr_type());
    let Some(args) = value_args(py, &channel, dbr_type, 0, answer, &callback)? else {
        return Ok(());
    };
    // Making the arguments may have run other Python code, which may have cleared it.
    if subscription.is_closed() || channel.is_closed() {
        return Ok(());
    }
    callback.call(args.into_any())
}

fn reply(py: Python<'_>, request: &Arc<Request>, answer: &Answer) -> PyResult<()> {
    let channel = &request.channel;
    let Some(callback) = request.handler.as_ref().and_then(callback) else {
        return Ok(());
    };
    if channel.is_closed() {
        return Ok(());
    }
    let (dbr_type, count) = request.named();
    let args = match request.op {
        Op::Get => value_args(py, channel, dbr_type, count, answer, &callback)?,
        Op::Put => base_args(py, channel, dbr_type, count, answer)?,
    };
    match args {
        Some(args) if !channel.is_closed() => callback.call(args.into_any()),
        _ => Ok(()),
    }
}

/// chid, type, count, status: what every answer tells. `None` where the channel's object is gone.
fn base_args<'py>(
    py: Python<'py>,
    channel: &Channel,
    dbr_type: DbrType,
    count: usize,
    answer: &Answer,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(chid) = chid_of(py, channel) else {
        return Ok(None);
    };
    let names = names(py)?;
    let args = PyDict::new(py);
    args.set_item(intern!(py, "chid"), chid)?;
    args.set_item(
        intern!(py, "type"),
        names.dbr.get(py, dbr_type.number().into())?,
    )?;
    args.set_item(intern!(py, "count"), count)?;
    args.set_item(
        intern!(py, "status"),
        names.eca.get(py, answer.status.0.into())?,
    )?;
    Ok(Some(args))
}

fn value_args<'py>(
    py: Python<'py>,
    channel: &Arc<Channel>,
    dbr_type: DbrType,
    count: usize,
    answer: &Answer,
    callback: &Callback,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let dbr = answer.dbr.as_ref();
    let (dbr_type, count) = dbr.map_or((dbr_type, count), |dbr| (dbr.named_type(), dbr.count));
    let args = base_args(py, channel, dbr_type, count, answer)?;
    if let Some(args) = &args {
        fill(args, dbr, callback.style, callback.use_numpy)?;
        if let Some(dbr) = dbr
            && callback.style == Style::Pv
            && is_empty_text(dbr)
        {
            named(py, channel, dbr, args.clone().into_any())?;
        }
    }
    Ok(args)
}

fn connection(py: Python<'_>, channel: &Arc<Channel>, up: bool) -> PyResult<()> {
    let Some(callback) = channel.connection_handler().as_ref().and_then(callback) else {
        return Ok(());
    };
    let Some(chid) = chid_of(py, channel).filter(|_| !channel.is_closed()) else {
        return Ok(());
    };
    let number = if up {
        constants::CA_OP_CONN_UP
    } else {
        constants::CA_OP_CONN_DOWN
    };
    let op = names(py)?.op.get(py, number.into())?;
    if callback.style == Style::Pv {
        return callback.call((chid, op).into_pyobject(py)?.into_any());
    }
    let args = PyDict::new(py);
    args.set_item(intern!(py, "chid"), chid)?;
    args.set_item(intern!(py, "op"), op)?;
    callback.call(args.into_any())
}

/// Tells an access rights handler of the rights in the thread that has just set it. What it raises is reported; what is to
/// end whatever goes on is returned.
pub fn tell_rights(
    py: Python<'_>,
    channel: &Arc<Channel>,
    handler: &UserData,
    (read, write): (bool, bool),
) -> PyResult<()> {
    let event = Event::AccessRights {
        channel: channel.clone(),
        handler: handler.clone(),
        read,
        write,
    };
    match access_rights(py, channel, handler, read, write) {
        Err(error) if interrupts(py, &error) => Err(error),
        Err(error) => {
            report(py, &event, error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn access_rights(
    py: Python<'_>,
    channel: &Arc<Channel>,
    handler: &UserData,
    read: bool,
    write: bool,
) -> PyResult<()> {
    let Some(callback) = callback(handler) else {
        return Ok(());
    };
    let Some(chid) = chid_of(py, channel).filter(|_| !channel.is_closed()) else {
        return Ok(());
    };
    let args = PyDict::new(py);
    args.set_item(intern!(py, "chid"), chid)?;
    args.set_item(intern!(py, "read_access"), read)?;
    args.set_item(intern!(py, "write_access"), write)?;
    callback.call(args.into_any())
}

fn exception(py: Python<'_>, context: &Context, exception: &Exception) -> PyResult<()> {
    let names = names(py)?;
    let op = names.op.get(py, exception.op)?;
    let Some(callback) = context.exception_handler().as_ref().and_then(callback) else {
        let mut text = exception.status.message().to_owned();
        if let Some(channel) = &exception.channel {
            text = format!("{}: {text}", channel.name());
        }
        text.push_str(&format!(
            " ({}; {})",
            getattr(&op, "name")?,
            exception.context
        ));
        if exception.status == Status::NOSEARCHADDR {
            text.push_str(": no PV can be found, as EPICS_CA_AUTO_ADDR_LIST is NO and there is no address to search");
        }
        return message(py, context, &text);
    };
    let args = PyDict::new(py);
    let chid = exception
        .channel
        .as_ref()
        .and_then(|channel| chid_of(py, channel));
    args.set_item("chid", chid)?;
    args.set_item("type", names.dbr.get(py, exception.dbr_type)?)?;
    args.set_item("count", exception.count)?;
    args.set_item("state", names.eca.get(py, exception.status.0.into())?)?;
    args.set_item("op", op)?;
    args.set_item("ctx", &exception.context)?;
    args.set_item("file", &exception.file)?;
    args.set_item("lineNo", exception.line)?;
    callback.call(args.into_any())
}

fn message(py: Python<'_>, context: &Context, text: &str) -> PyResult<()> {
    match context.message_handler().as_ref().and_then(callback) {
        Some(callback) => callback.call(text.into_pyobject(py)?.into_any()),
        None => log(py, "cachannel.libca", "warning", text.trim_end(), None),
    }
}

/// An exception in a callback is logged, and the next callback runs.
fn report(py: Python<'_>, event: &Event, error: PyErr) {
    let (pv, kind, handler) = match event {
        Event::Update { subscription, .. } => (
            subscription.channel(),
            "subscription",
            Some(subscription.handler.clone()),
        ),
        Event::Reply { request, .. } => {
            let kind = if request.op == Op::Get { "get" } else { "put" };
            (Some(request.channel.clone()), kind, request.handler.clone())
        }
        Event::Connection { channel, .. } => (
            Some(channel.clone()),
            "connection",
            channel.connection_handler(),
        ),
        Event::AccessRights {
            channel, handler, ..
        } => (
            Some(channel.clone()),
            "access rights",
            Some(handler.clone()),
        ),
        Event::Exception(exception) => (exception.channel.clone(), "exception", None),
        Event::Message(_) | Event::Warning(_) => (None, "printf", None),
    };
    let article = if kind.starts_with(['a', 'e']) {
        "an"
    } else {
        "a"
    };
    let mut text = format!("exception in {article} {kind} callback");
    if let Some(pv) = pv {
        text.push_str(&format!(" of {}", pv.name()));
    }
    if let Some(callback) = handler.as_ref().and_then(callback) {
        text.push_str(&format!(": {}", callback.describe(py)));
    }
    let logged = log(py, "cachannel", "error", &text, Some(&error));
    if let Err(failed) = logged {
        error.write_unraisable(py, None);
        failed.write_unraisable(py, None);
    }
}

/// Logs through Python's logging.
pub fn log(
    py: Python<'_>,
    logger: &str,
    level: &str,
    text: &str,
    error: Option<&PyErr>,
) -> PyResult<()> {
    let logger = call_method(&import(py, "logging")?, "getLogger", (logger,))?;
    let kwargs = PyDict::new(py);
    if let Some(error) = error {
        let info = (error.get_type(py), error.value(py), error.traceback(py));
        kwargs.set_item("exc_info", info)?;
    }
    let args = ("%s", text).into_pyobject(py)?;
    call_python(&getattr(&logger, level)?, &args, Some(&kwargs)).map(drop)
}
