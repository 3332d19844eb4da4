//! The admin API of a running Weir: who gets in, who does not, and what is written down of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{
    Client, Origin, Setup, Weir,
    client::Response,
    process::{Home, Process},
    weir::eventually,
};

/// A file of tokens, made by the command line.
pub(crate) struct Tokens {
    pub(crate) folder: TempDir,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        let tokens = Self { folder: TempDir::new().unwrap() };
        fs::write(tokens.file(), "# whoever needs it\n").unwrap();
        fs::set_permissions(tokens.file(), fs::Permissions::from_mode(0o600)).unwrap();
        tokens
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("tokens")
    }

    /// Makes a token; `arguments` are a name and more.
    pub(crate) fn create(&self, arguments: &str) -> String {
        let output = self.command(&format!("create {arguments}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        assert!(!fs::read_to_string(self.file()).unwrap().contains(&token));
        token
    }

    pub(crate) fn command(&self, arguments: &str) -> Output {
        let mut command = weir();
        command.arg("token").args(arguments.split(' ')).arg("--file").arg(self.file());
        command.output().unwrap()
    }

    /// The usual Weir, with these tokens and more keys of `admin`.
    pub(crate) fn setup(&self, origin: &Origin, keys: &str) -> Setup {
        Setup::before(origin).admin(&format!("tokens: {}, {keys}", self.file().display()))
    }
}

pub(crate) fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for name in ["WEIR_TOKEN", "WEIR_TOKEN_FILE", "WEIR_SERVER", "WEIR_TOKENS"] {
        command.env_remove(name);
    }
    command
}

/// Asks over a connection of its own. `head` is `METHOD path` and header lines; Host is added where there is none.
pub(crate) fn ask(weir: &Weir, head: &str, body: &str) -> Response {
    Client::to(weir.running().admin()).ask(request(head, body))
}

pub(crate) fn request(head: &str, body: &str) -> String {
    let mut lines = head.lines().map(str::trim);
    let mut text = format!("{} HTTP/1.1\r\n", lines.next().unwrap());
    for line in lines {
        text += &format!("{line}\r\n");
    }
    if !head.contains("Host: ") {
        text += "Host: localhost\r\n";
    }
    text + &format!("Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn with(token: &str, head: &str) -> String {
    format!("{head}\nAuthorization: Bearer {token}")
}

pub(crate) const SET: &str = "PATCH /v1/routes/all/weights";
pub(crate) const WEIGHTS: &str = r#"{"weights": {"stable": 50}}"#;

#[test]
fn each_role_gets_what_is_its_own() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let viewer = tokens.create("vera --role viewer");
    let operator = tokens.create("otto --role operator --expires 30d");
    let scoped = tokens.create("cart --role operator --routes cart,shop");
    let admin = tokens.create("ada --role admin");
    let weir = tokens.setup(&origin, "").start();
    let other = if viewer.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{other}", &viewer[..viewer.len() - 1]);
    for (who, head, body, status) in [
        ("", "GET /livez", "", 200),
        ("", "GET /metrics", "", 200),
        ("", "GET /v1/status", "", 401),
        (&*wrong, "GET /v1/status", "", 401),
        (&*viewer, "GET /v1/status", "", 200),
        (&*viewer, SET, WEIGHTS, 403),
        (&*viewer, "PUT /v1/routes/all/kill-switch", "", 403),
        (&*scoped, SET, WEIGHTS, 403),
        (&*scoped, "GET /v1/routes/all/weights", "", 200),
        (&*operator, SET, WEIGHTS, 200),
        (&*operator, "GET /v1/config", "", 403),
        (&*admin, "GET /v1/config", "", 200),
    ] {
        let head = if who.is_empty() { head.to_owned() } else { with(who, head) };
        assert_eq!(ask(&weir, &head, body).status, status, "{head}");
    }
    assert_eq!(weir.count("weir_admin_denied_total", "no_token"), 1);
    assert_eq!(weir.count("weir_admin_denied_total", "scope"), 1);
    assert_eq!(weir.count("weir_admin_tokens", ""), 4);
}

#[test]
fn no_spelling_of_a_path_is_a_way_around() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let viewer = tokens.create("vera --role viewer");
    let weir = tokens.setup(&origin, "").start();
    for path in [
        "//v1/routes/all/kill-switch",
        "/v1//routes/all/kill-switch",
        "/v1/routes/all//kill-switch",
        "/v1/routes/all/kill-switch/",
        "/V1/routes/all/kill-switch",
        "/v1/routes/all/Kill-Switch",
        "/v1/routes/all/kill%2dswitch",
        "/v1/routes/%61ll/kill-switch",
        "/v1/./routes/all/kill-switch",
        "/livez/../v1/routes/all/kill-switch",
        "/livez/%2e%2e/v1/routes/all/kill-switch",
        "/livez;/v1/routes/all/kill-switch",
        "/v1/routes/all/kill-switch?x=/livez",
        "/v1/routes/all/kill-switch#/livez",
        "http://localhost/v1/routes/all/kill-switch",
    ] {
        for head in [format!("PUT {path}"), with(&viewer, &format!("PUT {path}"))] {
            let status = ask(&weir, &head, "").status;
            assert!([400, 401, 403, 404].contains(&status), "{head}: {status}");
        }
    }
    let state = weir.running().control.state();
    assert!(state.overlay.routes.is_empty(), "{:?}", state.overlay);
}

