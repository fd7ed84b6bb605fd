//! Does on a thread of its own what libca may block: letting go of the last reference to a channel must not wait for a
//! server, nor must what is cleared while a server takes nothing more.

use super::channel::Channel;
use super::context::Context;
use super::lock;
use super::subscription::Subscription;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

pub(super) enum Job {
    /// Nobody refers to it any more.
    Clear(Arc<Channel>),
    /// It is closed; libca's side of it remains.
    Free(Arc<Channel>),
    Cancel(Arc<Subscription>),
}

#[derive(Default)]
pub struct Janitor {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Working(Sender<Job>),
    Retired,
}

impl Janitor {
    /// Has it done soon.
    pub(super) fn order(&self, context: &Arc<Context>, job: Job) {
        let mut state = lock(&self.state);
        if let State::Idle = *state {
            let (sender, receiver) = self::channel();
            let started = std::thread::Builder::new()
                .name("cachannel janitor".into())
                .spawn({
                    let context = context.clone();
                    move || work(&context, &receiver)
                });
            if started.is_ok() {
                *state = State::Working(sender);
            }
        }
        // What is left undone goes with the context.
        if let State::Working(sender) = &*state {
            drop(sender.send(job));
        }
    }

    /// No more work comes; the thread ends when it has done what it has.
    pub fn retire(&self) {
        *lock(&self.state) = State::Retired;
    }
}

fn work(context: &Arc<Context>, receiver: &Receiver<Job>) {
    while let Ok(first) = receiver.recv() {
        first.run();
        receiver.try_iter().for_each(Job::run);
        // What cannot be flushed now goes out with whatever is flushed next, or with the circuit.
        drop(context.flush());
    }
}

impl Job {
    fn run(self) {
        match self {
            Job::Clear(channel) => drop(channel.clear_now()),
            Job::Free(channel) => channel.free_now(),
            Job::Cancel(subscription) => drop(subscription.cancel()),
        }
    }
}
