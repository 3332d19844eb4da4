//! Approval links with the real binary: out of the message of a notification, followed and pressed on real sockets.

use serde_json::Value;

use crate::support::{
    Client, Origin, Setup,
    process::{Home, Process},
    weir::eventually,
};

/// The `admin.public_url` of every case; its host is the one that a browser asks for.
const PUBLIC: &str = "https://weir.example.com:8443/ops";

/// Weir with a plan of two approvals and a place that is told of them.
fn start(told: &Origin, versions: &Origin) -> (Home, Process) {
    let setup = Setup::new()
        .admin(&format!("public_url: \"{PUBLIC}\""))
        .top(&format!("notifications: {{ events: {{ webhook: {{ url: \"http://{}/\" }} }} }}", told.address))
        .backend("stable", &[versions.address])
        .backend("canary", &[versions.address])
        .route(
            "name: shop, split: { key: { header: X-User }, backends: { stable: 100, canary: 0 } }, \
             rollout: { baseline: stable, canary: canary, start: command, notify: [events], analysis: { gates: [] }, \
             steps: [ { weight: 10%, hold: 50ms, approval: true }, { weight: 50%, hold: 50ms, approval: true }, { weight: 100% } ] }",
        );
    let home = Home::of(&setup);
    let process = home.run(&[]);
    (home, process)
}

/// The paths of the links that agree to a step (counted from 1) and reject it, once the message with them has come.
fn links(told: &Origin, step: u64) -> [String; 2] {
    let asked = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).ok()?;
        let data = &event["data"];
        let wanted = data["occasion"] == "approval_needed" && data["step"]["number"] == step;
        wanted.then(|| data["links"].clone())
    };
    let seen = told.wait("the message", |seen| seen.requests().any(|request| asked(&request.body).is_some()));
    let links = seen.requests().find_map(|request| asked(&request.body)).unwrap();
    ["approve", "reject"].map(|which| {
        let address = links[which].as_str().expect("a link");
        address.strip_prefix(PUBLIC).expect("the link begins with the public address").to_owned()
    })
}

/// What a browser that has the page sends, and gets: the status and the page.
fn browse(process: &Process, method: &str, path: &str, fields: &str) -> (u16, String) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: weir.example.com:8443\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let response = Client::to(process.admin()).ask(head);
    (response.status, response.text())
}

/// The newest rollout, once it is in this phase at this step.
fn reaches(process: &Process, phase: &str, step: u64) -> Value {
    eventually(&format!("{phase} at step {step}"), || {
        let found: Value = serde_json::from_str(&process.ask("GET /v1/rollouts?route=shop&limit=1")).unwrap();
        let newest = found["rollouts"][0].clone();
        (newest["phase"] == phase && newest["step"] == step).then_some(newest)
    })
}

#[test]
fn a_message_leads_to_a_page_and_its_button_decides_once() {
    let (told, versions) = (Origin::named("told"), Origin::named("shop"));
    let (_home, process) = start(&told, &versions);
    let body = "{\"route\": \"shop\"}";
    let started = Client::to(process.admin()).ask(format!(
        "POST /v1/rollouts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(started.status, 201, "{}", started.text());
    reaches(&process, "awaiting_approval", 1);
    let [approve, reject] = links(&told, 1);
    let (status, page) = browse(&process, "GET", &approve, "Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Approve step 1 of rollout") && page.contains("<form method=\"post\">"), "{page}");
    // Pages of others press nothing; the page's own form does, with or without what newer browsers say.
    assert_eq!(browse(&process, "POST", &approve, "Sec-Fetch-Site: cross-site\r\n").0, 403);
    assert_eq!(browse(&process, "POST", &approve, "Origin: https://evil.example\r\n").0, 403);
    reaches(&process, "awaiting_approval", 1);
    let own = "Origin: https://weir.example.com:8443\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let (status, page) = browse(&process, "POST", &approve, own);
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("is approved"), "{page}");
    reaches(&process, "awaiting_approval", 2);
    // The rollout waits again, and the old links are for the wait before.
    for old in [&approve, &reject] {
        let (status, page) = browse(&process, "POST", old, own);
        assert_eq!(status, 410, "{page}");
        assert!(page.contains("was used already"), "{page}");
    }
    let [_, reject] = links(&told, 2);
    let (status, page) = browse(&process, "POST", &reject, &format!("{own}Sec-Fetch-Site: same-origin\r\n"));
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("is rejected"), "{page}");
    let ended = reaches(&process, "aborted", 2);
    assert!(ended["reason"]["words"].as_str().unwrap().starts_with("link:events did not agree"), "{ended}");
    let audit: Value = serde_json::from_str(&process.ask("GET /v1/audit?actor=link:events")).unwrap();
    let done: Vec<_> = audit["rows"].as_array().unwrap().iter().map(|row| &row["action"]).collect();
    assert_eq!(done, ["rollout_reject", "rollout_approve"]);
}
