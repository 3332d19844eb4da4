//! Failures made on purpose: how a system behaves when a backend is slow, or not there, is known best from having seen it.

use std::time::Duration;

use crate::{
    http::Headers,
    routing::NamedMatcher,
    types::{Bucket, Fraction},
};

/// What is done to some of a route's requests.
#[derive(Debug)]
pub struct Fault {
    /// Only requests with all of these.
    pub headers: Box<[NamedMatcher]>,
    /// How many are held up, and for how long.
    pub delay: Option<(Fraction, Duration)>,
    /// How many are answered in place of the backend, and with which status.
    pub abort: Option<(Fraction, u16)>,
}

/// What is done to one request: first it waits, then it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// How long it is held up.
    pub delay: Option<Duration>,
    /// The status that it is answered with.
    pub abort: Option<u16>,
}

// === impl Fault ===

impl Fault {
    /// What is done to a request with these headers. Delay and abort are drawn by themselves; `draw` gives 64 random bits.
    pub fn strike(&self, headers: Headers<'_>, mut draw: impl FnMut() -> u64) -> Injected {
        if !self.headers.iter().all(|matcher| matcher.matches_header(headers)) {
            return Injected::default();
        }
        let mut hits = |share: &Fraction| share.contains(Bucket::from_bits(draw()));
        Injected {
            delay: self.delay.filter(|(share, _)| hits(share)).map(|(_, delay)| delay),
            abort: self.abort.filter(|(share, _)| hits(share)).map(|(_, status)| status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::HeaderList, routing::ValueMatcher};

    #[test]
    fn shares_and_headers_decide() {
        let percent = |percent| Fraction::from_percent(percent).unwrap();
        let second = Duration::from_secs(1);
        let (low, high) = (u64::MAX / 10, u64::MAX / 2);
        for (delay, abort, header, draws, expected) in [
            (Some(20.0), Some(20.0), "on", [low, low], (Some(second), Some(503))),
            (Some(20.0), Some(20.0), "on", [low, high], (Some(second), None)),
            (Some(20.0), Some(20.0), "on", [high, low], (None, Some(503))),
            (Some(20.0), Some(20.0), "off", [low, low], (None, None)),
            (None, Some(20.0), "on", [low, high], (None, Some(503))),
            (Some(0.0), Some(100.0), "on", [0, u64::MAX], (None, Some(503))),
        ] {
            let fault = Fault {
                headers: [NamedMatcher::new("X-Chaos", ValueMatcher::exact("on"))].into(),
                delay: delay.map(|share| (percent(share), second)),
                abort: abort.map(|share| (percent(share), 503)),
            };
            let list = HeaderList::from_pairs([("x-chaos", header)]);
            let mut drawn = draws.into_iter();
            let injected = fault.strike(list.view(), || drawn.next().unwrap());
            assert_eq!((injected.delay, injected.abort), expected, "{delay:?} {abort:?} {header} {draws:?}");
        }
    }
}
