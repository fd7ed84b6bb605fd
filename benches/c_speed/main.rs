//! C speed: the loops that a C program over libca would have, on the raw bindings.
//!
//! Nothing of the package lies between these loops and libca, so what they reach is what a client in Python is compared
//! with.
//!
//! usage: c_speed LIBCA LIMIT WORKS SIZE SECONDS PREFIX SUBSCRIPTIONS
//!
//! WORKS are names of functions, separated by commas: the first that is here is done. It prints one line of JSON, and
//! ends after LIMIT seconds in any case. `benches/cabench` runs it, and says what the rest means.

mod libca;
mod measure;
mod monitors;
mod reads;
mod writes;

use measure::Measurement;
use std::error::Error;
use std::time::Duration;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What to do, and how much of it.
pub struct Task {
    pub size: usize,
    pub time: Duration,
    pub prefix: String,
    pub subscriptions: usize,
}

impl Task {
    /// The name of PV `number` of a kind.
    pub fn name(&self, kind: &str, number: usize) -> String {
        format!("{}{kind}{number}", self.prefix)
    }

    pub fn names(&self, kind: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| self.name(kind, number)).collect()
    }
}

type Work = fn(&Task) -> Result<Measurement>;

const WORKS: [(&str, Work); 12] = [
    ("connect", reads::connect),
    ("get_one", reads::get_one),
    ("get_many", reads::get_many),
    ("wave_get", reads::wave_get),
    ("put", writes::put),
    ("put_many", writes::put_many),
    ("put_wait", writes::put_wait),
    ("put_callback", writes::put_wait), // in C they are the same
    ("wave_put_get", writes::wave_put_get),
    ("monitor", monitors::monitor),
    ("monitor_computing", monitors::monitor), // nothing that Python does disturbs it
    ("firehose", monitors::firehose),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, limit, works, size, seconds, prefix, subscriptions] = arguments.as_slice() else {
        return Err("usage: c_speed LIBCA LIMIT WORKS SIZE SECONDS PREFIX SUBSCRIPTIONS".into());
    };
    let limit = Duration::from_secs_f64(limit.parse()?);
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        std::process::exit(1);
    });
    let task = Task {
        size: size.parse()?,
        time: Duration::from_secs_f64(seconds.parse()?),
        prefix: prefix.clone(),
        subscriptions: subscriptions.parse()?,
    };
    let known = |name: &str| WORKS.iter().find(|(known, _)| *known == name);
    let Some((_, work)) = works.split(',').find_map(known) else {
        println!(r#"{{"reason": "no such loop"}}"#);
        return Ok(());
    };
    libca::open(library)?;
    println!("{}", work(&task)?.json());
    // The IOC sees the circuit close, as when any other client ends.
    std::process::exit(0);
}
