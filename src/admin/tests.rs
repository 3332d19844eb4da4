//! The admin API over a fake backend of its own, request by request.

mod auth;
mod errors;
mod history;
mod links;
mod rollouts;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, service::Service as _};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::{
    api::types::{Condition, Endpoint, ExplainRequest, ExplainStep, Explanation, Listener, Traffic},
    *,
};
use crate::{
    admin::auth::Peer,
    config::{Config, model::OpenMetrics},
    control::{
        Applier, CompileError, ControlFile, Publisher,
        fixtures::{self, FailingStore, name},
        store::Store,
    },
    rollout::{Rollouts, links::Links},
    telemetry::AdminResult,
    types::{Name, Overlay, Revision},
};

struct Anything;

impl Publisher for Anything {
    type Compiled = ();
    fn compile(&mut self, _: &Arc<Config>, _: &Overlay, _: Revision) -> Result<(), CompileError> {
        Ok(())
    }
    fn publish(&mut self, (): ()) {}
}

#[derive(Default)]
struct FakeView(AtomicBool);

impl View for FakeView {
    fn traffic(&self, _: &Name, _: &Name) -> Traffic {
        Traffic { window_seconds: 10.0, requests: 20, observed_ratio: Some(0.5), ..Traffic::default() }
    }
    fn endpoints(&self, backend: &Name) -> Vec<Endpoint> {
        let address = if *backend == name("stable") { "127.0.0.1:9001" } else { "127.0.0.1:9002" };
        vec![Endpoint {
            address: address.to_owned(),
            weight: 1,
            health: "healthy".to_owned(),
            detail: String::new(),
            available: true,
            ejection: None,
            warmth: None,
            in_flight: 0,
        }]
    }
    fn condition(&self, _: &Name) -> Condition {
        Condition::default()
    }
    fn listeners(&self) -> Vec<Listener> {
        vec![Listener { name: name("web"), address: "127.0.0.1:8080".to_owned() }]
    }
    fn explain(&self, route: &Name, request: &ExplainRequest) -> Result<Explanation, String> {
        let user = request.headers.get("x-user").ok_or("no user")?;
        Ok(Explanation {
            route: route.clone(),
            matched_route: Some(route.clone()),
            revision: Revision(1),
            backend: name("canary"),
            reason: "identity".to_owned(),
            rule: None,
            bucket: Some(42),
            region: None,
            sets_cookie: false,
            steps: vec![ExplainStep {
                step: "split".to_owned(),
                result: "decided".to_owned(),
                detail: format!("{} {} {:?} {}", request.method, request.path, user.0, request.client_ip),
            }],
        })
    }
    fn sign_override(&self, (route, backend): (&Name, &Name), _: u32) -> String {
        format!("{backend}.{route}.signed")
    }
    fn metrics(&self) -> Result<String, String> {
        Ok("weir_build_info 1\n".to_owned())
    }
    fn not_ready(&self) -> Vec<String> {
        Vec::new()
    }
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    fn uptime(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// For everybody who can connect.
fn open() -> Auth {
    Auth::new(&fixtures::config(&[("shop", &[("stable", 1)])]).admin).unwrap()
}

struct Fixture {
    service: TowerToHyperService<axum::Router>,
    store: Arc<FailingStore>,
    stats: Arc<ControlStats>,
    view: Arc<FakeView>,
    control: Control,
    auth: Arc<Auth>,
    links: Links,
}

/// What came back.
struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Fixture {
    fn start() -> Self {
        Self::with(open())
    }

    fn with(auth: Auth) -> Self {
        Self::with_settings(auth, "")
    }

    /// With this above the rest of the control file.
    fn with_settings(auth: Auth, settings: &str) -> Self {
        let text =
            fixtures::TEXT.replace("WEIGHT", "5").replace("listeners:", &format!("{settings}listeners:"));
        let file = ControlFile::parse(std::path::Path::new("weir.yaml"), text.as_bytes()).unwrap();
        let store = Arc::new(FailingStore::default());
        let dynamic: Arc<dyn Store> = Arc::clone(&store) as _;
        let (control, applier) = Applier::start(Arc::new(file), Anything, dynamic).unwrap();
        tokio::spawn(applier.run(std::future::pending()));
        let stats = Arc::<ControlStats>::default();
        let bind = ([127, 0, 0, 1], 9900).into();
        let view = Arc::<FakeView>::default();
        let auth = Arc::new(auth);
        let events = Arc::new(Events::new(Arc::clone(&stats)));
        let links = Links::new(&store.signing_keys().unwrap());
        let app = AppState {
            control: control.clone(),
            view: Arc::clone(&view) as _,
            stats: Arc::clone(&stats),
            auth: Arc::clone(&auth),
            rollouts: rollouts::running(&control),
            links: links.clone(),
            events,
            bind,
        };
        Self { service: TowerToHyperService::new(router(app)), store, stats, view, control, auth, links }
    }

    /// Sends `METHOD path`, with header lines below it; `peer: ADDRESS` says where it comes from.
    async fn send(&self, head: &str, body: &str) -> Reply {
        let mut lines = head.lines().map(str::trim);
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !head.contains("host:") {
            request = request.header("host", "127.0.0.1:9900");
        }
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            request = match name {
                "peer" => request.extension(peer(value)),
                _ => request.header(name, value),
            };
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let response = self.service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// An address; `uid:1000` over a unix socket; `dns:ci` with a certificate.
fn peer(text: &str) -> Peer {
    match text.split_once(':') {
        Some(("uid", uid)) => Peer::of_user(uid.parse().unwrap()),
        Some(("dns", name)) => {
            let holder = crate::net::tls::Holder { dns: vec![name.to_owned()], ..Default::default() };
            Peer { holder: Some(Arc::new(holder)), secure: true, ..Peer::at([192, 0, 2, 9].into()) }
        }
        _ => Peer::at(text.parse().unwrap()),
    }
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[tokio::test]
async fn weights_are_read_patched_and_replaced() {
    let fixture = Fixture::start();
    let reply = fixture.send("GET /v1/routes/shop/weights", "").await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"r1\""));
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","revision":1,"weights":{"canary":5,"stable":95},"file":{"canary":5,"stable":95},"shares":{"canary":0.05,"stable":0.95},"kill_switch":null}"#);

    let patch = "PATCH /v1/routes/shop/weights?dry_run=true\nif-match: \"r1\"";
    let body = r#"{"weights": {"canary": 0, "stable": 1}, "reason": "test"}"#;
    let reply = fixture.send(patch, body).await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"r1\""));
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","revision":1,"weights":{"canary":0,"stable":1},"file":{"canary":5,"stable":95},"shares":{"canary":0.0,"stable":1.0},"kill_switch":null,"changed":true,"dry_run":true,"moved_ratio":0.05}"#);

    let put = "PUT /v1/routes/shop/weights\nif-match: \"r1\"\ncontent-type: application/json; charset=utf-8\nx-weir-actor: alice\nuser-agent: weir-cli/0.1.0\nx-request-id: test";
    let body = r#"{"weights": {"canary": 0.5, "stable": 1.5}, "reason": "more"}"#;
    let reply = fixture.send(put, body).await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"r2\""));
    assert_eq!(reply.json()["shares"]["canary"], 0.25);

    // The same again, with an outdated tag: the loser of the race sees what won it.
    let reply = fixture.send(put, body).await;
    assert_eq!(reply.status, 412);
    insta::assert_snapshot!(reply.text, @r#"{"type":"urn:weir:problem:revision-conflict","title":"Revision conflict","status":412,"detail":"revision r1 was expected, but r2 is in force","hint":"read the current state, then decide again","current":{"file":{"canary":5,"stable":95},"kill_switch":null,"revision":2,"route":"shop","shares":{"canary":0.25,"stable":0.75},"weights":{"canary":0.5,"stable":1.5}}}"#);

    // Without the tag it is no change.
    let reply = fixture.send("PUT /v1/routes/shop/weights", body).await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"r2\""));
    assert_eq!(reply.json()["changed"], false);

    let rows = fixture.store.inner.rows();
    let row = serde_json::to_value(rows.last().unwrap()).unwrap();
    assert_eq!(
        row["origin"],
        serde_json::json!({"actor": "alice", "channel": "cli", "reason": "more", "request_id": "test"})
    );
    assert_eq!(row["from"], serde_json::json!({"stable": 95, "canary": 5}));
    assert_eq!(row["to"], serde_json::json!({"stable": 1.5, "canary": 0.5}));
}

