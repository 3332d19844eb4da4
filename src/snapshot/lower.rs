//! Matchers, conditions and cookies: the file's form lowered to the runtime's.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::model,
    routing::{HostMatcher, MatcherError, NamedMatcher, PathMatcher, RouteMatcher, ValueMatcher},
    split::{Condition, CookieSettings, Salt, SameSite, Segment},
    types::Name,
};

/// A route's `match`.
pub(super) fn route_matcher(matches: &model::RouteMatch) -> Result<RouteMatcher, MatcherError> {
    let all = |named: &[model::NamedMatch]| named.iter().map(named_matcher).collect::<Result<Vec<_>, _>>();
    Ok(RouteMatcher {
        secure: matches.scheme.map(|scheme| scheme == model::Scheme::Https),
        hosts: matches.hosts.iter().map(|host| HostMatcher::new(host)).collect::<Result<_, _>>()?,
        path: matches.path.as_ref().map(path_matcher).transpose()?,
        methods: matches.methods.iter().map(|method| method.as_str().into()).collect(),
        headers: all(&matches.headers)?,
        query: all(&matches.query)?,
        cookies: all(&matches.cookies)?,
    })
}

/// Every segment of the file. Segments that use each other in a circle, which validation refuses, match nothing.
pub(super) fn segments(config: &model::Config) -> HashMap<Name, Arc<Segment>> {
    let mut done = HashMap::new();
    // Each round resolves those whose parts are resolved; as many rounds as segments reach the deepest chain.
    for _ in 0..config.segments.len() {
        for (name, written) in &config.segments {
            if done.contains_key(name) {
                continue;
            }
            if let Ok(condition) = condition(written, name.as_str(), &done) {
                done.insert(name.clone(), Arc::new(Segment { name: name.clone(), condition }));
            }
        }
    }
    done
}

/// A condition; `salt` is for fractions that name none.
pub(super) fn condition(
    written: &model::Condition,
    salt: &str,
    segments: &HashMap<Name, Arc<Segment>>,
) -> Result<Condition, String> {
    let every = |conditions: &[model::Condition]| {
        conditions.iter().map(|inner| condition(inner, salt, segments)).collect::<Result<Box<[_]>, _>>()
    };
    let named = |named: &model::NamedMatch| named_matcher(named).map_err(|error| error.to_string());
    Ok(match written {
        model::Condition::All(conditions) => Condition::All(every(conditions)?),
        model::Condition::Any(conditions) => Condition::Any(every(conditions)?),
        model::Condition::Not(inner) => Condition::Not(Box::new(condition(inner, salt, segments)?)),
        model::Condition::Header(header) => Condition::Header(named(header)?),
        model::Condition::Cookie(cookie) => Condition::Cookie(named(cookie)?),
        model::Condition::Query(query) => Condition::Query(named(query)?),
        model::Condition::Jwt(claim) => Condition::Jwt(named(claim)?),
        model::Condition::Method(methods) => {
            Condition::Method(methods.iter().map(|method| method.as_str().into()).collect())
        }
        model::Condition::Path(path) => {
            Condition::Path(path_matcher(path).map_err(|error| error.to_string())?)
        }
        model::Condition::Segment(name) => {
            let segment = segments.get(name).ok_or_else(|| format!("there is no segment `{name}`"))?;
            Condition::Segment(Arc::clone(segment))
        }
        model::Condition::Region(regions) => Condition::Region(regions.iter().cloned().collect()),
        model::Condition::ClientIp(networks) => Condition::ClientIp(networks.iter().copied().collect()),
        model::Condition::Fraction { share, salt: own } => {
            Condition::Fraction { share: *share, salt: Arc::new(Salt::new(own.as_deref().unwrap_or(salt))) }
        }
    })
}

/// The assignment cookie's settings.
pub(super) fn cookie(sticky: &model::Sticky) -> Option<CookieSettings> {
    sticky.cookie.as_ref().map(|cookie| CookieSettings {
        name: cookie.name.clone(),
        same_site: match cookie.same_site {
            model::SameSite::Lax => SameSite::Lax,
            model::SameSite::Strict => SameSite::Strict,
            model::SameSite::None => SameSite::None,
        },
        path: cookie.path.clone(),
        domain: cookie.domain.clone(),
        secure: cookie.secure,
        max_age: sticky.max_age,
    })
}

fn path_matcher(path: &model::PathMatch) -> Result<PathMatcher, MatcherError> {
    match path {
        model::PathMatch::Exact(path) => PathMatcher::exact(path),
        model::PathMatch::Prefix(path) => PathMatcher::prefix(path),
        model::PathMatch::Regex(pattern) => PathMatcher::regex(pattern),
    }
}

/// A header, cookie, query parameter or claim, and what its value must be.
pub(super) fn named_matcher(named: &model::NamedMatch) -> Result<NamedMatcher, MatcherError> {
    let value = match &named.value {
        model::ValueMatch::Present => ValueMatcher::Present,
        model::ValueMatch::Exact(text) => ValueMatcher::exact(text),
        model::ValueMatch::In(texts) => ValueMatcher::one_of(texts.iter().map(String::as_str)),
        model::ValueMatch::Prefix(text) => ValueMatcher::prefix(text),
        model::ValueMatch::Contains(text) => ValueMatcher::contains(text),
        model::ValueMatch::Regex(pattern) => ValueMatcher::regex(pattern)?,
    };
    Ok(NamedMatcher::new(&named.name, value))
}
