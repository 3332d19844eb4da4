//! Live events for dashboards, scripts and the command line: what changes, as it changes, and the traffic once a second.
//!
//! One task ([`follow`]) sees the changes and publishes each as an event, which is encoded once for all
//! clients. The last ones are kept in a `ring`, so that a client that lost its connection gets what it missed. Every client
//! has a bounded `queue`; one that does not keep up loses its stream, and no client can hold up another, or a change.
//!
//! Ids are sequence numbers. They begin at the milliseconds since 1970 of the process's start, so that ids of another process
//! are told apart from those of this one without a second number: a client that asks for them gets a `reset`.

mod event;
mod feed;
mod filter;
pub mod payload;
mod queue;
mod ring;
mod rollouts;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use hyper::body::Bytes;
use serde::Serialize;
use tokio::time::Instant;

pub use self::{
    feed::follow,
    filter::{Filter, Kind},
    queue::Slow,
    stream::EventStream,
};

use self::{
    event::{Event, Scope},
    payload::Bye,
    queue::Queue,
    ring::Ring,
};
use crate::{
    telemetry::ControlStats,
    types::{Name, clock},
};

/// Streams at a time. Dashboards and watchers need a few; each takes a connection of the admin API, which has 256.
pub const MAX_STREAMS: usize = 64;

/// Where events are published and streams are opened. Shared.
pub struct Events {
    hub: Mutex<Hub>,
    stats: Arc<ControlStats>,
}

struct Hub {
    ring: Ring,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    closed: bool,
}

struct Client {
    filter: Filter,
    queue: Arc<Queue>,
}

/// How a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The client has seen nothing yet.
    Fresh,
    /// What the client missed is in the stream.
    Replayed,
    /// The client has seen something, and what came after it is not known any more.
    Reset,
}

/// Why there is no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There are as many as there may be.
    #[error("{MAX_STREAMS} event streams are open, which is as many as there may be")]
    Full,
    /// Weir is stopping.
    #[error("Weir is stopping")]
    Stopping,
}

// === impl Events ===

impl Events {
    /// No events yet; counts in `stats`.
    #[must_use]
    pub fn new(stats: Arc<ControlStats>) -> Self {
        let first = u64::try_from(clock::unix_now().as_millis()).unwrap_or(u64::MAX / 2);
        let hub = Hub { ring: Ring::new(first), clients: BTreeMap::new(), next_client: 0, closed: false };
        Self { hub: Mutex::new(hub), stats }
    }

    /// A stream of what `filter` lets through, after the event `last` if the client has seen one.
    ///
    /// # Errors
    /// When there are too many, or Weir is stopping.
    pub fn open(
        self: &Arc<Self>,
        filter: Filter,
        last: Option<u64>,
    ) -> Result<(EventStream, Start), OpenError> {
        let mut hub = self.hub();
        if hub.closed {
            return Err(OpenError::Stopping);
        }
        if hub.clients.len() >= MAX_STREAMS {
            self.stats.streams.refused.fetch_add(1, Relaxed);
            return Err(OpenError::Full);
        }
        let at = hub.ring.last();
        let (start, first) = hub.ring.begin(&filter, last);
        let id = hub.next_client;
        hub.next_client += 1;
        let queue = Arc::<Queue>::default();
        hub.clients.insert(id, Client { filter, queue: Arc::clone(&queue) });
        self.stats.streams.opened.fetch_add(1, Relaxed);
        self.count(&hub);
        drop(hub);
        Ok((EventStream::new(Arc::clone(self), (id, queue), at, first), start))
    }

    /// Ends every stream, and opens no more.
    pub fn close(&self) {
        let mut hub = self.hub();
        hub.closed = true;
        let bye = Bye { reason: "stopping".to_owned() };
        let bye = event::encode_with(hub.ring.last(), "bye", &bye, "retry: 1000\n");
        for client in std::mem::take(&mut hub.clients).into_values() {
            client.queue.finish(Some(bye.clone()));
        }
        self.count(&hub);
    }

    /// Whether somebody wants events of this kind.
    pub(super) fn wanted(&self, kind: Kind) -> bool {
        self.hub().clients.values().any(|client| client.filter.has(kind))
    }

    /// Tells everybody who wants to know, and keeps it for those who come back.
    fn publish(&self, kind: Kind, scope: Scope, data: &impl Serialize, now: Instant) {
        let mut hub = self.hub();
        let event = Arc::new(Event::new(hub.ring.next(), kind, scope, data));
        hub.ring.keep(Arc::clone(&event));
        self.deliver(&mut hub, now, |filter| filter.wants(kind, &event.scope).then(|| event.text.clone()));
    }

    /// Tells everybody how the traffic is; `data` gives it of one route, or of all. It is not kept: who comes back gets new
    /// numbers within a second.
    fn publish_stats<T: Serialize>(&self, data: impl Fn(Option<&Name>) -> T, now: Instant) {
        let mut hub = self.hub();
        let id = hub.ring.next();
        let mut texts: BTreeMap<Option<Name>, Bytes> = BTreeMap::new();
        self.deliver(&mut hub, now, |filter| {
            let route = filter.route();
            let text = |data: &T| event::encode(id, Kind::Stats.as_str(), data);
            filter
                .has(Kind::Stats)
                .then(|| texts.entry(route.cloned()).or_insert_with(|| text(&data(route))).clone())
        });
    }

    /// Tells everybody who wants to know now. It is not kept: who comes back gets newer ones soon.
    fn publish_fleeting(&self, kind: Kind, scope: &Scope, data: &impl Serialize, now: Instant) {
        let mut hub = self.hub();
        let text = event::encode(hub.ring.next(), kind.as_str(), data);
        self.deliver(&mut hub, now, |filter| filter.wants(kind, scope).then(|| text.clone()));
    }

    /// Gives each client the text that is for it; who does not keep up is dropped.
    fn deliver(&self, hub: &mut Hub, now: Instant, mut text: impl FnMut(&Filter) -> Option<Bytes>) {
        hub.clients.retain(|_, client| match text(&client.filter) {
            Some(text) => client.queue.push(text, now).is_ok() || self.drop_slow(client),
            None => true,
        });
        self.count(hub);
    }

    /// Drops clients that have not taken anything for too long. Called once a second.
    fn review(&self, now: Instant) {
        let mut hub = self.hub();
        hub.clients.retain(|_, client| !client.queue.is_stuck(now) || self.drop_slow(client));
        self.count(&hub);
    }

    /// After events were lost: whoever is connected has to come back, and begins anew.
    fn interrupt(&self) {
        let mut hub = self.hub();
        hub.ring.forget();
        for client in std::mem::take(&mut hub.clients).into_values() {
            client.queue.finish(None);
        }
        self.count(&hub);
    }

    /// Always false, for `retain`.
    fn drop_slow(&self, client: &Client) -> bool {
        self.stats.streams.dropped.fetch_add(1, Relaxed);
        client.queue.abandon();
        false
    }

    /// A stream has ended.
    fn leave(&self, client: u64) {
        let mut hub = self.hub();
        hub.clients.remove(&client);
        self.count(&hub);
    }

    fn count(&self, hub: &Hub) {
        self.stats.streams.open.store(u64::try_from(hub.clients.len()).unwrap_or(u64::MAX), Relaxed);
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
