//! Orders and delays that only the scripted backend can be made to show.

use super::{AT_ONCE, Client, Heard, number, until};
use crate::backend::Command;
use crate::backend::scripted::Scripted;
use crate::backend::scripted::server::Server;
use crate::backend::scripted::value::Pv;
use crate::client::channel::Channel;
use crate::client::event::{Event, UserData};
use crate::client::group::channels::GroupChannels;
use crate::client::group::request::{Job, ReadAs};
use crate::protocol::dbr::{Base, DbrType};
use crate::protocol::error::Error;
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use std::sync::{Arc, Barrier};
use std::time::Duration;

/// A client that is connected to "pv" with this value.
pub fn connected(value: f64) -> (Client, Arc<Server>) {
    let (context, server) = Scripted::context();
    server.serve("pv", Pv::double(value));
    let mut client = Client::of(context, "pv");
    client.hear(|heard| *heard == Heard::Connection(true));
    client.heard.clear();
    (client, server)
}

/// The channel's subscriptions are closed, its requests completed, and nobody but the test keeps it.
pub fn is_released(channel: &Arc<Channel>) -> bool {
    channel.all_subscriptions().is_empty() && Arc::strong_count(channel) == 1
}

#[test]
fn a_connection_that_is_told_twice_keeps_all_it_has() {
    let (mut client, server) = connected(1.0);
    server.answer_by_hand();
    let subscription = client.subscribe();
    let request = client.read();
    server.connect(&client.channel, &Pv::double(1.0));
    server.connect(&client.channel, &Pv::double(1.0));
    assert_eq!(client.channel.access(), (true, true));
    assert_eq!(client.replies(&request), []);
    server.answer(0);
    assert_eq!(client.replies(&request), [Status::NORMAL]);
    let is_rights = |heard: &&Heard| matches!(heard, Heard::Rights(..));
    assert_eq!(client.heard.iter().filter(is_rights).count(), 0);
    server.update(&subscription, &Pv::double(2.0));
    assert_eq!(client.updates().last(), Some(&2.0));
}

#[test]
fn a_search_that_somebody_waits_for_is_over_once_though_the_connection_is_told_twice() {
    let (context, server) = Scripted::context();
    let channel = Channel::create(&context, "pv", 0, Arc::new(()), None, |_| ()).unwrap();
    let group = context.pending_io();
    channel.await_connection(&group);
    assert!(!context.thread_pending().is_done());
    server.connect(&channel, &Pv::double(1.0));
    server.connect(&channel, &Pv::double(1.0));
    assert!(context.thread_pending().is_done() && group.is_done());
    context.destroy(AT_ONCE, &mut || false);
}

#[test]
fn answers_in_any_order_each_complete_their_request() {
    let (mut client, server) = connected(1.0);
    server.answer_by_hand();
    let requests: Vec<_> = (0..6)
        .map(|number| match number % 2 {
            0 => client.read(),
            _ => client.write_notify(number.into()),
        })
        .collect();
    let mut open: Vec<usize> = (0..6).collect();
    for place in [4, 0, 2, 2, 0, 0] {
        server.answer(place);
        let answered = open.remove(place);
        for (number, request) in requests.iter().enumerate() {
            let expected: &[Status] = if open.contains(&number) {
                &[]
            } else {
                &[Status::NORMAL]
            };
            assert_eq!(
                client.replies(request),
                expected,
                "{number} after {answered}"
            );
        }
    }
}

#[test]
fn who_waits_gets_the_value_that_was_read_for_that_request() {
    let (client, server) = connected(1.0);
    server.answer_by_hand();
    let pending = [client.context.pending_io(), client.context.pending_io()];
    let first = client.read_awaited(&pending[0]);
    let second = client.read_awaited(&pending[1]);
    server.answer(1);
    assert!(pending[1].is_done() && !pending[0].is_done());
    client.write(2.0);
    server.answer(0);
    assert_eq!(number(&second.answer().unwrap()), 1.0);
    assert_eq!(number(&first.answer().unwrap()), 2.0);
}

