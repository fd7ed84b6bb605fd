use super::*;
use crate::backend::AnySubscription;
use crate::backend::scripted::ScriptedSubscription;
use crate::client::event::UserData;
use crate::client::subscription::{SubscriptionSpec, WantedCount, WantedType};
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::Extent;
use crate::protocol::value::Dbr;
use crate::sync::mailbox::QueueLimits;
use proptest::prelude::*;
use std::sync::{Weak, mpsc};

const DOUBLE: Base = Base::Double;

fn subscription(updates: usize, bytes: usize) -> Arc<Subscription> {
    called(updates, bytes, Arc::new(()))
}

/// A subscription with this handler.
fn called(updates: usize, bytes: usize, handler: UserData) -> Arc<Subscription> {
    let limits = QueueLimits { updates, bytes };
    let spec = SubscriptionSpec {
        dbr_type: WantedType::Native(DbrClass::Plain),
        count: WantedCount::Native,
        mask: 1,
    };
    let io = AnySubscription::Scripted(ScriptedSubscription);
    let made = Subscription::new(Weak::new(), io, spec, Some(DOUBLE), 1, handler, limits);
    Arc::new(made.unwrap())
}

fn answer(value: f64, elements: usize) -> Answer {
    let values = vec![value; elements];
    let (dbr_type, extent) = (DbrType::plain(DOUBLE), Extent::of(elements));
    // SAFETY: the vector holds that many doubles.
    let dbr = unsafe { Dbr::copy_from(dbr_type, extent, values.as_ptr().cast()) };
    Answer {
        status: Status::NORMAL,
        dbr: dbr.map(Arc::new),
    }
}

/// Which subscription an event is of, and its value.
fn shown(event: &Event, all: &[Arc<Subscription>]) -> (usize, f64) {
    let Event::Update {
        subscription,
        answer,
    } = event
    else {
        panic!("not an update")
    };
    let which = all.iter().position(|s| Arc::ptr_eq(s, subscription));
    let crate::protocol::view::Number::Float(value) = answer.dbr.as_ref().unwrap().view().number(0)
    else {
        panic!("not a double")
    };
    (which.unwrap(), value)
}

proptest! {
    /// Whatever is pushed and popped: the order stays, a subscription loses only its oldest, and counts them.
    #[test]
    fn order_stays_and_the_newest_are_kept(
        steps in prop::collection::vec(prop::option::weighted(0.7, 0usize..3), 1..400),
        limit in 1usize..10,
    ) {
        let queue = EventQueue::default();
        let all: Vec<_> = (0..3).map(|_| subscription(limit, usize::MAX)).collect();
        let mut expected: VecDeque<(usize, f64)> = VecDeque::new();
        let mut lost = [0u64; 3];
        for (number, step) in steps.iter().enumerate() {
            if let Some(which) = *step {
                queue.push_update(&all[which], answer(number as f64, 1));
                expected.push_back((which, number as f64));
                let kept = expected.iter().filter(|(w, _)| *w == which).count();
                if kept > limit {
                    let oldest = expected.iter().position(|(w, _)| *w == which).unwrap();
                    expected.remove(oldest);
                    lost[which] += 1;
                }
            } else {
                let popped = queue.pop().map(|delivery| shown(&delivery.event, &all));
                prop_assert_eq!(popped, expected.pop_front());
            }
        }
        while let Some(delivery) = queue.pop() {
            prop_assert_eq!(Some(shown(&delivery.event, &all)), expected.pop_front());
        }
        prop_assert!(expected.is_empty());
        for (subscription, lost) in all.iter().zip(lost) {
            prop_assert_eq!(subscription.dropped(), lost);
        }
        prop_assert!(queue.is_settled(queue.mark()));
    }
}

#[test]
fn memory_is_bounded_by_bytes_but_the_newest_is_kept() {
    let queue = EventQueue::default();
    let all = [subscription(1_000, 100_000)];
    for number in 0..10 {
        queue.push_update(&all[0], answer(f64::from(number), 5_000));
    }
    let kept: Vec<f64> =
        std::iter::from_fn(|| queue.pop().map(|d| shown(&d.event, &all).1)).collect();
    assert_eq!(kept, [8.0, 9.0]);
    queue.push_update(&all[0], answer(77.0, 50_000));
    assert_eq!(shown(&queue.pop().unwrap().event, &all), (0, 77.0));
}

