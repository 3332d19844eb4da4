//! Who a request's user is, on routes that verify tokens, and what of that goes to the backend.

use std::rc::Rc;

use super::{fields::Fields, policy::Answer, worker::Worker};
use crate::{
    http::RequestView,
    policy::jwt::{Identity, RouteJwt, TokenError},
    snapshot::Route,
    split::Claims,
    telemetry::{PolicyLabel, TokenLabel},
};

/// What the route's backend learns of the user.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Testimony<'a> {
    jwt: Option<&'a RouteJwt>,
    claims: Option<&'a Claims>,
}

/// The claims of a request's token; an answer where the route wants a good one and there is none.
pub(super) fn identify<'s>(
    worker: &Worker,
    route: &'s Route,
    view: &RequestView<'_>,
    now_unix_secs: u64,
) -> Result<Option<Rc<Claims>>, Answer<'s>> {
    let Some(jwt) = &route.jwt else { return Ok(None) };
    let found = jwt.provider.identify(view, now_unix_secs, &mut worker.tokens.borrow_mut());
    route.shards.worker(worker.index).token(label(&found));
    // RFC 6750, section 3: nothing is said of an error where there was no token.
    let (text, challenge) = match found {
        Identity::Verified { claims, .. } => return Ok(Some(claims)),
        _ if !jwt.required => return Ok(None),
        Identity::Missing => ("a token is needed", "Bearer"),
        Identity::Bad(_) => ("the token is not trusted", "Bearer error=\"invalid_token\""),
    };
    let fields = vec![("www-authenticate", challenge.into())];
    Err(Answer { fields, ..Answer::refusing(PolicyLabel::Jwt, 401, text) })
}

// === impl Testimony ===

impl<'a> Testimony<'a> {
    pub(super) fn new(route: &'a Route, claims: Option<&'a Claims>) -> Self {
        Self { jwt: route.jwt.as_deref(), claims }
    }

    /// Whether a field of the client does not go on.
    pub(super) fn drops(self, name: &[u8]) -> bool {
        self.jwt.is_some_and(|jwt| jwt.drops(name))
    }

    /// Writes the claims that the backend is to get; several values stand behind each other, with commas.
    pub(super) fn write(self, out: &mut impl Fields) {
        let (Some(jwt), Some(claims)) = (self.jwt, self.claims) else { return };
        for (header, claim) in &jwt.claims {
            // A claim is any text; what no field can hold is not cut, but left out.
            let mut values = claims.values(claim).filter(|text| can_stand(text)).peekable();
            if values.peek().is_none() {
                continue;
            }
            out.begin(header.as_bytes());
            for (at, text) in values.enumerate() {
                out.part(if at == 0 { b"" } else { b", " });
                out.part(text.as_bytes());
            }
            out.end();
        }
    }
}

/// Whether a field can have this value, alone or in a list of values.
fn can_stand(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte.is_ascii_control())
}

fn label(found: &Identity) -> TokenLabel {
    match found {
        Identity::Verified { cached: false, .. } => TokenLabel::Verified,
        Identity::Verified { cached: true, .. } => TokenLabel::Known,
        Identity::Missing => TokenLabel::Missing,
        Identity::Bad(error) => match error {
            TokenError::Malformed => TokenLabel::Malformed,
            TokenError::NoKey => TokenLabel::NoKey,
            TokenError::Signature => TokenLabel::Signature,
            TokenError::Endless | TokenError::Expired => TokenLabel::Expired,
            TokenError::Early => TokenLabel::Early,
            TokenError::Issuer => TokenLabel::Issuer,
            TokenError::Audience => TokenLabel::Audience,
        },
    }
}
