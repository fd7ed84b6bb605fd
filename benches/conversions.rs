//! Micro-benchmarks of what happens to a value between libca and Python, without either: `cargo bench --no-default-features`.

use cachannel::backend::AnySubscription;
use cachannel::backend::libca::subscription::LibcaSubscription;
use cachannel::client::event::Event;
use cachannel::client::queue::EventQueue;
use cachannel::client::subscription::{
    self, Subscription, SubscriptionSpec, WantedCount, WantedType,
};
use cachannel::protocol::dbr::{Base, DbrType};
use cachannel::protocol::status::Status;
use cachannel::protocol::validate::Extent;
use cachannel::protocol::value::{Answer, Dbr};
use cachannel::protocol::view::{DisplayLimits, Number, View};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::{Arc, Weak};

const TIME_DOUBLE: i64 = 20;
const CTRL_ENUM: i64 = 31;
const CTRL_DOUBLE: i64 = 34;

/// A structure as libca lends it to a callback: zeros but for the elements. Its words align it as libca does.
struct Lent {
    dbr_type: DbrType,
    count: usize,
    words: Vec<u64>,
}

impl Lent {
    fn new(dbr_type: i64, count: usize) -> Lent {
        let dbr_type = DbrType::new(dbr_type).expect("a DBR type");
        let size = dbr_type.size(count).expect("a size in memory");
        let mut words = vec![0; size.div_ceil(8)];
        if dbr_type.base() == Base::Double {
            let first = dbr_type.value_offset() / 8;
            for (index, word) in words[first..first + count].iter_mut().enumerate() {
                *word = (index as f64).to_bits();
            }
        }
        Lent {
            dbr_type,
            count,
            words,
        }
    }

    fn copy(&self) -> Dbr {
        // SAFETY: the words hold a structure of that type with as many elements.
        let copied = unsafe {
            Dbr::copy_from(
                self.dbr_type,
                Extent::of(self.count),
                self.words.as_ptr().cast(),
            )
        };
        copied.expect("not null")
    }
}

/// What the function does that libca calls: the copy. Large ones come from the pool, to which they return.
fn copy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("copy TIME_DOUBLE");
    for count in [1, 1_000, 100_000, 1_000_000] {
        let lent = Lent::new(TIME_DOUBLE, count);
        group.throughput(Throughput::Bytes(8 * count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| black_box(lent.copy()));
        });
    }
    group.finish();
}

/// What the conversion to Python reads of it.
fn view(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("view");
    let scalar = Lent::new(TIME_DOUBLE, 1).copy();
    group.bench_function("TIME_DOUBLE", |bencher| {
        bencher.iter(|| {
            let view: View<'_> = black_box(&scalar).view();
            (view.number(0), view.status(), view.severity(), view.stamp())
        });
    });
    let control = Lent::new(CTRL_DOUBLE, 1).copy();
    group.bench_function("limits of CTRL_DOUBLE", |bencher| {
        bencher.iter(|| {
            let limits: Option<DisplayLimits<'_>> = black_box(&control).view().limits();
            limits.map(|limits| limits.upper_disp)
        });
    });
    let mut states = Lent::new(CTRL_ENUM, 1);
    states.words[0] = u64::from_ne_bytes([0, 0, 0, 0, 16, 0, 0, 0]); // sixteen of them
    let states = states.copy();
    group.bench_function("states of CTRL_ENUM", |bencher| {
        bencher.iter(|| black_box(&states).view().states());
    });
    let elements = Lent::new(TIME_DOUBLE, 1_000).copy();
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 elements, one by one", |bencher| {
        bencher.iter(|| {
            let view = black_box(&elements).view();
            let value = |index| match view.number(index) {
                Number::Float(value) => value,
                Number::Int(value) => value as f64,
            };
            (0..1_000).map(value).sum::<f64>()
        });
    });
    group.finish();
}

/// Updates of 100 subscriptions through the queue of a context.
fn queue(criterion: &mut Criterion) {
    const SUBSCRIPTIONS: usize = 100;
    const ROUNDS: usize = 10;
    let lent = Lent::new(TIME_DOUBLE, 1);
    let wish = SubscriptionSpec {
        dbr_type: WantedType::Fixed(lent.dbr_type),
        count: WantedCount::Fixed(1),
        mask: 1,
    };
    let subscribe = |_| {
        let (channel, handler) = (Weak::new(), Arc::new(()));
        let io = AnySubscription::Libca(LibcaSubscription::default());
        Subscription::new(channel, io, wish, None, 0, handler, subscription::LIMITS).map(Arc::new)
    };
    let subscriptions: Vec<Arc<Subscription>> = (0..SUBSCRIPTIONS).filter_map(subscribe).collect();
    let update = || Answer {
        status: Status::NORMAL,
        dbr: Some(Arc::new(lent.copy())),
    };
    let push = |queue: &EventQueue| {
        for subscription in subscriptions.iter().cycle().take(SUBSCRIPTIONS * ROUNDS) {
            queue.push_update(subscription, update());
        }
    };
    let pop = |queue: &EventQueue| {
        let mut updates = 0;
        while let Some(delivery) = queue.pop() {
            updates += usize::from(matches!(delivery.event, Event::Update { .. }));
        }
        assert_eq!(updates, SUBSCRIPTIONS * ROUNDS);
    };
    let mut group = criterion.benchmark_group("queue, 1000 updates");
    group.throughput(Throughput::Elements((SUBSCRIPTIONS * ROUNDS) as u64));
    group.bench_function("copy, push and pop", |bencher| {
        let queue = EventQueue::default();
        bencher.iter(|| {
            push(&queue);
            pop(&queue);
        });
    });
    group.finish();
}

criterion_group!(conversions, copy, view, queue);
criterion_main!(conversions);
