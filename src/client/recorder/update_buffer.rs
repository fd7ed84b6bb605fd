//! What a recorder has recorded and nobody has read yet: rows in order of arrival, in one piece of memory, which whoever
//! reads gets as it is.

use crate::sync::lock;
use crate::sync::wait_queue::{Check, INTERRUPT_CHECK, remaining};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One update. Python sees this very memory (`convert::rows`): the layout is that of the array's dtype.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedUpdate {
    /// Which of the recorder's PVs.
    pub channel: i64,
    /// Nanoseconds since the POSIX epoch.
    pub time: i64,
    /// NaN where there is none.
    pub value: f64,
    pub severity: i32,
    /// The alarm status (0 to 21); where there is no value the ECA status that says why, which is larger.
    pub status: i32,
}

/// Rows that memory is first taken for.
const FIRST: usize = 1_024;

/// Producers are libca's threads: what they do under the lock is to write one row. Memory grows as rows come, so that a
/// large capacity costs nothing until it is needed.
pub struct UpdateBuffer {
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// In order of arrival, or once the memory is full, a ring of which `oldest` is the first.
    rows: Vec<RecordedUpdate>,
    oldest: usize,
    /// Rows that there is memory for: the capacity, unless the system has refused so much.
    room: usize,
    /// By channel.
    dropped: Vec<i64>,
    /// Somebody sleeps until there are so many rows.
    wanted: usize,
    stopped: bool,
    last_read: Option<Instant>,
}

const NOBODY: usize = usize::MAX;

