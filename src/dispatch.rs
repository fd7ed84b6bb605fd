//! Delivers events to Python functions, in the order in which they came.
//!
//! * [`handlers`] calls the function that an event is for
//! * [`log`] logs failures of these functions, and [`repeated`] texts for which there is no function, equal ones gathered
//!
//! * [`patience`] reminds of values that wait for their properties in vain
//! * [`values`] delivers values with their properties, where a callback gets values instead of dicts
//!
//! The way of an event: [`run`] (in the dispatcher thread) or [`pump`] (in a thread of a non-preemptive context that waits)
//! takes the event from the context's queue; `deliver` calls the function and handles what it raises. The events of an event
//! loop's channels have a queue of their own, and [`drain`] delivers them, in the loop's thread.

mod handlers;
mod log;
mod patience;
mod repeated;
mod values;

pub use log::{log, warn_of_loop};
pub use repeated::{finish as finish_log, warn};

use crate::callback::callback;
use crate::calls::{call_method, discard, import};
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::{Event, UserData};
use crate::client::pending_io::PendingIo;
use crate::client::queue::{Delivery, EventQueue, Wake};
use crate::client::subscription::Subscription;
use crate::deferred_decref::release_dropped;
use crate::sync::wait_queue::remaining;
use crate::thread_state::{Calling, delivers, in_callback, is_exiting};
use handlers::{access_rights, connection, done, exception, message, reply, update};
use log::report;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// While events stream in, the dispatcher lets other threads run at least this often.
const TURN: Duration = Duration::from_millis(5);
/// How often a wait that delivers events checks signals.
const SLICE: Duration = Duration::from_millis(50);

/// The dispatcher thread: delivers events until the context's queue is stopped.
pub fn run(py: Python<'_>, context: &Context) {
    loop {
        release_dropped(py);
        match py.detach(|| context.queue.wait(None)) {
            Wake::Stopped => return,
            Wake::Idle => {}
            Wake::Events => {
                let turn_ends = Instant::now() + TURN;
                while let Some(delivery) = context.queue.pop() {
                    // No caller could raise an interrupt here.
                    let delivered = deliver(py, Some(context), delivery, |_, _| false);
                    debug_assert!(delivered.is_ok());
                    if Instant::now() >= turn_ends {
                        break;
                    }
                }
            }
        }
    }
}

/// Delivers what has come for the channels of an event loop, in the loop's thread, for a few milliseconds; `true` where more is
/// there. Interrupts are returned.
pub fn drain(py: Python<'_>, queue: &EventQueue) -> PyResult<bool> {
    release_dropped(py);
    let turn_ends = Instant::now() + TURN;
    while let Some(delivery) = queue.pop() {
        deliver(py, None, delivery, interrupts)?;
        if Instant::now() >= turn_ends {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the calling thread delivers events while it waits: the context is not preemptive, the thread has made it, and is not
/// in a callback.
pub fn delivers_while_waiting(context: &Context) -> bool {
    is_owners(context) && !in_callback()
}

/// Whether the context's callbacks come only when the callback that the calling thread is in has returned.
pub fn holds_up(context: &Context) -> bool {
    delivers(context) || is_owners(context) && in_callback()
}

/// Whether the calling thread is the one that delivers the events of a context that is not preemptive.
fn is_owners(context: &Context) -> bool {
    !context.is_preemptive() && context.owner() == std::thread::current().id()
}

/// How a wait that delivers ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pumped {
    Done,
    Timeout,
}

/// Delivers events until all of `pending` are done or the deadline has come; without `pending` until the deadline. Everything
/// that has come by then is delivered.
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
            deliver(py, Some(context), delivery, interrupts)?;
            py.check_signals()?;
            // pend_event delivers everything that had come by the deadline; later events are for the next wait.
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

/// KeyboardInterrupt, SystemExit and similar: these are not failures of a callback, but requests to end what is running.
pub fn interrupts(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyException>(py)
}

/// Passes `sys.exit` and Ctrl-C in a callback on to the main thread; `true` if that was possible.
fn ends_program(py: Python<'_>, error: &PyErr) -> bool {
    if !error.is_instance_of::<PySystemExit>(py) && !error.is_instance_of::<PyKeyboardInterrupt>(py)
    {
        return false;
    }
    let hand_on = import(py, "cachannel._exit")
        .and_then(|module| call_method(&module, "hand_on", (error.value(py),)))
        .and_then(|told| told.extract());
    hand_on.unwrap_or_else(|error| {
        discard(py, error);
        false
    })
}

/// Delivers one event, of a context's queue or, without a context, of an event loop's. An error of its callback is logged; but an
/// error for which `hand_on` returns true is returned.
fn deliver(
    py: Python<'_>,
    context: Option<&Context>,
    delivery: Delivery<'_>,
    hand_on: fn(Python<'_>, &PyErr) -> bool,
) -> PyResult<()> {
    let calling = Calling::for_event(context);
    let called = call(py, context, &delivery.event);
    drop(calling);
    let called = match called {
        Err(error) if hand_on(py, &error) => Err(error),
        Err(error) => {
            if is_exiting() || ends_program(py, &error) {
                discard(py, error);
            } else {
                report(py, &delivery.event, error);
            }
            Ok(())
        }
        Ok(()) => Ok(()),
    };
    // The callback of a request was for this one call, and that of a subscription that has ended is not called any more. The
    // event may be dropped last by a thread of the backend, which is not attached.
    let over = match &delivery.event {
        Event::Reply { request, .. } => request.handler.as_ref(),
        Event::Exception(exception) => exception.ended.as_ref().map(|ended| &ended.handler),
        _ => None,
    };
    over.and_then(callback)
        .inspect(|callback| callback.let_go(py));
    called
}

/// Calls the user's function, unless the channel or subscription was closed.
fn call(py: Python<'_>, context: Option<&Context>, event: &Event) -> PyResult<()> {
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
        Event::Done(handler) => done(py, handler),
        Event::Warning(text) => log(py, "cachannel", "warning", text, None),
    }
}

/// Delivers the updates of a subscription of the package's own, in a callback that needs them: the dispatcher would deliver
/// them only after that callback has returned.
pub fn deliver_own(py: Python<'_>, subscription: &Arc<Subscription>) -> PyResult<()> {
    while let Some(answer) = subscription.take_next() {
        update(py, subscription, &answer)?;
    }
    Ok(())
}

/// Calls an access rights handler with the rights, in the thread that has just set the handler: a callback as any other, in which
/// no other runs. Errors are logged; an interrupt is returned.
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
    let calling = Calling::at_once();
    let called = access_rights(py, channel, handler, read, write);
    drop(calling);
    match called {
        Err(error) if interrupts(py, &error) => Err(error),
        Err(error) => {
            report(py, &event, error);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
