//! Verified tokens: who gets in, who is who, what the backend is told, and keys that change.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, runtime::Builder};

use crate::support::{
    Client, GET, Origin, Setup, Weir,
    client::Response,
    process::{Home, Process},
    weir::eventually,
};

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

/// The same over HTTP/2 in the clear, with fields behind a body.
fn call(address: SocketAddr, fields: &[(&str, &str)], trailers: &[(&str, &str)]) -> http::Response<()> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::post("http://a/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (response, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"ok"), trailers.is_empty()).unwrap();
        if !trailers.is_empty() {
            let named = |(name, value): &(&str, &str)| {
                (name.parse::<http::HeaderName>().unwrap(), value.parse::<http::HeaderValue>().unwrap())
            };
            body.send_trailers(trailers.iter().map(named).collect()).unwrap();
        }
        response.await.unwrap().map(drop)
    })
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
    assert_eq!((none.status, none.get("www-authenticate")), (401, Some("Bearer realm=\"id\"")));
    let good = issuer.token(json!({ "iss": "us", "aud": "shop", "sub": "anna" }));
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", good.split('.').nth(1).unwrap());
    let other = Issuer::new();
    // A token of another kind of signature, whose secret is the public key as its file has it.
    let secret = EncodingKey::from_secret(issuer.pair.public_key_pem().as_bytes());
    let claims = json!({ "iss": "us", "aud": "shop", "exp": in_seconds(3600) });
    let confused = encode(&Header::new(Algorithm::HS256), &claims, &secret).unwrap();
    let large = issuer.token(json!({ "iss": "us", "aud": "shop", "pad": "x".repeat(8000) }));
    for (token, wrong) in [
        (good.clone(), None),
        (good.clone(), None),
        (
            issuer.token(json!({ "iss": "us", "aud": "shop", "exp": in_seconds(-100) })),
            Some("it has expired"),
        ),
        (issuer.token(json!({ "iss": "them", "aud": "shop" })), Some("it is by another issuer")),
        (issuer.token(json!({ "iss": "us", "aud": "bank" })), Some("it is for another audience")),
        (other.token(json!({ "iss": "us", "aud": "shop" })), Some("its signature is wrong")),
        (confused, Some("no key is for it")),
        (unsigned, Some("it is no signed token")),
        ("nonsense".to_owned(), Some("it is no signed token")),
        (large, Some("it is no signed token")),
    ] {
        let response = ask(&mut client, &token);
        let status = if wrong.is_some() { 401 } else { 200 };
        assert_eq!(response.status, status, "{token:.200}: {}", response.text());
        let challenge = wrong.map(|wrong| {
            format!("Bearer realm=\"id\", error=\"invalid_token\", error_description=\"{wrong}\"")
        });
        assert_eq!(response.get("www-authenticate"), challenge.as_deref(), "{token:.200}");
    }
    let twice = format!("Authorization: Bearer {good}\r\nauthorization: Bearer nonsense\r\n");
    let twice = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{twice}\r\n"));
    assert_eq!(twice.status, 401, "nobody could say which of the two the backend takes");
    assert_eq!(origin.requests().len(), 2);
    for (result, count) in [
        ("missing", 1),
        ("verified", 1),
        ("known", 1),
        ("expired", 1),
        ("issuer", 1),
        ("audience", 1),
        ("signature", 1),
        ("no_key", 1),
        ("ambiguous", 1),
        ("malformed", 3),
    ] {
        weir.counts("weir_jwt_tokens_total", &format!("result=\"{result}\""), count);
    }
    weir.counts("weir_policy_responses_total", "policy=\"jwt\"", 10);
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
fn no_other_way_leads_to_a_header_of_a_claim() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let weir = Setup::before(&origin)
        .listener("name: web, bind: \"127.0.0.1:0\", protocols: [http/1.1, h2c]")
        .top(&issuer.provider("token: [ { header: X-Token } ]"))
        .route(
            "name: all, backend: stable, jwt: { provider: id, claims: { X-User: sub } }, \
             headers: { request: { remove: [X-Debug] } }",
        )
        .start();
    let good = issuer.token(json!({ "sub": "anna" }));
    // Behind the body, as a field of this connection, and beside the token under a name that passes for its header's.
    weir.client().ask(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-Token: {good}\r\nX_Token: {good}\r\nConnection: x-user, x-token\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-User: root\r\nx_user: root\r\nX_Token: {good}\r\n\
         x-debug: 1\r\nX-Sum: 1\r\n\r\n"
    ));
    let trailers = [("x-user", "root"), ("x-token", "evil"), ("x-debug", "1"), ("x-sum", "1")];
    let fields = [("x-token", &*good), ("x-user", "root"), ("x_user", "root")];
    assert_eq!(call(weir.address(), &fields, &trailers).status(), 200);
    let [first, second] = &origin.requests()[..] else { panic!("two requests") };
    for seen in [first, second] {
        assert_eq!(seen.head.all("x-user"), ["anna"]);
        assert!(!seen.has("x_user") && !seen.has("x_token"));
        let kept: Vec<_> = seen.trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert!(kept.contains(&"x-sum".to_owned()), "{kept:?}");
        for name in ["x-user", "x_user", "x_token", "x-debug"] {
            assert!(!kept.iter().any(|kept| kept == name), "{kept:?}");
        }
    }
    // Two of the header that carries tokens are no token, on a stream as well.
    let refused = call(weir.address(), &[("x-token", &good), ("x-token", &good)], &[]);
    assert_eq!(refused.status(), 401);
    let told = refused.headers()["www-authenticate"].to_str().unwrap();
    assert!(told.ends_with("error_description=\"it is there more than once\""), "{told}");
}

