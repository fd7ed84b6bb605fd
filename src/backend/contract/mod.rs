//! Holds every backend to the contract that [`backend`](super) states.
//!
//! * [`points`] tests of each point of the contract, for any backend: a [`Rig`] is what such a test has of a backend;
//!   [`completion`] those of point 4
//! * [`scripted`] runs these tests on the scripted backend
//! * [`libca`] runs these tests on libca with an IOC, where both are to be had
//! * [`orders`], [`closes`] what only the scripted backend can be made to do: orders and delays that libca never shows on request

mod closes;
mod completion;
#[cfg(unix)]
mod libca;
mod orders;
mod points;
mod scripted;

use super::scripted::value::Pv;
use crate::client::channel::Channel;
use crate::client::context::Context;
use crate::client::event::{Event, UserData};
use crate::client::pending_io::PendingIo;
use crate::client::request::Request;
use crate::client::subscription::{Subscription, SubscriptionSpec, WantedCount, WantedType};
use crate::protocol::constants::{DBE_ALARM, DBE_VALUE};
use crate::protocol::dbr::{Base, DbrClass, DbrType};
use crate::protocol::status::Status;
use crate::protocol::validate::RequestSpec;
use crate::protocol::value::Answer;
use crate::protocol::view::Number;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a test waits for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// What does not block is over within this time, however busy the machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A backend, and a server with one PV.
trait Rig {
    /// A new context of the backend.
    fn context(&self) -> Arc<Context>;

    /// The PV's name.
    fn name(&self) -> &str;

    /// Starts the server, with a PV like this.
    fn serve(&self, pv: Pv);

    /// The server is gone without a word.
    fn stop(&self);

    /// The server stops reading; its connections stay.
    fn hang(&self);

    /// The server reads on.
    fn go_on(&self);
}

/// An event that the layer above would have delivered.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Connection(bool),
    Rights(bool, bool),
    Update(Base, f64),
    /// The request's address tells it from others.
    Reply(usize, Status),
    Exception(Status),
}

/// A client with one channel.
struct Client {
    context: Arc<Context>,
    channel: Arc<Channel>,
    heard: Vec<Heard>,
}

impl Client {
    /// With handlers for its connection and its rights.
    fn new(rig: &impl Rig) -> Client {
        Client::of(rig.context(), rig.name())
    }

    fn of(context: Arc<Context>, name: &str) -> Client {
        let (user, handler): (UserData, UserData) = (Arc::new(()), Arc::new(()));
        let rights = handler.clone();
        let announce = |channel: &Arc<Channel>| {
            channel.set_access_handler(Some(rights)).unwrap();
        };
        let made = Channel::create(&context, name, 0, user, Some(handler), announce);
        Client {
            channel: made.unwrap(),
            context,
            heard: Vec::new(),
        }
    }

    fn connected(rig: &impl Rig, pv: Pv) -> Client {
        rig.serve(pv);
        let mut client = Client::new(rig);
        client.hear(|heard| *heard == Heard::Connection(true));
        until("the rights are known", || client.channel.access().1);
        client
    }

    /// Delivers what is queued.
    fn deliver(&mut self) -> &[Heard] {
        while let Some(delivery) = self.context.queue.pop() {
            self.heard.extend(heard(&delivery.event));
        }
        &self.heard
    }