#[test]
fn pages_of_other_sites_get_nothing() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("ada --role admin");
    let weir = tokens.setup(&origin, "hosts: [weir.internal]").start();
    let port = weir.running().admin().port();
    let own = format!("Host: weir.internal:{port}\nOrigin: http://weir.internal:{port}");
    for (lines, status) in [
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Host: evil.example", 403),
        ("Host: localhost.evil.example", 403),
        ("Host: localhost\nHost: evil.example", 400),
        ("Sec-Fetch-Site: same-origin", 200),
        (&*own, 200),
    ] {
        let reply = ask(&weir, &with(&token, &format!("{SET}\n{lines}")), WEIGHTS);
        assert_eq!(reply.status, status, "{lines}");
        assert_eq!(reply.get("access-control-allow-origin"), None);
        assert!(reply.get("content-security-policy").unwrap().contains("default-src 'none'"));
    }
    let preflight =
        "OPTIONS /v1/routes/all/weights\nOrigin: https://evil.example\nAccess-Control-Request-Method: PATCH";
    let reply = ask(&weir, preflight, "");
    assert_eq!((reply.status, reply.get("access-control-allow-methods")), (401, None));
    assert_eq!(weir.count("weir_admin_denied_total", "host"), 3);
    assert_eq!(weir.count("weir_admin_denied_total", "origin"), 4);
}

#[test]
fn a_body_that_is_too_large_is_refused_and_without_a_token_not_read() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("ada --role admin");
    let weir = tokens.setup(&origin, "").start();
    let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(300 << 10));
    assert_eq!(ask(&weir, &with(&token, SET), &large).status, 413);
    // The answer comes before the body has: nobody unknown makes Weir keep one.
    let mut client = Client::to(weir.running().admin());
    client.send(format!("{SET} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n"));
    assert_eq!(client.response().status, 401);
}

#[test]
fn who_tries_too_often_has_to_wait() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("ada --role admin");
    let weir = tokens.setup(&origin, "max_failures: 2/h").start();
    for status in [401, 401, 429, 429] {
        let reply = ask(&weir, &with("weir_guess", "GET /v1/status"), "");
        assert_eq!(reply.status, status);
        let wait = reply.get("retry-after").map(|seconds| seconds.parse::<u64>().unwrap());
        assert_eq!(wait.is_some_and(|seconds| (1..=1800).contains(&seconds)), status == 429, "{wait:?}");
    }
    assert_eq!(ask(&weir, &with(&token, "GET /v1/status"), "").status, 200);
}

#[test]
fn a_changed_file_of_tokens_counts_at_once() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let first = tokens.create("first --role viewer");
    let weir = tokens.setup(&origin, "").start();
    let status = |token: &str| ask(&weir, &with(token, "GET /v1/status"), "").status;
    assert_eq!(status(&first), 200);
    let second = tokens.create("second --role viewer");
    eventually("the new token counts", || (status(&second) == 200).then_some(()));
    assert!(tokens.command("revoke first").status.success());
    eventually("the old token has ended", || (status(&first) == 401).then_some(()));
    // A file that is bad, or that others may write, changes nothing.
    let good = fs::read_to_string(tokens.file()).unwrap();
    fs::write(tokens.file(), "nothing\n").unwrap();
    weir.counts("weir_admin_tokens_last_reload_successful", "", 0);
    assert_eq!(status(&second), 200);
    let warnings = ask(&weir, &with(&second, "GET /readyz"), "").text();
    assert!(warnings.contains("line 1: "), "{warnings}");
    assert!(!ask(&weir, "GET /readyz", "").text().contains("line 1"));
    fs::write(tokens.file(), good).unwrap();
    weir.counts("weir_admin_tokens_last_reload_successful", "", 1);
    let listed = String::from_utf8(tokens.command("list").stdout).unwrap();
    assert!(listed.contains("second") && !listed.contains("first") && !listed.contains("sha256"), "{listed}");
}

