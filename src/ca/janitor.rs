//! Clears channels that nobody refers to any more, on a thread of its own: letting go of the last reference must not wait
//! for a server, as ca_clear_channel may.

use super::channel::Channel;
use super::context::Context;
use super::lock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct Janitor {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Working(Sender<Arc<Channel>>),
    Retired,
}

impl Janitor {
    /// Has the channel cleared soon.
    pub fn dispose(&self, context: &Arc<Context>, channel: Arc<Channel>) {
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
        // Without a janitor the channel goes with its context.
        if let State::Working(sender) = &*state {
            drop(sender.send(channel));
        }
    }

    /// No more work comes; the thread ends when it has done what it has.
    pub fn retire(&self) {
        *lock(&self.state) = State::Retired;
    }
}

fn work(context: &Arc<Context>, receiver: &Receiver<Arc<Channel>>) {
    while let Ok(first) = receiver.recv() {
        first.clear();
        for more in receiver.try_iter() {
            more.clear();
        }
        // What cannot be flushed now goes out with whatever is flushed next, or with the circuit.
        drop(context.flush());
    }
}