#[test]
fn a_grpc_call_without_a_token_is_unauthenticated() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let weir = Setup::before(&origin)
        .listener("name: web, bind: \"127.0.0.1:0\", protocols: [h2c]")
        .top(&issuer.provider(""))
        .route("name: all, backend: stable, jwt: { provider: id }")
        .start();
    let refused = call(weir.address(), &[("content-type", "application/grpc")], &[]);
    assert_eq!((refused.status().as_u16(), &refused.headers()["grpc-status"].as_bytes()), (200, &&b"16"[..]));
    assert!(origin.requests().is_empty());
}

#[test]
fn a_token_in_a_query_is_not_logged() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let log = issuer.folder.path().join("access.log");
    let weir = Setup::before(&origin)
        .top(&issuer.provider("token: { query: access_token }"))
        .top(&format!("access_log: {{ path: {}, query: true }}", log.display()))
        .route("name: all, backend: stable, jwt: { provider: id }")
        .start();
    let good = issuer.token(json!({}));
    for (token, status) in [(good.clone(), 200), (format!("{good}x"), 401)] {
        let request = format!("GET /?a=1&access_token={token}&b=2 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(weir.client().ask(request).status, status);
    }
    let lines = eventually("two lines", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.lines().count() == 2).then_some(text)
    });
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["url.query"], "a=1&access_token=-&b=2");
    }
    assert_eq!(origin.only_request().target(), format!("/?a=1&access_token={good}&b=2"));
}

#[test]
fn keys_change_with_their_file() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let setup = Setup::before(&origin)
        .top(&issuer.provider(""))
        .route("name: all, backend: stable, jwt: { provider: id }");
    let weir = setup.start();
    let next = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (old, new) = (issuer.token(json!({})), sign(&next, json!({})));
    let mut client = weir.client();
    assert_eq!([ask(&mut client, &old).status, ask(&mut client, &new).status], [200, 401]);
    issuer.publish(&next);
    eventually("the new key counts", || (ask(&mut client, &new).status == 200).then_some(()));
    // Its key is gone, so a token that was good a moment ago is not, known or not.
    assert_eq!(ask(&mut client, &old).status, 401);
    // A file without a key changes nothing, and is told of.
    let good = || weir.metric("weir_jwt_keys_last_reload_successful", "provider=\"id\"") > 0.5;
    assert!(good());
    replace(&issuer.file(), "nothing");
    eventually("a look", || (!good()).then_some(()));
    assert_eq!(ask(&mut client, &new).status, 200);
    let ready = Client::to(weir.running().admin()).ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(ready.status == 200 && ready.text().contains("there is no key in it"), "{}", ready.text());
    // Nor does a change of the control file stumble over it.
    weir.rewrite(&setup.top("trusted_proxies: [10.0.0.0/8]"));
    assert_eq!(ask(&mut client, &new).status, 200);
    replace(&issuer.file(), &[next.public_key_pem(), issuer.pair.public_key_pem()].concat());
    eventually("both keys count", || (ask(&mut client, &old).status == 200).then_some(()));
    assert_eq!(ask(&mut client, &new).status, 200);
    assert!(good());
    assert_eq!(weir.count("weir_jwt_keys", "provider=\"id\""), 2);
}

#[test]
fn a_key_file_that_is_swapped_as_kubernetes_does_is_seen() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let folder = issuer.folder.path();
    let next = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    for (version, pair) in [("..1", &issuer.pair), ("..2", &next)] {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("keys.pem"), pair.public_key_pem()).unwrap();
    }
    fs::remove_file(issuer.file()).unwrap();
    symlink("..1", folder.join("..data")).unwrap();
    symlink(Path::new("..data").join("keys.pem"), issuer.file()).unwrap();
    let weir = Setup::before(&origin)
        .top(&issuer.provider(""))
        .route("name: all, backend: stable, jwt: { provider: id }")
        .start();
    let mut client = weir.client();
    assert_eq!(ask(&mut client, &issuer.token(json!({}))).status, 200);
    symlink("..2", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    let new = sign(&next, json!({}));
    eventually("the new key counts", || (ask(&mut client, &new).status == 200).then_some(()));
    assert_eq!(ask(&mut client, &issuer.token(json!({}))).status, 401);
}

#[test]
fn the_binary_says_what_becomes_of_key_files() {
    let (issuer, origin) = (Issuer::new(), Origin::named("stable"));
    let setup = |keys: &str| {
        let route = "name: all, backend: stable, jwt: { provider: id }";
        Setup::before(&origin).top(&issuer.provider(keys)).route(route)
    };
    // What gives no keys for the provider is an error of a control file that names it first.
    let home = Home::of(&setup("algorithms: [RS256]"));
    let mut refused = Process::start(&mut home.command(&[]));
    refused.says("none of its keys is for one of the `algorithms`");
    assert!(!refused.end().success());

    let home = Home::of(&setup(""));
    let process = home.run(&[]);
    let mut client = Client::to(process.address_of("web"));
    let good = issuer.token(json!({}));
    assert_eq!(ask(&mut client, &good).status, 200);
    replace(&issuer.file(), &issuer.pair.serialize_pem());
    process.says("is a private key; only its public half belongs here; what was read before stays in force");
    assert_eq!(ask(&mut client, &good).status, 200);
    let next = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    issuer.publish(&next);
    process.says("jwt.id has new keys: 1");
    assert_eq!(ask(&mut client, &sign(&next, json!({}))).status, 200);
    assert_eq!(ask(&mut client, &good).status, 401);
}
