//! Wall clock, CPU time and memory.

use crate::Result;
use std::time::{Duration, Instant};

/// What a loop reports; times are for one operation (one PV read, one update, …).
#[derive(Default)]
pub struct Measurement {
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Seconds of CPU, of all threads.
    pub cpu: f64,
    /// Updates received, those of them that are missing, and those out of order.
    pub updates: Option<(u64, u64, u64)>,
}

impl Measurement {
    pub fn json(&self) -> String {
        let updates = self
            .updates
            .map_or(String::new(), |(received, lost, swapped)| {
                format!(r#", "received": {received}, "lost": {lost}, "swapped": {swapped}"#)
            });
        format!(
            r#"{{"seconds": {:e}, "cpu": {:e}, "memory": {}{updates}}}"#,
            self.seconds,
            self.cpu,
            peak_memory()
        )
    }
}

/// Does `step`, which is `operations` operations, until the time is over, once before unmeasured: the median.
pub fn repeat(
    time: Duration,
    operations: usize,
    mut step: impl FnMut() -> Result<()>,
) -> Result<Measurement> {
    step()?;
    let mut times = Vec::new();
    let cpu = cpu_time();
    let start = Instant::now();
    while times.len() < 3 || start.elapsed() < time {
        let begun = Instant::now();
        step()?;
        times.push(begun.elapsed());
    }
    let cpu = cpu_time() - cpu;
    times.sort_unstable();
    let operations = operations as f64;
    Ok(Measurement {
        seconds: times[times.len() / 2].as_secs_f64() / operations,
        cpu: cpu / (times.len() as f64 * operations),
        updates: None,
    })
}

fn usage() -> libc::rusage {
    // SAFETY: plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is there to be written.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    usage
}

/// Seconds of CPU that the process has used, in user space and in the system.
pub fn cpu_time() -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + 1e-6 * time.tv_usec as f64;
    let usage = usage();
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The most memory that the process had, in bytes.
fn peak_memory() -> u64 {
    // getrusage counts what the process was before it executed this program, a copy of its parent: the high-water mark
    // of the address space does not.
    let high_water = std::fs::read_to_string("/proc/self/status").ok();
    let kilobytes = high_water.as_deref().and_then(|status| {
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    kilobytes.map_or_else(
        || usage().ru_maxrss as u64 * unit,
        |kilobytes| kilobytes * 1024,
    )
}
