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
