//! Refused callers: why, what they are told, and what is written down of them.
//!
//! Whoever can connect can be refused as often as they like, so nothing here grows with that: of equal refusals one row is
//! written at once, and the rest as one row with a count; while they go on, rows come ever more slowly, down to one batch in a minute.

use std::{collections::BTreeMap, net::IpAddr, sync::Mutex, sync::PoisonError, time::Duration};

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::{sync::Notify, time::sleep};

use crate::{
    admin::api::problem::{Kind, Refused},
    control::{Channel, Control, Origin, applier},
    telemetry::DenialReason,
    types::Name,
};

/// Different refusals that are told apart in one batch; the rest is counted together.
const MAX_KINDS: usize = 32;
/// From one batch to the next, while refusals are rare, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A refused call.
#[derive(Debug)]
pub(in crate::admin) struct Denial {
    /// Why.
    pub(in crate::admin) reason: DenialReason,
    /// Who asked, if that is known.
    pub(in crate::admin) actor: Option<String>,
    refused: Refused,
    /// Seconds to wait, for who has tried too often.
    retry_after: Option<u64>,
}

/// What equal refusals have in common. Nothing of it is text of the caller: a name is that of a token, an operation is a constant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::admin) struct Occasion {
    pub(in crate::admin) peer: IpAddr,
    pub(in crate::admin) actor: Option<String>,
    pub(in crate::admin) reason: &'static str,
    pub(in crate::admin) operation: &'static str,
    pub(in crate::admin) route: Option<Name>,
}

/// Refusals that are not written down yet.
#[derive(Debug, Default)]
pub(super) struct Denials {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    kinds: BTreeMap<Occasion, (u64, String)>,
    /// Those beyond [`MAX_KINDS`].
    others: u64,
}

// === impl Denial ===

impl Denial {
    pub(in crate::admin) fn new(reason: DenialReason, refused: Refused) -> Self {
        Self { reason, actor: None, refused, retry_after: None }
    }

    /// Of somebody who is known.
    pub(in crate::admin) fn of(self, actor: impl Into<String>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// Of somebody who has failed too often: they are told to wait, and not what was wrong.
    pub(in crate::admin) fn too_often(seconds: u64) -> Self {
        let refused = Kind::TooManyRequests
            .because("too many attempts from your address have failed")
            .hint(format!("wait {seconds} s; a good token is taken at once"));
        Self { retry_after: Some(seconds), ..Self::new(DenialReason::RateLimited, refused) }
    }
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let mut response = self.refused.into_response();
        let headers = response.headers_mut();
        // RFC 6750, section 3: without a token no error is named.
        let challenge = match self.reason {
            DenialReason::NoToken => Some("Bearer realm=\"weir\""),
            DenialReason::WrongToken | DenialReason::Expired => {
                Some("Bearer realm=\"weir\", error=\"invalid_token\"")
            }
            _ => None,
        };
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

// === impl Denials ===

impl Denials {
    /// Takes a refusal, to be written down soon.
    pub(super) fn note(&self, occasion: Occasion, request_id: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.kinds.len() >= MAX_KINDS;
        match waiting.kinds.get_mut(&occasion) {
            Some((count, _)) => *count += 1,
            None if full => waiting.others += 1,
            None => drop(waiting.kinds.insert(occasion, (1, request_id.to_owned()))),
        }
        self.more.notify_one();
    }

    /// Writes them down for as long as it is polled.
    pub(super) async fn record(&self, control: &Control) {
        let mut pause = PAUSE;
        loop {
            // Quiet for as long as the last pause was: from here on they are rare again.
            if tokio::time::timeout(pause, self.more.notified()).await.is_err() {
                pause = PAUSE;
                self.more.notified().await;
            }
            self.record_waiting(control).await;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Writes those down that wait; whether there were any.
    pub(super) async fn record_waiting(&self, control: &Control) -> bool {
        let waiting = self.take();
        let any = !waiting.is_empty();
        for denied in waiting {
            control.denied(denied).await;
        }
        any
    }

    fn take(&self) -> Vec<applier::Denial> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { kinds, others: others_count } = std::mem::take(&mut *waiting);
        let rows = kinds.into_iter().map(|(occasion, (count, request_id))| {
            let Occasion { peer, actor, reason, operation, route } = occasion;
            let actor = actor.unwrap_or_else(|| "unknown".to_owned());
            let origin = Origin { request_id: Some(request_id), ..Origin::new(&actor, Channel::Api) };
            row(origin, route, format!("{operation}: {reason}, from {peer}{}", times(count)))
        });
        let others = Origin::new("unknown", Channel::Api);
        let rest =
            (others_count > 0).then(|| row(others, None, format!("other calls{}", times(others_count))));
        rows.chain(rest).collect()
    }
}

/// A row of the audit.
fn row(origin: Origin, route: Option<Name>, detail: String) -> applier::Denial {
    applier::Denial { origin, action: "denied".to_owned(), route, detail }
}

/// How often, where that is more than once.
fn times(count: u64) -> String {
    if count == 1 { String::new() } else { format!(", {count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion(last: u8, reason: DenialReason) -> Occasion {
        let peer = IpAddr::from([192, 0, 2, last]);
        Occasion { peer, actor: None, reason: reason.as_str(), operation: "status", route: None }
    }

    #[test]
    fn equal_refusals_are_one_row_and_many_kinds_are_bounded() {
        let denials = Denials::default();
        for _ in 0..3 {
            denials.note(occasion(1, DenialReason::WrongToken), "r1");
        }
        let rows = denials.take();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].detail, "status: wrong_token, from 192.0.2.1, 3 times");
        assert_eq!(rows[0].origin.request_id.as_deref(), Some("r1"));
        for last in 0..200 {
            denials.note(occasion(last, DenialReason::NoToken), "");
        }
        let rows = denials.take();
        assert_eq!(rows.len(), MAX_KINDS + 1);
        assert_eq!(rows[0].detail, "status: no_token, from 192.0.2.0");
        assert_eq!(rows[MAX_KINDS].detail, "other calls, 168 times");
        assert!(denials.take().is_empty());
    }
}
