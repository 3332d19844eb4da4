//! Rollouts with the real binary: started and steered through the admin API and the command line, with traffic on real sockets.

use std::{
    net::SocketAddr,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    Client, Origin, Setup,
    process::{Home, Process},
    weir::eventually,
};

const BROKEN: &str = "HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nbroken";

/// A running Weir over two versions, and clients that send requests all the time.
struct Stage {
    home: Home,
    process: Process,
    traffic: Option<Traffic>,
    _origins: [Origin; 2],
}

/// Clients: one request after the other, each of another user.
struct Traffic {
    stop: Arc<AtomicBool>,
    sending: JoinHandle<()>,
}

// === impl Traffic ===

impl Traffic {
    fn to(address: SocketAddr) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let sending = std::thread::spawn(move || {
            let mut client = Client::to(address);
            for user in 0_u64.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                client.send(format!("GET / HTTP/1.1\r\nHost: shop\r\nX-User: {user}\r\n\r\n"));
                // A Weir that stops closes the connection.
                if client.try_response().is_err() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        Self { stop, sending }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.join().unwrap();
    }
}

// === impl Stage ===

impl Stage {
    /// `steps` are those of the plan in the control file.
    fn with(canary: Origin, steps: &str) -> Self {
        let origins = [Origin::named("stable"), canary];
        let setup = Setup::new()
            .backend("stable", &[origins[0].address])
            .backend("canary", &[origins[1].address])
            .route(&format!(
                "name: shop, split: {{ key: {{ header: X-User }}, backends: {{ stable: 100, canary: 0 }} }}, \
                 rollout: {{ baseline: stable, canary: canary, start: command, steps: [ {steps} ], \
                 analysis: {{ gates: [ {{ consecutive_failures: 5 }} ] }} }}"
            ));
        let home = Home::of(&setup);
        let process = home.run(&[]);
        let traffic = Some(Traffic::to(process.address_of("web")));
        Self { home, process, traffic, _origins: origins }
    }

    fn healthy(steps: &str) -> Self {
        Self::with(Origin::named("canary"), steps)
    }

    fn broken(steps: &str) -> Self {
        Self::with(Origin::answering(BROKEN), steps)
    }

