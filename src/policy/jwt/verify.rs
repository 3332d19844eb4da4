//! Whether a token is to be trusted.

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde_json::{Map, Value};

use super::{
    Trust,
    keys::{Key, KeySet},
};
use crate::split::Claims;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8 << 10;

/// Why a token is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No signed token of at most 8 KiB: another form, `alg: none`, a header that must be understood and is not.
    #[error("it is no signed token")]
    Malformed,
    /// Two where one is expected: nobody could say which of them a backend takes.
    #[error("it is there more than once")]
    Ambiguous,
    /// No key is for its key id and algorithm.
    #[error("no key is for it")]
    NoKey,
    /// Its signature is by none of the keys.
    #[error("its signature is wrong")]
    Signature,
    /// It has no time at which it ends.
    #[error("it does not say when it ends")]
    Endless,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet")]
    Early,
    /// Of another issuer.
    #[error("it is by another issuer")]
    Issuer,
    /// For another audience.
    #[error("it is for another audience")]
    Audience,
}

/// The claims of a token that is good now, and until when it is, in seconds since 1970.
pub(super) fn verify(
    token: &[u8],
    keys: &KeySet,
    trust: &Trust,
    now_unix_secs: u64,
) -> Result<(Claims, u64), TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Malformed);
    }
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    // Extensions that must be understood; none is (RFC 7515, section 4.1.11).
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    if !trust.algorithms.is_empty() && !trust.algorithms.contains(&header.alg) {
        return Err(TokenError::NoKey);
    }
    let mut error = TokenError::NoKey;
    for key in keys.fitting(header.kid.as_deref(), header.alg) {
        match signed(token, key, header.alg) {
            Ok(payload) => {
                let expires = check(&payload, trust, now_unix_secs)?;
                return Ok((Claims::new(payload), expires));
            }
            Err(other) => error = other,
        }
    }
    Err(error)
}

/// What is signed, if it is by this key.
fn signed(token: &[u8], key: &Key, algorithm: Algorithm) -> Result<Map<String, Value>, TokenError> {
    // Times, issuer and audience are checked below.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match decode(token, &key.key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Err(TokenError::Signature),
        Err(_) => Err(TokenError::Malformed),
    }
}

/// Time, issuer and audience (RFC 7519, section 4.1); until when the token is good.
fn check(payload: &Map<String, Value>, trust: &Trust, now: u64) -> Result<u64, TokenError> {
    let ends = match payload.get("exp") {
        None => return Err(TokenError::Endless),
        Some(exp) => seconds(exp).ok_or(TokenError::Malformed)?,
    };
    let expires = ends.saturating_add(trust.leeway_secs);
    if now >= expires {
        return Err(TokenError::Expired);
    }
    if let Some(begin) = payload.get("nbf")
        && seconds(begin).ok_or(TokenError::Malformed)? > now.saturating_add(trust.leeway_secs)
    {
        return Err(TokenError::Early);
    }
    if let Some(issuer) = &trust.issuer
        && payload.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(TokenError::Issuer);
    }
    let named = |value: &Value| {
        value.as_str().is_some_and(|audience| trust.audience.iter().any(|known| known == audience))
    };
    let is_for_us = match payload.get("aud") {
        None => trust.audience.is_empty(),
        Some(Value::Array(all)) => all.iter().any(named),
        Some(one) => named(one),
    };
    if is_for_us { Ok(expires) } else { Err(TokenError::Audience) }
}

/// A date in whole seconds; a token may have parts of them.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and dates are rounded down"
)]
fn seconds(date: &Value) -> Option<u64> {
    date.as_u64().or_else(|| date.as_f64().filter(|date| date.is_finite()).map(|date| date as u64))
}
