//! The points of the contract, for any backend.

pub use super::completion::*;

use super::{AT_ONCE, Client, Heard, PATIENCE, Rig, at_once, number, until};
use crate::backend::scripted::value::Pv;
use crate::client::recorder::session::RecorderSession;
use crate::client::recorder::update_buffer::UpdateBuffer;
use crate::protocol::constants::DBE_VALUE;
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::Answer;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Elements of an array that soon fills what may wait for a server.
const MANY: usize = 50_000;

pub fn point_01_nothing_is_delivered_after_a_clear(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.0));
    let (cleared, kept) = (client.subscribe(), client.subscribe());
    client.write(2.0);
    let deadline = Instant::now() + PATIENCE;
    while client.updates().into_iter().filter(|v| *v == 2.0).count() < 2 {
        assert!(Instant::now() < deadline, "both bring updates");
    }
    cleared.clear().unwrap();
    client.heard.clear();
    client.write(3.0);
    client.hear(|heard| *heard == Heard::Update(Base::Double, 3.0));
    assert_eq!(client.value(), 3.0);
    let threes = client.updates().into_iter().filter(|v| *v == 3.0).count();
    assert_eq!(threes, 1, "the other subscription alone brings it");

    client.write(4.0);
    client.channel.clear();
    client.heard.clear();
    let gone = Arc::downgrade(&client.channel);
    let other = Client::of(client.context.clone(), rig.name());
    drop((cleared, kept));
    client.channel = other.channel.clone();
    until("the context has another channel", || {
        other.channel.access().1
    });
    other.value();
    let of_the_cleared = client.deliver().iter();
    let of_the_cleared = of_the_cleared.filter(|heard| matches!(heard, Heard::Update(..)));
    assert_eq!(of_the_cleared.count(), 0);
    until("nobody keeps the cleared channel", || {
        gone.strong_count() == 0
    });
}

pub fn point_01_a_disconnect_after_a_close_is_not_told(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.0));
    let _subscription = client.subscribe();
    client.hear(|heard| matches!(heard, Heard::Update(..)));
    client.heard.clear();
    client.channel.clear();
    rig.stop();
    until("the backend has let go", || {
        client.context.channels().is_empty()
    });
    let of_server = |heard: &Heard| matches!(heard, Heard::Exception(_));
    assert!(client.deliver().iter().all(of_server), "{:?}", client.heard);
}

pub fn point_01_a_close_does_not_wait_for_a_server_that_hangs(rig: &impl Rig) {
    let mut client = Client::connected(rig, array());
    let subscription = client.subscribe();
    client.hear(|heard| matches!(heard, Heard::Update(..)));
    rig.hang();
    fill(&client);
    let pending = client.context.pending_io();
    let (awaited, called) = (client.read_awaited(&pending), client.read());
    at_once(|| subscription.clear().unwrap());
    at_once(|| client.channel.clear());
    client.heard.clear();
    assert!(pending.is_done());
    let closed = Arc::downgrade(&client.channel);
    let weak = Arc::downgrade(&subscription);
    drop(subscription);
    let other = Client::of(client.context.clone(), rig.name());
    client.channel = other.channel.clone();
    rig.go_on();
    until("the backend has let go of both", || {
        // An event keeps what it tells of.
        while client.context.queue.pop().is_some() {}
        weak.strong_count() == 0 && client.context.channels().len() == 1
    });
    assert_eq!(awaited.answer().unwrap().status, Status::CHANDESTROY);
    drop((awaited, called));
    until("the channel is freed", || closed.strong_count() == 0);
}