#[test]
fn answers_to_a_group_may_come_in_any_order() {
    let (context, server) = Scripted::context();
    let names = ["a", "b", "c"];
    for (number, name) in names.into_iter().enumerate() {
        server.serve(name, Pv::double(number as f64));
    }
    server.answer_by_hand();
    let channel = |name| Channel::create(&context, name, 0, Arc::new(()), None, |_| ()).unwrap();
    let group = GroupChannels::new(&context, names.map(channel).into()).unwrap();
    let request = group.new_request(Job::Read(ReadAs::Value));
    assert!(request.start().indices.is_empty());
    for place in [1, 1] {
        server.answer(place);
        assert!(!request.pending_io().is_done());
    }
    assert_eq!(
        request.statuses(),
        [Status::TIMEOUT, Status::NORMAL, Status::NORMAL].map(|status| status.0)
    );
    server.answer(0);
    assert!(request.pending_io().is_done());
    let values: Vec<f64> = request.readings().map(|(_, r)| r.unwrap().value).collect();
    assert_eq!(values, [0.0, 1.0, 2.0]);
    context.destroy(AT_ONCE, &mut || false);
}

#[test]
fn the_newest_value_is_delivered_though_two_threads_bring_updates() {
    let (mut client, server) = connected(0.0);
    for round in 0..200 {
        let subscription = client.subscribe();
        client.heard.clear();
        let newest = 1_000.0 + f64::from(round);
        // A server that the PV has left, and the one that it has moved to.
        std::thread::scope(|scope| {
            let old = scope.spawn(|| {
                for value in 0..20 {
                    server.update(&subscription, &Pv::double(value.into()));
                }
            });
            scope.spawn(|| {
                for value in 0..20 {
                    server.update(&subscription, &Pv::double(value.into()));
                }
                old.join().unwrap();
                server.update(&subscription, &Pv::double(newest));
            });
            client.deliver();
        });
        assert_eq!(client.updates().last(), Some(&newest));
        subscription.clear().unwrap();
    }
}

#[test]
fn what_was_refused_is_never_completed() {
    let (mut client, server) = connected(1.0);
    let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
    let data = 2f64.to_ne_bytes();
    let pending = client.context.pending_io();
    let refused = |result: Option<Error>| assert_eq!(result.unwrap().status, Status::ALLOCMEM);
    server.refuse(Some(Status::ALLOCMEM));
    let handler = || Some(Arc::new(()) as crate::client::event::UserData);
    refused(client.channel.get(spec, handler(), None).err());
    refused(client.channel.get(spec, None, Some(pending.begin())).err());
    refused(client.channel.put(DbrType::DOUBLE, 1, &data).err());
    let notified = client
        .channel
        .put_notify(DbrType::DOUBLE, 1, &data, handler(), None);
    refused(notified.err());
    assert!(pending.is_done(), "nobody waits for what was not sent");
    server.refuse(None);
    assert_eq!(client.value(), 1.0);
    client.channel.clear();
    assert_eq!(client.deliver(), []);
    assert!(client.context.queue.pop().is_none());
}

#[test]
fn a_command_that_fails_after_it_was_accepted_is_completed_with_that() {
    let (mut client, server) = connected(1.0);
    server.answer_by_hand();
    let (read, notified) = (client.read(), client.write_notify(2.0));
    server.fail(1, Status::ALLOCMEM);
    server.fail(0, Status::DISCONN);
    assert_eq!(client.replies(&read), [Status::DISCONN]);
    assert_eq!(client.replies(&notified), [Status::ALLOCMEM]);
    // Nobody waits for a write or a subscription: the exception handler is called.
    let error = Error::new(Status::ALLOCMEM, "pv");
    let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
    let write = Command::Write(spec, &[0; 8], None);
    client.channel.command_failed(write, &error);
    client.hear(|heard| *heard == Heard::Exception(Status::ALLOCMEM));
    client.heard.clear();
    let subscription = client.subscribe();
    let command = Command::Subscribe(&subscription);
    client.channel.command_failed(command, &error);
    let queue = &client.context.queue;
    let ended = std::iter::from_fn(|| queue.pop()).find_map(|delivery| match &delivery.event {
        Event::Exception(exception) => Some(exception.ended.clone()),
        _ => None,
    });
    // The layer above drops the callback.
    assert!(Arc::ptr_eq(&ended.unwrap().unwrap(), &subscription));
    assert!(subscription.is_closed());
    assert!(client.channel.all_subscriptions().is_empty());
}

