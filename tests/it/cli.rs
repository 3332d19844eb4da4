//! The command line against a running Weir, as scripts use it: exit codes, forms of output, errors as objects.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::{
    Origin, Setup,
    process::{Home, Process},
};

/// Runs `weir` with a server for it to talk to.
fn weir(server: &str, line: &str) -> (i32, String, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(line.split_whitespace())
        .env("WEIR_SERVER", server)
        .env("WEIR_ACTOR", "tests")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn running() -> (Home, Process, String) {
    let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
    let setup = Setup::new().backend("stable", &[stable.address]).backend("canary", &[canary.address]).route(
        "name: shop, split: { backends: [{ name: stable, weight: 95 }, { name: canary, weight: 5 }] }",
    );
    let home = Home::of(&setup);
    let process = home.run(&[]);
    let server = format!("http://{}", process.admin());
    (home, process, server)
}

#[test]
fn every_form_of_output_is_printed() {
    let (_home, _process, server) = running();
    for (line, expected) in [
        ("routes --output name", "shop\n"),
        ("--output name routes", "shop\n"),
        ("backends -o name", "canary\nstable\n"),
        ("stats shop -o name", "stable\ncanary\n"),
        ("status -o name", "shop\n"),
        ("set-weight shop canary=20% -o name", "shop\n"),
        ("kill shop --to canary -o name", "shop\n"),
        ("explain shop -H x-user:42 -o name", "canary\n"),
    ] {
        assert_eq!(weir(&server, line), (0, expected.to_owned(), String::new()), "{line}");
    }
    let (_, table, _) = weir(&server, "routes");
    let (_, wide, _) = weir(&server, "routes -o wide");
    assert!(table.starts_with("ROUTE  BACKEND  WEIGHT  TARGET") && wide.contains("STICKY"), "{table}{wide}");
    let (_, json, _) = weir(&server, "routes -o json");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["routes"][0]["backends"][1]["weight"], 20);
    let (_, yaml, _) = weir(&server, "routes -o yaml");
    assert!(
        yaml.starts_with("routes:\n  - name: shop\n    sticky: bucket\n    kill_switch: canary\n"),
        "{yaml}"
    );
}

#[test]
fn errors_have_their_exit_code_and_are_objects_where_the_answer_would_be_one() {
    let (_home, _process, server) = running();
    let gone = "http://127.0.0.1:1";
    for (server, line, exit, kind) in [
        (gone, "status -o json", 6, "urn:weir:cli:unreachable"),
        (gone, "-o json status --server http://127.0.0.1:1", 6, "urn:weir:cli:unreachable"),
        (&server, "stats shop --nonsense -o json", 2, "urn:weir:cli:usage"),
        (&server, "-ojson frobnicate", 2, "urn:weir:cli:usage"),
        (&server, "set-weight shop canary=9 --if-rev 77 -o json", 4, "urn:weir:problem:revision-conflict"),
        (&server, "kill nowhere -o json", 1, "urn:weir:problem:unknown-route"),
    ] {
        let (code, stdout, stderr) = weir(server, line);
        let problem: Value = serde_json::from_str(&stderr).unwrap_or_else(|_| panic!("{line}: {stderr}"));
        assert_eq!((code, stdout.as_str()), (exit, ""), "{line}");
        assert_eq!((&problem["type"], &problem["exit"]), (&kind.into(), &exit.into()), "{line}: {stderr}");
    }
    let (code, _, stderr) = weir(gone, "routes");
    assert_eq!(code, 6);
    assert!(
        stderr.starts_with("weir: cannot reach http://127.0.0.1:1: ") && stderr.contains("hint: "),
        "{stderr}"
    );
    assert_eq!(weir(&server, "status -o sarif").0, 2);
}

