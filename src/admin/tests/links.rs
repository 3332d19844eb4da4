//! Approval links of rollouts, request by request.

use super::{
    auth::Guarded,
    rollouts::{phase, reaches},
    *,
};
use crate::{
    rollout::{links::Link, machine::Command},
    types::{Rate, clock},
};

/// A step that waits for somebody, and two that follow.
const START: &str = r#"{"route": "shop", "plan": {"baseline": "stable", "canary": "canary", "analysis": {"gates": []},
    "steps": [{"weight": "10%", "hold": "10ms", "approval": true}, {"weight": "50%", "hold": "1h"}, {"weight": "100%"}]}}"#;

/// Starts a rollout, and waits until it waits; its id.
async fn waiting(fixture: &Fixture) -> String {
    let reply = fixture.send("POST /v1/rollouts", START).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    phase(fixture, &id, "awaiting_approval").await;
    id
}

/// What a message about the first step of the rollout links to; good for a minute.
fn link(id: &str, command: Command) -> Link {
    let expires = clock::unix_now().as_secs() + 60;
    Link { rollout: id.to_owned(), command, seq: 3, step: 0, expires, sink: name("slack") }
}

fn path(fixture: &Fixture, link: &Link) -> String {
    format!("/v1/rollouts/{}/links/{}", link.rollout, fixture.links.mint(link).unwrap())
}

/// What the audit says that came of links, the oldest first.
async fn by_link(fixture: &Fixture) -> Vec<String> {
    let rows = fixture.send("GET /v1/audit?actor=link:slack", "").await.json();
    let rows = rows["rows"].as_array().unwrap().iter().rev();
    rows.map(|row| format!("{} {}", row["action"].as_str().unwrap(), row["result"].as_str().unwrap()))
        .collect()
}

/// Whether the answer is a page with this title.
fn says(reply: &Reply, status: u16, title: &str) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert!(reply.text.contains(&format!("<h1>{title}</h1>")), "{title}: {}", reply.text);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    // The page's own, under which its form works and its style counts, and not those of the rest of the API.
    let policy = reply.header("content-security-policy");
    assert!(policy.contains("form-action 'self'") && policy.contains("style-src 'sha256-"), "{policy}");
    assert_eq!((reply.header("referrer-policy"), reply.header("x-frame-options")), ("same-origin", "DENY"));
    assert_eq!(
        (reply.header("cache-control"), reply.header("x-content-type-options")),
        ("no-store", "nosniff")
    );
    assert_eq!(reply.headers.get_all("content-security-policy").iter().count(), 1);
}

#[tokio::test]
async fn following_a_link_asks_and_its_button_agrees_once() {
    let fixture = Fixture::start();
    let id = waiting(&fixture).await;
    let [approve, reject] =
        [Command::Approve, Command::Reject].map(|command| path(&fixture, &link(&id, command)));
    for _ in 0..2 {
        let page = fixture.send(&format!("GET {approve}"), "").await;
        says(&page, 200, &format!("Approve step 1 of rollout {id}?"));
        assert!(page.text.contains("<form method=\"post\"><button class=\"approve\">"), "{}", page.text);
    }
    says(&fixture.send(&format!("GET {reject}"), "").await, 200, &format!("Reject step 1 of rollout {id}?"));
    assert_eq!(fixture.send(&format!("HEAD {approve}"), "").await.status, 200);
    let now = fixture.send(&format!("GET /v1/rollouts/{id}"), "").await.json();
    assert_eq!(now["phase"], "awaiting_approval", "looking does nothing");
    assert!(by_link(&fixture).await.is_empty());

    let form = "content-type: application/x-www-form-urlencoded\norigin: http://127.0.0.1:9900\nx-weir-actor: mallory";
    says(
        &fixture.send(&format!("POST {approve}\n{form}"), "").await,
        200,
        &format!("Step 1 of rollout {id} is approved."),
    );
    phase(&fixture, &id, "progressing").await;
    let entries = fixture.send(&format!("GET /v1/rollouts/{id}/entries"), "").await.text;
    assert!(entries.contains("\"actor\":\"link:slack\""), "{entries}");
    for method in ["POST", "GET"] {
        for path in [&approve, &reject] {
            let reply = fixture.send(&format!("{method} {path}"), "").await;
            says(&reply, 410, "This link, or the other one of its message, was used already.");
        }
    }
    assert_eq!(by_link(&fixture).await, ["rollout_approve applied"]);
    assert_eq!(fixture.send(&format!("GET /v1/rollouts/{id}"), "").await.json()["phase"], "progressing");
}

#[tokio::test]
async fn the_other_link_ends_the_rollout() {
    let fixture = Fixture::start();
    let id = waiting(&fixture).await;
    let reject = path(&fixture, &link(&id, Command::Reject));
    let title = format!("Step 1 of rollout {id} is rejected: the canary is withdrawn.");
    says(&fixture.send(&format!("POST {reject}"), "").await, 200, &title);
    let ended = phase(&fixture, &id, "aborted").await;
    assert_eq!(ended["ending"]["by"], "link:slack");
    assert_eq!(by_link(&fixture).await, ["rollout_reject applied"]);
}

#[tokio::test]
async fn two_who_press_at_once_decide_once() {
    let fixture = Fixture::start();
    let id = waiting(&fixture).await;
    let head = format!("POST {}", path(&fixture, &link(&id, Command::Approve)));
    let (one, other) = tokio::join!(fixture.send(&head, ""), fixture.send(&head, ""));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410], "{} {}", one.text, other.text);
    reaches(&fixture, &id, |rollout| rollout["phase"] == "progressing" && rollout["step"] == 2).await;
}