#[test]
fn changes_of_rights_are_told_in_order_and_decide_what_may_be_asked() {
    let (mut client, _server) = connected(1.0);
    client.channel.access_changed(true, false);
    assert!(client.channel.put(DbrType::DOUBLE, 1, &[0; 8]).is_err());
    client.channel.access_changed(false, false);
    let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
    assert!(client.channel.get(spec, None, None).is_err());
    client.channel.access_changed(true, true);
    client.write(2.0);
    assert_eq!(
        client.deliver(),
        [(true, false), (false, false), (true, true)].map(|(r, w)| Heard::Rights(r, w))
    );
}

#[test]
fn a_pv_that_comes_back_as_an_array_is_subscribed_to_as_one() {
    let (mut client, server) = connected(1.0);
    let subscription = client.subscribe();
    server.stop();
    let many = Pv {
        native: Base::Short,
        values: vec![3.0, 4.0],
    };
    server.serve("pv", many);
    client.hear(|heard| *heard == Heard::Update(Base::Short, 3.0));
    assert_eq!(subscription.dbr_type(), DbrType::plain(Base::Short));
    assert_eq!(client.channel.element_count(), 2);
}

#[test]
fn a_group_request_leaves_what_a_server_with_a_backlog_would_be_sent() {
    let (client, server) = connected(1.0);
    let channel = Channel::create(&client.context, "pv", 0, Arc::new(()), None, |_| ()).unwrap();
    let group = GroupChannels::new(&client.context, vec![channel]).unwrap();
    server.hang();
    let data = vec![0; crate::backend::BACKLOG_LIMIT + 8];
    client.channel.put(DbrType::DOUBLE, 1, &data).unwrap();
    let request = group.new_request(Job::Read(ReadAs::Value));
    let backlog = request.start();
    assert_eq!(backlog.indices, [0]);
    let wait_for = backlog.wait_for.clone().unwrap();
    assert!(!wait_for.is_done());
    server.go_on();
    assert!(wait_for.is_done());
    assert!(request.resume(backlog).indices.is_empty());
    until("the group is read", || request.pending_io().is_done());
    assert_eq!(request.statuses(), [Status::NORMAL.0]);
}

#[test]
fn a_write_that_was_given_up_is_withdrawn() {
    let (client, server) = connected(1.0);
    server.hang();
    let pending = client.context.pending_io();
    let data = 2f64.to_ne_bytes();
    let (kind, channel) = (DbrType::DOUBLE, &client.channel);
    channel.put_for(Some(&pending), kind, 1, &data).unwrap();
    assert!(!pending.is_done());
    client.context.withdraw(std::slice::from_ref(&pending));
    assert!(pending.is_done());
    assert_eq!(pending.failure_status(), Some(Status::TIMEOUT));
    server.go_on();
    assert_eq!(client.value(), 1.0);
    let ended = client
        .context
        .destroy(Duration::from_secs(5), &mut || false);
    assert!(ended);
}

#[test]
fn rights_at_the_connection_are_told_once_to_a_handler_that_is_set_meanwhile() {
    let (client, server) = connected(1.0);
    let (channel, pv) = (&client.channel, Pv::double(1.0));
    let both = Barrier::new(2);
    let (mut once, mut twice) = (0, 0);
    let rounds = 0..20_000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in rounds.clone() {
                both.wait();
                server.connect(channel, &pv);
                both.wait();
            }
        });
        for _ in rounds.clone() {
            channel.set_access_handler(None).unwrap();
            both.wait();
            let handler: UserData = Arc::new(());
            let (_, rights) = channel.set_access_handler(Some(handler.clone())).unwrap();
            both.wait();
            channel.rights_told(&handler);
            once += usize::from(rights == Some((true, true)));
            let queued = std::iter::from_fn(|| client.context.queue.pop());
            twice += queued
                .filter(|d| matches!(d.event, Event::AccessRights { .. }))
                .count();
        }
    });
    assert_eq!((once, twice), (rounds.len(), 0));
}
