//! The close of a circuit's last channel, put off.
//!
//! libca closes the connection to a server with its last channel. A channel that is found meanwhile is attached to the dying
//! circuit all the same, and looks for its PV again seconds later. Programs that open and clear one channel after another would
//! meet this often, and pay for a new connection each time. So the last channel keeps the circuit for a while.

use super::work::Work;
use std::time::{Duration, Instant};

/// How long the last channel keeps the circuit. It is no round number: a program that opens a channel each second would come
/// just when a second is over.
const LINGER: Duration = Duration::from_millis(1_300);

/// By when libca has found a PV that is there: after a lost message or two.
const SEARCH: Duration = Duration::from_millis(300);

/// The close of a channel that keeps its circuit.
pub(super) struct Lingering {
    close: Box<dyn Work>,
    since: Instant,
}

impl Lingering {
    pub(super) fn new(close: Box<dyn Work>) -> Lingering {
        let since = Instant::now();
        Lingering { close, since }
    }

    /// When the close is due. A channel that has just begun to look for its PV may find it on this circuit; but a program that
    /// goes through the channels of many servers must not keep all their circuits.
    pub(super) fn end(&self, last_search: Option<Instant>) -> Instant {
        let end = self.since + LINGER;
        let searched = last_search.map_or(end, |began| began + SEARCH);
        searched.clamp(end, end + LINGER)
    }

    pub(super) fn into_close(self) -> Box<dyn Work> {
        self.close
    }
}

#[cfg(test)]
mod tests {
    use super::super::circuit::Circuit;
    use super::super::circuits::Circuits;
    use super::*;
    use crate::client::context::Context;
    use crate::client::pending_io::{DroppedAnswers, Waiters};
    use crate::client::queue::EventQueue;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Says its name where it is done.
    struct Close(&'static str, Sender<&'static str>);

    impl Work for Close {
        fn run(self: Box<Self>) {
            self.1.send(self.0).unwrap();
        }

        fn fail(self: Box<Self>) {}

        fn withdraw(self: Box<Self>) {}

        fn context(&self) -> Option<Arc<Context>> {
            None
        }
    }

    struct Rig {
        circuits: Circuits,
        circuit: Arc<Circuit>,
        done: Receiver<&'static str>,
        tell: Sender<&'static str>,
    }

    impl Rig {
        fn new() -> Rig {
            let queue = Arc::<EventQueue>::default();
            let circuits = Circuits::new(&Waiters::new(queue, DroppedAnswers::default));
            let circuit = circuits.add("ioc:5064".to_owned(), 0, None);
            let (tell, done) = channel();
            Rig {
                circuits,
                circuit,
                done,
                tell,
            }
        }

        fn close(&self, name: &'static str) -> Box<Close> {
            Box::new(Close(name, self.tell.clone()))
        }
    }

    #[test]
    fn of_several_that_leave_the_last_one_lingers() {
        let circuit = Rig::new().circuit;
        circuit.join();
        circuit.join();
        assert!(!circuit.leave());
        circuit.join();
        assert!(!circuit.leave());
        assert!(circuit.leave());
    }

    #[test]
    fn one_channel_keeps_the_circuit_for_its_time() {
        let rig = Rig::new();
        assert!(rig.circuit.linger(rig.close("first")).unwrap().is_none());
        let before = rig.circuit.linger(rig.close("second")).unwrap();
        let began = Instant::now();
        before.unwrap().run();
        assert_eq!(rig.done.try_recv(), Ok("first"));
        assert!(rig.circuit.is_open(), "nothing has to wait for it");
        rig.circuit.send(rig.close("other work"));
        assert_eq!(rig.done.recv_timeout(PATIENCE), Ok("other work"));
        assert_eq!(rig.done.recv_timeout(PATIENCE), Ok("second"));
        assert!(began.elapsed() > LINGER / 2);
    }

    #[test]
    fn what_lingers_goes_with_the_circuit() {
        let Rig {
            circuits,
            circuit,
            done,
            tell,
        } = Rig::new();
        let close = |tell: &Sender<_>| Box::new(Close("closed", tell.clone()));
        assert!(circuit.linger(close(&tell)).unwrap().is_none());
        circuits.close();
        assert!(circuit.linger(close(&tell)).is_err());
        drop(tell);
        let ended = done.recv_timeout(PATIENCE);
        assert_eq!(ended, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn who_searches_may_find_the_circuit_but_not_for_ever() {
        let lingering = Lingering::new(Rig::new().close("it"));
        let end = lingering.since + LINGER;
        let ends_at = |last_search| lingering.end(last_search);
        assert_eq!(ends_at(None), end);
        assert_eq!(ends_at(Some(lingering.since)), end);
        assert_eq!(ends_at(Some(end)), end + SEARCH);
        assert_eq!(ends_at(Some(end + PATIENCE)), end + LINGER);
    }
}
