//! Who a request's user is, on routes that verify tokens, and what of that goes to the backend.

use std::rc::Rc;

use super::{fields::Fields, policy::Answer, worker::Worker};
use crate::{
    http::RequestView,
    policy::jwt::{Identity, RouteJwt, TokenError},
    snapshot::Route,
    split::{Claim, Claims},
    telemetry::{PolicyLabel, TokenLabel},
    types::Name,
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
    let (text, error) = match found {
        Identity::Verified { claims, .. } => return Ok(Some(claims)),
        _ if !jwt.required => return Ok(None),
        Identity::Missing => ("a token is needed", None),
        Identity::Bad(error) => ("the token is not trusted", Some(error)),
    };
    let fields = vec![("www-authenticate", challenge(jwt.provider.name(), error).into_bytes())];
    Err(Answer { fields, ..Answer::refusing(PolicyLabel::Jwt, 401, text) })
}

/// What a client is asked for (RFC 6750, section 3). Nothing is said of an error where there was no token. Neither names nor errors
/// have characters that a quoted text would have to escape.
fn challenge(provider: &Name, error: Option<TokenError>) -> String {
    let error = error.map(|error| format!(", error=\"invalid_token\", error_description=\"{error}\""));
    format!("Bearer realm=\"{provider}\"{}", error.unwrap_or_default())
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
            match claims.get(claim) {
                Some(Claim::One(text)) if can_stand(text) => out.field(header.as_bytes(), text.as_bytes()),
                Some(Claim::Several(texts)) => write_list(header, texts, out),
                Some(Claim::One(_)) | None => {}
            }
        }
    }
}

fn write_list(header: &str, texts: &[Box<str>], out: &mut impl Fields) {
    // A value with a comma would be two to whoever reads the list.
    let mut texts = texts.iter().filter(|text| can_stand(text) && !text.contains(',')).peekable();
    if texts.peek().is_none() {
        return;
    }
    out.begin(header.as_bytes());
    for (at, text) in texts.enumerate() {
        out.part(if at == 0 { b"" } else { b", " });
        out.part(text.as_bytes());
    }
    out.end();
}

/// Whether a backend would get this value as it is. A claim is any text; what no field can hold is not cut, but left out. So is
/// white space at an end: it is no part of a field's value (RFC 9110, section 5.5), and `root ` would arrive as `root`.
fn can_stand(text: &str) -> bool {
    let at_ends = |byte: Option<&u8>| byte == Some(&b' ');
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && !at_ends(bytes.first())
        && !at_ends(bytes.last())
        && !bytes.iter().any(u8::is_ascii_control)
}

fn label(found: &Identity) -> TokenLabel {
    match found {
        Identity::Verified { cached: false, .. } => TokenLabel::Verified,
        Identity::Verified { cached: true, .. } => TokenLabel::Known,
        Identity::Missing => TokenLabel::Missing,
        Identity::Bad(error) => match error {
            TokenError::Malformed => TokenLabel::Malformed,
            TokenError::Ambiguous => TokenLabel::Ambiguous,
            TokenError::NoKey => TokenLabel::NoKey,
            TokenError::Signature => TokenLabel::Signature,
            TokenError::Endless | TokenError::Expired => TokenLabel::Expired,
            TokenError::Early => TokenLabel::Early,
            TokenError::Issuer => TokenLabel::Issuer,
            TokenError::Audience => TokenLabel::Audience,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_as_they_are_or_not_at_all() {
        for (text, stands) in [
            ("anna", true),
            ("a b", true),
            ("Doe, Anna", true),
            ("\u{e4}", true),
            ("", false),
            (" root", false),
            ("root ", false),
            ("root\t", false),
            ("a\r\nX-Evil: 1", false),
            ("a\0b", false),
            ("a\u{7f}", false),
        ] {
            assert_eq!(can_stand(text), stands, "{text:?}");
        }
    }

    #[test]
    fn a_list_has_no_value_that_would_be_two() {
        let text = |values: &[&str]| {
            let values: Vec<Box<str>> = values.iter().map(|value| (*value).into()).collect();
            let mut out = Vec::new();
            write_list("X-Groups", &values, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(&["a", "b, admin", "c"]), "X-Groups: a, c\r\n");
        assert_eq!(text(&[",", " "]), "");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn a_challenge_names_the_provider_and_the_error() {
        let name = Name::new("id").unwrap();
        assert_eq!(challenge(&name, None), "Bearer realm=\"id\"");
        let expected = "Bearer realm=\"id\", error=\"invalid_token\", error_description=\"it has expired\"";
        assert_eq!(challenge(&name, Some(TokenError::Expired)), expected);
    }
}
