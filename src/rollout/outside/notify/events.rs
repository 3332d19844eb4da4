//! CloudEvents 1.0 in structured mode (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>), for everything else.

use serde_json::{Value, json};

use super::words::{self, Addresses};
use crate::rollout::{notice::Notice, outside::hook};

/// Of the whole event (CloudEvents JSON format, section 3).
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// What types of events begin with: the domain of the project.
const TYPE: &str = "io.github.weir-proxy.rollout.";

/// The event. Its id and source together are those of one delivery, however often it is made.
pub(super) fn body(notice: &Notice, key: &str, addresses: &Addresses) -> Value {
    let source = addresses.rollout.clone().unwrap_or_else(|| format!("/v1/rollouts/{}", notice.rollout));
    let (step, of) = notice.step;
    let mut event = json!({
        "specversion": "1.0",
        "id": key,
        "source": source,
        "type": format!("{TYPE}{}", notice.occasion.as_str()),
        "subject": notice.rollout,
        "datacontenttype": "application/json",
        "data": {
            "occasion": notice.occasion,
            "title": words::title(notice),
            "rollout": notice.rollout,
            "routes": notice.routes,
            "baseline": notice.baseline,
            "canary": notice.canary,
            "version": notice.version,
            "phase": notice.phase,
            "step": { "number": step.min(of), "of": of },
            "share": notice.share,
            "by": notice.by,
            "reason": notice.reason,
            "links": {
                "rollout": addresses.rollout,
                "approve": addresses.approve,
                "reject": addresses.reject,
            },
        },
    });
    // The attribute is optional, and must be a time where it is there.
    if let Some(time) = hook::time(notice.at_ms) {
        event["time"] = time.into();
    }
    event
}