#[test]
fn what_was_changed_is_listed_and_taken_back() {
    let (home, _process, server) = running();
    let done = |line: &str| {
        let (code, stdout, stderr) = weir(&server, line);
        assert_eq!((code, stderr.as_str()), (0, ""), "{line}");
        stdout
    };
    done("set-weight shop canary=20% --reason more");
    assert!(done("drain canary --dry-run").starts_with("canary: takes no new users   (dry run"));
    assert_eq!(done("drain canary"), "canary: takes no new users   (rev 3, 20 % of users of shop move)\n");
    assert_eq!(done("undrain canary --if-rev 3 -o name"), "canary\n");
    assert_eq!(done("override set shop a/b canary"), "shop: a/b gets canary   (rev 5)\n");
    assert_eq!(done("override list -o name"), "a/b\n");
    assert_eq!(done("override -o name"), "a/b\n");
    assert!(done("overlay show shop").contains("override  a/b gets canary"));
    assert_eq!(done("override rm shop a/b"), "shop: a/b gets what rules and weights say   (rev 6)\n");
    assert_eq!(done("revisions list -o name --limit 3"), "6\n5\n4\n");
    assert_eq!(done("revisions -o name"), "6\n5\n4\n3\n2\n1\n");
    assert!(done("revisions diff 2").contains("in_force/routes/shop/weights/canary  5       20"));
    assert!(
        done("revisions restore 1").starts_with("what rev 1 had in force is back   (rev 7, 15 % of users")
    );
    assert!(done("revisions show 2").contains("set_weights  shop   tests  cli"));
    assert_eq!(done("audit --actor tests --action drain -o name"), "3\n");
    assert_eq!(done("audit --route elsewhere -o name"), "");
    assert!(done("audit verify").contains("the audit is whole: 7 rows"));
    done("set-weight shop canary=50%");
    let (code, drift, _) = weir(&server, "diff");
    assert!(code == 1 && drift.contains("split.backends.canary.weight  50   5"), "{drift}");
    assert!(drift.contains("set by API: shop canary: file 5, running 50"), "{drift}");
    assert!(
        done("overlay drop shop").starts_with("shop: the control file has its say   (rev 9, 45 % of users")
    );
    assert_eq!(weir(&server, "revisions show 4711").0, 1);
    assert_eq!(weir(&server, "audit --actor tests verify").0, 2);

    let file = home.path().join("weir.yaml");
    let file = file.to_str().unwrap();
    assert_eq!(done(&format!("diff {file}")), "nothing would change\n");
    let other = home.path().join("other.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(&other, text.replace("weight: 5 ", "weight: 6 ")).unwrap();
    let other = other.to_str().unwrap();
    let (code, stdout, _) = weir(&server, &format!("diff {other}"));
    assert_eq!(code, 1, "something is different");
    assert!(stdout.contains("~  route shop  split.backends.canary.weight  5    6"), "{stdout}");
    let gone = "http://127.0.0.1:1";
    assert_eq!(weir(gone, &format!("diff {other} --against {file} -o name")).1, "route shop\n");
    assert_eq!(weir(gone, &format!("diff {file}")).0, 6);
    assert_eq!(weir(gone, "diff /dev/null").0, 78);
}

#[test]
fn options_of_the_server_stand_before_or_after_any_command() {
    let (_home, _process, server) = running();
    for line in [
        "--server SERVER revisions list -o name",
        "revisions --server SERVER list -o name",
        "revisions list -o name --server SERVER",
        "-o name revisions --server SERVER",
    ] {
        let line = line.replace("SERVER", &server);
        assert_eq!(weir("http://127.0.0.1:1", &line), (0, "1\n".to_owned(), String::new()), "{line}");
    }
    let line = format!("audit --server {server} verify -o json");
    assert_eq!(weir("http://127.0.0.1:1", &line).0, 0);
}

#[test]
fn tokens_are_listed_in_every_form() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("tokens").display().to_string();
    assert_eq!(weir("", &format!("token create ci --role operator --routes shop --file {file}")).0, 0);
    assert_eq!(weir("", &format!("token list --file {file} -o name")).1, "ci\n");
    let (_, json, _) = weir("", &format!("-o json token list --file {file}"));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["tokens"][0]["role"], &json["tokens"][0]["routes"][0]),
        (&"operator".into(), &"shop".into())
    );
    assert!(json["tokens"][0].get("hash").is_none(), "{json}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    for line in ["completion bash", "completion zsh", "completion fish", "man"] {
        let (code, stdout, stderr) = weir("", line);
        assert_eq!((code, stderr.as_str()), (0, ""), "{line}");
        assert!(stdout.contains("set-weight") || stdout.contains("set\\-weight"), "{line}");
    }
    let folder = tempfile::TempDir::new().unwrap();
    let (_, pages, _) = weir("", &format!("man --dir {}", folder.path().display()));
    assert!(pages.contains("weir-revisions-restore.1\n"), "{pages}");
    assert_eq!(weir("", "top").0, 2, "no terminal");
}

#[test]
fn events_are_followed() {
    let (_home, _process, server) = running();
    let mut follower = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["events", "--kind", "snapshot,audit", "--count", "2", "--output", "json", "--server", &server])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["event"], "snapshot", "the stream has begun");
    weir(&server, "kill shop --reason broken");
    let event = next();
    assert_eq!((&event["event"], &event["data"]["action"]), (&"audit".into(), &"kill".into()), "{event}");
    assert_eq!(event["data"]["origin"]["reason"], "broken");
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_store_that_fails_and_works_again_is_told() {
    let (home, _process, server) = running();
    let mut follower = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["events", "--kind", "snapshot,store", "--count", "3", "--server", &server])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("  snapshot  "), "the stream has begun");
    // Something else stands where the database was.
    let (database, aside) = (home.path().join("data/weir.db"), home.path().join("data/aside"));
    std::fs::rename(&database, &aside).unwrap();
    std::fs::create_dir(&database).unwrap();
    for _ in 0..2 {
        let (code, _, stderr) = weir(&server, "set-weight shop canary=6");
        assert!(code == 1 && stderr.contains("weir.db"), "{code} {stderr}");
    }
    let line = next();
    assert!(line.contains("  store     store failed, rev 1: ") && line.contains("weir.db"), "{line}");
    std::fs::remove_dir(&database).unwrap();
    std::fs::rename(&aside, &database).unwrap();
    assert_eq!(weir(&server, "set-weight shop canary=6").0, 0);
    // Whichever came first: the change, or the next try of the server.
    let line = next();
    assert!(line.contains("  store     store recovered, rev "), "{line}");
    assert!(follower.wait().unwrap().success());
}
