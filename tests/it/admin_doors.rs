//! Other ways into the admin API than a token: a unix socket, a session, a certificate.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
};

use serde_json::Value;

use crate::{
    admin_auth::{SET, Tokens, WEIGHTS, ask, request, weir, with},
    support::{
        Client, Origin, Setup, Weir,
        client::Response,
        tls::{Authority, Says, Wants},
        weir::eventually,
    },
};

/// Asks over a unix socket; the status, and everything that came.
fn over(socket: &Path, head: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request(head, body).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

#[test]
fn the_system_says_who_comes_over_the_unix_socket() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let path = tokens.folder.path().join("admin.sock");
    let uid = rustix::process::geteuid().as_raw();
    let place = format!("path: {}", path.display());
    let weir = tokens.setup(&origin, &format!("socket: {{ {place}, mode: \"0600\" }}")).start();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ask(&weir, SET, WEIGHTS).status, 401);
    assert_eq!(over(&path, SET, WEIGHTS).0, 200);
    let change = weir.audit().into_iter().find(|row| row["action"] == "set_weights").unwrap();
    assert_eq!(change["origin"]["actor"], format!("uid:{uid}"));
    let session = over(&path, "GET /v1/session", "").1;
    assert!(session.contains("\"proof\":\"user\""), "{session}");
    // A token says more than the connection does.
    let viewer = tokens.create("vera --role viewer");
    eventually("the token counts", || (over(&path, &with(&viewer, SET), WEIGHTS).0 == 403).then_some(()));
    let mut status = self::weir();
    status.args(["status", "--server", &format!("unix:{}", path.display())]);
    assert!(status.status().unwrap().success());
    drop(weir);
    assert!(!path.exists());

    let role = format!("socket: {{ {place}, uids: {{ {uid}: viewer }} }}");
    let weir = tokens.setup(&origin, &role).start();
    let (status, text) = over(&path, SET, WEIGHTS);
    assert_eq!(status, 403, "{text}");
    assert!(text.contains(&format!("`uid:{uid}` has the role viewer")), "{text}");
    assert_eq!(over(&path, "GET /v1/status", "").0, 200);
    drop(weir);
}

/// A browser on a page of the API.
struct Browser<'w> {
    weir: &'w Weir,
    cookie: String,
}

impl<'w> Browser<'w> {
    fn log_in(weir: &'w Weir, token: &str) -> Self {
        let reply = ask(weir, "POST /v1/session\nSec-Fetch-Site: same-origin", &login(token));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let set = reply.get("set-cookie").unwrap();
        assert!(set.contains("; HttpOnly; SameSite=Strict") && set.contains("; Path=/;"), "{set}");
        assert!(!set.contains(token), "{set}");
        Self { weir, cookie: set.split(';').next().unwrap().to_owned() }
    }

    fn ask(&self, head: &str, body: &str) -> Response {
        ask(self.weir, &format!("{head}\nCookie: weir=1; {}", self.cookie), body)
    }
}

fn login(token: &str) -> String {
    format!("{{\"token\": \"{token}\"}}")
}

