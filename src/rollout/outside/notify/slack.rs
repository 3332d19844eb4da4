//! Slack: blocks, with a text for where blocks are not shown (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).
//!
//! Links are in the text and not on buttons: a button of a message that came by an incoming webhook wants an application that
//! answers it, and Slack shows a warning where none does.

use serde_json::{Value, json};

use super::words::{self, Addresses};
use crate::rollout::notice::Notice;

/// Characters of a header block.
const HEADER: usize = 150;
/// Characters of a text of a section, with room for what is around it; Slack takes 3,000.
const TEXT: usize = 2800;
/// Characters of a field of a section; Slack takes 2,000.
const FIELD: usize = 400;

/// The message.
pub(super) fn body(notice: &Notice, addresses: &Addresses) -> Value {
    let title = words::title(notice);
    let reason = notice.reason.as_ref().map(|reason| cut(&reason.words, TEXT));
    let fields: Vec<Value> = words::facts(notice)
        .into_iter()
        .map(|(name, value)| markdown(&format!("*{name}*\n{}", escaped(&cut(&value, FIELD)))))
        .collect();
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&title, HEADER), "emoji": false } }),
        json!({ "type": "section", "fields": fields }),
    ];
    if let Some(reason) = &reason {
        blocks.push(section(&format!(">{}", escaped(reason).replace('\n', "\n>"))));
    }
    if let Some(commands) = words::commands(notice, addresses) {
        blocks.push(section(&format!("```{}```", escaped(&commands))));
    }
    let links = [
        ("Approve", &addresses.approve),
        ("Reject", &addresses.reject),
        (notice.rollout.as_str(), &addresses.rollout),
    ];
    let links = links
        .into_iter()
        .filter_map(|(name, address)| Some(format!("<{}|{}>", address.as_ref()?, escaped(name))));
    let links: Vec<String> = links.collect();
    if !links.is_empty() {
        blocks.push(section(&links.join("  ·  ")));
    }
    let text = reason.map_or_else(|| title.clone(), |reason| format!("{title}: {reason}"));
    json!({ "text": escaped(&text), "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": markdown(text) })
}

fn markdown(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// Text in which nothing is a link or calls everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}
