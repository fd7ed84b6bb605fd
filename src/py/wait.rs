//! pend_io, pend_event, poll, flush_io, test_io.

use super::arguments::seconds;
use super::chid::Chid;
use super::context::current;
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::pending_io::PendingIo;
use crate::dispatch::{Pumped, delivers_while_waiting, log, pump, warn_of_loop};
use crate::errors::{Failure, after_wait, deadline, eca, outcome, raise, status, truth};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::sync::wait_queue::{INTERRUPT_CHECK, Waited, remaining};
use crate::thread_state::{in_callback, interruptible, waits_in_vain};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A wait for callbacks goes on while callbacks return. If none returns for this long, one is stuck, maybe on a lock that the
/// waiting thread holds.
const STUCK: Duration = Duration::from_secs(5);

/// Waits for `pending`, without the interpreter's lock, until Ctrl-C at the latest. With `deliver`, the thread of a
/// non-preemptive context delivers events meanwhile, unless it is in a callback. If the wait ends early, commands that have not
/// left the process are withdrawn.
pub fn wait_for(
    py: Python<'_>,
    context: &Context,
    pending: &[Arc<PendingIo>],
    deadline: Option<Instant>,
    deliver: bool,
) -> Result<(), Failure> {
    wait_for_own(py, context, pending, pending.len(), deadline, deliver)
}

/// As [`wait_for`], but only the first `own` of `pending` are the caller's. Other threads may still wait for the rest, so that
/// the rest is not withdrawn.
fn wait_for_own(
    py: Python<'_>,
    context: &Context,
    pending: &[Arc<PendingIo>],
    own: usize,
    deadline: Option<Instant>,
    deliver: bool,
) -> Result<(), Failure> {
    let waited = if deliver && delivers_while_waiting(context) {
        pump(py, context, Some(pending), deadline).map(|pumped| match pumped {
            Pumped::Done => Waited::Done,
            Pumped::Timeout => Waited::Timeout,
        })
    } else {
        wait_done(py, context, pending, deadline)
    };
    if let Ok(Waited::Done) = waited {
        return Ok(context.first_failure(pending)?);
    }
    let error = context.timeout_error(pending);
    py.detach(|| context.withdraw(&pending[..own]));
    waited?;
    Err(error.into())
}

/// Waits until all of `pending` are done, whether they succeed or fail, without the interpreter's lock; Ctrl-C ends the wait.
/// No events are delivered meanwhile, so this works in callbacks, too.
pub fn wait_done(
    py: Python<'_>,
    context: &Context,
    pending: &[Arc<PendingIo>],
    deadline: Option<Instant>,
) -> PyResult<Waited> {
    interruptible(py, |check| context.wait_done(pending, deadline, check))
}