pub fn point_02_upcalls_of_a_channel_come_in_order(rig: &impl Rig) {
    let mut client = Client::new(rig);
    rig.serve(Pv::double(1.0));
    client.hear(|heard| *heard == Heard::Connection(true));
    client.hear(|heard| *heard == Heard::Rights(true, true));
    assert_eq!(
        client.heard.len(),
        2,
        "each is told once: {:?}",
        client.heard
    );
    rig.hang();
    client.heard.clear();
    let request = client.read();
    rig.stop();
    client.hear(|heard| *heard == Heard::Rights(false, false));
    let address = Arc::as_ptr(&request) as usize;
    // A backend may also report the loss of the server, which belongs to no channel.
    let is_channels = |heard: &&Heard| !matches!(heard, Heard::Exception(_));
    let of_channel: Vec<Heard> = client.heard.iter().filter(is_channels).cloned().collect();
    assert_eq!(
        of_channel,
        [
            Heard::Reply(address, Status::DISCONN),
            Heard::Connection(false),
            Heard::Rights(false, false),
        ]
    );
}

pub fn point_03_the_newest_value_is_delivered(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(0.0));
    let _subscription = client.subscribe();
    for value in 1..=2_000 {
        client.write(value.into());
    }
    client.hear(|heard| *heard == Heard::Update(Base::Double, 2_000.0));
    let updates = client.updates();
    assert!(updates.is_sorted(), "older updates come first");
}

pub fn point_03_the_newest_value_is_recorded(rig: &impl Rig) {
    let context = rig.context();
    let buffer = Arc::new(UpdateBuffer::new(1, 10));
    let names: Arc<[String]> = [rig.name().to_owned()].into();
    let session = RecorderSession::new(&context, names, &buffer);
    // Before the PV is there: the backend subscribes with the connection.
    session.open(DBE_VALUE).unwrap();
    buffer.start();
    rig.serve(Pv::double(0.0));
    let client = Client::of(context, rig.name());
    until("the PV is recorded", || session.connected() == [true]);
    until("the other channel is connected", || {
        client.channel.access().1
    });
    for value in 1..=100 {
        client.write(value.into());
    }
    let mut recorded = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while recorded.last() != Some(&100.0) {
        let updates = buffer.read(1, Some(deadline), Duration::ZERO, &mut || false);
        recorded.extend(updates.unwrap().iter().map(|update| update.value));
        assert!(Instant::now() < deadline, "{recorded:?}");
    }
    assert!(recorded.is_sorted(), "{recorded:?}");
    session.close();
}

pub fn point_05_a_subscription_comes_back_with_the_pvs_new_type(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.5));
    let _subscription = client.subscribe();
    client.hear(|heard| *heard == Heard::Update(Base::Double, 1.5));
    rig.stop();
    client.hear(|heard| *heard == Heard::Connection(false));
    client.heard.clear();
    rig.serve(Pv {
        native: Base::Long,
        values: vec![7.0],
    });
    client.hear(|heard| *heard == Heard::Update(Base::Long, 7.0));
    let is_old = |heard: &Heard| matches!(heard, Heard::Update(Base::Double, _));
    assert!(!client.heard.iter().any(is_old), "{:?}", client.heard);
}

pub fn point_06_data_may_change_when_submit_has_returned(rig: &impl Rig) {
    let client = Client::connected(rig, Pv::double(1.0));
    let write = |value: f64| {
        let mut data = value.to_ne_bytes();
        client.channel.put(DbrType::DOUBLE, 1, &data).unwrap();
        data.fill(0xff);
        std::hint::black_box(&data);
    };
    write(2.0);
    assert_eq!(client.value(), 2.0);
    rig.hang();
    write(3.0);
    rig.go_on();
    assert_eq!(client.value(), 3.0);
}

/// Writes until very much waits for the server.
fn fill(client: &Client) {
    let data = vec![0; MANY * size_of::<f64>()];
    let deadline = Instant::now() + PATIENCE;
    while client.channel.backlog().is_none() {
        at_once(|| client.channel.put(DbrType::DOUBLE, MANY, &data).unwrap());
        at_once(|| client.context.flush().unwrap());
        assert!(Instant::now() < deadline, "there is no end to what fits in");
    }
    assert!(client.context.has_backlog());
}

fn array() -> Pv {
    Pv {
        native: Base::Double,
        values: vec![1.0; MANY],
    }
}

