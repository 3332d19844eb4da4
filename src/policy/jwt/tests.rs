//! Tokens that must be taken, and all the ways in which they must not.

use std::sync::{Arc, LazyLock};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::*;
use crate::http::HeaderList;

mod attacks;

const NOW: u64 = 1_800_000_000;
/// 32 bytes in base64url.
const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTAwMDA";

struct Signer {
    pair: KeyPair,
    signing: EncodingKey,
}

static P256: LazyLock<Signer> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    Signer { pair, signing }
});
static P384: LazyLock<Signer> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let signing = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    Signer { pair, signing }
});
static ED25519: LazyLock<Signer> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let signing = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    Signer { pair, signing }
});
static RSA: LazyLock<Signer> = LazyLock::new(|| {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let signing = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    Signer { pair, signing }
});

fn pem(signer: &Signer) -> KeySet {
    KeySet::read(KeyFormat::Pem, signer.pair.public_key_pem().as_bytes()).unwrap()
}

fn jwks(keys: Value) -> Result<KeySet, KeyError> {
    KeySet::read(KeyFormat::Jwks, json!({ "keys": keys }).to_string().as_bytes())
}

fn trust() -> Trust {
    Trust {
        sources: vec![TokenSource::Header("Authorization".into())],
        issuer: Some("https://id.example".to_owned()),
        audience: vec!["shop".to_owned(), "api".to_owned()],
        algorithms: Vec::new(),
        leeway_secs: 60,
    }
}

fn provider(trust: Trust, keys: KeySet) -> Provider {
    Provider::new(Name::new("id").unwrap(), trust, Arc::new(keys))
}

fn claims() -> Value {
    json!({ "sub": "anna", "iss": "https://id.example", "aud": "shop", "exp": NOW + 100, "plan": "beta" })
}

fn with(changes: Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => all.as_object_mut().unwrap().remove(name),
            value => all.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    all
}

fn sign(signer: &Signer, algorithm: Algorithm, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &signer.signing).unwrap()
}

fn ask(provider: &Provider, headers: &[(&str, &str)], query: &str) -> Identity {
    let mut cache = TokenCache::new([3, 4]);
    let list = HeaderList::from_pairs(headers.iter().copied());
    provider.identify(&view(&list, query), NOW, &mut cache)
}

fn view<'a>(list: &'a HeaderList, query: &'a str) -> RequestView<'a> {
    RequestView {
        method: "GET",
        host: "a",
        path: b"/",
        query: Some(query.as_bytes()),
        headers: list.view(),
        client_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        peer_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        secure: true,
        listener_region: None,
    }
}

/// What became of a token, in a word.
fn fate(identity: &Identity) -> String {
    match identity {
        Identity::Verified { claims, cached } => {
            format!("{}{}", claims.text("sub").unwrap_or("-"), if *cached { " again" } else { "" })
        }
        Identity::Missing => "missing".to_owned(),
        Identity::Bad(error) => format!("{error:?}"),
    }
}

fn judge(provider: &Provider, token: &str) -> String {
    fate(&ask(provider, &[("authorization", &format!("Bearer {token}"))], ""))
}

#[test]
fn claims_are_checked_one_by_one() {
    let provider = provider(trust(), pem(&P256));
    for (changes, expected) in [
        (json!({}), "anna"),
        (json!({ "aud": ["other", "api"] }), "anna"),
        (json!({ "aud": "other" }), "Audience"),
        (json!({ "aud": ["other"] }), "Audience"),
        (json!({ "aud": [] }), "Audience"),
        (json!({ "aud": 7 }), "Audience"),
        (json!({ "aud": null }), "Audience"),
        (json!({ "iss": "https://evil.example" }), "Issuer"),
        (json!({ "iss": ["https://id.example"] }), "Issuer"),
        (json!({ "iss": null }), "Issuer"),
        (json!({ "exp": NOW - 59 }), "anna"),
        (json!({ "exp": NOW - 60 }), "Expired"),
        (json!({ "exp": 0 }), "Expired"),
        (json!({ "exp": -1 }), "Expired"),
        (json!({ "exp": (NOW + 5) as f64 + 0.5 }), "anna"),
        (json!({ "exp": "later" }), "Malformed"),
        (json!({ "exp": null }), "Endless"),
        (json!({ "nbf": NOW + 60 }), "anna"),
        (json!({ "nbf": NOW + 61 }), "Early"),
        (json!({ "nbf": "x" }), "Malformed"),
        (json!({ "exp": u64::MAX }), "anna"),
        (json!({ "sub": null }), "-"),
    ] {
        let token = sign(&P256, Algorithm::ES256, &with(changes.clone()));
        assert_eq!(judge(&provider, &token), expected, "{changes}");
    }
}