    /// Runs `weir` against it: exit code, standard output, standard error.
    fn weir(&self, line: &str) -> (i32, String, String) {
        let output: Output = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(line.split_whitespace())
            .env("WEIR_SERVER", format!("http://{}", self.process.admin()))
            .env("WEIR_ACTOR", "tests")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Runs a command that succeeds, and gives its answer.
    fn done(&self, line: &str) -> Value {
        let (code, out, err) = self.weir(&format!("{line} --output json"));
        assert_eq!(code, 0, "{line}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// What the admin API answers.
    fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.process.ask(&format!("GET {path}"))).unwrap()
    }

    /// Waits until the newest rollout is in this phase.
    fn reaches(&self, phase: &str) -> Value {
        eventually(&format!("the phase {phase}"), || {
            let found = self.get("/v1/rollouts?route=shop&limit=1");
            let newest = found["rollouts"][0].clone();
            (newest["phase"] == phase).then_some(newest)
        })
    }

    /// Stops Weir as a service manager does, and starts it again with the same data.
    fn restart(&mut self) {
        if let Some(traffic) = self.traffic.take() {
            traffic.end();
        }
        self.process.signal(Signal::TERM);
        assert!(self.process.end().success());
        self.process = self.home.run(&[]);
        self.traffic = Some(Traffic::to(self.process.address_of("web")));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(traffic) = self.traffic.take() {
            traffic.stop.store(true, Ordering::Relaxed);
            // It ends with the process at the latest; a case that has failed has no use for how.
            let _ = traffic.sending.join();
        }
    }
}

#[test]
fn a_good_version_is_promoted_and_the_pipeline_is_told() {
    let stage = Stage::healthy(
        "{ weight: 20%, hold: 400ms }, { weight: 50%, hold: 400ms }, { weight: 100%, bake: 300ms }",
    );
    let (code, out, err) =
        stage.weir("rollout start shop --version v2 --reason release --wait --timeout 60s");
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.starts_with("shop / r-")
            && out.contains("✔ promoted")
            && out.contains("stable → canary v2   by tests"),
        "{out}"
    );
    assert!(out.contains("├─ 2 weight 50 %   hold 400ms  ✔ passed"), "{out}");
    assert!(err.contains("has begun"), "{err}");
    let weights = stage.get("/v1/routes/shop/weights");
    assert_eq!(
        (&weights["shares"]["canary"], &weights["shares"]["stable"]),
        (&1.0.into(), &0.0.into()),
        "{weights}"
    );
    // What is over can be read by all its names.
    let report = stage.done("rollout report shop");
    assert_eq!(
        (&report["rollout"]["phase"], &report["rollout"]["why"]),
        (&"promoted".into(), &"release".into())
    );
    let last = report["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(last["words"], "promoted");
    let metrics = stage.process.ask("GET /metrics");
    for line in [
        "weir_rollouts_total{route=\"shop\",outcome=\"promoted\"} 1",
        "weir_rollout_phase{route=\"shop\",phase=\"promoted\"} 1",
        "weir_rollout_phase{route=\"shop\",phase=\"progressing\"} 0",
        "weir_rollout_step{route=\"shop\"} 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

#[test]
fn a_bad_version_is_rolled_back_and_the_pipeline_is_told() {
    let stage = Stage::broken("{ weight: 50%, hold: 1h }, { weight: 100% }");
    let started = stage.done("rollout start shop --version v2");
    let id = started["id"].as_str().unwrap();
    let (code, out, err) = stage.weir(&format!("rollout wait {id} --timeout 60s"));
    assert_eq!(code, 3, "{out}{err}");
    assert!(
        out.contains("✖ rolled back (automatic)")
            && out.contains("Reason   ")
            && out.contains("Effect   canary 50 % → 0 %"),
        "{out}"
    );
    assert!(out.contains("├─ 1 weight 50 %   hold 1h  ✖ failed"), "{out}");
    let weights = stage.get("/v1/routes/shop/weights");
    assert_eq!(weights["shares"]["canary"], 0.0, "{weights}");
    let found = stage.get(&format!("/v1/rollouts/{id}"));
    assert_eq!(
        (&found["ending"]["reason"]["verdict"], found["ending"].get("by")),
        (&"fail".into(), None),
        "{found}"
    );
    assert!(found["ending"]["took_seconds"].as_f64().is_some_and(|took| took < 5.0), "{found}");
    // Who waits for what is over is told at once, and once more is another attempt.
    assert_eq!(stage.weir(&format!("rollout wait {id}")).0, 3);
    let again = stage.done(&format!("rollout retry {id}"));
    assert_eq!((&again["attempt"], &again["retries"]), (&2.into(), &id.into()));
    assert_eq!(stage.weir("rollout wait shop --timeout 60s").0, 3);
    assert_eq!(stage.get("/v1/rollouts?route=shop")["rollouts"].as_array().unwrap().len(), 2);
}

#[test]
fn people_steer_one_by_the_name_of_its_route() {
    let stage = Stage::healthy(
        "{ weight: 10%, hold: 1h }, { weight: 20%, hold: 100ms, approval: { roles: [operator] } }, \
         { weight: 50%, hold: 100ms, approval: true }, { weight: 100% }",
    );
    let (code, _, err) = stage.weir("rollout pause shop");
    assert_eq!(
        (code, err.as_str()),
        (1, "weir: there is no rollout of route `shop` yet\n  hint: `weir rollout start ROUTE` starts one\n")
    );
    stage.done("rollout start shop");
    stage.reaches("progressing");
    assert_eq!(stage.done("rollout pause shop --reason logs")["phase"], "paused");
    let (code, _, err) = stage.weir("rollout pause shop");
    assert_eq!(code, 1);
    assert!(err.contains("the rollout is paused") && err.contains("hint: `resume`"), "{err}");
    let (code, _, err) = stage.weir("rollout wait shop --timeout 200ms");
    assert_eq!(code, 5, "{err}");
    let (_, table, _) = stage.weir("routes");
    assert!(table.contains("ROLLOUT") && table.contains("1/4, paused"), "{table}");
    assert_eq!(stage.done("rollout resume shop")["phase"], "progressing");
    let (_, table, _) = stage.weir("status");
    assert!(table.contains("1/4, 1h00m left") || table.contains("1/4, 59m"), "{table}");
    let (code, _, err) = stage.weir("rollout promote shop --if-rev r99999");
    assert_eq!(code, 4, "{err}");
    assert_eq!(stage.done("rollout promote shop")["step"], 2);
    let (code, out, err) = stage.weir("rollout wait shop --timeout 60s");
    assert_eq!(code, 8, "{out}{err}");
    assert!(out.contains("? waits for approval") && out.contains("Approval by operator"), "{out}");
    assert_eq!(stage.weir("rollout wait shop --timeout 100ms --exit-on-approval=false").0, 5);
    stage.done("rollout approve shop --reason fine");
    eventually("the next approval", || {
        let newest = stage.get("/v1/rollouts?route=shop&limit=1")["rollouts"][0].clone();
        (newest["phase"] == "awaiting_approval" && newest["step"] == 3).then_some(())
    });
    stage.done("rollout reject shop --reason friday");
    let rejected = stage.reaches("aborted");
    assert_eq!(rejected["reason"]["words"], "tests did not agree: friday");
    assert_eq!(stage.weir("rollout wait shop").0, 3);
    // Aborting needs no more than the name, and all of it is in the audit.
    stage.done("rollout retry shop");
    stage.reaches("progressing");
    assert_eq!(stage.weir("rollout abort shop").0, 0);
    stage.reaches("aborted");
    let (_, audit, _) = stage.weir("audit --output json");
    for action in [
        "rollout_start",
        "rollout_pause",
        "rollout_resume",
        "rollout_promote",
        "rollout_approve",
        "rollout_reject",
        "rollout_abort",
    ] {
        assert!(audit.contains(&format!("\"{action}\"")), "{action}: {audit}");
    }
    let (_, list, _) = stage.weir("rollout --output name");
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[test]
fn a_promotion_is_undone() {
    let stage = Stage::healthy("{ weight: 50%, hold: 1h }, { weight: 100% }");
    stage.done("rollout start shop");
    stage.reaches("progressing");
    stage.done("rollout promote shop --full");
    stage.reaches("promoted");
    stage.done("rollout undo shop --reason calls");
    stage.reaches("rolled_back");
    assert_eq!(stage.get("/v1/routes/shop/weights")["shares"]["canary"], 0.0);
}

#[test]
fn one_goes_on_after_a_restart() {
    let mut stage =
        Stage::healthy("{ weight: 20%, hold: 100ms }, { weight: 50%, hold: 1h }, { weight: 100% }");
    let id = stage.done("rollout start shop --version v2")["id"].as_str().unwrap().to_owned();
    eventually("the second step", || {
        let found = stage.get(&format!("/v1/rollouts/{id}"));
        (found["step"] == 2 && found["traffic"]["in_force"] == true).then_some(())
    });
    stage.restart();
    let found = eventually("the rollout after the restart", || {
        let found = stage.get(&format!("/v1/rollouts/{id}"));
        (found["traffic"]["in_force"] == true).then_some(found)
    });
    assert_eq!(
        (&found["phase"], &found["step"], &found["version"]),
        (&"progressing".into(), &2.into(), &"v2".into()),
        "{found}"
    );
    assert_eq!(stage.get("/v1/routes/shop/weights")["shares"]["canary"], 0.5);
    let words: Vec<String> = stage.get(&format!("/v1/rollouts/{id}/entries"))["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["words"].as_str().unwrap().to_owned())
        .collect();
    assert!(words.iter().any(|words| words.starts_with("goes on after a restart")), "{words:?}");
    stage.done("rollout promote shop --full");
    stage.reaches("promoted");
}

#[test]
fn streams_tell_of_every_step_and_of_what_gates_say() {
    let stage = Stage::healthy("{ weight: 20%, hold: 1500ms }, { weight: 100% }");
    let mut stream = Client::to(stage.process.admin());
    stream.send("GET /v1/events?kinds=rollout,analysis&route=shop HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(stream.response_head().0, 200);
    let id = stage.done("rollout start shop --version v2")["id"].as_str().unwrap().to_owned();
    let mut told = Vec::new();
    let mut judged = None;
    loop {
        let chunk = String::from_utf8(stream.chunk().expect("the stream goes on")).unwrap();
        let field = |name: &str| chunk.lines().find_map(|line| line.strip_prefix(name));
        let (Some(kind), Some(data)) = (field("event: "), field("data: ")) else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["rollout"]["id"], id.as_str(), "{data}");
        match kind {
            "rollout" => told.push(data["entry"]["words"].as_str().unwrap_or("asked for").to_owned()),
            "analysis" => judged = Some(data["live"][0].clone()),
            other => panic!("{other}: {data}"),
        }
        if data["rollout"]["phase"] == "promoted" {
            break;
        }
    }
    assert_eq!(
        told,
        [
            "asked for",
            "step 1 of 2 begins: 20% to the canary",
            "step 2 of 2 begins: 100% to the canary",
            "the canary gets everything for good",
            "promoted"
        ]
    );
    let judged = judged.expect("a look at the gates");
    assert_eq!((&judged["route"], &judged["canary"]["backend"]), (&"shop".into(), &"canary".into()));
    assert!(judged["gates"].is_array() && judged["baseline"]["requests"].is_u64(), "{judged}");
    let (_, line, _) = stage.weir("rollout list");
    assert!(line.contains(&id) && line.contains("promoted"), "{line}");
}

#[test]
fn a_plan_may_come_with_the_request() {
    let stage = Stage::healthy("{ weight: 100% }");
    let plan = stage.home.path().join("plan.yaml");
    std::fs::write(&plan, "baseline: stable\ncanary: canary\nsteps: [ { weight: 10%, hold: 1h }, { weight: 100% } ]\nanalysis: { gates: [] }\n").unwrap();
    let plan = plan.to_str().unwrap();
    let (code, out, err) = stage.weir(&format!("rollout start shop --plan {plan} --dry-run"));
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("nothing was started")
            && out.contains("  on_failure: rollback")
            && out.contains("      weight: 10%"),
        "{out}"
    );
    let started = stage.done(&format!("rollout start shop --plan {plan}"));
    assert_eq!(started["step_count"], 2);
    let (code, _, err) = stage.weir(&format!("rollout start shop --plan {plan}"));
    assert_eq!(code, 1);
    assert!(err.contains("is under way on route `shop`") && err.contains("`supersede`"), "{err}");
    std::fs::write(plan, "baseline: stable\ncanary: canary\nsteps: [ { wieght: 10% } ]\n").unwrap();
    let (code, _, err) = stage.weir(&format!("rollout start shop --plan {plan} --supersede"));
    assert_eq!(code, 1);
    assert!(err.contains("wieght"), "{err}");
}
