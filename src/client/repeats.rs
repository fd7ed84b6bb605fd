//! Lines for the log that may come many times a second: the first one is logged at once, and equal ones within a second as one
//! line with their number.

use std::collections::HashMap;
use std::time::{Duration, Instant};

const GATHERED_FOR: Duration = Duration::from_secs(1);

/// The most different lines that are counted. Beyond that, each line is logged.
const MOST: usize = 1000;

/// A line that was logged, and how often it has come since.
struct Window {
    ends: Instant,
    again: usize,
}

#[derive(Default)]
pub struct Repeats {
    windows: HashMap<Line, Window>,
}

/// A logger's name and the text.
pub type Line = (&'static str, String);

impl Repeats {
    /// Whether a line is to be logged now. If not, it is counted, and [`due`](Repeats::due) returns it later.
    pub fn add(&mut self, line: &Line, now: Instant) -> bool {
        match self.windows.get_mut(line) {
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
            self.windows.insert(line.clone(), Window { ends, again: 0 });
        }
        true
    }

    /// The lines that are to be logged by `now`; all of them if that is `None`.
    pub fn due(&mut self, now: Option<Instant>) -> Vec<Line> {
        let mut lines = Vec::new();
        for ((logger, text), window) in &mut self.windows {
            if window.again > 0 && now.is_none_or(|now| window.ends <= now) {
                let again = std::mem::take(&mut window.again);
                let times = if again == 1 { "time" } else { "times" };
                let text = format!("{text} (and {again} {times} more within a second)");
                lines.push((*logger, text));
                // If the line goes on coming, it is logged once a second.
                window.ends = now.map_or(window.ends, |now| now + GATHERED_FOR);
            }
        }
        lines
    }

    /// When the next line is due.
    pub fn next(&self) -> Option<Instant> {
        let waiting = self.windows.values().filter(|window| window.again > 0);
        waiting.map(|window| window.ends).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        ("logger", text.to_owned())
    }

    #[test]
    fn what_is_the_same_is_gathered() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let soon = start + GATHERED_FOR / 2;
        assert!(repeats.add(&line("a"), start) && repeats.add(&line("b"), start));
        assert_eq!(repeats.next(), None);
        assert!(!repeats.add(&line("a"), soon) && !repeats.add(&line("a"), soon));
        assert_eq!(repeats.next(), Some(start + GATHERED_FOR));
        assert!(repeats.due(Some(soon)).is_empty());
        let end = start + GATHERED_FOR;
        assert_eq!(
            repeats.due(Some(end)),
            [line("a (and 2 times more within a second)")]
        );
        assert!(!repeats.add(&line("a"), end) && repeats.add(&line("b"), end));
        assert_eq!(repeats.next(), Some(end + GATHERED_FOR));
        assert_eq!(
            repeats.due(None),
            [line("a (and 1 time more within a second)")]
        );
        assert!(repeats.add(&line("a"), end + GATHERED_FOR));
    }

    #[test]
    fn only_so_many_are_told_apart() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        for number in 0..2 * MOST {
            assert!(repeats.add(&line(&number.to_string()), now));
        }
        assert_eq!(repeats.windows.len(), MOST);
        assert!(repeats.add(&line("another"), now) && repeats.add(&line("another"), now));
        assert!(repeats.add(&line("another"), now + GATHERED_FOR));
        assert_eq!(repeats.windows.len(), 1);
    }
}
