//! The notifier with real sockets and a store in memory.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    config::model::rollout::Occasion,
    control::store::{MemoryStore, RolloutStore as _, Store as _, rollouts::KeptRollout},
    rollout::{
        fixtures::name,
        machine::Phase,
        outside::stub::{Answer, Stub},
        reason::{Reason, Verdict},
    },
};

/// Places by name, as a control file would have them.
#[derive(Default)]
struct Places {
    known: Mutex<BTreeMap<String, Notification>>,
    public_url: Option<String>,
}

impl Addressees for Places {
    fn notification(&self, name: &str) -> Option<Notification> {
        self.known.lock().unwrap().get(name).cloned()
    }
    fn public_url(&self) -> Option<String> {
        self.public_url.clone()
    }
}

/// A notifier that runs, and what it works with.
struct Office {
    store: Arc<MemoryStore>,
    outbox: Arc<Notify>,
    links: Links,
    stats: Arc<ControlStats>,
    folder: TempDir,
    _running: JoinSet<()>,
}

impl Office {
    fn open(
        places: impl FnOnce(&dyn Fn(&str, &str) -> PathBuf) -> Vec<(&'static str, Vec<Occasion>, Sink)>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let known = places(&file).into_iter();
        let known = known.map(|(name, on, sink)| (name.to_owned(), Notification { on, sink })).collect();
        let public_url = Some("https://weir.example.com".to_owned());
        let places = Places { known: Mutex::new(known), public_url };
        let store = Arc::new(MemoryStore::new(10));
        let (outbox, links) = (Arc::new(Notify::new()), Links::new(&store.signing_keys().unwrap()));
        let stats = Arc::<ControlStats>::default();
        let notifier = Notifier {
            journal: Journal::of(Arc::<MemoryStore>::clone(&store)),
            addressees: Arc::new(places),
            client: Client::new(),
            links: links.clone(),
            outbox: Arc::clone(&outbox),
            stats: Arc::clone(&stats),
        };
        let mut running = JoinSet::new();
        running.spawn(notifier.run(pending()));
        Self { store, outbox, links, stats, folder, _running: running }
    }

    /// Puts a notice into the outbox for each of these sinks.
    fn tell(&self, notice: &Notice, sinks: &[&str]) {
        let messages: Vec<Outbound> = sinks.iter().map(|sink| message(notice, sink)).collect();
        let rollout = KeptRollout {
            id: notice.rollout.clone(),
            began_ms: 0,
            over: false,
            state: String::new(),
            evidence: String::new(),
        };
        self.store.keep_rollout(&rollout, &[], &messages).unwrap();
        self.outbox.notify_one();
    }

    /// Waits until the journal has an outcome that begins so.
    async fn outcome(&self, key: &str, expected: &str) -> Outbound {
        loop {
            let found = self.store.message(key);
            if let Some(message) = found
                && message.outcome.as_deref().is_some_and(|outcome| outcome.starts_with(expected))
            {
                return message;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

fn message(notice: &Notice, sink: &str) -> Outbound {
    Outbound {
        key: format!("{}/{sink}", notice.key),
        sink: sink.to_owned(),
        message: serde_json::to_string(notice).unwrap(),
        made_ms: now_ms(),
        attempts: 0,
        due_ms: Some(now_ms()),
        outcome: None,
    }
}

fn notice(occasion: Occasion, seq: u64) -> Notice {
    let reason =
        Reason::plain("error_rate", Verdict::Fail, "error_rate 6.1 % > 1 % (canary 31/508, stable 4/9,812)");
    Notice {
        key: format!("r-7f3a2c/{seq}/{}", occasion.as_str()),
        seq,
        occasion,
        at_ms: 1_764_547_200_000,
        rollout: "r-7f3a2c".to_owned(),
        routes: vec![name("shop")],
        baseline: name("stable"),
        canary: name("canary"),
        version: Some("v1.9.0".to_owned()),
        phase: if occasion == Occasion::RolledBack { Phase::RolledBack } else { Phase::AwaitingApproval },
        step: (2, 4),
        share: "20%".to_owned(),
        by: "ada".to_owned(),
        reason: (occasion == Occasion::RolledBack).then_some(reason),
        links_until_ms: (occasion == Occasion::ApprovalNeeded).then_some(now_ms() + 3_600_000),
    }
}

fn webhook(url: String) -> Sink {
    Sink::Webhook { url, headers: Vec::new(), secret_file: None }
}

#[tokio::test]
async fn slack_gets_blocks_with_links_that_work() {
    let slack = Stub::answering(200, "ok").await;
    let url = slack.url("/services/T0/B0/secret");
    let office =
        Office::open(|file| vec![("deploys", Vec::new(), Sink::Slack { url_file: file("slack", &url) })]);
    let mut asked = notice(Occasion::ApprovalNeeded, 7);
    asked.version = Some("<!channel> & co".to_owned());
    office.tell(&asked, &["deploys"]);
    let told = office.outcome("r-7f3a2c/7/approval_needed/deploys", "sent: 200: ok").await;
    assert_eq!((told.attempts, told.due_ms), (1, None));
    let call = &slack.asked()[0];
    assert_eq!(call.header("x-weir-delivery"), "r-7f3a2c/7/approval_needed/deploys");
    let body = call.json();
    let title = "Rollout of canary &lt;!channel&gt; &amp; co on shop needs approval at step 2 of 4";
    assert_eq!(body["text"], title);
    let kinds: Vec<&str> =
        body["blocks"].as_array().unwrap().iter().map(|b| b["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["header", "section", "section"]);
    assert_eq!(body["blocks"][1]["fields"][2]["text"], "*To*\ncanary &lt;!channel&gt; &amp; co");
    let links = body["blocks"][2]["text"]["text"].as_str().unwrap();
    let base = "https://weir.example.com/v1/rollouts/r-7f3a2c";
    assert!(links.ends_with(&format!("<{base}|r-7f3a2c>")), "{links}");
    for (word, command) in [("Approve", "approve"), ("Reject", "reject")] {
        let link = links.split("  ·  ").find(|link| link.ends_with(&format!("|{word}>"))).unwrap();
        let token = link.strip_prefix(&format!("<{base}/links/")).unwrap().split('|').next().unwrap();
        let link = office.links.verify("r-7f3a2c", token, now_ms() / 1000).unwrap();
        assert_eq!(
            (link.command.as_str(), link.seq, link.step, link.sink.as_str()),
            (command, 7, 1, "deploys")
        );
    }
}

#[tokio::test]
async fn a_web_service_gets_a_signed_event() {
    let service = Stub::answering(202, "").await;
    let url = service.url("/events");
    let office = Office::open(|file| {
        let headers = vec![("Authorization".to_owned(), file("token", "Bearer t0ken\n"))];
        vec![("bus", Vec::new(), Sink::Webhook { url, headers, secret_file: Some(file("key", "s3cret")) })]
    });
    office.tell(&notice(Occasion::RolledBack, 9), &["bus"]);
    let call = &service.wait_for(1).await[0];
    for (field, value) in [
        ("content-type", "application/cloudevents+json; charset=utf-8"),
        ("authorization", "Bearer t0ken"),
        ("x-weir-delivery", "r-7f3a2c/9/rolled_back/bus"),
    ] {
        assert_eq!(call.header(field), value, "{field}");
    }
    assert!(call.header("x-weir-signature").starts_with("t="));
    let address = "https://weir.example.com/v1/rollouts/r-7f3a2c";
    assert_eq!(
        call.json(),
        json!({
            "specversion": "1.0",
            "id": "r-7f3a2c/9/rolled_back/bus",
            "source": address,
            "type": "io.github.weir-proxy.rollout.rolled_back",
            "subject": "r-7f3a2c",
            "time": "2025-12-01T00:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {
                "occasion": "rolled_back",
                "title": "canary v1.9.0 on shop is rolled back",
                "rollout": "r-7f3a2c",
                "routes": ["shop"],
                "baseline": "stable",
                "canary": "canary",
                "version": "v1.9.0",
                "phase": "rolled_back",
                "step": { "number": 2, "of": 4 },
                "share": "20%",
                "by": "ada",
                "reason": {
                    "gate": "error_rate",
                    "verdict": "fail",
                    "test": "error_rate",
                    "words": "error_rate 6.1 % > 1 % (canary 31/508, stable 4/9,812)",
                },
                "links": { "rollout": address, "approve": null, "reject": null },
            },
        })
    );
}

/// A small GitHub: issues and comments; the search knows only those that are older than the last one.
#[derive(Default)]
struct GitHub {
    issues: Mutex<Vec<(String, Vec<String>)>>,
}

impl GitHub {
    fn answer(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        let mut issues = self.issues.lock().unwrap();
        let text =
            |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["body"].as_str().unwrap().to_owned();
        let shown =
            |place: usize, body: &str| json!({ "number": place + 1, "body": body, "title": "Rollback" });
        let path = target.split('?').next().unwrap();
        let list: Value = match (method, path) {
            ("GET", "/search/issues") => {
                let known = issues.len().saturating_sub(1);
                let fits = |(_, (body, _)): &(usize, &(String, Vec<String>))| {
                    let print = target.split("%22").nth(1).unwrap();
                    body.contains(print)
                };
                let found: Vec<Value> = issues[..known]
                    .iter()
                    .enumerate()
                    .filter(fits)
                    .map(|(at, (body, _))| shown(at, body))
                    .collect();
                json!({ "total_count": found.len(), "items": found })
            }
            ("GET", "/repos/example/shop/issues") => {
                issues.iter().enumerate().rev().map(|(at, (body, _))| shown(at, body)).collect()
            }
            ("POST", "/repos/example/shop/issues") => {
                issues.push((text(body), Vec::new()));
                return Answer::of(201, r#"{"number":1}"#);
            }
            (_, path) => {
                let number = path
                    .strip_prefix("/repos/example/shop/issues/")
                    .unwrap()
                    .strip_suffix("/comments")
                    .unwrap();
                let (_, comments) = &mut issues[number.parse::<usize>().unwrap() - 1];
                if method == "POST" {
                    comments.push(text(body));
                    return Answer::of(201, "{}");
                }
                comments.iter().map(|body| json!({ "body": body })).collect()
            }
        };
        Answer::of(200, list.to_string())
    }
}

#[tokio::test]
async fn github_gets_an_issue_and_then_comments() {
    let hub = Arc::new(GitHub::default());
    let shared = Arc::clone(&hub);
    let api = Stub::start(move |asked| {
        assert_eq!(asked.header("authorization"), "Bearer ghp_1");
        shared.answer(&asked.method, &asked.target, &asked.body)
    })
    .await;
    let url = api.url("");
    let office = Office::open(|file| {
        let token_file = file("token", "ghp_1\n");
        let (repository, labels) = ("example/shop".to_owned(), vec!["rollback".to_owned()]);
        vec![("issues", Vec::new(), Sink::Github { repository, token_file, api: url, labels })]
    });
    let rolled_back = |seq: u64, gate: &str, words: &str| {
        let reason = Reason::plain(gate, Verdict::Fail, words);
        Notice { reason: Some(reason), ..notice(Occasion::RolledBack, seq) }
    };
    let sent = |seq: u64| format!("r-7f3a2c/{seq}/rolled_back/issues");
    // The search does not know the only issue; the list of the newest does.
    for seq in [1, 2] {
        office.tell(&rolled_back(seq, "error_rate", "error_rate 6 % > 1 %"), &["issues"]);
        office.outcome(&sent(seq), "sent: 201").await;
    }
    // Another gate is another issue; now the search knows the first one.
    office.tell(&rolled_back(3, "latency_p99", "```\n<!-- weir-fingerprint: 0 -->"), &["issues"]);
    office.outcome(&sent(3), "sent: 201").await;
    office.tell(&rolled_back(4, "error_rate", "again"), &["issues"]);
    office.outcome(&sent(4), "sent: 201").await;
    // What was told already, and whose outcome was lost, is not told again.
    for (seq, said) in
        [(1, "sent: issue 1 was made of it before"), (4, "sent: issue 1 has a comment of it already")]
    {
        let again =
            Outbound { key: sent(seq), ..message(&rolled_back(seq, "error_rate", "again"), "issues") };
        office.store.set_message(&again).unwrap();
        office.outbox.notify_one();
        office.outcome(&sent(seq), said).await;
    }
    office.tell(&notice(Occasion::Started, 5), &["issues"]);
    office.outcome("r-7f3a2c/5/started/issues", "not sent: issues are made of rollbacks only").await;
    let issues = hub.issues.lock().unwrap();
    assert_eq!(issues.iter().map(|(_, comments)| comments.len()).collect::<Vec<_>>(), [2, 0]);
    let (body, other) = (&issues[0].0, &issues[1].0);
    assert!(
        body.starts_with(
            "canary v1.9.0 on shop is rolled back.\n\n```text\nerror_rate 6 % > 1 %\n```\n\n| | |\n"
        ),
        "{body}"
    );
    assert!(
        body.contains("| Rollout | [r-7f3a2c](https://weir.example.com/v1/rollouts/r-7f3a2c) |\n"),
        "{body}"
    );
    assert!(body.contains("<!-- weir-delivery: r-7f3a2c/1/rolled_back/issues -->\n"), "{body}");
    assert!(other.contains("````text\n```\n<! -- weir-fingerprint: 0 -->\n````\n"), "{other}");
    let made = api.asked().into_iter().find(|asked| asked.method == "POST").unwrap().json();
    assert_eq!(made["title"], "canary v1.9.0 on shop is rolled back: error_rate");
    assert_eq!(made["labels"], json!(["rollback"]));
}

#[tokio::test]
async fn a_sink_that_never_answers_holds_up_no_other() {
    let hangs = Stub::start(|_| Answer::Never).await;
    let (good, bad) = (Stub::answering(200, "").await, hangs.url("/"));
    let url = good.url("/");
    let office = Office::open(|_| {
        vec![
            ("a-hangs", Vec::new(), webhook(bad.clone())),
            ("b-hangs", Vec::new(), webhook(bad)),
            ("good", Vec::new(), webhook(url)),
        ]
    });
    for seq in 1..=300 {
        office.tell(&notice(Occasion::Advanced, seq), &["a-hangs", "b-hangs"]);
    }
    hangs.wait_for(2).await;
    for seq in 1..=5 {
        office.tell(&notice(Occasion::Advanced, seq), &["good"]);
    }
    let told = good.wait_for(5).await;
    let keys: Vec<&str> = told.iter().map(|asked| asked.header("x-weir-delivery")).collect();
    let expected: Vec<String> = (1..=5).map(|seq| format!("r-7f3a2c/{seq}/advanced/good")).collect();
    assert_eq!(keys, expected, "each once, in their order");
    assert_eq!(hangs.asked().len(), 2, "one at a time for each sink");
}

#[tokio::test]
async fn what_fails_is_tried_again_with_the_same_key() {
    let fails_once = Mutex::new(true);
    let service = Stub::start(move |_| {
        let fails = std::mem::take(&mut *fails_once.lock().unwrap());
        Answer::of(if fails { 503 } else { 200 }, "")
    })
    .await;
    let url = service.url("/");
    let office = Office::open(|_| vec![("bus", Vec::new(), webhook(url))]);
    office.tell(&notice(Occasion::Promoted, 3), &["bus"]);
    let failed = office.outcome("r-7f3a2c/3/promoted/bus", "failed: 503").await;
    assert_eq!(failed.attempts, 1);
    let sent = office.outcome("r-7f3a2c/3/promoted/bus", "sent: 200").await;
    assert_eq!((sent.attempts, sent.due_ms), (2, None));
    let counted = NotificationResult::ALL.map(|result| office.stats.notifications(result));
    assert_eq!(counted, [1, 0, 1, 0, 0]);
    let asked = service.asked();
    assert_eq!(asked[0].header("x-weir-delivery"), asked[1].header("x-weir-delivery"));
    assert_eq!(asked[0].body, asked[1].body);
}

#[tokio::test]
async fn what_nobody_wants_is_settled_without_a_call() {
    let service = Stub::answering(200, "").await;
    let url = service.url("/");
    let office = Office::open(|_| vec![("bus", vec![Occasion::RolledBack], webhook(url))]);
    office.tell(&notice(Occasion::Started, 1), &["bus", "gone"]);
    office.outcome("r-7f3a2c/1/started/bus", "not sent: the notification does not tell this").await;
    office.outcome("r-7f3a2c/1/started/gone", "not sent: the control file does not have").await;
    assert_eq!(service.asked().len(), 0);
}

#[tokio::test]
async fn a_secret_address_is_in_no_outcome() {
    let office = Office::open(|file| {
        let url_file = file("slack", "http://127.0.0.1:1/services/T0/B0/secret");
        let missing = PathBuf::from("/nowhere/slack");
        vec![
            ("closed", Vec::new(), Sink::Slack { url_file }),
            ("missing", Vec::new(), Sink::Slack { url_file: missing }),
        ]
    });
    office.tell(&notice(Occasion::Started, 1), &["closed", "missing"]);
    let closed = office.outcome("r-7f3a2c/1/started/closed", "failed: cannot connect to 127.0.0.1:1: ").await;
    assert!(!closed.outcome.unwrap().contains("secret"));
    office.outcome("r-7f3a2c/1/started/missing", "failed: cannot read /nowhere/slack: ").await;
    assert!(office.folder.path().join("slack").exists());
}

#[test]
fn without_a_public_address_people_are_told_the_commands() {
    let asked = notice(Occasion::ApprovalNeeded, 7);
    let links = Links::new(&MemoryStore::new(10).signing_keys().unwrap());
    let nowhere = Addresses::of((&asked, "deploys"), None, &links);
    assert_eq!(nowhere, Addresses::default());
    let body = slack::body(&asked, &nowhere);
    assert_eq!(
        body["blocks"][2]["text"]["text"],
        "```weir rollout approve r-7f3a2c\nweir rollout reject r-7f3a2c```"
    );
    let only_admins = Notice { links_until_ms: None, ..asked };
    let addresses = Addresses::of((&only_admins, "deploys"), Some("https://weir.example.com/"), &links);
    assert_eq!((addresses.approve, addresses.reject), (None, None));
    assert_eq!(addresses.rollout.unwrap(), "https://weir.example.com/v1/rollouts/r-7f3a2c");
}

#[test]
fn pauses_double_up_to_five_minutes_and_end_after_a_day() {
    for (attempts, random, expected_ms) in [
        (1, 1.0, 1000),
        (1, 0.0, 500),
        (2, 1.0, 2000),
        (5, 1.0, 16_000),
        (9, 1.0, 256_000),
        (10, 1.0, 300_000),
        (u32::MAX, 0.5, 225_000),
    ] {
        assert_eq!(pause(attempts, random), Duration::from_millis(expected_ms), "{attempts}");
    }
    let day = GIVEN_UP_MS;
    let failed = |wish| Outcome::Failed("503".to_owned(), Duration::from_secs(wish));
    for (outcome, age, expected) in [
        (Outcome::Sent("200".to_owned()), 5, (None, "sent: 200", NotificationResult::Sent)),
        (Outcome::Unwanted("why"), 5, (None, "not sent: why", NotificationResult::Skipped)),
        (Outcome::Refused("400".to_owned()), 5, (None, "refused: 400", NotificationResult::Refused)),
        (failed(0), 5, (Some(4000), "failed: 503", NotificationResult::Failed)),
        (failed(30), 5, (Some(30_000), "failed: 503", NotificationResult::Failed)),
        (failed(86_400), 5, (Some(3_600_000), "failed: 503", NotificationResult::Failed)),
        (failed(0), day - 1, (Some(4000), "failed: 503", NotificationResult::Failed)),
        (failed(0), day, (None, "given up after 3 attempts: 503", NotificationResult::GivenUp)),
    ] {
        let made = Outbound { made_ms: 1000, attempts: 2, ..message(&notice(Occasion::Held, 1), "bus") };
        let (settled, result) = settled(made, outcome, 1000 + age, 1.0);
        let due_in = settled.due_ms.map(|due| due - 1000 - age);
        assert_eq!((due_in, settled.outcome.as_deref()), (expected.0, Some(expected.1)));
        assert_eq!((settled.attempts, result), (3, expected.2));
    }
}

#[test]
fn answers_say_whether_it_is_worth_trying_again() {
    for (status, wish, expected) in [
        (200, "", Outcome::Sent("200".to_owned())),
        (400, "", Outcome::Refused("400".to_owned())),
        (410, "", Outcome::Refused("410".to_owned())),
        (401, "", Outcome::Failed("401".to_owned(), Duration::ZERO)),
        (404, "", Outcome::Failed("404".to_owned(), Duration::ZERO)),
        (429, "30", Outcome::Failed("429".to_owned(), Duration::from_secs(30))),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", Outcome::Failed("503".to_owned(), Duration::ZERO)),
    ] {
        let mut headers = hyper::HeaderMap::new();
        headers.insert(header::RETRY_AFTER, wish.parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, headers, body: bytes::Bytes::new(), is_whole: true };
        assert_eq!(Outcome::of(&reply), expected);
    }
}
