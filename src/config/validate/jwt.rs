//! Tokens and claims that fit each other: claims are asked for where a token is verified, and headers are free to carry them.

use std::collections::{BTreeMap, BTreeSet};

use super::{policy::reserved, segments::used_by};
use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        model::{Condition, Config, KeySource, Route, RouteJwt, TokenSource},
    },
    types::Name,
};

pub(super) fn check(config: &Config, cx: &mut Context) {
    let mut telling = None;
    for (index, route) in config.routes.iter().enumerate() {
        match &route.jwt {
            Some(jwt) => claim_headers(cx, (config, route, jwt), index),
            None => {
                let telling = telling.get_or_insert_with(|| segments_with_claims(config));
                claims_without_token(cx, route, index, telling);
            }
        }
    }
}

/// Complains about headers that cannot carry a claim alone. With `_` for `-` it is the same header to CGI and WSGI servers.
fn claim_headers(cx: &mut Context, (config, route, jwt): (&Config, &Route, &RouteJwt), index: usize) {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let provider = config.jwt.get(&jwt.provider);
    let token: Vec<String> = provider
        .into_iter()
        .flat_map(|provider| &provider.token)
        .filter_map(|source| match source {
            TokenSource::Header(name) => Some(plain(name)),
            TokenSource::Cookie(_) | TokenSource::Query(_) => None,
        })
        .collect();
    let edits = &route.policy.request_headers;
    let written: Vec<String> = edits.set.iter().chain(&edits.add).map(|(name, _)| plain(name)).collect();
    let mut seen = BTreeMap::new();
    for (header, claim) in &jwt.claims {
        let pointer = format!("/routes/{index}/jwt/claims/{header}");
        if let Some(why) = reserved(header) {
            let message = format!("`{header}` cannot carry a claim: {why}");
            let reserved = Diagnostic::new(Code::ReservedHeader, &pointer, message);
            cx.complain(reserved.help("use a header of your own"));
            continue;
        }
        let name = plain(header);
        let other = if token.contains(&name) {
            "it carries the token".to_owned()
        } else if written.contains(&name) {
            "`headers.request` writes it too".to_owned()
        } else if let Some(first) = seen.insert(name, claim) {
            format!("it carries the claim `{first}` already")
        } else {
            continue;
        };
        let message = format!("`{header}` cannot carry the claim `{claim}`: {other}");
        let taken = Diagnostic::new(Code::ClaimHeader, &pointer, message);
        cx.complain(taken.help("give each claim a header of its own"));
    }
}

/// Complains about whatever asks for a claim on a route that verifies no token: it would never hold.
fn claims_without_token(cx: &mut Context, route: &Route, index: usize, telling: &BTreeSet<&Name>) {
    let keys = route.split.key.iter().enumerate();
    let keys = keys
        .filter(|(_, source)| matches!(source, KeySource::Jwt(_)))
        .map(|(at, _)| (format!("/routes/{index}/split/key/{at}/jwt"), "the key of the split".to_owned()));
    let rules = route.rules.iter().enumerate();
    let rules = rules
        .filter(|(_, rule)| asks(&rule.condition, telling))
        .map(|(at, rule)| (format!("/routes/{index}/rules/{at}/match"), format!("rule `{}`", rule.name)));
    for (pointer, what) in keys.chain(rules) {
        let message = format!("{what} asks for a claim, and route `{}` verifies no token", route.name);
        let unknown = Diagnostic::new(Code::ClaimWithoutToken, &pointer, message);
        cx.complain(unknown.help("add `jwt: { provider: …, required: false }` to the route"));
    }
}

/// Segments that ask for a claim, by themselves or through others.
fn segments_with_claims(config: &Config) -> BTreeSet<&Name> {
    let mut telling = BTreeSet::new();
    // Each round finds at least one more, or nothing is left to find.
    loop {
        let before = telling.len();
        let found: Vec<&Name> = config
            .segments
            .iter()
            .filter(|(name, condition)| !telling.contains(name) && asks(condition, &telling))
            .map(|(name, _)| name)
            .collect();
        telling.extend(found);
        if telling.len() == before {
            return telling;
        }
    }
}

fn asks(condition: &Condition, telling: &BTreeSet<&Name>) -> bool {
    names_claim(condition) || used_by(condition).into_iter().any(|name| telling.contains(name))
}

fn names_claim(condition: &Condition) -> bool {
    match condition {
        Condition::All(inner) | Condition::Any(inner) => inner.iter().any(names_claim),
        Condition::Not(inner) => names_claim(inner),
        Condition::Jwt(_) => true,
        _ => false,
    }
}
