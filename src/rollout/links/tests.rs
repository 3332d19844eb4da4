//! Links that were changed, are old, or belong to something else.

use aws_lc_rs::digest;

use super::{
    page::{HEADERS, confirmation, done, refused},
    *,
};
use crate::{
    control::{
        fixtures::FailingStore,
        store::{MemoryStore, Store as _},
    },
    rollout::fixtures::{self, name, plan, weight},
};

/// 2025-12-01T00:00:00Z.
const NOW: u64 = 1_764_547_200;

fn keys() -> Vec<SigningKey> {
    MemoryStore::new(10).signing_keys().unwrap()
}

fn link() -> Link {
    Link {
        rollout: "r-7f3a2c".to_owned(),
        command: Command::Approve,
        seq: 12,
        step: 1,
        expires: NOW + 60,
        sink: name("slack-deploys"),
    }
}

fn waiting() -> Rollout {
    let steps = vec![weight(5.0, 60), weight(20.0, 60), weight(100.0, 60)];
    let mut rollout = fixtures::rollout(plan(steps, Vec::new()));
    rollout.id = "r-7f3a2c".to_owned();
    (rollout.phase, rollout.step) = (Phase::AwaitingApproval, 1);
    rollout
}

#[test]
fn a_link_says_what_it_does_and_proves_it() {
    let links = Links::new(&keys());
    for command in [Command::Approve, Command::Reject] {
        let link = Link { command, ..link() };
        let token = links.mint(&link).unwrap();
        assert!(
            token.starts_with(&format!("{}~12~1~1764547260~slack-deploys~", command.as_str())),
            "{token}"
        );
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{token}");
        assert_eq!(links.verify("r-7f3a2c", &token, NOW), Ok(link));
    }
}

#[test]
fn a_link_that_was_not_made_here_does_nothing() {
    let links = Links::new(&keys());
    let token = links.mint(&link()).unwrap();
    let changed = [
        token.replace("approve", "reject"),
        token.replace("~12~", "~13~"),
        token.replace("~1~", "~2~"),
        token.replace("1764547260", "1764999999"),
        token.replace("slack-deploys", "slack"),
        token.replacen("approve", "abort", 1),
        format!("{token}0"),
        token[..token.len() - 1].to_owned(),
        token.to_uppercase(),
        format!("~{}", "0".repeat(64)),
        format!("~{}", "é".repeat(32)),
        String::new(),
    ];
    for changed in changed {
        assert_eq!(links.verify("r-7f3a2c", &changed, NOW), Err(LinkError::Invalid), "{changed}");
    }
    assert_eq!(links.verify("r-000000", &token, NOW), Err(LinkError::Invalid), "another rollout's");
    assert_eq!(Links::new(&keys()).verify("r-7f3a2c", &token, NOW), Err(LinkError::Invalid), "another key's");
    assert_eq!(Links::new(&[]).mint(&link()), None);
}

#[test]
fn a_link_expires_and_outlives_a_change_of_keys() {
    let [old, new] = [keys(), keys()];
    let token = Links::new(&old).mint(&link()).unwrap();
    let both = Links::new(&[new, old].concat());
    for (now, expected) in [(NOW, Ok(link())), (NOW + 59, Ok(link())), (NOW + 60, Err(LinkError::Expired))] {
        assert_eq!(both.verify("r-7f3a2c", &token, now), expected);
    }
}

#[test]
fn a_link_is_for_one_wait_of_one_rollout() {
    let reject = Link { command: Command::Reject, ..link() };
    assert_eq!(link().nonce(), reject.nonce(), "they are used up together");
    assert_ne!(link().nonce(), Link { seq: 13, ..link() }.nonce());
    assert_eq!(link().check(&waiting()), Ok(()));
    let changes: [fn(&mut Rollout); 3] = [
        |rollout| rollout.phase = Phase::Progressing,
        |rollout| rollout.step = 2,
        |rollout| rollout.id = "r-1".to_owned(),
    ];
    for change in changes {
        let mut rollout = waiting();
        change(&mut rollout);
        assert_eq!(link().check(&rollout), Err(LinkError::Over));
    }
}

