//! The commands against a real admin API, and what they print.

use std::{collections::BTreeMap, time::Duration};

use clap::{CommandFactory as _, Parser as _};
use hyper::Method;

use super::{
    Cli, Command, Exit,
    client::{Call, Client, segment},
    format::Answer as _,
    output::{self, View},
    set_weight::{Setting, spread},
};
use crate::{
    admin::api::types,
    control::{Channel, Origin, command::Digest, fixtures::name, state::Drift},
    server::{self, Options},
    types::{BackendState, Revision, StickyMode, Weight},
};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
    super::help::command().debug_assert();
}

#[test]
fn commands_are_parsed() {
    for (line, good) in [
        ("weir run --config weir.yaml --data-dir /var/lib/weir", true),
        ("weir run --ephemeral", true),
        ("weir run --ephemeral --data-dir x", false),
        ("weir check weir.yaml --output sarif", true),
        ("weir check", false),
        ("weir set-weight shop canary=20 stable=80 --dry-run --if-rev 4 --reason why", true),
        ("weir set-weight shop canary=20%", true),
        ("weir set-weight shop canary=file", true),
        ("weir set-weight shop", false),
        ("weir set-weight shop canary", false),
        ("weir set-weight shop canary=-1", false),
        ("weir set-weight shop canary=101%", false),
        ("weir set-weight shop canary=NaN", false),
        (
            "weir explain shop -H x-user:42 --cookie a=b --ip 203.0.113.9 --path /x --host h --method POST",
            true,
        ),
        ("weir explain shop -H nonsense", false),
        ("weir kill shop --to stable", true),
        ("weir unkill shop --if-rev 3", true),
        ("weir unkill shop --if-rev r3", true),
        ("weir unkill shop --if-rev \"r3\"", true),
        ("weir unkill shop --if-rev rev3", false),
        ("weir status -o json --server http://127.0.0.1:1", true),
        ("weir healthcheck --ready", true),
        ("weir revisions", true),
        ("weir revisions -o name", true),
        ("weir --server http://127.0.0.1:1 --cert-file a --key-file b revisions list --limit 3", true),
        ("weir revisions --server http://127.0.0.1:1 list --limit 3 --token-file t", true),
        ("weir override", true),
        ("weir override --ca-file a list shop", true),
        ("weir audit --server http://127.0.0.1:1 verify", true),
        ("weir token list --file f --output json", true),
        ("weir token list --file f --output sarif", false),
        ("weir demo --exit --seed 1 --output json", true),
        ("weir rollout", true),
        ("weir rollout --output name", true),
        ("weir rollout start shop --plan - --version v2 --reason why --supersede --wait --timeout 2h", true),
        ("weir rollout start shop cart --dry-run", true),
        ("weir rollout start", false),
        ("weir rollout list --route shop --active --phase paused --limit 3", true),
        ("weir rollout get", true),
        ("weir rollout get shop --watch", true),
        ("weir rollout wait shop --timeout 90s --exit-on-approval=false", true),
        ("weir rollout wait shop --exit-on-approval", true),
        ("weir rollout wait shop --timeout 90", false),
        ("weir rollout wait", false),
        ("weir rollout promote shop --full --if-rev r3", true),
        ("weir rollout abort shop --if-rev r3", false),
        ("weir rollout report r-1 --output yaml", true),
        ("weir frobnicate", false),
    ] {
        assert_eq!(Cli::try_parse_from(line.split(' ')).is_ok(), good, "{line}");
    }
}

#[test]
fn shares_leave_the_others_their_proportions() {
    let current: BTreeMap<_, _> =
        [("a", 60), ("b", 30), ("c", 10)].map(|(n, weight)| (name(n), Weight::of(weight))).into();
    for (wanted, expected) in [
        (&[("c", 40.0)][..], "a=40 b=20 c=40"),
        (&[("a", 0.0)], "a=0 b=75 c=25"),
        (&[("a", 50.0), ("b", 50.0)], "a=50 b=50 c=0"),
        (&[("a", 33.3), ("b", 33.3), ("c", 33.4)], "a=33.3 b=33.3 c=33.4"),
        (&[("c", 0.1)], "a=66.6 b=33.3 c=0.1"),
        (&[("a", 80.0), ("b", 30.0)], "the shares sum to 110 %"),
        (&[("a", 10.0), ("a", 20.0)], "`a` is given twice"),
        (
            &[("a", 10.0), ("b", 20.0), ("c", 30.0)],
            "40 % are left for nobody: the other backends have no weight; name one of them too",
        ),
    ] {
        let wanted: Vec<_> = wanted.iter().map(|(n, p)| ((*n).to_owned(), Setting::Percent(*p))).collect();
        let shown = match spread(&current, &wanted) {
            Ok(weights) => weights.iter().map(|(n, w)| format!("{n}={w}")).collect::<Vec<_>>().join(" "),
            Err(error) => error,
        };
        assert_eq!(shown, expected);
    }
    let ends: BTreeMap<_, _> =
        [("v1", 0), ("v2", 100)].map(|(n, weight)| (name(n), Weight::of(weight))).into();
    let spread = spread(&ends, &[("v2".to_owned(), Setting::Percent(20.0))]).unwrap();
    assert_eq!(spread["v1"], Weight::of(80), "the only other backend gets the rest");
}

