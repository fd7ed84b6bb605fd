//! A Channel Access server that loads a client and does nothing else: no records, no scans.
//!
//! It has every PV that is asked for: one DOUBLE. When a circuit has as many subscriptions as told, it sends them
//! updates in turn as fast as the socket takes them, whatever the client asks for meanwhile. The values are 0, 1, 2, … in
//! the order of sending, so a client sees whether one was lost or overtook another.
//!
//! usage: firehose SUBSCRIPTIONS UPDATES LIMIT
//!
//! It listens on a free port of 127.0.0.1, prints its number, and ends when its standard input does, or after LIMIT
//! seconds.

mod circuit;
mod message;

use message::{Header, MINOR_VERSION, command, messages};
use std::error::Error;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

/// Stay below what fits an Ethernet frame, as servers do.
const DATAGRAM: usize = 1_400;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse())
        .collect::<Result<_, _>>()?;
    let &[subscriptions, updates, limit] = arguments.as_slice() else {
        return Err("usage: firehose SUBSCRIPTIONS UPDATES LIMIT".into());
    };
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(limit));
        std::process::exit(1);
    });
    let (circuits, searches) = listen()?;
    let port = circuits.local_addr()?.port();
    println!("{port}");
    std::thread::spawn(move || answer_searches(&searches, port));
    std::thread::spawn(move || {
        for stream in circuits.incoming().flatten() {
            std::thread::spawn(move || circuit::serve(stream, subscriptions as usize, updates));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A port of 127.0.0.1 for both: TCP for circuits, UDP for searches.
fn listen() -> std::io::Result<(TcpListener, UdpSocket)> {
    loop {
        let circuits = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = circuits.local_addr()?.port();
        if let Ok(searches) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok((circuits, searches));
        }
    }
}

/// Tells whoever searches that the PV is here.
fn answer_searches(socket: &UdpSocket, port: u16) {
    let mut received = [0; 65_536];
    while let Ok((length, client)) = socket.recv_from(&mut received) {
        let version = Header::new(command::VERSION).count(MINOR_VERSION);
        let mut answer = version.bytes().to_vec();
        for (header, _) in messages(&received[..length]).0 {
            if header.command != command::SEARCH {
                continue;
            }
            // The address to use is the one that the answer comes from.
            let found = Header::new(command::SEARCH)
                .dbr_type(port)
                .parameters(u32::MAX, header.first);
            let mut payload = [0; 8];
            payload[..2].copy_from_slice(&MINOR_VERSION.to_be_bytes());
            answer.extend(found.with_payload(&payload));
            if answer.len() > DATAGRAM - 24 {
                let _ = socket.send_to(&answer, client);
                answer.truncate(16);
            }
        }
        if answer.len() > 16 {
            let _ = socket.send_to(&answer, client);
        }
    }
}
