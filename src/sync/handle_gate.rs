//! A door that is open until it is closed for good, and knows who is inside.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Guards a C handle: users pass while it is open; the one who closes it, or the last user to leave a closed gate,
/// learns that nobody is inside any more and may free what is behind.
#[derive(Default)]
pub struct HandleGate(AtomicUsize);

const CLOSED: usize = 1 << (usize::BITS - 1);

impl HandleGate {
    /// Steps in; `false` where the gate is closed. Every `true` needs one [`leave`](Gate::leave).
    pub fn enter(&self) -> bool {
        let step = |inside: usize| (inside & CLOSED == 0).then_some(inside + 1);
        self.0
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, step)
            .is_ok()
    }

    /// Steps out; `true` for the last one out of a closed gate.
    pub fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1
    }

    /// Closes; `Some(true)` where nobody is inside, `None` where it was closed before.
    pub fn close(&self) -> Option<bool> {
        match self.0.fetch_or(CLOSED, Ordering::AcqRel) {
            before if before & CLOSED != 0 => None,
            inside => Some(inside == 0),
        }
    }

    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Nobody is inside.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) & !CLOSED == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_last_one_out_of_a_closed_gate_knows() {
        let gate = HandleGate::default();
        assert!(gate.enter() && gate.enter());
        assert!(!gate.leave());
        assert_eq!(gate.close(), Some(false));
        assert_eq!(gate.close(), None);
        assert!(!gate.enter());
        assert!(!gate.is_empty());
        assert!(gate.leave());
        assert!(gate.is_empty());
    }

    #[test]
    fn exactly_one_of_many_frees() {
        for _ in 0..200 {
            let gate = Arc::new(HandleGate::default());
            let frees: usize = std::thread::scope(|scope| {
                let users: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut last = 0;
                            while gate.enter() {
                                last += usize::from(gate.leave());
                            }
                            last
                        })
                    })
                    .collect();
                let alone = usize::from(gate.close() == Some(true));
                alone
                    + users
                        .into_iter()
                        .map(|user| user.join().unwrap())
                        .sum::<usize>()
            });
            assert_eq!(frees, 1);
        }
    }
}
