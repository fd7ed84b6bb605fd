use super::*;
use crate::client::queue::EventQueue;

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(10))
}

#[test]
fn a_wait_ends_with_the_last_guard() {
    let waiters = Waiters::new(Arc::<EventQueue>::default(), DroppedAnswers::default);
    let pending = PendingIo::new(&waiters);
    let guards: Vec<PendingGuard> = (0..3).map(|_| pending.begin()).collect();
    let waiting = {
        let (waiters, pending) = (waiters.clone(), pending.clone());
        std::thread::spawn(move || wait(&waiters, &[pending], soon(), &mut || false))
    };
    assert!(!pending.is_done());
    drop(guards);
    assert_eq!(waiting.join().unwrap(), Waited::Done);
}

#[test]
fn a_wait_times_out_and_can_be_interrupted() {
    let waiters = Waiters::new(Arc::<EventQueue>::default(), DroppedAnswers::default);
    let pending = PendingIo::new(&waiters);
    let _guard = pending.begin();
    let pending = [pending];
    let now = Some(Instant::now());
    assert_eq!(
        wait(&waiters, &pending, now, &mut || false),
        Waited::Timeout
    );
    assert_eq!(
        wait(&waiters, &pending, None, &mut || true),
        Waited::Interrupted
    );
}

#[test]
fn the_first_failure_is_kept() {
    let waiters = Waiters::new(Arc::<EventQueue>::default(), DroppedAnswers::default);
    let pending = PendingIo::new(&waiters);
    let (first, second) = (pending.begin(), pending.begin());
    first.failed(Status::GETFAIL, "one");
    second.failed(Status::DISCONN, "two");
    assert!(pending.is_done());
    assert_eq!(pending.take_failure().unwrap().pv.as_deref(), Some("one"));
    assert!(pending.take_failure().is_none());
}

#[test]
fn an_answer_that_the_backend_has_dropped_since_explains_an_unanswered_request() {
    static DROPPED: AtomicU64 = AtomicU64::new(1);
    let dropped = || DroppedAnswers {
        number: DROPPED.load(Ordering::Relaxed),
        why: "it was too large",
    };
    let waiters = Waiters::new(Arc::<EventQueue>::default(), dropped);
    let pending = PendingIo::new(&waiters);
    let guard = pending.begin();
    assert_eq!(guard.why_unanswered(), None, "that was before");
    DROPPED.store(2, Ordering::Relaxed);
    assert_eq!(guard.why_unanswered(), Some("it was too large"));
    drop(guard);
    assert_eq!(pending.why_unanswered(), None, "nothing is unanswered");
}
