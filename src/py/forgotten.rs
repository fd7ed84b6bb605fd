//! Channels that nothing in the program refers to except their own callbacks.

use super::chid::Chid;
use crate::callback::chid_of;
use crate::calls::{call_method, import};
use crate::client::channel::Channel;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use std::sync::Arc;

/// Texts for each kind of callback: for one, and for several.
const KINDS: [(&str, &str); 4] = [
    ("a connection callback", ""),
    ("an access rights callback", ""),
    ("a subscription", "subscriptions"),
    ("a request with a callback", "requests with a callback"),
];

/// What a channel's callbacks are, in words, and the channel's object, which they no longer keep alive; `None` if none did.
fn freed<'py>(
    py: Python<'py>,
    channel: &Channel,
) -> PyResult<Option<(String, Bound<'py, PyWeakrefReference>)>> {
    let Some(object) = chid_of(py, channel) else {
        return Ok(None);
    };
    let all = object.cast::<Chid>()?.get().all_callbacks();
    let mut shown = Vec::new();
    for (callbacks, (one, more)) in all.iter().zip(KINDS) {
        match callbacks.iter().filter(|one| one.unhold(py)).count() {
            0 => {}
            1 => shown.push(one.to_owned()),
            count => shown.push(format!("{count} {more}")),
        }
    }
    if shown.is_empty() {
        return Ok(None);
    }
    let text = format!("{} ({})", channel.name(), shown.join(", "));
    Ok(Some((text, PyWeakrefReference::new(&object)?)))
}

/// The names of the channels that only their callbacks have kept alive, and what these callbacks are. Call this at the end,
/// when callbacks are no longer called: afterwards they keep no channel alive.
pub fn forgotten(py: Python<'_>, channels: &[Arc<Channel>]) -> PyResult<Vec<String>> {
    let mut suspects = Vec::new();
    for channel in channels {
        suspects.extend(freed(py, channel)?);
    }
    if !suspects.is_empty() {
        // A callback may refer to its channel, too.
        call_method(&import(py, "gc")?, "collect", ())?;
    }
    let gone = |(text, object): (String, Bound<'_, PyWeakrefReference>)| {
        object.upgrade().is_none().then_some(text)
    };
    let mut names: Vec<String> = suspects.into_iter().filter_map(gone).collect();
    names.sort_unstable();
    Ok(names)
}
