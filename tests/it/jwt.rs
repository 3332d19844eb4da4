//! Verified tokens: who gets in, who is who, what the backend is told, and keys that change.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, GET, Origin, Setup, Weir, client::Response, weir::eventually};

/// A signer and the file of its public key.
struct Issuer {
    pair: KeyPair,
    folder: TempDir,
}

impl Issuer {
    fn new() -> Self {
        let issuer = Self {
            pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
            folder: TempDir::new().unwrap(),
        };
        issuer.publish(&issuer.pair);
        issuer
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("keys.pem")
    }

    /// Puts this key into the file, as a deployment does.
    fn publish(&self, pair: &KeyPair) {
        replace(&self.file(), &pair.public_key_pem());
    }

    fn token(&self, claims: Value) -> String {
        sign(&self.pair, claims)
    }

    /// The provider `id` in the control file.
    fn provider(&self, keys: &str) -> String {
        format!("jwt: {{ id: {{ keys_file: {}, {keys} }} }}", self.file().display())
    }
}

fn replace(path: &Path, text: &str) {
    let draft = path.with_extension("new");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, path).unwrap();
}

/// A token that is good for an hour.
fn sign(pair: &KeyPair, mut claims: Value) -> String {
    let all = claims.as_object_mut().unwrap();
    all.entry("exp").or_insert(json!(in_seconds(3600)));
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "tokens hold real times")]
fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

fn ask(client: &mut Client, token: &str) -> Response {
    client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

fn tokens(weir: &Weir, result: &str) -> u64 {
    weir.count("weir_jwt_tokens_total", &format!("result=\"{result}\""))
}

#[test]
fn only_a_good_token_gets_in() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let weir = Setup::before(&origin)
        .top(&issuer.provider("issuer: us, audience: shop"))
        .route("name: all, backend: stable, jwt: { provider: id }")
        .start();
    let mut client = weir.client();
    let none = client.ask(GET);
    assert_eq!((none.status, none.get("www-authenticate")), (401, Some("Bearer")));
    let good = issuer.token(json!({ "iss": "us", "aud": "shop", "sub": "anna" }));
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let other = Issuer::new();
    for (token, status) in [
        (good.clone(), 200),
        (good, 200),
        (issuer.token(json!({ "iss": "us", "aud": "shop", "exp": in_seconds(-100) })), 401),
        (issuer.token(json!({ "iss": "them", "aud": "shop" })), 401),
        (issuer.token(json!({ "iss": "us", "aud": "bank" })), 401),
        (other.token(json!({ "iss": "us", "aud": "shop" })), 401),
        (unsigned, 401),
        ("nonsense".to_owned(), 401),
    ] {
        let response = ask(&mut client, &token);
        assert_eq!(response.status, status, "{token}: {}", response.text());
        let challenge = (status == 401).then_some("Bearer error=\"invalid_token\"");
        assert_eq!(response.get("www-authenticate"), challenge, "{token}");
    }
    assert_eq!(origin.requests().len(), 2);
    for (result, count) in [
        ("missing", 1),
        ("verified", 1),
        ("known", 1),
        ("expired", 1),
        ("issuer", 1),
        ("audience", 1),
        ("signature", 1),
        ("malformed", 2),
    ] {
        weir.counts("weir_jwt_tokens_total", &format!("result=\"{result}\""), count);
    }
    weir.counts("weir_policy_responses_total", "policy=\"jwt\"", 7);
}

#[test]
fn claims_split_users_and_hold_in_rules() {
    let issuer = Issuer::new();
    let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
    let weir = Setup::new()
        .backend("stable", &[stable.address])
        .backend("canary", &[canary.address])
        .top(&issuer.provider(""))
        .top("segments: { beta: { jwt: { claim: groups, exact: beta } } }")
        .route(
            "name: all, jwt: { provider: id, required: false }, \
             rules: [ { match: { segment: beta }, backend: canary } ], \
             split: { key: [ { jwt: sub } ], backends: { stable: 50, canary: 50 } }",
        )
        .start();
    let mut client = weir.client();
    let mut seen = [0, 0];
    for number in 0..40 {
        let sub = format!("user-{number}");
        let first = ask(&mut client, &issuer.token(json!({ "sub": sub }))).text();
        // Another token of the same user, over another connection.
        let again = ask(&mut weir.client(), &issuer.token(json!({ "sub": sub, "jti": "x" })));
        assert_eq!(again.text(), first);
        assert!(!again.head.has("set-cookie"), "the identity suffices");
        seen[usize::from(first == "canary")] += 1;
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
    let beta = json!({ "sub": "user-1", "groups": ["staff", "beta"] });
    assert_eq!(ask(&mut client, &issuer.token(beta.clone())).text(), "canary");
    // A token that nobody has signed makes nobody a tester, and such users get the cookie as anybody does.
    let forged = sign(&Issuer::new().pair, beta);
    let anonymous = ask(&mut client, &forged);
    assert_eq!((anonymous.status, anonymous.head.has("set-cookie")), (200, true));
    assert_eq!(tokens(&weir, "signature"), 1);
}

#[test]
fn the_backend_gets_claims_that_no_client_can_write() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let weir = Setup::before(&origin)
        .top(&issuer.provider(""))
        .route(
            "name: all, backend: stable, jwt: { provider: id, required: false, forward: false, \
             claims: { X-User: sub, X-Groups: groups } }",
        )
        .start();
    let forged = "X-User: root\r\nx_user: root\r\nX-GROUPS: admin\r\n";
    let good = issuer.token(json!({ "sub": "anna", "groups": ["a", "b\r\nX-Evil: 1", "", "c"] }));
    let mut client = weir.client();
    client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}Authorization: Bearer {good}\r\n\r\n"));
    client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{forged}\r\n"));
    let [known, unknown] = &origin.requests()[..] else { panic!("two requests") };
    assert_eq!(known.head.all("x-user"), ["anna"]);
    assert_eq!(known.head.all("x-groups"), ["a, c"]);
    for seen in [known, unknown] {
        for name in ["x_user", "x-evil", "authorization"] {
            assert!(!seen.has(name), "{name}");
        }
    }
    assert!(!unknown.has("x-user") && !unknown.has("x-groups"));
}

#[test]
fn keys_change_with_their_file() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let weir = Setup::before(&origin)
        .top(&issuer.provider(""))
        .route("name: all, backend: stable, jwt: { provider: id }")
        .start();
    let next = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (old, new) = (issuer.token(json!({})), sign(&next, json!({})));
    let mut client = weir.client();
    assert_eq!([ask(&mut client, &old).status, ask(&mut client, &new).status], [200, 401]);
    issuer.publish(&next);
    eventually("the new key counts", || (ask(&mut client, &new).status == 200).then_some(()));
    // Its key is gone, so a token that was good a moment ago is not, known or not.
    assert_eq!(ask(&mut client, &old).status, 401);
    // A file without a key changes nothing.
    replace(&issuer.file(), "nothing");
    replace(&issuer.file(), &[next.public_key_pem(), issuer.pair.public_key_pem()].concat());
    eventually("both keys count", || (ask(&mut client, &old).status == 200).then_some(()));
    assert_eq!(ask(&mut client, &new).status, 200);
}
