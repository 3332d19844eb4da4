//! Where a request has its token.

use std::borrow::Cow;

use super::TokenError;
use crate::http::RequestView;

/// A place where a token may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// A header field; `Authorization` has it behind `Bearer` (RFC 6750, section 2.1), others with or without.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
    /// A query parameter. Servers and proxies log those.
    Query(Box<str>),
}

/// The token in the first of the sources that has one.
///
/// Two of one name are refused: nobody could say which of them a backend takes.
pub(super) fn token<'a>(
    sources: &[TokenSource],
    request: &RequestView<'a>,
) -> Result<Option<&'a [u8]>, TokenError> {
    for source in sources {
        let found = match source {
            TokenSource::Header(name) => {
                let only_bearer = name.eq_ignore_ascii_case("authorization");
                only(request.headers.all(name))?.and_then(|value| {
                    bearer(value).or_else(|| Some(value).filter(|value| !only_bearer && !value.is_empty()))
                })
            }
            TokenSource::Cookie(name) => {
                only(request.headers.cookies(name).filter(|value| !value.is_empty()))?
            }
            TokenSource::Query(name) => match request.query {
                Some(query) => only(parameters(query, name.as_bytes()))?,
                None => None,
            },
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The one there is, if any.
fn only<T>(mut all: impl Iterator<Item = T>) -> Result<Option<T>, TokenError> {
    let first = all.next();
    if all.next().is_some() { Err(TokenError::Ambiguous) } else { Ok(first) }
}

/// What follows `Bearer`, in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer ".len())?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// The parameters of this name that are not empty; a token has no character that would be encoded.
fn parameters<'q>(query: &'q [u8], name: &[u8]) -> impl Iterator<Item = &'q [u8]> {
    query
        .split(|byte| *byte == b'&')
        .filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix(b"="))
        .filter(|value| !value.is_empty())
}

/// The query with `-` for each value of this name.
pub(super) fn without_values<'q>(query: Cow<'q, [u8]>, name: &[u8]) -> Cow<'q, [u8]> {
    if parameters(&query, name).next().is_none() {
        return query;
    }
    let mut kept = Vec::with_capacity(query.len());
    for (at, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if at > 0 {
            kept.push(b'&');
        }
        match pair.strip_prefix(name) {
            Some([b'=', _, ..]) => {
                kept.extend_from_slice(name);
                kept.extend_from_slice(b"=-");
            }
            _ => kept.extend_from_slice(pair),
        }
    }
    Cow::Owned(kept)
}
