//! The updates that a recorder has recorded and nobody has read yet: in order of arrival, in one piece of memory, which the
//! reader gets as it is.

use crate::sync::lock;
use crate::sync::wait_queue::{Check, INTERRUPT_CHECK, remaining};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One update. Python sees this memory as it is (`convert::recorded_updates`): the layout is that of the array's dtype.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedUpdate {
    /// Which of the recorder's PVs.
    pub channel: i64,
    /// Nanoseconds since the POSIX epoch.
    pub time: i64,
    /// NaN if there is no value.
    pub value: f64,
    pub severity: i32,
    /// The alarm status (0 to 21); without a value the ECA status that says why, which is larger.
    pub status: i32,
}

/// Updates that the first allocation has room for.
const FIRST_CAPACITY: usize = 1_024;

/// Producers are the backend's threads: under the lock they write one update. Memory grows as updates come, so that a large
/// capacity costs nothing until it is needed.
pub struct UpdateBuffer {
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// In order of arrival. Once the memory is full it is a ring, whose first update is at `oldest`.
    updates: Vec<RecordedUpdate>,
    oldest: usize,
    /// The most updates in memory: the capacity, or less if the system has refused to allocate as much.
    room: usize,
    /// By channel: updates that were overwritten.
    dropped: Vec<i64>,
    /// A reader sleeps until there are as many updates.
    wanted: usize,
    stopped: bool,
    last_read: Option<Instant>,
}

const NOBODY: usize = usize::MAX;

impl UpdateBuffer {
    /// It holds at most `capacity` updates, and is stopped at first.
    pub fn new(channels: usize, capacity: usize) -> UpdateBuffer {
        UpdateBuffer {
            capacity,
            state: Mutex::new(State {
                updates: Vec::new(),
                oldest: 0,
                room: capacity,
                dropped: vec![0; channels],
                wanted: NOBODY,
                stopped: true,
                last_read: None,
            }),
            changed: Condvar::new(),
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds an update, in place of the oldest if the buffer is full. A buffer that is stopped drops it.
    pub fn push(&self, update: RecordedUpdate) {
        let mut state = lock(&self.state);
        if state.stopped {
            return;
        }
        if state.updates.len() < state.updates.capacity().min(state.room) || state.grow() {
            state.updates.push(update);
        } else {
            state.overwrite(update);
        }
        if state.updates.len() >= state.wanted {
            state.wanted = NOBODY;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// From now on, updates are added.
    pub fn start(&self) {
        lock(&self.state).stopped = false;
    }

    /// From now on, updates are dropped. Readers get what is there.
    pub fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// Drops what is there.
    pub fn discard(&self) {
        drop(self.read(0, None, Duration::ZERO, &mut || true));
    }

    pub fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// Updates that nobody has read yet.
    pub fn len(&self) -> usize {
        lock(&self.state).updates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Updates that were overwritten before they were read, by channel.
    pub fn dropped(&self) -> Vec<i64> {
        lock(&self.state).dropped.clone()
    }

    /// All updates, oldest first, once there are `least` updates, the deadline has come, or the buffer is stopped. `None` if
    /// `check` ended the wait.
    ///
    /// The updates of a fast stream are collected for `pause` after the last read: waking a reader for each update would cost
    /// more than everything else.
    pub fn read(
        &self,
        least: usize,
        deadline: Option<Instant>,
        pause: Duration,
        check: Check<'_>,
    ) -> Option<Vec<RecordedUpdate>> {
        let mut state = lock(&self.state);
        loop {
            state = self.wait(state, least, deadline, check)?;
            if let Some(pause_ends) = state.last_read.and_then(|last| last.checked_add(pause)) {
                let until = deadline.map_or(pause_ends, |deadline| deadline.min(pause_ends));
                let plenty = least.max(self.capacity / 2);
                state = self.wait(state, plenty, Some(until), check)?;
            }
            // Another reader may have taken the updates.
            let over = state.stopped || remaining(deadline).is_some_and(|left| left.is_zero());
            if state.updates.len() >= least || over {
                break;
            }
        }
        let oldest = std::mem::take(&mut state.oldest);
        let mut updates = std::mem::take(&mut state.updates);
        state.room = self.capacity;
        if !updates.is_empty() {
            state.last_read = Some(Instant::now());
        }
        drop(state);
        // This does nothing unless updates were overwritten.
        updates.rotate_left(oldest);
        Some(updates)
    }

    /// Sleeps until there are `least` updates, the deadline has come, or the buffer is stopped.
    fn wait<'t>(
        &'t self,
        mut state: MutexGuard<'t, State>,
        least: usize,
        deadline: Option<Instant>,
        check: Check<'_>,
    ) -> Option<MutexGuard<'t, State>> {
        let mut next_check = Instant::now() + INTERRUPT_CHECK;
        while state.updates.len() < least && !state.stopped {
            let left = remaining(deadline).unwrap_or(INTERRUPT_CHECK);
            if left.is_zero() {
                break;
            }
            let until_check = next_check.saturating_duration_since(Instant::now());
            if until_check.is_zero() {
                // `check` may take the interpreter's lock, whose holder may wait for this lock.
                drop(state);
                if check() {
                    return None;
                }
                next_check = Instant::now() + INTERRUPT_CHECK;
                state = lock(&self.state);
                continue;
            }
            state.wanted = state.wanted.min(least);
            (state, _) = self
                .changed
                .wait_timeout(state, left.min(until_check))
                .unwrap_or_else(PoisonError::into_inner);
        }
        Some(state)
    }
}

impl State {
    /// Allocates more memory, twice what there was; `false` if the buffer is full.
    fn grow(&mut self) -> bool {
        let held = self.updates.len();
        if held >= self.room {
            return false;
        }
        let more = held.max(FIRST_CAPACITY).min(self.room - held);
        if self.updates.try_reserve_exact(more).is_err() {
            self.room = held;
            return false;
        }
        true
    }

    fn overwrite(&mut self, update: RecordedUpdate) {
        let lost = match self.updates.get_mut(self.oldest) {
            Some(place) => std::mem::replace(place, update),
            // Not even one update has memory.
            None => update,
        };
        self.oldest = if self.oldest + 1 < self.updates.len() {
            self.oldest + 1
        } else {
            0
        };
        let channel = usize::try_from(lost.channel).unwrap_or(usize::MAX);
        if let Some(count) = self.dropped.get_mut(channel) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests;
