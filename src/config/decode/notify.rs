//! What is outside of a rollout: times without steps, hooks and notifications.

use std::path::PathBuf;

use super::{
    Context,
    reader::{self, Object, Place},
    rollout::{named, of_word},
    top::number,
};
use crate::config::{
    keys::{Kind, NOTIFICATION, Scalar},
    model::rollout::{Freeze, Hook, HookKind, Notification, Occasion, Sink},
};

/// The words for occasions.
const OCCASIONS: &[&str] =
    &["started", "advanced", "approval_needed", "paused", "held", "promoted", "rolled_back", "aborted"];

pub(super) fn freeze(mut object: Object<'_>, cx: &mut Context) -> Freeze {
    Freeze {
        cron: object.get(cx, "cron"),
        duration: object.get(cx, "for"),
        zone: object.get(cx, "zone"),
        reason: object.opt(cx, "reason").unwrap_or_default(),
    }
}

pub(super) fn hooks(objects: Vec<Object<'_>>, cx: &mut Context) -> Vec<Hook> {
    let mut taken = Vec::new();
    objects.into_iter().map(|object| hook(object, &mut taken, cx)).collect()
}

fn hook(mut object: Object<'_>, taken: &mut Vec<String>, cx: &mut Context) -> Hook {
    let kind = object.word(cx, "type");
    let name = object.opt(cx, "name");
    Hook {
        name: named(kind, name, taken),
        // What is missing was reported.
        kind: serde_json::from_value(kind.into()).unwrap_or(HookKind::Event),
        url: object.get(cx, "url"),
        timeout: object.get(cx, "timeout"),
        retries: number(object.get(cx, "retries")),
        every: object.get(cx, "every"),
        payload: of_word(object.word(cx, "payload")),
        headers: fields(&mut object, cx),
        secret_file: object.opt::<String>(cx, "secret_file").map(PathBuf::from),
        metadata: texts(&mut object, cx, "metadata", Scalar::Text),
    }
}

/// Texts by name. Their order means nothing, so it is always the same.
fn texts(object: &mut Object<'_>, cx: &mut Context, key: &str, kind: Scalar) -> Vec<(String, String)> {
    let entries = object.entries(cx, key);
    let mut texts: Vec<(String, String)> = entries
        .into_iter()
        .map(|(name, place)| (name.to_string(), reader::scalar(cx, &place, &Kind::Scalar(kind))))
        .collect();
    texts.sort();
    texts
}

fn fields(object: &mut Object<'_>, cx: &mut Context) -> Vec<(String, PathBuf)> {
    let files = texts(object, cx, "headers", Scalar::File);
    files.into_iter().map(|(name, file)| (name, PathBuf::from(file))).collect()
}

pub(super) fn notification(place: &Place<'_>, cx: &mut Context) -> Notification {
    let mut object = Object::open(cx, place, &NOTIFICATION);
    let places = object.items(cx, "on");
    let words = places.iter().filter_map(|place| reader::word(cx, place, OCCASIONS, ("notification", "on")));
    let on: Vec<Occasion> = words.filter_map(|word| serde_json::from_value(word.into()).ok()).collect();
    let slack = object
        .object(cx, "slack")
        .map(|mut slack| Sink::Slack { url_file: PathBuf::from(slack.get::<String>(cx, "url_file")) });
    let webhook = object.object(cx, "webhook").map(|mut sink| Sink::Webhook {
        url: sink.get(cx, "url"),
        headers: fields(&mut sink, cx),
        secret_file: sink.opt::<String>(cx, "secret_file").map(PathBuf::from),
    });
    let github = object.object(cx, "github").map(|mut github| Sink::Github {
        repository: github.get(cx, "repository"),
        token_file: PathBuf::from(github.get::<String>(cx, "token_file")),
        api: github.get(cx, "api"),
        labels: github.list(cx, "labels"),
    });
    let nowhere = Sink::Slack { url_file: PathBuf::new() };
    // What is missing was reported.
    Notification { on, sink: slack.or(webhook).or(github).unwrap_or(nowhere) }
}