#[test]
fn without_issuer_and_audience_any_issuer_is_taken_and_no_audience() {
    let provider = provider(Trust { issuer: None, audience: Vec::new(), ..trust() }, pem(&P256));
    for (changes, expected) in
        [(json!({ "iss": "x", "aud": null }), "anna"), (json!({ "aud": "shop" }), "Audience")]
    {
        assert_eq!(judge(&provider, &sign(&P256, Algorithm::ES256, &with(changes))), expected);
    }
}

#[test]
fn each_kind_of_key_verifies_its_own_algorithms() {
    let signers: [(&Signer, &[Algorithm]); 4] = [
        (&RSA, &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS512]),
        (&P256, &[Algorithm::ES256]),
        (&P384, &[Algorithm::ES384]),
        (&ED25519, &[Algorithm::EdDSA]),
    ];
    for (at, (signer, algorithms)) in signers.iter().enumerate() {
        for algorithm in *algorithms {
            let token = sign(signer, *algorithm, &claims());
            for (other, (keys, _)) in signers.iter().enumerate() {
                let got = judge(&provider(trust(), pem(keys)), &token);
                assert_eq!(got, if other == at { "anna" } else { "NoKey" }, "{algorithm:?} by {other}");
            }
        }
    }
}

#[test]
fn several_keys_in_one_file_are_all_tried() {
    let text = [&*RSA, &P256, &ED25519].map(|signer| signer.pair.public_key_pem()).concat();
    let keys = KeySet::read(KeyFormat::Pem, text.as_bytes()).unwrap();
    let provider = provider(trust(), keys);
    for (signer, algorithm) in
        [(&*RSA, Algorithm::RS256), (&P256, Algorithm::ES256), (&ED25519, Algorithm::EdDSA)]
    {
        assert_eq!(judge(&provider, &sign(signer, algorithm, &claims())), "anna");
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    // The classic: the token says HMAC, and its "secret" is the text or the DER of the public key.
    let provider = provider(trust(), pem(&RSA));
    for secret in [RSA.pair.public_key_pem().into_bytes(), RSA.pair.public_key_raw().to_vec()] {
        let token =
            encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(judge(&provider, &token), "NoKey");
    }
}

#[test]
fn what_is_not_signed_is_not_read() {
    let provider = provider(trust(), pem(&P256));
    let good = sign(&P256, Algorithm::ES256, &claims());
    let (body, signature) = good.rsplit_once('.').unwrap();
    let (head, payload) = body.split_once('.').unwrap();
    // {"alg":"none"}, {"alg":"None","typ":"JWT"}
    for none in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0"] {
        assert_eq!(judge(&provider, &format!("{none}.{payload}.")), "Malformed");
        assert_eq!(judge(&provider, &format!("{none}.{payload}.{signature}")), "Malformed");
    }
    let mut flipped = signature.to_owned();
    flipped.replace_range(..1, if signature.starts_with('A') { "B" } else { "A" });
    let other = sign(&P256, Algorithm::ES256, &with(json!({ "sub": "mallory" })));
    let foreign = other.split('.').nth(1).unwrap();
    for (token, expected) in [
        (format!("{head}.{payload}."), "Signature"),
        (format!("{head}.{payload}.{flipped}"), "Signature"),
        (format!("{head}.{foreign}.{signature}"), "Signature"),
        (format!("{head}.{payload}"), "Malformed"),
        (format!("{good}.x"), "Malformed"),
        (format!("{good}{}", "A".repeat(9000)), "Malformed"),
        ("..".to_owned(), "Malformed"),
        ("x".to_owned(), "Malformed"),
    ] {
        assert_eq!(judge(&provider, &token), expected, "{token:.80}");
    }
}