#[test]
fn numbers_are_written_for_people() {
    for (shown, expected) in [
        (output::percent(0.05), "5 %"),
        (output::percent(0.951), "95.1 %"),
        (output::percent(0.0), "0 %"),
        (output::percent(1.0), "100 %"),
        (output::percent(0.00001), "0.001 %"),
        (output::latency(0.000_85), "850us"),
        (output::latency(0.0042), "4.2ms"),
        (output::latency(0.088), "88ms"),
        (output::latency(1.25), "1.2s"),
        (output::age(Duration::from_secs(12)), "12s"),
        (output::age(Duration::from_secs(185)), "3m05s"),
        (output::age(Duration::from_secs(11_520)), "3h12m"),
        (output::age(Duration::from_secs(353_000)), "4d2h"),
        (output::count(1_234_567.0), "1,234,567"),
        (output::count(12.4), "12"),
        (segment("a/b c%"), "a%2Fb%20c%25"),
    ] {
        assert_eq!(shown, expected);
    }
}

#[test]
fn servers_are_checked() {
    for (server, good) in [
        ("http://127.0.0.1:9900", true),
        ("http://127.0.0.1:9900/", true),
        ("localhost:9900", true),
        ("http://[::1]:9900", true),
        ("http://weir.internal", true),
        ("https://127.0.0.1:9900", true),
        ("ftp://127.0.0.1:9900", false),
        ("unix:/run/weir/admin.sock", true),
        ("unix:weir.sock", false),
        ("http://127.0.0.1:9900/v1", false),
        ("http://user@host:1", false),
        ("", false),
    ] {
        let client = Client::new(server);
        assert_eq!(client.is_ok(), good, "{server}");
        assert!(client.err().is_none_or(|failure| failure.exit == Exit::Usage));
    }
}

pub(super) fn status() -> types::Status {
    let backend =
        |backend: &str, weight: u32, (target_ratio, traffic): (f64, types::Traffic)| types::RouteBackend {
            name: name(backend),
            state: BackendState::Active,
            weight: Weight::of(weight),
            file_weight: Weight::of(weight),
            target_ratio,
            healthy: 1,
            endpoints: 1,
            traffic,
        };
    let traffic = |rps, observed, error| types::Traffic {
        requests_per_second: rps,
        observed_ratio: Some(observed),
        error_ratio: Some(error),
        p50_seconds: Some(0.011),
        p95_seconds: Some(0.041),
        p99_seconds: Some(0.088),
        ..types::Traffic::default()
    };
    let stable = backend("stable", 95, (0.95, traffic(1204.0, 0.951, 0.0002)));
    let canary = backend("canary", 5, (0.05, traffic(62.0, 0.049, 0.0)));
    types::Status {
        version: "0.1.0".to_owned(),
        uptime_seconds: 11_520.0,
        revision: Revision(42),
        changed: types::LastChange {
            at: "2026-01-31T12:00:00.000Z".to_owned(),
            action: "set_weights".to_owned(),
            origin: Origin::new("alice", Channel::Api),
        },
        file: types::ControlFileStatus {
            path: "weir.yaml".to_owned(),
            digest: Digest::of(b""),
            revision: Revision(41),
            warnings: Vec::new(),
            drifted: true,
            drift: vec![Drift {
                route: name("checkout"),
                backend: Some(name("canary")),
                file: "1".to_owned(),
                running: "5".to_owned(),
            }],
        },
        last_reload: types::Reload { ok: true, at: String::new(), error: None },
        store: types::StoreStatus { directory: None, persisted: false, error: None },
        dangling: Vec::new(),
        readiness: types::Readiness { ready: true, reasons: Vec::new(), warnings: Vec::new() },
        listeners: Vec::new(),
        routes: vec![types::Route {
            name: name("checkout"),
            sticky: StickyMode::Bucket,
            rollout: None,
            kill_switch: None,
            backends: vec![stable, canary],
        }],
        backends: Vec::new(),
    }
}

fn screen(status: &types::Status, now: Duration) -> String {
    let view = View { now, ..View::PLAIN };
    status.screen(&view).render(&view)
}