impl UpdateBuffer {
    /// It holds `capacity` rows at most, and is stopped at first.
    pub fn new(channels: usize, capacity: usize) -> UpdateBuffer {
        UpdateBuffer {
            capacity,
            state: Mutex::new(State {
                rows: Vec::new(),
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

    /// Adds a row, in place of the oldest where it is full. A tape that is stopped takes none.
    pub fn push(&self, row: RecordedUpdate) {
        let mut state = lock(&self.state);
        if state.stopped {
            return;
        }
        if state.rows.len() < state.rows.capacity().min(state.room) || state.grow() {
            state.rows.push(row);
        } else {
            state.overwrite(row);
        }
        if state.rows.len() >= state.wanted {
            state.wanted = NOBODY;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// From now on it takes rows.
    pub fn start(&self) {
        lock(&self.state).stopped = false;
    }

    /// It takes no more rows, and whoever waits for some gets what is there.
    pub fn stop(&self) {
        lock(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// Forgets what is there.
    pub fn discard(&self) {
        drop(self.read(0, None, Duration::ZERO, &mut || true));
    }

    pub fn is_stopped(&self) -> bool {
        lock(&self.state).stopped
    }

    /// Rows that nobody has taken yet.
    pub fn len(&self) -> usize {
        lock(&self.state).rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that were overwritten before anybody took them, by channel.
    pub fn dropped(&self) -> Vec<i64> {
        lock(&self.state).dropped.clone()
    }

    /// All that is there, oldest first, once there are `least` rows, the deadline has come, or it is stopped. `None` where
    /// `check` ended the wait.
    ///
    /// The rows of a fast stream are let gather, `pause` long since the last read: to wake a reader for each would cost
    /// more than all the rest.
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
            // Another reader may have been quicker.
            let over = state.stopped || remaining(deadline).is_some_and(|left| left.is_zero());
            if state.rows.len() >= least || over {
                break;
            }
        }
        let oldest = std::mem::take(&mut state.oldest);
        let mut rows = std::mem::take(&mut state.rows);
        state.room = self.capacity;
        if !rows.is_empty() {
            state.last_read = Some(Instant::now());
        }
        drop(state);
        // Nothing to do, unless rows were overwritten.
        rows.rotate_left(oldest);
        Some(rows)
    }

    /// Sleeps until there are `least` rows, the deadline has come, or it is stopped.
    fn wait<'t>(
        &'t self,
        mut state: MutexGuard<'t, State>,
        least: usize,
        deadline: Option<Instant>,
        check: Check<'_>,
    ) -> Option<MutexGuard<'t, State>> {
        let mut next_check = Instant::now() + INTERRUPT_CHECK;
        while state.rows.len() < least && !state.stopped {
            let left = remaining(deadline).unwrap_or(INTERRUPT_CHECK);
            if left.is_zero() {
                break;
            }
            let until_check = next_check.saturating_duration_since(Instant::now());
            if until_check.is_zero() {
                // It may take the interpreter's lock, whose holder may want ours.
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
    /// Takes more memory, twice what there was; `false` where it is full.
    fn grow(&mut self) -> bool {
        let held = self.rows.len();
        if held >= self.room {
            return false;
        }
        let more = held.max(FIRST).min(self.room - held);
        if self.rows.try_reserve_exact(more).is_err() {
            self.room = held;
            return false;
        }
        true
    }

    fn overwrite(&mut self, row: RecordedUpdate) {
        let lost = match self.rows.get_mut(self.oldest) {
            Some(place) => std::mem::replace(place, row),
            // There is no memory at all.
            None => row,
        };
        self.oldest = if self.oldest + 1 < self.rows.len() {
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::sync::Arc;

    fn row(channel: i64, value: f64) -> RecordedUpdate {
        RecordedUpdate {
            channel,
            time: 0,
            value,
            severity: 0,
            status: 0,
        }
    }

    fn tape(channels: usize, capacity: usize) -> UpdateBuffer {
        let tape = UpdateBuffer::new(channels, capacity);
        tape.start();
        tape
    }

    /// What is there now.
    fn rest(tape: &UpdateBuffer) -> Vec<RecordedUpdate> {
        tape.read(0, None, Duration::ZERO, &mut || false).unwrap()
    }

    fn soon() -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(20))
    }

    proptest! {
        #[test]
        fn it_keeps_the_newest_in_order_and_counts_the_rest(
            capacity in prop_oneof![1usize..40, 1000usize..3000],
            runs in prop::collection::vec((0usize..5_000, any::<bool>()), 1..8),
        ) {
            let tape = tape(3, capacity);
            let mut model = VecDeque::new();
            let mut dropped = vec![0; 3];
            let mut number = 0;
            for (rows, takes) in runs {
                for _ in 0..rows {
                    number += 1;
                    let next = row(number % 3, number as f64);
                    model.push_back(next);
                    if model.len() > capacity {
                        let lost: RecordedUpdate = model.pop_front().unwrap();
                        dropped[lost.channel as usize] += 1;
                    }
                    tape.push(next);
                }
                prop_assert_eq!(tape.len(), model.len());
                prop_assert_eq!(&tape.dropped(), &dropped);
                if takes {
                    prop_assert_eq!(rest(&tape), Vec::from(std::mem::take(&mut model)));
                }
            }
            prop_assert_eq!(rest(&tape), Vec::from(model));
            prop_assert!(tape.is_empty());
        }
    }

    #[test]
    fn memory_is_taken_as_rows_come_and_never_beyond_the_capacity() {
        let tape = tape(1, 10_000);
        tape.push(row(0, 0.0));
        assert!(lock(&tape.state).rows.capacity() <= 2 * FIRST);
        for number in 0..50_000 {
            tape.push(row(0, f64::from(number)));
        }
        assert_eq!(lock(&tape.state).rows.capacity(), 10_000);
        assert_eq!(rest(&tape).len(), 10_000);
        assert_eq!(tape.dropped(), [40_001]);
    }

    #[test]
    fn a_capacity_beyond_all_memory_is_as_much_as_there_is() {
        let tape = tape(1, usize::MAX);
        for number in 0..5_000 {
            tape.push(row(0, f64::from(number)));
        }
        assert_eq!(rest(&tape).len(), 5_000);
        // The system refuses more, once.
        lock(&tape.state).room = 0;
        tape.push(row(0, 1.0));
        assert_eq!((rest(&tape), tape.dropped()), (vec![], vec![1]));
        tape.push(row(0, 2.0));
        assert_eq!(rest(&tape), [row(0, 2.0)]);
    }

    #[test]
    fn a_stopped_tape_takes_nothing_and_keeps_what_it_has() {
        let tape = UpdateBuffer::new(1, 10);
        tape.push(row(0, 1.0));
        assert!(tape.is_empty());
        tape.start();
        tape.push(row(0, 2.0));
        tape.stop();
        tape.push(row(0, 3.0));
        assert_eq!(
            tape.read(10, None, Duration::ZERO, &mut || true),
            Some(vec![row(0, 2.0)])
        );
        assert_eq!(
            tape.read(1, None, Duration::ZERO, &mut || true),
            Some(vec![])
        );
        assert_eq!(tape.dropped(), [0]);
    }

    #[test]
    fn waits_end_with_enough_rows_in_time_or_by_a_check() {
        let tape = tape(1, 10);
        assert_eq!(
            tape.read(1, Some(Instant::now()), Duration::ZERO, &mut || false),
            Some(vec![])
        );
        assert_eq!(tape.read(1, None, Duration::ZERO, &mut || true), None);
        assert_eq!(tape.read(1, None, Duration::ZERO, &mut || true), None);
        assert_eq!(
            tape.read(0, None, Duration::ZERO, &mut || true),
            Some(vec![])
        );
        tape.push(row(0, 1.0));
        assert_eq!(
            tape.read(1, None, Duration::ZERO, &mut || true),
            Some(vec![row(0, 1.0)])
        );
        tape.push(row(0, 2.0));
        let rows = tape.read(1, None, Duration::from_millis(1), &mut || false);
        assert_eq!(rows, Some(vec![row(0, 2.0)]));
    }

    #[test]
    fn a_stream_gathers_for_a_while_after_a_read() {
        let (tape, long) = (tape(1, 10), Duration::from_secs(3600));
        let read = |deadline| tape.read(1, deadline, long, &mut || false);
        tape.push(row(0, 1.0));
        assert_eq!(read(None), Some(vec![row(0, 1.0)]));
        tape.push(row(0, 2.0));
        assert_eq!(read(Some(Instant::now())), Some(vec![row(0, 2.0)]));
        (0..5).for_each(|_| tape.push(row(0, 3.0)));
        assert_eq!(read(None), Some(vec![row(0, 3.0); 5]));
        tape.push(row(0, 4.0));
        tape.stop();
        assert_eq!(read(None), Some(vec![row(0, 4.0)]));
    }

    #[test]
    fn every_reader_is_woken_when_there_is_enough_for_it() {
        let tape = Arc::new(tape(1, 100));
        let waiting = |least| {
            let tape = tape.clone();
            std::thread::spawn(move || {
                let rows = tape
                    .wait(lock(&tape.state), least, soon(), &mut || false)
                    .unwrap();
                rows.rows.len() >= least
            })
        };
        let (few, many) = (waiting(2), waiting(7));
        for number in 0..7 {
            tape.push(row(0, f64::from(number)));
        }
        assert!(few.join().unwrap() && many.join().unwrap());
        let stopped = waiting(50);
        tape.stop();
        assert!(!stopped.join().unwrap());
    }

    #[test]
    fn nothing_is_lost_between_producers_and_readers() {
        const EACH: i64 = 50_000;
        let tape = tape(3, 1_000_000);
        let (tape, mut read) = (&tape, Vec::new());
        std::thread::scope(|scope| {
            let producers: Vec<_> = (0..3)
                .map(|channel| {
                    let write = move |number| tape.push(row(channel, number as f64));
                    scope.spawn(move || (0..EACH).for_each(write))
                })
                .collect();
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut mine = Vec::new();
                        while !tape.is_stopped() || !tape.is_empty() {
                            let rows = tape.read(1, soon(), Duration::ZERO, &mut || false).unwrap();
                            for channel in 0..3 {
                                let of_channel = rows.iter().filter(|row| row.channel == channel);
                                assert!(of_channel.map(|row| row.value).is_sorted());
                            }
                            mine.extend(rows);
                        }
                        mine
                    })
                })
                .collect();
            for producer in producers {
                producer.join().unwrap();
            }
            tape.stop();
            for reader in readers {
                read.extend(reader.join().unwrap());
            }
        });
        read.sort_by(|a, b| {
            (a.channel, a.value)
                .partial_cmp(&(b.channel, b.value))
                .unwrap()
        });
        let all = (0..3).flat_map(|channel| (0..EACH).map(move |n| row(channel, n as f64)));
        assert!(read.into_iter().eq(all));
        assert_eq!(tape.dropped(), [0; 3]);
    }
}
