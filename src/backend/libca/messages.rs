//! What libca and libCom have to say, on its way to a context.

use crate::client::context::Context;
use crate::client::event::Event;
use crate::client::fork::PerProcess;
use crate::sync::lock;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// libca says some things for each packet that it gets: what it says again within this time is counted, not told.
const SAME: Duration = Duration::from_secs(10);

/// Of libca's words on an answer that it drops, of which nothing else comes.
const DROPPED: &str = "EPICS_CA_MAX_ARRAY_BYTES ignored";
const DROPPING: &str = "not enough memory for message body cache";

/// How many texts are told apart: two faults at once take turns.
const REMEMBERED: usize = 16;

struct Told {
    text: String,
    at: Instant,
    again: u64,
}

/// What was told within [`SAME`], the oldest first.
#[derive(Default)]
struct Recent(VecDeque<Told>);

impl Recent {
    /// What is to be told of a text that comes now, after how often those came that are over.
    fn tell(&mut self, text: &str, now: Instant) -> Vec<String> {
        let mut all = self.forget(|told| now.duration_since(told.at) >= SAME);
        if let Some(told) = self.0.iter_mut().find(|told| told.text == text) {
            told.again += 1;
            return all;
        }
        if self.0.len() == REMEMBERED {
            let mut one = true;
            all.extend(self.forget(|_| std::mem::take(&mut one)));
        }
        all.push(with_advice(text));
        self.0.push_back(Told {
            text: text.to_owned(),
            at: now,
            again: 0,
        });
        all
    }

    /// Forgets the oldest as long as they are `over`; what is to be told of them.
    fn forget(&mut self, mut over: impl FnMut(&Told) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(told) = self.0.pop_front() {
            if !over(&told) {
                self.0.push_front(told);
                break;
            }
            if told.again > 0 {
                let text = told.text.trim_end();
                let times = if told.again == 1 { "time" } else { "times" };
                all.push(format!("{text} (and {} {times} more)", told.again));
            }
        }
        all
    }
}

static RECENT: PerProcess<Mutex<Recent>> = PerProcess::new();

/// What is said while a context is being made, as of a name server that is not there, waits for it.
#[derive(Default)]
struct Held {
    contexts_in_the_making: usize,
    texts: Vec<String>,
}

impl Held {
    const MOST: usize = 1000;

    fn hold(&mut self, text: &str) -> bool {
        let holds = self.contexts_in_the_making > 0;
        if holds && self.texts.len() < Self::MOST {
            self.texts.push(text.to_owned());
        }
        holds
    }
}

static HELD: PerProcess<Mutex<Held>> = PerProcess::new();

/// While a context is in the making, which is among the living when this is dropped: it is told then what was said meanwhile.
pub(super) struct Holding;

impl Holding {
    pub(super) fn begin() -> Holding {
        lock(HELD.get()).contexts_in_the_making += 1;
        Holding
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let texts = {
            let mut held = lock(HELD.get());
            held.contexts_in_the_making -= 1;
            std::mem::take(&mut held.texts)
        };
        texts.into_iter().for_each(publish);
    }
}

/// Counts the answers that libca has dropped.
static DROPPED_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// Hands on a message. libca does not say of which context it is: the first that wants it gets it. What is said of the end of
/// the last one is of interest to nobody.
pub(crate) fn publish(text: String) {
    if text.contains(DROPPED) || text.contains(DROPPING) {
        DROPPED_SO_FAR.fetch_add(1, Ordering::Relaxed);
    }
    let contexts = Context::living();
    let nobody_listens = contexts.is_empty();
    if nobody_listens && (lock(HELD.get()).hold(&text) || Context::any_is_ending()) {
        return;
    }
    if let Some(context) = contexts.iter().find(|c| c.message_handler().is_some()) {
        context.queue.push(Event::Message(text));
        return;
    }
    let preemptive = contexts.iter().find(|c| c.is_preemptive());
    // Not in the loop's head, where the lock would be held to its end.
    let told = lock(RECENT.get()).tell(&text, Instant::now());
    for text in told {
        match preemptive {
            Some(context) => context.queue.push(Event::Message(text)),
            // Nobody may ever look into a queue that is polled: libca's own way.
            None => write_stderr(text.trim_end()),
        }
    }
}

/// How many answers libca has dropped, as far as it has said so.
pub(crate) fn dropped() -> u64 {
    DROPPED_SO_FAR.load(Ordering::Relaxed)
}

/// Writes a line to standard error. Where nobody reads that any more, nobody hears: `eprintln` would panic.
pub(crate) fn write_stderr(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn with_advice(text: &str) -> String {
    let advice = if text.contains(DROPPED) {
        ": set EPICS_CA_MAX_ARRAY_BYTES to more than that, or EPICS_CA_AUTO_ARRAY_BYTES to YES, before the program starts"
    } else {
        ""
    };
    format!("{}{advice}", text.trim_end())
}

/// A text without the escape sequences that colour it on a terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == '?');
        plain.push_str(
            rest.strip_prefix(|c: char| c.is_ascii_alphabetic())
                .unwrap_or(rest),
        );
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(
            plain("recv \x1b[31;1mERROR\x1b[0m was \"x\"\n"),
            "recv ERROR was \"x\"\n"
        );
        assert_eq!(plain("none [0m"), "none [0m");
        assert_eq!(plain("\x1b["), "");
    }

    #[test]
    fn a_flood_is_told_once_and_counted() {
        let mut recent = Recent::default();
        let start = Instant::now();
        let soon = start + SAME / 2;
        assert_eq!(recent.tell("a\n", start), ["a"]);
        assert_eq!(recent.tell("b\n", soon), ["b"]);
        for _ in 0..1000 {
            assert!(recent.tell("a\n", soon).is_empty());
            assert!(recent.tell("b\n", soon).is_empty());
        }
        let counted = ["a (and 1000 times more)", "a"];
        assert_eq!(recent.tell("a\n", start + SAME), counted);
        let counted = ["b (and 1000 times more)", "c"];
        assert_eq!(recent.tell("c\n", soon + SAME), counted);
        assert_eq!(recent.tell("b\n", soon + SAME), ["b"]);
    }

    #[test]
    fn only_so_much_is_remembered() {
        let mut recent = Recent::default();
        let now = Instant::now();
        for _ in 0..2 {
            recent.tell("first", now);
        }
        for number in 1..REMEMBERED {
            let text = number.to_string();
            assert_eq!(recent.tell(&text, now), [text]);
        }
        let told = recent.tell("last", now);
        assert_eq!(told, ["first (and 1 time more)", "last"]);
        assert_eq!(recent.0.len(), REMEMBERED);
        assert_eq!(recent.tell("first", now), ["first"]);
    }

    #[test]
    fn what_to_do_about_a_dropped_answer() {
        let told = with_advice(
            "CAC: response with payload size=32000000 > EPICS_CA_MAX_ARRAY_BYTES ignored\n",
        );
        assert!(
            told.contains("ignored: set EPICS_CA_MAX_ARRAY_BYTES"),
            "{told}"
        );
    }
}
