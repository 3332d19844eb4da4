//! Conditions of rules and segments, and the facts about one request that they are decided on.
//!
//! A region or a user's identity costs a lookup, so [`Facts`] finds each out when it is first asked for, at most once
//! per request, and remembers whether it was: a cookie is only set when the user's number had a part in the decision.

use std::{cell::OnceCell, fmt, net::IpAddr, sync::Arc};

use super::{
    assign::AssignContext,
    bucket::Salt,
    cookie::{Verified, day_of},
    networks::NetworkSet,
    plan::{KeySource, SplitPlan},
    region::Region,
};
use crate::{
    http::RequestView,
    routing::{NamedMatcher, PathMatcher},
    types::{Bucket, Fraction, Name, Reason, StickyMode},
};

/// How many cookies of the assignment cookie's name are looked at. Browsers send one per path; each costs a mac, and a
/// head has room for hundreds.
const MAX_COOKIES: usize = 8;

/// A condition over a request. An empty `All` is true, an empty `Any` is false.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Every one holds.
    All(Box<[Condition]>),
    /// At least one holds.
    Any(Box<[Condition]>),
    /// It does not hold.
    Not(Box<Condition>),
    /// A header field has such a value.
    Header(NamedMatcher),
    /// A cookie has such a value.
    Cookie(NamedMatcher),
    /// A query parameter has such a value.
    Query(NamedMatcher),
    /// A claim of the user's verified token has such a value.
    Jwt(NamedMatcher),
    /// The method is one of these, with their case.
    Method(Box<[Box<str>]>),
    /// The path matches.
    Path(PathMatcher),
    /// The segment's condition holds.
    Segment(Arc<Segment>),
    /// The region is one of these.
    Region(Box<[Name]>),
    /// The client's address is in one of these.
    ClientIp(NetworkSet),
    /// The user's bucket by this salt is in the share.
    Fraction {
        /// The share.
        share: Fraction,
        /// Its own salt, so that it is independent of the split.
        salt: Arc<Salt>,
    },
}

/// A named condition. Building it takes its parts ready, so a segment can never contain itself.
#[derive(Debug)]
pub struct Segment {
    /// Its name.
    pub name: Name,
    /// When a request is in it.
    pub condition: Condition,
}

/// Who the user is, for hashing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity<'a> {
    /// The value of a header, of a cookie of the application, or of a claim.
    Text(&'a [u8]),
    /// The client's address.
    Address(IpAddr),
    /// The number in the assignment cookie, or one drawn now.
    Number(Bucket),
}

/// A user's identity and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct User<'a> {
    pub(super) identity: Identity<'a>,
    /// Identity, Cookie, ClientIp or Draw.
    pub(super) reason: Reason,
}

/// What is known about a request, found out as it is asked for.
pub(super) struct Facts<'a> {
    pub(super) plan: &'a SplitPlan,
    pub(super) request: &'a RequestView<'a>,
    pub(super) context: &'a AssignContext<'a>,
    /// The number for a user without another.
    pub(super) draw: Bucket,
    region: OnceCell<Region<'a>>,
    user: OnceCell<User<'a>>,
    cookie: OnceCell<Option<Verified>>,
}

// === impl Condition ===

