//! Clears channels that nobody refers to any more, on a thread of its own: letting go of the last reference must not wait
//! for a server, as ca_clear_channel may.

use super::channel::Channel;
use super::context::Context;
use super::lock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct Janitor {
    sender: Mutex<Option<Sender<Arc<Channel>>>>,
}

impl Janitor {
    /// Has the channel cleared soon.
    pub fn dispose(&self, context: &Arc<Context>, channel: Arc<Channel>) {
        let mut sender = lock(&self.sender);
        let Some(sender) = sender.as_ref() else {
            let (new, receiver) = self::channel();
            let started = std::thread::Builder::new()
                .name("cachannel janitor".into())
                .spawn({
                    let context = context.clone();
                    move || work(&context, &receiver)
                });
            if started.is_ok() && new.send(channel).is_ok() {
                *sender = Some(new);
            }
            return;
        };
        // A janitor that is gone has gone with its context, and the channel with that.
        drop(sender.send(channel));
    }

    /// No more work comes; the thread ends when it has done what it has.
    pub fn retire(&self) {
        lock(&self.sender).take();
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
