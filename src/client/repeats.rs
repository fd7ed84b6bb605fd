//! Texts for the log that may come many times a second: the first one is logged at once, and equal ones within a second as one
//! line with their number.

use std::collections::HashMap;
use std::time::{Duration, Instant};

const GATHERED_FOR: Duration = Duration::from_secs(1);

/// The most different texts that are counted. Beyond that, each text is logged.
const MOST: usize = 1000;

/// A text that was logged, and how often it has come since.
struct Window {
    ends: Instant,
    again: usize,
}

#[derive(Default)]
pub struct Repeats {
    windows: HashMap<String, Window>,
}

impl Repeats {
    /// Whether a text is to be logged now. If not, it is counted, and [`due`](Repeats::due) returns it later.
    pub fn add(&mut self, text: &str, now: Instant) -> bool {
        match self.windows.get_mut(text) {
            Some(window) if window.ends > now || window.again > 0 => {
                window.again += 1;
                return false;
            }
            _ => {}
        }
        self.windows
            .retain(|_, window| window.ends > now || window.again > 0);
        if self.windows.len() < MOST {
            let ends = now + GATHERED_FOR;
            self.windows
                .insert(text.to_owned(), Window { ends, again: 0 });
        }
        true
    }

    /// The texts that are to be logged by `now`; all of them if that is `None`.
    pub fn due(&mut self, now: Option<Instant>) -> Vec<String> {
        let mut texts = Vec::new();
        for (text, window) in &mut self.windows {
            if window.again > 0 && now.is_none_or(|now| window.ends <= now) {
                let again = std::mem::take(&mut window.again);
                let times = if again == 1 { "time" } else { "times" };
                texts.push(format!("{text} (and {again} {times} more within a second)"));
                // If the text goes on coming, it is logged once a second.
                window.ends = now.map_or(window.ends, |now| now + GATHERED_FOR);
            }
        }
        texts
    }

    /// When the next text is due.
    pub fn next(&self) -> Option<Instant> {
        let waiting = self.windows.values().filter(|window| window.again > 0);
        waiting.map(|window| window.ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_gathered() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let soon = start + GATHERED_FOR / 2;
        assert!(repeats.add("a", start) && repeats.add("b", start));
        assert_eq!(repeats.next(), None);
        assert!(!repeats.add("a", soon) && !repeats.add("a", soon));
        assert_eq!(repeats.next(), Some(start + GATHERED_FOR));
        assert!(repeats.due(Some(soon)).is_empty());
        let end = start + GATHERED_FOR;
        assert_eq!(
            repeats.due(Some(end)),
            ["a (and 2 times more within a second)"]
        );
        assert!(!repeats.add("a", end) && repeats.add("b", end));
        assert_eq!(repeats.next(), Some(end + GATHERED_FOR));
        assert_eq!(repeats.due(None), ["a (and 1 time more within a second)"]);
        assert!(repeats.add("a", end + GATHERED_FOR));
    }

    #[test]
    fn only_so_many_are_told_apart() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        for number in 0..2 * MOST {
            assert!(repeats.add(&number.to_string(), now));
        }
        assert_eq!(repeats.windows.len(), MOST);
        assert!(repeats.add("another", now) && repeats.add("another", now));
        assert!(repeats.add("another", now + GATHERED_FOR));
        assert_eq!(repeats.windows.len(), 1);
    }
}