#[test]
fn a_browser_logs_in_and_only_its_own_pages_change_things() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("otto --role operator");
    let weir = tokens.setup(&origin, "").start();
    assert_eq!(ask(&weir, "POST /v1/session", &login("weir_guess")).status, 401);
    assert_eq!(ask(&weir, "POST /v1/session\nSec-Fetch-Site: cross-site", &login(&token)).status, 403);
    assert_eq!(ask(&weir, "POST /v1/session", "{}").status, 400);
    assert_eq!(ask(&weir, "GET /v1/session", "").status, 401);
    let browser = Browser::log_in(&weir, &token);
    let who: Value = serde_json::from_str(&browser.ask("GET /v1/session", "").text()).unwrap();
    let expected =
        serde_json::json!({"name": "otto", "role": "operator", "routes": null, "proof": "session"});
    assert_eq!(who, expected);
    for (line, status) in [
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Origin: https://evil.example", 403),
        ("Accept: */*", 403),
    ] {
        assert_eq!(browser.ask(&format!("{SET}\n{line}"), WEIGHTS).status, status, "{line}");
    }
    let change = weir.audit().into_iter().find(|row| row["action"] == "set_weights").unwrap();
    let who = (&change["origin"]["actor"], &change["origin"]["channel"]);
    assert_eq!(who, (&"otto".into(), &"dashboard".into()));
    // A session ends by logging out, and with its token.
    let other = Browser::log_in(&weir, &token);
    let bye = other.ask("DELETE /v1/session\nSec-Fetch-Site: same-origin", "");
    assert!(bye.get("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(other.ask("GET /v1/session", "").status, 401);
    assert_eq!(browser.ask("GET /v1/session", "").status, 200);
    assert!(tokens.command("revoke otto").status.success());
    eventually("the session has ended", || (browser.ask("GET /v1/session", "").status == 401).then_some(()));
}

#[test]
fn where_everybody_may_do_everything_nobody_logs_in() {
    let origin = Origin::named("stable");
    let weir = Setup::before(&origin).start();
    assert_eq!(ask(&weir, "POST /v1/session", &login("weir_a")).status, 422);
    let who: Value = serde_json::from_str(&ask(&weir, "GET /v1/session", "").text()).unwrap();
    assert_eq!(
        (&who["name"], &who["role"], &who["proof"]),
        (&"anonymous".into(), &"admin".into(), &"none".into())
    );
}

#[test]
fn a_stream_of_events_ends_with_its_token() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let (token, other) = (tokens.create("vera --role viewer"), tokens.create("otto --role viewer"));
    let weir = tokens.setup(&origin, "").start();
    let listen = |token: &str| {
        let mut client = Client::to(weir.running().admin());
        client.send(request(&with(token, "GET /v1/events"), ""));
        assert_eq!(client.response_head().0, 200);
        client
    };
    let (mut ends, mut goes_on) = (listen(&token), listen(&other));
    assert!(tokens.command("revoke vera").status.success());
    while ends.chunk().is_some() {}
    assert!(goes_on.chunk().is_some());
}

/// Asks in TLS.
fn secure(weir: &Weir, wants: &Wants, head: &str, body: &str) -> std::io::Result<Response> {
    let mut client = Client::try_tls(weir.running().admin(), wants, "localhost")?;
    client.send(request(head, body));
    client.try_response().map_err(|broken| std::io::Error::other(broken.to_string()))
}

/// A Weir whose admin API shows a certificate of the first authority, and knows holders of the second one's.
fn certified(origin: &Origin, tokens: &Tokens, (authority, staff): (&Authority, &Authority)) -> Weir {
    let folder = tokens.folder.path();
    authority.issue(&["localhost", "127.0.0.1"]).write(folder, "admin");
    fs::write(folder.join("staff.crt"), staff.pem()).unwrap();
    fs::write(folder.join("ours.crt"), authority.pem()).unwrap();
    let files = folder.display();
    let clients = format!(
        "clients: {{ ca_file: {files}/staff.crt, roles: [ {{ dns: ci.internal, role: operator, routes: [all] }}, {{ uri: \"spiffe://a/b\", role: viewer }}, {{ common_name: alice, role: admin }} ] }}"
    );
    let keys = format!(
        "tls: {{ certificate: {{ cert_file: {files}/admin.crt, key_file: {files}/admin.key }}, {clients} }}"
    );
    tokens.setup(origin, &keys).start()
}

