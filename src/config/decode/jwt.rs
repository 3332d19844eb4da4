//! Providers of tokens, what routes do with them, and claims.

use std::path::PathBuf;

use super::{
    Context, Referent,
    conditions::value_match,
    reader::{self, Object, Place},
};
use crate::config::{
    keys::{ALGORITHMS, JWT_PROVIDER, Kind, Scalar},
    model::{JwtProvider, KeyFile, NamedMatch, RouteJwt, TokenSource},
};

pub(super) fn provider(place: &Place<'_>, cx: &mut Context) -> JwtProvider {
    let mut object = Object::open(cx, place, &JWT_PROVIDER);
    let pem = object.opt::<String>(cx, "keys_file").map(|path| KeyFile::Pem(PathBuf::from(path)));
    let jwks = object.opt::<String>(cx, "jwks_file").map(|path| KeyFile::Jwks(PathBuf::from(path)));
    let sources = object.objects(cx, "token");
    let mut token: Vec<TokenSource> =
        sources.into_iter().filter_map(|source| token_source(source, cx)).collect();
    if token.is_empty() {
        token.push(TokenSource::Header("Authorization".to_owned()));
    }
    let algorithms = object.items(cx, "algorithms");
    let algorithms = algorithms
        .iter()
        .filter_map(|place| reader::word(cx, place, ALGORITHMS, ("jwt_provider", "algorithms")))
        .map(str::to_owned)
        .collect();
    JwtProvider {
        issuer: object.opt(cx, "issuer"),
        audience: object.list(cx, "audience"),
        keys: pem.or(jwks).unwrap_or_else(|| KeyFile::Pem(PathBuf::new())),
        algorithms,
        token,
        leeway: object.get(cx, "leeway"),
    }
}

fn token_source(mut object: Object<'_>, cx: &mut Context) -> Option<TokenSource> {
    let header = object.opt(cx, "header").map(TokenSource::Header);
    let cookie = object.opt(cx, "cookie").map(TokenSource::Cookie);
    let query = object.opt(cx, "query").map(TokenSource::Query);
    header.or(cookie).or(query)
}

pub(super) fn route_jwt(mut object: Object<'_>, cx: &mut Context) -> RouteJwt {
    let claim = Kind::Scalar(Scalar::Word);
    let claims = object.entries(cx, "claims").into_iter();
    let claims =
        claims.map(|(header, place)| (header.to_string(), reader::scalar(cx, &place, &claim))).collect();
    RouteJwt {
        provider: object.reference(cx, "provider", Referent::JwtProvider),
        required: object.get(cx, "required"),
        forward: object.get(cx, "forward"),
        claims,
    }
}

pub(super) fn claim_matches(object: &mut Object<'_>, cx: &mut Context, key: &str) -> Vec<NamedMatch> {
    let claims = object.objects(cx, key).into_iter();
    claims
        .map(|mut claim| NamedMatch { name: claim.get(cx, "claim"), value: value_match(&mut claim, cx) })
        .collect()
}