#[test]
fn status_fits_on_a_screen() {
    let now = Duration::from_secs(1_769_860_800 + 130);
    let mut staged = status();
    staged.routes[0].rollout = Some(types::rollout::RouteRollout {
        id: "r-7f3a2c".to_owned(),
        canary: name("canary"),
        phase: types::rollout::Phase::Progressing,
        step: 1,
        step_count: 5,
        seconds_left: Some(134.0),
    });
    insta::assert_snapshot!(screen(&staged, now), @r"
    weir 0.1.0 up 3h12m  rev 42 (api, alice, 2m10s ago)  file: DRIFTED (rev 41, `weir diff`)
    ROUTE     BACKEND  WEIGHT  TARGET  OBSERVED  HEALTH    RPS  ERR%   P50   P95   P99  STATE  ROLLOUT
    checkout  stable       95    95 %    95.1 %   1/1 ✔  1,204  0.02  11ms  41ms  88ms
              canary        5     5 %     4.9 %   1/1 ✔     62  0.00  11ms  41ms  88ms         ◑ r-7f3a2c 1/5, 2m14s left
    drift: checkout canary: file 1, running 5
    ");
    let mut refused = status();
    refused.last_reload.ok = false;
    refused.routes[0].kill_switch = Some(name("stable"));
    insta::assert_snapshot!(screen(&refused, now), @r"
    weir 0.1.0 up 3h12m  rev 42 (api, alice, 2m10s ago)  file: REFUSED, the last good one runs
    ROUTE     BACKEND  WEIGHT  TARGET  OBSERVED  HEALTH    RPS  ERR%   P50   P95   P99  STATE                   ROLLOUT
    checkout  stable       95    95 %    95.1 %   1/1 ✔  1,204  0.02  11ms  41ms  88ms  KILL SWITCH: takes all
              canary        5     5 %     4.9 %   1/1 ✔     62  0.00  11ms  41ms  88ms  KILL SWITCH: cut off
    drift: checkout canary: file 1, running 5
    ");
}

/// A server of two backends that nobody asks, and its directory.
async fn server() -> (server::Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("weir.yaml");
    let text = crate::control::fixtures::TEXT.replace("WEIGHT", "5");
    std::fs::write(&config, text + "admin: { bind: 127.0.0.1:0 }\nworkers: 1\n").unwrap();
    let running = server::start(&Options { config, ..Options::default() }).await.unwrap();
    (running, directory)
}

#[tokio::test]
async fn commands_talk_to_a_real_server() {
    let (running, _directory) = server().await;
    let url = format!("http://{}", running.admin());
    let client = Client::new(&url).unwrap();
    let status: types::Status = client.get("/v1/status").await.unwrap();
    assert_eq!(status.routes[0].name, name("shop"));
    let set = async |line: &str| {
        let line = format!("weir set-weight shop {line} --server {url}");
        let Command::SetWeight(command) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            unreachable!("the line says set-weight");
        };
        command.send(&client).await.map_err(|failure| (failure.exit, failure.to_string()))
    };
    let dry = set("canary=20% --dry-run").await.unwrap();
    assert_eq!(
        (dry.dry_run, dry.revision, dry.weights[&name("canary")]),
        (true, Revision(1), Weight::of(20))
    );
    assert_eq!(set("canary=20%").await.unwrap().weights[&name("stable")], Weight::of(80));
    assert_eq!(set("canary=7").await.unwrap().revision, Revision(3));
    let back = set("canary=file stable=file").await.unwrap();
    assert_eq!(back.weights, back.file);
    let (exit, text) = set("canary=8 --if-rev 1").await.unwrap_err();
    assert_eq!(exit, Exit::Conflict);
    assert!(text.contains("revision r1 was expected, but r4 is in force"), "{text}");
    let paused = set("canary=8 --pause-rollout --dry-run").await.unwrap();
    assert_eq!((paused.dry_run, paused.weights[&name("canary")]), (true, Weight::of(8)));
    assert_eq!(set("canry=8").await.unwrap_err().0, Exit::Error);
    assert_eq!(set("canary=8 canary=9").await.unwrap_err().0, Exit::Usage);
    assert_eq!(set("canary=8 stable=9%").await.unwrap_err().0, Exit::Usage);
    let (status, _) = client.exchange(Call::new(Method::GET, "/livez")).await.unwrap();
    assert_eq!(status, 200);
    running.stop().await;
    let gone = client.get::<types::Status>("/v1/status").await.unwrap_err();
    assert_eq!(gone.exit, Exit::Unreachable);
    assert!(gone.to_string().starts_with(&format!("cannot reach {url}: ")), "{gone}");
}
