//! The events that are kept for clients that come back.

use std::{collections::VecDeque, sync::Arc};

use hyper::body::Bytes;

use super::{
    Filter, Start,
    event::{self, Event},
    payload::Reset,
};

/// Events that are kept: hours of changes by people, minutes of a script that does nothing else.
pub(super) const MAX_EVENTS: usize = 1_024;
/// Bytes that they may take together.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The last events, and the numbers that were given out. Stats take numbers and are not kept, so numbers have holes.
#[derive(Debug)]
pub(super) struct Ring {
    kept: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Who has seen no more than what is below this has missed something that is not known any more.
    known_since: u64,
    last: u64,
}

// === impl Ring ===

impl Ring {
    /// Nothing yet; the first event will have the number after `last`.
    pub(super) fn new(last: u64) -> Self {
        Self { kept: VecDeque::new(), bytes: 0, known_since: last, last }
    }

    /// The number of the newest event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// A new number.
    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Keeps an event, and forgets the oldest ones if need be.
    pub(super) fn keep(&mut self, event: Arc<Event>) {
        self.bytes += event.text.len();
        self.kept.push_back(event);
        while self.kept.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.text.len();
            self.known_since = oldest.id;
        }
    }

    /// Forgets everything, and that something happened that it does not know.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
        self.bytes = 0;
        self.known_since = self.next();
    }

    /// How a stream begins for a client that has seen the event `last`, and the texts of what it missed.
    pub(super) fn begin(&self, filter: &Filter, last: Option<u64>) -> (Start, Vec<Bytes>) {
        let Some(last) = last else { return (Start::Fresh, Vec::new()) };
        let Some(missed) = self.since(last) else {
            let reason = "what came after the last event id is not known any more".to_owned();
            return (Start::Reset, vec![event::encode(self.last, "reset", &Reset { reason })]);
        };
        let wanted = missed.filter(|event| filter.wants(event.kind, &event.scope));
        (Start::Replayed, wanted.map(|event| event.text.clone()).collect())
    }

    /// What was kept after the event `id`; `None` when something between is not known, or `id` is of another process.
    fn since(&self, id: u64) -> Option<impl Iterator<Item = &Arc<Event>>> {
        (self.known_since..=self.last).contains(&id).then(|| {
            let from = self.kept.partition_point(|event| event.id <= id);
            self.kept.range(from..)
        })
    }
}