#[test]
fn refusals_are_in_the_audit_and_tokens_are_nowhere() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let viewer = tokens.create("vera --role viewer");
    let operator = tokens.create("otto --role operator");
    let weir = tokens.setup(&origin, "").start();
    ask(&weir, &with("weir_stolen", "GET /v1/status"), "");
    assert_eq!(ask(&weir, &with(&viewer, SET), WEIGHTS).status, 403);
    let head = with(&operator, &format!("{SET}\nX-Weir-Actor: ci\nX-Request-Id: deploy-17"));
    let changed = ask(&weir, &head, WEIGHTS);
    assert_eq!((changed.status, changed.get("x-request-id")), (200, Some("deploy-17")));
    let rows = eventually("the refusals are written", || {
        let rows = weir.audit();
        (rows.iter().filter(|row| row["action"] == "denied").count() >= 2).then_some(rows)
    });
    let row = |what: &str| rows.iter().find(|row| row["to"] == what).unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!(row("status: wrong_token, from 127.0.0.1")["origin"]["actor"], "unknown");
    let weak = row("set_weights: role, from 127.0.0.1");
    assert_eq!((&weak["origin"]["actor"], &weak["route"]), (&"vera".into(), &"all".into()));
    let change = rows.iter().find(|row| row["action"] == "set_weights").unwrap();
    assert_eq!((&change["origin"]["actor"], &change["origin"]["note"]), (&"otto".into(), &"ci".into()));
    assert_eq!(change["origin"]["request_id"], "deploy-17");
    for token in [&viewer, &operator, "weir_stolen"] {
        assert!(!format!("{rows:?}").contains(token), "a token is in the audit");
    }
}

#[test]
fn the_command_line_takes_a_token_from_a_file_or_the_environment() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("otto --role operator");
    let weir = tokens.setup(&origin, "").start();
    let file = tokens.folder.path().join("mine");
    fs::write(&file, format!("{token}\n")).unwrap();
    let server = format!("http://{}", weir.running().admin());
    let run = |variables: &[(&str, &str)]| {
        let mut command = self::weir();
        command.args(["set-weight", "all", "stable=60", "--server", &server]).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&[]);
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("WEIR_TOKEN"), "{text}");
    assert_eq!(run(&[("WEIR_TOKEN", &token)]).0, 0);
    assert_eq!(run(&[("WEIR_TOKEN_FILE", file.to_str().unwrap())]).0, 0);
    let (code, text) = run(&[("WEIR_TOKEN_FILE", tokens.file().to_str().unwrap())]);
    assert_eq!(code, 2, "{text}");
}

#[test]
fn a_weir_that_others_could_reach_needs_tokens() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("ada --role admin");
    let elsewhere = |keys: &str| {
        let loopback = "admin: { bind: \"127.0.0.1:0\", ";
        Setup::before(&origin).admin(keys).text().replace(loopback, "admin: { bind: \"0.0.0.0:0\", ")
    };
    let named = format!("tokens: {}", tokens.file().display());
    let home = Home::of(&Setup::before(&origin));
    for (keys, says) in [("", "would be open to others"), (&*named, "would cross the network in the clear")] {
        home.rewrite(&elsewhere(keys));
        let mut weir = Process::start(&mut home.command(&[]));
        weir.says(says);
        assert_eq!(weir.end().code(), Some(78));
    }
    home.rewrite(&elsewhere(&format!("{named}, insecure: true")));
    let weir = home.run(&[]);
    let address = (std::net::Ipv4Addr::LOCALHOST, weir.admin().port()).into();
    assert_eq!(Client::to(address).ask(request("GET /v1/status", "")).status, 401);
    assert_eq!(Client::to(address).ask(request(&with(&token, "GET /v1/status"), "")).status, 200);
    assert!(!weir.log().contains(&token));
    // Without a good file of tokens there is no start, whatever the address.
    fs::set_permissions(tokens.file(), fs::Permissions::from_mode(0o666)).unwrap();
    let mut again = Process::start(&mut home.command(&["--takeover"]));
    again.says("others may write it (mode 0666)");
    assert_eq!(again.end().code(), Some(78));
}

#[test]
fn the_last_refusals_are_written_before_the_end() {
    let (origin, tokens) = (Origin::named("stable"), Tokens::new());
    let token = tokens.create("ada --role admin");
    let home = Home::of(&tokens.setup(&origin, ""));
    let mut weir = home.run(&[]);
    let ask = |head: &str| Client::to(weir.admin()).ask(request(head, "")).status;
    for _ in 0..3 {
        assert_eq!(ask("GET /v1/status"), 401);
    }
    assert_eq!(ask("GET /v1/routes"), 401);
    weir.signal(rustix::process::Signal::TERM);
    assert!(weir.end().success());
    let weir = home.run(&[]);
    let audit =
        Client::to(weir.admin()).ask(request(&with(&token, "GET /v1/audit?action=denied"), "")).text();
    assert!(audit.contains("routes: no_token, from 127.0.0.1"), "{audit}");
}

#[test]
fn an_open_weir_says_so() {
    let origin = Origin::named("stable");
    let home = Home::of(&Setup::before(&origin));
    home.run(&[]).says("takes everything from everybody on this machine");
}