#[test]
fn extensions_that_must_be_understood_are_refused() {
    let header = Header { crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::ES256) };
    let token = encode(&header, &claims(), &P256.signing).unwrap();
    assert_eq!(judge(&provider(trust(), pem(&P256)), &token), "Malformed");
}

#[test]
fn the_provider_narrows_algorithms() {
    let provider = provider(Trust { algorithms: vec![Algorithm::PS256], ..trust() }, pem(&RSA));
    assert_eq!(judge(&provider, &sign(&RSA, Algorithm::PS256, &claims())), "anna");
    assert_eq!(judge(&provider, &sign(&RSA, Algorithm::RS256, &claims())), "NoKey");
}

#[test]
fn a_set_has_keys_by_id_and_says_what_they_are_for() {
    let secret = EncodingKey::from_base64_secret("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTAwMDA=").unwrap();
    let oct = |more: Value| {
        let mut key = json!({ "kty": "oct", "k": SECRET });
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let token = |algorithm, kid: Option<&str>| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &claims(), &secret).unwrap()
    };
    let hs256 = Algorithm::HS256;
    for (keys, algorithm, kid, expected) in [
        (json!([oct(json!({ "kid": "a" }))]), hs256, Some("a"), "anna"),
        (json!([oct(json!({ "kid": "a" }))]), hs256, Some("b"), "NoKey"),
        (json!([oct(json!({ "kid": "a" }))]), hs256, None, "anna"),
        (json!([oct(json!({}))]), hs256, Some("b"), "anna"),
        (json!([oct(json!({ "alg": "HS512" }))]), hs256, None, "NoKey"),
        (json!([oct(json!({ "alg": "HS512" }))]), Algorithm::HS512, None, "anna"),
        (
            json!([{ "kty": "oct", "k": SECRET, "kid": "x", "use": "enc" }, oct(json!({}))]),
            hs256,
            None,
            "anna",
        ),
        (json!([{ "kty": "new", "z": 1 }, oct(json!({ "key_ops": ["verify"] }))]), hs256, None, "anna"),
    ] {
        let provider = provider(trust(), jwks(keys.clone()).unwrap());
        assert_eq!(judge(&provider, &token(algorithm, kid)), expected, "{keys} {kid:?}");
    }
}

