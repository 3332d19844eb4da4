//! Verified tokens.

use super::{Map, Out, duration};
use crate::config::model::{JwtProvider, KeyFile, RouteJwt, TokenSource};

pub(super) fn provider(provider: &JwtProvider) -> Out {
    let (key, path) = match &provider.keys {
        KeyFile::Pem(path) => ("keys_file", path),
        KeyFile::Jwks(path) => ("jwks_file", path),
    };
    let sources: Vec<Map> = provider
        .token
        .iter()
        .map(|source| match source {
            TokenSource::Header(name) => Map::default().put("header", name.clone()),
            TokenSource::Cookie(name) => Map::default().put("cookie", name.clone()),
            TokenSource::Query(name) => Map::default().put("query", name.clone()),
        })
        .collect();
    Map::default()
        .opt("issuer", provider.issuer.clone())
        .some("audience", provider.audience.clone())
        .put(key, path.to_string_lossy().into_owned())
        .some("algorithms", provider.algorithms.clone())
        .put("token", sources)
        .put("leeway", duration(provider.leeway))
        .into()
}

pub(super) fn route_jwt(jwt: &RouteJwt) -> Map {
    let claims = jwt.claims.iter().map(|(header, claim)| (header.clone(), claim.clone().into()));
    Map::default()
        .put("provider", jwt.provider.as_str())
        .put("required", jwt.required)
        .put("forward", jwt.forward)
        .some("claims", Out::Map(claims.collect()))
}
