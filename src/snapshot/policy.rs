//! A route's traffic policy: the file's form lowered to the runtime's.

use crate::{
    config::model,
    policy::{Access, Answer, HeaderEdits, PathChange, Policy, Redirect, Respond, Rewrite},
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
        answer: written.answer.as_ref().map(|answer| self::answer(answer, route)),
    }))
}

fn answer(answer: &model::Answer, route: &model::Route) -> Answer {
    match answer {
        model::Answer::Redirect(written) => Answer::Redirect(Redirect {
            status: written.status,
            scheme: written.scheme.map(model::Scheme::as_str),
            host: written.host.as_deref().map(Into::into),
            port: written.port,
            path: match (&written.path, &written.prefix) {
                (Some(path), _) => Some(PathChange::Whole(path.as_str().into())),
                (None, Some(with)) => Some(PathChange::Prefix {
                    of: route.matches.iter().filter_map(prefix).collect(),
                    with: with.trim_end_matches('/').into(),
                }),
                (None, None) => None,
            },
        }),
        model::Answer::Respond(written) => Answer::Respond(Respond {
            status: written.status,
            content_type: written.content_type.as_str().into(),
            body: written.body.as_deref().unwrap_or_default().into(),
        }),
    }
}

fn prefix(taken: &model::RouteMatch) -> Option<Box<str>> {
    match &taken.path {
        Some(model::PathMatch::Prefix(prefix)) => Some(prefix.trim_end_matches('/').into()),
        _ => None,
    }
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