impl Condition {
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        let request = facts.request;
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(facts)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(facts)),
            Self::Not(condition) => !condition.holds(facts),
            Self::Header(matcher) => matcher.matches_header(request.headers),
            Self::Cookie(matcher) => matcher.matches_cookie(request.headers),
            Self::Query(matcher) => matcher.matches_query(request.query),
            Self::Jwt(matcher) => facts.context.claims.is_some_and(|claims| {
                claims.values(matcher.name()).any(|text| matcher.matches(text.as_bytes()))
            }),
            Self::Method(methods) => methods.iter().any(|method| **method == *request.method),
            Self::Path(matcher) => matcher.matches(request.path),
            Self::Segment(segment) => segment.condition.holds(facts),
            Self::Region(names) => {
                let region = facts.region();
                names.iter().any(|name| region.is(name.as_str()))
            }
            Self::ClientIp(networks) => networks.contains(request.client_ip),
            Self::Fraction { share, salt } => share.contains(facts.user().bucket(salt)),
        }
    }

    /// The part that decided: of an `All` that does not hold the first part that does not, of an `Any` that holds the
    /// first that does. Asks nothing that `holds` has not asked.
    pub(super) fn decisive(&self, facts: &Facts<'_>) -> &Self {
        let part = match self {
            Self::All(parts) => parts.iter().find(|part| !part.holds(facts)),
            Self::Any(parts) => parts.iter().find(|part| part.holds(facts)),
            _ => None,
        };
        part.map_or(self, |part| part.decisive(facts))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, parts: &mut dyn Iterator<Item = String>| {
            write!(f, "{word} [{}]", parts.collect::<Vec<_>>().join(", "))
        };
        match self {
            Self::All(parts) => list(f, "all", &mut parts.iter().map(ToString::to_string)),
            Self::Any(parts) => list(f, "any", &mut parts.iter().map(ToString::to_string)),
            Self::Not(condition) => write!(f, "not {condition}"),
            Self::Header(matcher) => write!(f, "header {matcher}"),
            Self::Cookie(matcher) => write!(f, "cookie {matcher}"),
            Self::Query(matcher) => write!(f, "query {matcher}"),
            Self::Jwt(matcher) => write!(f, "jwt {matcher}"),
            Self::Method(methods) => list(f, "method", &mut methods.iter().map(ToString::to_string)),
            Self::Path(matcher) => write!(f, "path {matcher}"),
            Self::Segment(segment) => write!(f, "segment {} ({})", segment.name, segment.condition),
            Self::Region(names) => list(f, "region", &mut names.iter().map(ToString::to_string)),
            Self::ClientIp(networks) => write!(f, "client_ip in {} networks", networks.len()),
            Self::Fraction { share, salt } => write!(f, "fraction {share} by salt {}", salt.as_str()),
        }
    }
}

// === impl User ===

impl User<'_> {
    /// The user's bucket by this salt.
    pub(super) fn bucket(&self, salt: &Salt) -> Bucket {
        match self.identity {
            Identity::Text(text) => salt.bucket(text),
            Identity::Address(address) => salt.address_bucket(address),
            Identity::Number(number) => salt.cookie_bucket(number),
        }
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    pub(super) fn new(
        plan: &'a SplitPlan,
        request: &'a RequestView<'a>,
        context: &'a AssignContext<'a>,
        entropy: u64,
    ) -> Self {
        let (region, user, cookie) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { plan, request, context, draw: Bucket::from_bits(entropy), region, user, cookie }
    }

    pub(super) fn region(&self) -> Region<'a> {
        *self.region.get_or_init(|| self.context.regions.region(self.request))
    }

    pub(super) fn user(&self) -> User<'a> {
        *self.user.get_or_init(|| self.find_user())
    }

    /// The user, if the decision asked for it.
    pub(super) fn known_user(&self) -> Option<User<'a>> {
        self.user.get().copied()
    }

    /// The region, if the decision asked for it.
    pub(super) fn known_region(&self) -> Option<Region<'a>> {
        self.region.get().copied()
    }

    /// The first assignment cookie that verifies.
    pub(super) fn cookie(&self) -> Option<Verified> {
        *self.cookie.get_or_init(|| {
            let cookie = self.plan.cookie.as_ref()?;
            let today = day_of(self.context.now_unix_secs);
            self.request
                .headers
                .cookies(cookie.name())
                .take(MAX_COOKIES)
                .find_map(|text| cookie.verify(text, self.context.keyring, today))
        })
    }

    fn find_user(&self) -> User<'a> {
        if let Some(user) = self.identity() {
            return user;
        }
        if let Some(verified) = self.cookie() {
            return User { identity: Identity::Number(verified.value.number), reason: Reason::Cookie };
        }
        if self.plan.cookie.is_none() && self.plan.mode != StickyMode::None {
            return User { identity: Identity::Address(self.request.client_ip), reason: Reason::ClientIp };
        }
        User { identity: Identity::Number(self.draw), reason: Reason::Draw }
    }

    /// The user by the first of the split's keys that the request has.
    pub(super) fn identity(&self) -> Option<User<'a>> {
        let headers = self.request.headers;
        for source in &self.plan.keys {
            let identity = match source {
                KeySource::Header(name) => {
                    headers.all(name).find(|value| !value.is_empty()).map(Identity::Text)
                }
                KeySource::Cookie(name) => {
                    headers.cookies(name).find(|value| !value.is_empty()).map(Identity::Text)
                }
                KeySource::Jwt(claim) => {
                    let claims = self.context.claims;
                    claims.and_then(|claims| claims.text(claim)).map(|text| Identity::Text(text.as_bytes()))
                }
                KeySource::ClientIp => {
                    let identity = Identity::Address(self.request.client_ip);
                    return Some(User { identity, reason: Reason::ClientIp });
                }
            };
            if let Some(identity) = identity {
                return Some(User { identity, reason: Reason::Identity });
            }
        }
        None
    }
}
