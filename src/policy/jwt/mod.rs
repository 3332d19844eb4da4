//! Verified JSON Web Tokens: who a request's user is, by what an issuer has signed (RFC 7519, RFC 8725).
//!
//! A [`Provider`] finds the token of a request and verifies it: signature, time, issuer, audience. Claims come out of nothing else,
//! so what splitting and backends are told is true or absent. Signatures are the crate `jsonwebtoken`'s; times are compared here,
//! because whoever asks says what time it is. Verifying costs some ten microseconds, so a worker remembers good tokens in a
//! [`TokenCache`].

mod cache;
mod find;
mod keys;
mod verify;

use std::{borrow::Cow, hash::Hash as _, rc::Rc, sync::Arc};

pub use cache::TokenCache;
pub use find::TokenSource;
pub use jsonwebtoken::Algorithm;
pub use keys::{KeyError, KeyFormat, KeySet};
pub use verify::TokenError;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::headers::is_same;
use crate::{http::RequestView, split::Claims, types::Name};

/// How tokens are trusted, and with which keys.
#[derive(Debug)]
pub struct Provider {
    name: Name,
    trust: Trust,
    keys: Arc<KeySet>,
    /// Tells providers apart, and one provider before and after a change.
    fingerprint: u128,
}

/// What a token must be beside signed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trust {
    /// Where it is, the first that is there.
    pub sources: Vec<TokenSource>,
    /// Its `iss`; `None` is any.
    pub issuer: Option<String>,
    /// Its `aud` has one of these; empty takes only tokens without `aud` (RFC 7519, section 4.1.3).
    pub audience: Vec<String>,
    /// Algorithms that it may be signed with, of those that its key has; empty is all of those.
    pub algorithms: Vec<Algorithm>,
    /// How wrong clocks may be, in seconds.
    pub leeway_secs: u64,
}

/// What a route does with tokens.
#[derive(Debug)]
pub struct RouteJwt {
    /// Whose tokens.
    pub provider: Arc<Provider>,
    /// Whether requests without a good one are refused.
    pub required: bool,
    /// Whether the backend gets the header that has it.
    pub forward: bool,
    /// Headers for the backend, and the claim that each has.
    pub claims: Box<[(Box<str>, Box<str>)]>,
}

/// What was found of a request's token.
#[derive(Debug, Clone)]
pub enum Identity {
    /// One that is good, and whether that was known.
    Verified {
        /// What it says.
        claims: Rc<Claims>,
        /// Whether it was verified before.
        cached: bool,
    },
    /// None at all.
    Missing,
    /// One that is not to be trusted.
    Bad(TokenError),
}

// === impl Provider ===

impl Provider {
    /// A provider with these keys.
    #[must_use]
    pub fn new(name: Name, trust: Trust, keys: Arc<KeySet>) -> Self {
        let mut hasher = SipHasher24::new();
        (name.as_str(), &trust, keys.fingerprint()).hash(&mut hasher);
        Self { name, trust, keys, fingerprint: hasher.finish128().as_u128() }
    }

    /// Its name in the control file.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether this header carries tokens, or passes for one that does.
    #[must_use]
    pub fn is_carried_by(&self, header: &[u8]) -> bool {
        self.carrier(header).is_some()
    }

    /// Whether this header only passes for one that carries tokens, with `_` for `-`: its token would be one that nobody has
    /// looked at.
    #[must_use]
    pub fn is_feigned_by(&self, header: &[u8]) -> bool {
        self.carrier(header).is_some_and(|name| !name.as_bytes().eq_ignore_ascii_case(header))
    }

    fn carrier(&self, header: &[u8]) -> Option<&str> {
        self.trust.sources.iter().find_map(|source| match source {
            TokenSource::Header(name) => is_same(name.as_bytes(), header).then_some(&**name),
            TokenSource::Cookie(_) | TokenSource::Query(_) => None,
        })
    }

    /// A query as it may be logged: `-` in place of tokens (RFC 6750, section 5.3).
    #[must_use]
    pub fn without_tokens<'q>(&self, query: &'q [u8]) -> Cow<'q, [u8]> {
        let names = self.trust.sources.iter().filter_map(|source| match source {
            TokenSource::Query(name) => Some(name.as_bytes()),
            TokenSource::Header(_) | TokenSource::Cookie(_) => None,
        });
        names.fold(Cow::Borrowed(query), |query, name| find::without_values(query, name))
    }

    /// Who the user of `request` is.
    #[must_use]
    pub fn identify(
        &self,
        request: &RequestView<'_>,
        now_unix_secs: u64,
        cache: &mut TokenCache,
    ) -> Identity {
        let token = match find::token(&self.trust.sources, request) {
            Ok(Some(token)) => token,
            Ok(None) => return Identity::Missing,
            Err(error) => return Identity::Bad(error),
        };
        let place = cache.place(self.fingerprint, token);
        if let Some(claims) = cache.get(place, now_unix_secs) {
            return Identity::Verified { claims, cached: true };
        }
        match verify::verify(token, &self.keys, &self.trust, now_unix_secs) {
            Ok((claims, expires)) => {
                let claims = Rc::new(claims);
                cache.put(place, token.len(), Rc::clone(&claims), expires);
                Identity::Verified { claims, cached: false }
            }
            Err(error) => Identity::Bad(error),
        }
    }
}

// === impl RouteJwt ===

impl RouteJwt {
    /// Whether a field of the client does not go on: one of a name that only verified claims have, or the token itself where it is
    /// kept, and what passes for either.
    #[must_use]
    pub fn drops(&self, name: &[u8]) -> bool {
        self.claims.iter().any(|(header, _)| is_same(header.as_bytes(), name))
            || (!self.forward && self.provider.is_carried_by(name))
            || self.provider.is_feigned_by(name)
    }
}

#[cfg(test)]
mod tests;
