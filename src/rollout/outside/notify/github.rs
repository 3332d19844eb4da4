//! GitHub: an issue when a canary is rolled back (<https://docs.github.com/en/rest/issues>).
//!
//! Its body ends with a fingerprint of route and gate, which nobody sees. While an issue with it is open, the same trouble is a comment
//! there and not another issue. The key of the delivery stands beside it, so that a message that is sent a second time, because nobody
//! knew what came of the first, is recognized.

use std::path::Path;

use aws_lc_rs::digest;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{CALL, Errand, Outcome, words};
use crate::{
    config::model::rollout::Occasion,
    rollout::{
        notice::Notice,
        outside::{
            client::{Call, CallError, Reply, Url, percent_encoded},
            hook,
            secret::{self, hex},
        },
    },
};

/// The form of the API that is spoken.
const VERSION: &str = "2022-11-28";
/// Bytes that are read of a list: bodies of issues have up to 64 KiB each.
const LIST_LIMIT: usize = 4 << 20;
/// Issues that are looked at for the fingerprint in the order of their making: those that the search does not know yet.
const NEWEST: &str = "20";

/// Where issues are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// `owner/name`.
    pub(super) repository: &'a str,
    /// The file with the token.
    pub(super) token_file: &'a Path,
    /// The API's address.
    pub(super) api: &'a str,
    /// Labels of new issues.
    pub(super) labels: &'a [String],
}

/// A repository, with what it takes to call its API.
struct Repository<'a> {
    errand: &'a Errand<'a>,
    place: &'a Place<'a>,
    api: Url,
    token: String,
}

/// An issue or a comment, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Post {
    /// Of an issue.
    #[serde(default)]
    number: u64,
    #[serde(default)]
    body: Option<String>,
    /// There when it is a pull request, which the API lists as an issue.
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Found {
    items: Vec<Post>,
}

/// Makes an issue of a rollback, or a comment to one that is open.
pub(super) async fn tell(errand: &Errand<'_>, place: &Place<'_>) -> Result<Outcome, CallError> {
    if errand.notice.occasion != Occasion::RolledBack {
        return Ok(Outcome::Unwanted("issues are made of rollbacks only"));
    }
    let (api, token) = (Url::parse(place.api)?, secret::read(place.token_file).await?);
    let repository = Repository { errand, place, api, token };
    let fingerprint = fingerprint(errand.notice);
    let open = match repository.open_issue(&fingerprint).await? {
        Ok(open) => open,
        Err(outcome) => return Ok(outcome),
    };
    let Some(issue) = open else {
        let title = format!("{}{}", words::title(errand.notice), by_gate(errand.notice));
        let issue = json!({
            "title": title,
            "body": body(errand, &fingerprint),
            "labels": place.labels,
        });
        return Ok(Outcome::of(&repository.post("/issues", issue.to_string()).await?));
    };
    let delivery = mark("delivery", errand.key);
    let comments = format!("/issues/{}/comments", issue.number);
    let is_there = |posts: &[Post]| posts.iter().any(|post| post.has(&delivery));
    if is_there(std::slice::from_ref(&issue)) {
        return Ok(Outcome::Sent(format!("issue {} was made of it before", issue.number)));
    }
    let since = hook::time(errand.notice.at_ms).unwrap_or_default();
    let known = repository.get(&comments, &[("since", &since), ("per_page", "100")]).await?;
    match posts::<Vec<Post>>(&known) {
        Ok(known) if is_there(&known) => {
            Ok(Outcome::Sent(format!("issue {} has a comment of it already", issue.number)))
        }
        Ok(_) => {
            let comment = json!({ "body": body(errand, &fingerprint) });
            Ok(Outcome::of(&repository.post(&comments, comment.to_string()).await?))
        }
        Err(outcome) => Ok(outcome),
    }
}

// === impl Repository ===

