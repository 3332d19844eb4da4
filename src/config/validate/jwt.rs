//! Tokens and claims that fit each other: claims are asked for where a token is verified, and headers are free to carry them.

use std::collections::BTreeSet;

use super::{policy::reserved, segments::used_by};
use crate::{
    config::{
        code::Code,
        decode::Context,
        diagnostic::Diagnostic,
        model::{Condition, Config, KeySource, Route},
    },
    types::Name,
};

pub(super) fn check(config: &Config, cx: &mut Context) {
    let mut telling = None;
    for (index, route) in config.routes.iter().enumerate() {
        match &route.jwt {
            Some(jwt) => {
                for (header, _) in &jwt.claims {
                    if let Some(why) = reserved(header) {
                        let message = format!("`{header}` cannot carry a claim: {why}");
                        let pointer = format!("/routes/{index}/jwt/claims/{header}");
                        let reserved = Diagnostic::new(Code::ReservedHeader, &pointer, message);
                        cx.complain(reserved.help("use a header of your own"));
                    }
                }
            }
            None => {
                let telling = telling.get_or_insert_with(|| segments_with_claims(config));
                claims_without_token(cx, route, index, telling);
            }
        }
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
