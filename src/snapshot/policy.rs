//! A route's traffic policy: the file's form lowered to the runtime's.

use std::{collections::HashMap, sync::Arc};

use super::{Snapshot, lower::named_matcher};
use crate::{
    config::model,
    policy::{
        Access, Answer, BodyRate, Cors, CorsRule, Fault, HeaderEdits, Limiter, PathChange, Policy, RateKey,
        RateRule, Redirect, Respond, Rewrite,
    },
    routing::MatcherError,
    types::Name,
};

/// The limiters of all routes. Who has asked how often outlives reloads that leave a limit as it is.
#[derive(Debug, Default)]
pub(super) struct Limiters(HashMap<(Name, RateRule), Arc<Limiter>>);

// === impl Limiters ===

impl Limiters {
    fn of(&mut self, route: &Name, limit: &model::RateLimit) -> Arc<Limiter> {
        let rule = RateRule {
            key: match &limit.key {
                model::RateKey::ClientIp => RateKey::ClientIp,
                model::RateKey::Route => RateKey::Route,
                model::RateKey::Header(name) => RateKey::Header(name.as_str().into()),
            },
            rate: limit.rate,
            burst: limit.burst,
            max_keys: limit.max_keys,
        };
        let limiter =
            self.0.entry((route.clone(), rule.clone())).or_insert_with(|| Arc::new(Limiter::new(rule)));
        Arc::clone(limiter)
    }

    /// Forgets what `snapshot` does not have.
    pub(super) fn retain(&mut self, snapshot: &Snapshot) {
        self.0.retain(|(route, rule), _| {
            let found = snapshot.routes.iter().find(|known| known.name == *route);
            let policy = found.and_then(|route| route.policy.as_ref());
            policy.is_some_and(|policy| policy.rate_limits.iter().any(|limiter| limiter.rule() == rule))
        });
    }
}

/// The policy of a route; `None` when it has none.
pub(super) fn policy(
    route: &model::Route,
    limiters: &mut Limiters,
) -> Result<Option<Box<Policy>>, MatcherError> {
    let written = &route.policy;
    if *written == model::Policy::default() {
        return Ok(None);
    }
    Ok(Some(Box::new(Policy {
        access: written.access.as_ref().map(access),
        cors: written.cors.as_ref().map(cors),
        rate_limits: written.rate_limits.iter().map(|limit| limiters.of(&route.name, limit)).collect(),
        max_body: written.max_body,
        min_body_rate: written
            .min_body_rate
            .map(|rate| BodyRate { bytes_per_second: rate.per_second, grace: rate.grace }),
        fault: written.fault.as_ref().map(fault).transpose()?,
        request_headers: header_edits(&written.request_headers),
        response_headers: header_edits(&written.response_headers),
        rewrite: written.rewrite.as_ref().map(|rewrite| {
            let text = Option::as_deref;
            Rewrite::new(text(&rewrite.strip_prefix), text(&rewrite.prefix), text(&rewrite.host))
        }),
        answer: written.answer.as_ref().map(|answer| self::answer(answer, route)),
    })))
}

fn cors(written: &model::Cors) -> Cors {
    Cors::new(&CorsRule {
        origins: &written.origins,
        methods: &written.methods,
        headers: &written.headers,
        expose: &written.expose,
        credentials: written.credentials,
        max_age_secs: written.max_age.map(|age| age.as_secs()),
    })
}

fn fault(written: &model::Fault) -> Result<Fault, MatcherError> {
    let headers = written.headers.iter().map(named_matcher).collect::<Result<_, _>>()?;
    Ok(Fault { headers, delay: written.delay, abort: written.abort })
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