#[test]
fn the_command_line_shows_a_certificate() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let (authority, staff) = (Authority::new("ours"), Authority::new("staff"));
    let weir = certified(&origin, &tokens, (&authority, &staff));
    let folder = tokens.folder.path();
    staff.issue(&["ci.internal"]).write(folder, "ci");
    let files = folder.display();
    let (ca, server) = (format!("--ca-file {files}/ours.crt"), format!("https://{}", weir.running().admin()));
    let (cert, key) = (format!("--cert-file {files}/ci.crt"), format!("--key-file {files}/ci.key"));
    for (line, exit) in [
        (format!("set-weight all stable=7 {ca} {cert} {key}"), 0),
        (format!("{ca} {cert} set-weight all stable=8 {key}"), 0),
        (format!("revisions restore 1 {ca} {cert} {key}"), 7),
        (format!("status {ca}"), 7),
        (format!("status {ca} {cert}"), 2),
        (format!("status {ca} {key}"), 2),
        (format!("status {ca} {cert} --key-file {files}/ci.crt"), 2),
        (format!("status {ca} {cert} --key-file {files}/none.key"), 2),
    ] {
        let output = self::weir().args(line.split(' ')).env("WEIR_SERVER", &server).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{line}: {stderr}");
    }
    let change = weir.audit().into_iter().find(|row| row["action"] == "set_weights").unwrap();
    assert_eq!(
        (&change["origin"]["actor"], &change["origin"]["channel"]),
        (&"ci.internal".into(), &"cli".into())
    );
}

#[test]
fn certificates_have_roles_and_are_renewed() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("ada --role admin");
    let (authority, staff) = (Authority::new("ours"), Authority::new("staff"));
    let folder = tokens.folder.path();
    let weir = certified(&origin, &tokens, (&authority, &staff));
    let (ci, alice, uri) = (
        staff.issue(&["CI.internal"]),
        staff.issue_that(&["x"], Says { common_name: "alice", ..Says::default() }),
        staff.issue_that(&["x"], Says { uris: &["spiffe://a/b"], ..Says::default() }),
    );
    let wants = || authority.client();
    for (who, head, body, status) in [
        (wants(), "GET /v1/status", "", 401),
        (wants().showing(&ci), SET, WEIGHTS, 200),
        (wants().showing(&ci), "GET /v1/config", "", 403),
        (wants().showing(&uri), "GET /v1/status", "", 200),
        (wants().showing(&uri), SET, WEIGHTS, 403),
        (wants().showing(&alice), "GET /v1/config", "", 200),
        (wants().showing(&staff.issue(&["unknown"])), "GET /v1/status", "", 401),
    ] {
        assert_eq!(secure(&weir, &who, head, body).unwrap().status, status, "{head}");
    }
    let change = weir.audit().into_iter().find(|row| row["action"] == "set_weights").unwrap();
    assert_eq!(change["origin"]["actor"], "ci.internal");
    // Another authority's word counts nothing, and in the clear nobody is talked to.
    let forged = wants().showing(&authority.issue(&["ci.internal"]));
    assert!(secure(&weir, &forged, "GET /v1/status", "").is_err());
    let mut plain = Client::to(weir.running().admin());
    plain.send(request("GET /v1/status", ""));
    assert!(plain.try_response().is_err());
    // A token, a session, and the command line.
    assert_eq!(secure(&weir, &wants(), &with(&token, "GET /v1/config"), "").unwrap().status, 200);
    let reply = secure(&weir, &wants(), "POST /v1/session", &login(&token)).unwrap();
    let set = reply.get("set-cookie").unwrap();
    assert!(set.starts_with("__Host-weir_session=") && set.ends_with("; Secure"), "{set}");
    let mut status = self::weir();
    let server = format!("https://{}", weir.running().admin());
    status
        .args(["status", "--server", &server])
        .env("WEIR_TOKEN", &token)
        .env("WEIR_CA_FILE", folder.join("ours.crt"));
    let output = status.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A new certificate is shown without a restart.
    let renewed = authority.issue(&["localhost"]);
    renewed.write(folder, "admin");
    eventually("the new certificate is shown", || {
        let client = Client::try_tls(weir.running().admin(), &wants(), "localhost").ok()?;
        (client.session().certificate() == Some(&renewed.der())).then_some(())
    });
}
