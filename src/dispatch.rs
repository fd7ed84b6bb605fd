//! Hands events from libca's threads to Python, in libca's order.

mod handlers;
mod log;

pub use log::log;

use crate::callback::callback;
use crate::calls::{call_method, import};
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::{Event, UserData};
use crate::client::pending_io::PendingIo;
use crate::client::queue::{Delivery, Wake};
use crate::client::subscription::Subscription;
use crate::deferred_decref::release_dropped;
use crate::sync::wait_queue::remaining;
use crate::thread_state::{Delivering, in_callback, is_exiting};
use handlers::{access_rights, connection, exception, message, reply, update};
use log::report;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
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
    let waiter = context.waiter_at_queue(pending.unwrap_or(&[]));
    let is_over = || remaining(deadline) == Some(Duration::ZERO);
    loop {
        let mark = context.queue.mark();
        while !(pending.is_some() && waiter.all_done()) {
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
        if pending.is_some() && waiter.all_done() {
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