/// A backend may bring two updates of one subscription at once, as when a PV moves to another server.
#[test]
fn the_newest_is_delivered_though_two_threads_bring_updates() {
    const EACH: i32 = 20_000;
    let queue = EventQueue::default();
    let all = [subscription(4, usize::MAX)];
    let bring = || (0..EACH).for_each(|n| queue.push_update(&all[0], answer(n.into(), 1)));
    let mut delivered = 0;
    let mut deliver = || {
        while queue.pop().is_some() {
            delivered += 1;
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(bring), scope.spawn(bring)];
        while !threads.iter().all(|thread| thread.is_finished()) {
            deliver();
        }
    });
    deliver();
    assert_eq!(
        delivered + all[0].dropped(),
        2 * EACH as u64,
        "none is left"
    );
}

#[test]
fn entries_of_dropped_updates_do_not_pile_up() {
    let queue = EventQueue::default();
    let all = [subscription(10, usize::MAX)];
    for number in 0..100_000 {
        queue.push_update(&all[0], answer(f64::from(number), 1));
    }
    assert!(lock(&queue.inbox).entries.len() < 3 * REMOVE_FROM);
    assert_eq!(shown(&queue.pop().unwrap().event, &all), (0, 99_990.0));
}

#[test]
fn nothing_of_a_closed_subscription_is_left() {
    let queue = EventQueue::default();
    let all = [subscription(10, usize::MAX)];
    queue.push_update(&all[0], answer(1.0, 1));
    let mark = queue.mark();
    all[0].mark_closed();
    assert!(!queue.is_settled(mark));
    assert!(queue.pop().is_none());
    assert!(queue.is_settled(mark));
}

#[test]
fn a_mark_is_settled_when_its_callback_has_returned() {
    let queue = EventQueue::default();
    queue.push(Event::Message("one".into()));
    let mark = queue.mark();
    let delivery = queue.pop().unwrap();
    assert!(queue.pop().is_none());
    assert!(!queue.is_settled(mark), "its callback runs");
    assert!(
        !queue.settle(mark, Duration::ZERO, &mut || false),
        "and does not return"
    );
    drop(delivery);
    assert!(queue.settle(mark, Duration::ZERO, &mut || false));
}

#[test]
fn a_sleeper_wakes_for_an_event_a_word_and_the_end() {
    let queue = Arc::new(EventQueue::default());
    let sleep = || {
        let queue = queue.clone();
        std::thread::spawn(move || queue.wait(Some(Duration::from_secs(10))))
    };
    let sleeper = sleep();
    queue.push(Event::Message("event".into()));
    assert_eq!(sleeper.join().unwrap(), Wake::Events);
    drop(queue.pop());
    let sleeper = sleep();
    queue.wake();
    assert_eq!(sleeper.join().unwrap(), Wake::Idle);
    let sleeper = sleep();
    queue.stop();
    assert_eq!(sleeper.join().unwrap(), Wake::Stopped);
    queue.push(Event::Message("late".into()));
    assert!(queue.pop().is_none());
}

#[test]
fn stale_entries_are_dropped_without_a_lock() {
    /// A callback that comes back to the subscription whose update has pushed it out.
    struct Callback(Arc<Subscription>, mpsc::Sender<u64>);

    impl Drop for Callback {
        fn drop(&mut self) {
            // This takes the mailbox's lock.
            // Where nobody listens any more, the test has failed already.
            self.1.send(self.0.dropped()).ok();
        }
    }

    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (queue, other) = (EventQueue::default(), subscription(1, usize::MAX));
        let gone = called(1, usize::MAX, Arc::new(Callback(other.clone(), tell)));
        for _ in 0..REMOVE_FROM {
            queue.push_update(&gone, answer(1.0, 1));
        }
        gone.mark_closed();
        drop(gone);
        for _ in 0..3 {
            queue.push_update(&other, answer(2.0, 1));
        }
    });
    let dropped = told.recv_timeout(Duration::from_secs(20));
    assert!(dropped.is_ok_and(|dropped| dropped > 0), "{dropped:?}");
}