pub fn point_07_neither_submit_nor_flush_blocks_on_a_server(rig: &impl Rig) {
    let client = Client::connected(rig, array());
    rig.hang();
    fill(&client);
    at_once(|| client.read());
    at_once(|| client.write_notify(5.0));
    rig.go_on();
    until("there is room again", || client.channel.backlog().is_none());
    assert_eq!(client.value(), 5.0, "all was sent, in order");
}

pub fn point_08_commands_are_accepted_during_an_upcall(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.0));
    let subscription = client.subscribe();
    client.hear(|heard| matches!(heard, Heard::Update(..)));
    let client = &client;
    std::thread::scope(|scope| {
        let (begun, has_begun) = channel();
        let (over, is_over) = channel::<()>();
        scope.spawn(move || {
            let update = Pv::double(2.0).answer(subscription.active_spec());
            // The upcall of the next update waits for the mailbox's lock.
            subscription.mailbox.push(update, |_, _| {
                begun.send(()).unwrap();
                is_over.recv_timeout(PATIENCE).ok();
            });
        });
        has_begun.recv().unwrap();
        scope.spawn(|| client.write(3.0));
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        client.read();
        client.read();
        let took = began.elapsed();
        over.send(()).unwrap();
        assert!(took < AT_ONCE, "submit has waited for the upcall");
    });
}

pub fn point_09_a_forked_child_leaves_the_context_alone(rig: &impl Rig) {
    let client = Client::connected(rig, Pv::double(1.0));
    #[cfg(unix)]
    {
        // SAFETY: the child takes no lock that another thread may have held, and ends without what atexit has registered.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above. Should it hang, it ends by itself.
            unsafe { libc::alarm(10) };
            let (channel, context) = (&client.channel, &client.context);
            let untouched = channel.enter().is_none()
                && context.enter().is_none()
                && channel.is_closed()
                && context.flush().is_err()
                && context.begin_end(Duration::ZERO).is_none();
            channel.dispose();
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!untouched)) };
        }
        let mut status = 0;
        // SAFETY: it writes the status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
    client.write(2.0);
    assert_eq!(client.value(), 2.0, "the parent goes on");
}

pub fn point_10_a_read_that_was_given_up_is_withdrawn(rig: &impl Rig) {
    let client = Client::connected(rig, array());
    rig.hang();
    fill(&client);
    let (given_up, kept) = (client.context.pending_io(), client.context.pending_io());
    let (first, second) = (client.read_awaited(&given_up), client.read_awaited(&kept));
    client.context.withdraw(std::slice::from_ref(&given_up));
    assert!(given_up.is_done() && !kept.is_done());
    assert_eq!(first.answer().unwrap().status, Status::TIMEOUT);
    rig.go_on();
    until("the other one is answered", || kept.is_done());
    assert_eq!(number(&second.answer().unwrap()), 0.0);
    assert_eq!(first.answer().unwrap().status, Status::TIMEOUT);
}

pub fn point_11_a_read_in_an_upcall_is_sent_after_it(rig: &impl Rig) {
    thread_local! {
        static SUBMITTING: Cell<bool> = const { Cell::new(false) };
    }
    let client = Client::connected(rig, Pv::double(1.5));
    let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
    let (tell, told) = channel();
    let asked = Arc::downgrade(&client.channel);
    let first = move |_| {
        let second = move |answer: Answer| {
            let value = (answer.status, number(&answer), SUBMITTING.get());
            // Where nobody listens any more, the test has failed already.
            tell.send(value).ok();
        };
        let channel = asked.upgrade().unwrap();
        SUBMITTING.set(true);
        channel.get_in_upcall(spec, None, Box::new(second)).unwrap();
        SUBMITTING.set(false);
    };
    // The first answer's upcall asks for the second. Nobody flushes.
    let begun = client.channel.get_in_upcall(spec, None, Box::new(first));
    begun.unwrap();
    let told = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, (Status::NORMAL, 1.5, false));
}