impl Repository<'_> {
    /// The open issue with this fingerprint. The search knows all, but learns of new ones late; so the newest are looked at, too.
    async fn open_issue(&self, fingerprint: &str) -> Result<Result<Option<Post>, Outcome>, CallError> {
        let mark = mark("fingerprint", fingerprint);
        let fits = |post: &Post| post.pull_request.is_none() && post.has(&mark);
        let query = format!("repo:{} is:issue is:open in:body \"{fingerprint}\"", self.place.repository);
        let search = self.api.below("/search/issues", &[("q", &query), ("per_page", "5")]);
        match posts::<Found>(&self.send(Call::get(search)).await?) {
            Ok(found) => {
                if let Some(issue) = found.items.into_iter().find(fits) {
                    return Ok(Ok(Some(issue)));
                }
            }
            // A repository that the search does not know yet is one that cannot be searched.
            Err(Outcome::Refused(_)) => {}
            Err(outcome) => return Ok(Err(outcome)),
        }
        let newest = [("state", "open"), ("sort", "created"), ("per_page", NEWEST)];
        let newest = posts::<Vec<Post>>(&self.get("/issues", &newest).await?);
        Ok(newest.map(|newest| newest.into_iter().find(fits)))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply, CallError> {
        self.send(Call::get(self.api.below(&self.path(path), query))).await
    }

    async fn post(&self, path: &str, body: String) -> Result<Reply, CallError> {
        self.send(Call::post(self.api.below(&self.path(path), &[]), "application/json", body)).await
    }

    fn path(&self, path: &str) -> String {
        let parts: Vec<String> = self.place.repository.split('/').map(percent_encoded).collect();
        format!("/repos/{}{path}", parts.join("/"))
    }

    async fn send(&self, call: Call) -> Result<Reply, CallError> {
        let call = call
            .reading(LIST_LIMIT)
            .field("accept", "application/vnd.github+json")?
            .field("x-github-api-version", VERSION)?
            .field("authorization", &format!("Bearer {}", self.token))?
            .field("x-weir-delivery", self.errand.key)?;
        self.errand.client.send(call, CALL).await
    }
}

/// What a list has, or what its answer means where it is none.
fn posts<'a, T: Deserialize<'a>>(reply: &'a Reply) -> Result<T, Outcome> {
    if reply.status != StatusCode::OK {
        return Err(Outcome::of(reply));
    }
    let failed = |_| Outcome::Failed("the answer is not one of GitHub".to_owned(), std::time::Duration::ZERO);
    serde_json::from_slice(&reply.body).map_err(failed)
}

// === impl Post ===

impl Post {
    fn has(&self, mark: &str) -> bool {
        self.body.as_deref().is_some_and(|body| body.contains(mark))
    }
}

/// The same for the same trouble: the same gate on the same routes.
fn fingerprint(notice: &Notice) -> String {
    let routes: Vec<&str> = notice.routes.iter().map(|route| route.as_str()).collect();
    let gate = notice.reason.as_ref().map_or("", |reason| reason.gate.as_str());
    let hash = digest::digest(&digest::SHA256, format!("{}\n{gate}", routes.join(",")).as_bytes());
    hex(&hash.as_ref()[..8])
}

/// A comment in Markdown, which is not shown.
fn mark(what: &str, value: &str) -> String {
    format!("<!-- weir-{what}: {value} -->")
}

fn by_gate(notice: &Notice) -> String {
    notice.reason.as_ref().map(|reason| format!(": {}", reason.gate)).unwrap_or_default()
}

fn body(errand: &Errand<'_>, fingerprint: &str) -> String {
    let notice = errand.notice;
    let mut text = format!("{}.\n\n", inline(&words::title(notice)));
    if let Some(reason) = &notice.reason {
        text.push_str(&format!("{}\n\n", fenced(&reason.words)));
    }
    text.push_str("| | |\n|---|---|\n");
    for (name, value) in words::facts(notice) {
        text.push_str(&format!("| {name} | {} |\n", inline(&value)));
    }
    if let Some(time) = hook::time(notice.at_ms) {
        text.push_str(&format!("| Time | {time} |\n"));
    }
    let rollout = match &errand.addresses.rollout {
        Some(address) => format!("[{0}]({address})", notice.rollout),
        None => notice.rollout.clone(),
    };
    text.push_str(&format!("| Rollout | {rollout} |\n\n"));
    text.push_str(&format!("{}\n{}\n", mark("fingerprint", fingerprint), mark("delivery", errand.key)));
    text
}

/// Text that is shown as it is, on one line.
fn inline(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // An entity, so that nobody is mentioned.
            '@' => shown.push_str("&#64;"),
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => shown.extend(['\\', c]),
            c if c.is_control() => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}

/// Text that is shown as it is. Parts of it may come from a hook: a fence longer than any in it keeps it in, and it cannot look like a mark.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.replace("<!--", "<! --"))
}