#[tokio::test]
async fn links_that_do_nothing_say_why() {
    let fixture = Fixture::start();
    let id = waiting(&fixture).await;
    let good = link(&id, Command::Approve);
    let elsewhere = path(&fixture, &good).replace(&id, "r-000000");
    let forged = path(&fixture, &good).replace("/approve~", "/reject~");
    let cut = path(&fixture, &good);
    let invalid = "This is no link of this Weir; perhaps it was cut off.";
    let over = "The rollout does not wait for this any more.";
    let now = clock::unix_now().as_secs();
    for (path, status, title) in [
        (elsewhere, 404, invalid),
        (forged, 404, invalid),
        (cut[..cut.len() - 1].to_owned(), 404, invalid),
        ("/v1/rollouts/shop/links/x".to_owned(), 404, invalid),
        (path(&fixture, &Link { expires: now, ..good.clone() }), 410, "This link has expired."),
        (path(&fixture, &link("r-000000", Command::Approve)), 410, over),
        (path(&fixture, &Link { step: 1, ..good.clone() }), 410, over),
    ] {
        for method in ["GET", "POST"] {
            says(&fixture.send(&format!("{method} {path}"), "").await, status, title);
        }
    }
    assert_eq!(
        fixture.send(&format!("GET /v1/rollouts/{id}"), "").await.json()["phase"],
        "awaiting_approval"
    );
    // The phase has passed.
    assert_eq!(fixture.send(&format!("POST /v1/rollouts/{id}/abort"), "").await.status, 200);
    for method in ["GET", "POST"] {
        says(&fixture.send(&format!("{method} {}", path(&fixture, &good)), "").await, 410, over);
    }
    assert!(by_link(&fixture).await.is_empty());
}

#[tokio::test]
async fn a_disk_or_a_weir_that_fails_uses_up_no_link() {
    let fixture = Fixture::start();
    let id = waiting(&fixture).await;
    let head = format!("POST {}", path(&fixture, &link(&id, Command::Approve)));
    fixture.store.broken.store(true, Ordering::Release);
    let title = "This could not be written to the data directory; try again later.";
    says(&fixture.send(&head, "").await, 503, title);
    fixture.store.broken.store(false, Ordering::Release);
    fixture.view.0.store(true, Ordering::Relaxed);
    says(&fixture.send(&head, "").await, 503, "Weir is stopping.");
    fixture.view.0.store(false, Ordering::Relaxed);
    assert_eq!(
        fixture.send(&format!("GET /v1/rollouts/{id}"), "").await.json()["phase"],
        "awaiting_approval"
    );
    assert_eq!(fixture.send(&head, "").await.status, 200);
}

#[tokio::test]
async fn nobody_has_to_be_known_and_who_guesses_is_told_to_wait() {
    let weir = Guarded::start(|admin| admin.max_failures = Rate::parse("3/h").unwrap());
    let fixture = &weir.fixture;
    let reply = weir.ask("otto", "POST /v1/rollouts", START).await;
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    let mut now = String::new();
    for _ in 0..500 {
        now = weir.ask("vera", &format!("GET /v1/rollouts/{id}"), "").await.json()["phase"].to_string();
        if now.contains("awaiting_approval") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(now, "\"awaiting_approval\"");
    let good = path(fixture, &link(&id, Command::Approve));
    let bad = good.replace("/approve~", "/reject~");
    // Pages of others press no button, and other hosts have none.
    for (fields, status) in [
        ("sec-fetch-site: cross-site", 403),
        ("sec-fetch-site: same-site", 403),
        ("origin: null", 403),
        ("origin: https://evil.example", 403),
        ("host: evil.example", 403),
    ] {
        let reply = weir.send(&format!("POST {good}\n{fields}"), "").await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (status, "application/problem+json"),
            "{fields}"
        );
    }
    assert_eq!(weir.send(&format!("GET {good}\nhost: evil.example"), "").await.status, 403);
    assert_eq!(weir.send(&format!("DELETE {good}"), "").await.status, 405);
    // A token is not asked for, and a bad one is in nobody's way.
    for fields in ["", "\nauthorization: Bearer weir_nobody", "\nsec-fetch-site: cross-site"] {
        assert_eq!(weir.send(&format!("GET {good}{fields}"), "").await.status, 200, "{fields}");
    }
    for place in 0..5 {
        let reply = weir.send(&format!("GET {bad}\npeer: 192.0.2.1"), "").await;
        assert_eq!(reply.status, if place < 3 { 404 } else { 429 }, "{place}: {}", reply.text);
        assert_eq!(reply.header("retry-after").is_empty(), place < 3);
    }
    assert_eq!(weir.send(&format!("GET {bad}\npeer: 192.0.2.2"), "").await.status, 404);
    fixture.auth.record_last_denials(&fixture.control).await;
    // A good one works all the same, from the page's own form.
    let reply = weir.send(&format!("POST {good}\npeer: 192.0.2.1\nsec-fetch-site: same-origin"), "").await;
    says(&reply, 200, &format!("Step 1 of rollout {id} is approved."));
    // That was written after the refusals.
    let rows = weir.ask("vera", "GET /v1/audit?action=denied&limit=100", "").await.text;
    assert!(rows.contains("rollout_link: wrong_token, from 192.0.2.1, 3 times"), "{rows}");
    assert!(rows.contains("rollout_link: rate_limited, from 192.0.2.1, 2 times"), "{rows}");
    assert!(!rows.contains(&good[good.len() - 64..]), "no link is in the audit");
}
