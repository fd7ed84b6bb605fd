//! The life of one reply that is written by one thread and read by others.

use super::primitives::{AtomicU8, Ordering};

/// Who has a reply's memory, and whether what it holds may be read.
///
/// # States
///
/// | state | meaning | moves to | who moves it |
/// |---|---|---|---|
/// | `IDLE` | not part of a request | `REQUESTED` | whoever makes the request, before anyone else sees it |
/// | `REQUESTED` | somebody waits, and the backend may have a pointer to it | `WRITING` | whoever answers: [`begin_answer`](ReplyState::begin_answer) |
/// | | | `ABANDONED` | whoever clears the channel: [`abandon`](ReplyState::abandon) |
/// | `WRITING` | the reply is being written | `DONE` | the same thread that moved it here: [`publish`](ReplyState::publish) |
/// | `ABANDONED` | nobody waits, but the backend may have a pointer to it | `RELEASED` | whoever answers: `begin_answer` |
/// | `RELEASED` | final for this request: nobody waits, and the backend has no pointer to it | | |
/// | `DONE` | final for this request: the reply may be read | | |
///
/// `reset`, which needs exclusive access, returns any state to `IDLE`: the reply becomes part of another request.
///
/// A reply is written by the one thread that moves it from `REQUESTED` to `WRITING`; it is read in `DONE` alone, and never changes
/// then.
///
/// # Orderings
///
/// * `publish` is Release and [`is_done`](ReplyState::is_done) Acquire: what was written before `publish` is seen by whoever
///   sees `DONE`. The reply itself can then be read and written Relaxed.
/// * `begin_answer` is Acquire where it succeeds: it sees what the one who made the request wrote. It needs no Release, as it publishes
///   nothing.
/// * `abandon` and the move to `RELEASED` publish nothing and read nothing: Relaxed.
pub struct ReplyState(AtomicU8);

const IDLE: u8 = 0;
const REQUESTED: u8 = 1;
const WRITING: u8 = 2;
const ABANDONED: u8 = 3;
const RELEASED: u8 = 4;
const DONE: u8 = 5;

/// What an answer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The caller writes the reply, and then calls [`ReplyState::publish`].
    Write,
    /// Nobody waits for it any more. The backend has no pointer to it from now on.
    Released,
    /// It was answered before, or not asked for.
    Nothing,
}

/// How far a reply has come, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Waiting,
    Abandoned,
    Done,
}

impl Default for ReplyState {
    fn default() -> ReplyState {
        ReplyState(AtomicU8::new(IDLE))
    }
}

impl ReplyState {
    /// For a new request, when nobody refers to the old one.
    pub fn reset(&mut self) {
        *self = ReplyState::default();
    }

    /// It is part of a request from now on, which nobody else has seen yet.
    pub fn set_requested(&self) {
        self.0.store(REQUESTED, Ordering::Release);
    }

    /// Whoever answers begins with this.
    pub fn begin_answer(&self) -> Begun {
        let swap = |from, to, success| {
            self.0
                .compare_exchange(from, to, success, Ordering::Relaxed)
        };
        match swap(REQUESTED, WRITING, Ordering::Acquire) {
            Ok(_) => Begun::Write,
            Err(ABANDONED) if swap(ABANDONED, RELEASED, Ordering::Relaxed).is_ok() => {
                Begun::Released
            }
            Err(_) => Begun::Nothing,
        }
    }

    /// What was written since [`begin_answer`](ReplyState::begin_answer) may be read.
    pub fn publish(&self) {
        self.0.store(DONE, Ordering::Release);
    }

    /// Nobody is to wait for it any more; `false` where nobody did.
    pub fn abandon(&self) -> bool {
        self.0
            .compare_exchange(REQUESTED, ABANDONED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    pub fn progress(&self) -> Progress {
        match self.0.load(Ordering::Acquire) {
            DONE => Progress::Done,
            ABANDONED | RELEASED => Progress::Abandoned,
            _ => Progress::Waiting,
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::super::primitives::AtomicU64;
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[derive(Default)]
    struct Reply {
        state: ReplyState,
        value: AtomicU64,
    }

    impl Reply {
        fn answer(&self, value: u64) -> Begun {
            let begun = self.state.begin_answer();
            if begun == Begun::Write {
                self.value.store(value, Ordering::Relaxed);
                self.state.publish();
            }
            begun
        }

        /// What a waiter reads.
        fn look(&self) -> Option<u64> {
            (self.state.progress() == Progress::Done).then(|| self.value.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_reply_that_is_done_is_read_whole_and_never_changes() {
        loom::model(|| {
            let reply = Arc::new(Reply::default());
            reply.state.set_requested();
            let answers: Vec<_> = [1, 2]
                .map(|value| {
                    let reply = reply.clone();
                    thread::spawn(move || reply.answer(value))
                })
                .into();
            let first = reply.look();
            assert_ne!(first, Some(0), "seen before it was written");
            let begun: Vec<_> = answers.into_iter().map(|a| a.join().unwrap()).collect();
            let last = reply.look().unwrap();
            assert!(first.is_none_or(|first| first == last));
            let wrote = begun.iter().filter(|begun| **begun == Begun::Write);
            assert_eq!(wrote.count(), 1, "it is written once");
        });
    }

    #[test]
    fn an_abandoned_reply_is_given_back_once() {
        loom::model(|| {
            let reply = Arc::new(Reply::default());
            reply.state.set_requested();
            let other = reply.clone();
            let answer = thread::spawn(move || other.answer(1));
            let abandoned = reply.state.abandon();
            let begun = answer.join().unwrap();
            let late = reply.answer(2);
            match (abandoned, begun) {
                (true, Begun::Released) => assert_eq!(late, Begun::Nothing),
                (false, Begun::Write) => assert_eq!(late, Begun::Nothing),
                other => panic!("{other:?}"),
            }
            assert_eq!(reply.look().is_some(), !abandoned);
        });
    }
}
