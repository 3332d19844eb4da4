//! Stages of a rollout end to end: who gets the canary, who else may touch the weights, and that what is measured is whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir::{
    control::{Change, Refusal, StageChange, StageTarget, WeightChange},
    telemetry::{
        ErrorKind,
        trial::{Arm, Note, Trial},
    },
    types::{Fraction, Name, Stage, Weight},
};

use crate::support::{
    Client, GET, Gate, Origin, Setup, Weir,
    h2::{H2Client, get as get_h2},
    origin::nobody,
    streams::{StreamOrigin, respond},
    weir::eventually,
    ws::{Socket, echoing},
};

const BROKEN: &str = "HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nbroken";
const BY_USER: &str = "key: { header: X-User }, backends: { stable: 100, canary: 0 }";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn percent(percent: f64) -> Fraction {
    Fraction::from_percent(percent).unwrap()
}

/// Stage `number` of a rollout from `stable` to `canary`.
fn stage(number: u32, share: f64) -> Stage {
    Stage {
        rollout: "r-1".to_owned(),
        number,
        baseline: name("stable"),
        canary: name("canary"),
        share: percent(share),
        segments: Vec::new(),
        regions: Vec::new(),
        mirror: None,
        manual: false,
    }
}

fn enter(stage: Stage) -> Change {
    let change = StageChange { to: StageTarget::Stage(stage), raise_epoch: false };
    Change::SetStages([(name("all"), change)].into())
}

fn withdraw() -> Change {
    let to =
        StageTarget::Out { rollout: "r-1".to_owned(), number: 2, share: Some(Fraction::NONE), again: None };
    Change::SetStages([(name("all"), StageChange { to, raise_epoch: true })].into())
}

/// A Weir over `stable` and `canary` at these addresses, with the route `all`.
fn setup(stable: std::net::SocketAddr, canary: std::net::SocketAddr, route: &str) -> Setup {
    Setup::new()
        .backend("stable", &[stable])
        .backend("canary", &[canary])
        .route(&format!("name: all, {route}"))
}

/// The same over two that say their names, and under this stage.
fn staged(route: &str, stage: Stage) -> (Weir, [Origin; 2]) {
    let origins = [Origin::named("stable"), Origin::named("canary")];
    let weir = setup(origins[0].address, origins[1].address, route)
        .top("segments: { staff: { header: { name: X-Group, exact: staff } } }\ntrusted_proxies: [127.0.0.0/8]")
        .top("geo: { trusted_header: { name: CF-IPCountry } }")
        .start();
    weir.apply(enter(stage)).unwrap();
    (weir, origins)
}