#[test]
fn files_without_a_good_key_are_refused() {
    let private = P256.pair.serialize_pem();
    for (format, content, expected) in [
        (KeyFormat::Pem, "", "there is no key in it that verifies signatures"),
        (KeyFormat::Pem, "hello", "there is no key in it that verifies signatures"),
        (KeyFormat::Pem, &private, "key 1 is a private key; only its public half belongs here"),
        (
            KeyFormat::Pem,
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "key 1 is not a public key for RSA, P-256, P-384 or Ed25519",
        ),
        (KeyFormat::Jwks, "[]", "not a JSON Web Key Set"),
        (KeyFormat::Jwks, r#"{"keys":[]}"#, "there is no key in it that verifies signatures"),
        (
            KeyFormat::Jwks,
            r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#,
            "key 1 is a secret of less than 32 bytes",
        ),
        (
            KeyFormat::Jwks,
            r#"{"keys":[{"kty":"oct","k":"c2hvcnQ","alg":"RS256"}]}"#,
            "there is no key in it that verifies signatures",
        ),
    ] {
        let error = KeySet::read(format, content.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{content}");
    }
    assert_eq!(KeySet::read(KeyFormat::Pem, b"\xff").unwrap_err().to_string(), "the file is not UTF-8");
}

#[test]
fn the_first_source_that_has_a_token_gives_it() {
    let sources = vec![
        TokenSource::Header("Authorization".into()),
        TokenSource::Header("X-Token".into()),
        TokenSource::Cookie("session".into()),
        TokenSource::Query("access_token".into()),
    ];
    let provider = provider(Trust { sources, ..trust() }, pem(&P256));
    let named = |sub: &str| sign(&P256, Algorithm::ES256, &with(json!({ "sub": sub })));
    let (a, b, c, d) = (named("a"), named("b"), named("c"), named("d"));
    let bearer = format!("bEARER  {a}");
    let cookie = format!("x=1; session={c}");
    let cookies = format!("session={c}; session=x");
    let query = format!("q=1&access_token={d}&access_token=");
    let twice = format!("access_token={d}&q=1&access_token=x");
    let basic = ("Authorization", "Basic eDp5");
    for (headers, query, expected) in [
        (vec![("authorization", &*bearer), ("X-Token", &b), ("Cookie", &cookie)], &*query, "a"),
        (vec![basic, ("X-Token", &b), ("Cookie", &cookie)], &query, "b"),
        (vec![("X-Token", &*bearer)], "", "a"),
        (vec![basic, ("Cookie", &cookie)], &query, "c"),
        (vec![("Cookie", "session=")], &query, "d"),
        (vec![("Cookie", &cookie)], &twice, "c"),
        (vec![], &twice, "Ambiguous"),
        (vec![("Cookie", &cookies)], &query, "Ambiguous"),
        (vec![("Cookie", &cookie), ("Cookie", &cookie)], &query, "Ambiguous"),
        (vec![basic], "access_token=&other=1", "missing"),
        (vec![("Authorization", "Bearer ")], "", "missing"),
        (vec![("Authorization", &bearer), ("Authorization", &bearer)], "", "Ambiguous"),
        (vec![("Authorization", &bearer), ("authorization", "Basic eDp5")], "", "Ambiguous"),
        (vec![("Authorization", "Bearer nonsense"), ("X-Token", &b)], "", "Malformed"),
    ] {
        assert_eq!(fate(&ask(&provider, &headers, query)), expected, "{headers:?} {query}");
    }
    for (header, carries, feigns) in [
        ("x-token", true, false),
        ("X_Token", true, true),
        ("authorization", true, false),
        ("cookie", false, false),
        ("x-tokens", false, false),
    ] {
        let seen = (provider.is_carried_by(header.as_bytes()), provider.is_feigned_by(header.as_bytes()));
        assert_eq!(seen, (carries, feigns), "{header}");
    }
}

#[test]
fn what_is_logged_of_a_query_has_no_token() {
    let sources = ["access_token", "t"].map(|name| TokenSource::Query(name.into()));
    let provider = provider(Trust { sources: sources.to_vec(), ..trust() }, pem(&P256));
    for (query, logged) in [
        ("", ""),
        ("q=1", "q=1"),
        ("access_token=eyJ.a.b", "access_token=-"),
        ("q=1&access_token=eyJ.a.b&&t=x&access_token=y&r=2", "q=1&access_token=-&&t=-&access_token=-&r=2"),
        ("access_token=&t&access_tokens=1&xt=2", "access_token=&t&access_tokens=1&xt=2"),
    ] {
        assert_eq!(provider.without_tokens(query.as_bytes()), logged.as_bytes(), "{query}");
    }
}

#[test]
fn a_known_token_is_not_verified_again_and_is_forgotten_with_its_keys() {
    let mut cache = TokenCache::new([3, 4]);
    let token = format!("Bearer {}", sign(&P256, Algorithm::ES256, &claims()));
    let list = HeaderList::from_pairs([("Authorization", &*token)]);
    let mut ask = |provider: &Provider, now| fate(&provider.identify(&view(&list, ""), now, &mut cache));
    let first = provider(trust(), pem(&P256));
    assert_eq!(ask(&first, NOW), "anna");
    assert_eq!(ask(&first, NOW), "anna again");
    assert_eq!(ask(&first, NOW + 159), "anna again");
    assert_eq!(ask(&first, NOW + 160), "Expired");
    // A reload that changes nothing keeps what is known; any other change does not.
    assert_eq!(ask(&provider(trust(), pem(&P256)), NOW), "anna again");
    let other_audience = Trust { audience: vec!["other".to_owned()], ..trust() };
    assert_eq!(ask(&provider(other_audience, pem(&P256)), NOW), "Audience");
    let other_file = Provider::new(Name::new("id").unwrap(), trust(), Arc::new(pem(&P384)));
    assert_eq!(ask(&other_file, NOW), "NoKey");
}
