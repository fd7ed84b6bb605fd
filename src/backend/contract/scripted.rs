//! The contract, held by the scripted backend.

use super::{Rig, contract};
use crate::backend::scripted::Scripted;
use crate::backend::scripted::server::Server;
use crate::backend::scripted::value::Pv;
use crate::client::context::Context;
use std::sync::{Arc, Mutex};

/// One server, for one context.
struct ScriptedRig {
    context: Mutex<Option<Arc<Context>>>,
    server: Arc<Server>,
}

impl ScriptedRig {
    fn new() -> Option<ScriptedRig> {
        let (context, server) = Scripted::context();
        Some(ScriptedRig {
            context: Mutex::new(Some(context)),
            server,
        })
    }
}

impl Rig for ScriptedRig {
    fn context(&self) -> Arc<Context> {
        let context = self.context.lock().unwrap().take();
        context.expect("a test has one context")
    }

    fn name(&self) -> &str {
        "pv"
    }

    fn serve(&self, pv: Pv) {
        self.server.serve(self.name(), pv);
    }

    fn stop(&self) {
        self.server.stop();
    }

    fn hang(&self) {
        self.server.hang();
    }

    fn go_on(&self) {
        self.server.go_on();
    }
}

contract!([cfg(test)] ScriptedRig::new());
