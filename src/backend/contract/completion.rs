//! Point 4 of the contract, for any backend: each request is completed once, whatever becomes of its channel.

use super::{AT_ONCE, Client, Heard, Rig, at_once, until};
use crate::backend::scripted::value::Pv;
use crate::client::channel::Channel;
use crate::client::event::UserData;
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::{Job, ReadAs};
use crate::client::request::Request;
use crate::protocol::dbr::DbrType;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::sync::Arc;

pub fn point_04_a_request_that_is_refused_is_never_completed(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.0));
    client.heard.clear();
    let pending = client.context.pending_io();
    let too_many = RequestSpec::exactly(DbrType::DOUBLE, 5);
    let called: UserData = Arc::new(());
    let refused = [
        client.channel.get(too_many, Some(called.clone()), None),
        client.channel.get(too_many, None, Some(pending.begin())),
    ];
    for refused in refused {
        assert_eq!(refused.err().unwrap().status, Status::BADCOUNT);
    }
    assert!(pending.is_done());
    assert_eq!(Arc::strong_count(&called), 1, "nobody keeps the callback");
    assert_eq!(client.value(), 1.0);
    client.channel.clear();
    let is_reply = |heard: &Heard| matches!(heard, Heard::Reply(..));
    assert!(!client.deliver().iter().any(is_reply));
}

pub fn point_04_requests_of_a_group_are_completed_once(rig: &impl Rig) {
    let client = Client::connected(rig, Pv::double(1.0));
    let (context, channel) = (&client.context, || {
        Channel::create(&client.context, rig.name(), 0, Arc::new(()), None, |_| ()).unwrap()
    });
    let channels = vec![channel(), channel()];
    let group = GroupChannels::new(context, channels.clone()).unwrap();
    context.flush().unwrap();
    until("the group is connected", || {
        channels.iter().all(|channel| channel.access().0)
    });
    let read = || {
        let request = group.new_request(Job::Read(ReadAs::Value));
        assert!(at_once(|| request.start()).indices.is_empty());
        request
    };
    let first = read();
    until("the group is read", || first.pending_io().is_done());
    assert_eq!(first.statuses(), [Status::NORMAL.0; 2]);
    rig.hang();
    let second = read();
    channels[0].clear();
    assert!(!second.pending_io().is_done(), "one channel may answer yet");
    rig.stop();
    until("the request is over", || second.pending_io().is_done());
    assert_eq!(
        second.statuses(),
        [Status::CHANDESTROY.0, Status::DISCONN.0]
    );
    assert_eq!(first.statuses(), [Status::NORMAL.0; 2]);
}

pub fn point_04_each_request_is_completed_once(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.0));
    let requests: Vec<Arc<Request>> = (0..50)
        .flat_map(|value| [client.read(), client.write_notify(value.into())])
        .collect();
    for request in &requests {
        let address = Arc::as_ptr(request) as usize;
        client.hear(|heard| *heard == Heard::Reply(address, Status::NORMAL));
    }
    client.value();
    for request in &requests {
        assert_eq!(client.replies(request), [Status::NORMAL]);
    }
}

pub fn point_04_requests_are_completed_by_a_disconnect(rig: &impl Rig) {
    let mut client = Client::connected(rig, Pv::double(1.0));
    rig.hang();
    let requests = [client.read(), client.write_notify(2.0), client.read()];
    rig.stop();
    client.hear(|heard| *heard == Heard::Connection(false));
    rig.serve(Pv::double(1.0));
    until("the PV is back", || client.channel.access().0);
    client.value();
    for request in &requests {
        assert_eq!(client.replies(request), [Status::DISCONN]);
    }
}

pub fn point_04_requests_are_completed_by_a_close(rig: &impl Rig) {
    let client = Client::connected(rig, Pv::double(1.0));
    rig.hang();
    let pending = client.context.pending_io();
    let requests = [client.read_awaited(&pending), client.read_awaited(&pending)];
    client.channel.clear();
    assert!(pending.is_done(), "nobody waits for a closed channel");
    rig.go_on();
    let other = Client::of(client.context.clone(), rig.name());
    until("the server answers", || other.channel.access().1);
    other.value();
    for request in &requests {
        assert_eq!(request.answer().unwrap().status, Status::CHANDESTROY);
    }
}

pub fn point_04_requests_are_completed_by_the_end_of_the_context(rig: &impl Rig) {
    let client = Client::connected(rig, Pv::double(1.0));
    rig.hang();
    let pending = client.context.pending_io();
    let request = client.read_awaited(&pending);
    // Where the server hangs, the end may take longer; nobody waits for an answer any more all the same.
    client.context.destroy(AT_ONCE, &mut || false);
    assert!(pending.is_done());
    rig.go_on();
    assert_eq!(request.answer().unwrap().status, Status::CHANDESTROY);
}