/// Waits until there is room for more requests to the channel's server: the server does not read, and its backlog has reached
/// the limit.
pub fn make_room(
    py: Python<'_>,
    channel: &Channel,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    if channel.is_closed() {
        // The next call reports that.
        return Ok(());
    }
    while channel.context().has_backlog()
        && let Some(unsent) = channel.backlog()
    {
        // Failures do not matter here: if the connection is gone, so is the backlog.
        match raise(wait_for(py, channel.context(), &[unsent], deadline, false))? {
            Err(error) if error.status == Status::TIMEOUT => {
                let pv = Some(channel.name().to_owned());
                return Err(Error { pv, ..error }.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// How long a wait that has ended waits for the access rights handlers.
const RIGHTS_PATIENCE: Duration = Duration::from_millis(500);

/// Waits until the access rights handlers of channels that have connected in this wait have run: libca calls them before a wait
/// for the connection ends. This takes no longer than the caller's deadline, and than `RIGHTS_PATIENCE`.
fn settle_rights(
    py: Python<'_>,
    context: &Context,
    pending: &[Arc<PendingIo>],
    deadline: Option<Instant>,
) -> PyResult<()> {
    let marks = pending.iter().filter_map(|one| one.take_deliver_first());
    let Some(mark) = marks.max().filter(|_| !in_callback()) else {
        return Ok(());
    };
    if delivers_while_waiting(context) {
        return pump(py, context, None, Some(Instant::now())).map(drop);
    }
    if context.is_preemptive() {
        let patience = Instant::now() + RIGHTS_PATIENCE;
        let until = deadline.map_or(patience, |deadline| deadline.min(patience));
        interruptible(py, |check| {
            let mut check = || check() || Instant::now() >= until;
            context.queue.settle(mark, RIGHTS_PATIENCE, &mut check)
        })?;
    }
    Ok(())
}

/// Flushes and waits for what is outstanding. Afterwards nothing is outstanding, even if the wait fails.
fn pend_outstanding(
    py: Python<'_>,
    context: &Context,
    timeout: f64,
    deliver: bool,
) -> Result<(), Failure> {
    let deadline = deadline(timeout)?;
    let pending = context.outstanding();
    py.detach(|| context.flush())?;
    // The first is the calling thread's.
    let waited = wait_for_own(py, context, &pending, 1, deadline, deliver);
    let answered = waited.is_ok() || pending.iter().all(|pending| pending.is_done());
    if answered {
        settle_rights(py, context, &pending, deadline)?;
    } else {
        context.forget(&pending);
    }
    waited
}

/// Flushes, and waits until searches and gets that have no callback are answered (ca_pend_io).
///
/// It waits for the calling thread's requests and for those of threads that wait for nothing themselves. `timeout`: seconds, 0
/// for ever. Returns NORMAL; TIMEOUT, after which the missing answers are not waited for again; or the status of the first get
/// that failed. Ctrl-C ends the wait.
#[pyfunction]
pub fn pend_io(
    py: Python<'_>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
) -> PyResult<Bound<'_, PyAny>> {
    let result = current(py).and_then(|context| pend_outstanding(py, &context, timeout, true));
    status(py, result)
}

/// The context of a channel that is open, or else the calling thread's.
fn context_of(py: Python<'_>, chid: Option<&Bound<'_, Chid>>) -> PyResult<Arc<Context>> {
    let own = chid.and_then(|chid| chid.get().channel().ok());
    match own.map(|channel| channel.context()) {
        Some(context) if context.is_alive() => Ok(context.clone()),
        _ => Ok(current(py)?),
    }
}

/// As `pend_io` in the channel's context, but raises an exception that names the PVs that did not answer.
#[pyfunction]
#[pyo3(signature = (timeout, chid=None))]
pub fn wait_io(
    py: Python<'_>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
    chid: Option<&Bound<'_, Chid>>,
) -> PyResult<()> {
    let context = context_of(py, chid)?;
    pend_outstanding(py, &context, timeout, true)
        .map_err(|failure| after_wait(py, failure, timeout))
}

/// Flushes, and waits for this thread's own requests and for `own`; as `getw` and `searchw` do. After a timeout, what is
/// missing is not waited for again. Failures of this thread's other requests are left for the next `pend_io`.
pub fn wait_own(
    py: Python<'_>,
    context: &Context,
    own: Option<Arc<PendingIo>>,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let pending: Vec<Arc<PendingIo>> = own
        .iter()
        .cloned()
        .chain([context.thread_pending()])
        .collect();
    py.detach(|| context.flush())?;
    let waited = wait_done(py, context, &pending, deadline);
    if let Ok(Waited::Done) = waited {
        return Ok(());
    }
    let error = context.timeout_error(&pending);
    context.forget(&pending);
    if let Some(own) = own {
        own.end();
    }
    py.detach(|| context.withdraw(&pending));
    waited?;
    Err(error.into())
}

/// Waits until all of this thread's requests are answered, with success or not: the caller looks at each. Raises ECA_TIMEOUT.
#[pyfunction]
pub fn wait_answers(
    py: Python<'_>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
    chid: &Bound<'_, Chid>,
) -> PyResult<()> {
    let deadline = deadline(timeout)?;
    let context = chid.get().channel()?.context();
    let pending = context.thread_pending();
    let waited = raise(wait_own(py, context, None, deadline))?;
    pending.take_failure();
    Ok(waited?)
}

/// Waits until this thread's searches are done; raises only if `chid` is not connected then.
#[pyfunction]
pub fn wait_connected(
    py: Python<'_>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
    chid: &Bound<'_, Chid>,
) -> PyResult<()> {
    let deadline = deadline(timeout)?;
    let channel = chid.get().channel()?;
    let own = channel.context().thread_pending();
    match raise(wait_own(py, channel.context(), None, deadline))? {
        Err(error) if error.status == Status::TIMEOUT && channel.native_type().is_none() => {
            let missing = Error::not_found(channel.name(), error.detail);
            Err(after_wait(py, missing, timeout))
        }
        Err(error) if channel.native_type().is_none() => Err(error.into()),
        _ => settle_rights(py, channel.context(), &[own], deadline),
    }
}

fn sleep(py: Python<'_>, deadline: Option<Instant>) -> PyResult<()> {
    loop {
        let slice = match remaining(deadline) {
            Some(Duration::ZERO) => return Ok(()),
            Some(left) => left.min(INTERRUPT_CHECK),
            None => INTERRUPT_CHECK,
        };
        py.detach(|| std::thread::sleep(slice));
        py.check_signals()?;
    }
}

/// Flushes, waits out the time, and returns when every callback due by then has run.
fn run_events(py: Python<'_>, context: &Context, deadline: Option<Instant>) -> Result<(), Failure> {
    py.detach(|| context.flush())?;
    if in_callback() {
        // No other callback runs before this one has returned, so there is nothing to wait for.
        if waits_in_vain() {
            warn_of_loop(py)?;
        }
        return Err(Status::EVDISALLOW.into());
    }
    if delivers_while_waiting(context) {
        pump(py, context, None, deadline)?;
        return Ok(());
    }
    sleep(py, deadline)?;
    if !context.is_preemptive() {
        // The context's own thread delivers the events when it polls.
        return Ok(());
    }
    let mark = context.queue.mark();
    let settled = interruptible(py, |check| context.queue.settle(mark, STUCK, check))?;
    if !settled && context.is_alive() && !context.queue.is_stopped() {
        let text = "a callback has been running for 5 s: pend_event returns before it does";
        log(py, "cachannel", "warning", text, None)?;
    }
    Ok(())
}

/// Flushes, waits `timeout` seconds (0: for ever), and returns when every callback due by then has run (ca_pend_event).
///
/// Returns TIMEOUT. In a callback it flushes and returns EVDISALLOW at once: the next callback runs when that one has returned.
/// In the thread of a non-preemptive context it runs callbacks itself. A callback that runs for more than 5 s is not waited
/// for.
#[pyfunction]
pub fn pend_event(
    py: Python<'_>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
) -> PyResult<Bound<'_, PyAny>> {
    let deadline = deadline(timeout)?;
    pend_until(py, deadline)
}

fn pend_until(py: Python<'_>, deadline: Option<Instant>) -> PyResult<Bound<'_, PyAny>> {
    let result = current(py).and_then(|context| run_events(py, &context, deadline));
    match outcome(result)?.0 {
        Status::NORMAL => eca(py, Status::TIMEOUT),
        other => eca(py, other),
    }
}

/// Flushes, and returns TIMEOUT when every callback due by now has run (ca_poll); in a callback EVDISALLOW, at once.
#[pyfunction]
pub fn poll(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    pend_until(py, Some(Instant::now()))
}

/// In the thread of a non-preemptive context, and not in a callback: runs the callbacks that are due. In other threads
/// callbacks run by themselves, and this does nothing.
#[pyfunction]
pub fn deliver_due(py: Python<'_>, chid: &Bound<'_, Chid>) -> PyResult<()> {
    let context = chid.get().channel()?.context();
    if delivers_while_waiting(context) {
        pump(py, context, None, Some(Instant::now()))?;
    }
    Ok(())
}

/// `pend_io(timeout)` where `early`, else `pend_event(timeout)` (ca_pend).
#[pyfunction]
pub fn pend(
    py: Python<'_>,
    #[pyo3(from_py_with = seconds)] timeout: f64,
    #[pyo3(from_py_with = truth)] early: bool,
) -> PyResult<Bound<'_, PyAny>> {
    if early {
        pend_io(py, timeout)
    } else {
        pend_event(py, timeout)
    }
}

/// Sends the commands that wait for a flush (ca_flush_io).
#[pyfunction]
pub fn flush_io(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let result = current(py).and_then(|context| Ok(py.detach(|| context.flush())?));
    status(py, result)
}

/// IODONE, or IOINPROGRESS while `pend_io` would wait (ca_test_io).
#[pyfunction]
pub fn test_io(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let status = match raise(current(py))? {
        Ok(context)
            if context
                .outstanding()
                .iter()
                .all(|pending| pending.is_done()) =>
        {
            Status::IODONE
        }
        Ok(_) => Status::IOINPROGRESS,
        Err(error) => error.status,
    };
    eca(py, status)
}