#[tokio::test]
async fn a_link_is_used_up_together_with_the_other_one_of_its_message() {
    let journal = Journal::of(std::sync::Arc::new(MemoryStore::new(10)));
    let links = Links::new(&keys());
    let now = Duration::from_secs(NOW);
    let approve = links.mint(&link()).unwrap();
    let reject = links.mint(&Link { command: Command::Reject, ..link() }).unwrap();
    let mut rollout = waiting();
    rollout.phase = Phase::Paused;
    assert_eq!(links.redeem(&journal, (&rollout, &approve), now).await, Err(LinkError::Over));
    // What could not be done is not used up, and looking does not either.
    for token in [&approve, &reject] {
        assert!(links.look(&journal, (&waiting(), token), now).await.is_ok());
    }
    assert_eq!(links.redeem(&journal, (&waiting(), &approve), now).await, Ok(link()));
    for token in [&approve, &reject] {
        assert_eq!(links.redeem(&journal, (&waiting(), token), now).await, Err(LinkError::Used));
        // The rollout has gone on because of it.
        assert_eq!(links.look(&journal, (&rollout, token), now).await, Err(LinkError::Used));
    }
    let late = now + Duration::from_secs(60);
    assert_eq!(links.redeem(&journal, (&waiting(), &approve), late).await, Err(LinkError::Expired));
    let failing = FailingStore::default();
    failing.broken.store(true, std::sync::atomic::Ordering::SeqCst);
    let broken = Journal::of(std::sync::Arc::new(failing));
    assert_eq!(links.redeem(&broken, (&waiting(), &approve), now).await, Err(LinkError::NotKept));
}

#[tokio::test]
async fn a_link_is_used_once() {
    let journal = Journal::of(std::sync::Arc::new(MemoryStore::new(10)));
    for (nonce, now, expected) in
        [("r-1/1", 0, true), ("r-1/1", 5, false), ("r-1/2", 5, true), ("r-1/1", 11, true)]
    {
        assert_eq!(journal.use_link(nonce, now, 10).await.unwrap(), expected, "{nonce} at {now}");
    }
}

#[test]
fn pages_have_no_script_and_show_texts_as_they_are() {
    let mut rollout = waiting();
    rollout.by = "<script>alert('ada')</script>".to_owned();
    rollout.plan.version = Some("v\"1\" & more".to_owned());
    let page = confirmation(&link(), &rollout);
    for expected in [
        "<h1>Approve step 2 of rollout r-7f3a2c?</h1>",
        "<dd>canary v&quot;1&quot; &amp; more</dd>",
        "<dd>&lt;script&gt;alert(&#39;ada&#39;)&lt;/script&gt;</dd>",
        "<dt>Canary's share now</dt><dd>20 %</dd><dt>Canary's share next</dt><dd>100 %</dd>",
        "<form method=\"post\"><button class=\"approve\">Approve</button></form>",
    ] {
        assert!(page.contains(expected), "{expected}\n{page}");
    }
    let reject = Link { command: Command::Reject, ..link() };
    let asked = confirmation(&reject, &rollout);
    assert!(asked.contains("<h1>Reject step 2 of rollout r-7f3a2c?</h1>"), "{asked}");
    assert!(asked.contains("<button class=\"reject\">Reject</button>"), "{asked}");
    let gone = refused(LinkError::Expired);
    assert!(gone.contains("<h1>This link has expired.</h1><p>Nothing was changed.</p>"), "{gone}");
    assert!(
        done(&reject).contains("<h1>Step 2 of rollout r-7f3a2c is rejected: the canary is withdrawn.</h1>")
    );
    for page in [page, asked, gone, done(&link())] {
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }
}

#[test]
fn the_policy_of_the_page_names_its_style() {
    let page = refused(LinkError::Used);
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = base64(digest::digest(&digest::SHA256, style.as_bytes()).as_ref());
    let policy = HEADERS.iter().find(|(name, _)| name.as_str() == "content-security-policy").unwrap().1;
    assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{hash}");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("form-action 'self'"));
}

/// Base64 (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = if place <= group.len() { DIGITS[bits >> (18 - 6 * place) & 63] } else { b'=' };
            text.push(char::from(digit));
        }
    }
    text
}
