//! Closes of channels, and ends of contexts, that only the scripted backend can be made to delay.

use super::AT_ONCE;
use super::orders::{connected, is_released};
use crate::backend::scripted::value::Pv;
use crate::backend::{Command, When};
use crate::client::channel::Channel;
use crate::protocol::status::Status;
use std::sync::Arc;

#[test]
fn while_a_close_takes_long_nothing_is_delivered_and_each_request_is_completed_once() {
    let (mut client, server) = connected(1.0);
    server.answer_by_hand();
    server.close_slowly();
    let subscription = client.subscribe();
    let pending = client.context.pending_io();
    let (awaited, called) = (client.read_awaited(&pending), client.read());
    // An update that waits to be delivered, and one that comes later.
    server.update(&subscription, &Pv::double(2.0));
    client.channel.clear();
    client.heard.clear();
    assert!(
        pending.is_done(),
        "nobody waits for a channel that is closed"
    );
    assert_eq!(awaited.answer().unwrap().status, Status::CHANDESTROY);

    server.update(&subscription, &Pv::double(3.0));
    server.answer(0);
    client.channel.access_changed(false, false);
    client.channel.disconnected();
    assert_eq!(client.deliver(), []);
    assert_eq!(awaited.answer().unwrap().status, Status::CHANDESTROY);
    assert_eq!(
        client.channel.all_subscriptions().len(),
        1,
        "the backend has it"
    );
    assert!(
        client
            .context
            .channels()
            .iter()
            .any(|c| Arc::ptr_eq(c, &client.channel))
    );

    server.release();
    assert_eq!(client.deliver(), []);
    let events: Vec<_> = std::iter::from_fn(|| client.context.queue.pop()).collect();
    assert!(events.is_empty());
    drop((subscription, awaited, called));
    assert!(is_released(&client.channel));
}

#[test]
fn a_closed_channel_that_was_dropped_is_freed_when_the_backend_has_let_go_of_it() {
    let (client, server) = connected(1.0);
    server.close_slowly();
    let subscription = Arc::downgrade(&client.subscribe());
    let other = Channel::create(&client.context, "pv", 0, Arc::new(()), None, |_| ()).unwrap();
    let weak = Arc::downgrade(&other);
    other.clear();
    drop(other);
    assert!(weak.strong_count() > 0, "the backend may still call it");
    client.channel.clear();
    server.release();
    while client.context.queue.pop().is_some() {}
    assert_eq!(weak.strong_count(), 0);
    assert_eq!(subscription.strong_count(), 0);
}

#[test]
fn what_cannot_be_sent_as_its_channel_was_cleared_is_no_failure_of_a_wait() {
    let (client, server) = connected(1.0);
    server.answer_by_hand();
    let pending = client.context.pending_io();
    let request = client.read_awaited(&pending);
    // A thread that is about to send the request has entered the channel; when it asks for the guard, the channel is closed.
    let sender = client.channel.enter();
    client.channel.dispose();
    let error = client.channel.guard().err().unwrap();
    assert_eq!(error.status, Status::BADCHID);
    let command = Command::Read(&request, When::Now);
    client.channel.command_failed(command, &error);
    assert_eq!(request.answer().unwrap().status, Status::CHANDESTROY);
    assert!(pending.is_done() && pending.take_failure().is_none());
    drop(sender);
}

#[test]
fn a_thread_that_cannot_wait_leaves_the_close_to_the_backend() {
    let (client, server) = connected(1.0);
    client.channel.dispose();
    assert!(client.channel.is_closed());
    assert!(!client.channel.clear(), "it is closed once");
    while client.context.queue.pop().is_some() {}
    server.release();
    assert!(is_released(&client.channel));
}

#[test]
fn whoever_is_inside_a_channel_that_is_cleared_closes_it() {
    let (client, _server) = connected(1.0);
    let inside = client.channel.guard().unwrap();
    client.channel.clear();
    assert_eq!(client.context.channels().len(), 1);
    drop(inside);
    assert_eq!(client.context.channels().len(), 0);
}

#[test]
fn the_end_of_a_context_completes_what_is_outstanding_once() {
    let (client, server) = connected(1.0);
    server.answer_by_hand();
    let pending = client.context.pending_io();
    let requests: Vec<_> = (0..3).map(|_| client.read_awaited(&pending)).collect();
    let subscription = client.subscribe();
    assert!(client.context.destroy(AT_ONCE, &mut || false));
    assert!(pending.is_done());
    for request in &requests {
        assert_eq!(request.answer().unwrap().status, Status::CHANDESTROY);
    }
    assert_eq!(server.unanswered(), 0);
    assert!(client.channel.is_closed());
    assert!(client.channel.get(requests[0].spec(), None, None).is_err());
    assert!(subscription.clear().is_err());
    assert!(client.context.queue.pop().is_none());
}

#[test]
fn the_end_of_a_context_waits_for_who_is_inside() {
    let (client, server) = connected(1.0);
    let inside = client.context.enter().unwrap();
    server.answer_by_hand();
    let pending = client.context.pending_io();
    client.read_awaited(&pending);
    let end = client.context.begin_end(AT_ONCE).unwrap();
    assert!(client.context.begin_end(AT_ONCE).is_none(), "it ends once");
    assert!(!client.context.is_alive());
    assert!(pending.is_done(), "who is inside may wait for an answer");
    drop(inside);
    assert!(end.wait(&mut || false));
}
