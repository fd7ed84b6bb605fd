//! How much a server may be sent before libca could block.

use std::sync::atomic::{AtomicU64, Ordering};

/// Unconfirmed bytes up to which libca is called directly: with what several threads send at once this stays below the 256 KiB
/// at which libca blocks, and ten thousand reads fit in.
const WINDOW: u64 = 224 * 1024;
/// A message's header.
const HEADER: usize = 16;

/// A message's length, its header included.
pub(super) fn message(payload: usize) -> u64 {
    (HEADER + payload.next_multiple_of(8)) as u64
}

/// Counts what was sent to a server, and what of that the server is known to have read, because it has answered something that was
/// sent later.
///
/// Both counts grow; `sent` is lowered again for what was counted and then not sent. The window is open while no more than
/// `WINDOW` bytes are unconfirmed.
///
/// The orderings are SeqCst: a thread that counts its message and then reads `confirmed`, and one that confirms, need only see
/// some recent count, and the counts guard no other memory. The cost is the same on x86.
#[derive(Default)]
pub(super) struct SendWindow {
    sent: AtomicU64,
    confirmed: AtomicU64,
}

impl SendWindow {
    /// Counts so many bytes as sent; `true` where the window was open. Also gives what has been sent with them.
    pub(super) fn reserve(&self, bytes: u64) -> (bool, u64) {
        // Counted first: of several threads at once, only those that find room go directly.
        let before = self.sent.fetch_add(bytes, Ordering::SeqCst);
        let unconfirmed = before.saturating_sub(self.confirmed.load(Ordering::SeqCst));
        (unconfirmed <= WINDOW, before + bytes)
    }

    /// So many bytes that were counted are not sent.
    pub(super) fn take_back(&self, bytes: u64) {
        self.sent.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// The server has answered the message with which `sent` was this much.
    pub(super) fn confirm_sent(&self, sent: u64) {
        // What was counted meanwhile may have been taken back.
        let sent = sent.min(self.sent.load(Ordering::SeqCst));
        self.confirmed.fetch_max(sent, Ordering::SeqCst);
    }

    fn unconfirmed(&self) -> u64 {
        let sent = self.sent.load(Ordering::SeqCst);
        sent.saturating_sub(self.confirmed.load(Ordering::SeqCst))
    }

    /// libca would not block on something small now.
    pub(super) fn is_open(&self) -> bool {
        self.unconfirmed() <= WINDOW
    }

    /// It is time to learn that what was sent has been read.
    pub(super) fn is_half_full(&self) -> bool {
        self.unconfirmed() > WINDOW / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_reads_fit_in() {
        let window = SendWindow::default();
        assert!((0..10_000).all(|_| window.reserve(message(0)).0));
        let (_, sent) = window.reserve(message(100_000));
        assert!(!window.reserve(message(0)).0);
        window.confirm_sent(sent);
        assert!(window.reserve(message(0)).0);
    }

    #[test]
    fn what_was_taken_back_is_not_confirmed() {
        let window = SendWindow::default();
        let (_, sent) = window.reserve(1_000);
        window.take_back(1_000);
        window.confirm_sent(sent);
        assert!(window.is_open());
        window.reserve(WINDOW + 1);
        assert!(!window.is_open());
    }
}
