use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

fn update(channel: i64, value: f64) -> RecordedUpdate {
    RecordedUpdate {
        channel,
        time: 0,
        value,
        severity: 0,
        status: 0,
    }
}

fn buffer(channels: usize, capacity: usize) -> UpdateBuffer {
    let buffer = UpdateBuffer::new(channels, capacity);
    buffer.start();
    buffer
}

/// What is there now.
fn rest(buffer: &UpdateBuffer) -> Vec<RecordedUpdate> {
    buffer.read(0, None, Duration::ZERO, &mut || false).unwrap()
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
        let buffer = buffer(3, capacity);
        let mut model = VecDeque::new();
        let mut dropped = vec![0; 3];
        let mut number = 0;
        for (updates, takes) in runs {
            for _ in 0..updates {
                number += 1;
                let next = update(number % 3, number as f64);
                model.push_back(next);
                if model.len() > capacity {
                    let lost: RecordedUpdate = model.pop_front().unwrap();
                    dropped[lost.channel as usize] += 1;
                }
                buffer.push(next);
            }
            prop_assert_eq!(buffer.len(), model.len());
            prop_assert_eq!(&buffer.dropped(), &dropped);
            if takes {
                prop_assert_eq!(rest(&buffer), Vec::from(std::mem::take(&mut model)));
            }
        }
        prop_assert_eq!(rest(&buffer), Vec::from(model));
        prop_assert!(buffer.is_empty());
    }
}

#[test]
fn memory_is_taken_as_rows_come_and_never_beyond_the_capacity() {
    let buffer = buffer(1, 10_000);
    buffer.push(update(0, 0.0));
    assert!(lock(&buffer.state).updates.capacity() <= 2 * FIRST_CAPACITY);
    for number in 0..50_000 {
        buffer.push(update(0, f64::from(number)));
    }
    assert_eq!(lock(&buffer.state).updates.capacity(), 10_000);
    assert_eq!(rest(&buffer).len(), 10_000);
    assert_eq!(buffer.dropped(), [40_001]);
}

#[test]
fn a_capacity_beyond_all_memory_is_as_much_as_there_is() {
    let buffer = buffer(1, usize::MAX);
    for number in 0..5_000 {
        buffer.push(update(0, f64::from(number)));
    }
    assert_eq!(rest(&buffer).len(), 5_000);
    // The system refuses more, once.
    lock(&buffer.state).room = 0;
    buffer.push(update(0, 1.0));
    assert_eq!((rest(&buffer), buffer.dropped()), (vec![], vec![1]));
    buffer.push(update(0, 2.0));
    assert_eq!(rest(&buffer), [update(0, 2.0)]);
}

#[test]
fn a_stopped_buffer_takes_nothing_and_keeps_what_it_has() {
    let buffer = UpdateBuffer::new(1, 10);
    buffer.push(update(0, 1.0));
    assert!(buffer.is_empty());
    buffer.start();
    buffer.push(update(0, 2.0));
    buffer.stop();
    buffer.push(update(0, 3.0));
    assert_eq!(
        buffer.read(10, None, Duration::ZERO, &mut || true),
        Some(vec![update(0, 2.0)])
    );
    assert_eq!(
        buffer.read(1, None, Duration::ZERO, &mut || true),
        Some(vec![])
    );
    assert_eq!(buffer.dropped(), [0]);
}

#[test]
fn waits_end_with_enough_rows_in_time_or_by_a_check() {
    let buffer = buffer(1, 10);
    assert_eq!(
        buffer.read(1, Some(Instant::now()), Duration::ZERO, &mut || false),
        Some(vec![])
    );
    assert_eq!(buffer.read(1, None, Duration::ZERO, &mut || true), None);
    assert_eq!(buffer.read(1, None, Duration::ZERO, &mut || true), None);
    assert_eq!(
        buffer.read(0, None, Duration::ZERO, &mut || true),
        Some(vec![])
    );
    buffer.push(update(0, 1.0));
    assert_eq!(
        buffer.read(1, None, Duration::ZERO, &mut || true),
        Some(vec![update(0, 1.0)])
    );
    buffer.push(update(0, 2.0));
    let updates = buffer.read(1, None, Duration::from_millis(1), &mut || false);
    assert_eq!(updates, Some(vec![update(0, 2.0)]));
}

#[test]
fn a_stream_gathers_for_a_while_after_a_read() {
    let (buffer, long) = (buffer(1, 10), Duration::from_secs(3600));
    let read = |deadline| buffer.read(1, deadline, long, &mut || false);
    buffer.push(update(0, 1.0));
    assert_eq!(read(None), Some(vec![update(0, 1.0)]));
    buffer.push(update(0, 2.0));
    assert_eq!(read(Some(Instant::now())), Some(vec![update(0, 2.0)]));
    (0..5).for_each(|_| buffer.push(update(0, 3.0)));
    assert_eq!(read(None), Some(vec![update(0, 3.0); 5]));
    buffer.push(update(0, 4.0));
    buffer.stop();
    assert_eq!(read(None), Some(vec![update(0, 4.0)]));
}

#[test]
fn every_reader_is_woken_when_there_is_enough_for_it() {
    let buffer = Arc::new(buffer(1, 100));
    let waiting = |least| {
        let buffer = buffer.clone();
        std::thread::spawn(move || {
            let updates = buffer
                .wait(lock(&buffer.state), least, soon(), &mut || false)
                .unwrap();
            updates.updates.len() >= least
        })
    };
    let (few, many) = (waiting(2), waiting(7));
    for number in 0..7 {
        buffer.push(update(0, f64::from(number)));
    }
    assert!(few.join().unwrap() && many.join().unwrap());
    let stopped = waiting(50);
    buffer.stop();
    assert!(!stopped.join().unwrap());
}

#[test]
fn nothing_is_lost_between_producers_and_readers() {
    const EACH: i64 = 50_000;
    let buffer = buffer(3, 1_000_000);
    let (buffer, mut read) = (&buffer, Vec::new());
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|channel| {
                let write = move |number| buffer.push(update(channel, number as f64));
                scope.spawn(move || (0..EACH).for_each(write))
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut mine = Vec::new();
                    while !buffer.is_stopped() || !buffer.is_empty() {
                        let updates = buffer
                            .read(1, soon(), Duration::ZERO, &mut || false)
                            .unwrap();
                        for channel in 0..3 {
                            let of_channel =
                                updates.iter().filter(|update| update.channel == channel);
                            assert!(of_channel.map(|update| update.value).is_sorted());
                        }
                        mine.extend(updates);
                    }
                    mine
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        buffer.stop();
        for reader in readers {
            read.extend(reader.join().unwrap());
        }
    });
    read.sort_by(|a, b| {
        (a.channel, a.value)
            .partial_cmp(&(b.channel, b.value))
            .unwrap()
    });
    let all = (0..3).flat_map(|channel| (0..EACH).map(move |n| update(channel, n as f64)));
    assert!(read.into_iter().eq(all));
    assert_eq!(buffer.dropped(), [0; 3]);
}
