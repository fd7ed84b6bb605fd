//! Writing.

use crate::measure::{Measurement, repeat};
use crate::{Result, Task, libca};
use cachannel::ca_sys::event_handler_args;
use std::sync::{Condvar, Mutex, PoisonError};

/// Writes so many times without waiting, then reads: when that is answered the IOC has done them all.
pub fn put(task: &Task) -> Result<Measurement> {
    let channel = libca::connect_one(task.name("ao", 7))?;
    let mut value = [0.0];
    repeat(task.time, task.size, || {
        for number in 0..task.size {
            libca::array_put(channel, &[number as f64])?;
        }
        libca::array_get(channel, &mut value)?;
        libca::pend_io()?;
        if value[0] == (task.size - 1) as f64 {
            Ok(())
        } else {
            Err("not the value that was written last".into())
        }
    })
}

/// Writes once to each of many channels, then reads the last: it is answered when the IOC has done them all.
pub fn put_many(task: &Task) -> Result<Measurement> {
    let channels = libca::connect(&task.names("ao", task.size))?;
    let last = channels[task.size - 1];
    let mut value = [0.0];
    repeat(task.time, task.size, || {
        for (number, channel) in channels.iter().enumerate() {
            libca::array_put(*channel, &[number as f64])?;
        }
        libca::array_get(last, &mut value)?;
        libca::pend_io()?;
        if value[0] == (task.size - 1) as f64 {
            Ok(())
        } else {
            Err("not the value that was written last".into())
        }
    })
}

/// Set by libca's thread, waited for by the main thread, as an epicsEvent is.
#[derive(Default)]
struct Done {
    is_set: Mutex<bool>,
    changed: Condvar,
}

static DONE: Done = Done {
    is_set: Mutex::new(false),
    changed: Condvar::new(),
};

impl Done {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_set = self
            .changed
            .wait_while(is_set, |is_set| !*is_set)
            .unwrap_or_else(PoisonError::into_inner);
        *is_set = false;
    }
}

unsafe extern "C" fn written(_: event_handler_args) {
    DONE.set();
}

/// Writes one scalar and waits for the IOC to say that it is done.
pub fn put_wait(task: &Task) -> Result<Measurement> {
    let channel = libca::connect_one(task.name("ao", 7))?;
    let mut value = 0.0;
    repeat(task.time, 1, || {
        value += 1.0;
        // SAFETY: libca copies the value before it returns; `written` takes what libca calls it with.
        libca::check(unsafe {
            libca::api().ca_array_put_callback(
                libca::DBR_DOUBLE,
                1,
                channel,
                (&raw const value).cast(),
                Some(written),
                std::ptr::null_mut(),
            )
        })?;
        libca::flush()?;
        DONE.wait();
        Ok(())
    })
}

/// Writes a waveform of so many doubles and reads it back.
pub fn wave_put_get(task: &Task) -> Result<Measurement> {
    let channel = libca::connect_one(task.name("wave", task.size))?;
    let written: Vec<f64> = (0..task.size).map(|index| index as f64).collect();
    let mut read = vec![0.0; task.size];
    let measurement = repeat(task.time, 1, || {
        libca::array_put(channel, &written)?;
        libca::array_get(channel, &mut read)?;
        libca::pend_io()
    })?;
    if read == written {
        Ok(measurement)
    } else {
        Err("not the waveform that was written".into())
    }
}
