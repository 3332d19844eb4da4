//! A route's traffic policy: the file's form lowered to the runtime's.

use crate::{
    config::model,
    policy::{Access, HeaderEdits, Policy, Rewrite},
};

/// The policy of a route; `None` when it has none.
pub(super) fn policy(route: &model::Route) -> Option<Box<Policy>> {
    let written = &route.policy;
    if *written == model::Policy::default() {
        return None;
    }
    Some(Box::new(Policy {
        access: written.access.as_ref().map(access),
        request_headers: header_edits(&written.request_headers),
        response_headers: header_edits(&written.response_headers),
        rewrite: written.rewrite.as_ref().map(|rewrite| {
            let text = Option::as_deref;
            Rewrite::new(text(&rewrite.strip_prefix), text(&rewrite.prefix), text(&rewrite.host))
        }),
    }))
}

fn access(access: &model::Access) -> Access {
    let allow = (!access.allow.is_empty()).then(|| access.allow.iter().copied().collect());
    Access::new(allow, access.deny.iter().copied().collect())
}

fn header_edits(edits: &model::HeaderEdits) -> Option<HeaderEdits> {
    (!edits.is_empty()).then(|| {
        HeaderEdits::new(
            edits.remove.iter().map(String::as_str),
            edits.set.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            edits.add.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        )
    })
}