    /// Delivers until an event is among those that were delivered.
    fn hear(&mut self, is_it: impl Fn(&Heard) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.deliver().iter().any(&is_it) {
            assert!(Instant::now() < deadline, "heard only {:?}", self.heard);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn updates(&mut self) -> Vec<f64> {
        let updates = self.deliver().iter().filter_map(|heard| match heard {
            Heard::Update(_, value) => Some(*value),
            _ => None,
        });
        updates.collect()
    }

    /// What a request has come to, each time that this was told.
    fn replies(&mut self, request: &Arc<Request>) -> Vec<Status> {
        let address = Arc::as_ptr(request) as usize;
        let replies = self.deliver().iter().filter_map(|heard| match heard {
            Heard::Reply(of, status) if *of == address => Some(*status),
            _ => None,
        });
        replies.collect()
    }

    fn subscribe(&self) -> Arc<Subscription> {
        let spec = SubscriptionSpec {
            dbr_type: WantedType::Native(DbrClass::Plain),
            count: WantedCount::Native,
            mask: DBE_VALUE | DBE_ALARM,
        };
        let subscription = self.channel.subscribe(spec, Arc::new(())).unwrap();
        self.context.flush().unwrap();
        subscription
    }

    /// A read whose answer is an event.
    fn read(&self) -> Arc<Request> {
        let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
        let request = self.channel.get(spec, Some(Arc::new(())), None).unwrap();
        self.context.flush().unwrap();
        request
    }

    /// A read that somebody waits for.
    fn read_awaited(&self, pending: &Arc<PendingIo>) -> Arc<Request> {
        let spec = RequestSpec::exactly(DbrType::DOUBLE, 1);
        let request = self.channel.get(spec, None, Some(pending.begin())).unwrap();
        self.context.flush().unwrap();
        request
    }

    fn write(&self, value: f64) {
        let data = value.to_ne_bytes();
        self.channel.put(DbrType::DOUBLE, 1, &data).unwrap();
        self.context.flush().unwrap();
    }

    fn write_notify(&self, value: f64) -> Arc<Request> {
        let (data, handler) = (value.to_ne_bytes(), Some(Arc::new(()) as UserData));
        let request = self
            .channel
            .put_notify(DbrType::DOUBLE, 1, &data, handler, None);
        self.context.flush().unwrap();
        request.unwrap()
    }

    /// The PV's value, as the server has it when all that was sent before has been done.
    fn value(&self) -> f64 {
        let pending = self.context.pending_io();
        let request = self.read_awaited(&pending);
        until("a read is answered", || pending.is_done());
        number(&request.answer().unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.context.destroy(Duration::from_secs(2), &mut || false);
    }
}

/// What the layer above makes of an event: it delivers nothing of what is closed.
fn heard(event: &Event) -> Option<Heard> {
    let is_open = |channel: &Arc<Channel>| !channel.is_closed();
    match event {
        Event::Connection { channel, up } => is_open(channel).then_some(Heard::Connection(*up)),
        Event::AccessRights {
            channel,
            read,
            write,
            ..
        } => is_open(channel).then_some(Heard::Rights(*read, *write)),
        Event::Update {
            subscription,
            answer,
        } => {
            let base = answer.dbr.as_ref()?.dbr_type.base();
            let update = Heard::Update(base, number(answer));
            (!subscription.is_closed()).then_some(update)
        }
        Event::Reply { request, answer } => {
            let address = Arc::as_ptr(request) as usize;
            is_open(&request.channel).then_some(Heard::Reply(address, answer.status))
        }
        Event::Exception(exception) => Some(Heard::Exception(exception.status)),
        Event::Message(_) | Event::Warning(_) | Event::Done(_) => None,
    }
}

/// The first element.
fn number(answer: &Answer) -> f64 {
    match answer.dbr.as_ref().expect("a value").view().number(0) {
        Number::Float(value) => value,
        Number::Int(value) => value as f64,
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Does something that is not to block.
fn at_once<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    assert!(
        began.elapsed() < AT_ONCE,
        "it has blocked for {:?}",
        began.elapsed()
    );
    done
}

/// The tests of each point of the contract, with an attribute, on the rig that `$rig` makes where it can.
macro_rules! contract {
    ($attribute:tt $rig:expr; $($point:ident)*) => {
        $(
            #[test]
            #$attribute
            fn $point() {
                if let Some(rig) = $rig {
                    super::points::$point(&rig);
                }
            }
        )*
    };
    ($attribute:tt $rig:expr) => {
        super::contract! {
            $attribute $rig;
            point_01_nothing_is_delivered_after_a_clear
            point_01_a_disconnect_after_a_close_is_not_told
            point_01_a_close_does_not_wait_for_a_server_that_hangs
            point_02_upcalls_of_a_channel_come_in_order
            point_03_the_newest_value_is_delivered
            point_03_the_newest_value_is_recorded
            point_04_a_request_that_is_refused_is_never_completed
            point_04_requests_of_a_group_are_completed_once
            point_04_each_request_is_completed_once
            point_04_requests_are_completed_by_a_disconnect
            point_04_requests_are_completed_by_a_close
            point_04_requests_are_completed_by_the_end_of_the_context
            point_05_a_subscription_comes_back_with_the_pvs_new_type
            point_06_data_may_change_when_submit_has_returned
            point_07_neither_submit_nor_flush_blocks_on_a_server
            point_08_commands_are_accepted_during_an_upcall
            point_09_a_forked_child_leaves_the_context_alone
            point_10_a_read_that_was_given_up_is_withdrawn
            point_11_a_read_in_an_upcall_is_sent_after_it
        }
    };
}
use contract;
