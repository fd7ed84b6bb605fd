//! One client's connection.

use crate::message::{Header, MINOR_VERSION, command, messages};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ECA_NORMAL: u32 = 1;
const ECA_BADTYPE: u32 = 114;
const DBR_DOUBLE: u16 = 6;
const DBR_TIME_DOUBLE: u16 = 20;
/// The right to read and to write.
const ALL_RIGHTS: u32 = 3;
/// Seconds from the POSIX epoch to the EPICS epoch.
const EPICS_EPOCH: u64 = 631_152_000;
/// The client gets so long to return from its last subscription.
const PAUSE: Duration = Duration::from_millis(200);
/// What is sent with one call, about.
const BLOCK: usize = 128 * 1024;

/// A subscription: the type it wants and the id that its updates carry.
struct Subscription {
    dbr_type: u16,
    id: u32,
}

/// Answers one client until it has all its subscriptions, floods it once, and answers on until it goes.
pub fn serve(mut stream: TcpStream, wanted: usize, updates: u64) {
    let _ = stream.set_nodelay(true);
    let mut subscriptions = Vec::new();
    let mut received = Vec::new();
    let mut part = vec![0; 65_536];
    let mut flooded = false;
    let version = Header::new(command::VERSION).count(MINOR_VERSION);
    if stream.write_all(&version.bytes()).is_err() {
        return;
    }
    loop {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(length) => received.extend_from_slice(&part[..length]),
        }
        let (requests, taken) = messages(&received);
        let mut answers = Vec::new();
        for (request, payload) in requests {
            if request.command == command::EVENT_ADD && layout(request.dbr_type).is_some() {
                subscriptions.push(Subscription {
                    dbr_type: request.dbr_type,
                    id: request.second,
                });
            } else {
                answers.extend(answer(&request, payload));
            }
        }
        received.drain(..taken);
        if stream.write_all(&answers).is_err() {
            return;
        }
        if !flooded && subscriptions.len() >= wanted {
            flooded = true;
            std::thread::sleep(PAUSE);
            if flood(&mut stream, &subscriptions, updates).is_err() {
                return;
            }
        }
    }
}

/// The size of a DOUBLE's structure of a DBR type, and where the value stands in it.
fn layout(dbr_type: u16) -> Option<(usize, usize)> {
    match dbr_type {
        DBR_DOUBLE => Some((8, 0)),
        13 => Some((16, 8)),               // STS
        DBR_TIME_DOUBLE => Some((24, 16)), // TIME
        27 => Some((72, 64)),              // GR
        34 => Some((88, 80)),              // CTRL
        _ => None,
    }
}

/// What a server says to a request, where it says something.
fn answer(request: &Header, payload: &[u8]) -> Vec<u8> {
    match request.command {
        command::CREATE_CHANNEL => {
            let cid = request.first;
            let rights = Header::new(command::ACCESS_RIGHTS).parameters(cid, ALL_RIGHTS);
            // The client's id for the channel serves as the server's, too.
            let created = Header::new(command::CREATE_CHANNEL)
                .dbr_type(DBR_DOUBLE)
                .count(1)
                .parameters(cid, cid);
            [rights.bytes(), created.bytes()].concat()
        }
        command::READ_NOTIFY => match layout(request.dbr_type) {
            Some((size, _)) => Header::new(command::READ_NOTIFY)
                .dbr_type(request.dbr_type)
                .count(1)
                .parameters(ECA_NORMAL, request.second)
                .with_payload(&vec![0; size]),
            None => Header::new(command::READ_NOTIFY)
                .dbr_type(request.dbr_type)
                .parameters(ECA_BADTYPE, request.second)
                .bytes()
                .to_vec(),
        },
        command::WRITE_NOTIFY => request_with(request, ECA_NORMAL),
        command::EVENT_CANCEL => Header {
            command: command::EVENT_ADD,
            ..*request
        }
        .bytes()
        .to_vec(),
        command::CLEAR_CHANNEL => request.bytes().to_vec(),
        command::ECHO => request.with_payload(payload),
        _ => Vec::new(),
    }
}

fn request_with(request: &Header, status: u32) -> Vec<u8> {
    request.parameters(status, request.second).bytes().to_vec()
}

/// Sends so many updates, one subscription after the other.
fn flood(
    stream: &mut TcpStream,
    subscriptions: &[Subscription],
    updates: u64,
) -> std::io::Result<()> {
    let (mut block, places) = template(subscriptions);
    let mut next = 0;
    while next < updates {
        let mut end = block.len();
        for place in &places {
            if next == updates {
                end = place.start;
                break;
            }
            block[place.value..place.value + 8].copy_from_slice(&(next as f64).to_be_bytes());
            if let Some(stamp) = place.nanoseconds {
                let nanoseconds = (next % 1_000_000_000) as u32;
                block[stamp..stamp + 4].copy_from_slice(&nanoseconds.to_be_bytes());
            }
            next += 1;
        }
        stream.write_all(&block[..end])?;
    }
    Ok(())
}

/// Where in a block an update begins, and what of it changes.
struct Place {
    start: usize,
    value: usize,
    nanoseconds: Option<usize>,
}

/// A block of updates, complete but for the values: some rounds over all subscriptions.
fn template(subscriptions: &[Subscription]) -> (Vec<u8>, Vec<Place>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().saturating_sub(EPICS_EPOCH));
    let mut block = Vec::new();
    let mut places = Vec::new();
    while block.len() < BLOCK {
        for subscription in subscriptions {
            let Some((size, offset)) = layout(subscription.dbr_type) else {
                continue;
            };
            let start = block.len();
            let mut payload = vec![0; size];
            let is_time = subscription.dbr_type == DBR_TIME_DOUBLE;
            if is_time {
                payload[4..8].copy_from_slice(&(now as u32).to_be_bytes());
            }
            let update = Header::new(command::EVENT_ADD)
                .dbr_type(subscription.dbr_type)
                .count(1)
                .parameters(ECA_NORMAL, subscription.id);
            block.extend(update.with_payload(&payload));
            places.push(Place {
                start,
                value: start + 16 + offset,
                nanoseconds: is_time.then_some(start + 16 + 8),
            });
        }
    }
    (block, places)
}
