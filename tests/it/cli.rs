//! The command line against a running Weir, as scripts use it: exit codes, forms of output, errors as objects.

use std::process::{Command, Output};

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
