//! Connecting and reading.

use crate::measure::{Measurement, cpu_time, repeat};
use crate::{Result, Task, libca};
use std::time::Instant;

/// Connects so many PVs with one wait.
pub fn connect(task: &Task) -> Result<Measurement> {
    let names = task.names("ao", task.size);
    let cpu = cpu_time();
    let start = Instant::now();
    libca::connect(&names)?;
    let size = task.size as f64;
    Ok(Measurement {
        seconds: start.elapsed().as_secs_f64() / size,
        cpu: (cpu_time() - cpu) / size,
        updates: None,
    })
}

/// Reads one scalar and waits for it.
pub fn get_one(task: &Task) -> Result<Measurement> {
    let channel = libca::connect_one(task.name("ao", 7))?;
    let mut value = [0.0];
    repeat(task.time, 1, || {
        libca::array_get(channel, &mut value)?;
        libca::pend_io()
    })
}

/// Reads a scalar from each of many channels, with one wait.
pub fn get_many(task: &Task) -> Result<Measurement> {
    let channels = libca::connect(&task.names("ao", task.size))?;
    let mut values = vec![0.0; task.size];
    repeat(task.time, task.size, || {
        for (channel, value) in channels.iter().zip(&mut values) {
            libca::array_get(*channel, std::slice::from_mut(value))?;
        }
        libca::pend_io()
    })
}

/// Reads a waveform of so many doubles, always into the same memory.
pub fn wave_get(task: &Task) -> Result<Measurement> {
    let channel = libca::connect_one(task.name("wave", task.size))?;
    let mut values: Vec<f64> = (0..task.size).map(|index| index as f64).collect();
    libca::array_put(channel, &values)?;
    values.fill(0.0);
    let measurement = repeat(task.time, 1, || {
        libca::array_get(channel, &mut values)?;
        libca::pend_io()
    })?;
    let last = (task.size - 1) as f64;
    if values.last() != Some(&last) {
        return Err("not the waveform that was written".into());
    }
    Ok(measurement)
}
