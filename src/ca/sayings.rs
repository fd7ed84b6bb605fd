//! What libca and libCom have to say, on its way to a context.

use super::context::Context;
use super::event::Event;
use super::fork::PerProcess;
use super::lock;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// libca says some things for each packet that it gets: what it says again within this time is counted, not told.
const SAME: Duration = Duration::from_secs(10);

/// Of libca's words on an answer that it drops, of which nothing else comes.
const DROPPED: &str = "EPICS_CA_MAX_ARRAY_BYTES ignored";
const DROPPING: &str = "not enough memory for message body cache";

#[derive(Default)]
struct Last {
    text: String,
    told: Option<Instant>,
    again: u64,
}

impl Last {
    /// What is to be told of a text that comes now.
    fn tell(&mut self, text: &str, now: Instant) -> Vec<String> {
        if self.text == text
            && self
                .told
                .is_some_and(|told| now.duration_since(told) < SAME)
        {
            self.again += 1;
            return Vec::new();
        }
        let mut all = Vec::new();
        if self.again > 0 {
            all.push(format!(
                "{} (and {} times more)",
                self.text.trim_end(),
                self.again
            ));
        }
        all.push(with_advice(text));
        *self = Last {
            text: text.to_owned(),
            told: Some(now),
            again: 0,
        };
        all
    }
}

static LAST: PerProcess<Mutex<Last>> = PerProcess::new();

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

/// Makes a context, which is among the living once it is made, and tells it what was said meanwhile.
pub(super) fn hold_while<T>(make: impl FnOnce() -> T) -> T {
    lock(HELD.get()).contexts_in_the_making += 1;
    let made = make();
    let texts = {
        let mut held = lock(HELD.get());
        held.contexts_in_the_making -= 1;
        std::mem::take(&mut held.texts)
    };
    texts.into_iter().for_each(say);
    made
}

/// Whether libca has dropped an answer that nobody was told of.
static HAS_DROPPED: AtomicBool = AtomicBool::new(false);

/// Hands on a message. libca does not say of which context it is: the first that wants it gets it. What is said of the end of
/// the last one is of interest to nobody.
pub(super) fn say(text: String) {
    if text.contains(DROPPED) || text.contains(DROPPING) {
        HAS_DROPPED.store(true, Ordering::Relaxed);
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
    let told = lock(LAST.get()).tell(&text, Instant::now());
    for text in told {
        match preemptive {
            Some(context) => context.queue.push(Event::Message(text)),
            // Nobody may ever look into a queue that is polled: libca's own way.
            None => complain(text.trim_end()),
        }
    }
}

/// Why an answer may never come, where libca has said so since this was asked last.
pub(super) fn why_nothing_came() -> Option<&'static str> {
    let dropped = HAS_DROPPED.swap(false, Ordering::Relaxed);
    dropped.then_some("libca has dropped an answer that was larger than EPICS_CA_MAX_ARRAY_BYTES")
}

/// Writes a line to standard error. Where nobody reads that any more, nobody hears: `eprintln` would panic.
pub(super) fn complain(text: &str) {
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
pub(super) fn plain(text: &str) -> String {
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
        let mut last = Last::default();
        let start = Instant::now();
        assert_eq!(last.tell("a\n", start), ["a"]);
        for _ in 0..1000 {
            assert!(last.tell("a\n", start).is_empty());
        }
        assert_eq!(last.tell("b\n", start), ["a (and 1000 times more)", "b"]);
        assert_eq!(last.tell("b\n", start + SAME), ["b"]);
        assert_eq!(last.tell("a\n", start + SAME), ["a"]);
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
