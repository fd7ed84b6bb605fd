//! Reminds of values that wait for properties which a server does not give.

use crate::client::channel::Channel;
use crate::client::event::Event;
use crate::client::fork::PerProcess;
use crate::values::monitor::PATIENCE;
use crate::values::properties::PropertyCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So much later, to be sure that the patience is over.
const MARGIN: Duration = Duration::from_millis(20);

/// The properties of a PV, and its channel.
type Awaited = (Arc<Channel>, Arc<PropertyCell>);

/// What is to be reminded of, in the order of its times; and whether a thread does so. The thread is started by whoever adds
/// something and finds none, and ends, under the same lock, where nothing is left.
#[derive(Default)]
struct Reminders {
    due: VecDeque<(Instant, Awaited)>,
    has_thread: bool,
}

static REMINDERS: PerProcess<Mutex<Reminders>> = PerProcess::new();

fn reminders() -> MutexGuard<'static, Reminders> {
    REMINDERS
        .get()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Has an event remind of the properties when the patience of the values that wait for them is over.
pub(super) fn remind(channel: &Arc<Channel>, cell: &Arc<PropertyCell>) {
    let mut all = reminders();
    let due = Instant::now() + PATIENCE + MARGIN;
    all.due.push_back((due, (channel.clone(), cell.clone())));
    if !all.has_thread {
        let thread = std::thread::Builder::new().name("cachannel patience".into());
        // Where there is no thread to be had, the next value reminds.
        all.has_thread = thread.spawn(run).is_ok();
    }
}

fn run() {
    while let Some(next) = next() {
        match next {
            Ok((channel, cell)) => channel.queue().push(Event::Done(cell)),
            Err(left) => std::thread::sleep(left),
        }
    }
}

/// What is due, or how long to sleep; `None` where nothing is left.
fn next() -> Option<Result<Awaited, Duration>> {
    let mut all = reminders();
    let Some((due, _)) = all.due.front() else {
        all.has_thread = false;
        return None;
    };
    let left = due.saturating_duration_since(Instant::now());
    if left > Duration::ZERO {
        return Some(Err(left));
    }
    all.due.pop_front().map(|(_, awaited)| Ok(awaited))
}