#[tokio::test]
async fn the_kill_switch_works_with_a_broken_store_and_an_old_tag() {
    let fixture = Fixture::start();
    fixture.store.broken.store(true, Ordering::Release);
    let reply = fixture.send("PATCH /v1/routes/shop/weights", r#"{"weights": {"canary": 6}}"#).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json()["type"], "urn:weir:problem:store-failed");

    let reply = fixture.send("PUT /v1/routes/shop/kill-switch\nif-match: \"r9\"", "").await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"r2\""));
    insta::assert_snapshot!(reply.text, @r#"{"route":"shop","revision":2,"active":true,"backend":"stable","persisted":false,"changed":true,"moved_ratio":0.05,"warnings":["in force, but a restart would forget it: cannot write /data/overlay.json: No space left on device"]}"#);
    let ready = fixture.send("GET /readyz", "").await;
    assert_eq!(ready.status, 200);
    assert!(ready.text.contains("the store fails"), "{}", ready.text);

    fixture.store.broken.store(false, Ordering::Release);
    let reply = fixture.send("PUT /v1/routes/shop/kill-switch", r#"{"backend": "canary"}"#).await;
    assert_eq!(reply.json()["backend"], "canary");
    let weights = fixture.send("GET /v1/routes/shop/weights", "").await.json();
    assert_eq!(weights["shares"], serde_json::json!({"stable": 0.0, "canary": 1.0}));
    let reply = fixture.send("DELETE /v1/routes/shop/kill-switch\nif-match: \"r1\"", "").await;
    assert_eq!(reply.status, 412);
    let reply = fixture.send("DELETE /v1/routes/shop/kill-switch", "").await;
    assert_eq!((reply.status, reply.json()["active"].as_bool()), (200, Some(false)));
    let reply = fixture.send("GET /v1/routes/shop/kill-switch", "").await;
    assert_eq!(reply.json()["active"], false);
}

#[tokio::test]
async fn explain_takes_one_value_or_several() {
    let fixture = Fixture::start();
    for (user, expected) in [("\"42\"", "[\"42\"]"), ("[\"4\", \"2\"]", "[\"4\", \"2\"]")] {
        let body =
            format!(r#"{{"path": "/a?b", "headers": {{"x-user": {user}}}, "client_ip": "203.0.113.9"}}"#);
        let reply = fixture.send("POST /v1/routes/shop/explain", &body).await.json();
        assert_eq!(reply["backend"], "canary");
        assert_eq!(reply["steps"][0]["detail"], format!("GET /a?b {expected} 203.0.113.9"));
    }
}

#[tokio::test]
async fn config_is_shown_and_checked() {
    let fixture = Fixture::start();
    let text = fixtures::TEXT.replace("WEIGHT", "5");
    let reply = fixture.send("GET /v1/config", "").await;
    assert_eq!((reply.text.as_str(), reply.header("content-type")), (text.as_str(), "application/yaml"));
    fixture.send("PATCH /v1/routes/shop/weights", r#"{"weights": {"canary": 6}}"#).await;
    let effective = fixture.send("GET /v1/config/effective", "").await.json();
    assert_eq!(effective["routes"][0]["split"]["backends"][1]["weight"], 6, "{effective}");
    let yaml = fixture.send("GET /v1/config/effective?format=yaml", "").await;
    assert!(yaml.text.contains("weight: 6"), "{}", yaml.text);
    let schema = fixture.send("GET /v1/config/schema", "").await;
    assert!(schema.json()["properties"]["routes"].is_object(), "{}", schema.text);

    let reply = fixture.send("POST /v1/config/check\ncontent-type: application/yaml", &text).await;
    assert_eq!((reply.status, reply.json()["ok"].as_bool()), (200, Some(true)));
    let bad = text.replace("weight: 5", "weight: -5").replace("split:", "splt:");
    let reply =
        fixture.send("POST /v1/config/check\ncontent-type: application/x-www-form-urlencoded", &bad).await;
    assert_eq!(reply.status, 422);
    let problem = reply.json();
    assert_eq!(problem["type"], "urn:weir:problem:invalid-config");
    assert!(problem["diagnostics"][0]["line"].as_u64().is_some_and(|line| line > 1), "{problem}");
}

#[tokio::test]
async fn status_shows_everything_and_health_is_plain() {
    let fixture = Fixture::start();
    fixture.send("PATCH /v1/routes/shop/weights", r#"{"weights": {"canary": 6}}"#).await;
    let status: api::types::Status =
        serde_json::from_str(&fixture.send("GET /v1/status", "").await.text).unwrap();
    assert_eq!((status.revision, status.file.revision), (Revision(2), Revision(1)));
    assert!(status.file.drifted && status.last_reload.ok && status.readiness.ready);
    assert_eq!(status.routes[0].backends[1].weight.to_string(), "6");
    assert_eq!(status.backends.len(), 2);
    assert_eq!(fixture.send("GET /livez", "").await.text, r#"{"status":"ok"}"#);
    let metrics = fixture.send("GET /metrics", "").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    let one: api::types::Route =
        serde_json::from_str(&fixture.send("GET /v1/routes/shop", "").await.text).unwrap();
    assert_eq!(one, status.routes[0]);
    let calls = fixture.stats.admin_calls();
    assert_eq!(calls[&("status", AdminResult::Ok)], 1);
    assert_eq!(calls[&("set_weights", AdminResult::Ok)], 1);
}

#[tokio::test]
async fn a_weir_that_stops_takes_nothing_but_a_kill() {
    let fixture = Fixture::start();
    fixture.view.0.store(true, Ordering::Relaxed);
    let body = r#"{"weights": {"stable": 95}}"#;
    let reply = fixture.send("PATCH /v1/routes/shop/weights", body).await;
    assert_eq!((reply.status, reply.json()["type"].as_str()), (503, Some("urn:weir:problem:stopping")));
    // Nobody moves: 0, and not -0.
    let reply = fixture.send("PATCH /v1/routes/shop/weights?dry_run=true", body).await;
    assert!(reply.text.contains("\"moved_ratio\":0.0"), "{}", reply.text);
    assert_eq!(fixture.send("PUT /v1/routes/shop/kill-switch", "").await.status, 200);
}

#[tokio::test]
async fn head_and_options_are_answered() {
    let fixture = Fixture::start();
    let reply = fixture.send("HEAD /v1/status", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    let reply = fixture.send("OPTIONS /v1/routes/shop/weights", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert_eq!(reply.header("allow"), "GET,HEAD,PATCH,PUT");
    let reply = fixture.send("POST /v1/routes/shop/weights", "").await;
    assert_eq!((reply.status, reply.header("allow")), (405, "GET,HEAD,PATCH,PUT"));
    let reply = fixture.send("OPTIONS /nowhere", "").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND.as_u16());
    assert_eq!(reply.header("access-control-allow-origin"), "");
    assert_eq!(reply.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_real_socket_is_served_until_shutdown() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let text = fixtures::TEXT.replace("WEIGHT", "5");
    let file = ControlFile::parse(std::path::Path::new("weir.yaml"), text.as_bytes()).unwrap();
    let store: Arc<dyn Store> = Arc::new(FailingStore::default());
    let (control, applier) = Applier::start(Arc::new(file), Anything, store).unwrap();
    tokio::spawn(applier.run(std::future::pending()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bind = listener.local_addr().unwrap();
    let auth = Arc::new(open());
    let events = Arc::new(Events::new(Arc::default()));
    let rollouts = Rollouts::detached(control.journal().clone());
    let view = Arc::<FakeView>::default();
    let links = Links::new(&[]);
    let app = AppState { control, view, stats: Arc::default(), auth, events, rollouts, links, bind };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let door = Door::new(crate::net::Listener::Tcp(listener));
    let serving = tokio::spawn(serve(door, router(app), async {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(bind).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    let n = stream.read(&mut answer).await.unwrap();
    assert!(answer[..n].starts_with(b"HTTP/1.1 200 OK"));
    stop.send(()).unwrap();
    serving.await.unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0, "an idle connection is closed");
    assert!(tokio::net::TcpStream::connect(bind).await.is_err());
}
