//! Tokens: whatever a request carries, claims come only out of what the key has signed.

use std::{cell::RefCell, net::Ipv4Addr, sync::Arc};

use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::json;
use weir::{
    http::{HeaderList, RequestView},
    policy::jwt::{Algorithm, Identity, KeyFormat, KeySet, Provider, TokenCache, TokenSource, Trust},
    types::Name,
};

use super::engine::{Target, Verdict, hash_of};

const NOW: u64 = 1_800_000_000;
/// 32 bytes in base64url.
const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTAwMDA";
const PIECES: &[&str] = &[
    ".",
    "..",
    "=",
    "-",
    "_",
    "+",
    "/",
    " ",
    "Bearer ",
    "bearer ",
    "eyJhbGciOiJub25lIn0",
    "eyJhbGciOiJSUzI1NiJ9",
    "e30",
    "bnVsbA",
    "eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiZXhwIl19",
    "W10",
    "AAAA",
    "\0",
    "\u{e4}",
];

#[test]
fn jwt() {
    let stage = Stage::new();
    let grammar = grammar(stage.signed.clone());
    Target { name: "jwt", grammar, pieces: PIECES, judge: Box::new(move |input| stage.judge(input)) }.run();
}

#[test]
fn jwt_keys() {
    let keys =
        format!("{{\"keys\":[{{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS256\",\"k\":\"{SECRET}\"}}]}}");
    let pieces: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "null",
        "\"kty\":\"RSA\"",
        "\"n\":\"AQAB\"",
        "\"e\":\"\"",
        "\"crv\":\"P-256\"",
        "\"x\":\"AA\"",
        "\"use\":\"enc\"",
        "-----BEGIN PUBLIC KEY-----\n",
        "-----END PUBLIC KEY-----\n",
        "MFkw",
        "\n",
        "\\u0000",
    ];
    let judge = |input: &[u8]| {
        let read = [KeyFormat::Jwks, KeyFormat::Pem].map(|format| match KeySet::read(format, input) {
            Ok(_) => "read".to_owned(),
            Err(error) => format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect(),
        });
        Ok(hash_of(&read))
    };
    Target { name: "jwt-keys", grammar: Just(keys.into_bytes()).boxed(), pieces, judge: Box::new(judge) }
        .run();
}

/// A signed token, or the parts of several in another order.
fn grammar(signed: Vec<String>) -> BoxedStrategy<Vec<u8>> {
    let token = prop::sample::select(signed);
    let mixed = (token.clone(), token.clone(), token.clone()).prop_map(|(a, b, c)| {
        let part = |token: &str, at: usize| token.split('.').nth(at).unwrap().to_owned();
        [part(&a, 0), part(&b, 1), part(&c, 2)].join(".")
    });
    prop_oneof![2 => token, 1 => mixed].prop_map(|token| format!("Bearer {token}").into_bytes()).boxed()
}

struct Stage {
    provider: Provider,
    signed: Vec<String>,
    /// A cache that lives on, as a worker's does: it must never answer for a token that was not verified.
    cache: RefCell<TokenCache>,
}

// === impl Stage ===

impl Stage {
    fn new() -> Self {
        let key = EncodingKey::from_base64_secret("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTAwMDA=").unwrap();
        let keys = json!({ "keys": [{ "kty": "oct", "kid": "a", "k": SECRET }] }).to_string();
        let trust = Trust {
            sources: vec![TokenSource::Header("Authorization".into())],
            issuer: Some("https://id.example".to_owned()),
            audience: vec!["shop".to_owned()],
            algorithms: Vec::new(),
            leeway_secs: 60,
        };
        let signed = [
            json!({ "sub": "anna", "iss": "https://id.example", "aud": "shop", "exp": NOW + 100 }),
            json!({ "sub": "bert", "iss": "https://id.example", "aud": ["x", "shop"], "exp": NOW + 9, "nbf": NOW }),
            json!({ "sub": "late", "iss": "https://id.example", "aud": "shop", "exp": NOW - 100 }),
            json!({ "sub": "else", "iss": "https://evil.example", "aud": "shop", "exp": NOW + 100 }),
            json!({ "sub": "long", "iss": "https://id.example", "aud": "other", "exp": NOW + 100 }),
        ]
        .iter()
        .flat_map(|claims| {
            [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]
                .map(|algorithm| encode(&Header::new(algorithm), claims, &key).unwrap())
        })
        .collect();
        let keys = KeySet::read(KeyFormat::Jwks, keys.as_bytes()).unwrap();
        let provider = Provider::new(Name::new("id").unwrap(), trust, Arc::new(keys));
        Self { provider, signed, cache: RefCell::new(TokenCache::new([1, 2])) }
    }

    fn judge(&self, input: &[u8]) -> Verdict {
        let mut list = HeaderList::default();
        list.push("Authorization", input);
        let request = RequestView {
            method: "GET",
            host: "a",
            path: b"/",
            query: None,
            headers: list.view(),
            client_ip: Ipv4Addr::LOCALHOST.into(),
            peer_ip: Ipv4Addr::LOCALHOST.into(),
            secure: true,
            listener_region: None,
        };
        match self.provider.identify(&request, NOW, &mut self.cache.borrow_mut()) {
            Identity::Verified { claims, .. } => {
                let who = claims.text("sub").unwrap_or_default().to_owned();
                let carried = String::from_utf8_lossy(input);
                let token = carried.get(7..).unwrap_or_default().trim();
                if !["anna", "bert"].contains(&&*who) || !self.signed.iter().any(|signed| signed == token) {
                    return Err(format!("believed to be {who:?}"));
                }
                Ok(hash_of(&who))
            }
            Identity::Missing => Ok(1),
            Identity::Bad(error) => Ok(hash_of(&format!("{error:?}"))),
        }
    }
}