fn get(fields: &str) -> String {
    format!("GET /a?secret HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn of_user(user: u32, fields: &str) -> String {
    get(&format!("X-User: {user}\r\n{fields}"))
}

/// Which of these users get the canary.
fn on_canary(client: &mut Client, users: std::ops::Range<u32>, fields: &str) -> Vec<u32> {
    users.filter(|user| client.ask(of_user(*user, fields)).text() == "canary").collect()
}

/// All notes, once `count` requests have begun and ended.
fn notes(weir: &Weir, count: usize) -> (Vec<Note>, Vec<Note>) {
    let trial = weir.running().trial(&name("all")).expect("a stage is in force");
    drained(&trial, count)
}

fn drained(trial: &Trial, count: usize) -> (Vec<Note>, Vec<Note>) {
    let mut all = Vec::new();
    eventually(&format!("{count} requests are noted"), || {
        trial.drain(&mut all);
        let ended = all.iter().filter(|note| !note.is_beginning()).count();
        assert!(ended <= count, "{ended} ends: {all:?}");
        (ended == count).then_some(())
    });
    let (begun, ended): (Vec<Note>, Vec<Note>) = all.into_iter().partition(Note::is_beginning);
    // What ends is what began.
    let key = |note: &Note| (note.at, note.arm == Arm::Canary, note.drawn, note.copy, note.bucket);
    let sorted = |notes: &[Note]| {
        let mut keys: Vec<_> = notes.iter().map(key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(sorted(&begun), sorted(&ended));
    (begun, ended)
}

/// How the only request ended: arm, status, error, whether another attempt was made.
fn only(weir: &Weir) -> (Arm, u16, Option<ErrorKind>, bool) {
    let (_, ended) = notes(weir, 1);
    let end = ended[0].end.unwrap();
    (ended[0].arm, end.status, end.error, end.retried)
}

#[test]
fn the_canary_gets_its_share_and_every_request_is_noted() {
    let (weir, origins) = staged(&format!("split: {{ {BY_USER} }}"), stage(1, 20.0));
    let mut client = weir.client();
    let first = on_canary(&mut client, 0..500, "");
    assert!((70..=130).contains(&first.len()), "{} of 500 at 20 %", first.len());
    let (begun, ended) = notes(&weir, 500);
    assert_eq!(begun.iter().filter(|note| note.arm == Arm::Canary).count(), first.len());
    assert!(begun.iter().all(|note| note.drawn && note.bucket.is_some() && !note.copy));
    assert!(ended.iter().all(|note| note.end.is_some_and(|end| end.status == 200 && end.error.is_none())));

    // A reload that leaves the stage alone leaves what is measured alone, and who is where.
    let before = weir.running().trial(&name("all")).unwrap();
    let rewritten = setup(
        origins[0].address,
        origins[1].address,
        &format!("timeouts: {{ connect: 2s }}, split: {{ {BY_USER} }}"),
    );
    weir.rewrite(&rewritten);
    assert!(std::sync::Arc::ptr_eq(&before, &weir.running().trial(&name("all")).unwrap()));
    assert_eq!(
        on_canary(&mut client, 0..100, ""),
        first.iter().copied().filter(|user| *user < 100).collect::<Vec<_>>()
    );

    // The next stage only adds users, and is measured by itself.
    weir.apply(enter(stage(2, 50.0))).unwrap();
    let more = on_canary(&mut client, 0..100, "");
    assert!(first.iter().filter(|user| **user < 100).all(|user| more.contains(user)));
    assert_eq!(notes(&weir, 100).0.len(), 100);
    assert_eq!(weir.running().trial(&name("all")).unwrap().stage, 2);

    // Out of it, nothing is measured any more; what was promoted stays.
    let to =
        StageTarget::Out { rollout: "r-1".to_owned(), number: 2, share: Some(Fraction::ALL), again: None };
    weir.apply(Change::SetStages([(name("all"), StageChange { to, raise_epoch: false })].into())).unwrap();
    assert!(weir.running().trial(&name("all")).is_none());
    assert_eq!(on_canary(&mut client, 0..20, "").len(), 20);
}

#[test]
fn an_audience_is_drawn_and_nobody_else_gets_the_canary() {
    let route = format!(
        "rules: [ {{ name: qa, match: {{ header: {{ name: X-Canary, exact: always }} }}, backend: canary }} ], split: {{ {BY_USER} }}"
    );
    let mut audience = stage(1, 50.0);
    audience.segments = vec![name("staff")];
    let (weir, _origins) = staged(&route, audience.clone());
    let mut client = weir.client();
    assert_eq!(on_canary(&mut client, 0..50, ""), [0_u32; 0]);
    let (begun, _) = notes(&weir, 50);
    assert!(begun.iter().all(|note| !note.drawn && note.arm == Arm::Baseline));
    let staff = on_canary(&mut client, 0..100, "X-Group: staff\r\n");
    assert!((30..=70).contains(&staff.len()), "{}", staff.len());
    assert!(notes(&weir, 100).0.iter().all(|note| note.drawn && note.bucket.is_some()));
    // An explicit rule comes first, and is no draw.
    assert_eq!(on_canary(&mut client, 0..10, "X-Group: staff\r\nX-Canary: always\r\n").len(), 10);
    assert!(notes(&weir, 10).0.iter().all(|note| !note.drawn && note.arm == Arm::Canary));

    // Both a segment and a region: both are asked for.
    audience.number = 2;
    audience.share = Fraction::ALL;
    audience.regions = vec![name("DE"), name("us-east")];
    weir.apply(enter(audience)).unwrap();
    for (fields, expected) in [
        ("X-Group: staff\r\nCF-IPCountry: DE\r\n", 5),
        ("X-Group: staff\r\nCF-IPCountry: US-EAST\r\n", 5),
        ("X-Group: staff\r\nCF-IPCountry: FR\r\n", 0),
        ("CF-IPCountry: DE\r\n", 0),
    ] {
        assert_eq!(on_canary(&mut client, 0..5, fields).len(), expected, "{fields}");
    }
    let mut admin = Client::to(weir.running().admin());
    let body =
        r#"{"headers": {"x-group": "staff", "cf-ipcountry": "DE", "x-user": "1"}, "client_ip": "127.0.0.1"}"#;
    let request = format!(
        "POST /v1/routes/all/explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let told: serde_json::Value = serde_json::from_str(&admin.ask(request).text()).unwrap();
    assert_eq!((&told["backend"], &told["rule"]), (&"canary".into(), &"rollout".into()), "{told:#}");
    assert_eq!(
        told["steps"][0]["detail"],
        "r-1 has the route, stage 2: 100% of segment staff of region DE or us-east to canary"
    );
}

#[test]
fn users_with_a_cookie_stay_and_a_withdrawal_takes_them_all_back() {
    let (weir, _origins) =
        staged("split: { sticky: { mode: pin }, backends: { stable: 100, canary: 0 } }", stage(1, 100.0));
    let mut client = weir.client();
    // Pins of a route are in a cookie of its own name.
    let first = client.ask(GET);
    let cookie = first.get("set-cookie").and_then(|set| set.split(';').next()).unwrap();
    weir.apply(enter(stage(2, 1.0))).unwrap();
    // The pin is kept, and is measured without being compared: it is older than the stage.
    let pinned = get(&format!("Cookie: {cookie}\r\n"));
    assert_eq!(client.ask(&pinned).text(), "canary");
    let (begun, _) = notes(&weir, 1);
    assert_eq!((begun[0].arm, begun[0].drawn, begun[0].bucket), (Arm::Canary, false, None));
    weir.apply(withdraw()).unwrap();
    for _ in 0..5 {
        assert_eq!(client.ask(&pinned).text(), "stable");
        assert_eq!(client.ask(GET).text(), "stable");
    }
}

#[test]
fn who_is_not_known_again_is_no_user() {
    let route = "split: { key: none, backends: { stable: 1, canary: 1 } }";
    let (weir, _origins) = staged(route, stage(1, 50.0));
    let mut client = weir.client();
    (0..20).for_each(|_| drop(client.ask(GET)));
    assert!(notes(&weir, 20).0.iter().all(|note| note.drawn && note.bucket.is_none()));
}

#[test]
fn weights_are_the_rollouts_unless_it_pauses() {
    let (weir, _origins) = staged(&format!("split: {{ {BY_USER} }}"), stage(3, 20.0));
    let mut admin = Client::to(weir.running().admin());
    let mut send = |method: &str, target: &str, body: &str| {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = admin.ask(request);
        (answer.status, serde_json::from_str::<serde_json::Value>(&answer.text()).unwrap())
    };
    let weights = r#"{"weights": {"stable": 60, "canary": 40}}"#;
    for (method, target, body) in [
        ("PUT", "/v1/routes/all/weights", weights),
        ("PATCH", "/v1/routes/all/weights?pause_rollout=false", weights),
        ("DELETE", "/v1/routes/all/overlay", "{}"),
    ] {
        let (status, problem) = send(method, target, body);
        assert_eq!((status, &problem["type"]), (409, &"urn:weir:problem:rollout-active".into()), "{method}");
        assert!(problem["hint"].as_str().unwrap().contains("pause_rollout"), "{problem}");
    }
    let (status, answer) = send("PUT", "/v1/routes/all/weights?pause_rollout", weights);
    assert_eq!((status, &answer["weights"]["canary"]), (200, &40.into()));
    assert_eq!(send("PUT", "/v1/routes/all/weights?pause_rollout=maybe", weights).0, 400);
    let state = weir.running().control.state();
    let taken = state.stage(&name("all")).unwrap();
    assert_eq!((taken.manual, taken.number, taken.share), (true, 4, percent(40.0)));
    assert_eq!(weir.running().trial(&name("all")).unwrap().stage, 4);
    // A step that was decided before comes too late; the kill switch does not.
    assert!(matches!(weir.apply(enter(stage(4, 50.0))), Err(Refusal::StaleStage { actual: 4, .. })));
    weir.apply(Change::Kill { route: "all".to_owned(), backend: None }).unwrap();
    assert_eq!(on_canary(&mut weir.client(), 0..20, ""), [0_u32; 0]);
    assert!(notes(&weir, 20).0.iter().all(|note| !note.drawn));
}

#[test]
fn the_canary_is_charged_for_what_others_hide() {
    let stable = Origin::named("stable");
    let split = |more: &str| format!("split: {{ key: none, backends: {{ stable: 1, canary: 1 }} {more} }}");
    let canary = Origin::answering(BROKEN);
    for (canary, route, expected) in [
        (canary.address, split(""), (Arm::Canary, 500, None, false)),
        (canary.address, format!("{}, shield: true", split("")), (Arm::Canary, 500, None, true)),
        (
            canary.address,
            format!("{}, retry: {{ attempts: 2, on: [5xx] }}", split("")),
            (Arm::Canary, 500, None, true),
        ),
        (nobody(), split(""), (Arm::Canary, 503, Some(ErrorKind::Unavailable), true)),
        (nobody(), split(", on_unavailable: fail"), (Arm::Canary, 502, Some(ErrorKind::Connect), false)),
    ] {
        let weir = setup(stable.address, canary, &route).start();
        weir.apply(enter(stage(1, 100.0))).unwrap();
        weir.client().ask(get("X-Request-Id: q-7\r\n"));
        assert_eq!(only(&weir), expected, "{route}");
        let failures = weir.running().trial(&name("all")).unwrap().failures();
        assert_eq!(failures.len(), 1, "{route}");
        let failed = &failures[0];
        assert_eq!((failed.status, failed.error), (expected.1, expected.2));
        assert_eq!((failed.path.as_str(), failed.request_id.as_deref()), ("/a", Some("q-7")));
    }
}

#[test]
fn clients_that_leave_are_ends_too() {
    let gate = Gate::default();
    let slow = Origin::slow(&gate);
    let weir = setup(slow.address, slow.address, "split: { key: none, backends: { stable: 1, canary: 1 } }")
        .h2c("")
        .start();
    weir.apply(enter(stage(1, 100.0))).unwrap();
    let mut client = weir.client();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.is_asked_slowly();
    client.reset();
    assert_eq!(only(&weir), (Arm::Canary, 499, Some(ErrorKind::AbortedByClient), false));
    assert!(weir.running().trial(&name("all")).unwrap().failures().is_empty());
    // The same over HTTP/2, where the whole connection goes at once.
    let mut client = H2Client::to(weir.address());
    let streams = [client.open(get_h2("/slow"), true), client.open(get_h2("/slow"), true)];
    slow.wait("both requests", |seen| seen.requests().count() == 3);
    drop((streams, client));
    let (_, ended) = notes(&weir, 2);
    assert!(ended.iter().all(|note| note.end.is_some_and(|end| end.status == 499)), "{ended:?}");
    gate.open();
}

#[test]
fn streams_are_noted_and_grpc_tells_of_failures_behind_the_body() {
    let canary = StreamOrigin::answering(|_, request, mut to| {
        let trailing = request.uri().path() == "/trailing";
        let head = http::Response::builder().header("content-type", "application/grpc");
        if trailing {
            let mut stream = to.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
            let fields = [("grpc-status", "14")].map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            });
            stream.send_trailers(fields.into_iter().collect()).unwrap();
        } else if request.uri().path() == "/alone" {
            to.send_response(head.header("grpc-status", "13").body(()).unwrap(), true).unwrap();
        } else {
            respond(to, 204, "");
        }
    });
    let weir = Setup::new()
        .h2c("")
        .backend_with("stable", &[canary.address], "protocol: h2c")
        .backend_with("canary", &[canary.address], "protocol: h2c")
        .split("key: none, backends: { stable: 1, canary: 1 }")
        .start();
    weir.apply(enter(stage(1, 100.0))).unwrap();
    let mut client = H2Client::to(weir.address());
    for (path, seen, noted) in [("/", 204, 204), ("/trailing", 200, 503), ("/alone", 200, 500)] {
        assert_eq!(client.ask(get_h2(path)).head.status().as_u16(), seen);
        assert_eq!(only(&weir), (Arm::Canary, noted, None, false), "{path}");
    }
}

#[test]
fn a_tunnel_ends_when_it_is_there() {
    let (origin, _heard) = echoing("canary");
    let weir =
        setup(origin.address, origin.address, "split: { key: none, backends: { stable: 1, canary: 1 } }")
            .start();
    weir.apply(enter(stage(1, 100.0))).unwrap();
    let mut socket = Socket::upgrade(weir.client(), "/", &[]).open();
    assert_eq!(socket.echo("hello"), "hello");
    assert_eq!(only(&weir), (Arm::Canary, 101, None, false));
    socket.finish();
    weir.counts("weir_requests_total", "code=\"101\"", 1);
    let trial = weir.running().trial(&name("all")).unwrap();
    let mut more = Vec::new();
    trial.drain(&mut more);
    assert_eq!(more, []);
}

#[test]
fn a_mirror_measures_the_canary_without_users() {
    let (stable, canary) = (Origin::named("stable"), Origin::answering(BROKEN));
    let weir = setup(stable.address, canary.address, &format!("split: {{ {BY_USER} }}")).start();
    let mirrored = Stage { mirror: Some(Fraction::ALL), ..stage(1, 0.0) };
    weir.apply(enter(mirrored)).unwrap();
    assert_eq!(weir.client().ask(GET).text(), "stable");
    let (_, ended) = notes(&weir, 2);
    let of = |arm: Arm| ended.iter().find(|note| note.arm == arm).unwrap();
    let (copy, request) = (of(Arm::Canary), of(Arm::Baseline));
    assert_eq!((copy.copy, copy.drawn, copy.end.unwrap().status), (true, false, 500));
    assert_eq!((request.copy, request.drawn, request.end.unwrap().status), (false, true, 200));

    // The file's own mirror stays, and one to the canary is drawn to the stage's share.
    let other = Origin::named("other");
    let weir = setup(
        stable.address,
        canary.address,
        &format!("mirror: {{ backend: other }}, split: {{ {BY_USER} }}"),
    )
    .backend("other", &[other.address])
    .start();
    weir.apply(enter(Stage { mirror: Some(Fraction::ALL), ..stage(1, 0.0) })).unwrap();
    assert_eq!(
        weir.running().control.state().dangling[0].to_string(),
        "the mirror of `canary` on route `all` fits nothing: the file mirrors the route to `other` already"
    );
    weir.client().ask(GET);
    other.wait("the copy", |seen| seen.requests().count() == 1);
    assert_eq!(notes(&weir, 1).1.len(), 1);
    assert!(canary.requests().len() == 1, "only the first Weir's copy");
}

#[test]
fn a_file_without_the_canary_takes_the_rollout_out_of_force() {
    let (weir, origins) = staged(&format!("split: {{ {BY_USER} }}"), stage(1, 20.0));
    let without = setup(
        origins[0].address,
        origins[1].address,
        "split: { key: { header: X-User }, backends: { stable: 1 } }",
    );
    weir.rewrite(&without);
    assert!(weir.running().trial(&name("all")).is_none());
    assert!(on_canary(&mut weir.client(), 0..20, "").is_empty());
    let state = weir.running().control.state();
    assert!(state.dangling.iter().any(|dangling| dangling.what == "stage"), "{:?}", state.dangling);
    // It can still be withdrawn, and then the canary has nothing when it is back.
    weir.apply(withdraw()).unwrap();
    weir.rewrite(&setup(
        origins[0].address,
        origins[1].address,
        "split: { key: { header: X-User }, backends: { stable: 0, canary: 5 } }",
    ));
    let weights: BTreeMap<Name, Weight> = {
        let state = weir.running().control.state();
        state.weights(state.route("all").unwrap()).into_iter().collect()
    };
    assert_eq!(weights[&name("canary")], Weight::ZERO);
    let manual = WeightChange::Patch([("canary".to_owned(), Some(Weight::of(1)))].into());
    weir.apply(Change::SetWeights { route: "all".to_owned(), weights: manual, pause_rollout: false })
        .unwrap();
}
