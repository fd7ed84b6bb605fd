//! Subscriptions. The callbacks count, in libca's thread, and do nothing else.

use crate::measure::{Measurement, cpu_time};
use crate::{Result, Task, libca};
use cachannel::ca_sys::{DBE_ALARM, DBE_VALUE, dbr_time_double, event_handler_args, evid};
use std::ffi::c_long;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What the first updates of all PVs may take.
const SETTLE: Duration = Duration::from_millis(1_500);
/// A firehose that is silent for so long has ended.
const SILENCE: Duration = Duration::from_secs(1);

static RECEIVED: AtomicU64 = AtomicU64::new(0);
/// The value after the last one.
static NEXT: AtomicU64 = AtomicU64::new(0);
static SWAPPED: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" fn count(_: event_handler_args) {
    RECEIVED.fetch_add(1, Relaxed);
}

unsafe extern "C" fn check_and_count(update: event_handler_args) {
    // SAFETY: that is what was subscribed to.
    let value = unsafe { (*update.dbr.cast::<dbr_time_double>()).value } as u64;
    // Only this circuit's thread writes these.
    if value < NEXT.load(Relaxed) {
        SWAPPED.store(SWAPPED.load(Relaxed) + 1, Relaxed);
    }
    NEXT.store(value + 1, Relaxed);
    RECEIVED.store(RECEIVED.load(Relaxed) + 1, Relaxed);
}

fn subscribe(names: &[String], handler: unsafe extern "C" fn(event_handler_args)) -> Result<()> {
    let mask = (DBE_VALUE | DBE_ALARM) as c_long;
    for channel in libca::connect(names)? {
        let mut subscription: evid = std::ptr::null_mut();
        // SAFETY: the handler takes what libca calls it with, and the place of the id is written before this returns.
        libca::check(unsafe {
            libca::api().ca_create_subscription(
                libca::DBR_TIME_DOUBLE,
                1,
                channel,
                mask,
                Some(handler),
                std::ptr::null_mut(),
                &mut subscription,
            )
        })?;
    }
    libca::flush()
}

/// Counts the updates of so many PVs in a stretch of time.
pub fn monitor(task: &Task) -> Result<Measurement> {
    subscribe(&task.names("calc", task.size), count)?;
    println!("subscribed"); // the IOC begins to update them
    std::thread::sleep(SETTLE);
    let (cpu, received) = (cpu_time(), RECEIVED.load(Relaxed));
    let start = Instant::now();
    std::thread::sleep(task.time);
    let received = RECEIVED.load(Relaxed) - received;
    if received == 0 {
        return Err("no update came".into());
    }
    Ok(Measurement {
        seconds: start.elapsed().as_secs_f64() / received as f64,
        cpu: (cpu_time() - cpu) / received as f64,
        updates: None,
    })
}

/// Takes the firehose's so many updates.
pub fn firehose(task: &Task) -> Result<Measurement> {
    let cpu = cpu_time();
    subscribe(&task.names("hose", task.subscriptions), check_and_count)?;
    let mut first = None;
    let mut last = (0, Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(1));
        let received = RECEIVED.load(Relaxed);
        let now = Instant::now();
        if received > last.0 {
            first.get_or_insert((received, now));
            last = (received, now);
        }
        if received >= task.size as u64 || (first.is_some() && now - last.1 > SILENCE) {
            break;
        }
    }
    let (before, start) = first.unwrap_or(last);
    let (received, end) = last;
    let counted = received.saturating_sub(before).max(1) as f64;
    Ok(Measurement {
        seconds: (end - start).as_secs_f64() / counted,
        cpu: (cpu_time() - cpu) / received.max(1) as f64,
        updates: Some((
            received,
            (task.size as u64).saturating_sub(received),
            SWAPPED.load(Relaxed),
        )),
    })
}
