//! The pages that a link leads to: plain, without a script, and nothing of them comes from elsewhere.

use std::fmt::Write as _;

use hyper::header::{self, HeaderName};

use super::{Link, LinkError};
use crate::rollout::{
    machine::{Command, Rollout, Spread},
    reason::percent,
};

/// The fields of every page. Its form goes to where it came from; it is shown in no frame; and its address, which is a secret, is told to
/// nobody else. (`no-referrer` would hide the form's origin from Weir as well, which asks for it.)
pub const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Only the one style sheet of the page, by its hash, and a form to the same address.
const CSP: &str = "default-src 'none'; style-src 'sha256-0HlZTjVwRhbJQPNIppqttN4m3pFrsz7m4nXfMVfUOX8='; \
                   form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em;color:#1c2430;background:#fff}\
h1{font-size:1.4em}dt{color:#5a6675}dd{margin:0 0 .5em}\
button{font:inherit;padding:.5em 1.5em;border:0;border-radius:4px;color:#fff;background:#175cd3}button.reject{background:#b42318}\
@media(prefers-color-scheme:dark){body{color:#e6e9ef;background:#14181f}dt{color:#9aa5b4}}";

/// Asks whether it is meant.
#[must_use]
pub fn confirmation(link: &Link, rollout: &Rollout) -> String {
    let (verb, what) = match link.command {
        Command::Reject => ("Reject", "The canary is withdrawn, and the rollout ends."),
        _ => ("Approve", "The rollout goes on with its next step."),
    };
    let plan = &rollout.plan;
    let routes = rollout.routes.iter().map(|route| route.as_str()).collect::<Vec<_>>().join(", ");
    let share = |step| percent(Spread::of(&plan.steps, step).share.as_f64());
    let next = match link.step + 1 {
        next if next < plan.steps.len() => share(next),
        _ => "promoted".to_owned(),
    };
    let mut facts = String::new();
    for (name, value) in [
        ("Rollout", rollout.id.clone()),
        ("Route", routes),
        ("From", plan.baseline.to_string()),
        ("To", format!("{} {}", plan.canary, plan.version.as_deref().unwrap_or_default())),
        ("Step", format!("{} of {}", link.step + 1, plan.steps.len())),
        ("Canary's share now", share(link.step)),
        ("Canary's share next", next),
        ("Started by", rollout.by.clone()),
    ] {
        // Writing to a text never fails.
        let _ = write!(facts, "<dt>{name}</dt><dd>{}</dd>", escaped(value.trim()));
    }
    let class = link.command.as_str();
    document(
        &format!("{verb} step {} of rollout {}?", link.step + 1, rollout.id),
        &format!(
            "<dl>{facts}</dl><p>{what}</p><form method=\"post\"><button class=\"{class}\">{verb}</button></form>"
        ),
    )
}

/// Says that it was done.
#[must_use]
pub fn done(link: &Link) -> String {
    let text = match link.command {
        Command::Reject => "rejected: the canary is withdrawn",
        _ => "approved",
    };
    document(&format!("Step {} of rollout {} is {text}.", link.step + 1, link.rollout), "")
}

/// Says why nothing was done.
#[must_use]
pub fn refused(error: LinkError) -> String {
    let said = error.to_string();
    let mut said = said.chars();
    let first = said.next().map(|first| first.to_ascii_uppercase());
    let title: String = first.into_iter().chain(said).chain(['.']).collect();
    document(&title, "<p>Nothing was changed.</p>")
}

fn document(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{body}</body></html>\n"
    )
}

/// Text as HTML has it, also in attributes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
